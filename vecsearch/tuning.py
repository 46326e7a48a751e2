"""How deep an approximate index must be searched to find what exact search finds, measured on its own passages.

A query is a sentence of a passage, or a stretch where it has none, with a quarter of its words left out and, where
words have rows of their own, a quarter replaced by near ones. Exact search tells its best ten passages. For each depth
of looking, it is counted how many of them are among the best n candidates, which are scored exactly; the cheapest
depth is chosen whose recall is above the target by its standard error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vecsearch.budget import give_back
from vecsearch.errors import QueryError, UsageError
from vecsearch.pipeline import Pipeline
from vecsearch.queries import Query
from vecsearch.searching import Searcher
from vecsearch.stores.protocol import Depth, Scan, Snapshot

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.protocols import Scorer
    from vecsearch.stores.protocol import Numbers
    from vecsearch.vector_signal import VectorSignal

    Doubles = npt.NDArray[np.float64]

__all__ = ["best_of", "checked_target", "ranks_of", "tuned"]

K = 10
"""As many of the best by exact search are looked for."""
DEPTHS = (
    *((1_000, 32), (2_000, 32), (4_000, 32), (8_000, 32), (4_000, 64), (12_000, 32), (16_000, 32), (8_000, 64)),
    *((12_000, 64), (16_000, 64), (24_000, 64), (32_000, 64), (32_000, 128), (64_000, 128), (64_000, 256)),
)
"""Nearest tokens, and cells that they are looked for in, of which the cheapest is chosen …"""
RESCORED = (20, 25, 30, 35, 40, 50, 60, 70, 80, 90, 100, 110, 120, 135, 150, 175, 200, 250, 300, 400, 600, 800)
"""… and as many candidates are scored exactly."""
QUERIES = 192
"""Of a measurement …"""
FEWEST_EXACT, MOST_EXACT = 16, 32
"""… of which so many are also answered by exact search: as many as take it about half a minute, within these bounds."""
EXACT_TOKENS = 350_000_000
"""Tokens of the index times queries that exact search compares in that time."""
FIRST = 64
"""So many queries tell which depths are worth being measured by all …"""
TRIED = 4
"""… and so many of them are."""
DEEP = Depth(n_nearest=32_000, n_probe=128, n_rescored=600)
"""How the others are answered (docs/decisions.md)."""
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
    scorer = searcher.scorer(None)
    signals = _signals(searcher, snapshot, _queries(pipeline, snapshot, n_queries or QUERIES), scorer)
    if not signals:
        return before
    give_back()  # what building has left
    sample = _Sample(snapshot, signals, scorer)
    few: list[_Measured] = []
    for pair in DEPTHS:
        cheapest = min((one.cost for one in few if one.recall >= target), default=np.inf)
        if _Measured(*pair, RESCORED[0], 1.0, 0.0).cost >= cheapest:
            break  # to look deeper costs more than it can save
        few += sample.measured(*pair, FIRST)
    measured: list[_Measured] = []
    for pair in _promising(few, target):
        measured += sample.measured(*pair)
    enough = [one for one in measured if one.recall - one.error >= target]
    chosen = min(enough, key=lambda one: one.cost) if enough else max(measured, key=lambda one: one.recall)
    return Depth(
        n_nearest=chosen.n_nearest,
        n_probe=chosen.n_probe,
        n_rescored=chosen.n_rescored,
        target=float(target),
        recall={pipeline.scorer: chosen.recall},
        n_queries=len(signals),
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
        # measured: a thousand tokens more to look at take as long as four passages to score, and so do four cells more
        return self.n_nearest / 250 + self.n_probe + self.n_rescored


class _Sample:
    """Queries, and what they should find.

    Args:
        snapshot: of a store that has a depth.
        signals: the vector sides of the queries.
        scorer: the formula.
    """

    def __init__(self, snapshot: Snapshot, signals: Sequence[VectorSignal], scorer: Scorer) -> None:
        self._snapshot = snapshot
        self._scorer = scorer
        self._asked = [signal.asked(None) for signal in signals]
        n_exact = int(np.clip(EXACT_TOKENS // max(snapshot.n_tokens, 1), FEWEST_EXACT, MOST_EXACT))
        exact = snapshot.scan_many(self._asked[:n_exact], scorer, exact=True)
        self._exact = [best_of(scan) for scan in exact]
        give_back()
        self._ranks: dict[tuple[int, int], tuple[list[Numbers], list[Numbers]]] = {}
        self._best = self._exact if len(signals) <= n_exact else [self._deep_best(signal) for signal in signals]
        give_back()

    def _deep_best(self, signal: VectorSignal) -> Numbers:
        """Return the ``K`` best passages by a search that goes deep, best first."""
        scan = self._snapshot.scan(signal.asked(None), self._scorer, depth=DEEP)
        numbers = np.sort(scan.embedded[np.argsort(-scan.scores, kind="stable")[: DEEP.n_rescored]])
        scores, slack = signal.approximate(numbers)
        return best_of(Scan(numbers, scores, slack))

    def measured(self, n_nearest: int, n_probe: int, n_queries: int | None = None) -> list[_Measured]:
        """Return the recall of a way of looking, for each number of candidates that may be scored.

        What queries have found is kept: with more of them only the others are asked.

        Args:
            n_nearest, n_probe: see ``Depth``.
            n_queries: measured by so many, None for all.
        """
        by_deep, by_exact = self._ranks.setdefault((n_nearest, n_probe), ([], []))
        first = len(by_deep)
        depth = Depth(n_nearest=n_nearest, n_probe=n_probe)
        scans = self._snapshot.scan_many(self._asked[first:n_queries], self._scorer, depth=depth)
        for number, scan in enumerate(scans, first):
            by_deep.append(ranks_of(self._best[number], scan))
            if number < len(self._exact):
                by_exact.append(ranks_of(self._exact[number], scan))
        found = []
        for n_rescored in RESCORED:
            recalls = _recalls(by_deep, n_rescored)
            lacking = _recalls(by_exact, n_rescored) - recalls[: len(by_exact)]
            error = np.sqrt(recalls.var() / len(recalls) + lacking.var() / len(lacking))
            recall = min(1.0, float(recalls.mean() + lacking.mean()))
            found.append(_Measured(n_nearest, n_probe, n_rescored, recall, float(error)))
        return found


def _recalls(ranks: list[Numbers], n: int) -> Doubles:
    """Return what share of the best of each query is among its best n candidates."""
    return np.array([(of_query < n).mean() for of_query in ranks])


def _promising(few: list[_Measured], target: float) -> list[tuple[int, int]]:
    """Return the ways of looking that seem to reach a recall at the least cost, and the one that has the most."""
    enough = sorted((one for one in few if one.recall >= target), key=lambda one: one.cost)
    cheap = dict.fromkeys((one.n_nearest, one.n_probe) for one in enough)
    best = max(few, key=lambda one: one.recall)
    return list(dict.fromkeys([*islice(cheap, TRIED), (best.n_nearest, best.n_probe)]))


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


def _signals(searcher: Searcher, snapshot: Snapshot, queries: list[Query], scorer: Scorer) -> list[VectorSignal]:
    weighed = [(query, query.weights(snapshot)) for query in queries]
    return [searcher.vector(snapshot, query, weights, scorer) for query, weights in weighed if (weights > 0).any()]


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
