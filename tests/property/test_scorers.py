"""Every scorer equals its definition, written out here again in float64, one number at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vecsearch import CollectionStatistics, Scorer
from vecsearch_scorers.debiased import DebiasedMaxSimScorer
from vecsearch_scorers.maxsim import MaxSimScorer
from vecsearch_scorers.soft_tf import SoftTfScorer

EXACT = settings(derandomize=True, deadline=None, max_examples=150)

similarity = st.floats(-1, 1, width=32)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, CollectionStatistics]:
    """Draw similarities, offsets, weights and a collection."""
    n_query = draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(1, 6) | st.sampled_from([17, 40]), min_size=1, max_size=6))
    similarities = draw(arrays(np.float32, (n_query, sum(lengths)), elements=similarity))
    weights = draw(arrays(np.float32, n_query, elements=st.floats(0, 16, width=32)))
    background = draw(arrays(np.float32, (n_query, draw(st.integers(0, 12))), elements=similarity))
    longest = max(lengths) + draw(st.integers(0, 100))
    statistics = CollectionStatistics(len(lengths), draw(st.floats(1, 300)), longest, background)
    return similarities, np.cumsum([0, *lengths]), weights, statistics


def scores_of(
    scorer: Scorer, similarities: np.ndarray, offsets: np.ndarray, weights: np.ndarray, statistics: CollectionStatistics
) -> np.ndarray:
    reduced = scorer.reduce(similarities, offsets)
    return scorer.combine(scorer.transform(reduced, np.diff(offsets), statistics), weights)


def assert_equals_definition(
    scorer: Scorer,
    term: Callable[[list[float], list[float], CollectionStatistics], float],
    case: tuple[np.ndarray, np.ndarray, np.ndarray, CollectionStatistics],
    room: float,
) -> None:
    """Compare with Σ_i w_i · term(similarities of i in the passage, background of i, statistics)."""
    similarities, offsets, weights, statistics = case
    expected = [
        sum(
            float(weight) * term(row[begin:end].tolist(), sample.tolist(), statistics)
            for weight, row, sample in zip(weights, similarities, statistics.background, strict=True)
        )
        for begin, end in itertools.pairwise(offsets.tolist())
    ]
    assert np.abs(scores_of(scorer, *case) - expected).max() <= room * weights.sum(dtype=np.float64)


def maxsim(row: list[float], sample: list[float], statistics: CollectionStatistics) -> float:
    return max(row)


def debiased(row: list[float], sample: list[float], statistics: CollectionStatistics) -> float:
    chance = 0.0
    if sample:
        ordered = sorted(sample)
        place = (1 - 1 / (len(row) + 1)) * (len(sample) - 1)
        low = ordered[math.floor(place)]
        chance = min(0.95, low + (place - math.floor(place)) * (ordered[math.ceil(place)] - low))
    return max(0.0, max(row) - chance) / (1 - chance)


def soft(tau: float, k1: float, b: float) -> Callable[[list[float], list[float], CollectionStatistics], float]:
    def term(row: list[float], sample: list[float], statistics: CollectionStatistics) -> float:
        frequency = sum(min(1.0, max(0.0, (s - tau) / (1 - tau))) ** 2 for s in row)
        room = k1 * (1 - b + b * len(row) / statistics.mean_length)
        return frequency * (k1 + 1) / (frequency + room)

    return term


@EXACT
@given(cases())
def test_maxsim_equals_its_definition(case: tuple[np.ndarray, np.ndarray, np.ndarray, CollectionStatistics]) -> None:
    assert_equals_definition(MaxSimScorer(), maxsim, case, 0.0)


@EXACT
@given(cases())
def test_debiased_maxsim_equals_its_definition(
    case: tuple[np.ndarray, np.ndarray, np.ndarray, CollectionStatistics],
) -> None:
    assert_equals_definition(DebiasedMaxSimScorer(), debiased, case, 2e-6)


@EXACT
@given(cases(), st.sampled_from([(0.21, 1.2, 0.75), (0.0, 2.0, 1.0), (0.5, 0.5, 0.0)]))
def test_soft_tf_equals_its_definition(
    case: tuple[np.ndarray, np.ndarray, np.ndarray, CollectionStatistics], config: tuple[float, float, float]
) -> None:
    tau, k1, b = config
    assert_equals_definition(SoftTfScorer(tau=tau, k1=k1, b=b), soft(*config), case, 1e-5)


SCORERS: list[Scorer] = [
    *(MaxSimScorer(), DebiasedMaxSimScorer(), SoftTfScorer()),
    *(SoftTfScorer(tau=0.8, k1=0.1, b=1.0), SoftTfScorer(tau=0.0, k1=5.0, b=0.0)),
]


@EXACT
@given(cases(), st.sampled_from(SCORERS), st.sampled_from([1e-3, 0.05, 0.4]), st.data())
def test_scores_move_by_no_more_than_the_sensitivity_allows(
    case: tuple[np.ndarray, np.ndarray, np.ndarray, CollectionStatistics],
    scorer: Scorer,
    largest: float,
    data: st.DataObject,
) -> None:
    similarities, offsets, weights, statistics = case
    steps = data.draw(arrays(np.float32, similarities.shape, elements=st.sampled_from([-1, 0, 1, 1])))
    moved = np.clip(similarities + np.float32(largest) * steps, -1, 1)
    before = scores_of(scorer, similarities, offsets, weights, statistics)
    after = scores_of(scorer, moved, offsets, weights, statistics)
    room = 1e-5 * weights.sum(dtype=np.float64)
    assert np.abs(after - before).max() <= scorer.sensitivity(weights, statistics) * largest + room
    if np.all(steps >= 0):
        assert np.all(after >= before - room)
