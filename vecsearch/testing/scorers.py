"""Checks of ``vecsearch.protocols.Scorer``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vecsearch.protocols import CollectionStatistics
from vecsearch.testing.contract import (
    ConformanceError,
    build,
    call,
    check_array,
    check_in_threads,
    check_methods,
    shown,
    unchanged,
)

__all__ = ["check_scorer"]

# Number of query tokens, and tokens of each passage; the smallest cases first. No passage is empty.
_SHAPES: tuple[tuple[int, tuple[int, ...]], ...] = (
    *((1, (1,)), (1, (2,)), (2, (1,)), (1, (1, 1)), (2, (2, 1))),
    *((3, (1, 5, 2)), (4, (30, 1, 256, 7))),
)
_RANGES = ((-1, 1), (-1, -0.1), (0, 0), (1, 1))

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Case:
    """What a scorer is given: passages, the query's weights, and the collection."""

    similarities: Floats
    offsets: Offsets
    weights: Floats
    statistics: CollectionStatistics

    def __str__(self) -> str:
        collection = self.statistics
        return (
            f"similarities {shown(self.similarities)}, offsets {self.offsets.tolist()}, "
            f"weights {self.weights.tolist()}, mean_length {collection.mean_length:g}, "
            f"max_length {collection.max_length}, background {shown(collection.background)}"
        )


def check_scorer(cls: type[Any], /, **config: Any) -> None:
    """Check a scorer class.

    Args:
        cls: the class.
        config: arguments for its constructor.

    Raises:
        ConformanceError: it breaks the contract.

    What is checked: name, version, configuration and files; that ``needs_background`` and ``takes_maximum`` are bools
    where they are there, and that ``reduce`` is a maximum where the latter says so; types, shapes and finiteness of all
    three steps, for negative similarities and weights of 0 too; with backgrounds of many kinds where it needs one, the
    empty one included, and with none where it does not; that a passage's score
    doesn't depend on the other passages, on the order of the background, on earlier calls or on the thread; that equal
    passages have equal scores, to the last bit; that a
    similarity which grows never lowers a score; that ``sensitivity`` bounds how far scores move: by at most
    sensitivity · ε when every similarity moves by at most ε.
    """
    scorer = build("scorer", cls, config)
    subject = f"scorer {cls.__qualname__}"
    check_methods(subject, scorer, ["reduce", "transform", "combine", "sensitivity"])
    needs_background = _flag(subject, scorer, "needs_background", "the scorer reads statistics.background")
    takes_maximum = _flag(subject, scorer, "takes_maximum", "reduce() is a maximum")
    generator = np.random.default_rng(0)
    for n_query, lengths in _SHAPES:
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        weights = generator.uniform(0.1, 16, n_query).astype(np.float32)
        for statistics in _collections(generator, n_query, lengths, needs_background):
            for low, high in _RANGES:
                similarities = generator.uniform(low, high, (n_query, int(offsets[-1]))).astype(np.float32)
                case = _Case(similarities, offsets, weights, statistics)
                scores = _score(subject, scorer, case)
                _score(subject, scorer, replace(case, weights=np.zeros_like(weights)), ": all weights 0")
                _check_independence(subject, scorer, case, scores)
                if len(lengths) > 1:
                    _check_ties(subject, scorer, case)
                if takes_maximum:
                    _check_maximum(subject, scorer, case)
            for _ in range(4):
                similarities = generator.uniform(-1, 1, (n_query, int(offsets[-1]))).astype(np.float32)
                _check_movement(subject, scorer, _Case(similarities, offsets, weights, statistics), generator)
    cases = []
    for bounds in ([0, 2, 6], [0, 1, 3, 6]):
        *_, statistics = _collections(generator, 2, tuple(np.diff(bounds).tolist()), needs_background)
        similarities = generator.uniform(-1, 1, (2, 6)).astype(np.float32)
        cases.append(_Case(similarities, np.array(bounds), np.array([1, 2], np.float32), statistics))
    check_in_threads(
        subject,
        "two batches",
        [lambda case=case: _plain_score(scorer, case) for case in cases],  # type: ignore[misc]
        lambda one, other: np.array_equal(one, other),
    )


def _flag(subject: str, scorer: Any, name: str, meaning: str) -> bool:
    flag = call(f"{subject}.{name}", "()", getattr, scorer, name, False)
    if not isinstance(flag, bool):
        raise ConformanceError(
            f"{subject}.{name}",
            f"it is a bool, where it is there: whether {meaning}",
            seen=shown(flag),
            given="()",
            advice=f"write `{name}: ClassVar[bool] = True` in the class, or leave it out",
        )
    return flag


def _check_maximum(subject: str, scorer: Any, case: _Case) -> None:
    reduced = scorer.reduce(case.similarities, case.offsets)
    maxima = np.maximum.reduceat(case.similarities, case.offsets[:-1], axis=1)
    if not np.array_equal(reduced, maxima):
        raise ConformanceError(
            f"{subject}.takes_maximum",
            "it is True only where reduce() returns the largest similarity of each passage",
            seen=f"{shown(reduced)}, and the largest are {shown(maxima)}",
            given=str(case),
            advice="leave takes_maximum out",
        )


def _collections(
    generator: np.random.Generator, n_query: int, lengths: tuple[int, ...], needs_background: bool
) -> Iterator[CollectionStatistics]:
    """Yield what the passages may be part of; the last is the most usual."""
    longest = max(lengths)
    empty = np.zeros((n_query, 0), np.float32)
    yield CollectionStatistics(len(lengths), float(np.mean(lengths)), longest, empty)
    yield CollectionStatistics(1_000, 100.0, 4 * longest, empty)
    if needs_background:
        for background in (
            generator.uniform(-1, 1, (n_query, 1)),
            np.full((n_query, 3), -1),
            np.full((n_query, 3), 1),
            generator.normal(0.05, 0.15, (n_query, 60)).clip(-1, 1),
        ):
            yield CollectionStatistics(len(lengths), 1.0, longest, background.astype(np.float32))


def _plain_score(scorer: Any, case: _Case) -> Floats:
    reduced = scorer.reduce(case.similarities, case.offsets)
    transformed = scorer.transform(reduced, np.diff(case.offsets), case.statistics)
    scores: Floats = scorer.combine(transformed, case.weights)
    return scores


def _score(subject: str, scorer: Any, case: _Case, remark: str = "") -> Doubles:
    """Return the scores, every step checked."""
    n_query, n_passages = len(case.similarities), len(case.offsets) - 1
    lengths = np.diff(case.offsets)
    given = f"{case}{remark}"
    inputs: dict[str, npt.NDArray[Any]] = {
        "similarities": case.similarities,
        "offsets": case.offsets,
        "weights": case.weights,
        "lengths": lengths,
        "statistics.background": case.statistics.background,
    }
    before = {what: array.copy() for what, array in inputs.items()}
    with np.errstate(all="ignore"):  # what is not finite is reported by its place, not by a warning
        reduced = call(f"{subject}.reduce", given, scorer.reduce, case.similarities, case.offsets)
        check_array(
            f"{subject}.reduce",
            "the result",
            reduced,
            None,
            (n_query, n_passages),
            given,
            on_shape="return a row for each query token and a column for each passage, as "
            "np.maximum.reduceat(similarities, offsets[:-1], axis=1) does",
        )
        reduced_before = reduced.copy()
        transformed = call(f"{subject}.transform", given, scorer.transform, reduced, lengths, case.statistics)
        has_background = case.statistics.background.shape[1] > 0
        check_array(
            f"{subject}.transform",
            "the result",
            transformed,
            None,
            (n_query, n_passages),
            given,
            on_shape="return an array of the shape of reduced",
            on_nan="guard divisions and logarithms against 0"
            + (
                ""
                if has_background
                else ", and means of nothing: statistics.background has no columns unless the class says "
                "`needs_background: ClassVar[bool] = True`, and may have none even then"
            ),
        )
        unchanged(f"{subject}.transform", "reduced", reduced_before, reduced, given)
        transformed_before = transformed.copy()
        scores = call(f"{subject}.combine", given, scorer.combine, transformed, case.weights)
        check_array(
            f"{subject}.combine",
            "the result",
            scores,
            None,
            (n_passages,),
            given,
            on_shape="return one score for each passage: sum over the query tokens, axis 0",
        )
        unchanged(f"{subject}.combine", "transformed", transformed_before, transformed, given)
    for what, array in inputs.items():
        unchanged(subject, what, before[what], array, given)
    return np.asarray(scores, np.float64)


def _check_independence(subject: str, scorer: Any, case: _Case, scores: Doubles) -> None:
    room = 1e-5 * float(np.abs(case.weights).sum())
    for number, (begin, end) in enumerate(zip(case.offsets[:-1], case.offsets[1:], strict=True)):
        part = case.similarities[:, begin:end].copy()
        single = replace(case, similarities=part, offsets=np.array([0, part.shape[1]], np.int64))
        alone = _score(subject, scorer, single)[0]
        if abs(alone - scores[number]) > room:
            raise ConformanceError(
                subject,
                "a passage's score never depends on the other passages that are scored with it",
                seen=f"{scores[number]} for passage {number}, and {alone} alone",
                given=str(case),
                advice="reduce within offsets[p]:offsets[p + 1]; use nothing of the batch as a whole, such as its mean",
            )
    backwards = replace(case.statistics, background=case.statistics.background[:, ::-1].copy())
    turned = _score(subject, scorer, replace(case, statistics=backwards))
    if np.abs(turned - scores).max() > room:
        raise ConformanceError(
            subject,
            "the background is a sample in no order: a score never depends on the order within a row",
            seen=f"{shown(scores)}, and {shown(turned)} with the columns of the background turned round",
            given=str(case),
            advice="use np.partition or np.sort along axis 1 before reading order statistics",
        )


def _check_ties(subject: str, scorer: Any, case: _Case) -> None:
    """Score the last passage among others, at many places: vector instructions sum a few columns at a time."""
    begin, end = case.offsets[-2:].tolist()
    one, others = case.similarities[:, begin:end], case.similarities[:, :begin]
    blocks = [one, others, one, one, others, *[one] * 7, others, *[one] * 5]
    lengths = np.diff(case.offsets)
    counts = [lengths[-1:] if block is one else lengths[:-1] for block in blocks]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    is_one = np.concatenate([np.full(len(count), block is one) for block, count in zip(blocks, counts, strict=True)])
    repeated = replace(case, similarities=np.ascontiguousarray(np.concatenate(blocks, axis=1)), offsets=offsets)
    scores = _score(subject, scorer, repeated)[is_one]
    if not (scores == scores[0]).all():
        raise ConformanceError(
            f"{subject}.combine",
            "equal passages have equal scores to the last bit, wherever they stand",
            seen=f"scores of one passage from {scores.min()!r} to {scores.max()!r}",
            given=f"{case}, its last passage repeated",
            advice="sum over the query tokens in one fixed order, in float64: `sum(w * row for w, row in zip(weights, "
            "transformed))`; a matrix product adds in another order at the edge of a block",
        )


def _check_movement(subject: str, scorer: Any, case: _Case, generator: np.random.Generator) -> None:
    score = _plain_score(scorer, case)
    bound = call(f"{subject}.sensitivity", str(case), scorer.sensitivity, case.weights, case.statistics)
    if not isinstance(bound, float | int | np.floating) or not np.isfinite(bound) or bound < 0:
        raise ConformanceError(
            f"{subject}.sensitivity",
            "it is one finite number ≥ 0",
            seen=shown(bound),
            given=str(case),
            advice="return float(…); for a weighted sum of maxima it is the sum of the absolute weights",
        )
    room = 1e-5 * float(np.abs(case.weights).sum())
    for largest in (1.0, 0.01):
        movement = generator.uniform(-largest, largest, case.similarities.shape).astype(np.float32)
        for moved, is_raised in ((np.abs(movement), True), (movement, False), (np.full_like(movement, largest), True)):
            now = np.clip(case.similarities + moved, -1, 1)
            change = np.asarray(_plain_score(scorer, replace(case, similarities=now)), np.float64) - score
            if is_raised and change.min() < -room:
                raise ConformanceError(
                    subject,
                    "a similarity that grows never lowers a score",
                    seen=f"a score fell by {-change.min():.6g} when similarities grew to {shown(now)}",
                    given=str(case),
                    advice="use steps that rise with their input: maxima, clipped sums, weights ≥ 0",
                )
            if np.abs(change).max() > bound * largest + room:
                raise ConformanceError(
                    f"{subject}.sensitivity",
                    "when every similarity moves by at most ε, no score moves by more than sensitivity · ε",
                    seen=f"a score moved by {np.abs(change).max():.6g} with ε = {largest}, and the bound is "
                    f"{bound:.6g} · {largest}",
                    given=str(case),
                    advice="return the steepest slope: the sum of |w| times the largest slope of the other steps, "
                    "for passages of up to statistics.max_length tokens",
                )
