"""Vectors of fewer bytes: sizes, errors, and that rounding what is rounded changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vecsearch import UsageError
from vecsearch.guarding import LARGEST
from vecsearch.precision import checked_precision, packed, rounded, row_bytes, unpacked
from vecsearch.types import Precision

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
MOST = float(np.nextafter(np.float32(LARGEST), np.float32(0)))
ROWS = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.floats(-MOST, MOST, width=32) | st.floats(-2, 2, width=32),
)


@pytest.mark.parametrize(("precision", "size"), [("fp32", 1536), ("fp16", 772), ("int8", 388)])
def test_a_row_takes_so_many_bytes(precision: Precision, size: int) -> None:
    assert row_bytes(precision, 384) == size
    assert packed(np.ones((3, 384), np.float32), precision).shape == (3, size)


@given(ROWS)
def test_fp32_changes_no_bit(rows: np.ndarray) -> None:
    np.testing.assert_array_equal(unpacked(packed(rows, "fp32").tobytes(), rows.shape[1], "fp32"), rows)


@given(ROWS)
def test_a_number_of_int8_is_off_by_half_a_step_at_most(rows: np.ndarray) -> None:
    steps = np.abs(rows).max(axis=1, keepdims=True).astype(np.float64) / 127
    errors = np.abs(rounded(rows, "int8").astype(np.float64) - rows)
    # a step is the largest number / 127, rounded up to 16 significant bits; below 1e-25 all is zero
    assert (errors <= steps / 2 * (1 + 2.0**-14) + 1e-25).all()


@given(ROWS)
def test_a_number_of_fp16_has_eleven_significant_bits(rows: np.ndarray) -> None:
    largest = np.abs(rows).max(axis=1, keepdims=True).astype(np.float64)
    errors = np.abs(rounded(rows, "fp16").astype(np.float64) - rows)
    assert (errors <= np.maximum(np.abs(rows) * 2.0**-11, largest * 2.0**-39) + 1e-25).all()


@given(ROWS, st.sampled_from(PRECISIONS))
def test_rounding_what_is_rounded_changes_nothing(rows: np.ndarray, precision: Precision) -> None:
    once = packed(rows, precision)
    found = unpacked(once, rows.shape[1], precision)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(packed(found, precision), once)
    np.testing.assert_array_equal(rounded(found, precision), found)


@given(ROWS, st.sampled_from(PRECISIONS))
def test_a_row_is_rounded_whatever_stands_beside_it(rows: np.ndarray, precision: Precision) -> None:
    alone = [packed(rows[number : number + 1], precision) for number in range(len(rows))]
    np.testing.assert_array_equal(np.concatenate(alone), packed(rows, precision))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_of_zeros_and_no_rows_stay_so(precision: Precision) -> None:
    rows = np.array([[0, 0], [1, -0.5]], np.float32)
    assert rounded(rows, precision)[0].tolist() == [0, 0]
    assert rounded(rows[:0], precision).shape == (0, 2)


def test_the_largest_number_of_a_row_keeps_its_place() -> None:
    row = np.array([[0.1, -3.0, 2.9]], np.float32)
    assert int(np.abs(rounded(row, "int8")).argmax()) == 1
    assert rounded(row, "int8")[0, 1] == pytest.approx(-3, rel=2e-5)


def test_half_a_row_is_no_row() -> None:
    with pytest.raises(ValueError, match="7 bytes are no whole number of rows of 6"):
        unpacked(b"1234567", 2, "int8")


def test_a_precision_that_is_none_is_refused() -> None:
    assert checked_precision("fp16") == "fp16"
    with pytest.raises(UsageError, match="precision is 'int4'; it must be 'fp32', 'fp16' or 'int8'"):
        checked_precision("int4")
