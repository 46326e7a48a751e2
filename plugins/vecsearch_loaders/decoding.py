"""Bytes of a file to text, one rule for every loader, and exact about where it fails.

A byte order mark says UTF-8, UTF-16 or UTF-32 and is dropped; it wins over an encoding that was asked for. Without
one a file is in the encoding asked for, or in UTF-8. Nothing is guessed, repaired or replaced: what does not decode
is a LoadError with the byte and its offset.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Generator, Iterator
from typing import Any, ClassVar

from vecsearch import LoadError, SourceFile
from vecsearch_loaders import limits

__all__ = [
    "NEWLINE",
    "LongLineError",
    "TextLoader",
    "checked_encoding",
    "failure",
    "read_text",
    "split_lines",
    "text_chunks",
]

NEWLINE = re.compile(r"\r\n?+|\n")
"""What ends a line: as the engine counts them."""

_CHUNK = 1 << 20
_HEAD = 8192
# subtle: the mark of UTF-32 LE begins with that of UTF-16 LE, so it is asked for first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class TextLoader:
    """What the loaders of text files share: their options.

    Args:
        encoding: of files without a byte order mark; None is UTF-8.
        max_bytes: see ``limits.max_bytes``.

    Raises:
        ValueError: Python knows no such text encoding, or ``max_bytes`` is below 1.
    """

    version: ClassVar[str] = "1"

    def __init__(self, *, encoding: str | None = None, max_bytes: int | None = None) -> None:
        self.encoding = None if encoding is None else checked_encoding(encoding)
        self._max_bytes = max_bytes
        self.max_bytes = limits.max_bytes(max_bytes)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"encoding": self.encoding, "max_bytes": self._max_bytes}

    @property
    def files(self) -> dict[str, str]:
        """No files beside the one that is loaded."""
        return {}


def checked_encoding(name: str) -> str:
    """Return the name if it is that of a text encoding.

    Raises:
        ValueError: it is not.
    """
    try:
        codecs.lookup(name)
        codecs.getincrementaldecoder(name)
        "a".encode(name)  # bytes-to-bytes codecs such as hex refuse here
    except (LookupError, TypeError, UnicodeError, ValueError) as error:
        raise ValueError(f"encoding {name!r} is not known; use a name such as utf-8, latin-1 or cp1252") from error
    return name


def failure(file: SourceFile, reason: str, **facts: object) -> LoadError:
    """Return a LoadError that names the file; ``reason`` alone stands beside, for lists of skipped files."""
    return LoadError(f"{file.name}: {reason}", file=file.name, reason=reason, **facts)


def read_text(file: SourceFile, encoding: str | None, max_bytes: int) -> str:
    """Return the whole text of a file, exactly, without its byte order mark.

    Raises:
        LoadError: it is binary, empty, nothing but white space, not in the encoding, or larger than ``max_bytes``.
    """
    text = "".join(text_chunks(file, encoding, max_bytes))
    if not text or text.isspace():
        raise failure(file, "empty")
    return text


def text_chunks(file: SourceFile, encoding: str | None, max_bytes: int | None = None) -> Generator[str, None, None]:
    """Yield the text of a file piece by piece, without its byte order mark.

    Raises:
        LoadError: it is binary (a NUL byte near its beginning), not in the encoding, or larger than ``max_bytes``.
    """
    with file.open() as stream:
        head = stream.read(_HEAD)
        mark, name = next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", encoding or "utf-8"))
        if not mark and b"\0" in head and b"\0" not in "a".encode(name):
            raise failure(file, "binary")
        decoder = codecs.getincrementaldecoder(name)()
        chunk = head[len(mark) :]
        offset = len(mark)
        while True:
            # What the decoder still holds of the last chunk comes first in the bytes that an error points into.
            base = offset - len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk, not chunk)
            except UnicodeDecodeError as error:
                raise _not_decodable(file, error, base, encoding, name) from error
            except UnicodeError as error:
                raise failure(file, f"not {name}: {error}; pass --encoding NAME") from error
            if text:
                yield text
            if not chunk:
                return
            offset += len(chunk)
            if max_bytes is not None and offset > max_bytes:
                raise failure(file, f"larger than {max_bytes:,} bytes; {limits.MAX_BYTES} allows more")
            chunk = stream.read(_CHUNK)


def _not_decodable(
    file: SourceFile, error: UnicodeDecodeError, base: int, encoding: str | None, name: str
) -> LoadError:
    byte, offset = error.object[error.start], base + error.start
    advice = f"pass another --encoding than {encoding}" if encoding else "pass --encoding NAME, such as latin-1"
    return failure(
        file,
        f"not {name.upper()}: byte 0x{byte:02x} at offset {offset:,} ({error.reason}); {advice}",
        byte=byte,
        offset=offset,
        encoding=name,
    )


class LongLineError(Exception):
    """A line is longer than allowed; the loader adds where."""


def split_lines(chunks: Iterator[str], ending: re.Pattern[str], longest: int = sys.maxsize) -> Iterator[str]:
    r"""Yield the lines of a text that comes in pieces, each with what ends it.

    Args:
        chunks: the text.
        ending: what ends a line: ``\n``, or ``NEWLINE``.
        longest: characters of a line, about: it is seen when the next piece has come.

    Raises:
        LongLineError: a line is longer.

    Example:
        >>> list(split_lines(iter(["a\r", "\nb", "c"]), NEWLINE))
        ['a\r\n', 'bc']
    """
    held: list[str] = []
    n_held = 0
    for chunk in chunks:
        if held and held[-1].endswith("\r"):
            last = held.pop()
            n_held -= len(last)
            chunk = last + chunk
        # A \r at the very end may be the first half of \r\n.
        done = 0
        for match in ending.finditer(chunk, 0, len(chunk) - chunk.endswith("\r")):
            yield "".join((*held, chunk[done : match.end()]))
            held.clear()
            n_held = 0
            done = match.end()
        if done < len(chunk):
            held.append(chunk[done:])
            n_held += len(chunk) - done
            if n_held > longest:
                raise LongLineError(f"longer than {longest:,} characters; {limits.MAX_BYTES} allows more")
    if held:
        yield "".join(held)
