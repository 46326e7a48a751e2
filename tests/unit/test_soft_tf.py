"""BM25 with soft matches: BM25 where matches are hard, numbers worked out by hand where they are soft."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vecsearch import CollectionStatistics
from vecsearch.testing import check_scorer
from vecsearch_scorers.soft_tf import SoftTfScorer


def collection(mean_length: float = 4.0, max_length: int = 8, n_query: int = 1) -> CollectionStatistics:
    return CollectionStatistics(10, mean_length, max_length, np.zeros((n_query, 0), np.float32))


def score(
    similarities: object,
    offsets: object,
    weights: object,
    *,
    scorer: SoftTfScorer | None = None,
    mean_length: float = 4.0,
) -> np.ndarray:
    scorer = scorer or SoftTfScorer()
    bounds = np.array(offsets, np.int64)
    reduced = scorer.reduce(np.array(similarities, np.float32), bounds)
    adjusted = scorer.transform(reduced, np.diff(bounds), collection(mean_length))
    return scorer.combine(adjusted, np.array(weights, np.float32))


def test_hard_matches_score_as_bm25() -> None:
    # passages of 4, 8 and 2 tokens, in which the query's token stands twice, once and never
    row = [1, 0, 1, 0, *([0] * 7), 1, 0, 0.0]
    at_mean = 2 * 2.2 / (2 + 1.2)
    twice_as_long = 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2))
    assert score([row], [0, 4, 12, 14], [3]).tolist() == pytest.approx([3 * at_mean, 3 * twice_as_long, 0], rel=1e-6)


def test_soft_matches_worked_by_hand() -> None:
    # τ = ½: f(1) = 1, f(.75) = ¼, f(.5) = f(−1) = 0; tf is 1 + ¼ and ¼ + ¼; K = 1 at the mean length with k1 = 1
    scorer = SoftTfScorer(tau=0.5, k1=1.0, b=1.0)
    similarities = [[1, 0.75, 0.5, -1, 0.75, 0.75, 0, 0.25]]
    assert scorer.reduce(np.array(similarities, np.float32), np.array([0, 4, 8])).tolist() == [[1.25, 0.5]]
    # 2 · 1.25 / 2.25 and 2 · .5 / 1.5; half as long as the mean K is ½: 2 · 1.25 / 1.75
    found = score(similarities, [0, 4, 8], [1], scorer=scorer)
    assert found.tolist() == pytest.approx([2.5 / 2.25, 1 / 1.5], rel=1e-6)
    found = score(similarities, [0, 4, 8], [1], scorer=scorer, mean_length=8.0)
    assert found.tolist() == pytest.approx([2.5 / 1.75, 1.0], rel=1e-6)


def test_two_query_tokens_add_up_by_their_weights() -> None:
    scorer = SoftTfScorer(tau=0.0, k1=1.0, b=0.0)
    # f is the square: tf_0 = ¼, tf_1 = 1, which become .4 and 1
    assert score([[0.5], [1]], [0, 1], [10, 2], scorer=scorer).tolist() == pytest.approx([6.0], rel=1e-6)


def test_repetition_counts_less_and_less_up_to_a_limit() -> None:
    gains = [float(score([[1.0] * n], [0, n], [1], mean_length=n)[0]) for n in (1, 2, 3, 1000)]
    assert gains == sorted(gains)
    assert gains[1] - gains[0] > gains[2] - gains[1]
    assert gains[0] == pytest.approx(1.0)
    assert 2.19 < gains[-1] < 2.2


def test_length_counts_as_much_as_b_says() -> None:
    row = [1.0] + [0.0] * 9
    for b, shorter_wins in ((0.0, False), (0.5, True), (1.0, True)):
        short, long = score([[*row[:2], *row]], [0, 2, 12], [1], scorer=SoftTfScorer(b=b)).tolist()
        assert (short > long) is shorter_wins
        assert short >= long


def test_no_similarity_below_tau_counts() -> None:
    assert score([[0.2, -1, 0.1, 0.05]], [0, 2, 4], [5]).tolist() == [0.0, 0.0]
    assert score([[0.22, 0]], [0, 2], [5])[0] > 0


def test_similarities_above_one_by_rounding_count_one() -> None:
    exact, rounded = score([[1, np.nextafter(np.float32(1), np.float32(2))]], [0, 1, 2], [1]).tolist()
    assert exact == rounded


@pytest.mark.parametrize("n_copies", [1, 2, 1000])
def test_identical_passages_score_alike_to_the_last_bit(n_copies: int) -> None:
    generator = np.random.default_rng(0)
    passage, other = (generator.uniform(-1, 1, (5, n)).astype(np.float32) for n in (37, 11))
    weights = generator.uniform(0.1, 16, 5)
    alone = score(passage, [0, 37], weights)[0]
    joined = np.concatenate([passage, other] * n_copies, axis=1)
    scores = score(joined, np.cumsum([0] + [37, 11] * n_copies), weights)
    assert set(scores[::2].tolist()) == {alone}
    # the same in the other memory order, in which approximate scores are computed
    assert set(score(np.asfortranarray(joined), np.cumsum([0] + [37, 11] * n_copies), weights)[::2]) == {alone}


def test_no_passages_give_no_scores() -> None:
    scorer = SoftTfScorer()
    found = scorer.transform(np.zeros((3, 0), np.float32), np.zeros(0, np.int64), collection(n_query=3))
    assert scorer.combine(found, np.ones(3, np.float32)).shape == (0,)


@pytest.mark.parametrize("length", [1, 8, 256, 20_000])
@pytest.mark.parametrize("config", [{}, {"tau": 0.9}, {"k1": 0.05, "b": 0.0}, {"b": 1.0}], ids=str)
def test_sensitivity_is_reached_where_frequencies_are_steepest(length: int, config: dict[str, float]) -> None:
    """At tf = K / 3, spread evenly over all tokens, the slope is the bound."""
    scorer = SoftTfScorer(**config)
    tau, k1, b = scorer.config["tau"], scorer.config["k1"], scorer.config["b"]
    room = k1 * (1 - b + b * length / 150)
    share = math.sqrt(room / 3 / length)  # √f of every token
    bound = scorer.sensitivity(np.array([2], np.float32), collection(150.0, length))

    def gain(similarity: float) -> float:
        frequency = length * max(0.0, (similarity - tau) / (1 - tau)) ** 2
        return 2 * frequency * (k1 + 1) / (frequency + room)

    here = tau + (1 - tau) * share
    assert here < 1
    assert (gain(here + 1e-7) - gain(here - 1e-7)) / 2e-7 == pytest.approx(bound, rel=1e-4)


def test_sensitivity_stays_usable_for_long_passages() -> None:
    weights = np.ones(1, np.float32)
    bounds = [SoftTfScorer().sensitivity(weights, collection(150.0, n)) for n in (1, 256, 1_000_000)]
    assert bounds == sorted(bounds)
    assert bounds[-1] < 25  # √(L / K) is at most √(L̄ / (k1 · b)), however long a passage is


@pytest.mark.parametrize(
    "config",
    [{"tau": 1.0}, {"tau": -0.1}, {"k1": 0}, {"k1": 101}, {"b": 1.5}, {"b": math.nan}, {"tau": "0.2"}, {"b": True}],
    ids=str,
)
def test_settings_out_of_range_are_refused(config: dict[str, float]) -> None:
    (name,) = config
    with pytest.raises(ValueError, match=f"soft_tf: {name} is .*; it must be a number from "):
        SoftTfScorer(**config)


@pytest.mark.parametrize("config", [{}, {"tau": 0.9, "k1": 0.01, "b": 1}, {"tau": 0, "k1": 100, "b": 0.0}], ids=str)
def test_class_keeps_its_contract(config: dict[str, float]) -> None:
    check_scorer(SoftTfScorer, **config)
