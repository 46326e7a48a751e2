"""Every I/O call of every operation: the process ends there, or the call fails."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.campaign import children
from tests.campaign.operations import quick
from tests.campaign.shim import Shim
from tests.campaign.worlds import World, world_of

__all__ = ["Looks", "ends", "failures", "look"]

WAYS = [(error, for_good) for for_good in (False, True) for error in (errno.EIO, errno.ENOSPC, errno.EMFILE)]
"""How a call fails: with which error, and whether all after it fail as well …"""
WAYS.insert(3, (errno.EINTR, False))  # … for a system that interrupts every call for ever is none
COMMITTED = "is committed"
"""What the message of an error says where what was asked for is done all the same …"""
UNCERTAIN = "wholly or not at all"
"""… and where nobody can say whether it is."""


class Looks:
    """What was seen in the states of a world: those that are equal byte for byte are looked at once."""

    def __init__(self, world: World, how: Callable[[World], children.Outcome] | None = None) -> None:
        """``how``: to look, if not by ``look``."""
        self._world = world
        self._how = how or look
        self._seen: dict[bytes, children.Outcome] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def look(self, *facts: bool) -> children.Outcome:
        """Look at the watched folder; ``facts``: where they differ, states count as different."""
        key = self._world.digest() + bytes(facts)
        if key not in self._seen:
            self._seen[key] = self._how(self._world)
        return self._seen[key]


def look(world: World) -> children.Outcome:
    """See in a process of its own which state there is, and that all works on."""

    def looked() -> str:
        quick(world.kind)
        return world.look()

    return children.run(looked)


def ends(folder: str, name: str, kind: str, durability: str, n_at_most: int, seed: int) -> dict[str, Any]:
    """End the process at every I/O call, and in the middle of every write.

    Args:
        folder: to work in.
        name, kind, durability: see ``World``.
        n_at_most: calls that are tried; where there are more, every second, third … one.
        seed: of where to begin then.
    """
    world = world_of(Path(folder), name, kind, durability)
    looks = Looks(world)
    seen: Counter[str] = Counter()
    wrong = []
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
            found = looks.look()
            seen[f"{found.value}"] += 1
            if ended.code != 77 or found.code != 0 or found.value == "wrong":
                wrong.append(f"{name}, {kind}, call {n} of {world.n_calls}, torn {is_torn}: {ended}; {found}")
    return {"n": seen.total(), "different": len(looks), "seen": seen, "wrong": wrong}


def chosen(n_calls: int, n_at_most: int, seed: int) -> Iterator[int]:
    """Return which calls are tried: all, or so many evenly."""
    step = max(1, -(-n_calls // n_at_most))
    return iter(range(1 + seed % step, n_calls + 1, step))


def failures(folder: str, name: str, kind: str, durability: str, n_at_most: int, seed: int) -> dict[str, Any]:
    """Let every I/O call fail, writing ones and reading ones: once or for good, with one error after the other.

    Args:
        n_at_most: cases that are tried of each kind of call; 0: all calls with all errors.
        Others: see ``ends``.
    """
    world = world_of(Path(folder), name, kind, durability)
    looks = Looks(world)
    seen: Counter[str] = Counter()
    wrong = []
    for reads, n_calls in ((False, world.n_calls), (True, world.n_reads)):
        cases = [(n, *way) for n in range(1, n_calls + 1) for way in WAYS]
        if n_at_most:
            # each call with another way than the one before it
            some = chosen(n_calls, n_at_most, seed)
            cases = [(n, *WAYS[(place + seed) % len(WAYS)]) for place, n in enumerate(some)]
        for n, error, for_good in cases:
            world.reset()
            ended = children.run(lambda n=n, e=error, g=for_good, r=reads: _failing(world, n, e, g, r))  # type: ignore[misc]
            found = looks.look()
            seen[f"{found.value}"] += 1
            if _is_wrong(ended, found):
                how = f"{'read' if reads else 'call'} {n} of {n_calls} {errno.errorcode[error]}, for good {for_good}"
                wrong.append(f"{name}, {kind}, {how}: {ended}; then {found}")
    return {"n": seen.total(), "different": len(looks), "seen": seen, "wrong": wrong}


def _failing(world: World, n: int, error: int, for_good: bool, reads: bool) -> Any:
    quick(world.kind)
    shim = Shim(world.watched)
    shim.fail_at(n, error, for_good=for_good, reads=reads)
    return world.attempt(shim, reads=reads)


def _is_wrong(ended: children.Outcome, found: children.Outcome) -> bool:
    if ended.code != 0 or found.code != 0 or found.value == "wrong" or ended.value["which"] == "wrong":
        return True
    message, which = ended.value["error"], found.value
    if not message:
        return which == "old"  # it said that it was done
    if which == "new":
        return COMMITTED not in message and UNCERTAIN not in message
    return which == "old" and COMMITTED in message
