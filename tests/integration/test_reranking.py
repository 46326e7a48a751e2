"""Reranking: the scores are those of the formula, and everything else about a search stays as it was."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import TinyContextual, TinyEmbedder, tiny_pipeline
from vecsearch import Document, GivenVectors, Hit, Index, PluginError, PluginNotFoundError, SearchTimeoutError
from vecsearch import UsageError as WrongUse
from vecsearch.embedding_cache import EmbeddingCache
from vecsearch.reranking import WEIGHT, Reranker, RerankReport
from vecsearch.stores.memory import MemoryStore

NOTES = {
    "a": "the dog bit the man and ran",
    "b": "the man bit the dog and the dog ran off to the river",
    "c": "a lion slept near the river while the dog ran",
    "d": "the man bit the dog and the dog ran off to the river",
    "e": "dogs and lions run near rivers",
    "f": "nothing bit the river but a dog",
    "g": "man and dog",
    "h": "a man",
}
QUERY = "the dog bit a man near the river"


@pytest.fixture
def index() -> Iterator[Index]:
    pipeline = tiny_pipeline(max_tokens=32)
    with Index.over(lambda encode: MemoryStore(encode, pipeline.dim), pipeline, Path("memory")) as opened:
        opened.add(Document(id=name, text=text, title="of " + name) for name, text in NOTES.items())
        yield opened


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[EmbeddingCache]:
    made = EmbeddingCache(tmp_path / "vectors")
    yield made
    made.close()


@pytest.fixture
def make(cache: EmbeddingCache) -> Callable[..., Reranker]:
    def made(embedder: Any = None, **options: Any) -> Reranker:
        return Reranker(tiny_pipeline(embedder=embedder or TinyContextual(), max_tokens=32), cache=cache, **options)

    return made


def places(hits: list[Hit]) -> list[tuple[str, int]]:
    return [(hit.doc_id, hit.passage) for hit in hits]


def expected_scores(index: Index, query: str, hits: list[Hit], weight: float) -> dict[str, float]:
    """Return the score of each hit by the formula in the guide, in float64, vectors of the model not rounded."""

    def embedded(text: str) -> tuple[np.ndarray, list[str]]:
        words = re.findall(r"\w+", text.lower())
        own = TinyEmbedder().rows(words, np.ones(len(words), bool)).astype(np.float64)
        rows = own.copy()
        rows[1:] += own[:-1] / 4
        rows[:-1] += own[1:] / 4
        return rows, words

    passages = [f"{hit.title}\n{hit.text}" for hit in hits]
    asked, words = embedded(query)
    texts = [NOTES[name] for name in NOTES]
    n_with = np.array([sum(word in f"of {name} {text}".split() for name, text in NOTES.items()) for word in words])
    weights = np.linalg.norm(asked, axis=1) * np.log1p((len(texts) - n_with + 0.5) / (n_with + 0.5))
    units = asked / np.linalg.norm(asked, axis=1, keepdims=True)
    second = []
    for text in passages:
        rows, _ = embedded(text)
        second.append(float(weights @ (units @ (rows / np.linalg.norm(rows, axis=1, keepdims=True)).T).max(axis=1)))
    first = np.array([hit.score for hit in hits])
    moved = first + weight * first.std() / np.std(second) * (np.array(second) - np.mean(second))
    return dict(zip((hit.doc_id for hit in hits), moved + first.min() - moved.min(), strict=True))


@pytest.mark.parametrize("mode", ["hybrid", "vector", "keyword"])
@pytest.mark.parametrize("weight", [WEIGHT, 0.3, 5.0])
def test_scores_are_those_of_the_formula(
    index: Index, mode: Any, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECSEARCH_CACHE_BYTES", "0")  # which rounds vectors to eight bits
    reranker = Reranker(tiny_pipeline(embedder=TinyContextual(), max_tokens=32), weight=weight)
    first = index.search(QUERY, 5, mode=mode)
    found = index.search(QUERY, 5, mode=mode, rerank=reranker, n_rerank=5)
    expected = expected_scores(index, QUERY, first, weight)
    assert set(places(found)) == set(places(first))
    for hit in found:
        assert hit.score == pytest.approx(expected[hit.doc_id], rel=1e-4, abs=1e-4)
        before = next(one for one in first if one.doc_id == hit.doc_id)
        assert {name: hit.signals[name] for name in before.signals} == before.signals
    assert places(found) == [place for _, place in sorted((-hit.score, (hit.doc_id, hit.passage)) for hit in found)]


def test_the_model_changes_the_order(index: Index, make: Callable[..., Reranker]) -> None:
    first, found = index.search(QUERY, 8), index.search(QUERY, 8, rerank=make(weight=5), n_rerank=8)
    assert places(found) != places(first)


def test_after_the_rescored_hits_everything_stays_as_it_was(index: Index, make: Callable[..., Reranker]) -> None:
    first = index.search(QUERY, 8)
    for n in range(1, 9):
        found = index.search(QUERY, 8, rerank=make(), n_rerank=n)
        assert set(places(found[:n])) == set(places(first[:n]))
        assert places(found[n:]) == places(first[n:])
        assert [hit.score for hit in found[n:]] == [hit.score for hit in first[n:]]
        assert all("rerank" in hit.signals for hit in found[:n])
        assert not any("rerank" in hit.signals for hit in found[n:])
        assert all(one.score >= other.score for one, other in itertools.pairwise(found))


def test_pages_are_parts_of_one_list(index: Index, make: Callable[..., Reranker]) -> None:
    reranker = make()
    whole = [(hit.doc_id, hit.score) for hit in index.search(QUERY, 8, rerank=reranker, n_rerank=5)]
    paged = [
        (hit.doc_id, hit.score)
        for offset in range(0, 8, 2)
        for hit in index.search(QUERY, 2, offset=offset, rerank=reranker, n_rerank=5)
    ]
    assert paged == whole


def test_equal_passages_tie_and_come_by_id(index: Index, make: Callable[..., Reranker]) -> None:
    index.add([Document(id=name, text=NOTES["b"]) for name in ("z", "y", "x")])
    found = {hit.doc_id: hit.score for hit in index.search(QUERY, 20, rerank=make(), n_rerank=20)}
    assert found["x"] == found["y"] == found["z"]
    assert [name for name in found if name in "xyz"] == ["x", "y", "z"]


def test_many_queries_are_reranked_as_single_ones(index: Index, make: Callable[..., Reranker]) -> None:
    reports: list[RerankReport] = []
    reranker = make(told=reports.append)
    queries = [QUERY, "lion", "rivers and men"]
    together = index.search_many(queries, 8, rerank=reranker, n_rerank=3)
    for query, hits in zip(queries, together, strict=True):
        alone = index.search(query, 8, rerank=reranker, n_rerank=3)
        assert places(hits) == places(alone)
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in alone], abs=1e-5)
    assert len(reports) == 6
    assert all(report.n == report.n_rescored == 3 and not report.is_cut for report in reports)


def test_what_was_embedded_once_is_not_embedded_again(index: Index, make: Callable[..., Reranker]) -> None:
    cold, warm = TinyContextual(), TinyContextual()
    first = index.search(QUERY, 8, rerank=make(cold))
    assert len(cold.texts) > 1
    again = index.search(QUERY, 8, rerank=make(warm))
    assert warm.texts == [QUERY]
    assert [(hit.doc_id, hit.score) for hit in again] == [(hit.doc_id, hit.score) for hit in first]


def test_without_a_cache_everything_is_embedded(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECSEARCH_CACHE_BYTES", "0")
    embedder = TinyContextual()
    reranker = Reranker(tiny_pipeline(embedder=embedder, max_tokens=32))
    for _ in range(2):
        embedder.texts.clear()
        index.search(QUERY, 8, rerank=reranker, n_rerank=4)
        assert len(embedder.texts) == 5


@pytest.mark.parametrize("by", ["passage", "document"])
def test_filters_phrases_and_least_scores_mean_what_they_did(
    index: Index, make: Callable[..., Reranker], by: Any
) -> None:
    for query, options in (
        (QUERY, {"where": "id != 'a'"}),
        ('"dog ran" river', {}),
        ("dog -lion", {}),
        (QUERY, {"min_score": 60.0}),
        (QUERY, {"fusion": "rrf"}),
        (QUERY, {"order": "none"}),
    ):
        first = index.search(query, 8, by=by, **options)
        found = index.search(query, 8, by=by, rerank=make(), **options)
        assert set(places(found)) == set(places(first))
        assert len(first) > 1, (query, options)


def test_an_explanation_adds_up_and_points_at_words(index: Index, make: Callable[..., Reranker]) -> None:
    for options in ({}, {"mode": "vector"}, {"mode": "keyword"}, {"fusion": "rrf"}, {"order": "strict"}):
        for hit in index.search(QUERY, 8, rerank=make(), n_rerank=6, explain=True, **options):  # type: ignore[arg-type]
            assert hit.explanation is not None
            assert hit.explanation.total == pytest.approx(hit.score, abs=1e-6)
            of_model = [one for one in hit.explanation.contributions if one.signal == "rerank"]
            assert bool(of_model) == ("rerank" in hit.signals)
            for one in of_model[:-1]:
                assert QUERY[one.query_start : one.query_end] == one.label
                assert one.start is None or re.fullmatch(r"\w+", hit.text[one.start : one.end])


texts = st.lists(st.sampled_from(["dog", "man", "bit", "lion", ", ", "\n\n", " ", "é", "東京", "."]), max_size=12).map(
    " ".join
)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(wanted=st.lists(texts, min_size=1, max_size=8), n=st.integers(1, 9), weight=st.floats(0, 9))
def test_any_texts_are_reranked_within_n(wanted: list[str], n: int, weight: float) -> None:
    pipeline = tiny_pipeline()
    with Index.over(lambda encode: MemoryStore(encode, pipeline.dim), pipeline, Path("memory")) as index:
        index.add(Document(id=str(number), text=text) for number, text in enumerate(wanted))
        reranker = Reranker(tiny_pipeline(embedder=TinyContextual()), weight=weight)
        first = index.search("dog bit 東京", 20)
        found = index.search("dog bit 東京", 20, rerank=reranker, n_rerank=n, explain=True)
        assert set(places(found[:n])) == set(places(first[:n]))
        assert places(found[n:]) == places(first[n:])
        assert [(-hit.score, hit.doc_id, hit.passage) for hit in found] == sorted(
            (-hit.score, hit.doc_id, hit.passage) for hit in found
        )
        for hit in found:
            assert hit.explanation is not None
            assert hit.explanation.total == pytest.approx(hit.score, abs=1e-5)


class Clock:
    """Time that passes only when something is embedded: a second for every text."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Slow(TinyContextual):
    """Takes a second for a text."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def embed(self, texts: Any, tokens: Any) -> np.ndarray:
        self.clock.now += len(texts)
        return super().embed(texts, tokens)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("vecsearch.reranking.time", made)
    monkeypatch.setattr("vecsearch.reranking.TOKENS_AT_ONCE", 1)  # one passage between two looks at the clock
    return made


def test_a_budget_rescores_the_best_as_long_as_there_is_time(
    index: Index, make: Callable[..., Reranker], clock: Clock
) -> None:
    reports: list[RerankReport] = []
    first = index.search(QUERY, 8)
    found = index.search(QUERY, 8, rerank=make(Slow(clock), budget=4.5, told=reports.append), n_rerank=8)
    (report,) = reports
    assert (report.n, report.n_rescored, report.is_cut) == (8, 3, True)  # a second went into the query
    assert report.seconds <= 4.5
    assert set(places(found[:3])) == set(places(first[:3]))
    assert places(found[3:]) == places(first[3:])
    # these are in the cache now, and there is time for others
    index.search(QUERY, 8, rerank=make(Slow(clock), budget=4.5, told=reports.append), n_rerank=8)
    assert reports[1].n_rescored == 6


def test_no_time_at_all_leaves_the_first_order(index: Index, make: Callable[..., Reranker], clock: Clock) -> None:
    reports: list[RerankReport] = []
    first = index.search(QUERY, 8)
    found = index.search(QUERY, 8, rerank=make(Slow(clock), budget=0, told=reports.append), explain=True)
    assert [(hit.doc_id, hit.score) for hit in found] == [(hit.doc_id, hit.score) for hit in first]
    assert (reports[0].n_rescored, reports[0].is_cut) == (0, True)


def test_a_timeout_ends_reranking(index: Index, make: Callable[..., Reranker]) -> None:
    with pytest.raises(SearchTimeoutError):
        index.search(QUERY, 8, rerank=make(), timeout=1e-9)


def test_what_makes_no_sense_is_refused(index: Index, make: Callable[..., Reranker], tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="the embedder 'tiny' does not; take a contextual one"):
        Reranker(tiny_pipeline())
    with pytest.raises(WrongUse, match="given vectors does not"):
        Reranker(GivenVectors(4))
    for options in ({"weight": -1}, {"weight": float("nan")}, {"budget": True}, {"budget": "1"}):
        with pytest.raises(WrongUse, match="of a reranker is"):
            make(**options)
    for n in (0, 1_001, 2.5):
        with pytest.raises(WrongUse, match="n_rerank is"):
            index.search(QUERY, rerank=make(), n_rerank=n)  # type: ignore[arg-type]
    with pytest.raises(WrongUse, match="rerank is of type TinyContextual"):
        index.search(QUERY, rerank=TinyContextual())  # type: ignore[arg-type]
    with pytest.raises(PluginNotFoundError, match="no embedder is called 'nobody'"):
        index.search(QUERY, rerank="nobody")
    contextual = tiny_pipeline(embedder=TinyContextual())
    with (
        Index.over(lambda encode: MemoryStore(encode, contextual.dim), contextual, tmp_path) as own,
        pytest.raises(WrongUse, match="was made with 'tiny_contextual' itself"),
    ):
        own.search(QUERY, rerank=make())
    with (
        Index.create(tmp_path / "given", pipeline=GivenVectors(4)) as given_index,
        pytest.raises(WrongUse, match="rerank needs a query of text"),
    ):
        given_index.search(vectors=np.ones((1, 4), np.float32), rerank=make())


def test_a_model_that_fails_is_named(index: Index, make: Callable[..., Reranker]) -> None:
    class Broken(TinyContextual):
        def embed(self, texts: Any, tokens: Any) -> np.ndarray:
            if len(texts) > 1:
                raise RuntimeError("no memory left on the device")
            return super().embed(texts, tokens)

    with pytest.raises(PluginError, match=r"'tiny_contextual' failed in embed.*no memory left"):
        index.search(QUERY, rerank=make(Broken()))
