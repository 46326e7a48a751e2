"""Makes hits of ranked passages: text, place, matches, and the explanation where it was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.bm25 import KeywordSignal
from vecsearch.explaining import (
    Share,
    keyword_contributions,
    keyword_matches,
    matches,
    phrase_contributions,
    vector_contributions,
)
from vecsearch.pipeline import Pipeline
from vecsearch.preparation import embedded_text
from vecsearch.queries import Query
from vecsearch.splitting import line_starts
from vecsearch.types import Contribution, Explanation, Hit, Match
from vecsearch.vector_signal import VectorSignal

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.phrase_search import FoundPhrases
    from vecsearch.stores.analysis import Keyword
    from vecsearch.stores.protocol import PassagePlace, PassageTable, Snapshot, StoredPassage
    from vecsearch.types import Floats, Spans

__all__ = ["HitWriter", "Ranked"]


@dataclass(frozen=True)
class Ranked:
    """A unit on the page.

    Attributes:
        score: the hit's.
        place: of the passage that is shown.
        rows: by signal, the row of the table that the unit has its score from; that of the vectors is shown.
        signals: unfused scores.
        shares: what each signal adds to the score.
        slopes: by signal; see ``fusion.Fusion``.
    """

    score: float
    place: PassagePlace
    rows: Mapping[str, int]
    signals: Mapping[str, float]
    shares: Mapping[str, float]
    slopes: Mapping[str, float]


@dataclass(frozen=True)
class HitWriter:
    """Writes the hits of one search.

    Attributes:
        snapshot, table, pipeline: what was searched.
        query: whose hits they are; used: bool ``(n_tokens,)``, its tokens that weigh something.
        vector, keyword: the signals, None where one was not asked.
        keywords: of the query.
        phrases: found in the passages, None where the query has none.
        explain: whether hits carry explanations.
    """

    snapshot: Snapshot
    table: PassageTable
    pipeline: Pipeline
    query: Query
    used: npt.NDArray[np.bool_]
    vector: VectorSignal | None
    keyword: KeywordSignal | None
    keywords: Sequence[Keyword]
    phrases: FoundPhrases | None
    explain: bool

    def hit(self, ranked: Ranked) -> Hit:
        """Return one hit."""
        stored = self.snapshot.passage(ranked.place.doc_id, ranked.place.ordinal)
        lead = _blank_lead(stored.text)
        shown = stored.text[lead:].rstrip()
        line = stored.line + _breaks(stored.text[:lead])
        spans = self._spans(stored, lead)
        row = ranked.rows["vector" if "vector" in ranked.rows else "keyword"]
        similarities = None
        if self.vector is not None:
            similarities = self.vector.similarities(int(self.table.embedded[row]))
        return Hit(
            score=ranked.score,
            doc_id=ranked.place.doc_id,
            passage=ranked.place.ordinal,
            text=shown,
            start=stored.start + lead,
            end=stored.start + lead + len(shown),
            line_start=line,
            line_end=line + _breaks(shown),
            title=stored.title,
            metadata=json.loads(stored.metadata),
            path=None if stored.file is None else str(Path(*stored.file)),
            matches=self._matches(ranked, shown, spans, similarities),
            signals=ranked.signals,
            explanation=self._explanation(ranked, shown, spans, similarities) if self.explain else None,
        )

    def _spans(self, stored: StoredPassage, lead: int) -> Spans | None:
        """Return where each token of a passage stands in the text that is shown; negative where it is in the title."""
        if self.pipeline.is_given:
            return None
        text, shift = embedded_text(self.pipeline, stored.title, stored.text, stored.ordinal)
        return self.pipeline.tokenize([text]).spans - np.int32(shift + lead)

    def _matches(
        self, ranked: Ranked, shown: str, spans: Spans | None, similarities: Floats | None
    ) -> tuple[Match, ...]:
        found: tuple[Match, ...] = ()
        if similarities is not None and spans is not None and self.query.spans is not None:
            assert self.vector is not None
            query_spans = self.query.spans[self.used]
            found = matches(similarities, self.vector.weights, query_spans, spans, len(shown))
        elif self.keywords:
            found = keyword_matches(self.keywords, self.snapshot.keywords(shown))
        if self.phrases is not None and spans is not None:
            row = ranked.rows["vector" if "vector" in ranked.rows else "keyword"]
            of_phrases = self.phrases.matches(int(self.table.embedded[row]), spans, len(shown))
            taken = {(match.start, match.end) for match in of_phrases}
            found = (*of_phrases, *(match for match in found if (match.start, match.end) not in taken))
        return found

    def _explanation(self, ranked: Ranked, shown: str, spans: Spans | None, similarities: Floats | None) -> Explanation:
        contributions: list[Contribution] = []
        if self.vector is not None:
            assert similarities is not None
            contributions += vector_contributions(
                self.query,
                self.used,
                similarities,
                self.vector.terms(similarities),
                self.vector.weights,
                Share(ranked.shares["vector"], ranked.slopes["vector"]),
                spans,
                len(shown),
            )
        if self.keyword is not None:
            assert self.query.text is not None
            is_shown = ranked.rows["keyword"] == ranked.rows.get("vector", ranked.rows["keyword"])
            there = reversed(self.snapshot.keywords(shown)) if is_shown else ()
            contributions += keyword_contributions(
                self.keywords,
                self.query.text,
                self.keyword.terms,
                self.keyword.contributions(np.array([ranked.rows["keyword"]]))[:, 0],
                self.keyword.idf,
                Share(ranked.shares["keyword"], ranked.slopes["keyword"]),
                {word.term: (word.start, word.end) for word in there},
            )
        if self.phrases is not None and "phrase" in ranked.shares:
            row = ranked.rows["vector" if "vector" in ranked.rows else "keyword"]
            contributions += phrase_contributions(
                self.phrases.of(int(self.table.embedded[row])),
                Share(ranked.shares["phrase"], ranked.slopes["phrase"]),
                spans,
                len(shown),
            )
        return Explanation(tuple(contributions), dict(ranked.signals))


def _blank_lead(text: str) -> int:
    """Return how many characters of blank lines a text begins with; the indentation of its first line stays."""
    content = len(text) - len(text.lstrip())
    return text.rfind("\n", 0, content) + 1


def _breaks(text: str) -> int:
    return len(line_starts(text)) - 1
