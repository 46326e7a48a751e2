"""What is asked of a search, beside the query: checked once, where it comes in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from vecsearch.errors import FilterError, SearchTimeoutError, UsageError
from vecsearch.fusion import POOL, WEIGHTS, FusionName
from vecsearch.protocols import Scorer
from vecsearch.units import Grouping

if TYPE_CHECKING:
    from vecsearch.filters import Filter
    from vecsearch.reranking import Reranker

__all__ = ["ORDERS", "Mode", "Order", "Request", "checked_request"]

Mode: TypeAlias = Literal["hybrid", "vector", "keyword"]
Order: TypeAlias = Literal["none", "default", "strict"]

ORDERS: Mapping[str, str] = {"none": "none", "strict": "relative:order=0.5"}
"""The positional encoder that each order other than the default compares by."""
_LARGEST_NUMBER = 10**300
"""Integers beyond, which no float can hold, are no seconds and no score."""


@dataclass(frozen=True)
class Request:
    """What is asked of a search, beside the query. See ``Index.search``."""

    k: int = 10
    offset: int = 0
    mode: Mode = "hybrid"
    scorer: str | Scorer | None = None
    order: Order = "default"
    fusion: FusionName = "zscore"
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    by: Grouping = "passage"
    where: Filter | None = None
    min_score: float | None = None
    explain: bool = False
    matches: bool = True
    without: int | None = None
    """Number of a document that is left out: the one that others are to be like."""
    deadline: float | None = None
    exact: bool = False
    rerank: str | Reranker | None = None
    n_rerank: int = 20

    @property
    def n_wanted(self) -> int:
        """How many of the best there must be for the page to be complete."""
        n = self.offset + self.k
        return n if self.rerank is None else max(n, self.n_rerank)

    def check_time(self, stage: str) -> None:
        """Give up where the time that was allowed is over; called after each stage.

        Raises:
            SearchTimeoutError: it is.
        """
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise SearchTimeoutError(f"the search ran out of time after {stage}; allow more, or ask for fewer hits")


def checked_request(
    *,
    k: int,
    offset: int,
    mode: Mode,
    scorer: str | Scorer | None,
    order: Order,
    fusion: FusionName,
    weights: Mapping[str, float] | None,
    by: Grouping,
    where: Filter | str | None,
    exact: bool = False,
    min_score: float | None,
    explain: bool,
    matches: bool,
    timeout: float | None,
    rerank: str | Reranker | None = None,
    n_rerank: int = 20,
) -> Request:
    """Return what is asked of a search, checked. See ``Index.search``.

    Raises:
        UsageError: an argument is not what it must be, or the page reaches beyond the pool of a hybrid search.
        FilterError: ``where`` cannot be read.
    """
    for name, number, least in (("k", k, 1), ("offset", offset, 0), ("n_rerank", n_rerank, 1)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise UsageError(f"{name} is {number!r}; it must be a whole number of {least} or more", **{name: number})
    for name, value, choices in (
        ("mode", mode, ("hybrid", "vector", "keyword")),
        ("order", order, ("default", *ORDERS)),
        ("fusion", fusion, ("zscore", "rrf")),
        ("by", by, ("passage", "document")),
    ):
        if value not in choices:
            raise UsageError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, choices))}")
    for name, seconds in (("timeout", timeout), ("min_score", min_score)):
        if seconds is not None and (
            isinstance(seconds, bool)
            or not isinstance(seconds, int | float)
            or seconds != seconds
            or (isinstance(seconds, int) and abs(seconds) > _LARGEST_NUMBER)
        ):
            raise UsageError(f"{name} is {seconds!r}; it must be a number, or None")
    if mode == "keyword":
        for name, is_given in (("order", order != "default"), ("min_score", min_score is not None)):
            if is_given:
                raise UsageError(f"{name} is about vectors; a search with mode='keyword' has none")
    if mode == "hybrid" and offset + k > POOL:
        raise UsageError(
            f"hits {offset + 1:,} to {offset + k:,} are asked for; a hybrid search ranks the best {POOL:,} of each "
            f"signal: ask for hits up to {POOL:,}, or search with mode='vector', which ranks everything",
            k=k,
            offset=offset,
        )
    if rerank is not None and n_rerank > POOL:
        raise UsageError(f"n_rerank is {n_rerank:,}; at most {POOL:,} hits are rescored", n_rerank=n_rerank)
    if isinstance(where, str):
        from vecsearch.filter_language import parse_filter

        where = parse_filter(where)
    if where is not None:
        from vecsearch.filters import Filter

        if not isinstance(where, Filter):
            raise FilterError(f"where is of type {type(where).__name__}; it must be a filter, or its text")
    return Request(
        k=k,
        offset=offset,
        mode=mode,
        scorer=scorer,
        order=order,
        fusion=fusion,
        weights=_checked_weights(weights),
        by=by,
        where=where,
        min_score=min_score,
        explain=explain,
        matches=matches,
        deadline=None if timeout is None else time.monotonic() + timeout,
        exact=exact,
        rerank=rerank,
        n_rerank=n_rerank,
    )


def _checked_weights(weights: Mapping[str, float] | None) -> Mapping[str, float]:
    if weights is None:
        return WEIGHTS
    if not isinstance(weights, Mapping):
        raise UsageError(f"weights are {weights!r:.80}; give a number of 0 or more for each of {', '.join(WEIGHTS)}")
    if set(weights) != set(WEIGHTS) or not all(
        isinstance(weight, int | float) and 0 <= weight < float("inf") for weight in weights.values()
    ):
        raise UsageError(f"weights are {dict(weights)!r}; give a number of 0 or more for each of {', '.join(WEIGHTS)}")
    return weights
