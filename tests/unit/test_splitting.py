"""Where passages are cut, on texts small enough to read."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from vecsearch import UsageError
from vecsearch.splitting import SMALLEST_SECTION, cut, line_starts


def words(text: str) -> np.ndarray:
    return np.array([match.span() for match in re.finditer(r"\w+|[^\w\s]", text)], np.int32).reshape(-1, 2)


def passages(text: str, max_tokens: int, sections: tuple[int, ...] = ()) -> list[str]:
    places = cut(text, words(text), max_tokens=max_tokens, sections=sections).tolist()
    return [text[begin:end] for begin, end in itertools.pairwise(places)]


@pytest.mark.parametrize("text", ["", " ", "\n\n\t", "\N{ZERO WIDTH JOINER}"])
def test_text_without_tokens_is_one_passage(text):
    places = cut(text, np.zeros((0, 2), np.int32), max_tokens=4)
    assert places.tolist() == [0, len(text)]
    assert places.dtype == np.int64


def test_text_within_the_limit_is_one_passage():
    assert passages("One. Two.\n\nThree.", 6) == ["One. Two.\n\nThree."]


def test_blank_line_is_stronger_than_a_later_sentence_end():
    assert passages("a b c d\n\ne. F g h i j", 8) == ["a b c d\n\n", "e. F g h i j"]


def test_sentence_end_is_stronger_than_a_later_line_end():
    assert passages("a b c d. E f\ng h i j k", 8) == ["a b c d. ", "E f\ng h i j k"]


def test_line_end_is_stronger_than_later_white_space():
    assert passages("a b c d e\nf g h i j k", 8) == ["a b c d e\n", "f g h i j k"]


def test_among_equals_the_last_cut_is_taken():
    assert passages("a b. C d. E f. G h i j k", 8) == ["a b. C d. ", "E f. G h i j k"]


def test_cut_in_the_first_half_is_left_for_a_weaker_one_in_the_second():
    assert passages("a.\n\nb c d e f g h i j k", 8) == ["a.\n\nb c d e f g ", "h i j k"]


def test_run_without_white_space_is_cut_at_white_space_before_it():
    run = "-".join("abcdefgh")
    assert passages(f"one two {run}", 8) == ["one two ", "a-b-c-d-", "e-f-g-h"]


def test_only_a_run_longer_than_the_limit_is_cut_between_tokens():
    assert passages("a-b-c-d-e-f", 4) == ["a-b-", "c-d-", "e-f"]


def test_indentation_stays_with_its_line():
    assert passages("a b c d e\n\n    f g h i j k", 8) == ["a b c d e\n\n", "    f g h i j k"]


def test_blank_lines_of_dos_files_are_blank_lines():
    assert passages("a b c d\r\n\r\ne. F g h i j", 8) == ["a b c d\r\n\r\n", "e. F g h i j"]


def test_line_end_of_dos_files_is_no_blank_line():
    assert passages("a b c d. E f\r\ng h i j k", 8) == ["a b c d. ", "E f\r\ng h i j k"]


@pytest.mark.parametrize("mark", [". ", "! ", "? ", "… ", '." ', ".) ", "?” "])
def test_sentences_end_at_their_marks(mark):
    text = f"a b c d{mark}E f g h i j k l m"
    assert passages(text, 10)[0] == f"a b c d{mark}" or passages(text, 8)[0] == f"a b c d{mark}"


@pytest.mark.parametrize("text", ["a b e.g. C d f g h i j", "x a J. Smith d e f g h i j", "x a Dr. Who d e f g h i j"])
def test_abbreviations_end_no_sentence(text):
    assert not passages(text, 8)[0].endswith(". ")


def test_sentence_ends_of_scripts_without_spaces_are_found():
    text = "一二三四五。六七八九十一二"
    spans = np.array([(place, place + 1) for place in range(len(text))], np.int32)
    assert cut(text, spans, max_tokens=8).tolist() == [0, 6, 13]


def test_every_section_begins_a_passage():
    text = "alpha " * 40 + "beta " * 40 + "gamma " * 40
    assert passages(text, 256, (240, 440)) == ["alpha " * 40, "beta " * 40, "gamma " * 40]


def test_small_section_stays_with_what_follows():
    text = "title " * 3 + "beta " * 40 + "gamma " * 40
    assert passages(text, 256, (18, 218)) == ["title " * 3 + "beta " * 40, "gamma " * 40]


def test_last_small_section_stays_with_what_stands_before():
    assert passages("alpha " * 40 + "see also", 256, (240,)) == ["alpha " * 40 + "see also"]


def test_section_of_the_smallest_size_gets_a_passage():
    text = "a " * SMALLEST_SECTION + "b " * SMALLEST_SECTION
    assert passages(text, 256, (2 * SMALLEST_SECTION,)) == ["a " * SMALLEST_SECTION, "b " * SMALLEST_SECTION]
    assert len(passages(text, 256, (2 * SMALLEST_SECTION - 2,))) == 1


def test_long_section_is_cut_so_that_no_crumb_is_left():
    text = "word " * 260 + "next " * 100
    lengths = [len(words(passage)) for passage in passages(text, 256, (260 * 5,))]
    assert lengths == [228, 32, 100]


def test_sections_inside_tokens_or_outside_the_text_are_passed_over():
    text = "alpha " * 40 + "beta " * 40
    assert passages(text, 256, (-3, 0, 242, 10_000)) == [text]


def test_section_between_the_halves_of_a_line_end_is_passed_over():
    text = "alpha " * 40 + "\r\n" + "beta " * 40
    assert passages(text, 256, (241,)) == [text]
    assert passages(text, 256, (242,)) == [text[:242], text[242:]]


def test_sections_may_come_in_any_order_and_twice():
    text = "alpha " * 40 + "beta " * 40 + "gamma " * 40
    assert passages(text, 256, (440, 240, 440)) == passages(text, 256, (240, 440))


def test_tokens_of_one_character_are_never_parted():
    # Four byte tokens for each of three emoji, as a byte-level tokenizer gives them.
    spans = np.array([(place, place + 1) for place in range(3) for _ in range(4)], np.int32)
    assert cut("😀😃😄", spans, max_tokens=5).tolist() == [0, 1, 2, 3]
    assert cut("😀😃😄", spans, max_tokens=1).tolist() == [0, 1, 2, 3]


def test_graphemes_are_not_parted_between_their_tokens():
    text = "a\u0301" * 6  # a letter and its accent, each a token
    spans = np.array([(place, place + 1) for place in range(12)], np.int32)
    assert cut(text, spans, max_tokens=5).tolist() == [0, 4, 8, 12]


def test_grapheme_with_more_tokens_than_the_limit_is_parted_after_all():
    text = "a" + "\u0301" * 9
    spans = np.array([(place, place + 1) for place in range(10)], np.int32)
    assert cut(text, spans, max_tokens=4).tolist() == [0, 4, 8, 10]


def test_flags_are_not_parted_wherever_the_passage_begins():
    text = "🇩🇪" * 7
    spans = np.array([(place, place + 1) for place in range(14)], np.int32)
    assert (cut(text, spans, max_tokens=5) % 2 == 0).all()


def test_accent_on_a_space_stays_with_it():
    text = "ab cd ef \u0301gh"
    assert 9 not in cut(text, np.array([(0, 2), (3, 5), (6, 8), (10, 12)], np.int32), max_tokens=3).tolist()


def test_limit_below_one_is_refused():
    with pytest.raises(UsageError, match="max_tokens is 0"):
        cut("a", words("a"), max_tokens=0)


@pytest.mark.parametrize(
    "text", ["." * 300_000, "\n" * 300_000, "a\n\n" * 100_000, "\r" * 300_000, " \n" * 150_000, "\u0301" * 300_000]
)
def test_text_made_to_be_slow_is_cut(text):
    spans = np.array([(place, place + 1) for place in range(0, len(text), 3)], np.int32)
    places = cut(text, spans, max_tokens=256)
    assert np.diff(np.searchsorted(spans[:, 0], places)).max() <= 256


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("", [0]),
        ("a", [0]),
        ("a\n", [0, 2]),
        ("a\r\nb\rc\nd", [0, 3, 5, 7]),
        ("\n\r\n\r", [0, 1, 3, 4]),
        ("a\u2028b\x0bc\x0c", [0]),
    ],
)
def test_line_starts_are_those_of_editors(text, starts):
    assert line_starts(text).tolist() == starts
    assert line_starts(text).dtype == np.int64
