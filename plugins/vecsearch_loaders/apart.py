"""Reads a file in a process of its own, with limits of time, memory and output.

A parser may run for hours, fill the memory or crash on a file that was made for that. In a process of its own, that
is one file that cannot be read, and the others go on. The limit of memory is that of the address space (RLIMIT_AS);
Windows has none and macOS does not keep to it, so there only time is limited.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from typing import Any, BinaryIO

from vecsearch import SourceFile
from vecsearch_loaders.decoding import failure
from vecsearch_loaders.limits import MAX_MEMORY, MAX_SECONDS

__all__ = ["read_apart"]


def read_apart(file: SourceFile, reader: str, content: BinaryIO, seconds: float, memory: int) -> dict[str, Any]:
    """Return what a reader of ``child.READERS`` makes of some bytes, read in a process of its own.

    Args:
        file: that the bytes are of, to be named in errors.
        reader: its name.
        content: read from where it stands; not closed.
        seconds: how long the process may take.
        memory: how many bytes it may map.

    Raises:
        LoadError: the reader refused the file, took too long, needed too much memory or crashed.
    """
    import subprocess

    command = [sys.executable, "-P", "-m", "vecsearch_loaders.child", reader, str(seconds), str(memory)]
    # what this process imports from, without the current folder
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with ExitStack() as stack:
        output = stack.enter_context(tempfile.TemporaryFile())
        source = _with_number(content, stack)
        try:
            process = subprocess.Popen(  # noqa: S603 - this very Python, and a name of READERS
                command, stdin=source, stdout=output, stderr=subprocess.DEVNULL, env=environment
            )
        except OSError as error:
            raise failure(file, f"no process could be started to read it: {error.strerror or error}") from error
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise failure(
                file, f"reading it took longer than {seconds:g} seconds; {MAX_SECONDS} allows more"
            ) from error
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(0)
        answer = _answer(output.read())
    if answer is None:
        raise failure(file, f"reading it ended in a crash ({_said(code)})", exit_code=code)
    if answer.get("error") == "memory":
        raise failure(file, f"reading it needs more than {memory:,} bytes of memory; {MAX_MEMORY} allows more")
    if "error" in answer:
        raise failure(file, str(answer["error"]))
    return answer


def _with_number(content: BinaryIO, stack: ExitStack) -> BinaryIO:
    """Return a stream that the system knows by a number and that stands where ``content`` stands."""
    try:
        number = content.fileno()
        # subtle: what a buffer has read ahead is not read again by another process
        if os.lseek(number, 0, os.SEEK_CUR) == content.tell():
            return content
    except (AttributeError, OSError, io.UnsupportedOperation):
        pass
    copied = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
    shutil.copyfileobj(content, copied)
    copied.seek(0)
    return copied


def _answer(written: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(written)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _said(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
