"""Rescores the best hits of a search with the token vectors of a contextual model, computed when they are asked for.

So a large collection need not be encoded by the model: the index finds, and the model looks again at the best N. What
it computed is kept in the user's cache folder (``embedding_cache``), and a second search that meets the same passages
takes a few milliseconds.

The score of hit i, which is first scored s_i, becomes s_i + ω · (σ_s / σ_c) · (c_i − mean c) + a constant. c is the
late-interaction score by the model's vectors, σ the standard deviations over the N. The constant, the same for all,
puts the least of the N above the first that was not rescored: from hit N + 1 on, everything stays as it was.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vecsearch.embedding_cache import EmbeddingCache, default_cache
from vecsearch.errors import UsageError
from vecsearch.explaining import Rescored
from vecsearch.hits import Ranked
from vecsearch.pipeline import Pipeline, build_encoder, split_rows
from vecsearch.precision import Precision, row_bytes
from vecsearch.preparation import embedded_texts
from vecsearch.protocols import ContextualEmbedder, PositionalEncoder
from vecsearch.queries import Query
from vecsearch.request import ORDERS, Request
from vecsearch.types import Tokens

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.protocol import Snapshot
    from vecsearch.types import Floats, Spans

    Doubles = npt.NDArray[np.float64]
    _Best: TypeAlias = tuple[Floats, Spans | None]
    """Of a passage: each token of the query's largest similarity, and the characters where that is."""

__all__ = ["WEIGHT", "RerankReport", "Reranker"]

WEIGHT = 2.0
"""ω: standard deviations of the first score that one of the model's score is worth."""
TOKENS_AT_ONCE = 1_024
"""About as many tokens are embedded between two looks at the clock, where time is limited."""
MOST_TOKENS = 1 << 14
"""About as many are compared at a time: their vectors take 25 MB, several times."""
PRECISION: Precision = "int8"
"""Of the vectors that the cache keeps."""
_SMALLEST_SIGMA = 1e-6
_LEAST_SPREAD = 1e-4
"""Share of the largest score below which differences may be rounding."""
_GAP = 1e-6
"""By so much, as a share of its score, the last of the rescored hits stands above what comes after."""


@dataclass(frozen=True)
class RerankReport:
    """What was done for one query.

    Attributes:
        n: hits that were to be rescored.
        n_rescored: the best so many of them were.
        seconds: that it took.
    """

    n: int
    n_rescored: int
    seconds: float

    @property
    def is_cut(self) -> bool:
        """Whether the budget was over before all were rescored."""
        return self.n_rescored < self.n

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes by name, JSON-ready."""
        return {"n": self.n, "n_rescored": self.n_rescored, "seconds": self.seconds, "is_cut": self.is_cut}


@dataclass(frozen=True)
class _Asked:
    """A query as the model sees it: the tokens that weigh something.

    Attributes:
        query: embedded by the model; used: bool ``(n_tokens,)``.
        vectors: float32 ``(n_used, dim)``; weights: float32 ``(n_used,)`` > 0.
        encoder: that passages are encoded with, as the query was.
    """

    query: Query
    used: npt.NDArray[np.bool_]
    vectors: Floats
    weights: Floats
    encoder: PositionalEncoder


class Reranker:
    """Rescores hits with one contextual model. Threads may share it.

    Args:
        model: an embedder by name or ``"name:key=value"`` (see ``parse_spec``), or a pipeline with an encoder of its
            own.
        weight: ω ≥ 0; see the module.
        budget: seconds for each query: the best hits are rescored, as many as there is time for. None for no limit.
            What is found then depends on the machine. Starting the model, once, is not counted.
        cache: of vectors; by default that in the user's cache folder.
        told: called after each query.

    Raises:
        UsageError: the embedder is not contextual, or a number is not what it must be.
        PluginNotFoundError: there is no such embedder.
        PluginError: what it needs is not installed; says how to get it.
    """

    def __init__(
        self,
        model: str | Pipeline,
        *,
        weight: float = WEIGHT,
        budget: float | None = None,
        cache: EmbeddingCache | None = None,
        told: Callable[[RerankReport], None] | None = None,
    ) -> None:
        _check_number("weight", weight)
        if budget is not None:
            _check_number("budget", budget)
        pipeline = model if isinstance(model, Pipeline) else Pipeline.from_names(embedder=model)
        if not isinstance(pipeline.embedder, ContextualEmbedder):
            name = "given vectors" if pipeline.embedder is None else f"the embedder {pipeline.embedder.name!r}"
            raise UsageError(
                f"reranking takes a model that gives a token another vector in another text, and {name} does not; "
                f"take a contextual one, such as 'minilm'"
            )
        self.pipeline = pipeline
        self.weight = float(weight)
        self.budget = budget
        self._told = told
        self._cache: EmbeddingCache | None = default_cache() if cache is None else cache
        self._encoders: dict[str, PositionalEncoder] = {"default": pipeline.encoder}
        self._seconds_a_token = 0.0

    def rescored(self, snapshot: Snapshot, query: Query, ranked: Sequence[Ranked], request: Request) -> list[Ranked]:
        """Return hits, the best of them rescored and in their new order.

        Args:
            snapshot: that they were found in.
            query: of the index; its text is embedded by the model.
            ranked: best first: the ``request.n_rerank`` best or more, or all there are.
            request: what was asked for.

        Raises:
            SearchTimeoutError: the time of the request is over.
            PluginError, LoadError: the model failed.
        """
        began = time.monotonic()
        wanted = ranked[: request.n_rerank]
        asked = self._asked(snapshot, query, request)
        stored = [snapshot.passage(one.place.doc_id, one.place.ordinal) for one in wanted]
        texts = embedded_texts(self.pipeline, [(one.title, one.text, one.ordinal) for one in stored])
        known: dict[str, _Best] = {}
        if asked is not None and texts:
            is_limited = self.budget is not None or request.deadline is not None
            # each text once, so that equal ones tie whatever rounding does
            different = list(dict.fromkeys(text for text, _ in texts))
            for some in self._compared(asked, different, began if is_limited else None):
                known.update(some)
                request.check_time("hits were rescored")
        found: list[Rescored] = []
        for text, shift in texts:
            if asked is None or text not in known:
                break
            best, partners = known[text]
            places = None if partners is None else partners - np.int32(shift)
            found.append(Rescored(asked.query, asked.used, asked.weights, best, places))
        if self._told is not None:
            self._told(RerankReport(0 if asked is None else len(wanted), len(found), time.monotonic() - began))
        return [*in_order(wanted[: len(found)], found, self.weight), *ranked[len(found) :]]

    def _asked(self, snapshot: Snapshot, query: Query, request: Request) -> _Asked | None:
        """Return the query as the model sees it; None where none of its tokens weighs anything."""
        assert query.text is not None
        encoder = self._encoder(request.order)
        own = Query.of_text(self.pipeline, query.text)
        weights = own.norms * _idf(own, query, snapshot) if own.uses_idf else own.norms
        used = weights > 0
        if not used.any():
            return None
        offsets = np.array([0, len(own.units)], np.int64)
        vectors = self.pipeline.encode_rows(own.units, own.norms, offsets, encoder)
        return _Asked(own, used, np.ascontiguousarray(vectors[used]), weights[used], encoder)

    def _encoder(self, order: str) -> PositionalEncoder:
        if order not in self._encoders:
            self._encoders[order] = build_encoder(ORDERS[order])
        return self._encoders[order]

    def _compared(self, asked: _Asked, texts: Sequence[str], budget_from: float | None) -> Iterator[dict[str, _Best]]:
        """Yield what different texts have for the query, in their order, as long as there is time.

        Args:
            asked: the query.
            texts: no two alike.
            budget_from: when the budget began to run; None where time is not looked at.
        """
        tokens = self.pipeline.tokenize(texts)
        kept = np.ones(len(texts), bool) if budget_from is None else self._kept(texts, tokens)
        n_missing = np.where(kept, 0, np.diff(tokens.offsets))
        for first, last in _parts(n_missing, np.diff(tokens.offsets)):
            n_new = int(n_missing[first:last].sum())
            began = time.monotonic()
            if self.budget is not None and budget_from is not None:
                spent = began - budget_from
                if spent + n_new * self._seconds_a_token > self.budget:
                    return
            yield self._best(asked, texts[first:last], _part_of(tokens, first, last))
            if n_new:
                self._seconds_a_token = (time.monotonic() - began) / n_new

    def _kept(self, texts: Sequence[str], tokens: Tokens) -> npt.NDArray[np.bool_]:
        """Return which texts need not be embedded."""
        if self._cache is None:
            return np.zeros(len(texts), bool)
        keys = self._cache.keys(self.pipeline, texts, PRECISION)
        sizes = np.diff(tokens.offsets) * row_bytes(PRECISION, self.pipeline.dim)
        found = self._cache.get(keys, sizes.tolist())
        return np.array([key in found for key in keys], bool)

    def _best(self, asked: _Asked, texts: Sequence[str], tokens: Tokens) -> dict[str, _Best]:
        """Return what texts have for the query."""
        if self._cache is None:
            rows = self.pipeline.rows(texts, tokens)
        else:
            rows = self._cache.rows(self.pipeline, texts, tokens, PRECISION)
        units, norms = split_rows(rows)
        vectors = self.pipeline.encode_rows(units, norms, tokens.offsets, asked.encoder)
        similar = vectors @ asked.vectors.T
        exactly = asked.vectors.astype(np.float64)
        found: dict[str, _Best] = {}
        for text, (begin, end) in zip(texts, itertools.pairwise(tokens.offsets.tolist()), strict=True):
            if begin == end:  # the model sees nothing in it
                found[text] = np.zeros(len(exactly), np.float32), None
                continue
            partners = begin + similar[begin:end].argmax(axis=0)
            best = np.einsum("ij,ij->i", exactly, vectors[partners], dtype=np.float64)
            found[text] = best.astype(np.float32), tokens.spans[partners]
        return found


def in_order(ranked: Sequence[Ranked], found: Sequence[Rescored], weight: float) -> list[Ranked]:
    """Return hits with their new scores, best first; equal scores by document and place.

    Args:
        ranked: first scored, best first.
        found: what the model says of each.
        weight: ω; see the module.
    """
    if not ranked:
        return []
    first = np.array([one.score for one in ranked], np.float64)
    second = np.array([one.score for one in found], np.float64)
    slope = weight * max(float(first.std()), _SMALLEST_SIGMA) / _spread(second)
    moved = first + slope * (second - second.mean())
    constant = first.min() - moved.min() + _GAP * max(1.0, abs(float(first.min()))) - slope * second.mean()
    shares = slope * second + constant
    changed = [
        replace(
            one,
            score=one.score + share,
            signals={**one.signals, "rerank": rescored.score},
            shares={**one.shares, "rerank": share},
            slopes={**one.slopes, "rerank": slope},
            rescored=rescored,
        )
        for one, rescored, share in zip(ranked, found, shares.tolist(), strict=True)
    ]
    return sorted(changed, key=lambda one: (-one.score, one.place.doc_id, one.place.ordinal))


def _spread(scores: Doubles) -> float:
    """Return the standard deviation of scores, or more where it may be rounding."""
    return max(float(scores.std()), _LEAST_SPREAD * float(np.abs(scores).max()), _SMALLEST_SIGMA)


def _idf(own: Query, query: Query, snapshot: Snapshot) -> Floats:
    """Return how rare each token of the model is in the index: as the rarest of the index's tokens that it overlaps.

    The model cuts the text in its own way, and no token of its has been counted.
    """
    assert own.spans is not None
    assert query.spans is not None
    idf = query.idf(snapshot)
    overlaps = (own.spans[:, None, 0] < query.spans[None, :, 1]) & (query.spans[None, :, 0] < own.spans[:, None, 1])
    rarest: Floats = np.where(overlaps, idf[None, :], 0).max(axis=1, initial=0)
    # what the index takes for no token tells as little as the commonest one
    return np.where(overlaps.any(axis=1), rarest, idf.min(initial=1))


def _parts(n_missing: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield runs of passages (first, last + 1), one passage at least.

    Args:
        n_missing: tokens of each passage that are to be embedded, of which a run has about ``TOKENS_AT_ONCE``.
        lengths: tokens of each, of which a run has about ``MOST_TOKENS``.
    """
    first, n_new, n_tokens = 0, 0, 0
    for number, (new, length) in enumerate(zip(n_missing.tolist(), lengths.tolist(), strict=True)):
        if number > first and (n_new + new > TOKENS_AT_ONCE or n_tokens + length > MOST_TOKENS):
            yield first, number
            first, n_new, n_tokens = number, 0, 0
        n_new += new
        n_tokens += length
    if first < len(n_missing):
        yield first, len(n_missing)


def _part_of(tokens: Tokens, first: int, last: int) -> Tokens:
    """Return the tokens of a run of texts."""
    begin, end = tokens.offsets[[first, last]].tolist()
    offsets = tokens.offsets[first : last + 1] - begin
    ids = None if tokens.ids is None else tokens.ids[begin:end]
    entries = None if tokens.entries is None else tokens.entries[begin:end]
    return Tokens(offsets, tokens.spans[begin:end], ids, entries)


def _check_number(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < math.inf:
        raise UsageError(f"{name} of a reranker is {number!r:.80}; it must be a number of 0 or more")
