"""One line on a terminal's stderr that says how far a long command has come."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from vecsearch.types import Progress

__all__ = ["Meter"]

_EVERY = 0.1
"""Seconds between two looks of the line."""
_BAR = 20
"""Characters of the bar."""


class Meter:
    """Counts what has been committed, and shows it where stderr is a terminal: the rate, and how long is left.

    Args:
        stream: where to show it; by default stderr.
        clock: tells the seconds.

    Attributes:
        committed: the last report.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        from vecsearch.types import Progress

        self.committed = Progress(0, 0, 0)
        self._stream = stream or sys.stderr
        self._is_shown = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._clock = clock
        self._started = clock()
        self._drawn = self._started - _EVERY  # the first report is always shown

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def __call__(self, progress: Progress) -> None:
        """Take a report of what has been committed so far."""
        self.committed = progress
        now = self._clock()
        if not self._is_shown or now - self._drawn < _EVERY:
            return
        self._drawn = now
        line = _line(progress, max(now - self._started, 1e-9))
        self._stream.write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])
        self._stream.flush()


def _line(progress: Progress, seconds: float) -> str:
    """Return what is shown of a run after some seconds, what matters most first: a terminal may be narrow."""
    counts = f"{progress.n_passages:,} passages, {progress.n_tokens:,} tokens"
    rate = f"{progress.n_tokens / seconds:,.0f} tokens/s"
    # those of ingest.FileProgress, which knows how much there is; to import it here would load the engine
    n_files, n_files_done = getattr(progress, "n_files", 0), getattr(progress, "n_files_done", 0)
    n_bytes, n_bytes_done = getattr(progress, "n_bytes", 0), getattr(progress, "n_bytes_done", 0)
    if not n_files:
        return f"{progress.n_documents:,} documents, {counts}, {rate}"
    files = f"{n_files_done:,}/{n_files:,} files"
    if not n_bytes:
        return f"{_bar(n_files_done / n_files)} {files}, {counts}, {rate}"
    amount = f"{n_bytes_done / 1e6:.1f}/{n_bytes / 1e6:.1f} MB"
    speed = f"{n_bytes_done / 1e6 / seconds:.1f} MB/s"
    if n_bytes_done:
        speed += f", {_duration(seconds * (n_bytes - n_bytes_done) / n_bytes_done)} left"
    return f"{_bar(n_bytes_done / n_bytes)} {amount}, {speed}, {files}, {counts}"


def _bar(share: float) -> str:
    n_filled = int(_BAR * share)
    return f"[{'#' * n_filled}{'.' * (_BAR - n_filled)}]"


def _duration(seconds: float) -> str:
    """Return a time as a clock shows it, in whole seconds, none left out.

    Example:
        >>> _duration(59.2), _duration(3600)
        ('1:00', '1:00:00')
    """
    minutes, left = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
