"""Calls to plugins: what they return is checked, once, so that the rest of the engine can rely on it.

Whatever a plugin raises becomes a ``PluginError`` that names the plugin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vecsearch.errors import PluginError, UsageError, VecsearchError, VectorsError
from vecsearch.protocols import CollectionStatistics, Plugin, Scorer, Tokenizer
from vecsearch.types import Tokens, Vocabulary

if TYPE_CHECKING:
    from vecsearch.types import Floats, Offsets

__all__ = ["LARGEST", "GuardedScorer", "call", "checked_floats", "checked_tokens", "checked_vocabulary", "unusable_row"]

LARGEST = 1e18
"""Numbers beyond this are refused in vectors: a float32 could not hold the length of some."""


def call(plugin: Plugin, kind: str, method: str, *arguments: object) -> Any:
    """Call a method of a plugin.

    Raises:
        PluginError: it raised anything but an error of vecsearch; names the plugin, the method and what it raised.
    """
    try:
        return getattr(plugin, method)(*arguments)
    except (VecsearchError, MemoryError):
        raise
    except Exception as error:  # a stranger's code may raise anything; the caller learns whose it was
        raise PluginError(
            f"{kind} {plugin.name!r} failed in {method}(): {type(error).__name__}: {error}",
            plugin=plugin.name,
            kind=kind,
        ) from error


def unusable_row(vectors: np.ndarray) -> int | None:
    """Return the first row that holds NaN, infinity or a number beyond ``LARGEST``, None where there is none."""
    # subtle: NaN spreads to the extremes, and a comparison with NaN is false
    if vectors.min(initial=0) >= -LARGEST and vectors.max(initial=0) <= LARGEST:
        return None
    return int(np.argmin((np.abs(vectors) <= LARGEST).all(axis=1)))


def checked_floats(values: Any, shape: tuple[int, ...], plugin: Plugin, kind: str, method: str) -> Floats:
    """Return an array from a plugin if it is float32 of a shape, and finite.

    Raises:
        VectorsError: it is anything else; names the plugin.
    """
    problem = None
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        problem = f"returned {getattr(values, 'dtype', type(values).__name__)}, not an array of float32"
    elif values.shape != tuple(shape):
        problem = f"returned shape {values.shape}, not {tuple(shape)}"
    elif (row := unusable_row(values)) is not None:
        problem = f"returned NaN or infinity, first at row {row}"
        if np.isfinite(values[row]).all():
            problem = f"returned numbers beyond {LARGEST:g}, first at row {row}"
    if problem:
        raise VectorsError(f"{kind} {plugin.name!r}: {method}() {problem}", plugin=plugin.name, kind=kind)
    return values  # type: ignore[no-any-return]


def checked_vocabulary(vocabulary: Any, plugin: Tokenizer) -> Vocabulary | None:
    """Return a tokenizer's vocabulary if it is one, or None.

    Raises:
        PluginError: it is anything else.
    """
    if vocabulary is None or (
        isinstance(vocabulary, Vocabulary)
        and isinstance(vocabulary.starts_word, np.ndarray)
        and vocabulary.starts_word.dtype == np.bool_
        and vocabulary.starts_word.shape == (len(vocabulary.entries),)
    ):
        return vocabulary
    raise PluginError(
        f"tokenizer {plugin.name!r}: vocabulary() returned {type(vocabulary).__name__}, not None or a Vocabulary "
        f"with one bool of starts_word an entry",
        plugin=plugin.name,
        kind="tokenizer",
    )


def checked_tokens(tokens: Any, texts: Sequence[str], plugin: Tokenizer, closed: Vocabulary | None) -> Tokens:
    """Return the tokens of some texts if they are what ``vecsearch.Tokens`` says.

    Args:
        tokens: from the tokenizer.
        texts: that it was given.
        plugin: the tokenizer.
        closed: its vocabulary, where that is closed.

    Raises:
        PluginError: they are anything else.
    """
    problem = _problem_of(tokens, texts, closed)
    if problem:
        raise PluginError(f"tokenizer {plugin.name!r}: tokenize() {problem}", plugin=plugin.name, kind="tokenizer")
    return tokens  # type: ignore[no-any-return]


def _problem_of(tokens: Any, texts: Sequence[str], closed: Vocabulary | None) -> str | None:
    if not isinstance(tokens, Tokens):
        return f"returned {type(tokens).__name__}, not Tokens"
    offsets, spans = tokens.offsets, tokens.spans
    if not _is_array(offsets, np.int64, (len(texts) + 1,)):
        return f"offsets are {_shown(offsets)}, not int64 ({len(texts) + 1},)"
    if not _is_array(spans, np.int32, (len(spans), 2)):
        return f"spans are {_shown(spans)}, not int32 (n_tokens, 2)"
    if offsets[0] != 0 or offsets[-1] != len(spans) or np.any(np.diff(offsets) < 0):
        return "offsets do not rise from 0 to the number of tokens"
    lengths = np.diff(offsets)
    limits = np.repeat(np.array([len(text) for text in texts], np.int64), lengths)
    starts, ends = spans[:, 0], spans[:, 1]
    if np.any(starts < 0) or np.any(starts > ends) or np.any(ends > limits):
        return "gave spans that leave their text"
    text_of = np.repeat(np.arange(len(texts)), lengths)
    if np.any((np.diff(starts) < 0) & (np.diff(text_of) == 0)):
        return "gave spans whose starts do not rise"
    if (tokens.ids is None) == (tokens.entries is None) or (tokens.ids is None) != (closed is None):
        return "gave ids and entries against the kind of its vocabulary"
    if closed is None:
        return _problem_of_entries(tokens.entries, len(spans))
    return _problem_of_ids(tokens.ids, len(spans), len(closed.entries))


def _problem_of_entries(entries: Any, n_tokens: int) -> str | None:
    if len(entries) != n_tokens:
        return f"gave {len(entries)} entries for {n_tokens} spans"
    if not set(map(type, entries)) <= {str}:  # in C: no Python code a token
        return "gave entries that are no text"
    return None


def _problem_of_ids(ids: Any, n_tokens: int, n_entries: int) -> str | None:
    if not _is_array(ids, np.int32, (n_tokens,)):
        return f"ids are {_shown(ids)}, not int32 ({n_tokens},)"
    if n_tokens and (ids.min() < 0 or ids.max() >= n_entries):
        return f"gave ids from {ids.min()} to {ids.max()}; its vocabulary has 0 to {n_entries - 1}"
    return None


def _is_array(value: Any, dtype: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == dtype and value.shape == shape


def _shown(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


class GuardedScorer:
    """A scorer whose every answer is checked; itself a ``Scorer``.

    Args:
        scorer: the plugin.

    Raises:
        UsageError: it lacks a method of ``Scorer``.
    """

    name: ClassVar[str] = "guarded"
    version: ClassVar[str] = "1"

    def __init__(self, scorer: Scorer) -> None:
        lacking = [
            name for name in ("name", "reduce", "transform", "combine", "sensitivity") if not hasattr(scorer, name)
        ]
        if lacking:
            raise UsageError(f"{scorer!r:.80} is no scorer: it lacks {', '.join(lacking)}; see vecsearch.Scorer")
        self._scorer = scorer

    @property
    def config(self) -> Mapping[str, Any]:
        """The scorer's own."""
        return self._scorer.config

    @property
    def files(self) -> Mapping[str, str]:
        """The scorer's own."""
        return self._scorer.files

    @property
    def needs_background(self) -> bool:
        """Whether it reads ``CollectionStatistics.background``."""
        return bool(getattr(self._scorer, "needs_background", False))

    @property
    def takes_maximum(self) -> bool:
        """Whether ``reduce`` is a maximum."""
        return bool(getattr(self._scorer, "takes_maximum", False))

    def reduce(self, similarities: Floats, offsets: Offsets) -> Floats:
        """Return ``Scorer.reduce``, checked."""
        return self._checked("reduce", (len(similarities), len(offsets) - 1), similarities, offsets)

    def transform(self, reduced: Floats, lengths: Offsets, statistics: CollectionStatistics) -> Floats:
        """Return ``Scorer.transform``, checked."""
        return self._checked("transform", reduced.shape, reduced, lengths, statistics)

    def combine(self, transformed: Floats, weights: Floats) -> Floats:
        """Return ``Scorer.combine``, checked."""
        return self._checked("combine", transformed.shape[1:], transformed, weights)

    def sensitivity(self, weights: Floats, statistics: CollectionStatistics) -> float:
        """Return ``Scorer.sensitivity``, checked."""
        found = call(self._scorer, "scorer", "sensitivity", weights, statistics)
        if not isinstance(found, int | float | np.number) or not 0 <= found < math.inf:
            raise self._error("sensitivity", f"returned {found!r:.80}, not a finite number ≥ 0")
        return float(found)

    def _checked(self, method: str, shape: tuple[int, ...], *arguments: object) -> Floats:
        values: Floats = call(self._scorer, "scorer", method, *arguments)
        if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.shape != shape:
            raise self._error(method, f"returned {_shown(values)}, not floating-point numbers {shape}")
        if not np.isfinite(values).all():
            raise self._error(method, "returned NaN or infinity")
        return values

    def _error(self, method: str, problem: str) -> PluginError:
        name = self._scorer.name
        return PluginError(f"scorer {name!r}: {method}() {problem}", plugin=name, kind="scorer")
