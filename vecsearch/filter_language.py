r"""The filter language: text in, a tree of ``filters`` out.

    filter      = all { "or" all }
    all         = one { "and" one }
    one         = "not" one | "(" filter ")" | "exists" key | condition
    condition   = key                                   true where the value is true
                | key ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
                | key [ "not" ] "in" "(" [ value { "," value } ] ")"
                | key [ "not" ] "like" string           % any text, _ any character, \ takes their meaning away
    key         = name { "." name }                     see metadata_keys; also id, title, path, metadata.KEY
    value       = string | number | "true" | "false"
    string      = in double or single quotes, with the escapes of JSON
    number      = as in JSON

Words may be written in any letter case. A key that is one of them stands in backticks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from vecsearch.errors import FilterError
from vecsearch.filter_tree import MAX_DEPTH, MAX_NODES
from vecsearch.filter_values import Literal
from vecsearch.filters import And, Comparison, Exists, Filter, In, IsTrue, Like, Not, Or, resolve_key
from vecsearch.metadata_keys import KEYWORDS, read_key, read_quoted, shown

__all__ = ["parse_filter"]

_T = TypeVar("_T")
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NUMBER_ENDS = re.compile(r"(?![\w.-])")
_SYMBOL = re.compile(r"!=|<=|>=|[=<>(),]")
_WORD = re.compile(r"[^\W\d][\w-]*")
_MAX_DIGITS = 400  # Python refuses to read integers of some thousands; those of 64 bits have 19


@dataclass(frozen=True)
class _Token:
    kind: str  # word, key, string, number, symbol or end
    value: Any
    offset: int
    end: int


def parse_filter(text: str) -> Filter:
    """Read a filter.

    Raises:
        FilterError: it is none, or it is too large. The message says what is wrong, where, and what is allowed;
            ``text``, ``offset`` (from 0) and ``pointer`` (two lines: the text, and a mark under the place) are
            attributes.

    Example:
        >>> print(parse_filter("lang = 'en' and not (year < 2020 or draft)"))
        lang = "en" and not (year < 2020 or draft)
    """
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._n_leaves = 0
        self._nesting = 0
        self._tokens = self._read_tokens()
        self._next = next(self._tokens)

    def parse(self) -> Filter:
        if self._next.kind == "end":
            self._fail('the filter is empty; write a condition, such as year >= 2020 or lang = "en"', 0)
        found = self._any()
        if self._next.kind != "end":
            self._unexpected("and, or, or the end")
        return found

    def _any(self) -> Filter:
        return self._chain("or", Or, self._all)

    def _all(self) -> Filter:
        return self._chain("and", And, self._one)

    def _chain(self, word: str, kind: type[And] | type[Or], term: Callable[[], Filter]) -> Filter:
        start = self._next.offset
        terms = [term()]
        while self._take_word(word):
            terms.append(term())
        return terms[0] if len(terms) == 1 else self._placed(start, lambda: kind(tuple(terms)))

    def _one(self) -> Filter:
        start = self._next.offset
        if self._take_word("not"):
            inner = self._deeper(start, self._one)
            return self._placed(start, lambda: Not(inner))
        if self._take_symbol("("):
            inner = self._deeper(start, self._any)
            self._expect_symbol(")", "and, or, or )")
            return inner
        self._n_leaves += 1
        if self._n_leaves > MAX_NODES:
            self._fail(
                f"more than {MAX_NODES:,} conditions; many values of one key go into one list: key in (…)", start
            )
        if self._take_word("exists"):
            key = self._key("a key after exists")
            return self._placed(start, lambda: Exists(key))
        return self._condition(self._key("a condition: a key, exists, not or ("))

    def _condition(self, key: tuple[str, ...]) -> Filter:
        token = self._next
        start = token.offset
        if token.kind == "symbol" and token.value in _COMPARISONS:
            self._advance()
            at = self._next.offset
            value = self._value(f"a value after {token.value}")
            if token.value == "!=":
                return self._placed(at, lambda: Not(Comparison(key, "=", value)))
            return self._placed(at, lambda: Comparison(key, token.value, value))
        if self._take_word("not"):
            if self._take_word("in"):
                found = self._in(key)
                return self._placed(start, lambda: Not(found))
            if self._take_word("like"):
                found = self._like(key)
                return self._placed(start, lambda: Not(found))
            self._unexpected("in or like after not")
        if self._take_word("in"):
            return self._in(key)
        if self._take_word("like"):
            return self._like(key)
        return self._placed(start, lambda: IsTrue(key))

    def _in(self, key: tuple[str, ...]) -> Filter:
        start = self._next.offset
        self._expect_symbol("(", "values in parentheses after in")
        values: list[Literal] = []
        while not self._take_symbol(")"):
            if values:
                self._expect_symbol(",", ", or )")
            values.append(self._value("a value"))
        return self._placed(start, lambda: In(key, tuple(values)))

    def _like(self, key: tuple[str, ...]) -> Filter:
        token = self._next
        if token.kind != "string":
            self._unexpected("a pattern in quotes after like")
        self._advance()
        return self._placed(token.offset, lambda: Like(key, token.value))

    def _key(self, expected: str) -> tuple[str, ...]:
        token = self._next
        if token.kind != "key":
            self._unexpected(expected)
        self._advance()
        parts: tuple[str, ...] = token.value
        return self._placed(token.offset, lambda: resolve_key(parts))

    def _value(self, expected: str) -> Literal:
        token = self._next
        value: Literal
        if token.kind in ("string", "number"):
            value = token.value
        elif token.kind == "word" and token.value in ("true", "false"):
            value = token.value == "true"
        else:
            hint = ""
            if token.value == "=":
                hint = "; equality is written with one ="
            elif token.kind == "key":
                hint = "; text stands in quotes"
            self._unexpected(f"{expected}: a string in quotes, a number, true or false", hint)
        self._advance()
        return value

    def _deeper(self, start: int, read: Callable[[], Filter]) -> Filter:
        self._nesting += 1
        if self._nesting >= MAX_DEPTH:
            self._fail(f"nested more than {MAX_DEPTH} deep", start)
        found = read()
        self._nesting -= 1
        return found

    def _advance(self) -> None:
        self._next = next(self._tokens)

    def _take_word(self, word: str) -> bool:
        return self._take("word", word)

    def _take_symbol(self, symbol: str) -> bool:
        return self._take("symbol", symbol)

    def _take(self, kind: str, value: str) -> bool:
        if self._next.kind != kind or self._next.value != value:
            return False
        self._advance()
        return True

    def _expect_symbol(self, symbol: str, expected: str) -> None:
        if not self._take_symbol(symbol):
            self._unexpected(expected)

    def _read_tokens(self) -> Iterator[_Token]:
        at = 0
        while True:
            space = _SPACE.match(self._text, at)
            at = space.end() if space else at
            token = self._read_token(at)
            at = token.end
            yield token
            if token.kind == "end":
                return

    def _read_token(self, at: int) -> _Token:
        text = self._text
        if at == len(text):
            return _Token("end", "", at, at)
        if text[at] in "\"'":
            value, end = self._placed(at, lambda: read_quoted(text, at))
            return _Token("string", value, at, end)
        if symbol := _SYMBOL.match(text, at):
            return _Token("symbol", symbol[0], at, symbol.end())
        if number := _NUMBER.match(text, at):
            return _Token("number", self._number(number), at, number.end())
        word = _WORD.match(text, at)
        if word and word[0].lower() in KEYWORDS:
            return _Token("word", word[0].lower(), at, word.end())
        if word or text[at] == "`":
            parts, end = self._placed(at, lambda: read_key(text, at))
            return _Token("key", parts, at, end)
        return self._fail(
            f"{shown(text[at])} means nothing here; a filter is made of keys, values, = != < <= > >= in like exists, "
            f"and or not, and parentheses",
            at,
        )

    def _number(self, number: re.Match[str]) -> int | float:
        if not _NUMBER_ENDS.match(self._text, number.end()):
            self._fail(
                f"{shown(self._text[number.start() : number.end() + 1])}… is no number; text, dates among it, stands "
                f"in quotes",
                number.start(),
            )
        if number[1] is None and number[2] is None:
            if len(number[0]) > _MAX_DIGITS:
                self._fail("an integer beyond 64 bits", number.start())
            return int(number[0])
        return float(number[0])

    def _unexpected(self, expected: str, hint: str = "") -> NoReturn:
        token = self._next
        raw = self._text[token.offset : token.end]
        found = "the end" if token.kind == "end" else raw if token.kind == "word" else shown(raw)
        self._fail(f"expected {expected}, found {found}{hint}", token.offset)

    def _placed(self, offset: int, make: Callable[[], _T]) -> _T:
        """Add the place to what making something raises."""
        try:
            return make()
        except FilterError as error:
            within = error.facts.get("offset")
            self._fail(error.message, offset if within is None else within)

    def _fail(self, message: str, offset: int) -> NoReturn:
        raise FilterError(
            f"{message}, at character {offset + 1} of the filter",
            text=self._text,
            offset=offset,
            pointer=_pointer(self._text, offset),
        ) from None


def _pointer(text: str, offset: int) -> str:
    """Return the surroundings of a place in a text on one line, and a mark under it on the next."""
    start, end = max(0, offset - 50), offset + 30
    before = ("…" if start else "") + text[start:offset]
    after = text[offset:end] + ("…" if end < len(text) else "")
    before, after = ("".join(mark if mark.isprintable() else " " for mark in part) for part in (before, after))
    width = sum(
        0 if unicodedata.combining(mark) else 2 if unicodedata.east_asian_width(mark) in "WF" else 1 for mark in before
    )
    return f"{before}{after}\n{' ' * width}^"
