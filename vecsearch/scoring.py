"""Exact late-interaction scoring, in two steps that together are exact and repeatable.

1. ``best`` and ``best_many``: a float32 matrix product over all vectors, which is fast but rounds differently with the
   place of a vector in memory. They score every passage, and say by how much each score may be off: no passage can be
   among the best n that is further than twice that below the n-th.
2. ``score``: the passages that may be wanted again in float64, each similarity rounded to float32 at the end, so that
   equal texts get equal scores wherever they are stored, and ties are ties.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vecsearch.protocols import CollectionStatistics, Scorer

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.protocol import Numbers
    from vecsearch.types import Floats, Offsets

    Doubles: TypeAlias = npt.NDArray[np.float64]
    Part: TypeAlias = tuple[Floats, Offsets, Numbers]
    WeighedQuery: TypeAlias = tuple[Floats, Floats, CollectionStatistics]
    Scored: TypeAlias = tuple[Numbers, Doubles, float]

__all__ = [
    "BLOCK_TOKENS",
    "TOGETHER",
    "best",
    "best_many",
    "blocks",
    "inner_products",
    "passage_similarities",
    "score",
    "score_aligned",
    "score_maxima",
    "score_similarities",
    "similarities",
]

BLOCK_TOKENS = 1 << 12
"""Tokens scored at a time: what a block of them (4 MiB of 256 dimensions) gives is still in the cache when reduced."""
MOST_VALUES = 1 << 22
"""Reduced similarities that wait to be transformed (16 MiB)."""
FEW = 64
"""Up to so many query tokens OpenBLAS is a third faster with the long matrix first; of more, similarities are reduced
seven times as fast where those of one query token lie side by side (docs/decisions.md)."""
TOGETHER = 64
"""Query tokens that meet a block in one product, where there are several queries."""


def blocks(offsets: Offsets, n_tokens: int = BLOCK_TOKENS) -> Iterator[tuple[int, int]]:
    """Yield runs of passages (first, last + 1) of about ``n_tokens`` tokens each, one passage at least.

    Example:
        >>> list(blocks(np.array([0, 3, 5, 9, 10]), n_tokens=5))
        [(0, 2), (2, 4)]
    """
    first, n_passages = 0, len(offsets) - 1
    while first < n_passages:
        last = int(np.searchsorted(offsets, offsets[first] + n_tokens, side="right")) - 1
        last = min(max(last, first + 1), n_passages)
        yield first, last
        first = last


def best(
    parts: Iterable[Part], query: Floats, weights: Floats, scorer: Scorer, statistics: CollectionStatistics
) -> Scored:
    """Return approximate scores of all live passages.

    Args:
        parts: pieces of the collection: vectors float32 ``(n_tokens, dim)``, rows of unit length or zero, offsets of
            their passages, none empty, and the number of each passage; a negative number marks a dead passage, which
            is left out.
        query: float32 ``(n_query, dim)``, rows of unit length or zero; weights: float32 ``(n_query,)``.
        scorer: the formula.
        statistics: for the scorer, of this query.

    Returns:
        int64 numbers of the live passages, in the order of ``parts``; their scores, float64; and the slack: by how
        much each of these scores may differ, at most, from that of ``score``.

    Example:
        Every passage that can be among the best n is in ``numbers[scores >= nth_best_score - 2 * slack]``.
    """
    (scored,) = _score_together(parts, [(query, weights, statistics)], scorer)
    return scored


def best_many(
    parts: Iterable[Part], queries: Sequence[WeighedQuery], scorer: Scorer, together: int = TOGETHER
) -> Iterator[Scored]:
    """Yield ``best`` of several queries, in their order: vectors are read once for about ``together`` query tokens.

    Args:
        parts: as for ``best``; may be gone through several times, so no iterator.
        queries: query, weights and statistics of each, as for ``best``.
        scorer: the formula.
        together: tokens of queries.
    """
    first = 0
    for number in range(1, len(queries) + 1):
        n_together = sum(len(query) for query, _, _ in queries[first : number + 1])
        if number == len(queries) or n_together > together:
            yield from _score_together(parts, queries[first:number], scorer)
            first = number


def _score_together(parts: Iterable[Part], queries: Sequence[WeighedQuery], scorer: Scorer) -> Iterator[Scored]:
    joined = np.concatenate([query for query, _, _ in queries]).T
    bounds = [0, *itertools.accumulate(len(query) for query, _, _ in queries)]
    numbers_parts: list[Numbers] = [np.zeros(0, np.int64)]
    scores_parts: list[list[Doubles]] = [[np.zeros(0)] for _ in queries]
    lengths_parts: list[Numbers] = []
    reduced_parts: list[list[Floats]] = [[] for _ in queries]
    n_values = 0

    def settle() -> None:
        """Turn what is reduced so far into scores."""
        lengths = np.concatenate([np.zeros(0, np.int64), *lengths_parts])
        for (query, weights, statistics), reduced, scores in zip(queries, reduced_parts, scores_parts, strict=True):
            together = np.concatenate([np.zeros((len(query), 0), np.float32), *reduced], axis=1)
            reduced.clear()
            transformed = scorer.transform(together, lengths, statistics)
            scores.append(np.asarray(scorer.combine(transformed, weights), np.float64))
        lengths_parts.clear()

    for vectors, offsets, numbers in parts:
        for first, last in blocks(offsets):
            begin, end = int(offsets[first]), int(offsets[last])
            some = vectors[begin:end]
            products = (some @ joined).T if joined.shape[1] <= FEW else joined.T @ some.T
            live = numbers[first:last] >= 0
            found = scorer.reduce(products, offsets[first : last + 1] - begin)[:, live]
            n_values += found.size
            for reduced, (top, bottom) in zip(reduced_parts, itertools.pairwise(bounds), strict=True):
                reduced.append(found[top:bottom])
            numbers_parts.append(numbers[first:last][live])
            lengths_parts.append(np.diff(offsets[first : last + 1])[live])
            if n_values >= MOST_VALUES:
                settle()
                n_values = 0
    # transformed many at once: what depends on the query or a length alone is computed once for them
    settle()
    all_numbers = np.concatenate(numbers_parts)
    for (query, weights, statistics), scores in zip(queries, scores_parts, strict=True):
        yield all_numbers, np.concatenate(scores), _slack(query, weights, scorer, statistics)


def score_maxima(
    maxima: Floats,
    lengths: Numbers,
    query: Floats,
    weights: Floats,
    scorer: Scorer,
    statistics: CollectionStatistics,
) -> tuple[Doubles, float]:
    """Return what ``best`` says of passages whose largest similarities are known: approximate scores, and the slack.

    Args:
        maxima: float32 ``(n_query, n_passages)``, as a product in float32 gives them.
        lengths: int64 ``(n_passages,)``, their tokens.
        query, weights, statistics: as for ``best``.
        scorer: whose ``reduce`` is the maximum.
    """
    scores = np.asarray(scorer.combine(scorer.transform(maxima, lengths, statistics), weights), np.float64)
    return scores, _slack(query, weights, scorer, statistics)


def _slack(query: Floats, weights: Floats, scorer: Scorer, statistics: CollectionStatistics) -> float:
    # invariant: a dot product of d terms in float32 is off by at most d·2⁻²⁴·Σ|q_f·v_f| ≤ d·2⁻²⁴ for unit vectors
    # (Higham, Accuracy and Stability of Numerical Algorithms, §3.1), so a score by at most sensitivity times that. The
    # float32 rounding of each exact similarity adds 2⁻²⁴; the rest of the 8 is for rounding in the scorer's own steps.
    return scorer.sensitivity(weights, statistics) * float(query.shape[1] + 8) * 2.0**-24


def inner_products(query: Floats, vectors: Floats) -> Floats:
    """Return the inner products of a few vectors with many: float32 ``(n_query, n)``, rounded as a matrix product does.

    With the long matrix first OpenBLAS takes half the time: 4.6 instead of 8.2 ms for 9 and 30,106 of 256 dimensions.
    """
    return np.ascontiguousarray((vectors @ query.T).T)


def similarities(query: Floats, vectors: Floats) -> Floats:
    """Return similarities as exact scores are made of: computed in float64, rounded to float32 at the end.

    Args:
        query: float32 ``(n_query, dim)``.
        vectors: float32 ``(n_tokens, dim)``.

    Returns:
        float32 ``(n_query, n_tokens)``. Equal vectors give equal columns, wherever they stand.
    """
    return (query.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)


def score(
    query: Floats,
    weights: Floats,
    vectors: Floats,
    offsets: Offsets,
    scorer: Scorer,
    statistics: CollectionStatistics,
) -> Doubles:
    """Return the exact scores of passages.

    Args:
        query: float32 ``(n_query, dim)``; weights: float32 ``(n_query,)``.
        vectors: float32 ``(n_tokens, dim)``; offsets: int64 ``(n_passages + 1,)``, no passage empty.
        scorer: the formula.
        statistics: for the scorer, of this query.

    Returns:
        float64 ``(n_passages,)``.
    """
    return score_similarities(passage_similarities(query, vectors, offsets), weights, scorer, statistics)


def passage_similarities(query: Floats, vectors: Floats, offsets: Offsets) -> list[Floats]:
    """Return ``similarities`` passage by passage: float32 ``(n_query, n_tokens)`` each."""
    found: list[Floats] = []
    for first, last in blocks(offsets):
        begin, end = int(offsets[first]), int(offsets[last])
        found += np.split(similarities(query, vectors[begin:end]), offsets[first + 1 : last] - begin, axis=1)
    return found


def score_similarities(
    similar: Sequence[Floats], weights: Floats, scorer: Scorer, statistics: CollectionStatistics
) -> Doubles:
    """Return the exact scores of passages whose similarities are known; see ``score``."""
    lengths = np.array([one.shape[1] for one in similar], np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    together = np.concatenate([np.zeros((len(weights), 0), np.float32), *similar], axis=1)
    transformed = scorer.transform(scorer.reduce(together, offsets), lengths, statistics)
    return np.asarray(scorer.combine(transformed, weights), np.float64)


def score_aligned(
    align: Callable[[Floats, Floats], Floats],
    query: Floats,
    weights: Floats,
    vectors: Floats,
    offsets: Offsets,
    scorer: Scorer,
    statistics: CollectionStatistics,
) -> Doubles:
    """Return the scores of passages as ``score`` does, each the largest over all alignments with the query.

    An alignment has one similarity a query token, that of its best partner; the scorer reduces it like a passage of
    one token and transforms it with the length of the whole.

    Args:
        align: of an ``AligningEncoder``.
        query, weights, vectors, offsets, scorer, statistics: as for ``score``.
    """
    aligned = [align(query, vectors[begin:end]) for begin, end in itertools.pairwise(offsets.tolist())]
    if not aligned:
        return np.zeros(0)
    counts = np.array(list(map(len, aligned)), np.int64)
    partners = np.ascontiguousarray(np.concatenate(aligned).T)
    reduced = scorer.reduce(partners, np.arange(partners.shape[1] + 1))
    transformed = scorer.transform(reduced, np.repeat(np.diff(offsets), counts), statistics)
    scores = np.asarray(scorer.combine(transformed, weights), np.float64)
    best_scores: Doubles = np.maximum.reduceat(scores, np.cumsum(counts) - counts)
    return best_scores
