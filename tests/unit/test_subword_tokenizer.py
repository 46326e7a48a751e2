"""What the subword tokenizers make of files of the tokenizers library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from vecsearch import LoadError
from vecsearch_tokenizers import subword
from vecsearch_tokenizers.subword import PiecesTokenizer, SubwordTokenizer


@pytest.fixture(scope="module")
def pieces() -> PiecesTokenizer:
    return PiecesTokenizer()


def saved(folder: Path, tokenizer: Tokenizer) -> str:
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return str(path)


def cut(tokenizer: SubwordTokenizer, text: str) -> list[tuple[str, str]]:
    """Return each token's entry and the text it stands for."""
    tokens, entries = tokenizer.tokenize([text]), tokenizer.vocabulary().entries
    assert tokens.ids is not None
    return [(entries[id_], text[start:end]) for id_, (start, end) in zip(tokens.ids, tokens.spans, strict=True)]


def wordpiece(folder: Path) -> str:
    entries = ["[UNK]", "un", "##aff", "##able", "dog", "!"]
    tokenizer = Tokenizer(models.WordPiece({e: i for i, e in enumerate(entries)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[UNK]"])
    return saved(folder, tokenizer)


def byte_level(folder: Path) -> str:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("d", "o"), ("do", "g"), ("Ġ", "dog"), ("Ã", "©")]
    entries = [*alphabet, *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE({e: i for i, e in enumerate(entries)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return saved(folder, tokenizer)


def test_pieces_are_wordllamas_own(pieces: PiecesTokenizer) -> None:
    assert cut(pieces, "The dog's\n") == [("the", "The"), ("dog", "dog"), ("'", "'"), ("s", "s"), ("<0x0A>", "\n")]
    tokens = pieces.tokenize(["Hello World"])
    assert tokens.ids is not None
    assert tokens.ids.tolist() == [22172, 3186]
    assert tokens.ids.dtype == np.dtype(np.int32)


def test_pieces_have_32000_entries_in_id_order(pieces: PiecesTokenizer) -> None:
    vocabulary = pieces.vocabulary()
    assert len(vocabulary.entries) == len(vocabulary.starts_word) == 32_000
    shown = {id_: (vocabulary.entries[id_], bool(vocabulary.starts_word[id_])) for id_ in (0, 13, 259, 3186, 29871)}
    assert shown == {
        0: ("<unk>", False),
        13: ("<0x0A>", False),
        259: (" ", True),
        3186: ("world", True),
        29871: ("", True),
    }


def test_pieces_keep_case_when_told(pieces: PiecesTokenizer) -> None:
    exact = PiecesTokenizer(fold_case=False)
    assert exact.config == {"fold_case": False}
    assert cut(exact, "DOG") != cut(pieces, "DOG") == [("dog", "DOG")]


def test_spans_stay_right_where_folding_changes_the_length(pieces: PiecesTokenizer) -> None:
    assert [span for _, span in cut(pieces, "İx")] == ["İ", "İ", "İ", "x"]
    for text in ("İSTANBUL ﬁx", "Straße É e\u0301", "👩‍🚀 日本"):
        spans = pieces.tokenize([text]).spans.tolist()
        covered = set().union(*(range(*span) for span in spans if not text[slice(*span)].isspace()))
        assert covered == {place for place, character in enumerate(text) if character != " "}


def test_spans_have_no_white_space_at_their_ends(pieces: PiecesTokenizer) -> None:
    text = "  one   two\n\n\tthree\u3000four "
    for span in (span for _, span in cut(pieces, text)):
        assert span == span.strip() or span.isspace()


def test_byte_pieces_share_the_span_of_their_character(pieces: PiecesTokenizer) -> None:
    assert cut(pieces, "a 𐍈")[1:] == [
        ("", " "),
        *((f"<0x{byte:02X}>", "𐍈") for byte in "𐍈".encode()),
    ]


def test_text_that_looks_like_a_special_token_is_text(pieces: PiecesTokenizer) -> None:
    ids = pieces.tokenize(["<s>a</s> <unk>"]).ids
    assert ids is not None
    assert not {0, 1, 2} & set(ids.tolist())


def test_a_lone_surrogate_counts_as_the_replacement_character(pieces: PiecesTokenizer) -> None:
    broken, replaced = pieces.tokenize(["a\ud800b"]), pieces.tokenize(["a\ufffdb"])
    assert broken.ids is not None
    assert replaced.ids is not None
    assert broken.ids.tolist() == replaced.ids.tolist()
    assert broken.spans.tolist() == replaced.spans.tolist()


def test_texts_are_counted_on_their_own(pieces: PiecesTokenizer) -> None:
    tokens = pieces.tokenize(["", "dog", "", "a dog", ""])
    assert tokens.offsets.tolist() == [0, 0, 1, 1, 3, 3]
    assert tokens.spans.tolist() == [[0, 3], [0, 1], [2, 5]]
    empty = pieces.tokenize([])
    assert (empty.offsets.tolist(), empty.spans.shape) == ([0], (0, 2))


def test_a_long_text_is_cut_at_blanks(pieces: PiecesTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["the dog bit the man and ran away", "é" + " dog" * 9, "", "x"]
    whole = pieces.tokenize(texts)
    monkeypatch.setattr(subword, "BATCH", 16)
    parts = pieces.tokenize(texts)
    assert parts.offsets[0] == 0
    assert parts.offsets[-1] == parts.n_tokens
    first = slice(0, whole.offsets[1])
    assert parts.ids is not None
    assert whole.ids is not None
    assert parts.ids[first].tolist() == whole.ids[first].tolist()
    assert parts.spans[first].tolist() == whole.spans[first].tolist()
    for nth, text in enumerate(texts):
        spans = parts.spans[parts.offsets[nth] : parts.offsets[nth + 1]]
        assert "".join(text[start:end] for start, end in spans) == "".join(text.split())


def test_wordpiece_marks_what_continues_a_word(tmp_path: Path) -> None:
    tokenizer = SubwordTokenizer(path=wordpiece(tmp_path))
    vocabulary = tokenizer.vocabulary()
    assert list(vocabulary.entries) == ["[UNK]", "un", "aff", "able", "dog", "!"]
    assert vocabulary.starts_word.tolist() == [True, True, False, False, True, True]
    assert cut(tokenizer, "UnaffABLE dog zebra!") == [
        ("un", "Un"),
        ("aff", "aff"),
        ("able", "ABLE"),
        ("dog", "dog"),
        ("[UNK]", "zebra"),
        ("!", "!"),
    ]


def test_byte_level_entries_are_text(tmp_path: Path) -> None:
    tokenizer = SubwordTokenizer(path=byte_level(tmp_path), fold_case=False)
    vocabulary = tokenizer.vocabulary()
    assert list(vocabulary.entries[-4:]) == ["do", "dog", "dog", "é"]
    assert vocabulary.starts_word[-4:].tolist() == [False, False, True, False]
    assert cut(tokenizer, "dog dogé") == [("dog", "dog"), ("dog", "dog"), ("é", "é")]


def test_unigram_and_metaspace(tmp_path: Path) -> None:
    model = models.Unigram([("<unk>", 0.0), ("▁dog", -1.0), ("s", -2.0), ("▁", -3.0)], unk_id=0, byte_fallback=False)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    loaded = SubwordTokenizer(path=saved(tmp_path, tokenizer))
    assert list(loaded.vocabulary().entries) == ["<unk>", "dog", "s", ""]
    assert loaded.vocabulary().starts_word.tolist() == [False, True, False, True]
    assert cut(loaded, "Dogs  dog?") == [("dog", "Dog"), ("s", "s"), ("", " "), ("dog", "dog"), ("<unk>", "?")]


def test_an_id_without_an_entry_gives_an_empty_one(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"dog": 0, "man": 3}, unk_token="dog"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    loaded = SubwordTokenizer(path=saved(tmp_path, tokenizer))
    assert list(loaded.vocabulary().entries) == ["dog", "", "", "man"]
    assert loaded.vocabulary().starts_word.tolist() == [True, False, False, True]


def test_padding_and_truncation_of_the_file_are_ignored(tmp_path: Path) -> None:
    path = Path(byte_level(tmp_path))
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_padding(length=10)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(path))
    assert SubwordTokenizer(path=str(path)).tokenize(["abcd", ""]).offsets.tolist() == [0, 4, 4]


def test_a_file_can_be_named_in_configuration(tmp_path: Path) -> None:
    path = wordpiece(tmp_path)
    tokenizer = SubwordTokenizer(path=path)
    assert tokenizer.config == {"path": path, "fold_case": True}
    assert tokenizer.files == {"path": path}
    assert PiecesTokenizer().config == {"fold_case": True}
    assert Path(PiecesTokenizer().files["tokenizer"]).is_file()


@pytest.mark.parametrize(
    "content",
    [b"", b"not json", b"null", b"[]", b"{}", b'{"model":{"type":"BPE"}}', b"\xff\xfe\x00", b'{"a":' * 5000],
)
def test_what_is_not_a_tokenizer_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(LoadError, match="is not a tokenizer that the tokenizers library can use") as caught:
        SubwordTokenizer(path=str(path))
    assert caught.value.facts == {"path": str(path)}


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(LoadError, match="cannot read the tokenizer file") as caught:
            SubwordTokenizer(path=str(path))
        assert str(path) in caught.value.message


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subword, "MAX_BYTES", 100)
    path = wordpiece(tmp_path)
    with pytest.raises(LoadError, match="is larger than 100 bytes"):
        SubwordTokenizer(path=path)


def test_a_vocabulary_without_its_unknown_token_is_refused(tmp_path: Path) -> None:
    path = Path(wordpiece(tmp_path))
    description: dict[str, Any] = json.loads(path.read_text())
    description["model"]["unk_token"] = "[MISSING]"
    path.write_text(json.dumps(description))
    with pytest.raises(LoadError, match="Missing"):
        SubwordTokenizer(path=str(path))


def test_configuration_refuses_wrong_types(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="path must be text"):
        SubwordTokenizer(path=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="fold_case must be true or false, not 'yes'"):
        SubwordTokenizer(path="x", fold_case="yes")  # type: ignore[arg-type]


def test_pieces_without_wordllama_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subword, "find_spec", lambda name: None)
    with pytest.raises(LoadError, match="install wordllama"):
        PiecesTokenizer()
