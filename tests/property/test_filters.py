"""Filters: SQL says what Python says, text says what the tree says, and no text breaks the parser."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vecsearch.errors import FilterError
from vecsearch.filter_language import parse_filter
from vecsearch.filters import And, Comparison, Exists, Filter, In, IsTrue, Like, Not, Or, check_fields, field_types
from vecsearch.metadata_keys import key_name, key_parts
from vecsearch.stores.conditions import condition, metadata_values

_ODD = "a\x00\x01\x02\x1f\"'\\`%_*?[]^.$\n é漢😀\u2028\ud7ff\ue000\ufffd\ufffe\uffff\U0010ffff"
_NAMES = [
    "a",
    "b",
    "c d",
    'q"',
    "b\\",
    "u\\u0000",
    "é",
    "",
    "a.b",
    "x\x00y",
    "x\x01\x01y",
    "[0]",
    "$",
    "in",
    "id",
    "\n",
    "😀",
]
_NUMBERS = [
    *[0, 1, -1, 2, 0.1, 1.0, -0.0, 0.5, 1e300, -1e300, 1e19, -1e19, 5e-324, 2.0**63, -(2.0**63), 2.0**53],
    *[2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**64, -(2**64), 10**19, 10**25, -(10**400)],
]
_TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "a\x00",
    "\x00",
    "\x00a",
    "\x01",
    "\x01\x01",
    "\x01\x02",
    "\x02",
    "a\\u0000",
    "\\",
    "1",
    "é",
    "😀",
    "\ue000",
    "\uffff",
    "\ufffd",
]
_LITERAL_NUMBERS = [number for number in _NUMBERS if isinstance(number, float) or -(2**63) <= number < 2**63]

_texts = st.sampled_from(_TEXTS) | st.text(alphabet=_ODD, max_size=5) | st.text(max_size=8)
_names = st.sampled_from(_NAMES) | st.text(max_size=4)
_numbers = st.sampled_from(_NUMBERS) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_scalars = st.none() | st.booleans() | _numbers | _texts
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=5,
)
_documents = st.fixed_dictionaries(
    {
        "id": _texts,
        "title": _texts,
        "path": st.none() | _texts,
        "metadata": st.dictionaries(_names, _values, max_size=4),
    }
)
_keys = st.sampled_from([("id",), ("title",), ("path",)]) | st.lists(_names, min_size=1, max_size=3).map(
    lambda names: ("metadata", *names)
)
_literals = (
    st.booleans()
    | _texts
    | st.sampled_from(_LITERAL_NUMBERS)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
_patterns = st.lists(
    st.sampled_from(["%", "_", "\\%", "\\_", "\\\\"])
    | st.sampled_from([character for character in _ODD if character not in "%_\\"]),
    max_size=5,
).map("".join)
_leaves = st.one_of(
    st.builds(Comparison, _keys, st.just("="), _literals),
    st.builds(
        Comparison,
        _keys,
        st.sampled_from(["<", "<=", ">", ">="]),
        _literals.filter(lambda literal: not isinstance(literal, bool)),
    ),
    st.builds(In, _keys, st.lists(_literals, max_size=4).map(tuple)),
    st.builds(Like, _keys, _patterns),
    st.builds(Exists, _keys),
    st.builds(IsTrue, _keys),
)
_filters = st.recursive(
    _leaves,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.lists(inner, min_size=2, max_size=4).map(tuple))
        | st.builds(Or, st.lists(inner, min_size=2, max_size=4).map(tuple))
    ),
    max_leaves=8,
)


class Shelf:
    """Documents in the tables that conditions are written for."""

    def __init__(self, documents: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> None:
        self.documents = documents
        self._db = sqlite3.connect(":memory:")
        self._db.executescript(
            "CREATE TABLE files (file_no INTEGER PRIMARY KEY, root TEXT NOT NULL, path TEXT NOT NULL);"
            "CREATE TABLE documents (doc_no INTEGER PRIMARY KEY, doc_id TEXT NOT NULL, title TEXT NOT NULL,"
            " metadata TEXT NOT NULL, file_no INTEGER);"
            "CREATE TABLE metadata_values (key TEXT NOT NULL, doc_no INTEGER NOT NULL, type TEXT NOT NULL,"
            " value ANY NOT NULL) STRICT;"
            "CREATE INDEX metadata_values_by_value ON metadata_values (key, type, value);"
        )
        for number, document in enumerate(documents):
            file_no = None if document["path"] is None else number
            if file_no is not None:
                self._db.execute("INSERT INTO files VALUES (?, '/', ?)", (file_no, document["path"]))
            metadata = document["metadata"]
            text = json.dumps(metadata, ensure_ascii=False, sort_keys=True)
            self._db.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?, ?)",
                (number, document["id"], document["title"], text, file_no),
            )
            rows = [(key, number, kind, value) for key, kind, value in metadata_values(json.loads(text), keys)]
            self._db.executemany("INSERT INTO metadata_values VALUES (?, ?, ?, ?)", rows)

    def truth(self, filter: Filter, indexed: frozenset[str]) -> list[int]:
        text, parameters = condition(filter, indexed)
        rows = self._db.execute(
            f"SELECT {text} FROM documents LEFT JOIN files USING (file_no) ORDER BY doc_no", parameters
        )
        return [truth for (truth,) in rows]

    def close(self) -> None:
        self._db.close()


def metadata_keys(filter: Filter) -> list[str]:
    return sorted({name for name, _ in filter.fields()})


@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.lists(_documents, max_size=6), _filters)
def test_sql_is_python(documents, filter):
    keys = metadata_keys(filter)
    shelf = Shelf(documents, keys)
    expected = [int(filter.matches(document)) for document in documents]
    assert shelf.truth(filter, frozenset()) == expected
    assert shelf.truth(filter, frozenset(keys)) == expected
    assert shelf.truth(filter, frozenset(keys[::2])) == expected
    shelf.close()


class Dice:
    """Documents and filters at random that meet each other often: few names, few values."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def text(self) -> str:
        return self._random.choice(_TEXTS) if self._random.random() < 0.7 else self.odd_text()

    def odd_text(self) -> str:
        return "".join(self._random.choices(_ODD, k=self._random.randrange(5)))

    def value(self, depth: int = 0) -> Any:
        kind = self._random.randrange(10 if depth < 3 else 6)
        if kind < 2:
            return self.text()
        if kind < 4:
            return self._random.choice(_NUMBERS)
        if kind < 6:
            return self._random.choice([True, False, None])
        if kind < 8:
            return [self.value(depth + 1) for _ in range(self._random.randrange(4))]
        return self.metadata(depth + 1)

    def metadata(self, depth: int = 0) -> dict[str, Any]:
        return {self._random.choice(_NAMES): self.value(depth) for _ in range(self._random.randrange(10 - 2 * depth))}

    def document(self) -> dict[str, Any]:
        path = self.text() if self._random.random() < 0.7 else None
        return {"id": self.text(), "title": self.text(), "path": path, "metadata": self.metadata()}

    def key(self) -> tuple[str, ...]:
        if self._random.random() < 0.2:
            return (self._random.choice(["id", "title", "path"]),)
        return ("metadata", *self._random.choices(_NAMES, k=self._random.choice([1, 1, 1, 2, 2, 3])))

    def literal(self) -> Any:
        return self._random.choice([self.text(), self._random.choice(_LITERAL_NUMBERS), self._random.random() < 0.5])

    def pattern(self) -> str:
        safe = self.odd_text().replace("\\", "\\\\")
        return self._random.choice(["", "%", "_"]) + safe + self._random.choice(["", "%", "_", "%_", "\\%"])

    def leaf(self) -> Filter:
        kind = self._random.randrange(6)
        if kind == 0:
            return Like(self.key(), self.pattern())
        if kind == 1:
            return In(self.key(), tuple(self.literal() for _ in range(self._random.randrange(5))))
        if kind == 2:
            return self._random.choice([Exists, IsTrue])(self.key())
        literal = self.literal()
        operator = "=" if isinstance(literal, bool) else self._random.choice(["=", "<", "<=", ">", ">="])
        return Comparison(self.key(), operator, literal)

    def filter(self, depth: int = 0) -> Filter:
        kind = self._random.randrange(6 if depth < 4 else 3)
        if kind < 3:
            return self.leaf()
        if kind == 3:
            return Not(self.filter(depth + 1))
        return (And if kind == 4 else Or)(tuple(self.filter(depth + 1) for _ in range(self._random.randrange(2, 4))))


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    dice = Dice(1)
    documents = [dice.document() for _ in range(60)]
    keys = sorted({name for document in documents for name, _ in field_types(document["metadata"])})
    shelf = Shelf(documents, keys)
    yield shelf
    shelf.close()


def test_sql_is_python_for_thousands_of_filters(shelf):
    dice = Dice(2)
    keys = {name for document in shelf.documents for name, _ in field_types(document["metadata"])}
    n_true = n_false = 0
    for _ in range(5_000):
        one = dice.filter()
        expected = [int(one.matches(document)) for document in shelf.documents]
        assert shelf.truth(one, frozenset()) == expected, str(one)
        assert shelf.truth(one, frozenset(keys)) == expected, str(one)
        n_true += sum(expected)
        n_false += len(expected) - sum(expected)
    # The dice must not be such that everything is false.
    assert min(n_true, n_false) > 50_000


@settings(derandomize=True, deadline=None, max_examples=500)
@given(_filters)
def test_text_of_a_filter_is_that_filter(filter):
    text = str(filter)
    assert text.isprintable()
    assert parse_filter(text) == filter
    assert str(parse_filter(text)) == text


def test_text_of_thousands_of_filters_is_those_filters():
    dice = Dice(3)
    for _ in range(3_000):
        one = dice.filter()
        assert parse_filter(str(one)) == one


@settings(derandomize=True, deadline=None)
@given(st.lists(_names | _texts, min_size=1, max_size=5))
def test_spelling_of_a_key_is_that_key(names):
    name = key_name(names)
    assert name.isprintable()
    assert key_parts(name) == tuple(names)


_PIECES = [
    "lang",
    "=",
    "!=",
    "<",
    ">=",
    '"en"',
    "'",
    '"',
    "`",
    "(",
    ")",
    ",",
    "in",
    "not",
    "like",
    "and",
    "or",
    "exists",
]
_PIECES += [
    "true",
    "1",
    "-1.5e3",
    "1e999",
    "9" * 30,
    ".",
    "\\",
    "\\u00",
    "\\ud800",
    " ",
    "\n",
    "id",
    "metadata",
    "é",
    "\ud800",
    "\x00",
]


def assert_filter_or_error(text: str) -> bool:
    """Parse; say whether it is a filter. Whatever else than a FilterError is raised passes through."""
    try:
        parsed = parse_filter(text)
    except FilterError as error:
        refused = error
    else:
        assert parse_filter(str(parsed)) == parsed
        return True
    assert refused.text == text
    assert 0 <= refused.offset <= len(text)
    assert refused.message.isprintable(), refused.message
    line, mark = refused.pointer.split("\n")
    assert line.isprintable()
    assert mark.strip() == "^"
    json.dumps(refused.to_dict())
    return False


def test_no_text_breaks_the_parser():
    dice = random.Random(4)
    for _ in range(5_000):
        letters = [
            chr(dice.choice([dice.randrange(128), dice.randrange(0x11_0000)])) for _ in range(dice.randrange(20))
        ]
        assert_filter_or_error("".join(letters))
        assert_filter_or_error(dice.choice(["", " "]).join(dice.choices(_PIECES, k=dice.randrange(12))))


def test_no_mutation_of_a_filter_breaks_the_parser():
    dice, source = random.Random(5), Dice(5)
    n_filters = 0
    for _ in range(5_000):
        text = str(source.filter())
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(text) + 1)
            kind = dice.randrange(3)
            if kind == 0:
                text = text[:at] + text[at + dice.randrange(1, 4) :]
            elif kind == 1:
                text = text[:at] + dice.choice(_PIECES) + text[at:]
            else:
                text = text[:at] + text[dice.randrange(len(text) + 1) :]
        n_filters += assert_filter_or_error(text)
    assert 500 < n_filters < 4_500


@settings(derandomize=True, deadline=None)
@given(st.text())
@example("a = 1 and")
@example("((")
@example('a = "\\ud83d')
def test_any_text_is_a_filter_or_an_error(text):
    assert_filter_or_error(text)


@settings(derandomize=True, deadline=None)
@given(st.lists(_documents, min_size=1, max_size=4), _keys)
def test_a_key_that_some_document_has_is_known(documents, key):
    known: dict[str, frozenset[str]] = {}
    for document in documents:
        for name, kind in field_types(document["metadata"]):
            known[name] = known.get(name, frozenset()) | {kind}
    exists = Exists(key)
    if any(map(exists.matches, documents)):
        check_fields(exists, known)
