"""Work done ahead gives what work done at once gives, and fails where that fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from vecsearch.ahead import ahead


def test_items_come_in_order_and_are_made_by_one_other_thread() -> None:
    makers: set[int] = set()

    def items() -> Iterator[int]:
        for number in range(50):
            makers.add(threading.get_ident())
            yield number

    assert list(ahead(items())) == list(range(50))
    assert len(makers) == 1
    assert threading.get_ident() not in makers


def test_one_item_is_made_while_another_is_used_and_no_more() -> None:
    made = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for number in range(4):
            made[number].set()
            yield number

    taken = ahead(items())
    assert next(taken) == 0
    assert made[1].wait(10)
    assert not made[2].is_set()
    assert list(taken) == [1, 2, 3]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_is_raised_after_the_items_before_it(error: type[BaseException]) -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise error("third")

    taken = ahead(items())
    assert (next(taken), next(taken)) == (1, 2)
    with pytest.raises(error, match="third"):
        next(taken)


def test_a_caller_that_stops_early_leaves_no_thread() -> None:
    before = threading.active_count()
    taken = ahead(iter(range(1000)))
    assert next(taken) == 0
    taken.close()  # type: ignore[attr-defined]  # it is a generator
    assert threading.active_count() == before
