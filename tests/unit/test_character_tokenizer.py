"""What the character tokenizer takes for a character."""

from __future__ import annotations

import pytest

from vecsearch_tokenizers.character import CharacterTokenizer


def characters(text: str) -> list[str]:
    return list(CharacterTokenizer().tokenize([text]).entries or ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ab, c", ["a", "b", ",", "c"]),
        ("Cafe\u0301", ["c", "a", "f", "é"]),
        ("ß👩‍🚀🇫🇷🇩🇪", ["ss", "👩‍🚀", "🇫🇷", "🇩🇪"]),
        ("กำ ห้", ["กำ", "ห้"]),
        ("a\r\n\t\x00\u200b\u3000b", ["a", "b"]),
        (" \u0301", ["\u0301"]),
        ("\ud800x", ["\ufffd", "x"]),
        ("", []),
    ],
)
def test_characters_are(text: str, expected: list[str]) -> None:
    assert characters(text) == expected


def test_ascii_gives_the_same_alone_and_beside_other_text() -> None:
    text = "Tab\tNUL\x00 DEL\x7f end.\n"
    tokens = CharacterTokenizer().tokenize([text])
    beside = CharacterTokenizer().tokenize([text, "é"])
    assert list(beside.entries or ())[:-1] == list(tokens.entries or ())
    assert beside.spans[:-1].tolist() == tokens.spans.tolist()


def test_spans_point_into_the_original_text() -> None:
    text = "E\u0301 👩‍🚀x"
    spans = CharacterTokenizer().tokenize(["", text]).spans
    assert [text[start:end] for start, end in spans] == ["E\u0301", "👩‍🚀", "x"]


def test_a_prepended_letter_does_not_take_the_blank_behind_it() -> None:
    text = "\u0d4e \u0d4eക"
    spans = CharacterTokenizer().tokenize([text]).spans
    assert [text[start:end] for start, end in spans] == ["\u0d4e", "\u0d4eക"]


def test_there_is_nothing_to_configure() -> None:
    tokenizer = CharacterTokenizer()
    assert (tokenizer.config, tokenizer.files, tokenizer.vocabulary()) == ({}, {}, None)
