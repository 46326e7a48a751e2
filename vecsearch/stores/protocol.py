"""The one seam between the engine and whatever keeps its documents and vectors.

The engine tokenizes, embeds, encodes, scores exactly and breaks ties; a store keeps things and proposes candidates.
Writing is done by one thread of one process at a time and becomes durable and visible one ``Batch`` at a time.
Reading happens inside a ``Snapshot``: everything read from it is of one commit, never a mix.

An *embedded passage* is a sequence of tokens that occurs in the index, stored once however many passages hold it;
its number is an int64 that is never reused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from vecsearch.types import DocumentSummary, FileRecord

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from vecsearch.protocols import Scorer
    from vecsearch.types import Floats, Ids, Offsets

    Numbers: TypeAlias = npt.NDArray[np.int64]

__all__ = [
    "Batch",
    "Capabilities",
    "Encode",
    "PassagePlace",
    "PreparedDocument",
    "PreparedPassage",
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


Encode: TypeAlias = "Callable[[TokenBatch], Floats]"
"""Computes position-aware vectors float32 ``(n_tokens, dim)`` of a batch. The engine gives it to its store."""


@dataclass(frozen=True)
class Capabilities:
    """What a store can do, for ``info`` and for callers that must choose.

    Attributes:
        durable: an acknowledged commit survives the death of the process.
        exact: candidates always hold the true best n.
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
class PassagePlace:
    """Where an embedded passage occurs: enough to order hits by."""

    embedded: int
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

    def document_frequencies(self, ids: Ids) -> Numbers:
        """Return, for each token id, in how many live passages it occurs; 0 for an unknown or negative id."""
        ...

    def lookup(self, words: Sequence[str]) -> Ids:
        """Return the ids of words of the open vocabulary, −1 where unknown."""
        ...

    def candidates(self, query: Floats, weights: Floats, scorer: Scorer, n: int) -> Numbers:
        """Return embedded passages that hold the n best by the scorer's formula, ties included.

        Args:
            query: float32 ``(n_query, dim)``, position-aware.
            weights: float32 ``(n_query,)`` > 0.
            scorer: whose ``reduce``, ``transform`` and ``combine`` order them.
            n: how many at least, if there are as many. A store that is not exact may miss some.
        """
        ...

    def vectors(self, embedded: Numbers) -> tuple[Floats, Offsets]:
        """Return the position-aware vectors of embedded passages, flat, in the order asked."""
        ...

    def places(self, embedded: Numbers) -> list[PassagePlace]:
        """Return every live passage that holds one of the embedded passages, in no order."""
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
            vectors: False where neither ``candidates`` nor ``vectors`` will be asked for: then nothing is loaded or
                computed for them, and documents can be read even where their vectors are damaged.
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
