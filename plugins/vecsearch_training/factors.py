"""Truncated singular value decomposition of a sparse matrix, by random projection.

Source: Halko, Martinsson & Tropp 2011, "Finding structure with randomness", algorithms 4.4 and 5.1. Exact to within
the last of the values that are kept, which here decay slowly; two rounds of power iteration bring the rest close.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from vecsearch.types import Floats

__all__ = ["product", "truncated_svd"]

OVERSAMPLING = 32
ROUNDS = 2


def truncated_svd(
    matrix: csr_array, dim: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> tuple[Floats, Floats]:
    """Return the largest singular values of a sparse matrix and their right singular vectors.

    Args:
        matrix: float32 ``(n_rows, n_columns)``.
        dim: how many; at most as many as the matrix has rows and columns.
        seed: of the random projection; the same seed gives the same result on the same machine.
        progress: called with the number of steps done, and of all.

    Returns:
        Values float32 ``(dim,)``, descending, and vectors float32 ``(n_columns, dim)``, each with its sign chosen so
        that its largest number is positive.
    """
    width = min(dim + OVERSAMPLING, *matrix.shape)
    n_steps, done = 2 * ROUNDS + 3, 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, n_steps)

    transposed = matrix.T.tocsr()
    start = np.random.default_rng(seed).standard_normal((matrix.shape[1], width), np.float32)
    basis = product(matrix, start)
    step()
    for _ in range(ROUNDS):
        basis = product(transposed, np.linalg.qr(basis)[0])
        step()
        basis = product(matrix, np.linalg.qr(basis)[0])
        step()
    projected = product(transposed, np.linalg.qr(basis)[0])
    step()
    vectors, values, _ = np.linalg.svd(projected, full_matrices=False)
    vectors, values = vectors[:, :dim], values[:dim]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    step()
    return values, vectors * np.where(largest < 0, np.float32(-1), np.float32(1))


def product(matrix: csr_array, dense: Floats) -> Floats:
    """Multiply a sparse matrix with a dense one, each half of the rows by a thread of its own.

    Returns:
        float32 ``(n_rows, n)``.
    """
    n_rows = matrix.shape[0]
    middle = int(np.searchsorted(matrix.indptr, matrix.indptr[-1] // 2))
    if not 0 < middle < n_rows:
        whole: Floats = matrix @ dense
        return whole
    found = np.empty((n_rows, dense.shape[1]), np.float32)

    def multiply(rows: slice) -> None:
        found[rows] = matrix[rows] @ dense

    # scipy lets other threads run while it multiplies
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(multiply, (slice(0, middle), slice(middle, n_rows))))
    return found
