"""Reading what is left of a damaged or untrusted index: every row that proves to be what was written, past the rest.

Nothing here needs the index to be sound: no segment, codebook or index of a table is used, damaged pages of the
database are stepped over, and every row is believed only if its checksum is right. Given vectors apart, texts alone are
the truth; all else is made from them again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlite_utils import Database

from vecsearch import __version__
from vecsearch.errors import FormatVersionError, IndexDamagedError
from vecsearch.precision import RowFormat, row_bytes, unpacked
from vecsearch.stores.artefacts import examined_artefacts
from vecsearch.stores.reading import passage_checksum
from vecsearch.stores.schema import DATABASE_NAME, FORMAT_VERSION, checksum, connect, migrations, translated
from vecsearch.types import FileRecord

if TYPE_CHECKING:
    from vecsearch.types import Floats, Ids

__all__ = ["FoundDocument", "LostDocument", "Salvage", "are_rows", "reader", "refuse_newer", "refuse_strange_tables"]

_LAST = (1 << 63) - 1
# what the rest is made from; a table by another definition under one of these names is a stranger's
_TABLES = ("manifest", "counters", "files", "documents", "passages", "embedded", "embedded_tokens", "words")

Row = tuple[Any, ...]


@dataclass(frozen=True)
class FoundDocument:
    """A document that is whole.

    Attributes:
        id, title, metadata, content_hash: as stored; ``metadata`` parsed.
        text: of all passages.
        starts: first character of each passage, ascending from 0; empty where there is none.
        file: root and path of the file it belongs to, where known.
        vectors, token_ids: given vectors float32 ``(n_tokens, dim)`` and their ids int32, where the index has such.
    """

    id: str
    title: str
    metadata: dict[str, Any]
    content_hash: bytes
    text: str
    starts: Sequence[int]
    file: tuple[str, str] | None
    vectors: Floats | None = None
    token_ids: Ids | None = None


@dataclass(frozen=True)
class LostDocument:
    """A document that cannot be had back: its id where that can be read, and why."""

    id: str | None
    why: str
    file: tuple[str, str] | None = None


class Salvage:
    """Reads one commit of an index, however damaged. A context manager.

    Args:
        folder: of the index.
        given: how the vectors are stored that documents bring, which are then needed to have one back; None where they
            bring none.
        is_foreign: whether to touch nothing in the folder, not even SQLite's own files; nobody may write it meanwhile.

    Attributes:
        holes: what could not be read at all so far, one sentence each.

    Raises:
        IndexDamagedError: the database cannot be opened.
        FormatVersionError: a newer vecsearch made it.
        StorageError: the file system refused.
    """

    def __init__(self, folder: Path, *, given: RowFormat | None = None, is_foreign: bool = False) -> None:
        self.folder = folder
        self.holes: list[str] = []
        self._given = given
        with translated(folder):
            self._db = reader(folder, is_foreign=is_foreign)
            # a text of bytes that are no UTF-8 has the wrong checksum, which is all that is to be found out
            self._db.conn.text_factory = _lenient
            try:
                self._db.execute("BEGIN")
                refuse_newer(self._db, folder)
            except BaseException:
                self._db.conn.close()
                raise

    def __enter__(self) -> Salvage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._db.conn.close()

    def manifest(self) -> dict[str, Any]:
        """Return those rows of the manifest that can be read."""
        found = {}
        for key, value in self._plain("manifest", "SELECT key, value FROM manifest"):
            try:
                found[key] = json.loads(value)
            except (TypeError, ValueError):
                self.holes.append(f"the row {key!r} of the manifest makes no sense")
        return found

    def artefacts(self) -> dict[str, bytes]:
        """Return those artefacts that are what was written."""
        try:
            return examined_artefacts(self._db)[0]
        except sqlite3.Error as error:
            self.holes.append(f"artefacts cannot be read: {error}")
            return {}

    def counter(self, name: str) -> int:
        """Return a counter, 0 where it cannot be read."""
        for key, value in self._plain("counters", "SELECT name, value FROM counters"):
            if key == name and isinstance(value, int):
                return value
        return 0

    def files(self) -> list[FileRecord]:
        """Return the files that are recorded and whose documents were all committed."""
        found = []
        for _, root, path, size, mtime_ns, sha256 in self._rows("files", "root, path, size, mtime_ns, sha256"):
            kinds = (str, str, int, int, bytes)
            is_sense = all(map(isinstance, (root, path, size, mtime_ns, sha256), kinds)) and root and path
            if is_sense and size >= 0 and len(sha256) == 32:
                found.append(FileRecord(root, path, size, mtime_ns, sha256))
        return found

    def indexed_metadata(self) -> list[str]:
        """Return the metadata keys whose values are indexed."""
        rows = self._plain("metadata_indexed", "SELECT key FROM metadata_indexed")
        return [key for (key,) in rows if isinstance(key, str)]

    def documents(self) -> Iterator[FoundDocument | LostDocument]:
        """Yield every document, in the order of its number; those that cannot be had back are told as such."""
        files = {number: (root, path) for number, root, path in self._rows("files", "root, path")}
        # invariant: numbers of documents and of passages rise together, so that two passes side by side meet; what
        # damage brings out of order waits in ``early``
        passages = self._passages()
        waiting = next(passages, None)
        early: dict[int, list[Row]] = {}
        seen: set[int] = set()
        names: set[str] = set()
        n_holes = len(self.holes)
        columns = "doc_id, title, metadata, content_hash, n_characters, checksum, file_no"
        for number, *content, crc, file_no in self._rows("documents", columns):
            while waiting is not None and waiting[0] < number:
                early[waiting[0]] = waiting[1]
                waiting = next(passages, None)
            own = early.pop(number, [])
            if waiting is not None and waiting[0] == number:
                own = waiting[1]
                waiting = next(passages, None)
            seen.add(number)
            doc_id = content[0]
            if checksum(*content) != crc or not isinstance(doc_id, str):
                name = doc_id if isinstance(doc_id, str) else None
                yield LostDocument(name, "its record is not what was written", files.get(file_no))
                continue
            if doc_id in names:
                yield LostDocument(doc_id, "another document has its id", files.get(file_no))
                continue
            names.add(doc_id)
            yield self._whole(content, own, files.get(file_no))
        lost = set(early)
        while waiting is not None:
            lost.add(waiting[0])
            waiting = next(passages, None)
        lost -= seen
        if lost or len(self.holes) > n_holes or self.counter("n_documents") > len(seen):
            yield from self._unread(seen, lost)

    def names(self) -> dict[int, str]:
        """Return the ids of documents by number, as far as the index of ids can be read."""
        # subtle: this index holds ids and numbers, so the table itself is not touched
        statement = "SELECT doc_no, doc_id FROM documents INDEXED BY sqlite_autoindex_documents_1 ORDER BY doc_id"
        rows = self._plain("the index of document ids", statement)
        return {number: doc_id for number, doc_id in rows if isinstance(doc_id, str)}

    def _unread(self, seen: set[int], lost: set[int]) -> Iterator[LostDocument]:
        """Yield the documents whose records cannot be read: the index of ids may still name them."""
        for number, doc_id in self.names().items():
            if number not in seen:
                seen.add(number)
                lost.discard(number)
                yield LostDocument(doc_id, "its record cannot be read")
        n_unnamed = max(len(lost), self.counter("n_documents") - len(seen))
        for _ in range(min(n_unnamed, 1_000_000)):
            yield LostDocument(None, "neither its record nor its id can be read")

    def _whole(
        self, content: Sequence[Any], passages: list[Row], file: tuple[str, str] | None
    ) -> FoundDocument | LostDocument:
        doc_id, title, metadata, content_hash, n_characters = content
        text = "".join(row[1] for row in passages)
        starts = [row[0] for row in passages]
        expected = [0]
        for row in passages:
            expected.append(expected[-1] + len(row[1]))
        if len(text) != n_characters or starts != expected[:-1]:
            return LostDocument(doc_id, "a passage of its text is not what was written, or cannot be read", file)
        try:
            parsed = json.loads(metadata)
        except (TypeError, ValueError):
            parsed = None
        if not isinstance(parsed, dict) or not isinstance(title, str) or not isinstance(content_hash, bytes):
            return LostDocument(doc_id, "its record makes no sense", file)
        if self._given is None:
            return FoundDocument(doc_id, title, parsed, content_hash, text, starts, file)
        given = self._given_vectors(self._given, [row[2] for row in passages])
        if given is None:
            return LostDocument(doc_id, "its given vectors are not what was written, or cannot be read", file)
        return FoundDocument(doc_id, title, parsed, content_hash, text, starts, file, *given)

    def _given_vectors(self, row_format: RowFormat, numbers: Sequence[Any]) -> tuple[Floats, Ids | None] | None:
        all_rows, all_ids = [], []
        for number in numbers:
            statement = "SELECT token_ids, token_rows, checksum FROM embedded_tokens WHERE embedded_no = ?"
            found = list(self._plain(f"the tokens of embedded passage {number}", statement, [number]))
            if len(found) != 1:
                return None
            ids, rows, crc = found[0]
            if not isinstance(ids, bytes) or not isinstance(rows, bytes) or checksum(number, ids, rows) != crc:
                return None
            if not are_rows(row_format, ids, rows):
                return None
            all_ids.append(np.frombuffer(ids, "<i4").astype(np.int32))
            all_rows.append(unpacked(rows, row_format.dim, row_format.precision))
        if not all_rows:
            return None
        token_ids = np.concatenate(all_ids)
        return np.concatenate(all_rows), None if np.any(token_ids < 0) else token_ids

    def _passages(self) -> Iterator[tuple[int, list[Row]]]:
        """Yield, by document, the passages that are what was written: start, text, number of the embedded passage."""
        document = -1
        found: list[Row] = []
        columns = "doc_no, ordinal, start, line, embedded_no, n_terms, text, checksum"
        for _, *content, crc in self._rows("passages", columns):
            if passage_checksum(content) != crc:
                continue
            doc_no, ordinal, start, _, embedded_no, _, text = content
            if doc_no != document:
                if found:
                    yield document, found
                document, found = doc_no, []
            if ordinal == len(found):
                found.append((start, text, embedded_no))
        if found:
            yield document, found

    def _plain(self, what: str, statement: str, parameters: Sequence[object] = ()) -> Iterator[Row]:
        """Yield rows up to the first that cannot be read."""
        try:
            yield from self._db.execute(statement, parameters)
        except sqlite3.Error as error:
            self.holes.append(f"{what} cannot be read: {error}")

    def _rows(self, table: str, columns: str) -> Iterator[Row]:
        """Yield the rows of a table by number, that first, past all that cannot be read."""
        keys = {"files": "file_no", "documents": "doc_no", "passages": "passage_no"}
        key = keys[table]
        statement = (
            f"SELECT {key}, {columns} FROM {table} NOT INDEXED "  # noqa: S608 - constants
            f"WHERE {key} BETWEEN ? AND {_LAST} ORDER BY {key}"
        )
        first = -_LAST
        while True:
            try:
                for row in self._db.execute(statement, [first]):
                    yield row
                    first = row[0] + 1
                return
            except sqlite3.Error as error:
                # subtle: a cursor looks one row ahead and drops the one it has where that cannot be read
                single = self._read_one(f"{statement} LIMIT 1", first)
                if single:
                    yield single[0]
                    first = single[0][0] + 1
                    continue
                after = self._next_readable(f"{statement} LIMIT 1", first)
                end = "the end" if after is None else f"{after - 1:,}"
                begin = f"{first:,}" if first > 0 else "the beginning"
                self.holes.append(f"{table} from number {begin} to {end} at most cannot be read: {error}")
                if after is None:
                    return
                first = after

    def _next_readable(self, statement: str, first: int) -> int | None:
        """Return the smallest number, up to a page's end, from which on a row or the end can be read; None: none."""
        start = max(first, 0)
        bad, good, step = first, None, 1
        while start + step <= _LAST:
            if self._can_read(statement, start + step):
                good = start + step
                break
            bad, step = start + step, 2 * step
        if good is None:
            return None
        while good - bad > 1:
            middle = (good + bad) // 2
            if self._can_read(statement, middle):
                good = middle
            else:
                bad = middle
        return good

    def _can_read(self, statement: str, first: int) -> bool:
        return self._read_one(statement, first) is not None

    def _read_one(self, statement: str, first: int) -> list[Row] | None:
        """Return the first row from a number on, none at the end; None where it cannot be read."""
        try:
            return self._db.execute(statement, [first]).fetchall()
        except sqlite3.Error:
            return None


def reader(folder: Path, *, is_foreign: bool = False) -> Database:
    """Open the database of an index to read it, beside a writer too where the folder may be written.

    Raises:
        sqlite3.Error, FileNotFoundError: it cannot be opened.
    """
    path = folder / DATABASE_NAME
    if not path.is_file():
        # subtle: a connection that may write would make it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    log = path.with_name(f"{path.name}-wal")
    if is_foreign and not (log.exists() and log.stat().st_size):
        return _untouched(path)
    if not is_foreign and os.access(path, os.W_OK) and os.access(folder, os.W_OK):
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            return connect(path)
    return connect(path, read_only=True)


def refuse_newer(db: Database, folder: Path) -> None:
    """Refuse an index that a newer vecsearch made: what it holds is not known here.

    Raises:
        FormatVersionError: both the manifest and the migrations say so; one of them alone is damage.
    """
    try:
        rows = db.execute("SELECT value FROM manifest WHERE key = 'format_version'").fetchall()
        names = db.execute("SELECT name FROM _sqlite_migrations").fetchall()
        found = int(json.loads(rows[0][0]))
        newest = max(int(str(name).partition("_")[0]) for (name,) in names)
    except (sqlite3.Error, ValueError, TypeError, IndexError):
        return
    if found > FORMAT_VERSION and newest > FORMAT_VERSION:
        raise FormatVersionError(
            f"index {folder} has format {found}; this is vecsearch {__version__}, which knows formats up to "
            f"{FORMAT_VERSION}: install a newer one",
            path=str(folder),
            found=found,
            supported=FORMAT_VERSION,
        )


def _untouched(path: Path) -> Database:
    # subtle: even a connection that only reads makes files beside a WAL database, unless it is told that nobody writes
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return Database(connection)


def refuse_strange_tables(folder: Path) -> None:
    """Refuse a database whose tables are not defined as vecsearch defines them: views and triggers can do much.

    Raises:
        IndexDamagedError: one is another; names it.
    """
    own = Database(memory=True)
    try:
        migrations.apply(own)
        wanted = dict(own.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall())
    finally:
        own.conn.close()
    with translated(folder):
        db = reader(folder, is_foreign=True)
        try:
            rows = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
        finally:
            db.conn.close()
    found = {name: sql for kind, name, _, sql in rows if kind == "table"}
    strange = [name for kind, name, _, _ in rows if kind in ("view", "trigger")]
    strange += [name for name in _TABLES if name in found and found[name] != wanted[name]]
    missing = [name for name in _TABLES if name not in found]
    if strange or missing:
        what = f"has {', '.join(map(repr, strange))}" if strange else f"lacks {', '.join(missing)}"
        raise IndexDamagedError(
            f"the database in {folder} {what}, which no vecsearch made so; do not use it",
            path=str(folder),
        )


def are_rows(row_format: RowFormat, ids: bytes, rows: bytes) -> bool:
    """Return whether there are ids, and as many rows of a format as ids."""
    size = row_bytes(row_format.precision, row_format.dim)
    return bool(ids) and len(ids) % 4 == 0 and len(rows) == len(ids) // 4 * size


def _lenient(content: bytes) -> str:
    return content.decode("utf-8", "replace")
