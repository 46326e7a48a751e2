"""Turns an exception into one line on stderr and an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback

import click

from vecsearch.cli.output import in_color, json_line, one_line, visible
from vecsearch.cli.settings import Settings
from vecsearch.errors import VecsearchError

__all__ = ["DEBUG", "Interrupted", "fail"]

DEBUG = "VECSEARCH_DEBUG"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with a sentence that says what has been done until then."""


def fail(error: BaseException, settings: Settings) -> int:
    """Write one line that says what failed, and return the exit code of the process.

    Nothing is written where the reader of stdout has gone away (``| head``): it has had all that it wanted.
    """
    if isinstance(error, BrokenPipeError):
        _drop_stdout()
        return 0
    if os.environ.get(DEBUG):
        click.echo(visible("".join(traceback.format_exception(error))), err=True, nl=False)
    if isinstance(error, KeyboardInterrupt):
        click.echo(one_line(str(error) or "Interrupted."), err=True)
        return 130
    if isinstance(error, OSError):
        _drop_stdout()  # where stdout itself is what failed, the interpreter would try, and complain, once more
    described = _described(error)
    if settings.is_json:
        click.echo(json_line(described), err=True)
    else:
        label = in_color("Error:", settings.colors(sys.stderr), fg="red", bold=True)
        click.echo(f"{label} {one_line(str(described['message']))}", err=True, color=True)
        # of a query or a filter that cannot be read: the text, and a mark below the place
        for line in str(described.get("pointer") or "").splitlines():
            click.echo(f"  {one_line(line)}", err=True)
    return 1


def _described(error: BaseException) -> dict[str, object]:
    if isinstance(error, VecsearchError):
        return error.to_dict()
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return {"error": "os", "message": f"{place}{error.strerror or error}"}
    if isinstance(error, MemoryError):
        return {"error": "memory", "message": "there is not enough memory for this"}
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return {"error": "unexpected", "message": f"unexpected {said}; {DEBUG}=1 shows where, please report it"}


def _drop_stdout() -> None:
    """Send what is left in the buffer of stdout nowhere, as the interpreter flushes it on exit and would fail."""
    try:
        number = sys.stdout.fileno()
    except (AttributeError, ValueError, io.UnsupportedOperation):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
