"""Begins searches over snapshots: what may be found, and what it is compared by. ``ranking`` does the rest.

A row of the table of passages may be found where filters let its document through, it holds the phrases of the query
and none of the excluded words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.background import Background
from vecsearch.errors import QueryError, UsageError
from vecsearch.filters import check_fields
from vecsearch.guarding import GuardedScorer
from vecsearch.more_like import query_of
from vecsearch.phrase_search import PhraseSearch
from vecsearch.pipeline import Pipeline, build_encoder, build_scorer
from vecsearch.positioning import RowTable
from vecsearch.protocols import PositionalEncoder, Scorer
from vecsearch.queries import Query
from vecsearch.query_language import ParsedQuery
from vecsearch.ranking import NO_WEIGHT, Search
from vecsearch.request import ORDERS, Request
from vecsearch.units import Units
from vecsearch.vector_signal import AlignedSignal, ReencodedSignal, VectorSignal

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.reranking import Reranker
    from vecsearch.stores.protocol import PassageTable, Snapshot
    from vecsearch.types import Floats, Hit

    Mask = npt.NDArray[np.bool_]

__all__ = ["Searcher", "numbered"]


class Searcher:
    """Searches snapshots with one pipeline. Keeps what several searches need; threads may share it.

    Args:
        pipeline: of the index.
        table: rows of token ids, for a static pipeline.
    """

    def __init__(self, pipeline: Pipeline, table: RowTable | None) -> None:
        self._pipeline = pipeline
        self._table = table
        self._background = Background(pipeline, table)
        self._phrases = PhraseSearch(pipeline, table)
        self._scorers: dict[str, Scorer] = {}
        self._encoders: dict[str, PositionalEncoder] = {}
        self._rerankers: dict[str, Reranker] = {}

    def search(self, snapshot: Snapshot, query: Query, parsed: ParsedQuery | None, request: Request) -> list[Hit]:
        """Return the best passages or documents; see ``Index.search``."""
        search = self._begin(snapshot, query, parsed, request)
        return search.hits(search.scan())

    def search_many(
        self, snapshot: Snapshot, queries: Sequence[tuple[Query, ParsedQuery | None]], request: Request, first: int = 1
    ) -> list[list[Hit]]:
        """Return the hits of several queries; the collection is looked at once for many of them.

        Args:
            snapshot, request: as for ``search``.
            queries: each with what it asks for beside plain words.
            first: number of the first query, for messages.

        Raises:
            QueryError: a query cannot be searched; names its number.
        """
        searches = []
        for number, (query, parsed) in enumerate(queries, first):
            with numbered(number):
                searches.append(self._begin(snapshot, query, parsed, request))
        asked = [search.vector.asked(search.allowed) for search in searches if search.vector is not None]
        scans = iter(snapshot.scan_many(asked, self.scorer(request.scorer), exact=request.exact) if asked else ())
        found = []
        for number, search in enumerate(searches, first):
            with numbered(number):
                found.append(search.hits(next(scans) if search.vector is not None else None))
        return found

    def like(self, snapshot: Snapshot, doc_id: str, request: Request) -> list[Hit]:
        """Return the passages or documents most like a document; see ``Index.like``."""
        number = snapshot.document_number(doc_id)
        if number is None:
            raise UsageError(f"there is no document {doc_id[:80]!r} in this index", id=doc_id)
        query = query_of(snapshot, self._table, number, with_text=request.mode != "vector")
        return self.search(snapshot, query, None, replace(request, without=number))

    def _begin(self, snapshot: Snapshot, query: Query, parsed: ParsedQuery | None, request: Request) -> Search:
        table = snapshot.passages()
        weights = query.weights(snapshot)
        used = weights > 0
        if not used.any() and (request.mode == "vector" or query.text is None):
            raise QueryError(
                NO_WEIGHT
                if query.text is not None
                else "all vectors of the query are zero; give at least one that points somewhere"
            )
        if not used.any() and request.min_score is not None:
            raise QueryError(f"min_score is about vectors, and {NO_WEIGHT}")
        scorer = self.scorer(request.scorer)
        reranker = self._reranker(query, request)
        request.check_time("the query was embedded")
        is_allowed = self._allowed(snapshot, table, request)
        phrases = None
        if parsed is not None and (parsed.required or parsed.excluded):
            phrases = self._phrases.find(snapshot, parsed)
            is_allowed &= phrases.is_allowed(table.embedded)
            request.check_time("phrases were found")
        vector = reordered = None
        if request.mode != "keyword" and used.any():
            vector = self.vector(snapshot, query, weights, scorer)
            reordered = self._reordered(snapshot, query, used, vector, request)
        return Search(
            snapshot=snapshot,
            table=table,
            units=Units(table, request.by),
            query=query,
            used=used,
            is_allowed=is_allowed,
            phrases=phrases,
            vector=vector,
            reordered=reordered,
            pipeline=self._pipeline,
            request=request,
            reranker=reranker,
        )

    def vector(self, snapshot: Snapshot, query: Query, weights: Floats, scorer: Scorer) -> VectorSignal:
        """Return the vector side of a query, of those of its tokens that weigh something."""
        used = weights > 0
        chosen = np.ascontiguousarray(query.vectors[used])
        statistics = self._background.statistics(snapshot, scorer, chosen)
        chance = self._background.chance(snapshot, chosen, statistics)
        alone = None
        if chance is not None and self._pipeline.is_static:
            each = np.arange(len(query.units) + 1)
            alone = np.ascontiguousarray(self._pipeline.encode_rows(query.units, query.norms, each)[used])
        return VectorSignal(snapshot, chosen, weights[used], scorer, statistics, chance, alone)

    def scorer(self, scorer: str | Scorer | None) -> Scorer:
        """Return a scorer by name, or the one that suits the embedder."""
        if scorer is None:
            scorer = self._pipeline.scorer
        if not isinstance(scorer, str):
            return GuardedScorer(scorer)
        if scorer not in self._scorers:
            self._scorers[scorer] = build_scorer(scorer)
        return self._scorers[scorer]

    def _reranker(self, query: Query, request: Request) -> Reranker | None:
        if request.rerank is None:
            return None
        from vecsearch.reranking import Reranker  # and what it brings, only where it is wanted

        if query.text is None:
            raise UsageError("rerank needs a query of text, for a model reads it; a query of vectors has none")
        reranker = request.rerank
        if isinstance(reranker, str):
            if reranker not in self._rerankers:
                self._rerankers[reranker] = Reranker(reranker)
            reranker = self._rerankers[reranker]
        if not isinstance(reranker, Reranker):
            raise UsageError(
                f"rerank is of type {type(reranker).__name__}; it must be a Reranker or an embedder's name"
            )
        own = self._pipeline.identity["embedder"]
        if reranker.pipeline.identity["embedder"] == own:
            raise UsageError(
                f"this index was made with {own['name']!r} itself, so reranking by it says nothing new; leave it out"
            )
        return reranker

    def _allowed(self, snapshot: Snapshot, table: PassageTable, request: Request) -> Mask:
        is_allowed = np.ones(len(table), bool)
        if request.where is not None:
            check_fields(request.where, snapshot.metadata_types())
            is_allowed &= np.isin(table.documents, snapshot.documents_where(request.where))
            request.check_time("the filter was applied")
        if request.without is not None:
            is_allowed &= table.documents != request.without
        return is_allowed

    def _reordered(
        self, snapshot: Snapshot, query: Query, used: Mask, vector: VectorSignal, request: Request
    ) -> VectorSignal | None:
        """Return the signal that compares the candidates anew, None where that of the index decides."""
        parts = (snapshot, vector.query, vector.weights, vector.scorer, vector.statistics)
        if request.order == "default":
            if self._pipeline.aligning_encoder is not None:
                return AlignedSignal(*parts, pipeline=self._pipeline)
            return None
        spec = ORDERS[request.order]
        if spec not in self._encoders:
            self._encoders[spec] = build_encoder(spec)
        encoder = self._encoders[spec]
        offsets = np.array([0, len(query.units)], np.int64)
        chosen = np.ascontiguousarray(self._pipeline.encode_rows(query.units, query.norms, offsets, encoder)[used])
        statistics = self._background.statistics(snapshot, vector.scorer, chosen, encoder)
        return ReencodedSignal(
            snapshot,
            chosen,
            vector.weights,
            vector.scorer,
            statistics,
            pipeline=self._pipeline,
            table=self._table,
            encoder=encoder,
        )


@contextmanager
def numbered(number: int) -> Iterator[None]:
    """Let a QueryError name the number of its query."""
    try:
        yield
    except QueryError as error:
        raise QueryError(f"query {number}: {error.message}", **error.facts) from error
