"""Whole words: the default tokenizer.

A token is a word, a number, a run of one punctuation mark, a symbol, or a grapheme cluster of a script that is
written without spaces. ``docs/decisions.md`` has the measurements behind the rules below.

    HTTPServer parseHTML URLs     http server parse html urls         identifiers are cut where the case changes
    snake_case well-known a.b     snake case well known a b           what joins two words is no token
    don't  dog's  l'été           don t  dog s  l été                 … and so with apostrophes
    __init__                      init                                … nor are underscores at a word's edge
    utf8 x86 h2o sha256           utf8 x86 h2o sha256                 letters and digits stay together,
    3.14 v1.2.3 python3.11        3.14  v 1.2.3  python 3.11          but a number with dots stands alone
    --force  =======  C++         -- force  ===  c ++                 a run of one mark is one token, its entry
                                                                      the first three of them
    日本語 สวัสดี                    日 本 語 ส วั ส ดี
    👩‍🚀🇫🇷                          👩‍🚀 🇫🇷

White space and control characters are no tokens. Combining marks stay with their base, at most 30 in a row (the
limit of the Stream-Safe Text Format, UAX #15 §13; more are dropped). Invisible formatting (soft hyphen, direction
marks, word joiner) stays in the span and out of the entry. A run of letters and digits longer than 64 is hardly a
word (base64, hashes): it is not cut at case changes but into pieces of 64, so that no entry is huge.

No rule looks across white space: a text may be cut there and its parts tokenized alone, with the same tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import regex

from vecsearch import Tokens
from vecsearch_tokenizers.blocks import Found, tokens_by_block

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch import Vocabulary
    from vecsearch_tokenizers.blocks import Codes, Mask, Places

    Classes = npt.NDArray[np.uint8]

__all__ = ["WordTokenizer"]

LONGEST = 64
"""Characters (without marks) of the longest word."""

MOST_MARKS = 30
"""Combining marks in a row that stay with their base."""

RUN = 3
"""Characters of a run of one punctuation mark that its entry shows: ``==`` and ``===`` differ, rulers are alike."""

# Classes of code points. Order matters: words are LOWER to DIGIT, what attaches to a base is MARK and above.
BREAK, LOWER, UPPER, DIGIT, CLUSTER, UNDERSCORE, LINK, OTHER, MARK, JOINER, IGNORED = range(11)

_IGNORED = r"\u00AD\u061C\u180E\u200E\u200F\u2060\uFEFF"
_CLASSES = (  # a later class takes precedence over an earlier one; what is in none is OTHER
    (LOWER, r"\p{L}"),
    (UPPER, r"\p{Lu}\p{Lt}"),
    (DIGIT, r"\p{N}"),
    (UNDERSCORE, r"\p{Pc}"),
    (LINK, r"\-.'\u2010\u2011\u2019\uFF07"),
    (
        CLUSTER,
        r"[\p{L}\p{Nl}]&&[\p{Ideographic}\p{lb=SA}"
        r"\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{scx=Yiii}\p{scx=Java}\p{scx=Bali}]",
    ),
    (CLUSTER, r"\p{Extended_Pictographic}\p{Regional_Indicator}"),
    (BREAK, r"\s\p{Z}\p{Cc}[\p{Cf}--\p{GCB=Prepend}]"),
    (MARK, r"\p{M}\p{Emoji_Modifier}"),
    (JOINER, r"\p{Cf}&&[\p{GCB=Extend}\p{GCB=ZWJ}]"),
    (IGNORED, _IGNORED),
)
_PAGE = 256


class WordTokenizer:
    """Split text into case-folded words, numbers, runs of punctuation, and graphemes where no spaces are written.

    Entries are case-folded and composed (NFC); spans point into the text as it was given.

    Args:
        punctuation: make tokens of punctuation marks and symbols. Without them a third fewer tokens are stored, and
            ``C++`` is found as ``c``. Emoji are tokens either way.

    Example:
        >>> tokens = WordTokenizer().tokenize(["Don't call parseHTML()"])
        >>> list(tokens.entries)
        ['don', 't', 'call', 'parse', 'html', '(', ')']
        >>> tokens.spans[4].tolist()
        [16, 20]
    """

    name: ClassVar[str] = "word"
    version: ClassVar[str] = "1"

    def __init__(self, *, punctuation: bool = True) -> None:
        if not isinstance(punctuation, bool):
            raise TypeError(f"punctuation must be true or false, not {punctuation!r}")
        self.punctuation = punctuation

    @property
    def config(self) -> Mapping[str, Any]:
        """Return ``punctuation``."""
        return {"punctuation": self.punctuation}

    @property
    def files(self) -> Mapping[str, str]:
        """Return nothing: no file is read."""
        return {}

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Split texts into words, each text on its own.

        Args:
            texts: any strings.

        Returns:
            Tokens with entries, one a token, never empty.
        """
        return tokens_by_block(texts, partial(_find, punctuation=self.punctuation))

    def vocabulary(self) -> Vocabulary | None:
        """Return None: the vocabulary is open."""
        return None


def _find(block: str, codes: Codes, *, punctuation: bool) -> Found:
    classes = _classify(codes)
    kept: Mask | None = None
    places: Places | None = None
    begins: Mask | None = None
    if not block.isascii():
        shown = classes != IGNORED
        kept = None if shown.all() else shown
        begins = _clusters(codes, classes) if (classes == CLUSTER).any() else None
        classes, places = _without_attached(classes)
        if places is not None:
            codes = codes[places[:-1]]
    dots = np.flatnonzero((codes[1:-1] == ord(".")) & (classes[:-2] == DIGIT) & (classes[2:] == DIGIT)) + 1
    classes[dots] = DIGIT

    starts = _runs(codes, classes, places)
    if begins is not None:
        _start_clusters(starts, classes, places, begins)
    if len(dots):
        _start_numbers(starts, classes, dots)
    # The margin behind the block ends the last token.
    edges = np.flatnonzero(starts | (classes == BREAK))
    begin = np.flatnonzero(starts[edges])
    first, end = edges[begin], edges[begin + 1]

    if punctuation:
        first, end = _without_links(first, end, classes)
    else:
        stay = classes[first] <= CLUSTER
        first, end = first[stay], end[stay]
    first, end = _cut_cases(first, end, codes, classes)
    first, end = _cut_long(first, end, classes)

    rulers = np.flatnonzero((end - first > RUN) & (classes[first] > CLUSTER))
    if len(rulers):
        kept = np.ones(len(block), np.bool_) if kept is None else kept
        change = np.zeros(len(block) + 1, np.int8)
        change[_placed(first[rulers] + RUN, places)] = 1
        change[_placed(end[rulers], places)] = -1
        kept &= np.cumsum(change[:-1], dtype=np.int8) == 0
    return Found(_placed(first, places), _placed(end, places), kept)


def _placed(indices: Places, places: Places | None) -> Places:
    """Return where bases stand in the block; what attaches to a base lies before the next one's place."""
    return indices if places is None else places[indices]


def _without_attached(classes: Classes) -> tuple[Classes, Places | None]:
    """Leave out what attaches to a base, so that the rules see bases only.

    Returns:
        The classes of the bases, and int64 ``(n_bases + 1,)``: their places in the block and its length;
        or the classes as they were and None where nothing attaches.
    """
    attached = classes >= MARK
    if not attached.any():
        return classes, None
    index = np.arange(len(classes))
    base = np.maximum.accumulate(np.where(attached, 0, index))
    loose = attached & (classes[base] == BREAK)
    classes = np.where(loose, np.where(classes == MARK, OTHER, BREAK), classes).astype(np.uint8)
    classes[attached & (index - base > MOST_MARKS)] = BREAK
    places = np.flatnonzero(classes < MARK)
    return classes[places], np.append(places, len(classes))


def _runs(codes: Codes, classes: Classes, places: Places | None) -> Mask:
    """Mark where runs of word characters and runs of one and the same other character begin."""
    is_word = (classes - 1) < DIGIT  # subtle: unsigned, so BREAK wraps around to 255
    starts = np.zeros(len(codes), np.bool_)
    starts[1:] = (is_word[1:] > is_word[:-1]) | ((classes[1:] > DIGIT) & (codes[1:] != codes[:-1]))
    if places is not None:
        starts[1:] |= (classes[1:] > DIGIT) & (np.diff(places[:-1]) > 1)
    return starts


def _clusters(codes: Codes, classes: Classes) -> Mask:
    """Mark the characters of a block at which a grapheme cluster of an unspaced script or an emoji begins.

    The pattern sees only what can belong to one, a line feed standing for each stretch of other text: scanning all
    of a block for one emoji would take as long as everything else together.
    """
    candidate = (classes == CLUSTER) | (classes >= MARK)
    candidate[-1] = False
    seen = candidate.copy()
    seen[1:] |= candidate[:-1]
    places = np.flatnonzero(seen)
    shown = np.where(candidate, codes, ord("\n"))[places].astype(np.uint32)
    found = _cluster_pattern().finditer(shown.tobytes().decode("utf-32-le", "surrogatepass"))
    begins = np.zeros(len(codes), np.bool_)
    begins[places[np.fromiter(map(regex.Match.start, found), np.int64)]] = True
    return begins


def _start_clusters(starts: Mask, classes: Classes, places: Places | None, begins: Mask) -> None:
    """Start tokens where grapheme clusters begin, and nowhere else among them."""
    if places is not None:
        begins = begins[places[:-1]]
    is_cluster = classes == CLUSTER
    begins[1:] |= ~is_cluster[:-1]
    starts[is_cluster] = begins[is_cluster]


def _start_numbers(starts: Mask, classes: Classes, dots: Places) -> None:
    """Set a number with dots apart from letters that touch it: ``v1.2.3``, ``1.5GB``."""
    is_digit = classes == DIGIT
    edges = np.flatnonzero(is_digit[1:] != is_digit[:-1]) + 1
    behind = np.searchsorted(edges, dots, "right")
    starts[edges[behind - 1]] = True
    after = edges[behind]
    starts[after[(classes[after] == LOWER) | (classes[after] == UPPER)]] = True


def _without_links(first: Places, end: Places, classes: Classes) -> tuple[Places, Places]:
    """Leave out what joins words: one hyphen, dot or apostrophe between two, underscores at either side of one."""
    kinds = classes[first]
    if not ((kinds == UNDERSCORE) | (kinds == LINK)).any():
        return first, end
    is_word = np.zeros(len(first) + 2, np.bool_)
    is_word[1:-1] = kinds <= DIGIT
    touches = np.zeros(len(first) + 1, np.bool_)
    touches[1:-1] = end[:-1] == first[1:]
    before, after = is_word[:-2] & touches[:-1], is_word[2:] & touches[1:]
    link = (kinds == LINK) & (end - first == 1) & before & after
    stay = ~(link | ((kinds == UNDERSCORE) & (before | after)))
    return first[stay], end[stay]


def _cut_cases(first: Places, end: Places, codes: Codes, classes: Classes) -> tuple[Places, Places]:
    """Cut words where the case changes: ``parse|HTML``, ``HTTP|Server``, ``utf8|Decode``, but ``URLs``."""
    upper = np.flatnonzero(classes == UPPER)
    if len(upper) == 0:
        return first, end
    before, after = classes[upper - 1], classes[upper + 1]
    is_plural = (before == UPPER) & (codes[upper + 1] == ord("s")) & (classes[upper + 2] != LOWER)
    is_capital = ((before == UPPER) | (before == DIGIT)) & (after == LOWER) & ~is_plural
    cuts = upper[(before == LOWER) | is_capital]
    token = np.searchsorted(first, cuts, "right") - 1
    # Nothing to cut where a word begins anyway (1.5|GB), nor in what is too long for a word.
    cuts = cuts[(first[token] < cuts) & (end[token] - first[token] <= LONGEST)]
    return _cut(first, end, cuts)


def _cut_long(first: Places, end: Places, classes: Classes) -> tuple[Places, Places]:
    """Cut words and clusters into pieces of ``LONGEST``."""
    long = np.flatnonzero((end - first > LONGEST) & (classes[first] <= CLUSTER))
    if len(long) == 0:
        return first, end
    n_cuts = (end[long] - first[long] - 1) // LONGEST
    nth = np.arange(n_cuts.sum()) - np.repeat(np.cumsum(n_cuts) - n_cuts, n_cuts) + 1
    return _cut(first, end, np.repeat(first[long], n_cuts) + LONGEST * nth)


def _cut(first: Places, end: Places, cuts: Places) -> tuple[Places, Places]:
    """Cut tokens: each cut, inside a token, ends one and begins another."""
    if len(cuts) == 0:
        return first, end
    return np.sort(np.concatenate([first, cuts]), kind="stable"), np.sort(np.concatenate([end, cuts]), kind="stable")


def _classify(codes: Codes) -> Classes:
    """Return the class of each code point, as a fresh array."""
    table, filled = _table()
    pages = (0,) if codes.dtype == np.uint8 else np.flatnonzero(np.bincount(codes // _PAGE, minlength=1)).tolist()
    for page in pages:
        if not filled[page]:
            characters = "".join(map(chr, range(page * _PAGE, (page + 1) * _PAGE)))
            row = np.full(_PAGE, OTHER, np.uint8)
            for class_, pattern in _class_patterns():
                for match in pattern.finditer(characters):
                    row[match.start() : match.end()] = class_
            table[page * _PAGE : (page + 1) * _PAGE] = row
            filled[page] = True  # subtle: last, so that another thread never reads a page half filled
    return table[codes]


@cache
def _table() -> tuple[Classes, Mask]:
    """Return the class of every code point, and which pages of 256 are known yet: a text uses few of the 4,352."""
    return np.zeros(0x110000, np.uint8), np.zeros(0x110000 // _PAGE, np.bool_)


@cache
def _class_patterns() -> tuple[tuple[int, regex.Pattern[str]], ...]:
    return tuple((class_, regex.compile(f"(?V1)[{members}]+")) for class_, members in _CLASSES)


@cache
def _cluster_pattern() -> regex.Pattern[str]:
    members = "".join(f"[{members}]" for class_, members in _CLASSES if class_ == CLUSTER)
    return regex.compile(rf"(?V1)(?=[{members}])\X")
