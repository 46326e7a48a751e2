import itertools
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import UsageError
from vecsearch.evaluation.measures import (
    MEASURES,
    area_under_curve,
    falling,
    outcomes,
    rank_correlation,
    retrieval_measures,
)
from vecsearch.evaluation.runs import trec_lines
from vecsearch.evaluation.significance import p_values

few_values = st.integers(-3, 3).map(float)


def ranking(*ids: str) -> list[tuple[str, float]]:
    """A ranking in which all scores are equal: only the order can tell."""
    return [(doc_id, 1.0) for doc_id in ids]


def test_measures_of_graded_queries_are_those_worked_out_by_hand() -> None:
    relevance = {"graded": {"a": 2, "b": 1, "x": 0}, "late": {"c": 1}, "empty": {"c": 1}, "missing": {"c": 1}}
    fillers = [f"f{number}" for number in range(10)]
    found = retrieval_measures(
        relevance, {"graded": ranking("b", "x", "a"), "late": ranking(*fillers, "c"), "empty": []}
    )
    assert list(found) == list(MEASURES) == ["nDCG@10", "MAP", "MRR", "recall@10", "recall@100"]
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    gained = 1 / math.log2(2) + 2 / math.log2(4)
    assert found["nDCG@10"] == pytest.approx([gained / ideal, 0, 0, 0])
    assert found["MAP"] == pytest.approx([(1 / 1 + 2 / 3) / 2, 1 / 11, 0, 0])
    assert found["MRR"] == pytest.approx([1, 1 / 11, 0, 0])
    assert found["recall@10"].tolist() == [1, 0, 0, 0]
    assert found["recall@100"].tolist() == [1, 1, 0, 0]


def test_equal_scores_keep_the_order_of_the_ranking() -> None:
    # trec_eval alone would put the higher id first
    for first, second, expected in (("a", "z", 1.0), ("z", "a", 0.5)):
        assert retrieval_measures({"q": {"a": 1}}, {"q": ranking(first, second)})["MRR"].tolist() == [expected]


def test_documents_beyond_the_depth_do_not_count() -> None:
    fillers = [f"f{number}" for number in range(100)]
    found = retrieval_measures({"q": {"a": 1}}, {"q": ranking(*fillers, "a")})
    assert {name: values.tolist() for name, values in found.items()} == {name: [0.0] for name in MEASURES}


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(UsageError, match=r"pip install 'vecsearch\[eval\]'"):
        retrieval_measures({"q": {"a": 1}}, {})


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, min_value=-(2.0**96), max_value=2.0**96), max_size=30))
def test_falling_scores_are_float32_and_fall_and_change_no_more_than_needed(values: list[float]) -> None:
    scores = sorted(values, reverse=True)
    lowered = falling(scores)
    assert all(float(np.float32(score)) == score for score in lowered)
    assert all(after < before for before, after in itertools.pairwise(lowered))
    assert all(after <= before for before, after in zip(scores, lowered, strict=True))
    if len(set(scores)) == len(scores):
        assert lowered == scores


def test_a_run_file_orders_by_score_as_the_ranking_does() -> None:
    lines = list(trec_lines({"q 1".replace(" ", ""): [("z", 0.5), ("a", 0.5), ("m", 0.25)], "q2": []}, "a b"))
    fields = [line.split() for line in lines]
    assert [(one[0], one[1], one[2], one[3], one[5]) for one in fields] == [
        ("q1", "Q0", "z", "1", "a,b"),
        ("q1", "Q0", "a", "2", "a,b"),
        ("q1", "Q0", "m", "3", "a,b"),
    ]
    scores = [np.float32(one[4]) for one in fields]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3


@settings(derandomize=True, deadline=None)
@given(st.lists(few_values, min_size=1, max_size=8), st.lists(few_values, min_size=1, max_size=8))
def test_auc_is_the_share_of_won_comparisons(positives: list[float], negatives: list[float]) -> None:
    won = [float(a > b) + 0.5 * (a == b) for a in positives for b in negatives]
    scores = np.array(positives + negatives)
    labels = np.array([1] * len(positives) + [0] * len(negatives))
    assert area_under_curve(scores, labels) == pytest.approx(sum(won) / len(won))


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(few_values, few_values), min_size=2, max_size=12))
def test_rank_correlation_is_that_of_scipy(pairs: list[tuple[float, float]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    a, b = np.array(pairs).T
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert rank_correlation(a, b) == 0
    else:
        assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)


def test_outcomes_count_ties_one_half() -> None:
    assert outcomes(np.array([1.0, 0.0, -np.inf]), np.array([0.0, 0.0, -np.inf])).tolist() == [1.0, 0.5, 0.5]


@settings(derandomize=True, deadline=None)
@given(st.lists(few_values, min_size=1, max_size=7))
def test_few_differences_are_tested_exactly(differences: list[float]) -> None:
    as_large = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True))) >= abs(sum(differences))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    (found,) = p_values(np.array(differences)[:, None])
    assert found == pytest.approx(np.mean(as_large))


def test_many_differences_are_drawn_with_a_seed_and_agree_with_the_exact_test() -> None:
    generator = np.random.default_rng(3)
    differences = generator.normal(0.6, 1.0, (12, 2))
    exact = p_values(differences)
    drawn = p_values(differences, n_draws=4000, seed=1)
    assert drawn.tolist() == p_values(differences, n_draws=4000, seed=1).tolist()
    assert drawn.tolist() != p_values(differences, n_draws=4000, seed=2).tolist()
    np.testing.assert_allclose(drawn, exact, atol=0.03)


def test_p_is_small_for_a_steady_difference_large_for_none_and_never_zero() -> None:
    steady = np.full((200, 1), 0.1)
    assert p_values(steady).tolist() == [1 / 10_001]
    assert p_values(np.zeros((200, 1))).tolist() == [1.0]
    assert p_values(np.zeros((0, 2))).tolist() == [1.0, 1.0]
    balanced = np.array([0.1, -0.1] * 100)[:, None]
    assert p_values(balanced).tolist() == [1.0]


def test_p_does_not_depend_on_the_sign_of_the_difference() -> None:
    differences = np.random.default_rng(4).normal(0.1, 1.0, (60, 1))
    assert p_values(differences).tolist() == p_values(-differences).tolist()
