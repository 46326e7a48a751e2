"""Small parts of the store over embedded passages."""

from __future__ import annotations

import numpy as np
import pytest

from vecsearch.stores.embedded import _are_all_in


@pytest.mark.parametrize(
    ("numbers", "known"),
    [
        ([], []),
        ([], [3]),
        ([3], []),
        ([3, 3, 0], [0, 3, 5]),
        ([3, 4], [0, 3, 5]),
        ([5, 6], [0, 3, 5]),
        ([-1], [0, 3, 5]),
        ([0], [-1, 0]),
        ([1 << 40], [5, 1 << 40]),  # no room for a table so large
        ([1 << 39], [5, 1 << 40]),
    ],
)
def test_numbers_are_known_as_a_look_at_each_says(numbers: list[int], known: list[int]) -> None:
    expected = set(numbers) <= set(known) and min([*numbers, *known], default=0) >= 0
    assert _are_all_in(np.array(numbers, np.int64), np.array(known, np.int64)) == expected
