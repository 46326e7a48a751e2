"""How deep an approximate index must be searched to find what exact search finds, measured on its own passages.

A query is a sentence of a passage, or a stretch where it has none, with a quarter of its words left out and, where
words have rows of their own, a quarter replaced by near ones. Exact search tells its best ten passages. For each depth
of looking, it is counted how many of them are among the best n candidates, which are scored exactly; the cheapest
depth is chosen whose recall is above the target by its standard error.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vecsearch.budget import give_back
from vecsearch.errors import QueryError, UsageError
from vecsearch.pipeline import Pipeline
from vecsearch.queries import Query
from vecsearch.searching import Searcher
from vecsearch.stores.protocol import Depth, ScanQuery, Snapshot

if TYPE_CHECKING:
    from vecsearch.protocols import Scorer
    from vecsearch.stores.protocol import Numbers, Scan

__all__ = ["best_of", "checked_target", "ranks_of", "tuned"]

K = 10
"""As many of the best by exact search are looked for."""
DEPTHS = (
    *((1_000, 32), (2_000, 32), (2_000, 64), (4_000, 32), (4_000, 64), (6_000, 64), (8_000, 64), (12_000, 64)),
    *((16_000, 64), (16_000, 128), (24_000, 64), (24_000, 128), (32_000, 128), (64_000, 128), (64_000, 256)),
)
"""Nearest tokens, and cells that they are looked for in, of which the cheapest is chosen …"""
RESCORED = (20, 30, 40, 50, 60, 75, 100, 150, 200, 300, 400, 600, 800)
"""… and as many candidates are scored exactly."""
FEWEST, MOST = 32, 64
"""Queries of a measurement: as many as exact search answers in a few minutes, within these bounds. Fewer are less sure,
so the depth must be greater."""
QUERY_TOKENS = 25_000_000 * MOST
"""Tokens of the index times queries that are compared."""
WORDS = (6, 25)
"""Fewest and most words of the sentence or stretch that a query is made of."""
VOCABULARY = 5_000
"""Of so many words, the most frequent ones of the sample, near ones are known."""

# as people ask: in words, not in numbers and signs, which are rare and easy to find
_WORD = re.compile(r"[^\W\d_]+")
_SENTENCE = re.compile(r"(?:^|(?<=[.!?]\s))[^\W\d_](?:[^\W\d_]|[\s,'-])+[.!?](?=\s|$)")


def checked_target(recall: float | None, n_queries: int | None) -> None:
    """Refuse what cannot be reached for.

    Raises:
        UsageError: the recall is not between 0 and 1, or there are no queries.
    """
    if recall is not None and not (isinstance(recall, int | float) and 0 < recall <= 1):
        raise UsageError(f"recall is {recall!r}; it must be a number above 0, 1 at most")
    if n_queries is not None and (isinstance(n_queries, bool) or not isinstance(n_queries, int) or n_queries < 1):
        raise UsageError(f"n_queries is {n_queries!r}; it must be a whole number of 1 or more")


def tuned(
    pipeline: Pipeline, searcher: Searcher, snapshot: Snapshot, target: float | None, n_queries: int | None
) -> Depth:
    """Return the cheapest depth that reaches a recall, or the one with the best recall if none does.

    Args:
        pipeline, searcher: of the index.
        snapshot: of a store that has a depth.
        target: recall@10 that is wanted; None for what was wanted before.
        n_queries: how many queries, None for as many as the size of the index allows.
    """
    before = snapshot.depth()
    assert before is not None
    target = before.target if target is None else target
    if n_queries is None:
        n_queries = int(np.clip(QUERY_TOKENS // max(snapshot.n_tokens, 1), FEWEST, MOST))
    scorer = searcher.scorer(None)
    asked = _asked(searcher, snapshot, _queries(pipeline, snapshot, n_queries), scorer)
    if not asked:
        return before
    give_back()  # what building has left
    wanted = [best_of(scan) for scan in snapshot.scan_many(asked, scorer, exact=True)]
    give_back()
    measured: list[_Measured] = []
    for n_nearest, n_probe in DEPTHS:
        cheapest = min((one.cost for one in measured if one.is_sure(target)), default=np.inf)
        if _Measured(n_nearest, n_probe, RESCORED[0], 1.0, 0.0).cost >= cheapest:
            break  # to look deeper costs more than it can save
        depth = Depth(n_nearest=n_nearest, n_probe=n_probe)
        scans = snapshot.scan_many(asked, scorer, depth=depth)
        ranks = [ranks_of(best, scan) for best, scan in zip(wanted, scans, strict=True)]
        for n_rescored in RESCORED:
            recalls = np.array([(of_query < n_rescored).mean() for of_query in ranks])
            error = float(recalls.std() / np.sqrt(len(recalls)))
            measured.append(_Measured(n_nearest, n_probe, n_rescored, float(recalls.mean()), error))
    enough = [one for one in measured if one.is_sure(target)]
    chosen = min(enough, key=lambda one: one.cost) if enough else max(measured, key=lambda one: one.recall)
    return Depth(
        n_nearest=chosen.n_nearest,
        n_probe=chosen.n_probe,
        n_rescored=chosen.n_rescored,
        target=float(target),
        recall={pipeline.scorer: chosen.recall},
        n_queries=len(asked),
        n_tokens=snapshot.n_tokens,
    )


class _Measured(NamedTuple):
    """What recall a depth gave, and the standard error of that."""

    n_nearest: int
    n_probe: int
    n_rescored: int
    recall: float
    error: float

    @property
    def cost(self) -> float:
        # measured: a thousand tokens more to look at take as long as four passages to score, and so do 16 cells more
        return self.n_nearest / 250 + self.n_probe / 4 + self.n_rescored

    def is_sure(self, target: float) -> bool:
        return self.recall - self.error >= target


def _queries(pipeline: Pipeline, snapshot: Snapshot, n: int) -> list[Query]:
    """Make queries of passages, chosen by what is stored only."""
    table = snapshot.passages()
    embedded, _ = snapshot.sample(4 * n)
    generator = np.random.default_rng(len(table))
    if pipeline.is_given:
        chosen = np.unique(embedded)[:n]
        return [_given_query(pipeline, snapshot, number, generator) for number in chosen.tolist()]
    rows, which = table.rows_of(np.unique(embedded))
    _, first = np.unique(which, return_index=True)  # of passages with the same text one is enough
    rows = generator.permutation(rows[first])
    passages = [snapshot.passage(one.doc_id, one.ordinal).text for one in snapshot.places(table.passages[rows])]
    near = _neighbours(pipeline, passages)
    queries: list[Query] = []
    for passage in passages:
        words = _asked_words(passage, generator)
        kinds = generator.permutation(len(words)) % 4  # a quarter is left out, and a quarter replaced
        kept = zip(words, kinds.tolist(), strict=True)
        text = " ".join(near.get(word.casefold(), word) if kind == 1 else word for word, kind in kept if kind)
        try:
            queries.append(Query.of_text(pipeline, text))
        except QueryError:
            continue
        if len(queries) == n:
            break
    return queries


def _asked_words(passage: str, generator: np.random.Generator) -> list[str]:
    """Return the words of a sentence of a passage, or of a stretch of it where it has none."""
    sentences = [
        words for text in _SENTENCE.findall(passage) if WORDS[0] <= len(words := _WORD.findall(text)) <= WORDS[1]
    ]
    if sentences:
        return sentences[int(generator.integers(len(sentences)))]
    words = _WORD.findall(passage) or passage.split()
    length = int(generator.integers(*WORDS))
    begin = int(generator.integers(max(1, len(words) - length)))
    return words[begin : begin + length]


def _neighbours(pipeline: Pipeline, passages: list[str]) -> dict[str, str]:
    """Return for each word of some passages the other one that is nearest to it; nothing where rows have a context."""
    if not pipeline.is_static:
        return {}
    counts = Counter(word for passage in passages for word in _WORD.findall(passage.casefold()))
    words = sorted(word for word, _ in counts.most_common(VOCABULARY))
    if len(words) < 2:
        return {}
    rows = pipeline.entry_rows(words, np.ones(len(words), bool))
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    similarities = rows @ rows.T
    np.fill_diagonal(similarities, -np.inf)
    return {word: words[number] for word, number in zip(words, similarities.argmax(axis=1).tolist(), strict=True)}


def _given_query(pipeline: Pipeline, snapshot: Snapshot, number: int, generator: np.random.Generator) -> Query:
    tokens = snapshot.tokens(np.array([number], np.int64))
    assert tokens.rows is not None
    length = int(generator.integers(*WORDS))
    begin = int(generator.integers(max(1, len(tokens.rows) - length)))
    rows, ids = tokens.rows[begin : begin + length], tokens.ids[begin : begin + length]
    return Query.of_vectors(pipeline, np.ascontiguousarray(rows), ids)


def _asked(searcher: Searcher, snapshot: Snapshot, queries: list[Query], scorer: Scorer) -> list[ScanQuery]:
    weighed = [(query, query.weights(snapshot)) for query in queries]
    return [
        searcher.vector(snapshot, query, weights, scorer).asked(None)
        for query, weights in weighed
        if (weights > 0).any()
    ]


def best_of(scan: Scan) -> Numbers:
    """Return the ``K`` best passages of a scan, best first."""
    return scan.embedded[np.lexsort((scan.embedded, -scan.scores))[:K]]


def ranks_of(best: Numbers, scan: Scan) -> Numbers:
    """Return the place that each of the best has among candidates; a number beyond all where it is none."""
    ranks = np.full(len(scan.embedded) + 1, len(scan.embedded) + RESCORED[-1])
    ranks[np.lexsort((scan.embedded, -scan.scores))] = np.arange(len(scan.embedded))
    at = np.searchsorted(scan.embedded, best)
    at[np.append(scan.embedded, -1)[at] != best] = len(scan.embedded)
    found: Numbers = ranks[at]
    return found
