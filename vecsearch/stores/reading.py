"""Reading one commit of the embedded store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlite_utils import Database

from vecsearch import scoring
from vecsearch.precision import RowFormat, unpacked
from vecsearch.protocols import Scorer
from vecsearch.stores import conditions, keywords, metadata
from vecsearch.stores.analysis import Analyzer, Keyword
from vecsearch.stores.protocol import (
    Compare,
    Depth,
    Encode,
    PassagePlace,
    PassageTable,
    Scan,
    ScanQuery,
    StoredDocument,
    StoredPassage,
    TokenBatch,
)
from vecsearch.stores.sampling import KEY_BYTES, hashes_at
from vecsearch.stores.schema import checksum, chunks, damaged_row, integer_columns, integers, marks
from vecsearch.stores.views import View
from vecsearch.types import DocumentSummary

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.filters import Filter
    from vecsearch.stores.protocol import Numbers
    from vecsearch.types import Floats, Ids, Offsets

    Doubles = npt.NDArray[np.float64]

__all__ = [
    "EmbeddedSnapshot",
    "counter",
    "generation_of",
    "passage_checksum",
    "read_passages",
    "read_tokens",
    "read_words",
]

DIRECT_TOKENS = 50_000
"""Where a filter leaves no more tokens than these, all of them are compared instead of looking for candidates."""
KEPT_TOKENS = 50_000
"""Of about so many tokens of coded passages, those asked for last, the vectors are kept while a snapshot is open."""
TOGETHER_CODED = 1_024
"""Query tokens that are compared with all coded passages at a time: making the vectors takes longer than comparing."""
ENCODED_AT_ONCE = 512
"""Passages whose tokens are read at a time where all are compared."""
CACHED_TOKENS = 2_048
"""Tokens whose vectors are made and compared at a time, so that they are still in the cache."""

_FILE_COLUMNS = "files.root, files.path"
_PASSAGE_COLUMNS = "passages.doc_no, ordinal, start, line, embedded_no, n_terms, text, passages.checksum"
_N_PASSAGE_COLUMNS = 8
_RECORD_COLUMNS = f"doc_id, title, metadata, content_hash, n_characters, documents.checksum, {_FILE_COLUMNS}"


def counter(db: Database, name: str) -> int:
    """Return a counter, 0 where it was never set."""
    row = db.execute("SELECT value FROM counters WHERE name = ?", [name]).fetchone()
    return 0 if row is None else int(row[0])


def generation_of(db: Database) -> int:
    """Return the number of the last commit that the connection sees."""
    return counter(db, "generation")


def read_words(
    db: Database, folder: Path, ids: Sequence[int] | None = None, *, first: int = 0
) -> Iterator[tuple[int, str]]:
    """Yield words with their ids, each checked; all of them from an id on, or those of at most 500 ids.

    Raises:
        IndexDamagedError: a row is not what was written.
    """
    chosen, values = ("token_id >= ?", [first]) if ids is None else (f"token_id IN ({marks(ids)})", list(ids))
    for number, word, crc in db.execute(
        f"SELECT token_id, word, checksum FROM words WHERE {chosen} ORDER BY token_id",  # noqa: S608 - only marks
        values,
    ):
        if checksum(number, word) != crc:
            raise damaged_row(folder, f"word {number}, {word!r:.80},")
        yield number, word


def read_tokens(db: Database, numbers: Sequence[int], row_format: RowFormat | None, folder: Path) -> TokenBatch:
    """Read the tokens of embedded passages, in the order asked, each checked.

    Args:
        db: a connection.
        numbers: of the passages.
        row_format: of stored rows; None where no rows are wanted.
        folder: of the index, for messages.

    Raises:
        IndexDamagedError: a row is missing or is not what was written.
    """
    found: dict[int, tuple[bytes, bytes | None]] = {}
    for chunk in chunks(numbers):
        for number, ids, rows, crc in db.execute(
            f"SELECT embedded_no, token_ids, token_rows, checksum FROM embedded_tokens "  # noqa: S608 - only marks
            f"WHERE embedded_no IN ({marks(chunk)})",
            chunk,
        ):
            if checksum(number, ids, rows or b"") != crc:
                raise damaged_row(folder, f"the tokens of embedded passage {number}")
            found[number] = (ids, rows)
    if len(found) != len(set(numbers)):
        raise damaged_row(folder, f"the tokens of {len(set(numbers)) - len(found)} embedded passages")
    ids = np.frombuffer(b"".join(found[number][0] for number in numbers), "<i4").astype(np.int32, copy=False)
    offsets = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum([len(found[number][0]) // 4 for number in numbers], out=offsets[1:])
    if row_format is None or not numbers or found[numbers[0]][1] is None:
        return TokenBatch(offsets, ids)
    joined = b"".join(found[number][1] or b"" for number in numbers)
    try:
        rows = unpacked(joined, row_format.dim, row_format.precision)
    except ValueError:
        rows = np.zeros((0, row_format.dim), np.float32)
    if len(rows) != len(ids):
        raise damaged_row(folder, f"the vectors of {len(numbers)} embedded passages, which have another length,")
    return TokenBatch(offsets, ids, rows)


def read_passages(db: Database, folder: Path) -> PassageTable:
    """Read the table of all live passages."""
    columns = db.execute(
        # subtle: the index holds all that is asked for, so no text is read on the way
        "SELECT count(*), group_concat(passage_no), group_concat(doc_no), group_concat(embedded_no), "
        "group_concat(n_terms) FROM passages INDEXED BY passages_by_embedded WHERE embedded_no IS NOT NULL"
    ).fetchone()
    table = integer_columns(columns, folder, "the table of passages")
    table = table[np.argsort(table[:, 0], kind="stable")]  # fast where most are in order
    return PassageTable(*(np.ascontiguousarray(column) for column in table.T))


def record_of(row: Sequence[Any], folder: Path) -> StoredDocument:
    """Check a row of ``_RECORD_COLUMNS`` and return it as a record."""
    doc_id, title, metadata, content_hash, n_characters, crc, root, path = row
    if checksum(doc_id, title, metadata, content_hash, n_characters) != crc:
        raise damaged_row(folder, f"the record of document {doc_id!r}")
    file = None if root is None else (root, path)
    return StoredDocument(doc_id, title, metadata, content_hash, n_characters, file)


def passage_checksum(row: Sequence[Any]) -> int:
    """Return the checksum of doc_no, ordinal, start, line, embedded_no, n_terms and text; NULL counts as no bytes."""
    return checksum(*(b"" if value is None else value for value in row))


def checked_passage(row: Sequence[Any], doc_id: str, folder: Path) -> tuple[str, int, int, int | None]:
    """Check a row of ``_PASSAGE_COLUMNS`` and return text, start, line and number of the embedded passage."""
    *content, crc = row
    if passage_checksum(content) != crc:
        raise damaged_row(folder, f"passage {row[1]} of document {doc_id!r}")
    _, _, start, line, number, _, text = content
    return text, start, line, number


def read_records(db: Database, doc_ids: Sequence[str], folder: Path) -> dict[str, StoredDocument]:
    """Return the records of those documents that exist, by id."""
    found = {}
    for chunk in chunks(doc_ids):
        for row in db.execute(
            f"SELECT {_RECORD_COLUMNS} FROM documents LEFT JOIN files USING (file_no) "  # noqa: S608 - only marks
            f"WHERE doc_id IN ({marks(chunk)})",
            chunk,
        ):
            found[row[0]] = record_of(row, folder)
    return found


class _Parts:
    """All vectors of a commit, those of coded passages made when they are looked at. May be gone through again."""

    def __init__(self, snapshot: EmbeddedSnapshot, coded: Numbers) -> None:
        self._snapshot = snapshot
        self._coded = coded

    def __iter__(self) -> Iterator[tuple[Floats, Offsets, Numbers]]:
        for part in self._snapshot.view.parts:
            yield part.vectors, part.offsets, part.numbers
        for begin in range(0, len(self._coded), ENCODED_AT_ONCE):
            some = self._coded[begin : begin + ENCODED_AT_ONCE]
            yield from self._snapshot.encoded(some, scoring.BLOCK_TOKENS)


def _wanted(coded: Numbers, queries: Sequence[ScanQuery]) -> Numbers:
    """Return the coded passages that one of the queries may find."""
    allowed = [query.allowed for query in queries if query.allowed is not None]
    if len(allowed) < len(queries):
        return coded
    return np.intersect1d(coded, np.unique(np.concatenate([np.zeros(0, np.int64), *allowed])), assume_unique=True)


class EmbeddedSnapshot:
    """One commit, read through one connection inside one transaction.

    Args:
        db: connection with an open read transaction.
        view: vectors of the same commit; None where only documents are read.
        folder: of the index, for messages.
        row_format: of stored rows; None where nothing is asked that needs them.
        encode: makes the vectors of passages that have codes only; None where only documents are read.
        analyzer: cuts queries into keywords; None where none is asked.
    """

    def __init__(
        self,
        db: Database,
        view: View | None,
        folder: Path,
        row_format: RowFormat | None,
        encode: Encode | None = None,
        analyzer: Analyzer | None = None,
        compare: Compare | None = None,
    ) -> None:
        self._db = db
        self._given_encode = encode
        self._compare = compare
        self._made: dict[int, Floats] = {}
        self._n_made = 0
        self._given_analyzer = analyzer
        self._given_view = view
        self._folder = folder
        self._row_format = row_format
        self.generation = generation_of(db)
        self.n_passages = counter(db, "n_passages")
        self.n_tokens = counter(db, "n_tokens")

    @property
    def view(self) -> View:
        """What is in memory of this commit."""
        return self._view

    @property
    def _view(self) -> View:
        assert self._given_view is not None, "the snapshot was opened without vectors"
        return self._given_view

    def _encode(self, tokens: TokenBatch) -> Floats:
        assert self._given_encode is not None, "the snapshot was opened for documents only"
        return self._given_encode(tokens)

    @property
    def _analyzer(self) -> Analyzer:
        assert self._given_analyzer is not None, "the snapshot was opened for documents only"
        return self._given_analyzer

    def document_frequencies(self, ids: Ids) -> Numbers:
        found: dict[int, int] = {}
        for chunk in chunks(sorted({number for number in ids.tolist() if number >= 0})):
            found.update(
                self._db.execute(
                    f"SELECT token_id, document_frequency FROM token_statistics "  # noqa: S608 - only marks
                    f"WHERE token_id IN ({marks(chunk)})",
                    chunk,
                )
            )
        return np.array([found.get(number, 0) for number in ids.tolist()], np.int64)

    def lookup(self, words: Sequence[str]) -> Ids:
        found: dict[str, int] = {}
        for chunk in chunks(dict.fromkeys(words)):
            found.update(
                self._db.execute(
                    f"SELECT word, token_id FROM words WHERE word IN ({marks(chunk)})",  # noqa: S608 - only marks
                    chunk,
                )
            )
        return np.array([found.get(word, -1) for word in words], np.int32)

    def passages(self) -> PassageTable:
        return self._view.passages

    def entries(self, first: int) -> list[str]:
        # invariant: ids are given in turn and words are never deleted
        return [word for _, word in read_words(self._db, self._folder, first=first)]

    def depth(self) -> Depth | None:
        return None if self._view.coded is None else self._view.coded.depth

    def scan(self, query: ScanQuery, scorer: Scorer, *, exact: bool = False, depth: Depth | None = None) -> Scan:
        (found,) = self.scan_many([query], scorer, exact=exact, depth=depth)
        return found

    def scan_many(
        self, queries: Sequence[ScanQuery], scorer: Scorer, *, exact: bool = False, depth: Depth | None = None
    ) -> Iterator[Scan]:
        coded = self._view.coded
        weighed = [(query.vectors, query.weights, query.statistics) for query in queries]
        if coded is None or exact:
            parts = _Parts(self, np.zeros(0, np.int64) if coded is None else _wanted(coded.numbers, queries))
            together = scoring.TOGETHER if coded is None else TOGETHER_CODED
            for numbers, scores, slack in scoring.best_many(parts, weighed, scorer, together):
                order = np.argsort(numbers)
                yield Scan(numbers[order], scores[order], slack)
            return
        stored = scoring.best_many(_Parts(self, np.zeros(0, np.int64)), weighed, scorer)
        for query, (numbers, scores, slack) in zip(queries, stored, strict=True):
            if query.allowed is not None and self.embedded_lengths(query.allowed).sum() <= DIRECT_TOKENS:
                yield self._direct(query, query.allowed, scorer)
                continue
            found = coded.candidates(query, scorer, depth)
            if not len(numbers):
                yield found
                continue
            yield _joined(found, numbers, scores, slack)

    def _direct(self, query: ScanQuery, wanted: Numbers, scorer: Scorer) -> Scan:
        """Score a few passages without looking for candidates."""
        parts = [(*self.vectors(wanted), wanted)] if len(wanted) else []
        return Scan(*scoring.best(parts, query.vectors, query.weights, scorer, query.statistics))

    def vectors(self, embedded: Numbers) -> tuple[Floats, Offsets]:
        are_coded = self._view.are_coded(embedded)
        if not are_coded.any():
            return self._view.take(embedded)
        offsets = np.zeros(len(embedded) + 1, np.int64)
        np.cumsum(self._view.lengths_of(embedded), out=offsets[1:])
        made = self._made_of(embedded[are_coded])
        stored, bounds = self._view.take(embedded[~are_coded])
        of_stored = iter(np.split(stored, bounds[1:-1]) if len(bounds) > 1 else [])
        pieces = [
            made[number] if is_coded else next(of_stored)
            for number, is_coded in zip(embedded.tolist(), are_coded.tolist(), strict=True)
        ]
        return np.concatenate(pieces), offsets

    def vector_blocks(self, embedded: Numbers) -> Iterator[tuple[Floats, Offsets]]:
        if not self._view.are_coded(embedded).all() or not self._made.keys().isdisjoint(embedded.tolist()):
            yield self.vectors(embedded)
            return
        self._make_room(embedded)
        for part in self.encoded(embedded, CACHED_TOKENS):
            self._keep(*part)
            yield part[:2]

    def maxima(self, embedded: Numbers, query: Floats) -> Floats | None:
        if self._compare is None or not self._view.are_coded(embedded).all():
            return None
        if not self._made.keys().isdisjoint(embedded.tolist()):
            return None
        self._make_room(embedded)
        tokens = read_tokens(self._db, embedded.tolist(), self._row_format, self._folder)
        found = np.empty((len(query), len(embedded)), np.float32)
        for first, last in scoring.blocks(tokens.offsets, CACHED_TOKENS):
            some = tokens.part(first, last)
            compared = self._compare(some, query)
            if compared is None:
                return None
            vectors, found[:, first:last] = compared
            self._keep(vectors, some.offsets, embedded[first:last])
        return found

    def encoded(self, coded: Numbers, n_tokens: int) -> Iterator[tuple[Floats, Offsets, Numbers]]:
        """Yield the vectors of coded passages, made from their tokens, about ``n_tokens`` at a time, with numbers."""
        tokens = read_tokens(self._db, coded.tolist(), self._row_format, self._folder)
        for first, last in scoring.blocks(tokens.offsets, n_tokens):
            some = tokens.part(first, last)
            yield self._encode(some), some.offsets, coded[first:last]

    def _made_of(self, coded: Numbers) -> dict[int, Floats]:
        """Return the vectors of coded passages by number."""
        # subtle: an encoder rounds differently in another company of passages, so what was made last is kept: the few
        # that are scored exactly at the end of a search are then explained by the very same vectors
        new = [number for number in dict.fromkeys(coded.tolist()) if number not in self._made]
        if new:
            self._make_room(coded)
            for part in self.encoded(np.array(new, np.int64), CACHED_TOKENS):
                self._keep(*part)
        return self._made

    def _make_room(self, wanted: Numbers) -> None:
        """Forget made vectors of other passages than those that are wanted now, where they would be too many."""
        n_new = int(self._view.lengths_of(wanted).sum())
        if self._n_made + n_new > KEPT_TOKENS:
            still = set(wanted.tolist())
            self._made = {number: made for number, made in self._made.items() if number in still}
            self._n_made = sum(map(len, self._made.values()))

    def _keep(self, vectors: Floats, offsets: Offsets, numbers: Numbers) -> None:
        self._made.update(zip(numbers.tolist(), np.split(vectors, offsets[1:-1]), strict=True))
        self._n_made += len(vectors)

    def vectors_at(self, embedded: Numbers, positions: Numbers) -> Floats:
        assert self._row_format is not None, "the snapshot was opened for documents only"
        dim = self._row_format.dim
        are_coded = self._view.are_coded(embedded)
        if not are_coded.any():
            return self._view.take_at(embedded, positions, dim)
        found = np.empty((len(embedded), dim), np.float32)
        found[~are_coded] = self._view.take_at(embedded[~are_coded], positions[~are_coded], dim)
        numbers, places = np.unique(embedded[are_coded], return_inverse=True)
        vectors, offsets = self.vectors(numbers)
        found[are_coded] = vectors[offsets[places] + positions[are_coded]]
        return found

    def embedded_lengths(self, embedded: Numbers | None = None) -> Numbers:
        return self._view.lengths if embedded is None else self._view.lengths_of(embedded)

    def tokens(self, embedded: Numbers) -> TokenBatch:
        return read_tokens(self._db, embedded.tolist(), self._row_format, self._folder)

    def all_tokens(self) -> tuple[Numbers, Offsets, Ids]:
        if self._view.tokens is None:
            numbers = self._view.numbers
            tokens = read_tokens(self._db, numbers.tolist(), None, self._folder)
            self._view.tokens = (numbers, tokens.offsets, tokens.ids)
        return self._view.tokens

    def sample(self, n: int) -> tuple[Numbers, Numbers]:
        rows = self._db.execute(
            "SELECT hash, embedded_no, position, key FROM background LEFT JOIN embedded USING (embedded_no) "
            "ORDER BY hash LIMIT ?",
            [n],
        ).fetchall()
        table = integers([row[:3] for row in rows], 3, self._folder, "the background sample")
        keys = [row[3] if isinstance(row[3], bytes) else b"" for row in rows]
        # a row needs no checksum: its hash is one of all that it says
        if any(len(key) != KEY_BYTES for key in keys) or np.any(hashes_at(keys, table[:, 2]) != table[:, 0]):
            raise damaged_row(self._folder, "the background sample")
        return table[:, 1], table[:, 2]

    def keywords(self, text: str) -> list[Keyword]:
        return self._analyzer.keywords(text)

    def keyword_frequencies(self, terms: Sequence[str]) -> Numbers:
        return keywords.term_numbers(self._db, terms)[1]

    def postings(self, term: str) -> tuple[Numbers, Numbers]:
        read = partial(keywords.postings, self._db)
        return read(term) if self._given_view is None else self._given_view.postings.of(term, read)

    def keyword_counts(self, passages: Numbers, terms: Sequence[str]) -> Numbers:
        return keywords.read_counts(self._db, self._folder, passages, keywords.term_numbers(self._db, terms)[0])

    def metadata_types(self) -> Mapping[str, frozenset[str]]:
        return metadata.known_types(self._db)

    def documents_where(self, condition: Filter) -> Numbers:
        expression, parameters = conditions.condition(condition, metadata.indexed_keys(self._db))
        rows = self._db.execute(
            # invariant: the expression is made of constants and marks only
            f"SELECT doc_no FROM documents LEFT JOIN files USING (file_no) WHERE {expression} ORDER BY doc_no",  # noqa: S608
            parameters,
        ).fetchall()
        return np.array(rows, np.int64).reshape(-1)

    def document_number(self, doc_id: str) -> int | None:
        row = self._db.execute("SELECT doc_no FROM documents WHERE doc_id = ?", [doc_id]).fetchone()
        return None if row is None else int(row[0])

    def places(self, passages: Numbers) -> list[PassagePlace]:
        found = [
            PassagePlace(*row)
            for chunk in chunks(passages.tolist())
            for row in self._db.execute(
                f"SELECT passage_no, doc_id, ordinal FROM passages JOIN documents USING (doc_no) "  # noqa: S608
                f"WHERE passage_no IN ({marks(chunk)})",
                chunk,
            )
        ]
        is_whole = all(isinstance(place.doc_id, str) and isinstance(place.ordinal, int) for place in found)
        if not is_whole or {place.passage for place in found} != set(passages.tolist()):
            raise damaged_row(self._folder, f"the table of {len(passages)} passages")
        return found

    def passage(self, doc_id: str, ordinal: int) -> StoredPassage:
        row = self._db.execute(
            f"SELECT {_PASSAGE_COLUMNS}, {_RECORD_COLUMNS} "  # noqa: S608 - constants
            f"FROM documents JOIN passages USING (doc_no) LEFT JOIN files USING (file_no) "
            f"WHERE doc_id = ? AND ordinal = ?",
            [doc_id, ordinal],
        ).fetchone()
        if row is None:
            raise damaged_row(self._folder, f"passage {ordinal} of document {doc_id!r}")
        text, start, line, _ = checked_passage(row[:_N_PASSAGE_COLUMNS], doc_id, self._folder)
        record = record_of(row[_N_PASSAGE_COLUMNS:], self._folder)
        return StoredPassage(doc_id, ordinal, text, start, line, record.title, record.metadata, record.file)

    def document(self, doc_id: str) -> StoredDocument | None:
        record = read_records(self._db, [doc_id], self._folder).get(doc_id)
        if record is None:
            return None
        texts, numbers = [], []
        for row in self._db.execute(
            f"SELECT {_PASSAGE_COLUMNS} FROM passages JOIN documents USING (doc_no) "  # noqa: S608 - constants
            f"WHERE doc_id = ? ORDER BY ordinal",
            [doc_id],
        ):
            text, _, _, number = checked_passage(row, doc_id, self._folder)
            texts.append(text)
            if number is not None:
                numbers.append(number)
        text = "".join(texts)
        if len(text) != record.n_characters:
            raise damaged_row(self._folder, f"the text of document {doc_id!r}")
        tokens = read_tokens(self._db, numbers, self._row_format, self._folder)
        return StoredDocument(
            record.id, record.title, record.metadata, record.content_hash, len(text), record.file, text, tokens
        )

    def summaries(self, prefix: str, after: str | None, limit: int) -> list[DocumentSummary]:
        # subtle: SQLite compares TEXT by its UTF-8 bytes, which orders as Python orders strings; GLOB and LIKE would
        # stop at a NUL and read wildcards. So the prefix only begins the range, and Python ends it.
        rows = self._db.execute(
            f"SELECT {_RECORD_COLUMNS}, "  # noqa: S608 - constants
            f"(SELECT count(*) FROM passages WHERE passages.doc_no = documents.doc_no), "
            f"(SELECT coalesce(sum(n_tokens), 0) FROM passages JOIN embedded USING (embedded_no) "
            f" WHERE passages.doc_no = documents.doc_no) "
            f"FROM documents LEFT JOIN files USING (file_no) "
            f"WHERE doc_id >= ? AND doc_id > ? ORDER BY doc_id LIMIT ?",
            [prefix, "" if after is None else after, limit],
        )
        found = []
        for row in rows:
            record = record_of(row[:8], self._folder)
            if not record.id.startswith(prefix):
                break
            found.append(
                DocumentSummary(
                    id=record.id,
                    title=record.title,
                    n_passages=row[8],
                    n_tokens=row[9],
                    n_characters=record.n_characters,
                    path=None if record.file is None else str(Path(*record.file)),
                    metadata=json.loads(record.metadata),
                )
            )
        return found


def _joined(scan: Scan, numbers: Numbers, scores: Doubles, slack: float) -> Scan:
    """Return a scan with more passages, and so the scan that names the rest."""
    rest = scan.rest
    every, all_scores = np.concatenate([numbers, scan.embedded]), np.concatenate([scores, scan.scores])
    order = np.argsort(every)
    return replace(
        scan,
        embedded=every[order],
        scores=all_scores[order],
        slack=slack,
        rest=None if rest is None else lambda: _joined(rest(), numbers, scores, slack),
    )
