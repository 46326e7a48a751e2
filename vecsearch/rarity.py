"""How rare a word or token is: the idf that queries, keywords and samples are weighed by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["idf"]


def idf(frequencies: npt.NDArray[np.int64], n_passages: int) -> npt.NDArray[np.float64]:
    """Return ln(1 + (N − df + ½) / (df + ½)) of each document frequency: Lucene's BM25 idf, never negative.

    Args:
        frequencies: df ≥ 0, in how many passages each stands. Statistics may be a commit ahead of the passages that are
            counted: N is at least the largest of them.
        n_passages: N.

    Example:
        >>> idf(np.array([0, 1, 10]), 10).round(3).tolist()
        [3.091, 1.992, 0.047]
    """
    n = max(n_passages, int(frequencies.max(initial=0)))
    found: npt.NDArray[np.float64] = np.log1p((n - frequencies + 0.5) / (frequencies + 0.5))
    return found
