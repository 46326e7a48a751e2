"""Every I/O call of every operation: the process ends there, or the call fails."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.campaign import children
from tests.campaign.operations import digest, quick
from tests.campaign.shim import Shim
from tests.campaign.worlds import World, world_of

__all__ = ["Case", "Looks", "ends", "failures", "look", "stops"]

_TOGETHER = 16
"""States that one process looks at where looks are brief."""
WAYS = [(error, for_good) for for_good in (False, True) for error in (errno.EIO, errno.ENOSPC, errno.EMFILE)]
"""How a call fails: with which error, and whether all after it fail as well …"""
WAYS.insert(3, (errno.EINTR, False))  # … for a system that interrupts every call for ever is none
COMMITTED = "is committed"
"""What the message of an error says where what was asked for is done all the same …"""
UNCERTAIN = "wholly or not at all"
"""… and where nobody can say whether it is."""


def look(world: World) -> str:
    """Return which state a world is in, and see that all works on."""
    return world.look()


@dataclass(frozen=True)
class Case:
    """What was broken.

    Attributes:
        how: it was broken, and what came of it.
        state: that was left, by the name that ``Looks`` has given it.
        is_wrong: whether that must not be, given which state it is; "wrong" itself never may.
    """

    how: str
    state: bytes
    is_wrong: Callable[[str], bool]


class Looks:
    """What is seen in states of a world: those that are equal byte for byte are looked at once.

    Args:
        world: whose states they are.
        how: says which state the world is in, and raises where not all works on.
        is_brief: let one process look at several states, one after the other, and where opening them gives the same
            files and rows, look at the first of them only. Where one is not as it must be, each of these several is
            looked at by a process of its own, and that is what counts.
        but_for: how names of files end whose contents make no difference.
    """

    def __init__(
        self,
        world: World,
        how: Callable[[World], str] = look,
        *,
        is_brief: bool = False,
        but_for: str | None = None,
    ) -> None:
        self._world = world.moved(world.folder / "seen")
        self._how = how
        self._is_brief = is_brief
        self._but_for = but_for
        self._states = world.folder / "states"
        self._waiting: dict[bytes, Path] = {}
        self._seen: dict[bytes, children.Outcome] = {}
        self._known: dict[str, str] = {}

    def take(self, folder: Path) -> bytes:
        """Take the state that a folder is in, and return its name."""
        name = digest(folder, self._but_for)
        if name not in self._seen and name not in self._waiting:
            self._waiting[name] = self._states / name.hex()
            shutil.copytree(folder, self._waiting[name])
            if len(self._waiting) == (_TOGETHER if self._is_brief else 1):
                self._look()
        return name

    def __getitem__(self, name: bytes) -> children.Outcome:
        """What was seen in a state that was taken."""
        if name in self._waiting:
            self._look()
        return self._seen[name]

    def judged(self, cases: Iterable[Case]) -> dict[str, Any]:
        """Return how many cases there were, what was seen, and what is wrong."""
        seen: Counter[str] = Counter()
        wrong = []
        for case in cases:
            found = self[case.state]
            seen[f"{found.value}"] += 1
            if found.code != 0 or found.value == "wrong" or case.is_wrong(found.value):
                wrong.append(f"{self._world.name}, {self._world.kind}, {case.how}; then {found}")
        n_opened = {"different when opened": len(self._known)} if self._is_brief else {}
        return {"n": seen.total(), "different": len(self._seen), **n_opened, "seen": seen, "wrong": wrong}

    def _look(self) -> None:
        states = list(self._waiting.values())
        looked = children.run(lambda: self._which(states)) if self._is_brief else None
        if looked is not None and looked.code == 0 and "wrong" not in looked.value[0]:
            values, self._known = looked.value
            outcomes = [replace(looked, value=value) for value in values]
        else:
            outcomes = [children.run(lambda state=state: self._alone(state)) for state in states]  # type: ignore[misc]
        self._seen.update(zip(self._waiting, outcomes, strict=True))
        self._waiting.clear()
        shutil.rmtree(self._states)

    def _alone(self, state: Path) -> str:
        quick(self._world.kind)
        self._put(state)
        return self._how(self._world)

    def _which(self, states: list[Path]) -> tuple[list[str], dict[str, str]]:
        quick(self._world.kind)
        which, known = [], dict(self._known)
        for state in states:
            self._put(state)
            opened = self._world.opened()
            if opened not in known:
                self._put(state)
                known[opened] = self._how(self._world)
            which.append(known[opened])
        return which, known

    def _put(self, state: Path) -> None:
        shutil.rmtree(self._world.watched, ignore_errors=True)
        shutil.copytree(state, self._world.watched)


def stops(folder: str, name: str, kind: str, seed: int, torn: int = 1, is_brief: bool = False) -> dict[str, Any]:
    """Stop the process before every I/O call, and in the middle of writes, and look at what its files hold then.

    That is what a process leaves that ends there: its files stay as they are. Once the new state is seen, the old one
    must not come back. What SQLite shares between processes (``meta.db-shm``) it makes anew when none is left
    (https://sqlite.org/walformat.html, "The WAL-Index File Format"), so it makes no state another one.

    Args:
        folder: to work in.
        name, kind: see ``World``.
        seed: which writes it is stopped in the middle of as well …
        torn: … where every so-many-th call writes.
        is_brief: see ``Looks``.
    """
    world = world_of(Path(folder), name, kind)
    looks = Looks(world, is_brief=is_brief, but_for="-shm")

    def stopping() -> None:
        quick(world.kind)
        shim = Shim(world.watched)
        shim.stop_at_all(torn, seed)
        world.perform()

    world.reset()
    with tempfile.TemporaryDirectory() as kept:  # on the disk, for they are many
        running = children.start(lambda _: stopping())
        copies = [shutil.copytree(world.watched, Path(kept, str(n))) for n, _ in enumerate(running.stops())]
        ended = running.end()
        # only now the process is dead, and what its files say of it is known to be stale
        states = [looks.take(copy) for copy in (*copies, world.watched)]
    assert ended.code == 0, ended
    values = [looks[state].value for state in states]
    first = values.index("new") if "new" in values else len(values)

    def case(number: int, state: bytes) -> Case:
        return Case(f"stop {number} of {len(states)}", state, lambda which: number > first and which == "old")

    return {"n_calls": world.n_calls, **looks.judged(case(*one) for one in enumerate(states))}


def ends(
    folder: str, name: str, kind: str, durability: str, n_at_most: int, seed: int, is_brief: bool = False
) -> dict[str, Any]:
    """End the process at every I/O call, and in the middle of every write.

    Args:
        folder: to work in.
        name, kind, durability: see ``World``.
        n_at_most: calls that are tried; where there are more, every second, third … one.
        seed: of where to begin then.
        is_brief: see ``Looks``.
    """
    world = world_of(Path(folder), name, kind, durability)
    looks = Looks(world, is_brief=is_brief)
    cases = []
    for n in chosen(world.n_calls, n_at_most, seed):
        for is_torn in (False, True):
            world.reset()

            def broken(n: int = n, is_torn: bool = is_torn) -> None:
                quick(world.kind)
                shim = Shim(world.watched)
                shim.tear_at(n) if is_torn else shim.exit_at(n)
                world.perform()

            ended = children.run(broken)
            if is_torn and ended.code == 0:
                continue  # it was no write
            how = f"call {n} of {world.n_calls}, torn {is_torn}: {ended}"
            is_other = ended.code != 77
            cases.append(Case(how, looks.take(world.watched), lambda _, is_other=is_other: is_other))  # type: ignore[misc]
    return looks.judged(cases)


def chosen(n_calls: int, n_at_most: int, seed: int) -> Iterator[int]:
    """Return which calls are tried: all, or so many evenly."""
    step = max(1, -(-n_calls // n_at_most))
    return iter(range(1 + seed % step, n_calls + 1, step))


def failures(
    folder: str, name: str, kind: str, durability: str, n_at_most: int, seed: int, is_brief: bool = False
) -> dict[str, Any]:
    """Let every I/O call fail, writing ones and reading ones: once or for good, with one error after the other.

    Args:
        n_at_most: cases that are tried of each kind of call; 0: all calls with all errors.
        Others: see ``ends``.
    """
    world = world_of(Path(folder), name, kind, durability)
    looks = Looks(world, is_brief=is_brief)
    done = []
    for reads, n_calls in ((False, world.n_calls), (True, world.n_reads)):
        cases = [(n, *way) for n in range(1, n_calls + 1) for way in WAYS]
        if n_at_most:
            # each call with another way than the one before it
            some = chosen(n_calls, n_at_most, seed)
            cases = [(n, *WAYS[(place + seed) % len(WAYS)]) for place, n in enumerate(some)]
        for n, error, for_good in cases:
            world.reset()
            ended = children.run(lambda n=n, e=error, g=for_good, r=reads: _failing(world, n, e, g, r))  # type: ignore[misc]
            how = (
                f"{'read' if reads else 'call'} {n} of {n_calls} {errno.errorcode[error]}, for good {for_good}: {ended}"
            )
            done.append(Case(how, looks.take(world.watched), partial(_is_wrong, ended)))
    return looks.judged(done)


def _failing(world: World, n: int, error: int, for_good: bool, reads: bool) -> Any:
    quick(world.kind)
    shim = Shim(world.watched)
    shim.fail_at(n, error, for_good=for_good, reads=reads)
    return world.attempt(shim, reads=reads)


def _is_wrong(ended: children.Outcome, which: str) -> bool:
    if ended.code != 0 or ended.value["which"] == "wrong":
        return True
    message = ended.value["error"]
    if not message:
        return which == "old"  # it said that it was done
    if which == "new":
        return COMMITTED not in message and UNCERTAIN not in message
    return which == "old" and COMMITTED in message
