"""Runs: what a search, or the BM25 that others are compared with, ranks for every query; and run files of TREC."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.errors import QueryError, UsageError
from vecsearch.evaluation.datasets import Collection
from vecsearch.evaluation.extra import require
from vecsearch.evaluation.measures import DEPTH, Ranking, falling

if TYPE_CHECKING:
    from vecsearch.index import Index

__all__ = ["bm25_rankings", "check_trec_ids", "search_rankings", "trec_lines"]

_AT_ONCE = 32
"""Queries between two reports of progress."""
_SPACE = re.compile(r"\s")


def search_rankings(
    index: Index,
    queries: Mapping[str, str],
    search: Mapping[str, Any],
    *,
    depth: int = DEPTH,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Ranking]:
    """Return the best documents for every query, by the query's id.

    A query that cannot be searched, because the embedder knows none of its words, finds nothing.

    Args:
        index: holds the documents.
        queries: texts by id, taken as they are.
        search: arguments of ``Index.search_many``.
        depth: how many documents of each.
        progress: told how many queries of how many are done.

    Raises:
        As ``Index.search_many``, except QueryError.
    """

    def found(texts: Sequence[str]) -> list[Ranking]:
        hits = index.search_many(texts, depth, by="document", syntax="plain", matches=False, **search)
        return [[(hit.doc_id, hit.score) for hit in ranking] for ranking in hits]

    def found_or_nothing(text: str) -> Ranking:
        try:
            return found([text])[0]
        except QueryError:
            return []

    rankings: dict[str, Ranking] = {}
    ids = list(queries)
    for begin in range(0, len(ids), _AT_ONCE):
        some = ids[begin : begin + _AT_ONCE]
        texts = [queries[query] for query in some]
        try:
            best = found(texts)
        except QueryError:
            best = [found_or_nothing(text) for text in texts]
        rankings.update(zip(some, best, strict=True))
        if progress is not None:
            progress(len(rankings), len(ids))
    return rankings


def bm25_rankings(
    collection: Collection, *, depth: int = DEPTH, progress: Callable[[int, int], None] | None = None
) -> dict[str, Ranking]:
    """Return what BM25 finds for every query of a collection: a baseline that owes nothing to this engine.

    bm25s in the variant of Lucene, k1 = 1.5, b = .75, English stop words and the English Snowball stemmer, on title
    and text. Only documents that hold a word of the query; of equal scores the higher id comes first, as trec_eval has
    it, so that published figures are met.

    Raises:
        UsageError: bm25s or PyStemmer is not installed.
    """
    bm25s = require("bm25s")
    stemmer = require("Stemmer").Stemmer("english")

    def tokenized(texts: Sequence[str]) -> list[list[str]]:
        tokens: list[list[str]] = bm25s.tokenize(
            texts, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
        )
        return tokens

    ids, texts = [], []
    for document in collection.documents():
        ids.append(document.id)
        texts.append(f"{document.title} {document.text}".strip())
    words = tokenized(texts)
    del texts
    rankings: dict[str, Ranking] = {query: [] for query in collection.queries}
    if not any(words):
        return rankings
    model = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    model.index(words, show_progress=False)
    # by id, so that a stable sort breaks ties by it
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__, reverse=True))
    for done, (query, text) in enumerate(collection.queries.items(), 1):
        (asked,) = tokenized([text])
        if asked:
            scores = model.get_scores(asked)[by_id]
            best = np.argsort(-scores, kind="stable")[:depth]
            rankings[query] = [(ids[by_id[at]], float(scores[at])) for at in best.tolist() if scores[at] > 0]
        if progress is not None and (done % _AT_ONCE == 0 or done == len(rankings)):
            progress(done, len(rankings))
    return rankings


def trec_lines(rankings: Mapping[str, Ranking], tag: str) -> Iterable[str]:
    """Yield the lines of a TREC run file: query, Q0, document, rank from 1, score, tag.

    Scores are ``falling``, so that programs which order by them see the same order.

    Example:
        >>> list(trec_lines({"q1": [("d7", 2.5)]}, "mode=vector scorer=maxsim"))
        ['q1 Q0 d7 1 2.5 mode=vector,scorer=maxsim\\n']
    """
    tag = _SPACE.sub(",", tag)
    for query, ranking in rankings.items():
        scores = falling([score for _, score in ranking])
        for rank, ((doc_id, _), score) in enumerate(zip(ranking, scores, strict=True), 1):
            yield f"{query} Q0 {doc_id} {rank} {score!r} {tag}\n"


def check_trec_ids(collection: Collection) -> None:
    """Refuse a collection that a run file cannot name: its format has no way to write an id with white space.

    Raises:
        UsageError: there is such an id.
    """
    for name in (*collection.queries, *collection.doc_ids):
        if not name or _SPACE.search(name):
            raise UsageError(f"the id {name!r} is empty or has white space in it, which a TREC run file cannot hold")
