"""MaxSim: each query token counts with its best partner in the passage, and nothing else counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vecsearch_scorers.summation import weighted_sum

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch import CollectionStatistics
    from vecsearch.types import Floats, Offsets

__all__ = ["MaxSimScorer"]


class MaxSimScorer:
    """Score passage d for query q as Σ_i w_i · m_i, where m_i = max_j ⟨q_i, d_j⟩.

    i runs over the tokens of the query, j over those of the passage, w_i is the weight of query token i. A query
    token that resembles nothing in the passage counts with its best similarity all the same, be it negative.

    Source: Khattab & Zaharia, "ColBERT" (SIGIR 2020), equation 3; the weights are ours (there, all are 1).

    Example: two query tokens; passage 0 has two tokens, passage 1 has one.

        >>> similarities = np.array([[0.5, 0.25, -1.0], [0.0, 0.75, -0.5]], dtype=np.float32)
        >>> scorer = MaxSimScorer()
        >>> best = scorer.reduce(similarities, np.array([0, 2, 3]))
        >>> best.tolist()
        [[0.5, -1.0], [0.75, -0.5]]

    With weights 1 and 2, passage 0 scores 1·0.5 + 2·0.75 and passage 1 scores 1·(−1) + 2·(−0.5).

        >>> from vecsearch import CollectionStatistics
        >>> statistics = CollectionStatistics(2, mean_length=1.5, max_length=2, background=np.zeros((2, 0), np.float32))
        >>> weights = np.array([1.0, 2.0], dtype=np.float32)
        >>> scorer.combine(scorer.transform(best, np.array([2, 1]), statistics), weights).tolist()
        [2.0, -2.0]
        >>> scorer.sensitivity(weights, statistics)
        3.0
    """

    name: ClassVar[str] = "maxsim"
    version: ClassVar[str] = "1"
    takes_maximum: ClassVar[bool] = True

    @property
    def config(self) -> Mapping[str, Any]:
        """Nothing can be configured."""
        return {}

    @property
    def files(self) -> Mapping[str, str]:
        """No file is read."""
        return {}

    def reduce(self, similarities: Floats, offsets: Offsets) -> Floats:
        """Return the largest similarity of each query token in each passage.

        Args:
            similarities: float32 ``(n_query, n_tokens)``.
            offsets: int64 ``(n_passages + 1,)``; every passage has a token.

        Returns:
            float32 ``(n_query, n_passages)``.
        """
        # subtle: for an empty stretch reduceat would give the next passage's first value; the contract has none.
        return np.maximum.reduceat(similarities, offsets[:-1], axis=1)

    def transform(
        self,
        reduced: Floats,
        lengths: Offsets,  # noqa: ARG002 (MaxSim knows no length)
        statistics: CollectionStatistics,  # noqa: ARG002
    ) -> Floats:
        """Return ``reduced`` as it is."""
        return reduced

    def combine(self, transformed: Floats, weights: Floats) -> npt.NDArray[np.float64]:
        """Return Σ_i w_i · m_i; see ``weighted_sum``."""
        return weighted_sum(transformed, weights)

    def sensitivity(self, weights: Floats, statistics: CollectionStatistics) -> float:  # noqa: ARG002
        """Return Σ_i |w_i|: no maximum moves further than the similarities it is taken of."""
        return float(np.abs(weights).sum(dtype=np.float64))
