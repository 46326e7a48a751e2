"""The rotary encoder: alignments worked out by hand, their properties, and what is refused."""

from __future__ import annotations

from math import cos, sin

import numpy as np
import pytest

from vecsearch import AligningEncoder, VectorsError
from vecsearch_positions.rotary import RotaryEncoder


def unit_rows(n, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_alignments_of_two_tokens_as_computed_by_hand():
    # dim 2, θ = 1. Rows δ = −1, 0, 1; ⟨R^{i+δ} q_i, R^j d_j⟩ turns q_i by i + δ − j radians.
    query = np.array([[1, 0], [0, 1]], dtype=np.float32)
    passage = np.array([[1, 0], [0, 1]], dtype=np.float32)
    expected = [
        [max(cos(-1), sin(-2)), max(-sin(0), cos(-1))],
        [max(cos(0), sin(-1)), max(-sin(1), cos(0))],
        [max(cos(1), sin(0)), max(-sin(2), cos(1))],
    ]
    np.testing.assert_allclose(RotaryEncoder().align(query, passage), expected, atol=1e-6)


def test_a_phrase_fits_exactly_at_the_place_where_it_stands():
    passage = unit_rows(50, 32)
    best = RotaryEncoder().align(passage[17:21], passage)
    assert best.shape == (53, 4)
    # row r is δ = r − 3: the phrase begins at 17
    assert best.sum(axis=1).argmax() == 17 + 3
    np.testing.assert_allclose(best[20], 1.0, atol=1e-5)


def test_the_best_alignment_does_not_depend_on_where_the_phrase_stands():
    phrase, before, after = unit_rows(4, 64, 1), unit_rows(700, 64, 2), unit_rows(5, 64, 3)
    near = RotaryEncoder().align(phrase, np.concatenate([before[:3], phrase, after])).sum(axis=1).max()
    far = RotaryEncoder().align(phrase, np.concatenate([before, phrase, after])).sum(axis=1).max()
    np.testing.assert_allclose([near, far], 4.0, atol=1e-4)


def test_the_right_word_order_aligns_better():
    dog, bites, man = unit_rows(3, 64)
    encoder = RotaryEncoder()
    one, other = np.stack([dog, bites, man]), np.stack([man, bites, dog])
    assert encoder.align(one, one).sum(axis=1).max() > encoder.align(one, other).sum(axis=1).max() + 0.05


def test_many_blocks_of_alignments_equal_single_rows():
    query, passage = unit_rows(3, 8, 1), unit_rows(3000, 8, 2)
    best = RotaryEncoder().align(query, passage)
    theta = 10000.0 ** (-2.0 * np.arange(4) / 8)
    pairs = passage[:, :4].astype(np.float64) + 1j * passage[:, 4:]
    for row in [0, 1, 57, 58, 1022, 1023, 1024, 2999, 3001]:
        for i in range(3):
            turns = np.exp(1j * (i + row - 2 - np.arange(3000))[:, None] * theta)
            similarities = (
                ((query[i, :4] + 1j * query[i, 4:].astype(np.float64)) * turns * pairs.conj()).sum(axis=1).real
            )
            np.testing.assert_allclose(best[row, i], similarities.max(), atol=2e-6)


def test_stored_vectors_are_not_turned():
    units = unit_rows(5, 8)
    vectors = RotaryEncoder().encode(units, np.ones(5, np.float32), np.array([0, 2, 5]))
    np.testing.assert_array_equal(vectors, units)
    assert not np.shares_memory(vectors, units)


def test_rotary_is_an_aligning_encoder_with_a_depth():
    encoder = RotaryEncoder(depth=7)
    assert isinstance(encoder, AligningEncoder)
    assert encoder.depth == 7
    assert dict(encoder.config) == {"base": 10000.0, "depth": 7}
    assert dict(RotaryEncoder(**encoder.config).config) == dict(encoder.config)
    assert dict(encoder.files) == {}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"depth": 0}, "depth must be a whole number of at least 1, not 0"),
        ({"depth": 2.5}, "depth must be a whole number of at least 1, not 2.5"),
        ({"depth": True}, "depth must be a whole number"),
        ({"base": 0}, r"base must be a number in \[1, inf\), not 0"),
    ],
)
def test_arguments_out_of_range_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        RotaryEncoder(**config)


def test_odd_or_different_lengths_and_empty_sides_are_refused():
    encoder = RotaryEncoder()
    with pytest.raises(VectorsError, match="'rotary' turns pairs"):
        encoder.align(unit_rows(2, 7), unit_rows(3, 7))
    with pytest.raises(VectorsError, match="'rotary' turns pairs"):
        encoder.encode(unit_rows(2, 7), np.ones(2, np.float32), np.array([0, 2]))
    for query, passage in (
        (unit_rows(2, 8), unit_rows(3, 6)),
        (unit_rows(2, 8), np.empty((0, 8), np.float32)),
        (np.empty((0, 8), np.float32), unit_rows(3, 8)),
    ):
        with pytest.raises(VectorsError, match="cannot align a query"):
            encoder.align(query, passage)


def test_similarities_of_an_alignment_have_its_maxima() -> None:
    generator = np.random.default_rng(3)
    query, passage = (generator.normal(size=(n, 16)).astype(np.float32) for n in (4, 9))
    encoder = RotaryEncoder()
    aligned = encoder.align(query, passage)
    for alignment, row in enumerate(aligned):
        found = encoder.similarities(query, passage, alignment)
        assert found.shape == (4, 9)
        assert found.max(axis=1) == pytest.approx(row, abs=1e-5)
