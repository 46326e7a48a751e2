"""The vector side of one query over one snapshot: approximate scores for many passages, exact ones for a few.

Three kinds share one interface. ``VectorSignal`` compares the vectors that the store has. ``ReencodedSignal`` encodes
query and passages again with another positional encoder, so that one query may care more or less for word order than
the index does. ``AlignedSignal`` takes the best of all alignments of query and passage (``AligningEncoder``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from vecsearch import scoring
from vecsearch.pipeline import Pipeline
from vecsearch.positioning import RowTable, directions
from vecsearch.protocols import CollectionStatistics, PositionalEncoder, Scorer
from vecsearch.stores.protocol import ScanQuery

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.protocol import Numbers, Scan, Snapshot
    from vecsearch.types import Floats, Offsets

    Doubles = npt.NDArray[np.float64]

__all__ = ["AlignedSignal", "ReencodedSignal", "VectorSignal"]

BLOCK_PASSAGES = 256
"""Passages whose vectors are in memory at a time."""


class VectorSignal:
    """Compares a query with the stored vectors.

    Args:
        snapshot: of the store.
        query: float32 ``(n_query, dim)``, the tokens that weigh something.
        weights: float32 ``(n_query,)`` > 0.
        scorer: the formula.
        statistics: for the scorer.
        chance, alone: see ``ScanQuery``.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        query: Floats,
        weights: Floats,
        scorer: Scorer,
        statistics: CollectionStatistics,
        chance: Floats | None = None,
        alone: Floats | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.query = query
        self.weights = weights
        self.scorer = scorer
        self.statistics = statistics
        self.chance = chance
        self.alone = alone
        self._similarities: dict[int, Floats] = {}

    def asked(self, allowed: Numbers | None) -> ScanQuery:
        """Return what the store is asked for; ``allowed``: the embedded passages that may be found, None for all."""
        return ScanQuery(self.query, self.weights, self.statistics, allowed, self.chance, self.alone)

    def scan(self, allowed: Numbers | None, *, exact: bool) -> Scan:
        """Return approximate scores of all that may be found, or of what the store proposes of it."""
        return self.snapshot.scan(self.asked(allowed), self.scorer, exact=exact)

    def approximate(self, embedded: Numbers) -> tuple[Doubles, float]:
        """Return approximate scores of embedded passages, and by how much each may be off."""
        maxima = self.maxima(embedded)
        if maxima is not None:
            lengths = self.snapshot.embedded_lengths(embedded)
            return scoring.score_maxima(maxima, lengths, self.query, self.weights, self.scorer, self.statistics)
        parts = self._parts(embedded)
        numbers, scores, slack = scoring.best(parts, self.query, self.weights, self.scorer, self.statistics)
        found = np.zeros(len(embedded), np.float64)
        found[numbers] = scores
        return found, slack

    def exact(self, embedded: Numbers) -> Doubles:
        """Return the exact scores of embedded passages: equal texts score equal to the last bit."""
        scores = [np.zeros(0)]
        for some in _blocks(embedded):
            found = self.similarities(some)
            scores.append(scoring.score_similarities(found, self.weights, self.scorer, self.statistics))
            # those that are scored last are those that matches and explanations are made of
            self._similarities = dict(zip(some.tolist(), found, strict=True))
        return np.concatenate(scores)

    def similarities(self, embedded: Numbers) -> list[Floats]:
        """Return the similarities that embedded passages are scored by: float32 ``(n_query, n_tokens)`` each."""
        known = self._similarities
        if known.keys() >= set(embedded.tolist()):
            return [known[number] for number in embedded.tolist()]
        found: list[Floats] = []
        for some in _blocks(embedded):
            found += scoring.passage_similarities(self.query, *self.vectors(some))
        return found

    def terms(self, similarities: Floats) -> Doubles:
        """Return what each token of the query adds to the score of one passage: float64 ``(n_query,)``."""
        lengths = np.array([similarities.shape[1]], np.int64)
        transformed = self.scorer.transform(self._reduced(similarities), lengths, self.statistics)
        return np.array(
            [
                float(self.scorer.combine(transformed[i : i + 1], self.weights[i : i + 1])[0])
                for i in range(len(self.weights))
            ]
        )

    def vectors(self, embedded: Numbers) -> tuple[Floats, Offsets]:
        """Return the position-aware vectors of embedded passages."""
        return self.snapshot.vectors(embedded)

    def vector_blocks(self, embedded: Numbers) -> Iterator[tuple[Floats, Offsets]]:
        """Yield what ``vectors`` returns, some passages at a time."""
        return self.snapshot.vector_blocks(embedded)

    def maxima(self, embedded: Numbers) -> Floats | None:
        """Return the largest similarity of embedded passages to each token of the query, where that is all it takes."""
        if not getattr(self.scorer, "takes_maximum", False):
            return None
        parts = [np.zeros((len(self.query), 0), np.float32)]
        for some in _blocks(embedded):
            found = self.snapshot.maxima(some, self.query)
            if found is None:
                return None
            parts.append(found)
        return np.concatenate(parts, axis=1)

    def _parts(self, embedded: Numbers) -> Iterator[tuple[Floats, Offsets, Numbers]]:
        """Yield the vectors of embedded passages, with the places that they have among these."""
        done = 0
        for some in _blocks(embedded):
            for vectors, offsets in self.vector_blocks(some):
                n = len(offsets) - 1
                yield vectors, offsets, np.arange(done, done + n)
                done += n

    def _reduced(self, similarities: Floats) -> Floats:
        return self.scorer.reduce(similarities, np.array([0, similarities.shape[1]], np.int64))


class ReencodedSignal(VectorSignal):
    """Compares a query with passages by another positional encoder than the index's.

    Args:
        snapshot, query, weights, scorer, statistics: as for ``VectorSignal``; ``query`` encoded by ``encoder``.
        pipeline: of the index.
        table: rows of token ids, for a static pipeline.
        encoder: the other one.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        query: Floats,
        weights: Floats,
        scorer: Scorer,
        statistics: CollectionStatistics,
        *,
        pipeline: Pipeline,
        table: RowTable | None,
        encoder: PositionalEncoder,
    ) -> None:
        super().__init__(snapshot, query, weights, scorer, statistics)
        self._pipeline = pipeline
        self._table = table
        self._encoder = encoder

    def vectors(self, embedded: Numbers) -> tuple[Floats, Offsets]:
        tokens = self.snapshot.tokens(embedded)
        units, norms = directions(self._table, tokens)
        return self._pipeline.encode_rows(units, norms, tokens.offsets, self._encoder), tokens.offsets

    def vector_blocks(self, embedded: Numbers) -> Iterator[tuple[Floats, Offsets]]:
        yield self.vectors(embedded)

    def maxima(self, embedded: Numbers) -> Floats | None:  # noqa: ARG002 - those of the store are of another order
        return None


class AlignedSignal(VectorSignal):
    """Scores passages by the best alignment with the query. Its approximate scores are those without alignment.

    Args:
        snapshot, query, weights, scorer, statistics: as for ``VectorSignal``.
        pipeline: of the index; its encoder aligns.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        query: Floats,
        weights: Floats,
        scorer: Scorer,
        statistics: CollectionStatistics,
        *,
        pipeline: Pipeline,
    ) -> None:
        super().__init__(snapshot, query, weights, scorer, statistics)
        self._pipeline = pipeline

    def approximate(self, embedded: Numbers) -> tuple[Doubles, float]:
        return self.exact(embedded), 0.0

    def exact(self, embedded: Numbers) -> Doubles:
        scores = [np.zeros(0)]
        for some in _blocks(embedded):
            vectors, offsets = self.vectors(some)
            scores.append(
                scoring.score_aligned(
                    self._pipeline.align, self.query, self.weights, vectors, offsets, self.scorer, self.statistics
                )
            )
        return np.concatenate(scores)

    def similarities(self, embedded: Numbers) -> list[Floats]:
        found = []
        for number in embedded.tolist():
            vectors, _ = self.vectors(np.array([number]))
            aligned = self._pipeline.align(self.query, vectors)
            best = int(np.argmax(self.scorer.combine(self._transformed(aligned.T, len(vectors)), self.weights)))
            found.append(self._pipeline.aligned_similarities(self.query, vectors, best))
        return found

    def _reduced(self, similarities: Floats) -> Floats:
        # an alignment has one similarity a query token: its best partner stands for the whole passage
        best = np.ascontiguousarray(similarities.max(axis=1, keepdims=True))
        return self.scorer.reduce(best, np.array([0, 1], np.int64))

    def _transformed(self, best: Floats, n_tokens: int) -> Floats:
        reduced = self.scorer.reduce(np.ascontiguousarray(best), np.arange(best.shape[1] + 1))
        return self.scorer.transform(reduced, np.full(best.shape[1], n_tokens, np.int64), self.statistics)


def _blocks(embedded: Numbers) -> Iterator[Numbers]:
    for begin in range(0, len(embedded), BLOCK_PASSAGES):
        yield embedded[begin : begin + BLOCK_PASSAGES]
