"""Puts the scores of several signals together.

``zscore``: each signal's scores are moved to mean 0 and standard deviation 1 over a fixed pool of candidates, then
added with weights. Unlike ranks, that keeps how far ahead a hit is; the pool is the same whatever k and offset are, so
scores do not change from page to page.

``rrf``: reciprocal rank fusion, Σ weight / (60 + rank) (Cormack, Clarke & Büttcher 2009).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]

__all__ = ["PHRASE_WEIGHT", "POOL", "WEIGHTS", "Fusion", "FusionName", "fuse", "with_phrases"]

FusionName: TypeAlias = Literal["zscore", "rrf"]

POOL = 1_000
"""As many of the best candidates of each signal are fused, whatever k and offset are."""
WEIGHTS: Mapping[str, float] = {"vector": 0.65, "keyword": 0.35}
"""Shares of the signals."""
PHRASE_WEIGHT = 2.0
"""What a phrase that is matched word for word adds, in standard deviations of the other scores."""
_SMALLEST_SIGMA = 1e-6
_LEAST_SPREAD = 1e-4
"""Share of its largest score below which a signal's standard deviation is taken for no less: it may be rounding."""
_EQUAL = 2e-6
"""Share of the largest score by which neighbours differ at most to have one rank: what rounding makes of equals."""
_RANK_CONSTANT = 60


@dataclass(frozen=True)
class Fusion:
    """The scores of a pool and how they came about.

    Attributes:
        scores: float64 ``(n,)``, higher is better.
        slopes: by how much a score grows with one more of a signal; 0 where only ranks count.
        constants: what a signal adds to every score alike, by signal; empty where only ranks count.
        shares: float64 ``(n,)`` by signal: what each adds to each score, constants included.
    """

    scores: Doubles
    slopes: Mapping[str, float]
    constants: Mapping[str, float]
    shares: Mapping[str, Doubles]


def fuse(signals: Mapping[str, Doubles], name: FusionName, weights: Mapping[str, float]) -> Fusion:
    """Fuse the scores of a pool; a single signal stays as it is.

    Args:
        signals: float64 ``(n,)`` each, every one computed for every member. A keyword score of 0 is no match.
        name: which fusion.
        weights: of each signal.

    Example:
        >>> fused = fuse({"vector": np.array([3.0, 1.0]), "keyword": np.array([0.0, 8.0])}, "zscore",
        ...              {"vector": 0.75, "keyword": 0.25})
        >>> fused.scores.tolist(), fused.slopes["vector"], fused.constants["vector"]
        ([0.5, -0.5], 0.75, -1.5)
    """
    if len(signals) == 1:
        (only,) = signals
        return Fusion(signals[only], {only: 1.0}, {only: 0.0}, {only: signals[only]})
    if name == "rrf":
        shares = {
            signal: weights[signal] * _is_found(signal, values) / (_RANK_CONSTANT + _ranks(values))
            for signal, values in signals.items()
        }
        return Fusion(_sum(shares), dict.fromkeys(signals, 0.0), {}, shares)
    slopes = {signal: weights[signal] / max(*_spreads(values), _SMALLEST_SIGMA) for signal, values in signals.items()}
    constants = {
        signal: -slopes[signal] * float(values.mean()) if len(values) else 0.0 for signal, values in signals.items()
    }
    shares = {signal: slopes[signal] * values + constants[signal] for signal, values in signals.items()}
    return Fusion(_sum(shares), slopes, constants, shares)


def with_phrases(fusion: Fusion, strengths: Doubles) -> Fusion:
    """Add what phrases are worth to scores: their strength times ``PHRASE_WEIGHT`` standard deviations of the scores.

    Args:
        fusion: of the other signals.
        strengths: float64 ``(n,)`` ≥ 0, of the phrases of each member.
    """
    spread = float(fusion.scores.std()) if len(fusion.scores) else 0.0
    slope = PHRASE_WEIGHT * max(spread, _SMALLEST_SIGMA)
    share = slope * strengths
    return Fusion(
        fusion.scores + share,
        {**fusion.slopes, "phrase": slope},
        {**fusion.constants, "phrase": 0.0},
        {**fusion.shares, "phrase": share},
    )


def _spreads(values: Doubles) -> tuple[float, float]:
    """Return the standard deviation of scores, and what it is taken for at least."""
    if not len(values):
        return 0.0, 0.0
    return float(values.std()), _LEAST_SPREAD * float(np.abs(values).max())


def _ranks(values: Doubles) -> Doubles:
    """Return the rank of each value from 1, the largest first; values that are equal but for rounding have one rank."""
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    is_lower = np.ones(len(values), bool)
    is_lower[1:] = -np.diff(ordered) > _EQUAL * np.abs(values).max(initial=0)
    ranks = np.empty(len(values), np.float64)
    ranks[order] = 1.0 + np.maximum.accumulate(np.where(is_lower, np.arange(len(values)), 0))
    return ranks


def _is_found(signal: str, values: Doubles) -> Doubles:
    return (values > 0).astype(np.float64) if signal == "keyword" else np.ones(len(values))


def _sum(shares: Mapping[str, Doubles]) -> Doubles:
    total: Doubles = sum(shares.values(), start=np.zeros(1))
    return total
