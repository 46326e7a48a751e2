"""Exact scoring: complete, repeatable to the last bit, and equal to the formula."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import scoring
from vecsearch.pipeline import build_scorer, split_rows

MAXSIM = build_scorer("maxsim")


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
    scores = scoring.score(query, weights, vectors, np.array([0, 2, 3]), MAXSIM)
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
    assert scoring.score(query, weights, vectors, offsets, MAXSIM).tolist() == pytest.approx(expected, abs=1e-5)
    numbers = np.arange(40)
    for n in (1, 5, 39, 40, 41):
        found = scoring.best([(vectors, offsets, numbers)], query, weights, MAXSIM, n)
        assert set(np.argsort(-np.array(expected))[:n].tolist()) <= set(found.tolist())
        assert len(found) <= n + 3


def test_equal_passages_score_equal_to_the_last_bit_wherever_they_are() -> None:
    generator = np.random.default_rng(0)
    passage, query = units(generator, 7, 256), units(generator, 9, 256)
    weights = generator.uniform(0.1, 16, 9).astype(np.float32)
    pieces, marks = [], []
    for number in range(200):
        pieces.append(passage if number % 2 else units(generator, int(generator.integers(1, 12)), 256))
        marks.append(bool(number % 2))
    offsets = np.cumsum([0, *map(len, pieces)])
    scores = scoring.score(query, weights, np.concatenate(pieces), offsets, MAXSIM)
    alone = scoring.score(query, weights, passage, np.array([0, 7]), MAXSIM)
    assert set(scores[np.array(marks)].tolist()) == set(alone.tolist())


def test_all_ties_at_the_edge_are_found() -> None:
    generator = np.random.default_rng(1)
    passage = query = units(generator, 3, 256)
    weights = np.ones(3, np.float32)
    parts = []
    for begin in range(0, 60, 20):
        pieces = [passage if number % 3 else -passage for number in range(begin, begin + 20)]
        parts.append((np.concatenate(pieces), np.arange(0, 61, 3), np.arange(begin, begin + 20)))
    found = scoring.best(parts, query, weights, MAXSIM, 5)
    assert sorted(found.tolist()) == [number for number in range(60) if number % 3]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_n_best_are_found_even_where_scores_differ_by_rounding_only(seed: int, n: int) -> None:
    """Passages that differ in the last bits of their vectors: float32 alone would order some of them wrongly."""
    generator = np.random.default_rng(seed)
    base, query = units(generator, 2, 64), units(generator, 3, 64)
    weights = generator.uniform(1, 16, 3).astype(np.float32)
    steps = generator.integers(-2, 3, (30, 2, 64)).astype(np.float32)
    vectors = (base + steps * np.float32(2.0**-26)).reshape(-1, 64)
    offsets = np.arange(0, 61, 2)
    scores = scoring.score(query, weights, vectors, offsets, MAXSIM)
    found = scoring.best([(vectors, offsets, np.arange(30))], query, weights, MAXSIM, n)
    assert set(np.flatnonzero(scores >= np.sort(scores)[-n]).tolist()) <= set(found.tolist())


def test_far_worse_passages_are_left_out() -> None:
    generator = np.random.default_rng(2)
    vectors, query = units(generator, 4000, 64), units(generator, 3, 64)
    found = scoring.best([(vectors, np.arange(4001), np.arange(4000))], query, np.ones(3, np.float32), MAXSIM, 10)
    assert 10 <= len(found) <= 12


def test_dead_passages_are_never_found() -> None:
    query = np.array([[1, 0]], np.float32)
    vectors = np.array([[1, 0], [0.5, 0], [0, 1], [-1, 0]], np.float32)
    parts = [(vectors, np.arange(5), np.array([-1, 7, -1, 9]))]
    weights = np.ones(1, np.float32)
    assert sorted(scoring.best(parts, query, weights, MAXSIM, 4).tolist()) == [7, 9]
    assert scoring.best(parts, query, weights, MAXSIM, 1).tolist() == [7]
    assert scoring.best([(vectors, np.arange(5), np.full(4, -1))], query, weights, MAXSIM, 1).tolist() == []


def test_an_empty_collection_has_no_best() -> None:
    query, weights = np.ones((1, 2), np.float32), np.ones(1, np.float32)
    empty = (np.zeros((0, 2), np.float32), np.zeros(1, np.int64), np.zeros(0, np.int64))
    for parts in ([], [empty], [empty, empty]):
        assert scoring.best(parts, query, weights, MAXSIM, 3).tolist() == []
    assert scoring.score(query, weights, empty[0], empty[1], MAXSIM).tolist() == []


def test_negative_similarities_are_ordered_too() -> None:
    query = np.array([[1, 0]], np.float32)
    vectors = np.array([[-1, 0], [-0.5, 0], [-0.25, 0]], np.float32)
    found = scoring.best([(vectors, np.arange(4), np.arange(3))], query, np.ones(1, np.float32), MAXSIM, 1)
    assert found.tolist() == [2]


def test_an_aligned_score_is_the_best_alignment() -> None:
    tables = {2: [[0.5, 0.5], [0.9, 0.2]], 3: [[0.1, 0.1], [-0.2, 0.6], [0.3, 0.3]]}
    scores = scoring.score_aligned(
        lambda query, passage: np.array(tables[len(passage)], np.float32),
        np.zeros((2, 4), np.float32),
        np.array([1, 2], np.float32),
        np.zeros((5, 4), np.float32),
        np.array([0, 2, 5]),
        MAXSIM,
    )
    # 0.5 + 2 · 0.5 against 0.9 + 2 · 0.2; −0.2 + 2 · 0.6 against 0.3 + 2 · 0.3
    assert scores.tolist() == pytest.approx([1.5, 1.0], abs=1e-6)
