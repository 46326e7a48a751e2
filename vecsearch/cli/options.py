"""Options that several commands share, and what a shell completes them with."""

from __future__ import annotations

import codecs
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from vecsearch.cli import indexes
from vecsearch.cli.settings import Settings
from vecsearch.types import Precision

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = [
    "Model",
    "cache_option",
    "durability_option",
    "encoding_option",
    "index_metadata_option",
    "index_option",
    "index_or_new_option",
    "json_option",
    "memory_option",
    "model_option",
    "npy_option",
    "pipeline_options",
    "spec_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])


class IndexName(click.ParamType[str]):
    """The name of an index: one folder name."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name if it can be that of a folder right below the folder of indexes."""
        name = str(value)
        if name in ("", ".", "..") or any(sign in name for sign in "/\\\0"):
            self.fail(
                f"{name!r} is not the name of an index: it must name one folder, without / and \\ "
                f"(an index elsewhere: vecsearch --indexes FOLDER {'' if ctx is None else ctx.info_name} -i NAME)",
                param,
                ctx,
            )
        return name

    def shell_complete(self, ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the indexes that there are."""
        from click.shell_completion import CompletionItem

        root = ctx.find_root()
        folder = root.params.get("indexes") or Path("indexes")
        return [CompletionItem(name) for name in indexes.names(Path(folder)) if name.startswith(incomplete)]


class Spec(click.ParamType[str]):
    """A plugin by name, with its configuration: ``name`` or ``name:key=value,key=value``."""

    name = "spec"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text as it is, if it can be parsed."""
        from vecsearch.errors import UsageError
        from vecsearch.pipeline import parse_spec

        try:
            parse_spec(str(value))
        except UsageError as error:
            self.fail(error.message, param, ctx)
        return str(value)


class Model(Spec):
    """An embedder: a ``Spec``, or the path of a model, which must hold a separator (``./model``)."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the specification; of a path, that of the embedder which takes it."""
        text = str(value)
        name, colon, _ = text.partition(":")
        is_path = any(sign in name for sign in {os.sep, os.altsep or os.sep}) or name in (".", "..")
        if not is_path:
            return super().convert(value, param, ctx)
        # what follows a colon would be options, and those part at commas
        path = os.path.abspath(os.path.expanduser(text))
        if "," in path:
            self.fail(f"the path {path!r} has a comma, which no specification can hold; rename it", param, ctx)
        if not os.path.exists(path):
            hint = " (options of a model follow its name: onnx:path=FOLDER,key=value)" if colon else ""
            self.fail(f"{path} is neither a file nor a folder; give that of a model{hint}", param, ctx)
        takers = _takers(path)
        if len(takers) != 1:
            self.fail(
                f"several embedders take {path}; name one: {', '.join(f'{taker}:path={path}' for taker in takers)}"
                if takers
                else f"no installed embedder takes {path}; give a folder with model.onnx or model.safetensors and what "
                "belongs to them, or a file of word vectors",
                param,
                ctx,
            )
        return f"{takers[0]}:path={path}"


def _takers(path: str) -> list[str]:
    """Return the names of the embedders that say that they are made from a path."""
    from vecsearch.plugins import Registry

    registry = Registry()
    classes = {name: registry.get("embedder", name) for name in registry.names("embedder")}
    return [name for name, cls in classes.items() if hasattr(cls, "takes") and cls.takes(path)]


def index_option(command: Command) -> Command:
    """Add ``-i NAME``, an index that must be there."""
    return click.option(
        "-i", "--index", "name", type=IndexName(), help="Name of the index.  [default: the only one in DIR]"
    )(command)


def index_or_new_option(default: str) -> Callable[[Command], Command]:
    """Add ``-i NAME``, an index that is made if it is not there."""
    return click.option(
        "-i",
        "--index",
        "name",
        type=IndexName(),
        help=f"Name of the index; made if there is none.  [default: {default}]",
    )


def json_option(what: str) -> Callable[[Command], Command]:
    """Add ``--json``; failures are then written as JSON as well.

    Args:
        what: of the help line, such as "one object a line".
    """

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
        settings = ctx.find_object(Settings)
        if settings is not None:
            settings.is_json = value
        return value

    # subtle: is_eager, so that it is known when another option is refused
    return click.option(
        "--json", "is_json", is_flag=True, is_eager=True, callback=remember, help=f"Write JSON: {what}."
    )


def _known_encoding(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    if name is not None:
        try:
            codecs.lookup(name)
        except LookupError:
            raise click.BadParameter(f"no encoding is called {name!r}; some are utf-8, latin-1, cp1252") from None
    return name


def encoding_option(command: Command) -> Command:
    """Add ``--encoding NAME``."""
    return click.option(
        "--encoding",
        metavar="NAME",
        callback=_known_encoding,
        help="Encoding of the text.  [default: UTF-8, or what a byte order mark says]",
    )(command)


def spec_option(kind: str, help: str, default: str | None = None) -> Callable[[Command], Command]:
    """Add ``--KIND SPEC``."""
    return click.option(f"--{kind}", type=Spec(), metavar="SPEC", default=default, help=help)


def model_option(default: str, **options: Any) -> Callable[[Command], Command]:
    """Add ``--model SPEC``, also called ``--embedder``: ``embedder``.

    Args:
        default: what the help says of it.
        options: of the click option.
    """
    return click.option(
        "--model",
        "--embedder",
        "embedder",
        type=Model(),
        metavar="SPEC",
        help=f"Embedder: name, name:key=value,… or the path of a model.  [default: {default}]",
        **options,
    )


def pipeline_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a new index; the command takes them as ``parts``.

    These are arguments of ``Pipeline.from_names``, and ``pca``; see ``making.open_or_create``.
    """

    @functools.wraps(command)
    def gathered(
        *arguments: Any,
        tokenizer: str | None,
        embedder: str | None,
        encoder: str | None,
        passage_tokens: int | None,
        precision: str | None,
        pca: int | None,
        **others: Any,
    ) -> Any:
        parts = {
            "tokenizer": tokenizer,
            "embedder": embedder,
            "encoder": encoder,
            "max_tokens": passage_tokens,
            "precision": precision,
            "pca": pca,
        }
        return command(*arguments, parts=parts, **others)

    options: list[Callable[[Callable[..., Any]], Callable[..., Any]]] = [
        click.option(
            "--pca",
            type=click.IntRange(min=1),
            metavar="N",
            help="Reduce contextual vectors of a new index to N numbers, fitted on its first texts.",
        ),
        click.option(
            "--precision",
            type=click.Choice(get_args(Precision)),
            help="How exactly a new index keeps contextual or given vectors.  [default: int8; of given ones fp32]",
        ),
        click.option(
            "--passage-tokens",
            type=click.IntRange(min=8),
            metavar="N",
            help="Longest passage, in tokens, of a new index.  [default: 256]",
        ),
        spec_option(
            "encoder",
            "Positional encoder of a new index: name or name:key=value,…  [default: what suits the model]",
        ),
        model_option("wordllama, for a new index"),
        spec_option("tokenizer", "Tokenizer of a new index: name or name:key=value,…  [default: word]"),
    ]
    decorated: Callable[..., Any] = gathered
    for option in options:
        decorated = option(decorated)
    return decorated


def durability_option(command: Command) -> Command:
    """Add ``--durability LEVEL``."""
    return click.option(
        "--durability",
        type=click.Choice(["full", "fast"]),
        default="full",
        help="What a commit survives: full a power loss, fast the end of the process.",
    )(command)


def memory_option(command: Command) -> Command:
    """Add ``--memory MB``: ``memory``, in bytes."""
    return click.option(
        "--memory",
        type=click.IntRange(min=600),
        default=1_000,
        metavar="MB",
        callback=lambda _context, _parameter, megabytes: 1_000_000 * megabytes,
        help="Memory to index with; less makes more, and smaller, segments.",
    )(command)


def cache_option(command: Command) -> Command:
    """Add ``--no-cache``: ``cache``."""
    return click.option(
        "--no-cache",
        "cache",
        is_flag=True,
        callback=lambda _context, _parameter, is_off: not is_off,
        help="Embed every text anew; keep nothing of contextual models in the cache folder.",
    )(command)


def index_metadata_option(command: Command) -> Command:
    """Add ``--index-metadata KEY``, which may be repeated: ``metadata_keys``."""
    return click.option(
        "--index-metadata",
        "metadata_keys",
        multiple=True,
        metavar="KEY",
        help="Answer filters on a metadata key from an index of its values, from now on; may be repeated.",
    )(command)


def npy_option(*names: str, help: str) -> Callable[[Command], Command]:
    """Add an option that names a .npy file to be read."""
    return click.option(
        *names, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE.npy", help=help
    )
