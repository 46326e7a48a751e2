"""One operation done again and again to copies of one index, each time broken elsewhere."""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.campaign import children
from tests.campaign.operations import OPERATIONS, Operation, answers_of, make_base, open_index, small, state_of
from tests.campaign.shim import Call, Shim, read_log

__all__ = ["World"]


class World:
    """A folder with the index before an operation, and what there is after it.

    Args:
        folder: of this world, made.
        name: of the operation.
        kind: of segments.
        durability: level at which it is done.
    """

    def __init__(self, folder: Path, name: str, kind: str, durability: str = "full") -> None:
        self.folder = folder
        self.operation: Operation = OPERATIONS[name]
        self.kind = kind
        self.durability = durability
        self.base = folder / "base"
        self.watched = folder / "watched"
        self.index = self.watched / "index"
        folder.mkdir(parents=True)
        self._in_child(lambda: make_base(self.base, self.operation.base))
        self.old = self._state(self.base)
        self.reset()
        self.n_calls, self.n_reads = self._in_child(self._counted)
        self.new = self._state(self.index)
        assert self.old is None or self.old["digest"], "the operation changes nothing"

    def _in_child(self, work: Any) -> Any:
        def alone() -> Any:
            small(self.kind)
            return work()

        outcome = children.run(alone)
        assert outcome.code == 0, outcome
        return outcome.value

    def _state(self, folder: Path) -> Any:
        # a copy, since even a reader changes files
        copy = self.folder / "copy"
        if folder.exists():
            shutil.copytree(folder, copy)
        state = self._in_child(lambda: state_of(copy, self.operation.base))
        shutil.rmtree(copy, ignore_errors=True)
        return state

    def reset(self) -> None:
        """Put the index before the operation into the watched folder."""
        shutil.rmtree(self.watched, ignore_errors=True)
        self.watched.mkdir()
        if self.base.exists():
            shutil.copytree(self.base, self.index)

    def perform(self, shim: Shim | None = None) -> None:
        """Open the index, do the operation, close it."""
        with open_index(self.index, self.operation.base, durability=self.durability) as index:
            self.operation.run(index)
            if shim is not None:
                shim.mark()

    def _counted(self) -> tuple[int, int]:
        counts = []
        for reads in (True, False):
            self.reset()
            shim = Shim(self.watched)
            shim.count(reads=reads)
            self.perform()
            counts.append(shim.n_calls)
        return counts[1], counts[0]

    @cached_property
    def log(self) -> list[Call]:
        """The calls of the whole operation, opening and closing included, and the mark when it was done."""
        path = self.folder / "log"

        def logged() -> None:
            self.reset()
            shim = Shim(self.watched)
            shim.log(path)
            self.perform(shim)
            shim.log(None)

        self._in_child(logged)
        return read_log(path)

    def which(self, state: Any) -> str:
        """Return which state that is: ``old``, ``new``, ``same`` where there is no difference, or ``wrong``."""
        if self.old == self.new == state:
            return "same"
        return "old" if state == self.old else "new" if state == self.new else "wrong"

    def answers(self, index: Any) -> str:
        """Return which state an open index is in."""
        return self.which(answers_of(index))
