"""The library that breaks I/O calls: how it is built, loaded into a process, and told what to do."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Call", "Shim", "build", "environment", "lacking", "read_log"]

SOURCE = Path(__file__).with_name("faults.c")
_EXIT, _FAIL, _TEAR, _STOP = 1, 2, 3, 4
_WRITES, _READS = 1, 2
_HEAD = struct.Struct("<biqqHH")


def lacking() -> str | None:
    """Return what this machine lacks to break I/O calls, None where it has all."""
    if sys.platform != "linux":
        return "LD_PRELOAD and the system calls of Linux are needed"
    if shutil.which("cc") is None:
        return "there is no C compiler (cc)"
    return None


def build(folder: Path) -> Path:
    """Compile the library into a folder and return its file."""
    library = folder / "faults.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, SOURCE, "-lpthread"], check=True
    )
    return library


def environment(library: Path) -> dict[str, str]:
    """Return the environment of a process that is to have the library."""
    # one thread: FAISS' threads would wait for each other on few cores, and do not survive a fork
    return {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Shim:
    """Tells the library of this process what to do.

    A call is one that opens, writes, truncates, syncs, renames or removes a file, or makes or removes a folder, below
    the watched folder or with that folder itself. Numbers of calls begin with 1, anew with each order.
    """

    def __init__(self, watched: Path) -> None:
        self._library = ctypes.CDLL(None)
        self._library.faults_count.restype = ctypes.c_long
        self._library.faults_watch(os.fsencode(watched))

    def _arm(self, action: int, n: int, error: int = 0, for_good: bool = False, kinds: int = _WRITES) -> None:
        self._library.faults_arm(action, ctypes.c_long(n), error, int(for_good), kinds)

    def count(self, *, reads: bool = False) -> None:
        """Only count: writing calls, or reading ones."""
        self._arm(0, 0, kinds=_READS if reads else _WRITES)

    def exit_at(self, n: int) -> None:
        """End the process at once, before the n-th call."""
        self._arm(_EXIT, n)

    def tear_at(self, n: int) -> None:
        """End the process at once after half of the n-th call is written; where that writes nothing, do nothing."""
        self._arm(_TEAR, n)

    def stop_at_all(self, torn: int, first: int = 0) -> None:
        """Stop the process before every call, until it is let go on.

        Where every ``torn``-th call writes, from the ``first`` on, it is stopped half-way as well.
        """
        self._arm(_STOP, torn, first % torn)

    def fail_at(self, n: int, error: int, *, for_good: bool, reads: bool = False) -> None:
        """Let the n-th call fail with an error number, or it and all after it."""
        self._arm(_FAIL, n, error, for_good, _READS if reads else _WRITES)

    @property
    def n_calls(self) -> int:
        """How many calls there were since the last order."""
        return int(self._library.faults_count())

    def log(self, path: Path | None) -> None:
        """Record every call that changes something, with what it writes, into a file; None: no more."""
        self._library.faults_log(None if path is None else os.fsencode(path))

    def mark(self) -> None:
        """Record that what was asked for was done."""
        self._library.faults_mark()


@dataclass(frozen=True)
class Call:
    """One call of the log.

    Attributes:
        kind: ``c`` made and opened, ``o`` opened, ``t`` opened and emptied, ``x`` closed, ``w`` written, ``l`` length
            set, ``s`` synced, ``r`` renamed, ``u`` removed, ``m`` folder made, ``d`` folder removed, ``a`` the mark.
        file: descriptor, −1 where a path is meant.
        offset: of what is written; the new length.
        path, other: of the file; its new name.
        content: that is written.
    """

    kind: str
    file: int
    offset: int
    path: str
    other: str
    content: bytes


def read_log(path: Path) -> list[Call]:
    """Return the calls that were recorded."""
    return list(_calls(path.read_bytes()))


def _calls(log: bytes) -> Iterator[Call]:
    place = 0
    while place < len(log):
        kind, file, offset, length, n_path, n_other = _HEAD.unpack_from(log, place)
        place += _HEAD.size
        path, other = log[place : place + n_path], log[place + n_path : place + n_path + n_other]
        place += n_path + n_other
        content = log[place : place + length] if chr(kind) == "w" else b""
        place += len(content)
        yield Call(chr(kind), file, offset, os.fsdecode(path), os.fsdecode(other), content)
