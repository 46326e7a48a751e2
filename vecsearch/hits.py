"""Makes hits of ranked passages: text, place, matches, and the explanation where it was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.bm25 import KeywordSignal
from vecsearch.errors import IndexDamagedError
from vecsearch.explaining import (
    Rescored,
    Share,
    keyword_contributions,
    keyword_matches,
    matches,
    phrase_contributions,
    rerank_contributions,
    vector_contributions,
)
from vecsearch.pipeline import Pipeline
from vecsearch.preparation import embedded_texts
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
        rescored: what a contextual model says of it, where one was asked.
    """

    score: float
    place: PassagePlace
    rows: Mapping[str, int]
    signals: Mapping[str, float]
    shares: Mapping[str, float]
    slopes: Mapping[str, float]
    rescored: Rescored | None = None


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
        with_matches: whether they carry matches.
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
    with_matches: bool = True

    def hits(self, ranked: Sequence[Ranked]) -> list[Hit]:
        """Return hits; texts are tokenized and compared all together."""
        stored = [self.snapshot.passage(one.place.doc_id, one.place.ordinal) for one in ranked]
        if self.explain or self.with_matches:
            # keywords have places of their own
            needs_spans = self.vector is not None or self.phrases is not None
            spans = self._spans(stored) if needs_spans else [None] * len(ranked)
            numbers = self.table.embedded[[_shown_row(one) for one in ranked]]
            similarities = [None] * len(ranked) if self.vector is None else self.vector.similarities(numbers)
        else:
            spans, similarities = [None] * len(ranked), [None] * len(ranked)
        for one, places, similar in zip(stored, spans, similarities, strict=True):
            if places is not None and similar is not None and len(places) != similar.shape[1]:
                raise IndexDamagedError(
                    f"passage {one.ordinal} of document {one.doc_id!r} has {len(places)} tokens, but "
                    f"{similar.shape[1]} vectors stand for it; index the sources again into a new index, or restore "
                    f"the folder from a copy",
                    id=one.doc_id,
                )
        return [self._hit(*parts) for parts in zip(ranked, stored, spans, similarities, strict=True)]

    def _hit(self, ranked: Ranked, stored: StoredPassage, spans: Spans | None, similarities: Floats | None) -> Hit:
        lead = _blank_lead(stored.text)
        shown = stored.text[lead:].rstrip()
        line = stored.line + _breaks(stored.text[:lead])
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
            matches=self._matches(ranked, shown, spans, similarities) if self.with_matches else (),
            signals=ranked.signals,
            explanation=self._explanation(ranked, shown, lead, spans, similarities) if self.explain else None,
        )

    def _spans(self, stored: Sequence[StoredPassage]) -> list[Spans | None]:
        """Return where each token of each passage stands in the text that is shown; negative where in the title."""
        if self.pipeline.is_given:
            return [None] * len(stored)
        texts = embedded_texts(self.pipeline, [(one.title, one.text, one.ordinal) for one in stored])
        tokens = self.pipeline.tokenize([text for text, _ in texts])
        pieces = np.split(tokens.spans, tokens.offsets[1:-1]) if stored else []
        return [
            spans - np.int32(shift + _blank_lead(one.text))
            for spans, (_, shift), one in zip(pieces, texts, stored, strict=True)
        ]

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
            of_phrases = self.phrases.matches(int(self.table.embedded[_shown_row(ranked)]), spans, len(shown))
            taken = {(match.start, match.end) for match in of_phrases}
            found = (*of_phrases, *(match for match in found if (match.start, match.end) not in taken))
        return found

    def _explanation(
        self, ranked: Ranked, shown: str, lead: int, spans: Spans | None, similarities: Floats | None
    ) -> Explanation:
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
            of_keywords = keyword_contributions(
                self.keywords,
                self.query.text,
                self.keyword.terms,
                self.keyword.contributions(np.array([ranked.rows["keyword"]]))[:, 0],
                self.keyword.idf,
                Share(ranked.shares["keyword"], ranked.slopes["keyword"]),
                {word.term: (word.start, word.end) for word in there},
            )
            if self.query.tokens is None:  # the text was made of a document, nobody has it to look places up in
                of_keywords = [replace(one, query_start=None, query_end=None) for one in of_keywords]
            contributions += of_keywords
        if self.phrases is not None and "phrase" in ranked.shares:
            contributions += phrase_contributions(
                self.phrases.of(int(self.table.embedded[_shown_row(ranked)])),
                Share(ranked.shares["phrase"], ranked.slopes["phrase"]),
                spans,
                len(shown),
            )
        if ranked.rescored is not None:
            share = Share(ranked.shares["rerank"], ranked.slopes["rerank"])
            contributions += rerank_contributions(ranked.rescored, share, lead, len(shown))
        return Explanation(tuple(contributions), dict(ranked.signals))


def _shown_row(ranked: Ranked) -> int:
    return ranked.rows["vector" if "vector" in ranked.rows else "keyword"]


def _blank_lead(text: str) -> int:
    """Return how many characters of blank lines a text begins with; the indentation of its first line stays."""
    content = len(text) - len(text.lstrip())
    return text.rfind("\n", 0, content) + 1


def _breaks(text: str) -> int:
    return len(line_starts(text)) - 1
