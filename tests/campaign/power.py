"""What a power loss may leave: the recorded calls of an operation, replayed with what was not synced lost or torn.

The model is hard on a program: only what was synced is safe. Of all else, each write and each change of a folder may
have come to the disk or not, in any order, and of a write some sectors only. What a folder holds is safe when the
folder was synced, not when the file was.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.campaign.faults import Case, Looks, look
from tests.campaign.operations import open_index, state_of
from tests.campaign.shim import Call
from tests.campaign.worlds import OperationWorld, World, world_of
from vecsearch import IndexNotFoundError

__all__ = ["Replay", "losses"]

SECTOR = 512
Fate = Literal["lost", "kept", "first", "some", "names", "contents"]
FATES: tuple[Fate, ...] = ("lost", "kept", "first", "some", "some", "names", "contents")
"""Of what was not synced comes to the disk: nothing, all, all up to some call, some, changes of folders, contents."""


@dataclass(frozen=True)
class _Change:
    """A change of a folder: a name made, a name gone, or both; where ``file`` is None, of a folder with all in it."""

    made: str | None
    gone: str | None
    file: _File | None = None

    @property
    def folders(self) -> set[str]:
        """The folders that change. To sync one of them makes the change safe, as file systems with a log do."""
        return {str(Path(name).parent) for name in (self.made, self.gone) if name is not None}

    def apply(self, names: dict[str, _File | None]) -> None:
        """Do it, unless what must be there for it is not."""
        if self.file is not None or self.gone is None or self.made is None:
            if self.gone is not None:
                names.pop(self.gone, None)
            if self.made is not None:
                names[self.made] = self.file
            return
        moved = {name: file for name, file in names.items() if name == self.gone or name.startswith(f"{self.gone}/")}
        if not any(name.startswith(f"{self.made}/") for name in names):
            for name, file in moved.items():
                del names[name]
                names[self.made + name[len(self.gone) :]] = file


@dataclass
class _File:
    """A file, whatever its name: what is safe of it, and what was done since."""

    content: bytearray = field(default_factory=bytearray)
    waiting: list[tuple[int, int, bytes | None]] = field(default_factory=list)  # number, offset or length, what


class Replay:
    """The disk below a folder, as calls change it.

    Args:
        root: of the folder when it was recorded.
        before: what was there, safe.
    """

    def __init__(self, root: Path, before: Path) -> None:
        self._root = str(root)
        self._names: dict[str, _File | None] = {self._root: None}  # safe; None: a folder
        self._now: dict[str, _File | None] = {}
        self._waiting: list[tuple[int, _Change]] = []  # with the number of the call
        self._open: dict[int, _File | str] = {}
        self._number = 0
        for path in sorted(before.rglob("*")):
            name = str(root / path.relative_to(before))
            self._names[name] = None if path.is_dir() else _File(bytearray(path.read_bytes()))
        self._now.update(self._names)

    def take(self, call: Call) -> None:
        """Do what a call did."""
        self._number += 1
        match call.kind:
            case "c":
                made = _File()
                self._open[call.file] = made
                self._change(_Change(call.path, None, made))
            case "o" | "t":
                found = self._now.get(call.path)
                self._open[call.file] = call.path if found is None else found
                if call.kind == "t" and found is not None:
                    found.waiting.append((self._number, 0, None))
            case "x":
                self._open.pop(call.file, None)
            case "w":
                self._file(call.file).waiting.append((self._number, call.offset, call.content))
            case "l":
                self._file(call.file).waiting.append((self._number, call.offset, None))
            case "s":
                self._sync(self._open[call.file])
            case "r":
                self._change(_Change(call.other, call.path, self._now[call.path]))
            case "u" | "d":
                self._change(_Change(None, call.path))
            case "m":
                self._change(_Change(call.path, None))

    def _file(self, descriptor: int) -> _File:
        found = self._open[descriptor]
        assert isinstance(found, _File)
        return found

    def _change(self, change: _Change) -> None:
        self._waiting.append((self._number, change))
        change.apply(self._now)

    def _sync(self, what: _File | str) -> None:
        if isinstance(what, _File):
            for _, place, content in what.waiting:
                _write(what.content, place, content)
            what.waiting.clear()
            return
        kept = []
        for number, change in self._waiting:
            if what in change.folders:
                change.apply(self._names)
            else:
                kept.append((number, change))
        self._waiting = kept

    def leave(self, folder: Path, fate: Fate, chance: random.Random) -> None:
        """Write what a power loss leaves now into an empty folder."""
        last = chance.randrange(self._number + 2)

        def is_kept(number: int, is_name: bool) -> bool:
            match fate:
                case "lost" | "kept":
                    return fate == "kept"
                case "first":
                    return number < last
                case "names" | "contents":
                    return is_name == (fate == "names")
            return chance.random() < 0.6

        names = dict(self._names)
        for number, change in self._waiting:
            if is_kept(number, True):
                change.apply(names)
        for name in sorted(names):
            parents = {str(parent) for parent in Path(name).parents if str(parent).startswith(self._root)}
            if name.endswith("-shm") or not parents <= names.keys():
                continue
            path, file = folder / Path(name).relative_to(self._root), names[name]
            if file is None:
                path.mkdir(exist_ok=True)
                continue
            content = bytearray(file.content)
            for number, place, written in file.waiting:
                if is_kept(number, False):
                    _write(content, place, written, chance if fate == "some" and chance.random() < 0.4 else None)
                elif written is not None and fate == "some" and chance.random() < 0.3:
                    # the file has grown, but zeros are all there is
                    content.extend(bytes(max(0, place + len(written) - len(content))))
            path.write_bytes(content)
            if path.name == "meta.db" and chance.random() < 0.3:
                path.with_name("meta.db-shm").write_bytes(chance.randbytes(32768))


def _write(content: bytearray, place: int, written: bytes | None, torn: random.Random | None = None) -> None:
    if written is None:
        del content[place:]
        content.extend(bytes(place - len(content)))
        return
    content.extend(bytes(max(0, place - len(content))))
    if torn is None:
        content[place : place + len(written)] = written
        return
    # some sectors have come to the disk, others are as they were
    content.extend(bytes(max(0, place + len(written) - len(content))))
    for begin in range(0, len(written), SECTOR):
        if torn.random() < 0.5:
            content[place + begin : place + begin + SECTOR] = written[begin : begin + SECTOR]


def losses(
    folder: str, name: str, kind: str, durability: str, n_states: int, seed: int, is_brief: bool = False
) -> dict[str, Any]:
    """Lose the power at random moments of an operation, and look at what that leaves.

    Args:
        n_states: how many times; states that are equal byte for byte are looked at once.
        Others: see ``faults.ends``.
    """
    world = world_of(Path(folder), name, kind, durability)
    chance = random.Random(f"{seed} {name} {kind}")
    done = next(number for number, call in enumerate(world.log) if call.kind == "a")
    looks = Looks(world, _look_at_fast if durability == "fast" else look, is_brief=is_brief)
    cases = []
    for number in range(n_states):
        # what was acknowledged is at stake in the few calls after that
        n_calls = (
            chance.randrange(len(world.log) + 1) if chance.random() < 0.6 else chance.randint(done + 1, len(world.log))
        )
        replay = Replay(world.watched, world.base)
        for call in world.log[:n_calls]:
            replay.take(call)
        shutil.rmtree(world.watched, ignore_errors=True)
        world.watched.mkdir()
        fate = chance.choice(FATES)
        replay.leave(world.watched, fate, chance)
        is_done = n_calls > done
        how = f"state {number}: {fate} after {n_calls} calls, done {is_done}"
        not_old = is_done and durability == "full"  # it would be lost
        cases.append(Case(how, looks.take(world.watched), lambda which, no=not_old: no and which == "old"))  # type: ignore[misc]
    return looks.judged(cases)


def _look_at_fast(world: World) -> str:
    """Look at what a power loss leaves of an operation that synced little: its documents are whole, segments mended."""
    assert isinstance(world, OperationWorld)
    base = world.operation.base
    with contextlib.suppress(IndexNotFoundError), open_index(world.index, base or "made") as index:
        index.compact()
    which = world.which(state_of(world.index, base))
    return which if which == "wrong" else look(world)
