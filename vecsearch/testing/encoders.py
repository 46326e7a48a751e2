"""Checks of ``PositionalEncoder``, ``AligningEncoder`` and ``ComparingEncoder`` of ``vecsearch.protocols``."""

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

__all__ = ["check_encoder"]

# Tokens of each passage of a batch, the smallest batches first.
_BATCHES = ((), (0,), (1,), (2,), (1, 1), (1, 0, 2), (0, 2, 1, 0), (3, 4), (5, 1, 40, 0, 7), (300, 2))

Floats = npt.NDArray[np.float32]
Offsets = npt.NDArray[np.int64]
Batch = tuple[Floats, Floats, Offsets]


def check_encoder(cls: type[Any], /, *, dims: Sequence[int] = (8, 64), **config: Any) -> None:
    """Check a positional encoder class.

    Args:
        cls: the class.
        dims: lengths of vector to try; give the one that fits where the configuration fixes it.
        config: arguments for its constructor.

    Raises:
        ConformanceError: it breaks the contract.

    What is checked: name, version, configuration and files; types, shapes, unit length (or zero) of what ``encode``
    returns, for no passage, empty passages, one token, tokens without meaning, weights of 0, long passages; that a
    passage's vectors don't depend on the other passages, on earlier calls or on the thread; that inputs stay as they
    were. For an encoder that aligns, ``align``, ``similarities`` and ``depth`` too, and ``encode_compared`` where it
    has that.
    """
    encoder = build("encoder", cls, config)
    subject = f"encoder {cls.__qualname__}"
    is_aligning = hasattr(encoder, "align") or hasattr(encoder, "depth")
    check_methods(subject, encoder, ["encode", "align", "similarities", "depth"] if is_aligning else ["encode"])
    if is_aligning and (not isinstance(encoder.depth, int) or encoder.depth < 1):
        raise ConformanceError(
            f"{subject}.depth",
            "it is an int ≥ 1: how many candidates are aligned",
            seen=shown(encoder.depth),
            given="()",
            advice="return a number such as 100",
        )
    where = f"{subject}.encode"
    for dim in dims:
        generator = np.random.default_rng(0)
        for lengths in _BATCHES:
            for kind in ("plain", "zero rows", "zero weights", "all zero"):
                batch = _batch(generator, lengths, dim, kind)
                given = f"{kind} vectors of dim {dim} in passages of {shown(list(lengths))} tokens"
                encoded = _encode(where, encoder, batch, given)
                _check_independence(where, encoder, batch, encoded, given)
        one, other = (_batch(generator, (5, 3), dim, "plain") for _ in range(2))
        check_in_threads(
            where,
            f"vectors of dim {dim} in passages of [5, 3] tokens",
            [lambda batch=batch: encoder.encode(*batch) for batch in (one, other)],  # type: ignore[misc]
            lambda first, second: np.allclose(first, second, rtol=0, atol=1e-5),
        )
        if is_aligning:
            _check_align(f"{subject}.align", encoder, generator, dim)
        if hasattr(encoder, "encode_compared"):
            _check_compared(f"{subject}.encode_compared", encoder, generator, dim)


def _batch(generator: np.random.Generator, lengths: Sequence[int], dim: int, kind: str) -> Batch:
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    units = generator.standard_normal((int(offsets[-1]), dim)).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    weights = generator.uniform(0.5, 16, len(units)).astype(np.float32)
    if kind == "zero rows":
        units[::2] = 0
        weights[::2] = 0
    elif kind == "all zero":
        units[:] = 0
    if kind in ("zero weights", "all zero"):
        weights[:] = 0
    return units, weights, offsets


def _encode(where: str, encoder: Any, batch: Batch, given: str) -> Floats:
    before = [array.copy() for array in batch]
    with np.errstate(all="ignore"):  # what is not finite is reported by its place, not by a warning
        encoded: Floats = call(where, given, encoder.encode, *batch)
    for what, was, now in zip(("units", "weights", "offsets"), before, batch, strict=True):
        unchanged(where, what, was, now, given)
    check_array(where, "the result", encoded, np.float32, batch[0].shape, given)
    norms = np.linalg.norm(encoded, axis=1)
    wrong = (np.abs(norms - 1) > 1e-4) & (norms > 1e-6)
    if wrong.any():
        raise ConformanceError(
            where,
            "rows of the result are of unit length, or zero",
            seen=f"row {int(np.argmax(wrong))} has length {norms[wrong][0]:.6g}",
            given=given,
            advice="divide each row by its norm at the end, and leave rows of norm 0 as they are",
        )
    return encoded


def _check_independence(where: str, encoder: Any, batch: Batch, encoded: Floats, given: str) -> None:
    units, weights, offsets = batch
    for number in range(len(offsets) - 1):
        a, b = int(offsets[number]), int(offsets[number + 1])
        alone = _encode(where, encoder, (units[a:b], weights[a:b], np.array([0, b - a], np.int64)), given)
        if b > a and np.abs(alone - encoded[a:b]).max() > 1e-5:
            row = int(np.argmax(np.abs(alone - encoded[a:b]).max(axis=1)))
            if len(offsets) == 2:
                contract = "the same passage always gives the same vectors"
                advice = "keep nothing between calls that changes a result"
            else:
                contract = "a passage's vectors never depend on the other passages of the batch"
                advice = "stop at the passage's edges: offsets[p]:offsets[p + 1]; count positions from 0 in each"
            raise ConformanceError(
                where,
                contract,
                seen=f"token {row} of passage {number} is {shown(encoded[a + row])}, and alone {shown(alone[row])}",
                given=given,
                advice=advice,
            )


def _check_compared(where: str, encoder: Any, generator: np.random.Generator, dim: int) -> None:
    for lengths in ((1,), (3, 1, 40)):
        rows, weights, offsets = _batch(generator, lengths, dim, "zero rows")
        places = generator.permutation(len(rows)).astype(np.int32)
        query, _, _ = _batch(generator, (5,), dim, "plain")
        given = f"passages of {shown(list(lengths))} tokens and a query of 5, dim {dim}"
        before = [array.copy() for array in (rows, places, weights, offsets, query)]
        found = call(where, given, encoder.encode_compared, rows, places, weights, offsets, query)
        names = ("rows", "places", "weights", "offsets", "query")
        for what, was, now in zip(names, before, (rows, places, weights, offsets, query), strict=True):
            unchanged(where, what, was, now, given)
        if found is None:
            continue
        if not isinstance(found, tuple) or len(found) != 2:
            raise ConformanceError(
                where,
                "it returns vectors and maxima, or None",
                seen=shown(found),
                given=given,
                advice="return a tuple of two arrays",
            )
        vectors, maxima = found
        check_array(where, "the vectors", vectors, np.float32, rows.shape, given)
        check_array(where, "the maxima", maxima, np.float32, (len(query), len(lengths)), given)
        for what, seen, wanted in (
            ("the vectors are those of encode()", vectors, encoder.encode(rows[places], weights, offsets)),
            (
                "the maxima are those of the inner products of the query and the vectors, by passage",
                maxima,
                np.maximum.reduceat(query @ vectors.T, offsets[:-1], axis=1),
            ),
        ):
            if np.abs(seen - wanted).max() > 1e-5:
                raise ConformanceError(
                    where,
                    what,
                    seen=f"a difference of {np.abs(seen - wanted).max():.3g}",
                    given=given,
                    advice="leave encode_compared() out, or do in it what encode() does",
                )


def _check_align(where: str, encoder: Any, generator: np.random.Generator, dim: int) -> None:
    for n_query, n_tokens in ((1, 1), (1, 5), (4, 1), (3, 7)):
        units, weights, _ = _batch(generator, (n_query, n_tokens), dim, "plain")
        encoded = encoder.encode(units, weights, np.array([0, n_query, n_query + n_tokens], np.int64))
        query, passage = encoded[:n_query].copy(), encoded[n_query:].copy()
        given = f"a query of {n_query} and a passage of {n_tokens} encoded tokens, dim {dim}"
        _align(where, encoder, query, passage, given)
        itself = _align(where, encoder, query, query.copy(), f"{given}: the query with itself")
        if float(itself.min(axis=1).max()) < 1 - 1e-4:
            raise ConformanceError(
                where,
                "a text aligned with itself finds every token of it: in one alignment all similarities are 1",
                seen=f"at best {itself[int(np.argmax(itself.min(axis=1)))].tolist()}",
                given=given,
                advice="include the alignment in which query and passage begin together",
            )


def _align(where: str, encoder: Any, query: Floats, passage: Floats, given: str) -> Floats:
    query_before, passage_before = query.copy(), passage.copy()
    aligned: Floats = call(where, given, encoder.align, query, passage)
    unchanged(where, "query", query_before, query, given)
    unchanged(where, "passage", passage_before, passage, given)
    check_array(where, "the result", aligned, np.float32, (None, len(query)), given)
    if len(aligned) == 0 or np.abs(aligned).max() > 1 + 1e-4:
        raise ConformanceError(
            where,
            "it gives at least one alignment, and similarities in [−1, 1]",
            seen=shown(aligned),
            given=given,
            advice="compare vectors of unit length; a rotation keeps their length",
        )
    for alignment, row in enumerate(aligned):
        place = where.replace(".align", ".similarities")
        found = call(place, f"{given}, alignment {alignment}", encoder.similarities, query, passage, alignment)
        check_array(place, "the result", found, np.float32, (len(query), len(passage)), given)
        if np.abs(found.max(axis=1) - row).max() > 1e-4:
            raise ConformanceError(
                place,
                "it is the matrix of which a row of align() holds the maxima over the passage",
                seen=f"maxima {found.max(axis=1).tolist()}, and align() gave {row.tolist()}",
                given=f"{given}, alignment {alignment}",
                advice="turn query and passage as align() does for that row",
            )
    return aligned
