"""Cells and codes: a token is found again through its cell and its code, whatever its segment went through since."""

from __future__ import annotations

import gc
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vecsearch.stores import cells as module
from vecsearch.stores.cells import Codebook, Codes, Probe, RareCells, best_per_passage
from vecsearch.stores.faiss_library import faiss

N, DIM, N_PASSAGES = 3000, 20, 150
ROOM = 0.06
"""FAISS adds up 8-bit tables: so far may a similarity be from that of the decoded vector."""


def tokens(n: int = N, dim: int = DIM, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors that lie around the mean of their type, types as frequent as words are, and passages."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(99).standard_normal((400, dim))
    types = np.minimum(rng.zipf(1.4, n), 400).astype(np.int32) - 1
    vectors = means[types] + 0.5 * rng.standard_normal((n, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), types, np.sort(rng.integers(0, N_PASSAGES, n))


def everything(codebook: Codebook, query: np.ndarray) -> Probe:
    return codebook.probe(query, codebook.n_cells)


def blocks(
    vectors: np.ndarray, types: np.ndarray, numbers: np.ndarray, n: int = 1000
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for begin in range(0, len(vectors), n):
        yield vectors[begin : begin + n], types[begin : begin + n], numbers[begin : begin + n]


def bitmap(numbers: np.ndarray) -> np.ndarray:
    bits = np.zeros(numbers.max(initial=-1) + 1, np.uint8)
    bits[numbers] = 1
    return np.packbits(bits, bitorder="little")


def found(codes: Codes, codebook: Codebook, query: np.ndarray, k: int, allowed: np.ndarray | None = None) -> list:
    similarities, numbers = codes.search(query, everything(codebook, query), k, allowed)
    assert similarities.dtype == np.float32
    assert numbers.dtype == np.int64
    assert np.all(np.diff(np.where(numbers < 0, -9, similarities), axis=1) <= 0)
    assert np.all((similarities == -np.inf) == (numbers < 0))
    return [
        sorted(zip(row.tolist(), scores.tolist(), strict=True))
        for row, scores in zip(numbers, similarities, strict=True)
    ]


def expected(codebook: Codebook, vectors: np.ndarray, types: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the similarities of decoded vectors."""
    cells = codebook.cells(vectors, types)
    return query @ codebook.decode(codebook.encode(vectors, cells), cells).T


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tokens()


@pytest.fixture(scope="module")
def codebook(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Codebook:
    # planned for more tokens than there are, so that some types have several cells
    return Codebook.train(sample[0], sample[1], 20 * N)


@pytest.fixture(scope="module")
def codes(codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Codes:
    return Codes.build(codebook, blocks(*sample))


def test_a_frequent_type_has_several_cells_a_rare_one_none_of_its_own(
    codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    vectors, types, _ = sample
    counts = np.bincount(types)
    cells = codebook.cells(vectors, types)
    assert cells.dtype == np.int32
    assert len(np.unique(cells[types == 0])) > 5
    one_cell = [t for t in range(400) if counts[t] >= module.FEWEST_SAMPLES and counts[t] * 20 < module.LIST_TOKENS]
    assert len(one_cell) > 20
    for number in one_cell:
        assert len(np.unique(cells[types == number])) == 1
    rare = np.flatnonzero((counts > 0) & (counts < module.FEWEST_SAMPLES))
    assert len(rare) > 20
    own = np.unique(cells[np.isin(types, one_cell) | (types == 0)])
    assert np.isin(cells[np.isin(types, rare)], np.unique(cells[~np.isin(types, rare)])).mean() > 0.9
    assert len(own) <= codebook.n_cells


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


def test_searching_all_cells_finds_every_token_at_its_similarity(
    codes: Codes, codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    vectors, types, numbers = sample
    query = vectors[::600]
    similarities = expected(codebook, vectors, types, query)
    for row, hits in zip(similarities, found(codes, codebook, query, N), strict=True):
        assert [number for number, _ in hits] == numbers.tolist()
        right = sorted(zip(numbers.tolist(), row.tolist(), strict=True))
        assert np.abs(np.array(hits)[:, 1] - np.array(right)[:, 1]).max() < ROOM


def test_the_best_tokens_come_first(
    codes: Codes, codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    vectors, types, _ = sample
    query = vectors[7:12]
    similarities, _ = codes.search(query, everything(codebook, query), 10)
    best = -np.sort(-expected(codebook, vectors, types, query), axis=1)[:, :10]
    assert np.abs(similarities - best).max() < ROOM


def test_probing_few_cells_finds_the_same_best_tokens_nearly_always(
    codes: Codes, codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    query = sample[0][::60]
    similarities, _ = codes.search(query, codebook.probe(query, 12), 20)
    best, _ = codes.search(query, everything(codebook, query), 20)
    assert (np.abs(similarities - best) < ROOM).mean() > 0.9


def test_only_allowed_passages_are_found(
    codes: Codes, codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    numbers = sample[2]
    query = sample[0][:2]
    some = np.array([0, 3, 64, 101])
    for hits in found(codes, codebook, query, N, bitmap(some)):
        assert [number for number, _ in hits if number >= 0] == numbers[np.isin(numbers, some)].tolist()
    # numbers beyond the bitmap may not be found
    for hits in found(codes, codebook, query, N, np.full(2, 255, np.uint8)):
        assert [number for number, _ in hits if number >= 0] == numbers[numbers < 16].tolist()
    assert {number for hits in found(codes, codebook, query, 5, np.zeros(0, np.uint8)) for number, _ in hits} == {-1}


def test_more_is_asked_for_than_there_is(codes: Codes, codebook: Codebook) -> None:
    query = tokens(3, seed=1)[0]
    _, numbers = codes.search(query, everything(codebook, query), N + 50)
    assert (numbers >= 0).sum(axis=1).tolist() == [N, N, N]
    probe = codebook.probe(query, codebook.n_cells + 9)
    assert np.all(probe.cells[:, codebook.n_cells :] == -1)
    _, numbers = codes.search(query, probe, N)
    assert np.all(numbers >= 0)


def test_empty_queries_and_empty_segments(codebook: Codebook) -> None:
    empty = Codes.build(codebook, [])
    assert empty.n == 0
    query = tokens(2)[0]
    similarities, numbers = empty.search(query, codebook.probe(query, 4), 3)
    assert similarities.tolist() == [[-np.inf] * 3] * 2
    assert numbers.tolist() == [[-1] * 3] * 2
    assert Codes.from_buffer(codebook, empty.to_bytes()).n == 0
    nothing = np.zeros((0, DIM), np.float32)
    assert codebook.probe(nothing, 4).cells.shape == (0, 4)
    assert empty.search(nothing, codebook.probe(nothing, 4), 3)[1].shape == (0, 3)
    assert codebook.cells(nothing, np.zeros(0, np.int32)).shape == (0,)
    assert Codes.build(codebook, [(nothing, np.zeros(0, np.int32), np.zeros(0, np.int64))]).n == 0


def test_codes_come_back_from_their_bytes(codes: Codes, codebook: Codebook, tmp_path: Path) -> None:
    query = tokens(4, seed=2)[0]
    assert codes.content.tobytes() == codes.to_bytes()
    assert len(codes.content) == codes.n_bytes
    path = tmp_path / "codes"
    path.write_bytes(codes.to_bytes())
    with open(path, "rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    read = Codes.from_buffer(codebook, mapped)
    path.unlink()
    del mapped
    gc.collect()
    assert read.n == N
    assert found(read, codebook, query, N) == found(codes, codebook, query, N)
    del read
    gc.collect()


def test_codebooks_come_back_from_their_bytes(
    codes: Codes, codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    vectors, types, _ = sample
    read = Codebook.from_bytes(codebook.to_bytes())
    assert (read.n_cells, read.dim, read.n_tokens) == (codebook.n_cells, DIM, 20 * N)
    assert read.to_bytes() == codebook.to_bytes()
    query = vectors[:5]
    assert np.array_equal(read.probe(query, 7).cells, codebook.probe(query, 7).cells)
    cells = codebook.cells(vectors, types)
    assert np.array_equal(read.cells(vectors, types), cells)
    assert np.array_equal(read.encode(vectors, cells), codebook.encode(vectors, cells))
    again = Codes.from_buffer(read, codes.to_bytes())
    assert found(again, read, query, N) == found(codes, codebook, query, N)


def test_merging_moves_codes_and_drops_what_is_not_allowed(
    codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    query = sample[0][:3]
    parts = [Codes.build(codebook, [block]) for block in blocks(*sample, n=700)]
    separate = [found(part, codebook, query, part.n) for part in parts]
    together = [sorted(hit for hits in rows for hit in hits) for rows in zip(*separate, strict=True)]
    whole = Codes.merged(codebook, parts)
    assert whole.n == N
    assert found(whole, codebook, query, N) == together
    some = np.arange(5, 90, 2)
    kept = Codes.merged(codebook, parts, bitmap(some))
    assert kept.n == np.isin(sample[2], some).sum()
    assert found(kept, codebook, query, kept.n) == [
        [hit for hit in hits if hit[0] in set(some.tolist())] for hits in together
    ]
    assert Codes.merged(codebook, parts, np.zeros(0, np.uint8)).n == 0
    assert Codes.merged(codebook, []).n == 0


def test_merging_works_in_pieces(
    monkeypatch: pytest.MonkeyPatch, codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    parts = [Codes.build(codebook, [block]) for block in blocks(*sample, n=1500)]
    whole = Codes.merged(codebook, parts).to_bytes()
    monkeypatch.setattr(module, "CHUNK_TOKENS", 100)
    assert Codes.merged(codebook, parts).to_bytes() == whole


def test_codes_are_laid_out_as_faiss_packs_them(
    codes: Codes, codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    vectors, types, numbers = sample
    cells = codebook.cells(vectors, types)
    index = codebook.index()
    packer = index.get_CodePacker()
    cell = int(np.bincount(cells).argmax())
    members = np.flatnonzero(cells == cell)
    flat = codebook.encode(vectors[members], cells[members])
    layout = codes._layout
    first = layout.blocks[cell]
    stored = np.ascontiguousarray(layout.codes(codes._content)[first : layout.blocks[cell + 1]])
    for place, code in enumerate(flat):
        assert packer.unpack_1(stored[place // 32].reshape(1, -1), place % 32).tolist() == code.tolist()
    assert codes._numbers(cell, cell + 1).tolist() == numbers[members].tolist()


@pytest.mark.parametrize("dim", [1, 3, 7, 64])
def test_any_dimension_works(dim: int) -> None:
    vectors, types, numbers = tokens(500, dim, seed=3)
    codebook = Codebook.train(vectors, types, 500)
    codes = Codes.build(codebook, [(vectors, types, numbers)])
    query = vectors[:3]
    for row, hits in zip(expected(codebook, vectors, types, query), found(codes, codebook, query, 500), strict=True):
        right = sorted(zip(numbers.tolist(), row.tolist(), strict=True))
        assert np.abs(np.array(hits) - np.array(right)).max() < ROOM


@pytest.mark.parametrize("n", [1, 2, 17])
def test_a_tiny_sample_is_enough(n: int) -> None:
    vectors, types, numbers = tokens(n, seed=4)
    codebook = Codebook.train(vectors, types, n)
    codes = Codes.build(codebook, [(vectors, types, numbers)])
    assert sorted(codes.search(vectors[:1], everything(codebook, vectors[:1]), n)[1][0].tolist()) == numbers.tolist()


def test_equal_and_zero_vectors_are_found() -> None:
    vectors = np.zeros((300, 8), np.float32)
    vectors[:200, 0] = 1
    numbers = np.arange(300)
    codebook = Codebook.train(vectors, np.full(300, -1, np.int32), 100_000)
    codes = Codes.build(codebook, [(vectors, np.full(300, -1, np.int32), numbers)])
    similarities, hits = codes.search(vectors[:1], everything(codebook, vectors[:1]), 300)
    assert set(hits[0, :200].tolist()) == set(range(200))
    assert np.abs(similarities[0] - np.repeat([1, 0], [200, 100])).max() < ROOM


def test_tokens_without_types_get_cells_by_their_vectors() -> None:
    vectors, _, numbers = tokens(4000)
    types = np.full(4000, -1, np.int32)
    codebook = Codebook.train(vectors, types, 100_000)
    assert codebook.n_cells > 30
    codes = Codes.build(codebook, [(vectors, types, numbers)])
    query = vectors[::100]
    similarities, _ = codes.search(query, codebook.probe(query, 16), 10)
    best, _ = codes.search(query, everything(codebook, query), 10)
    assert (np.abs(similarities - best) < ROOM).mean() > 0.85


def test_a_larger_corpus_has_more_cells(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    vectors, types, _ = sample
    counts = [Codebook.train(vectors, types, n).n_cells for n in (N, 10 * N, 100 * N)]
    assert counts[0] < counts[1] < counts[2]


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


def test_other_blocks_are_refused(codebook: Codebook) -> None:
    vectors, types, numbers = tokens(5)
    with pytest.raises(ValueError, match="0 or more"):
        Codes.build(codebook, [(vectors, types, numbers - 200)])
    with pytest.raises(ValueError, match="must be"):
        Codes.build(codebook, [(vectors[:4], types, numbers)])
    with pytest.raises(ValueError, match="must be"):
        Codes.build(codebook, [(vectors[:, :5], types, numbers)])


def test_codes_of_another_codebook_are_refused(codes: Codes, sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    other = Codebook.train(sample[0], sample[1], N, seed=1)
    with pytest.raises(ValueError, match="another codebook"):
        Codes.from_buffer(other, codes.to_bytes())


def test_damaged_codes_are_refused(codes: Codes, codebook: Codebook) -> None:
    content = codes.to_bytes()
    for cut in (0, 10, 63, 64, 200, len(content) // 2, len(content) - 1):
        with pytest.raises(ValueError, match="codes"):
            Codes.from_buffer(codebook, content[:cut])
    with pytest.raises(ValueError, match="codes"):
        Codes.from_buffer(codebook, content + b"\0")
    for place in range(0, 64 + 4 * codebook.n_cells, 7):
        changed = bytearray(content)
        changed[place] ^= 0x55
        with pytest.raises(ValueError, match="codes"):
            Codes.from_buffer(codebook, bytes(changed))


def test_damaged_codebooks_are_refused_or_harmless(codebook: Codebook) -> None:
    content = codebook.to_bytes()
    query = tokens(3)[0]
    for cut in (0, 10, 71, 72, 200, len(content) // 2, len(content) - 1):
        with pytest.raises(ValueError, match="codebook"):
            Codebook.from_bytes(content[:cut])
    n_refused = 0
    rng = np.random.default_rng(0)
    header = module._CODEBOOK.size
    for place in [*range(24, header, 3), *rng.integers(header, len(content), 400).tolist()]:
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        try:
            read = Codebook.from_bytes(bytes(changed))
        except ValueError:
            n_refused += 1
        else:
            assert read.probe(query, 5).cells.max() < read.n_cells
    assert n_refused > 10


def test_links_that_lead_out_of_the_graph_are_refused(codebook: Codebook) -> None:
    content = codebook.to_bytes()
    (n_graph,) = struct.unpack_from("<Q", content, module._CODEBOOK.size - 8)
    graph = np.frombuffer(content[-n_graph:], np.uint8)
    index = faiss().deserialize_index(graph)
    links = faiss().vector_to_array(index.hnsw.neighbors)
    at = content.index(links.tobytes())
    for wrong in (codebook.n_cells, 1 << 30, -2):
        changed = bytearray(content)
        struct.pack_into("<i", changed, at, wrong)
        with pytest.raises(ValueError, match="graph"):
            Codebook.from_bytes(bytes(changed))


def test_reduction_takes_the_best_and_imputes_the_floor() -> None:
    similarities = np.array([[0.9, 0.8, 0.7, 0.6], [0.5, -np.inf, 0.4, -np.inf]], np.float32)
    numbers = np.array([[4, 4, 9, 2], [2, -1, 2, -1]])
    passages, reduced = best_per_passage(similarities, numbers)
    assert passages.tolist() == [2, 4, 9]
    assert reduced.dtype == np.float32
    assert reduced.tolist() == np.array([[0.6, 0.9, 0.7], [0.5, 0.4, 0.4]], np.float32).tolist()


def test_reduction_works_for_numbers_of_any_size() -> None:
    rng = np.random.default_rng(0)
    similarities = rng.standard_normal((5, 300)).astype(np.float32)
    numbers = rng.integers(-1, 90, (5, 300))
    passages, reduced = best_per_passage(similarities, numbers)
    far, reduced_far = best_per_passage(similarities, np.where(numbers < 0, numbers, numbers * (1 << 40)))
    assert np.array_equal(far, passages << 40)
    assert np.array_equal(reduced, reduced_far)


def test_reduction_of_nothing() -> None:
    passages, reduced = best_per_passage(np.full((2, 3), -np.inf, np.float32), np.full((2, 3), -1))
    assert passages.shape == (0,)
    assert reduced.shape == (2, 0)
    passages, reduced = best_per_passage(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64))
    assert reduced.shape == (0, 0)
    # one token found nothing: it says nothing about any passage
    _, reduced = best_per_passage(np.array([[0.5], [-np.inf]], np.float32), np.array([[1], [-1]]))
    assert reduced.tolist() == [[0.5], [0.0]]
