"""From documents to what a store keeps: checked, cut into passages, tokenized, embedded, encoded.

Texts are tokenized in pieces of about a million characters and vectors are made in blocks, so that one huge document
needs little more memory than its text and its token ids.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch import scoring
from vecsearch.embedding_cache import EmbeddingCache
from vecsearch.errors import DocumentError, VectorsError
from vecsearch.guarding import LARGEST, unusable_row
from vecsearch.pipeline import Pipeline
from vecsearch.positioning import Positioning, RowTable
from vecsearch.precision import rounded
from vecsearch.splitting import cut, line_starts
from vecsearch.stores.protocol import PreparedDocument, PreparedPassage, Store, TokenBatch
from vecsearch.types import Document, Tokens

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Floats, Ids, Offsets, Spans

__all__ = ["Begun", "Preparation", "checked", "content_hash", "embedded_texts"]

PIECE_CHARACTERS = 1_000_000
"""About how much text is tokenized at a time."""
PASSAGES_AT_ONCE = 10_000
"""Passages whose words wait to become ids."""
DEEPEST_METADATA = 100
ENCODE_TOKENS = 1 << 16
"""About how many tokens' vectors are in one array: 64 MiB of 256 dimensions, and one segment."""
PART_TOKENS = 1 << 13
"""About how many tokens are encoded at a time: what is made on the way then stays in memory that is used again."""


def checked(document: Document, pipeline: Pipeline) -> Document:
    """Return the document if it can be stored as it is.

    Raises:
        DocumentError: id, text, title, metadata or sections are not what ``Document`` says.
        VectorsError: its vectors are missing, unwanted, of a wrong shape or type, or not finite.
    """
    if not isinstance(document, Document):
        raise DocumentError(f"expected a vecsearch.Document, got {type(document).__name__}")
    name = repr(document.id)[:80]
    if not isinstance(document.id, str) or not document.id:
        raise DocumentError(f"a document's id must be a text of at least one character, not {name}", id=document.id)
    for field in ("id", "title", "text"):
        value = getattr(document, field)
        if not isinstance(value, str):
            raise DocumentError(f"document {name}: {field} must be text, not {type(value).__name__}", id=document.id)
        if value.isascii():  # known to a str at once, where encoding it takes time
            continue
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DocumentError(
                f"document {name}: {field} has a lone surrogate at character {error.start}, which is no Unicode text; "
                f"decode its source with errors='replace', or leave it out",
                id=document.id,
            ) from error
    try:
        _check_json(document.metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise DocumentError(f"document {name}: its metadata is not JSON: {error}", id=document.id) from error
    if not _are_sections(document.sections, len(document.text)):
        raise DocumentError(
            f"document {name}: sections must be offsets within its text, from 0 to {len(document.text)}, that rise",
            id=document.id,
        )
    if pipeline.is_given:
        _check_vectors(document, pipeline.dim)
    elif document.vectors is not None or document.token_ids is not None:
        raise VectorsError(
            f"document {name} brings vectors, but this index makes its own from text; create an index with "
            f"pipeline=GivenVectors(dim=…) for them",
            id=document.id,
        )
    return document


def _check_json(metadata: Any) -> None:
    metadata = dict(metadata)
    if not metadata:
        return
    text = json.dumps(metadata, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it has a lone surrogate") from None
    # subtle: SQLite calls JSON malformed beyond a depth that differs between its versions, 1,000 at least
    if _depth(metadata) > DEEPEST_METADATA:
        raise ValueError(f"it is nested more than {DEEPEST_METADATA} deep")
    if json.loads(text) != metadata:
        raise ValueError("it would come back as something else; keys must be text, and lists be lists, not tuples")


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _are_sections(sections: Any, n_characters: int) -> bool:
    if isinstance(sections, tuple) and not sections:
        return True
    try:
        offsets = np.asarray(sections)
    except ValueError:  # lists of different lengths
        return False
    if offsets.shape == (0,):
        return True
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu":
        return False
    return bool(offsets[0] >= 0 and offsets[-1] <= n_characters and np.all(offsets[:-1] <= offsets[1:]))


def _check_vectors(document: Document, dim: int) -> None:
    name = repr(document.id)[:80]
    vectors, ids = document.vectors, document.token_ids
    if vectors is None:
        raise VectorsError(
            f"document {name} has no vectors; this index needs float32 (n_tokens, {dim})", id=document.id
        )
    check_given(vectors, ids, dim, f"document {name}")


def check_given(vectors: Any, ids: Any, dim: int, owner: str, *, lowest: int = 0) -> None:
    """Check vectors that a caller brings, and their ids, where there are any.

    Raises:
        VectorsError: not float32 ``(n_tokens ≥ 1, dim)`` and finite, or ids not int ``(n_tokens,)`` ≥ ``lowest``.
    """
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32:
        kind = vectors.dtype if isinstance(vectors, np.ndarray) else type(vectors).__name__
        raise VectorsError(f"{owner}: vectors are {kind}; give a NumPy array, .astype(numpy.float32)")
    if vectors.ndim != 2 or vectors.shape[1] != dim or not len(vectors):
        raise VectorsError(f"{owner}: vectors have shape {vectors.shape}; this index needs (n_tokens ≥ 1, {dim})")
    if (row := unusable_row(vectors)) is not None:
        raise VectorsError(f"{owner}: vectors hold NaN, infinity or numbers beyond {LARGEST:g}, first in row {row}")
    if ids is None:
        return
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or ids.shape != (len(vectors),):
        found = f"{ids.dtype} {ids.shape}" if isinstance(ids, np.ndarray) else type(ids).__name__
        raise VectorsError(
            f"{owner}: token_ids are {found}; give an array of whole numbers of shape ({len(vectors)},), one a vector"
        )
    highest = np.iinfo(np.int32).max
    if ids.min() < lowest or ids.max() > highest:
        wrong = ids.min() if ids.min() < lowest else ids.max()
        raise VectorsError(f"{owner}: token_ids hold {wrong}; they must be from {lowest} to {highest}")


def content_hash(document: Document) -> bytes:
    """Return 16 bytes that change whenever anything of the document changes."""
    header = json.dumps([document.title, dict(document.metadata), list(map(int, document.sections))], sort_keys=True)
    hashed = hashlib.blake2b(digest_size=16)
    for part in (header.encode(), document.text.encode()):
        hashed.update(b"%d:" % len(part))
        hashed.update(part)
    if document.vectors is not None:
        hashed.update(np.ascontiguousarray(document.vectors).tobytes())
        if document.token_ids is not None:
            hashed.update(b"ids")
            hashed.update(document.token_ids.astype(np.int64).tobytes())
    return hashed.digest()


def embedded_texts(pipeline: Pipeline, passages: Sequence[tuple[str, str, int]]) -> list[tuple[str, int]]:
    """Return the text that stands for each passage in the vectors, and at which of its characters the passage begins.

    The first passage of a document carries the title before it, at most half a passage long.

    Args:
        pipeline: whose tokens are counted.
        passages: title of the document, text, and which passage of the document it is, from 0.
    """
    titles = list(dict.fromkeys(title for title, _, ordinal in passages if title and not ordinal))
    prefixes: dict[str, str] = {}
    if titles:
        tokens = pipeline.tokenize(titles)
        for title, (begin, end) in zip(titles, itertools.pairwise(tokens.offsets.tolist()), strict=True):
            prefixes[title] = _title_prefix(title, tokens.spans[begin:end], pipeline.max_tokens)
    found = []
    for title, text, ordinal in passages:
        prefix = "" if ordinal or not title else prefixes[title]
        found.append((prefix + text, len(prefix)))
    return found


def _title_prefix(title: str, spans: Spans, max_tokens: int) -> str:
    most = max_tokens // 2
    return (title if len(spans) <= most else title[: int(spans[most - 1, 1])]) + "\n"


@dataclass(frozen=True)
class _Piece:
    """The tokens of one text; ``ids`` or ``entries`` as in ``Tokens``, neither where only the spans are wanted."""

    spans: Spans
    ids: Ids | None = None
    entries: Sequence[str] | None = None


@dataclass(frozen=True)
class _Chunk:
    """Tokens of some passages: their number in each, ids or the words that are to become ids, and keys."""

    lengths: npt.NDArray[np.int64]
    ids: Ids | None
    words: Sequence[str]
    keys: list[bytes | None]


@dataclass(frozen=True)
class Begun:
    """Documents cut and tokenized: what needs no look into the store.

    Attributes:
        documents: these.
        cuts, texts: see ``Preparation._split``.
        chunks: the tokens of all passages, in order.
    """

    documents: Sequence[Document]
    cuts: list[list[tuple[str, int]]]
    texts: list[str]
    chunks: Iterable[_Chunk]


@dataclass(frozen=True)
class Prepared:
    """Documents ready for a store.

    Attributes:
        documents: in the order given.
        keys, tokens: of token sequences that the store does not have yet.
        vectors: of those, in blocks made when read; see ``stores.protocol.Batch``.
        n_tokens: of all documents.
    """

    documents: list[PreparedDocument]
    keys: list[bytes]
    tokens: TokenBatch
    vectors: Iterator[tuple[int, Floats]]
    n_tokens: int


class Preparation:
    """Prepares documents for one store.

    ``begin`` may be called by one thread while another prepares, or reads the vectors of, earlier documents: a plugin
    is called by one of them at a time.

    Args:
        pipeline: of the index.
        table: rows of token ids, for a static pipeline.
        store: gives ids to words and knows which token sequences it has.
        cache: of what a contextual embedder gave before, or None.
    """

    def __init__(
        self, pipeline: Pipeline, table: RowTable | None, store: Store, cache: EmbeddingCache | None = None
    ) -> None:
        self._pipeline = pipeline
        self._table = table
        self._store = store
        self._cache = cache
        self._calling = Lock()

    def begin(self, documents: Sequence[Document]) -> Begun | None:
        """Do of ``prepare`` what needs no look into the store; None where that is nothing.

        Raises:
            PluginError: as ``prepare``.
        """
        if self._pipeline.is_given:
            return None
        begun = self._begin(documents, None)
        return replace(begun, chunks=list(begun.chunks))

    def prepare(
        self,
        documents: Sequence[tuple[Document, tuple[str, str] | None, bytes]],
        starts: Sequence[Sequence[int]] | None = None,
        begun: Begun | None = None,
    ) -> Prepared:
        """Prepare checked documents, each with the file it belongs to and its ``content_hash``.

        Args:
            documents: in the order in which they are stored.
            starts: where the passages of each document begin, from 0; by default the documents are cut here.
            begun: what ``begin`` gave for these documents, or for others: then it is of no use.

        Raises:
            PluginError: a plugin raised, or broke its contract.
        """
        if self._pipeline.is_given:
            cuts = [[(document.text, 0)] for document, _, _ in documents]
            texts: list[str] = []
            tokens = self._given(documents)
            keys = _keys(tokens)
        else:
            only = [document for document, _, _ in documents]
            if begun is None or not _are_the_same(begun.documents, only):
                begun = self._begin(only, starts)
            cuts, texts = begun.cuts, begun.texts
            tokens, keys = self._numbered(begun.chunks)
        new = self._new(keys)
        passage_keys: Iterator[bytes | None] = iter(keys)
        prepared = [
            PreparedDocument(
                id=document.id,
                title=document.title,
                metadata=json.dumps(dict(document.metadata), ensure_ascii=False, sort_keys=True),
                content_hash=hashed,
                n_characters=len(document.text),
                passages=_passages(document.text, passages, passage_keys),
                file=file,
            )
            for (document, file, hashed), passages in zip(documents, cuts, strict=True)
        ]
        batch = self._batch(tokens, texts, new)
        new_keys = [key for number in new if (key := keys[number]) is not None]
        return Prepared(prepared, new_keys, batch, self._vectors(batch), int(tokens.offsets[-1]))

    def _begin(self, documents: Sequence[Document], starts: Sequence[Sequence[int]] | None) -> Begun:
        cuts, texts, known = self._split(documents) if starts is None else self._cut_at(documents, starts)
        return Begun(documents, cuts, texts, self._chunks(texts, known))

    def _split(
        self, documents: Sequence[Document]
    ) -> tuple[list[list[tuple[str, int]]], list[str], list[_Piece | None]]:
        """Cut documents into passages.

        Returns:
            The passages of each document with their first characters; together they are its text. Then, for all
            passages in order, the text that stands for each in the vectors, and its tokens where they are known.
        """
        room = self._pipeline.max_tokens
        titles = list(dict.fromkeys(document.title for document in documents if document.title))
        title_spans = dict(zip(titles, (piece.spans for piece in self._pieces(titles)), strict=True))
        rooms = [
            room - min(len(title_spans[document.title]), room // 2) if document.title else room
            for document in documents
        ]
        # a token has a character at least
        long = [number for number, document in enumerate(documents) if len(document.text) > rooms[number]]
        of_long = dict(zip(long, self._long_pieces([documents[number].text for number in long]), strict=True))
        cuts: list[list[tuple[str, int]]] = []
        texts: list[str] = []
        known: list[_Piece | None] = []
        for number, document in enumerate(documents):
            text, title = document.text, document.title
            piece = of_long.get(number)
            if not text:
                passages = [("", 0)] if title else []
            elif piece is None or len(piece.spans) <= rooms[number]:
                passages = [(text, 0)]
            else:
                bounds = self._bounds(text, piece.spans, document.sections, rooms[number])
                passages = [(text[begin:end], begin) for begin, end in itertools.pairwise(bounds)]
            cuts.append(passages)
            texts += [passage for passage, _ in passages]
            is_whole = len(passages) == 1 and not title and len(text) <= PIECE_CHARACTERS
            # the tokens of a whole text are known; those of a part are asked for again, for a cut may change them
            known += [piece if is_whole else None] * len(passages)
            if title and passages:
                texts[-len(passages)] = _title_prefix(title, title_spans[title], room) + passages[0][0]
        return cuts, texts, known

    def _cut_at(
        self, documents: Sequence[Document], starts: Sequence[Sequence[int]]
    ) -> tuple[list[list[tuple[str, int]]], list[str], list[_Piece | None]]:
        """Cut documents where their passages are known to begin; returns what ``_split`` does."""
        cuts = [
            [(document.text[begin:end], begin) for begin, end in itertools.pairwise([*places, len(document.text)])]
            for document, places in zip(documents, starts, strict=True)
        ]
        passages = [
            (document.title, passage, ordinal)
            for document, cut_here in zip(documents, cuts, strict=True)
            for ordinal, (passage, _) in enumerate(cut_here)
        ]
        texts = [text for text, _ in embedded_texts(self._pipeline, passages)]
        return cuts, texts, [None] * len(texts)

    def _long_pieces(self, texts: Sequence[str]) -> list[_Piece]:
        """Return the tokens of texts; of one that is huge only the spans, found in parts."""
        usual = iter(self._pieces([text for text in texts if len(text) <= PIECE_CHARACTERS]))
        return [next(usual) if len(text) <= PIECE_CHARACTERS else _Piece(self._spans(text)) for text in texts]

    def _bounds(self, text: str, spans: Spans, sections: Sequence[int], room: int) -> list[int]:
        bounds: list[int] = cut(text, spans, max_tokens=room, sections=sections).tolist()
        # subtle: a subword tokenizer may cut a passage on its own into a few tokens more than it had in its text
        while self._pipeline.closed_vocabulary is not None:
            parts = [text[begin:end] for begin, end in itertools.pairwise(bounds)]
            finer = []
            for part, begin, piece in zip(parts, bounds[:-1], self._pieces(parts), strict=True):
                if len(piece.spans) > room:
                    finer += [begin + int(place) for place in cut(part, piece.spans, max_tokens=room)[1:-1]]
            if not finer:
                break
            bounds = sorted({*bounds, *finer})
        return bounds

    def _spans(self, text: str) -> Spans:
        """Return the token spans of a long text, tokenized in pieces that end at white space where there is any."""
        parts, begin = [np.zeros((0, 2), np.int32)], 0
        while begin < len(text):
            end = min(begin + PIECE_CHARACTERS, len(text))
            if end < len(text):
                space = max(text.rfind(" ", begin, end), text.rfind("\n", begin, end))
                end = space + 1 if space > begin else end
            parts.append(self._tokens([text[begin:end]]).spans + np.int32(begin))
            begin = end
        return np.concatenate(parts)

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        with self._calling:
            return self._pipeline.tokenize(texts)

    def _tokenized(self, texts: Sequence[str]) -> Iterator[Tokens]:
        begin = size = 0
        for number, text in enumerate(texts):
            if size + len(text) > PIECE_CHARACTERS and number > begin:
                yield self._tokens(texts[begin:number])
                begin, size = number, 0
            size += len(text)
        yield self._tokens(texts[begin:])

    def _pieces(self, texts: Sequence[str]) -> Iterator[_Piece]:
        """Yield the tokens of each text."""
        for tokens in self._tokenized(texts):
            for begin, end in itertools.pairwise(tokens.offsets.tolist()):
                ids = None if tokens.ids is None else tokens.ids[begin:end]
                entries = None if tokens.entries is None else tokens.entries[begin:end]
                yield _Piece(tokens.spans[begin:end], ids, entries)

    def _chunks(self, texts: Sequence[str], known: Sequence[_Piece | None]) -> Iterator[_Chunk]:
        """Yield the tokens of texts, some of which are known, with the key of each."""
        new = self._pieces([text for text, piece in zip(texts, known, strict=True) if piece is None])
        pieces = (next(new) if piece is None else piece for piece in known)
        while some := list(itertools.islice(pieces, PASSAGES_AT_ONCE)):
            lengths = np.array([len(piece.spans) for piece in some], np.int64)
            offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
            if self._pipeline.closed_vocabulary is None:
                words = list(itertools.chain.from_iterable(_required(piece.entries) for piece in some))
                yield _Chunk(lengths, None, words, _word_keys(words, offsets))
            else:
                ids = np.concatenate([_required(piece.ids) for piece in some])
                yield _Chunk(lengths, ids, (), _keys(TokenBatch(offsets, ids)))

    def _numbered(self, chunks: Iterable[_Chunk]) -> tuple[TokenBatch, list[bytes | None]]:
        """Return the tokens of chunks as ids, new words getting theirs, and the key of each passage."""
        ids, lengths = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)]
        keys: list[bytes | None] = []
        for chunk in chunks:
            lengths.append(chunk.lengths)
            ids.append(self._store.intern(chunk.words) if chunk.ids is None else chunk.ids)
            keys += chunk.keys
        return TokenBatch(np.cumsum(np.concatenate(lengths)), np.concatenate(ids)), keys

    def _given(self, documents: Sequence[tuple[Document, object, object]]) -> TokenBatch:
        offsets = np.zeros(len(documents) + 1, np.int64)
        if not documents:  # all were there already
            return TokenBatch(offsets, np.zeros(0, np.int32), np.zeros((0, self._pipeline.dim), np.float32))
        rows = [_required(document.vectors) for document, _, _ in documents]
        np.cumsum([len(part) for part in rows], out=offsets[1:])
        ids = [
            np.full(len(part), -1, np.int32) if document.token_ids is None else document.token_ids.astype(np.int32)
            for part, (document, _, _) in zip(rows, documents, strict=True)
        ]
        # what is computed from them is computed from what is kept
        kept = rounded(np.concatenate(rows), self._pipeline.precision)
        return TokenBatch(offsets, np.concatenate(ids), kept)

    def _new(self, keys: Sequence[bytes | None]) -> list[int]:
        """Return the first place of each key that neither the store nor an earlier place of the batch has."""
        first: dict[bytes, int] = {}
        for number, key in enumerate(keys):
            if key is not None:
                first.setdefault(key, number)
        known = self._store.known(list(first))
        return [number for key, number in first.items() if key not in known]

    def _batch(self, tokens: TokenBatch, texts: Sequence[str], new: Sequence[int]) -> TokenBatch:
        numbers = np.array(new, np.int64)
        lengths = np.diff(tokens.offsets)[numbers]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        wanted = np.repeat(tokens.offsets[:-1][numbers] - offsets[:-1], lengths) + np.arange(offsets[-1])
        rows = None if tokens.rows is None else tokens.rows[wanted]
        if rows is None and not self._pipeline.is_static:
            chosen = [texts[number] for number in new]
            parts = [np.zeros((0, self._pipeline.dim), np.float32)]
            begin = 0
            for some in self._tokenized(chosen):
                end = begin + len(some.offsets) - 1
                # an embedder may share what it has with its tokenizer
                with self._calling:
                    parts.append(self._rows(chosen[begin:end], some))
                begin = end
            rows = np.concatenate(parts)
        return TokenBatch(offsets, tokens.ids[wanted], rows)

    def _rows(self, texts: Sequence[str], tokens: Tokens) -> Floats:
        """Return the rows of texts as they are kept: what is computed from them is the same when they are read."""
        if self._cache is not None:
            return self._cache.rows(self._pipeline, texts, tokens, self._pipeline.precision)
        return rounded(self._pipeline.rows(texts, tokens), self._pipeline.precision)

    def _vectors(self, batch: TokenBatch) -> Iterator[tuple[int, Floats]]:
        """Yield the vectors of a batch, array by array, each with how many passages it is of."""
        offsets = batch.offsets
        positioning = Positioning(self._pipeline, self._table)
        for first, last in scoring.blocks(offsets, ENCODE_TOKENS):
            base = int(offsets[first])
            vectors = np.empty((int(offsets[last]) - base, self._pipeline.dim), np.float32)
            for some, after in scoring.blocks(offsets[first : last + 1], PART_TOKENS):
                begin, end = int(offsets[first + some]), int(offsets[first + after])
                rows = None if batch.rows is None else batch.rows[begin:end]
                part = TokenBatch(offsets[first + some : first + after + 1] - begin, batch.ids[begin:end], rows)
                vectors[begin - base : end - base] = positioning(part)
            yield last - first, vectors


def _passages(text: str, passages: Sequence[tuple[str, int]], keys: Iterator[bytes | None]) -> list[PreparedPassage]:
    if len(passages) == 1:
        return [PreparedPassage(passages[0][0], 0, 1, next(keys))]
    lines = np.searchsorted(line_starts(text), [start for _, start in passages], side="right").tolist()
    return [
        PreparedPassage(passage, start, line, next(keys))
        for (passage, start), line in zip(passages, lines, strict=True)
    ]


def _word_keys(words: Sequence[str], offsets: Offsets) -> list[bytes | None]:
    """Return keys that depend on the words, not on their ids: those are given in the order of adds.

    What is derived from the keys, such as the background sample, is then the same in whatever order texts came.
    """
    keys: list[bytes | None] = []
    for begin, end in itertools.pairwise(offsets.tolist()):
        some = words[begin:end]
        # the lengths tell where each word ends, whatever characters it holds
        lengths = np.fromiter(map(len, some), "<u4", len(some)).tobytes()
        content = lengths + "".join(some).encode("utf-8", "surrogatepass")
        keys.append(hashlib.blake2b(content, digest_size=16).digest() if some else None)
    return keys


def _keys(tokens: TokenBatch) -> list[bytes | None]:
    """Return the key of each token sequence; None for a passage without tokens."""
    keys: list[bytes | None] = []
    bounds = tokens.offsets.tolist()
    for begin, end in itertools.pairwise(bounds):
        if begin == end:
            keys.append(None)
            continue
        hashed = hashlib.blake2b(tokens.ids[begin:end].tobytes(), digest_size=16)
        if tokens.rows is not None:
            hashed.update(tokens.rows[begin:end].tobytes())
        keys.append(hashed.digest())
    return keys


def _are_the_same(some: Sequence[Document], others: Sequence[Document]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _required(value: Any) -> Any:
    assert value is not None
    return value
