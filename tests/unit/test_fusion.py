"""Fusion: scores that a reader can check by hand, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest

from vecsearch.fusion import PHRASE_WEIGHT, WEIGHTS, fuse, with_phrases
from vecsearch.units import Units, largest

VECTOR = np.array([3.0, 1.0, 2.0])
KEYWORD = np.array([0.0, 6.0, 3.0])


def test_one_signal_stays_as_it_is() -> None:
    fused = fuse({"vector": VECTOR}, "zscore", WEIGHTS)
    assert fused.scores.tolist() == VECTOR.tolist()
    assert (fused.slopes, fused.constants) == ({"vector": 1.0}, {"vector": 0.0})


def test_zscores_are_added_with_their_weights() -> None:
    fused = fuse({"vector": VECTOR, "keyword": KEYWORD}, "zscore", {"vector": 1.0, "keyword": 2.0})
    z = 1 / np.sqrt(2 / 3)  # of one unit from the mean, where the values are −1, 0, 1 units from it
    assert fused.scores == pytest.approx([z * (1 - 2), z * (2 - 1), 0.0])


def test_shares_add_up_and_are_linear_in_the_signal() -> None:
    signals = {"vector": VECTOR, "keyword": KEYWORD}
    fused = fuse(signals, "zscore", WEIGHTS)
    assert fused.shares["vector"] + fused.shares["keyword"] == pytest.approx(fused.scores)
    for name, values in signals.items():
        assert fused.slopes[name] * values + fused.constants[name] == pytest.approx(fused.shares[name])


def test_a_signal_that_is_the_same_everywhere_decides_nothing() -> None:
    fused = fuse({"vector": np.full(3, 0.1), "keyword": KEYWORD}, "zscore", {"vector": 1.0, "keyword": 1.0})
    assert np.argsort(-fused.scores).tolist() == [1, 2, 0]
    assert np.isfinite(fused.scores).all()


def test_ranks_are_added_as_reciprocals_and_no_match_has_none() -> None:
    fused = fuse({"vector": VECTOR, "keyword": KEYWORD}, "rrf", {"vector": 1.0, "keyword": 1.0})
    assert fused.scores == pytest.approx([1 / 61, 1 / 63 + 1 / 61, 1 / 62 + 1 / 62])


def test_equal_values_have_one_rank() -> None:
    fused = fuse({"vector": np.array([1.0, 2.0, 2.0]), "keyword": KEYWORD}, "rrf", {"vector": 1.0, "keyword": 0.0})
    assert fused.scores == pytest.approx([1 / 63, 1 / 61, 1 / 61])


def test_an_empty_pool_fuses_to_nothing() -> None:
    for name in ("zscore", "rrf"):
        fused = fuse({"vector": np.zeros(0), "keyword": np.zeros(0)}, name, WEIGHTS)  # type: ignore[arg-type]
        assert not len(fused.scores)


def test_phrases_add_their_strength_in_standard_deviations() -> None:
    base = fuse({"vector": VECTOR}, "zscore", WEIGHTS)
    fused = with_phrases(base, np.array([1.0, 0.5, 0.0]))
    spread = float(np.std(VECTOR))
    assert fused.scores == pytest.approx(VECTOR + PHRASE_WEIGHT * spread * np.array([1.0, 0.5, 0.0]))
    assert fused.shares["phrase"].tolist() == pytest.approx((fused.scores - VECTOR).tolist())


def test_largest_breaks_ties_by_place() -> None:
    assert largest(np.array([1.0, 3.0, 3.0, 3.0, -np.inf]), 2).tolist() == [1, 2]
    assert largest(np.array([1.0, 3.0, -np.inf]), 5).tolist() == [0, 1]
    assert largest(np.zeros(0), 3).tolist() == []


def test_a_document_is_worth_its_best_passage() -> None:
    from vecsearch.stores.protocol import PassageTable

    numbers = np.arange(4)
    table = PassageTable(numbers, np.array([7, 7, 9, 9]), numbers, numbers)
    units = Units(table, "document")
    rows, values = np.array([0, 1, 2]), np.array([1.0, 5.0, 5.0])
    assert units.best(rows, values, -1.0).tolist() == [5.0, 5.0]
    assert [part.tolist() for part in units.best_rows(rows, values)] == [[0, 1], [1, 2]]
    assert units.rows(np.array([1]), np.array([True, True, True, False])).tolist() == [2]
    assert Units(table, "passage").best(rows, values, -1.0).tolist() == [1.0, 5.0, 5.0, -1.0]
