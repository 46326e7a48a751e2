"""The query language: what is an operator, what is plain text, and where an error points."""

from __future__ import annotations

import pytest

from vecsearch import QueryError
from vecsearch.query_language import (
    DEFAULT_DISTANCE,
    LARGEST_DISTANCE,
    MOST_GROUPS,
    MOST_WORDS,
    Group,
    Word,
    parse_query,
)

PLAIN = [
    "",
    "   ",
    "undo the last commit",
    "it's",
    '5"',
    'a 27" screen and a 5" disk',
    "a-b",
    "x=1",
    "foo(-bar)",
    '("car crash")',
    "C++",
    "-",
    "=",
    "--",
    "- a",
    "= a",
    "--force",
    "a -> b => c <= d == e -- f",
    ":-) -) =)",
    "-(a b)",
    "-=",
    "-==a",
    "=-a",
    "near(a b)",
    "NEAR a",
    "NEAR (a b)",
    "xNEAR(a b)",
    'say"car crash"',
    "a~3",
    "“car crash”",
    "\\",
    "\x00 \ud800 \u3000",
]


@pytest.mark.parametrize("text", PLAIN)
def test_everything_else_is_plain_text(text: str) -> None:
    parsed = parse_query(text)
    assert parsed.is_plain
    assert parsed.plain == parsed.text == text


def shown(groups: tuple[Group, ...]) -> list[str]:
    """Write groups down: kind, slop and words, exact ones with ``=``."""
    return [
        f"{group.kind} {group.slop}: " + " ".join("=" * word.is_exact + word.text for word in group.words)
        for group in groups
    ]


@pytest.mark.parametrize(
    ("text", "plain", "required", "excluded"),
    [
        ('"car crash"', " car crash ", ["phrase 0: car crash"], []),
        ('"car crash"~3', " car crash   ", ["phrase 3: car crash"], []),
        ('"car crash"~0003', " car crash      ", ["phrase 3: car crash"], []),
        ('"car"~1000000', " car         ", ["phrase 1000000: car"], []),
        ("NEAR(car crash, 5)", "     car crash    ", ["near 5: car crash"], []),
        ("NEAR( car\ncrash ,5 )", "      car\ncrash     ", ["near 5: car crash"], []),
        ("NEAR(car crash)", "     car crash ", ["near 10: car crash"], []),
        ("NEAR(car)", "     car ", ["near 10: car"], []),
        ("NEAR(f(x) g(), 2)", "     f(x) g()    ", ["near 2: f(x) g()"], []),
        ("NEAR(1,000 men, 2)", "     1,000 men    ", ["near 2: 1,000 men"], []),
        ('NEAR(5" disk)', '     5" disk ', ['near 10: 5" disk'], []),
        ("=car", " car", ["phrase 0: =car"], []),
        ("=C++ x", " C++ x", ["phrase 0: =C++"], []),
        ('"=car crash"', "  car crash ", ["phrase 0: =car crash"], []),
        ('="car =crash"~1', "  car  crash   ", ["phrase 1: =car =crash"], []),
        ("NEAR(=car =crash, 5)", "      car  crash    ", ["near 5: =car =crash"], []),
        ("=NEAR(car crash)", "      car crash ", ["near 10: =car =crash"], []),
        ("a -car", "a     ", [], ["phrase 0: =car"]),
        ("a -=car", "a      ", [], ["phrase 0: =car"]),
        ("a -🚀", "a   ", [], ["phrase 0: =🚀"]),
        ("a -.gitignore b", "a             b", [], ["phrase 0: =.gitignore"]),
        ('-"car crash"~2 a', "               a", [], ["phrase 2: =car =crash"]),
        ("-NEAR(car crash, 2) a", "                    a", [], ["near 2: =car =crash"]),
        ('a "b" -c =d', "a  b      d", ["phrase 0: b", "phrase 0: =d"], ["phrase 0: =c"]),
        ('a\t"b\nc"', "a\t b\nc ", ["phrase 0: b c"], []),
        (r'"say \"no\" twice"', '  say  "no " twice '[1:], ['phrase 0: say "no" twice'], []),
        (r'"C:\dir"', r" C:\dir ", [r"phrase 0: C:\dir"], []),
        ('"--force => -x ="', " --force => -x = ", ["phrase 0: --force => -x ="], []),
        ('"..."', " ... ", ["phrase 0: ..."], []),
        ('"car", "bus"~2.', " car ,  bus   .", ["phrase 0: car", "phrase 2: bus"], []),
        ('"car""bus"-a', ' car "bus"-a', ["phrase 0: car"], []),
        ("NEAR(car)-a", "     car -a", ["near 10: car"], []),
        ("- =a", "-  a", ["phrase 0: =a"], []),
    ],
)
def test_operators(text: str, plain: str, required: list[str], excluded: list[str]) -> None:
    parsed = parse_query(text)
    assert parsed.plain == plain
    assert shown(parsed.required) == required
    assert shown(parsed.excluded) == excluded
    assert not parsed.is_plain


def test_spans_point_into_the_query() -> None:
    text = ' x  -NEAR(=dog\tcat, 3) "a \\"b\\""~2!'
    parsed = parse_query(text)
    (near,), (phrase,) = parsed.excluded, parsed.required
    assert text[near.start : near.end] == "-NEAR(=dog\tcat, 3)"
    assert near.words == (Word("dog", True, 11, 14), Word("cat", True, 15, 18))
    assert text[phrase.start : phrase.end] == '"a \\"b\\""~2'
    assert [text[word.start : word.end] for word in phrase.words] == ["a", '\\"b\\"']
    assert phrase.words[1].text == '"b"'


def test_near_without_a_number_is_that_of_fts5() -> None:
    assert DEFAULT_DISTANCE == 10


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ('"car crash', 0, 'the phrase at character 1 is not closed; end it with "'),
        ('a -"b', 2, 'the phrase at character 3 is not closed; end it with "'),
        ('"a\\"', 0, 'the phrase at character 1 is not closed; end it with "'),
        ("x NEAR(a b", 2, "NEAR at character 3 is not closed; end it with )"),
        ("NEAR(f( a, 2)", 0, "NEAR at character 1 is not closed; end it with )"),
        ('x ""', 2, "the phrase at character 3 holds no word; write one or more, or leave it out"),
        ('" \n"', 0, "the phrase at character 1 holds no word; write one or more, or leave it out"),
        ("NEAR()", 0, "NEAR at character 1 holds no word; write one or more, or leave it out"),
        ("NEAR( , 5)", 0, "NEAR at character 1 holds no word; write one or more, or leave it out"),
        ('"a b"~x', 6, "the distance at character 7 is 'x'; it must be a whole number, such as 5"),
        ('"a b"~', 6, "the distance at character 7 is ''; it must be a whole number, such as 5"),
        ('"a b"~3x', 6, "the distance at character 7 is '3x'; it must be a whole number, such as 5"),
        ('"a b"~3.5', 6, "the distance at character 7 is '3.5'; it must be a whole number, such as 5"),
        ('"a b"~-3', 6, "the distance at character 7 is '-3'; it must be a whole number, such as 5"),
        ('"a b"~٣', 6, "the distance at character 7 is '٣'; it must be a whole number, such as 5"),
        ("NEAR(a, b)", 8, "the distance at character 9 is 'b'; it must be a whole number, such as 5"),
        ("NEAR(a b,)", 9, "the distance at character 10 is ''; it must be a whole number, such as 5"),
        ("NEAR(a, b\nc)", 8, "the distance at character 9 is 'b c'; it must be a whole number, such as 5"),
        ("NEAR(a b, 1000001)", 10, "the distance at character 11 is too large; at most 1,000,000 is allowed"),
        ('"a"~' + "9" * 5000, 4, "the distance at character 5 is too large; at most 1,000,000 is allowed"),
        ('NEAR("a b" c)', 5, "the quote at character 6 begins a phrase, which NEAR cannot hold; write its words only"),
        ("-car", 0, "the exclusion at character 1 stands alone; add words to find"),
        (' -"car" -x ', 1, "the exclusion at character 2 stands alone; add words to find"),
    ],
)
def test_unfinished_operators_are_errors_that_say_where(text: str, offset: int, message: str) -> None:
    with pytest.raises(QueryError) as raised:
        parse_query(text)
    assert str(raised.value) == message
    assert raised.value.to_dict() == {
        "error": "query",
        "message": message,
        "query": text,
        "offset": offset,
        "pointer": raised.value.pointer,  # type: ignore[attr-defined]
    }


def pointer_of(text: str) -> list[str]:
    with pytest.raises(QueryError) as raised:
        parse_query(text)
    return str(raised.value.pointer).split("\n")  # type: ignore[attr-defined]


def test_the_pointer_has_one_column_a_character() -> None:
    assert pointer_of('a\tb\n日e\u0301\x00 "c') == ['a b ?e?? "c', "         ^"]


def test_the_pointer_shows_a_long_query_around_the_place() -> None:
    line, caret = pointer_of("x" * 200 + ' "c' + " y" * 100)
    assert len(line) == 62
    assert line[len(caret) - 1 :].startswith('"c y y')
    assert line[0] == line[-1] == "…"


def test_the_distance_may_be_as_large_as_said_and_no_larger() -> None:
    assert parse_query(f'"a"~{LARGEST_DISTANCE}').required[0].slop == LARGEST_DISTANCE
    assert parse_query('"a"~' + "0" * 5000 + "7").required[0].slop == 7


def test_groups_and_their_words_are_limited() -> None:
    assert len(parse_query("=a " * MOST_GROUPS).required) == MOST_GROUPS
    with pytest.raises(QueryError, match=f"at character {3 * MOST_GROUPS + 1} is one too many; a query has at most 64"):
        parse_query("=a " * MOST_GROUPS + "-b")
    assert len(parse_query('"' + "a " * MOST_WORDS + '"').required[0].words) == MOST_WORDS
    with pytest.raises(QueryError, match="the word at character 130 is one too many; the phrase has at most 64"):
        parse_query('"' + "a " * MOST_WORDS + 'b"')
    with pytest.raises(QueryError, match="one too many; NEAR has at most 64"):
        parse_query("NEAR(" + "a " * MOST_WORDS + "b)")
