import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.cli.excerpt import excerpt, line_number, merged, near_matches
from vecsearch.types import Match


def matches_of(text: str, *words: str, similarity: float = 0.9) -> list[Match]:
    places = [(text.index(word), text.index(word) + len(word)) for word in words]
    return [Match(start, end, number, number + 1, similarity) for number, (start, end) in enumerate(places)]


def shown(text: str, *words: str, columns: int = 40, n_lines: int | None = 3) -> list[str]:
    rows = excerpt(text, matches_of(text, *words), columns=columns, n_lines=n_lines)
    return [
        ("… " if row.leads else "")
        + "".join(f"[{piece}]" if is_marked else piece for piece, is_marked in row.pieces(text))
        + (" …" if row.trails else "")
        for row in rows
    ]


def test_merged_joins_what_overlaps_or_touches() -> None:
    assert merged([(8, 9), (0, 3), (2, 5), (5, 6), (0, 1)]) == [(0, 6), (8, 9)]


def test_near_matches_drops_the_far_and_the_empty() -> None:
    near, far, empty = Match(0, 1, 0, 1, 0.6), Match(0, 1, 0, 1, 0.59), Match(2, 2, 0, 1, 0.9)
    assert near_matches([near, far, empty], 0.6) == [near]


def test_a_short_passage_is_shown_whole_with_its_matches_marked() -> None:
    assert shown("The dog bit the man.\n", "dog", "man") == ["The [dog] bit the [man]."]


def test_the_lines_with_the_most_matches_are_shown_and_both_cuts_are_marked() -> None:
    text = "\n".join(f"line {number} here" for number in range(10, 30))
    assert shown(text, "17", "18", "25") == ["… line [17] here", "line [18] here", "line 19 here …"]


def test_a_word_of_the_query_found_ten_times_counts_once() -> None:
    text = "I I I I I\nI I I\nnothing\nnothing\nI undo\nthe commit"
    matches = [Match(at, at + 1, 0, 1, 0.9) for at, sign in enumerate(text) if sign == "I"]
    matches += [
        Match(text.index(word), text.index(word) + 1, at, at + 1, 0.7) for at, word in ((2, "undo"), (7, "commit"))
    ]
    rows = excerpt(text, matches, columns=40, n_lines=2)
    assert [text[row.start : row.end] for row in rows] == ["I undo", "the commit"]


def test_a_single_match_is_shown_with_what_stands_around_it() -> None:
    text = "\n".join(f"line {number} here" for number in range(10, 30))
    assert shown(text, "20") == ["… line 19 here", "line [20] here", "line 21 here …"]


def test_without_matches_the_beginning_is_shown() -> None:
    text = "\n\none\ntwo\nthree\nfour\n"
    assert shown(text) == ["one", "two", "three …"]


def test_long_lines_are_broken_between_words() -> None:
    text = "alpha beta gamma delta epsilon zeta"
    assert shown(text, "gamma", columns=12) == ["alpha beta", "[gamma] delta", "epsilon zeta"]


def test_a_word_longer_than_a_line_is_broken_but_no_character_is() -> None:
    assert shown("x" * 10 + "e\u0301" + "y" * 3, columns=11) == ["x" * 10 + "e\u0301", "yyy"]


def test_indentation_stays() -> None:
    assert shown("def f():\n    return 1\n", "return") == ["def f():", "    [return] 1"]


def test_blank_text_gives_no_lines() -> None:
    assert shown(" \n\t\n") == []
    assert shown("") == []


def test_line_ends_of_all_systems_end_a_line() -> None:
    assert shown("a\r\nb\rc\nd", n_lines=None) == ["a", "b", "c", "d"]
    assert [line_number("a\r\nb\rc\nd", offset) for offset in (0, 1, 2, 3, 5, 7)] == [0, 0, 0, 1, 2, 3]


@given(
    st.text(alphabet="ab \t\n\re\u0301日", max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9), st.floats(-1, 1)), max_size=6),
    st.integers(1, 20),
    st.one_of(st.none(), st.integers(1, 5)),
)
def test_an_excerpt_is_made_of_the_text_in_order_and_loses_only_white_space_inside(
    text: str, spans: list[tuple[int, int, float]], columns: int, n_lines: int | None
) -> None:
    places = [(min(start, len(text)), min(start + length, len(text)), value) for start, length, value in spans]
    matches = [Match(start, end, 0, 1, value) for start, end, value in places if start < end]
    rows = excerpt(text, matches, columns=columns, n_lines=n_lines)
    assert bool(rows) == bool(text.strip())
    if n_lines is not None:
        assert len(rows) <= n_lines
    at = rows[0].start if rows else 0
    for row in rows:
        assert at <= row.start <= row.end
        assert not text[at : row.start].strip()
        assert "".join(piece for piece, _ in row.pieces(text)) == text[row.start : row.end]
        at = row.end
    if rows and n_lines is None:
        assert not text[: rows[0].start].strip()
        assert not text[rows[-1].end :].strip()
        marked = {place for row in rows for start, end in row.marked for place in range(start, end)}
        wanted = {place for match in matches for place in range(match.start, match.end)}
        assert marked == {place for place in wanted if any(row.start <= place < row.end for row in rows)}


@pytest.mark.parametrize(
    "grapheme", ["e\u0301", "👩\u200d👩\u200d👧\u200d👦", "🇩🇪", "👍🏽", "\u0915\u094d\u0937\u093f", "각"]
)
def test_a_run_without_white_space_is_never_cut_within_a_grapheme(grapheme: str) -> None:
    text = grapheme * 40
    lines = excerpt(text, [], columns=21, n_lines=None)
    assert "".join(text[line.start : line.end] for line in lines) == text
    assert len(lines) > 1
    for line in lines:
        assert text[line.start : line.end].count(grapheme) * len(grapheme) == line.end - line.start
