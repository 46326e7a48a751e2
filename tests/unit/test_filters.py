"""Filters: what they mean, how they are written, what is refused."""

from __future__ import annotations

import enum
import math

import numpy as np
import pytest

import vecsearch
from vecsearch import Filter, FilterError, field
from vecsearch.filter_language import parse_filter
from vecsearch.filter_tree import MAX_DEPTH, MAX_NODES, MAX_VALUES
from vecsearch.filter_values import as_pattern, fits
from vecsearch.filters import And, Comparison, Exists, In, IsTrue, Like, Not, Or, check_fields, field_types
from vecsearch.metadata_keys import key_name, key_parts

DOCUMENT = {
    "id": "notes/git.md",
    "title": "Git",
    "path": "docs/git.md",
    "metadata": {
        "lang": "en",
        "year": 2021,
        "score": 0.5,
        "draft": False,
        "done": True,
        "nothing": None,
        "tags": ["a", "b", 7, None, True],
        "empty": [],
        "author": {"name": "Ada", "e-mail address": "a@b", "name.short": "A"},
        "authors": [{"name": "Ada"}],
        "nested": [["x"]],
        "id": "hidden",
        "big": 2**70,
        "small": -(2**70),
        "exact": 2**53 + 1,
        "nul": "a\x00b",
        "in": 1,
    },
}


@pytest.mark.parametrize(
    "text",
    [
        'lang = "en"',
        "lang = 'en'",
        'lang != "de"',
        'lang in ("de", "en")',
        'lang not in ("de")',
        'lang > "e" and lang < "f" and lang >= "en" and lang <= "en"',
        "year = 2021 and year = 2021.0 and year >= 2.021e3 and year < 2021.5 and not year > 2021",
        "score = 0.5",
        "draft = false and not draft",
        "draft != true",
        "done and done = true",
        "draft in (false, 1)",
        "exists lang and exists empty and exists author and exists author.name",
        "not exists nothing and not exists other and not exists author.other and not exists lang.x",
        # a list: any element
        'tags = "a" and tags = "b" and tags = 7 and tags in ("z", 7) and tags like "_" and tags and tags < 8',
        'not tags = "c" and tags != "c"',
        'not (tags != "a")',
        'not empty = "a" and not nested = "x" and not authors.name = "Ada"',
        # no comparison across types, nor with what is missing; negation is plain
        'not year = "2021" and not year >= "0" and year != "2021"',
        "not done = 1 and not year = true and not lang = true and not lang",
        "not other = 1 and other != 1 and other not in (1) and not other < 1 and not other >= 1 and not other",
        'nothing != "x" and not nothing and nothing not like "%"',
        "lang in () or not lang in ()",
        'author.name = "Ada" and author.`e-mail address` = "a@b" and author.`name.short` = "A"',
        'not author = "Ada" and author != "Ada"',
        # built-in fields and what they hide
        'id = "notes/git.md" and title like "G%" and path like "docs/%" and metadata.id = "hidden"',
        'metadata.lang = "en" and `lang` = "en" and `in` = 1 and `id` like "%.md"',
        # numbers
        "exact = 9007199254740993 and exact != 9007199254740992 and exact != 9007199254740992.0",
        "exact > 9007199254740992.0",
        "big > 9223372036854775807 and big > 1e308 and big != 1180591620717411303424.0 and exists big",
        "small < -9223372036854775808 and small < -1e308 and small <= -9223372036854775808",
        # texts
        r'nul = "a\u0000b" and nul > "a" and nul like "a_b" and nul like "a\u0000%" and nul != "a"',
        r'lang like "e%" and lang like "%n" and lang like "__" and lang like "%" and not lang like "E%"',
        'lang = "en" AND NOT draft Or Exists other',
        "year >= 2020 and not (draft or lang = 'de')",
        "other = 1 and other = 1 or lang = 'en'",
        "lang = 'en' or other = 1 and other = 1",
    ],
)
def test_filter_is_true_of_the_document(text):
    assert parse_filter(text).matches(DOCUMENT) is True
    assert (~parse_filter(text)).matches(DOCUMENT) is False
    assert parse_filter(str(parse_filter(text))) == parse_filter(text)


def test_path_is_missing_where_there_is_no_file():
    for document in ({"id": "a", "title": "", "metadata": {}}, {"id": "a", "title": "", "path": None, "metadata": {}}):
        assert not parse_filter('path like "%"').matches(document)
        assert not parse_filter("exists path").matches(document)
        assert parse_filter('path != "x"').matches(document)
        assert parse_filter("exists id and exists title").matches(document)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("", "a", False),
        ("%", "", True),
        ("_", "", False),
        ("_", "😀", True),
        ("a%c", "abbc", True),
        ("a%c", "abbcd", False),
        ("%b%", "abc", True),
        ("%ab%ab", "abab", True),
        ("%ab%ab", "ab ab ab", True),
        ("%ab%ab", "aab", False),
        ("a%", "\n", False),
        ("a%", "a\nb", True),
        (r"100\%", "100%", True),
        (r"100\%", "100x", False),
        (r"a\_b", "axb", False),
        (r"a\\%", r"a\b", True),
        ("*?[a]", "*?[a]", True),
        ("*", "a", False),
        ("[a-z]", "b", False),
    ],
)
def test_like(pattern, text, expected):
    assert fits(text, as_pattern(pattern)) is expected
    assert Like(("title",), pattern).matches({"title": text}) is expected


def test_like_with_many_wildcards_ends():
    # A matcher that tries every split would not come back from this within a lifetime.
    assert not fits("a" * 3_000, as_pattern("%a" * 200 + "b"))


# Python


def test_filters_made_in_python_are_those_read_from_text():
    lang, year = field("lang"), field("year")
    assert (lang == "en") == parse_filter('lang = "en"')
    assert (lang != "en") == parse_filter('lang != "en"') == ~(lang == "en")
    assert [year < 1, year <= 1, year > 1, year >= 1] == [parse_filter(f"year {op} 1") for op in ("<", "<=", ">", ">=")]
    assert (2020 <= year) == (year >= 2020)  # noqa: SIM300 - the reflected operator is what is tested
    assert lang.in_(["a", "b"]) == parse_filter('lang in ("a", "b")')
    assert ~lang.in_(()) == parse_filter("lang not in ()")
    assert lang.like("x%") == parse_filter('lang like "x%"')
    assert lang.exists() == parse_filter("exists lang")
    assert lang.is_true() == parse_filter("lang")
    one = ((lang == "en") & (year >= 1) & field("draft").is_true()) | ~field("a.b").exists()
    assert one == parse_filter('(lang = "en" and year >= 1 and draft) or not exists a.b')
    assert one == parse_filter('lang = "en" and year >= 1 and draft or not exists a.b')
    assert field(["my key", "x.y"]).exists() == parse_filter("exists `my key`.`x.y`")
    assert field("metadata.id").exists() == Exists(("metadata", "id"))
    assert field("id").exists() == Exists(("id",))
    assert repr(field(["id"])) == "field('id')"


def test_chains_are_flat():
    parts = [field("a") == number for number in range(4)]
    assert (parts[0] & parts[1]) & (parts[2] & parts[3]) == And(tuple(parts))
    assert parts[0] | (parts[1] | parts[2]) == Or(tuple(parts[:3]))
    assert (parts[0] & parts[1] | parts[2]) == Or((And((parts[0], parts[1])), parts[2]))


def test_true_is_not_one_in_the_equality_of_filters():
    assert (field("a") == 1) != (field("a") == True)  # noqa: E712 - it makes a filter
    assert field("a").in_([1, True]) != field("a").in_([True, 1])
    assert len({field("a") == 1, field("a") == True, field("a") == 1.0}) == 2  # noqa: E712 - it makes a filter


def test_a_filter_has_no_truth():
    year = field("year")
    for wrong in (
        lambda: (year >= 2020) and (year < 2022),
        lambda: 2020 <= year < 2022,
        lambda: not year.exists(),
        lambda: [year] and bool(year),
    ):
        with pytest.raises(TypeError, match=r"compare|combine"):
            wrong()


def test_filters_join_filters_only():
    one = field("a").exists()
    for wrong in (lambda: one & "b", lambda: one | True, lambda: one & field("b")):
        with pytest.raises(TypeError):
            wrong()
    for wrong in (lambda: Not("a = 1"), lambda: And((one, True)), lambda: And((one,)), lambda: Or(())):
        with pytest.raises(FilterError):
            wrong()


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


def test_values_of_subclasses_are_plain_values():
    values = [Colour.RED, Level.HIGH, np.int64(3), np.float64(0.5), np.float32(0.5), np.str_("x")]
    plain = field("a").in_(values)
    assert plain.values == ("red", 3, 3, 0.5, 0.5, "x")
    assert [type(value) for value in plain.values] == [str, int, int, float, float, str]
    assert str(plain) == 'a in ("red", 3, 3, 0.5, 0.5, "x")'


@pytest.mark.parametrize(
    "value", [None, b"a", [1], {"a": 1}, math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1, 10**4000, "\ud800", 1j]
)
def test_values_that_nothing_is_compared_with_are_refused(value):
    for wrong in (lambda: field("a") == value, lambda: field("a").in_([value]), lambda: field("a").like(value)):
        with pytest.raises(FilterError):
            wrong()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: field("a").in_("abc"),
        lambda: field("a") < True,
        lambda: field("a").like("a\\"),
        lambda: field("a").like("a\\b"),
        lambda: field("a").like(3),
        lambda: field("a").like("a" * 1_001),
        lambda: field("a").in_(range(MAX_VALUES + 1)),
        lambda: field(""),
        lambda: field("my key"),
        lambda: field("a."),
        lambda: field(".a"),
        lambda: field("`a"),
        lambda: field("a.1"),
        lambda: field([]),
        lambda: field([1]),
        lambda: field("title.x"),
        lambda: field("metadata"),
        lambda: field(".".join("a" * 33)),
        lambda: field(["a"] * 33),
        lambda: field(["\ud800"]).exists(),
        lambda: Comparison(("a",), "=", 1),
        lambda: Comparison(("metadata", "a"), "!=", 1),
        lambda: Exists(("metadata", 1)),
    ],
)
def test_what_makes_no_filter_is_refused(wrong):
    with pytest.raises(FilterError) as refused:
        wrong()
    assert refused.value.message.isprintable()


def test_public_names():
    assert vecsearch.Filter is Filter
    assert isinstance(vecsearch.field("a").exists(), vecsearch.Filter)
    assert issubclass(FilterError, vecsearch.UsageError)
    assert FilterError.code == "filter"


# text


@pytest.mark.parametrize(
    ("text", "filter"),
    [
        ("a", IsTrue(("metadata", "a"))),
        ("not not a", Not(Not(IsTrue(("metadata", "a"))))),
        ("a-b_c.d = -1.5e-3", Comparison(("metadata", "a-b_c", "d"), "=", -0.0015)),
        ("größe>=1", Comparison(("metadata", "größe"), ">=", 1)),
        ("a.metadata = 1", Comparison(("metadata", "a", "metadata"), "=", 1)),
        ("metadata.metadata.id = 1", Comparison(("metadata", "metadata", "id"), "=", 1)),
        (r"`a\`b\u0000` = 'it\'s \" \ud83d\ude00'", Comparison(("metadata", "a`b\x00"), "=", "it's \" 😀")),
        ("a in(1,'1',TRUE)", In(("metadata", "a"), (1, "1", True))),
        (r"a not like '\\%'", Not(Like(("metadata", "a"), "\\%"))),
        ("(((a)))", IsTrue(("metadata", "a"))),
        ("\ta\n=\u20031 ", Comparison(("metadata", "a"), "=", 1)),
    ],
)
def test_parse(text, filter):
    assert parse_filter(text) == filter
    assert parse_filter(str(filter)) == filter


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        ("", 0, "empty"),
        ("  ", 0, "empty"),
        ("a =", 3, "expected a value after =: a string in quotes, a number, true or false, found the end"),
        ("a == 1", 3, "one ="),
        ("lang = en", 7, "text stands in quotes"),
        ("lang in (en)", 9, "text stands in quotes"),
        ("a & b", 2, "'&' means nothing here"),
        ("a = 1 b = 2", 6, "expected and, or, or the end, found 'b'"),
        ("a = 1)", 5, "expected and, or, or the end"),
        ("(a = 1", 6, "expected and, or, or ), found the end"),
        ("a = 1 and", 9, "expected a condition"),
        ("and a", 0, "expected a condition: a key, exists, not or (, found and"),
        ("= 1", 0, "expected a condition"),
        ("true", 0, "expected a condition"),
        ("1 = a", 0, "expected a condition"),
        ("a = 'x", 4, "never closed"),
        (r"a = 'x\q'", 6, "no escape"),
        (r"a = '\ud800'", 5, "surrogate"),
        ("a = '\ud800'", 4, "surrogate"),
        ("`a = 1", 0, "never closed"),
        ("a. = 1", 2, "expected the name of a key"),
        ("title.x = 1", 0, "metadata.title.x"),
        ("metadata = 1", 0, "metadata.year"),
        ("date > 2020-01-05", 7, "in quotes"),
        ("a = 12ab", 4, "in quotes"),
        ("a = 9223372036854775808", 4, "64 bits"),
        ("a = " + "9" * 5_000, 4, "64 bits"),
        ("a = 1e999", 4, "finite"),
        ("a < true", 4, "no order"),
        ("a not = 1", 6, "expected in or like after not"),
        ("a in 1", 5, "in parentheses"),
        ("a in (1 2)", 8, "expected , or )"),
        ("a in (1,)", 8, "expected a value"),
        ("a like 1", 7, "a pattern in quotes"),
        (r"a like 'x\\y'", 7, "backslash"),
        ("exists = 1", 7, "a key after exists"),
        ("in = 1", 0, "expected a condition"),
    ],
)
def test_text_that_is_no_filter_is_refused_at_its_place(text, offset, words):
    with pytest.raises(FilterError) as refused:
        parse_filter(text)
    error = refused.value
    assert words in error.message
    assert (error.text, error.offset) == (text, offset)
    assert error.message.endswith(f", at character {offset + 1} of the filter")
    assert error.message.isprintable()


def test_pointer_shows_the_place():
    with pytest.raises(FilterError) as refused:
        parse_filter("lang = en and x")
    assert refused.value.pointer == "lang = en and x\n       ^"
    with pytest.raises(FilterError) as refused:
        parse_filter("漢 =\n!")
    assert refused.value.pointer == "漢 = !\n     ^"
    with pytest.raises(FilterError) as refused:
        parse_filter("a = 1 and " * 10 + "b ! " + "c" * 100)
    line, mark = refused.value.pointer.split("\n")
    assert line[len(mark) - 1] == "!"
    assert (line[0], line[-1], len(line) < 90) == ("…", "…", True)


def test_text_of_filters():
    for text in (
        'lang = "en" and not (year < 2020 or draft)',
        '(a != 1 or b not in (1, "x", true)) and c not like "%\\\\%"',
        'metadata.id = 1 or id like "é" or `a b`.c or not exists `\\u0000\\u007f\\u2028`',
        "not not a != 1",
    ):
        assert str(parse_filter(text)) == text


# limits


def test_depth_is_limited_and_never_a_recursion_error():
    deepest = "not " * (MAX_DEPTH - 1) + "a"
    assert parse_filter(deepest).depth == MAX_DEPTH
    assert parse_filter(str(parse_filter(deepest))) == parse_filter(deepest)
    for text in ("not " + deepest, "not " * 100_000 + "a", "(" * 100_000, "(" * 50_000 + "a" + ")" * 50_000):
        with pytest.raises(FilterError, match="nested more than 32 deep"):
            parse_filter(text)
    one = field("a").exists()
    for _ in range(MAX_DEPTH - 1):
        one = ~one
    with pytest.raises(FilterError, match="nested more than 32 deep"):
        Not(one)


def test_nested_chains_at_the_limit_are_read_back():
    one = field("a").exists()
    for level in range(MAX_DEPTH - 1):
        other = field("b") == level
        one = And((one, other)) if level % 2 else Or((other, one))
    assert one.depth == MAX_DEPTH
    assert parse_filter(str(one)) == one


def test_nodes_are_limited():
    most = " or ".join(["a = 1"] * (MAX_NODES - 1))
    assert parse_filter(most).n_nodes == MAX_NODES
    for text in (most + " or a = 1", most + " or a = 1" * 2, "a = 1 and " * 100_000 + "a"):
        with pytest.raises(FilterError, match=r"at most 1,000|more than 1,000"):
            parse_filter(text)
    one = field("a").exists()
    for _ in range(8):
        one = And((one, one))
    assert one.n_nodes == 511
    with pytest.raises(FilterError, match="1,023 conditions; at most 1,000"):
        And((one, one))


def test_values_of_a_list_are_limited():
    most = f"a in ({','.join(map(str, range(MAX_VALUES)))})"
    assert parse_filter(most).matches({"metadata": {"a": 9_999}})
    with pytest.raises(FilterError, match="10,001 values") as refused:
        parse_filter(most[:-1] + ",1)")
    assert refused.value.offset == 5


# keys and types


def test_field_types():
    assert field_types({}) == set()
    assert field_types(DOCUMENT["metadata"]) == {
        ("lang", "string"),
        ("year", "number"),
        ("score", "number"),
        ("draft", "bool"),
        ("done", "bool"),
        ("nothing", "null"),
        ("tags", "string"),
        ("tags", "number"),
        ("tags", "null"),
        ("tags", "bool"),
        ("empty", "list"),
        ("author", "object"),
        ("author.name", "string"),
        ("author.`e-mail address`", "string"),
        ("author.`name.short`", "string"),
        ("authors", "object"),
        ("nested", "list"),
        ("id", "string"),
        ("big", "number"),
        ("small", "number"),
        ("exact", "number"),
        ("nul", "string"),
        ("`in`", "number"),
    }


def test_field_types_of_deep_objects_end_where_keys_end():
    deep: dict[str, object] = {"a": 1}
    for _ in range(500):
        deep = {"a": deep}
    names = {name for name, _ in field_types(deep)}
    assert names == {".".join("a" * n) for n in range(1, 33)}


def test_fields():
    one = parse_filter("a.b = 1 and not (c in (1, 'x') or exists d or e) and title = 'x' and metadata.id like 'x'")
    assert one.fields() == {
        ("a.b", "number"),
        ("c", "number"),
        ("c", "string"),
        ("d", None),
        ("e", "bool"),
        ("id", "string"),
    }
    assert parse_filter("a in ()").fields() == {("a", None)}


KNOWN = {
    "year": frozenset({"number"}),
    "lang": frozenset({"string", "null"}),
    "meta": frozenset({"object"}),
    "meta.lang": frozenset({"string"}),
    "nothing": frozenset({"null"}),
}


@pytest.mark.parametrize(
    "text",
    ["year > 1 and lang = 'x' and exists meta and meta.lang in ('x') and id = 'x' and path like 'x'", "exists nothing"],
)
def test_check_passes_what_documents_have(text):
    check_fields(parse_filter(text), KNOWN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yaer > 1", "no document has the metadata key yaer; did you mean year?"),
        ("Lang = 'en'", "no document has the metadata key Lang; did you mean lang"),
        ("YEAR = 1", "no document has the metadata key YEAR; did you mean year?"),
        ("meta.lnag = 'en'", "did you mean meta.lang"),
        ("zzz", "no document has the metadata key zzz; there are lang, meta, meta.lang, nothing, year"),
        ("exists zzz", "no document has the metadata key zzz"),
        ("not (year = 1 and not zzz = 1)", "no document has the metadata key zzz"),
        ("year = '2020'", 'year is compared with a string, but its values are of type number: year = "2020"'),
        ("year in (1, '1')", "year is compared with a string"),
        ("year", "year is compared with a bool"),
        ("lang = 1", "lang is compared with a number, but its values are of type string"),
        ("nothing = 1", "its values are of type null"),
        ("meta like 'x'", "its values are of type object"),
        ("title = 1", "title is compared with a number, but its values are of type string"),
        ("metadata.id = 'x'", "no document has the metadata key id"),
    ],
)
def test_check_refuses_what_no_document_has(text, message):
    with pytest.raises(FilterError) as refused:
        check_fields(parse_filter(text), KNOWN)
    assert message in refused.value.message


def test_check_says_when_there_is_no_metadata():
    with pytest.raises(FilterError, match="no document has any metadata"):
        check_fields(parse_filter("a = 1"), {})


def test_spelling_of_keys():
    assert key_name(["a", "b"]) == "a.b"
    assert key_name(["a.b"]) == "`a.b`"
    assert key_name(["", "Not", "1", "-a", "a-", "\n", "`", '"']) == r"``.`Not`.`1`.`-a`.a-.`\n`.`\``.`\"`"
    assert key_parts(r"``.`Not`.`1`.`-a`.a-.`\n`.`\``.`\"`") == ("", "Not", "1", "-a", "a-", "\n", "`", '"')
    assert key_parts("not.in") == ("not", "in")
    with pytest.raises(FilterError) as refused:
        key_parts("my key")
    assert (refused.value.offset, "`my key`" in refused.value.message) == (2, True)
