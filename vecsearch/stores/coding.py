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

from vecsearch.stores.codebook import Codebook
from vecsearch.stores.codes import Codes
from vecsearch.stores.files import damaged, map_file, write_file
from vecsearch.stores.manifest import CodebookRecord, NewCodebook
from vecsearch.stores.protocol import Encode, TokenBatch
from vecsearch.stores.reading import read_tokens
from vecsearch.stores.sampling import hashes_at
from vecsearch.stores.schema import damaged_row
from vecsearch.stores.segments import SegmentRecord

if TYPE_CHECKING:
    from vecsearch.stores.protocol import Numbers
    from vecsearch.types import Floats, Ids

    Placed: TypeAlias = tuple[SegmentRecord, list[int], list[int]]

__all__ = ["FEWEST_TOKENS", "GROWN", "MERGED", "Coder", "load_codebook", "load_codes"]

FEWEST_TOKENS = 1_000_000
"""So many tokens an index has before it gets codes: as many are compared exactly in about a tenth of a second."""
GROWN = 4
"""When an index has so many times the tokens that its codebook was made for, it gets a new one."""
TRAINING_TOKENS = 250_000
"""Tokens of the sample that a codebook is trained on, or four a cell."""
LARGEST = 8_000_000
"""Tokens of a segment of codes that is merged no further."""
MERGED = 8
"""As many segments of about one size become one."""
BLOCK_TOKENS = 65_536
"""Tokens whose vectors are in memory at a time."""


def load_codebook(folder: Path, record: CodebookRecord) -> Codebook:
    """Read a codebook, after checking it.

    Raises:
        IndexDamagedError: the file is missing, or not the one that was written.
    """
    content = map_file(folder, record.stored)
    try:
        codebook = Codebook.from_bytes(content)
    except ValueError as error:
        raise damaged(folder / record.stored.file, f"is no codebook: {error}") from error
    if codebook.n_cells != record.n_cells:
        raise damaged(folder / record.stored.file, "does not have the cells that the manifest names")
    return codebook


def load_codes(folder: Path, record: SegmentRecord, codebook: Codebook) -> Codes:
    """Read the codes of a segment, after checking it.

    Raises:
        IndexDamagedError: the file is missing, or not the one that was written.
    """
    content = map_file(folder, record.stored)
    try:
        codes = Codes.from_buffer(codebook, content)
    except ValueError as error:
        raise damaged(folder / record.file, f"holds no codes: {error}") from error
    if codes.n != record.n_vectors:
        raise damaged(folder / record.file, "does not have the tokens that the manifest names")
    return codes


class Coder:
    """Makes and merges codes of one index.

    Args:
        db: the writer's connection.
        folder: of the index.
        encode: makes vectors of tokens.
        dim: of a vector.
        sync: makes entries of the folder durable.
    """

    def __init__(self, db: Database, folder: Path, encode: Encode, dim: int, sync: Callable[[Path], None]) -> None:
        self._db = db
        self._folder = folder
        self._encode = encode
        self._dim = dim
        self._sync = sync
        self._loaded: tuple[str, Codebook] | None = None

    def train(self, n_tokens: int) -> tuple[Codebook, NewCodebook]:
        """Train a codebook for an index of so many tokens, and write it."""
        blocks = list(self._blocks(self._sampled(TRAINING_TOKENS)))
        codebook = Codebook.train(
            np.concatenate([vectors for vectors, _, _ in blocks]),
            np.concatenate([types for _, types, _ in blocks]),
            n_tokens,
        )
        blocks.clear()
        stored = write_file(self._folder, [codebook.to_bytes()], ".codebook", self._sync)
        self._loaded = (stored.file, codebook)
        return codebook, NewCodebook(stored, codebook.n_cells, n_tokens)

    def codebook(self, record: CodebookRecord) -> Codebook:
        """Return a codebook that the manifest names."""
        if self._loaded is None or self._loaded[0] != record.stored.file:
            self._loaded = (record.stored.file, load_codebook(self._folder, record))
        return self._loaded[1]

    def write_batch(
        self,
        codebook: Codebook,
        codebook_no: int | None,
        first: int,
        tokens: TokenBatch,
        vectors: Iterable[tuple[int, Floats]],
    ) -> SegmentRecord:
        """Write the vectors of a batch, whose passages get the numbers from ``first`` on, as one segment of codes."""

        def blocks() -> Iterator[tuple[Floats, Ids, Numbers]]:
            done = 0
            for n_passages, some in vectors:
                offsets = tokens.offsets[done : done + n_passages + 1]
                numbers = np.repeat(first + done + np.arange(n_passages), np.diff(offsets))
                yield some, tokens.ids[offsets[0] : offsets[-1]], numbers
                done += n_passages

        return self._write(Codes.build(codebook, blocks()), codebook_no)

    def write(self, codebook: Codebook, codebook_no: int | None, numbers: Sequence[int]) -> Iterator[Placed]:
        """Write passages as segments of codes; yield each with its passages and their places."""
        lengths = self._lengths(numbers)
        begin = 0
        while begin < len(numbers):
            bound = int(np.searchsorted(np.cumsum(lengths[begin:]), LARGEST, side="right"))
            end = begin + max(bound, 1)
            some = list(numbers[begin:end])
            record = self._write(Codes.build(codebook, self._blocks(some)), codebook_no)
            yield record, some, _starts(lengths[begin:end])
            begin = end

    def merged(
        self, codebook: Codebook, codebook_no: int | None, records: Sequence[SegmentRecord], live: Numbers
    ) -> Placed:
        """Write the codes of several segments as one, without those of passages that are gone."""
        bits = np.zeros(int(live.max(initial=0)) + 1, bool)
        bits[live] = True
        parts = [load_codes(self._folder, record, codebook) for record in records]
        codes = Codes.merged(codebook, parts, np.packbits(bits, bitorder="little"))
        numbers = live.tolist()
        return self._write(codes, codebook_no), numbers, _starts(self._lengths(numbers))

    def mergeable(self, records: Sequence[tuple[int, SegmentRecord]]) -> list[tuple[int, SegmentRecord]]:
        """Return segments that are to become one: ``MERGED`` of about one size, or none."""
        by_size: dict[int, list[tuple[int, SegmentRecord]]] = {}
        for number, record in records:
            if record.codebook_no is not None and 2 * record.n_vectors <= LARGEST:
                by_size.setdefault(int(np.log(max(record.n_vectors, 1)) / np.log(MERGED)), []).append((number, record))
        for size in sorted(by_size):
            if len(by_size[size]) >= MERGED:
                ends = np.cumsum([record.n_vectors for _, record in by_size[size]])
                return by_size[size][: max(2, int(np.searchsorted(ends, LARGEST, side="right")))]
        return []

    def gatherable(self, records: Sequence[tuple[int, SegmentRecord]]) -> list[tuple[int, SegmentRecord]]:
        """Return segments that are to become one so that there are few: the smallest ones, or none.

        A larger one joins where it has at most twice the codes of all smaller ones together, so that few additions
        never move many codes.
        """
        small = sorted(
            (one for one in records if one[1].codebook_no is not None), key=lambda one: (one[1].n_vectors, one[0])
        )
        chosen = small[:1]
        n = sum(record.n_vectors for _, record in chosen)
        for one in small[1:]:
            if one[1].n_vectors > 2 * n or n + one[1].n_vectors > LARGEST:
                break
            chosen.append(one)
            n += one[1].n_vectors
        return chosen if len(chosen) > 1 else []

    def _write(self, codes: Codes, codebook_no: int | None) -> SegmentRecord:
        stored = write_file(self._folder, [codes.content.data], ".codes", self._sync)
        return SegmentRecord(stored, codes.n, self._dim, codebook_no)

    def _blocks(self, numbers: Sequence[int]) -> Iterator[tuple[Floats, Ids, Numbers]]:
        lengths = self._lengths(numbers)
        begin = 0
        while begin < len(numbers):
            end = begin + max(1, int(np.searchsorted(np.cumsum(lengths[begin : begin + BLOCK_TOKENS]), BLOCK_TOKENS)))
            some = list(numbers[begin:end])
            tokens = read_tokens(self._db, some, self._dim, self._folder)
            yield self._encode(tokens), tokens.ids, np.repeat(np.array(some, np.int64), lengths[begin:end])
            begin = end

    def _sampled(self, n_tokens: int) -> list[int]:
        """Return embedded passages with about so many tokens, chosen by hash: the same for the same texts."""
        rows = self._db.execute("SELECT embedded_no, key, n_tokens FROM embedded").fetchall()
        hashes = hashes_at([key for _, key, _ in rows], np.zeros(len(rows), np.int64))
        order = np.argsort(hashes, kind="stable")
        lengths = np.array([length for _, _, length in rows], np.int64)[order]
        n = int(np.searchsorted(np.cumsum(lengths), n_tokens)) + 1
        return sorted(rows[number][0] for number in order[:n].tolist())

    def _lengths(self, numbers: Sequence[int]) -> Numbers:
        table = dict(self._db.execute("SELECT embedded_no, n_tokens FROM embedded"))
        try:
            return np.array([table[number] for number in numbers], np.int64)
        except KeyError as error:
            raise damaged_row(self._folder, "the table of what is embedded") from error


def _starts(lengths: Numbers) -> list[int]:
    starts: list[int] = (np.cumsum(lengths) - lengths).tolist()
    return starts
