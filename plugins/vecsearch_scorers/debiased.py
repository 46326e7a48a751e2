"""MaxSim less what chance alone would give a passage of the same length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vecsearch_scorers.summation import weighted_sum

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch import CollectionStatistics
    from vecsearch.types import Floats, Offsets

__all__ = ["LARGEST_CHANCE", "DebiasedMaxSimScorer", "expected_maxima"]

LARGEST_CHANCE = 0.95
"""What chance is taken to give at most, so that a perfect match always counts, and by no factor above 20."""


class DebiasedMaxSimScorer:
    """Score passage d of L tokens as Σ_i w_i · max(0, m_i − μ_i(L)) / (1 − μ_i(L)), where m_i = max_j ⟨q_i, d_j⟩.

    The more tokens a passage has, the nearer comes the nearest of them by chance, so a plain maximum favours long
    passages. μ_i(L) is what chance gives: the maximum of ⟨q_i, ·⟩ that L tokens of the collection's background are
    expected to have, read as the quantile 1 − 1/(L + 1) of the background's similarities to q_i. A token that finds
    no more than chance counts 0, one that finds itself counts w_i, whatever the length. Without a background μ is 0.

    Source: that the maximum grows with the number of tokens, and favours long passages, is described in
    arXiv 2603.26259; the correction by an empirical quantile is ours.

    Example: one query token, a background of five similarities, passages of 1, 3 and 3 tokens.

        >>> from vecsearch import CollectionStatistics
        >>> background = np.array([[0.5, 0.0, 0.25, -0.25, 0.75]], dtype=np.float32)
        >>> statistics = CollectionStatistics(3, mean_length=7 / 3, max_length=3, background=background)
        >>> scorer = DebiasedMaxSimScorer()
        >>> best = np.array([[0.625, 0.625, 0.25]], dtype=np.float32)

    μ(1) is the median, 0.25; μ(3) is the quantile 3/4, 0.5. So the first counts (.625 − .25) / .75, the second
    (.625 − .5) / .5, and the third has found less than chance:

        >>> scorer.transform(best, np.array([1, 3, 3]), statistics).tolist()
        [[0.5, 0.25, 0.0]]
        >>> scorer.sensitivity(np.array([2.0], dtype=np.float32), statistics)
        4.0
    """

    name: ClassVar[str] = "debiased_maxsim"
    version: ClassVar[str] = "1"
    takes_maximum: ClassVar[bool] = True
    needs_background: ClassVar[bool] = True

    @property
    def config(self) -> Mapping[str, Any]:
        """Nothing can be configured."""
        return {}

    @property
    def files(self) -> Mapping[str, str]:
        """No file is read."""
        return {}

    def reduce(self, similarities: Floats, offsets: Offsets) -> Floats:
        """Return m_i, the largest similarity of each query token in each passage: float32 ``(n_query, n_passages)``."""
        # subtle: for an empty stretch reduceat would give the next passage's first value; the contract has none.
        return np.maximum.reduceat(similarities, offsets[:-1], axis=1)

    def transform(self, reduced: Floats, lengths: Offsets, statistics: CollectionStatistics) -> Floats:
        """Return max(0, m_i − μ_i(L)) / (1 − μ_i(L)): float32 ``(n_query, n_passages)``.

        Computed as max(0, 1 − (1 − m_i) / (1 − μ_i(L))), which looks up one number a passage instead of two.
        """
        transformed = np.empty(reduced.shape, np.float32)
        if not len(lengths):
            return transformed
        # which lengths there are, by counting: np.unique would sort all of them
        occurs = np.bincount(lengths) > 0
        place = (np.cumsum(occurs) - 1)[lengths]
        slopes = (1 / (1 - expected_maxima(statistics.sorted_background, np.flatnonzero(occurs)))).astype(np.float32)
        one = np.float32(1)
        slope_of = np.empty(len(lengths), np.float32)
        for similarities, slope, row in zip(reduced, slopes, transformed, strict=True):  # a row stays in the cache
            np.take(slope, place, out=slope_of, mode="clip")  # unlike the default, "clip" needs no second buffer
            np.subtract(one, similarities, out=row)
            row *= slope_of
            np.subtract(one, row, out=row)
            np.maximum(row, 0, out=row)
        return transformed

    def combine(self, transformed: Floats, weights: Floats) -> npt.NDArray[np.float64]:
        """Return the weighted sum of each passage; see ``weighted_sum``."""
        return weighted_sum(transformed, weights)

    def sensitivity(self, weights: Floats, statistics: CollectionStatistics) -> float:
        """Return Σ_i |w_i| / (1 − μ_i(L)) of the longest passage: chance, and with it the slope, grows with length."""
        chance = expected_maxima(statistics.sorted_background, np.array([statistics.max_length]))[:, 0]
        return float((np.abs(weights.astype(np.float64)) / (1 - chance)).sum())


def expected_maxima(background: Floats, lengths: Offsets) -> npt.NDArray[np.float64]:
    """Return the maximum that so many tokens of the background are expected to have.

    Args:
        background: float32 ``(n_query, n_sample)``, similarities, each row ascending.
        lengths: int64 ``(n_lengths,)`` ≥ 1.

    Returns:
        float64 ``(n_query, n_lengths)``: the quantile 1 − 1/(L + 1) of each row, interpolated between order
        statistics as ``numpy.quantile`` does, and at most ``LARGEST_CHANCE``. Zeros where the background is empty.

    Example:
        >>> expected_maxima(np.array([[0.0, 0.25, 0.5]], dtype=np.float32), np.array([1, 2, 3])).round(3).tolist()
        [[0.25, 0.333, 0.375]]
    """
    n_query, n_sample = background.shape
    if n_sample == 0:
        return np.zeros((n_query, len(lengths)))
    place = (1 - 1 / (lengths + 1)) * (n_sample - 1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, n_sample - 1)
    low = background[:, below].astype(np.float64)
    high = background[:, above].astype(np.float64)
    expected: npt.NDArray[np.float64] = np.minimum(low + (place - below) * (high - low), LARGEST_CHANCE)
    return expected
