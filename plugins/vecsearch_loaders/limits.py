"""How much of a file is read, and what reading it may cost: a file made to fill the memory is one skipped file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TypeVar

__all__ = ["MAX_BYTES", "MAX_MEMORY", "MAX_SECONDS", "max_bytes", "max_memory", "max_seconds"]

MAX_BYTES = "VECSEARCH_FILE_BYTES"
MAX_SECONDS = "VECSEARCH_FILE_SECONDS"
MAX_MEMORY = "VECSEARCH_FILE_MEMORY"

_BYTES = 256 * 1024 * 1024
_SECONDS = 60.0
_MEMORY = 2 * 1024 * 1024 * 1024

_Number = TypeVar("_Number", int, float)


def max_bytes(given: int | None) -> int:
    """Return the largest file that becomes one document, and the largest record of one that holds many, in bytes.

    Args:
        given: at least 1; None takes ``VECSEARCH_FILE_BYTES``, or else 256 MiB.

    Raises:
        ValueError: it is no such number.
    """
    return _limit("max_bytes", MAX_BYTES, given, _BYTES, int)


def max_seconds(given: float | None) -> float:
    """Return how long a process that reads one file may take; None takes ``VECSEARCH_FILE_SECONDS``, or else 60.

    Raises:
        ValueError: it is no number above 0.
    """
    return _limit("max_seconds", MAX_SECONDS, given, _SECONDS, float)


def max_memory(given: int | None) -> int:
    """Return how many bytes a process that reads one file may map; None takes ``VECSEARCH_FILE_MEMORY``, or 2 GiB.

    Raises:
        ValueError: it is no such number.
    """
    return _limit("max_memory", MAX_MEMORY, given, _MEMORY, int)


def _limit(
    name: str, variable: str, given: _Number | None, default: _Number, kind: Callable[[str], _Number]
) -> _Number:
    if given is None:
        written = os.environ.get(variable, "")
        if not written:
            return default
        name = variable
        try:
            given = kind(written)
        except ValueError as error:
            raise ValueError(f"{name}={written!r:.40} is not a number") from error
    allowed = (int, float) if isinstance(default, float) else (int,)
    if isinstance(given, bool) or not isinstance(given, allowed) or not 0 < given < math.inf:
        raise ValueError(f"{name}={given!r:.40} is out of range; it is a number above 0, such as {default:g}")
    return given
