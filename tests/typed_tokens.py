"""Tokens as a corpus has them: around the mean of their type, types as frequent as words are; and what codes find."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest

from vecsearch.stores import compiled_scan
from vecsearch.stores.codebook import Codebook
from vecsearch.stores.codes import Codes
from vecsearch.stores.probe import Probe

__all__ = [
    "DIM",
    "ROOM",
    "N",
    "bitmap",
    "blocks",
    "compiled_or_skip",
    "everything",
    "expected",
    "found",
    "searching_by",
    "tokens",
    "trained",
]

N, DIM, N_PASSAGES = 3000, 20, 150
ROOM = 0.06
"""FAISS adds up 8-bit tables: so far may a similarity be from that of the decoded vector."""


def tokens(n: int = N, dim: int = DIM, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return vectors that lie around the mean of their type, types as frequent as words are, and passages."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(99).standard_normal((400, dim))
    types = np.minimum(rng.zipf(1.4, n), 400).astype(np.int32) - 1
    vectors = means[types] + 0.5 * rng.standard_normal((n, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), types, np.sort(rng.integers(0, N_PASSAGES, n))


@functools.cache
def trained() -> Codebook:
    """Return a codebook for ``tokens()``, planned for more of them, so that some types have several cells."""
    vectors, types, _ = tokens()
    return Codebook.train(vectors, types, 20 * N)


def everything(codebook: Codebook, query: np.ndarray) -> list[Probe]:
    """Return probes of all cells."""
    return codebook.probe(query, codebook.n_cells)


def blocks(
    vectors: np.ndarray, types: np.ndarray, numbers: np.ndarray, n: int = 1000
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Cut tokens into blocks of ``n``."""
    for begin in range(0, len(vectors), n):
        yield vectors[begin : begin + n], types[begin : begin + n], numbers[begin : begin + n]


def bitmap(numbers: np.ndarray) -> np.ndarray:
    """Return the bitmap that allows these passages."""
    bits = np.zeros(numbers.max(initial=-1) + 1, np.uint8)
    bits[numbers] = 1
    return np.packbits(bits, bitorder="little")


def found(codes: Codes, codebook: Codebook, query: np.ndarray, k: int, allowed: np.ndarray | None = None) -> list:
    """Return what each token of a query finds, passages with similarities, sorted; check what is promised of them."""
    rows = [codes.search(probe, k, allowed) for probe in everything(codebook, query)]
    for similarities, numbers in rows:
        assert similarities.dtype == np.float32
        assert numbers.dtype == np.int64
        assert np.all(np.diff(numbers < 0, axis=1) >= 0)
    similarities, numbers = best_of(rows, k)
    assert np.all((similarities == -np.inf) == (numbers < 0))
    return [
        sorted(zip(row.tolist(), scores.tolist(), strict=True))
        for row, scores in zip(numbers, similarities, strict=True)
    ]


def best_of(rows: list[tuple[np.ndarray, np.ndarray]], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best of what several probes found, best first."""
    similarities = np.concatenate([values for values, _ in rows], axis=1)
    numbers = np.concatenate([passages for _, passages in rows], axis=1)
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(numbers, order, axis=1)


def searched(codes: Codes, probes: list[Probe], query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best tokens of all probes, best first."""
    return best_of([codes.search(probe, k) for probe in probes], k)


def expected(codebook: Codebook, vectors: np.ndarray, types: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the similarities of decoded vectors."""
    cells = codebook.cells(vectors, types)
    return query @ codebook.decode(codebook.encode(vectors, cells), cells).T


def compiled_or_skip() -> None:
    """Skip a test of compiled searches where there are none."""
    pytest.importorskip("numba", reason="the extra vecsearch[fast] is not installed")
    from vecsearch.stores import scan_kernel

    if not scan_kernel.is_usable():
        pytest.skip("the processor has no AVX2")


def searching_by(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Search codes by "FAISS" or "compiled" from the first one on."""
    if how == "compiled":
        compiled_or_skip()
    monkeypatch.setattr(compiled_scan, "_kernels", compiled_scan._Loader())
    monkeypatch.setattr(compiled_scan, "WORTH_COMPILING", 0 if how == "compiled" else 1 << 62)
