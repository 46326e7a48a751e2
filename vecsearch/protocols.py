"""What a plugin class must offer, one protocol a kind.

Every class has a ``name`` (lower case, unique among its kind), a ``version`` (changed whenever its output changes)
and a constructor that takes only keyword arguments with JSON values. ``config`` returns those arguments, defaults
filled in, so that ``type(plugin)(**plugin.config)`` is the same plugin. ``files`` maps those configuration keys that
are paths to the files read; an index records their SHA-256 instead of their paths.

Methods work on whole batches of flat arrays (see ``vecsearch.types``); none is called once a token.
``vecsearch.testing`` checks a class against its protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Protocol, runtime_checkable

from vecsearch.types import Document, Tokens, Vocabulary

if TYPE_CHECKING:
    from vecsearch.types import Bools, Floats, Ids, Offsets, Scores

__all__ = [
    "AligningEncoder",
    "CollectionStatistics",
    "ContextualEmbedder",
    "Embedder",
    "Loader",
    "Plugin",
    "PositionalEncoder",
    "Scorer",
    "SourceFile",
    "StaticEmbedder",
    "Tokenizer",
]


class Plugin(Protocol):
    """What all kinds share."""

    name: ClassVar[str]
    version: ClassVar[str]

    @property
    def config(self) -> Mapping[str, Any]:
        """Constructor arguments, defaults filled in; JSON values only."""
        ...

    @property
    def files(self) -> Mapping[str, str]:
        """Files read, by the configuration key that names them, or by any other word for a file of a package."""
        ...


class Tokenizer(Plugin, Protocol):
    """Splits texts into tokens."""

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Split texts, each on its own: a text's tokens never depend on its neighbours in the batch.

        Args:
            texts: any strings, the empty one included, which has no tokens.

        Returns:
            Tokens with ``ids`` where the vocabulary is closed, with ``entries`` where it is open.
        """
        ...

    def vocabulary(self) -> Vocabulary | None:
        """Return the closed vocabulary in id order, or None where it is open. An open entry always starts a word."""
        ...


@runtime_checkable
class StaticEmbedder(Plugin, Protocol):
    """Gives every vocabulary entry a row, whatever stands around it. Serves any tokenizer.

    It may also have a class attribute ``scorer``, a str: the name of the scorer that suits its vectors, which searches
    use unless they ask for another; ``"debiased_maxsim"`` where it is absent. Likewise ``encoder``: the positional
    encoder that a new pipeline has unless it is given another, ``"name"`` or ``"name:key=value"``; ``"relative"`` where
    it is absent.

    And it may have a method ``reference() -> Sequence[str]``: texts of the language that it was made for, each like a
    passage, a few thousand words together, always the same. A small index has too few tokens of its own to say how
    similar chance makes two of them; these stand in (``CollectionStatistics.background``).

    And it may have a static method ``takes(path: str) -> bool``, which tells by the names of files and little more
    whether it is made from that file or folder: ``--model PATH`` then means ``name:path=PATH``.
    """

    @property
    def dim(self) -> int:
        """Length of a row."""
        ...

    def rows(self, entries: Sequence[str], starts_word: Bools) -> Floats:
        """Return the rows of vocabulary entries.

        Args:
            entries: n surface texts, as in ``Vocabulary.entries``.
            starts_word: bool ``(n,)``, as in ``Vocabulary.starts_word``.

        Returns:
            float32 ``(n, dim)``, finite, *not* normalised: the direction is the meaning, the norm the weight.
            All zeros for an entry of which nothing is known.
        """
        ...

    def vocabulary(self) -> Vocabulary:
        """Return the model's own entries, in the order of its matrix, for nearest-neighbour look-ups."""
        ...


@runtime_checkable
class ContextualEmbedder(Plugin, Protocol):
    """Gives every token a vector that depends on its text. Demands its own tokenizer.

    It may have ``scorer``, ``encoder``, ``reference`` and ``takes`` as a ``StaticEmbedder`` may; without ``scorer``,
    ``"maxsim"`` is used.

    It may have a method ``embed_query(text) -> tuple[Tokens, Floats]`` where it treats a query otherwise than a
    passage: all tokens of it, those that stand for no character at its end, and their vectors. And an attribute
    ``uses_idf``, a bool: False where the rarity of a query's tokens is not to count.
    """

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer that the model was trained with."""
        ...

    def embed(self, texts: Sequence[str], tokens: Tokens) -> Floats:
        """Return one vector a token of ``tokens``, which ``tokenizer().tokenize(texts)`` gave.

        Returns:
            float32 ``(n_tokens, dim)``, finite, not normalised: the norm is the token's weight.
        """
        ...


Embedder = StaticEmbedder | ContextualEmbedder


class PositionalEncoder(Plugin, Protocol):
    """Puts word order into token vectors."""

    def encode(self, units: Floats, weights: Floats, offsets: Offsets) -> Floats:
        """Return position-aware vectors of a flat batch of passages.

        Args:
            units: float32 ``(n_tokens, dim)``, rows of unit length, or all zeros where the token has no meaning.
                Never changed in place.
            weights: float32 ``(n_tokens,)`` ≥ 0, the norms the rows had.
            offsets: int64 ``(n_passages + 1,)``. Positions count from 0 within each passage.

        Returns:
            float32 ``(n_tokens, dim)``, rows of unit length or zero. A passage's vectors never depend on the
            other passages of the batch (beyond 1e-5).
        """
        ...


@runtime_checkable
class AligningEncoder(PositionalEncoder, Protocol):
    """An encoder that compares by relative place, as RoPE does: applied when candidates are rescored, not when stored.

    ``encode`` gives what is stored and what candidates are fetched by.
    """

    @property
    def depth(self) -> int:
        """How many candidates are aligned with the query; more where more hits are asked for."""
        ...

    def align(self, query: Floats, passage: Floats) -> Floats:
        """Return, for every alignment of the query with the passage, the best partner of every query token.

        Args:
            query: float32 ``(n_query, dim)``, encoded.
            passage: float32 ``(n_tokens, dim)``, encoded.

        Returns:
            float32 ``(n_alignments, n_query)`` of similarities. The passage's score is the largest over alignments.
        """
        ...

    def similarities(self, query: Floats, passage: Floats, alignment: int) -> Floats:
        """Return all similarities of one alignment: float32 ``(n_query, n_tokens)``, to explain a score.

        Args:
            query, passage: as for ``align``.
            alignment: a row of what ``align`` returned; the row holds this matrix's maxima over the passage.
        """
        ...


@runtime_checkable
class ComparingEncoder(PositionalEncoder, Protocol):
    """An encoder that compares with a query while it encodes: faster, since each vector is near when it is compared.

    Only the speed of searching a large index depends on it.
    """

    def encode_compared(
        self, rows: Floats, places: Ids, weights: Floats, offsets: Offsets, query: Floats
    ) -> tuple[Floats, Floats] | None:
        """Return the vectors of a flat batch of passages, and how near each passage comes to each token of a query.

        Args:
            rows: float32 ``(n_rows, dim)``, of unit length or zero. Never changed in place.
            places: int32 ``(n_tokens,)``, which of ``rows`` each token has.
            weights, offsets: as for ``encode``; no passage is empty.
            query: float32 ``(n_query, dim)``, rows of unit length or zero.

        Returns:
            What ``encode`` returns, beyond 1e-5, and the largest inner product of each token of the query with one of
            these vectors, float32 ``(n_query, n_passages)``, rounded no worse than a plain float32 sum. None where
            ``encode`` and a matrix product are to do it.
        """
        ...


@dataclass(frozen=True)
class CollectionStatistics:
    """What a scorer may know of the collection, beside the passages that it scores. The same for all of one search.

    Attributes:
        n_passages: live passages that hold a token, ≥ 0.
        mean_length: tokens of a live passage on average, ≥ 1.
        max_length: tokens of the longest passage that is scored, ≥ 1.
        background: float32 ``(n_query, n_sample)``: row i holds the similarities of query token i to a sample of the
            collection's own position-aware token vectors, in no order. It may have no columns, and has none unless
            the scorer sets ``needs_background``. Never changed in place.
    """

    n_passages: int
    mean_length: float
    max_length: int
    background: Floats

    @cached_property
    def sorted_background(self) -> Floats:
        """``background`` with each row ascending; sorted when it is first asked for."""
        import numpy as np

        return np.sort(self.background, axis=1)


class Scorer(Plugin, Protocol):
    """Turns similarities of query tokens and passage tokens into one score a passage, in three steps.

    It may have a class attribute ``needs_background``, a bool: True where it reads ``CollectionStatistics.background``,
    which is computed for no other. And ``takes_maximum``, a bool: True where ``reduce`` is the maximum over the tokens
    of a passage, which is then found faster where passages are many.
    """

    def reduce(self, similarities: Floats, offsets: Offsets) -> Floats:
        """Reduce similarities ``(n_query, n_tokens)`` over the tokens of each passage to ``(n_query, n_passages)``.

        No passage is empty. An ``AligningEncoder`` knows each query token's best partner only: that is then reduced
        as if it were a passage of one token.
        """
        ...

    def transform(self, reduced: Floats, lengths: Offsets, statistics: CollectionStatistics) -> Floats:
        """Adjust ``(n_query, n_passages)`` for what chance or length alone would give.

        Called once for many passages, so that what depends on the query or on a length alone is computed once.

        Args:
            reduced: what ``reduce`` gave, or an approximation of it.
            lengths: int64 ``(n_passages,)`` ≥ 1, tokens of each passage.
            statistics: of the collection.
        """
        ...

    def combine(self, transformed: Floats, weights: Floats) -> Scores:
        """Sum over the query tokens: ``(n_query, n_passages)`` and weights ``(n_query,)`` to one score a passage.

        Returns:
            ``(n_passages,)`` of float64, or float32. Equal columns must give equal scores to the last bit, wherever
            they stand, or equal texts would not tie.
        """
        ...

    def sensitivity(self, weights: Floats, statistics: CollectionStatistics) -> float:
        """Return the slope: when each similarity moves by at most ε, a score moves by at most this times ε.

        It holds for passages of every length up to ``statistics.max_length``. Exact search rests on it: no passage is
        left out whose score could, within float32 rounding, be among the best.
        """
        ...


@dataclass(frozen=True)
class SourceFile:
    """A file handed to a loader.

    Attributes:
        id: the id that a loader gives to a document which is the whole file.
        name: the file's name with its suffix, for messages.
        open: opens the file for reading bytes, from its beginning, as often as it is called.
        size: bytes.
    """

    id: str
    name: str
    open: Callable[[], BinaryIO]
    size: int


class Loader(Plugin, Protocol):
    """Reads documents from files of some kinds."""

    suffixes: ClassVar[tuple[str, ...]]
    """Lower-case file name endings that it takes, with the dot: ``(".md", ".markdown")``."""

    def load(self, file: SourceFile) -> Iterator[Document]:
        """Yield the documents of one file, in order, as a stream.

        Raises:
            LoadError: the file is not what its suffix says, or not text; names the file and the place.
        """
        ...
