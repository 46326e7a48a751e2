"""Codebooks put tokens into the right cells, code them near what they are, and come back from their bytes."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from tests.typed_tokens import DIM, N, found, tokens
from vecsearch.stores.codebook import Codebook
from vecsearch.stores.codebook_layout import HEADER
from vecsearch.stores.codes import Codes
from vecsearch.stores.faiss_library import faiss
from vecsearch.stores.token_types import RareCells


def test_a_split_type_goes_to_the_nearest_of_its_cells(
    codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    vectors, types, _ = sample
    members = vectors[types == 0]
    cells = codebook.cells(members, np.zeros(len(members), np.int32))
    zeros = np.full((codebook.n_cells, codebook.code_size), 0, np.uint8)
    # what code 0 adds is the same in every cell
    centres = codebook.decode(zeros, np.arange(codebook.n_cells))
    centres -= centres[:1] - codebook._centres[0, :DIM]
    own = np.unique(cells)
    nearest = own[((members[:, None] - centres[own][None]) ** 2).sum(axis=2).argmin(axis=1)]
    assert (nearest == cells).mean() > 0.99


def test_a_rare_type_is_looked_for_once(codebook: Codebook) -> None:
    vectors, _, _ = tokens(40, seed=5)
    types = np.repeat(np.arange(1000, 1020), 2).astype(np.int32)
    rare = RareCells()
    first = codebook.cells(vectors, types, rare)
    assert np.array_equal(first[::2], first[1::2])
    again = codebook.cells(vectors[::-1].copy(), types, rare)
    assert np.array_equal(again, first)
    assert np.array_equal(rare.of(np.array([1000, 1019, 5, 2000], np.int32)), [first[0], first[-1], -1, -1])


def test_codes_are_near_their_vectors(codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    vectors, types, _ = sample
    cells = codebook.cells(vectors, types)
    decoded = codebook.decode(codebook.encode(vectors, cells), cells)
    assert ((vectors - decoded) ** 2).sum(axis=1).mean() < 0.2
    # and no token is less like itself than it is, on the mean
    assert abs((vectors * (vectors - decoded)).sum(axis=1).mean()) < 0.03


def test_training_does_not_depend_on_chance(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    vectors, types, _ = sample
    assert Codebook.train(vectors, types, N).to_bytes() == Codebook.train(vectors, types, N).to_bytes()


@pytest.mark.parametrize(
    ("vectors", "types"),
    [
        (np.zeros((0, 4), np.float32), np.zeros(0, np.int32)),
        (np.zeros((3, 4)), np.zeros(3, np.int32)),
        (np.zeros(4, np.float32), np.zeros(4, np.int32)),
        (np.zeros((3, 4), np.float32), np.zeros(2, np.int32)),
        (np.zeros((3, 4), np.float32), np.zeros(3, np.int64)),
    ],
)
def test_other_samples_are_refused(vectors: np.ndarray, types: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be"):
        Codebook.train(vectors, types, 10)


def test_codebooks_come_back_from_their_bytes(
    codes: Codes, codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    vectors, types, _ = sample
    read = Codebook.from_bytes(codebook.to_bytes())
    assert (read.n_cells, read.dim, read.n_tokens) == (codebook.n_cells, DIM, 20 * N)
    assert read.to_bytes() == codebook.to_bytes()
    query = vectors[:5]
    for one, other in zip(read.probe(query, 7), codebook.probe(query, 7), strict=True):
        assert np.array_equal(one.cells, other.cells)
    cells = codebook.cells(vectors, types)
    assert np.array_equal(read.cells(vectors, types), cells)
    assert np.array_equal(read.encode(vectors, cells), codebook.encode(vectors, cells))
    again = Codes.from_buffer(read, codes.to_bytes())
    assert found(again, read, query, N) == found(codes, codebook, query, N)


def test_damaged_codebooks_are_refused_or_harmless(codebook: Codebook) -> None:
    content = codebook.to_bytes()
    query = tokens(3)[0]
    for cut in (0, 10, 71, 72, 200, len(content) // 2, len(content) - 1):
        with pytest.raises(ValueError, match="codebook"):
            Codebook.from_bytes(content[:cut])
    n_refused = 0
    rng = np.random.default_rng(0)
    header = HEADER.size
    for place in [*range(24, header, 3), *rng.integers(header, len(content), 400).tolist()]:
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        try:
            read = Codebook.from_bytes(bytes(changed))
        except ValueError:
            n_refused += 1
        else:
            assert all(probe.cells.max() < read.n_cells for probe in read.probe(query, 5))
    assert n_refused > 10


def test_links_that_lead_out_of_the_graph_are_refused(codebook: Codebook) -> None:
    content = codebook.to_bytes()
    (n_graph,) = struct.unpack_from("<Q", content, HEADER.size - 8)
    graph = np.frombuffer(content[-n_graph:], np.uint8)
    index = faiss().deserialize_index(graph)
    links = faiss().vector_to_array(index.hnsw.neighbors)
    at = content.index(links.tobytes())
    for wrong in (codebook.n_cells, 1 << 30, -2):
        changed = bytearray(content)
        struct.pack_into("<i", changed, at, wrong)
        with pytest.raises(ValueError, match="graph"):
            Codebook.from_bytes(bytes(changed))


def test_all_centres_are_compared_where_they_are_few_and_the_graph_asked_where_they_are_many(
    codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    query, n_probe = sample[0][:40], 6
    compared = codebook.probe(query, n_probe)
    monkeypatch.setattr("vecsearch.stores.codebook.FEW_CELLS", 0)
    found = codebook.probe(query, n_probe)
    products = query @ codebook._centres[:, : query.shape[1]].T
    n_types = codebook._first_rare
    of_types, of_rare = compared
    for row, cells, similarities in zip(products, of_types.cells, of_types.similarities, strict=True):
        assert sorted(cells.tolist()) == sorted(np.argsort(-row[:n_types])[:n_probe].tolist())
        np.testing.assert_allclose(similarities, row[cells], atol=1e-5)
    for row, cells, similarities in zip(products, of_rare.cells, of_rare.similarities, strict=True):
        assert sorted(cells.tolist()) == sorted((n_types + np.argsort(-row[n_types:])[: len(cells)]).tolist())
        np.testing.assert_allclose(similarities, row[cells], atol=1e-5)
    # the graph may miss one now and then
    assert np.mean([np.isin(a, b).mean() for a, b in zip(found[0].cells, of_types.cells, strict=True)]) > 0.9
