"""The relative encoder: values worked out by hand, edges, long passages, and the compiled kernel's fallbacks."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from math import cos, sin, sqrt

import numpy as np
import pytest

from vecsearch import VectorsError
from vecsearch_positions import compiled
from vecsearch_positions.none import NoneEncoder
from vecsearch_positions.relative import RelativeEncoder
from vecsearch_positions.rotation import frequencies


@pytest.fixture(autouse=True)
def _nothing_compiled_yet(monkeypatch):
    # Whatever other tests have compiled: here NumPy computes unless a test asks for numba.
    monkeypatch.setattr(compiled, "_kernels", {})


def unit_rows(n, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def encode(units, *, weights=None, offsets=None, **config):
    units = np.asarray(units, dtype=np.float32)
    weights = np.ones(len(units), np.float32) if weights is None else np.asarray(weights, np.float32)
    offsets = np.array([0, len(units)]) if offsets is None else np.asarray(offsets)
    return RelativeEncoder(**config).encode(units, weights, offsets)


def test_two_tokens_as_computed_by_hand():
    # In two dimensions θ = 1: the right neighbour turns by +1 radian, the left one by −1.
    vectors = encode([[1, 0], [0, 1]], order=0.5)
    norm = sqrt(2 - 2 * sin(1))
    np.testing.assert_allclose(
        vectors, [[(1 - sin(1)) / norm, cos(1) / norm], [cos(1) / norm, (1 - sin(1)) / norm]], atol=1e-6
    )


def test_three_tokens_as_computed_by_hand():
    # order 1 leaves the neighbours only; the one two places away counts decay times its weight.
    vectors = encode([[1, 0], [1, 0], [1, 0]], weights=[1, 2, 3], order=1.0, decay=0.5)
    first = np.array([2 * cos(1) + 1.5 * cos(2), 2 * sin(1) + 1.5 * sin(2)])
    middle = np.array([4 * cos(1), 2 * sin(1)])  # weights 1 at −1 and 3 at +1
    last = np.array([2 * cos(1) + 0.5 * cos(2), -2 * sin(1) - 0.5 * sin(2)])
    expected = [row / np.linalg.norm(row) for row in (first, middle, last)]
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_second_frequency_turns_by_one_over_the_root_of_the_base():
    # dim 4: θ = (1, base^(−1/2)); dimensions 1 and 3 are a pair.
    vectors = encode([[0, 1, 0, 0], [0, 1, 0, 0]], order=1.0, base=100.0)
    np.testing.assert_allclose(vectors, [[0, cos(0.1), 0, sin(0.1)], [0, cos(0.1), 0, -sin(0.1)]], atol=1e-6)


def test_neighbours_beyond_the_passage_do_not_exist():
    units = unit_rows(6, 8)
    together = encode(units, offsets=[0, 1, 1, 3, 6])
    np.testing.assert_allclose(together[0], units[0], atol=1e-7)
    np.testing.assert_allclose(together[1:3], encode(units[1:3]), atol=1e-6)
    np.testing.assert_allclose(together[3:], encode(units[3:]), atol=1e-6)


def test_order_zero_equals_none():
    units = unit_rows(5, 8)
    np.testing.assert_array_equal(encode(units, order=0.0), units)


def test_a_token_without_meaning_stays_zero_and_gives_nothing():
    units = unit_rows(3, 8)
    units[1] = 0.0
    vectors = encode(units, weights=[1, 5, 1], decay=0.0)
    np.testing.assert_array_equal(vectors, units)  # the outer two see only the middle one


def test_neighbours_without_weight_leave_the_token_as_it_is():
    units = unit_rows(3, 8)
    np.testing.assert_allclose(encode(units, weights=[0, 1, 0])[1], units[1], atol=1e-7)
    np.testing.assert_allclose(encode(units, weights=[4e-7, 1, 4e-7])[1], units[1], atol=1e-7)


def test_a_token_that_its_neighbour_cancels_stays_as_it_is():
    # R u_1 = −u_0 exactly halfway: nothing would be left of x_0.
    units = np.array([[1, 0], [-cos(1), sin(1)]], dtype=np.float32)
    vectors = encode(units, order=0.5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_only_ratios_of_weights_matter():
    units = unit_rows(40, 16)
    weights = np.random.default_rng(1).uniform(1, 16, 40).astype(np.float32)
    np.testing.assert_allclose(encode(units, weights=weights), encode(units, weights=weights * 1000), atol=1e-5)


@pytest.mark.parametrize("order", [1e-14, 0.3, 1.0])
@pytest.mark.parametrize("weight", [1e-38, 1e20, 3e38])
def test_extreme_weights_give_unit_rows(order, weight):
    vectors = encode(unit_rows(9, 4), weights=[weight] * 9, order=order)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_a_phrase_has_the_same_vectors_wherever_it_stands():
    text = unit_rows(400, 32)
    whole, shifted = encode(text), encode(text[37:])
    # .75^64 < 1e-8: beyond 64 places from the cut, nothing of it is left.
    np.testing.assert_allclose(shifted[64:], whole[37 + 64 :], atol=1e-5)
    assert np.abs(shifted[:2] - whole[37:39]).max() > 0.01


def test_word_order_changes_the_vectors_and_under_none_it_does_not():
    dog, bites, man = unit_rows(3, 64)
    one, other = np.stack([dog, bites, man]), np.stack([man, bites, dog])
    here, there = encode(one), encode(other)[::-1]
    assert (np.sum(here * there, axis=1)[[0, 2]] < 0.98).all()
    none = NoneEncoder()
    ones, offsets = np.ones(3, np.float32), np.array([0, 3])
    np.testing.assert_array_equal(none.encode(one, ones, offsets), none.encode(other, ones, offsets)[::-1])


@pytest.mark.parametrize("decay", [0.75, 0.9, 0.999])
def test_a_passage_of_many_blocks_equals_the_sum_over_its_tokens(decay):
    n, dim = 9_000, 4
    units, weights = unit_rows(n, dim), np.random.default_rng(2).uniform(1, 16, n).astype(np.float32)
    out = np.empty_like(units)
    encoder = RelativeEncoder(decay=decay, order=1.0)
    encoder._encode_in_blocks(units, weights, np.array([0, n]), out)
    theta = frequencies(dim, 10000.0, "relative")
    pairs = units[:, :2].astype(np.float64) + 1j * units[:, 2:]
    for i in [0, 1, 31, 32, 4095, 4096, 5000, 8191, 8192, n - 1]:
        distances = np.arange(n) - i
        shares = np.where(distances != 0, decay ** np.maximum(np.abs(distances) - 1.0, 0.0), 0.0) * weights
        total = (shares[:, None] * pairs * np.exp(1j * distances[:, None] * theta)).sum(axis=0)
        expected = np.concatenate([total.real, total.imag]) / np.linalg.norm(total)
        np.testing.assert_allclose(out[i], expected, atol=1e-5)


def test_a_passage_of_50_000_tokens_takes_bounded_extra_memory():
    n, dim = 50_000, 64
    units, weights = unit_rows(n, dim), np.ones(n, np.float32)
    out = np.empty_like(units)
    encoder = RelativeEncoder()
    tracemalloc.start()
    try:
        encoder._encode_in_blocks(units, weights, np.array([0, n]), out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < units.nbytes
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1.0, atol=1e-5)


def test_a_batch_of_thousands_of_short_passages_equals_one_by_one():
    lengths = np.random.default_rng(3).integers(0, 30, 3000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    units = unit_rows(int(offsets[-1]), 8)
    weights = np.random.default_rng(4).uniform(0.5, 9, len(units)).astype(np.float32)
    vectors = encode(units, weights=weights, offsets=offsets)
    for passage in range(0, 3000, 61):
        where = slice(offsets[passage], offsets[passage + 1])
        np.testing.assert_allclose(vectors[where], encode(units[where], weights=weights[where]), atol=1e-5)


def test_no_token_gives_no_vector():
    assert encode(np.empty((0, 8)), offsets=[0, 0, 0]).shape == (0, 8)
    assert encode(np.empty((0, 8)), offsets=[0]).shape == (0, 8)


def test_odd_length_is_refused_with_a_way_out():
    with pytest.raises(VectorsError, match=r"'relative' turns pairs .* not of 7; use the encoder 'none'"):
        encode(unit_rows(2, 7))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"order": 1.5}, r"order must be a number in \[0, 1\], not 1.5"),
        ({"order": -0.1}, r"order must be a number in \[0, 1\]"),
        ({"order": "0.3"}, r"order must be a number in \[0, 1\], not '0.3'"),
        ({"order": True}, r"order must be a number in \[0, 1\], not True"),
        ({"decay": 1.0}, r"decay must be a number in \[0, 1\), not 1.0"),
        ({"decay": float("nan")}, r"decay must be a number in \[0, 1\), not nan"),
        ({"base": 0.5}, r"base must be a number in \[1, inf\), not 0.5"),
        ({"base": float("inf")}, r"base must be a number in \[1, inf\), not inf"),
    ],
)
def test_arguments_out_of_range_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        RelativeEncoder(**config)


def test_configuration_makes_the_same_encoder_again():
    encoder = RelativeEncoder(order=1, decay=0.5, base=50)
    assert dict(encoder.config) == {"order": 1.0, "decay": 0.5, "base": 50.0}
    assert dict(RelativeEncoder(**encoder.config).config) == dict(encoder.config)
    assert dict(RelativeEncoder().config) == {"order": 0.3, "decay": 0.75, "base": 10000.0}
    assert dict(encoder.files) == {}


def arguments(n, dim):
    units, weights = unit_rows(n, dim), np.random.default_rng(5).uniform(1, 16, n).astype(np.float32)
    return units, weights, np.array([0, n // 3, n // 3, n])


def test_numba_missing_means_numpy(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr("vecsearch_positions.relative._WORTH_COMPILING", 1)
    units, weights, offsets = arguments(100, 8)
    encoder, plain = RelativeEncoder(), np.empty_like(units)
    encoder._encode_in_blocks(units, weights, offsets, plain)
    np.testing.assert_array_equal(encoder.encode(units, weights, offsets), plain)
    assert not compiled.is_loaded(0.75)


def test_a_cache_that_cannot_be_written_does_not_stop_numba(monkeypatch):
    numba = pytest.importorskip("numba", reason="the extra vecsearch[fast] is not installed")
    compile_ = numba.njit

    def njit(*arguments, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function '_encode': no locator available")
        return compile_(*arguments, **options)

    monkeypatch.setattr(numba, "njit", njit)
    monkeypatch.setattr("vecsearch_positions.relative._WORTH_COMPILING", 1)
    units, weights, offsets = arguments(100, 8)
    encoder, plain = RelativeEncoder(), np.empty_like(units)
    vectors = encoder.encode(units, weights, offsets)
    assert compiled.is_loaded(0.75)
    encoder._encode_in_blocks(units, weights, offsets, plain)
    np.testing.assert_allclose(vectors, plain, atol=1e-5)


def test_numba_that_breaks_means_numpy(monkeypatch):
    numba = pytest.importorskip("numba", reason="the extra vecsearch[fast] is not installed")

    def njit(*_, **__):
        raise SystemError("initialization of _internal failed")

    monkeypatch.setattr(numba, "njit", njit)
    units, weights, offsets = arguments(50, 8)
    theta = frequencies(8, 10000.0, "relative")
    assert not compiled.encode(units, weights, offsets, theta, 0.75, 0.3, np.empty_like(units))


@pytest.mark.parametrize("decay", [0.75, 0.9, 0.99, 0.9999])
def test_compiled_and_numpy_agree_on_long_passages(decay):
    pytest.importorskip("numba", reason="the extra vecsearch[fast] is not installed")
    n, dim = 30_000, 32
    # One direction repeated, so that nothing cancels drift in the slow frequencies.
    units = np.abs(unit_rows(n, dim))
    weights = np.random.default_rng(6).uniform(1, 16, n).astype(np.float32)
    offsets = np.array([0, n])
    encoder, by_numpy, by_numba = RelativeEncoder(decay=decay, order=1.0), np.empty_like(units), np.empty_like(units)
    encoder._encode_in_blocks(units, weights, offsets, by_numpy)
    theta = frequencies(dim, 10000.0, "relative")
    assert compiled.encode(units, weights, offsets, theta, decay, 1.0, by_numba)
    np.testing.assert_allclose(by_numba, by_numpy, atol=1e-5)


@pytest.mark.parametrize("decay", [0.75, 0.99])
@pytest.mark.parametrize("n_query", [0, 1, 3, 4, 9])
def test_compared_in_one_go_is_encoded_and_multiplied(decay, n_query):
    pytest.importorskip("numba", reason="the extra vecsearch[fast] is not installed")
    generator = np.random.default_rng(7)
    rows = unit_rows(40, 16)
    rows[3] = 0
    places = generator.integers(0, 40, 60).astype(np.int32)
    places[20:23] = 3  # a passage without meaning
    weights = generator.uniform(1, 16, 60).astype(np.float32)
    offsets = np.array([0, 1, 20, 23, 60])
    query = unit_rows(n_query, 16)
    encoder = RelativeEncoder(decay=decay)
    assert encoder.encode_compared(rows, places, weights, offsets, query) is None  # nothing is compiled for it
    by_numba = np.empty((60, 16), np.float32)
    theta = frequencies(16, 10000.0, "relative")
    assert compiled.encode(rows[places], weights, offsets, theta, decay, 0.3, by_numba)
    vectors, maxima = encoder.encode_compared(rows, places, weights, offsets, query)
    np.testing.assert_array_equal(vectors, by_numba)
    assert maxima.shape == (n_query, 4)
    np.testing.assert_allclose(maxima, np.maximum.reduceat(query @ vectors.T, offsets[:-1], axis=1), atol=1e-6)


def test_numba_is_not_imported_for_little_text():
    code = (
        "import sys, numpy as np\n"
        "from vecsearch_positions.relative import RelativeEncoder\n"
        "encoder = RelativeEncoder()\n"
        "units = np.eye(256, dtype=np.float32)\n"
        "encoder.encode(units, np.ones(256, np.float32), np.array([0, 256]))\n"
        "assert 'numba' not in sys.modules and 'numba.core' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_enough_text_brings_numba_in(monkeypatch):
    pytest.importorskip("numba", reason="the extra vecsearch[fast] is not installed")
    monkeypatch.setattr("vecsearch_positions.relative._WORTH_COMPILING", 150)
    units, weights, offsets = arguments(100, 256)
    encoder = RelativeEncoder()
    first = encoder.encode(units, weights, offsets)
    assert not compiled.is_loaded(0.75)
    second = encoder.encode(units, weights, offsets)
    assert compiled.is_loaded(0.75)
    np.testing.assert_allclose(first, second, atol=1e-5)
