"""Shortens a passage to the few lines that answer the query best, and marks the words that do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vecsearch.types import Match

__all__ = ["Line", "best_line", "excerpt", "line_number", "merged", "near_matches"]

_LINE_END = re.compile(r"\r\n?|\n")


@dataclass(frozen=True)
class Line:
    """One line of an excerpt.

    Attributes:
        start, end: characters of the passage.
        marked: stretches of the passage within the line, ascending, to be highlighted.
        leads, trails: whether text of the passage was left out before and after it.
    """

    start: int
    end: int
    marked: tuple[tuple[int, int], ...] = ()
    leads: bool = False
    trails: bool = False

    def pieces(self, text: str) -> Iterator[tuple[str, bool]]:
        """Yield the line of a passage in pieces, each with whether it is marked."""
        for piece, is_marked, _ in self.placed_pieces(text):
            yield piece, is_marked

    def placed_pieces(self, text: str) -> Iterator[tuple[str, bool, int]]:
        """Yield the same, each with its first character in the passage."""
        at = self.start
        for start, end in self.marked:
            if at < start:
                yield text[at:start], False, at
            yield text[start:end], True, start
            at = end
        if at < self.end:
            yield text[at : self.end], False, at


def near_matches(matches: Iterable[Match], threshold: float) -> list[Match]:
    """Return the matches whose similarity is the threshold or more."""
    return [match for match in matches if match.similarity >= threshold and match.start < match.end]


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in ascending order, those that overlap or touch made one.

    Example:
        >>> merged([(4, 7), (0, 2), (6, 9), (9, 10)])
        [(0, 2), (4, 10)]
    """
    result: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def line_number(text: str, offset: int) -> int:
    r"""Return on which line of a text, from 0, a character stands; ``\n``, ``\r\n`` and a lone ``\r`` end a line.

    Example:
        >>> line_number("a\r\nb\nc", 5)
        2
    """
    return sum(1 for end in _LINE_END.finditer(text) if end.end() <= offset)


def excerpt(text: str, matches: Sequence[Match], *, columns: int, n_lines: int | None) -> list[Line]:
    """Return the lines of a passage that answer the most words of the query.

    Long lines are broken at white space (inside a word only where the word alone is longer than ``columns``).

    Args:
        text: the passage.
        matches: what to mark; may overlap.
        columns: longest line, in characters.
        n_lines: how many lines at most; None for all.

    Returns:
        Consecutive lines, none blank at either end: the middle one of the windows with the largest sum of each query
        word's best similarity, the first lines where nothing matches. Empty only where the text is blank.
    """
    lines = list(_display_lines(text, columns))
    while lines and not text[slice(*lines[-1])].strip():
        lines.pop()
    while lines and not text[slice(*lines[0])].strip():
        lines.pop(0)
    if not lines:
        return []
    first, last = _best_window(text, lines, matches, len(lines) if n_lines is None else n_lines)
    spans = merged((match.start, match.end) for match in matches)
    shown = []
    for number in range(first, last):
        start, end = lines[number]
        marked = tuple((max(a, start), min(b, end)) for a, b in spans if a < end and start < b)
        leads = number == first and first > 0
        trails = number == last - 1 and last < len(lines)
        shown.append(Line(start, end, marked, leads, trails))
    return shown


def best_line(lines: Sequence[Line], matches: Sequence[Match]) -> Line:
    """Return the line of an excerpt that answers the query best, the first of several."""
    return max(lines, key=lambda line: _gain(matches, line.start, line.end))


def _gain(matches: Sequence[Match], start: int, end: int) -> float:
    """Sum up how well a stretch of the passage answers each word of the query, however often it does."""
    answered: dict[tuple[int, int], float] = {}
    for match in matches:
        if start <= match.start < end:
            word = (match.query_start, match.query_end)
            answered[word] = max(match.similarity, answered.get(word, 0.0))
    return sum(answered.values())


def _display_lines(text: str, columns: int) -> Iterator[tuple[int, int]]:
    at = 0
    for found in _LINE_END.finditer(text):
        yield from _wrapped(text, at, found.start(), columns)
        at = found.end()
    yield from _wrapped(text, at, len(text), columns)


def _wrapped(text: str, start: int, end: int, columns: int) -> Iterator[tuple[int, int]]:
    while end - start > columns:
        stop = start + columns
        indented = len(text[start:stop]) - len(text[start:stop].lstrip())
        # the last space that leaves the line short enough, but none of the indentation
        space = max(text.rfind(" ", start + indented, stop + 1), text.rfind("\t", start + indented, stop + 1))
        if space > start + indented:
            yield start, space
            start = space + 1
            continue
        stop = _after_grapheme(text, start, stop, end)
        yield start, stop
        start = stop
    yield start, end


def _after_grapheme(text: str, start: int, stop: int, end: int) -> int:
    """Return the first place from ``stop`` on at which a grapheme ends: a letter with its marks, a flag, a family."""
    import regex  # late: only a run without white space that is longer than a line is cut

    graphemes = regex.finditer(r"\X", text, pos=start, endpos=end)
    return next((found.end() for found in graphemes if found.end() >= stop), end)


def _best_window(text: str, lines: list[tuple[int, int]], matches: Sequence[Match], n_lines: int) -> tuple[int, int]:
    starts = range(max(1, len(lines) - n_lines + 1))
    gains = [_gain(matches, lines[first][0], lines[min(first + n_lines, len(lines)) - 1][1]) for first in starts]
    most = max(gains)
    best = [first for first, found in enumerate(gains) if found >= most - 1e-6]
    # of several windows that answer as much the middle one, which shows what stands around the matches
    first = best[len(best) // 2] if most > 0 else 0
    last = min(first + n_lines, len(lines))
    while first < last - 1 and not text[slice(*lines[first])].strip():
        first += 1
    while last - 1 > first and not text[slice(*lines[last - 1])].strip():
        last -= 1
    return first, last
