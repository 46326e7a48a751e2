"""The matrix embedder: every kind of file it reads, and what it says of broken ones."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from vecsearch import LoadError, UsageError
from vecsearch.testing import check_embedder
from vecsearch_wordllama import wordvectors
from vecsearch_wordllama.matrix import MatrixEmbedder
from vecsearch_wordllama.vocabularies import Lookup

WORDS = ["dog", "bites", "man"]
ROWS = np.array([[1.0, 2.0], [-0.5, 0.25], [3.0, 0.0]], dtype=np.float32)
TEXT = b"dog 1 2\nbites -0.5 .25\nman 3e0 0\n"


def rows(embedder, *entries, starts_word=True):
    return embedder.rows(list(entries), np.full(len(entries), starts_word)).tolist()


@pytest.fixture
def files(tmp_path):
    """A function that makes a file and returns its path."""

    def make(name, content):
        path = tmp_path / name
        if isinstance(content, np.ndarray):
            np.save(path, content)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return make


def word2vec(words, vectors, *, newline=b"\n", count=None):
    head = b"%d %d\n" % (len(words) if count is None else count, vectors.shape[1])
    return head + b"".join(
        word.encode() + b" " + vector.astype("<f4").tobytes() + newline
        for word, vector in zip(words, vectors, strict=True)
    )


# Arrays with a vocabulary.


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_gives_the_row_of_each_entry_and_zeros_for_others(files, dtype, order):
    path = files("m.npy", np.asarray(ROWS, dtype=dtype, order=order))
    embedder = MatrixEmbedder(path=path, vocabulary=files("v.txt", "dog\nbites\nman\n"))
    found = embedder.rows(["man", "cat", "dog", "man"], np.ones(4, dtype=bool))
    assert found.dtype == np.float32
    assert found.tolist() == [[3, 0], [0, 0], [1, 2], [3, 0]]
    assert embedder.dim == 2
    assert embedder.vocabulary().entries == ("dog", "bites", "man")


def test_safetensors_matrix_is_read(tmp_path, files):
    path = str(tmp_path / "m.safetensors")
    save_file({"other": np.zeros((3, 5), "<f4"), "rows": ROWS}, path)
    vocabulary = files("v.json", json.dumps(WORDS))
    assert rows(MatrixEmbedder(path=path, vocabulary=vocabulary, tensor="rows"), "bites") == [[-0.5, 0.25]]
    with pytest.raises(LoadError, match="name it with tensor="):
        MatrixEmbedder(path=path, vocabulary=vocabulary)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v.txt", "dog\nbites\nman"),
        ("v.txt", "dog\r\nbites\r\nman\r\n"),
        ("v.txt", "\ufeffdog\nbites\nman\n"),
        ("v.json", '["dog", "bites", "man"]'),
        ("v.json", '{"man": 2, "dog": 0, "bites": 1}'),
    ],
)
def test_every_form_of_vocabulary_names_the_rows(files, name, content):
    embedder = MatrixEmbedder(path=files("m.npy", ROWS), vocabulary=files(name, content))
    assert rows(embedder, "dog", "bites", "man") == ROWS.tolist()


def test_vocabulary_lines_end_at_newlines_only(files):
    embedder = MatrixEmbedder(path=files("m.npy", ROWS), vocabulary=files("v.txt", "a\x85b\nc\u2028d\n\n"))
    assert embedder.vocabulary().entries == ("a\x85b", "c\u2028d", "")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.txt", "dog\nbites\n", r"has 2 entries and .*m\.npy has 3 rows"),
        ("v.txt", "", "has 0 entries"),
        ("v.txt", b"dog\nbi\xfftes\nman\n", "line 2 .* is not UTF-8"),
        ("v.json", "{", "is not JSON"),
        ("v.json", '"dog"', "JSON of another kind"),
        ("v.json", '["dog", 5, "man"]', "entry 1 .* is 5"),
        ("v.json", '{"dog": 0, "bites": 1, "man": 3}', "gives 'man' the row 3"),
        ("v.json", '{"dog": 0, "bites": 1, "man": true}', "gives 'man' the row True"),
        ("v.json", '{"dog": 0, "bites": 1, "man": 1}', "gives the row 1 to 'bites' and 'man'"),
    ],
)
def test_vocabulary_that_does_not_fit_is_refused(files, name, content, message):
    path = files(name, content)
    embedder = MatrixEmbedder(path=files("m.npy", ROWS), vocabulary=path)
    with pytest.raises(LoadError, match=message) as caught:
        rows(embedder, "dog")
    assert caught.value.path == path


def test_missing_vocabulary_file_is_named(files, tmp_path):
    embedder = MatrixEmbedder(path=files("m.npy", ROWS), vocabulary=str(tmp_path / "none.txt"))
    with pytest.raises(LoadError, match=r"none\.txt cannot be read: No such file"):
        embedder.vocabulary()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39, 1e30])
def test_value_that_is_no_finite_weight_is_refused_with_row_and_word(files, value):
    bad = ROWS.astype(np.float64)
    bad[1, 1] = value  # the square of 1e30, which its norm needs, is beyond float32
    embedder = MatrixEmbedder(path=files("m.npy", bad), vocabulary=files("v.txt", "dog\nbites\nman\n"))
    with pytest.raises(
        LoadError, match=r"row 1 of .*m\.npy \('bites'\) has a value that is NaN, infinite or too large"
    ):
        rows(embedder, "dog")


def test_bad_value_is_found_behind_the_first_block(files):
    matrix = np.ones((20_000, 1), dtype=np.float16)
    matrix[19_999] = np.nan
    vocabulary = "\n".join(f"w{number}" for number in range(20_000))
    embedder = MatrixEmbedder(path=files("m.npy", matrix), vocabulary=files("v.txt", vocabulary))
    with pytest.raises(LoadError, match=r"row 19999 .*'w19999'"):
        embedder.vocabulary()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros(3, "<f4"), r"has shape \(3,\)"),
        (np.zeros((2, 2, 2), "<f4"), r"has shape \(2, 2, 2\)"),
        (np.zeros((1, 70_000), "<f2"), "dim from 1 to 65536"),
        (np.zeros((3, 2), "<i4"), "has dtype int32"),
        (np.zeros((3, 2), "<c8"), "has dtype complex64"),
        (np.array([[None, "x"]], dtype=object), "is not a whole .npy file of numbers"),
        (b"", "is not a whole .npy file"),
        (b"PK\x03\x04 no array", "is not a whole .npy file"),
    ],
)
def test_npy_that_is_no_matrix_is_refused_at_once(files, content, message):
    path = files("m.npy", content)
    with pytest.raises(LoadError, match=message):
        MatrixEmbedder(path=path, vocabulary=path)


def test_npy_without_rows_is_refused(tmp_path, files):
    path = files("m.npy", np.zeros((0, 2), "<f4"))
    with pytest.raises(LoadError, match=r"m\.npy"):
        MatrixEmbedder(path=path, vocabulary=path)


def test_npy_cut_short_is_refused(files):
    path = files("m.npy", np.zeros((100, 100)))
    Path(path).write_bytes(Path(path).read_bytes()[:-1])
    with pytest.raises(LoadError, match=r"is not a whole \.npy file"):
        MatrixEmbedder(path=path, vocabulary=path)


# Texts of word vectors.


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("glove.txt", TEXT),
        ("model.vec", b"3 2\n" + TEXT),
        ("c_writes_a_blank_last.txt", TEXT.replace(b"\n", b" \n")),
        ("windows.txt", TEXT.replace(b"\n", b"\r\n")),
        ("tabs.tsv", TEXT.replace(b" ", b"\t")),
        ("bom.txt", b"\xef\xbb\xbf" + TEXT),
        ("bom.vec", b"\xef\xbb\xbf3 2\n" + TEXT),
        ("no_last_newline", TEXT[:-1]),
        ("blank_end.txt", TEXT + b"\n\n"),
        ("wide.txt", TEXT.replace(b" ", b"  ")),
        ("packed.txt.gz", gzip.compress(TEXT, mtime=0)),
        ("word2vec.bin", word2vec(WORDS, ROWS)),
        ("gensim.bin", word2vec(WORDS, ROWS, newline=b"")),
        ("word2vec.BIN.gz", gzip.compress(word2vec(WORDS, ROWS), mtime=0)),
    ],
)
def test_every_form_of_word_vectors_is_read(files, name, content):
    embedder = MatrixEmbedder(path=files(name, content))
    assert embedder.dim == 2
    assert rows(embedder, "dog", "bites", "cat", "man") == [[1, 2], [-0.5, 0.25], [0, 0], [3, 0]]
    assert embedder.vocabulary().entries == tuple(WORDS)


def test_words_of_several_parts_keep_their_spaces(files):
    content = "dog 1 2\n. . . 3 4\nat name@domain.com 5 6\na\xa0b 7 8\n2 9 10\n"
    embedder = MatrixEmbedder(path=files("glove.txt", content))
    assert embedder.vocabulary().entries == ("dog", ". . .", "at name@domain.com", "a\xa0b", "2")
    assert rows(embedder, "at name@domain.com", ". . .", "a\xa0b", "2") == [[5, 6], [3, 4], [7, 8], [9, 10]]


def test_words_may_look_like_numbers_and_comments(files):
    embedder = MatrixEmbedder(path=files("v.txt", 'nan 1 2\ninf 3 4\n# 5 6\n" 7 8\n'))
    assert rows(embedder, "nan", "inf", "#", '"') == [[1, 2], [3, 4], [5, 6], [7, 8]]


def test_first_of_two_equal_words_wins(files):
    embedder = MatrixEmbedder(path=files("v.txt", "dog 1 2\ndog 3 4\n"))
    assert rows(embedder, "dog") == [[1, 2]]
    assert embedder.vocabulary().entries == ("dog", "dog")


@pytest.mark.parametrize("form", ["text", "bin"])
def test_blocks_of_a_file_meet_without_a_seam(files, monkeypatch, form):
    monkeypatch.setattr(wordvectors, "_BLOCK", 64)
    words = [f"wörd{number}" for number in range(300)]
    vectors = np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)
    if form == "text":
        lines = "".join(
            f"{word} {' '.join(map(repr, vector.tolist()))}\n" for word, vector in zip(words, vectors, strict=True)
        )
        embedder = MatrixEmbedder(path=files("v.txt", lines))
    else:
        embedder = MatrixEmbedder(path=files("v.bin", word2vec(words, vectors)))
    np.testing.assert_array_equal(embedder.rows(words, np.ones(300, dtype=bool)), vectors)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("dog 1 2\nbites 3\nman 4 5\n", "line 2 .* has 1 values after its word, 2 are expected"),
        ("dog 1 2\nbites 3 4 5\nman 6 7\n", "line 2 .* has 3 values after its word, 2 are expected"),
        ("dog 1 2\n 3 4\nman 6 7\n", "line 2 .* has 1 values"),
        ("dog 1 2\nbites\nman 6 7\n", "line 2 .* has 0 values"),
        ("dog 1 2\n\nman 6 7\n", "line 2 .* is empty"),
        ("dog 1 2\nbites 3 four\nman 6 7\n", "line 2 .*'four' is not a number"),
        ("dog 1 2\ntwo words 3\nman 6 7\n", "line 2 .*'words' is not a number"),
        ("dog 1 2\nbites 3  4\nman 5  \nox 1 2\n", "line 3 .* has 1 values"),
        ("dog 1 2\nbites 3 nan\nman 6 7\n", r"line 2 .*\('bites'\) has a value that is NaN"),
        ("dog 1 2\nbites 3 -inf\nman 6 7\n", r"line 2 .*\('bites'\)"),
        ("dog 1 2\nbites 3 1e39\nman 6 7\n", r"line 2 .*\('bites'\)"),
        ("4 2\ndog 1 2\nman 6 7\n", "announces 4 words, 2 follow"),
        ("1 2\ndog 1 2\nman 6 7\n", "announces 1 words, 2 follow"),
        ("4 2\n", "announces 4 words, 0 follow"),
        ("0 2\n", "announces|holds no words"),
        ("dog\nman\n", "has 0 values a word"),
        ("4 0\ndog\n", "has 0 values a word"),
        (b"dog 1 2\nb\xff 3 4\n", "line 2 .* is not UTF-8"),
        (b"\x80\x02\0\0pickle", "is not text; a matrix is .npy or .safetensors"),
    ],
)
def test_text_that_is_not_word_vectors_is_refused_with_its_line(files, content, message):
    path = files("v.txt", content)
    with pytest.raises(LoadError, match=message) as caught:
        MatrixEmbedder(path=path).vocabulary()
    assert caught.value.path == path


def test_line_numbers_count_over_blocks(files, monkeypatch):
    monkeypatch.setattr(wordvectors, "_BLOCK", 50)
    content = "".join(f"w{number} 1 2\n" for number in range(100)) + "bad 1\n"
    with pytest.raises(LoadError, match="line 101 "):
        MatrixEmbedder(path=files("v.txt", content)).vocabulary()


def test_text_without_a_newline_is_refused_before_it_fills_memory(files, monkeypatch):
    monkeypatch.setattr(wordvectors, "_BLOCK", 1000)
    monkeypatch.setattr(wordvectors, "_LONGEST_LINE", 10_000)
    with pytest.raises(LoadError, match=r"line 1 .* is longer than 10000 bytes"):
        MatrixEmbedder(path=files("v.txt", "dog " + "1 " * 50_000)).vocabulary()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin with a line of two numbers"),
        (TEXT, "does not begin with a line of two numbers"),
        (b"3 x\n", "does not begin with a line of two numbers"),
        (b"1 0\n", "has 0 values a word"),
        (b"0 2\n", "holds no words"),
        (word2vec(WORDS, ROWS)[:-2], "announces 3 words of 2 values and holds 2"),
        (word2vec(WORDS, ROWS, count=4), "announces 4 words of 2 values and holds 3"),
        (word2vec(WORDS, ROWS, count=2), "announces 2 words of 2 values and holds more"),
        (word2vec(WORDS, np.where(ROWS == 3, np.nan, ROWS)), r"row 2 .*\('man'\)"),
        (word2vec(["x"], ROWS[:1]).replace(b"x", b"\xff"), "word 1 of .* is not UTF-8"),
    ],
)
def test_word2vec_file_that_is_broken_is_refused(files, content, message):
    path = files("v.bin", content)
    with pytest.raises(LoadError, match=message):
        MatrixEmbedder(path=path).vocabulary()


@pytest.mark.parametrize(
    "content", [TEXT, gzip.compress(TEXT, mtime=0)[:-5], gzip.compress(TEXT, mtime=0)[:10] + b"\xff" * 50]
)
def test_gzip_file_that_is_broken_is_refused(files, content):
    with pytest.raises(LoadError, match="cannot be read"):
        MatrixEmbedder(path=files("v.txt.gz", content)).vocabulary()


def test_full_temporary_folder_is_said(files, monkeypatch):
    def refuse():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wordvectors.tempfile, "TemporaryFile", refuse)
    with pytest.raises(LoadError, match="No space left on device; make room"):
        MatrixEmbedder(path=files("v.txt", TEXT)).vocabulary()


# Looking up.


def test_case_is_folded_where_the_entry_itself_is_unknown():
    lookup = Lookup(["Paris", "dog", "DOG", "Straße", "PARIS"])
    assert lookup.find("paris", True) == 0
    assert lookup.find("PARIS", True) == 4
    assert lookup.find("DOG", True) == 2
    assert lookup.find("Dog", True) == 1
    assert lookup.find("strasse", True) == 3
    assert lookup.find("cat", True) == -1


def test_wordpiece_marks_continue_a_word():
    lookup = Lookup(["[UNK]", "ing", "##ing", "walk", "##s", "##"])
    assert lookup.marks == "##"
    assert [lookup.find("ing", True), lookup.find("ing", False)] == [1, 2]
    assert [lookup.find("walk", False), lookup.find("s", True)] == [3, 4]
    assert lookup.find("##", True) == 5
    assert lookup.vocabulary.entries == ("[UNK]", "ing", "ing", "walk", "s", "##")
    assert lookup.vocabulary.starts_word.tolist() == [True, True, False, True, False, True]


def test_sentencepiece_marks_begin_a_word():
    lookup = Lookup(["<unk>", "▁dog", "dog", "▁Cat", "▁▁"])
    assert lookup.marks == "▁"
    assert [lookup.find("dog", True), lookup.find("dog", False)] == [1, 2]
    assert [lookup.find("cat", True), lookup.find("cat", False)] == [3, 3]
    assert lookup.vocabulary.entries == ("<unk>", "dog", "dog", "Cat", " ")


def test_byte_level_marks_begin_a_word_and_bytes_become_characters():
    lookup = Lookup(["Ġdog", "dog", "Ġcafé".replace("é", "Ã©"), "Ã", "<|endoftext|>", "Ċ"])
    assert lookup.marks == "Ġ"
    assert [lookup.find("dog", True), lookup.find("dog", False), lookup.find("café", True)] == [0, 1, 2]
    assert lookup.vocabulary.entries == ("dog", "dog", "café", "Ã", "<|endoftext|>", "\n")


def test_a_rare_mark_is_a_word():
    words = [f"word{number}" for number in range(40)]
    lookup = Lookup([*words, "##th", "Ġorġ", "▁"])
    assert lookup.marks == "none"
    assert [lookup.find("##th", True), lookup.find("Ġorġ", True), lookup.find("th", False)] == [40, 41, -1]
    assert Lookup([*words, "##th"], "##").find("th", False) == 40


def test_marks_are_an_option(files):
    path = files("v.txt", "dog 1 2\n##ing 3 4\n")
    assert rows(MatrixEmbedder(path=path), "ing", starts_word=False) == [[3, 4]]
    assert rows(MatrixEmbedder(path=path, marks="none"), "ing", starts_word=False) == [[0, 0]]


# The plugin.


def test_embedder_keeps_the_contract(files):
    check_embedder(
        MatrixEmbedder,
        tolerance=0.0,
        path=files("m.npy", ROWS),
        vocabulary=files("v.txt", "dog\nthe\nstrasse\n"),
    )
    check_embedder(MatrixEmbedder, tolerance=0.0, path=files("v.txt", TEXT))


def test_config_makes_the_same_embedder_and_is_json(files, tmp_path, monkeypatch):
    files("m.npy", ROWS)
    files("v.txt", "dog\nbites\nman\n")
    monkeypatch.chdir(tmp_path)
    embedder = MatrixEmbedder(path="m.npy", vocabulary="v.txt")
    expected = {"path": str(tmp_path / "m.npy"), "vocabulary": str(tmp_path / "v.txt")}
    assert embedder.config == expected | {"tensor": None, "marks": "auto"}
    assert embedder.files == expected
    monkeypatch.chdir("/")
    again = MatrixEmbedder(**json.loads(json.dumps(embedder.config)))
    assert rows(again, "dog") == [[1, 2]]
    assert MatrixEmbedder(path=files("t.txt", TEXT)).files == {"path": str(tmp_path / "t.txt")}


def test_home_folder_may_be_a_tilde(files, tmp_path, monkeypatch):
    files("v.txt", TEXT)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert rows(MatrixEmbedder(path="~/v.txt"), "dog") == [[1, 2]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": ""}, "no file name"),
        ({"path": 5}, "no file name"),
        ({"path": "m.npy"}, "needs vocabulary="),
        ({"path": "m.safetensors"}, "needs vocabulary="),
        ({"path": "v.txt", "vocabulary": "v"}, "has its words inside"),
        ({"path": "v.bin", "vocabulary": "v"}, "has its words inside"),
        ({"path": "m.npy", "vocabulary": "v", "tensor": "t"}, "has no named tensors"),
        ({"path": "v.txt", "marks": "@@"}, "marks='@@' is not one of auto, none"),
        ({"path": "m.npz", "vocabulary": "v"}, "unpack it first"),
        ({"path": "m.npy.gz", "vocabulary": "v"}, "unpack it first"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        MatrixEmbedder(**arguments)


@pytest.mark.parametrize("name", ["none.npy", "none.safetensors", "none.bin", "none.txt", "none.txt.gz"])
def test_missing_file_is_named_at_once(tmp_path, name):
    path = str(tmp_path / name)
    arguments = {"vocabulary": path} if name.endswith(("npy", "safetensors")) else {}
    with pytest.raises(LoadError, match=f"{name} cannot be read: No such file") as caught:
        MatrixEmbedder(path=path, **arguments)
    assert caught.value.path == path


def test_starts_word_of_another_shape_is_refused(files):
    embedder = MatrixEmbedder(path=files("v.txt", TEXT))
    with pytest.raises(UsageError, match=r"2 entries need bool of shape \(2,\)"):
        embedder.rows(["dog", "man"], np.ones(3, dtype=bool))


def test_threads_load_once_and_agree(files, monkeypatch):
    calls = []
    read = wordvectors.read_text
    monkeypatch.setattr("vecsearch_wordllama.matrix.read_text", lambda path: calls.append(path) or read(path))
    embedder = MatrixEmbedder(path=files("v.txt", TEXT))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: rows(embedder, "dog", "cat"), range(16)))
    assert results == [[[1, 2], [0, 0]]] * 16
    assert len(calls) == 1
