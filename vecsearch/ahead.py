"""Work that one thread does ahead while another works on what it made before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from vecsearch.worker import Worker

__all__ = ["ahead"]

T = TypeVar("T")

_END = object()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield what an iterable gives, in order; while one item is used, another thread makes the next.

    Two items are in memory at a time. What the iterable raises is raised here, in its turn. A caller that stops early
    waits for the item that is being made.

    Args:
        items: called from one thread at a time; the caller's only where there is no memory for another.

    Example:
        >>> list(ahead(number * number for number in range(4)))
        [0, 1, 4, 9]
    """
    iterator = iter(items)
    with Worker() as worker:
        following = worker.submit(lambda: next(iterator, _END))
        while (item := following.result()) is not _END:
            following = worker.submit(lambda: next(iterator, _END))
            yield item  # type: ignore[misc]  # not the end
            del item
