"""Upkeep of segments: when they are written, merged, and written anew, with vectors or with codes.

A segment is on disk, synced, before the transaction that names it is committed; files that no commit names any more
are removed after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.ahead import ahead
from vecsearch.budget import give_back
from vecsearch.precision import RowFormat
from vecsearch.stores import manifest, reading
from vecsearch.stores.coding import FEWEST_TOKENS, GROWN, Coder, load_codebook
from vecsearch.stores.manifest import CodebookRecord, segment_records
from vecsearch.stores.schema import after_commit
from vecsearch.stores.segments import SegmentRecord, write_segment
from vecsearch.stores.token_types import RareCells
from vecsearch.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from vecsearch.stores.codebook import Codebook
    from vecsearch.stores.coding import Placed
    from vecsearch.stores.disk import Disk
    from vecsearch.stores.protocol import Batch, Encode, Numbers
    from vecsearch.stores.writing import Writer
    from vecsearch.types import Floats, Ids

    Choose = Callable[[Sequence[tuple[int, SegmentRecord]]], list[tuple[int, SegmentRecord]]]

__all__ = ["FLUSH_TOKENS", "SEGMENT_TOKENS", "LoadedCodebook", "Upkeep"]

SEGMENT_TOKENS = 50_000
"""From so many fresh tokens on, a commit writes a segment."""
FLUSH_TOKENS = 10_000
"""From so many fresh tokens on, ``flush`` writes a segment; fewer are encoded faster than a segment is opened."""


class LoadedCodebook:
    """The codebook of an index that was loaded last, so that readers and the writer have one in memory.

    Args:
        folder: of the index.
        alone: see ``RareCells``.

    Attributes:
        rare: the cells that rare types were given by it, for the writer alone.
    """

    def __init__(self, folder: Path, alone: Callable[[Ids], Floats] | None) -> None:
        self._folder = folder
        self._alone = alone
        self._loaded: tuple[str, Codebook] | None = None
        self.rare = RareCells(alone)

    def of(self, record: CodebookRecord) -> Codebook:
        """Return the codebook of a record, read and checked if it is not the one in memory."""
        if self._loaded is None or self._loaded[0] != record.stored.file:
            self.keep(record.stored.file, load_codebook(self._folder, record))
        assert self._loaded is not None
        return self._loaded[1]

    def keep(self, file: str, codebook: Codebook) -> None:
        """Keep a codebook that was just made and written, or read."""
        self._loaded = (file, codebook)
        self.rare = RareCells(self._alone)

    def forget(self) -> None:
        """Let it go."""
        self._loaded = None
        self.rare = RareCells(self._alone)


class Upkeep:
    """Writes, merges and renews the segments of one index.

    Args:
        writer: of the index.
        disk: its files.
        encode: makes vectors of tokens.
        row_format: of stored rows.
        codebook: where the codebook is kept.
        memory: bytes that the process may take.
    """

    def __init__(
        self,
        writer: Writer,
        disk: Disk,
        encode: Encode,
        row_format: RowFormat,
        codebook: LoadedCodebook,
        memory: int,
    ) -> None:
        self._writer = writer
        self._disk = disk
        self._encode = encode
        self._row_format = row_format
        self._codebook = codebook
        self._coder = Coder(writer.db, disk, encode, row_format, memory)

    def write(self, batch: Batch) -> int:
        """Write and commit a batch; return how many documents it removed."""
        writer = self._writer
        if batch.tokens.offsets[-1] >= SEGMENT_TOKENS:
            codebook = manifest.codebook_record(writer.db)
            first = reading.counter(writer.db, "next_embedded")
            # one thread makes and writes the segments while this one fills the tables
            with Worker() as worker:
                segments = worker.submit(lambda: self._segments(batch, codebook, first))
                n_deleted = writer.commit(batch, segments.result)
            with after_commit(self._disk.folder):
                self._tidy()
            return n_deleted
        for _ in batch.vectors:
            pass  # a small batch is encoded too, so that a plugin's error stops it before it is stored
        n_deleted = writer.commit(batch)
        with after_commit(self._disk.folder):
            if writer.n_fresh_tokens() >= SEGMENT_TOKENS:
                self._consolidate()
        return n_deleted

    def _segments(self, batch: Batch, codebook: CodebookRecord | None, first: int) -> list[tuple[SegmentRecord, int]]:
        """Write the segments of a batch whose passages are numbered from ``first`` on; each with how many it holds."""
        if codebook is None:
            return [(write_segment(self._disk, vectors), n) for n, vectors in ahead(batch.vectors)]
        record = self._coder.write_batch(
            self._codebook.of(codebook), codebook.number, first, batch.tokens, batch.vectors, self._codebook.rare
        )
        return [(record, len(batch.keys))]

    def flush(self) -> None:
        """Bring fresh tokens into segments, and segments to a number that is searched fast."""
        if self._writer.n_fresh_tokens() >= FLUSH_TOKENS:
            self._consolidate()
        codebook = manifest.codebook_record(self._writer.db)
        if codebook is None:
            return
        if self._writer.n_embedded_tokens() >= GROWN * codebook.n_tokens:
            self.rewrite()
        else:
            self._merge(codebook, self._coder.gatherable)

    def rewrite(self) -> None:
        """Write all segments anew: with codes where the index is large, with vectors where it is not."""
        writer = self._writer
        old = manifest.file_names(writer.db)
        dropped = [number for number, _ in segment_records(writer.db)]
        passages = writer.embedded()
        n_tokens = writer.n_embedded_tokens()
        if n_tokens >= FEWEST_TOKENS:
            give_back()
            codebook, new = self._coder.train(n_tokens, self._codebook.rare.alone)
            self._codebook.keep(new.stored.file, codebook)
            written = list(self._coder.write(codebook, None, passages, self._codebook.rare))
            writer.repoint(written, dropped, codebook=new)
        else:
            writer.repoint(list(self._segments_of(passages)), dropped)
        for file in old - manifest.file_names(writer.db):
            self._disk.remove(file)

    def _tidy(self) -> None:
        """Go over to codes where the index has become large, and merge their segments where there are many."""
        codebook = manifest.codebook_record(self._writer.db)
        if codebook is None:
            if self._writer.n_embedded_tokens() >= FEWEST_TOKENS:
                self.rewrite()
            return
        self._merge(codebook, self._coder.mergeable)

    def _merge(self, codebook: CodebookRecord, choose: Choose) -> None:
        writer = self._writer
        while merged := choose(segment_records(writer.db)):
            dropped = [number for number, _ in merged]
            live = writer.embedded_in(dropped)
            records = [record for _, record in merged]
            written = self._coder.merged(self._codebook.of(codebook), codebook.number, records, live)
            writer.repoint([written], dropped)
            # where all but one held nothing that lives, what was written may be that one again
            for file in {record.file for _, record in merged} - manifest.file_names(writer.db):
                self._disk.remove(file)

    def _consolidate(self) -> None:
        fresh = self._writer.fresh()
        codebook = manifest.codebook_record(self._writer.db)
        if codebook is None:
            self._writer.repoint(list(self._segments_of(fresh)))
        else:
            loaded = self._codebook.of(codebook)
            self._writer.repoint(list(self._coder.write(loaded, codebook.number, fresh, self._codebook.rare)))
        self._tidy()

    def _segments_of(self, passages: Numbers) -> Iterator[Placed]:
        """Write segments of at most about ``SEGMENT_TOKENS`` tokens; yield each with its passages and their rows."""
        ends = np.cumsum(passages[:, 1])
        begin = 0
        while begin < len(passages):
            before = 0 if begin == 0 else ends[begin - 1]
            end = int(np.searchsorted(ends, before + SEGMENT_TOKENS)) + 1
            some = passages[begin:end, 0]
            begin = end
            tokens = reading.read_tokens(self._writer.db, some.tolist(), self._row_format, self._disk.folder)
            record = write_segment(self._disk, self._encode(tokens))
            yield record, some, tokens.offsets[:-1]
