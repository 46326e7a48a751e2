"""How exactly the vectors of an embedder are kept: as float32, or rounded to two bytes or one byte a number.

A rounded row is a float32 scale and its numbers, little-endian:

=========  =================================================  =====================================================
precision  bytes a row                                        a number v of a row whose largest is m is off by
=========  =================================================  =====================================================
``fp32``   4 · dim                                            nothing
``fp16``   4 + 2 · dim, scale · float16, scale a power of 2   2⁻¹¹ |v|, or 2⁻³⁹ m, whichever is more
``int8``   4 + dim, scale · int8, scale ≈ m / 127             scale / 2 < .004 m
=========  =================================================  =====================================================

Rounding what is rounded changes nothing: a scale of ``int8`` has 16 significant bits, so that its products with
numbers of 7 bits are exact in float32, and ``m`` is 127 times the scale again. So rows can be packed and unpacked as
often as anyone likes, and a score that is computed from stored rows is the same wherever they were read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, get_args

import numpy as np

from vecsearch.errors import UsageError
from vecsearch.types import Precision

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Floats

    Packed: TypeAlias = npt.NDArray[np.uint8]

__all__ = ["Precision", "RowFormat", "checked_precision", "packed", "rounded", "row_bytes", "unpacked"]

_SMALLEST = 1e-25
"""A row without a larger number is zero: its length is below all that counts as a direction."""
_SIGNIFICANT = 1 << 16
_TOP_EXPONENT = 15
"""The largest number of a row of float16 is scaled to less than two to this: as far from the smallest as can be."""


@dataclass(frozen=True)
class RowFormat:
    """How rows are stored: how many numbers each has, and how exactly they are kept."""

    dim: int
    precision: Precision = "fp32"


def checked_precision(precision: str) -> Precision:
    """Return a precision if it is one.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(precision, str) or precision not in get_args(Precision):
        raise UsageError(f"precision is {precision!r:.80}; it must be 'fp32', 'fp16' or 'int8'")
    return precision  # type: ignore[return-value]


def row_bytes(precision: Precision, dim: int) -> int:
    """Return how many bytes a row of ``dim`` numbers takes."""
    return _layout(precision, dim).itemsize


def packed(rows: Floats, precision: Precision) -> Packed:
    """Round and pack rows.

    Args:
        rows: float32 ``(n, dim)``, finite, no number beyond ``guarding.LARGEST``.
        precision: of what is kept.

    Returns:
        uint8 ``(n, row_bytes(precision, dim))``.

    Example:
        >>> packed(np.array([[1.0, -0.5]], np.float32), "int8")[0, 4:].view(np.int8)
        array([127, -63], dtype=int8)
    """
    n, dim = rows.shape
    if precision == "fp32":
        return np.ascontiguousarray(rows, "<f4").view(np.uint8).reshape(n, 4 * dim)
    content = np.empty(n, _layout(precision, dim))
    largest = np.maximum(rows.max(axis=1, initial=0), -rows.min(axis=1, initial=0)).astype(np.float64)
    largest[largest < _SMALLEST] = 0
    scales = _scales(largest, precision).astype(np.float32)
    content["scale"] = scales
    # subtle: a reciprocal would round once more, and rounding what is rounded would change it
    quotients = np.divide(rows, scales[:, None], out=np.zeros((n, dim), np.float32), where=scales[:, None] > 0)
    content["numbers"] = np.rint(quotients) if precision == "int8" else quotients
    return content.view(np.uint8).reshape(n, content.dtype.itemsize)


def unpacked(content: bytes | Packed, dim: int, precision: Precision) -> Floats:
    """Return packed rows as float32 ``(n, dim)``.

    Raises:
        ValueError: the content is no whole number of rows.
    """
    flat = np.frombuffer(content, np.uint8) if isinstance(content, bytes) else np.ascontiguousarray(content).reshape(-1)
    layout = _layout(precision, dim)
    if len(flat) % layout.itemsize:
        raise ValueError(f"{len(flat)} bytes are no whole number of rows of {layout.itemsize}")
    if precision == "fp32":
        return flat.view("<f4").reshape(-1, dim).astype(np.float32, copy=False)
    found = flat.view(layout)
    rows: Floats = found["numbers"].astype(np.float32)
    rows *= found["scale"].astype(np.float32)[:, None]
    return rows


def rounded(rows: Floats, precision: Precision) -> Floats:
    """Return rows as they are once they have been kept: float32 ``(n, dim)``."""
    return rows if precision == "fp32" else unpacked(packed(rows, precision), rows.shape[1], precision)


def _layout(precision: Precision, dim: int) -> np.dtype[np.void]:
    if precision == "fp32":
        return np.dtype([("numbers", "<f4", (dim,))])
    return np.dtype([("scale", "<f4"), ("numbers", "<f2" if precision == "fp16" else "i1", (dim,))])


def _scales(largest: npt.NDArray[np.float64], precision: Precision) -> npt.NDArray[np.float64]:
    """Return by what the numbers of each row are divided; 0 for a row of zeros."""
    if precision == "int8":
        mantissas, exponents = np.frexp(largest / 127)
        # rounded up, so that no quotient exceeds 127
        scales: npt.NDArray[np.float64] = np.ldexp(np.ceil(mantissas * _SIGNIFICANT) / _SIGNIFICANT, exponents)
        return scales
    mantissas, exponents = np.frexp(largest)
    # a number just below a power of two is rounded to it, and must not have another scale then
    exponents = exponents + (mantissas >= 1 - 2.0**-12)
    return np.where(largest > 0, np.ldexp(1.0, exponents - _TOP_EXPONENT), 0)
