"""Says what each token of a query adds to the score of a hit, and where in the hit it found its partner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.types import Contribution, Match

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.phrase_search import PhraseMatch
    from vecsearch.queries import Query
    from vecsearch.stores.analysis import Keyword
    from vecsearch.types import Floats, Spans

    Doubles = npt.NDArray[np.float64]

__all__ = [
    "ALIKE",
    "LIGHT_WEIGHT",
    "Rescored",
    "Share",
    "keyword_contributions",
    "keyword_matches",
    "matches",
    "phrase_contributions",
    "rerank_contributions",
    "vector_contributions",
]

LIGHT_WEIGHT = 0.1
"""Query tokens below this share of the heaviest one's weight have no matches shown: *the*, *of*, commas."""
ALIKE = 0.6
"""A passage token this similar to a query token is shown as a match even where a better one stands beside it."""


@dataclass(frozen=True)
class Share:
    """How a signal enters a hit's score.

    Attributes:
        total: what it adds, the constant included.
        slope: what one more of the signal adds; 0 where only ranks count.
    """

    total: float
    slope: float

    def spread(self, terms: Doubles) -> tuple[Doubles, float]:
        """Return what each term of the signal adds to the hit's score, and the constant; together the total."""
        if self.slope:
            return terms * self.slope, self.total - float(terms.sum()) * self.slope
        whole = float(terms.sum())
        return (terms * (self.total / whole), 0.0) if whole > 0 else (np.zeros(len(terms)), self.total)


@dataclass(frozen=True)
class Rescored:
    """What a contextual model says of a hit; see ``reranking``.

    Attributes:
        query: embedded by the model; used: bool ``(n_tokens,)``, its tokens that weigh something.
        weights: float32 ``(n_used,)``.
        similarities: float32 ``(n_used,)``, of each token's best partner in the passage.
        partners: int32 ``(n_used, 2)``, characters of the passage as it is stored, those in its title below 0; None
            where the model sees no token in it.
    """

    query: Query
    used: npt.NDArray[np.bool_]
    weights: Floats
    similarities: Floats
    partners: Spans | None

    @property
    def terms(self) -> Doubles:
        """What each token adds to the score: float64 ``(n_used,)``."""
        return self.weights.astype(np.float64) * self.similarities

    @property
    def score(self) -> float:
        """Σ_i w_i · max_j ⟨q_i, d_j⟩: MaxSim (Khattab & Zaharia 2020, equation 3)."""
        return float(self.terms.sum())


def vector_contributions(
    query: Query,
    used: npt.NDArray[np.bool_],
    similarities: Floats,
    terms: Doubles,
    weights: Floats,
    share: Share,
    spans: Spans | None,
    length: int,
) -> list[Contribution]:
    """Return what each token of the query adds through the vectors, and the constant of the signal if it has one.

    Args:
        query: whose tokens.
        used: bool ``(n_tokens,)``, those that weigh something.
        similarities: float32 ``(n_used, n_passage_tokens)`` that the score is made of.
        terms: float64 ``(n_used,)``, of the signal's own score.
        weights: float32 ``(n_used,)``.
        share: of the signal in the hit's score.
        spans: characters of the hit's text of each passage token; None where it is another text.
        length: of the hit's text.
    """
    values, constant = share.spread(terms)
    partners = similarities.argmax(axis=1).tolist()
    found = []
    for i, token in enumerate(np.flatnonzero(used).tolist()):
        begin, end, label = None, None, f"token {token}"
        if query.spans is not None and query.text is not None:
            begin, end = query.spans[token].tolist()
            label = query.text[begin:end]
        start, stop = _place(spans, partners[i], length)
        found.append(
            Contribution(
                "vector",
                label,
                float(values[i]),
                begin,
                end,
                start,
                stop,
                float(similarities[i, partners[i]]),
                float(weights[i]),
            )
        )
    return [*found, *_constant("vector", constant)]


def keyword_contributions(
    keywords: Sequence[Keyword],
    query_text: str,
    terms: Sequence[str],
    values: Doubles,
    idf: Doubles,
    share: Share,
    places: Mapping[str, tuple[int, int]],
) -> list[Contribution]:
    """Return what each keyword of the query adds, and the constant of the signal if it has one.

    Args:
        keywords: of the query.
        query_text: their text.
        terms: the different keywords; values: float64 ``(n_terms,)``, their BM25; idf: likewise.
        share: of the signal in the hit's score.
        places: characters of the hit's text where a keyword stands first.
    """
    first = {keyword.term: keyword for keyword in reversed(keywords)}
    spread, constant = share.spread(values)
    found = []
    for number, term in enumerate(terms):
        keyword = first[term]
        start, end = places.get(term, (None, None))
        found.append(
            Contribution(
                "keyword",
                query_text[keyword.start : keyword.end],
                float(spread[number]),
                keyword.start,
                keyword.end,
                start,
                end,
                None,
                float(idf[number]),
            )
        )
    return [*found, *_constant("keyword", constant)]


def rerank_contributions(rescored: Rescored, share: Share, lead: int, length: int) -> list[Contribution]:
    """Return what each token of the query, as the model cuts it, adds by reranking, and the constant.

    Args:
        rescored: of the hit.
        share: of reranking in the hit's score.
        lead: characters of the stored passage before the hit's text.
        length: of the hit's text.
    """
    assert rescored.query.spans is not None
    assert rescored.query.text is not None
    spans = None if rescored.partners is None else rescored.partners - np.int32(lead)
    values, constant = share.spread(rescored.terms)
    found = []
    for i, token in enumerate(np.flatnonzero(rescored.used).tolist()):
        begin, end = rescored.query.spans[token].tolist()
        start, stop = _place(spans, i, length)
        found.append(
            Contribution(
                "rerank",
                rescored.query.text[begin:end],
                float(values[i]),
                begin,
                end,
                start,
                stop,
                float(rescored.similarities[i]),
                float(rescored.weights[i]),
            )
        )
    return [*found, *_constant("rerank", constant)]


def phrase_contributions(
    found: Sequence[PhraseMatch], share: Share, spans: Spans | None, length: int
) -> list[Contribution]:
    """Return what each phrase of the query adds.

    Args:
        found: in the passage that is shown; empty where the phrases stand in another one of the document.
        share: of the phrases in the hit's score.
        spans: characters of the hit's text of each passage token.
        length: of the hit's text.
    """
    values, constant = share.spread(np.array([one.share for one in found], np.float64))
    contributions = []
    for one, value in zip(found, values.tolist(), strict=True):
        start, _ = _place(spans, one.first_token, length)
        _, end = _place(spans, one.last_token, length)
        contributions.append(
            Contribution("phrase", one.label, value, one.start, one.end, start, end, one.strength, None)
        )
    return [*contributions, *_constant("phrase", constant)]


def matches(similarities: Floats, weights: Floats, query_spans: Spans, spans: Spans, length: int) -> tuple[Match, ...]:
    """Return the best partner of each query token that is not light, and whatever is about as similar."""
    found: dict[int, tuple[float, int]] = {}
    heavy = np.flatnonzero(weights >= LIGHT_WEIGHT * weights.max(initial=0))
    of_heavy = similarities[heavy]
    is_partner = of_heavy >= ALIKE
    is_partner[np.arange(len(heavy)), of_heavy.argmax(axis=1)] = True
    places, partners = np.nonzero(is_partner)  # by the query's tokens: of equal partners the first one's stays
    values = of_heavy[places, partners]
    for i, j, value in zip(heavy[places].tolist(), partners.tolist(), values.tolist(), strict=True):
        if value > found.get(j, (0.0, 0))[0]:
            found[j] = (value, i)
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


def keyword_matches(keywords: Sequence[Keyword], passage: Sequence[Keyword]) -> tuple[Match, ...]:
    """Return where the keywords of a query stand in a text, in its order, each with similarity 1."""
    first = {keyword.term: keyword for keyword in reversed(keywords)}
    return tuple(
        Match(word.start, word.end, first[word.term].start, first[word.term].end, 1.0)
        for word in passage
        if word.term in first
    )


def _place(spans: Spans | None, token: int, length: int) -> tuple[int | None, int | None]:
    if spans is None:
        return None, None
    start, end = spans[token].tolist()
    return (start, end) if start >= 0 and end <= length else (None, None)


def _constant(signal: str, value: float) -> list[Contribution]:
    return [Contribution(signal, "constant", value)] if abs(value) > 1e-12 else []
