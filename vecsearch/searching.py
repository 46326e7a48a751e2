"""One search over one snapshot: candidates, exact scores, order, hits."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vecsearch import scoring
from vecsearch.errors import QueryError, SearchTimeoutError
from vecsearch.guarding import GuardedScorer
from vecsearch.pipeline import Pipeline, build_scorer, split_rows
from vecsearch.preparation import embedded_text
from vecsearch.protocols import AligningEncoder, Scorer
from vecsearch.splitting import line_starts
from vecsearch.stores.protocol import PassagePlace, Snapshot
from vecsearch.types import Hit, Match, Tokens

if TYPE_CHECKING:
    from vecsearch.stores.protocol import Numbers
    from vecsearch.types import Floats, Ids, Offsets, Spans

__all__ = ["Query", "Searcher"]

MAX_QUERY_TOKENS = 2_048
LIGHT_WEIGHT = 0.1
"""Query tokens below this share of the heaviest one's weight have no matches shown: *the*, *of*, commas."""
ALIKE = 0.6
"""A passage token this similar to a query token is shown as a match even where a better one stands beside it."""


@dataclass(frozen=True)
class Query:
    """A query, embedded: as the index would embed a passage.

    Attributes:
        vectors: float32 ``(n_tokens, dim)``.
        weights: float32 ``(n_tokens,)``, norms; idf is applied when the collection is known.
        ids: int32 ``(n_tokens,)`` where they are known without the collection, else None.
        tokens: None for a query of vectors.
    """

    vectors: Floats
    weights: Floats
    ids: Ids | None
    tokens: Tokens | None

    @classmethod
    def of_text(cls, pipeline: Pipeline, text: str) -> Query:
        """Tokenize, embed and encode a text.

        Raises:
            QueryError: it is longer than ``MAX_QUERY_TOKENS``.
        """
        tokens = pipeline.tokenize([text])
        if tokens.n_tokens > MAX_QUERY_TOKENS:  # before they are embedded, for a text of any length may come in
            raise QueryError(
                f"the query has {tokens.n_tokens} tokens; at most {MAX_QUERY_TOKENS} are searched: shorten it"
            )
        units, weights = split_rows(pipeline.rows([text], tokens))
        return cls(pipeline.encode_rows(units, weights, tokens.offsets), weights, tokens.ids, tokens)

    @classmethod
    def of_vectors(cls, pipeline: Pipeline, vectors: Floats, token_ids: Ids | None) -> Query:
        """Encode given vectors.

        Raises:
            QueryError: there are more than ``MAX_QUERY_TOKENS``.
        """
        if len(vectors) > MAX_QUERY_TOKENS:
            raise QueryError(f"the query has {len(vectors)} vectors; at most {MAX_QUERY_TOKENS} are searched")
        units, weights = split_rows(vectors)
        ids = np.full(len(vectors), -1, np.int32) if token_ids is None else token_ids.astype(np.int32)
        positioned = pipeline.encode_rows(units, weights, np.array([0, len(vectors)], np.int64))
        return cls(positioned, weights, None if token_ids is None else ids, None)


class Searcher:
    """Searches snapshots with one pipeline. Keeps the scorers it has built."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._scorers: dict[str, Scorer] = {}

    def search(
        self, snapshot: Snapshot, query: Query, k: int, scorer: str | Scorer, deadline: float | None
    ) -> list[Hit]:
        """Return the k best passages; see ``Index.search``."""
        formula = self._scorer(scorer)
        weights = query.weights * self._idf(snapshot, query)
        used = weights > 0
        if not used.any():
            raise QueryError(
                "all vectors of the query are zero; give at least one that points somewhere"
                if query.tokens is None
                else "no token of the query has a weight: the embedding model knows none of its words; use other words"
            )
        vectors, weights = np.ascontiguousarray(query.vectors[used]), weights[used]
        _check_time(deadline, "the query was embedded")
        ranked = self._ranked(snapshot, vectors, weights, formula, k, deadline)
        _check_time(deadline, "passages were scored")
        hits = []
        for score, place in ranked:
            hits.append(self._hit(snapshot, query, used, vectors, weights, score, place))
            _check_time(deadline, "hits were read")
        return hits

    def _scorer(self, scorer: str | Scorer) -> Scorer:
        if not isinstance(scorer, str):
            return GuardedScorer(scorer)
        if scorer not in self._scorers:
            self._scorers[scorer] = build_scorer(scorer)
        return self._scorers[scorer]

    def _idf(self, snapshot: Snapshot, query: Query) -> Floats:
        """Return ln(1 + (N − df + ½) / (df + ½)) of each query token, 1 for a vector without an id."""
        if query.tokens is None and query.ids is None:
            return np.ones(len(query.weights), np.float32)
        if query.ids is None:
            assert query.tokens is not None
            assert query.tokens.entries is not None
            ids = snapshot.lookup(list(query.tokens.entries))
        else:
            ids = query.ids
        frequencies = snapshot.document_frequencies(ids)
        n = max(snapshot.n_passages, int(frequencies.max(initial=0)))
        idf = np.log1p((n - frequencies + 0.5) / (frequencies + 0.5))
        if query.tokens is None:
            idf = np.where(ids < 0, 1.0, idf)
        return idf.astype(np.float32)

    def _ranked(
        self,
        snapshot: Snapshot,
        vectors: Floats,
        weights: Floats,
        scorer: Scorer,
        k: int,
        deadline: float | None,
    ) -> list[tuple[float, PassagePlace]]:
        encoder = self._pipeline.encoder
        depth = max(encoder.depth, k) if isinstance(encoder, AligningEncoder) else k
        candidates = snapshot.candidates(vectors, weights, scorer, depth)
        _check_time(deadline, "candidates were found")
        if not len(candidates):
            return []
        passages, offsets = snapshot.vectors(candidates)
        scores = scoring.score(vectors, weights, passages, offsets, scorer)
        if isinstance(encoder, AligningEncoder):
            candidates, passages, offsets = _best(scores, depth, candidates, passages, offsets)
            scores = scoring.score_aligned(self._pipeline.align, vectors, weights, passages, offsets, scorer)
        kept = scores >= _nth(scores, k)
        score_of = dict(zip(candidates[kept].tolist(), scores[kept].tolist(), strict=True))
        ranked = [(score_of[place.embedded], place) for place in snapshot.places(candidates[kept])]
        ranked.sort(key=lambda item: (-item[0], item[1].doc_id, item[1].ordinal))
        return ranked[:k]

    def _hit(
        self,
        snapshot: Snapshot,
        query: Query,
        used: np.ndarray,
        vectors: Floats,
        weights: Floats,
        score: float,
        place: PassagePlace,
    ) -> Hit:
        stored = snapshot.passage(place.doc_id, place.ordinal)
        lead = _blank_lead(stored.text)
        shown = stored.text[lead:].rstrip()
        line = stored.line + _breaks(stored.text[:lead])
        matches: tuple[Match, ...] = ()
        if query.tokens is not None:
            text, shift = embedded_text(self._pipeline, stored.title, stored.text, place.ordinal)
            passage, _ = snapshot.vectors(np.array([place.embedded]))
            spans = self._pipeline.tokenize([text]).spans - np.int32(shift + lead)
            matches = _matches(vectors @ passage.T, weights, query.tokens.spans[used], spans, len(shown))
        return Hit(
            score=score,
            doc_id=place.doc_id,
            passage=place.ordinal,
            text=shown,
            start=stored.start + lead,
            end=stored.start + lead + len(shown),
            line_start=line,
            line_end=line + _breaks(shown),
            title=stored.title,
            metadata=json.loads(stored.metadata),
            path=None if stored.file is None else str(Path(*stored.file)),
            matches=matches,
        )


def _matches(similarities: Floats, weights: Floats, query_spans: Spans, spans: Spans, length: int) -> tuple[Match, ...]:
    """Return the best partner of each query token that is not light, and whatever is about as similar."""
    found: dict[int, tuple[float, int]] = {}
    heavy = np.flatnonzero(weights >= LIGHT_WEIGHT * weights.max())
    for i in heavy.tolist():
        row = similarities[i]
        for j in {int(row.argmax()), *np.flatnonzero(row >= ALIKE).tolist()}:
            if row[j] > found.get(j, (0.0, 0))[0]:
                found[j] = (float(row[j]), i)
    return tuple(
        sorted(
            (
                Match(int(spans[j, 0]), int(spans[j, 1]), int(query_spans[i, 0]), int(query_spans[i, 1]), similarity)
                for j, (similarity, i) in found.items()
                if spans[j, 0] >= 0 and spans[j, 1] <= length  # not those in the title
            ),
            key=lambda match: (-match.similarity, match.start),
        )
    )


def _best(
    scores: np.ndarray, n: int, numbers: Numbers, vectors: Floats, offsets: Offsets
) -> tuple[Numbers, Floats, Offsets]:
    """Keep the n best passages, ties by their number."""
    kept = np.sort(np.lexsort((numbers, -scores))[:n])
    pieces = [vectors[offsets[i] : offsets[i + 1]] for i in kept.tolist()]
    lengths = np.concatenate([np.zeros(1, np.int64), np.diff(offsets)[kept]])
    return numbers[kept], np.concatenate(pieces), np.cumsum(lengths)


def _nth(scores: np.ndarray, n: int) -> float:
    """Return the n-th largest score, the smallest where there are fewer."""
    if len(scores) <= n:
        return -math.inf
    return float(np.partition(scores, len(scores) - n)[len(scores) - n])


def _blank_lead(text: str) -> int:
    """Return how many characters of blank lines a text begins with; the indentation of its first line stays."""
    content = len(text) - len(text.lstrip())
    return text.rfind("\n", 0, content) + 1


def _breaks(text: str) -> int:
    return len(line_starts(text)) - 1


def _check_time(deadline: float | None, stage: str) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise SearchTimeoutError(f"the search ran out of time after {stage}; allow more, or ask for fewer hits")
