"""Passages of keywords that are kept in memory."""

from __future__ import annotations

import numpy as np
import pytest

from vecsearch.stores import keywords
from vecsearch.stores.keywords import KeptPostings


class Reader:
    """Reads passages of keywords that are numbers: as many as the number says; notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, term: str) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(term)
        return np.arange(int(term)) * 3, np.ones(int(term), np.int64)


def test_frequent_keywords_are_read_once_and_those_asked_for_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keywords, "FEWEST_KEPT", 10)
    monkeypatch.setattr(keywords, "MOST_KEPT", 100)
    kept, read = KeptPostings(), Reader()
    for term in ("9", "30", "40", "30", "9", "0", "41", "30", "40", "101", "101"):
        passages, counts = kept.of(term, read)
        right, ones = Reader()(term)
        np.testing.assert_array_equal(passages, right)
        np.testing.assert_array_equal(counts, ones)
        assert passages.dtype == counts.dtype == np.int64
    # few passages and too many are not kept; 41 made 40 go, which was asked for longest ago
    assert read.asked == ["9", "30", "40", "9", "0", "41", "40", "101", "101"]


def test_what_is_given_out_may_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keywords, "FEWEST_KEPT", 1)
    kept, read = KeptPostings(), Reader()
    for _ in range(3):
        passages, counts = kept.of("5", read)
        assert passages.tolist() == [0, 3, 6, 9, 12]
        assert counts.tolist() == [1] * 5
        passages[:] = 0
        counts[:] = 0
    assert read.asked == ["5"]


def test_numbers_that_do_not_fit_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keywords, "FEWEST_KEPT", 1)
    kept = KeptPostings()
    for passages, counts in (([1 << 31], [1]), ([4], [1 << 16])):
        calls: list[str] = []

        def read(
            term: str, passages: list[int] = passages, counts: list[int] = counts, calls: list[str] = calls
        ) -> tuple[np.ndarray, np.ndarray]:
            calls.append(term)
            return np.array(passages), np.array(counts)

        for _ in range(2):
            assert kept.of("term", read)[0].tolist() == passages
        assert len(calls) == 2
