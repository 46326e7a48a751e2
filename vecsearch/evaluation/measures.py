"""The formulas: how good a ranking, an order of pairs or a set of answers is.

Measures of retrieval are those of trec_eval, by way of ir-measures; the rest is a few lines each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vecsearch.evaluation.extra import require

if TYPE_CHECKING:
    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]

__all__ = [
    "DEPTH",
    "MEASURES",
    "Ranking",
    "area_under_curve",
    "falling",
    "outcomes",
    "rank_correlation",
    "retrieval_measures",
]

Ranking: TypeAlias = Sequence[tuple[str, float]]
"""Ids of documents with their scores, best first."""

DEPTH = 100
"""As many documents of each ranking are looked at; MAP and MRR are cut there too."""
MEASURES: Mapping[str, str] = {
    "nDCG@10": "nDCG@10",
    "MAP": "AP",
    "MRR": "RR",
    "recall@10": "R@10",
    "recall@100": "R@100",
}
"""What is measured of a ranking, and what ir-measures calls it for a single query."""


def retrieval_measures(
    relevance: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Ranking]
) -> dict[str, Doubles]:
    """Return each measure of each query: float64 ``(n_queries,)`` in the order of ``relevance``, by name.

    nDCG takes grades as gains, ``grade / log2(1 + rank)`` (Järvelin & Kekäläinen 2002); for the others a document is
    relevant from grade 1 on. Only the order of a ranking counts, not its scores. A query without a ranking has 0.

    Args:
        relevance: grades of the judged documents of each query; the others are not relevant.
        rankings: of the queries; documents beyond ``DEPTH`` are left out.

    Raises:
        UsageError: ir-measures is not installed.

    Example:
        >>> found = retrieval_measures({"q": {"a": 1, "b": 1}}, {"q": [("a", 3.0), ("x", 2.0), ("b", 1.0)]})
        >>> {name: round(float(values[0]), 3) for name, values in found.items()}
        {'nDCG@10': 0.92, 'MAP': 0.833, 'MRR': 1.0, 'recall@10': 1.0, 'recall@100': 1.0}
    """
    ir_measures = require("ir_measures")
    wanted = {ir_measures.parse_measure(theirs): ours for ours, theirs in MEASURES.items()}
    # subtle: trec_eval orders by score itself, as float32, and breaks ties by the higher id
    run = {
        query: {doc_id: float(-rank) for rank, (doc_id, _) in enumerate(ranking[:DEPTH])}
        for query, ranking in rankings.items()
    }
    place = {query: number for number, query in enumerate(relevance)}
    values = {name: np.zeros(len(place)) for name in MEASURES}
    for one in ir_measures.iter_calc(list(wanted), {query: dict(of) for query, of in relevance.items()}, run):
        values[wanted[one.measure]][place[one.query_id]] = one.value
    return values


def falling(scores: Sequence[float]) -> list[float]:
    """Return scores as float32 holds them, each that does not fall lowered to just below the one before it.

    Programs that order a ranking by its scores then keep the order that it has.

    Example:
        >>> falling([3.0, 2.0, 2.0])
        [3.0, 2.0, 1.9999998807907104]
    """
    lowered: list[float] = []
    last = np.float32(np.inf)
    for score in scores:
        last = min(np.float32(score), np.nextafter(last, np.float32(-np.inf)))
        lowered.append(float(last))
    return lowered


def area_under_curve(scores: Doubles, labels: npt.NDArray[np.int64]) -> float:
    """Return the chance that a positive scores above a negative, ties one half.

    Args:
        scores: ``(n,)``.
        labels: ``(n,)`` of 0 and 1, both there.

    Example:
        >>> area_under_curve(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0, 0, 1, 1]))
        0.875
    """
    n_positive = int(labels.sum())
    n_pairs = n_positive * (len(labels) - n_positive)
    return float((_ranks(scores)[labels == 1].sum() - n_positive * (n_positive + 1) / 2) / n_pairs)


def outcomes(near: Doubles, far: Doubles) -> Doubles:
    """Return for each pair of scores 1 where the first is larger, one half where they are equal, else 0.

    Example:
        >>> outcomes(np.array([2.0, 1.0, 1.0]), np.array([1.0, 1.0, 2.0])).tolist()
        [1.0, 0.5, 0.0]
    """
    right: Doubles = (near > far) + 0.5 * (near == far)
    return right


def rank_correlation(a: Doubles, b: Doubles) -> float:
    """Return Spearman's ρ, ties given their mean rank; 0 where all values of one side are equal.

    Example:
        >>> rank_correlation(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 30.0, 20.0, 40.0]))
        0.8
    """
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    product = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / product if product else 0.0


def _ranks(values: Doubles) -> Doubles:
    """Return ranks from 1, the smallest first, equal values with the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Doubles = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks
