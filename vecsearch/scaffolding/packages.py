"""The files of a new plugin's package, and how they are written: all of them, or none."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from vecsearch import __version__
from vecsearch.errors import UsageError
from vecsearch.plugins import Registry
from vecsearch.scaffolding.names import Names, check_name

__all__ = ["KINDS", "package_files", "write_package"]

KINDS = ("tokenizer", "embedder", "encoder", "scorer", "loader")
"""The kinds of plugin that there is an example of."""

_PROTOCOLS = {
    "tokenizer": "Tokenizer",
    "embedder": "Embedder",
    "encoder": "PositionalEncoder",
    "scorer": "Scorer",
    "loader": "Loader",
}
_ARTICLES = {
    "tokenizer": "A tokenizer",
    "embedder": "A static embedder",
    "encoder": "A positional encoder",
    "scorer": "A scorer",
    "loader": "A loader of files",
}
_SUMMARIES = {
    "tokenizer": "It cuts texts at white space.",
    "embedder": "Words that are spelt alike have rows that are alike, so misspelt words are found.",
    "encoder": "It mixes each token with the one before it, so that word order counts.",
    "scorer": "It counts only what resembles the query enough.",
    "loader": "It reads subtitles: files of the suffix `.srt`.",
}


def package_files(name: str, kind: str) -> dict[str, str]:
    """Return the files of a new package: path below its folder, and text.

    Args:
        name: of the package; see ``names.check_name``, which isn't called here.
        kind: one of ``KINDS``.

    Raises:
        UsageError: there is no such kind.

    Example:
        >>> sorted(package_files("acme_words", "tokenizer"))[:3]
        ['README.md', 'acme_words/__init__.py', 'acme_words/plugin.py']
    """
    if kind not in KINDS:
        raise UsageError(f"no example of a {kind!r} is there; kinds: {', '.join(KINDS)}", kind=kind)
    names = Names.of(name, kind)
    words = {
        f"Example{kind.capitalize()}": names.cls,
        "ExampleClass": names.cls,
        "ExampleProtocol": _PROTOCOLS[kind],
        "example_plugin": names.package,
        "example-plugin": names.distribution,
        "example_kind": kind,
        "example_article": _ARTICLES[kind],
        "example_summary": _SUMMARIES[kind],
        "example_requirement": requirement(__version__),
    }
    use = _filled(_template(f"use_{kind}.md").rstrip("\n"), words)
    package = names.package
    return {
        "README.md": _filled(_template("README.md"), {**words, "example_use": use}),
        "pyproject.toml": _filled(_template("pyproject.toml"), words),
        f"{package}/__init__.py": f'"""{_ARTICLES[kind]} for vecsearch."""\n',
        f"{package}/plugin.py": _filled(_template("plugin.py"), words),
        f"{package}/py.typed": "",
        f"{package}/{kind}.py": _filled(_example(kind), words),
        "tests/test_conformance.py": _filled(_template(f"test_conformance_{kind}.py"), words),
        f"tests/test_{kind}.py": _filled(_template(f"test_{kind}.py"), words),
    }


def write_package(name: str, kind: str, into: Path, registry: Registry | None = None) -> list[Path]:
    """Write the package of a new plugin into a folder of its name: all files, or none.

    Args:
        name: of the package, of its folder, and of the plugin.
        kind: one of ``KINDS``.
        into: the folder that gets the new one; it must be there.
        registry: of the installed plugins; by default a new one.

    Returns:
        The files, in order of their paths.

    Raises:
        UsageError: the name is refused (``names.check_name``), there is no such kind, ``into`` is no folder, or
            something of that name stands in it.
        OSError: the file system refused; ``filename`` is the new folder, of which nothing is left.
    """
    files = package_files(name, kind)
    check_name(name, kind, registry)
    folder = into / name
    if not into.is_dir():
        raise UsageError(f"there is no folder {str(into)!r} to put {name!r} into; make it first", path=str(into))
    if os.path.lexists(folder):
        raise UsageError(
            f"{str(folder)!r} is there already, and nothing in it is touched; choose another name, or another folder "
            "with --into",
            path=str(folder),
        )
    # invariant: the new folder appears under its name with all its files, by one rename
    unfinished = into / f".{name}.{secrets.token_hex(4)}"
    try:
        for path, text in files.items():
            (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / path).write_text(text, "utf-8", newline="\n")
        unfinished.rename(folder)
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(folder)) from error
        raise
    return [folder / path for path in sorted(files)]


def requirement(version: str) -> str:
    """Return which versions of vecsearch a plugin asks for that is written with one of them.

    What works without a warning works with the next minor version too (docs/plugins.md, "Stability").

    Example:
        >>> requirement("0.1.0"), requirement("0.3.2"), requirement("1.4.0")
        ('vecsearch>=0.1,<0.3', 'vecsearch>=0.3,<0.5', 'vecsearch>=1.4,<2')
    """
    major, minor = (int(part) for part in version.split(".")[:2])
    return f"vecsearch>={major}.{minor},<" + (f"0.{minor + 2}" if major == 0 else f"{major + 1}")


def _template(name: str) -> str:
    return (resources.files("vecsearch.scaffolding") / "templates" / f"{name}.template").read_text("utf-8")


def _example(kind: str) -> str:
    text = (resources.files("vecsearch.scaffolding") / "examples" / f"{kind}.py").read_text("utf-8")
    # Here vecsearch is the project itself, whose imports stand apart; there it is one package among others.
    return re.sub(r"^(import numpy.*\n)\n(?=from vecsearch import)", r"\1", text, flags=re.MULTILINE)


def _filled(text: str, words: Mapping[str, str]) -> str:
    longest_first = sorted(words, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: words[found[0]], text)
