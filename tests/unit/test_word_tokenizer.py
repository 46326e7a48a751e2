"""What the word tokenizer makes of words, identifiers, numbers, punctuation and hard Unicode."""

from __future__ import annotations

import numpy as np
import pytest

from vecsearch_tokenizers import blocks
from vecsearch_tokenizers.word import WordTokenizer


def words(text: str, **config: bool) -> list[str]:
    return list(WordTokenizer(**config).tokenize([text]).entries or ())


def slices(text: str) -> list[str]:
    return [text[start:end] for start, end in WordTokenizer().tokenize([text]).spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The dog bit the man.", "the dog bit the man ."),
        ("STRASSE Straße", "strasse strasse"),
        ("HTTPServer parseHTML getX", "http server parse html get x"),
        ("utf8Decode MP3Player H2O", "utf8 decode mp3 player h2o"),
        ("URLs and PDFsFast", "urls and pdfs fast"),
        ("snake_case __init__ _private x__y", "snake case init private x y"),
        ("_ ____ a _ b", "_ ___ a _ b"),
        ("well-known kebab-case-name -v --force a--b -", "well known kebab case name - v -- force a -- b -"),
        ("example.com e.g. end.", "example com e g . end ."),
        ("don't dog's l’été dogs' 'x'", "don t dog s l été dogs ' ' x '"),
        ("utf8 x86 sha256 3rd", "utf8 x86 sha256 3rd"),
        ("3.14 v1.2.3 python3.11 1.5GB 192.168.0.1", "3.14 v 1.2.3 python 3.11 1.5 gb 192.168.0.1"),
        ("10,000 1..2 .5 5. 1.e", "10 , 000 1 .. 2 . 5 5 . 1 e"),
        ("--------- ==== == ```", "--- === == ```"),
        ("C++ a->b f(x)[0]", "c ++ a - > b f ( x ) [ 0 ]"),
        ("x²≠½", "x² ≠ ½"),
    ],
)
def test_words_are(text: str, expected: str) -> None:
    assert words(text) == expected.split(" ")


def test_spans_point_into_the_original_text() -> None:
    text = "Don't call parseHTML(v1.5)  =====\n"
    assert slices(text) == ["Don", "t", "call", "parse", "HTML", "(", "v", "1.5", ")", "====="]


def test_spans_hold_characters_that_folding_lengthens() -> None:
    text = "İstanbul ﬁx Straße"
    assert slices(text) == text.split(" ")
    assert words(text) == ["i̇stanbul", "fix", "strasse"]


def test_decomposed_and_composed_text_give_the_same_entries() -> None:
    assert words("Cafe\u0301 Ünï") == words("Caf\u00e9 U\u0308nï") == ["café", "ünï"]
    assert slices("Cafe\u0301s!") == ["Cafe\u0301s", "!"]


def test_case_changes_are_found_beneath_combining_marks() -> None:
    assert words("pare\u0301E\u0301tat HTTPE\u0301tat") == ["paré", "état", "http", "état"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("日本語", ["日", "本", "語"]),
        ("カタカナとPython入門", ["カ", "タ", "カ", "ナ", "と", "python", "入", "門"]),
        ("สวัสดี ทำ", ["ส", "วั", "ส", "ดี", "ทำ"]),
        ("ກຳ ក្ខា က္က", ["ກຳ", "ក្ខា", "က္က"]),
        ("한국어 नमस्ते שלום", ["한국어", "नमस्ते", "שלום"]),
        ("👩‍🚀🇫🇷🇩🇪👍🏽❤️x", ["👩‍🚀", "🇫🇷", "🇩🇪", "👍🏽", "❤️", "x"]),
        ("😀😀a", ["😀", "😀", "a"]),
    ],
)
def test_scripts_without_spaces_and_emoji_give_a_token_a_grapheme(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_invisible_formatting_stays_in_the_span_and_out_of_the_entry() -> None:
    assert words("co\u00adoperate \u200fשלום\u200f \ufeffx") == ["cooperate", "שלום", "x"]
    assert slices("co\u00adoperate \ufeffx") == ["co\u00adoperate", "x"]


def test_white_space_and_control_characters_are_no_tokens() -> None:
    assert words(" \t\r\n\x00\x1f\x7f\x85\u00a0\u2028\u200b\u3000") == []
    assert words("a\x00b\u200bc\u00a0d") == ["a", "b", "c", "d"]


def test_a_lone_surrogate_is_a_token_that_utf8_can_hold() -> None:
    assert words("a\ud800b \udfff\ud83d\ude00") == ["a", "\ufffd", "b", "\ufffd", "\ufffd", "\ufffd"]


def test_unassigned_and_private_code_points_are_tokens() -> None:
    assert words("a\U000e0fffb \ue5fc\u0378") == ["a", "\U000e0fff", "b", "\ue5fc", "\u0378"]


def test_a_long_run_of_letters_is_cut_into_pieces_of_64() -> None:
    assert words("aB" * 70) == ["ab" * 32, "ab" * 32, "ab" * 6]
    assert slices("x " + "aB" * 33)[1:] == ["aB" * 32, "aB"]
    assert words("a" * 64) == ["a" * 64]


def test_more_than_30_marks_in_a_row_are_dropped() -> None:
    text = "a" + "\u0301" * 100 + "b"
    assert slices(text) == ["a" + "\u0301" * 30, "b"]


def test_a_ruler_of_any_length_is_one_token() -> None:
    tokens = WordTokenizer().tokenize(["=" * 100_000])
    assert list(tokens.entries or ()) == ["==="]
    assert tokens.spans.tolist() == [[0, 100_000]]


def test_without_punctuation_only_words_and_emoji_are_tokens() -> None:
    assert words("C++ (don't) = 1.5 😀 — __x__ ≥", punctuation=False) == ["c", "don", "t", "1.5", "😀", "x"]


def test_texts_are_counted_on_their_own() -> None:
    tokens = WordTokenizer().tokenize(["", "a b", "", "日", ""])
    assert tokens.offsets.tolist() == [0, 0, 2, 2, 3, 3]
    assert tokens.spans.tolist() == [[0, 1], [2, 3], [0, 1]]
    assert tokens.offsets.dtype == np.dtype(np.int64)
    assert tokens.spans.dtype == np.dtype(np.int32)
    assert tokens.ids is None


def test_no_texts_give_no_tokens() -> None:
    tokens = WordTokenizer().tokenize([])
    assert (tokens.offsets.tolist(), tokens.spans.shape, list(tokens.entries or ())) == ([0], (0, 2), [])


def test_equal_entries_are_one_object() -> None:
    first, second = WordTokenizer().tokenize(["Wolf", "wolf"]).entries or ()
    assert first is second


def test_block_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["The HTTPServer of 日本 👩‍🚀🇫🇷 costs 3.14 €, " * 5, "x" * 500, "", "a\nb " * 40]
    whole = WordTokenizer().tokenize(texts)
    for size in (1, 7, 64):
        monkeypatch.setattr(blocks, "BLOCK", size)
        cut = WordTokenizer().tokenize(texts)
        assert cut.entries == whole.entries
        assert cut.spans.tolist() == whole.spans.tolist()
        assert cut.offsets.tolist() == whole.offsets.tolist()


def test_configuration_makes_the_same_tokenizer_again() -> None:
    tokenizer = WordTokenizer(punctuation=False)
    assert tokenizer.config == {"punctuation": False}
    assert tokenizer.files == {}
    assert type(tokenizer)(**tokenizer.config).tokenize(["a, b"]).entries == ["a", "b"]
    assert tokenizer.vocabulary() is None


def test_configuration_refuses_what_is_not_a_truth_value() -> None:
    with pytest.raises(TypeError, match="punctuation must be true or false, not 'no'"):
        WordTokenizer(punctuation="no")  # type: ignore[arg-type]
