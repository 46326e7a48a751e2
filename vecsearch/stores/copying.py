"""Copying an index while others use it, and the few things that must be known before one folder replaces another."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sqlite_utils import Database

from vecsearch.errors import IndexDamagedError, IndexLockedError, StorageError
from vecsearch.precision import RowFormat
from vecsearch.stores import manifest
from vecsearch.stores.embedded import EmbeddedStore
from vecsearch.stores.locking import lock_folder
from vecsearch.stores.reading import generation_of
from vecsearch.stores.salvage import reader
from vecsearch.stores.schema import DATABASE_NAME, FORMAT_VERSION, connect, translated

if TYPE_CHECKING:
    from vecsearch.stores.files import StoredFile
    from vecsearch.stores.protocol import TokenBatch
    from vecsearch.types import Floats

__all__ = ["Held", "database_facts", "held", "migrate", "quiet", "raise_generation"]

_TRIES = 20
_VERSION = "SELECT value FROM manifest WHERE key = 'format_version'"


@dataclass(frozen=True)
class Held:
    """One commit of an index whose files stay readable, whatever a writer removes meanwhile.

    Attributes:
        folder: of the index.
        db: connection with an open read transaction.
        generation: of the commit.
        format_version: of the index.
        files: what the manifest says of each immutable file, with the file itself, open.
    """

    folder: Path
    db: Database
    generation: int
    format_version: int
    files: list[tuple[StoredFile, BinaryIO]]

    def copy_database(self, path: Path) -> None:
        """Write the database of this commit as one file, SQLite's own log taken in.

        Raises:
            IndexDamagedError: a page cannot be read.
            StorageError: the file system refused.
        """
        with translated(self.folder), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as copy:
            # subtle: a backup from a connection that reads already is of what it sees, and in one step of it all
            self.db.conn.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode = DELETE")


@contextlib.contextmanager
def held(folder: Path) -> Iterator[Held]:
    """Hold one commit of an index.

    Raises:
        IndexDamagedError: the database cannot be read, or a file that it names is missing.
        StorageError: the file system refused, or the files changed faster than they could be opened.
    """
    with translated(folder), contextlib.closing(reader(folder).conn) as connection:
        db = Database(connection)
        for attempt in range(_TRIES):
            with contextlib.ExitStack() as files:
                db.execute("BEGIN")
                version = db.execute(_VERSION).fetchone()
                try:
                    commit = Held(folder, db, generation_of(db), json.loads(version[0]), _opened(db, folder, files))
                except FileNotFoundError as error:
                    # a merge removes what it replaced: what is named now is there
                    generation = generation_of(db)
                    db.execute("ROLLBACK")
                    if generation_of(db) == generation and attempt:
                        raise _missing(folder, Path(error.filename)) from error
                    continue
                try:
                    yield commit
                finally:
                    if db.conn.in_transaction:
                        db.execute("ROLLBACK")
                return
    raise StorageError(
        f"index {folder} changed {_TRIES} times while its files were being opened; try again", path=str(folder)
    )


def _missing(folder: Path, path: Path) -> IndexDamagedError:
    return IndexDamagedError(
        f"{path.suffix[1:]} {path} is missing; `vecsearch compact -i {folder.name}` writes all segments anew",
        path=str(path),
    )


def _opened(db: Database, folder: Path, files: contextlib.ExitStack) -> list[tuple[StoredFile, BinaryIO]]:
    records = [record.stored for _, record in manifest.segment_records(db)]
    codebook = manifest.codebook_record(db)
    if codebook is not None:
        records.append(codebook.stored)
    return [(stored, files.enter_context(open(folder / stored.file, "rb"))) for stored in records]


@contextlib.contextmanager
def quiet(folder: Path) -> Iterator[None]:
    """Keep writers out of an index, and make sure that nobody else has it open at the beginning.

    A process that had the database open would, on closing it, remove the log of the one that took its place.

    Raises:
        IndexLockedError: somebody writes it, or has it open.
        IndexReadOnlyError, StorageError: the file system refused.
    """
    with translated(folder):
        lock = lock_folder(folder)
        try:
            _refuse_if_open(folder)
            yield
        finally:
            lock.release()


def _refuse_if_open(folder: Path) -> None:
    path = folder / DATABASE_NAME
    if not path.is_file():
        return
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=1)
        with contextlib.closing(connection):
            # subtle: with this set before the first access, a WAL database is opened alone or not at all
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise IndexLockedError(
                f"index {folder} is open in another process or Index object; close it there first", path=str(folder)
            ) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return  # so damaged that nobody can have it open


def migrate(folder: Path, *, dry_run: bool) -> tuple[int, int]:
    """Bring an index to the newest format, in one transaction.

    Args:
        folder: of the index.
        dry_run: only tell.

    Returns:
        The format before and after; the same where there is nothing to do.

    Raises:
        IndexLockedError: somebody writes it.
        IndexReadOnlyError, StorageError: the file system refused; the index is as it was.
        IndexDamagedError: the database cannot be read.
    """
    with translated(folder):
        with contextlib.closing(reader(folder).conn) as connection:
            before = int(json.loads(Database(connection).execute(_VERSION).fetchone()[0]))
        if dry_run or before == FORMAT_VERSION:
            return before, FORMAT_VERSION
    # the first use of a writer brings the format up to date
    store = EmbeddedStore(folder, _no_vectors, RowFormat(1))
    with contextlib.closing(store), store.exclusive():
        return before, FORMAT_VERSION


def _no_vectors(_: TokenBatch) -> Floats:
    raise AssertionError("a migration makes no vectors")


def raise_generation(folder: Path, generation: int) -> None:
    """Make the number of the next commit larger than one that readers of an earlier folder may have seen."""
    with translated(folder), contextlib.closing(connect(folder / DATABASE_NAME).conn) as connection:
        connection.execute("UPDATE counters SET value = max(value, ?) WHERE name = 'generation'", [generation + 1])


def database_facts() -> dict[str, object]:
    """Return the version of SQLite, and whether it has what an index needs."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
            has_fts5 = True
        except sqlite3.Error:
            has_fts5 = False
    return {"version": sqlite3.sqlite_version, "has_fts5": has_fts5, "newest_format": FORMAT_VERSION}
