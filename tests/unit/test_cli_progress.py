import io

import pytest

from vecsearch.cli.progress import Meter
from vecsearch.ingest import FileProgress
from vecsearch.types import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_the_counts_and_is_left_clean() -> None:
    terminal = Terminal()
    with Meter(terminal) as meter:
        meter(Progress(1234, 5678, 90123))
    written = terminal.getvalue()
    assert "1,234 documents, 5,678 passages, 90,123 tokens" in written
    assert "tokens/s" in written
    assert written.endswith("\r\x1b[K")


def test_where_the_number_of_files_is_known_there_is_a_bar() -> None:
    terminal = Terminal()
    with Meter(terminal) as meter:
        meter(FileProgress(2, 3, 4, n_files_done=30, n_files=40))
    assert "[###############.....] 30/40 files, 3 passages, 4 tokens, " in terminal.getvalue()


def test_anything_else_sees_nothing() -> None:
    stream = io.StringIO()
    with Meter(stream) as meter:
        meter(Progress(1, 1, 1))
    assert stream.getvalue() == ""
    assert meter.committed == Progress(1, 1, 1)


def test_reports_that_follow_at_once_are_counted_but_not_drawn() -> None:
    terminal = Terminal()
    times = iter([0.0, 0.01, 0.02, 0.2])
    with Meter(terminal, clock=lambda: next(times)) as meter:
        for number in (1, 2, 4):
            meter(Progress(number, number, number))
    written = terminal.getvalue()
    assert "1 documents" in written
    assert "2 documents" not in written
    assert "4 documents, 4 passages, 4 tokens, 20 tokens/s" in written
    assert meter.committed.n_documents == 4


def test_where_the_bytes_are_known_the_rate_and_the_time_left_are_shown() -> None:
    terminal = Terminal()
    times = iter([0.0, 5.0, 10.0, 30.0])
    with Meter(terminal, clock=lambda: next(times)) as meter:
        meter(FileProgress(0, 0, 0, n_files_done=0, n_files=2, n_bytes_done=0, n_bytes=40_000_000))
        meter(FileProgress(1, 2, 3_000, n_files_done=1, n_files=2, n_bytes_done=4_000_000, n_bytes=40_000_000))
        meter(FileProgress(1, 2, 3_000, n_files_done=1, n_files=2, n_bytes_done=39_000_000, n_bytes=40_000_000))
    lines = terminal.getvalue().split("\r\x1b[K")
    assert lines[1].startswith("[....................] 0.0/40.0 MB, 0.0 MB/s, 0/2 files, ")
    assert lines[2].startswith("[##..................] 4.0/40.0 MB, 0.4 MB/s, 1:30 left, 1/2 files, 2 passages")
    assert lines[3].startswith("[###################.] 39.0/40.0 MB, 1.3 MB/s, 0:01 left, ")


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (0.1, "0:01"), (61, "1:01"), (3_725, "1:02:05")])
def test_what_is_left_is_shown_as_a_clock_shows_it(seconds: float, shown: str) -> None:
    terminal = Terminal()
    times = iter([0.0, 1.0])
    done = 1_000_000_000
    with Meter(terminal, clock=lambda: next(times)) as meter:
        meter(FileProgress(1, 1, 1, 1, 1, n_bytes_done=done, n_bytes=done + round(done * seconds)))
    assert f"MB/s, {shown} left, " in terminal.getvalue()
