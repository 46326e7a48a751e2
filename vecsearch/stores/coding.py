"""Writing codes: when an index begins to have them, how they are made, and how their segments are merged.

From ``FEWEST_TOKENS`` on, an index has a codebook, and segments hold codes instead of vectors. The codebook is trained
on a sample of the index's own vectors, once, and again when the index has become ``GROWN`` times as large. Segments of
one codebook are merged by moving codes, ``MERGED`` of about the same size at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from sqlite_utils import Database

from vecsearch.precision import RowFormat
from vecsearch.scoring import blocks
from vecsearch.stores.codebook import Codebook
from vecsearch.stores.codes import Codes, Written, bitmap, coded, merged
from vecsearch.stores.files import damaged, map_file, write_file
from vecsearch.stores.manifest import CodebookRecord, NewCodebook
from vecsearch.stores.protocol import Encode, TokenBatch
from vecsearch.stores.reading import read_tokens
from vecsearch.stores.sampling import LIMIT, hashes_at
from vecsearch.stores.schema import damaged_row
from vecsearch.stores.segments import SegmentRecord
from vecsearch.stores.token_types import RareCells

if TYPE_CHECKING:
    from vecsearch.stores.disk import Disk
    from vecsearch.stores.protocol import Numbers
    from vecsearch.types import Floats, Ids, Offsets

    Placed: TypeAlias = tuple[SegmentRecord, Numbers, Numbers]
    """A segment, the numbers of its passages, and where each of them begins."""

__all__ = ["FEWEST_TOKENS", "GROWN", "MERGED", "Coder", "load_codebook", "load_codes"]

FEWEST_TOKENS = 1_000_000
"""So many tokens an index has before it gets codes: as many are compared exactly in about a tenth of a second."""
GROWN = 4
"""When an index has so many times the tokens that its codebook was made for, it gets a new one."""
TRAINING_TOKENS = 250_000
"""Tokens of the sample that a codebook is trained on: fewer, where the memory for it is less …"""
FEWEST_TRAINING = 50_000
"""… but so many in any memory."""
TRAINING_VECTORS = 1.75
"""Memory that a token of the sample takes while a codebook is trained, in vectors."""
LARGEST = 8_000_000
"""Tokens of a segment of codes that is merged no further: fewer, where the memory for it is less."""
SEGMENT_BYTES = 80
"""Memory that a token takes while a segment of codes is made or merged."""
BESIDE_BYTES = 740_000_000
"""Memory that all else takes while an index is built: libraries, rows of words, words themselves, batches."""
FEWEST_LARGEST = 500_000
"""Tokens that a segment may have in any memory."""
MERGED = 8
"""As many segments of about one size become one."""
BLOCK_TOKENS = 32_768
"""Tokens whose vectors are made at a time; those of two such blocks are in memory."""


def load_codebook(folder: Path, record: CodebookRecord) -> Codebook:
    """Read a codebook, after checking it.

    Raises:
        IndexDamagedError: the file is missing, or not the one that was written.
    """
    content = map_file(folder, record.stored).whole()
    try:
        codebook = Codebook.from_bytes(content)
    except ValueError as error:
        raise damaged(folder / record.stored.file, f"is no codebook: {error}") from error
    if codebook.n_cells != record.n_cells:
        raise damaged(folder / record.stored.file, "does not have the cells that the manifest names")
    return codebook


def load_codes(folder: Path, record: SegmentRecord, codebook: Codebook) -> Codes:
    """Read the codes of a segment, which check what they use when they use it.

    Raises:
        IndexDamagedError: the file is missing, or not the one that was written; likewise later, where what is used then
            is not what was written.
    """
    try:
        codes = Codes.from_file(codebook, map_file(folder, record.stored))
    except ValueError as error:
        raise damaged(folder / record.file, f"holds no codes: {error}") from error
    if codes.n != record.n_vectors:
        raise damaged(folder / record.file, "does not have the tokens that the manifest names")
    return codes


class Coder:
    """Makes and merges codes of one index.

    Args:
        db: the writer's connection.
        disk: of the index.
        encode: makes vectors of tokens.
        row_format: of stored rows.
        memory: bytes that the process may take.
    """

    def __init__(self, db: Database, disk: Disk, encode: Encode, row_format: RowFormat, memory: int) -> None:
        self._db = db
        self._disk = disk
        self._folder = disk.folder
        self._encode = encode
        self._row_format = row_format
        self._dim = row_format.dim
        room = memory - BESIDE_BYTES
        self._largest = min(LARGEST, max(room // SEGMENT_BYTES, FEWEST_LARGEST))
        self._n_sample = min(TRAINING_TOKENS, max(int(room / (TRAINING_VECTORS * 4 * self._dim)), FEWEST_TRAINING))

    def train(self, n_tokens: int, alone: Callable[[Ids], Floats] | None) -> tuple[Codebook, NewCodebook]:
        """Train a codebook for an index of so many tokens, and write it; ``alone``: see ``RareCells``."""
        passages = self._sampled(self._n_sample)
        vectors = np.empty((int(passages[:, 1].sum()), self._dim), np.float32)
        types = np.empty(len(vectors), np.int32)
        begin = 0
        for some, types_of_some, _ in self._blocks(passages):
            end = begin + len(some)
            vectors[begin:end], types[begin:end] = some, types_of_some
            begin = end
        codebook = Codebook.train(vectors, types, n_tokens, alone=alone)
        stored = write_file(self._disk, [codebook.to_bytes()], ".codebook")
        return codebook, NewCodebook(stored, codebook.n_cells, n_tokens)

    def write_batch(
        self,
        codebook: Codebook,
        codebook_no: int | None,
        first: int,
        tokens: TokenBatch,
        vectors: Iterable[tuple[int, Floats]],
        rare: RareCells,
    ) -> SegmentRecord:
        """Write the vectors of a batch, whose passages get the numbers from ``first`` on, as one segment of codes.

        Args:
            codebook, codebook_no: whose codes they are.
            first: number of the first passage.
            tokens, vectors: of the batch; the vectors are read by another thread.
            rare: cells that rare types were given so far.
        """

        def of_tokens() -> Iterator[tuple[Floats, Ids, Numbers]]:
            done = 0
            for n_passages, some in vectors:
                offsets = tokens.offsets[done : done + n_passages + 1]
                numbers = np.repeat(first + done + np.arange(n_passages), np.diff(offsets))
                yield some, tokens.ids[offsets[0] : offsets[-1]], numbers
                done += n_passages

        n_tokens = int(tokens.offsets[-1])
        return self._write(coded(codebook, of_tokens(), n_tokens=n_tokens, rare=rare), codebook_no)

    def write(
        self, codebook: Codebook, codebook_no: int | None, passages: Numbers, rare: RareCells
    ) -> Iterator[Placed]:
        """Write passages as segments of codes; yield each with its passages and their places.

        Args:
            codebook, codebook_no: whose codes they are.
            passages: int64 ``(n, 2)``, number and tokens of each.
            rare: cells that rare types were given so far.
        """
        for begin, end in blocks(_offsets(passages), self._largest):
            some = passages[begin:end]
            written = coded(codebook, self._blocks(some), n_tokens=int(some[:, 1].sum()), rare=rare)
            record = self._write(written, codebook_no)
            yield record, some[:, 0], _offsets(some)[:-1]

    def merged(
        self, codebook: Codebook, codebook_no: int | None, records: Sequence[SegmentRecord], live: Numbers
    ) -> Placed:
        """Write the codes of several segments as one, without those of passages that are gone.

        Args:
            codebook, codebook_no: whose codes they are.
            records: of the segments.
            live: int64 ``(n, 2)``, number and tokens of each passage that is kept.
        """
        parts = [load_codes(self._folder, record, codebook) for record in records]
        written = merged(codebook, parts, bitmap(live[:, 0]))
        return self._write(written, codebook_no), live[:, 0], _offsets(live)[:-1]

    def mergeable(self, records: Sequence[tuple[int, SegmentRecord]]) -> list[tuple[int, SegmentRecord]]:
        """Return segments that are to become one: ``MERGED`` of about one size, or none."""
        by_size: dict[int, list[tuple[int, SegmentRecord]]] = {}
        for number, record in records:
            if record.codebook_no is not None and 2 * record.n_vectors <= self._largest:
                by_size.setdefault(int(np.log(max(record.n_vectors, 1)) / np.log(MERGED)), []).append((number, record))
        for size in sorted(by_size):
            if len(by_size[size]) >= MERGED:
                ends = np.cumsum([record.n_vectors for _, record in by_size[size]])
                return by_size[size][: max(2, int(np.searchsorted(ends, self._largest, side="right")))]
        return []

    def gatherable(self, records: Sequence[tuple[int, SegmentRecord]]) -> list[tuple[int, SegmentRecord]]:
        """Return segments that are to become one so that there are few: the smallest ones, or none.

        The largest of them has at most twice the codes of all others together, so that few additions never move many
        codes.
        """
        small = sorted(
            (one for one in records if one[1].codebook_no is not None), key=lambda one: (one[1].n_vectors, one[0])
        )
        sizes = np.array([record.n_vectors for _, record in small], np.int64)
        before = np.cumsum(sizes) - sizes
        joins = np.flatnonzero((sizes <= 2 * before) & (before + sizes <= self._largest))
        return small[: int(joins[-1]) + 1] if len(joins) else []

    def _write(self, written: Written, codebook_no: int | None) -> SegmentRecord:
        stored = write_file(self._disk, (piece.data for piece in written.pieces), ".codes")
        return SegmentRecord(stored, written.n, self._dim, codebook_no)

    def _blocks(self, passages: Numbers) -> Iterator[tuple[Floats, Ids, Numbers]]:
        for begin, end in blocks(_offsets(passages), BLOCK_TOKENS):
            numbers, lengths = passages[begin:end].T
            tokens = read_tokens(self._db, numbers.tolist(), self._row_format, self._folder)
            if not np.array_equal(np.diff(tokens.offsets), lengths):
                raise damaged_row(self._folder, "the table of what is embedded")
            yield self._encode(tokens), tokens.ids, np.repeat(numbers, lengths)

    def _sampled(self, n_tokens: int) -> Numbers:
        """Return embedded passages with about so many tokens, the same for the same texts: numbers and tokens."""
        (total,) = self._db.execute("SELECT coalesce(sum(n_tokens), 0) FROM embedded").fetchone()
        # those with the smallest hashes; at first only what is below a limit, so that not all of them are in memory
        for share in (2 * n_tokens / max(total, 1), 1):
            passages, hashes = self._below(int(min(share, 1) * LIMIT))
            order = np.argsort(hashes, kind="stable")
            n = int(np.searchsorted(np.cumsum(passages[order, 1]), n_tokens)) + 1
            if n <= len(passages) or share >= 1:
                break
        chosen: Numbers = passages[np.sort(order[:n])]
        return chosen

    def _below(self, limit: int) -> tuple[Numbers, Numbers]:
        """Return the embedded passages whose hash is below a limit, number and tokens of each, and the hashes."""
        kept, kept_hashes = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.int64)]
        cursor = self._db.execute("SELECT embedded_no, n_tokens, key FROM embedded ORDER BY embedded_no")
        while rows := cursor.fetchmany(10_000):
            hashes = hashes_at([key for _, _, key in rows], np.zeros(len(rows), np.int64))
            is_below = hashes < limit
            kept.append(np.array([row[:2] for row in rows], np.int64)[is_below])
            kept_hashes.append(hashes[is_below])
        return np.concatenate(kept), np.concatenate(kept_hashes)


def _offsets(passages: Numbers) -> Offsets:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(passages[:, 1])])
