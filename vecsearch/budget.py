"""How much memory a process may take while it writes an index."""

from __future__ import annotations

import ctypes

from vecsearch.errors import UsageError

__all__ = ["LEAST_MEMORY", "MEMORY", "checked_memory", "give_back", "share_one_arena"]

MEMORY = 1_000_000_000
"""Bytes, by default …"""
LEAST_MEMORY = 600_000_000
"""… and at least: libraries, words and what a codebook is trained on need so many."""
_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h


def checked_memory(memory: int) -> int:
    """Return a number of bytes if it is enough to write with.

    Raises:
        UsageError: it is not, or is no whole number.
    """
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < LEAST_MEMORY:
        raise UsageError(f"memory is {memory!r}; it must be a whole number of {LEAST_MEMORY:,} bytes or more")
    return memory


def give_back() -> None:
    """Give memory that is not used back to the system: glibc keeps what threads have freed. Elsewhere do nothing."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return
    trim(0)


def share_one_arena() -> None:
    """Let all threads of this process take memory from one place, so that what one has freed another can take.

    glibc gives threads places of their own, and what is free in one of them is of no use to the others: while an index
    is built, a sixth of the process (docs/decisions.md). For programs of our own; a library leaves its process as it
    is. Elsewhere do nothing.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    set_option(_ARENA_MAX, 1)
