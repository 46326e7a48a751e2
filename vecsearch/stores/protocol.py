"""The one seam between the engine and whatever keeps its documents and vectors.

The engine tokenizes, embeds, encodes, scores exactly and breaks ties; a store keeps things and proposes candidates.
Writing is done by one thread of one process at a time and becomes durable and visible one ``Batch`` at a time.
Reading happens inside a ``Snapshot``: everything read from it is of one commit, never a mix.

An *embedded passage* is a sequence of tokens that occurs in the index, stored once however many passages hold it;
its number is an int64 that is never reused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from vecsearch.stores.analysis import Keyword
from vecsearch.types import DocumentSummary, FileRecord

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.filters import Filter
    from vecsearch.protocols import CollectionStatistics, Scorer
    from vecsearch.types import Floats, Ids, Offsets

    Numbers: TypeAlias = npt.NDArray[np.int64]

__all__ = [
    "Batch",
    "Capabilities",
    "Compare",
    "Depth",
    "Encode",
    "PassagePlace",
    "PassageTable",
    "PreparedDocument",
    "PreparedPassage",
    "Scan",
    "ScanQuery",
    "Snapshot",
    "Store",
    "StoredDocument",
    "StoredPassage",
    "TokenBatch",
]


@dataclass(frozen=True)
class TokenBatch:
    """Passages as the store keeps them: from these the engine computes position-aware vectors again at any time.

    Attributes:
        offsets: int64 ``(n_passages + 1,)``.
        ids: int32 ``(n_tokens,)``; all −1 where given vectors came without ids.
        rows: float32 ``(n_tokens, dim)``, the embedder's vectors before the positional encoder; None where they
            follow from the ids.
    """

    offsets: Offsets
    ids: Ids
    rows: Floats | None = None

    def part(self, first: int, last: int) -> TokenBatch:
        """Return the passages from ``first`` on before ``last``."""
        begin, end = int(self.offsets[first]), int(self.offsets[last])
        rows = None if self.rows is None else self.rows[begin:end]
        return TokenBatch(self.offsets[first : last + 1] - begin, self.ids[begin:end], rows)


Encode: TypeAlias = "Callable[[TokenBatch], Floats]"
"""Computes position-aware vectors float32 ``(n_tokens, dim)`` of a batch. The engine gives it to its store."""
Compare: TypeAlias = "Callable[[TokenBatch, Floats], tuple[Floats, Floats] | None]"
"""Computes these and the largest similarity of each passage to each token of a query, float32 ``(n_query, dim)``: that
is float32 ``(n_query, n_passages)``. None where both cannot be done in one go."""


@dataclass(frozen=True)
class Capabilities:
    """What a store can do, for ``info`` and for callers that must choose.

    Attributes:
        durable: an acknowledged commit survives the death of the process.
        exact: candidates hold the true best n, always or where a search asks for it.
        concurrent_readers: snapshots stay valid while another process writes.
    """

    durable: bool
    exact: bool
    concurrent_readers: bool

    def to_dict(self) -> dict[str, bool]:
        """Return the attributes by name."""
        return dict(vars(self))


@dataclass(frozen=True)
class PreparedPassage:
    """A passage ready to be stored.

    Attributes:
        text: characters ``start : start + len(text)`` of the document.
        start: first character in the document.
        line: line of the first character, from 1.
        key: of its token sequence, as in ``Batch.keys`` or known to the store; None where it has no token.
    """

    text: str
    start: int
    line: int
    key: bytes | None


@dataclass(frozen=True)
class PreparedDocument:
    """A document ready to be stored; ``passages`` together are its text. ``metadata`` is JSON text."""

    id: str
    title: str
    metadata: str
    content_hash: bytes
    n_characters: int
    passages: Sequence[PreparedPassage]
    file: tuple[str, str] | None = None


@dataclass(frozen=True)
class Batch:
    """What one commit writes, all of it or nothing.

    Attributes:
        documents: written, replacing documents with the same id.
        keys: one a passage of ``tokens``: new token sequences, none of them known to the store.
        tokens: the new token sequences.
        vectors: their position-aware vectors in blocks: pairs of how many passages and float32 ``(n_tokens, dim)``.
            Read once, so that a huge document never has all of its vectors in memory.
        moved: ids of unchanged documents that now belong to a file, with root and path.
        begun: files of which documents are in this batch, but not yet the last one.
        done: files whose last document is in this batch or an earlier one.
        deleted: ids of documents that are gone.
    """

    tokens: TokenBatch
    vectors: Iterable[tuple[int, Floats]] = ()
    keys: Sequence[bytes] = ()
    documents: Sequence[PreparedDocument] = ()
    moved: Sequence[tuple[str, tuple[str, str]]] = ()
    begun: Sequence[tuple[str, str]] = ()
    done: Sequence[FileRecord] = ()
    deleted: Sequence[str] = ()


@dataclass(frozen=True)
class StoredDocument:
    """A document as stored. ``text`` is None where only the record was asked for. ``rows`` and ``ids``: if given."""

    id: str
    title: str
    metadata: str
    content_hash: bytes
    n_characters: int
    file: tuple[str, str] | None
    text: str | None = None
    tokens: TokenBatch | None = field(default=None, compare=False)


@dataclass(frozen=True)
class PassageTable:
    """Every live passage that holds a token, by its number.

    Attributes:
        passages: int64 ``(n_passages,)``, numbers of the passages, ascending; never reused.
        documents: int64 ``(n_passages,)``, the number of each one's document.
        embedded: int64 ``(n_passages,)``, the number of each one's token sequence.
        n_terms: int64 ``(n_passages,)``, how many words each has for the keyword side: the length of BM25.
    """

    passages: Numbers
    documents: Numbers
    embedded: Numbers
    n_terms: Numbers

    def __len__(self) -> int:
        return len(self.passages)

    @cached_property
    def of_documents(self) -> tuple[int, Numbers]:
        """How many documents there are, and for each passage which of them it belongs to, counted from 0."""
        documents, of_row = np.unique(self.documents, return_inverse=True)
        return len(documents), of_row.astype(np.int64)

    def rows_of(self, embedded: Numbers) -> tuple[Numbers, Numbers]:
        """Return the rows of passages that have one of some token sequences, ascending.

        Args:
            embedded: ascending, each once.

        Returns:
            Rows, int64, and which of ``embedded`` each has.
        """
        order, begins = self._rows_by_embedded
        known = embedded[embedded < len(begins) - 1]
        first = begins[known]
        counts = begins[known + 1] - first
        ends = np.cumsum(counts)
        rows = order[np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - ends + counts, counts)]
        ascending = np.argsort(rows, kind="stable")
        return rows[ascending], np.repeat(np.arange(len(known)), counts)[ascending]

    @cached_property
    def _rows_by_embedded(self) -> tuple[Numbers, Numbers]:
        """All rows by their token sequence, and where those of each number begin."""
        counts = np.bincount(self.embedded)
        return np.argsort(self.embedded, kind="stable"), np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])

    def places_of(self, passages: Numbers) -> Numbers:
        """Return the row of each passage by its number, −1 where it has none."""
        found: Numbers = self._row_of[np.minimum(passages, len(self._row_of) - 1)]
        return found

    @cached_property
    def _row_of(self) -> Numbers:
        rows = np.full(int(self.passages.max(initial=-1)) + 2, -1)
        rows[self.passages] = np.arange(len(self.passages))
        return rows


@dataclass(frozen=True)
class Depth:
    """How deep codes are searched, and what recall that was measured to give.

    Attributes:
        n_nearest: best tokens that are looked at for each token of a query.
        n_probe: cells that are looked through for each.
        n_rescored: best passages whose vectors are compared exactly.
        target: recall@10 against exact search that was asked for.
        recall: what was measured, by scorer; empty before anything was.
        n_queries: of that measurement.
        n_tokens: that the index had then.
    """

    n_nearest: int = 4_000
    n_probe: int = 64
    n_rescored: int = 100
    target: float = 0.98
    recall: Mapping[str, float] = field(default_factory=dict)
    n_queries: int = 0
    n_tokens: int = 0


@dataclass(frozen=True)
class ScanQuery:
    """What a store is asked for candidates of.

    Attributes:
        vectors: float32 ``(n_query, dim)``, position-aware.
        weights: float32 ``(n_query,)`` > 0.
        statistics: what the scorer may know of the collection.
        allowed: int64, the embedded passages that are wanted, ascending; None for all.
        chance: float32 ``(n_query,)``, how similar a passage's best token is to each of the query by chance alone;
            needed by stores that have a depth.
        alone: float32 ``(n_query, dim)``, the vectors that the tokens would have if each stood alone; where token ids
            decide about rows.
    """

    vectors: Floats
    weights: Floats
    statistics: CollectionStatistics
    allowed: Numbers | None = None
    chance: Floats | None = None
    alone: Floats | None = None


@dataclass(frozen=True)
class Scan:
    """Embedded passages that may be the best, with approximate scores.

    Attributes:
        embedded: int64 ``(n,)``, numbers of embedded passages, ascending.
        scores: float64 ``(n,)``, by the scorer's formula.
        slack: ≥ 0. In a complete scan each score is off by at most so much.
        depth: 0 for a complete scan, which names every passage that is allowed. Else the scan names the passages that
            an approximate index proposes, with scores that may be off by any amount, and so many of the best are to be
            scored anew.
        worth: of an incomplete scan, approximate scores of passages that it does not name, by their numbers and
            lengths, int64 ``(n,)`` each.
        rest: of an incomplete scan that names only the best of what was found, the scan that names all of it.
    """

    embedded: Numbers
    scores: npt.NDArray[np.float64]
    slack: float
    depth: int = 0
    worth: Callable[[Numbers, Numbers], npt.NDArray[np.float64]] | None = None
    rest: Callable[[], Scan] | None = None


@dataclass(frozen=True)
class PassagePlace:
    """What passages are ordered by where their scores are equal."""

    passage: int
    doc_id: str
    ordinal: int


@dataclass(frozen=True)
class StoredPassage:
    """A passage as stored, with its document's title, metadata (JSON text) and file."""

    doc_id: str
    ordinal: int
    text: str
    start: int
    line: int
    title: str
    metadata: str
    file: tuple[str, str] | None


class Snapshot(Protocol):
    """One commit of a store, as long as its ``with`` block lasts."""

    generation: int
    n_passages: int
    """Live passages that hold a token: N of the idf."""
    n_tokens: int
    """Tokens of those."""

    def document_frequencies(self, ids: Ids) -> Numbers:
        """Return, for each token id, in how many live passages it occurs; 0 for an unknown or negative id."""
        ...

    def lookup(self, words: Sequence[str]) -> Ids:
        """Return the ids of words of the open vocabulary, −1 where unknown."""
        ...

    def passages(self) -> PassageTable:
        """Return the table of all live passages."""
        ...

    def entries(self, first: int) -> list[str]:
        """Return the words of the open vocabulary by id, from an id on."""
        ...

    def depth(self) -> Depth | None:
        """Return how deep an approximate index is searched; None where every scan is complete."""
        ...

    def scan(self, query: ScanQuery, scorer: Scorer, *, exact: bool = False, depth: Depth | None = None) -> Scan:
        """Return embedded passages with approximate scores.

        Args:
            query: what is asked.
            scorer: whose ``reduce``, ``transform`` and ``combine`` score them.
            exact: whether every allowed passage is wanted, however long it takes.
            depth: how deep to look, if not as the index is set to.
        """
        ...

    def scan_many(
        self, queries: Sequence[ScanQuery], scorer: Scorer, *, exact: bool = False, depth: Depth | None = None
    ) -> Iterator[Scan]:
        """Yield ``scan`` of several queries, in their order, faster than one by one."""
        ...

    def vectors(self, embedded: Numbers) -> tuple[Floats, Offsets]:
        """Return the position-aware vectors of embedded passages, flat, in the order asked."""
        ...

    def vector_blocks(self, embedded: Numbers) -> Iterator[tuple[Floats, Offsets]]:
        """Yield what ``vectors`` returns in runs of passages, as large as it is fast to work on at a time."""
        ...

    def maxima(self, embedded: Numbers, query: Floats) -> Floats | None:
        """Return the largest similarity of embedded passages to each token of a query.

        That is float32 ``(n_query, n)``, rounded no worse than a plain sum in float32. None where looking at their
        vectors, one after the other, is as fast.
        """
        ...

    def vectors_at(self, embedded: Numbers, positions: Numbers) -> Floats:
        """Return the position-aware vectors of single tokens: float32 ``(n, dim)``."""
        ...

    def embedded_lengths(self, embedded: Numbers | None = None) -> Numbers:
        """Return the number of tokens of some embedded passages, in the order asked; of all, in no order, if None."""
        ...

    def tokens(self, embedded: Numbers) -> TokenBatch:
        """Return the tokens of embedded passages, in the order asked, each checked."""
        ...

    def all_tokens(self) -> tuple[Numbers, Offsets, Ids]:
        """Return numbers, offsets and token ids of all embedded passages, flat."""
        ...

    def sample(self, n: int) -> tuple[Numbers, Numbers]:
        """Return n tokens (or all, if there are fewer) that depend on what is stored only: see ``stores.sampling``.

        Returns:
            Number of the embedded passage and position in it, of each.
        """
        ...

    def keywords(self, text: str) -> list[Keyword]:
        """Cut a query into keywords as the texts of passages are cut."""
        ...

    def keyword_frequencies(self, terms: Sequence[str]) -> Numbers:
        """Return in how many passages each keyword occurs."""
        ...

    def postings(self, term: str) -> tuple[Numbers, Numbers]:
        """Return the passages that hold a keyword, ascending, and how often. May name some that are gone."""
        ...

    def keyword_counts(self, passages: Numbers, terms: Sequence[str]) -> Numbers:
        """Return how often each keyword occurs in each passage: int64 ``(n_terms, n_passages)``.

        Args:
            passages: numbers of live passages, ascending.
            terms: keywords, no two alike.
        """
        ...

    def metadata_types(self) -> Mapping[str, frozenset[str]]:
        """Return the metadata keys that documents have, each with the types of its values; see ``filters``."""
        ...

    def documents_where(self, condition: Filter) -> Numbers:
        """Return the numbers of the documents that a filter lets through, ascending."""
        ...

    def document_number(self, doc_id: str) -> int | None:
        """Return the number of a document, None if there is none."""
        ...

    def places(self, passages: Numbers) -> list[PassagePlace]:
        """Return what live passages are ordered by, in no order."""
        ...

    def passage(self, doc_id: str, ordinal: int) -> StoredPassage:
        """Return one passage, checked against its checksum."""
        ...

    def document(self, doc_id: str) -> StoredDocument | None:
        """Return a document with its text, put together from its passages; None if there is none."""
        ...

    def summaries(self, prefix: str, after: str | None, limit: int) -> list[DocumentSummary]:
        """Return at most ``limit`` documents whose id begins with a prefix and is beyond ``after``, in id order."""
        ...


class Store(Protocol):
    """A place for one index."""

    capabilities: Capabilities

    def snapshot(self, *, vectors: bool = True) -> AbstractContextManager[Snapshot]:
        """Open the last commit for reading. Any thread may, at any time.

        Args:
            vectors: False where neither ``scan``, ``vectors`` nor ``passages`` will be asked for: then nothing is
                loaded or computed for them, and documents can be read even where their vectors are damaged.
        """
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other writers out, threads as well as processes, while a commit is read up, prepared and written.

        The methods below that write take the same right for themselves.

        Raises:
            IndexLockedError, IndexReadOnlyError, IndexClosedError: there is no writing now.
        """
        ...

    def intern(self, words: Sequence[str]) -> Ids:
        """Return the ids of words of the open vocabulary; new words get new ids, stored with the next commit."""
        ...

    def words(self, ids: Ids) -> list[str]:
        """Return the words that have these ids."""
        ...

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return those keys whose token sequence is stored already."""
        ...

    def records(self, doc_ids: Sequence[str]) -> dict[str, StoredDocument]:
        """Return the records (without text) of those documents that exist, by id."""
        ...

    def write(self, batch: Batch) -> int:
        """Commit a batch, durable and visible when it returns. Writing the same batch again changes nothing.

        Returns:
            How many documents of ``batch.deleted`` existed.
        """
        ...

    def files(self, root: str) -> dict[str, FileRecord]:
        """Return the completed files of a root by path."""
        ...

    def file_documents(self, root: str, paths: Iterable[str]) -> list[str]:
        """Return the ids of the documents of some files."""
        ...

    def touch_files(self, records: Iterable[FileRecord]) -> None:
        """Replace size, time and hash of files already recorded."""
        ...

    def remove_files(self, root: str, paths: Iterable[str]) -> int:
        """Forget files and delete their documents, in one commit. Returns how many documents."""
        ...

    def vocabulary(self, limit: int | None) -> list[tuple[int, str, int]]:
        """Return (id, word, document frequency) of the open vocabulary, most frequent first."""
        ...

    def index_metadata(self, keys: Sequence[str]) -> None:
        """Answer filters on these metadata keys from an index of their values, from now on."""
        ...

    def indexed_metadata(self) -> frozenset[str]:
        """Return the metadata keys whose values are indexed."""
        ...

    def set_depth(self, depth: Depth) -> None:
        """Search an approximate index so deep from now on."""
        ...

    def flush(self) -> None:
        """Move what has been written into the form that is searched fastest, where that pays."""
        ...

    def compact(self) -> None:
        """Drop what deleted documents left behind and merge small parts."""
        ...

    def verify(self) -> list[str]:
        """Check everything stored; return one sentence for each damage, naming the file or row."""
        ...

    def info(self) -> dict[str, Any]:
        """Return counts and sizes, JSON-ready."""
        ...

    def close(self) -> None:
        """Let go of everything. Closing twice is allowed."""
        ...
