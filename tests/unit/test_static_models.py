"""Folders with static models: every layout that is read, and what is said of broken ones."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from vecsearch import LoadError, UsageError
from vecsearch.testing import check_embedder
from vecsearch_wordllama.static import StaticFolderEmbedder

ENTRIES = ["[PAD]", "[UNK]", "dog", "##s", "bite", "man"]
ROWS = np.array([[9, 9], [8, 8], [1, 2], [0.5, 0], [-1, 0.25], [3, 0]], np.float32)


def wordpiece(entries: list[str] = ENTRIES) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({entry: id_ for id_, entry in enumerate(entries)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def model2vec(folder: Path, tensors: dict[str, np.ndarray] | None = None, tokenizer: Tokenizer | None = None) -> Path:
    """Write a folder as model2vec does."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"embeddings": ROWS} if tensors is None else tensors, str(folder / "model.safetensors"))
    (tokenizer or wordpiece()).save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True}))
    return folder


def words(folder: Path, **more: np.ndarray) -> Path:
    """Write a folder as ``vecsearch train`` does, with rows of whole words."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"words": np.array([[5, 0], [0, 7]], np.float16), **more}, str(folder / "model.safetensors"))
    (folder / "vocabulary.txt").write_text("dog\nmutex\n")
    names = ["model.safetensors", "vocabulary.txt"]
    if "embeddings" in more:
        wordpiece().save(str(folder / "tokenizer.json"))
        names.append("tokenizer.json")
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / "config.json").write_text(json.dumps({"model_type": "vecsearch", "format": 1, "sha256": hashes}))
    return folder


def rows(folder: Path, *entries: str, starts_word: bool = True) -> list[list[float]]:
    return StaticFolderEmbedder(path=str(folder)).rows(list(entries), np.full(len(entries), starts_word)).tolist()


# What is read


def test_model2vec_gives_the_sum_of_the_pieces_of_a_word(tmp_path):
    folder = model2vec(tmp_path)
    assert rows(folder, "dog", "dogs", "DOGS", "bites") == [[1, 2], [1.5, 2], [1.5, 2], [-0.5, 0.25]]
    assert rows(folder, "s", starts_word=False) == [[0.5, 0]]
    embedder = StaticFolderEmbedder(path=str(folder))
    assert embedder.dim == 2
    assert embedder.vocabulary().entries == ("[PAD]", "[UNK]", "dog", "s", "bite", "man")
    assert embedder.vocabulary().starts_word.tolist() == [True, True, True, False, True, True]


@pytest.mark.parametrize("entry", ["zebra", "[UNK]", "[PAD]", ""])
def test_unknown_and_special_entries_get_zeros(tmp_path, entry):
    assert rows(model2vec(tmp_path), entry) == [[0, 0]]


def test_weights_of_tokens_are_multiplied_in(tmp_path):
    weights = np.array([1, 1, 2, 10, 1, 0.5])
    folder = model2vec(tmp_path, {"embeddings": ROWS, "weights": weights})
    assert rows(folder, "dog", "dogs", "man") == [[2, 4], [7, 4], [1.5, 0]]


def test_tokens_of_a_quantised_vocabulary_share_rows_and_keep_their_weights(tmp_path):
    tensors = {
        "embeddings": np.array([[1, 0], [0, 1]], np.float32),
        "mapping": np.array([0, 0, 0, 1, 1, 0], np.int64),
        "weights": np.array([1, 1, 2, 3, 4, 5], np.float32),
    }
    folder = model2vec(tmp_path, tensors)
    assert rows(folder, "dog", "man", "dogs", "bites", "zebra") == [[2, 0], [5, 0], [2, 3], [0, 7], [0, 0]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
def test_every_dtype_is_read(tmp_path, dtype):
    matrix = (4 * ROWS).astype(dtype)
    assert rows(model2vec(tmp_path, {"embeddings": matrix}), "dogs") == [[6, 8]]


@pytest.mark.parametrize("nested", ["", "0_StaticEmbedding"])
def test_sentence_transformers_layouts_are_read(tmp_path, nested):
    folder = tmp_path / nested
    folder.mkdir(exist_ok=True)
    save_file({"embedding.weight": ROWS}, str(folder / "model.safetensors"))
    wordpiece().save(str(folder / "tokenizer.json"))
    assert rows(tmp_path, "dogs") == [[1.5, 2]]
    assert StaticFolderEmbedder.takes(str(tmp_path))


def test_byte_level_words_are_cut_with_the_space_before_them(tmp_path):
    tokenizer = Tokenizer(models.BPE({"Ġ": 0, "Ġd": 1, "d": 2, "o": 3}, [("Ġ", "d")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    folder = model2vec(tmp_path, {"embeddings": np.eye(4, dtype=np.float32)}, tokenizer)
    assert rows(folder, "do") == [[0, 1, 0, 1]]
    assert rows(folder, "do", starts_word=False) == [[0, 0, 1, 1]]


def test_whole_words_have_their_own_rows_and_pieces_serve_the_rest(tmp_path):
    folder = words(tmp_path / "both", embeddings=ROWS)
    assert rows(folder, "dog", "mutex", "dogs", "zebra") == [[5, 0], [0, 7], [1.5, 2], [0, 0]]
    entries = StaticFolderEmbedder(path=str(folder)).vocabulary().entries
    assert entries == ("dog", "mutex", "[PAD]", "[UNK]", "dog", "s", "bite", "man")
    assert rows(words(tmp_path / "alone"), "Dog", "dogs") == [[5, 0], [0, 0]]


@pytest.mark.parametrize("make", [model2vec, words], ids=["model2vec", "words"])
def test_static_folders_keep_the_contract_of_embedders(tmp_path, make):
    check_embedder(StaticFolderEmbedder, path=str(make(tmp_path)))


def test_long_entries_are_cut_in_parts(tmp_path):
    assert rows(model2vec(tmp_path), "man " * 1024) == [[3 * 1024, 0]]


# Which folders it takes


def test_folders_of_other_kinds_are_not_taken(tmp_path):
    (tmp_path / "encoder").mkdir()
    save_file({"encoder.weight": ROWS}, str(tmp_path / "encoder" / "model.safetensors"))
    assert not StaticFolderEmbedder.takes(str(tmp_path / "encoder"))
    assert not StaticFolderEmbedder.takes(str(tmp_path))
    assert not StaticFolderEmbedder.takes(str(tmp_path / "nowhere"))
    assert StaticFolderEmbedder.takes(str(model2vec(tmp_path / "model")))
    assert StaticFolderEmbedder.takes(str(words(tmp_path / "words")))


# What is refused


def test_path_must_be_a_folder(tmp_path):
    with pytest.raises(LoadError, match=r"nowhere is not a folder; expected are model\.safetensors and tokenizer"):
        StaticFolderEmbedder(path=str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="is no folder"):
        StaticFolderEmbedder(path="")


@pytest.mark.parametrize(
    ("make", "name"),
    [(model2vec, "model.safetensors"), (model2vec, "tokenizer.json"), (words, "vocabulary.txt")],
)
def test_missing_file_is_named(tmp_path, make, name):
    (make(tmp_path) / name).unlink()
    with pytest.raises(LoadError, match=rf"{name} is missing.*; expected are"):
        StaticFolderEmbedder(path=str(tmp_path))


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.txt", "tokenizer.json"])
def test_file_that_is_not_the_one_of_the_hash_is_refused(tmp_path, name):
    folder = words(tmp_path, embeddings=ROWS)
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(LoadError, match=rf"{name} is not the file that was written with the model: its SHA-256 is"):
        StaticFolderEmbedder(path=str(folder))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"embeddings": ROWS[:-1]}, r"tokenizer\.json has 6 tokens and .* has rows for 5; give the tokenizer"),
        ({"embeddings": np.vstack([ROWS, ROWS])}, "has 6 tokens and .* has rows for 12"),
        ({"embeddings": ROWS[:2], "mapping": np.array([0, 1, 2, 0, 0, 0])}, "names rows from 0 to 2, and there are 2"),
        ({"embeddings": ROWS[:2], "mapping": np.array([0, 1, 1])}, "has 6 tokens and .* has rows for 3"),
        ({"embeddings": ROWS, "weights": np.ones(5)}, "'weights' of .* are 5 for 6 tokens"),
        ({"embeddings": ROWS, "weights": np.array([1, 1, 1, 1, 1, np.nan])}, "one is no number"),
        ({"embeddings": ROWS, "weights": np.ones((6, 1))}, r"has shape \[6, 1\]; expected one dimension"),
        ({"embeddings": ROWS, "mapping": np.ones(6)}, "'mapping' of .* has dtype 'F64'"),
        ({"embeddings": np.where(ROWS == 3, np.nan, ROWS)}, r"row 5 of .* \('man'\) has a value that is NaN"),
        ({"embeddings": np.where(ROWS == 3, np.inf, ROWS)}, r"row 5 of .* has a value that is NaN, infinite"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_refused(tmp_path, tensors, said):
    folder = model2vec(tmp_path, tensors)
    with pytest.raises(LoadError, match=said):
        rows(folder, "dog")


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"weight": ROWS}, "has no tensor 'words', 'embeddings' or 'embedding.weight', so it is no static model"),
        ({"embeddings": ROWS.astype(np.int32)}, "has dtype 'I32'"),
        ({"embeddings": ROWS[0]}, r"has shape \[2\]"),
        ({"words": ROWS, "embeddings": ROWS[:, :1]}, "words of 2 numbers and pieces of 1"),
    ],
)
def test_matrix_of_another_kind_is_refused_at_once(tmp_path, tensors, said):
    folder = model2vec(tmp_path, tensors)
    (folder / "vocabulary.txt").write_text("a\nb\n")
    with pytest.raises(LoadError, match=said):
        StaticFolderEmbedder(path=str(folder))


def test_words_and_rows_must_be_as_many(tmp_path):
    folder = words(tmp_path)
    (folder / "config.json").unlink()
    (folder / "vocabulary.txt").write_text("dog\n")
    with pytest.raises(LoadError, match=r"vocabulary\.txt has 1 words and .* has 2 rows for them"):
        rows(folder, "dog")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", "{}", r"tokenizer\.json is not a tokenizer that can be used"),
        ("config.json", "{", r"config\.json is not JSON"),
        ("config.json", "[]", r"config\.json is not a JSON object"),
        ("config.json", '{"sha256": 1}', "'sha256' of .* is not a JSON object"),
        ("config.json", '{"sha256": {}}', "says None"),
        (
            "config.json",
            '{"model_type": "vecsearch", "format": 2}',
            "is of format 2, and this vecsearch reads format 1",
        ),
        ("model.safetensors", "words", "is not a whole safetensors file"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, said):
    folder = model2vec(tmp_path)
    (folder / name).write_text(content)
    with pytest.raises(LoadError, match=said):
        rows(folder, "dog")
    assert StaticFolderEmbedder.takes(str(folder))  # so that --model says this, too


def test_copy_of_a_model_is_the_same_model(tmp_path):
    from vecsearch import Pipeline

    first = words(tmp_path / "one")
    shutil.copytree(first, tmp_path / "two")
    one, two = (Pipeline.from_names(embedder=f"static:path={tmp_path / name}").identity for name in ("one", "two"))
    assert one == two
    assert set(one["embedder"]["files"]) == {"path", "vocabulary", "config"}
    assert one["embedder"]["config"] == {}
