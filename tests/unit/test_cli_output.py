import io
import json

import pytest

from vecsearch.cli import output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve, 日本語, 👩‍👩‍👧, e\u0301", "plain, naïve, 日本語, 👩‍👩‍👧, e\u0301"),
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x1b[2J", "␛[2J"),
        ("\x00\x08\x7f", "␀␈␡"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("\u202eabc\u2066\u2069\u200f", "\\u202eabc\\u2066\\u2069\\u200f"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\u206a\u206f", "\\u206a\\u206f"),
        ("\ud800", "\\ud800"),
    ],
)
def test_visible_shows_what_would_act_on_a_terminal_and_keeps_the_rest(text: str, shown: str) -> None:
    assert output.visible(text) == shown


def test_visible_leaves_no_control_character_but_newline_and_tab() -> None:
    everything = "".join(map(chr, range(0x300)))
    left = {sign for sign in output.visible(everything) if ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0}
    assert left == {"\n", "\t"}


def test_one_line_shows_line_ends_and_tabs() -> None:
    assert output.one_line("a\nb\r\nc\td") == "a␊b␍␊c␉d"


@pytest.mark.parametrize(
    ("text", "columns"), [("", 0), ("abc", 3), ("日本", 4), ("e\u0301", 1), ("שלום", 4), ("a\u200db", 2)]
)
def test_width_counts_columns_of_a_terminal(text: str, columns: int) -> None:
    assert output.width(text) == columns


@pytest.mark.parametrize("text", ["naïve 日本語", "\x1b\x9b\x7f\u202e\u2028", "lone \ud800 surrogate", 'quote " \\ \n'])
def test_json_line_reads_back_as_the_same_text_and_cannot_act_on_a_terminal(text: str) -> None:
    line = output.json_line({"text": text})
    assert json.loads(line) == {"text": text}
    assert output.one_line(line) == line
    line.encode()


def test_json_line_keeps_letters_as_they_are() -> None:
    assert output.json_line("naïve 日本語") == '"naïve 日本語"'


def test_write_json_is_ascii_where_stdout_is_not_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", stdout)
    output.write_json("ï日👩\x7f")
    stdout.flush()
    assert stdout.buffer.getvalue() == b'"\\u00ef\\u65e5\\ud83d\\udc69\\u007f"\n'  # type: ignore[attr-defined]


def test_columns_align_by_width_and_take_no_line_end_from_a_cell() -> None:
    lines = output.columns([["日本", "1"], ["a\nb", "1,000"]], heading=["id", "n"], right="lr")
    assert lines == ["id        n", "日本      1", "a␊b   1,000"]


def test_columns_of_nothing_are_nothing() -> None:
    assert output.columns([]) == []


def test_in_color_colors_only_when_asked() -> None:
    assert output.in_color("x", False, fg="red") == "x"
    assert output.in_color("x", True, fg="red") == "\x1b[31mx\x1b[0m"
    assert output.in_color("", True, fg="red") == ""
