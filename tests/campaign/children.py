"""Work done in a forked child, so that it may die, hang or be killed."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Outcome", "Running", "run", "start"]

LONGEST = 30.0
"""Seconds in which work must do something; that in which it does next to nothing hangs."""
_NOTHING = 0.05
"""Seconds of processor time: what looking whether a thread lives takes meanwhile."""
_PAUSE = 0.0002
"""Seconds between two looks whether it has stopped."""
_MOST = 20
"""So many times as long work may take in all."""


@dataclass(frozen=True)
class Outcome:
    """How work ended.

    Attributes:
        code: exit code; below 0 the number of the signal that ended it; None: it hung, and was killed.
        value: what it returned, through JSON; None where it did not return.
        error: its traceback, "" where it raised nothing.
        lines: what it has said.
    """

    code: int | None
    value: Any
    error: str
    lines: list[str]

    def __str__(self) -> str:
        return f"exit {self.code}: {self.error or self.value}"


class Running:
    """Work that was started."""

    def __init__(self, process: int, pipe: int) -> None:
        self.process = process
        self._pipe = pipe
        self._read = b""

    def signal(self, number: int) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, number)

    def wait_for_line(self, seconds: float = LONGEST) -> bool:
        """Wait until it has said something. Returns whether it did."""
        return self._take(seconds)

    def _take(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._pipe], [], [], max(seconds, 0))
        if not ready:
            return False
        piece = os.read(self._pipe, 1 << 16)
        self._read += piece
        return bool(piece)

    def _used(self) -> float:
        """Return the seconds of processor time that it has used."""
        try:
            fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stops(self, seconds: float = LONGEST) -> Iterator[None]:
        """Wait until it has stopped itself; let it go on when the next time is asked for, until it ends.

        Where it does neither for so long, it is killed.
        """
        until = time.monotonic() + _MOST * seconds
        while True:
            how = os.waitid(os.P_PID, self.process, os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if how is None:
                if time.monotonic() > until:
                    self.signal(signal.SIGKILL)
                time.sleep(_PAUSE)
                continue
            if how.si_code != os.CLD_STOPPED:
                return
            os.waitid(os.P_PID, self.process, os.WSTOPPED)
            yield
            self.signal(signal.SIGCONT)
            until = time.monotonic() + _MOST * seconds

    def end(self, seconds: float = LONGEST) -> Outcome:
        """Wait for its end, and kill it where that does not come: it does nothing for so long, or works ever on.

        Beside other work a process gets little time, so it is its own that counts.
        """
        last = time.monotonic() + _MOST * seconds
        until, used = time.monotonic() + seconds, self._used()
        is_hanging = False
        while True:
            if self._take(until - time.monotonic()):
                continue
            now = time.monotonic()
            if now < until:
                break
            before, used = used, self._used()
            until = now + seconds
            if used - before < _NOTHING or now > last:
                is_hanging = True
                self.signal(signal.SIGKILL)
        os.close(self._pipe)
        _, status = os.waitpid(self.process, 0)
        *lines, _ = self._read.decode().split("\n")
        value, error = None, ""
        if lines and lines[-1].startswith("{"):
            ended = json.loads(lines.pop())
            value, error = ended["value"], ended["error"]
        return Outcome(None if is_hanging else os.waitstatus_to_exitcode(status), value, error, lines)


def start(work: Callable[[Callable[[str], None]], object]) -> Running:
    """Start work in a forked child; it gets a function by which it says a line, and returns what JSON can hold."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return Running(process, reading)
    os.close(reading)

    def say(line: str) -> None:
        os.write(writing, f"{line}\n".encode())

    value, error = None, ""
    try:
        value = work(say)
    except BaseException:
        error = traceback.format_exc()
    ended = json.dumps({"value": value, "error": error}) + "\n"
    with open(writing, "wb", buffering=0, closefd=False) as pipe:
        content = ended.encode()
        while content:
            content = content[pipe.write(content) :]
    os._exit(1 if error else 0)


def run(work: Callable[[], object], seconds: float = LONGEST) -> Outcome:
    """Do work in a forked child, to its end."""
    return start(lambda _: work()).end(seconds)
