"""What must hold of rows() whatever the entries are."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from vecsearch_wordllama.matrix import MatrixEmbedder
from vecsearch_wordllama.wordllama import WordLlamaEmbedder

ENTRY = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["dog", "protein", "the", "ing", "<0x0A>", "<unk>", "[UNK]", "", " ", "▁", "東", "🎉", "a" * 1500]),
)
NAMED_PIECE = re.compile(r"<[^<>]*>|\[[A-Z]+\]")  # <s>, <0x0A>, [UNK]: as an entry not the text that it spells
BATCH = st.lists(st.tuples(ENTRY, st.booleans()), max_size=30)

WORDLLAMA = WordLlamaEmbedder()


@pytest.fixture(scope="module")
def matrix_embedder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("matrix")
    words = ["dog", "Dog", "the", "##ing", "##s", "protein", "東", "ß", "x y", "", "##"]
    np.save(folder / "m.npy", np.random.default_rng(1).normal(size=(len(words), 5)).astype(np.float16))
    (folder / "v.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return MatrixEmbedder(path=str(folder / "m.npy"), vocabulary=str(folder / "v.txt"))


def split(batch):
    return [entry for entry, _ in batch], np.array([starts for _, starts in batch], dtype=bool)


def check_rows_depend_on_their_entry_only(embedder, batch, order):
    entries, starts = split(batch)
    rows = embedder.rows(entries, starts)
    assert rows.shape == (len(entries), embedder.dim)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    for number in range(len(entries)):
        alone = embedder.rows(entries[number : number + 1], starts[number : number + 1])
        assert alone.tobytes() == rows[number].tobytes()
    permutation = np.array(order.sample(range(len(entries)), len(entries)), dtype=np.int64)
    shuffled = embedder.rows([entries[number] for number in permutation], starts[permutation])
    assert shuffled.tobytes() == rows[permutation].tobytes()


@settings(deadline=None)
@given(BATCH, st.randoms(use_true_random=False))
def test_wordllama_rows_depend_on_their_entry_only_bit_for_bit(batch, order):
    check_rows_depend_on_their_entry_only(WORDLLAMA, batch, order)


@settings(deadline=None)
@given(BATCH, st.randoms(use_true_random=False))
def test_matrix_rows_depend_on_their_entry_only_bit_for_bit(matrix_embedder, batch, order):
    check_rows_depend_on_their_entry_only(matrix_embedder, batch, order)


@pytest.fixture(scope="module")
def reference():
    """The matrix and the tokenizer, read by the libraries that own the formats."""
    (matrix,) = load_file(WORDLLAMA.files["matrix"]).values()
    tokenizer = Tokenizer.from_file(WORDLLAMA.files["tokenizer"])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return matrix.astype(np.float64), tokenizer


@settings(max_examples=300, deadline=None)
@given(st.text(min_size=1, max_size=30).filter(lambda word: not NAMED_PIECE.fullmatch(word)))
def test_wordllama_row_of_a_word_is_the_sum_over_the_models_own_cut(reference, word):
    matrix, tokenizer = reference
    ids = tokenizer.encode(word, add_special_tokens=False).ids
    expected = matrix[ids].sum(axis=0).astype(np.float32)
    np.testing.assert_array_equal(WORDLLAMA.rows([word], np.array([True]))[0], expected)


@settings(deadline=None)
@given(st.text(max_size=10), st.booleans())
def test_matrix_row_is_zero_exactly_where_nothing_is_known(matrix_embedder, entry, starts_word):
    known = {word.casefold() for word in matrix_embedder.vocabulary().entries}
    found = matrix_embedder.rows([entry], np.array([starts_word]))
    assert found.any() == (entry.casefold() in known)
