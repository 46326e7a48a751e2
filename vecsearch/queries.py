"""A query, embedded as the index would embed a passage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.errors import QueryError
from vecsearch.pipeline import Pipeline, split_rows
from vecsearch.rarity import idf
from vecsearch.types import Tokens

if TYPE_CHECKING:
    from vecsearch.stores.protocol import Snapshot
    from vecsearch.types import Floats, Ids, Spans

__all__ = ["MAX_QUERY_TOKENS", "Query"]

MAX_QUERY_TOKENS = 2_048


@dataclass(frozen=True)
class Query:
    """A query, embedded.

    Attributes:
        vectors: float32 ``(n_tokens, dim)``, position-aware.
        units: float32 ``(n_tokens, dim)``, the same without positions.
        norms: float32 ``(n_tokens,)``; idf is applied when the collection is known.
        ids: int32 ``(n_tokens,)`` where they are known without the collection, else None.
        tokens: None for a query of vectors.
        text: what keywords are taken from; None for a query of vectors.
        uses_idf: whether rare tokens weigh more.
    """

    vectors: Floats
    units: Floats
    norms: Floats
    ids: Ids | None
    tokens: Tokens | None
    text: str | None
    uses_idf: bool = True

    @classmethod
    def of_text(cls, pipeline: Pipeline, text: str) -> Query:
        """Tokenize, embed and encode a text.

        Raises:
            QueryError: it is longer than ``MAX_QUERY_TOKENS``.
        """
        tokens = pipeline.tokenize([text])
        if tokens.n_tokens > MAX_QUERY_TOKENS:  # before they are embedded, for a text of any length may come in
            raise QueryError(
                f"the query has {tokens.n_tokens} tokens; at most {MAX_QUERY_TOKENS} are searched: shorten it"
            )
        tokens, rows = pipeline.query_rows(text, tokens)
        units, norms = split_rows(rows)
        vectors = pipeline.encode_rows(units, norms, tokens.offsets)
        return cls(vectors, units, norms, tokens.ids, tokens, text, pipeline.uses_idf)

    @classmethod
    def of_vectors(cls, pipeline: Pipeline, vectors: Floats, token_ids: Ids | None) -> Query:
        """Encode given vectors.

        Raises:
            QueryError: there are more than ``MAX_QUERY_TOKENS``.
        """
        if len(vectors) > MAX_QUERY_TOKENS:
            raise QueryError(f"the query has {len(vectors)} vectors; at most {MAX_QUERY_TOKENS} are searched")
        units, norms = split_rows(vectors)
        positioned = pipeline.encode_rows(units, norms, np.array([0, len(vectors)], np.int64))
        ids = None if token_ids is None else token_ids.astype(np.int32)
        return cls(positioned, units, norms, ids, None, None)

    def weights(self, snapshot: Snapshot) -> Floats:
        """Return idf · norm of each token in a collection, float32 ``(n_tokens,)``; the norm where no idf is wanted."""
        return self.norms * self.idf(snapshot) if self.uses_idf else self.norms

    def idf(self, snapshot: Snapshot) -> Floats:
        """Return how rare each token is in a collection, float32 ``(n_tokens,)``.

        See ``rarity.idf``; 1 for a vector without an id.
        """
        if self.tokens is None and self.ids is None:
            return np.ones(len(self.norms), np.float32)
        if self.ids is None:
            assert self.tokens is not None
            assert self.tokens.entries is not None
            ids = snapshot.lookup(list(self.tokens.entries))
        else:
            ids = self.ids
        frequencies = snapshot.document_frequencies(ids)
        rarities = idf(frequencies, snapshot.n_passages)
        if self.tokens is None:
            rarities = np.where(ids < 0, 1.0, rarities)
        return rarities.astype(np.float32)

    @property
    def spans(self) -> Spans | None:
        """Characters of the text that each token stands for; None for a query of vectors."""
        return None if self.tokens is None else self.tokens.spans
