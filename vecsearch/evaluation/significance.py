"""Whether two systems differ by more than chance on the same queries: Fisher's paired randomisation test.

If the systems were alike, each query's two values could as well be the other way round. The test counts how often
swapping them at random makes the mean difference as large as it is. It assumes no distribution, unlike the t-test, and
agrees with it on retrieval measures (Smucker, Allan & Carterette 2007).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]

__all__ = ["LEVEL", "N_DRAWS", "p_values"]

N_DRAWS = 10_000
LEVEL = 0.05
"""A smaller p-value is marked in tables."""
_BLOCK = 500


def p_values(differences: Doubles, *, n_draws: int = N_DRAWS, seed: int = 0) -> Doubles:
    """Return the two-sided p-value of each column's mean being other than 0.

    All 2ⁿ swaps are counted where they are no more than ``n_draws``; else as many are drawn, and p is
    (1 + number as large) / (1 + ``n_draws``), which is never 0.

    Args:
        differences: ``(n_queries, n_measures)``, one system less the other. All columns share the draws.
        n_draws: how many swaps are drawn.
        seed: of the draws.

    Returns:
        ``(n_measures,)``, in (0, 1].

    Example:
        >>> p_values(np.array([[1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [1.0, -1.0]])).tolist()
        [0.125, 1.0]
    """
    # a query on which the systems agree is the same swapped
    differences = differences[np.any(differences != 0, axis=1)]
    n = len(differences)
    observed = np.abs(differences.sum(axis=0))
    # sums of the same numbers in another order may differ by rounding, and are as large all the same
    least = observed - 1e-9 * np.maximum(np.abs(differences).sum(axis=0), 1e-300)
    is_exact = 2**n <= n_draws
    n_swaps = 2**n if is_exact else n_draws
    generator = np.random.default_rng(seed)
    n_as_large = np.zeros(differences.shape[1], np.int64)
    for begin in range(0, n_swaps, _BLOCK):
        numbers = np.arange(begin, min(begin + _BLOCK, n_swaps))
        bits = numbers[:, None] >> np.arange(n) & 1 if is_exact else generator.integers(0, 2, (len(numbers), n))
        sums = (1.0 - 2.0 * bits) @ differences
        n_as_large += (np.abs(sums) >= least).sum(axis=0)
    return n_as_large / n_swaps if is_exact else (1 + n_as_large) / (1 + n_swaps)
