"""Checks of ``vecsearch.protocols.Scorer``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

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
_CASES: tuple[tuple[int, tuple[int, ...]], ...] = (
    *((1, (1,)), (1, (2,)), (2, (1,)), (1, (1, 1)), (2, (2, 1))),
    *((3, (1, 5, 2)), (4, (30, 1, 256, 7))),
)

Floats = npt.NDArray[np.float32]
Offsets = npt.NDArray[np.int64]


def check_scorer(cls: type[Any], /, **config: Any) -> None:
    """Check a scorer class.

    Args:
        cls: the class.
        config: arguments for its constructor.

    Raises:
        ConformanceError: it breaks the contract.

    What is checked: name, version, configuration and files; types, shapes and finiteness of all three steps, for
    negative similarities and weights of 0 too; that a passage's score doesn't depend on the other passages, on
    earlier calls or on the thread; that a similarity which grows never lowers a score; that ``sensitivity`` bounds
    how far scores move: by at most sensitivity · ε when every similarity moves by at most ε.
    """
    scorer = build("scorer", cls, config)
    subject = f"scorer {cls.__qualname__}"
    check_methods(subject, scorer, ["reduce", "transform", "combine", "sensitivity"])
    generator = np.random.default_rng(0)
    for n_query, lengths in _CASES:
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        weights = generator.uniform(0.1, 16, n_query).astype(np.float32)
        for low, high in ((-1, 1), (-1, -0.1), (0, 0), (1, 1)):
            similarities = generator.uniform(low, high, (n_query, int(offsets[-1]))).astype(np.float32)
            given = (
                f"similarities of {n_query} query tokens in [{low}, {high}], passages of {list(lengths)} tokens, "
                f"weights {weights.tolist()}"
            )
            scores = _score(subject, scorer, similarities, offsets, weights, given)
            _score(subject, scorer, similarities, offsets, np.zeros_like(weights), f"{given}, but all weights 0")
            _check_independence(subject, scorer, similarities, offsets, weights, scores, given)
        for _ in range(8):
            similarities = generator.uniform(-1, 1, (n_query, int(offsets[-1]))).astype(np.float32)
            _check_movement(subject, scorer, similarities, offsets, weights, generator)
    cases = [
        (generator.uniform(-1, 1, (2, 6)).astype(np.float32), np.array(bounds), np.array([1, 2], np.float32))
        for bounds in ([0, 2, 6], [0, 1, 3, 6])
    ]
    check_in_threads(
        subject,
        "two batches",
        [lambda case=case: _plain_score(scorer, *case) for case in cases],  # type: ignore[misc]
        lambda one, other: np.array_equal(one, other),
    )


def _plain_score(scorer: Any, similarities: Floats, offsets: Offsets, weights: Floats) -> Floats:
    reduced = scorer.reduce(similarities, offsets)
    scores: Floats = scorer.combine(scorer.transform(reduced, np.diff(offsets)), weights)
    return scores


def _score(
    subject: str, scorer: Any, similarities: Floats, offsets: Offsets, weights: Floats, given: str
) -> npt.NDArray[np.float64]:
    """Return the scores, every step checked."""
    n_query, n_passages = len(similarities), len(offsets) - 1
    lengths = np.diff(offsets)
    before = [array.copy() for array in (similarities, offsets, weights, lengths)]
    with np.errstate(all="ignore"):  # what is not finite is reported by its place, not by a warning
        reduced = call(f"{subject}.reduce", given, scorer.reduce, similarities, offsets)
        check_array(f"{subject}.reduce", "the result", reduced, None, (n_query, n_passages), given)
        reduced_before = reduced.copy()
        transformed = call(f"{subject}.transform", given, scorer.transform, reduced, lengths)
        check_array(f"{subject}.transform", "the result", transformed, None, (n_query, n_passages), given)
        unchanged(f"{subject}.transform", "reduced", reduced_before, reduced, given)
        transformed_before = transformed.copy()
        scores = call(f"{subject}.combine", given, scorer.combine, transformed, weights)
        check_array(f"{subject}.combine", "the result", scores, None, (n_passages,), given)
        unchanged(f"{subject}.combine", "transformed", transformed_before, transformed, given)
    names = ("similarities", "offsets", "weights", "lengths")
    for what, was, now in zip(names, before, (similarities, offsets, weights, lengths), strict=True):
        unchanged(subject, what, was, now, given)
    return np.asarray(scores, np.float64)


def _check_independence(
    subject: str,
    scorer: Any,
    similarities: Floats,
    offsets: Offsets,
    weights: Floats,
    scores: Sequence[float] | npt.NDArray[np.float64],
    given: str,
) -> None:
    room = 1e-5 * float(np.abs(weights).sum())
    for number in range(len(offsets) - 1):
        part = similarities[:, offsets[number] : offsets[number + 1]].copy()
        alone = _score(subject, scorer, part, np.array([0, part.shape[1]], np.int64), weights, given)[0]
        if abs(alone - scores[number]) > room:
            raise ConformanceError(
                subject,
                "a passage's score never depends on the other passages that are scored with it",
                seen=f"{scores[number]} for passage {number}, and {alone} alone",
                given=f"{given}; similarities {shown(similarities)}",
                advice="reduce within offsets[p]:offsets[p + 1]; use nothing of the batch as a whole, such as its mean",
            )


def _check_movement(
    subject: str,
    scorer: Any,
    similarities: Floats,
    offsets: Offsets,
    weights: Floats,
    generator: np.random.Generator,
) -> None:
    score = _plain_score(scorer, similarities, offsets, weights)
    given = f"similarities {shown(similarities)}, offsets {offsets.tolist()}, weights {weights.tolist()}"
    bound = call(f"{subject}.sensitivity", given, scorer.sensitivity, weights)
    if not isinstance(bound, float | int | np.floating) or not np.isfinite(bound) or bound < 0:
        raise ConformanceError(
            f"{subject}.sensitivity",
            "it is one finite number ≥ 0",
            seen=shown(bound),
            given=given,
            advice="return float(…); for a weighted sum of maxima it is the sum of the absolute weights",
        )
    for largest in (1.0, 0.01):
        movement = generator.uniform(-largest, largest, similarities.shape).astype(np.float32)
        for moved, is_raised in ((np.abs(movement), True), (movement, False), (np.full_like(movement, largest), True)):
            now = np.clip(similarities + moved, -1, 1)
            change = np.asarray(_plain_score(scorer, now, offsets, weights), np.float64) - score
            room = 1e-5 * float(np.abs(weights).sum())
            if is_raised and change.min() < -room:
                raise ConformanceError(
                    subject,
                    "a similarity that grows never lowers a score",
                    seen=f"a score fell by {-change.min():.6g} when similarities grew to {shown(now)}",
                    given=given,
                    advice="use steps that rise with their input: maxima, clipped sums, weights ≥ 0",
                )
            if np.abs(change).max() > bound * largest + room:
                raise ConformanceError(
                    f"{subject}.sensitivity",
                    "when every similarity moves by at most ε, no score moves by more than sensitivity(weights) · ε",
                    seen=f"a score moved by {np.abs(change).max():.6g} with ε = {largest}, and the bound is "
                    f"{bound:.6g} · {largest}",
                    given=given,
                    advice="return the steepest slope: the sum of |w| times the largest slope of the other steps",
                )
