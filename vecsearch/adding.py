"""Adding documents: queue them, leave out what has not changed, commit in batches, count."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vecsearch.errors import DocumentError, LoadError, UsageError, VecsearchError
from vecsearch.pipeline import Pipeline
from vecsearch.preparation import Preparation, checked, content_hash
from vecsearch.stores.protocol import Batch, Store
from vecsearch.types import AddReport, Document, FileRecord, Progress

__all__ = ["Run"]

BATCH_CHARACTERS = 400_000
"""About how much text one commit holds."""
BATCH_DOCUMENTS = 2_000
BATCH_TOKENS = 100_000
"""About how many given vectors one commit holds."""

File = tuple[str, str]


@dataclass(frozen=True)
class _Queued:
    document: Document
    content_hash: bytes
    file: File | None
    skipped: Callable[[VecsearchError], None] | None


class Run:
    """One call of ``add`` or ``add_files``: gathers documents, commits them in batches, counts."""

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
        self._seen: dict[str, File | None] = {}
        self._clear()

    def _clear(self) -> None:
        self._queue: list[_Queued] = []
        self._done: list[FileRecord] = []
        self._gone: list[str] = []
        self._size = 0

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
        before = self._store.file_documents(record.root, [record.path])
        now: set[str] = set()

        def skip(error: VecsearchError) -> None:
            skipped(record, error)

        try:
            for document in read():
                queued = _Queued(checked(document, self._pipeline), content_hash(document), file, skip)
                if document.id in self._seen:
                    skip(_taken(document.id, file, self._seen[document.id]))
                    continue
                now.add(document.id)
                self._put(queued)
        except (LoadError, DocumentError, OSError) as error:
            # what is committed of it stays, and so does what it gave before; unfinished, it is read again next time
            self._queue = [queued for queued in self._queue if queued.file != file]
            if isinstance(error, OSError):
                error = LoadError(f"{record.path}: {error.strerror or error}", path=record.path)
            skip(error)
            return
        self._done.append(record)
        self._gone += [doc_id for doc_id in before if doc_id not in now]

    def _put(self, queued: _Queued) -> None:
        document = queued.document
        if document.id in self._seen:
            raise UsageError(
                f"two documents of this call have the id {document.id[:80]!r}; ids must differ", id=document.id
            )
        self._seen[document.id] = queued.file
        self._queue.append(queued)
        n_vectors = 0 if document.vectors is None else len(document.vectors)
        self._size += len(document.text) + len(document.title) + n_vectors * (BATCH_CHARACTERS // BATCH_TOKENS)
        if self._size >= BATCH_CHARACTERS or len(self._queue) >= BATCH_DOCUMENTS:
            self.commit()

    def commit(self) -> None:
        """Commit what is queued: all of it or, if anything raises, nothing."""
        if not (self._queue or self._done or self._gone):
            return
        # what is read here decides what is written, so nobody else may write in between
        with self._store.exclusive():
            self._commit()
        if self._progress is not None:
            report = self.report
            self._progress(Progress(report.n_documents + report.n_unchanged, report.n_passages, report.n_tokens))

    def _commit(self) -> None:
        stored = self._store.records([queued.document.id for queued in self._queue])
        changed: list[tuple[Document, File | None, bytes]] = []
        moved: list[tuple[str, File]] = []
        n_taken = 0
        for queued in self._queue:
            document, file = queued.document, queued.file
            record = stored.get(document.id)
            owner = None if record is None else record.file
            if queued.skipped and owner not in (None, file) and owner and os.path.exists(os.path.join(*owner)):
                queued.skipped(_taken(document.id, file, owner))
                n_taken += 1
            elif record is None or record.content_hash != queued.content_hash:
                changed.append((document, file, queued.content_hash))
            elif file is not None and owner != file:
                moved.append((document.id, file))
        prepared = self._preparation.prepare(changed)
        n_removed = self._store.write(
            Batch(
                documents=prepared.documents,
                keys=prepared.keys,
                tokens=prepared.tokens,
                vectors=prepared.vectors,
                moved=moved,
                begun=sorted({queued.file for queued in self._queue if queued.file is not None}),
                done=self._done,
                deleted=self._gone,
            )
        )
        self.report += AddReport(
            n_documents=len(changed),
            n_unchanged=len(self._queue) - n_taken - len(changed),
            n_removed=n_removed,
            n_passages=sum(len(document.passages) for document in prepared.documents),
            n_tokens=prepared.n_tokens,
        )
        self._clear()


def _taken(doc_id: str, file: File | None, owner: File | None) -> DocumentError:
    name = "" if file is None else file[1]
    where = "the same file" if owner == file else "another source" if owner is None else os.path.join(*owner)
    return DocumentError(
        f"{name}: document id {doc_id[:80]!r} is taken by {where}, which is kept; "
        f"use ids that differ, or another index",
        id=doc_id,
    )
