"""Calls to plugins: only what keeps the contract comes through, and the message says what did not."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from tests.tiny import TinyTokenizer
from vecsearch import CollectionStatistics, PluginError, QueryError, Tokens, UsageError, VectorsError, Vocabulary
from vecsearch.guarding import (
    LARGEST,
    GuardedScorer,
    call,
    checked_floats,
    checked_tokens,
    checked_vocabulary,
    unusable_row,
)

TINY = TinyTokenizer()
CLOSED = Vocabulary(["a", "b"], np.ones(2, bool))


class Raising(TinyTokenizer):
    name: ClassVar[str] = "raising"

    def fail(self, error: BaseException) -> None:
        raise error


def test_what_a_plugin_raises_names_the_plugin_and_the_method() -> None:
    cause = ZeroDivisionError("nothing left")
    with pytest.raises(PluginError) as caught:
        call(Raising(), "tokenizer", "fail", cause)
    assert caught.value.message == "tokenizer 'raising' failed in fail(): ZeroDivisionError: nothing left"
    assert caught.value.__cause__ is cause
    assert caught.value.facts == {"plugin": "raising", "kind": "tokenizer"}


@pytest.mark.parametrize("error", [QueryError("own"), KeyboardInterrupt(), MemoryError(), SystemExit()], ids=repr)
def test_errors_that_are_not_the_plugins_fault_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        call(Raising(), "tokenizer", "fail", error)
    assert caught.value is error


def test_a_method_that_is_missing_names_the_plugin() -> None:
    with pytest.raises(PluginError, match=r"'tiny' failed in speak\(\): AttributeError"):
        call(TINY, "tokenizer", "speak")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[0, 0]], None),
        ([[LARGEST, -LARGEST]], None),
        ([[1, 2], [3, np.nan], [np.nan, 1]], 1),
        ([[1, 2], [np.inf, -np.inf]], 1),
        ([[1, 2e18]], 0),
        ([[1, 2], [0, 0], [-2e18, 1]], 2),
    ],
)
def test_the_first_unusable_row_is_found(rows: list[list[float]], expected: int | None) -> None:
    assert unusable_row(np.array(rows, np.float32)) == expected


def test_no_rows_are_all_usable() -> None:
    assert unusable_row(np.zeros((0, 4), np.float32)) is None


def test_good_floats_come_back_as_they_are() -> None:
    values = np.ones((2, 3), np.float32)
    assert checked_floats(values, (2, 3), TINY, "embedder", "rows") is values
    with pytest.raises(VectorsError, match=r"^embedder 'tiny': rows\(\) returned shape \(2, 3\), not \(3, 2\)$"):
        checked_floats(values, (3, 2), TINY, "embedder", "rows")
    with pytest.raises(VectorsError, match=r"rows\(\) returned numbers beyond 1e\+18, first at row 0$"):
        checked_floats(values * np.float32(1e19), (2, 3), TINY, "embedder", "rows")


def tokens(offsets: Any, spans: Any, **rest: Any) -> Tokens:
    return Tokens(np.array(offsets, np.int64), np.array(spans, np.int32).reshape(-1, 2), **rest)


def test_good_tokens_come_back_as_they_are() -> None:
    texts = ["ab", "", "b"]
    found = tokens([0, 2, 2, 3], [[0, 2], [0, 2], [0, 1]], entries=["a", "b", "c"])
    assert checked_tokens(found, texts, TINY, None) is found
    found = tokens([0, 2, 2, 3], [[0, 0], [2, 2], [0, 1]], ids=np.array([0, 1, 1], np.int32))
    assert checked_tokens(found, texts, TINY, CLOSED) is found
    nothing = tokens([0], [], entries=())
    assert checked_tokens(nothing, [], TINY, None) is nothing


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (np.array([0, 2], np.int32), "gave ids from 0 to 2; its vocabulary has 0 to 1"),
        (np.array([-1, 0], np.int32), "gave ids from -1 to 0"),
        (np.array([0, 1], np.int64), r"ids are int64 \(2,\), not int32 \(2,\)"),
        (np.array([0], np.int32), r"ids are int32 \(1,\), not int32 \(2,\)"),
        ([0, 1], r"ids are list, not int32 \(2,\)"),
    ],
)
def test_ids_outside_the_vocabulary_are_refused(ids: Any, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        checked_tokens(tokens([0, 2], [[0, 1], [1, 2]], ids=ids), ["ab"], TINY, CLOSED)


def test_ids_and_entries_must_fit_the_kind_of_vocabulary() -> None:
    for closed, rest in (
        (CLOSED, {"entries": ["a"]}),
        (None, {"ids": np.zeros(1, np.int32)}),
        (None, {}),
        (CLOSED, {"ids": np.zeros(1, np.int32), "entries": ["a"]}),
    ):
        with pytest.raises(PluginError, match="against the kind of its vocabulary"):
            checked_tokens(tokens([0, 1], [[0, 1]], **rest), ["a"], TINY, closed)


def test_starts_may_fall_between_texts_but_not_within_one() -> None:
    spans = [[1, 2], [0, 1]]
    checked_tokens(tokens([0, 1, 2], spans, entries=["b", "c"]), ["ab", "c"], TINY, None)
    with pytest.raises(PluginError, match="starts do not rise"):
        checked_tokens(tokens([0, 2, 2], spans, entries=["b", "a"]), ["ab", "c"], TINY, None)


def test_a_span_is_measured_by_its_own_text() -> None:
    with pytest.raises(PluginError, match="leave their text"):
        checked_tokens(tokens([0, 1, 2], [[0, 2], [0, 2]], entries=["ab", "c"]), ["ab", "c"], TINY, None)


@pytest.mark.parametrize(
    "vocabulary",
    [
        ["a"],
        Vocabulary(["a"], np.ones(2, bool)),
        Vocabulary(["a"], np.ones(1, np.int8)),
        Vocabulary(["a"], [True]),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_vocabulary_is_refused(vocabulary: Any) -> None:
    with pytest.raises(PluginError, match=r"tokenizer 'tiny': vocabulary\(\) returned"):
        checked_vocabulary(vocabulary, TINY)
    assert checked_vocabulary(CLOSED, TINY) is CLOSED
    assert checked_vocabulary(None, TINY) is None


class Scorer:
    name: ClassVar[str] = "of-this-test"
    version: ClassVar[str] = "7"
    config: ClassVar[dict[str, Any]] = {"a": 1}
    files: ClassVar[dict[str, str]] = {"b": "c"}

    def reduce(self, similarities: np.ndarray, offsets: np.ndarray) -> Any:
        return np.maximum.reduceat(similarities, offsets[:-1], axis=1)

    def transform(self, reduced: np.ndarray, lengths: np.ndarray, statistics: CollectionStatistics) -> Any:
        return reduced / lengths + statistics.background.max(axis=1, keepdims=True, initial=0)

    def combine(self, transformed: np.ndarray, weights: np.ndarray) -> Any:
        return weights @ transformed

    def sensitivity(self, weights: np.ndarray, statistics: CollectionStatistics) -> float:
        return float(weights.sum() * statistics.max_length)


STATISTICS = CollectionStatistics(2, 1.5, 2, np.zeros((2, 0), np.float32))


def test_a_guarded_scorer_answers_as_the_scorer_does() -> None:
    guarded = GuardedScorer(Scorer())
    similarities = np.array([[1, 2, 3], [4, 6, 5]], np.float32)
    reduced = guarded.reduce(similarities, np.array([0, 2, 3]))
    assert reduced.tolist() == [[2, 3], [6, 5]]
    transformed = guarded.transform(reduced, np.array([2, 1]), STATISTICS)
    assert transformed.tolist() == [[1, 3], [3, 5]]
    weights = np.array([1, 10], np.float32)
    assert guarded.combine(transformed, weights).tolist() == [31, 53]
    assert guarded.sensitivity(weights, STATISTICS) == 22
    some = CollectionStatistics(2, 1.5, 2, np.array([[0, 4], [8, 0]], np.float32))
    assert guarded.transform(reduced, np.array([2, 1]), some).tolist() == [[5, 7], [11, 13]]
    assert (guarded.config, guarded.files) == ({"a": 1}, {"b": "c"})


def test_a_scorer_needs_no_background_unless_it_says_so() -> None:
    class Greatest(Scorer):
        takes_maximum: ClassVar[bool] = True

    class Needy(Scorer):
        needs_background: ClassVar[bool] = True

    assert GuardedScorer(Greatest()).takes_maximum is True
    assert GuardedScorer(Scorer()).takes_maximum is False
    assert GuardedScorer(Scorer()).needs_background is False
    assert GuardedScorer(Needy()).needs_background is True


def test_a_scorer_without_all_methods_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="is no scorer: it lacks reduce, transform, combine, sensitivity"):
        GuardedScorer(TINY)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1.0, np.inf, np.nan, "5", None])
def test_a_sensitivity_must_be_a_bound(value: Any) -> None:
    class Wrong(Scorer):
        def sensitivity(self, weights: np.ndarray, statistics: CollectionStatistics) -> float:
            found: float = value
            return found

    with pytest.raises(PluginError, match=r"scorer 'of-this-test': sensitivity\(\) returned"):
        GuardedScorer(Wrong()).sensitivity(np.ones(1, np.float32), STATISTICS)
