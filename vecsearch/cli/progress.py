"""One line on a terminal's stderr that says how far a long command has come."""

from __future__ import annotations

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
    """Counts what has been committed, and shows it with its rate where stderr is a terminal.

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
        rate = progress.n_tokens / max(now - self._started, 1e-9)
        done = f"{progress.n_documents:,} documents"
        n_files = getattr(progress, "n_files", 0)  # of ingest.FileProgress, which knows how many there are
        if n_files:
            n_done = getattr(progress, "n_files_done", 0)
            n_filled = _BAR * n_done // n_files
            done = f"[{'#' * n_filled}{'.' * (_BAR - n_filled)}] {n_done:,}/{n_files:,} files"
        line = f"{done}, {progress.n_passages:,} passages, {progress.n_tokens:,} tokens, {rate:,.0f} tokens/s"
        self._stream.write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])
        self._stream.flush()
