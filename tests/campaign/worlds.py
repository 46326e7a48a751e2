"""What is done again and again to copies of one index, each time broken elsewhere."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
from abc import ABC, abstractmethod
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.campaign import children
from tests.campaign.errands import ERRANDS, Errand, any_index, strays_beside
from tests.campaign.operations import (
    NEXT,
    OPERATIONS,
    Operation,
    answers_of,
    documents_of,
    make_base,
    open_index,
    quick,
    state_of,
    strays_of,
    work_on,
)
from tests.campaign.shim import Call, Shim, read_log
from vecsearch import IndexDamagedError, IndexReadOnlyError, StorageError, VecsearchError
from vecsearch.maintenance.backups import BACKUP_NAME

__all__ = ["World", "world_of"]


def world_of(folder: Path, name: str, kind: str, durability: str = "full") -> World:
    """Make the world of an operation or of an errand; see ``World``."""
    made = OperationWorld if name in OPERATIONS else ErrandWorld
    return made(folder, name, kind, durability)


class World(ABC):
    """A folder with an index before something is done, and what there is after it.

    Args:
        folder: of this world, made.
        name: of an operation or an errand.
        kind: of segments.
        durability: level at which it is done.

    Attributes:
        base: what there is before.
        watched: where it is done.
        old, new: the states before and after.
        n_calls, n_reads: writing and reading calls that it takes.
    """

    def __init__(self, folder: Path, name: str, kind: str, durability: str) -> None:
        self.folder = folder
        self.name = name
        self.kind = kind
        self.durability = durability
        self.base = folder / "base"
        self.watched = folder / "watched"
        self.index = self.watched / "index"
        self.base.mkdir(parents=True)
        self._in_child(self._prepare)
        self.reset()
        self.old = self._in_child(self._state)
        self.reset()
        self.n_calls, self.n_reads = self._in_child(self._counted)
        self.new = self._in_child(self._state)

    @abstractmethod
    def _prepare(self) -> None:
        """Make what there is before."""

    @abstractmethod
    def _state(self) -> Any:
        """Return the state of the watched folder."""

    @abstractmethod
    def perform(self, shim: Shim | None = None) -> None:
        """Do it all; let the shim mark when what was asked for is done."""

    @abstractmethod
    def attempt(self, shim: Shim, *, reads: bool) -> dict[str, str]:
        """Do it with calls that fail, reading ones or writing ones; return its ``error`` and ``which`` state then."""

    @abstractmethod
    def look(self) -> str:
        """Return which state the watched folder is in, and see that all works on."""

    def opened(self) -> str:
        """Open the indexes in the watched folder, and return a hash of all files and rows that there are then."""
        hashed = hashlib.blake2b()
        for folder in sorted({path.parent for path in self.watched.rglob("meta.db")}):
            if not (folder / BACKUP_NAME).exists():
                try:
                    with any_index(folder) as index:
                        said = json.dumps(index.info()["n_documents"])
                except VecsearchError as raised:
                    said = raised.message
                hashed.update(f"{folder.relative_to(self.watched)}: {said}\n".encode())
        for path in sorted(self.watched.rglob("*")):
            if not path.name.endswith(("-wal", "-shm")):
                hashed.update(f"{path.relative_to(self.watched)} {path.is_file()}\n".encode())
                with_log = path.name == "meta.db" and path.with_name("meta.db-wal").exists()
                content = _rows(path) if with_log else path.read_bytes() if path.is_file() else b""
                hashed.update(f"{len(content)} ".encode() + content)
        return hashed.hexdigest()

    def _in_child(self, work: Any) -> Any:
        def alone() -> Any:
            quick(self.kind)
            return work()

        outcome = children.run(alone)
        assert outcome.code == 0, outcome
        return outcome.value

    def reset(self) -> None:
        """Put what there is before into the watched folder."""
        shutil.rmtree(self.watched, ignore_errors=True)
        shutil.copytree(self.base, self.watched)

    def moved(self, watched: Path) -> World:
        """Return this world with another watched folder."""
        moved = copy(self)
        moved.watched, moved.index = watched, watched / self.index.name
        return moved

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
        """The calls of all of it, and the mark when it was done."""
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


def _rows(path: Path) -> bytes:
    """Return all rows of all tables of a database, as SQLite reads them; its bytes where it cannot."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            tables = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
            names = [name for name, sql in tables if not sql.startswith("CREATE VIRTUAL")]  # their rows are in others
            rows = [db.execute(f'SELECT * FROM "{name}"').fetchall() for name in names]
    except sqlite3.Error as raised:
        return f"{raised}\n".encode() + path.read_bytes()
    return repr((tables, rows)).encode()


class OperationWorld(World):
    """The world of an operation on an open index."""

    @property
    def operation(self) -> Operation:
        """What is done."""
        return OPERATIONS[self.name]

    def _prepare(self) -> None:
        make_base(self.base / "index", self.operation.base)

    def _state(self) -> Any:
        # a copy, since even a reader changes files
        reading = self.folder / "copy"
        if self.index.exists():
            shutil.copytree(self.index, reading)
        state = state_of(reading, self.operation.base)
        shutil.rmtree(reading, ignore_errors=True)
        return state

    def perform(self, shim: Shim | None = None) -> None:
        with open_index(self.index, self.operation.base, durability=self.durability) as index:
            self.operation.run(index)
            if shim is not None:
                shim.mark()

    def attempt(self, shim: Shim, *, reads: bool) -> dict[str, str]:
        message, which = "", ""
        try:
            index = open_index(self.index, self.operation.base, durability=self.durability)
        except VecsearchError as raised:
            return {"error": raised.message, "which": ""}
        with index:
            try:
                self.operation.run(index)
            except (StorageError, IndexReadOnlyError) as raised:
                # SQLite opens for reading what it cannot open for writing, and refuses to write later
                message = raised.message
            except IndexDamagedError as raised:
                if not reads:  # what a disk cannot read, SQLite calls damaged
                    raise
                message = raised.message
            if message:
                shim.count()
                # the same object works on
                which = self.which(answers_of(index))
                index.add([NEXT])
                problems = [*index.verify(), *strays_of(self.index)]
                assert not problems, (message, problems)
                assert NEXT.id in documents_of(index)
                index.delete([NEXT.id])
                if which == "old" and self.operation.has_steps:  # then it is the first step that is committed
                    message = message.removeprefix(f"index {self.index}: what was added or deleted is committed, ")
        shim.count()
        return {"error": message, "which": which}

    def look(self) -> str:
        state = state_of(self.index, self.operation.base)
        which = self.which(state)
        if which != "wrong":
            documents = work_on(self.index, self.operation.base)
            assert documents == ({} if state is None else state["documents"])
        return which


class ErrandWorld(World):
    """The world of an errand."""

    @property
    def errand(self) -> Errand:
        """What is done."""
        return ERRANDS[self.name]

    def _prepare(self) -> None:
        self.errand.prepare(self.base)

    def _counted(self) -> tuple[int, int]:
        n_calls, n_reads = super()._counted()
        return n_calls, n_reads if self.errand.reads else 0

    def _state(self) -> Any:
        # a copy, since even a reader changes files
        reading, scratch = self.folder / "copy", self.folder / "scratch"
        for one in (reading, scratch):
            shutil.rmtree(one, ignore_errors=True)
        shutil.copytree(self.watched, reading)
        scratch.mkdir()
        return self.errand.look(reading, scratch)

    def perform(self, shim: Shim | None = None) -> None:
        self.errand.act(self.watched)
        if shim is not None:
            shim.mark()

    def attempt(self, shim: Shim, *, reads: bool) -> dict[str, str]:
        message, which = "", ""
        try:
            self.errand.act(self.watched)
        except (StorageError, IndexReadOnlyError) as raised:
            message = raised.message
        except IndexDamagedError as raised:
            # what a disk cannot read is damaged
            if not reads and "Input/output error" not in raised.message:
                raise
            message = raised.message
        shim.count()
        if message:
            which = self.which(self._state())
            if which == "new" and self.errand.has_steps and "earlier commits are safe" in message:
                message = f"what came before is committed; {message}"
        return {"error": message, "which": which}

    def look(self) -> str:
        which = self.which(self._state())
        if which != "wrong":
            self.errand.act(self.watched)  # it can be done, or done again
            after = self.which(self._state())
            assert after in ("new", "same"), f"{which}, and done again {after}"
            strays = strays_beside(self.watched, self.errand.names)
            assert not strays, strays
        return which
