r"""The query language: plain words, and a few operators that require or exclude passages.

    query     = { white space | operator | plain run }         an operator stands at the beginning or after white space
    operator  = [ "-" ] ( phrase | near | exact )              "-" excludes the passages that hold it
              | "-" word                                       … excludes the passages that hold that very word
    exact     = "=" word                                       that very word, nothing like it
    phrase    = [ "=" ] '"' words '"' [ "~" distance ]         these words or words like them, in order;
                                                               at most `distance` further words between the first
                                                               and the last, none if absent
    near      = [ "=" ] "NEAR(" words [ "," distance ] ")"     in any order, at most `distance` words (10 if absent)
                                                               between the first and the last
    words     = [ "=" ] word { white space [ "=" ] word }      "=" makes one word exact; before a phrase or NEAR, all
    word      = a run without white space that holds a letter, a digit or a pictograph after "-" or "=";
                in a phrase \" stands for a quote; in NEAR parentheses are balanced
    distance  = a whole number, at most 1,000,000

Everything else is plain text: ``it's``, ``5"``, ``a-b``, ``x=1``, ``foo(-bar)``, ``--force``, ``->``, a lone ``-`` or
``=``, ``near(a b)``, and whatever touches the end of a phrase or NEAR. A comma in NEAR belongs to the distance, the
last one where there are several. What is excluded is always meant exactly, letter case aside: to leave out words like
the one that was written would surprise.

An operator that is begun and not finished is an error, never plain text. Words here are what the user wrote between
white space; the tokenizer decides whether one is a token, several or none.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Literal, NoReturn

from vecsearch.errors import QueryError

__all__ = [
    "DEFAULT_DISTANCE",
    "LARGEST_DISTANCE",
    "MOST_GROUPS",
    "MOST_WORDS",
    "Group",
    "ParsedQuery",
    "Word",
    "parse_query",
]

DEFAULT_DISTANCE = 10
"""Of NEAR without a number, as in SQLite's FTS5."""

LARGEST_DISTANCE = 1_000_000
MOST_GROUPS = 64
MOST_WORDS = 64
"""In one group."""

_SHOWN = 60
"""Characters of a query that a pointer shows."""

_BLANK = re.compile(r"\s*")
_RUN = re.compile(r"\S+")
_DIGITS = re.compile(r"[0-9]+")
_PARENTHESES = re.compile(r"[()]")


@dataclass(frozen=True)
class Word:
    """One word of a group, as it was written.

    Attributes:
        text: without ``=``, and without the backslash of an escaped quote.
        is_exact: nothing but the word itself matches, letter case aside.
        start, end: characters of the query, without ``=``.
    """

    text: str
    is_exact: bool
    start: int
    end: int


@dataclass(frozen=True)
class Group:
    """What a passage must hold, or must not.

    Attributes:
        words: one at least. A single exact word (``=word``, ``-word``) is a phrase of one.
        kind: ``"phrase"`` (in order) or ``"near"`` (in any order).
        slop: of a phrase, how many further words may stand between its first and its last; of NEAR, how many words.
        start, end: characters of the query, with the operator.
    """

    words: tuple[Word, ...]
    kind: Literal["phrase", "near"]
    slop: int
    start: int
    end: int


@dataclass(frozen=True)
class ParsedQuery:
    """A query, taken apart.

    Attributes:
        text: as it was given.
        plain: what is ranked: ``text`` with operators, distances and all that is excluded replaced by spaces, so that
            every word keeps its place; as long as ``text``.
        required: groups of which a passage must hold every one.
        excluded: groups of which a passage must hold none; all their words are exact.
    """

    text: str
    plain: str
    required: tuple[Group, ...] = ()
    excluded: tuple[Group, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the query holds no operator."""
        return not self.required and not self.excluded


def parse_query(text: str) -> ParsedQuery:
    r"""Take a query apart by the grammar above.

    Args:
        text: any string.

    Returns:
        Its plain text and its groups, in the order of the query.

    Raises:
        QueryError: a phrase or NEAR is not closed or holds no word, a distance is no whole number or above
            ``LARGEST_DISTANCE``, NEAR holds a phrase, all of the query is excluded, or there are more than
            ``MOST_GROUPS`` groups or ``MOST_WORDS`` words in one. Its attributes: ``query``; ``offset``, the
            character it is about, from 0 (the message counts from 1); ``pointer``, the query above a line with ``^``.

    Example:
        >>> parsed = parse_query('dogs "car =crash"~2 -bus')
        >>> parsed.plain
        'dogs  car  crash        '
        >>> [(group.kind, group.slop, [word.text for word in group.words]) for group in parsed.required]
        [('phrase', 2, ['car', 'crash'])]
        >>> parsed.excluded[0].words
        (Word(text='bus', is_exact=True, start=21, end=24),)
        >>> parse_query('a "car').is_plain
        Traceback (most recent call last):
        vecsearch.errors.QueryError: the phrase at character 3 is not closed; end it with "
    """
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._plain = list(text)
        self._required: list[Group] = []
        self._excluded: list[Group] = []

    def parse(self) -> ParsedQuery:
        at = self._skip_blanks(0)
        while at < len(self._text):
            at = self._operator(at)
            run = _RUN.match(self._text, at)  # plain text, or what touches the end of an operator
            at = self._skip_blanks(run.end() if run else at)
        plain = "".join(self._plain)
        if self._excluded and not plain.strip():
            self._fail(self._excluded[0].start, "the exclusion", "stands alone; add words to find")
        return ParsedQuery(self._text, plain, tuple(self._required), tuple(self._excluded))

    def _operator(self, start: int) -> int:
        """Read an operator and return its end; ``start`` where none begins there."""
        text = self._text
        is_excluded = text.startswith("-", start)
        at = start + is_excluded
        is_exact = text.startswith("=", at)
        at += is_exact
        if text.startswith('"', at):
            group = self._phrase(start, at)
        elif text.startswith("NEAR(", at):
            group = self._near(start, at)
        elif (is_excluded or is_exact) and _is_word(run := _run(text, at)):
            end = at + len(run)
            group = Group((Word(run, True, at, end),), "phrase", 0, start, end)
        else:
            return start
        if len(self._required) + len(self._excluded) == MOST_GROUPS:
            self._fail(start, "the operator", f"is one too many; a query has at most {MOST_GROUPS}")
        if is_excluded or is_exact:
            group = replace(group, words=tuple(replace(word, is_exact=True) for word in group.words))
        (self._excluded if is_excluded else self._required).append(group)
        self._blank(group, keep_words=not is_excluded)
        return group.end

    def _phrase(self, start: int, quote: int) -> Group:
        close = quote + 1
        while (close := self._text.find('"', close)) >= 0 and self._text[close - 1] == "\\":
            close += 1
        if close < 0:
            self._fail(start, "the phrase", 'is not closed; end it with "')
        words = self._words(quote + 1, close, start, "the phrase")
        slop, end = 0, close + 1
        if self._text.startswith("~", end):
            run = _run(self._text, end + 1)
            digits = _DIGITS.match(run)
            # "…"~3, and "…"~3) end a clause of plain text; "…"~3.5 and "…"~3x mean something else than 3
            is_number = digits is not None and not any(character.isalnum() for character in run[digits.end() :])
            number = digits[0] if digits and is_number else run
            slop = self._distance(number, end + 1)
            end += 1 + len(number)
        return Group(words, "phrase", slop, start, end)

    def _near(self, start: int, name: int) -> Group:
        content = name + len("NEAR(")
        depth, close = 1, -1
        for found in _PARENTHESES.finditer(self._text, content):
            depth += 1 if found[0] == "(" else -1
            if depth == 0:
                close = found.start()
                break
        if close < 0:
            self._fail(start, "NEAR", "is not closed; end it with )")
        slop, last = DEFAULT_DISTANCE, close
        comma = self._text.rfind(",", content, close)
        if comma >= 0:
            at = self._skip_blanks(comma + 1)
            slop, last = self._distance(self._text[at:close].rstrip(), at), comma
        words = self._words(content, last, start, "NEAR")
        for word in words:
            if self._text[word.start] == '"':
                self._fail(word.start, "the quote", "begins a phrase, which NEAR cannot hold; write its words only")
        return Group(words, "near", slop, start, close + 1)

    def _words(self, begin: int, end: int, start: int, what: str) -> tuple[Word, ...]:
        words: list[Word] = []
        for run in _RUN.finditer(self._text, begin, end):
            is_exact = run[0].startswith("=") and _is_word(run[0][1:])
            at = run.start() + is_exact
            if len(words) == MOST_WORDS:
                self._fail(at, "the word", f"is one too many; {what} has at most {MOST_WORDS}")
            written = self._text[at : run.end()]
            words.append(Word(written.replace('\\"', '"') if what != "NEAR" else written, is_exact, at, run.end()))
        if not words:
            self._fail(start, what, "holds no word; write one or more, or leave it out")
        return tuple(words)

    def _distance(self, digits: str, at: int) -> int:
        if not _DIGITS.fullmatch(digits):
            shown = digits if len(digits) <= 20 else digits[:19] + "…"
            self._fail(at, "the distance", f"is {_shown(shown)!r}; it must be a whole number, such as 5")
        # int() refuses thousands of digits, so what is too long is not asked
        significant = digits.lstrip("0")
        if len(significant) > len(str(LARGEST_DISTANCE)) or int(significant or "0") > LARGEST_DISTANCE:
            self._fail(at, "the distance", f"is too large; at most {LARGEST_DISTANCE:,} is allowed")
        return int(significant or "0")

    def _blank(self, group: Group, *, keep_words: bool) -> None:
        """Replace all of a group but its words by spaces; white space stays as it is."""
        kept: set[int] = set()
        if keep_words:
            for word in group.words:
                kept.update(range(word.start, word.end))
                if len(word.text) < word.end - word.start:  # the backslashes of escaped quotes
                    escapes = re.finditer(r'\\"', self._text[word.start : word.end])
                    kept.difference_update(word.start + escape.start() for escape in escapes)
        for at in range(group.start, group.end):
            if at not in kept and not self._text[at].isspace():
                self._plain[at] = " "

    def _skip_blanks(self, at: int) -> int:
        blanks = _BLANK.match(self._text, at)
        assert blanks is not None
        return blanks.end()

    def _fail(self, offset: int, what: str, problem: str) -> NoReturn:
        raise QueryError(
            f"{what} at character {offset + 1} {problem}",
            query=self._text,
            offset=offset,
            pointer=_pointer(self._text, offset),
        )


def _run(text: str, at: int) -> str:
    run = _RUN.match(text, at)
    return run[0] if run else ""


def _is_word(run: str) -> bool:
    """Tell whether a run after ``-`` or ``=`` is a word: ``--``, ``=>`` and ``-)`` are plain text."""
    return not run.startswith(("-", "=", "(", "[", "{")) and any(
        character.isalnum() or unicodedata.category(character) == "So" for character in run
    )


def _pointer(text: str, offset: int) -> str:
    """Return the query on one line, shortened around a character, and below it a line that points there."""
    begin = max(0, min(offset - _SHOWN // 2, len(text) - _SHOWN))
    line = ("…" if begin else "") + _shown(text[begin : begin + _SHOWN]) + ("…" if begin + _SHOWN < len(text) else "")
    return f"{line}\n{' ' * (offset - begin + bool(begin))}^"


def _shown(text: str) -> str:
    """Replace each character that would not be one column wide: white space by a space, others by ``?``."""
    return "".join(
        " " if character.isspace() else character if _is_one_column(character) else "?" for character in text
    )


def _is_one_column(character: str) -> bool:
    return (
        character.isprintable()
        and unicodedata.east_asian_width(character) not in "WF"
        and unicodedata.category(character)[0] != "M"
    )
