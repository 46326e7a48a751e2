"""The values that filters compare with, and the patterns of ``like``."""

from __future__ import annotations

import math
from enum import Enum
from functools import lru_cache
from numbers import Integral, Rational, Real
from typing import Any, TypeAlias

from vecsearch.errors import FilterError
from vecsearch.metadata_keys import quoted, shown

__all__ = [
    "INT64_MAX",
    "INT64_MIN",
    "Literal",
    "Pattern",
    "Wildcard",
    "as_literal",
    "as_pattern",
    "comparable",
    "fits",
    "spelled",
]

Literal: TypeAlias = str | int | float | bool

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
MAX_PATTERN = 1_000
"""Characters of a pattern: SQLite bounds the patterns that it matches."""


class Wildcard(Enum):
    ANY_TEXT = "%"
    ANY_CHARACTER = "_"


Pattern: TypeAlias = tuple[str | Wildcard, ...]
"""A pattern of ``like``: wildcards and single characters that stand for themselves."""


def as_literal(value: Any) -> Literal:
    """Return a value as a plain str, bool, int or float.

    Raises:
        FilterError: of another type, not finite, an integer beyond 64 bits, a string with a lone surrogate.
    """
    if isinstance(value, str):
        plain = str.__str__(value)
        try:
            plain.encode()
        except UnicodeEncodeError as error:
            raise FilterError(f"{shown(plain)} has a lone surrogate at character {error.start + 1}") from None
        return plain
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        number = int(value)
        if not INT64_MIN <= number <= INT64_MAX:
            raise FilterError(
                f"an integer of a filter has 64 bits, from {INT64_MIN} to {INT64_MAX}; this one is outside; write "
                f"it as a decimal (1.5e20) to compare with decimals"
            )
        return number
    if isinstance(value, Real) and not isinstance(value, Rational):
        if not math.isfinite(value):
            raise FilterError(f"{float(value)} cannot be compared with; numbers in filters are finite")
        return float(value)
    raise FilterError(
        f"{shown(value)} of type {type(value).__name__} cannot be compared with; values are strings, numbers, true and "
        f"false; a date is compared as the string it is stored as, and a missing value found with exists"
    )


def comparable(value: Any) -> Any:
    """Return a stored value as it is compared: an integer beyond 64 bits as infinite, with its sign."""
    if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        return math.inf if value > 0 else -math.inf
    return value


def spelled(value: Literal) -> str:
    """Return a literal as text of the filter language."""
    if isinstance(value, str):
        return quoted(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


@lru_cache(maxsize=256)
def as_pattern(pattern: str) -> Pattern:
    r"""Take a pattern apart.

    Raises:
        FilterError: too long, or a backslash before anything but ``%``, ``_`` and a backslash.

    Example:
        >>> as_pattern(r"a\_%")
        ('a', '_', <Wildcard.ANY_TEXT: '%'>)
    """
    if len(pattern) > MAX_PATTERN:
        raise FilterError(f"a pattern of {len(pattern):,} characters; at most {MAX_PATTERN:,} are allowed")
    parts: list[str | Wildcard] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if escaped not in ("%", "_", "\\"):
                raise FilterError(
                    f"the pattern {shown(pattern)} has a backslash before {shown(escaped) if escaped else 'its end'}; "
                    f"one may stand before % and _ to take them literally, and a backslash itself is two"
                )
            parts.append(escaped)
        else:
            parts.append(Wildcard(character) if character in ("%", "_") else character)
    return tuple(parts)


def fits(text: str, pattern: Pattern) -> bool:
    """Say whether a pattern matches all of a text, in at most len(text) · len(pattern) steps."""
    at = part = 0
    retry: tuple[int, int] | None = None  # where the last % may take one more character
    while at < len(text):
        if part < len(pattern) and pattern[part] is Wildcard.ANY_TEXT:
            part += 1
            retry = at, part
        elif part < len(pattern) and (pattern[part] is Wildcard.ANY_CHARACTER or pattern[part] == text[at]):
            at, part = at + 1, part + 1
        elif retry is not None:
            at, part = retry[0] + 1, retry[1]
            retry = at, part
        else:
            return False
    return all(rest is Wildcard.ANY_TEXT for rest in pattern[part:])
