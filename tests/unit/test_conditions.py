"""Filters as SQL: which statement is made, what SQLite makes of it at the limits, what stands in the value index."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vecsearch import field
from vecsearch.errors import FilterError
from vecsearch.filter_language import parse_filter
from vecsearch.filter_tree import MAX_DEPTH, MAX_NODES, MAX_VALUES
from vecsearch.filters import And, Filter, Not, Or
from vecsearch.stores.conditions import condition, encoded, metadata_values
from vecsearch.stores.schema import connect, migrations

NONE: frozenset[str] = frozenset()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The real tables, empty."""
    database = connect(tmp_path / "meta.db")
    migrations.apply(database)
    yield database.conn
    database.conn.close()


def add(db: sqlite3.Connection, metadata: Any, *, id: str = "a", title: str = "", path: str | None = None) -> None:
    file_no = None
    if path is not None:
        file_no = db.execute(
            "INSERT INTO files (root, path, size, mtime_ns, sha256) VALUES ('/', ?, 0, 0, x'')", (path,)
        ).lastrowid
    text = metadata if isinstance(metadata, str) else json.dumps(metadata, ensure_ascii=False, sort_keys=True)
    db.execute(
        "INSERT INTO documents (doc_id, title, metadata, content_hash, n_characters, file_no, checksum) "
        "VALUES (?, ?, ?, x'', 0, ?, 0)",
        (id, title, text, file_no),
    )


def truth(db: sqlite3.Connection, filter: Filter | str, indexed: frozenset[str] = NONE) -> list[Any]:
    text, parameters = condition(parse_filter(filter) if isinstance(filter, str) else filter, indexed)
    rows = db.execute(f"SELECT {text} FROM documents LEFT JOIN files USING (file_no) ORDER BY doc_no", parameters)
    return [value for (value,) in rows]


def test_every_truth_is_0_or_1(db):
    add(db, {})
    add(db, {"a": None}, id="b")
    for text in ("a", "a = 1", "a != 'x'", "a in (1)", "a like 'x'", "exists a", "path = 'x'", "path in ('x')"):
        assert truth(db, text) in ([0, 0], [1, 1])
        assert truth(db, text, frozenset({"a"})) == truth(db, text)
        assert truth(db, f"not {text}") == [1 - value for value in truth(db, text)]


def test_nothing_of_the_user_is_in_the_statement():
    for indexed in (NONE, frozenset({"secret", "`secret'\"`"})):
        text, parameters = condition(
            parse_filter(
                "secret = 'secret' and `secret'\\\"` in ('secret') or secret like 'secret%' or title = 'secret'"
            ),
            indexed,
        )
        assert "secret" not in text
        assert text.count("?") == len(parameters)


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "a b",
        "a.b",
        "[0]",
        "$",
        "#-1",
        "",
        "'",
        '"',
        '"a"',
        "\\",
        "\\\\",
        "\\u0000",
        "\n",
        "\x00",
        "a\x00b",
        "\x01",
        "é",
        "😀",
        "\u2028",
        "a`b",
        "*",
        "0",
    ],
)
def test_any_key_is_found(db, key):
    add(db, {key: "x", "x": {key: {key: [1, "y"]}}, key + "?": "z"})
    for path, value in (([key], "x"), (["x", key, key], "y")):
        for indexed in (NONE,):
            assert truth(db, field(path) == value, indexed) == [1]
            assert truth(db, field(path) == "z", indexed) == [0]
            assert truth(db, field(path).exists(), indexed) == [1]
    assert truth(db, field([key + "!"]).exists()) == [0]
    assert truth(db, field(["x", key, key, key]).exists()) == [0]


def test_a_string_that_looks_like_json_is_a_string(db):
    add(db, {"a": '{"b": 1}', "é": '{"b": 1}', "c": '["x"]', "ç": '["x"]', "d": "{", "ð": "{"})
    for text in ("a.b = 1", "é.b = 1", "exists `é`.b", "c = 'x'", "ç = 'x'", "exists d.x", "exists `ð`.`é`"):
        assert truth(db, text) == [0]
    assert truth(db, "c = '[\"x\"]' and ç = '[\"x\"]' and d = '{' and ð = '{'") == [1]


def test_members_of_an_object_are_no_elements(db):
    add(db, {"a": {"b": "x"}, "é": {"b": "x"}})
    assert truth(db, "a = 'x' or é = 'x' or a in ('x') or é like '%'") == [0]


def test_escaped_backslash_before_u0000_is_no_nul(db):
    add(db, {"a": "\\u0000", "b": "\\\x00", "c": "\x01\x01"})
    assert truth(db, r"a = '\\u0000' and a != '\\\u0000' and a like '_u0000'") == [1]
    assert truth(db, r"b = '\\\u0000' and b like '__' and b > '\\'") == [1]
    assert truth(db, r"c = '\u0001\u0001' and c != '\u0000' and c like '__' and c > '\u0000' and c > '\u0001'") == [1]


def test_nul_in_built_in_fields(db):
    add(db, {}, id="a\x00b", title="\x00\x01", path="x\x00")
    for text in (r"id = 'a\u0000b'", r"id in ('a\u0000b', 'x')", "id like 'a_b'", r"id like '%\u0000%'", "id > 'a'"):
        assert truth(db, text) == [1], text
    for text in ("id = 'a'", "id in ('a')", "id like 'a'", "title = ''", "path = 'x'", r"path in ('x', '\u0000')"):
        assert truth(db, text) == [0], text
    assert truth(db, r"title like '__' and title < '\u0001' and path like 'x_'") == [1]


def test_glob_has_no_meaning_of_its_own(db):
    add(db, {"a": "*?[x]", "b": "\ufffd", "c": "\uffff", "d": "Ab"})
    assert truth(db, "a like '*?[x]' and a like '%[x]' and a not like '?????*'") == [1]
    assert truth(db, r"b like '\ufffd' and b not like '\uffff' and c not like '\ufffd' and c like '\uffff'") == [1]
    assert truth(db, "d like 'A_' and d not like 'a_' and d not like 'AB'") == [1]


def test_longest_pattern_is_within_sqlites_limit(db):
    add(db, {"a": "[" * 1_000, "b": "😀" * 1_000})
    assert truth(db, field("a").like("[" * 1_000) & field("b").like("😀" * 1_000)) == [1]
    assert truth(db, field("a").like("%[" * 500) & ~field("a").like("%[" * 499 + "x")) == [1]


def test_numbers_are_exact(db):
    add(db, {"n": 2**53 + 1, "max": 2**63 - 1, "min": -(2**63), "f": 0.1, "one": 1.0, "s": 5e-324})
    assert truth(db, "n = 9007199254740993 and n > 9007199254740992.0 and n not in (9007199254740992.0)") == [1]
    assert truth(db, "max = 9223372036854775807 and max < 9223372036854775808.0 and max not in (9.3e18)") == [1]
    assert truth(db, "min = -9223372036854775808 and min = -9223372036854775808.0") == [1]
    assert truth(db, "f = 0.1 and one = 1 and one in (1) and s = 5e-324 and s > 0") == [1]


@pytest.mark.parametrize("number", [2**63, 2**64, 10**25, 10**400])
def test_integers_beyond_64_bits_are_infinite(db, number):
    metadata = {"n": number, "m": -number - 1, "l": [number]}
    add(db, metadata)
    for indexed in (NONE, frozenset({"n", "m", "l"})):
        if indexed:
            rows = metadata_values(metadata, sorted(indexed))
            db.executemany("INSERT INTO metadata_values (key, doc_no, type, value) VALUES (?, 1, ?, ?)", rows)
        assert truth(db, "n > 9223372036854775807 and n > 1e308 and l > 1e308", indexed) == [1]
        assert truth(db, "m < -9223372036854775808 and m < -1e308 and m != -9223372036854775808", indexed) == [1]
        text = f"n in ({float(min(number, 10**300))!r}, 1e25) or m = {-float(min(number, 10**300))!r}"
        assert truth(db, text, indexed) == [0]


def test_largest_filters_are_compiled(db):
    add(db, {"a": 1, "é": [3]})
    leaves = [field(["é"]).in_([number, str(number)]) for number in range(MAX_NODES - 1)]
    assert truth(db, Or(tuple(leaves))) == [1]
    assert truth(db, And(tuple(leaves))) == [0]
    assert truth(db, Or(tuple(field("title").like(f"_{number}") for number in range(MAX_NODES - 1)))) == [0]


def test_deep_and_wide_filters_are_compiled(db):
    add(db, {"a": 1, "é": [3]})
    per_level = (MAX_NODES - 100) // MAX_DEPTH
    one: Filter = field(["é", "é"]) == 3
    expected = False
    for level in range(MAX_DEPTH - 1):
        others = [field(["é"]).in_([3, "x"])] * (per_level - 1)
        if level % 3 == 0:
            one, expected = Not(one), not expected
        elif level % 3 == 1:
            one = And((*others, one))
        else:
            one, expected = Or((one, *(~other for other in others[: per_level // 2]))), expected
    assert one.depth == MAX_DEPTH
    assert one.matches({"metadata": {"a": 1, "é": [3]}}) is expected
    text, parameters = condition(one, NONE)
    inner = f"SELECT doc_no FROM documents LEFT JOIN files USING (file_no) WHERE {text}"
    found = db.execute(f"SELECT count(*) FROM documents WHERE doc_no IN ({inner})", parameters).fetchone()
    assert found == (int(expected),)


def test_longest_list_is_one_parameter(db):
    add(db, {"n": MAX_VALUES - 1, "t": str(MAX_VALUES - 1)}, id="x9999")
    for key, values in (("n", range(MAX_VALUES)), ("t", map(str, range(MAX_VALUES)))):
        one = field(key).in_(list(values))
        assert truth(db, one) == [1]
        assert len(condition(one, frozenset({key}))[1]) == 3
    assert truth(db, field("id").in_([f"x{number}" for number in range(MAX_VALUES)])) == [1]


def test_an_indexed_key_is_answered_from_the_index(db):
    texts = ("k = 'x'", "k > 5", "k in (1, 'x', true)", "k like 'x%'", "k like '%x'", "k", "k not like 'y\U0010ffff'")
    for text in texts:
        sql, parameters = condition(parse_filter(text), frozenset({"k"}))
        assert "json_extract" not in sql
        plan = db.execute(f"EXPLAIN QUERY PLAN SELECT doc_no FROM documents WHERE {sql}", parameters).fetchall()
        assert any("USING INDEX metadata_values_by_value (key=? AND type=?" in row[3] for row in plan), (text, plan)
    sql, parameters = condition(parse_filter("k like 'x%'"), frozenset({"k"}))
    plan = db.execute(f"EXPLAIN QUERY PLAN SELECT doc_no FROM documents WHERE {sql}", parameters).fetchall()
    assert any("value>? AND value<?" in row[3] for row in plan)
    assert "json_type" in condition(parse_filter("exists k"), frozenset({"k"}))[0]


def test_id_is_looked_up(db):
    sql, parameters = condition(parse_filter("id = 'x'"), NONE)
    plan = db.execute(f"EXPLAIN QUERY PLAN SELECT doc_no FROM documents WHERE {sql}", parameters).fetchall()
    assert "(doc_id=?)" in plan[0][3]


def test_metadata_values():
    metadata = {
        "s": "a\x00\x01",
        "n": 1,
        "f": 0.5,
        "b": True,
        "big": -(10**400),
        "null": None,
        "l": ["x", "x", 1, 1.0, True, None, ["y"], {"z": 1}],
        "o": {"p": {"q r": 3}},
    }
    keys = ["s", "n", "f", "b", "big", "null", "l", "o", "o.p.`q r`", "other", "s.x"]
    assert metadata_values(metadata, keys) == [
        ("s", "string", "a\x01\x01\x01\x02"),
        ("n", "number", 1),
        ("f", "number", 0.5),
        ("b", "bool", 1),
        ("big", "number", float("-inf")),
        ("l", "string", "x"),
        ("l", "number", 1),
        ("l", "bool", 1),
        ("o.p.`q r`", "number", 3),
    ]
    assert metadata_values(metadata, []) == []
    with pytest.raises(FilterError):
        metadata_values(metadata, ["q r"])


def test_encoded_texts_are_apart_and_in_order():
    texts = ["".join(letters) for letters in _all_texts("\x00\x01\x02a", 4)]
    ordered = sorted(texts)
    assert sorted(texts, key=encoded) == ordered
    assert len(set(map(encoded, texts))) == len(texts)
    assert not any("\x00" in encoded(text) for text in texts)
    assert encoded("plain") == "plain"


def _all_texts(letters: str, longest: int) -> Iterator[str]:
    level = [""]
    for _ in range(longest + 1):
        yield from level
        level = [text + letter for text in level for letter in letters]
