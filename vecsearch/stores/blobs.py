"""A cache of blobs by key, in one SQLite file: limited in size, what was not used for longest leaves first.

It is no truth: whatever is wrong with it, it finds nothing and costs time. Nobody vouches for the file, so its tables
must be defined as here, and each blob is compared with its hash before it is given out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vecsearch.stores.schema import chunks, marks

__all__ = ["Blobs"]

KEPT_SHARE = 0.9
"""What is too large is cut down to so much of its limit: it is not cut at every write then."""
WAITING_SECONDS = 2.0
_ENTRY_BYTES = 128
"""About what an entry takes beside its blob."""
_SUFFIXES = ("", "-wal", "-shm")

_ENTRIES = (
    "CREATE TABLE entries (key BLOB PRIMARY KEY, n_bytes INTEGER NOT NULL, used INTEGER NOT NULL, "
    "hash BLOB NOT NULL, content BLOB NOT NULL) STRICT"
)
_BY_USE = "CREATE INDEX entries_by_use ON entries (used, n_bytes)"


class Blobs:
    """Blobs by key. Threads may share it, and so may processes.

    Args:
        path: of the file; made when something is first put.
        max_bytes: about how large the file may be.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the blobs that are there, by key; one that is not what was put is as if it were not there."""
        found: dict[bytes, bytes] = {}
        with self._open(make=False) as db:
            if db is None:
                return {}
            old: list[bytes] = []
            now = _now(db)
            for some in chunks(dict.fromkeys(keys)):
                for key, used, hashed, content in db.execute(
                    f"SELECT key, used, hash, content FROM entries WHERE key IN ({marks(some)})",  # noqa: S608
                    some,
                ):
                    if hashed == _hash(key, content):
                        found[key] = content
                    if used < now:
                        old.append(key)
            if old:
                # subtle: what others write meanwhile is waited for, but a reader that may not write reads all the same
                with contextlib.suppress(sqlite3.OperationalError):
                    db.executemany("UPDATE entries SET used = ? WHERE key = ?", [(now, key) for key in old])
        return found

    def put(self, blobs: Mapping[bytes, bytes]) -> None:
        """Keep blobs, each instead of one of its key; what is too large for the limit is left out."""
        kept = {key: blob for key, blob in blobs.items() if len(blob) <= KEPT_SHARE * self._max_bytes}
        if not kept:
            return
        with self._open(make=True) as db:
            if db is None:
                return
            db.execute("BEGIN IMMEDIATE")
            try:
                now = _now(db) + 1
                db.executemany(
                    "INSERT OR REPLACE INTO entries (key, n_bytes, used, hash, content) VALUES (?, ?, ?, ?, ?)",
                    [(key, len(blob) + _ENTRY_BYTES, now, _hash(key, blob), blob) for key, blob in kept.items()],
                )
                is_cut = self._cut(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            if is_cut:
                # subtle: execute() would step once, which gives back one page
                db.executescript("PRAGMA incremental_vacuum")

    def _cut(self, db: sqlite3.Connection) -> bool:
        """Drop what was not used for longest where all of it is too large; return whether it was."""
        surplus = _size(db) - self._max_bytes
        if surplus <= 0:
            return False
        surplus += int((1 - KEPT_SHARE) * self._max_bytes)
        dropped = []
        for row, n_bytes in db.execute("SELECT rowid, n_bytes FROM entries ORDER BY used, rowid"):
            dropped.append((row,))
            surplus -= n_bytes
            if surplus <= 0:
                break
        db.executemany("DELETE FROM entries WHERE rowid = ?", dropped)
        return True

    def size(self) -> tuple[int, int]:
        """Return how many blobs there are, and about how many bytes they take."""
        with self._open(make=False) as db:
            if db is not None:
                (n,) = db.execute("SELECT count(*) FROM entries").fetchone()
                return n, _size(db)
        return 0, 0

    def clear(self) -> None:
        """Remove the file. A process that has it open goes on without what it puts being found by others.

        Raises:
            OSError: the file system refused.
        """
        with self._lock:
            self._close()
            self._remove()

    def close(self) -> None:
        """Let go of the file; it is opened again when it is used again."""
        with self._lock:
            self._close()

    def __del__(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _remove(self) -> None:
        for suffix in _SUFFIXES:
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _open(self, *, make: bool) -> Iterator[sqlite3.Connection | None]:
        """Lend the connection; None where there is none. What fails is as if nothing had been there."""
        with self._lock:
            try:
                if self._connection is None and (make or self._path.exists()):
                    self._connection = _connected(self._path)
            except sqlite3.OperationalError:
                pass  # locked for too long, a full disk, no permission
            except (sqlite3.Error, UnicodeDecodeError, ValueError):
                # damaged, or another's: it is made anew
                with contextlib.suppress(OSError):
                    self._remove()
            except OSError:
                pass
            try:
                yield self._connection
            except sqlite3.OperationalError:
                self._close()
            except (sqlite3.Error, UnicodeDecodeError):
                self._close()
                with contextlib.suppress(OSError):
                    self._remove()


def _connected(path: Path) -> sqlite3.Connection:
    """Open the file, or make it.

    Raises:
        ValueError: its tables are not those of a cache.
        sqlite3.Error, OSError: it cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        # vectors tell of texts: they are their owner's only
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=WAITING_SECONDS)
    try:
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        if not _tables(db):
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("BEGIN IMMEDIATE")
            if not _tables(db):
                db.execute(_ENTRIES)
                db.execute(_BY_USE)
            db.execute("COMMIT")
        db.execute("PRAGMA synchronous = NORMAL")
        if _tables(db) != (_ENTRIES, _BY_USE):
            raise ValueError(f"{path} has other tables")
    except BaseException:
        db.close()
        raise
    return db


def _tables(db: sqlite3.Connection) -> tuple[str, ...]:
    found = db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid").fetchall()
    return tuple(sql for (sql,) in found)


def _now(db: sqlite3.Connection) -> int:
    """Return the number of the last write: what is used without writing counts as used then."""
    return int(db.execute("SELECT coalesce(max(used), 0) FROM entries").fetchone()[0])


def _size(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(sum(n_bytes), 0) FROM entries").fetchone()[0])


def _hash(key: bytes, content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16, salt=key[:16].ljust(16, b"\0"), person=b"vecsearch blob").digest()
