"""Work that one thread does ahead while another works on what it made before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")

_END = object()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield what an iterable gives, in order; while one item is used, another thread makes the next.

    Two items are in memory at a time. What the iterable raises is raised here, in its turn. A caller that stops early
    waits for the item that is being made.

    Args:
        items: called from one thread at a time, which is never the caller's.

    Example:
        >>> list(ahead(number * number for number in range(4)))
        [0, 1, 4, 9]
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, iterator, _END)
        while (item := following.result()) is not _END:
            following = pool.submit(next, iterator, _END)
            yield item  # type: ignore[misc]  # not the end
            del item
