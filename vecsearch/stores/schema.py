"""The SQLite database of an index: how it is opened, its tables, and how each format became the next one.

indexes/FORMAT.md describes the same for readers who have no Python at hand.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from sqlite_utils import Database, Migrations

from vecsearch.errors import (
    IndexDamagedError,
    IndexLockedError,
    IndexReadOnlyError,
    StorageError,
)
from vecsearch.stores.disk import Durability

__all__ = [
    "DATABASE_NAME",
    "FORMAT_VERSION",
    "after_commit",
    "checksum",
    "chunks",
    "connect",
    "damaged_row",
    "in_place",
    "integers",
    "marks",
    "mending",
    "migrations",
    "translated",
]

DATABASE_NAME = "meta.db"
# NORMAL: commits are not synced, but the database is before what it needs is dropped, so it is whole after a power loss
_SYNCHRONOUS: dict[Durability, str] = {"full": "FULL", "fast": "NORMAL"}
FORMAT_VERSION = 4
"""Number of the newest migration; an index that says more was made by a newer vecsearch."""

T = TypeVar("T")

migrations = Migrations("vecsearch")


# invariant: migrations are append-only. A released one is never changed, for indexes of its format exist.
@migrations(name="0001_initial")
def _initial(db: Database) -> None:
    for statement in _TABLES_1.split(";\n\n"):
        db.execute(statement)


@migrations(name="0002_codes")
def _codes(db: Database) -> None:
    for statement in _TABLES_2.split(";\n\n"):
        db.execute(statement)


@migrations(name="0003_rare_cells")
def _rare_cells(db: Database) -> None:
    """Change no table: codebooks of format 3 have a header of their own, and older ones are read as they are."""


@migrations(name="0004_artefacts")
def _artefacts(db: Database) -> None:
    """Add a table. In indexes of format 4 ``token_rows`` may hold rounded vectors too, as the manifest says."""
    db.execute(_TABLES_4)


_TABLES_1 = """
CREATE TABLE manifest (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE files (
    file_no INTEGER PRIMARY KEY,
    root TEXT NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    UNIQUE (root, path)
) STRICT;

CREATE TABLE documents (
    doc_no INTEGER PRIMARY KEY,
    doc_id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    metadata TEXT NOT NULL,
    content_hash BLOB NOT NULL,
    n_characters INTEGER NOT NULL,
    file_no INTEGER REFERENCES files,
    checksum INTEGER NOT NULL
) STRICT;

CREATE INDEX documents_by_file ON documents (file_no);

CREATE TABLE segments (
    segment_no INTEGER PRIMARY KEY,
    file TEXT NOT NULL UNIQUE,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    n_vectors INTEGER NOT NULL,
    dim INTEGER NOT NULL,
    crcs BLOB NOT NULL
) STRICT;

CREATE TABLE embedded (
    embedded_no INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    n_tokens INTEGER NOT NULL,
    n_references INTEGER NOT NULL,
    segment_no INTEGER REFERENCES segments,
    row_start INTEGER
) STRICT;

CREATE INDEX embedded_by_segment ON embedded (segment_no, row_start);

CREATE TABLE embedded_tokens (
    embedded_no INTEGER PRIMARY KEY REFERENCES embedded ON DELETE CASCADE,
    token_ids BLOB NOT NULL,
    token_rows BLOB,
    checksum INTEGER NOT NULL
) STRICT;

CREATE TABLE passages (
    passage_no INTEGER PRIMARY KEY,
    doc_no INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    start INTEGER NOT NULL,
    line INTEGER NOT NULL,
    embedded_no INTEGER REFERENCES embedded,
    n_terms INTEGER NOT NULL,
    text TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (doc_no, ordinal)
) STRICT;

CREATE INDEX passages_by_embedded ON passages (embedded_no, doc_no, n_terms);

CREATE TABLE passage_terms (
    passage_no INTEGER PRIMARY KEY REFERENCES passages ON DELETE CASCADE,
    term_nos BLOB NOT NULL,
    counts BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

CREATE TABLE terms (
    term_no INTEGER PRIMARY KEY,
    term TEXT NOT NULL UNIQUE,
    passage_frequency INTEGER NOT NULL
) STRICT;

CREATE VIRTUAL TABLE keywords USING fts5(
    text, content='', columnsize=0, tokenize='porter unicode61 remove_diacritics 2'
);

CREATE TABLE background (
    hash INTEGER NOT NULL,
    embedded_no INTEGER NOT NULL REFERENCES embedded ON DELETE CASCADE,
    position INTEGER NOT NULL,
    PRIMARY KEY (hash, embedded_no, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX background_by_embedded ON background (embedded_no);

CREATE TABLE metadata_types (
    key TEXT NOT NULL,
    type TEXT NOT NULL,
    n_documents INTEGER NOT NULL,
    PRIMARY KEY (key, type)
) STRICT, WITHOUT ROWID;

CREATE TABLE metadata_indexed (
    key TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE metadata_values (
    key TEXT NOT NULL,
    doc_no INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    type TEXT NOT NULL,
    value ANY NOT NULL
) STRICT;

CREATE INDEX metadata_values_by_value ON metadata_values (key, type, value);

CREATE INDEX metadata_values_by_document ON metadata_values (doc_no);

CREATE TABLE words (
    token_id INTEGER PRIMARY KEY,
    word TEXT NOT NULL UNIQUE,
    checksum INTEGER NOT NULL
) STRICT;

CREATE TABLE token_statistics (
    token_id INTEGER PRIMARY KEY,
    document_frequency INTEGER NOT NULL
) STRICT
"""

_TABLES_2 = """
CREATE TABLE codebooks (
    codebook_no INTEGER PRIMARY KEY,
    file TEXT NOT NULL UNIQUE,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    crcs BLOB NOT NULL,
    n_cells INTEGER NOT NULL,
    n_tokens INTEGER NOT NULL
) STRICT;

ALTER TABLE segments ADD COLUMN codebook_no INTEGER REFERENCES codebooks;

CREATE TABLE tuning (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""


_TABLES_4 = """
CREATE TABLE artefacts (
    name TEXT PRIMARY KEY,
    content BLOB NOT NULL
) STRICT
"""


def connect(path: Path, *, read_only: bool = False, durability: Durability = "full") -> Database:
    """Open the database of an index, durable as indexes/FORMAT.md says: WAL; synchronous=FULL, or NORMAL if fast.

    Args:
        path: of the database file.
        read_only: never write, not even to create the file.
        durability: of what is written.
    """
    uri = path.absolute().as_uri()
    connection = _connect_read_only(uri, path) if read_only else _connect(uri)
    try:
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
            connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        connection.close()
        raise
    return Database(connection)


def _connect_read_only(uri: str, path: Path) -> sqlite3.Connection:
    connection = _connect(uri + "?mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(path.name + "-journal").exists():
            # a power loss while the database came into being, before it had a -wal file: who may write takes back what
            # was begun, and that must be done before anybody reads
            connection = _connect(uri + "?mode=rw")
            try:
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                connection.execute("PRAGMA query_only = ON")
            except BaseException:
                connection.close()
                raise
            return connection
        # subtle: even a reader of a WAL database writes its -shm file. On a read-only medium, where nobody can be
        # writing, SQLite must be told that the file cannot change; with a -wal file left that would lose commits.
        if path.with_name(path.name + "-wal").exists():
            raise
        connection = _connect(uri + "?mode=ro&immutable=1")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        connection.close()
        raise
    return connection


def _connect(uri: str) -> sqlite3.Connection:
    # threads: each has a connection of its own (stores.embedded); close() may come from another thread
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)


def checksum(*parts: object) -> int:
    """Return the CRC-32 that a row carries of its own content: SQLite itself does not notice a flipped bit in a text.

    Bytes count as they are, anything else as its ``str`` in UTF-8, each part behind its length.

    Example:
        >>> checksum("a", 1) == zlib.crc32(b"1:a1:1")
        True
    """
    pieces: list[bytes] = []
    for part in parts:
        content = part if isinstance(part, bytes) else str(part).encode()
        pieces += (b"%d:" % len(content), content)
    return zlib.crc32(b"".join(pieces))


@contextlib.contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise about an index into errors of vecsearch.

    Raises:
        StorageError: disk full, no permission, an I/O error.
        IndexReadOnlyError: writing where that is not allowed.
        IndexLockedError: another process holds the database for too long.
        IndexDamagedError: the database file is not what was written.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(folder, error) from error
    except UnicodeDecodeError as error:
        # SQLite's own message, or a name in the schema, holds what is no text
        raise _translate(folder, sqlite3.DatabaseError("its schema is not text")) from error
    except OSError as error:
        kind = IndexReadOnlyError if isinstance(error, PermissionError) else StorageError
        raise kind(
            f"index {folder}: {error.strerror or error}: {error.filename or folder}; nothing of this step was "
            f"committed, earlier commits are safe",
            path=str(folder),
        ) from error


@contextlib.contextmanager
def in_place(folder: Path, what: str) -> Iterator[None]:
    """Turn what fails when what was asked for has its name already into an error that says so.

    Args:
        folder: that the error names.
        what: was asked for, as in "the backup".

    Raises:
        StorageError: the file system refused.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder}: {error.strerror or error}: {error.filename or folder}; {what} is in place, but the disk does "
            f"not say whether it has kept it: after a power loss it is there wholly or not at all; mend the disk and "
            f"do it again",
            path=str(folder),
        ) from error


@contextlib.contextmanager
def after_commit(folder: Path) -> Iterator[None]:
    """Turn what fails after the commit that was asked for into an error that says that the commit stands.

    Raises:
        StorageError, IndexReadOnlyError, IndexLockedError, IndexDamagedError: see ``translated``.
    """
    try:
        with translated(folder):
            yield
    except (StorageError, IndexReadOnlyError, IndexLockedError, IndexDamagedError) as error:
        if isinstance(error, IndexDamagedError):
            cause = error.message  # which says how it is mended
        else:
            cause = f"{error.__cause__ or error.message}; a later commit takes it up again"
        raise type(error)(
            f"index {folder}: what was added or deleted is committed, but the upkeep of segments after it failed: "
            f"{cause}",
            path=str(folder),
        ) from error


def _translate(folder: Path, error: sqlite3.Error) -> Exception:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_READONLY"):
        return IndexReadOnlyError(f"index {folder} cannot be written: {error}", path=str(folder))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return IndexLockedError(
            f"index {folder} is being changed by another process; try again when it is done", path=str(folder)
        )
    if name == "SQLITE_IOERR_FSYNC":
        # subtle: what the log holds after a sync that failed, the next process to open it takes for committed
        return StorageError(
            f"index {folder}: {error} ({name}); the disk does not say whether it has kept this step: it is there "
            f"wholly or not at all when the index is next opened, and earlier commits are safe; mend the disk, look "
            f"whether it is there, and run it again if not",
            path=str(folder),
        )
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_NOMEM")):
        return StorageError(
            f"index {folder}: {error} ({name}); nothing of this step was committed, earlier commits are safe; make "
            f"room or mend the permissions and run it again",
            path=str(folder),
        )
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError):
        return IndexDamagedError(
            f"the database of index {folder} is damaged: {error}; {mending(folder)}",
            path=str(folder),
        )
    return error


def chunks(values: Iterable[T], size: int = 500) -> Iterator[list[T]]:
    """Yield lists of at most ``size`` values: SQLite limits the parameters of a statement."""
    iterator = iter(values)
    while chunk := list(islice(iterator, size)):
        yield chunk


def marks(values: Sequence[object]) -> str:
    """Return as many parameter marks as there are values: ``?,?,?``."""
    return ",".join("?" * len(values))


def integers(rows: Iterable[Sequence[object]], n_columns: int, folder: Path, what: str) -> npt.NDArray[np.int64]:
    """Return rows of integers as an array int64 ``(n_rows, n_columns)``.

    Raises:
        IndexDamagedError: a value is no integer: a flipped bit may change the type of a value, STRICT or not.
    """
    try:
        return np.fromiter(chain.from_iterable(rows), np.int64).reshape(-1, n_columns)
    except (TypeError, ValueError, OverflowError) as error:
        raise damaged_row(folder, what) from error


def integer_columns(row: Sequence[object], folder: Path, what: str) -> npt.NDArray[np.int64]:
    """Return columns of integers as an array int64 ``(n_rows, n_columns)``, rows in any order.

    Args:
        row: of ``SELECT count(*), group_concat(column), ...``: a text a column takes a third of the time of a row
            each. SQLite makes texts of up to 10⁹ characters.
        folder: of the index; what: the table, for messages.

    Raises:
        IndexDamagedError: a value is no integer, or NULL; see ``integers``.
    """
    n_rows, *texts = row
    table = np.empty((int(str(n_rows)), len(texts)), np.int64)
    for number, text in enumerate(texts):
        written = str(text or "").encode()
        try:
            if written.translate(None, b"-0123456789,"):
                raise ValueError("something else than integers")
            table[:, number] = np.fromstring(written, np.int64, sep=",")
        except (ValueError, DeprecationWarning) as error:  # NumPy warns of what it cannot read to its end
            raise damaged_row(folder, what) from error
    return table


def damaged_row(folder: Path, what: str) -> IndexDamagedError:
    """Return the error for a row whose checksum is wrong."""
    return IndexDamagedError(
        f"index {folder}: {what} cannot be trusted: the row in meta.db is not what was written; {mending(folder)}",
        path=str(folder),
        row=what,
    )


def mending(folder: Path) -> str:
    """Return what a person does about a damaged database, as the end of a message."""
    return (
        f"`vecsearch verify --deep -i {folder.name}` names all that is damaged, `vecsearch repair -i {folder.name}` "
        f"mends it"
    )
