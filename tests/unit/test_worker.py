"""A worker does calls in turn in one other thread, and nobody waits for one that has died."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from vecsearch.worker import Worker


def in_time(work: Callable[[], object]) -> None:
    """Do what could wait for ever in a thread of its own, and fail where it does."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)  # has its own name for what starts threads: no test takes it
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


def test_calls_are_done_in_order_by_one_other_thread() -> None:
    done: list[int] = []
    with Worker() as worker:
        tasks = [worker.submit(lambda n=n: done.append(n) or threading.get_ident()) for n in range(50)]  # type: ignore[misc]
        threads = {task.result() for task in tasks}
    assert done == list(range(50))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_a_call_raises_is_raised_by_its_result_and_the_next_call_is_done(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("why")

    with Worker() as worker:
        failing, next_one = worker.submit(fail), worker.submit(lambda: 1)
        with pytest.raises(error, match="why"):
            failing.result()
        with pytest.raises(error, match="why"):
            failing.result()
        assert next_one.result() == 1


def test_closing_waits_for_what_is_being_done() -> None:
    done = []
    with Worker() as worker:
        worker.submit(lambda: time.sleep(0.2) or done.append(1))  # type: ignore[func-returns-value]
    assert done == [1]


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_where_no_thread_can_be_started_the_caller_does_it(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(_thread, "start_new_thread", refuse)

    def work() -> None:
        with Worker() as worker:
            assert [worker.submit(threading.get_ident).result() for _ in range(2)] == [threading.get_ident()] * 2

    in_time(work)


def test_nobody_waits_for_a_thread_whose_start_was_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object, arguments: object) -> None:
        del arguments  # what is written in C leaves no frame that refers to them
        raise KeyboardInterrupt

    def work() -> None:
        with pytest.raises(KeyboardInterrupt), Worker() as worker:
            worker.submit(lambda: 1)

    monkeypatch.setattr(_thread, "start_new_thread", interrupt)
    in_time(work)


def test_a_thread_that_dies_before_it_begins_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    start = _thread.start_new_thread

    def die(_: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        start(lambda *_: None, arguments)

    monkeypatch.setattr(_thread, "start_new_thread", die)
    with Worker() as worker:
        assert worker.submit(threading.get_ident).result() == threading.get_ident()


def test_a_thread_that_dies_within_a_call_is_told_as_lack_of_memory() -> None:
    with Worker() as worker:
        task = worker.submit(lambda: 1)
        assert task.result() == 1
        # one that somebody else began and never ended
        stuck = type(task)(lambda: 1, lambda: False)
        stuck._begun.acquire()
        with pytest.raises(MemoryError, match="thread died"):
            stuck.result()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_error_that_is_kept_does_not_keep_a_dead_thread_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(SimpleQueue[Any]):
        """A queue that has memory for one call."""

        n_given = 0

        def get(self, *_: Any, **__: Any) -> Any:
            self.n_given += 1
            if self.n_given > 1:
                raise MemoryError
            return super().get()

    def fail() -> None:
        raise ValueError("why")

    def work() -> None:
        with Worker() as worker:
            with pytest.raises(ValueError, match="why") as raised:
                worker.submit(fail).result()
            assert raised.traceback  # which refers to all that the thread had
            assert worker.submit(lambda: 1).result() == 1

    monkeypatch.setattr("vecsearch.worker.SimpleQueue", Short)
    in_time(work)


@pytest.mark.parametrize("n_locks", [0, 1, 2])
def test_no_memory_for_a_lock_is_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch, n_locks: int) -> None:
    locks = [_thread.allocate_lock() for _ in range(n_locks)]

    def allocated() -> _thread.LockType:
        if not locks:
            raise RuntimeError("can't allocate lock")
        return locks.pop()

    monkeypatch.setattr(_thread, "allocate_lock", allocated)
    with pytest.raises(MemoryError, match="no memory for a lock"), Worker() as worker:
        worker.submit(lambda: None)
