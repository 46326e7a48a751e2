"""Exact late-interaction scoring, in two steps that together are exact and repeatable.

1. ``best``: one float32 matrix product over all vectors, which is fast but rounds differently with the place of a
   vector in memory. It keeps every passage whose score could, within a proven bound of that rounding, be among the
   best n.
2. ``score``: the kept passages again in float64, each similarity rounded to float32 at the end, so that equal texts
   get equal scores wherever they are stored, and ties are ties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.protocols import Scorer

if TYPE_CHECKING:
    from vecsearch.stores.protocol import Numbers
    from vecsearch.types import Floats, Offsets

__all__ = ["BLOCK_TOKENS", "best", "blocks", "score", "score_aligned"]

BLOCK_TOKENS = 1 << 12
"""Tokens scored at a time: what a block of them (4 MiB of 256 dimensions) gives is still in the cache when reduced."""


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
    parts: Iterable[tuple[Floats, Offsets, Numbers]], query: Floats, weights: Floats, scorer: Scorer, n: int
) -> Numbers:
    """Return the numbers of all passages that can be among the n best.

    Args:
        parts: pieces of the collection: vectors float32 ``(n_tokens, dim)``, offsets of their passages, none empty,
            and the number of each passage; a negative number marks a dead passage, which is left out.
        query: float32 ``(n_query, dim)``; weights: float32 ``(n_query,)``.
        scorer: the formula.
        n: how many to find.

    Returns:
        int64 numbers in no order: all passages whose exact score is at least the n-th best exact score.
        Rounding may let in a few more.
    """
    numbers_parts: list[Numbers] = []
    reduced_parts: list[np.ndarray] = []
    lengths_parts: list[Numbers] = []
    for vectors, offsets, numbers in parts:
        for first, last in blocks(offsets):
            begin, end = int(offsets[first]), int(offsets[last])
            # the long matrix comes first: OpenBLAS is a third faster that way round (docs/decisions.md)
            similarities = (vectors[begin:end] @ query.T).T
            live = numbers[first:last] >= 0
            reduced_parts.append(scorer.reduce(similarities, offsets[first : last + 1] - begin)[:, live])
            numbers_parts.append(numbers[first:last][live])
            lengths_parts.append(np.diff(offsets[first : last + 1])[live])
    if not numbers_parts:
        return np.zeros(0, np.int64)
    all_numbers = np.concatenate(numbers_parts)
    transformed = scorer.transform(np.concatenate(reduced_parts, axis=1), np.concatenate(lengths_parts))
    all_scores = np.asarray(scorer.combine(transformed, weights), np.float64)
    if len(all_scores) <= n:
        return all_numbers
    # invariant: a dot product of d terms in float32 is off by at most d·2⁻²⁴·Σ|q_f·v_f| ≤ d·2⁻²⁴ for unit vectors
    # (Higham, Accuracy and Stability of Numerical Algorithms, §3.1), so a score by at most sensitivity times that;
    # the float32 rounding of each exact similarity adds 2⁻²⁴. Both the n-th best and its rivals may be off: twice.
    slack = 2 * scorer.sensitivity(weights) * (query.shape[1] + 8) * 2.0**-24
    threshold = np.partition(all_scores, len(all_scores) - n)[len(all_scores) - n] - slack
    found: Numbers = all_numbers[all_scores >= threshold]
    return found


def score(query: Floats, weights: Floats, vectors: Floats, offsets: Offsets, scorer: Scorer) -> np.ndarray:
    """Return the exact scores of passages.

    Args:
        query: float32 ``(n_query, dim)``; weights: float32 ``(n_query,)``.
        vectors: float32 ``(n_tokens, dim)``; offsets: int64 ``(n_passages + 1,)``, no passage empty.
        scorer: the formula.

    Returns:
        float64 ``(n_passages,)``.
    """
    wide = query.astype(np.float64)
    parts = [np.zeros(0)]
    for first, last in blocks(offsets):
        begin, end = int(offsets[first]), int(offsets[last])
        similarities = (wide @ vectors[begin:end].astype(np.float64).T).astype(np.float32)
        parts.append(_scores(similarities, offsets[first : last + 1] - begin, weights, scorer))
    return np.concatenate(parts)


def score_aligned(
    align: Callable[[Floats, Floats], Floats],
    query: Floats,
    weights: Floats,
    vectors: Floats,
    offsets: Offsets,
    scorer: Scorer,
) -> np.ndarray:
    """Return the scores of passages as ``score`` does, each the largest over all alignments with the query.

    Args:
        align: of an ``AligningEncoder``.
        query, weights, vectors, offsets, scorer: as for ``score``.
    """
    scores = np.zeros(len(offsets) - 1)
    for number, (begin, end) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        aligned = align(query, vectors[begin:end])
        lengths = np.full(len(aligned), end - begin, np.int64)
        scores[number] = np.max(scorer.combine(scorer.transform(aligned.T, lengths), weights))
    return scores


def _scores(similarities: Floats, offsets: Offsets, weights: Floats, scorer: Scorer) -> np.ndarray:
    reduced = scorer.reduce(similarities, offsets)
    return np.asarray(scorer.combine(scorer.transform(reduced, np.diff(offsets)), weights), np.float64)
