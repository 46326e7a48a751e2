r"""Cuts a document's text into passages.

The cuts follow what the author built. Strongest first: a section start (the loader gives them), a blank line, the end
of a sentence, the end of a line, white space, a grapheme boundary between two tokens. Between sections a passage is
filled as far as it makes sense: it ends at the strongest cut, and among equals the last one, in the second half of
what is allowed. The loop runs once a passage and looks at the text of that passage only, so that time is linear in
the text and memory is bounded by the result.

It does not know languages: sentence ends are found by their marks alone.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import regex

from vecsearch.errors import UsageError

if TYPE_CHECKING:
    from vecsearch.types import Offsets, Spans

__all__ = ["SMALLEST_SECTION", "cut", "line_starts"]

SMALLEST_SECTION = 32
"""Tokens that a section needs to get a passage of its own; a smaller one stays with what follows it."""

# subtle: every quantifier that could give characters back is possessive or bounded, so that text made to be slow
# (a million dots, a million blank lines) still takes linear time, and "\r\n" is never taken for two line ends.
_LINE = re.compile(r"\r\n?+|\n")
_PARAGRAPH = re.compile(r"(?:\r\n?+|\n)(?:[^\S\r\n]*+(?:\r\n?+|\n))++")
_SENTENCE = re.compile(
    r"(?:[!?…]|\.(?<!\b[A-Z]\.)(?<!\b(?:Dr|Mr|Ms|St|Jr|Sr|vs|al|cf|pp)\.)(?<!\b(?:Mrs|Fig|Vol|etc|e\.g|i\.e)\.))"
    # What closes a quotation or a bracket, white space, and then no small letter: "e.g. this" goes on.
    r"""["'”’»)\]]{0,4}\s++(?=[^a-zà-öø-ÿα-ωа-я])"""
    # Written without spaces; the quotation may close after the mark.
    r"|[。！？｡][”’」』）》】]{0,4}\s*+"
)
_SPACE = re.compile(r"\s++")
_BY_STRENGTH = (_PARAGRAPH, _SENTENCE, _LINE, _SPACE)

_TRIES = (
    16  # Places tried a pattern, the last first: where so many fall inside tokens or graphemes, more would as well.
)

_GRAPHEME = regex.compile(r"\X")
_LAST_ASCII = regex.compile(r"(?r)[\x00-\x7f]")


def line_starts(text: str) -> Offsets:
    r"""Return the offset at which each line begins; ``\n``, ``\r\n`` and a lone ``\r`` end a line, as in editors.

    Returns:
        int64 ``(n_lines,)``, ascending, the first is 0. The 1-based line of a character is
        ``np.searchsorted(starts, offset, side="right")``.

    Example:
        >>> line_starts("one\r\ntwo\n").tolist()
        [0, 5, 9]
    """
    ends = np.fromiter((match.end() for match in _LINE.finditer(text)), np.int64)
    return np.concatenate((np.zeros(1, np.int64), ends))


def cut(text: str, spans: Spans, *, max_tokens: int, sections: Sequence[int] = ()) -> Offsets:
    """Return where the passages of a text begin and end.

    A passage begins at every section start, unless its section or what stands before it would be smaller than
    ``SMALLEST_SECTION`` tokens (or an eighth of ``max_tokens``, if that is less): such a piece stays with what follows,
    the last one with what stands before it, as far as the limit allows.

    Args:
        text: the whole text.
        spans: int32 ``(n_tokens, 2)``, start and end of its tokens in characters, starts never decreasing.
        max_tokens: the limit, ≥ 1.
        sections: offsets at which sections begin. Those inside a token or a grapheme are passed over.

    Returns:
        int64 ``(n_passages + 1,)``, strictly ascending from 0 to ``len(text)``; ``[0, len(text)]`` where there are no
        tokens. Token i belongs to passage ``np.searchsorted(offsets[1:-1], spans[i, 0], side="right")``. No cut falls
        inside a token, every passage holds a token and at most ``max_tokens`` of them, with one exception: tokens that
        share characters (the bytes of one emoji) are never parted. A grapheme is parted only where it alone holds
        more than ``max_tokens`` tokens.

    Raises:
        UsageError: ``max_tokens`` < 1.

    Example:
        >>> import numpy as np
        >>> text = "One two. Three four."
        >>> spans = np.array([[0, 3], [4, 7], [7, 8], [9, 14], [15, 19], [19, 20]], np.int32)
        >>> cut(text, spans, max_tokens=4).tolist()
        [0, 9, 20]
    """
    if max_tokens < 1:
        raise UsageError(f"max_tokens is {max_tokens}; a passage needs at least 1 token", max_tokens=max_tokens)
    splitter = _Splitter(text, spans, max_tokens)
    return np.array([0, *splitter.cuts(sections), len(text)], np.int64)


class _Splitter:
    """One text and its tokens. ``first`` is the passage's first token, ``begin`` its first character."""

    def __init__(self, text: str, spans: Spans, max_tokens: int) -> None:
        self.text = text
        self.starts = np.ascontiguousarray(spans[:, 0])
        self.ends = spans[:, 1]
        self.n_tokens = len(spans)
        self.max_tokens = max_tokens
        self.least = max(1, min(SMALLEST_SECTION, max_tokens // 8))

    def cuts(self, sections: Sequence[int]) -> Iterator[int]:
        offsets, tokens = self._usable(sections)
        first = begin = upcoming = 0
        while first < self.n_tokens:
            # The stretch to fill ends where the first section begins that leaves this passage large enough.
            upcoming += int(np.searchsorted(tokens[upcoming:], first + self.least))
            is_section = upcoming < len(tokens)
            stop = int(tokens[upcoming]) if is_section else self.n_tokens
            if stop - first <= self.max_tokens:
                if not is_section:
                    return
                place = int(offsets[upcoming])
                if self._is_allowed(place, first, begin):
                    first, begin = stop, place
                    yield begin
                else:
                    upcoming += 1
                continue
            # What is left of the stretch must be large enough in its turn.
            last = max(first + 1, min(first + self.max_tokens, stop - self.least))
            begin = self._best(first, begin, last)
            if begin >= len(self.text):
                return
            first = self._n_before(begin)
            yield begin

    def _usable(self, sections: Sequence[int]) -> tuple[Offsets, Offsets]:
        offsets = np.unique(np.asarray(sections, np.int64))
        offsets = offsets[(offsets > 0) & (offsets < len(self.text))]
        tokens = np.searchsorted(self.starts, offsets)
        kept = self.n_tokens - tokens >= self.least
        return offsets[kept], tokens[kept].astype(np.int64)

    def _best(self, first: int, begin: int, last: int) -> int:
        """Return the best place at which a passage ends that must hold at most ``last - first`` tokens."""
        middle = first + max(1, self.max_tokens // 2)
        for earliest, latest in ((middle, last), (first + 1, min(middle - 1, last))):
            if earliest > latest:
                continue
            for pattern in _BY_STRENGTH:
                place = self._last_match(pattern, first, begin, earliest, latest)
                if place is not None:
                    return place
        return self._between_tokens(first, begin, last)

    def _last_match(self, pattern: re.Pattern[str], first: int, begin: int, earliest: int, latest: int) -> int | None:
        """Return the last allowed place after a match that leaves ``earliest`` to ``latest`` tokens before it."""
        lower = int(self.starts[earliest - 1])
        upper = int(self.starts[latest])
        # One character more than a cut may reach, for the patterns that look at what comes next.
        matches = pattern.finditer(self.text, lower, min(upper + 1, len(self.text)))
        for place in reversed(deque((match.end() for match in matches), maxlen=_TRIES)):
            if lower < place <= upper and place < len(self.text) and self._is_allowed(place, first, begin):
                return place
        return None

    def _n_before(self, place: int) -> int:
        """Return how many tokens begin before a place."""
        # subtle: a plain int would be an int64 and make numpy copy all int32 starts, once a call.
        return int(self.starts.searchsorted(self.starts.dtype.type(place)))

    def _is_allowed(self, place: int, first: int, begin: int) -> bool:
        if place <= begin:
            return False
        before = self._n_before(place)
        if before <= first or self.ends[first:before].max() > place:
            return False
        return self._is_between_graphemes(place, begin)

    def _is_between_graphemes(self, place: int, begin: int) -> bool:
        left, right = self.text[place - 1], self.text[place]
        if left.isascii() and right.isascii():
            return not (left == "\r" and right == "\n")
        # Graphemes are told apart from any grapheme boundary on; after an ASCII character the rest is sure.
        safe = _LAST_ASCII.search(self.text, begin, place)
        return place in _graphemes(self.text, safe.start() if safe else begin, place + 1)

    def _between_tokens(self, first: int, begin: int, last: int) -> int:
        """Return a token boundary: the last between graphemes, else the last, else the first after the limit."""
        window = slice(first + 1, last + 1)
        reached = np.maximum.accumulate(self.ends[first:last])
        places = self.starts[window]
        places = places[(reached <= places) & (places > begin) & (places < len(self.text))]
        if len(places):
            top = int(places[-1])
            if self._is_between_graphemes(top, begin):
                return top
            sure = _graphemes(self.text, begin, min(top + 1, len(self.text)))
            between = places[np.isin(places, np.fromiter(sure, np.int64, len(sure)))]
            return int(between[-1] if len(between) else top)
        # Tokens that share characters reach past the limit: look ahead, twice as far each time.
        ahead = self.max_tokens
        while True:
            ahead *= 2
            reached = np.maximum.accumulate(self.ends[first : first + ahead])
            later = self.starts[first + 1 : first + ahead + 1]
            at = np.flatnonzero((reached[: len(later)] <= later) & (later > begin))
            if len(at):
                return int(later[at[0]])
            if first + ahead >= self.n_tokens:
                return len(self.text)


def _graphemes(text: str, start: int, stop: int) -> set[int]:
    """Return the grapheme boundaries after ``start`` and before ``stop``, ``start`` being one itself."""
    return {match.end() for match in _GRAPHEME.finditer(text, start, stop)} - {stop}
