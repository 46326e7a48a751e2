"""A sample of the collection's tokens that depends on what is in it and on nothing else.

Every token of every embedded passage has a hash, made of the passage's key and the token's position. The sample is
the tokens with the smallest hashes. So it is the same whatever the order of adds, updates and deletes was, and equal
passages count once.

An index keeps all tokens whose hash is below a limit. When there are too many of them the limit falls, when there are
too few it rises and the tokens below it are found again; both happen rarely.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sqlite_utils import Database

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.protocol import Numbers
    from vecsearch.types import Offsets

__all__ = ["FEWEST", "KEY_BYTES", "LIMIT", "MOST", "SampleWriter", "hashes", "hashes_at", "limit_for"]

FEWEST = 4_096
"""As many tokens of the sample are used at most; an index never keeps fewer while it has more."""
MOST = 4 * FEWEST
"""As many tokens are kept at most."""
KEY_BYTES = 16
"""Length of the key of a passage."""
LIMIT = 1 << 62
"""All hashes are below it."""


def hashes(keys: Sequence[bytes], offsets: Offsets) -> Numbers:
    """Return the hash of every token: int64 ``(n_tokens,)``, 0 ≤ hash < ``LIMIT``.

    Args:
        keys: one a passage, at least 8 bytes, themselves hashes.
        offsets: int64 ``(n_passages + 1,)``, tokens of each passage.
    """
    lengths = np.diff(offsets)
    positions = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    return _mixed(np.repeat(np.frombuffer(b"".join(key[:8] for key in keys), "<u8"), lengths), positions)


def hashes_at(keys: Sequence[bytes], positions: Numbers) -> Numbers:
    """Return the hashes of single tokens, each by the key of its passage and its position: int64 ``(n,)``."""
    return _mixed(np.frombuffer(b"".join(key[:8] for key in keys), "<u8"), positions)


def _mixed(starts: npt.NDArray[np.uint64], positions: Numbers) -> Numbers:
    # the finalizer of SplitMix64 (Steele, Lea & Flood 2014), over a sequence that the key begins
    mixed = starts + (positions.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: Numbers = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(2)).astype(np.int64)
    return found


def limit_for(n_tokens: int) -> int:
    """Return a limit below which about ``2 · FEWEST`` of so many tokens fall; ``LIMIT`` where there are fewer."""
    return LIMIT if n_tokens <= 2 * FEWEST else LIMIT * 2 * FEWEST // n_tokens


class SampleWriter:
    """Keeps the sample of an index. All methods belong into a transaction of the caller's.

    Args:
        db: the writer's connection.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, first: int, keys: Sequence[bytes], offsets: Offsets) -> None:
        """Take in new embedded passages, numbered from ``first`` on."""
        all_hashes = hashes(keys, offsets)
        lengths = np.diff(offsets)
        kept = np.flatnonzero(all_hashes < self._limit())
        if len(kept) > MOST:
            # more than are kept in the end: what would be deleted again is not written
            limit = int(np.partition(all_hashes[kept], 2 * FEWEST)[2 * FEWEST])
            self._lower(limit)
            kept = kept[all_hashes[kept] < limit]
        number_of = np.repeat(np.arange(first, first + len(keys)), lengths)
        positions = kept - np.repeat(offsets[:-1], lengths)[kept]
        self._db.conn.executemany(
            "INSERT INTO background (hash, embedded_no, position) VALUES (?, ?, ?)",
            zip(all_hashes[kept].tolist(), number_of[kept].tolist(), positions.tolist(), strict=True),
        )

    def balance(self) -> None:
        """Bring the number of tokens kept back between ``FEWEST`` and ``MOST``, where there are as many."""
        (n_kept,) = self._db.execute("SELECT count(*) FROM background").fetchone()
        if n_kept > MOST:
            (limit,) = self._db.execute(
                "SELECT hash FROM background ORDER BY hash LIMIT 1 OFFSET ?", [2 * FEWEST]
            ).fetchone()
            self._lower(limit)
        elif n_kept < FEWEST and self._limit() < LIMIT:
            self._fill()

    def _fill(self) -> None:
        (n_tokens,) = self._db.execute("SELECT coalesce(sum(n_tokens), 0) FROM embedded").fetchone()
        self._set_limit(limit_for(n_tokens))
        self._db.execute("DELETE FROM background")
        rows = self._db.execute("SELECT embedded_no, key, n_tokens FROM embedded ORDER BY embedded_no").fetchall()
        for number, key, length in rows:
            self.add(number, [key], np.array([0, length], np.int64))

    def _lower(self, limit: int) -> None:
        self._db.execute("DELETE FROM background WHERE hash >= ?", [limit])
        self._set_limit(limit)

    def _limit(self) -> int:
        row = self._db.execute("SELECT value FROM counters WHERE name = 'background_limit'").fetchone()
        return LIMIT if row is None else int(row[0])

    def _set_limit(self, limit: int) -> None:
        self._db.execute(
            "INSERT INTO counters (name, value) VALUES ('background_limit', ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [limit],
        )
