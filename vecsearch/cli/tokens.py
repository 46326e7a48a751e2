"""``vecsearch tokens``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vecsearch.cli.indexes import open_index
from vecsearch.cli.options import index_option, json_option, model_option, spec_option
from vecsearch.cli.output import columns, in_color, one_line, visible, write, write_json
from vecsearch.cli.settings import Settings, pass_settings

if TYPE_CHECKING:
    from vecsearch.types import Floats, Tokens

__all__ = ["tokens_command"]

Token = tuple[str, int | None, int, int]
"""Vocabulary entry, id, start and end in characters of the text."""

_BACKGROUNDS = ("blue", "magenta")


@click.command(
    "tokens",
    epilog="""Examples:

\b
  vecsearch tokens "undoCommit isn't hard" --tokenizer word
  vecsearch tokens "the dog bit the man" --tokenizer pieces --vectors tokens.npy""",
)
@click.argument("text")
@index_option
@spec_option("tokenizer", "Tokenizer: name or name:key=value,…  [default: that of -i, else word]")
@model_option("that of -i, else wordllama")
@spec_option("encoder", "Positional encoder for --vectors, likewise.  [default: that of -i, else what suits the model]")
@click.option(
    "--vectors",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="OUT.npy",
    help="Write the position-aware vectors there, float32 (n_tokens, dim), rows of unit length.",
)
@json_option("one object a token and line; text, entry, id, start, end")
@pass_settings
def tokens_command(
    settings: Settings,
    text: str,
    name: str | None,
    tokenizer: str | None,
    embedder: str | None,
    encoder: str | None,
    vectors: Path | None,
    is_json: bool,
) -> None:
    """Show how a text is cut into tokens.

    For each token its place in the text (start and end, in characters), its id (- where the vocabulary is open and
    the index, if one is named, does not know the word) and its vocabulary entry.
    """
    if name is not None and (tokenizer or embedder or encoder):
        raise click.UsageError("-i already says which tokenizer, embedder and encoder; leave those options out")
    if encoder and vectors is None:
        raise click.UsageError("--encoder changes vectors only; say where to write them with --vectors OUT.npy")
    if name is not None:
        with open_index(settings, name) as index:
            found: list[Token] = list(index.tokens(text))
            array = index.pipeline.encode([text])[0] if vectors is not None else None
    else:
        found, array = _without_index(text, tokenizer, embedder, encoder, vectors is not None)
    if vectors is not None and array is not None:
        from vecsearch.cli.arrays import write_array

        write_array(vectors, array)
        place = one_line(str(vectors))
        click.echo(f"Wrote {array.shape[0]} vectors of {array.shape[1]} numbers to {place}.", err=True)
    if is_json:
        for entry, number, start, end in found:
            write_json({"text": text[start:end], "entry": entry, "id": number, "start": start, "end": end})
        return
    is_colored = settings.colors()
    if is_colored:
        write(_painted(text, found) + "\n\n")
    rows = [
        (str(start), str(end), "-" if number is None else str(number), entry) for entry, number, start, end in found
    ]
    heading, *lines = columns(rows, heading=("start", "end", "id", "entry"), right="rrrl")
    write(in_color(heading, is_colored, bold=True) + "\n")
    write("".join(line + "\n" for line in lines))


def _without_index(
    text: str, tokenizer: str | None, embedder: str | None, encoder: str | None, needs_vectors: bool
) -> tuple[list[Token], Floats | None]:
    from vecsearch.pipeline import Pipeline, parse_spec
    from vecsearch.plugins import Registry

    registry = Registry()
    if embedder or needs_vectors:
        pipeline = Pipeline.from_names(tokenizer, embedder or "wordllama", encoder, registry=registry)
        cutter, array = pipeline.tokenizer, pipeline.encode([text])[0] if needs_vectors else None
    else:
        cutter, array = registry.create("tokenizer", *parse_spec(tokenizer or "word")), None
    assert cutter is not None
    vocabulary = cutter.vocabulary()
    return _listed(cutter.tokenize([text]), vocabulary.entries if vocabulary else ()), array


def _listed(tokens: Tokens, vocabulary: Sequence[str]) -> list[Token]:
    if tokens.ids is None:
        assert tokens.entries is not None
        numbers: list[int | None] = [None] * tokens.n_tokens
        entries = list(tokens.entries)
    else:
        numbers = list(tokens.ids.tolist())
        entries = [vocabulary[number] for number in tokens.ids.tolist()]
    return [
        (entry, number, start, end)
        for entry, number, (start, end) in zip(entries, numbers, tokens.spans.tolist(), strict=True)
    ]


def _painted(text: str, tokens: list[Token]) -> str:
    """Return the text with every other token on another background; tokens that share characters are one."""
    painted, at = [], 0
    for number, (_, _, start, end) in enumerate(tokens):
        if end <= at:
            continue
        start = max(start, at)
        painted.append(visible(text[at:start]))
        painted.append(in_color(visible(text[start:end]), True, fg="bright_white", bg=_BACKGROUNDS[number % 2]))
        at = end
    return "".join(painted) + visible(text[at:])
