"""Pairs and triples of sentences: does what means the same score above what does not?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.errors import QueryError
from vecsearch.evaluation.datasets import Triples
from vecsearch.evaluation.measures import outcomes
from vecsearch.types import Document

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.index import Index
    from vecsearch.pipeline import Pipeline

    Doubles = npt.NDArray[np.float64]

__all__ = ["outcomes_by_search", "outcomes_by_similarity", "similarities", "triple_documents"]

_DEPTHS = (20, 200, 1000)
"""As many hits are asked for, until both sentences are among them; a hybrid search gives no more than the last."""
_AT_ONCE = 32


def similarities(pipeline: Pipeline, pairs: Sequence[tuple[str, str]]) -> Doubles:
    """Return ``Pipeline.similarities`` to six places, float64 ``(n_pairs,)``.

    Sums of the same float32 numbers in another order differ in the seventh place; such texts are alike and must tie.
    """
    return pipeline.similarities(pairs).astype(np.float64).round(6)


def outcomes_by_similarity(pipeline: Pipeline, triples: Triples) -> Doubles:
    """Return for each triple 1 where ``Pipeline.similarities`` is right, one half for a tie, else 0; ``(n_triples,)``.

    Right is a larger similarity of the anchor with the positive sentence than with the negative one.
    """
    near = similarities(pipeline, list(zip(triples.anchors, triples.positives, strict=True)))
    far = similarities(pipeline, list(zip(triples.anchors, triples.negatives, strict=True)))
    return outcomes(near, far)


def triple_documents(triples: Triples) -> list[Document]:
    """Return the positive and negative sentences as documents, for the one index that holds them all."""
    return [
        Document(id=f"{number} {kind}", text=text)
        for number, both in enumerate(zip(triples.positives, triples.negatives, strict=True))
        for kind, text in zip(("positive", "negative"), both, strict=True)
    ]


def outcomes_by_search(
    index: Index,
    triples: Triples,
    search: Mapping[str, Any],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Doubles:
    """Return for each triple 1 where a search for the anchor is right, one half for a tie, else 0; ``(n_triples,)``.

    Right is a higher score of the positive sentence than of the negative one, among all sentences of the index. One
    that is not found scores lowest; if neither is, that is a tie.

    Args:
        index: holds the ``triple_documents``.
        triples: of it.
        search: arguments of ``Index.search_many``.
        progress: told how many triples of how many are done.
    """
    n = len(triples.anchors)
    scores = np.full((n, 2), -np.inf)
    left = list(range(n))
    depths = [depth for depth in _DEPTHS if depth < 2 * n]
    depths.append(2 * n if search.get("mode") in ("vector", "keyword") else min(2 * n, _DEPTHS[-1]))
    for depth in depths:
        for begin in range(0, len(left), _AT_ONCE):
            for number, found in _found(index, triples, left[begin : begin + _AT_ONCE], depth, search):
                scores[number] = [found.get(f"{number} {kind}", -np.inf) for kind in ("positive", "negative")]
            if progress is not None:
                progress(n - len(left) + min(begin + _AT_ONCE, len(left)), n)
        left = [number for number in left if np.isinf(scores[number]).any()]
    return outcomes(scores[:, 0], scores[:, 1])


def _found(
    index: Index, triples: Triples, numbers: list[int], depth: int, search: Mapping[str, Any]
) -> list[tuple[int, dict[str, float]]]:
    """Return the scores of the documents found for some anchors; none for an anchor that cannot be searched."""
    anchors = [triples.anchors[number] for number in numbers]
    try:
        hits = index.search_many(anchors, depth, by="document", syntax="plain", matches=False, **search)
    except QueryError:
        if len(numbers) == 1:
            return []
        return [one for number in numbers for one in _found(index, triples, [number], depth, search)]
    return [(number, {hit.doc_id: hit.score for hit in ranking}) for number, ranking in zip(numbers, hits, strict=True)]
