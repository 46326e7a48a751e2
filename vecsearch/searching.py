"""One search over one snapshot: signals, pool, order, fusion, exact scores of the best, hits.

1. Which rows of the table of passages may be found: filters, excluded words, required phrases.
2. Each signal's scores: vectors (approximate, of everything) and keywords (of what holds one).
3. The pool: in hybrid search the best candidates of each signal; a fixed number, whatever page is asked for.
4. Where another word order is wanted, the pool's vectors are compared anew.
5. Fusion, and exact scores of all that could be on the page.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from vecsearch.background import Background
from vecsearch.bm25 import KeywordSignal
from vecsearch.errors import QueryError, SearchTimeoutError, UsageError
from vecsearch.fusion import POOL, WEIGHTS, Fusion, FusionName, fuse, with_phrases
from vecsearch.guarding import GuardedScorer
from vecsearch.hits import HitWriter, Ranked
from vecsearch.more_like import query_of
from vecsearch.phrase_search import PhraseSearch
from vecsearch.pipeline import Pipeline, RowTable, build_encoder, build_scorer
from vecsearch.protocols import AligningEncoder, PositionalEncoder, Scorer
from vecsearch.queries import Query
from vecsearch.query_language import ParsedQuery
from vecsearch.stop_words import telling
from vecsearch.units import Grouping, Units, largest
from vecsearch.vector_signal import AlignedSignal, ReencodedSignal, VectorSignal

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.filters import Filter
    from vecsearch.phrase_search import FoundPhrases
    from vecsearch.stores.protocol import Numbers, PassageTable, Scan, Snapshot
    from vecsearch.types import Hit

    Doubles = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]

__all__ = ["ORDERS", "Mode", "Order", "Request", "Searcher", "checked_request"]

Mode: TypeAlias = Literal["hybrid", "vector", "keyword"]
Order: TypeAlias = Literal["none", "default", "strict"]

ORDERS: Mapping[str, str] = {"none": "none", "strict": "relative:order=0.5"}
"""The positional encoder that each order other than the default compares by."""
HITS_AT_ONCE = 50
_NO_WEIGHT = "no token of the query has a weight: the embedding model knows none of its words; use other words"
_SMALLEST_SPREAD = 4  # times the bound of their rounding: vector scores that spread less are made exact
REORDERED = 2 * POOL
"""As many candidates are compared anew where another order is wanted, more where more hits are."""


@dataclass(frozen=True)
class Request:
    """What is asked of a search, beside the query. See ``Index.search``."""

    k: int = 10
    offset: int = 0
    mode: Mode = "hybrid"
    scorer: str | Scorer | None = None
    order: Order = "default"
    fusion: FusionName = "zscore"
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    by: Grouping = "passage"
    where: Filter | None = None
    min_score: float | None = None
    explain: bool = False
    matches: bool = True
    without: int | None = None
    """Number of a document that is left out: the one that others are to be like."""
    deadline: float | None = None

    @property
    def n_wanted(self) -> int:
        """How many of the best there must be for the page to be complete."""
        return self.offset + self.k


@dataclass
class _Candidates:
    """Units that may be hits, with the rows that stand for them.

    Attributes:
        units: int64, ascending.
        signals: float64 ``(n_units,)`` by signal.
        rows: rows of the table that may be a unit's best by vectors, ascending.
        row_scores: float64 ``(n_rows,)``, their vector scores.
        slack: by how much vector scores may be off.
    """

    units: Numbers
    signals: dict[str, Doubles]
    rows: Numbers
    row_scores: Doubles
    slack: float


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

    def search(self, snapshot: Snapshot, query: Query, parsed: ParsedQuery | None, request: Request) -> list[Hit]:
        """Return the best passages or documents; see ``Index.search``."""
        search = self._begin(snapshot, query, parsed, request)
        return search.hits(search.vector.scan() if search.vector is not None else None)

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
            with _numbered(number):
                searches.append(self._begin(snapshot, query, parsed, request))
        vectors = [search.vector for search in searches if search.vector is not None]
        scans = iter(
            snapshot.scan_many(
                [(one.query, one.weights, one.statistics) for one in vectors], self._scorer(request.scorer)
            )
            if vectors
            else ()
        )
        found = []
        for number, search in enumerate(searches, first):
            with _numbered(number):
                found.append(search.hits(next(scans) if search.vector is not None else None))
        return found

    def like(self, snapshot: Snapshot, doc_id: str, request: Request) -> list[Hit]:
        """Return the passages or documents most like a document; see ``Index.like``."""
        number = snapshot.document_number(doc_id)
        if number is None:
            raise UsageError(f"there is no document {doc_id[:80]!r} in this index", id=doc_id)
        query = query_of(snapshot, self._table, number, with_text=request.mode != "vector")
        return self.search(snapshot, query, None, replace(request, without=number))

    def _begin(self, snapshot: Snapshot, query: Query, parsed: ParsedQuery | None, request: Request) -> _Search:
        table = snapshot.passages()
        weights = query.weights(snapshot)
        used = weights > 0
        if not used.any() and (request.mode == "vector" or query.text is None):
            raise QueryError(
                _NO_WEIGHT
                if query.text is not None
                else "all vectors of the query are zero; give at least one that points somewhere"
            )
        if not used.any() and request.min_score is not None:
            raise QueryError(f"min_score is about vectors, and {_NO_WEIGHT}")
        scorer = self._scorer(request.scorer)
        _check_time(request, "the query was embedded")
        is_allowed = self._allowed(snapshot, table, request)
        phrases = None
        if parsed is not None and (parsed.required or parsed.excluded):
            phrases = self._phrases.find(snapshot, parsed)
            is_allowed &= phrases.is_allowed(table.embedded)
            _check_time(request, "phrases were found")
        vector = reordered = None
        if request.mode != "keyword" and used.any():
            chosen = np.ascontiguousarray(query.vectors[used])
            statistics = self._background.statistics(snapshot, scorer, chosen)
            vector = VectorSignal(snapshot, chosen, weights[used], scorer, statistics)
            reordered = self._reordered(snapshot, query, used, vector, request)
        return _Search(
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
        )

    def _scorer(self, scorer: str | Scorer | None) -> Scorer:
        if scorer is None:
            scorer = self._pipeline.scorer
        if not isinstance(scorer, str):
            return GuardedScorer(scorer)
        if scorer not in self._scorers:
            self._scorers[scorer] = build_scorer(scorer)
        return self._scorers[scorer]

    def _allowed(self, snapshot: Snapshot, table: PassageTable, request: Request) -> Mask:
        is_allowed = np.ones(len(table), bool)
        if request.where is not None:
            from vecsearch.filters import check_fields

            check_fields(request.where, snapshot.metadata_types())
            is_allowed &= np.isin(table.documents, snapshot.documents_where(request.where))
            _check_time(request, "the filter was applied")
        if request.without is not None:
            is_allowed &= table.documents != request.without
        return is_allowed

    def _reordered(
        self, snapshot: Snapshot, query: Query, used: Mask, vector: VectorSignal, request: Request
    ) -> VectorSignal | None:
        """Return the signal that compares the candidates anew, None where that of the index decides."""
        parts = (snapshot, vector.query, vector.weights, vector.scorer, vector.statistics)
        if request.order == "default":
            if isinstance(self._pipeline.encoder, AligningEncoder):
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


@dataclass
class _Search:
    """One search under way; see the module for its steps."""

    snapshot: Snapshot
    table: PassageTable
    units: Units
    query: Query
    used: Mask
    is_allowed: Mask
    phrases: FoundPhrases | None
    vector: VectorSignal | None
    reordered: VectorSignal | None
    pipeline: Pipeline
    request: Request
    keyword: KeywordSignal | None = None

    def hits(self, scan: Scan | None) -> list[Hit]:
        """Return the page of hits that was asked for."""
        _check_time(self.request, "passages were scored")
        keywords = []
        if self.request.mode != "vector" and self.query.text is not None:
            keywords = telling(self.snapshot.keywords(self.query.text), self.query.text)
            self.keyword = KeywordSignal(self.snapshot, self.table, keywords, self.is_allowed, 4 * POOL)
            if self.vector is None and self.request.mode == "hybrid" and not self.keyword.is_known:
                raise QueryError(_NO_WEIGHT)
        candidates = self._candidates(scan)
        _check_time(self.request, "candidates were found")
        if self.reordered is not None:
            candidates = self._compared_anew(candidates)
            _check_time(self.request, "candidates were compared anew")
        candidates = self._told_apart(candidates)
        ranked = self._ranked(candidates)
        _check_time(self.request, "candidates were ranked")
        writer = HitWriter(
            snapshot=self.snapshot,
            table=self.table,
            pipeline=self.pipeline,
            query=self.query,
            used=self.used,
            vector=self.reordered or self.vector,
            keyword=self.keyword,
            keywords=keywords,
            phrases=self.phrases,
            explain=self.request.explain,
            with_matches=self.request.matches,
        )
        hits: list[Hit] = []
        for begin in range(0, len(ranked), HITS_AT_ONCE):
            hits += writer.hits(ranked[begin : begin + HITS_AT_ONCE])
            _check_time(self.request, "hits were read")
        return hits

    # candidates

    def _candidates(self, scan: Scan | None) -> _Candidates:
        rows, row_scores, slack = np.zeros(0, np.int64), np.zeros(0), 0.0
        if scan is not None:
            rows, row_scores, slack = self._scanned(scan)
        units = self.units
        by_vector = units.best(rows, row_scores, -np.inf)
        depth = REORDERED if self.request.order != "default" else POOL
        if self.keyword is None:
            n = self._depth(depth) if self.reordered is not None else units.n_units
            members = largest(by_vector, n)
            found = {"vector": by_vector[members]}
        else:
            best = self.keyword.best_rows(max(depth, self.request.n_wanted), units)
            by_keyword = units.best(best, self.keyword.scores(best), -np.inf)
            members = largest(by_keyword, depth if self.vector is not None else units.n_units)
            if self.vector is not None:
                members = np.union1d(members, largest(by_vector, depth))
            allowed = units.rows(members, self.is_allowed)
            by_keyword = units.best(allowed, self.keyword.scores(allowed), 0.0)
            found = {} if self.vector is None else {"vector": by_vector[members]}
            found["keyword"] = by_keyword[members]
        if self.phrases is not None and self.phrases.is_scored:
            allowed = units.rows(members, self.is_allowed)
            strengths = self.phrases.strength_of(self.table.embedded[allowed])
            found["phrase"] = units.best(allowed, strengths, 0.0)[members]
        is_member = np.zeros(units.n_units, bool)
        is_member[members] = True
        kept = is_member[units.of_row[rows]]
        return _Candidates(members, found, rows[kept], row_scores[kept], slack)

    def _scanned(self, scan: Scan) -> tuple[Numbers, Doubles, float]:
        """Return the allowed rows that the scan names, ascending, with their scores and the slack."""
        assert self.vector is not None
        at = np.searchsorted(scan.embedded, self.table.embedded)
        at[at == len(scan.embedded)] = 0
        is_scanned = scan.embedded[at] == self.table.embedded if len(scan.embedded) else np.zeros(len(at), bool)
        rows = np.flatnonzero(is_scanned & self.is_allowed)
        return rows, scan.scores[at[rows]], scan.slack

    def _depth(self, least: int) -> int:
        encoder = self.pipeline.encoder
        if self.request.order == "default" and isinstance(encoder, AligningEncoder):
            return max(encoder.depth, self.request.n_wanted)
        return max(least, 2 * self.request.n_wanted)

    def _compared_anew(self, candidates: _Candidates) -> _Candidates:
        """Replace the vector scores of the candidates by those of the other order.

        Of each document its best passage is compared, and the best passages of all documents together: another passage
        of a document may be nearer in the other order.
        """
        assert self.reordered is not None
        if self.request.order == "default" and len(candidates.signals) > 1:
            # aligning costs milliseconds a passage, so only the best by the fused scores are aligned
            fused = self._fused(candidates).scores
            chosen = np.zeros(len(candidates.units), bool)
            chosen[largest(fused, self._depth(0))] = True
            is_kept = np.zeros(self.units.n_units, bool)
            is_kept[candidates.units[chosen]] = True
            kept = is_kept[self.units.of_row[candidates.rows]]
            candidates = _Candidates(
                candidates.units[chosen],
                {name: values[chosen] for name, values in candidates.signals.items()},
                candidates.rows[kept],
                candidates.row_scores[kept],
                candidates.slack,
            )
        _, best = self.units.best_rows(candidates.rows, candidates.row_scores)
        more = candidates.rows[largest(candidates.row_scores, self._depth(REORDERED))]
        rows = np.union1d(best, more)
        embedded, places = np.unique(self.table.embedded[rows], return_inverse=True)
        scores, slack = self.reordered.approximate(embedded)
        row_scores = scores[places]
        vector = self.units.best(rows, row_scores, -np.inf)[candidates.units]
        return _Candidates(candidates.units, {**candidates.signals, "vector": vector}, rows, row_scores, slack)

    def _told_apart(self, candidates: _Candidates) -> _Candidates:
        """Make vector scores exact where they are so alike that fusion would divide by their rounding."""
        values = candidates.signals.get("vector")
        if values is None or "keyword" not in candidates.signals or not candidates.slack or not len(values):
            return candidates
        if float(values.std()) > _SMALLEST_SPREAD * candidates.slack:
            return candidates
        exact, _ = self._exact(candidates, np.arange(len(values)))
        return replace(candidates, signals={**candidates.signals, "vector": exact})

    # ranking

    def _fused(self, candidates: _Candidates) -> Fusion:
        signals = {name: values for name, values in candidates.signals.items() if name != "phrase"}
        fusion = fuse(signals, self.request.fusion, self.request.weights)
        if "phrase" in candidates.signals:
            return with_phrases(fusion, candidates.signals["phrase"])
        return fusion

    def _ranked(self, candidates: _Candidates) -> list[Ranked]:
        request, n = self.request, self.request.n_wanted
        fusion = self._fused(candidates)
        scores = fusion.scores
        is_left = np.ones(len(scores), bool)
        if request.min_score is not None:
            is_left = candidates.signals["vector"] >= request.min_score - candidates.slack
        slack = 2 * candidates.slack * fusion.slopes.get("vector", 0.0)
        finalists = np.flatnonzero(is_left)
        if request.min_score is not None and candidates.slack:
            # whoever stands at the edge is let in or not by the exact score, before the page is cut
            edge = finalists[candidates.signals["vector"][finalists] <= request.min_score + candidates.slack]
            exact, _ = self._exact(candidates, edge)
            gone = edge[exact < request.min_score]
            finalists = np.setdiff1d(finalists, gone)
        if len(finalists) > n:
            least = np.partition(scores[finalists], len(finalists) - n)[len(finalists) - n]
            finalists = finalists[scores[finalists] >= least - slack]
        signals = {name: values[finalists] for name, values in candidates.signals.items()}
        shares = {name: fusion.shares[name][finalists] for name in signals}
        rows: dict[str, Numbers] = {}
        if "vector" in signals:
            exact, rows["vector"] = self._exact(candidates, finalists)
            signals["vector"] = exact
            if slope := fusion.slopes["vector"]:
                # computed from the exact score alone, so that equal passages stay equal to the last bit
                shares["vector"] = slope * exact + fusion.constants["vector"]
        if self.keyword is not None:
            allowed = self.units.rows(candidates.units[finalists], self.is_allowed)
            _, rows["keyword"] = self.units.best_rows(allowed, self.keyword.scores(allowed))
        totals = np.zeros(len(finalists))
        for share in shares.values():
            totals += share
        kept = np.ones(len(totals), bool)
        if len(totals) > n:
            kept = totals >= np.partition(totals, len(totals) - n)[len(totals) - n]
        shown = rows["vector" if "vector" in rows else "keyword"]
        places = {place.passage: place for place in self.snapshot.places(self.table.passages[shown[kept]])}
        ranked = [
            Ranked(
                score=float(totals[at]),
                place=places[int(self.table.passages[shown[at]])],
                rows={name: int(of_unit[at]) for name, of_unit in rows.items()},
                signals={name: float(values[at]) for name, values in signals.items()},
                shares={name: float(values[at]) for name, values in shares.items()},
                slopes=fusion.slopes,
            )
            for at in np.flatnonzero(kept).tolist()
        ]
        ranked.sort(key=lambda one: (-one.score, one.place.doc_id, one.place.ordinal))
        return ranked[request.offset : n]

    def _exact(self, candidates: _Candidates, finalists: Numbers) -> tuple[Doubles, Numbers]:
        """Return the exact vector scores of some candidates, and the row that each has it from."""
        signal = self.reordered or self.vector
        assert signal is not None
        units = candidates.units[finalists]
        is_wanted = np.zeros(self.units.n_units, bool)
        is_wanted[units] = True
        best = np.full(self.units.n_units, -np.inf)
        best[units] = candidates.signals["vector"][finalists]
        of_row = self.units.of_row[candidates.rows]
        kept = is_wanted[of_row] & (candidates.row_scores >= best[of_row] - 2 * candidates.slack)
        rows = candidates.rows[kept]
        embedded, places = np.unique(self.table.embedded[rows], return_inverse=True)
        row_scores = signal.exact(embedded)[places]
        found, best_rows = self.units.best_rows(rows, row_scores)
        assert np.array_equal(found, units)
        return row_scores[np.searchsorted(rows, best_rows)], best_rows


@contextmanager
def _numbered(number: int) -> Iterator[None]:
    try:
        yield
    except QueryError as error:
        raise QueryError(f"query {number}: {error.message}", **error.facts) from error


def _check_time(request: Request, stage: str) -> None:
    if request.deadline is not None and time.monotonic() > request.deadline:
        raise SearchTimeoutError(f"the search ran out of time after {stage}; allow more, or ask for fewer hits")


def checked_request(
    *,
    k: int,
    offset: int,
    mode: Mode,
    scorer: str | Scorer | None,
    order: Order,
    fusion: FusionName,
    weights: Mapping[str, float] | None,
    by: Grouping,
    where: Filter | str | None,
    min_score: float | None,
    explain: bool,
    matches: bool,
    timeout: float | None,
) -> Request:
    """Return what is asked of a search, checked. See ``Index.search``.

    Raises:
        UsageError: an argument is not what it must be, or the page reaches beyond the pool of a hybrid search.
        FilterError: ``where`` cannot be read.
    """
    for name, number, least in (("k", k, 1), ("offset", offset, 0)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise UsageError(f"{name} is {number!r}; it must be a whole number of {least} or more", **{name: number})
    for name, value, choices in (
        ("mode", mode, ("hybrid", "vector", "keyword")),
        ("order", order, ("default", *ORDERS)),
        ("fusion", fusion, ("zscore", "rrf")),
        ("by", by, ("passage", "document")),
    ):
        if value not in choices:
            raise UsageError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, choices))}")
    for name, seconds in (("timeout", timeout), ("min_score", min_score)):
        if seconds is not None and (
            isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds != seconds
        ):
            raise UsageError(f"{name} is {seconds!r}; it must be a number, or None")
    if mode == "keyword":
        for name, is_given in (("order", order != "default"), ("min_score", min_score is not None)):
            if is_given:
                raise UsageError(f"{name} is about vectors; a search with mode='keyword' has none")
    if mode == "hybrid" and offset + k > POOL:
        raise UsageError(
            f"hits {offset + 1:,} to {offset + k:,} are asked for; a hybrid search ranks the best {POOL:,} of each "
            f"signal: ask for hits up to {POOL:,}, or search with mode='vector', which ranks everything",
            k=k,
            offset=offset,
        )
    if isinstance(where, str):
        from vecsearch.filter_language import parse_filter

        where = parse_filter(where)
    return Request(
        k=k,
        offset=offset,
        mode=mode,
        scorer=scorer,
        order=order,
        fusion=fusion,
        weights=_checked_weights(weights),
        by=by,
        where=where,
        min_score=min_score,
        explain=explain,
        matches=matches,
        deadline=None if timeout is None else time.monotonic() + timeout,
    )


def _checked_weights(weights: Mapping[str, float] | None) -> Mapping[str, float]:
    if weights is None:
        return WEIGHTS
    if set(weights) != set(WEIGHTS) or not all(
        isinstance(weight, int | float) and 0 <= weight < float("inf") for weight in weights.values()
    ):
        raise UsageError(f"weights are {dict(weights)!r}; give a number of 0 or more for each of {', '.join(WEIGHTS)}")
    return weights
