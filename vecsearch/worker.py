"""One thread that does calls in turn, and never leaves anybody waiting for a thread that has died.

Python's own thread pool waits for ever where memory is so short that a thread which was just started dies at once. Here
who waits looks whether the thread still lives; what it has not begun is then done by the one who waits.
"""

from __future__ import annotations

import _thread
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

__all__ = ["Task", "Worker"]

T = TypeVar("T")

_LOOK = 0.05
"""Seconds after which who waits looks whether the thread still lives."""


def _new_lock() -> _thread.LockType:
    try:
        return _thread.allocate_lock()
    except RuntimeError as error:  # what Python says where there is no memory for one
        raise MemoryError("no memory for a lock") from error


class _Life:
    """Says whether a thread lives: it notes its end; where it has no memory even to begin, nobody refers to this."""

    __slots__ = ("__weakref__", "has_ended")

    def __init__(self) -> None:
        self.has_ended = False


class Task(Generic[T]):
    """A call that a worker does."""

    def __init__(self, call: Callable[[], T], is_alive: Callable[[], bool]) -> None:
        self._call = call
        self._is_alive = is_alive
        self._value: T
        self._error: BaseException | None = None
        self._has_ended = False
        self._begun = _new_lock()
        self._done = _new_lock()
        self._done.acquire()

    def run(self) -> None:
        """Do the call, unless somebody has begun to."""
        if not self._begun.acquire(False):
            return
        try:
            self._value = self._call()
        except BaseException as error:
            # subtle: nothing from here on takes memory, so it cannot fail where the call failed for want of it
            self._error = error
        finally:
            self._has_ended = True
            self._done.release()

    def wait(self) -> None:
        """Wait until the call has ended; where the thread has died before it began, do it now."""
        # subtle: an interrupt may come between any two steps, and who was interrupted may wait again
        while not self._has_ended:
            if self._done.acquire(timeout=_LOOK) or self._is_alive():
                continue
            self.run()
            if not self._has_ended:
                self._error = MemoryError("a thread died of want of memory")
                self._has_ended = True

    def result(self) -> T:
        """Return what the call returned, or raise what it raised.

        Raises:
            MemoryError: there was not enough for the thread to end the call.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        return self._value


class Worker:
    """A thread that does calls one after the other, started by the first. A context manager that waits for its end.

    Example:
        >>> with Worker() as worker:
        ...     task = worker.submit(lambda: 6 * 7)
        ...     task.result()
        42
    """

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self._life: weakref.ref[_Life] | None = None
        self._end = _new_lock()
        self._end.acquire()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, call: Callable[[], T]) -> Task[T]:
        """Let the thread do a call after those before it. Only the thread that made the worker may do this."""
        if self._life is None:
            self._start()
        task = Task(call, self._is_alive)
        self._tasks.put(task)
        return task

    def close(self) -> None:
        """Wait until all calls have ended, and the thread."""
        self._tasks.put(None)
        while self._is_alive() and not self._end.acquire(timeout=_LOOK):
            pass

    def _is_alive(self) -> bool:
        life = None if self._life is None else self._life()
        return life is not None and not life.has_ended

    def _start(self) -> None:
        life = _Life()
        self._life = weakref.ref(life)
        try:
            _thread.start_new_thread(_work, (self._tasks, self._end, life))
        except (RuntimeError, MemoryError):
            life.has_ended = True  # where there is no thread to be had, whoever waits for a call does it
        finally:
            del life  # subtle: the traceback of an interrupt would refer to it, as if there were a thread


def _work(tasks: SimpleQueue[Task[Any] | None], end: _thread.LockType, life: _Life) -> None:
    try:
        while (task := tasks.get()) is not None:
            task.run()
            del task  # what it gave is not this thread's to keep
    finally:
        # subtle: nothing here takes memory. The traceback of an error that a call raised refers to this frame, so life
        # may last longer than the thread.
        life.has_ended = True
        end.release()
