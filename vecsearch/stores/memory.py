"""A second store, in memory only: no folder, no durability, the same answers.

It shows what a store must do in the fewest words, keeps the seam honest by passing the same contract suite as the
embedded store, and serves collections that live no longer than their process.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch import scoring
from vecsearch.errors import IndexClosedError, UsageError
from vecsearch.filters import Filter, field_types
from vecsearch.metadata_keys import key_name, key_parts
from vecsearch.protocols import Scorer
from vecsearch.stores import sampling
from vecsearch.stores.analysis import Analyzer, Keyword
from vecsearch.stores.keywords import keyword_text
from vecsearch.stores.protocol import (
    Batch,
    Capabilities,
    Depth,
    Encode,
    PassagePlace,
    PassageTable,
    PreparedDocument,
    Scan,
    ScanQuery,
    StoredDocument,
    StoredPassage,
    TokenBatch,
)
from vecsearch.types import DocumentSummary, FileRecord

if TYPE_CHECKING:
    from vecsearch.stores.protocol import Numbers
    from vecsearch.types import Floats, Ids, Offsets

__all__ = ["MemoryStore"]


@dataclass(frozen=True)
class _Sequence:
    """One embedded passage."""

    ids: Ids
    rows: Floats | None
    vectors: Floats


@dataclass(frozen=True)
class _Place:
    """Numbers of a document and of its first passage, and the keywords of its passages with their counts."""

    document: int
    first_passage: int
    keywords: Sequence[Counter[str]]


@dataclass(frozen=True)
class _State:
    """One commit; a write makes a new one, so that a snapshot simply keeps the old."""

    dim: int
    generation: int = 0
    documents: dict[str, PreparedDocument] = field(default_factory=dict)
    places: dict[str, _Place] = field(default_factory=dict)
    sequences: dict[int, _Sequence] = field(default_factory=dict)
    numbers: dict[bytes, int] = field(default_factory=dict)
    files: dict[tuple[str, str], FileRecord] = field(default_factory=dict)

    @cached_property
    def frequencies(self) -> Counter[int]:
        """In how many passages each token id occurs."""
        counts: Counter[int] = Counter()
        for document in self.documents.values():
            for key in _keys(document):
                counts.update({number for number in self.sequences[self.numbers[key]].ids.tolist() if number >= 0})
        return counts

    @cached_property
    def keywords(self) -> dict[int, Counter[str]]:
        """The keywords of every passage, by its number."""
        return {
            place.first_passage + ordinal: counts
            for place in self.places.values()
            for ordinal, counts in enumerate(place.keywords)
        }

    @cached_property
    def passages(self) -> dict[int, tuple[PreparedDocument, int]]:
        """Every passage that holds a token, by its number: its document and its ordinal."""
        return {
            self.places[document.id].first_passage + ordinal: (document, ordinal)
            for document in self.documents.values()
            for ordinal, passage in enumerate(document.passages)
            if passage.key is not None
        }

    @cached_property
    def table(self) -> PassageTable:
        """The table of all passages that hold a token."""
        rows = [
            (
                number,
                self.places[document.id].document,
                self.numbers[_required(document.passages[ordinal].key)],
                self.keywords[number].total(),
            )
            for number, (document, ordinal) in sorted(self.passages.items())
        ]
        return PassageTable(*np.array(rows, np.int64).reshape(-1, 4).T)

    @cached_property
    def part(self) -> tuple[Floats, Offsets, Numbers]:
        """All vectors, as ``scoring.best`` takes them."""
        numbers = np.array(list(self.sequences), np.int64)
        return *_joined(self.sequences.values(), self.dim), numbers


class MemoryStore:
    """Implements ``stores.protocol.Store`` in dictionaries.

    Args:
        encode: computes position-aware vectors of passages.
        dim: length of a vector.
    """

    capabilities = Capabilities(durable=False, exact=True, concurrent_readers=False)

    def __init__(self, encode: Encode, dim: int) -> None:
        self._encode = encode
        self._dim = dim
        self._writing = threading.RLock()
        self._state: _State | None = _State(dim)
        self._words: list[str] = []
        self._ids: dict[str, int] = {}
        self._next_number = self._next_document = self._next_passage = 0
        self._analyzer = Analyzer()
        self._indexed: set[str] = set()

    @property
    def _last(self) -> _State:
        if self._state is None:
            raise IndexClosedError("this index in memory is closed")
        return self._state

    def _check_open(self) -> None:
        _ = self._last

    @contextlib.contextmanager
    def snapshot(self, *, vectors: bool = True) -> Iterator[_MemorySnapshot]:  # noqa: ARG002 (they are there)
        yield _MemorySnapshot(self._last, self._ids, self._analyzer)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._writing:
            yield

    def intern(self, words: Sequence[str]) -> Ids:
        with self._writing:
            for word in words:
                if self._ids.setdefault(word, len(self._words)) == len(self._words):
                    self._words.append(word)
            return np.array([self._ids[word] for word in words], np.int32)

    def words(self, ids: Ids) -> list[str]:
        return [self._words[number] for number in ids.tolist()]

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        return set(keys) & set(self._last.numbers)

    def records(self, doc_ids: Sequence[str]) -> dict[str, StoredDocument]:
        found = self._last.documents
        return {doc_id: _record(found[doc_id]) for doc_id in doc_ids if doc_id in found}

    def write(self, batch: Batch) -> int:
        with self._writing:
            last = self._last
            vectors = np.concatenate([np.zeros((0, self._dim), np.float32), *(block for _, block in batch.vectors)])
            numbers, sequences = dict(last.numbers), dict(last.sequences)
            bounds = batch.tokens.offsets.tolist()
            for key, begin, end in zip(batch.keys, bounds[:-1], bounds[1:], strict=True):
                rows = None if batch.tokens.rows is None else batch.tokens.rows[begin:end]
                numbers[key] = self._next_number
                sequences[self._next_number] = _Sequence(batch.tokens.ids[begin:end], rows, vectors[begin:end])
                self._next_number += 1
            documents = dict(last.documents)
            n_deleted = sum(documents.pop(doc_id, None) is not None for doc_id in batch.deleted)
            documents |= {document.id: document for document in batch.documents}
            places = last.places | {document.id: self._place(document) for document in batch.documents}
            documents |= {doc_id: replace(documents[doc_id], file=file) for doc_id, file in batch.moved}
            files = last.files | {(record.root, record.path): record for record in batch.done}
            self._replace(documents, sequences, numbers, files, places)
            return n_deleted

    def _place(self, document: PreparedDocument) -> _Place:
        texts = [keyword_text(document.title, passage.text, at) for at, passage in enumerate(document.passages)]
        counted = self._analyzer.count(texts)
        keywords: list[Counter[str]] = [Counter() for _ in texts]
        for text, term, count in zip(counted.texts.tolist(), counted.terms, counted.counts.tolist(), strict=True):
            keywords[text][term] = count
        place = _Place(self._next_document, self._next_passage, keywords)
        self._next_document += 1
        self._next_passage += len(texts)
        return place

    def _replace(
        self,
        documents: dict[str, PreparedDocument],
        sequences: dict[int, _Sequence],
        numbers: dict[bytes, int],
        files: dict[tuple[str, str], FileRecord],
        places: dict[str, _Place] | None = None,
    ) -> None:
        live = {passage.key for document in documents.values() for passage in document.passages}
        numbers = {key: number for key, number in numbers.items() if key in live}
        sequences = {number: sequences[number] for number in numbers.values()}
        places = {doc_id: place for doc_id, place in (places or self._last.places).items() if doc_id in documents}
        self._state = _State(self._dim, self._last.generation + 1, documents, places, sequences, numbers, files)

    def files(self, root: str) -> dict[str, FileRecord]:
        return {path: record for (top, path), record in self._last.files.items() if top == root}

    def file_documents(self, root: str, paths: Iterable[str]) -> list[str]:
        wanted = {(root, path) for path in paths}
        return [document.id for document in self._last.documents.values() if document.file in wanted]

    def touch_files(self, records: Iterable[FileRecord]) -> None:
        with self._writing:
            last = self._last
            files = last.files | {(record.root, record.path): record for record in records}
            self._replace(last.documents, last.sequences, last.numbers, files)

    def remove_files(self, root: str, paths: Iterable[str]) -> int:
        with self._writing:
            last, gone = self._last, {(root, path) for path in paths}
            documents = {doc_id: document for doc_id, document in last.documents.items() if document.file not in gone}
            files = {file: record for file, record in last.files.items() if file not in gone}
            self._replace(documents, last.sequences, last.numbers, files)
            return len(last.documents) - len(documents)

    def vocabulary(self, limit: int | None) -> list[tuple[int, str, int]]:
        frequencies = self._last.frequencies
        used = sorted((-frequency, number) for number, frequency in frequencies.items() if number < len(self._words))
        return [(number, self._words[number], -frequency) for frequency, number in used[:limit]]

    def index_metadata(self, keys: Sequence[str]) -> None:
        self._check_open()
        self._indexed.update(key_name(key_parts(key)) for key in keys)

    def indexed_metadata(self) -> frozenset[str]:
        return frozenset(self._indexed)

    def set_depth(self, depth: Depth) -> None:  # noqa: ARG002
        raise UsageError("this store is exact; there is no depth to set")

    def flush(self) -> None:
        """Do nothing: a write is searched as fast as it will ever be."""
        self._check_open()

    def compact(self) -> None:
        """Do nothing: a write drops what deletes leave."""
        self._check_open()

    def verify(self) -> list[str]:
        self._check_open()
        return []

    def info(self) -> dict[str, Any]:
        last = self._last
        passages = [key for document in last.documents.values() for key in _keys(document)]
        return {
            "generation": last.generation,
            "n_documents": len(last.documents),
            "n_passages": len(passages),
            "n_tokens": sum(len(last.sequences[last.numbers[key]].ids) for key in passages),
            "n_embedded_passages": len(last.sequences),
            "n_words": len(self._words),
            "n_segments": 0,
            "n_fresh_tokens": sum(len(sequence.ids) for sequence in last.sequences.values()),
            "bytes": {"database": 0, "segments": 0},
        }

    def close(self) -> None:
        self._state = None


class _MemorySnapshot:
    def __init__(self, state: _State, ids: dict[str, int], analyzer: Analyzer) -> None:
        self._state = state
        self._ids = ids
        self._analyzer = analyzer
        self.generation = state.generation
        self.n_passages = len(state.table)
        self.n_tokens = sum(len(state.sequences[number].ids) for number in state.table.embedded.tolist())

    def document_frequencies(self, ids: Ids) -> Numbers:
        frequencies = self._state.frequencies
        return np.array([frequencies[number] for number in ids.tolist()], np.int64)

    def lookup(self, words: Sequence[str]) -> Ids:
        return np.array([self._ids.get(word, -1) for word in words], np.int32)

    def passages(self) -> PassageTable:
        return self._state.table

    def entries(self, first: int) -> list[str]:
        return list(self._ids)[first:]

    def depth(self) -> Depth | None:
        return None

    def scan(self, query: ScanQuery, scorer: Scorer, *, exact: bool = False, depth: Depth | None = None) -> Scan:
        (found,) = self.scan_many([query], scorer, exact=exact, depth=depth)
        return found

    def scan_many(
        self,
        queries: Sequence[ScanQuery],
        scorer: Scorer,
        *,
        exact: bool = False,  # noqa: ARG002 - every scan is
        depth: Depth | None = None,  # noqa: ARG002
    ) -> Iterator[Scan]:
        weighed = [(query.vectors, query.weights, query.statistics) for query in queries]
        for numbers, scores, slack in scoring.best_many([self._state.part], weighed, scorer):
            order = np.argsort(numbers)
            yield Scan(numbers[order], scores[order], slack)

    def vectors(self, embedded: Numbers) -> tuple[Floats, Offsets]:
        return _joined([self._state.sequences[number] for number in embedded.tolist()], self._state.dim)

    def vector_blocks(self, embedded: Numbers) -> Iterator[tuple[Floats, Offsets]]:
        yield self.vectors(embedded)

    def maxima(self, embedded: Numbers, query: Floats) -> Floats | None:  # noqa: ARG002 - vectors are at hand
        return None

    def vectors_at(self, embedded: Numbers, positions: Numbers) -> Floats:
        pairs = zip(embedded.tolist(), positions.tolist(), strict=True)
        rows = [self._state.sequences[number].vectors[position] for number, position in pairs]
        return np.array(rows, np.float32).reshape(-1, self._state.dim)

    def embedded_lengths(self, embedded: Numbers | None = None) -> Numbers:
        wanted = self._state.sequences if embedded is None else embedded.tolist()
        return np.array([len(self._state.sequences[number].ids) for number in wanted], np.int64)

    def tokens(self, embedded: Numbers) -> TokenBatch:
        return _batch([self._state.sequences[number] for number in embedded.tolist()])

    def all_tokens(self) -> tuple[Numbers, Offsets, Ids]:
        numbers = np.array(sorted(self._state.sequences), np.int64)
        tokens = self.tokens(numbers)
        return numbers, tokens.offsets, tokens.ids

    def sample(self, n: int) -> tuple[Numbers, Numbers]:
        keys, numbers = list(self._state.numbers), np.array(list(self._state.numbers.values()), np.int64)
        lengths = [len(self._state.sequences[number].ids) for number in numbers.tolist()]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        first = np.argsort(sampling.hashes(keys, offsets), kind="stable")[:n]
        return np.repeat(numbers, lengths)[first], (np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths))[first]

    def keywords(self, text: str) -> list[Keyword]:
        return self._analyzer.keywords(text)

    def keyword_frequencies(self, terms: Sequence[str]) -> Numbers:
        return np.array([sum(term in held for held in self._state.keywords.values()) for term in terms], np.int64)

    def postings(self, term: str) -> tuple[Numbers, Numbers]:
        found = sorted((number, held[term]) for number, held in self._state.keywords.items() if term in held)
        table = np.array(found, np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def keyword_counts(self, passages: Numbers, terms: Sequence[str]) -> Numbers:
        held = [self._state.keywords[number] for number in passages.tolist()]
        return np.array([[one[term] for one in held] for term in terms], np.int64).reshape(len(terms), len(held))

    def metadata_types(self) -> Mapping[str, frozenset[str]]:
        found: defaultdict[str, set[str]] = defaultdict(set)
        for document in self._state.documents.values():
            for key, kind in field_types(json.loads(document.metadata)):
                found[key].add(kind)
        return {key: frozenset(kinds) for key, kinds in found.items()}

    def documents_where(self, condition: Filter) -> Numbers:
        return np.array(
            sorted(
                self._state.places[document.id].document
                for document in self._state.documents.values()
                if condition.matches(
                    {
                        "id": document.id,
                        "title": document.title,
                        "path": None if document.file is None else document.file[1],
                        "metadata": json.loads(document.metadata),
                    }
                )
            ),
            np.int64,
        )

    def document_number(self, doc_id: str) -> int | None:
        place = self._state.places.get(doc_id)
        return None if place is None else place.document

    def places(self, passages: Numbers) -> list[PassagePlace]:
        held = self._state.passages
        return [PassagePlace(number, held[number][0].id, held[number][1]) for number in passages.tolist()]

    def passage(self, doc_id: str, ordinal: int) -> StoredPassage:
        document = self._state.documents[doc_id]
        passage = document.passages[ordinal]
        return StoredPassage(
            doc_id, ordinal, passage.text, passage.start, passage.line, document.title, document.metadata, document.file
        )

    def document(self, doc_id: str) -> StoredDocument | None:
        document = self._state.documents.get(doc_id)
        if document is None:
            return None
        tokens = _batch([self._state.sequences[self._state.numbers[key]] for key in _keys(document)])
        text = "".join(passage.text for passage in document.passages)
        return replace(_record(document), text=text, tokens=tokens)

    def summaries(self, prefix: str, after: str | None, limit: int) -> list[DocumentSummary]:
        chosen = sorted(
            doc_id
            for doc_id in self._state.documents
            if doc_id.startswith(prefix) and (after is None or doc_id > after)
        )
        return [self._summary(self._state.documents[doc_id]) for doc_id in chosen[:limit]]

    def _summary(self, document: PreparedDocument) -> DocumentSummary:
        return DocumentSummary(
            id=document.id,
            title=document.title,
            n_passages=len(document.passages),
            n_tokens=sum(len(self._state.sequences[self._state.numbers[key]].ids) for key in _keys(document)),
            n_characters=document.n_characters,
            path=None if document.file is None else str(Path(*document.file)),
            metadata=json.loads(document.metadata),
        )


def _keys(document: PreparedDocument) -> list[bytes]:
    return [passage.key for passage in document.passages if passage.key is not None]


def _record(document: PreparedDocument) -> StoredDocument:
    return StoredDocument(
        document.id, document.title, document.metadata, document.content_hash, document.n_characters, document.file
    )


def _batch(sequences: Sequence[_Sequence]) -> TokenBatch:
    rows = [sequence.rows for sequence in sequences if sequence.rows is not None]
    return TokenBatch(
        _offsets([sequence.ids for sequence in sequences]),
        np.concatenate([np.zeros(0, np.int32), *(sequence.ids for sequence in sequences)]),
        np.concatenate(rows) if rows else None,
    )


def _required(key: bytes | None) -> bytes:
    assert key is not None
    return key


def _joined(sequences: Iterable[_Sequence], dim: int) -> tuple[Floats, Offsets]:
    pieces = [sequence.vectors for sequence in sequences]
    return np.concatenate([np.zeros((0, dim), np.float32), *pieces]), _offsets(pieces)


def _offsets(pieces: Sequence[Any]) -> Offsets:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum([len(piece) for piece in pieces], dtype=np.int64)])
