"""What a hybrid search must return, by brute force from the definitions in docs/guide.md, in float64.

Signals, pool and fusion are written out again here. Keywords come from a full-text index of SQLite made for each
comparison; vectors, cuts and tokens from ``tests.oracle``.
"""

from __future__ import annotations

import hashlib
import math
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pytest

from tests.oracle import Oracle, _entries, _rotate, _rows, _unit, encode
from vecsearch import Hit, Index, Pipeline
from vecsearch.stop_words import STOP_WORDS

Place = tuple[str, int]
Allowed = Callable[[str], bool]

POOL = 1_000
WEIGHTS = {"vector": 0.65, "keyword": 0.35}
ENOUGH = 20_000
MOST = 4_096


@dataclass(frozen=True)
class Expected:
    """One unit that a search may return.

    Attributes:
        score: fused.
        doc_id, ordinal: of the passage that is shown.
        vector, keyword: unfused; None where the mode has no such signal.
        slack: by how much ``score`` may be off where float32 is 1e-6 off.
    """

    score: float
    doc_id: str
    ordinal: int
    vector: float | None
    keyword: float | None
    slack: float = 1e-4

    @property
    def unit(self) -> Place:
        return self.doc_id, self.ordinal


def everything(_: str) -> bool:
    return True


@dataclass
class SearchOracle(Oracle):
    """A collection, searched by all modes."""

    _kept: dict[object, dict[Place, float]] = field(default_factory=dict)

    def put(self, doc_id: str, text: str, title: str = "") -> None:
        self._kept.clear()
        super().put(doc_id, text, title)

    def remove(self, doc_id: str) -> None:
        self._kept.clear()
        super().remove(doc_id)

    def search(
        self,
        query: str,
        *,
        mode: str = "hybrid",
        scorer: str = "debiased_maxsim",
        by: str = "passage",
        fusion: str = "zscore",
        weights: Mapping[str, float] = WEIGHTS,
        allowed: Allowed = everything,
        pool: int = POOL,
    ) -> list[Expected]:
        """Return all units that a search with these arguments ranks, best first."""
        held = self._held()
        places = [place for place in held if allowed(place[0])]
        vectors: dict[Place, float] = {}
        if mode != "keyword":
            scored = self._once((query, scorer), lambda: _Vectors(self.pipeline, held, scorer).scores(query))
            vectors = {place: scored[place] for place in places}
        words: dict[Place, float] = {}
        if mode != "vector":
            scored = self._once(query, lambda: self._bm25(query, held))
            words = {place: score for place, score in scored.items() if allowed(place[0])}
        unit_of = {place: place if by == "passage" else (place[0], 0) for place in places}
        by_vector, vector_place = _best(vectors, unit_of)
        by_word, word_place = _best(words, unit_of)
        if mode == "vector":
            return _ordered([Expected(score, *vector_place[unit], score, None) for unit, score in by_vector.items()])
        if mode == "keyword":
            return _ordered([Expected(score, *word_place[unit], None, score) for unit, score in by_word.items()])
        members = _first(by_vector, pool) | _first(by_word, pool)
        signals = {
            "vector": {unit: by_vector[unit] for unit in members},
            "keyword": {unit: by_word.get(unit, 0.0) for unit in members},
        }
        slack = 1e-4
        if fusion == "zscore":
            values = np.array(list(signals["vector"].values()))
            slack += 1e-6 * np.abs(values).max(initial=0) / _sigma(values)
        scores = (_zscores if fusion == "zscore" else _rrf)(signals, weights)
        return _ordered(
            [
                Expected(scores[unit], *vector_place[unit], signals["vector"][unit], signals["keyword"][unit], slack)
                for unit in members
            ]
        )

    def _once(self, what: object, compute: Callable[[], dict[Place, float]]) -> dict[Place, float]:
        """Return what was computed of the same collection before."""
        if what not in self._kept:
            self._kept[what] = compute()
        return self._kept[what]

    def _held(self) -> dict[Place, tuple[object, ...]]:
        return {
            (doc_id, ordinal): entries
            for doc_id, pieces in self.passages.items()
            for ordinal, piece in enumerate(pieces)
            if (entries := entries_of(self.pipeline, piece))
        }

    def _bm25(self, query: str, held: Mapping[Place, object], k1: float = 1.2, b: float = 0.75) -> dict[Place, float]:
        """Return Robertson's BM25 of every passage that holds a keyword of the query."""
        places = list(held)
        wanted, *counts = keyword_counts(
            [_without_stop_words(query), *(self.passages[doc_id][ordinal] for doc_id, ordinal in places)]
        )
        lengths = [sum(one.values()) for one in counts]
        mean = max(sum(lengths) / len(lengths), 1) if lengths else 1
        scores = {}
        for place, count, length in zip(places, counts, lengths, strict=True):
            score = 0.0
            for term, repeats in wanted.items():
                frequency = sum(term in other for other in counts)
                idf = math.log(1 + (len(counts) - frequency + 0.5) / (frequency + 0.5))
                tf = count[term]
                score += repeats * idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean))
            if any(term in count for term in wanted):
                scores[place] = score
        return scores


def assert_right(index: Index, oracle: SearchOracle, query: str, k: int = 1_000, **asked: Any) -> list[Hit]:
    """Compare a search with brute force: completeness, scores, signals, order and ties."""
    where = {name: value for name, value in asked.items() if name in ("where", "min_score", "offset")}
    ranked = {name: value for name, value in asked.items() if name not in (*where, "pool", "allowed")}
    expected = oracle.search(query, **{k: v for k, v in asked.items() if k not in where})
    hits = index.search(query, k, **ranked, **where)
    assert len(hits) == min(k, len(expected))
    by_document = asked.get("by") == "document"
    unit = (lambda one: one.doc_id) if by_document else (lambda one: (one.doc_id, getattr(one, "ordinal", None)))
    of_hit = (lambda hit: hit.doc_id) if by_document else (lambda hit: (hit.doc_id, hit.passage))
    of_unit = {unit(one): one for one in expected}
    assert len({of_hit(hit) for hit in hits}) == len(hits)
    for hit, best in zip(hits, expected, strict=False):
        right = of_unit[of_hit(hit)]
        assert hit.score == pytest.approx(right.score, rel=1e-4, abs=right.slack), (query, asked, hit, right)
        assert hit.score == pytest.approx(best.score, rel=1e-4, abs=best.slack), (query, asked, hit, best)
        for name, value in (("vector", right.vector), ("keyword", right.keyword)):
            assert (value is None) == (name not in hit.signals)
            if value is not None:
                assert hit.signals[name] == pytest.approx(value, rel=1e-4, abs=1e-4), (name, query, asked)
    assert [(-hit.score, hit.doc_id, hit.passage) for hit in hits] == sorted(
        (-hit.score, hit.doc_id, hit.passage) for hit in hits
    )
    return hits


def keyword_counts(texts: list[str]) -> list[Counter[str]]:
    """Return how often each keyword stands in each text, by a full-text index of their own."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE t USING fts5(text, tokenize='porter unicode61 remove_diacritics 2')")
    db.execute("CREATE VIRTUAL TABLE words USING fts5vocab(t, instance)")
    db.executemany("INSERT INTO t (rowid, text) VALUES (?, ?)", enumerate(texts))
    counts: list[Counter[str]] = [Counter() for _ in texts]
    for doc, term in db.execute("SELECT doc, term FROM words"):
        counts[doc][term] += 1
    db.close()
    return counts


@dataclass(frozen=True)
class _Vectors:
    pipeline: Pipeline
    held: Mapping[Place, tuple[object, ...]]
    scorer: str

    def scores(self, query: str) -> dict[Place, float]:
        wanted = entries_of(self.pipeline, query)
        rows = _rows(self.pipeline, list(wanted))
        weights = np.array([self._idf(entry) for entry in wanted]) * np.linalg.norm(rows, axis=1)
        used = weights > 0
        vectors = encoded(self.pipeline, wanted)
        background = np.zeros((int(used.sum()), 0))
        if self.scorer == "debiased_maxsim" and used.any():
            background = vectors[used] @ self.background.T
        scored: dict[tuple[object, ...], float] = {}
        for key in self.held.values():
            if key not in scored:
                scored[key] = max(
                    float(weights[used] @ self._terms(similarities[used], len(key), background))
                    for similarities in self._similarities(vectors, key)
                )
        return {place: scored[entries] for place, entries in self.held.items()}

    def _idf(self, entry: object) -> float:
        frequency = sum(entry in entries for entries in self.held.values())
        return math.log(1 + (len(self.held) - frequency + 0.5) / (frequency + 0.5))

    def _similarities(self, query: np.ndarray, entries: tuple[object, ...]) -> list[np.ndarray]:
        """Return the similarities (n_query, n_tokens) of a passage: one array, or one for each alignment."""
        passage = encoded(self.pipeline, entries)
        if self.pipeline.encoder.name != "rotary":
            return [query @ passage.T]
        turned = np.array([_rotate(vector, place) for place, vector in enumerate(passage)])
        return [
            (np.array([_rotate(q, i + shift) for i, q in enumerate(query)]) @ turned.T).max(axis=1, keepdims=True)
            for shift in range(-(len(query) - 1), len(passage))
        ]

    def _terms(self, similarities: np.ndarray, length: int, background: np.ndarray) -> np.ndarray:
        if self.scorer == "soft_tf":
            tau, k1, b = 0.21, 1.2, 0.75
            mean = sum(map(len, self.held.values())) / len(self.held)
            tf = (np.clip((similarities - tau) / (1 - tau), 0, 1) ** 2).sum(axis=1)
            return tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean))
        best = similarities.max(axis=1)
        if self.scorer == "maxsim" or not background.shape[1]:
            return best if self.scorer == "maxsim" else np.maximum(best, 0)
        chance = np.minimum(np.quantile(background, 1 - 1 / (length + 1), axis=1), 0.95)
        return np.maximum(0, best - chance) / (1 - chance)

    @cached_property
    def background(self) -> np.ndarray:
        """The vectors that chance is read from: the collection's own, and others as long as it is small."""
        if not self.held:
            return np.zeros((0, self.pipeline.dim))
        own = {entries: encoded(self.pipeline, entries) for entries in self.held.values()}
        n_tokens = sum(map(len, own))
        share = min(1.0, n_tokens / ENOUGH)
        others = [encoded(self.pipeline, entries_of(self.pipeline, text)) for text in self.pipeline.reference_texts()]
        n_own = min(n_tokens, MOST)
        if not others or share == 1:
            assert n_own == n_tokens, "a collection as large as that needs a sample"
            return np.concatenate(list(own.values()))
        reference = np.concatenate(others)
        n_own = min(n_own, max(1, round(len(reference) * share / (1 - share))))
        n_others = min(len(reference), round(n_own * (1 - share) / share))
        chosen = sorted((hashed, key, position) for key in own for position, hashed in enumerate(_hashes(key)))[:n_own]
        sample = np.array([own[key][position] for _, key, position in chosen])
        return np.concatenate([sample, reference[np.linspace(0, len(reference) - 1, n_others).astype(int)]])


@lru_cache(maxsize=100_000)
def entries_of(pipeline: Pipeline, text: str) -> tuple[object, ...]:
    return tuple(_entries(pipeline, text))


@lru_cache(maxsize=100_000)
def encoded(pipeline: Pipeline, entries: tuple[object, ...]) -> np.ndarray:
    """Return the vectors that the entries of one passage are stored with: float64 ``(n_tokens, dim)``."""
    rows = _rows(pipeline, list(entries))
    stored = _unit(rows) if pipeline.encoder.name in ("rotary", "tiny") else encode(pipeline, rows)
    return np.array(stored).reshape(len(entries), pipeline.dim)


def _without_stop_words(query: str) -> str:
    """Return a query without the words that say nothing; as it is where there are no others."""
    left = re.sub(r"\w+", lambda word: "" if word[0].lower() in STOP_WORDS else word[0], query)
    return left if keyword_counts([left])[0] else query


def _hashes(entries: tuple[object, ...]) -> list[int]:
    """Return the hash of each token of a passage: SplitMix64 over a sequence that the hash of its words begins."""
    words = [str(entry) for entry in entries]
    content = b"".join(len(word).to_bytes(4, "little") for word in words) + "".join(words).encode()
    key = hashlib.blake2b(content, digest_size=16).digest()
    start, found = int.from_bytes(key[:8], "little"), []
    for position in range(len(words)):
        mixed = (start + (position + 1) * 0x9E3779B97F4A7C15) % 2**64
        mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) % 2**64
        mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) % 2**64
        found.append((mixed ^ mixed >> 31) >> 2)
    return found


def _best(
    scores: Mapping[Place, float], unit_of: Mapping[Place, Place]
) -> tuple[dict[Place, float], dict[Place, Place]]:
    """Return the best score of each unit, and the first passage that has it."""
    best: dict[Place, float] = {}
    places: dict[Place, Place] = {}
    for place, score in scores.items():
        unit = unit_of[place]
        if unit not in best or score > best[unit]:
            best[unit], places[unit] = score, place
    return best, places


def _first(scores: Mapping[Place, float], n: int) -> set[Place]:
    return set(sorted(scores, key=lambda unit: -scores[unit])[:n])


def _zscores(signals: Mapping[str, Mapping[Place, float]], weights: Mapping[str, float]) -> dict[Place, float]:
    total = dict.fromkeys(signals["vector"], 0.0)
    for name, scores in signals.items():
        values = np.array(list(scores.values()))
        for unit, score in scores.items():
            total[unit] += weights[name] * (score - values.mean()) / _sigma(values)
    return total


def _sigma(values: np.ndarray) -> float:
    return max(values.std(), 1e-4 * np.abs(values).max(), 1e-6) if len(values) else 1.0


def _rrf(signals: Mapping[str, Mapping[Place, float]], weights: Mapping[str, float]) -> dict[Place, float]:
    total = dict.fromkeys(signals["vector"], 0.0)
    for name, scores in signals.items():
        for unit, score in scores.items():
            equal = 2e-6 * max(map(abs, scores.values()))
            rank = 1 + sum(other > score + equal for other in scores.values())
            if name == "vector" or score > 0:
                total[unit] += weights[name] / (60 + rank)
    return total


def _ordered(found: list[Expected]) -> list[Expected]:
    return sorted(found, key=lambda one: (-one.score, one.doc_id, one.ordinal))
