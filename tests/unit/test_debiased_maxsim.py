"""MaxSim less what chance gives: numbers worked out by hand, and what must hold however large the collection is."""

from __future__ import annotations

import numpy as np
import pytest

from vecsearch import CollectionStatistics
from vecsearch.testing import check_scorer
from vecsearch_scorers.debiased import LARGEST_CHANCE, DebiasedMaxSimScorer, expected_maxima
from vecsearch_scorers.maxsim import MaxSimScorer

QUARTERS = [0.75, 0.0, 1.0, 0.25, 0.5]


def collection(background: object, max_length: int = 256) -> CollectionStatistics:
    return CollectionStatistics(10, 5.0, max_length, np.array(background, np.float32))


def transformed(best: object, lengths: object, background: object) -> np.ndarray:
    return DebiasedMaxSimScorer().transform(
        np.array(best, np.float32), np.array(lengths, np.int64), collection(background)
    )


def score(similarities: np.ndarray, offsets: np.ndarray, weights: np.ndarray, background: np.ndarray) -> np.ndarray:
    scorer = DebiasedMaxSimScorer()
    reduced = scorer.reduce(similarities.astype(np.float32), offsets)
    adjusted = scorer.transform(reduced, np.diff(offsets), collection(background))
    return scorer.combine(adjusted, weights.astype(np.float32))


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (1, 0.5),  # the median of 0, ¼, ½, ¾, 1
        (3, 0.75),  # quantile 3/4, at place 3 of 0 to 4
        (4, 0.8),  # quantile 4/5, at place 3.2: .75 + .2 · .25
        (9, 0.9),  # at place 3.6
        (19, 0.95),  # at place 3.8, just what is allowed
        (99, 0.95),  # .99, but .95 is the most
    ],
)
def test_chance_is_a_quantile_of_the_background(length: int, expected: float) -> None:
    assert expected_maxima(np.array([sorted(QUARTERS)], np.float32), np.array([length])).tolist() == [
        [pytest.approx(expected, abs=1e-12)]
    ]


def test_two_tokens_and_three_passages_worked_by_hand() -> None:
    # passages of 1, 3 and 3 tokens; μ_0 = ½, ¾, ¾ as above; all of background 1 is −1, so μ_1 = −1
    found = transformed([[0.75, 0.8125, 0.5], [0, 1, -1]], [1, 3, 3], [QUARTERS, [-1] * 5])
    # (.75 − .5) / .5, (.8125 − .75) / .25, and less than chance; (0 + 1) / 2, (1 + 1) / 2, (−1 + 1) / 2
    assert found.tolist() == [[0.5, 0.25, 0.0], [0.5, 1.0, 0.0]]
    assert found.dtype == np.float32
    assert DebiasedMaxSimScorer().combine(found, np.array([2, 10], np.float32)).tolist() == [6.0, 10.5, 0.0]


def test_without_a_background_chance_gives_nothing() -> None:
    assert transformed([[0.5, -0.5, 1.0]], [1, 7, 900], np.zeros((1, 0))).tolist() == [[0.5, 0.0, 1.0]]


def test_a_background_of_one_similarity_is_the_chance_of_every_length() -> None:
    assert transformed([[0.75, 0.75, 0.5]], [1, 7, 900], [[0.5]]).tolist() == [[0.5, 0.5, 0.0]]


@pytest.mark.parametrize("background", [[1.0] * 9, QUARTERS, [-1.0, 1.0], [0.999]])
def test_a_token_that_finds_itself_counts_its_whole_weight_whatever_the_length(background: list[float]) -> None:
    lengths = [1, 2, 5, 256, 100_000]
    assert transformed([[1.0] * 5], lengths, [background]).tolist() == [[1.0] * 5]


def test_no_passages_give_no_scores() -> None:
    assert transformed(np.zeros((3, 0)), [], np.zeros((3, 4))).shape == (3, 0)


def test_the_order_of_the_background_and_of_the_passages_says_nothing() -> None:
    generator = np.random.default_rng(0)
    background = generator.uniform(-1, 1, (3, 500))
    best, lengths = generator.uniform(-1, 1, (3, 80)), generator.integers(1, 300, 80)
    found = transformed(best, lengths, background)
    order = generator.permutation(80)
    again = transformed(best[:, order], lengths[order], generator.permuted(background, axis=1))
    assert np.array_equal(found[:, order], again)


@pytest.mark.parametrize("n_lengths", [1, 2, 7, 9, 40, 400])
def test_chance_of_many_lengths_is_numpys_quantile(n_lengths: int) -> None:
    background = np.sort(np.random.default_rng(1).uniform(-1, 0.9, (4, 997)).astype(np.float32), axis=1)
    lengths = np.unique(np.geomspace(1, 5000, n_lengths).astype(np.int64))
    expected = np.quantile(background.astype(np.float64), 1 - 1 / (lengths + 1), axis=1).T
    assert expected_maxima(background, lengths) == pytest.approx(np.minimum(expected, LARGEST_CHANCE), abs=1e-12)


@pytest.mark.parametrize("n_copies", [1, 2, 1000])
def test_identical_passages_score_alike_and_as_if_there_were_one(n_copies: int) -> None:
    """The background is then made of the passage itself, and chance grows with its copies up to the limit."""
    passage = np.eye(4, dtype=np.float32)
    other = np.eye(4, dtype=np.float32)[[0, 1, 1]]  # lacks two of the four
    vectors = np.concatenate([passage] * n_copies + [other])
    offsets = np.array([*range(0, 4 * n_copies + 1, 4), 4 * n_copies + 3])
    similarities = passage @ vectors.T
    weights = np.array([1, 2, 3, 4], np.float32)
    scores = score(similarities, offsets, weights, similarities)
    assert scores[:-1].tolist() == [10.0] * n_copies
    assert scores[-1] == 3.0


def test_chance_favours_no_length() -> None:
    generator = np.random.default_rng(2)
    query, background, long = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for rows in (generator.standard_normal((n, 48)) for n in (300, 4000, 40 * 256))
    )
    similarities = (query @ long.T).astype(np.float32)
    means = {}
    for scorer in (MaxSimScorer(), DebiasedMaxSimScorer()):
        for length in (4, 256):
            offsets = np.arange(0, 40 * length + 1, length)
            reduced = scorer.reduce(similarities[:, : 40 * length], offsets)
            found = scorer.transform(reduced, np.diff(offsets), collection(query @ background.T))
            means[scorer.name, length] = float(found.mean())
    assert means["maxsim", 256] > means["maxsim", 4] + 0.2
    assert means["debiased_maxsim", 4] == pytest.approx(0.05, abs=0.02)
    assert means["debiased_maxsim", 256] == pytest.approx(0.05, abs=0.02)


def test_sensitivity_is_that_of_the_longest_passage() -> None:
    scorer = DebiasedMaxSimScorer()
    weights = np.array([1, 3], np.float32)
    backgrounds = [QUARTERS, [-1] * 5]
    # 1 / (1 − ½) + 3 / (1 + 1); 1 / (1 − ¾) + 3 / 2; at most 1 / .05 + 3 / 2
    assert scorer.sensitivity(weights, collection(backgrounds, 1)) == pytest.approx(3.5)
    assert scorer.sensitivity(weights, collection(backgrounds, 3)) == pytest.approx(5.5)
    assert scorer.sensitivity(weights, collection(backgrounds, 999)) == pytest.approx(21.5)
    assert scorer.sensitivity(weights, collection(np.zeros((2, 0)))) == 4.0


def test_sensitivity_is_reached() -> None:
    """A bound that is too large costs time only, but this one is exact."""
    bound = DebiasedMaxSimScorer().sensitivity(np.ones(1, np.float32), collection([QUARTERS], 4))
    low, high = transformed([[0.875, 0.9375]], [4, 4], [QUARTERS])[0].tolist()
    assert (high - low) / 0.0625 == pytest.approx(bound, rel=1e-5)


def test_class_keeps_its_contract() -> None:
    check_scorer(DebiasedMaxSimScorer)
