"""``vecsearch similar`` and ``analogy``: what the rows of an embedding matrix know, without any text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from vecsearch.cli.indexes import open_index
from vecsearch.cli.options import index_option, json_option, model_option
from vecsearch.cli.output import columns, one_line, write, write_json
from vecsearch.cli.settings import Settings, pass_settings
from vecsearch.errors import QueryError, UsageError

if TYPE_CHECKING:
    from vecsearch.protocols import StaticEmbedder
    from vecsearch.types import Bools, Floats

__all__ = ["analogy_command", "similar_command"]

_BLOCK = 4096
"""Rows compared at a time."""
_SPECIAL = re.compile(r"<.*>|\[[A-Z]+\]")
"""Entries that stand for no text of their own: <unk>, <0x0A>, [PAD]."""


@dataclass(frozen=True)
class Words:
    """Words to choose from, and the embedder that gives them rows. ``starts_word``: see ``types.Vocabulary``."""

    embedder: StaticEmbedder
    entries: Sequence[str]
    starts_word: Bools


@click.command(
    "similar",
    epilog="""Examples:

\b
  vecsearch similar king
  vecsearch similar commit -i notes -k 20
  vecsearch similar mutex --model ./model""",
)
@click.argument("word")
@index_option
@model_option("that of -i, else wordllama")
@click.option("-k", type=click.IntRange(min=1), default=10, metavar="N", help="How many words at most.")
@json_option("one object a word and line; rank, word, similarity")
@pass_settings
def similar_command(
    settings: Settings, word: str, name: str | None, embedder: str | None, k: int, is_json: bool
) -> None:
    """Show the words nearest to a word.

    Nearest by the cosine of their rows in the embedding matrix, from -1 to 1; among the entries of the embedder's own
    vocabulary or, with -i, among the words of an index. The word itself and its spellings in other case are left out.
    """
    words = _words(settings, name, embedder)
    (row,) = _rows_of(words.embedder, [word])
    _write_nearest(words, row, {word}, k, is_json)


@click.command(
    "analogy",
    epilog="""Examples:

\b
  vecsearch analogy prince princess lion
  vecsearch analogy paris france berlin --json""",
)
@click.argument("a")
@click.argument("b")
@click.argument("c")
@index_option
@model_option("that of -i, else wordllama")
@click.option("-k", type=click.IntRange(min=1), default=10, metavar="N", help="How many words at most.")
@json_option("one object a word and line; rank, word, similarity")
@pass_settings
def analogy_command(
    settings: Settings, a: str, b: str, c: str, name: str | None, embedder: str | None, k: int, is_json: bool
) -> None:
    """Answer "A is to B as C is to ...".

    Shows the words whose rows E(word) are nearest to E(B) - E(A) + E(C) by cosine; A, B and C themselves are left out.
    """
    words = _words(settings, name, embedder)
    first, second, third = _rows_of(words.embedder, [a, b, c])
    click.echo(one_line(f"E({b}) − E({a}) + E({c})"), err=True)
    _write_nearest(words, second - first + third, {a, b, c}, k, is_json)


def _words(settings: Settings, name: str | None, embedder: str | None) -> Words:
    from vecsearch.protocols import StaticEmbedder

    if name is not None:
        if embedder:
            raise click.UsageError("-i already says which embedder; leave --model out")
        return _words_of_index(settings, name)
    from vecsearch.pipeline import parse_spec
    from vecsearch.plugins import Registry

    found = Registry().create("embedder", *parse_spec(embedder or "wordllama"))
    if not isinstance(found, StaticEmbedder):
        raise UsageError(f"embedder {found.name!r} has no matrix: its vectors depend on the text around a word")
    vocabulary = found.vocabulary()
    return Words(found, vocabulary.entries, vocabulary.starts_word)


def _words_of_index(settings: Settings, name: str) -> Words:
    import numpy as np

    from vecsearch.protocols import StaticEmbedder

    with open_index(settings, name) as index:
        embedder = index.pipeline.embedder
        if not isinstance(embedder, StaticEmbedder):
            raise UsageError(f"index {name!r} has no matrix of words: its vectors are given, or depend on their text")
        closed = index.pipeline.closed_vocabulary
        if closed is not None:
            return Words(embedder, closed.entries, closed.starts_word)
        entries = [word for _, word, _ in index.words()]
    return Words(embedder, entries, np.ones(len(entries), bool))


def _rows_of(embedder: StaticEmbedder, words: Sequence[str]) -> Floats:
    import numpy as np

    rows = embedder.rows(words, np.ones(len(words), bool))
    for word, row in zip(words, rows, strict=True):
        if not np.any(row):
            raise QueryError(f"embedder {embedder.name!r} knows nothing of {word!r}", word=word)
    return rows


def _write_nearest(words: Words, row: Floats, excluded: set[str], k: int, is_json: bool) -> None:
    nearest = []
    for found in _nearest(words, row, {word.casefold() for word in excluded}):
        nearest.append(found)
        if len(nearest) == k:
            break
    if is_json:
        for rank, (word, similarity) in enumerate(nearest, 1):
            write_json({"rank": rank, "word": word, "similarity": round(similarity, 6)})
    else:
        rows = [(f"{similarity:.3f}", word) for word, similarity in nearest]
        write("".join(line + "\n" for line in columns(rows, right="rl")))


def _nearest(words: Words, row: Floats, seen: set[str]) -> Iterator[tuple[str, float]]:
    """Yield words with similarities, nearest first, ties in vocabulary order; one spelling each, none of ``seen``."""
    import numpy as np

    unit = row / max(float(np.linalg.norm(row)), 1e-12)
    similarities = np.empty(len(words.entries), np.float64)
    for first in range(0, len(words.entries), _BLOCK):
        block = slice(first, first + _BLOCK)
        rows = words.embedder.rows(words.entries[block], words.starts_word[block])
        norms = np.linalg.norm(rows, axis=1)
        similarities[block] = np.where(norms > 0, rows @ unit / np.where(norms > 0, norms, 1), -np.inf)
    # a piece that continues a word is not one itself
    similarities[~words.starts_word] = -np.inf
    for number in np.argsort(-similarities, kind="stable").tolist():
        if similarities[number] == -np.inf:
            return
        word = words.entries[number]
        folded = word.casefold()
        if folded not in seen and any(map(str.isalnum, word)) and not _SPECIAL.fullmatch(word):
            seen.add(folded)
            yield word, float(similarities[number])
