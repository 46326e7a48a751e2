"""The sinusoidal and the learned encoder: values worked out by hand, tables read and fitted, files refused."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from vecsearch import VectorsError
from vecsearch_positions.absolute import LearnedEncoder, SinusoidalEncoder, sinusoids


def unit_rows(n, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def ones(n):
    return np.ones(n, np.float32)


def test_sinusoids_of_place_zero_are_zeros_and_ones_over_their_length():
    np.testing.assert_allclose(sinusoids([0], 6), [[0, 1 / 3**0.5] * 3], atol=1e-7)


def test_sinusoids_have_length_one_at_every_place():
    np.testing.assert_allclose(np.linalg.norm(sinusoids([0, 1, 77, 49_999], 256), axis=1), 1.0, atol=1e-6)


def test_sinusoidal_tells_the_same_word_at_two_places_apart_by_their_distance():
    units = np.repeat(unit_rows(1, 64), 2000, axis=0)
    vectors = SinusoidalEncoder().encode(units, ones(2000), np.array([0, 2000]))
    assert 1.0 > vectors[0] @ vectors[1] > vectors[0] @ vectors[3]
    # places beyond the kept table continue it: PE(p) · PE(p + 1) is the same everywhere
    pe = sinusoids([1023, 1024], 64)
    np.testing.assert_allclose(pe[0] @ pe[1], sinusoids([0], 64)[0] @ sinusoids([1], 64)[0], atol=1e-6)
    expected = units[1999] + sinusoids([1999], 64)[0]
    np.testing.assert_allclose(vectors[1999], expected / np.linalg.norm(expected), atol=1e-6)


def test_positions_start_anew_in_every_passage():
    units = np.repeat(unit_rows(1, 8), 5, axis=0)
    vectors = SinusoidalEncoder().encode(units, ones(5), np.array([0, 2, 2, 5]))
    np.testing.assert_array_equal(vectors[:2], vectors[2:4])
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01


def test_a_word_that_its_place_cancels_stays_as_it_is():
    units = -sinusoids([0], 8)
    np.testing.assert_array_equal(SinusoidalEncoder().encode(units, ones(1), np.array([0, 1])), units)


@pytest.mark.parametrize("alpha", [1e-300, 1e300])
def test_extreme_alpha_gives_unit_rows(alpha):
    vectors = SinusoidalEncoder(alpha=alpha).encode(unit_rows(4, 8), ones(4), np.array([0, 4]))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_weights_do_not_enter():
    units, offsets = unit_rows(4, 8), np.array([0, 4])
    encoder = SinusoidalEncoder()
    np.testing.assert_array_equal(encoder.encode(units, ones(4), offsets), encoder.encode(units, 7 * ones(4), offsets))


@pytest.mark.parametrize("alpha", [-1, float("inf"), "1", None])
def test_alpha_out_of_range_is_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha must be a number in \[0, inf\)"):
        SinusoidalEncoder(alpha=alpha)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.npy"
    np.save(path, np.array([[0.0, 1.0], [1.0, 0.0]]))
    return str(path)


def test_learned_configuration_names_its_file(table):
    encoder = LearnedEncoder(path=table, alpha=2)
    assert dict(encoder.config) == {"path": table, "alpha": 2.0}
    assert dict(encoder.files) == {"path": table}
    assert dict(LearnedEncoder(**encoder.config).config) == dict(encoder.config)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_learned_reads_npy_and_safetensors_alike(tmp_path, dtype):
    rows = np.random.default_rng(1).standard_normal((5, 8)).astype(dtype)
    np.save(tmp_path / "a.npy", rows)
    save_file({"positions": rows}, tmp_path / "b.safetensors")
    units, offsets = unit_rows(9, 8), np.array([0, 7, 9])
    one, other = (
        LearnedEncoder(path=str(tmp_path / name)).encode(units, ones(9), offsets) for name in ("a.npy", "b.safetensors")
    )
    np.testing.assert_array_equal(one, other)
    mixed = units[8] + rows[1].astype(np.float32)
    np.testing.assert_allclose(one[8], mixed / np.linalg.norm(mixed), atol=1e-6)


def test_places_past_the_table_take_its_last_row(table):
    units = np.array([[0.6, 0.8]] * 4, dtype=np.float32)
    vectors = LearnedEncoder(path=table).encode(units, ones(4), np.array([0, 4]))
    np.testing.assert_array_equal(vectors[2:], vectors[[1, 1]])
    np.testing.assert_allclose(vectors[3], np.array([1.6, 0.8]) / np.hypot(1.6, 0.8), atol=1e-6)


def test_a_table_of_another_dim_is_refused(table):
    with pytest.raises(VectorsError, match="have 2 dimensions and the vectors 8"):
        LearnedEncoder(path=table).encode(unit_rows(1, 8), ones(1), np.array([0, 1]))


def _write(path, value):
    if path.suffix == ".safetensors" and isinstance(value, dict):
        save_file(value, path)
    elif isinstance(value, bytes):
        path.write_bytes(value)
    else:
        np.save(path, value, allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a.npy", np.array([[{}]], dtype=object), r"cannot read positions from .*Python objects"),
        ("a.npy", b"not an array", "cannot read positions from"),
        ("a.npy", b"", "cannot read positions from"),
        ("a.npy", np.zeros(3), r"one matrix of floats .*not float64 \(3,\)"),
        ("a.npy", np.zeros((3, 2), np.int64), r"one matrix of floats .*not int64 \(3, 2\)"),
        ("a.npy", np.zeros((0, 2)), r"one matrix of floats .*\(0, 2\)"),
        ("a.npy", np.array([[np.nan, 0.0]]), "not all finite"),
        ("a.npy", np.array([[1e39, 0.0]]), "not all finite"),
        ("a.safetensors", b"\xff" * 20, "cannot read positions from"),
        ("a.safetensors", {"a": np.zeros((1, 2)), "b": np.zeros((1, 2))}, "2 tensors, not one: a, b"),
        ("a.txt", b"1 2 3", r"path must name a .npy or .safetensors file"),
    ],
)
def test_files_that_hold_no_table_are_refused_by_name(tmp_path, name, value, message):
    _write(tmp_path / name, value)
    with pytest.raises(ValueError, match=message) as caught:
        LearnedEncoder(path=str(tmp_path / name))
    assert name in str(caught.value)


def test_a_missing_table_and_a_path_that_is_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file of positions .*gone\.npy"):
        LearnedEncoder(path=str(tmp_path / "gone.npy"))
    with pytest.raises(ValueError, match="path must name"):
        LearnedEncoder(path=3)


def test_fit_finds_what_stands_first(tmp_path):
    # Every passage begins with one of two words that stand nowhere else.
    rng = np.random.default_rng(0)
    vocabulary = unit_rows(40, 16)
    passages = [np.concatenate([rng.integers(0, 2, 1), rng.integers(2, 40, 9)]) for _ in range(300)]
    units = vocabulary[np.concatenate(passages)]
    offsets = np.arange(301) * 10
    path = tmp_path / "fitted.npy"
    encoder = LearnedEncoder.fit(units, offsets, path=str(path), smoothing=0.0)
    fitted = np.load(path, allow_pickle=False)
    assert fitted.shape == (10, 16)
    assert fitted.dtype == np.float32
    first = vocabulary[:2].mean(axis=0) - units.mean(axis=0)
    assert fitted[0] @ first / np.linalg.norm(fitted[0]) / np.linalg.norm(first) > 0.99
    assert np.linalg.norm(fitted[0]) > 3 * np.linalg.norm(fitted[1:], axis=1).max()
    np.testing.assert_allclose(np.mean(np.sum(fitted**2, axis=1)), 1.0, atol=1e-5)  # all places equally frequent
    assert encoder.config == {"path": str(path), "alpha": 1.0}


def test_fit_weighs_near_places_by_a_gaussian_and_by_how_often_they_were_seen(tmp_path):
    # Place 0 seen twice, place 1 once; rows (1, 0), (1, 0), (0, 1): mean (⅔, ⅓).
    units = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    LearnedEncoder.fit(units, np.array([0, 2, 3]), path=str(tmp_path / "t.npy"), smoothing=1.0)
    near = np.exp(-0.5)
    first, second = np.array([2 / 3, -2 / 3]), np.array([-2 / 3, 2 / 3])  # sums of differences at each place
    rows = np.array([(first + near * second) / (2 + near), (near * first + second) / (2 * near + 1)])
    rows /= np.sqrt((2 * rows[0] @ rows[0] + rows[1] @ rows[1]) / 3)
    np.testing.assert_allclose(np.load(tmp_path / "t.npy"), rows, atol=1e-6)


def test_fit_leaves_tokens_without_meaning_out_and_keeps_to_n_positions(tmp_path):
    units = unit_rows(12, 4)
    path = str(tmp_path / "t.npy")
    LearnedEncoder.fit(units, np.array([0, 6, 12]), path=path, n_positions=3, smoothing=0.0)
    kept = np.load(path)
    assert kept.shape == (3, 4)
    spread = np.zeros((14, 4), np.float32)
    spread[:6], spread[6:12] = units[:6], units[6:]  # a third passage of two empty tokens changes nothing
    LearnedEncoder.fit(spread, np.array([0, 6, 12, 14]), path=path, n_positions=3, smoothing=0.0)
    np.testing.assert_allclose(np.load(path), kept, atol=1e-6)


def test_fit_on_places_that_look_alike_adds_nothing(tmp_path):
    units = np.repeat(unit_rows(1, 4), 6, axis=0)
    encoder = LearnedEncoder.fit(units, np.array([0, 3, 6]), path=str(tmp_path / "t.npy"))
    np.testing.assert_allclose(encoder.encode(units, ones(6), np.array([0, 3, 6])), units, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_positions": 0}, "n_positions must be a whole number of at least 1, not 0"),
        ({"smoothing": -1}, "smoothing must be a number"),
        ({"alpha": -1}, "alpha must be a number"),
        ({"path": "table.txt"}, r"path must end in \.npy, not 'table\.txt'"),
    ],
)
def test_fit_refuses_arguments_out_of_range(tmp_path, change, message):
    arguments = {"path": str(tmp_path / "t.npy"), **change}
    with pytest.raises(ValueError, match=message):
        LearnedEncoder.fit(unit_rows(2, 4), np.array([0, 2]), **arguments)


def test_fit_refuses_text_without_meaning(tmp_path):
    with pytest.raises(ValueError, match="no token of the given text has a vector"):
        LearnedEncoder.fit(np.zeros((3, 4), np.float32), np.array([0, 3]), path=str(tmp_path / "t.npy"))
