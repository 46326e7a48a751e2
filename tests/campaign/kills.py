"""Processes that are killed, interrupted, or have too little memory, at random moments of random operations."""

from __future__ import annotations

import random
import re
import resource
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign import children
from tests.campaign.faults import COMMITTED
from tests.campaign.operations import documents_of, small, strays_of
from tests.integration.test_durability import document
from tests.tiny import tiny_pipeline
from vecsearch import Document, Index, StorageError

__all__ = ["Model", "after", "full", "interrupts", "kills", "starved", "steps_of", "take"]

N_STEPS = 12
ROUNDS = 10
"""So many times one index is broken before a new one is made."""
_NO_ROOM_FOR_LIBRARIES = 127

Model = dict[str, str]


def as_kept(document: Document) -> str:
    """Return what ``documents_of`` says of a document."""
    import json

    return json.dumps([document.text, document.title, document.metadata], sort_keys=True)


def steps_of(seed: str) -> list[tuple[str, list[Document], list[str]]]:
    """Return the steps of a round: what is done, documents that are written, ids that are removed."""
    chance = random.Random(seed)
    steps: list[tuple[str, list[Document], list[str]]] = []
    for _ in range(N_STEPS):
        what = chance.choice(["add", "add", "add", "update", "delete", "compact", "flush"])
        numbers = sorted({chance.randrange(60) for _ in range(chance.choice([1, 2, 8]))})
        version = chance.randrange(1_000) if what == "update" else 0
        steps.append((what, [document(number, version) for number in numbers], [f"{number:04}" for number in numbers]))
    return steps


def take(index: Index, step: tuple[str, list[Document], list[str]]) -> None:
    """Do a step."""
    what, documents, ids = step
    match what:
        case "compact":
            index.compact()
        case "flush":
            index.flush()
        case "delete":
            index.delete(ids)
        case _:
            index.add(documents)


def after(model: Model, step: tuple[str, list[Document], list[str]]) -> Model:
    """Return what a step makes of the documents, as a dictionary says."""
    what, documents, ids = step
    if what in ("compact", "flush"):
        return model
    if what == "delete":
        return {doc_id: kept for doc_id, kept in model.items() if doc_id not in ids}
    return model | {document.id: as_kept(document) for document in documents}


def checked(folder: Path, kind: str) -> Model:
    """Open an index, see that it is whole and clean and can be searched, and return its documents."""
    small(kind)
    with Index.open(folder, pipeline=tiny_pipeline()) as index:
        found = documents_of(index)
        problems = index.verify()
        assert not problems, problems
        if found:
            index.search("the lion slept under the tree", 5)
        index.delete(["none"])  # a writer clears the folder
        assert not strays_of(folder), strays_of(folder)
    return found


def _rounds(folder: Path, kind: str, n: int, seed: int, one: Callable[..., tuple[Model, str]]) -> dict[str, Any]:
    model: Model = {}
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    path = folder / "none"
    for number in range(n):
        if number % ROUNDS == 0 or wrong:
            shutil.rmtree(path, ignore_errors=True)
            path, model = folder / str(number), {}
            children.run(lambda path=path: Index.create(path, pipeline=tiny_pipeline()).close())  # type: ignore[misc]
        before = model
        try:
            model, how = one(path, kind, model, f"{seed} {number}")
            seen[how] += 1
        except AssertionError as error:
            wrong.append(f"{kind}, round {number}, {len(before)} documents before: {error}")
    return {"n": n, "seen": seen, "wrong": wrong}


class _Moments:
    """Random moments of work whose duration is learnt."""

    def __init__(self) -> None:
        self._duration = 0.2

    def wait(self, seed: str) -> None:
        """Wait until a random moment of the work has come."""
        time.sleep(random.Random(seed).random() * self._duration)

    def learn(self, *, was_too_late: bool) -> None:
        """Take into account whether the work had ended by then."""
        self._duration *= 0.8 if was_too_late else 1.1


def kills(folder: str, kind: str, n: int, seed: int) -> dict[str, Any]:
    """Kill a process by signal 9 at random moments, again and again on the same index."""
    moments = _Moments()

    def one(path: Path, kind: str, model: Model, seed: str) -> tuple[Model, str]:
        steps = steps_of(seed)

        def work(say: Callable[[str], None]) -> None:
            small(kind)
            say("begun")
            with Index.open(path, pipeline=tiny_pipeline()) as index:
                for number, step in enumerate(steps):
                    take(index, step)
                    say(str(number))

        running = children.start(work)
        running.wait_for_line()
        moments.wait(seed)
        running.signal(signal.SIGKILL)
        ended = running.end()
        n_done = len(ended.lines) - 1
        moments.learn(was_too_late=ended.code == 0)
        assert ended.code in (0, -9), ended
        for step in steps[:n_done]:
            model = after(model, step)
        found = children.run(lambda: checked(path, kind))
        assert found.code == 0, found
        allowed = [model, after(model, steps[n_done])] if n_done < N_STEPS else [model]
        assert found.value in allowed, f"killed after step {n_done}: neither what was acknowledged nor one step more"
        return found.value, "killed" if ended.code else "too late"

    return _rounds(Path(folder), kind, n, seed, one)


def interrupts(folder: str, kind: str, n: int, seed: int) -> dict[str, Any]:
    """Interrupt a process as Ctrl-C does, at random moments; the same object must work on."""
    moments = _Moments()

    def one(path: Path, kind: str, model: Model, seed: str) -> tuple[Model, str]:
        steps = steps_of(seed)

        def work(say: Callable[[str], None]) -> Any:
            small(kind)
            n_done = 0
            # what is started in the background ignores this signal
            signal.signal(signal.SIGINT, signal.default_int_handler)
            index = Index.open(path, pipeline=tiny_pipeline())
            try:
                say("begun")
                for step in steps:
                    take(index, step)
                    n_done += 1
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                how = "too late"
            except KeyboardInterrupt:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                how = "interrupted"
            found = documents_of(index)
            extra = document(7000)
            index.add([extra])
            assert documents_of(index) == found | {extra.id: as_kept(extra)}
            index.delete([extra.id])
            problems = index.verify()
            assert not problems, problems
            index.close()
            return [n_done, found, how]

        running = children.start(work)
        running.wait_for_line()
        moments.wait(seed)
        running.signal(signal.SIGINT)
        ended = running.end()
        assert ended.code == 0, ended
        n_done, documents, how = ended.value
        moments.learn(was_too_late=how == "too late")
        for step in steps[:n_done]:
            model = after(model, step)
        assert documents in (model, after(model, steps[n_done]) if n_done < N_STEPS else model), f"step {n_done}"
        found = children.run(lambda: checked(path, kind))
        assert found.code == 0, found
        assert found.value == documents
        return documents, how

    return _rounds(Path(folder), kind, n, seed, one)


def starved(folder: str, kind: str, n: int, seed: int) -> dict[str, Any]:
    """Take memory from a process before it begins; what fails must say so, and the same object work on."""

    def one(path: Path, kind: str, model: Model, seed: str) -> tuple[Model, str]:
        chance = random.Random(seed)
        large = [Document(f"large {number}", " ".join(f"w{number}x{i}" for i in range(1000))) for number in range(12)]
        kept = [document(number) for number in range(12)]
        model = {document.id: as_kept(document) for document in kept}
        extra = int(2 ** chance.uniform(16, 25))

        def work() -> Any:
            small(kind)
            index = Index.open(path, pipeline=tiny_pipeline())
            index.add(kept)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + extra, resource.RLIM_INFINITY))
            how = "stored"
            try:
                index.add(large)
                index.search("w1x1 w2x2", 3)
            except (StorageError, MemoryError) as error:
                how = type(error).__name__
            except SystemError as error:  # now and then Python loses its own MemoryError
                if not re.search("without (exception set|setting an exception)", str(error)):
                    raise
                how = "SystemError"
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            found = documents_of(index)
            problems = index.verify()
            assert not problems, problems
            index.delete([document.id for document in large])
            index.close()
            return [found, how]

        ended = children.run(work)
        if ended.code == _NO_ROOM_FOR_LIBRARIES:
            # the system's loader ends a process in which it cannot give a library its memory of a new thread
            found = children.run(lambda: checked(path, kind))
            assert found.code == 0, found
            assert model.items() <= found.value.items()
            shutil.rmtree(path)
            children.run(lambda: Index.create(path, pipeline=tiny_pipeline()).close())
            return {}, "ended by the loader"
        assert ended.code == 0, ended
        documents, how = ended.value
        assert documents in (model, model | {document.id: as_kept(document) for document in large})
        found = children.run(lambda: checked(path, kind))
        assert found.code == 0, found
        assert found.value == model
        return model, how

    return _rounds(Path(folder), kind, n, seed, one)


def full(folder: str, kind: str, n: int, seed: int) -> dict[str, Any]:
    """Let the disk be full at some size of a file, do every operation, then make room; one process, one object."""

    def one(path: Path, kind: str, model: Model, seed: str) -> tuple[Model, str]:
        chance = random.Random(seed)
        limit = int(2 ** chance.uniform(9, 18))

        def work() -> Any:
            small(kind)
            n_full, expected = 0, model
            with Index.open(path, pipeline=tiny_pipeline()) as index:
                for step in steps_of(seed):
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                    try:
                        take(index, step)
                        is_done = True
                    except StorageError as error:
                        n_full += 1
                        is_done = COMMITTED in error.message
                    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                    expected = after(expected, step) if is_done else expected
                    assert documents_of(index) == expected, step
                    index.delete(["none"])
                    leaked = strays_of(path)
                    assert not leaked, leaked
                problems = index.verify()
                assert not problems, problems
            return [expected, "full" if n_full else "large enough"]

        ended = children.run(work)
        assert ended.code == 0, ended
        found = children.run(lambda: checked(path, kind))
        assert found.code == 0, found
        assert found.value == ended.value[0]
        return found.value, ended.value[1]

    return _rounds(Path(folder), kind, n, seed, one)
