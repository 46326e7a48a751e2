"""What an encoder is given: checks of constructor arguments, and names for the arrays."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Ids", "Offsets", "contiguous", "number", "whole_number"]

Floats: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.int32]
Offsets: TypeAlias = npt.NDArray[np.int64]


def number(name: str, value: object, *, low: float, high: float = math.inf, below: bool = False) -> float:
    """Return a constructor argument as a finite float in ``[low, high]``, or in ``[low, high)`` with ``below``.

    Raises:
        ValueError: not a number, or out of the range; says which range is allowed.

    Example:
        >>> number("order", 1, low=0.0, high=1.0)
        1.0
        >>> number("order", 1.5, low=0.0, high=1.0)
        Traceback (most recent call last):
            ...
        ValueError: order must be a number in [0, 1], not 1.5
    """
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    result = float(value) if is_number else math.nan  # type: ignore[arg-type]
    if not (low <= result <= high and math.isfinite(result)) or (below and result == high):
        closing = ")" if below or math.isinf(high) else "]"
        raise ValueError(f"{name} must be a number in [{low:g}, {high:g}{closing}, not {value!r}")
    return result


def whole_number(name: str, value: object, *, low: int) -> int:
    """Return a constructor argument as an int of at least ``low``.

    Raises:
        ValueError: not a whole number, or below ``low``.

    Example:
        >>> whole_number("depth", 0, low=1)
        Traceback (most recent call last):
            ...
        ValueError: depth must be a whole number of at least 1, not 0
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name} must be a whole number of at least {low}, not {value!r}")
    return int(value)


def contiguous(values: npt.ArrayLike) -> Floats:
    """Return values as a C-contiguous float32 array, the same one where it is that already."""
    return np.ascontiguousarray(values, dtype=np.float32)
