"""The one writer of an embedded store: every method that changes something is one SQLite transaction."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlite_utils import Database

from vecsearch.budget import MEMORY
from vecsearch.precision import RowFormat, packed
from vecsearch.stores.keywords import KeywordWriter, keyword_text
from vecsearch.stores.manifest import NewCodebook, insert_codebook, insert_segment, write_depth
from vecsearch.stores.metadata import MetadataWriter
from vecsearch.stores.protocol import Batch, Depth, PreparedDocument, TokenBatch
from vecsearch.stores.reading import counter, generation_of, passage_checksum, read_tokens, read_words
from vecsearch.stores.sampling import SampleWriter
from vecsearch.stores.schema import FORMAT_VERSION, checksum, chunks, integer_columns, marks, migrations
from vecsearch.stores.segments import SegmentRecord
from vecsearch.types import FileRecord

if TYPE_CHECKING:
    from vecsearch.stores.coding import Placed
    from vecsearch.stores.protocol import Numbers
    from vecsearch.types import Ids, Offsets

__all__ = ["Writer"]

CACHE_SHARE = 32
"""The pages of the database in memory take so great a part of what the process may take."""
_UNFINISHED = -1
"""Size of a file whose last document is not committed yet: no real size, so the next run reads the file again."""


class Writer:
    """Changes the database of one index.

    Args:
        db: a connection of its own.
        folder: of the index, for messages.
        row_format: of stored rows.
        memory: bytes that the process may take.
        committed: told the number of each commit, once it is safe; raises nothing.
    """

    def __init__(
        self,
        db: Database,
        folder: Path,
        row_format: RowFormat,
        memory: int = MEMORY,
        committed: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.db = db
        self._committed = committed
        # keys and words come in no order: where their tables fit into the cache, no page is read twice
        db.execute(f"PRAGMA cache_size = -{memory // CACHE_SHARE // 1024}")
        self._folder = folder
        self._row_format = row_format
        self._ids: dict[str, int] | None = None
        self._next_id = 0
        self._staged: dict[int, str] = {}
        self._keywords = KeywordWriter(db)
        self._metadata = MetadataWriter(db)
        self._sample = SampleWriter(db)

    def intern(self, words: Sequence[str]) -> Ids:
        """Return the ids of words; new ones are staged and stored with the next commit."""
        if self._ids is None:
            self._ids = {word: number for number, word in read_words(self.db, self._folder)}
        ids = self._ids
        new = set(words).difference(ids)
        if new:
            # in the order of the text: the order of a set differs from process to process
            for word in filter(new.__contains__, dict.fromkeys(words)):
                # invariant: words are never deleted, so the next id was never used.
                # subtle: in this order, so that an interrupt in between leaves no word that is known but not staged
                number = len(ids)
                self._staged[number] = word
                ids[word] = number
        return np.fromiter(map(ids.__getitem__, words), np.int32, len(words))

    def staged_words(self, ids: Ids) -> Mapping[int, str]:
        """Return those of the words with these ids that no commit holds yet."""
        # subtle: called by readers too, while a commit clears the stage
        found = ((number, self._staged.get(number)) for number in ids.tolist())
        return {number: word for number, word in found if word is not None}

    def n_fresh_tokens(self) -> int:
        """Return how many tokens are in no segment."""
        return int(
            self.db.execute("SELECT coalesce(sum(n_tokens), 0) FROM embedded WHERE segment_no IS NULL").fetchone()[0]
        )

    def n_embedded_tokens(self) -> int:
        """Return how many tokens are embedded, those that several passages share once."""
        return int(self.db.execute("SELECT coalesce(sum(n_tokens), 0) FROM embedded").fetchone()[0])

    def embedded(self) -> Numbers:
        """Return all embedded passages, number and tokens of each, by number: int64 ``(n, 2)``."""
        return self._embedded("TRUE", ())

    def fresh(self) -> Numbers:
        """Return those that are in no segment."""
        return self._embedded("segment_no IS NULL", ())

    def embedded_in(self, segments: Sequence[int]) -> Numbers:
        """Return those that are in some segments."""
        return self._embedded(f"segment_no IN ({marks(segments)})", segments)

    def _embedded(self, condition: str, values: Sequence[int]) -> Numbers:
        columns = self.db.execute(
            f"SELECT count(*), group_concat(embedded_no), group_concat(n_tokens) FROM embedded WHERE {condition}",  # noqa: S608
            values,
        ).fetchone()
        table = integer_columns(columns, self._folder, "the table of what is embedded")
        return table[np.argsort(table[:, 0])]

    def commit(self, batch: Batch, segments: Callable[[], Sequence[tuple[SegmentRecord, int]]] | None = None) -> int:
        """Write a batch. See ``Store.write``.

        Args:
            batch: whose vectors are in ``segments``, or nowhere yet.
            segments: asked at the end of the transaction; with how many of the batch's new passages each one holds,
                in order. None while these are fresh.
        """
        with self._transaction():
            # subtle: an interrupt right after a commit leaves words staged that are stored
            (first,) = self.db.execute("SELECT coalesce(max(token_id), -1) + 1 FROM words").fetchone()
            self.db.conn.executemany(
                "INSERT INTO words (token_id, word, checksum) VALUES (?, ?, ?)",
                [(number, word, checksum(number, word)) for number, word in self._staged.items() if number >= first],
            )
            held = Counter(
                passage.key for document in batch.documents for passage in document.passages if passage.key is not None
            )
            new = self._insert_embedded(batch, held)
            references: Counter[int] = Counter()
            n_deleted = self._delete(batch.deleted, references)
            self._delete([document.id for document in batch.documents], references)
            files = self._file_numbers(
                [
                    *batch.begun,
                    *((record.root, record.path) for record in batch.done),
                    *(file for _, file in batch.moved),
                    *(document.file for document in batch.documents if document.file is not None),
                ]
            )
            numbers = {**self._known_numbers([key for key in held if key not in new]), **new}
            self._insert_documents(batch.documents, files, numbers)
            references.update({numbers[key]: n for key, n in held.items() if key not in new})
            self.db.conn.executemany(
                "UPDATE documents SET file_no = ? WHERE doc_id = ?",
                [(files[file], doc_id) for doc_id, file in batch.moved],
            )
            self._finish_files(batch.done)
            self._count(references, batch.tokens, np.array([held[key] for key in batch.keys], np.int64))
            self._drop_unheld([number for key, number in new.items() if not held[key]])
            self._sample.balance()
            if segments is not None:
                self._place(batch, segments(), np.fromiter(new.values(), np.int64, len(new)))
        self._staged.clear()
        return n_deleted

    def index_metadata(self, keys: Sequence[str]) -> None:
        """Keep the values of some metadata keys in an index of their own, from now on."""
        with self._transaction():
            self._metadata.index(keys)

    def repoint(
        self,
        written: Sequence[Placed],
        dropped: Sequence[int] = (),
        *,
        codebook: NewCodebook | None = None,
    ) -> None:
        """Point embedded passages to the segments that now hold them.

        Args:
            written: segments, each with its passages and where these begin.
            dropped: numbers of segments that are forgotten.
            codebook: what the codes of ``written`` are read by, if it is new; the one before is forgotten.
        """
        with self._transaction():
            self.db.conn.executemany(
                "UPDATE embedded SET segment_no = NULL, row_start = NULL WHERE segment_no = ?",
                [(number,) for number in dropped],
            )
            self.db.conn.executemany("DELETE FROM segments WHERE segment_no = ?", [(number,) for number in dropped])
            if codebook is not None:
                number = insert_codebook(self.db, codebook)
                written = [
                    (replace(record, codebook_no=number), numbers, starts) for record, numbers, starts in written
                ]
            for record, numbers, starts in written:
                self._point(record, numbers, starts)
            self.db.execute(
                "DELETE FROM codebooks WHERE codebook_no NOT IN "
                "(SELECT codebook_no FROM segments WHERE codebook_no IS NOT NULL)"
            )

    def write_depth(self, depth: Depth) -> None:
        """Store how deep codes are searched."""
        with self._transaction():
            write_depth(self.db, depth)

    def migrate(self) -> None:
        """Bring the tables of an older format up to date, in one transaction."""
        if not list(migrations.pending(self.db)):
            return
        with self._transaction():
            migrations.apply(self.db)
            self.db.execute("UPDATE manifest SET value = ? WHERE key = 'format_version'", [str(FORMAT_VERSION)])

    def touch_files(self, records: Iterable[FileRecord]) -> None:
        """Replace what is remembered of files."""
        with self._transaction():
            self._finish_files(records)

    def remove_files(self, root: str, paths: Sequence[str]) -> int:
        """Forget files and delete their documents. Returns how many documents."""
        with self._transaction():
            doc_ids = [
                row[0]
                for path in paths
                for row in self.db.execute(
                    "SELECT doc_id FROM documents JOIN files USING (file_no) WHERE root = ? AND path = ?", [root, path]
                )
            ]
            references: Counter[int] = Counter()
            self._delete(doc_ids, references)
            self._count(references)
            self._sample.balance()
            self.db.conn.executemany("DELETE FROM files WHERE root = ? AND path = ?", [(root, path) for path in paths])
            return len(doc_ids)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            # in here: an interrupt may come between any two statements
            self.db.execute("BEGIN IMMEDIATE")
            yield
            self._add_counters({"generation": 1})
            generation = generation_of(self.db)
            self.db.execute("COMMIT")
        except BaseException:
            # subtle: after SQLITE_FULL, SQLite has rolled back by itself
            if self.db.conn.in_transaction:
                self.db.execute("ROLLBACK")
            self._keywords.forget()
            raise
        self._committed(generation)

    def _add_counters(self, changes: Mapping[str, int]) -> None:
        self.db.conn.executemany(
            "INSERT INTO counters (name, value) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            changes.items(),
        )

    def _place(self, batch: Batch, segments: Sequence[tuple[SegmentRecord, int]], numbers: Numbers) -> None:
        begin = 0
        for record, n_passages in segments:
            end = begin + n_passages
            starts = batch.tokens.offsets[begin:end] - batch.tokens.offsets[begin]
            self._point(record, numbers[begin:end], starts)
            begin = end

    def _point(self, record: SegmentRecord, numbers: Numbers, starts: Numbers) -> None:
        segment_no = insert_segment(self.db, record)
        self.db.conn.executemany(
            "UPDATE embedded SET segment_no = ?, row_start = ? WHERE embedded_no = ?",
            zip(itertools.repeat(segment_no), starts.tolist(), numbers.tolist()),
        )

    def _insert_embedded(self, batch: Batch, held: Mapping[bytes, int]) -> dict[bytes, int]:
        """Insert the new token sequences, each held by so many passages. Returns their numbers by key."""
        if not batch.keys:
            return {}
        first = counter(self.db, "next_embedded")
        self._add_counters({"next_embedded": len(batch.keys)})
        embedded, tokens = [], []
        bounds = batch.tokens.offsets.tolist()
        all_ids, rows = batch.tokens.ids.astype("<i4", copy=False).tobytes(), batch.tokens.rows
        precision = self._row_format.precision
        for position, key in enumerate(batch.keys):
            begin, end = bounds[position], bounds[position + 1]
            number = first + position
            embedded.append((number, key, end - begin, held.get(key, 0)))
            id_bytes = all_ids[4 * begin : 4 * end]
            row_bytes = None if rows is None else packed(rows[begin:end], precision).tobytes()
            tokens.append((number, id_bytes, row_bytes, checksum(number, id_bytes, row_bytes or b"")))
        self.db.conn.executemany(
            "INSERT INTO embedded (embedded_no, key, n_tokens, n_references) VALUES (?, ?, ?, ?)",
            embedded,
        )
        self.db.conn.executemany(
            "INSERT INTO embedded_tokens (embedded_no, token_ids, token_rows, checksum) VALUES (?, ?, ?, ?)", tokens
        )
        self._sample.add(first, batch.keys, batch.tokens.offsets)
        return {key: first + position for position, key in enumerate(batch.keys)}

    def _known_numbers(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        return {
            key: number
            for chunk in chunks(keys)
            for key, number in self.db.execute(
                f"SELECT key, embedded_no FROM embedded WHERE key IN ({marks(chunk)})",  # noqa: S608 - only marks
                chunk,
            )
        }

    def _delete(self, doc_ids: Sequence[str], references: Counter[int]) -> int:
        """Delete documents with their passages; note the references that are gone. Returns how many there were."""
        n_deleted = 0
        for chunk in chunks(doc_ids):
            numbers = [
                row[0]
                for row in self.db.execute(
                    f"SELECT doc_no FROM documents WHERE doc_id IN ({marks(chunk)})",  # noqa: S608 - only marks
                    chunk,
                )
            ]
            for (embedded_no,) in self.db.execute(
                f"SELECT embedded_no FROM passages WHERE doc_no IN ({marks(numbers)})",  # noqa: S608 - only marks
                numbers,
            ):
                if embedded_no is not None:
                    references[embedded_no] -= 1
            self._keywords.remove(numbers)
            self._metadata.remove(numbers)
            # the passages go with their documents: ON DELETE CASCADE
            self.db.conn.executemany("DELETE FROM documents WHERE doc_no = ?", [(number,) for number in numbers])
            n_deleted += len(numbers)
        self._add_counters({"n_documents": -n_deleted})
        return n_deleted

    def _file_numbers(self, files: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        paths: dict[str, list[str]] = {}
        for root, path in dict.fromkeys(files):
            paths.setdefault(root, []).append(path)
        self.db.conn.executemany(
            "INSERT INTO files (root, path, size, mtime_ns, sha256) VALUES (?, ?, ?, 0, x'') "
            "ON CONFLICT (root, path) DO NOTHING",
            [(root, path, _UNFINISHED) for root, below in paths.items() for path in below],
        )
        return {
            (root, path): number
            for root, below in paths.items()
            for chunk in chunks(below)
            for path, number in self.db.execute(
                f"SELECT path, file_no FROM files WHERE root = ? AND path IN ({marks(chunk)})",  # noqa: S608 - only marks
                [root, *chunk],
            )
        }

    def _finish_files(self, records: Iterable[FileRecord]) -> None:
        self.db.conn.executemany(
            "UPDATE files SET size = ?, mtime_ns = ?, sha256 = ? WHERE root = ? AND path = ?",
            [(record.size, record.mtime_ns, record.sha256, record.root, record.path) for record in records],
        )

    def _insert_documents(
        self,
        documents: Sequence[PreparedDocument],
        files: Mapping[tuple[str, str], int],
        numbers: Mapping[bytes, int],
    ) -> None:
        if not documents:
            return
        records, passages, texts, metadata = [], [], [], []
        next_passage = counter(self.db, "next_passage")
        (last_document,) = self.db.execute("SELECT coalesce(max(doc_no), 0) FROM documents").fetchone()
        for doc_no, document in enumerate(documents, last_document + 1):
            content = (document.id, document.title, document.metadata, document.content_hash, document.n_characters)
            file_no = None if document.file is None else files[document.file]
            records.append((doc_no, *content, file_no, checksum(*content)))
            metadata.append((doc_no, document.metadata))
            for ordinal, passage in enumerate(document.passages):
                number = None if passage.key is None else numbers[passage.key]
                passages.append((doc_no, ordinal, passage.start, passage.line, number, passage.text))
                texts.append(keyword_text(document.title, passage.text, ordinal))
        self.db.conn.executemany(
            "INSERT INTO documents (doc_no, doc_id, title, metadata, content_hash, n_characters, file_no, checksum) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            records,
        )
        counts = self._keywords.count(texts)
        rows = [(*row[:-1], n_terms, row[-1]) for row, n_terms in zip(passages, counts.n_terms.tolist(), strict=True)]
        self.db.conn.executemany(
            "INSERT INTO passages (passage_no, doc_no, ordinal, start, line, embedded_no, n_terms, text, checksum) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(number, *row, passage_checksum(row)) for number, row in enumerate(rows, next_passage)],
        )
        self._keywords.add(next_passage, texts, counts)
        self._metadata.add(metadata)
        self._add_counters({"next_passage": len(passages)})
        self._add_counters({"n_documents": len(documents)})

    def _count(self, references: Counter[int], new: TokenBatch | None = None, held: Numbers | None = None) -> None:
        """Bring reference counts, document frequencies and totals up to date, and drop what nothing refers to.

        Args:
            references: by how much the live passages of each embedded passage have changed, new ones left out.
            new: the new embedded passages.
            held: int64 ``(n_new,)``, how many live passages each of those has.
        """
        changed = {number: change for number, change in references.items() if change}
        stored = read_tokens(self.db, list(changed), None, self._folder)
        parts = [(stored.offsets, stored.ids, np.array(list(changed.values()), np.int64))]
        if new is not None and held is not None:
            parts.append((new.offsets, new.ids, held))
        self.db.conn.executemany(
            "INSERT INTO token_statistics (token_id, document_frequency) VALUES (?, ?) "
            "ON CONFLICT (token_id) DO UPDATE SET "
            "document_frequency = document_frequency + excluded.document_frequency",
            _frequency_changes(parts),
        )
        self.db.conn.executemany(
            "UPDATE embedded SET n_references = n_references + ? WHERE embedded_no = ?",
            [(change, number) for number, change in changed.items()],
        )
        self._drop_unheld([number for number, change in changed.items() if change < 0])
        self._add_counters(
            {
                "n_passages": sum(int(amounts.sum()) for _, _, amounts in parts),
                "n_tokens": sum(int(np.diff(offsets) @ amounts) for offsets, _, amounts in parts),
            }
        )

    def _drop_unheld(self, numbers: Sequence[int]) -> None:
        self.db.conn.executemany(
            "DELETE FROM embedded WHERE embedded_no = ? AND n_references = 0", [(number,) for number in numbers]
        )


def _frequency_changes(parts: Sequence[tuple[Offsets, Ids, Numbers]]) -> list[tuple[int, int]]:
    """Return by how much the document frequency of each token id changes.

    Args:
        parts: passages, flat: offsets int64 ``(n + 1,)``, token ids, and int64 ``(n,)`` by how much the number of
            each one's live passages changes.

    Example:
        >>> parts = [(np.array([0, 3]), np.array([3, 3, 4]), np.array([2]))]
        >>> _frequency_changes([*parts, (np.array([0, 2]), np.array([4, -1]), np.array([-1]))])
        [(3, 2), (4, 1)]
    """
    all_ids, all_amounts = [], []
    for offsets, ids, amounts in parts:
        passages = np.repeat(np.arange(len(amounts), dtype=np.int64), np.diff(offsets))
        # each token id once a passage
        once = np.unique((passages << 32 | ids.astype(np.int64))[ids >= 0])
        all_ids.append(once & 0xFFFFFFFF)
        all_amounts.append(amounts[once >> 32])
    different, places = np.unique(np.concatenate(all_ids), return_inverse=True)
    totals = np.zeros(len(different), np.int64)
    np.add.at(totals, places, np.concatenate(all_amounts))
    return [(number, total) for number, total in zip(different.tolist(), totals.tolist(), strict=True) if total]
