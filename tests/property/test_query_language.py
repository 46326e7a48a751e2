"""Any string is a query or a QueryError, and what comes out fits the string."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import QueryError
from vecsearch.query_language import LARGEST_DISTANCE, MOST_GROUPS, MOST_WORDS, ParsedQuery, parse_query

N_FUZZED = 10_000
PIECES = [
    '"',
    "NEAR(",
    ")",
    "(",
    ",",
    "~",
    "-",
    "=",
    "\\",
    '\\"',
    " ",
    "\n",
    "\t",
    "\x00",
    "3",
    "car",
    "日",
    "🚀",
    "é",
    "²",
]
VALID = [
    '"car crash"~3 dog',
    "NEAR(car =crash, 5) x",
    'a -"b c" -d =e',
    r'="a \"b\" c" -NEAR(f(x) y) z',
    '"a", =b; NEAR(c)',
]
SETTINGS = settings(derandomize=True, deadline=None, max_examples=1_000)


def check_error(error: QueryError, text: str) -> None:
    offset = error.facts["offset"]
    assert error.facts["query"] == text
    assert 0 <= offset < len(text)
    assert f"at character {offset + 1} " in error.message
    assert error.message.isprintable()
    line, caret = error.facts["pointer"].split("\n")
    assert len(line) <= 62
    assert len(caret) <= len(line)
    assert caret.strip(" ") == "^"
    pointed, shown = text[offset], line[len(caret) - 1]
    assert shown in (pointed, "?") or (shown == " " and pointed.isspace())


def check(text: str) -> ParsedQuery | None:
    """Parse a string and check all that must hold of any outcome."""
    try:
        parsed = parse_query(text)
    except QueryError as error:
        check_error(error, text)
        return None
    assert parsed.text == text
    assert len(parsed.plain) == len(text)
    assert all(p == t or (p == " " and not t.isspace()) for p, t in zip(parsed.plain, text, strict=True))
    groups = (*parsed.required, *parsed.excluded)
    assert len(groups) <= MOST_GROUPS
    assert parsed.is_plain == (not groups)
    if parsed.is_plain:
        assert parsed.plain == text
    covered = 0
    for group in sorted(groups, key=lambda group: group.start):
        assert covered <= group.start < group.end <= len(text)
        assert group.start == 0 or text[group.start - 1].isspace()
        covered = group.end
        assert 1 <= len(group.words) <= MOST_WORDS
        assert 0 <= group.slop <= LARGEST_DISTANCE
        at = group.start
        for word in group.words:
            assert at <= word.start < word.end <= group.end
            at = word.end
            assert word.text
            assert not any(map(str.isspace, word.text))
            if group in parsed.excluded:
                assert word.is_exact
            else:
                has_quotes = text[group.start :].lstrip("=").startswith('"')
                written = text[word.start : word.end]
                kept = written.replace('\\"', ' "') if has_quotes else written
                assert parsed.plain[word.start : word.end] == kept
        if group in parsed.excluded:
            assert not parsed.plain[group.start : group.end].strip()
    return parsed


@given(st.text())
@SETTINGS
def test_any_text_is_a_query_or_a_query_error(text: str) -> None:
    check(text)


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
@SETTINGS
def test_any_sequence_of_operators_is_a_query_or_a_query_error(text: str) -> None:
    check(text)


def test_mutated_queries_are_queries_or_query_errors() -> None:
    generator = np.random.default_rng(11)
    n_parsed = 0
    for number in range(N_FUZZED):
        text = VALID[number % len(VALID)]
        for _ in range(int(generator.integers(1, 4))):
            at, until = sorted(generator.integers(0, len(text) + 1, 2).tolist())
            until = min(until, at + int(generator.integers(0, 4)))
            piece = PIECES[int(generator.integers(len(PIECES)))]
            text = text[:at] + piece + text[until:]
        n_parsed += check(text) is not None
    assert N_FUZZED // 4 < n_parsed < N_FUZZED  # both outcomes are exercised


@given(st.lists(st.from_regex(r"[a-z][a-z.'-]{0,5}", fullmatch=True), min_size=1, max_size=6), st.integers(0, 99))
@SETTINGS
def test_what_is_written_by_the_grammar_is_read_back(words: list[str], slop: int) -> None:
    body = " ".join(words)
    for written, kind, expected in (
        (f'"{body}"~{slop}', "phrase", slop),
        (f'"{body}"', "phrase", 0),
        (f"NEAR({body}, {slop})", "near", slop),
        (f"NEAR({body})", "near", 10),
    ):
        for sign, n_required, n_excluded in (("", 1, 0), ("=", 1, 0), ("-", 0, 1), ("-=", 0, 1)):
            parsed = parse_query(f"x {sign}{written} y")
            assert (len(parsed.required), len(parsed.excluded)) == (n_required, n_excluded)
            (group,) = parsed.required or parsed.excluded
            assert (group.kind, group.slop) == (kind, expected)
            assert [word.text for word in group.words] == words
            assert {word.is_exact for word in group.words} == {sign != ""}
            assert (parsed.plain.split() == ["x", *words, "y"]) == (n_required == 1)
