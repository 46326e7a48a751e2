from __future__ import annotations

import numpy as np
import pytest

from vecsearch import CollectionStatistics
from vecsearch.testing import check_scorer
from vecsearch_scorers.maxsim import MaxSimScorer

STATISTICS = CollectionStatistics(1, 1.0, 1, np.zeros((1, 0), np.float32))  # MaxSim reads none of it


def score(similarities, offsets, weights):
    scorer = MaxSimScorer()
    similarities = np.array(similarities, np.float32)
    offsets = np.array(offsets, np.int64)
    reduced = scorer.transform(scorer.reduce(similarities, offsets), np.diff(offsets), STATISTICS)
    return scorer.combine(reduced, np.array(weights, np.float32))


def test_two_by_two_example_worked_by_hand():
    # q_0 = (1, 0), q_1 = (0.6, 0.8); d_0 = (0, 1), d_1 = (0.8, 0.6)
    # m_0 = max(0, 0.8) = 0.8; m_1 = max(0.8, 0.48 + 0.48) = 0.96; score = 2·0.8 + 10·0.96 = 11.2
    query = np.array([[1, 0], [0.6, 0.8]], np.float32)
    passage = np.array([[0, 1], [0.8, 0.6]], np.float32)
    assert score(query @ passage.T, [0, 2], [2, 10]) == pytest.approx([11.2])


def test_negative_similarities_stay_negative():
    assert score([[-0.5, -0.25], [-1, -1]], [0, 2], [1, 2]).tolist() == [-2.25]


def test_zero_weight_silences_a_query_token():
    assert score([[-1, -1], [0.5, 0.25]], [0, 1, 2], [0, 4]).tolist() == [2.0, 1.0]


def test_one_token_against_one_token_is_its_weighted_similarity():
    assert score([[0.25]], [0, 1], [8]).tolist() == [2.0]


def test_no_passages_give_no_scores():
    assert score(np.zeros((3, 0)), [0], [1, 1, 1]).shape == (0,)


def test_equal_passages_score_equal_to_the_last_bit_wherever_they_stand():
    generator = np.random.default_rng(3)
    passage = generator.uniform(-1, 1, (17, 5)).astype(np.float32)
    others = generator.uniform(-1, 1, (17, 400)).astype(np.float32)
    weights = generator.uniform(0, 16, 17).astype(np.float32)
    row = np.concatenate([passage, others, passage], axis=1)
    scores = score(row, [0, 5, 405, 410], weights)
    assert scores[0] == scores[2] == score(passage, [0, 5], weights)[0]


def test_scores_are_summed_in_float64():
    # in float32, 2²⁴ + 1 is 2²⁴
    assert score([[1], [1]], [0, 1], [2**24, 1]).tolist() == [2**24 + 1]
    assert score([[1]], [0, 1], [1]).dtype == np.float64


def test_sensitivity_is_the_sum_of_absolute_weights():
    assert MaxSimScorer().sensitivity(np.array([1.5, -2, 0], np.float32), STATISTICS) == 3.5
    assert MaxSimScorer().sensitivity(np.zeros(0, np.float32), STATISTICS) == 0


def test_class_keeps_its_contract():
    check_scorer(MaxSimScorer)
