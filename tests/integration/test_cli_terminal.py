"""What strangers write, in documents and in names of files, never acts on the terminal of who looks at it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vecsearch import Document, Index, Pipeline
from vecsearch.cli.program import program

CLEARS = "\x1b[2J\x1b[H"  # clears the screen
RETITLES = "\x1b]0;pwned\x07"  # changes the title of the window
COPIES = "\x1b]52;c;cm0gLXJmIH4=\x1b\\"  # puts a command on the clipboard
BLINKS = "\x9b5;7m"  # C1: the same as ESC [
ASKS = "\x1b[6n\x05\x1bP$q\x1b\\"  # makes the terminal answer, as if it were typed
TURNS = "\u202eevil\u2066\u2069\u200f\u061c"  # changes the direction of text
HIDES = "secret\rpublic\x08\x08\x7f\x0b\x0c"  # writes over what is there
ENDS = "a\u2028b\u2029c\x85d\x1ce"  # ends lines for some
ALL = CLEARS + RETITLES + COPIES + BLINKS + ASKS + TURNS + HIDES + ENDS
TEXT = f"The dog {ALL} bit\nthe man{ALL}"
METADATA = {"key" + ALL: ["value" + ALL]}
NAME = CLEARS + RETITLES.replace("/", "") + BLINKS + TURNS + "\r\x08\x7f"  # as a file can be called
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb]")
COLORS = re.compile(r"\x1b\[(?:0|1|3[0-7]|9[0-7]|4[0-7]|10[0-7])m")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses pseudo-terminals and names of POSIX files")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, default_pipeline: Pipeline) -> Path:
    """Return a folder with an index whose every text is hostile, and with files of hostile names."""
    folder = tmp_path_factory.mktemp("hostile")
    with Index.create(folder / "indexes" / "notes", pipeline=default_pipeline) as index:
        index.add(
            [
                Document("id" + ALL, TEXT, f"Title {ALL}", METADATA),
                Document("other", f"A man and {ALL} a dog", metadata={"lang": ALL}),
            ]
        )
    files = folder / "files"
    files.mkdir()
    (files / f"good{NAME}.txt").write_text("the dog bit the man")
    (files / f"bad{NAME}.txt").write_bytes(b"\xff dog")
    (files / f"record{NAME}.jsonl").write_text(json.dumps({"id": ALL, "no text": ALL}))
    (files / f"link{NAME}.txt").symlink_to("/dev/null")
    (folder / f"queries{NAME}").write_text(f"dog {ALL.replace(chr(10), '')}\n")
    return folder


def run(place: Path, *arguments: str) -> Result:
    return CliRunner().invoke(program, ["--indexes", str(place / "indexes"), *arguments])


def commands(place: Path) -> list[tuple[int, list[str]]]:
    """Return command lines that show what strangers wrote, each with its exit code."""
    files = place / "files"
    queries, nowhere = str(place / f"queries{NAME}"), f"nothing{NAME}"
    bad = str(files / f"bad{NAME}.txt")
    return [
        (0, ["search", "dog man", "-i", "notes"]),
        (0, ["search", "dog man", "-i", "notes", "--explain", "--full"]),
        (0, ["search", f"dog {ALL}", "-i", "notes", "--explain", "--plain"]),
        (0, ["search", "--queries", queries, "--plain", "-i", "notes"]),
        (0, ["like", "id" + ALL, "-i", "notes"]),
        (0, ["list", "-i", "notes"]),
        (0, ["info", "-i", "notes"]),
        (0, ["tokens", f"the dog {ALL}"]),
        (0, ["index", str(files), "-i", f"files{NAME}", "-v"]),
        (0, ["search", "dog", "-i", f"files{NAME}"]),
        (0, ["list"]),
        (0, ["train-tokenizer", str(files), "-o", str(place / f"out{NAME}.json"), "--force"]),
        (0, ["train", str(files), "-o", str(place / f"model{NAME}"), "--force", "--min-count", "1"]),
        (0, ["delete", "other", f"unknown{ALL}", "-i", "notes"]),
        (1, ["get", f"unknown{ALL}", "-i", "notes"]),
        (1, ["like", f"unknown{ALL}", "-i", "notes"]),
        (1, ["search", f'"dog {ALL}', "-i", "notes"]),
        (1, ["search", "dog", "-i", "notes", "--where", f'lang = "{ALL}']),
        (1, ["search", "dog", "-i", "notes", "--where", f"`{ALL}` = 1"]),
        (1, ["search", "dog", "-i", f"none{NAME}"]),
        (1, ["search", "dog", "-i", "notes", "--scorer", f"none{ALL}"]),
        (1, ["add", bad, "-i", "other"]),
        (1, ["add", str(files / f"record{NAME}.jsonl"), "-i", "other"]),
        (0, ["similar", f"word{ALL}"]),
        (1, ["search", "--vectors", bad, "-i", "notes"]),
        (1, ["tokens", "dog", "--tokenizer", f"subword:path={bad}"]),
        (2, ["index", nowhere]),
        (2, ["add", nowhere]),
        (2, [f"command{ALL}"]),
        (2, ["search", f"--option{ALL}", "dog"]),
        (2, ["search", "dog", "--mode", ALL]),
        (2, ["search", "dog", "-k", ALL]),
    ]


def test_no_command_sends_what_strangers_wrote_to_the_terminal(place: Path) -> None:
    shown = ""
    for exit_code, arguments in commands(place):
        result = run(place, "--no-color", *arguments)
        assert result.exit_code == exit_code, (arguments, result.output)
        assert ACTING.findall(result.output) == [], (arguments, result.output)
        shown += result.output
    assert "␛[2J" in shown  # it is seen


def test_no_failure_shown_with_its_traceback_sends_it_either(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECSEARCH_DEBUG", "1")
    result = run(place, "--no-color", "add", str(place / "files" / f"bad{NAME}.txt"), "-i", "other")
    assert "Traceback" in result.output
    assert "␛[2J" in result.output
    assert ACTING.findall(result.output) == []


def test_json_gives_back_exactly_what_was_put_in_and_sends_nothing(place: Path) -> None:
    for _, arguments in commands(place):
        result = run(place, *arguments, "--json")
        assert ACTING.findall(result.output) == [], arguments
    (hit,) = (
        json.loads(line) for line in run(place, "search", "bit", "-k", "1", "-i", "notes", "--json").stdout.splitlines()
    )
    assert hit["doc_id"] == "id" + ALL
    assert hit["title"] == f"Title {ALL}"
    assert hit["metadata"] == METADATA
    assert json.loads(run(place, "get", "id" + ALL, "-i", "notes", "--json").stdout)["text"] == TEXT


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_get_into_a_pipe_is_the_text_byte_for_byte(place: Path, encoding: str) -> None:
    command = [sys.executable, "-m", "vecsearch", "--indexes", str(place / "indexes"), "get", "id" + ALL, "-i", "notes"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    assert done.stdout == TEXT.encode()


@pytest.mark.parametrize(
    "arguments", [["get", "id" + ALL], ["search", "dog man"], ["search", "dog", "--explain"], ["list"]]
)
def test_a_real_terminal_is_sent_colours_and_nothing_else(place: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "vecsearch", "--indexes", str(place / "indexes"), *arguments, "-i", "notes"]
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    ours, theirs = os.openpty()
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm"})
    os.close(theirs)
    sent = b""
    while True:
        try:
            some = os.read(ours, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            break
        if not some:
            break
        sent += some
    os.close(ours)
    assert process.wait() == 0
    text = sent.decode().replace("\r\n", "\n")
    assert "␛[2J" in text
    assert ("\x1b" in text) == (arguments[0] == "search")
    assert ACTING.findall(COLORS.sub("", text)) == []


def test_ids_are_never_taken_for_paths(tmp_path: Path, default_pipeline: Pipeline) -> None:
    ids = [
        "../../outside",
        "/etc/passwd",
        "..",
        ".",
        "a/../b",
        "~/x",
        "C:\\x",
        "con",
        "\x00",
        "-rf",
        "a" * 10_000,
        "file:///x",
    ]
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    before = set(tmp_path.rglob("*"))
    with Index.create(tmp_path / "in" / "dex", pipeline=default_pipeline) as index:
        index.add(Document(doc_id, f"dog {number}") for number, doc_id in enumerate(ids))
        index.flush()
        for number, doc_id in enumerate(ids):
            found = index.get(doc_id)
            assert found is not None
            assert found.text == f"dog {number}"
        assert index.verify() == []
        assert index.delete(ids) == len(ids)
        index.compact()
    assert outside.read_text() == "untouched"
    new = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "in") for path in new)
    assert new
    assert not any(part in str(path) for path in new for part in ("passwd", "outside", "file:", "rf"))
