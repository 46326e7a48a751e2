"""Codes searched in compiled code: what FAISS finds, and what any sum of small whole numbers says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.typed_tokens import DIM, N, bitmap, compiled_or_skip, searching_by, tokens
from vecsearch.stores import compiled_scan
from vecsearch.stores.codebook import Codebook
from vecsearch.stores.codes import Codes
from vecsearch.stores.probe import Probe

Sample = tuple[np.ndarray, np.ndarray, np.ndarray]
STEPS = 5e-3
"""Two steps of the tables of these queries: FAISS rounds them a little differently."""


def both(
    monkeypatch: pytest.MonkeyPatch, codes: Codes, codebook: Codebook, query: np.ndarray, k: int, **options: object
) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Return what FAISS finds and what compiled code finds, for each probe."""
    found = []
    for how in ("FAISS", "compiled"):
        searching_by(monkeypatch, how)
        found.append([codes.search(probe, k, **options) for probe in codebook.probe(query, 12)])  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("k", [1, 7, 64, 500, N])
def test_it_finds_what_faiss_finds(
    monkeypatch: pytest.MonkeyPatch, codes: Codes, codebook: Codebook, sample: Sample, k: int
) -> None:
    for ones, others in zip(*both(monkeypatch, codes, codebook, sample[0][::100], k), strict=True):
        for row, (values, numbers, other_values, other_numbers) in enumerate(zip(*ones, *others, strict=True)):
            order, other_order = np.argsort(-values, kind="stable"), np.argsort(-other_values, kind="stable")
            n = int((numbers >= 0).sum())
            assert n == (other_numbers >= 0).sum(), row
            # tables are rounded a little differently
            np.testing.assert_allclose(values[order][:n], other_values[other_order][:n], atol=STEPS)
            last = values[order][n - 1] if n else 0
            assert set(numbers[values > last + 2 * STEPS]) <= set(other_numbers)
            assert set(other_numbers[other_values > last + 2 * STEPS]) <= set(numbers)


@pytest.mark.parametrize("dim", [1, 4, 12, 20, 40, 256])
def test_sums_are_those_of_the_tables(monkeypatch: pytest.MonkeyPatch, dim: int) -> None:
    vectors, types, _ = tokens(400, dim, seed=8)
    codebook = Codebook.train(vectors, types, 400)
    codes = Codes.build(codebook, [(vectors, types, np.arange(400))])
    searching_by(monkeypatch, "compiled")
    cells = codebook.cells(vectors, types)
    halves = codebook.encode(vectors, cells)
    parts = np.stack([halves & 15, halves >> 4], axis=2).reshape(400, -1)
    n_found = 0
    for probe in codebook.probe(vectors[:5], codebook.n_cells):
        tables = probe.tables
        similarities, found = codes.search(probe, 400)
        for row in range(5):
            entries = tables.entries[row].reshape(-1, 16).astype(int)
            there = found[row] >= 0
            n_found += int(there.sum())
            for similarity, number in zip(similarities[row][there], found[row][there], strict=True):
                bias = tables.biases[row][probe.cells[row] == cells[number]]
                total = int(bias[0]) + int(entries[np.arange(parts.shape[1]), parts[number]].sum())
                assert similarity == np.float32(tables.low[row] + tables.step[row] * np.float32(total - 1))
    assert n_found == 5 * 400


def test_of_equally_near_tokens_as_many_as_wanted_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.zeros((300, 8), np.float32)
    vectors[:, 0] = 1
    vectors[:20, 0] = 0
    vectors[:20, 1] = 1
    types = np.full(300, -1, np.int32)
    codebook = Codebook.train(vectors, types, 100_000)
    codes = Codes.build(codebook, [(vectors, types, np.arange(300))])
    searching_by(monkeypatch, "compiled")
    for k in (1, 5, 279, 280, 281, 300, 301):
        probes = codebook.probe(vectors[-1:], codebook.n_cells)
        found = np.concatenate([codes.search(probe, k)[1][0] for probe in probes])
        assert len(found[found >= 20]) == min(k, 280)
        assert len(set(found[found >= 0].tolist())) == (found >= 0).sum() == min(k, 300)


@pytest.mark.parametrize("some", [[], [0], [3, 64, 101], list(range(0, 150, 7)), list(range(150))])
def test_only_allowed_passages_are_found(
    monkeypatch: pytest.MonkeyPatch, codes: Codes, codebook: Codebook, sample: Sample, some: list[int]
) -> None:
    allowed = bitmap(np.array(some, np.int64))
    ones, others = both(monkeypatch, codes, codebook, sample[0][:3], N, allowed=allowed)
    for (values, numbers), (other_values, other_numbers) in zip(ones, others, strict=True):
        assert set(other_numbers.ravel().tolist()) - {-1} <= set(some)
        for row in range(3):
            kept, other_kept = (np.sort(one[row][one[row] >= 0]) for one in (numbers, other_numbers))
            assert kept.tolist() == other_kept.tolist()
            assert (
                np.abs(np.sort(values[row])[::-1][: len(kept)] - np.sort(other_values[row])[::-1][: len(kept)]).max(
                    initial=0
                )
                < 2e-3
            )


def test_threads_share_it(monkeypatch: pytest.MonkeyPatch, codes: Codes, codebook: Codebook, sample: Sample) -> None:
    searching_by(monkeypatch, "compiled")
    probes = [codebook.probe(sample[0][at : at + 4], 12)[0] for at in range(0, 400, 10)]
    expected = [codes.search(probe, 50) for probe in probes]
    with ThreadPoolExecutor(4) as pool:
        for (values, numbers), (right, right_numbers) in zip(
            pool.map(lambda probe: codes.search(probe, 50), probes), expected, strict=True
        ):
            np.testing.assert_array_equal(values, right)
            np.testing.assert_array_equal(numbers, right_numbers)


def test_it_is_loaded_once_and_only_when_enough_is_compared(
    monkeypatch: pytest.MonkeyPatch, codes: Codes, codebook: Codebook, sample: Sample
) -> None:
    loaded: list[object] = []
    monkeypatch.setattr(compiled_scan, "_kernels", compiled_scan._Loader())
    monkeypatch.setattr(compiled_scan, "_compiled", lambda: loaded.append(threading.current_thread()))
    (probe, *_) = codebook.probe(sample[0][:1], 12)
    n_compared = int(32 * codes.layout.n_blocks[probe.cells[probe.cells >= 0]].sum())
    monkeypatch.setattr(compiled_scan, "WORTH_COMPILING", 2 * n_compared)
    codes.search(probe, 5)
    assert loaded == []
    for _ in range(3):
        values, numbers = codes.search(probe, 5)
        assert values.shape == numbers.shape == (1, 5)
    assert len(loaded) == 1


@pytest.mark.parametrize("broken", ["missing", "breaks", "no instructions", "no place for a cache"])
def test_without_it_faiss_searches(
    monkeypatch: pytest.MonkeyPatch, codes: Codes, codebook: Codebook, sample: Sample, broken: str
) -> None:
    (probe, *_) = codebook.probe(sample[0][:2], 12)
    searching_by(monkeypatch, "FAISS")
    right = codes.search(probe, 9)
    if broken == "missing":
        monkeypatch.setitem(sys.modules, "vecsearch.stores.scan_kernel", None)
        monkeypatch.delattr("vecsearch.stores.scan_kernel", raising=False)
    else:
        compiled_or_skip()
        from vecsearch.stores import scan_kernel

        if broken == "no instructions":
            monkeypatch.setattr(scan_kernel, "is_usable", lambda: False)
        else:
            njit = scan_kernel.njit

            def broken_njit(*arguments: object, **options: object) -> object:
                if broken == "breaks" or options.get("cache"):
                    raise RuntimeError("cannot cache function: no locator available")
                return njit(*arguments, **options)

            monkeypatch.setattr(scan_kernel, "njit", broken_njit)
    monkeypatch.setattr(compiled_scan, "_kernels", compiled_scan._Loader())
    monkeypatch.setattr(compiled_scan, "WORTH_COMPILING", 0)
    values, numbers = codes.search(probe, 9)
    assert (compiled_scan._kernels.after(0) is not None) == (broken == "no place for a cache")
    for row, right_row in zip(values, right[0], strict=True):
        np.testing.assert_allclose(np.sort(row), np.sort(right_row), atol=STEPS)
    assert numbers.shape == right[1].shape


def test_numba_is_not_imported_for_one_search() -> None:
    code = (
        "import sys, numpy as np\n"
        "from tests.typed_tokens import everything, tokens, trained\n"
        "from vecsearch.stores.codes import Codes\n"
        "codes = Codes.build(trained(), [tokens()])\n"
        "for probe in everything(trained(), tokens()[0][:9]):\n"
        "    codes.search(probe, 10)\n"
        "assert 'numba' not in sys.modules and 'llvmlite' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("setting", ["NUMBA_DISABLE_JIT=1", "NUMBA_CPU_NAME=generic", "NUMBA_DISABLE_JIT=0"])
def test_settings_of_numba_are_heeded(setting: str) -> None:
    compiled_or_skip()
    code = (
        "import numpy as np\n"
        "from tests.typed_tokens import everything, tokens, trained\n"
        "from vecsearch.stores import compiled_scan\n"
        "from vecsearch.stores.codes import Codes\n"
        "compiled_scan.WORTH_COMPILING = 0\n"
        "codes = Codes.build(trained(), [tokens()])\n"
        "for probe in everything(trained(), tokens()[0][:9]):\n"
        "    assert (codes.search(probe, 10)[1] >= 0).all()\n"
        "print(compiled_scan._kernels.after(0) is not None)\n"
    )
    name, value = setting.split("=")
    environment = {**os.environ, name: value}
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert found.stdout.strip() == str(setting == "NUMBA_DISABLE_JIT=0")


def test_dimensions_of_the_tables(codebook: Codebook, sample: Sample) -> None:
    for probe in codebook.probe(sample[0][:3], 12):
        tables = probe.tables
        assert tables.entries.dtype == np.uint8
        assert tables.entries.shape == (3, 16 * -(-DIM // 4) + 16 * (-(-DIM // 4) % 2))
        assert tables.biases.dtype == np.uint16
        assert tables.biases.min() == 1
        largest = tables.entries.reshape(3, -1, 16).max(axis=2).sum(axis=1).astype(int) + tables.biases.max(axis=1)
        assert largest.max() < 65_535


def test_sums_of_very_many_parts_stay_within_16_bits() -> None:
    n_sub = 2_549  # so many that every part is rounded up by nearly half a step
    patterns = np.zeros((n_sub, 16, 4), np.float32)
    patterns[:, 0] = 1
    query = np.full((2, 4 * n_sub), 0.5, np.float32)
    probe = Probe(query, np.zeros((2, 1), np.int64), np.ones((2, 1), np.float32), patterns)
    entries = probe.tables.entries.reshape(2, n_sub, 16).astype(int)
    assert entries[:, :, 0].sum(axis=1).max() + int(probe.tables.biases.max()) < 65_535
