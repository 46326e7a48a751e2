"""A token is found again through its cell and its code, whatever its segment went through since."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from tests.typed_tokens import (
    DIM,
    ROOM,
    N,
    bitmap,
    blocks,
    everything,
    expected,
    found,
    searched,
    searching_by,
    tokens,
)
from vecsearch.errors import IndexDamagedError
from vecsearch.stores import code_layout, files
from vecsearch.stores.codebook import Codebook
from vecsearch.stores.codes import Codes
from vecsearch.stores.coding import load_codes
from vecsearch.stores.disk import Disk
from vecsearch.stores.segments import SegmentRecord


@pytest.fixture(autouse=True, params=["FAISS", "compiled"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test searches by either."""
    searching_by(monkeypatch, request.param)


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


def test_the_best_tokens_are_found(
    codes: Codes, codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    vectors, types, _ = sample
    query = vectors[7:12]
    similarities, _ = searched(codes, everything(codebook, query), query, 10)
    best = np.sort(expected(codebook, vectors, types, query), axis=1)[:, -10:]
    assert np.abs(np.sort(similarities, axis=1) - best).max() < ROOM


def test_probing_few_cells_finds_the_same_best_tokens_nearly_always(
    codes: Codes, codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    query = sample[0][::60]
    similarities, _ = searched(codes, codebook.probe(query, 12), query, 20)
    best, _ = searched(codes, everything(codebook, query), query, 20)
    assert (np.abs(np.sort(similarities, axis=1) - np.sort(best, axis=1)) < ROOM).mean() > 0.9


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
    _, numbers = searched(codes, everything(codebook, query), query, N + 50)
    assert (numbers >= 0).sum(axis=1).tolist() == [N, N, N]
    probes = codebook.probe(query, codebook.n_cells + 9)
    assert sum(len(np.unique(probe.cells[probe.cells >= 0])) for probe in probes) == codebook.n_cells
    _, numbers = searched(codes, probes, query, N)
    assert np.all(numbers >= 0)


def test_empty_queries_and_empty_segments(codebook: Codebook) -> None:
    empty = Codes.build(codebook, [])
    assert empty.n == 0
    query = tokens(2)[0]
    similarities, numbers = searched(empty, codebook.probe(query, 4), query, 3)
    assert similarities.tolist() == [[-np.inf] * 3] * 2
    assert numbers.tolist() == [[-1] * 3] * 2
    assert Codes.from_buffer(codebook, empty.to_bytes()).n == 0
    nothing = np.zeros((0, DIM), np.float32)
    assert [len(probe.cells) for probe in codebook.probe(nothing, 4)] == [0, 0]
    assert searched(empty, codebook.probe(nothing, 4), nothing, 3)[1].shape == (0, 3)
    assert codebook.cells(nothing, np.zeros(0, np.int32)).shape == (0,)
    assert Codes.build(codebook, [(nothing, np.zeros(0, np.int32), np.zeros(0, np.int64))]).n == 0


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
    monkeypatch.setattr(code_layout, "CHUNK_TOKENS", 100)
    assert Codes.merged(codebook, parts).to_bytes() == whole


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
    assert sorted(searched(codes, everything(codebook, vectors[:1]), vectors[:1], n)[1][0].tolist()) == numbers.tolist()


def test_equal_and_zero_vectors_are_found() -> None:
    vectors = np.zeros((300, 8), np.float32)
    vectors[:200, 0] = 1
    numbers = np.arange(300)
    codebook = Codebook.train(vectors, np.full(300, -1, np.int32), 100_000)
    codes = Codes.build(codebook, [(vectors, np.full(300, -1, np.int32), numbers)])
    similarities, hits = searched(codes, everything(codebook, vectors[:1]), vectors[:1], 300)
    assert set(hits[0, :200].tolist()) == set(range(200))
    assert np.abs(similarities[0] - np.repeat([1, 0], [200, 100])).max() < ROOM


def test_other_blocks_are_refused(codebook: Codebook) -> None:
    vectors, types, numbers = tokens(5)
    with pytest.raises(ValueError, match="0 or more"):
        Codes.build(codebook, [(vectors, types, numbers - 200)])
    with pytest.raises(ValueError, match="must be"):
        Codes.build(codebook, [(vectors[:4], types, numbers)])
    with pytest.raises(ValueError, match="must be"):
        Codes.build(codebook, [(vectors[:, :5], types, numbers)])


def test_codes_of_a_mapped_file_are_let_go_and_come_back(
    tmp_path: Path, codes: Codes, codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    (tmp_path / "codes").write_bytes(codes.to_bytes())
    with open(tmp_path / "codes", "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    from_file = Codes.from_buffer(codebook, np.frombuffer(mapped, np.uint8))

    def resident() -> int:
        """Return how many KiB of the file this process has in memory."""
        lines = Path("/proc/self/smaps").read_text("utf-8").splitlines()
        place = next(i for i, line in enumerate(lines) if line.endswith(str(tmp_path / "codes")))
        return next(int(line.split()[1]) for line in lines[place:] if line.startswith("Rss:"))

    query = sample[0][:3]
    before = found(from_file, codebook, query, N)
    if Path("/proc/self/smaps").exists():
        assert resident() > 0
        from_file.let_go()
        assert resident() == 0
    from_file.let_go()
    assert found(from_file, codebook, query, N) == before
    codes.let_go()  # of no file: nothing to let go of
    assert found(codes, codebook, query, N) == before


def test_what_a_search_looks_at_is_checked_and_nothing_else(
    tmp_path: Path,
    codes: Codes,
    codebook: Codebook,
    sample: tuple[np.ndarray, np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "_CRC_BLOCK", 512)
    stored = files.write_file(Disk(tmp_path), [codes.to_bytes()], ".codes")
    record = SegmentRecord(stored, codes.n, DIM, 0)
    path, content = tmp_path / stored.file, codes.to_bytes()
    time = path.stat().st_mtime_ns
    probes = [probe for query in sample[0][::300] for probe in codebook.probe(query[None], 2)]
    right = [codes.search(probe, 5) for probe in probes]
    n_found, n_refused = 0, 0
    for begin in range(0, len(content), 512):
        damaged = bytearray(content)
        damaged[begin + 7] ^= 1
        path.write_bytes(damaged)
        os.utime(path, ns=(time, time))  # so the hash is remembered
        if begin < codes.layout.begin_codes:
            with pytest.raises(IndexDamagedError, match=f"between byte {begin} and"):
                load_codes(tmp_path, record, codebook)
            continue
        loaded = load_codes(tmp_path, record, codebook)
        for probe, (similarities, numbers) in zip(probes, right, strict=True):
            begins, ends = codes.layout.ranges(probe.cells[probe.cells >= 0])
            if np.any((begins < begin + 512) & (begin < ends)):
                n_refused += 1
                with pytest.raises(IndexDamagedError, match=f"between byte {begin} and"):
                    loaded.search(probe, 5)
            else:
                n_found += 1
                found_now = loaded.search(probe, 5)
                assert np.array_equal(found_now[0], similarities)
                assert np.array_equal(found_now[1], numbers)
        with pytest.raises(IndexDamagedError, match=f"between byte {begin} and"):
            Codes.merged(codebook, [load_codes(tmp_path, record, codebook)])
        if begin >= codes.layout.begin_numbers:
            with pytest.raises(IndexDamagedError, match=f"between byte {begin} and"):
                loaded.numbers(0, codebook.n_cells)
    assert min(n_found, n_refused) > 50
    path.write_bytes(content)
    os.utime(path, ns=(time, time))
    whole = load_codes(tmp_path, record, codebook)
    query = sample[0][:3]
    assert found(whole, codebook, query, N) == found(codes, codebook, query, N)
    assert whole.numbers(0, codebook.n_cells).tolist() == codes.numbers(0, codebook.n_cells).tolist()
    assert np.array_equal(whole.flat(0, codebook.n_cells), codes.flat(0, codebook.n_cells))
