"""Runs the code blocks of a document and compares what they print: for the tests, and for ``docs/refresh.py``.

A document is a session. Its blocks run from top to bottom in one folder, which is its home folder too:

* ``console``: each ``$ command`` (continued by lines ``> …``) runs in a shell of its own; the lines up to the next
  command are what it writes to stdout and stderr. A command may fail only where a line ``Error: …``, ``Usage: …`` or
  ``exit code …`` is expected.
* ``python``: all of a document share one namespace. A block of ``text`` right behind is what it prints.
* A block of any kind behind a line that holds nothing but a `` `path` `` is that file, and is written there.
* A block behind ``<!-- not run: reason -->`` is left alone. All other languages are left alone too.

In what is expected a line ``...`` stands for any number of lines, ``/home/ada`` for the session's folder, and a
number with a decimal point for any number within one part in 500: scores differ in their last digits between machines.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Block", "Part", "Session", "matches", "parse", "sample_files"]

ROOT = Path(__file__).resolve().parents[2]
HOME = "/home/ada"

_FENCE = re.compile(
    r"(?:^`(?P<path>[^`\n]+)`\n\n)?(?P<skip>^<!-- not run: [^\n]* -->\n)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_COMMAND = re.compile(r"^\$ (?P<command>[^\n]*\n(?:^> [^\n]*\n|^>\n)*)(?P<output>(?:^(?!\$ )[^\n]*\n)*)", re.MULTILINE)
_NUMBER = re.compile(r"-?\d+\.\d+")
_MAY_FAIL = re.compile(r"^(?:Error: |Usage: |exit code |\{\"error\": )", re.MULTILINE)
_TOLERANCE = 0.002


@dataclass(frozen=True)
class Block:
    """A fenced block. ``start``, ``end``: characters of the document between its fences."""

    language: str
    text: str
    start: int
    end: int
    path: str | None = None
    is_run: bool = True


@dataclass(frozen=True)
class Part:
    """A piece of a document that was run: where its expected output stands, that output, and what came instead."""

    command: str
    start: int
    end: int
    expected: str
    seen: str

    @property
    def is_right(self) -> bool:
        """Whether the output is as expected."""
        return matches(self.seen, self.expected)


def parse(document: str) -> list[Block]:
    """Return the blocks of a document, in order."""
    return [
        Block(
            match["language"],
            match["text"],
            match.start("text"),
            match.end("text"),
            match["path"],
            match["skip"] is None,
        )
        for match in _FENCE.finditer(document)
    ]


def sample_files() -> dict[str, str]:
    """Return the files of the folder ``notes`` that docs/guide.md shows, by path."""
    guide = (ROOT / "docs" / "guide.md").read_text("utf-8")
    return {
        block.path: block.text for block in parse(guide) if block.path is not None and block.path.startswith("notes/")
    }


def matches(seen: str, expected: str) -> bool:
    """Return whether an output is as expected; see the module for ``...`` and numbers.

    Example:
        >>> matches("a\\nb\\n0.7071 c\\n", "...\\n0.707 c\\n"), matches("0.8 c\\n", "0.7 c\\n")
        (True, False)
    """
    numbers: list[float] = []
    pattern = []
    for line in expected.splitlines():
        if line == "...":
            pattern.append(r"(?:.*\n)*?")
            continue
        numbers += map(float, _NUMBER.findall(line))
        pattern.append(r"(-?\d+\.\d+)".join(map(re.escape, _NUMBER.split(line))) + "\n")
    found = re.fullmatch("".join(pattern), seen)
    return found is not None and all(
        abs(float(value) - number) <= _TOLERANCE * max(1.0, abs(number))
        for value, number in zip(found.groups(), numbers, strict=True)
    )


def commands(block: Block) -> Iterator[tuple[str, int, int, str]]:
    """Yield each command of a console block, where its output stands in the document, and that output."""
    at = 0
    for match in _COMMAND.finditer(block.text):
        if match.start() != at:
            break
        at = match.end()
        command = "\n".join(line.removeprefix("> ").removeprefix(">") for line in match["command"].splitlines())
        yield command, block.start + match.start("output"), block.start + match.end("output"), match["output"]
    if at != len(block.text):
        raise ValueError(f"a console block is made of lines `$ command` and their output, not:\n{block.text[at:]}")


@dataclass
class Session:
    """One run through a document.

    Args:
        folder: an empty one to work in.
        files: laid there before anything runs.
        namespace: of the Python blocks.
        is_strict: refuse a command that fails where no failure is expected; else its output is taken as it is.
    """

    folder: Path
    files: dict[str, str] = field(default_factory=dict)
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "document"})
    is_strict: bool = True

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
        home = self.folder / "home"
        programs = self.folder / "bin"
        home.mkdir(parents=True)
        programs.mkdir()
        self.folder = home
        for name, command in (("python", f'"{sys.executable}"'), ("vecsearch", f'"{sys.executable}" -m vecsearch')):
            (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
            (programs / name).chmod(0o755)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("VECSEARCH", "PYTEST"))}
        self.environment = {
            "XDG_CACHE_HOME": str(home / ".cache"),
            **kept,
            "HOME": str(home),
            "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", "")]),
            "PYTHONPATH": os.pathsep.join([str(home), *filter(None, sys.path)]),
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",  # stdout and stderr in the order in which a terminal would show them
            "NO_COLOR": "1",
            "COLUMNS": "80",
            "LC_ALL": "C.UTF-8",
        }
        for path, text in self.files.items():
            self._write(path, text)

    def run(self, document: str) -> list[Part]:
        """Run all blocks of a document; return what has an expected output."""
        parts: list[Part] = []
        found = parse(document)
        for number, block in enumerate(found):
            if not block.is_run:
                continue
            if block.path is not None:
                self._write(block.path, block.text)
            elif block.language == "console":
                for command, start, end, expected in commands(block):
                    parts.append(Part(command, start, end, expected, self.command(command, expected)))
            elif block.language == "python":
                seen = self._python(block.text)
                after = found[number + 1] if number + 1 < len(found) else None
                gap = document[block.end : after.start] if after else ""
                if after is not None and after.language == "text" and not gap.removeprefix("```\n\n```text\n"):
                    parts.append(Part(block.text, after.start, after.end, after.text, seen))
                elif seen:
                    raise AssertionError(f"a Python block prints, but no block of text follows it:\n{seen}")
        return parts

    def command(self, command: str, expected: str = "") -> str:
        """Run a command; return what it writes to stdout and stderr.

        Raises:
            AssertionError: it failed, and no failure is expected.
        """
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env=self.environment,
            text=True,
            encoding="utf-8",
        )
        seen = self._shown(run.stdout)
        if run.returncode and self.is_strict and not (_MAY_FAIL.search(expected)):
            raise AssertionError(f"$ {command}\nended with exit code {run.returncode}:\n{seen}")
        return seen

    def _python(self, code: str) -> str:
        printed = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
            exec(compile(code, "<document>", "exec"), self.namespace)
        return self._shown(printed.getvalue())

    def _shown(self, text: str) -> str:
        lines = text.replace(str(self.folder), HOME).splitlines()
        return "".join(line.rstrip() + "\n" for line in lines)

    def _write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
