"""Cells are planned by type where tokens have types, by vector where they have none, and more for a larger corpus."""

from __future__ import annotations

import numpy as np

from tests.typed_tokens import ROOM, N, everything, searched, tokens
from vecsearch.stores.cell_planning import FEWEST_SAMPLES, LIST_TOKENS
from vecsearch.stores.codebook import Codebook
from vecsearch.stores.codes import Codes


def test_a_frequent_type_has_several_cells_a_rare_one_none_of_its_own(
    codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    vectors, types, _ = sample
    counts = np.bincount(types)
    cells = codebook.cells(vectors, types)
    assert cells.dtype == np.int32
    assert len(np.unique(cells[types == 0])) > 5
    one_cell = [t for t in range(400) if counts[t] >= FEWEST_SAMPLES and counts[t] * 20 < LIST_TOKENS]
    assert len(one_cell) > 20
    for number in one_cell:
        assert len(np.unique(cells[types == number])) == 1
    rare = np.flatnonzero((counts > 0) & (counts < FEWEST_SAMPLES))
    assert len(rare) > 20
    own = np.unique(cells[np.isin(types, one_cell) | (types == 0)])
    first_rare = codebook.probe(vectors[:1], codebook.n_cells)[1].cells.min()
    assert own.max() < first_rare
    assert cells[np.isin(types, rare)].min() >= first_rare
    assert len(own) <= codebook.n_cells


def test_tokens_without_types_get_cells_by_their_vectors() -> None:
    vectors, _, numbers = tokens(4000)
    types = np.full(4000, -1, np.int32)
    codebook = Codebook.train(vectors, types, 100_000)
    assert codebook.n_cells > 30
    codes = Codes.build(codebook, [(vectors, types, numbers)])
    query = vectors[::100]
    similarities, _ = searched(codes, codebook.probe(query, 16), query, 10)
    best, _ = searched(codes, everything(codebook, query), query, 10)
    assert (np.abs(np.sort(similarities, axis=1) - np.sort(best, axis=1)) < ROOM).mean() > 0.85


def test_a_larger_corpus_has_more_cells(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    vectors, types, _ = sample
    counts = [Codebook.train(vectors, types, n).n_cells for n in (N, 10 * N, 100 * N)]
    assert counts[0] < counts[1] < counts[2]
