"""Windows over long texts, and batches of windows: every token once, with its context."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vecsearch_onnx.windows import batches, cut


@given(st.lists(st.integers(0, 120), max_size=6), st.integers(1, 40), st.integers(0, 12))
def test_every_token_is_kept_once_and_has_its_context(lengths, more, margin):
    longest = 2 * margin + more
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    windows = cut(offsets, longest, margin)
    kept = [np.arange(first, last) for first, last in zip(windows.kept_from, windows.kept_to, strict=True)]
    np.testing.assert_array_equal(np.concatenate([np.zeros(0, int), *kept]), np.arange(offsets[-1]))
    for start, length, kept_from, kept_to in zip(*windows, strict=True):
        text = int(np.searchsorted(offsets, start, side="right")) - 1
        begin, end = offsets[text], offsets[text + 1]
        assert 1 <= length <= longest
        assert begin <= start <= kept_from < kept_to <= start + length <= end
        assert start == begin or kept_from - start >= margin
        assert start + length == end or start + length - kept_to >= margin


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200), st.integers(1, 9))
def test_batches_hold_every_window_once_within_their_limits(lengths, most_tokens, most_windows):
    found = batches(np.array(lengths, np.int64), most_tokens, most_windows)
    assert sorted(np.concatenate([np.zeros(0, int), *found]).tolist()) == list(range(len(lengths)))
    for batch in found:
        sizes = np.array(lengths)[batch]
        assert 1 <= len(batch) <= most_windows
        assert len(batch) == 1 or len(batch) * sizes.max() <= most_tokens


def test_lengths_in_a_batch_are_neighbours():
    found = batches(np.array([5, 1, 9, 2, 8]), 18, 9)
    assert [batch.tolist() for batch in found] == [[2, 4], [0, 3, 1]]
