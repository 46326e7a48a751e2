"""Makes a query of a document: its heaviest tokens, as they stand in it, and its most telling keywords."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.errors import QueryError
from vecsearch.positioning import RowTable, directions
from vecsearch.queries import Query
from vecsearch.rarity import idf

if TYPE_CHECKING:
    from vecsearch.stores.protocol import Snapshot

__all__ = ["query_of"]

MOST_PASSAGES = 64
"""Passages of the document that are looked at, from its beginning."""
MOST_TOKENS = 64
MOST_KEYWORDS = 25


def query_of(snapshot: Snapshot, table: RowTable | None, document: int, *, with_text: bool) -> Query:
    """Return the query that a document is.

    Its vectors are those of the ``MOST_TOKENS`` tokens with the largest idf · norm, the first of each kind, encoded
    among their neighbours. Its text is the ``MOST_KEYWORDS`` words with the largest tf · idf.

    Args:
        snapshot: of the store.
        table: rows of token ids, for a static pipeline.
        document: its number.
        with_text: whether keywords are wanted.

    Raises:
        QueryError: it has no token with a weight.
    """
    passages = snapshot.passages()
    rows = np.flatnonzero(passages.documents == document)[:MOST_PASSAGES]
    embedded = passages.embedded[rows]
    tokens = snapshot.tokens(embedded)
    units, norms = directions(table, tokens)
    vectors, _ = snapshot.vectors(embedded)
    whole = Query(vectors, units, norms, tokens.ids, None, None)
    weights = whole.weights(snapshot)
    heaviest = np.argsort(-weights, kind="stable")
    heaviest = heaviest[weights[heaviest] > 0]
    if not len(heaviest):
        raise QueryError("the document has no token that weighs anything; nothing can be like it")
    has_id = tokens.ids[heaviest] >= 0
    _, firsts = np.unique(np.where(has_id, tokens.ids[heaviest], -1 - heaviest), return_index=True)
    chosen = np.sort(heaviest[np.sort(firsts)[:MOST_TOKENS]])
    text = _telling_words(snapshot, passages.passages[rows]) if with_text else None
    return Query(vectors[chosen], units[chosen], norms[chosen], tokens.ids[chosen], None, text)


def _telling_words(snapshot: Snapshot, numbers: np.ndarray) -> str:
    found: Counter[str] = Counter()
    surface: dict[str, str] = {}
    for place in snapshot.places(numbers):
        text = snapshot.passage(place.doc_id, place.ordinal).text
        for keyword in snapshot.keywords(text):
            found[keyword.term] += 1
            surface.setdefault(keyword.term, text[keyword.start : keyword.end])
    terms = list(found)
    frequencies = snapshot.keyword_frequencies(terms)
    worth = np.array([found[term] for term in terms]) * idf(frequencies, snapshot.n_passages)
    return " ".join(surface[terms[number]] for number in np.argsort(-worth, kind="stable")[:MOST_KEYWORDS].tolist())
