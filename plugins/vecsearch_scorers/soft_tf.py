"""BM25 with soft matches: a token of the passage counts as often as it resembles the query's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vecsearch_scorers.summation import weighted_sum

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch import CollectionStatistics
    from vecsearch.types import Floats, Offsets

__all__ = ["SoftTfScorer"]


class SoftTfScorer:
    """Score passage d of L tokens as Σ_i w_i · tf_i · (k1 + 1) / (tf_i + k1 · (1 − b + b · L / L̄)).

    tf_i is how often query token i occurs softly: Σ_j f(⟨q_i, d_j⟩), where f(s) = clip((s − τ) / (1 − τ), 0, 1)²
    counts 1 for the token itself and less for one that resembles it. L̄ is the mean length of a passage. Where only
    equal tokens match, this is BM25. It ranks passages of some hundred tokens well, and those of a few tokens worse
    than ``debiased_maxsim``.

    Args:
        tau: similarity from which on a token counts, in [0, .99]. The default suits the ``relative`` encoder at its
            default order of .3; about .3 · (1 − order) for others.
        k1: how slowly further occurrences stop counting, in [.01, 100].
        b: how much length counts against a passage, in [0, 1].

    Raises:
        ValueError: an argument is out of its range.

    Source: Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), equation 3.15, with
    soft term frequencies.

    Example: one query token, two passages of two tokens, which is the mean length.

        >>> from vecsearch import CollectionStatistics
        >>> statistics = CollectionStatistics(2, mean_length=2.0, max_length=2, background=np.zeros((1, 0), np.float32))
        >>> scorer = SoftTfScorer(tau=0.5, k1=1.0, b=0.5)
        >>> similarities = np.array([[1.0, 0.25, 0.5, 0.75]], dtype=np.float32)
        >>> frequencies = scorer.reduce(similarities, np.array([0, 2, 4]))

    f(1) = 1, f(.75) = .25, and what resembles less than τ counts 0. With k1 = 1, at the mean length, tf becomes
    2 tf / (tf + 1):

        >>> frequencies.tolist()
        [[1.0, 0.25]]
        >>> [round(gain, 4) for gain in scorer.transform(frequencies, np.array([2, 2]), statistics)[0].tolist()]
        [1.0, 0.4]
    """

    name: ClassVar[str] = "soft_tf"
    version: ClassVar[str] = "1"

    def __init__(self, *, tau: float = 0.21, k1: float = 1.2, b: float = 0.75) -> None:
        self._tau = _in_range("tau", tau, 0, 0.99)
        self._k1 = _in_range("k1", k1, 0.01, 100)
        self._b = _in_range("b", b, 0, 1)

    @property
    def config(self) -> Mapping[str, Any]:
        """``tau``, ``k1`` and ``b``."""
        return {"tau": self._tau, "k1": self._k1, "b": self._b}

    @property
    def files(self) -> Mapping[str, str]:
        """No file is read."""
        return {}

    def reduce(self, similarities: Floats, offsets: Offsets) -> Floats:
        """Return tf_i, the soft frequency of each query token in each passage: float32 ``(n_query, n_passages)``."""
        # the division by (1 − τ)² waits until there is one number a passage
        above = np.clip(similarities, np.float32(self._tau), np.float32(1))
        above -= np.float32(self._tau)
        np.square(above, out=above)
        # subtle: for an empty stretch reduceat would give the next passage's first value; the contract has none.
        sums = np.add.reduceat(above, offsets[:-1], axis=1)
        sums *= np.float32(1 / (1 - self._tau) ** 2)
        return sums

    def transform(self, reduced: Floats, lengths: Offsets, statistics: CollectionStatistics) -> Floats:
        """Return tf_i · (k1 + 1) / (tf_i + K), K = k1 · (1 − b + b · L / L̄): float32 ``(n_query, n_passages)``."""
        room = self._room(lengths, statistics).astype(np.float32)
        transformed = reduced + room
        np.divide(reduced, transformed, out=transformed)
        transformed *= np.float32(self._k1 + 1)
        return transformed

    def combine(self, transformed: Floats, weights: Floats) -> npt.NDArray[np.float64]:
        """Return the weighted sum of each passage; see ``weighted_sum``."""
        return weighted_sum(transformed, weights)

    def sensitivity(self, weights: Floats, statistics: CollectionStatistics) -> float:
        """Return Σ_i |w_i| · (3√3 / 8) · (k1 + 1) / (1 − τ) · √(L / K), of the longest passage.

        With x_j = √f(s_j), the slope of tf is Σ_j 2 x_j / (1 − τ) ≤ 2 √(L · tf) / (1 − τ) by Cauchy and Schwarz, and
        that of the saturation (k1 + 1) · K / (tf + K)². Their product is steepest at tf = K / 3, which gives the
        bound; L / K grows with L.
        """
        longest = statistics.max_length
        room = float(self._room(np.array([longest]), statistics)[0])
        steepest = 3 * math.sqrt(3) / 8 * (self._k1 + 1) / (1 - self._tau) * math.sqrt(longest / room)
        return float(np.abs(weights).sum(dtype=np.float64)) * steepest

    def _room(self, lengths: Offsets, statistics: CollectionStatistics) -> npt.NDArray[np.float64]:
        """Return K of each length: the frequency at which half of what can be gained is gained."""
        relative = lengths.astype(np.float64) / statistics.mean_length
        return self._k1 * (1 - self._b + self._b * relative)


def _in_range(name: str, value: float, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"soft_tf: {name} is {value!r}; it must be a number from {least} to {most}")
    return value
