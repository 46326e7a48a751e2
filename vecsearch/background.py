"""What a scorer may know of the collection: its size, and how similar chance alone makes a token to a query's.

The background is a sample of the position-aware vectors of the index's own tokens. While an index is small it is
topped up from texts that the embedder brings, so that the first documents are not compared with themselves alone.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.pipeline import Pipeline, split_rows
from vecsearch.positioning import RowTable, directions
from vecsearch.protocols import CollectionStatistics, PositionalEncoder, Scorer
from vecsearch.scoring import inner_products
from vecsearch.stores.protocol import TokenBatch
from vecsearch.stores.sampling import FEWEST

if TYPE_CHECKING:
    from vecsearch.stores.protocol import Snapshot
    from vecsearch.types import Floats

__all__ = ["Background"]

ENOUGH_TOKENS = 20_000
"""From so many tokens on, an index needs no others for its background."""
REENCODED = 1_024
"""Tokens of the sample that are encoded again where another order is asked for."""
PASSAGES = 128
"""Where the index has codes only, the background is made of so many passages, for a whole one must be encoded …"""
OF_PASSAGE = 32
"""… with so many tokens of each, spread over it."""
REACH = 32
"""Neighbours to each side that are encoded with such a token: at decay .75 those beyond weigh less than 1e-4."""


class Background:
    """Keeps the background of the last commit that was searched. May be shared by threads.

    Args:
        pipeline: of the index.
        table: rows of token ids, for a static pipeline.
    """

    def __init__(self, pipeline: Pipeline, table: RowTable | None) -> None:
        self._pipeline = pipeline
        self._table = table
        self._lock = threading.Lock()
        self._generation = -1
        self._samples: dict[str, Floats] = {}
        self._references: dict[str, Floats] = {}

    def statistics(
        self, snapshot: Snapshot, scorer: Scorer, query: Floats, encoder: PositionalEncoder | None = None
    ) -> CollectionStatistics:
        """Return what a scorer may know for one query.

        Args:
            snapshot: of the store.
            scorer: decides whether the background is needed.
            query: float32 ``(n_query, dim)``.
            encoder: the positional encoder that query and passages are compared by, where it is not the index's own.
        """
        n_passages = max(snapshot.n_passages, 1)
        background = np.zeros((len(query), 0), np.float32)
        if getattr(scorer, "needs_background", False):
            background = inner_products(query, self._sample(snapshot, encoder))
        lengths = snapshot.embedded_lengths()
        return CollectionStatistics(
            n_passages=snapshot.n_passages,
            mean_length=max(snapshot.n_tokens / n_passages, 1.0),
            max_length=int(lengths.max(initial=1)),
            background=background,
        )

    def chance(self, snapshot: Snapshot, query: Floats, statistics: CollectionStatistics) -> Floats | None:
        """Return how similar the best token of a passage is to each of the query by chance: float32 ``(n_query,)``.

        That is the quantile 1 − 1/(L + 1) of the similarities of a query token to the background, L twice the mean
        length of a passage: long ones have more chances, and are what is found by chance. None where the store looks
        at every passage anyway.
        """
        if snapshot.depth() is None:
            return None
        background = statistics.background
        if not background.shape[1]:
            background = inner_products(query, self._sample(snapshot, None))
        n = background.shape[1]
        above = min(int(n / (2 * statistics.mean_length + 1)), n - 1)
        return np.partition(background, n - 1 - above, axis=1)[:, n - 1 - above]

    def _sample(self, snapshot: Snapshot, encoder: PositionalEncoder | None) -> Floats:
        name = "" if encoder is None else f"{encoder.name} {sorted(encoder.config.items())}"
        with self._lock:
            if self._generation != snapshot.generation:
                self._generation = snapshot.generation
                self._samples.clear()
            if name not in self._samples:
                self._samples[name] = self._draw(snapshot, encoder, name)
            return self._samples[name]

    def _draw(self, snapshot: Snapshot, encoder: PositionalEncoder | None, name: str) -> Floats:
        n_tokens = int(snapshot.embedded_lengths().sum())
        share = min(1.0, n_tokens / ENOUGH_TOKENS)
        if encoder is None and share == 1 and snapshot.depth() is not None:
            return self._of_passages(snapshot)
        reference = self._reference(encoder, name) if share < 1 else np.zeros((0, self._pipeline.dim), np.float32)
        n_own = min(n_tokens, FEWEST if encoder is None else REENCODED)
        if len(reference):
            # own tokens and others in the proportion share : 1 − share
            n_own = min(n_own, max(1, round(len(reference) * share / (1 - share))))
            n_others = min(len(reference), round(n_own * (1 - share) / share)) if n_own else len(reference)
            reference = reference[np.linspace(0, len(reference) - 1, n_others).astype(np.int64)]
        embedded, positions = snapshot.sample(n_own)
        if encoder is None:
            own = snapshot.vectors_at(embedded, positions)
        else:
            own = self._encoded(snapshot, embedded, positions, encoder)
        return np.concatenate([own, reference])

    @staticmethod
    def _of_passages(snapshot: Snapshot) -> Floats:
        embedded, _ = snapshot.sample(PASSAGES)
        vectors, offsets = snapshot.vectors(np.unique(embedded))
        chosen = [
            np.unique(np.linspace(begin, end - 1, min(OF_PASSAGE, end - begin)).astype(np.int64))
            for begin, end in itertools.pairwise(offsets.tolist())
        ]
        return vectors[np.concatenate(chosen)]

    def _encoded(
        self, snapshot: Snapshot, embedded: np.ndarray, positions: np.ndarray, encoder: PositionalEncoder
    ) -> Floats:
        if not len(embedded):
            return np.zeros((0, self._pipeline.dim), np.float32)
        tokens = snapshot.tokens(embedded)
        lengths = np.diff(tokens.offsets)
        first = tokens.offsets[:-1] + np.maximum(positions - REACH, 0)
        last = tokens.offsets[:-1] + np.minimum(positions + REACH + 1, lengths)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(last - first)])
        wanted = np.repeat(first - offsets[:-1], last - first) + np.arange(offsets[-1])
        rows = None if tokens.rows is None else tokens.rows[wanted]
        units, norms = directions(self._table, TokenBatch(offsets, tokens.ids[wanted], rows))
        vectors = self._pipeline.encode_rows(units, norms, offsets, encoder)
        chosen: Floats = vectors[offsets[:-1] + np.minimum(positions, REACH)]
        return chosen

    def _reference(self, encoder: PositionalEncoder | None, name: str) -> Floats:
        if name not in self._references:
            texts = self._pipeline.reference_texts()
            tokens = self._pipeline.tokenize(texts) if texts else None
            if tokens is None:
                self._references[name] = np.zeros((0, self._pipeline.dim), np.float32)
            else:
                units, norms = split_rows(self._pipeline.rows(texts, tokens))
                self._references[name] = self._pipeline.encode_rows(units, norms, tokens.offsets, encoder)
        return self._references[name]
