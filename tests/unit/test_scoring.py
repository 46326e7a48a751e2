"""Exact scoring: complete, repeatable to the last bit, and equal to the formula."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import CollectionStatistics, scoring
from vecsearch.pipeline import build_scorer, split_rows
from vecsearch.protocols import Scorer

MAXSIM = build_scorer("maxsim")
SCORERS = [MAXSIM, build_scorer("debiased_maxsim"), build_scorer("soft_tf")]


def collection(query: np.ndarray, background: np.ndarray | None = None) -> CollectionStatistics:
    """Return statistics that fit passages of up to 12 tokens."""
    sample = np.zeros((0, query.shape[1]), np.float32) if background is None else background
    return CollectionStatistics(40, 5.0, 12, query @ sample.T)


def finalists(parts: list, query: np.ndarray, weights: np.ndarray, n: int, scorer: Scorer = MAXSIM) -> np.ndarray:
    """Return the numbers of all passages that can be among the n best, by approximate scores and their slack."""
    numbers, scores, slack = scoring.best(parts, query, weights, scorer, collection(query, query[::-1] / 2))
    assert numbers.dtype == np.int64
    assert scores.dtype == np.float64
    if len(scores) <= n:
        return numbers
    return numbers[scores >= np.sort(scores)[-n] - 2 * slack]


def units(generator: np.random.Generator, n: int, dim: int = 32) -> np.ndarray:
    return split_rows(generator.standard_normal((n, dim)).astype(np.float32))[0]


def exact(query: np.ndarray, weights: np.ndarray, vectors: np.ndarray, offsets: np.ndarray) -> list[float]:
    """Return Σ_i w_i max_j ⟨q_i, d_j⟩ of each passage, as the formula stands, in float64."""
    return [
        sum(
            float(weight) * max(float(np.dot(q.astype(np.float64), d.astype(np.float64))) for d in vectors[begin:end])
            for q, weight in zip(query, weights, strict=True)
        )
        for begin, end in itertools.pairwise(offsets.tolist())
    ]


def test_a_score_of_two_passages_by_hand() -> None:
    query = np.array([[1, 0], [0, 1]], np.float32)
    weights = np.array([2, 3], np.float32)
    vectors = np.array([[0.6, 0.8], [1, 0], [0, -1]], np.float32)
    # passage 0: 2 · max(.6, 1) + 3 · max(.8, 0) = 4.4; passage 1: 2 · 0 + 3 · (−1) = −3
    scores = scoring.score(query, weights, vectors, np.array([0, 2, 3]), MAXSIM, collection(query))
    assert scores.tolist() == pytest.approx([4.4, -3.0], abs=1e-6)
    assert scores.dtype == np.float64


@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 12))
def test_blocks_partition_the_passages_in_order(lengths: list[int], n_tokens: int) -> None:
    offsets = np.cumsum([0, *lengths])
    found = list(scoring.blocks(offsets, n_tokens))
    assert [number for first, last in found for number in range(first, last)] == list(range(len(lengths)))
    for first, last in found:
        assert last == first + 1 or offsets[last] - offsets[first] <= n_tokens


@pytest.mark.parametrize("block_tokens", [1, 7, 1 << 15])
@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_the_formula_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch, seed: int, block_tokens: int
) -> None:
    monkeypatch.setattr(scoring.blocks, "__defaults__", (block_tokens,))
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 9, 40)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    vectors, query = units(generator, int(offsets[-1])), units(generator, 5)
    weights = generator.uniform(0.1, 16, 5).astype(np.float32)
    expected = exact(query, weights, vectors, offsets)
    scores = scoring.score(query, weights, vectors, offsets, MAXSIM, collection(query))
    assert scores.tolist() == pytest.approx(expected, abs=1e-5)
    numbers = np.arange(40)
    for n in (1, 5, 39, 40, 41):
        found = finalists([(vectors, offsets, numbers)], query, weights, n)
        assert set(np.argsort(-np.array(expected))[:n].tolist()) <= set(found.tolist())
        assert len(found) <= n + 3


@pytest.mark.parametrize("scorer", SCORERS, ids=["maxsim", "debiased_maxsim", "soft_tf"])
def test_equal_passages_score_equal_to_the_last_bit_wherever_they_are(scorer: Scorer) -> None:
    generator = np.random.default_rng(0)
    passage, query = units(generator, 7, 256), units(generator, 9, 256)
    weights = generator.uniform(0.1, 16, 9).astype(np.float32)
    pieces, marks = [], []
    for number in range(200):
        pieces.append(passage if number % 2 else units(generator, int(generator.integers(1, 12)), 256))
        marks.append(bool(number % 2))
    offsets = np.cumsum([0, *map(len, pieces)])
    statistics = collection(query, units(generator, 100, 256))
    scores = scoring.score(query, weights, np.concatenate(pieces), offsets, scorer, statistics)
    alone = scoring.score(query, weights, passage, np.array([0, 7]), scorer, statistics)
    assert set(scores[np.array(marks)].tolist()) == set(alone.tolist())


def test_all_ties_at_the_edge_are_found() -> None:
    generator = np.random.default_rng(1)
    passage = query = units(generator, 3, 256)
    weights = np.ones(3, np.float32)
    parts = []
    for begin in range(0, 60, 20):
        pieces = [passage if number % 3 else -passage for number in range(begin, begin + 20)]
        parts.append((np.concatenate(pieces), np.arange(0, 61, 3), np.arange(begin, begin + 20)))
    found = finalists(parts, query, weights, 5)
    assert sorted(found.tolist()) == [number for number in range(60) if number % 3]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from(SCORERS))
def test_the_n_best_are_found_even_where_scores_differ_by_rounding_only(seed: int, n: int, scorer: Scorer) -> None:
    """Passages that differ in the last bits of their vectors: float32 alone would order some of them wrongly."""
    generator = np.random.default_rng(seed)
    base, query = units(generator, 2, 64), units(generator, 3, 64)
    weights = generator.uniform(1, 16, 3).astype(np.float32)
    steps = generator.integers(-2, 3, (30, 2, 64)).astype(np.float32)
    vectors = (base + steps * np.float32(2.0**-26)).reshape(-1, 64)
    offsets = np.arange(0, 61, 2)
    scores = scoring.score(query, weights, vectors, offsets, scorer, collection(query, query[::-1] / 2))
    found = finalists([(vectors, offsets, np.arange(30))], query, weights, n, scorer)
    assert set(np.flatnonzero(scores >= np.sort(scores)[-n]).tolist()) <= set(found.tolist())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 3, 64, 256]),
    st.sampled_from([1.0, 3e-4, 1e-6]),
    st.sampled_from(SCORERS),
)
def test_no_approximate_score_is_off_by_more_than_the_slack(seed: int, dim: int, spread: float, scorer: Scorer) -> None:
    """From far to almost equal vectors: those near the query are where a scorer is steepest."""
    generator = np.random.default_rng(seed)
    query, sample = units(generator, 3, dim), units(generator, 50, dim)
    lengths = generator.integers(1, 13, 60)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    centres = query[generator.integers(0, 3, offsets[-1])]
    noise = np.float32(spread) * generator.standard_normal(centres.shape).astype(np.float32)
    vectors = split_rows(centres + noise)[0]
    weights = generator.uniform(0.1, 16, 3).astype(np.float32)
    statistics = collection(query, sample)
    exact_scores = scoring.score(query, weights, vectors, offsets, scorer, statistics)
    numbers, scores, slack = scoring.best([(vectors, offsets, np.arange(60))], query, weights, scorer, statistics)
    assert numbers.tolist() == list(range(60))
    assert np.abs(scores - exact_scores).max() <= slack
    assert slack < 0.01 * scorer.sensitivity(weights, statistics)


def test_far_worse_passages_are_left_out() -> None:
    generator = np.random.default_rng(2)
    vectors, query = units(generator, 4000, 64), units(generator, 3, 64)
    found = finalists([(vectors, np.arange(4001), np.arange(4000))], query, np.ones(3, np.float32), 10)
    assert 10 <= len(found) <= 12


def test_dead_passages_are_never_found() -> None:
    query = np.array([[1, 0]], np.float32)
    vectors = np.array([[1, 0], [0.5, 0], [0, 1], [-1, 0]], np.float32)
    parts = [(vectors, np.arange(5), np.array([-1, 7, -1, 9]))]
    weights = np.ones(1, np.float32)
    numbers, scores, _ = scoring.best(parts, query, weights, MAXSIM, collection(query))
    assert (numbers.tolist(), scores.tolist()) == ([7, 9], [0.5, -1.0])
    dead = [(vectors, np.arange(5), np.full(4, -1))]
    assert scoring.best(dead, query, weights, MAXSIM, collection(query))[0].tolist() == []


@pytest.mark.parametrize("scorer", SCORERS, ids=["maxsim", "debiased_maxsim", "soft_tf"])
def test_an_empty_collection_has_no_scores(scorer: Scorer) -> None:
    query, weights = np.ones((1, 2), np.float32), np.ones(1, np.float32)
    empty = (np.zeros((0, 2), np.float32), np.zeros(1, np.int64), np.zeros(0, np.int64))
    statistics = collection(query, query)
    parts: list
    for parts in ([], [empty], [empty, empty]):
        numbers, scores, _ = scoring.best(parts, query, weights, scorer, statistics)
        assert (numbers.dtype, numbers.tolist(), scores.tolist()) == (np.int64, [], [])
    assert scoring.score(query, weights, empty[0], empty[1], scorer, statistics).tolist() == []
    aligned = scoring.score_aligned(lambda a, b: a, query, weights, empty[0], empty[1], scorer, statistics)
    assert aligned.tolist() == []


@pytest.mark.parametrize("scorer", SCORERS, ids=["maxsim", "debiased_maxsim", "soft_tf"])
def test_many_queries_score_as_each_alone(scorer: Scorer) -> None:
    generator = np.random.default_rng(4)
    parts = []
    for begin in (0, 100):
        offsets = np.concatenate([[0], np.cumsum(generator.integers(1, 12, 100))]).astype(np.int64)
        numbers = np.arange(begin, begin + 100)
        numbers[::7] = -1
        parts.append((units(generator, int(offsets[-1])), offsets, numbers))
    queries = []
    for n_query in (1, 30, 33, 2, 100, 1, 1, 64, 5):
        query = units(generator, n_query)
        weights = generator.uniform(0.1, 16, n_query).astype(np.float32)
        queries.append((query, weights, collection(query, units(generator, 20))))
    found = list(scoring.best_many(parts, queries, scorer))
    assert len(found) == len(queries)
    for (numbers, scores, slack), (query, weights, statistics) in zip(found, queries, strict=True):
        alone = scoring.best(parts, query, weights, scorer, statistics)
        assert numbers.tolist() == alone[0].tolist()
        assert scores.tolist() == pytest.approx(alone[1].tolist(), abs=2 * slack)
        assert slack == alone[2]
    assert list(scoring.best_many(parts, [], scorer)) == []


@pytest.mark.parametrize("scorer", SCORERS, ids=["maxsim", "debiased_maxsim", "soft_tf"])
def test_what_waits_to_be_transformed_is_bounded_and_scores_are_the_same(
    monkeypatch: pytest.MonkeyPatch, scorer: Scorer
) -> None:
    generator = np.random.default_rng(8)
    offsets = np.concatenate([[0], np.cumsum(generator.integers(1, 12, 300))]).astype(np.int64)
    numbers = np.arange(300)
    numbers[::5] = -1
    parts = [(units(generator, int(offsets[-1])), offsets, numbers)]
    queries = []
    for n_query in (3, 7):
        query = units(generator, n_query)
        queries.append((query, np.ones(n_query, np.float32), collection(query, units(generator, 20))))
    monkeypatch.setattr(scoring, "BLOCK_TOKENS", 100)
    monkeypatch.setattr(scoring.blocks, "__defaults__", (100,))
    together = list(scoring.best_many(parts, queries, scorer))
    widths: list[int] = []

    class Watched:
        def __getattr__(self, name: str) -> object:
            return getattr(scorer, name)

        def transform(self, reduced: np.ndarray, lengths: np.ndarray, statistics: CollectionStatistics) -> np.ndarray:
            widths.append(reduced.size)
            return scorer.transform(reduced, lengths, statistics)

    monkeypatch.setattr(scoring, "MOST_VALUES", 400)
    pieces = list(scoring.best_many(parts, queries, Watched()))  # type: ignore[arg-type]
    assert max(widths) < 600
    assert len(widths) > 8
    for one, other in zip(together, pieces, strict=True):
        assert one[0].tolist() == other[0].tolist()
        assert one[1].tolist() == pytest.approx(other[1].tolist(), rel=1e-6)


def test_negative_similarities_are_ordered_too() -> None:
    query = np.array([[1, 0]], np.float32)
    vectors = np.array([[-1, 0], [-0.5, 0], [-0.25, 0]], np.float32)
    found = finalists([(vectors, np.arange(4), np.arange(3))], query, np.ones(1, np.float32), 1)
    assert found.tolist() == [2]


TABLES = {2: [[0.5, 0.5], [0.9, 0.2]], 3: [[0.1, 0.1], [-0.2, 0.6], [0.3, 0.3]]}


def aligned_scores(scorer: Scorer, background: list[list[float]]) -> list[float]:
    """Return the scores of passages of 2 and 3 tokens, aligned as ``TABLES`` say, with the weights 1 and 2."""
    statistics = CollectionStatistics(2, 2.5, 3, np.array(background, np.float32).reshape(2, -1))
    found: list[float] = scoring.score_aligned(
        lambda query, passage: np.array(TABLES[len(passage)], np.float32),
        np.zeros((2, 4), np.float32),
        np.array([1, 2], np.float32),
        np.zeros((5, 4), np.float32),
        np.array([0, 2, 5]),
        scorer,
        statistics,
    ).tolist()
    return found


def test_an_aligned_score_is_the_best_alignment() -> None:
    # 0.5 + 2 · 0.5 against 0.9 + 2 · 0.2; −0.2 + 2 · 0.6 against 0.3 + 2 · 0.3
    assert aligned_scores(MAXSIM, [[], []]) == pytest.approx([1.5, 1.0], abs=1e-6)


def test_alignments_are_debiased_by_the_length_of_the_passage() -> None:
    # quantiles of 0, .1, .2, .3: 2/3 is .2 for 2 tokens, 3/4 is .225 for 3.
    # (.5 − .2) / .8 · (1 + 2) = 1.125 against .7 / .8 + 0; 0 + 2 · .375 / .775 against (.3 − .225) / .775 · 3
    expected = [1.125, 0.75 / 0.775]
    assert aligned_scores(SCORERS[1], [[0.3, 0, 0.1, 0.2]] * 2) == pytest.approx(expected, abs=1e-6)


def test_the_best_partner_of_an_alignment_is_one_soft_occurrence() -> None:
    def gain(similarity: float, length: int) -> float:
        frequency = max(0, (similarity - 0.21) / 0.79) ** 2
        return frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * length / 2.5))

    expected = [
        max(gain(0.5, 2) + 2 * gain(0.5, 2), gain(0.9, 2) + 2 * gain(0.2, 2)),
        max(gain(-0.2, 3) + 2 * gain(0.6, 3), gain(0.3, 3) + 2 * gain(0.3, 3)),
    ]
    assert aligned_scores(SCORERS[2], [[], []]) == pytest.approx(expected, abs=1e-6)


def test_similarities_are_rounded_once_at_the_end() -> None:
    # 1 + 2⁻²⁴ + 2⁻²⁴ is 1 in float32, which loses each of the small terms, and 1 + 2⁻²³ in float64
    query = np.ones((1, 3), np.float32)
    vectors = np.array([[1, 2**-24, 2**-24]], np.float32)
    assert scoring.similarities(query, vectors).tolist() == [[1 + 2**-23]]
    assert scoring.similarities(query, vectors).dtype == np.float32
