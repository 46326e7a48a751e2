r"""Writes to stdout: text made safe for terminals, colour, tables and JSON.

Text of documents is a stranger's: a control character in it could move the cursor, change colours or retitle the
window, and bidirectional overrides could make it read as what it is not. ``visible`` shows such characters instead of
sending them. JSON needs no such care beyond what ``json_line`` escapes.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import click

__all__ = [
    "columns",
    "counted",
    "flush",
    "in_color",
    "json_line",
    "one_line",
    "visible",
    "width",
    "write",
    "write_exactly",
    "write_json",
]

_LINE_END = re.compile(r"\r\n?")
# DEL and C1 controls, marks of direction, other line ends, deprecated format controls, annotations, lone surrogates
_ACTS = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff"
_UNSAFE = re.compile(f"[\x00-\x08\x0b-\x1f{_ACTS}]")
_UNSAFE_IN_JSON = re.compile(f"[{_ACTS}]")


def visible(text: str) -> str:
    r"""Return text with every character that would act on a terminal replaced by one that shows it.

    ``\n`` and ``\t`` stay; ``\r\n`` and ``\r`` become ``\n``. Zero-width joiners stay, for scripts need them; marks,
    overrides and isolates of direction are shown.

    Example:
        >>> visible("a\x1b[31mb\r\n\x9b\u202e")
        'a␛[31mb\n\\x9b\\u202e'
    """
    return _UNSAFE.sub(_shown, _LINE_END.sub("\n", text))


def one_line(text: str) -> str:
    r"""Return text as ``visible`` does, line ends and tabs shown as well.

    Example:
        >>> one_line("a\nb\tc")
        'a␊b␉c'
    """
    return _UNSAFE.sub(_shown, text).replace("\n", "␊").replace("\t", "␉")


def _shown(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number < 0x20:
        return chr(0x2400 + number)  # the block Control Pictures
    if number == 0x7F:
        return "␡"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def width(text: str) -> int:
    """Return how many columns a terminal gives a text: two for wide characters, none for combining ones.

    Example:
        >>> width("日本"), width("e\u0301")
        (4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


def counted(number: int, thing: str) -> str:
    """Return a number with what it counts, in the singular or the plural.

    Example:
        >>> counted(1, "file"), counted(12345, "file")
        ('1 file', '12,345 files')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def in_color(text: str, is_colored: bool, **style: Any) -> str:
    """Return text in a style of ``click.style``, or as it is."""
    return click.style(text, **style) if is_colored and text else text


def write(text: str) -> None:
    """Write to stdout, exactly.

    Raises:
        OSError: it cannot be written; ``filename`` is ``"stdout"``. A BrokenPipeError where nobody reads it any more.
    """
    try:
        sys.stdout.write(text)
    except OSError as error:
        raise OSError(error.errno, error.strerror, "stdout") from error


def write_exactly(text: str) -> None:
    """Write to stdout in UTF-8 whatever the encoding of stdout is, line ends as they are; else as ``write``."""
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        write(text)
        return
    flush()
    try:
        binary.write(text.encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise OSError(error.errno, error.strerror, "stdout") from error


def flush() -> None:
    """Write what is still in the buffer of stdout; see ``write``."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OSError(error.errno, error.strerror, "stdout") from error


def json_line(value: Any) -> str:
    r"""Return a value as JSON on one line, characters as they are except those that would act on a terminal.

    Example:
        >>> json_line({"text": "naïve\x1b\x9b"})
        '{"text": "naïve\\u001b\\u009b"}'
    """
    return _escaped(json.dumps(value, ensure_ascii=False, default=str))


def _escaped(text: str) -> str:
    # invariant: outside its strings JSON is plain ASCII, so every match stands in one
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write_json(value: Any) -> None:
    """Write a value to stdout as one line of JSON; plain ASCII where stdout is not UTF-8."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    if encoding == "utf8":
        write(json_line(value) + "\n")
    else:
        write(_escaped(json.dumps(value, default=str)) + "\n")  # DEL is ASCII and acts


def columns(rows: Iterable[Sequence[str]], *, heading: Sequence[str] = (), right: str = "") -> list[str]:
    """Return rows as lines with aligned columns, two spaces apart.

    Args:
        rows: cells, as many a row; made safe here (``one_line``).
        heading: the first row.
        right: which columns are aligned right: a character a column, ``r`` or anything else.

    Example:
        >>> columns([["a", "1"], ["bcd", "20"]], heading=["name", "n"], right="lr")
        ['name   n', 'a      1', 'bcd   20']
    """
    table = [[one_line(cell) for cell in row] for row in ([heading] if heading else []) + list(map(list, rows))]
    if not table:
        return []
    widths = [max(map(width, column)) for column in zip(*table, strict=True)]

    def padded(cell: str, number: int) -> str:
        space = " " * (widths[number] - width(cell))
        return space + cell if right[number : number + 1] == "r" else cell + space

    return ["  ".join(padded(cell, number) for number, cell in enumerate(row)).rstrip() for row in table]
