"""A scorer that counts only what resembles the query enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vecsearch import CollectionStatistics
    from vecsearch.types import Floats, Offsets


class ExampleScorer:
    """Score a passage as Σ_i w_i · max(0, m_i − floor) / (1 − floor), where m_i is the best similarity of token i.

    So a query token without a partner in the passage counts nothing, and one with an equal partner counts w_i.

    Args:
        floor: similarity from which on a token counts, in [0, 0.99].

    Raises:
        ValueError: floor is out of its range.

    Example: one query token of weight 3; passage 0 has two tokens, passage 1 has one.

        >>> similarities = np.array([[0.75, 0.25, 0.5]], dtype=np.float32)
        >>> scorer = ExampleScorer(floor=0.5)
        >>> best = scorer.reduce(similarities, np.array([0, 2, 3]))
        >>> best.tolist()
        [[0.75, 0.5]]
        >>> from vecsearch import CollectionStatistics
        >>> statistics = CollectionStatistics(2, mean_length=1.5, max_length=2, background=np.zeros((1, 0), np.float32))
        >>> gains = scorer.transform(best, np.array([2, 1]), statistics)
        >>> scorer.combine(gains, np.array([3], dtype=np.float32)).tolist()
        [1.5, 0.0]
    """

    name: ClassVar[str] = "example_plugin"
    version: ClassVar[str] = "1"  # change it whenever some score changes
    takes_maximum: ClassVar[bool] = True  # reduce() is the maximum: large indexes are searched faster

    def __init__(self, *, floor: float = 0.2) -> None:
        if not 0 <= floor <= 0.99:
            raise ValueError(f"floor is {floor!r}; it must lie in [0, 0.99]")
        self.config: Mapping[str, Any] = {"floor": floor}
        self.files: Mapping[str, str] = {}
        self._floor = np.float32(floor)

    def reduce(self, similarities: Floats, offsets: Offsets) -> Floats:
        """Return the largest similarity of each query token in each passage: ``(n_query, n_passages)``."""
        best: Floats = np.maximum.reduceat(similarities, offsets[:-1], axis=1)
        return best

    def transform(self, reduced: Floats, lengths: Offsets, statistics: CollectionStatistics) -> Floats:  # noqa: ARG002
        """Return what is above the floor, as a share of what can be: ``(n_query, n_passages)``."""
        above: Floats = np.maximum(reduced - self._floor, 0) / (1 - self._floor)
        return above

    def combine(self, transformed: Floats, weights: Floats) -> npt.NDArray[np.float64]:
        """Return the weighted sum of each passage: ``(n_passages,)``."""
        scores = np.zeros(transformed.shape[1], np.float64)
        # one query token after the other: a matrix product may give equal passages scores that differ in the last bit
        for weight, row in zip(weights.tolist(), transformed, strict=True):
            scores += weight * row.astype(np.float64)
        return scores

    def sensitivity(self, weights: Floats, statistics: CollectionStatistics) -> float:  # noqa: ARG002
        """Return Σ_i |w_i| / (1 − floor): a score moves by at most this times what similarities move by."""
        return float(np.abs(weights).sum(dtype=np.float64) / (1 - float(self._floor)))
