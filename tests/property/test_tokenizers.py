"""Properties of every tokenizer on any text: spans, blocks, batches, agreement with slow definitions."""

from __future__ import annotations

import itertools
import unicodedata

import numpy as np
import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from vecsearch import Tokenizer, Tokens
from vecsearch_tokenizers import blocks
from vecsearch_tokenizers.character import CharacterTokenizer
from vecsearch_tokenizers.subword import PiecesTokenizer
from vecsearch_tokenizers.word import WordTokenizer

HARD = (
    " \n\r\t\u3000\u200b\x00\x1f\u00ad\u200c\u200d\u200e\u2060\ufeff\u0600\u061c"
    "aB\u0130ßﬁſΣςée\u0301\u0345\u1fb3ǅ_-.'’‐=+,!19²½٣"
    "日ーカ〇กำ\u0e33ກຳក្ខမျ\u102bक्षשا한각\u1100\u1161"
    "👩🚀👍🏽❤\ufe0f🇫🇷\u20e3©\U000e0067\U000e007f\ud800\udfff\u0378\ue000\U0010ffff\u0d4e"
)
TEXTS = st.text(st.one_of(st.sampled_from(HARD), st.characters()), max_size=40)
CODE = st.text(st.sampled_from("abzABZs019_-.'=+ \n,("), max_size=60)
IGNORED = regex.compile("[\u00ad\u061c\u180e\u200e\u200f\u2060\ufeff]")

PIECES = PiecesTokenizer()
TOKENIZERS = (WordTokenizer(), WordTokenizer(punctuation=False), CharacterTokenizer(), PIECES)
every_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.name)


def spans_of(tokens: Tokens, nth: int) -> list[tuple[int, int]]:
    return [(int(start), int(end)) for start, end in tokens.spans[tokens.offsets[nth] : tokens.offsets[nth + 1]]]


def values(tokens: Tokens, nth: int) -> list[str] | list[int]:
    part = slice(int(tokens.offsets[nth]), int(tokens.offsets[nth + 1]))
    return list(tokens.entries[part]) if tokens.entries is not None else tokens.ids[part].tolist()  # type: ignore[index]


def folded(text: str) -> str:
    replaced = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", replaced).casefold())


@every_tokenizer
@given(texts=st.lists(TEXTS, max_size=5))
def test_spans_lie_in_order_within_their_own_text(tokenizer: Tokenizer, texts: list[str]) -> None:
    tokens = tokenizer.tokenize(texts)
    assert len(tokens.offsets) == len(texts) + 1
    assert tokens.offsets[0] == 0
    assert tokens.offsets[-1] == tokens.n_tokens == len(tokens.ids if tokens.entries is None else tokens.entries)  # type: ignore[arg-type]
    for nth, text in enumerate(texts):
        spans = spans_of(tokens, nth)
        assert all(0 <= start <= end <= len(text) for start, end in spans)
        assert all(one[0] <= other[0] for one, other in itertools.pairwise(spans))


@every_tokenizer
@given(texts=st.lists(TEXTS, max_size=5))
def test_a_text_is_tokenized_alike_alone_and_in_a_batch(tokenizer: Tokenizer, texts: list[str]) -> None:
    together = tokenizer.tokenize(texts)
    for nth, text in enumerate(texts):
        alone = tokenizer.tokenize([text])
        assert spans_of(together, nth) == spans_of(alone, 0)
        assert values(together, nth) == values(alone, 0)


@pytest.mark.parametrize("tokenizer", TOKENIZERS[:3], ids=lambda tokenizer: tokenizer.name)
@given(before=TEXTS, space=st.sampled_from([" ", "\n", "\t", "\u3000", "\r\n"]), after=TEXTS)
def test_a_text_may_be_cut_at_white_space(tokenizer: Tokenizer, before: str, space: str, after: str) -> None:
    whole = tokenizer.tokenize([before + space + after])
    for left, right, skipped in ((before, space + after, 0), (before + space, after, len(space))):
        parts = tokenizer.tokenize([left, right])
        shift = len(before) + skipped
        assert values(whole, 0) == [*values(parts, 0), *values(parts, 1)]
        assert spans_of(whole, 0) == [*spans_of(parts, 0), *((s + shift, e + shift) for s, e in spans_of(parts, 1))]


@pytest.mark.parametrize("tokenizer", TOKENIZERS[:3], ids=lambda tokenizer: tokenizer.name)
@given(text=TEXTS)
def test_an_entry_is_its_folded_text(tokenizer: Tokenizer, text: str) -> None:
    tokens = tokenizer.tokenize([text])
    for entry, (start, end) in zip(tokens.entries or (), spans_of(tokens, 0), strict=True):
        shown = text[start:end]
        assert shown
        assert not any(character.isspace() for character in shown)
        is_run = len(shown) > 3 and len(set(IGNORED.sub("", shown[:4]))) == 1 and not shown[0].isalnum()
        shown = shown if tokenizer.name == "character" else IGNORED.sub("", shown)
        assert entry == folded(shown[:3] if is_run else shown) != ""
        entry.encode("utf-8")


@given(texts=st.lists(st.one_of(TEXTS, CODE), max_size=5), size=st.integers(1, 50))
def test_block_size_changes_nothing(texts: list[str], size: int) -> None:
    usual = blocks.BLOCK
    for tokenizer in TOKENIZERS[:3]:
        whole = tokenizer.tokenize(texts)
        blocks.BLOCK = size
        try:
            cut = tokenizer.tokenize(texts)
        finally:
            blocks.BLOCK = usual
        assert cut.entries == whole.entries
        assert np.array_equal(cut.spans, whole.spans)
        assert np.array_equal(cut.offsets, whole.offsets)


@given(text=CODE)
@example("HTTPServer's utf8Decode_v1.2.3GB--URLs")
def test_words_of_ascii_follow_their_definition(text: str) -> None:
    assert WordTokenizer().tokenize([text]).entries == words_by_definition(text)


def words_by_definition(text: str) -> list[str]:
    """Cut ASCII text by the rules in the docstring of word.py, one regular expression a rule."""
    runs = list(
        regex.finditer(r"(?P<word>[a-zA-Z0-9]+(?:(?<=\d)\.(?=\d)[a-zA-Z0-9]+)*)|(?P<mark>([^\sa-zA-Z0-9])\3*)", text)
    )
    entries = []
    for nth, run in enumerate(runs):
        if run["word"]:
            for part in regex.split(r"(\d+(?:\.\d+)+)", run["word"]):
                entries += [piece.lower() for piece in pieces_by_definition(part)]
            continue
        before = nth > 0 and runs[nth - 1].end() == run.start() and runs[nth - 1]["word"] is not None
        after = nth + 1 < len(runs) and runs[nth + 1].start() == run.end() and runs[nth + 1]["word"] is not None
        joins = (run["mark"] in "-.'" and before and after) or (run["mark"][0] == "_" and (before or after))
        if not joins:
            entries.append(run["mark"][:3])
    return entries


def pieces_by_definition(word: str) -> list[str]:
    if len(word) > 64:
        return [word[at : at + 64] for at in range(0, len(word), 64)]
    boundary = r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z](?!s(?![a-z]))[a-z])|(?<=[0-9])(?=[A-Z][a-z])"
    return [piece for piece in regex.split(boundary, word, flags=regex.V1) if piece]


@given(text=st.text(st.sampled_from("日本ーカぁ゙กำ\u0e33\u0e31ກຳក្ខမ္က\u1031👩🚀\u200d👍🏽❤\ufe0f🇫🇷🇩 \n"), max_size=30))
def test_words_of_unspaced_scripts_are_grapheme_clusters(text: str) -> None:
    # What extends a base joins a blank too, by \X; no token holds white space.
    text = regex.sub(r"(^|\s)[\p{GCB=Extend}\p{GCB=SpacingMark}\u200d]+", r"\1", text)
    spans = spans_of(WordTokenizer().tokenize([text]), 0)
    assert spans == [cluster.span() for cluster in regex.finditer(r"\X", text) if not cluster[0].isspace()]


@given(text=TEXTS)
def test_characters_are_grapheme_clusters(text: str) -> None:
    text = regex.sub(r"[\p{GCB=Prepend}\p{C}]", "", text)
    text = regex.sub(r"(\s)[\p{GCB=Extend}\p{GCB=SpacingMark}]+", r"\1", text)
    spans = spans_of(CharacterTokenizer().tokenize([text]), 0)
    assert spans == [cluster.span() for cluster in regex.finditer(r"\X", text) if not cluster[0].isspace()]


@given(text=TEXTS)
def test_ids_are_within_the_vocabulary(text: str) -> None:
    ids = PIECES.tokenize([text]).ids
    assert ids is not None
    assert all(0 <= id_ < 32_000 for id_ in ids)


@given(text=TEXTS)
def test_pieces_cover_all_visible_characters(text: str) -> None:
    covered = set().union(*(range(*span) for span in spans_of(PIECES.tokenize([text]), 0)))
    assert {place for place, character in enumerate(text) if not character.isspace()} <= covered
