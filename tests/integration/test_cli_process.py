"""The program as a process: signals, closed pipes, full disks, terminals."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vecsearch import Document, Index, Pipeline

PROGRAM = [sys.executable, "-m", "vecsearch"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses pseudo-terminals and POSIX signals")


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory, default_pipeline: Pipeline) -> Path:
    folder = tmp_path_factory.mktemp("indexes")
    with Index.create(folder / "notes", pipeline=default_pipeline) as index:
        index.add(Document(str(number), f"note {number} about a dog and \x1b[2J a man") for number in range(300))
    return folder


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "VECSEARCH_DEBUG")}
    return {**kept, "TERM": "xterm", "COLUMNS": "", **changes}


class Terminal:
    """A pseudo-terminal, of which the process under test gets one end."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        self.seen = ""

    def read_until(self, pattern: str) -> str:
        """Return what is written up to a match; fails when the other end is closed before that."""
        while not re.search(pattern, self.seen):
            try:
                some = os.read(self.ours, 4096)
            except OSError:  # Linux says EIO when the last process has let go of the other end
                some = b""
            assert some, f"{pattern!r} never came, only {self.seen!r}"
            self.seen += some.decode()
        return self.seen

    def read_all(self) -> str:
        """Return everything written until the other end is closed."""
        os.close(self.theirs)
        while True:
            try:
                some = os.read(self.ours, 4096)
            except OSError:
                some = b""
            if not some:
                return self.seen
            self.seen += some.decode()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal()
    yield opened
    for number in (opened.ours, opened.theirs):
        try:
            os.close(number)
        except OSError:
            continue


def test_a_reader_that_goes_away_ends_the_program_quietly(indexes: Path) -> None:
    for arguments in (["search", "dog", "-k", "300", "--json"], ["list", "-i", "notes"], ["get", "1"], ["plugins"]):
        reading, writing = os.pipe()
        os.close(reading)
        command = [*PROGRAM, "--indexes", str(indexes), *arguments]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, env=environment())
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, b""), arguments


def test_the_head_of_a_long_output_arrives(indexes: Path) -> None:
    command = [*PROGRAM, "--indexes", str(indexes), "search", "dog", "-k", "300", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["rank"] == 1
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_an_output_that_cannot_be_written_is_one_line_and_code_1(indexes: Path) -> None:
    with open("/dev/full", "wb") as full:
        command = [*PROGRAM, "--indexes", str(indexes), "search", "dog", "-k", "300"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, env=environment())
    assert done.returncode == 1
    assert done.stderr == b"Error: stdout: No space left on device\n"


def test_on_a_terminal_hits_are_colored_and_made_safe(indexes: Path, terminal: Terminal) -> None:
    command = [*PROGRAM, "--indexes", str(indexes), "search", "dog", "-k", "1"]
    subprocess.run(command, stdout=terminal.theirs, check=True, env=environment())
    seen = terminal.read_all()
    assert "\x1b[31m\x1b[1mdog\x1b[0m" in seen
    assert "␛[2J" in seen
    assert "\x1b[2J" not in seen


@pytest.mark.parametrize("changes", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_color_gets_none(indexes: Path, terminal: Terminal, changes: dict[str, str]) -> None:
    command = [*PROGRAM, "--indexes", str(indexes), "search", "dog", "-k", "1"]
    subprocess.run(command, stdout=terminal.theirs, check=True, env=environment(**changes))
    assert "\x1b" not in terminal.read_all()


def test_an_encoding_without_the_characters_is_no_failure(indexes: Path) -> None:
    for arguments in (["get", "1"], ["search", "dog", "-k", "1"], ["search", "dog", "-k", "1", "--json"]):
        command = [*PROGRAM, "--indexes", str(indexes), *arguments]
        done = subprocess.run(
            command, capture_output=True, check=False, env=environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.isascii()


def test_ctrl_c_keeps_what_is_committed_and_says_so(tmp_path: Path, terminal: Terminal) -> None:
    lines = [json.dumps({"id": f"{number:05}", "text": f"note {number} " + 60 * "dog "}) for number in range(12_000)]
    # a test run in the background of a shell ignores SIGINT, and its children would inherit that
    heeding = "import signal; signal.signal(2, signal.default_int_handler); from vecsearch.cli import main; main()"
    command = [sys.executable, "-c", heeding, "--indexes", str(tmp_path), "add", "-", "-i", "mail"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=terminal.theirs,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("".join(line + "\n" for line in lines).encode())
        process.stdin.flush()
        # stdin stays open: the program waits for more when the signal comes
        terminal.read_until(r"[\d,]+ documents, ")
        try:
            # subtle: Python sees a signal that comes between its last look and a read only when that read returns, and
            # this one waits for more; a person presses the keys again
            for _ in range(2):
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
                    break
            assert process.wait(0) == 130
        finally:
            process.kill()
        assert process.stdout.read() == b""
    said = re.sub(r"\x1b\[\S?|\r", "", terminal.read_all()).splitlines()[-1]
    found = re.search(r"Interrupted: ([\d,]+) documents committed in .*mail; run the same command again", said)
    assert found, said
    n_committed = int(found[1].replace(",", ""))
    with Index.open(tmp_path / "mail", read_only=True) as index:
        n_there = index.info()["n_documents"]
    # a commit that the signal cut short of being reported may have come on top
    assert 0 < n_committed <= n_there < 12_000
    again = subprocess.run(
        [*command, "--json"], input="".join(line + "\n" for line in lines).encode(), capture_output=True, check=True
    )
    report = json.loads(again.stdout)
    assert (report["n_documents"], report["n_unchanged"]) == (12_000 - n_there, n_there)


def test_ctrl_c_while_the_program_starts_is_no_traceback_either() -> None:
    code = (
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from vecsearch.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


def test_a_second_writer_is_refused_at_once(tmp_path: Path, default_pipeline: Pipeline) -> None:
    with Index.create(tmp_path / "notes", pipeline=default_pipeline) as index:
        index.add([Document("1", "one")])
        command = [*PROGRAM, "--indexes", str(tmp_path), "delete", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert index.get("1") is not None


@pytest.mark.parametrize(
    ("command", "given", "expected"),
    [
        (["search", "lion"], {}, ["1", "1"]),
        (["search", "lion"], {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}, ["2", "2"]),
        (["search", "lion", "--exact"], {}, [None, None]),
        (["search", "--queries", "-"], {}, [None, None]),
        (["compact"], {}, ["1", None]),
        (["info"], {}, [None, None]),
    ],
    ids=str,
)
def test_commands_have_as_many_threads_for_products_as_pay(
    indexes: Path, command: list[str], given: dict[str, str], expected: list[str | None]
) -> None:
    code = (
        "import os, sys\n"
        "from vecsearch.cli.program import program\n"
        "program(sys.argv[1:], standalone_mode=False)\n"
        "print([os.environ.get(name) for name in ('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS')])\n"
    )
    settings = {name: value for name, value in environment().items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code, "--indexes", str(indexes), *command, "-i", "notes"],
        input="lion\n",
        env={**settings, **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == str(expected)
