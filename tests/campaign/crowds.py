"""Readers beside a writer, and long runs of mixed operations."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign import children
from tests.campaign.kills import Model, after, steps_of, take
from tests.campaign.operations import documents_of, small
from tests.tiny import tiny_pipeline
from vecsearch import Document, Index
from vecsearch.budget import give_back
from vecsearch.stores import compiled_scan

__all__ = ["commits", "readers", "soak"]

N_READERS = 4
CYCLE = 60
"""Operations after which an index is verified and opened again."""
MOST_FILES = 100
"""Files that an index has open meanwhile, at most: those of the segments of two commits, some twenty each."""


def readers(folder: str, kind: str, seconds: float, seed: int) -> dict[str, Any]:
    """Let four processes search while one writes, deletes and compacts.

    Every document of a commit holds the number of that commit, and a commit replaces them all and adds one that only
    it has: so hits that are no commit's are seen, whichever they are.
    """
    path = Path(folder)
    last = time.monotonic() + seconds
    n_documents = 6

    def batch(version: int) -> list[Document]:
        text = f"the lion slept at dusk version{version}"
        return [Document(f"{number}", f"{text} number{number}") for number in range(n_documents)]

    def write(say: Callable[[str], None]) -> int:
        small(kind)
        version = 0
        with Index.create(path, pipeline=tiny_pipeline()) as index:
            index.add(batch(0))
            say("begun")
            chance = random.Random(seed)
            while time.monotonic() < last:
                version += 1
                index.add(
                    [*batch(version), Document(f"only {version}", f"lion filler {'word ' * 40} version{version}")]
                )
                what = chance.random()
                if what < 0.1:
                    index.compact()
                elif what < 0.2:
                    index.flush()
                elif what < 0.5:
                    index.delete([f"only {number}" for number in range(version)])
        return version

    def read(_: Callable[[str], None]) -> int:
        small(kind)
        n, before = 0, 0
        index = Index.open(path, pipeline=tiny_pipeline(), read_only=True)
        while time.monotonic() < last:
            if n % 10 == 9:
                index.close()
                index = Index.open(path, pipeline=tiny_pipeline(), read_only=n % 20 == 9)
            mode = ("hybrid", "vector", "keyword")[n % 3]
            hits = index.search("the lion slept at dusk", 1000, mode=mode, where="id >= '0' and id <= '9'")  # type: ignore[arg-type]
            versions = {int(word[7:]) for hit in hits for word in hit.text.split() if word.startswith("version")}
            assert len(versions) == 1, versions
            assert sorted(hit.doc_id for hit in hits) == [f"{number}" for number in range(n_documents)], hits
            (version,) = versions
            assert version >= before, (before, version)
            before, n = version, n + 1
        index.close()
        return n

    writer = children.start(write)
    writer.wait_for_line()
    running = [children.start(read) for _ in range(N_READERS)]
    ended = [one.end(seconds + children.LONGEST) for one in (writer, *running)]
    wrong = [str(one) for one in ended if one.code != 0]
    problems = children.run(lambda: _verified(path, kind))
    wrong += [str(problems)] if problems.value != [] else []
    return {"n": sum(one.value or 0 for one in ended[1:]), "n_commits": ended[0].value, "wrong": wrong}


def _verified(path: Path, kind: str) -> list[str]:
    small(kind)
    with Index.open(path, pipeline=tiny_pipeline()) as index:
        return index.verify()


def soak(folder: str, kind: str, seconds: float, seed: int) -> dict[str, Any]:
    """Do mixed operations in one process for long; watch its open files and its memory.

    Returns:
        How many operations; files open and resident memory, in bytes, after a quarter of the time and at the end, both
        of an index that was verified, opened again, and read.
    """
    path = Path(folder)
    began = time.monotonic()

    def work() -> Any:
        small(kind)
        compiled_scan.load()  # numba comes once, after many searches: that is no leak
        model: Model = {}
        n, index = 0, Index.create(path, pipeline=tiny_pipeline())
        sizes: list[tuple[int, int]] = []

        def opened_again(used: Index) -> Index:
            assert documents_of(used) == model
            n_files, _ = _size()
            assert n_files <= MOST_FILES, f"open files: {n_files} after {CYCLE} operations"
            problems = used.verify()
            assert not problems, problems
            used.close()
            fresh = Index.open(path, pipeline=tiny_pipeline())
            assert documents_of(fresh) == model
            if time.monotonic() - began > seconds / 4:
                sizes.append(_size())
            return fresh

        while time.monotonic() - began < seconds:
            for step in steps_of(f"{seed} {n}"):
                take(index, step)
                model = after(model, step)
                index.search("the lion slept under the tree", 5)
                n += 1
            if n % CYCLE == 0:
                index = opened_again(index)
        index = opened_again(index)
        index.close()
        assert len(sizes) > 1, f"only {n} operations in {seconds} s"
        return [n, sizes[0], sizes[-1]]

    ended = children.run(work, seconds + children.LONGEST)
    if ended.code != 0:
        return {"n": 0, "wrong": [str(ended)]}
    n, warm, end = ended.value
    wrong = []
    if end[0] > warm[0] + 2:
        wrong.append(f"open files: {warm[0]}, then {end[0]}")
    if end[1] > 1.05 * warm[1]:
        wrong.append(f"resident memory: {warm[1]} bytes, then {end[1]}")
    return {"n": n, "files": [warm[0], end[0]], "rss": [warm[1], end[1]], "wrong": wrong}


def _size() -> tuple[int, int]:
    give_back()  # what the allocator keeps for the next operation comes and goes: 10 to 25 MB with segments of codes
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE")


def commits(folder: str, kind: str, durability: str, seconds: float, n_documents: int) -> dict[str, Any]:
    """Count commits of so many documents in so many seconds."""
    path = Path(folder)

    def work() -> int:
        n = 0
        with Index.create(path, pipeline=tiny_pipeline(), durability=durability) as index:  # type: ignore[arg-type]
            began = time.monotonic()
            while time.monotonic() - began < seconds:
                index.add([Document(f"{n} {number}", f"the lion slept {n} {number}") for number in range(n_documents)])
                n += 1
        return n

    outcome = children.run(work, seconds + children.LONGEST)
    return {"n": outcome.value, "wrong": [] if outcome.code == 0 else [str(outcome)]}
