"""Views: which rows belong to which passage, with dead rows between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.stores.protocol import PassageTable
from vecsearch.stores.views import Part, View, fresh_part, segment_part


def numbered(n: int) -> np.ndarray:
    """Return rows that say which they are."""
    return np.repeat(np.arange(n, dtype=np.float32)[:, None], 2, axis=1)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


NONE = PassageTable(ints(), ints(), ints(), ints())


def test_dead_rows_are_passages_without_a_number() -> None:
    part = segment_part(numbered(10), ints(5, 6, 7), ints(1, 3, 7), ints(2, 2, 2))
    assert part.offsets.tolist() == [0, 1, 3, 5, 7, 9, 10]
    assert part.numbers.tolist() == [-1, 5, 6, -1, 7, -1]


def test_a_segment_of_dead_rows_alone_has_no_number() -> None:
    part = segment_part(numbered(3), ints(), ints(), ints())
    assert part.offsets.tolist() == [0, 3]
    assert part.numbers.tolist() == [-1]


@pytest.mark.parametrize(
    ("starts", "lengths"),
    [
        ((0, 1), (2, 2)),
        ((0, 0), (2, 2)),
        ((0, 0), (2, 3)),
        ((-1, 2), (2, 2)),
        ((0, 9), (2, 2)),
        ((0, 11), (2, 2)),
        ((0, 5), (2, 0)),
        ((0, 10), (2, 0)),
        ((0, 5), (2, -1)),
        ((0, 3), (2, 2**40)),
    ],
)
def test_passages_that_overlap_or_leave_the_segment_are_refused(
    starts: tuple[int, ...], lengths: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"passages (overlap|leave the segment)"):
        segment_part(numbered(10), ints(1, 2), ints(*starts), ints(*lengths))


def test_fresh_passages_are_joined_in_the_order_of_their_numbers() -> None:
    rows = numbered(6)
    part = fresh_part({4: rows[:1], 9: rows[1:4], 5: rows[4:]}, ints(4, 5, 9), 2)
    assert part.offsets.tolist() == [0, 1, 3, 6]
    assert part.vectors[:, 0].tolist() == [0, 4, 5, 1, 2, 3]
    assert fresh_part({}, ints(), 2).vectors.shape == (0, 2)


def test_passages_are_taken_from_all_parts_in_the_order_asked() -> None:
    rows = numbered(9)
    parts = [segment_part(rows[:6], ints(10, 30), ints(0, 4), ints(3, 2)), Part(rows[6:], ints(0, 1, 3), ints(40, 20))]
    view = View(3, parts, NONE)
    assert view.generation == 3
    vectors, offsets = view.take(ints(20, 10, 40, 30, 10))
    assert vectors[:, 0].tolist() == [7, 8, 0, 1, 2, 6, 4, 5, 0, 1, 2]
    assert offsets.tolist() == [0, 2, 5, 6, 8, 11]
    assert view.take_at(ints(20, 10, 40), ints(1, 2, 0), 2)[:, 0].tolist() == [8, 2, 6]
    assert sorted(view.lengths.tolist()) == [1, 2, 2, 3]


def test_a_passage_of_another_commit_is_an_error() -> None:
    view = View(1, [segment_part(numbered(4), ints(10), ints(0), ints(3))], NONE)
    for number in (-1, 9, 11):
        with pytest.raises(KeyError):
            view.take(ints(10, number))
    with pytest.raises(KeyError):
        View(1, [], NONE).take(ints(1))


def test_nothing_can_be_taken_from_anything() -> None:
    for parts in ([], [fresh_part({}, ints(), 2)], [segment_part(numbered(4), ints(10), ints(0), ints(3))]):
        vectors, offsets = View(0, parts, NONE).take(ints())
        assert len(vectors) == 0
        assert offsets.tolist() == [0]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=6),  # (dead rows before, length) a passage
        max_size=4,
    ),
    st.randoms(use_true_random=False),
)
def test_every_passage_gets_back_its_own_rows(layout: list[list[tuple[int, int]]], random: object) -> None:
    expected: dict[int, list[float]] = {}
    parts = []
    number, row = 0, 0
    for passages in layout:
        first, numbers, starts, lengths = row, [], [], []
        for gap, length in passages:
            row += gap
            numbers.append(number)
            starts.append(row - first)
            lengths.append(length)
            expected[number] = [float(value) for value in range(row, row + length)]
            row += length
            number += 1
        row += 1
        parts.append(segment_part(numbered(row)[first:], ints(*numbers), ints(*starts), ints(*lengths)))
    view = View(0, parts, NONE)
    wanted = list(expected)
    random.shuffle(wanted)  # type: ignore[attr-defined]
    vectors, offsets = view.take(ints(*wanted))
    pieces = np.split(vectors[:, 0] if len(vectors) else np.zeros(0), offsets[1:-1])
    assert [piece.tolist() for piece in pieces[: len(wanted)]] == [expected[number] for number in wanted]
