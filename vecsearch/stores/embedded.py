"""The embedded store: one folder with a SQLite database, which is the truth, and FAISS segments made from it.

The COMMIT of one SQLite transaction is the commit point of everything. A segment is on disk, synced, before the
transaction that names it is committed; a segment that no commit names is removed by the next writer.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlite_utils import Database

from vecsearch.budget import MEMORY, checked_memory
from vecsearch.errors import IndexClosedError, IndexDamagedError, IndexReadOnlyError
from vecsearch.precision import RowFormat
from vecsearch.stores import last_commit, manifest, metadata, reading, verification, writing
from vecsearch.stores.analysis import Analyzer
from vecsearch.stores.coded import Coded
from vecsearch.stores.coding import load_codes
from vecsearch.stores.disk import Disk, Durability
from vecsearch.stores.files import SUFFIXES
from vecsearch.stores.locking import lock_folder
from vecsearch.stores.manifest import segment_records
from vecsearch.stores.protocol import Batch, Capabilities, Compare, Depth, Encode, StoredDocument, TokenBatch
from vecsearch.stores.reading import EmbeddedSnapshot, counter, generation_of
from vecsearch.stores.schema import (
    DATABASE_NAME,
    FORMAT_VERSION,
    chunks,
    connect,
    damaged_row,
    integer_columns,
    marks,
    translated,
)
from vecsearch.stores.segments import load_segment
from vecsearch.stores.upkeep import LoadedCodebook, Upkeep
from vecsearch.stores.views import Part, View, fresh_part, segment_part
from vecsearch.types import FileRecord
from vecsearch.worker import Worker

if TYPE_CHECKING:
    from vecsearch.stores.codes import Codes
    from vecsearch.stores.manifest import CodebookRecord
    from vecsearch.stores.protocol import Numbers
    from vecsearch.stores.segments import SegmentRecord
    from vecsearch.types import Floats, Ids

__all__ = ["EmbeddedStore"]


class EmbeddedStore:
    """Implements ``stores.protocol.Store`` in a folder.

    Args:
        folder: of an index that ``stores.creation.create`` has made.
        encode: computes position-aware vectors of passages from what is stored of them.
        row_format: of stored rows, or, where there are none, the length of a vector alone.
        is_static: whether the vectors follow from the token ids.
        compare: encodes passages and compares them with a query in one go, where that can be done.
        read_only: refuse to write.
        durability: of what is written.
        memory: bytes that the process may take while it writes, ``LEAST_MEMORY`` or more.
    """

    capabilities = Capabilities(durable=True, exact=True, concurrent_readers=True)

    def __init__(
        self,
        folder: Path,
        encode: Encode,
        row_format: RowFormat,
        *,
        is_static: bool = False,
        compare: Compare | None = None,
        read_only: bool = False,
        durability: Durability = "full",
        memory: int = MEMORY,
    ) -> None:
        self.folder = folder
        self.read_only = read_only
        self._encode = encode
        self._compare = compare
        self._row_format = row_format
        self._lending = threading.Lock()
        self._idle: list[Database] = []
        self._closed = False
        self._guard = threading.Lock()
        self._views: dict[int, View] = {}
        self._mapped: dict[str, Floats] = {}
        self._codes: dict[str, Codes] = {}
        self._codebook = LoadedCodebook(folder, self._alone if is_static else None)
        self._disk = Disk(folder, durability)
        self._fresh: dict[int, Floats] = {}
        self._writing = threading.RLock()
        self._writer: writing.Writer | None = None
        self._lock: Any = None
        self._may_have_strays = True
        self._may_lack_commits = True
        self._memory = checked_memory(memory)

    def _alone(self, types: Ids) -> Floats:
        """Return the vectors that tokens have when each stands alone."""
        return self._encode(TokenBatch(np.arange(len(types) + 1), types))

    @cached_property
    def _analyzer(self) -> Analyzer:
        return Analyzer()

    # reading

    @contextlib.contextmanager
    def snapshot(self, *, vectors: bool = True) -> Iterator[EmbeddedSnapshot]:
        with self._reading() as db:
            view = self._view(db) if vectors else None
            analyzer = self._analyzer if vectors else None
            yield EmbeddedSnapshot(db, view, self.folder, self._row_format, self._encode, analyzer, self._compare)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Database]:
        """Lend a connection that sees one commit, and that no other thread uses or closes meanwhile."""
        with translated(self.folder):
            with self._lending:
                self._check_open()
                db = self._idle.pop() if self._idle else None
            if db is None:
                db = connect(self.folder / DATABASE_NAME, read_only=self.read_only or not _is_writable(self.folder))
            try:
                db.execute("BEGIN")
                if self._may_lack_commits:
                    last_commit.refuse_if_lost(db, self.folder)
                    self._may_lack_commits = False
                yield db
            finally:
                if db.conn.in_transaction:
                    db.execute("ROLLBACK")
                with self._lending:
                    if not self._closed:
                        self._idle.append(db)
                    else:
                        db.conn.close()

    def _check_open(self) -> None:
        if self._closed:
            raise IndexClosedError(f"index {self.folder} is closed", path=str(self.folder))

    def _view(self, db: Database) -> View:
        while True:
            generation = generation_of(db)
            with self._guard:
                view = self._views.get(generation)
                if view is not None:
                    return view
                try:
                    view = self._build_view(db, generation)
                except IndexDamagedError:
                    # a compaction may have removed a segment that this transaction still names: look again
                    db.execute("ROLLBACK")
                    db.execute("BEGIN")
                    if generation_of(db) == generation:
                        raise
                    continue
                newest = sorted(self._views)[-1:]
                self._views = {generation: view} | {number: self._views[number] for number in newest}
                return view

    def _build_view(self, db: Database, generation: int) -> View:
        records = dict(segment_records(db))
        codebook = manifest.codebook_record(db)
        have_codes = any(record.codebook_no is not None for record in records.values())
        with Worker() as worker:  # files are checked while the database is read
            loading = worker.submit(lambda: self._loaded_codes(records, codebook)) if have_codes else None
            columns = db.execute(
                "SELECT count(*), group_concat(embedded_no), group_concat(n_tokens), "
                "group_concat(coalesce(segment_no, -1)), group_concat(coalesce(row_start, 0)) FROM embedded"
            ).fetchone()
            table = integer_columns(columns, self.folder, "the table of what is embedded")
            passages = reading.read_passages(db, self.folder)
            loaded = {} if loading is None else loading.result()
        if not _are_all_in(passages.embedded, table[:, 0]):
            raise damaged_row(self.folder, "the table of passages, or of what is embedded,")
        parts: list[Part] = []
        mapped: dict[str, Floats] = {}
        codes: dict[str, Codes] = {}
        is_coded = np.zeros(len(table), bool)
        for segment_no in np.unique(table[:, 2]).tolist():
            is_in = table[:, 2] == segment_no
            if segment_no != -1 and segment_no not in records:
                raise damaged_row(self.folder, f"segment {segment_no}")
            if segment_no in loaded:
                found = loaded[segment_no]
                if isinstance(found, IndexDamagedError):
                    raise found
                codes[records[segment_no].file] = found
                is_coded |= is_in
                continue
            some = table[is_in]
            numbers, lengths, _, starts = some[np.lexsort((some[:, 0], some[:, 3]))].T
            if segment_no == -1:
                parts.append(self._fresh_part(db, np.ascontiguousarray(numbers)))
                continue
            record = records[segment_no]
            vectors = self._mapped.get(record.file)
            if vectors is None:
                vectors = load_segment(self.folder, record)
            mapped[record.file] = vectors
            try:
                parts.append(segment_part(vectors, numbers, starts, lengths))
            except ValueError as error:
                raise damaged_row(self.folder, f"the table of what is in segment {record.file}") from error
        self._mapped, self._codes = mapped, codes
        coded = None
        if codes and codebook is not None:
            numbers, lengths = table[is_coded, 0], table[is_coded, 1]
            order = np.argsort(numbers, kind="stable")  # fast where most are in order
            depth = manifest.read_depth(db, self.folder)
            coded = Coded(self._codebook.of(codebook), list(codes.values()), numbers[order], lengths[order], depth)
        return View(generation, parts, passages, coded)

    def _loaded_codes(
        self, records: Mapping[int, SegmentRecord], codebook: CodebookRecord | None
    ) -> dict[int, Codes | IndexDamagedError]:
        """Return the codes of the segments that have any, or what is wrong with them."""
        found: dict[int, Codes | IndexDamagedError] = {}
        for number, record in records.items():
            if record.codebook_no is None:
                continue
            try:
                if codebook is None or codebook.number != record.codebook_no:
                    raise damaged_row(self.folder, f"segment {number}, or its codebook,")
                known = self._codes.get(record.file)
                found[number] = known or load_codes(self.folder, record, self._codebook.of(codebook))
            except IndexDamagedError as error:  # to be raised if the segment still holds anything
                found[number] = error
        return found

    def _fresh_part(self, db: Database, numbers: np.ndarray) -> Part:
        # invariant: numbers of embedded passages are never reused, so what was encoded once stays right
        missing = [number for number in numbers.tolist() if number not in self._fresh]
        if missing:
            tokens = reading.read_tokens(db, missing, self._row_format, self.folder)
            vectors = self._encode(tokens)
            pieces = np.split(vectors, tokens.offsets[1:-1])
            self._fresh.update(zip(missing, pieces, strict=True))
        self._fresh = {number: self._fresh[number] for number in numbers.tolist()}
        return fresh_part(self._fresh, numbers, self._row_format.dim)

    def words(self, ids: Ids) -> list[str]:
        wanted = set(ids.tolist())
        writer = self._writer
        found = {} if writer is None else dict(writer.staged_words(ids))
        with self._reading() as db:
            for chunk in chunks(wanted.difference(found)):
                found.update(reading.read_words(db, self.folder, chunk))
        if lacking := wanted.difference(found):
            raise damaged_row(self.folder, f"the vocabulary, which lacks {len(lacking)} words,")
        return [found[number] for number in ids.tolist()]

    def records(self, doc_ids: Sequence[str]) -> dict[str, StoredDocument]:
        with self._reading() as db:
            return reading.read_records(db, doc_ids, self.folder)

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        with self._reading() as db:
            return {
                key
                for chunk in chunks(keys)
                for (key,) in db.execute(
                    f"SELECT key FROM embedded WHERE key IN ({marks(chunk)})",  # noqa: S608 - only marks
                    chunk,
                )
            }

    def files(self, root: str) -> dict[str, FileRecord]:
        with self._reading() as db:
            return {
                row[1]: FileRecord(*row)
                for row in db.execute(
                    "SELECT root, path, size, mtime_ns, sha256 FROM files WHERE root = ? AND size >= 0", [root]
                )
            }

    def file_documents(self, root: str, paths: Iterable[str]) -> list[str]:
        with self._reading() as db:
            return [
                doc_id
                for path in paths
                for (doc_id,) in db.execute(
                    "SELECT doc_id FROM documents JOIN files USING (file_no) WHERE root = ? AND path = ?", [root, path]
                )
            ]

    def vocabulary(self, limit: int | None) -> list[tuple[int, str, int]]:
        with self._reading() as db:
            return list(
                db.execute(
                    "SELECT token_id, word, document_frequency FROM words JOIN token_statistics USING (token_id) "
                    "ORDER BY document_frequency DESC, token_id LIMIT ?",
                    [-1 if limit is None else limit],
                )
            )

    def indexed_metadata(self) -> frozenset[str]:
        with self._reading() as db:
            return metadata.indexed_keys(db)

    def info(self) -> dict[str, Any]:
        with self._reading() as db:
            segments = [record for _, record in segment_records(db)]
            codebook = manifest.codebook_record(db)
            database = sum(
                path.stat().st_size
                for suffix in ("", "-wal", "-shm")
                if (path := self.folder / (DATABASE_NAME + suffix)).exists()
            )
            (fresh, held) = db.execute(
                "SELECT coalesce(sum(n_tokens) FILTER (WHERE segment_no IS NULL), 0), "
                "coalesce(sum(n_tokens) FILTER (WHERE segment_no IS NOT NULL), 0) FROM embedded"
            ).fetchone()
            (version,) = db.execute("SELECT value FROM manifest WHERE key = 'format_version'").fetchone()
            return {
                "generation": generation_of(db),
                **{name: counter(db, name) for name in ("n_documents", "n_passages", "n_tokens")},
                "n_embedded_passages": db.execute("SELECT count(*) FROM embedded").fetchone()[0],
                "n_words": db.execute("SELECT count(*) FROM words").fetchone()[0],
                "n_segments": len(segments),
                "n_fresh_tokens": fresh,
                "n_dead_rows": sum(record.n_vectors for record in segments) - held,
                "bytes": {
                    "database": database,
                    "segments": sum(record.stored.size for record in segments),
                    "codebook": 0 if codebook is None else codebook.stored.size,
                },
                "approximate": None
                if codebook is None
                else {
                    "n_cells": codebook.n_cells,
                    "n_tokens_trained_for": codebook.n_tokens,
                    "n_tokens_coded": sum(one.n_vectors for one in segments if one.codebook_no is not None),
                    **asdict(manifest.read_depth(db, self.folder)),
                },
                "format_version": int(version),
                "newest_format_version": FORMAT_VERSION,
                "last_verified": verification.last_verified(self.folder),
                "bytes_free": shutil.disk_usage(self.folder).free,
                "segments": [
                    {
                        "file": record.file,
                        "bytes": record.stored.size,
                        "n_rows": record.n_vectors,
                        "is_coded": record.codebook_no is not None,
                    }
                    for record in segments
                ],
            }

    def manifest(self) -> dict[str, str]:
        """Return the manifest: format version, identity, configuration and origin of the index."""
        with self._reading() as db:
            return dict(db.execute("SELECT key, value FROM manifest"))

    def verify(self) -> list[str]:
        with self._reading() as db:
            return list(verification.damages(db, self.folder))

    # writing

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._exclusive():
            yield

    def intern(self, words: Sequence[str]) -> Ids:
        with self._exclusive() as writer:
            return writer.intern(words)

    def write(self, batch: Batch) -> int:
        with self._exclusive() as writer:
            return self._upkeep(writer).write(batch)

    def index_metadata(self, keys: Sequence[str]) -> None:
        with self._exclusive() as writer:
            writer.index_metadata(keys)

    def set_depth(self, depth: Depth) -> None:
        with self._exclusive() as writer:
            writer.write_depth(depth)

    def touch_files(self, records: Iterable[FileRecord]) -> None:
        with self._exclusive() as writer:
            writer.touch_files(records)

    def remove_files(self, root: str, paths: Iterable[str]) -> int:
        with self._exclusive() as writer:
            return writer.remove_files(root, list(paths))

    def flush(self) -> None:
        with self._exclusive() as writer:
            self._upkeep(writer).flush()

    def compact(self) -> None:
        with self._exclusive() as writer:
            # everything is encoded again from the tokens, so this also mends a missing or damaged segment
            self._upkeep(writer).rewrite()

    def _upkeep(self, writer: writing.Writer) -> Upkeep:
        return Upkeep(writer, self._disk, self._encode, self._row_format, self._codebook, self._memory)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[writing.Writer]:
        """Hold the writer of this index; the first use takes the lock file and clears what a dead writer left."""
        with self._writing, translated(self.folder):
            self._check_open()
            if self.read_only:
                raise IndexReadOnlyError(f"index {self.folder} was opened read-only", path=str(self.folder))
            if self._writer is None:
                self._lock, self._writer = self._begin_to_write()
            if self._may_have_strays:
                self._remove_strays(self._writer.db)
                self._may_have_strays = False
            try:
                yield self._writer
            except BaseException:
                # a segment of a commit that did not come about; removed before the next one, not while it is used
                self._may_have_strays = True
                raise

    def _begin_to_write(self) -> tuple[Any, writing.Writer]:
        """Return the lock and the writer of this index, its format up to date."""
        try:
            return self._locked_writer()
        except sqlite3.OperationalError as error:
            if not str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_READONLY"):
                raise
            # subtle: where SQLite could not open meta.db-shm for writing once, every connection of this process reads
            # only, as long as one of those from then is open
            self._close_idle()
            return self._locked_writer()

    def _close_idle(self) -> None:
        with self._lending:
            for db in self._idle:
                db.conn.close()
            self._idle.clear()

    def _locked_writer(self) -> tuple[Any, writing.Writer]:
        with contextlib.ExitStack() as undo:
            lock = lock_folder(self.folder)
            undo.callback(lock.release)
            db = connect(self.folder / DATABASE_NAME, durability=self._disk.durability)
            undo.callback(db.conn.close)
            # subtle: what SQLite cannot open for writing it opens for reading, and says so only when it is to write
            db.execute("DELETE FROM counters WHERE 0")
            self._disk.settle(manifest.file_names(db))
            last_commit.refuse_if_lost(db, self.folder)
            committed = partial(last_commit.note_commit, self._disk)
            writer = writing.Writer(db, self.folder, self._row_format, self._memory, committed)
            writer.migrate()
            undo.pop_all()
        return lock, writer

    def _remove_strays(self, db: Database) -> None:
        named = manifest.file_names(db)
        for path in self.folder.iterdir():
            if path.suffix == ".tmp" or (path.suffix in SUFFIXES and path.name not in named):
                self._disk.remove(path.name)

    def close(self) -> None:
        with self._writing, self._guard:
            if self._writer is not None:
                self._writer.db.conn.close()
                self._writer = None
            with self._lending:
                # connections that are lent are closed by those who return them
                self._closed = True
            self._close_idle()
            self._views.clear()
            self._mapped.clear()
            self._codes.clear()
            self._codebook.forget()
            self._fresh.clear()
            if self._lock is not None:
                self._lock.release()
                self._lock = None


def _is_writable(folder: Path) -> bool:
    # subtle: even to read, SQLite makes files beside a database that it may write
    return os.access(folder / DATABASE_NAME, os.W_OK) and os.access(folder, os.W_OK)


def _are_all_in(numbers: Numbers, known: Numbers) -> bool:
    """Whether all of some numbers ≥ 0 are known."""
    if not len(numbers) or not len(known):
        return not len(numbers)
    top = int(known.max())
    if numbers.min() < 0 or numbers.max() > top or known.min() < 0:
        return False
    if top > 8 * (len(known) + 1_000):  # numbers of what was deleted are not given again
        return bool(np.isin(numbers, known).all())
    is_known = np.zeros(top + 1, bool)
    is_known[known] = True
    return bool(is_known[numbers].all())
