"""Brings an index up to date with files: reads what changed, leaves alone what did not, removes what is gone.

A file is unchanged if its size and time are those recorded, and is then not even opened; else if its content has the
recorded hash. Nothing is removed because of a failure: a file that is there but cannot be read keeps the documents
that it gave before, and is reported.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from vecsearch.errors import LoadError, UsageError, VecsearchError
from vecsearch.loading import PLAIN, Loaders, guarded, reason_not_read
from vecsearch.plugins import Registry
from vecsearch.protocols import SourceFile
from vecsearch.sources import MAX_BYTES, Found, Skipped, opener, root_of, walk
from vecsearch.types import AddReport, Document, FileRecord, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vecsearch.index import Index

__all__ = ["FileProgress", "IngestReport", "Skipped", "documents_from_stream", "index_paths"]

_SUFFIX_OF = {"jsonl": ".jsonl", "csv": ".csv", "text": PLAIN}
_BLOCK = 1 << 20


@dataclass(frozen=True)
class FileProgress(Progress):
    """How far a run has come.

    Attributes:
        n_files_done, n_files: how many files are looked at, and how many there are.
        n_bytes_done, n_bytes: how much is read of the files that are to be read, and how much they hold: unchanged
            ones do not count.
    """

    n_files_done: int = 0
    n_files: int = 0
    n_bytes_done: int = 0
    n_bytes: int = 0


@dataclass(frozen=True)
class IngestReport:
    """What a run has done.

    Attributes:
        n_files: found and read now or before; without the skipped ones.
        n_unchanged: of these, left alone.
        n_changed: of these, new or changed, and read.
        n_removed_files: recorded by an earlier run and gone now.
        documents: written, unchanged and removed.
        skipped: what was not read and why, in the order it was met.
    """

    n_files: int = 0
    n_unchanged: int = 0
    n_changed: int = 0
    n_removed_files: int = 0
    documents: AddReport = field(default_factory=AddReport)
    skipped: Sequence[Skipped] = ()


def index_paths(
    index: Index,
    paths: Sequence[Path],
    *,
    glob: Sequence[str] = (),
    exclude: Sequence[str] = (),
    hidden: bool = False,
    max_bytes: int = MAX_BYTES,
    encoding: str | None = None,
    registry: Registry | None = None,
    progress: Callable[[FileProgress], None] | None = None,
) -> IngestReport:
    """Bring an index up to date with files and folders.

    Every batch that is committed stays, whatever ends the run; the next run takes up the rest. A folder's documents
    that came from files which are no longer found below it (``glob``, ``exclude`` and ``hidden`` included) are
    removed; a file given by its own name touches no other.

    Args:
        index: open for writing.
        paths: folders and files. All are looked through before the index is touched.
        glob, exclude, hidden, max_bytes: see ``sources.walk``.
        encoding: of text files without a byte order mark; None is UTF-8.
        registry: where loaders come from; by default all that are installed.
        progress: called after each commit and at the end.

    Raises:
        UsageError: a path that cannot be read, a pattern or an encoding that is none.
        PluginConflictError: two loaders take the same suffix.
        VecsearchError: see ``Index.add_files``.
    """
    loaders = Loaders(registry or Registry(), encoding)
    folders: dict[str, _Folder] = {}
    for path in paths:
        root, name = root_of(Path(path))
        folder = folders.setdefault(root, _Folder(root))
        folder.is_whole |= not name
        for one in walk(
            path, glob=glob, exclude=exclude, hidden=hidden, max_bytes=max_bytes, suffixes=loaders.suffixes
        ):
            if isinstance(one, Found):
                folder.found.setdefault(one.path, one)
            else:
                folder.skipped.append(one)
    run = _Run(index, loaders, [found for folder in folders.values() for found in folder.found.values()], progress)
    for folder in folders.values():
        run.refresh(folder)
    return run.report()


def documents_from_stream(
    stream: BinaryIO,
    format: Literal["jsonl", "csv", "text"],
    *,
    id: str | None = None,
    encoding: str | None = None,
    registry: Registry | None = None,
) -> Iterator[Document]:
    """Yield the documents of a stream, such as stdin. Records are read one by one; the stream is not closed.

    Args:
        stream: bytes.
        format: what they are.
        id: of the document, for ``text``; else what ids of records without one begin with, by default ``stdin``.
        encoding: of the bytes, without a byte order mark; None is UTF-8.
        registry: where loaders come from; by default all that are installed.

    Raises:
        UsageError: ``text`` without an id, a format or an encoding that is none.
        LoadError: the stream is not what ``format`` says; names the line.
    """
    if not isinstance(format, str) or format not in _SUFFIX_OF:
        raise UsageError(f"no format is called {format!r}; formats: {', '.join(_SUFFIX_OF)}")
    if id is not None and not isinstance(id, str):
        raise UsageError(f"an id is text, not {type(id).__name__}")
    if format == "text" and not id:
        raise UsageError("a text needs an id; give one")
    loaders = Loaders(registry or Registry(), encoding)
    loader = loaders.of(_SUFFIX_OF[format])
    if loader is None:
        raise UsageError(f"no installed loader takes {_SUFFIX_OF[format]!r}; is the plugin 'loaders' left out?")
    source = SourceFile(id or "stdin", id or "stdin", lambda: io.BufferedReader(_Borrowed(stream)), 0)
    return guarded(loader, source)


@dataclass
class _Folder:
    """What is to be read below one root. ``is_whole``: everything that is there, not only some files by name."""

    root: str
    is_whole: bool = False
    found: dict[str, Found] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)


class _Run:
    """One call of ``index_paths``: compares, reads, counts."""

    def __init__(
        self, index: Index, loaders: Loaders, files: Sequence[Found], progress: Callable[[FileProgress], None] | None
    ) -> None:
        self._index = index
        self._loaders = loaders
        self._n_files = len(files)
        self._n_bytes = sum(found.size for found in files)
        self._n_bytes_done = 0
        self._reading: tuple[BinaryIO, int] | None = None
        self._progress = progress
        self._n_done = self._n_unchanged = self._n_changed = self._n_removed = 0
        self._documents = AddReport()
        self._skipped: list[Skipped] = []

    def report(self) -> IngestReport:
        """Return what has been done so far."""
        return IngestReport(
            n_files=self._n_unchanged + self._n_changed,
            n_unchanged=self._n_unchanged,
            n_changed=self._n_changed,
            n_removed_files=self._n_removed,
            documents=self._documents,
            skipped=tuple(self._skipped),
        )

    def refresh(self, folder: _Folder) -> None:
        """Bring the index up to date with one folder."""
        self._skipped += folder.skipped
        recorded = self._index.files(folder.root)
        self._n_bytes -= sum(found.size for found in folder.found.values() if _is_unchanged(found, recorded))
        first_skipped = len(self._skipped)
        touched: list[FileRecord] = []
        tried: list[FileRecord] = []
        before = self._documents

        def committed(progress: Progress) -> None:
            self._tell(before + AddReport(progress.n_documents, 0, 0, progress.n_passages, progress.n_tokens))

        self._documents += self._index.add_files(
            self._changed(folder, recorded, touched, tried), skipped=self._skip, progress=committed
        )
        if touched:
            self._index.touch_files(touched)
        if tried:
            now = self._index.files(folder.root)
            self._n_changed += sum(now.get(record.path) == record for record in tried)
        gone = self._gone(folder, recorded, self._skipped[first_skipped:])
        if gone:
            n_documents = self._index.remove_files(folder.root, gone)
            self._documents += AddReport(n_removed=n_documents)
            self._n_removed += len(gone)
        self._tell(self._documents)

    def _changed(
        self, folder: _Folder, recorded: dict[str, FileRecord], touched: list[FileRecord], tried: list[FileRecord]
    ) -> Iterator[tuple[FileRecord, Callable[[], Iterator[Document]]]]:
        for path, found in folder.found.items():
            self._n_done += 1
            if _is_unchanged(found, recorded):
                self._n_unchanged += 1
                continue
            yield from self._to_read(found, recorded.get(path), touched, tried)
            self._n_bytes_done += found.size
            self._reading = None

    def _to_read(
        self, found: Found, known: FileRecord | None, touched: list[FileRecord], tried: list[FileRecord]
    ) -> Iterator[tuple[FileRecord, Callable[[], Iterator[Document]]]]:
        path = found.path
        loader = self._loaders.of(found.suffix)
        if loader is None:
            self._skipped.append(Skipped(found.full_path, "no loader takes it", path, is_there=True))
            return
        open_file = opener(found)
        try:
            record = _record(found, open_file)
        except (OSError, LoadError) as error:
            self._skipped.append(Skipped(found.full_path, reason_not_read(error, found.path), path, is_there=True))
            return
        if known and known.sha256 == record.sha256:
            self._n_unchanged += 1
            touched.append(record)
            return
        tried.append(record)

        def opened() -> BinaryIO:
            stream = open_file()
            self._reading = (stream, record.size)
            return stream

        source = SourceFile(path, path.rpartition("/")[2], opened, record.size)
        yield record, partial(guarded, loader, source)

    def _skip(self, record: FileRecord, error: VecsearchError) -> None:
        reason = reason_not_read(error, record.path)
        full_path = os.path.join(record.root, *record.path.split("/"))
        # A file that was emptied says itself that its documents are gone.
        self._skipped.append(Skipped(full_path, reason, record.path, is_there=reason != "empty"))

    @staticmethod
    def _gone(folder: _Folder, recorded: dict[str, FileRecord], failed: Iterable[Skipped]) -> list[str]:
        emptied = {one.below for one in failed if not one.is_there}
        if not folder.is_whole:
            return sorted(emptied & recorded.keys())
        kept = tuple(one.below for one in folder.skipped if one.is_there)
        below_kept = tuple(path + "/" for path in kept)
        return sorted(
            path
            for path in recorded
            if path in emptied or not (path in folder.found or path in kept or path.startswith(below_kept))
        )

    def _tell(self, documents: AddReport) -> None:
        if self._progress is not None:
            self._progress(
                FileProgress(
                    n_documents=documents.n_documents,
                    n_passages=documents.n_passages,
                    n_tokens=documents.n_tokens,
                    n_files_done=self._n_done,
                    n_files=self._n_files,
                    n_bytes_done=min(self._n_bytes_done + self._n_bytes_read(), self._n_bytes),
                    n_bytes=self._n_bytes,
                )
            )

    def _n_bytes_read(self) -> int:
        """Return how much is read of the file that is being read."""
        if self._reading is None:
            return 0
        stream, size = self._reading
        try:
            return size if stream.closed else stream.tell()
        except (OSError, ValueError):  # a loader may do with its stream what it likes
            return 0


def _is_unchanged(found: Found, recorded: Mapping[str, FileRecord]) -> bool:
    known = recorded.get(found.path)
    return known is not None and (known.size, known.mtime_ns) == (found.size, found.mtime_ns)


def _record(found: Found, open_file: Callable[[], BinaryIO]) -> FileRecord:
    """Return what is to be remembered of a file; size and time as they were before its content was read."""
    with open_file() as stream:
        status = os.fstat(stream.fileno())
        hashed = hashlib.sha256()
        while block := stream.read(_BLOCK):
            hashed.update(block)
    return FileRecord(found.root, found.path, status.st_size, status.st_mtime_ns, hashed.digest())


class _Borrowed(io.RawIOBase):
    """A stream that belongs to somebody else: closing this leaves that open."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        # subtle: read1 gives what a pipe holds now; read would wait for a full block.
        read = getattr(self._stream, "read1", self._stream.read)
        block: bytes = read(len(buffer))
        buffer[: len(block)] = block
        return len(block)
