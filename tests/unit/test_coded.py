"""Candidates from codes: what is gathered by passage, by the scorer's own formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import CollectionStatistics
from vecsearch.protocols import Scorer
from vecsearch.stores.coded import Coded, heavy
from vecsearch.stores.protocol import Depth, ScanQuery
from vecsearch_scorers.debiased import DebiasedMaxSimScorer
from vecsearch_scorers.maxsim import MaxSimScorer
from vecsearch_scorers.soft_tf import SoftTfScorer

DIM = 4
SCORERS: tuple[Scorer, ...] = (MaxSimScorer(), DebiasedMaxSimScorer(), SoftTfScorer())


class Found:
    """Stands for the codes of a segment: nearest tokens that were drawn."""

    def __init__(self, similarities: np.ndarray, numbers: np.ndarray, n: int) -> None:
        self.n = n
        self.similarities = similarities
        self.numbers = numbers
        self.allowed: Any = None

    def search(self, query: Any, probe: Any, k: int, allowed: Any) -> tuple[np.ndarray, np.ndarray]:
        self.allowed = allowed
        return self.similarities[:, :k], self.numbers[:, :k]


class Cells:
    n_cells = 7

    def __init__(self) -> None:
        self.n_probe = 0

    def probe(self, query: Any, n_probe: int) -> None:
        self.n_probe = n_probe


def coded(parts: list[Found], lengths: np.ndarray, n_nearest: int = 1_000) -> Coded:
    numbers = np.arange(len(lengths), dtype=np.int64)
    return Coded(Cells(), parts, numbers, lengths, Depth(n_nearest=n_nearest, n_probe=2, n_rescored=5))  # type: ignore[arg-type]


def asked(n_query: int, allowed: np.ndarray | None = None) -> ScanQuery:
    background = np.linspace(-0.2, 0.5, 60, dtype=np.float32)[None, :].repeat(n_query, axis=0)
    statistics = CollectionStatistics(10, mean_length=5.0, max_length=9, background=background)
    return ScanQuery(
        np.zeros((n_query, DIM), np.float32), np.linspace(1, 2, n_query, dtype=np.float32), statistics, allowed
    )


@settings(max_examples=60, deadline=None)
@given(
    n_query=st.integers(1, 4),
    k=st.integers(1, 30),
    n_parts=st.integers(1, 3),
    scorer=st.sampled_from(SCORERS),
    seed=st.integers(0, 1_000),
)
def test_candidates_equal_their_definition(n_query: int, k: int, n_parts: int, scorer: Scorer, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 10, 12)
    parts = []
    for _ in range(n_parts):
        numbers = rng.integers(-1, 12, (n_query, k))
        similarities = np.where(numbers < 0, -np.inf, rng.random((n_query, k))).astype(np.float32)
        parts.append(Found(similarities, numbers, int(lengths.sum())))
    query = asked(n_query)
    scan = coded(parts, lengths).candidates(query, scorer)
    all_numbers = np.concatenate([part.numbers for part in parts], axis=1)
    all_similarities = np.concatenate([part.similarities for part in parts], axis=1)
    assert scan.embedded.tolist() == sorted(set(all_numbers.ravel().tolist()) - {-1})
    reduced = np.zeros((n_query, 13), np.float32)  # the last stands for what no token found
    for row in range(n_query):
        here = all_similarities[row][all_numbers[row] >= 0]
        floor = np.float32(0)
        if len(here):
            floor = scorer.reduce(np.array([[here.min()]], np.float32), np.array([0, 1]))[0, 0]
        for number in range(13):
            own = all_similarities[row][all_numbers[row] == number]
            value = scorer.reduce(own[None, :], np.array([0, len(own)]))[0, 0] if len(own) else floor
            reduced[row, number] = max(value, floor)
    assert scan.unfound is not None
    for number in scan.embedded.tolist():
        one = scorer.transform(reduced[:, [number]], lengths[[number]], query.statistics)
        right = scorer.combine(one, query.weights)[0]
        assert scan.scores[scan.embedded == number][0] == pytest.approx(right, rel=1e-4, abs=1e-5)
    for length in (1, 9):
        one = scorer.transform(reduced[:, [12]], np.array([length]), query.statistics)
        right = scorer.combine(one, query.weights)[0]
        assert scan.unfound(np.array([length]))[0] == pytest.approx(right, rel=1e-4, abs=1e-5)


def test_each_segment_gives_its_share_of_the_nearest_tokens() -> None:
    rng = np.random.default_rng(0)
    large = Found(rng.random((1, 3_000)).astype(np.float32), np.arange(3_000)[None], 3_000)
    small = Found(rng.random((1, 1_000)).astype(np.float32), np.arange(3_000, 4_000)[None], 1_000)
    scan = coded([large, small], np.ones(4_000, np.int64), n_nearest=400).candidates(asked(1), MaxSimScorer())
    assert int((scan.embedded < 3_000).sum()) == 1.25 * 300 + 64 - 39  # never more than the nearest that are wanted
    assert int((scan.embedded >= 3_000).sum()) == 1.25 * 100 + 64
    assert scan.depth == 5


def test_who_is_gone_or_not_allowed_is_left_out_by_the_codes() -> None:
    part = Found(np.array([[0.9]], np.float32), np.array([[1]]), 9)
    index = coded([part], np.array([2, 3, 4]))
    index.candidates(asked(1), MaxSimScorer())
    assert part.allowed is None  # all nine tokens are alive
    index.candidates(asked(1, np.array([1])), MaxSimScorer())
    assert np.unpackbits(part.allowed, bitorder="little")[:3].tolist() == [0, 1, 0]
    assert index.codebook.n_probe == 6  # type: ignore[attr-defined]  # a third is allowed: three times as many cells
    part.n = 12  # three of its tokens belong to passages that are gone
    index.candidates(asked(1), MaxSimScorer())
    assert np.unpackbits(part.allowed, bitorder="little")[:3].tolist() == [1, 1, 1]


def test_light_tokens_are_not_looked_up_unless_there_are_few() -> None:
    assert heavy(np.array([1, 0.049, 0.05, 0.9, 0.3], np.float32)).tolist() == [True, False, True, True, True]
    assert heavy(np.array([1, 0.01, 0.02, 0.03], np.float32)).tolist() == [True, False, True, True]
    assert heavy(np.array([0.2], np.float32)).tolist() == [True]
