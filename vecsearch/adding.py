"""Adding documents: queue them, leave out what has not changed, commit in batches, count.

A batch that is full is written by another thread, while the caller's gathers, cuts and tokenizes the next one. What is
written is what one thread alone would write: the store is looked into, and words get their ids, batch after batch. A
batch that is full is committed without waiting for more documents. If it fails, that is raised when the next one is
full, or at the end, and nothing after it is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from vecsearch.errors import DocumentError, LoadError, UsageError, VecsearchError
from vecsearch.pipeline import Pipeline
from vecsearch.preparation import Preparation, checked, content_hash
from vecsearch.seen import File, Seen
from vecsearch.stores.protocol import Batch, Store
from vecsearch.types import AddReport, Document, FileRecord, Progress
from vecsearch.worker import Task, Worker

if TYPE_CHECKING:
    from vecsearch.preparation import Begun

__all__ = ["Run"]

BATCH_CHARACTERS = 1_000_000
"""About how much text one commit holds."""
BATCH_DOCUMENTS = 5_000
BATCH_TOKENS = 100_000
"""About how many given vectors one commit holds."""


@dataclass(frozen=True)
class _Queued:
    document: Document
    content_hash: bytes
    file: File | None
    skipped: Callable[[VecsearchError], None] | None


@dataclass
class _Gathered:
    """What the next commit will hold. ``known``: those of the files that are done that gave documents before."""

    queue: list[_Queued] = field(default_factory=list)
    done: list[FileRecord] = field(default_factory=list)
    known: list[File] = field(default_factory=list)
    size: int = 0


@dataclass(frozen=True)
class _Committed:
    """What a commit did: counted, and whom it must be told that a document was not taken."""

    report: AddReport
    taken: list[tuple[_Queued, VecsearchError]]


class Run:
    """One call of ``add`` or ``add_files``: gathers documents, commits them in batches, counts.

    A context manager: when it ends, whatever ended it, every batch that was full is committed, or has failed.

    Attributes:
        report: of what has been committed.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        preparation: Preparation,
        store: Store,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.report = AddReport()
        self._pipeline = pipeline
        self._preparation = preparation
        self._store = store
        self._progress = progress
        self._seen = Seen()
        self._gathered = _Gathered()
        self._worker: Worker | None = None
        self._writing: Task[_Committed] | None = None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # what a batch failed by came before what ends the run now
            self._settle()
        finally:
            if self._worker is not None:
                self._worker.close()

    def take(self, document: Document) -> None:
        """Queue a document that belongs to no file."""
        self._put(_Queued(checked(document, self._pipeline), content_hash(document), None, None))

    def take_file(
        self,
        record: FileRecord,
        read: Callable[[], Iterator[Document]],
        skipped: Callable[[FileRecord, VecsearchError], None],
    ) -> None:
        """Queue the documents of a file."""
        file = (record.root, record.path)
        is_known = bool(self._store.file_documents(*_one(file)))

        def skip(error: VecsearchError) -> None:
            skipped(record, error)

        try:
            for document in read():
                queued = _Queued(checked(document, self._pipeline), content_hash(document), file, skip)
                if document.id in self._seen:
                    skip(_taken(document.id, file, self._seen.file_of(document.id)))
                    continue
                self._put(queued)
        except (LoadError, DocumentError, OSError) as error:
            # what is committed of it stays, and so does what it gave before; unfinished, it is read again next time
            self._gathered.queue = [queued for queued in self._gathered.queue if queued.file != file]
            if isinstance(error, OSError):
                error = LoadError(f"{record.path}: {error.strerror or error}", path=record.path)
            skip(error)
            return
        self._gathered.done.append(record)
        if is_known:
            self._gathered.known.append(file)

    def _put(self, queued: _Queued) -> None:
        document = queued.document
        if document.id in self._seen:
            raise UsageError(
                f"two documents of this call have the id {document.id[:80]!r}; ids must differ", id=document.id
            )
        self._seen.add(document.id, queued.file)
        gathered = self._gathered
        gathered.queue.append(queued)
        n_vectors = 0 if document.vectors is None else len(document.vectors)
        gathered.size += len(document.text) + len(document.title) + n_vectors * (BATCH_CHARACTERS // BATCH_TOKENS)
        if gathered.size >= BATCH_CHARACTERS or len(gathered.queue) >= BATCH_DOCUMENTS:
            self._write_behind()

    def _write_behind(self) -> None:
        """Let another thread commit what is gathered, after the batch before."""
        gathered, self._gathered = self._gathered, _Gathered()
        begun = None
        if self._worker is None:
            # whether there is writing now is told at once
            with self._store.exclusive():
                self._worker = Worker()
        else:
            begun = self._begun(gathered)
            self._settle()
        self._writing = self._worker.submit(lambda: self._commit(gathered, begun))

    def commit(self) -> None:
        """Commit what is queued: all of it or, if anything raises, nothing."""
        gathered, self._gathered = self._gathered, _Gathered()
        begun = None if self._writing is None else self._begun(gathered)
        self._settle()
        if gathered.queue or gathered.done:
            self._told(self._commit(gathered, begun))

    def _begun(self, gathered: _Gathered) -> Begun | None:
        """Cut and tokenize what is new, as far as can be told while the batch before is written."""
        if gathered.size > 2 * BATCH_CHARACTERS:
            return None  # a huge document, whose words shall not all be in memory
        stored = self._store.records([queued.document.id for queued in gathered.queue])
        new = [
            queued.document
            for queued in gathered.queue
            if (record := stored.get(queued.document.id)) is None or record.content_hash != queued.content_hash
        ]
        try:
            return self._preparation.begin(new)
        except VecsearchError:
            return None  # it is raised in its turn, when all of this is done again

    def _settle(self) -> None:
        """Wait for the batch that is being written."""
        if self._writing is not None:
            self._writing.wait()
            writing, self._writing = self._writing, None
            self._told(writing.result())

    def _told(self, committed: _Committed) -> None:
        self.report += committed.report
        for queued, error in committed.taken:
            if queued.skipped is not None:
                queued.skipped(error)
        if self._progress is not None:
            report = self.report
            self._progress(Progress(report.n_documents + report.n_unchanged, report.n_passages, report.n_tokens))

    def _commit(self, gathered: _Gathered, begun: Begun | None) -> _Committed:
        # what is read here decides what is written, so nobody else may write in between
        with self._store.exclusive():
            return self._commit_alone(gathered, begun)

    def _commit_alone(self, gathered: _Gathered, begun: Begun | None) -> _Committed:
        stored = self._store.records([queued.document.id for queued in gathered.queue])
        changed: list[tuple[Document, File | None, bytes]] = []
        moved: list[tuple[str, File]] = []
        taken: list[tuple[_Queued, VecsearchError]] = []
        for queued in gathered.queue:
            document, file = queued.document, queued.file
            record = stored.get(document.id)
            owner = None if record is None else record.file
            if queued.skipped and owner not in (None, file) and owner and os.path.exists(os.path.join(*owner)):
                taken.append((queued, _taken(document.id, file, owner)))
            elif record is None or record.content_hash != queued.content_hash:
                changed.append((document, file, queued.content_hash))
            elif file is not None and owner != file:
                moved.append((document.id, file))
        prepared = self._preparation.prepare(changed, begun=begun)
        n_removed = self._store.write(
            Batch(
                documents=prepared.documents,
                keys=prepared.keys,
                tokens=prepared.tokens,
                vectors=prepared.vectors,
                moved=moved,
                begun=sorted({queued.file for queued in gathered.queue if queued.file is not None}),
                done=gathered.done,
                deleted=self._gone(gathered.known),
            )
        )
        report = AddReport(
            n_documents=len(changed),
            n_unchanged=len(gathered.queue) - len(taken) - len(changed),
            n_removed=n_removed,
            n_passages=sum(len(document.passages) for document in prepared.documents),
            n_tokens=prepared.n_tokens,
        )
        return _Committed(report, taken)

    def _gone(self, files: list[File]) -> list[str]:
        """Return the documents that files gave before and give no more."""
        return [
            doc_id
            for file in files
            for doc_id in self._store.file_documents(*_one(file))
            if self._seen.file_of(doc_id) != file
        ]


def _one(file: File) -> tuple[str, list[str]]:
    return file[0], [file[1]]


def _taken(doc_id: str, file: File | None, owner: File | None) -> DocumentError:
    name = "" if file is None else file[1]
    where = "the same file" if owner == file else "another source" if owner is None else os.path.join(*owner)
    return DocumentError(
        f"{name}: document id {doc_id[:80]!r} is taken by {where}, which is kept; "
        f"use ids that differ, or another index",
        id=doc_id,
    )
