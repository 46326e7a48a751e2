"""Puts the tokens of a batch together, block by block, for tokenizers with an open vocabulary.

The texts of a batch are read as one stream, each after a line feed. A block is a piece of that stream that begins
with white space and is small enough for the processor's cache; because no token holds or looks across white space,
where blocks begin changes nothing. A tokenizer only says where the tokens of one block are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vecsearch import Tokens

if TYPE_CHECKING:
    import numpy.typing as npt

    Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint32]
    Places = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

__all__ = ["Found", "fold", "tokens_by_block"]

BLOCK = 1 << 17
"""Characters a block, about; 64 K to 256 K measure alike, beyond that the arrays fall out of the cache."""

MARGIN = "\n\n"
"""Stands after every block, so that a finder may look two characters ahead."""


_SURROGATES = re.compile("[\ud800-\udfff]")


class Found(NamedTuple):
    """The tokens of one block.

    Attributes:
        starts, ends: int64 ``(n_tokens,)``, characters of the block, ascending, never overlapping.
        kept: bool, one a character of the block: False leaves a character of a token out of its entry.
            None keeps all.
    """

    starts: Places
    ends: Places
    kept: Mask | None = None


def fold(text: str) -> str:
    """Fold letter case and compose what has a composed form; lone surrogates become U+FFFD.

    Composing comes first as well: folding takes marks apart in the order in which they stand.

    Example:
        >>> fold("STRASSE") == fold("Straße"), fold("Cafe\\u0301") == "caf\\u00e9"
        (True, True)
    """
    if text.isascii():
        return text.lower()
    text = _SURROGATES.sub("\ufffd", text)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def tokens_by_block(texts: Sequence[str], find: Callable[[str, Codes], Found]) -> Tokens:
    """Tokenize a batch: find the tokens of each block, fold their entries, count spans from each text's beginning.

    Args:
        texts: any strings.
        find: gets a block and its code points (uint8 where all are ASCII, else uint32) and returns its tokens.
            It must treat white space as no token and must not look across it. Every block begins with white space
            and ends with ``MARGIN``.

    Returns:
        Tokens with folded entries (see ``fold``); equal entries are one string object, so that the entries of a
        large document cost 8 bytes each.
    """
    # Place of each text's line feed in the stream, and of the end.
    places = np.fromiter(accumulate((len(text) + 1 for text in texts), initial=0), np.int64, len(texts) + 1)
    starts: list[Places] = [np.zeros(0, np.int64)]
    ends: list[Places] = [np.zeros(0, np.int64)]
    entries: list[str] = []
    known: dict[str, str] = {}
    for block, place in _blocks(texts):
        codes = _codes(block)
        found = find(block, codes)
        starts.append(found.starts + place)
        ends.append(found.ends + place)
        folded = _entries(codes, found)
        entries.extend(map(known.setdefault, folded, folded))
    all_starts, all_ends = np.concatenate(starts), np.concatenate(ends)
    offsets = np.searchsorted(all_starts, places).astype(np.int64)
    first = np.repeat(places[:-1] + 1, np.diff(offsets))
    spans = np.empty((len(all_starts), 2), np.int32)
    spans[:, 0] = all_starts - first
    spans[:, 1] = all_ends - first
    return Tokens(offsets=offsets, spans=spans, entries=entries)


def _blocks(texts: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield every block with its place in the stream."""
    waiting: list[str] = []
    place = n_waiting = 0
    for text in texts:
        line = "\n" + text
        at = 0
        while len(line) - at > BLOCK:
            cut = _white_space(line, at)
            if cut is None:
                break
            waiting.append(line[at:cut])
            n_waiting += cut - at
            at = cut
            yield "".join(waiting) + MARGIN, place
            place += n_waiting
            waiting, n_waiting = [], 0
        waiting.append(line[at:])
        n_waiting += len(line) - at
        if n_waiting >= BLOCK:
            yield "".join(waiting) + MARGIN, place
            place += n_waiting
            waiting, n_waiting = [], 0
    if waiting:
        yield "".join(waiting) + MARGIN, place


def _white_space(line: str, at: int) -> int | None:
    """Return where to cut a long text: the last blank or line feed before ``at + BLOCK``, else the first behind."""
    last = max(line.rfind(" ", at + 1, at + BLOCK), line.rfind("\n", at + 1, at + BLOCK))
    if last > at:
        return last
    behind = [cut for cut in (line.find(" ", at + BLOCK), line.find("\n", at + BLOCK)) if cut > 0]
    return min(behind, default=None)


def _codes(block: str) -> Codes:
    if block.isascii():
        return np.frombuffer(block.encode("ascii"), np.uint8)
    return np.frombuffer(block.encode("utf-32-le", "surrogatepass"), np.uint32)


def _entries(codes: Codes, found: Found) -> list[str]:
    """Return the folded entries: all tokens are folded as one string with a line feed between them, then split.

    No token holds a line feed, folding makes none, and nothing composes across one.
    """
    n_tokens = len(found.starts)
    if n_tokens == 0:
        return []
    edges = np.zeros(len(codes), np.int8)
    edges[found.starts] = 1
    token = np.cumsum(edges, dtype=np.int32)
    edges[found.ends] -= 1
    inside = np.cumsum(edges, dtype=np.int8).view(np.bool_)
    if found.kept is not None:
        inside &= found.kept
    characters = np.flatnonzero(inside)
    joined = np.full(len(characters) + n_tokens - 1, ord("\n"), codes.dtype)
    joined[np.arange(-1, len(characters) - 1) + token[characters]] = codes[characters]
    if joined.dtype == np.uint8:
        return joined.tobytes().decode("ascii").lower().split("\n")
    return fold(joined.tobytes().decode("utf-32-le", "surrogatepass")).split("\n")
