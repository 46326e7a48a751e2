"""The wordllama embedder, against a second reading of its files by the safetensors and tokenizers libraries."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from vecsearch import LoadError, PluginError, UsageError
from vecsearch.testing import check_embedder
from vecsearch_wordllama.tensors import map_tensor
from vecsearch_wordllama.wordllama import WordLlamaEmbedder

SPECIAL_ROWS = [0, 1, 2]  # <unk>, <s>, </s>


@pytest.fixture(scope="module")
def embedder():
    return WordLlamaEmbedder()


@pytest.fixture(scope="module")
def matrix(embedder):
    (tensor,) = load_file(embedder.files["matrix"]).values()
    return tensor.astype(np.float32)


@pytest.fixture(scope="module")
def tokenizer(embedder):
    tokenizer = Tokenizer.from_file(embedder.files["tokenizer"])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@pytest.fixture(scope="module")
def pieces(embedder):
    model = json.loads(Path(embedder.files["tokenizer"]).read_text(encoding="utf-8"))["model"]
    return sorted(model["vocab"], key=model["vocab"].__getitem__)


def row(embedder, entry, starts_word=True):
    return embedder.rows([entry], np.array([starts_word]))[0]


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_embedder_keeps_the_contract():
    check_embedder(WordLlamaEmbedder, tolerance=0.0)


def test_rows_of_all_own_entries_are_the_matrix_and_zero_for_special_ones(embedder, matrix):
    vocabulary = embedder.vocabulary()
    rows = embedder.rows(vocabulary.entries, vocabulary.starts_word)
    expected = matrix.copy()
    expected[SPECIAL_ROWS] = 0
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, expected)


def test_vocabulary_follows_the_ids_and_takes_one_mark_off(embedder, pieces):
    vocabulary = embedder.vocabulary()
    assert len(vocabulary.entries) == 32_000
    assert [piece.startswith("▁") for piece in pieces] == vocabulary.starts_word.tolist()
    for piece in ("▁dog", "ing", "<0x0A>", "<s>", "王"):
        number = pieces.index(piece)
        assert vocabulary.entries[number] == piece.removeprefix("▁")
    assert vocabulary.entries[pieces.index("▁▁▁")] == "  "
    assert vocabulary.entries[pieces.index("▁")] == ""
    # no two rows answer to the same name, so that none can hide another
    assert len(set(zip(vocabulary.entries, vocabulary.starts_word.tolist(), strict=True))) == 32_000


@pytest.mark.parametrize(
    ("entry", "starts_word", "expected"),
    [
        ("dog", True, ["▁dog"]),
        ("dog", False, ["dog"]),
        ("protein", True, ["▁protein"]),
        ("protein", False, ["prote", "in"]),
        ("lioness", True, ["▁l", "ion", "ess"]),
        ("don't", True, ["▁don", "'", "t"]),
        ("東", True, ["▁", "東"]),
        ("東", False, ["東"]),
        ("🎉", False, ["<0xF0>", "<0x9F>", "<0x8E>", "<0x89>"]),
        ("\n", False, ["<0x0A>"]),
        ("<0x0A>", True, ["<0x0A>"]),
        ("<0x0A>", False, ["<0x0A>"]),
        ("a</s>b", True, ["▁a", "</", "s", ">", "b"]),
        (" ", True, ["▁▁"]),
        ("▁", False, ["▁"]),
        ("", True, ["▁"]),
        ("\ud83d", False, ["�"]),
        ("\ud83d\ude00", False, ["<0xF0>", "<0x9F>", "<0x98>", "<0x80>"]),
    ],
)
def test_a_row_is_the_sum_of_the_rows_of_the_entrys_pieces(embedder, matrix, pieces, entry, starts_word, expected):
    summed = matrix[[pieces.index(piece) for piece in expected]].sum(axis=0, dtype=np.float64)
    np.testing.assert_array_equal(row(embedder, entry, starts_word), summed.astype(np.float32))


def test_rows_of_words_equal_the_models_own_cut_of_them(embedder, matrix, tokenizer):
    words = ["the", "quick", "naïve", "straße", "зоопарк", "餃子", "γάμμα", "antidisestablishmentarianism"]
    words += ["x86_64", "½", "ﬁ", "👩\u200d👩\u200d👧", "e\u0301", "\0", "don't", "a b"]
    rows = embedder.rows(words, np.ones(len(words), dtype=bool))
    for word, found in zip(words, rows, strict=True):
        ids = tokenizer.encode(word, add_special_tokens=False).ids  # this one writes the mark itself
        np.testing.assert_array_equal(found, matrix[ids].sum(axis=0, dtype=np.float64).astype(np.float32))


@pytest.mark.parametrize("entry", ["<unk>", "<s>", "</s>", "[UNK]", "[PAD]", "<mask>"])
def test_special_entries_have_zero_rows(embedder, entry):
    assert not row(embedder, entry, True).any()
    assert not row(embedder, entry, False).any()


def test_an_empty_continuation_has_a_zero_row(embedder):
    assert not row(embedder, "", False).any()


def test_norms_are_kept_as_importance(embedder):
    norms = np.linalg.norm(embedder.rows(["the", "protein"], np.array([True, True])), axis=1)
    np.testing.assert_allclose(norms, [1.6, 16.5], atol=0.06)


def test_letter_case_is_the_tokenizers_business(embedder):
    assert not np.array_equal(row(embedder, "King"), row(embedder, "king"))
    assert cosine(row(embedder, "King"), row(embedder, "king")) == pytest.approx(0.894, abs=1e-3)


def test_an_endless_entry_is_cut_a_thousand_characters_at_a_time(embedder, matrix, tokenizer):
    entry = "abcdefg-" * 500
    marked = "▁" + entry
    expected = np.zeros(256)
    for first in range(0, len(marked), 1024):
        stretch = marked[first : first + 1024]
        ids = tokenizer.encode(stretch.removeprefix("▁"), add_special_tokens=False).ids
        if not stretch.startswith("▁"):
            # the library writes a mark before every text; without it, the pieces of this stretch begin otherwise
            ids = tokenizer.encode("\n" + stretch, add_special_tokens=False).ids[2:]
        expected += matrix[ids].sum(axis=0, dtype=np.float64)
    np.testing.assert_array_equal(row(embedder, entry), expected.astype(np.float32))


def test_order_and_batch_of_entries_change_no_bit(embedder):
    entries = [f"{word}{number}" for number in range(700) for word in ("cat", "réseau", "🎉")]
    starts = np.arange(len(entries)) % 2 == 0
    rows = embedder.rows(entries, starts)
    np.testing.assert_array_equal(embedder.rows(entries[::-1], starts[::-1]), rows[::-1])
    for number in range(0, len(entries), 97):
        np.testing.assert_array_equal(row(embedder, entries[number], bool(starts[number])), rows[number])


def test_threads_share_one_embedder():
    fresh = WordLlamaEmbedder()  # its tokenizer is not loaded yet
    entries = [f"word{number}" for number in range(500)]
    starts = np.ones(500, dtype=bool)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: fresh.rows(entries, starts), range(16)))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize(
    "starts_word", [np.array([True]), np.array([[True], [False]]), np.array([1, 0]), np.array([0.0, 1.0])]
)
def test_starts_word_of_another_shape_or_type_is_refused(embedder, starts_word):
    with pytest.raises(UsageError, match=r"2 entries need bool of shape \(2,\)"):
        embedder.rows(["a", "b"], starts_word)


def test_one_string_is_not_a_list_of_entries(embedder):
    with pytest.raises(UsageError, match="sequence of strings"):
        embedder.rows("dog", np.ones(3, dtype=bool))


def test_no_entries_give_no_rows(embedder):
    assert embedder.rows([], np.zeros(0, dtype=bool)).shape == (0, 256)


# What the rows know. The numbers were read off the matrix; they hold for this one only.


def nearest(embedder, vector, k):
    vocabulary = embedder.vocabulary()
    rows = embedder.rows(vocabulary.entries, vocabulary.starts_word)
    norms = np.linalg.norm(rows, axis=1)
    similarities = rows @ vector / np.maximum(norms * np.linalg.norm(vector), 1e-9)
    return [vocabulary.entries[number] for number in np.argsort(-similarities)[:k]]


def test_neighbours_of_king_are_royal(embedder):
    assert nearest(embedder, row(embedder, "king"), 10) == [
        *("king", "King", "Kings", "monarch", "throne", "kingdom", "king", "royal", "王", "Kingdom")
    ]


@pytest.mark.parametrize(
    ("minus", "plus", "base", "answer"),
    [("king", "queen", "prince", "queen"), ("France", "Paris", "Italy", "Italy"), ("boy", "girl", "brother", "girl")],
)
def test_nearest_to_an_offset_is_one_of_its_own_words(embedder, minus, plus, base, answer):
    # as everywhere, the words of the question are the nearest; the answer is looked for behind them
    assert nearest(embedder, row(embedder, plus) - row(embedder, minus) + row(embedder, base), 1) == [answer]


def test_brother_is_to_boy_as_sister_to_girl(embedder):
    offset = row(embedder, "girl") - row(embedder, "boy") + row(embedder, "brother")
    assert nearest(embedder, offset, 2) == ["girl", "sister"]


def test_princess_less_prince_and_lion_is_nearer_to_lioness_than_to_other_animals(embedder):
    offset = row(embedder, "princess") - row(embedder, "prince") + row(embedder, "lion")
    lioness = cosine(offset, row(embedder, "lioness"))
    assert lioness == pytest.approx(0.536, abs=2e-3)
    for other in ("lion", "lions", "tiger", "tigress", "cat", "cub", "bear", "wolf", "goat", "elephant", "queen"):
        assert cosine(offset, row(embedder, other)) < lioness


def test_an_unknown_character_is_no_nearer_to_words_than_words_are_to_each_other(embedder):
    vocabulary = embedder.vocabulary()
    words = [
        entry
        for entry, starts in zip(vocabulary.entries, vocabulary.starts_word.tolist(), strict=True)
        if starts and len(entry) > 2 and entry.isascii() and entry.isalpha() and entry.islower()
    ]
    units = embedder.rows(words, np.ones(len(words), dtype=bool))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    among_words = np.quantile(np.abs(units[:200] @ units[200:].T), 0.99)
    for character in ("🎉", "🐶", "餃", "각"):
        unknown = row(embedder, character)
        assert np.quantile(np.abs(units @ unknown) / np.linalg.norm(unknown), 0.99) < among_words


def test_characters_with_the_same_bytes_in_another_order_have_one_row(embedder):
    assert sorted("丹".encode()) == sorted("乸".encode())
    np.testing.assert_array_equal(row(embedder, "丹"), row(embedder, "乸"))


# The package and its files.


@pytest.fixture
def package(tmp_path, monkeypatch, embedder):
    """A folder that Python finds as the package wordllama, with copies of its two files."""
    folder = tmp_path / "site" / "wordllama"
    for path in embedder.files.values():
        target = folder / Path(path).parent.name / Path(path).name
        target.parent.mkdir(parents=True)
        shutil.copy(path, target)
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.delitem(sys.modules, "wordllama", raising=False)
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder


def test_package_is_found_without_importing_it(package):
    embedder = WordLlamaEmbedder()
    assert embedder.files == {
        "matrix": str(package / "weights" / "l2_supercat_256.safetensors"),
        "tokenizer": str(package / "tokenizers" / "l2_supercat_tokenizer_config.json"),
    }
    assert row(embedder, "dog").any()


def test_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"not installed; get it with pip install .*wordllama"):
        WordLlamaEmbedder()


@pytest.mark.parametrize(
    "name", ["weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json"]
)
def test_missing_file_is_named_with_the_remedy(package, name):
    (package / name).unlink()
    with pytest.raises(PluginError, match="is missing; reinstall the package with pip install") as caught:
        WordLlamaEmbedder()
    assert caught.value.path == str(package / name)


def test_matrix_cut_short_is_refused(package):
    path = package / "weights" / "l2_supercat_256.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PluginError, match=r"cut short.*reinstall the package"):
        WordLlamaEmbedder()


@pytest.mark.parametrize("matrix", [np.zeros((32_000, 64), "<f2"), np.zeros((8, 256), "<f4")])
def test_matrix_of_another_shape_or_type_is_refused(package, matrix):
    save_file({"embedding.weight": matrix}, package / "weights" / "l2_supercat_256.safetensors")
    with pytest.raises(PluginError, match=r"float16 of shape \(32000, 256\) is expected; reinstall"):
        WordLlamaEmbedder()


@pytest.mark.parametrize("content", ["{", '{"version": "1.0"}'])
def test_broken_tokenizer_is_refused_when_it_is_first_needed(package, content):
    (package / "tokenizers" / "l2_supercat_tokenizer_config.json").write_text(content)
    embedder = WordLlamaEmbedder()
    with pytest.raises(PluginError, match=r"is not a tokenizer.*reinstall"):
        row(embedder, "dog")


def test_tokenizer_of_another_size_is_refused(package):
    path = package / "tokenizers" / "l2_supercat_tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["model"]["vocab"]["surplus"] = 32_000
    path.write_text(json.dumps(config))
    with pytest.raises(PluginError, match="has 32001 pieces, 32000 are expected"):
        row(WordLlamaEmbedder(), "dog")


def test_importing_and_constructing_load_no_heavy_library():
    program = (
        "import sys\n"
        "from vecsearch_wordllama.wordllama import WordLlamaEmbedder\n"
        "from vecsearch_wordllama.matrix import MatrixEmbedder\n"
        "WordLlamaEmbedder()\n"
        "print([name for name in ('tokenizers', 'safetensors', 'wordllama') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


# safetensors files, whole and hostile.


def safetensors_file(path, header, body=b""):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + body)
    return str(path)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
def test_map_tensor_reads_what_the_library_wrote(tmp_path, dtype):
    matrix = np.arange(12, dtype=dtype).reshape(4, 3)
    save_file({"b": matrix, "a": np.zeros(5, "<f4")}, tmp_path / "m.safetensors", metadata={"made": "here"})
    mapped = map_tensor(str(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(mapped, matrix)
    assert mapped.dtype == matrix.dtype
    with pytest.raises(ValueError, match="read-only"):
        mapped[0, 0] = 1


def test_map_tensor_asks_which_of_two_matrices(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"a": np.zeros((2, 2), "<f4"), "b": np.ones((2, 3), "<f4")}, path)
    with pytest.raises(LoadError, match=r"2 tensors of two dimensions.*name it with tensor=; it has 'a', 'b'"):
        map_tensor(str(path))
    assert map_tensor(str(path), "b").shape == (2, 3)
    with pytest.raises(LoadError, match="has no tensor 'c'"):
        map_tensor(str(path), "c")


def entry(**changes):
    return {"m": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changes}


@pytest.mark.parametrize(
    ("header", "body", "message"),
    [
        (b"not json", b"", "header is not JSON"),
        (b"[" * 100_000, b"", "header is not JSON"),
        ([1], b"", "not a JSON object"),
        ({}, b"", "has 0 tensors of two dimensions"),
        ({"m": 1}, b"", "has 0 tensors of two dimensions"),
        (entry(), bytes(15), "cut short"),
        (entry(data_offsets=[0, 8]), bytes(16), "cut short"),
        (entry(data_offsets=[16, 0]), bytes(16), "cut short"),
        (entry(data_offsets=[-16, 0]), bytes(16), "data_offsets"),
        (entry(data_offsets=[0]), bytes(16), "data_offsets"),
        (entry(data_offsets="ab"), bytes(16), "data_offsets"),
        (entry(shape=[2, True]), bytes(16), "has shape"),
        (entry(shape=[2, 2.0]), bytes(16), "has shape"),
        (entry(shape=[0, 2], data_offsets=[0, 0]), b"", "at least one row"),
        (entry(shape=[2, 0], data_offsets=[0, 0]), b"", "dim from 1 to"),
        (entry(shape=[2**62, 4]), bytes(16), "cut short"),
        (entry(dtype="BF16"), bytes(16), "dtype 'BF16'; expected one of F16, F32, F64"),
        (entry(dtype=["F32"]), bytes(16), "expected one of"),
    ],
)
def test_map_tensor_refuses_a_header_that_lies(tmp_path, header, body, message):
    path = safetensors_file(tmp_path / "m.safetensors", header, body)
    with pytest.raises(LoadError, match=message) as caught:
        map_tensor(path)
    assert path in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x05", (2**63).to_bytes(8, "little"), (9).to_bytes(8, "little") + b"{}"])
def test_map_tensor_refuses_a_header_longer_than_the_file(tmp_path, content):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(LoadError, match="announces a header of"):
        map_tensor(str(path))


def test_map_tensor_names_a_missing_file(tmp_path):
    with pytest.raises(LoadError, match=r"none\.safetensors cannot be read: No such file"):
        map_tensor(str(tmp_path / "none.safetensors"))
