"""Ranks what may be found for one query and writes the page of hits that was asked for.

1. Each signal's scores: vectors (approximate, of everything) and keywords (of what holds one).
2. The pool: in hybrid search the best candidates of each signal; a fixed number, whatever page is asked for.
3. Where another word order is wanted, the pool's vectors are compared anew. Where the store is approximate, those of
   the best of the pool are.
4. Fusion, and exact scores of all that could be on the page.
5. Where it is asked for, a contextual model rescores the best (``reranking``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.bm25 import KeywordSignal
from vecsearch.errors import QueryError
from vecsearch.fusion import POOL, Fusion, fuse, with_phrases
from vecsearch.hits import HitWriter, Ranked
from vecsearch.pipeline import Pipeline
from vecsearch.queries import Query
from vecsearch.request import Request
from vecsearch.stop_words import telling
from vecsearch.units import Units, largest
from vecsearch.vector_signal import VectorSignal

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from vecsearch.phrase_search import FoundPhrases
    from vecsearch.reranking import Reranker
    from vecsearch.stores.protocol import Numbers, PassageTable, Scan, Snapshot
    from vecsearch.types import Hit

    Doubles = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]

__all__ = ["NO_WEIGHT", "REORDERED", "Search"]

REORDERED = 2 * POOL
"""As many candidates are compared anew where another order is wanted, more where more hits are."""
HITS_AT_ONCE = 50
NO_WEIGHT = "no token of the query has a weight: the embedding model knows none of its words; use other words"
ROWS_OF_UNIT = 4
"""Of so many passages of a document, the best by approximate scores, an approximate search looks for the best."""
_SMALLEST_SPREAD = 4  # times the bound of their rounding: vector scores that spread less are made exact


@dataclass
class _Candidates:
    """Units that may be hits, with the rows that stand for them.

    Attributes:
        units: int64, ascending.
        signals: float64 ``(n_units,)`` by signal.
        rows: rows of the table that may be a unit's best by vectors, ascending.
        row_scores: float64 ``(n_rows,)``, their vector scores.
        slack: by how much vector scores may be off.
        is_scored: bool ``(n_units,)``, whose vector score is: only these can be hits. None for all of them.
    """

    units: Numbers
    signals: dict[str, Doubles]
    rows: Numbers
    row_scores: Doubles
    slack: float
    is_scored: Mask | None = None


@dataclass
class Search:
    """One search under way; see the module for its steps.

    Attributes:
        snapshot: of the store; table: its passages.
        units: what is ranked.
        query: embedded; used: bool ``(n_tokens,)``, its tokens that weigh something.
        is_allowed: bool ``(n_rows,)``, which rows of the table may be found.
        phrases: found in the passages, None where the query has none.
        vector: the vector side, None where only keywords count.
        reordered: the same by another order of words, None where that of the index decides.
        pipeline: of the index.
        request: what is asked for.
        reranker: rescores the best, None where nothing does.
        keyword: the keyword side; made by ``hits``.
    """

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
    reranker: Reranker | None = None
    keyword: KeywordSignal | None = None

    @cached_property
    def allowed(self) -> Numbers | None:
        """The embedded passages that may be found, ascending; None for all."""
        return None if self.is_allowed.all() else np.unique(self.table.embedded[self.is_allowed])

    def scan(self) -> Scan | None:
        """Return what the store proposes by vectors; None where only keywords count."""
        return None if self.vector is None else self.vector.scan(self.allowed, exact=self.request.exact)

    def hits(self, scan: Scan | None) -> list[Hit]:
        """Return the page of hits that was asked for."""
        self.request.check_time("passages were scored")
        keywords = []
        if self.request.mode != "vector" and self.query.text is not None:
            keywords = telling(self.snapshot.keywords(self.query.text), self.query.text)
            self.keyword = KeywordSignal(self.snapshot, self.table, keywords, self.is_allowed, 4 * POOL)
            if self.vector is None and self.request.mode == "hybrid" and not self.keyword.is_known:
                raise QueryError(NO_WEIGHT)
        candidates = self._candidates(scan)
        if scan is not None and scan.depth and self._may_lack(candidates):
            # there are more hits than an approximate index proposes
            assert self.vector is not None
            scan = self.vector.scan(self.allowed, exact=True)
            candidates = self._candidates(scan)
        self.request.check_time("candidates were found")
        depth = 0 if scan is None else self._stepped(scan.depth)
        if self.reordered is not None:
            candidates = self._compared_anew(self._best(candidates, 2 * depth) if depth else candidates)
            self.request.check_time("candidates were compared anew")
        elif depth:
            candidates = self._scored(candidates, depth)
            self.request.check_time("candidates were scored")
        candidates = self._told_apart(candidates)
        ranked = self._ranked(candidates)
        self.request.check_time("candidates were ranked")
        if self.reranker is not None:
            ranked = self.reranker.rescored(self.snapshot, self.query, ranked, self.request)
        ranked = ranked[self.request.offset : self.request.offset + self.request.k]
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
            self.request.check_time("hits were read")
        return hits

    # candidates

    def _candidates(self, scan: Scan | None) -> _Candidates:
        rows, row_scores, slack = np.zeros(0, np.int64), np.zeros(0), 0.0
        if scan is not None:
            rows, row_scores, slack = self._scanned(scan)
        units = self.units
        by_vector = units.best(rows, row_scores, -np.inf)
        depth = REORDERED if self.request.order != "default" else POOL
        if scan is not None and scan.rest is not None:
            n_named = np.count_nonzero(by_vector > -np.inf)
            if n_named < max(self._stepped(scan.depth), self._depth(depth)):
                return self._candidates(scan.rest())
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
        if scan is not None and scan.worth is not None:
            rows, row_scores = self._completed(units.rows(members, self.is_allowed), rows, row_scores, scan.worth)
            found["vector"] = units.best(rows, row_scores, -np.inf)[members]
        kept = is_member[units.of_row[rows]]
        return _Candidates(members, found, rows[kept], row_scores[kept], slack)

    def _completed(
        self, wanted: Numbers, rows: Numbers, scores: Doubles, worth: Callable[[Numbers, Numbers], Doubles]
    ) -> tuple[Numbers, Doubles]:
        """Return rows and their scores, what the scan does not name by what it is worth."""
        at = np.searchsorted(rows, wanted)
        at[at == len(rows)] = 0
        is_named = rows[at] == wanted if len(rows) else np.zeros(len(wanted), bool)
        completed = np.empty(len(wanted), np.float64)
        completed[is_named] = scores[at[is_named]]
        embedded = self.table.embedded[wanted[~is_named]]
        completed[~is_named] = worth(embedded, self.snapshot.embedded_lengths(embedded))
        return wanted, completed

    def _may_lack(self, candidates: _Candidates) -> bool:
        n_wanted = self.request.n_wanted
        if len(candidates.units) >= n_wanted:
            return False
        return len(candidates.units) < min(n_wanted, len(np.unique(self.units.of_row[self.is_allowed])))

    def _stepped(self, depth: int) -> int:
        """Return a depth that is twice the hits at least, in steps, so that neighbouring pages have the same one."""
        while depth and depth < 2 * self.request.n_wanted:
            depth *= 2
        return depth

    def _scanned(self, scan: Scan) -> tuple[Numbers, Doubles, float]:
        """Return the allowed rows that the scan names, ascending, with their scores and the slack."""
        assert self.vector is not None
        rows, which = self.table.rows_of(scan.embedded)
        is_allowed = self.is_allowed[rows]
        return rows[is_allowed], scan.scores[which[is_allowed]], scan.slack

    def _depth(self, least: int) -> int:
        encoder = self.pipeline.aligning_encoder
        if self.request.order == "default" and encoder is not None:
            return max(encoder.depth, self.request.n_wanted)
        return max(least, 2 * self.request.n_wanted)

    def _scored(self, candidates: _Candidates, depth: int) -> _Candidates:
        """Score the best candidates by their vectors; what the others are worth stays a guess."""
        assert self.vector is not None
        best = self._best(candidates, depth)
        order = np.lexsort((best.rows, -best.row_scores, self.units.of_row[best.rows]))
        of_row = self.units.of_row[best.rows[order]]
        begins = np.searchsorted(of_row, of_row)
        rows = np.sort(best.rows[order[np.arange(len(order)) - begins < ROWS_OF_UNIT]])
        embedded, places = np.unique(self.table.embedded[rows], return_inverse=True)
        scores, slack = self.vector.approximate(embedded)
        row_scores = scores[places]
        is_scored = np.isin(candidates.units, best.units, assume_unique=True)
        vector = candidates.signals["vector"].copy()
        vector[is_scored] = self.units.best(rows, row_scores, -np.inf)[best.units]
        return replace(
            candidates,
            signals={**candidates.signals, "vector": vector},
            rows=rows,
            row_scores=row_scores,
            slack=slack,
            is_scored=None if is_scored.all() else is_scored,
        )

    def _best(self, candidates: _Candidates, n: int) -> _Candidates:
        """Return the best candidates by the fused scores."""
        chosen = np.zeros(len(candidates.units), bool)
        chosen[largest(self._fused(candidates).scores, n)] = True
        is_kept = np.zeros(self.units.n_units, bool)
        is_kept[candidates.units[chosen]] = True
        kept = is_kept[self.units.of_row[candidates.rows]]
        return _Candidates(
            candidates.units[chosen],
            {name: values[chosen] for name, values in candidates.signals.items()},
            candidates.rows[kept],
            candidates.row_scores[kept],
            candidates.slack,
        )

    def _compared_anew(self, candidates: _Candidates) -> _Candidates:
        """Replace the vector scores of the candidates by those of the other order.

        Of each document its best passage is compared, and the best passages of all documents together: another passage
        of a document may be nearer in the other order.
        """
        assert self.reordered is not None
        if self.request.order == "default" and len(candidates.signals) > 1:
            # aligning costs milliseconds a passage, so only the best by the fused scores are aligned
            candidates = self._best(candidates, self._depth(0))
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
        if candidates.is_scored is not None:
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
        is_left = np.ones(len(scores), bool) if candidates.is_scored is None else candidates.is_scored
        if request.min_score is not None:
            is_left = is_left & (candidates.signals["vector"] >= request.min_score - candidates.slack)
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
        return ranked[:n]

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
