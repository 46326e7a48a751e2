"""Every positional encoder against its formula, written out token by token in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch_positions import compiled
from vecsearch_positions.absolute import LearnedEncoder, SinusoidalEncoder
from vecsearch_positions.none import NoneEncoder
from vecsearch_positions.relative import RelativeEncoder
from vecsearch_positions.rotary import RotaryEncoder


@dataclass
class Batch:
    units: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray

    def passages(self):
        return [slice(a, b) for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)]

    def alone(self, passage):
        return Batch(
            self.units[passage].copy(), self.weights[passage].copy(), np.array([0, passage.stop - passage.start])
        )


def make(lengths, dim, seed, *, zeros=0.1, is_coarse=False):
    """Random unit rows, some of them zero; coarse ones repeat and cancel each other (entries −1, 0, 1)."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    n = int(offsets[-1])
    rows = rng.integers(-1, 2, (n, dim)).astype(np.float64) if is_coarse else rng.standard_normal((n, dim))
    rows[rng.random(n) < zeros] = 0.0
    units = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    weights = (rng.uniform(0.1, 20.0, n) * (rng.random(n) > 0.1)).astype(np.float32)
    return Batch(units, weights, offsets)


def batches(dims=range(2, 65, 2)):
    lengths = st.lists(st.one_of(st.integers(0, 4), st.integers(0, 90)), min_size=0, max_size=8)
    return st.builds(make, lengths, st.sampled_from(list(dims)), st.integers(0, 2**32 - 1), is_coarse=st.booleans())


def rotate(vector, angle):
    half = len(vector) // 2
    a, b = vector[:half], vector[half:]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)])


def relative(batch, order, decay, base=10000.0):
    """The formula, and for every row by how much rounding of its terms is magnified in it."""
    dim = batch.units.shape[1]
    theta = base ** (-2.0 * np.arange(dim // 2) / dim)
    units, weights = batch.units.astype(np.float64), batch.weights.astype(np.float64)
    expected, magnified = units.copy(), np.ones(len(units))
    for passage in batch.passages():
        for i in range(passage.start, passage.stop):
            neighbours, gross = np.zeros(dim), 0.0
            for j in range(passage.start, passage.stop):
                if j != i:
                    share = decay ** (abs(j - i) - 1) * weights[j]
                    neighbours += share * rotate(units[j], (j - i) * theta)
                    gross += share * np.linalg.norm(units[j])
            length = np.linalg.norm(neighbours)
            if not units[i].any() or order == 0 or gross == 0:
                continue
            if length < 1e-6:
                magnified[i] = np.inf
                continue
            mixed = np.sqrt(1 - order) * units[i] + np.sqrt(order) * neighbours / length
            norm = np.linalg.norm(mixed)
            magnified[i] = (1 + gross / length) / max(norm, 1e-12)
            if norm >= 1e-6:
                expected[i] = mixed / norm
    return expected, magnified


def by_numpy(encoder, batch):
    out = np.empty_like(batch.units)
    encoder._encode_in_blocks(batch.units, batch.weights, batch.offsets, out)
    return out


def by_numba(encoder, batch):
    out = np.empty_like(batch.units)
    dim = batch.units.shape[1]
    theta = encoder.config["base"] ** (-2.0 * np.arange(dim // 2) / dim)
    config = encoder.config
    assert compiled.encode(batch.units, batch.weights, batch.offsets, theta, config["decay"], config["order"], out)
    return out


def assert_unit_or_zero(vectors, units):
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, units.any(axis=1).astype(float), atol=1e-5)


ORDERS = st.sampled_from([0.0, 1e-6, 0.3, 0.5, 1.0])
DECAYS = st.sampled_from([0.0, 0.01, 0.75, 0.95, 0.999])


@given(batch=batches(), order=ORDERS, decay=DECAYS)
@settings(max_examples=60, deadline=None)
def test_relative_equals_its_formula(batch, order, decay):
    encoder = RelativeEncoder(order=order, decay=decay)
    # encode() may hand over to numba; of order 0 it makes a case of its own.
    vectors = by_numpy(encoder, batch) if order else encoder.encode(batch.units, batch.weights, batch.offsets)
    expected, magnified = relative(batch, order, decay)
    assert vectors.dtype == np.float32
    assert_unit_or_zero(vectors, batch.units)
    # Rows whose neighbours nearly cancel have no better answer in float32; all others are held to 1e-5 and less.
    sound = magnified < 1e4
    error = np.abs(vectors - expected).max(axis=1, initial=0.0)
    assert (error[sound] <= 1e-6 * magnified[sound]).all()
    assert (error[magnified < 10] <= 1e-5).all()


@given(batch=batches(), order=st.sampled_from([0.3, 1.0]), decay=st.sampled_from([0.0, 0.75, 0.9, 0.999]))
@settings(max_examples=40, deadline=None)
def test_relative_is_the_same_compiled_and_by_numpy(batch, order, decay):
    pytest.importorskip("numba", reason="the extra vecsearch[fast] is not installed")
    encoder = RelativeEncoder(order=order, decay=decay)
    compiled_vectors = by_numba(encoder, batch)
    expected, magnified = relative(batch, order, decay)
    assert_unit_or_zero(compiled_vectors, batch.units)
    sound = magnified < 1e4
    error = np.abs(compiled_vectors - expected).max(axis=1, initial=0.0)
    assert (error[sound] <= 2e-6 * magnified[sound]).all()
    difference = np.abs(compiled_vectors - by_numpy(encoder, batch)).max(axis=1, initial=0.0)
    assert (difference[magnified < 5] <= 1e-5).all()


@given(batch=batches(range(1, 65)), alpha=st.sampled_from([0.0, 0.1, 1.0, 30.0]))
@settings(max_examples=60, deadline=None)
def test_sinusoidal_equals_its_formula(batch, alpha):
    vectors = SinusoidalEncoder(alpha=alpha).encode(batch.units, batch.weights, batch.offsets)
    expected = batch.units.astype(np.float64)
    dim = batch.units.shape[1]
    for passage in batch.passages():
        for place, i in enumerate(range(passage.start, passage.stop)):
            angles = [place / 10000 ** ((k - k % 2) / dim) for k in range(dim)]
            waves = np.array([np.cos(a) if k % 2 else np.sin(a) for k, a in enumerate(angles)]) / np.sqrt(dim / 2)
            mixed = expected[i] + alpha * waves
            if expected[i].any() and np.linalg.norm(mixed) >= 1e-3:
                expected[i] = mixed / np.linalg.norm(mixed)
            elif expected[i].any():
                expected[i] = vectors[i]  # word and place cancel: rounding decides
    np.testing.assert_allclose(vectors, expected, atol=2e-5 if dim > 1 else 1e-3)
    assert vectors.dtype == np.float32
    assert_unit_or_zero(vectors, batch.units)


@given(batch=batches(range(2, 33)), n_rows=st.integers(1, 40), alpha=st.sampled_from([0.0, 0.5, 3.0]))
@settings(max_examples=40, deadline=None)
def test_learned_adds_the_row_of_the_place_and_repeats_the_last(tmp_path_factory, batch, n_rows, alpha):
    dim = batch.units.shape[1]
    table = np.random.default_rng(n_rows).standard_normal((n_rows, dim)).astype(np.float32)
    path = tmp_path_factory.mktemp("learned") / "table.npy"
    np.save(path, table)
    vectors = LearnedEncoder(path=str(path), alpha=alpha).encode(batch.units, batch.weights, batch.offsets)
    expected = batch.units.astype(np.float64)
    for passage in batch.passages():
        for place, i in enumerate(range(passage.start, passage.stop)):
            mixed = expected[i] + alpha * table[min(place, n_rows - 1)]
            if expected[i].any():
                expected[i] = mixed / np.linalg.norm(mixed) if np.linalg.norm(mixed) > 1e-2 else vectors[i]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert_unit_or_zero(vectors, batch.units)


@given(batch=batches(range(1, 65)))
@settings(max_examples=20, deadline=None)
def test_none_changes_nothing(batch):
    vectors = NoneEncoder().encode(batch.units, batch.weights, batch.offsets)
    np.testing.assert_array_equal(vectors, batch.units)
    assert not np.shares_memory(vectors, batch.units)


@given(
    n_query=st.integers(1, 9),
    n_tokens=st.integers(1, 40),
    dim=st.sampled_from([2, 8, 64]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_rotary_alignment_equals_its_formula(n_query, n_tokens, dim, seed):
    query, passage = make([n_query], dim, seed).units, make([n_tokens], dim, seed + 1).units
    best = RotaryEncoder(base=500.0).align(query, passage)
    theta = 500.0 ** (-2.0 * np.arange(dim // 2) / dim)
    expected = np.empty((n_query + n_tokens - 1, n_query))
    for row, shift in enumerate(range(-(n_query - 1), n_tokens)):
        for i in range(n_query):
            turned = rotate(query[i].astype(np.float64), (i + shift) * theta)
            expected[row, i] = max(turned @ rotate(passage[j].astype(np.float64), j * theta) for j in range(n_tokens))
    assert best.dtype == np.float32
    np.testing.assert_allclose(best, expected, atol=2e-6)


@pytest.fixture(scope="module", params=["none", "sinusoidal", "learned", "relative", "rotary"])
def encoder(request, tmp_path_factory):
    if request.param == "learned":
        path = tmp_path_factory.mktemp("table") / "table.npy"
        np.save(path, np.random.default_rng(0).standard_normal((30, 32)))
        return LearnedEncoder(path=str(path))
    kinds = {"none": NoneEncoder, "sinusoidal": SinusoidalEncoder, "relative": RelativeEncoder, "rotary": RotaryEncoder}
    return kinds[request.param]()


@given(batch=batches([32]), data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_passage_never_depends_on_its_batch(encoder, batch, data):
    vectors = encoder.encode(batch.units, batch.weights, batch.offsets)
    passages = batch.passages()
    for which in data.draw(st.lists(st.integers(0, max(len(passages) - 1, 0)), max_size=3)) if passages else []:
        alone = batch.alone(passages[which])
        magnified = relative(alone, 0.3, 0.75)[1]
        difference = np.abs(encoder.encode(alone.units, alone.weights, alone.offsets) - vectors[passages[which]])
        assert (difference.max(axis=1, initial=0.0)[magnified < 10] <= 1e-5).all()


@given(batch=batches([32]))
@settings(max_examples=25, deadline=None)
def test_inputs_are_never_changed_even_where_they_may_not_be_written(encoder, batch):
    before = [array.copy() for array in (batch.units, batch.weights, batch.offsets)]
    for array in (batch.units, batch.weights, batch.offsets):
        array.flags.writeable = False
    vectors = encoder.encode(batch.units, batch.weights, batch.offsets)
    assert vectors.flags.writeable
    for array, kept in zip((batch.units, batch.weights, batch.offsets), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@given(lengths=st.lists(st.integers(0, 5), max_size=5), seed=st.integers(0, 99))
def test_tokens_without_meaning_stay_zero_and_never_become_nan(encoder, lengths, seed):
    batch = make(lengths, 32, seed, zeros=1.0)
    assert not encoder.encode(batch.units, batch.weights, batch.offsets).any()
    np.testing.assert_array_equal(
        encoder.encode(batch.units, np.zeros_like(batch.weights), batch.offsets), np.zeros_like(batch.units)
    )
