"""The values that flow through the engine: documents in, flat token batches between stages, hits out.

A batch of passages is flat: one array over all tokens and ``offsets`` that say where each passage begins.
Nothing here imports numpy when the program runs, so that the command line can show its help without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float32]
    Ids: TypeAlias = npt.NDArray[np.int32]
    Offsets: TypeAlias = npt.NDArray[np.int64]
    Spans: TypeAlias = npt.NDArray[np.int32]
    Bools: TypeAlias = npt.NDArray[np.bool_]
    Scores: TypeAlias = npt.NDArray[np.floating[Any]]

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
"""How exactly vectors are kept; see ``vecsearch.precision``."""

__all__ = [
    "AddReport",
    "Contribution",
    "Document",
    "DocumentSummary",
    "Explanation",
    "FileRecord",
    "Hit",
    "Match",
    "Precision",
    "Progress",
    "Tokens",
    "Vocabulary",
]


@dataclass(frozen=True)
class Document:
    """One text to index, or one set of vectors.

    Args:
        id: the caller's name for it; unique within an index, any non-empty text.
        text: what is split, tokenized and searched. May be empty.
        title: searched together with the first passage and shown with every hit.
        metadata: JSON values by name; returned with every hit.
        sections: character offsets in ``text`` where a heading or another new section begins, strictly ascending;
            a passage is cut there first.
        vectors: float32 ``(n_tokens, dim)``, for an index of given vectors only.
        token_ids: int32 ``(n_tokens,)`` ≥ 0, optional beside ``vectors``: rare ids then weigh more.
    """

    id: str
    text: str = ""
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    sections: Sequence[int] = ()
    vectors: Floats | None = field(default=None, compare=False, repr=False)
    token_ids: Ids | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Tokens:
    """The tokens of a batch of texts, flat, in reading order.

    Exactly one of ``ids`` and ``entries`` is given: a tokenizer with a closed vocabulary gives ids, one with an
    open vocabulary gives the vocabulary entry of every token, to which the index assigns ids.

    Attributes:
        offsets: int64 ``(n_texts + 1,)``; tokens of text t are ``offsets[t]:offsets[t + 1]``. Starts with 0.
        spans: int32 ``(n_tokens, 2)``; start and end of each token in characters of *its own original text*,
            0 ≤ start ≤ end ≤ len(text), starts never decreasing within a text.
        ids: int32 ``(n_tokens,)``, 0 ≤ id < size of the vocabulary.
        entries: ``n_tokens`` strings.
    """

    offsets: Offsets
    spans: Spans
    ids: Ids | None = None
    entries: Sequence[str] | None = None

    @property
    def n_tokens(self) -> int:
        """Number of tokens in all texts together."""
        return len(self.spans)


@dataclass(frozen=True)
class Vocabulary:
    """The entries of a closed vocabulary, in id order.

    Attributes:
        entries: surface text of each entry without the tokenizer's own marks: ``"dog"`` for ``▁dog``, ``Ġdog``
            or ``dog``; ``"ing"`` for ``##ing``. Special entries (``<unk>``, ``<0x0A>``) as they are written.
        starts_word: bool ``(n_entries,)``; True where the entry begins a word, False where it continues one.
    """

    entries: Sequence[str]
    starts_word: Bools


@dataclass(frozen=True)
class Match:
    """A stretch of a hit's text that answers one token of the query.

    Attributes:
        start, end: characters of ``Hit.text``.
        query_start, query_end: characters of the query.
        similarity: of the two position-aware vectors, in [−1, 1].
    """

    start: int
    end: int
    query_start: int
    query_end: int
    similarity: float

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return {
            "start": self.start,
            "end": self.end,
            "query_start": self.query_start,
            "query_end": self.query_end,
            "similarity": self.similarity,
        }


@dataclass(frozen=True)
class Contribution:
    """One term of the sum that is a hit's score.

    Attributes:
        signal: ``"vector"``, ``"keyword"``, ``"phrase"`` or ``"rerank"``.
        label: what of the query it stands for; ``"constant"`` for what fusion adds to every hit alike.
        value: the term; those of an explanation add up to ``Hit.score``.
        query_start, query_end: characters of the query, None for a constant and for a query of vectors.
        start, end: characters of ``Hit.text`` that the query's token found as its best partner; None where that is in
            the title or in another passage of the document, and where there is none.
        similarity: of the two vectors, in [−1, 1]; None for keywords and constants.
        weight: of the query's token: idf · norm for vectors, idf for keywords; None for constants.
    """

    signal: str
    label: str
    value: float
    query_start: int | None = None
    query_end: int | None = None
    start: int | None = None
    end: int | None = None
    similarity: float | None = None
    weight: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return dict(vars(self))


@dataclass(frozen=True)
class Explanation:
    """Why a hit has its score.

    Attributes:
        contributions: the terms of the score, in the order of the query, vectors first.
        signals: the unfused score of each signal by its name.
    """

    contributions: tuple[Contribution, ...]
    signals: Mapping[str, float]

    @property
    def total(self) -> float:
        """Sum of the contributions: the hit's score, up to rounding."""
        return sum(one.value for one in self.contributions)

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes by name, JSON-ready."""
        return {"contributions": [one.to_dict() for one in self.contributions], "signals": dict(self.signals)}


@dataclass(frozen=True)
class Hit:
    """One passage found by a search.

    Attributes:
        score: higher is better; comparable within one search.
        doc_id: the caller's id of the document.
        passage: which passage of its document, from 0.
        text: the passage.
        start, end: characters of the document's text; ``document.text[start:end] == text``.
        line_start, line_end: lines of the document, from 1, both included.
        title, metadata: the document's.
        path: the file that the document was read from, where known.
        matches: best first; the stretches of ``text`` nearest to the query's tokens.
        signals: the unfused score of each signal by its name: ``"vector"``, ``"keyword"``, ``"phrase"``,
            ``"rerank"``.
        explanation: the terms of the score, if they were asked for.
    """

    score: float
    doc_id: str
    passage: int
    text: str
    start: int
    end: int
    line_start: int
    line_end: int
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None
    matches: tuple[Match, ...] = ()
    signals: Mapping[str, float] = field(default_factory=dict)
    explanation: Explanation | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict with the attributes above; the keys are stable between releases.

        ``explanation`` is there only where it was asked for.
        """
        described = {
            "score": self.score,
            "doc_id": self.doc_id,
            "passage": self.passage,
            "text": self.text,
            "start": self.start,
            "end": self.end,
            "line_start": self.line_start,
            "line_end": self.line_end,
            "title": self.title,
            "metadata": dict(self.metadata),
            "path": self.path,
            "matches": [match.to_dict() for match in self.matches],
            "signals": dict(self.signals),
        }
        if self.explanation is not None:
            described["explanation"] = self.explanation.to_dict()
        return described


@dataclass(frozen=True)
class FileRecord:
    """What is remembered of an indexed file, to see at the next run whether it has changed.

    Attributes:
        root: absolute path of the folder that was indexed, or of the folder of a single file.
        path: path of the file below ``root``, with ``/``.
        size: bytes.
        mtime_ns: time of last change, nanoseconds.
        sha256: of the content, 32 bytes.
    """

    root: str
    path: str
    size: int
    mtime_ns: int
    sha256: bytes


@dataclass(frozen=True)
class Progress:
    """How far a running call has come: documents, passages and tokens committed so far."""

    n_documents: int
    n_passages: int
    n_tokens: int


@dataclass(frozen=True)
class AddReport:
    """What an add has done.

    Attributes:
        n_documents: written, new or changed.
        n_unchanged: found as they were, and left alone.
        n_removed: gone from their file, and removed.
        n_passages, n_tokens: of the written documents.
    """

    n_documents: int = 0
    n_unchanged: int = 0
    n_removed: int = 0
    n_passages: int = 0
    n_tokens: int = 0

    def __add__(self, other: AddReport) -> AddReport:
        return AddReport(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def to_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return dict(vars(self))


@dataclass(frozen=True)
class DocumentSummary:
    """One line of a listing: a document without its text."""

    id: str
    title: str
    n_passages: int
    n_tokens: int
    n_characters: int
    path: str | None
    metadata: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return {**vars(self), "metadata": dict(self.metadata)}
