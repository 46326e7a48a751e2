"""The index: add documents, search them, get them back.

The index tokenizes, embeds, scores and orders; where things are kept is its store's business (stores.protocol).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch import __version__
from vecsearch.adding import Run
from vecsearch.errors import (
    IdentityError,
    QueryError,
    UsageError,
    VecsearchError,
)
from vecsearch.pipeline import Pipeline, RowTable, load_pipeline, positioned
from vecsearch.preparation import Preparation, check_given
from vecsearch.protocols import Scorer
from vecsearch.searching import Query, Searcher
from vecsearch.stores.protocol import Batch, Store, TokenBatch
from vecsearch.types import AddReport, Document, DocumentSummary, FileRecord, Hit, Progress

if TYPE_CHECKING:
    from vecsearch.types import Floats, Ids

__all__ = ["Index"]


class Index:
    """A searchable collection of documents, in one folder. A context manager; threads may share it.

    Make one with ``Index.create`` or ``Index.open``. Every batch that ``add`` commits is durable and visible to all
    readers at once. One process at a time may write; any number may read.

    Example:
        >>> import tempfile, vecsearch
        >>> folder = tempfile.mkdtemp()
        >>> with vecsearch.Index.create(f"{folder}/bites") as index:
        ...     report = index.add([
        ...         vecsearch.Document(id="1", text="the dog bit the man"),
        ...         vecsearch.Document(id="2", text="the man bit the dog"),
        ...     ])
        ...     [hit.doc_id for hit in index.search("a man bit a dog")]
        ['2', '1']
    """

    def __init__(self, path: Path, pipeline: Pipeline, store: Store, table: RowTable | None) -> None:
        self.path = path
        self.pipeline = pipeline
        self._store = store
        self._preparation = Preparation(pipeline, table, store)
        self._searcher = Searcher(pipeline)

    @classmethod
    def create(cls, path: str | os.PathLike[str], *, pipeline: Pipeline | None = None) -> Index:
        """Make an empty index in a folder and open it for writing.

        Args:
            path: the folder; made with its parents.
            pipeline: tokenizer, embedder and encoder; by default ``word``, ``wordllama`` and ``relative``.

        Raises:
            IndexExistsError: there is an index, or the folder holds other things.
            PluginNotFoundError: a default plugin is not installed.
            StorageError, IndexReadOnlyError: the folder cannot be made or written.
        """
        from vecsearch.stores import creation

        pipeline = pipeline or Pipeline.from_names()
        folder = Path(path)
        creation.create(folder, pipeline.identity, pipeline.configuration)
        return cls._over_folder(folder, pipeline, read_only=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, pipeline: Pipeline | None = None, read_only: bool = False) -> Index:
        """Open the index in a folder.

        Args:
            path: the folder.
            pipeline: must be the one that the index was made with; by default it is built from the index's own
                record. Give it where its plugins are not installed but at hand as objects.
            read_only: refuse to write.

        Raises:
            IndexNotFoundError: the folder holds no index.
            IdentityError: the pipeline is not the one that the index was made with; names both.
            FormatVersionError: a newer vecsearch made the index.
            PluginNotFoundError: a plugin that the index was made with is not installed.
            IndexDamagedError: the database cannot be read.
        """
        from vecsearch.stores import creation

        folder = Path(path)
        manifest = creation.read_manifest(folder)
        pipeline = pipeline or load_pipeline(manifest["configuration"])
        _check_identity(folder, manifest["identity"], pipeline.identity)
        return cls._over_folder(folder, pipeline, read_only=read_only)

    @classmethod
    def _over_folder(cls, folder: Path, pipeline: Pipeline, *, read_only: bool) -> Index:
        from vecsearch.stores.embedded import EmbeddedStore

        return cls.over(
            lambda encode: EmbeddedStore(folder, encode, pipeline.dim, read_only=read_only), pipeline, folder
        )

    @classmethod
    def over(
        cls, make_store: Callable[[Callable[[TokenBatch], Floats]], Store], pipeline: Pipeline, path: Path
    ) -> Index:
        """Put an index over a store of one's own.

        Args:
            make_store: makes the store, given the function by which it computes the vectors of what it keeps.
            pipeline: of the index.
            path: what the index calls itself.
        """
        stores: list[Store] = []
        table = RowTable(pipeline, lambda ids: stores[0].words(ids)) if pipeline.is_static else None
        stores.append(make_store(lambda batch: positioned(pipeline, table, batch)))
        return cls(path, pipeline, stores[0], table)

    # writing

    def add(self, documents: Iterable[Document], *, progress: Callable[[Progress], None] | None = None) -> AddReport:
        """Add documents; one with an id that is there already replaces it, an unchanged one costs nothing.

        Documents are committed in batches of some hundred thousand characters, in order. What an error leaves behind
        is every batch before it, whole.

        Args:
            documents: any iterable, read once.
            progress: called after each commit.

        Raises:
            DocumentError: a document that cannot be stored as given.
            UsageError: two documents of this call have the same id.
            PluginError: a plugin raised, or broke its contract.
            IndexLockedError, IndexReadOnlyError, StorageError: see ``vecsearch.errors``.
        """
        if isinstance(documents, Document):
            raise UsageError("add() takes a list of documents; for one document say add([document])")
        run = Run(self.pipeline, self._preparation, self._store, progress)
        for document in documents:
            run.take(document)
        run.commit()
        return run.report

    def add_files(
        self,
        files: Iterable[tuple[FileRecord, Callable[[], Iterator[Document]]]],
        *,
        skipped: Callable[[FileRecord, VecsearchError], None],
        progress: Callable[[Progress], None] | None = None,
    ) -> AddReport:
        """Add the documents of files; they replace what each file gave before.

        A file is recorded together with its last document, so that an interrupted run takes it up again.

        Args:
            files: for each file its record and a function that reads its documents.
            skipped: told of each file that could not be read, or a document that could not be taken, and why. What
                such a file gave before stays.
            progress: called after each commit.

        Raises:
            PluginError, IndexLockedError, IndexReadOnlyError, StorageError: see ``vecsearch.errors``.
        """
        run = Run(self.pipeline, self._preparation, self._store, progress)
        for record, read in files:
            run.take_file(record, read, skipped)
        run.commit()
        return run.report

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents in one commit.

        Returns:
            How many of them existed.
        """
        if isinstance(ids, str):
            raise UsageError(f"delete() takes a list of ids; for one document say delete([{ids!r}])")
        doc_ids = list(dict.fromkeys(map(_checked_id, ids)))
        return self._store.write(Batch(tokens=self._no_tokens(), deleted=doc_ids))

    def files(self, root: str) -> dict[str, FileRecord]:
        """Return what is recorded of the files below a root, by path."""
        return self._store.files(root)

    def touch_files(self, records: Iterable[FileRecord]) -> None:
        """Replace what is recorded of files whose content has not changed."""
        self._store.touch_files(records)

    def remove_files(self, root: str, paths: Iterable[str]) -> int:
        """Forget files and delete their documents. Returns how many documents."""
        return self._store.remove_files(root, paths)

    def flush(self) -> None:
        """Bring what was added into the form that is searched fastest. ``add`` alone is durable and searchable."""
        self._store.flush()

    def compact(self) -> None:
        """Write all segments anew from the documents' tokens: drops what deletes left, mends damaged segments."""
        self._store.compact()

    # reading

    def search(
        self,
        query: str | None = None,
        k: int = 10,
        *,
        vectors: Floats | None = None,
        token_ids: Ids | None = None,
        scorer: str | Scorer = "maxsim",
        timeout: float | None = None,
    ) -> list[Hit]:
        """Return the k best passages.

        Args:
            query: text, for an index made from text.
            k: how many hits, ≥ 1.
            vectors: float32 ``(n_tokens, dim)``, the query for an index of given vectors.
            token_ids: int ``(n_tokens,)`` of those vectors, to weigh rare ones more; −1 where there is none.
            scorer: by name or as an object.
            timeout: seconds; looked at between the stages of the search.

        Returns:
            Hits by score, best first; equal scores by ``doc_id``, then by place in the document. Scores are exact.

        Raises:
            UsageError: k < 1, or not exactly one of ``query`` and ``vectors``.
            QueryError: the query is empty, too long, or none of its tokens has a meaning.
            VectorsError: vectors of a wrong shape or type.
            SearchTimeoutError: ``timeout`` has passed.
            IndexDamagedError: what would have to be read is not what was written.
        """
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise UsageError(f"k is {k!r}; it must be a whole number of 1 or more", k=k)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float | None) or timeout != timeout:
            raise UsageError(f"timeout is {timeout!r}; it must be a number of seconds, or None")
        deadline = None if timeout is None else time.monotonic() + timeout
        wanted = self._query(query, vectors, token_ids)
        with self._store.snapshot() as snapshot:
            return self._searcher.search(snapshot, wanted, k, scorer, deadline)

    def get(self, doc_id: str) -> Document | None:
        """Return a document as it was added, or None. ``sections`` are not kept."""
        with self._store.snapshot(vectors=False) as snapshot:
            stored = snapshot.document(_checked_id(doc_id))
        if stored is None:
            return None
        vectors = token_ids = None
        if self.pipeline.is_given and stored.tokens is not None:
            vectors = stored.tokens.rows
            token_ids = None if np.any(stored.tokens.ids < 0) else stored.tokens.ids
        return Document(
            id=stored.id,
            text=stored.text or "",
            title=stored.title,
            metadata=json.loads(stored.metadata),
            vectors=vectors,
            token_ids=token_ids,
        )

    def documents(self, *, prefix: str = "", limit: int | None = None) -> Iterator[DocumentSummary]:
        """Yield documents without their text, in id order.

        Args:
            prefix: only those whose id begins with it.
            limit: at most so many.

        A long listing is read in pages: documents that are added or deleted meanwhile may or may not be in it.
        """
        _check_text(prefix, "the prefix of an id")
        after: str | None = None
        left = limit
        while left is None or left > 0:
            size = 1_000 if left is None else min(left, 1_000)
            with self._store.snapshot(vectors=False) as snapshot:
                page = snapshot.summaries(prefix, after, size)
            yield from page
            if len(page) < size:
                return
            after = page[-1].id
            left = None if left is None else left - len(page)

    def tokens(self, text: str) -> list[tuple[str, int | None, int, int]]:
        """Return a text's tokens as this index cuts it: entry, id (None where the index does not know it), span."""
        _check_text(text, "the text")
        tokens = self.pipeline.tokenize([text])
        spans = tokens.spans.tolist()
        if tokens.entries is None:
            closed = self.pipeline.closed_vocabulary
            assert closed is not None
            assert tokens.ids is not None
            numbers = tokens.ids.tolist()
            entries = [closed.entries[number] for number in numbers]
        else:
            entries = list(tokens.entries)
            with self._store.snapshot(vectors=False) as snapshot:
                numbers = [number if number >= 0 else None for number in snapshot.lookup(entries).tolist()]
        return [(entry, number, *span) for entry, number, span in zip(entries, numbers, spans, strict=True)]

    def words(self, limit: int | None = None) -> list[tuple[int, str, int]]:
        """Return (id, word, number of passages with it) of an open vocabulary, most frequent first."""
        return self._store.vocabulary(limit)

    def info(self) -> dict[str, Any]:
        """Return what the index is made of, JSON-ready."""
        return {
            "path": str(self.path),
            "vecsearch": __version__,
            "pipeline": self.pipeline.identity,
            "search": "exact" if self._store.capabilities.exact else "approximate",
            "capabilities": self._store.capabilities.to_dict(),
            **self._store.info(),
        }

    def verify(self) -> list[str]:
        """Check everything that is stored; return one sentence for each damage. Reads all of it."""
        return self._store.verify()

    def close(self) -> None:
        """Let go of files, connections and the writer's lock. Closing twice is allowed."""
        self._store.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _query(self, query: str | None, vectors: Floats | None, token_ids: Ids | None) -> Query:
        if (query is None) == (vectors is None):
            raise UsageError("search() takes either a query or vectors=")
        if vectors is not None:
            if not self.pipeline.is_given:
                raise UsageError("this index makes its vectors from text; search it with text, not with vectors=")
            check_given(vectors, token_ids, self.pipeline.dim, "the query", lowest=-1)
            return Query.of_vectors(self.pipeline, vectors, token_ids)
        if token_ids is not None:
            raise UsageError("token_ids go with vectors=; a text has its own")
        assert query is not None
        _check_text(query, "the query", QueryError)
        if not query.strip():
            raise QueryError("the query is empty; give at least one word", query=query)
        return Query.of_text(self.pipeline, query)

    def _no_tokens(self) -> TokenBatch:
        return TokenBatch(np.zeros(1, np.int64), np.zeros(0, np.int32))


def _check_text(text: object, name: str, kind: type[UsageError] = UsageError) -> None:
    if not isinstance(text, str):
        raise kind(f"{name} must be text, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise kind(
            f"{name} has a lone surrogate at character {error.start}, which is no Unicode text; decode its source with "
            f"errors='replace', or leave it out"
        ) from error


def _checked_id(doc_id: str) -> str:
    _check_text(doc_id, f"the id {doc_id!r:.80}")
    return doc_id


def _check_identity(folder: Path, recorded: dict[str, Any], given: dict[str, Any]) -> None:
    for part in ("tokenizer", "embedder", "encoder", "max_tokens"):
        if recorded.get(part) != given.get(part):
            raise IdentityError(
                f"index {folder} was made with {part} {json.dumps(recorded.get(part), sort_keys=True)}, but this is "
                f"{json.dumps(given.get(part), sort_keys=True)}; open it with the former, or index the sources into a "
                f"new index",
                path=str(folder),
                part=part,
                recorded=recorded.get(part),
                given=given.get(part),
            )
