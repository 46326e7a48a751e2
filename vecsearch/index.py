"""The index: add documents, search them, get them back.

The index tokenizes, embeds, scores and orders; where things are kept is its store's business (stores.protocol).
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch import __version__
from vecsearch.adding import Run
from vecsearch.arguments import Syntax, check_limit, check_list, check_text, checked_id, checked_query
from vecsearch.budget import MEMORY, checked_memory
from vecsearch.embedding_cache import EmbeddingCache, default_cache
from vecsearch.errors import IndexDamagedError, StorageError, UsageError, VecsearchError
from vecsearch.identity import check_identity
from vecsearch.pipeline import Pipeline, load_pipeline
from vecsearch.positioning import Positioning, RowTable
from vecsearch.preparation import Preparation
from vecsearch.protocols import Scorer
from vecsearch.request import Mode, Order, checked_request
from vecsearch.searching import Searcher, numbered
from vecsearch.stores.protocol import Batch, Store, TokenBatch
from vecsearch.taking_over import Kept, batches
from vecsearch.types import AddReport, Document, DocumentSummary, FileRecord, Hit, Progress

if TYPE_CHECKING:
    from vecsearch.filters import Filter
    from vecsearch.fusion import FusionName
    from vecsearch.reranking import Reranker
    from vecsearch.stores.disk import Durability
    from vecsearch.types import Floats, Ids
    from vecsearch.units import Grouping

__all__ = ["Index", "Syntax"]

_MOST_ROWS = 2**62  # SQLite counts in 64 bits
QUERIES_AT_ONCE = 32
"""As many queries are looked for in one pass over the vectors."""


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

    def __init__(
        self, path: Path, pipeline: Pipeline, store: Store, table: RowTable | None, cache: EmbeddingCache | None = None
    ) -> None:
        self.path = path
        self.pipeline = pipeline
        self._store = store
        self._cache = cache
        self._preparation = Preparation(pipeline, table, store, cache)
        self._searcher = Searcher(pipeline, table)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        pipeline: Pipeline | None = None,
        durability: Durability = "full",
        memory: int = MEMORY,
        cache: bool = True,
    ) -> Index:
        """Make an empty index in a folder and open it for writing.

        Args:
            path: the folder; made with its parents.
            pipeline: tokenizer, embedder and encoder; by default ``word``, ``wordllama`` and ``relative``.
            durability: ``"full"``: what is committed survives a power loss; ``"fast"``: the end of the process, and
                small commits take less time. See ``open``.
            memory, cache: see ``open``.

        Raises:
            UsageError: there is no such durability, or the memory is too small.
            IndexExistsError: there is an index, or the folder holds other things.
            PluginNotFoundError: a default plugin is not installed.
            VectorsError: the positional encoder cannot have vectors of the embedder's length.
            StorageError, IndexReadOnlyError: the folder cannot be made or written.
        """
        from vecsearch.stores import creation

        pipeline = pipeline or Pipeline.from_names()
        folder = Path(path)
        # before the folder is made
        checked_memory(memory)
        pipeline.check_encoder()
        creation.create(folder, pipeline.identity, pipeline.configuration, pipeline.artefacts, durability=durability)
        return cls._over_folder(folder, pipeline, cache, read_only=False, durability=durability, memory=memory)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        pipeline: Pipeline | None = None,
        read_only: bool = False,
        durability: Durability = "full",
        memory: int = MEMORY,
        cache: bool = True,
    ) -> Index:
        """Open the index in a folder.

        Args:
            path: the folder.
            pipeline: must be the one that the index was made with; by default it is built from the index's own
                record. Give it where its plugins are not installed but at hand as objects.
            read_only: refuse to write.
            durability: of what is written through this object. ``"full"``: what is committed survives a power loss.
                ``"fast"``: it survives the end of the process, however it ends; a power loss may take the last
                commits, and damage segments, which ``compact`` mends.
            memory: bytes that the process may take while it writes, 600,000,000 or more; less memory makes more, and
                smaller, segments. Searching maps files into memory beside that.
            cache: whether what a contextual embedder gives is kept in the user's cache folder, and taken from there;
                see ``embedding_cache``.

        Raises:
            UsageError: there is no such durability, or the memory is too small.
            IndexNotFoundError: the folder holds no index.
            IdentityError: the pipeline is not the one that the index was made with; names both.
            FormatVersionError: a newer vecsearch made the index.
            PluginNotFoundError: a plugin that the index was made with is not installed.
            IndexDamagedError: the database cannot be read.
        """
        from vecsearch.stores import creation

        folder = Path(path)
        manifest = creation.read_manifest(folder)
        pipeline = pipeline or load_pipeline(manifest["configuration"], artefacts=manifest["artefacts"])
        check_identity(folder, manifest["identity"], pipeline.identity)
        return cls._over_folder(folder, pipeline, cache, read_only=read_only, durability=durability, memory=memory)

    @classmethod
    def _over_folder(
        cls, folder: Path, pipeline: Pipeline, cache: bool, *, read_only: bool, durability: Durability, memory: int
    ) -> Index:
        from vecsearch.stores.embedded import EmbeddedStore

        return cls.over(
            lambda positioning: EmbeddedStore(
                folder,
                positioning,
                pipeline.row_format,
                is_static=pipeline.is_static,
                compare=positioning.compared,
                read_only=read_only,
                durability=durability,
                memory=memory,
            ),
            pipeline,
            folder,
            cache=cache,
        )

    @classmethod
    def over(
        cls,
        make_store: Callable[[Positioning], Store],
        pipeline: Pipeline,
        path: Path,
        *,
        cache: bool = False,
    ) -> Index:
        """Put an index over a store of one's own.

        Args:
            make_store: makes the store, given the function by which it computes the vectors of what it keeps.
            pipeline: of the index.
            path: what the index calls itself.
            cache: see ``open``.
        """
        stores: list[Store] = []
        table = RowTable(pipeline, lambda ids: stores[0].words(ids)) if pipeline.is_static else None
        stores.append(make_store(Positioning(pipeline, table)))
        is_cached = cache and not pipeline.is_static and not pipeline.is_given
        return cls(path, pipeline, stores[0], table, default_cache() if is_cached else None)

    # writing

    def add(self, documents: Iterable[Document], *, progress: Callable[[Progress], None] | None = None) -> AddReport:
        """Add documents; one with an id that is there already replaces it, an unchanged one costs nothing.

        Documents are committed in batches of about a million characters, in order; one is written while the next is
        gathered. What an error leaves behind is every batch before it, whole.

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
        with Run(self.pipeline, self._preparation, self._store, progress) as run:
            check_list(documents, "add() takes a list of documents")
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
        with Run(self.pipeline, self._preparation, self._store, progress) as run:
            for record, read in files:
                run.take_file(record, read, skipped)
            run.commit()
        return run.report

    def take_over(self, documents: Iterable[Kept], files: Iterable[FileRecord] = ()) -> AddReport:
        """Add documents exactly as another index has them; none of them may be here already.

        Args:
            documents: each with where its passages begin, the file it belongs to and the hash of its content.
            files: what is recorded of files, after the documents.

        Raises:
            As ``add``.
        """
        report = AddReport()
        for some in batches(documents):
            with self._store.exclusive():
                prepared = self._preparation.prepare(
                    [(one.document, one.file, one.content_hash) for one in some], [one.starts for one in some]
                )
                self._store.write(
                    Batch(
                        documents=prepared.documents,
                        keys=prepared.keys,
                        tokens=prepared.tokens,
                        vectors=prepared.vectors,
                    )
                )
            n_passages = sum(len(document.passages) for document in prepared.documents)
            report += AddReport(n_documents=len(some), n_passages=n_passages, n_tokens=prepared.n_tokens)
        if done := list(files):
            self._store.write(Batch(tokens=self._no_tokens(), done=done))
        return report

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents in one commit.

        Returns:
            How many of them existed.
        """
        if isinstance(ids, str):
            raise UsageError(f"delete() takes a list of ids; for one document say delete([{ids!r}])")
        check_list(ids, "delete() takes a list of ids")
        doc_ids = list(dict.fromkeys(map(checked_id, ids)))
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
        """Bring what was added into the form that is searched fastest. ``add`` alone is durable and searchable.

        Where the index has become approximate by it, or has doubled since, how deep it is searched is measured anew.
        """
        self._store.flush()
        self._tune_if_grown()

    def _tune_if_grown(self) -> None:
        facts = self._store.info()  # a snapshot with vectors would map all of them
        approximate = facts.get("approximate")
        if approximate is not None and facts["n_tokens"] >= 2 * approximate["n_tokens"]:
            self.tune()

    def tune(self, recall: float | None = None, *, n_queries: int | None = None) -> dict[str, Any] | None:
        """Measure how deep an approximate index must be searched to find what exact search finds, and search it so.

        Queries are made of the index's own passages. Exact search tells the best ten of some, a search much deeper than
        any that is chosen those of the others (see ``tuning``). Takes seconds a million words.

        Args:
            recall: share of these ten that candidates are to hold, on average; by default what was asked for before,
                at first .98.
            n_queries: more are more precise and take longer; 192 by default.

        Returns:
            What ``info()`` says of it; None where the index is exact, and there is nothing to tune.

        Raises:
            UsageError: an argument is not what it must be.
        """
        from vecsearch.tuning import checked_target, tuned

        checked_target(recall, n_queries)
        with self._store.snapshot() as snapshot:
            if snapshot.depth() is None:
                return None
            depth = tuned(self.pipeline, self._searcher, snapshot, recall, n_queries)
        self._store.set_depth(depth)
        return asdict(depth)

    def compact(self) -> None:
        """Write all segments anew from the documents' tokens: drops what deletes left, mends damaged segments.

        How deep an approximate index is searched is measured anew.
        """
        self._store.compact()
        try:
            self.tune()
        except (StorageError, IndexDamagedError) as error:
            raise type(error)(
                f"index {self.path}: that all segments are written anew is committed, but how deep they are searched "
                f"could not be measured: {error.message}",
                path=str(self.path),
            ) from error

    # reading

    def preload(self) -> None:
        """Read now what the first search would read of the store: the tables of passages, vectors or codes.

        Another thread may do it while the query is still on its way; a search that comes earlier waits for it.

        Raises:
            IndexDamagedError: what would have to be read is not what was written.
        """
        with self._store.snapshot():
            pass

    def search(
        self,
        query: str | None = None,
        k: int = 10,
        *,
        mode: Mode | None = None,
        scorer: str | Scorer | None = None,
        order: Order = "default",
        where: Filter | str | None = None,
        by: Grouping = "passage",
        syntax: Syntax = "query",
        fusion: FusionName = "zscore",
        weights: Mapping[str, float] | None = None,
        min_score: float | None = None,
        offset: int = 0,
        explain: bool = False,
        matches: bool = True,
        exact: bool = False,
        rerank: str | Reranker | None = None,
        n_rerank: int = 20,
        vectors: Floats | None = None,
        token_ids: Ids | None = None,
        timeout: float | None = None,
    ) -> list[Hit]:
        """Return the k best passages, or documents.

        Args:
            query: text, for an index made from text. Words in double quotes, ``NEAR(…)``, ``=word`` and ``-word``
                mean what ``query_language`` says, unless ``syntax`` is ``"plain"``.
            k: how many hits, ≥ 1.
            mode: ``"hybrid"``, the default: vectors and keywords fused; ``"vector"``, the default where the query is
                vectors; ``"keyword"``: BM25 alone.
            scorer: of the vectors, by name or as an object; by default the one that suits the embedder.
            order: how much word order counts: ``"default"`` as much as the index was made for; ``"none"``; ``"strict"``
                more. The best 2,000 candidates (twice the hits, if that is more) are then compared anew.
            where: only documents that a filter lets through; see ``filters`` for the language.
            by: a hit is a passage, or a document by its best passage.
            syntax: ``"plain"`` takes every character of the query as text.
            fusion: how a hybrid search fuses its signals: ``"zscore"`` or ``"rrf"``.
            weights: share of each signal, ``{"vector": …, "keyword": …}``.
            min_score: only hits whose vector score, before fusion, is so much or more.
            offset: how many of the best hits to leave out: the next page.
            explain: whether hits carry ``explanation``.
            matches: whether hits carry ``matches``; without them many hits are written several times as fast.
            vectors: float32 ``(n_tokens, dim)``, the query for an index of given vectors.
            token_ids: int ``(n_tokens,)`` of those vectors, to weigh rare ones more; −1 where there is none.
            exact: compare every passage, even where the index is so large that only the best candidates by their
                codes are. Of a million words that takes seconds.
            rerank: a contextual embedder, by name or ``"name:key=value"``, or a ``Reranker``: the best hits are
                rescored with vectors that it computes now, or finds in its cache; see ``reranking``. Needs a text.
            n_rerank: how many of the best are rescored, 1 to 1,000; the others follow in their order.
            timeout: seconds; looked at between the stages of the search.

        Returns:
            Hits by score, best first; equal scores by ``doc_id``, then by place in the document. Vector scores are
            exact. A hybrid search ranks a pool of the best 1,000 of each signal. Of a large index only candidates are
            scored: ``info()`` says how many of the best they were measured to hold.

        Raises:
            UsageError: an argument is not what it must be; a page that the pool cannot fill.
            FilterError: ``where`` cannot be read, or names a key or type that no document has.
            QueryError: the query is empty, too long, cannot be read, or none of its tokens has a meaning.
            VectorsError: vectors of a wrong shape or type.
            SearchTimeoutError: ``timeout`` has passed.
            IndexDamagedError: what would have to be read is not what was written.
        """
        request = checked_request(
            k=k,
            offset=offset,
            mode=mode or ("hybrid" if vectors is None else "vector"),
            scorer=scorer,
            order=order,
            fusion=fusion,
            weights=weights,
            by=by,
            where=where,
            min_score=min_score,
            explain=explain,
            matches=matches,
            timeout=timeout,
            exact=exact,
            rerank=rerank,
            n_rerank=n_rerank,
        )
        wanted, parsed = checked_query(self.pipeline, query, vectors, token_ids, syntax)
        if wanted.text is None and request.mode != "vector":
            raise UsageError(f"a query of vectors has no keywords; mode must be 'vector', not {request.mode!r}")
        with self._store.snapshot() as snapshot:
            return self._searcher.search(snapshot, wanted, parsed, request)

    def search_many(
        self,
        queries: Iterable[str],
        k: int = 10,
        *,
        mode: Mode = "hybrid",
        scorer: str | Scorer | None = None,
        order: Order = "default",
        where: Filter | str | None = None,
        by: Grouping = "passage",
        syntax: Syntax = "query",
        fusion: FusionName = "zscore",
        weights: Mapping[str, float] | None = None,
        min_score: float | None = None,
        offset: int = 0,
        explain: bool = False,
        matches: bool = True,
        exact: bool = False,
        rerank: str | Reranker | None = None,
        n_rerank: int = 20,
        timeout: float | None = None,
    ) -> list[list[Hit]]:
        """Return the hits of several queries, in their order: what ``search`` gives for each, faster than one by one.

        Args:
            queries: texts.
            k, mode, scorer, order, where, by, syntax, fusion, weights, min_score, offset, explain, matches, exact,
                rerank, n_rerank: as for ``search``.
            timeout: seconds for all queries together.

        Raises:
            As ``search``; of a query that cannot be searched, the message names its number.
        """
        if isinstance(queries, str):
            raise UsageError(f"search_many() takes a list of queries; for one query say search({queries!r:.80})")
        check_list(queries, "search_many() takes a list of queries")
        request = checked_request(
            k=k,
            offset=offset,
            mode=mode,
            scorer=scorer,
            order=order,
            fusion=fusion,
            weights=weights,
            by=by,
            where=where,
            min_score=min_score,
            explain=explain,
            matches=matches,
            timeout=timeout,
            exact=exact,
            rerank=rerank,
            n_rerank=n_rerank,
        )
        found: list[list[Hit]] = []
        wanted = iter(enumerate(queries, 1))
        with self._store.snapshot() as snapshot:
            while some := list(itertools.islice(wanted, QUERIES_AT_ONCE)):
                prepared = []
                for number, query in some:
                    with numbered(number):
                        prepared.append(checked_query(self.pipeline, query, None, None, syntax))
                found += self._searcher.search_many(snapshot, prepared, request, first=some[0][0])
        return found

    def like(
        self,
        doc_id: str,
        k: int = 10,
        *,
        mode: Mode | None = None,
        scorer: str | Scorer | None = None,
        order: Order = "default",
        where: Filter | str | None = None,
        by: Grouping = "document",
        min_score: float | None = None,
        offset: int = 0,
        explain: bool = False,
        exact: bool = False,
        timeout: float | None = None,
    ) -> list[Hit]:
        """Return the documents that are most like one of the index, that one left out.

        The document's heaviest tokens are the query, as they stand in it; see ``more_like.query_of``.

        Args:
            doc_id: of the document.
            k, mode, scorer, order, where, by, min_score, offset, explain, exact, timeout: as for ``search``; an index
                of given vectors is searched by vectors alone.

        Raises:
            UsageError: there is no such document.
            QueryError: the document has no token with a meaning.
            As ``search``.
        """
        checked_id(doc_id)
        request = checked_request(
            k=k,
            offset=offset,
            mode=mode or ("vector" if self.pipeline.is_given else "hybrid"),
            scorer=scorer,
            order=order,
            fusion="zscore",
            weights=None,
            by=by,
            where=where,
            min_score=min_score,
            explain=explain,
            matches=True,
            timeout=timeout,
            exact=exact,
        )
        with self._store.snapshot() as snapshot:
            return self._searcher.like(snapshot, doc_id, request)

    def get(self, doc_id: str) -> Document | None:
        """Return a document as it was added, or None. ``sections`` are not kept."""
        with self._store.snapshot(vectors=False) as snapshot:
            stored = snapshot.document(checked_id(doc_id))
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

    def index_metadata(self, *keys: str) -> None:
        """Answer filters on these metadata keys from an index of their values, from now on.

        Filters work on every key; those on few documents of many are faster on an indexed one.

        Args:
            keys: of the metadata; of nested objects with dots: ``"author.name"``.
        """
        for key in keys:
            check_text(key, "the key")
        self._store.index_metadata(list(keys))

    def metadata_types(self) -> dict[str, list[str]]:
        """Return the metadata keys that documents have, each with the types of its values."""
        with self._store.snapshot(vectors=False) as snapshot:
            return {key: sorted(types) for key, types in sorted(snapshot.metadata_types().items())}

    def documents(self, *, prefix: str = "", limit: int | None = None) -> Iterator[DocumentSummary]:
        """Yield documents without their text, in id order.

        Args:
            prefix: only those whose id begins with it.
            limit: at most so many.

        A long listing is read in pages: documents that are added or deleted meanwhile may or may not be in it.
        """
        check_text(prefix, "the prefix of an id")
        check_limit(limit)
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
        check_text(text, "the text")
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
        check_limit(limit)
        return self._store.vocabulary(None if limit is None else min(max(limit, 0), _MOST_ROWS))

    def info(self) -> dict[str, Any]:
        """Return what the index is made of, JSON-ready."""
        facts = self._store.info()
        return {
            "path": str(self.path),
            "vecsearch": __version__,
            "pipeline": self.pipeline.identity,
            "search": "exact" if facts.get("approximate") is None else "approximate",
            "scorer": self.pipeline.scorer,
            "capabilities": self._store.capabilities.to_dict(),
            "indexed_metadata": sorted(self._store.indexed_metadata()),
            **facts,
        }

    def verify(self) -> list[str]:
        """Check everything that is stored; return one sentence for each damage. Reads all of it."""
        return self._store.verify()

    def close(self) -> None:
        """Let go of files, connections and the writer's lock. Closing twice is allowed."""
        self._store.close()
        if self._cache is not None:
            self._cache.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _no_tokens(self) -> TokenBatch:
        return TokenBatch(np.zeros(1, np.int64), np.zeros(0, np.int32))
