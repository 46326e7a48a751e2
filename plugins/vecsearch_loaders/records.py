"""JSON Lines, CSV and TSV: one document a record, read as a stream."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any, ClassVar

from vecsearch import Document, LoadError, SourceFile
from vecsearch_loaders import limits
from vecsearch_loaders.decoding import NEWLINE, LongLineError, TextLoader, failure, split_lines, text_chunks

__all__ = ["CsvLoader", "JsonLinesLoader"]

_LINE_FEED = re.compile("\n")
# What JSON can write and cannot mean: half of a character, a number that becomes infinite.
_SUSPECT = re.compile(r"\\u[dD][89a-fA-F]|\d[eE]\+?\d{3}")
_IDS = ("id", "_id")
_LONGEST_FIELD = 2**31 - 1


class JsonLinesLoader(TextLoader):
    """Reads one JSON object a line.

    ``id`` (or ``_id``) is the document's id, a text or a number; without one it is ``<id of the file>#<line>``.
    ``text`` is needed, ``title`` is not. An object ``metadata`` and all other keys become metadata, a key beside
    winning over the same key within ``metadata``. Blank lines are passed over.
    """

    name: ClassVar[str] = "jsonl"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def load(self, file: SourceFile) -> Iterator[Document]:
        """Yield the documents, line by line.

        Raises:
            LoadError: a line is not such an object; names the line. Or there is none at all.
        """
        is_empty = True
        with closing(text_chunks(file, self.encoding)) as chunks:
            lines = split_lines(chunks, _LINE_FEED, self.max_bytes)
            for number in itertools.count(1):
                try:
                    line = next(lines, None)
                    if line is None:
                        break
                    if line.isspace():
                        continue
                    is_empty = False
                    document = _document(_parsed(line), f"{file.id}#{number}")
                except (_RecordError, LongLineError) as error:
                    raise _at_line(file, number, str(error)) from error
                yield document
        if is_empty:
            raise failure(file, "empty")


class CsvLoader(TextLoader):
    """Reads a table whose first row names its columns: ``text``, and if there are any ``id`` and ``title``.

    All other columns become metadata, as text. Without an ``id`` it is ``<id of the file>#<line>``.

    Args:
        encoding: of files without a byte order mark; None is UTF-8.
        delimiter: one character between the fields; None is a tab for ``.tsv`` and else a comma, or the semicolon
            where the first row has one and no comma.
        max_bytes: see ``limits.max_bytes``.
    """

    name: ClassVar[str] = "csv"
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    def __init__(
        self, *, encoding: str | None = None, delimiter: str | None = None, max_bytes: int | None = None
    ) -> None:
        super().__init__(encoding=encoding, max_bytes=max_bytes)
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise ValueError(f"delimiter is {delimiter!r}; it is one character such as ';'")
        self.delimiter = delimiter

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().config, "delimiter": self.delimiter}

    def load(self, file: SourceFile) -> Iterator[Document]:
        """Yield the documents, row by row.

        Raises:
            LoadError: there is no ``text`` column, or a row does not fit the first one; names the line.
        """
        # subtle: the limit belongs to the process, not to the reader; fields are bounded by that of a record.
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
        with closing(text_chunks(file, self.encoding)) as chunks:
            lines = _BoundedLines(split_lines(chunks, NEWLINE, self.max_bytes), self.max_bytes)
            try:
                n_blank, header = next(((n, line) for n, line in enumerate(lines) if line.strip()), (0, None))
            except LongLineError as error:
                raise _at_line(file, 1, str(error)) from error
            if header is None:
                raise failure(file, "empty")
            rows = csv.reader(itertools.chain([header], lines), delimiter=self._delimiter(file, header), strict=True)
            number = 1
            is_empty = True
            try:
                columns = _columns(next(rows))
                while True:
                    number = rows.line_num + 1
                    lines.begin_record()
                    row = next(rows, None)
                    if row is None:
                        break
                    if row:
                        is_empty = False
                        yield _row(columns, row, f"{file.id}#{n_blank + number}")
            except (csv.Error, _RecordError, LongLineError) as error:
                raise _at_line(file, n_blank + number, str(error)) from error
        if is_empty:
            raise failure(file, "empty")

    def _delimiter(self, file: SourceFile, header: str) -> str:
        if self.delimiter is not None:
            return self.delimiter
        if file.name.lower().endswith(".tsv"):
            return "\t"
        return ";" if ";" in header and "," not in header else ","


class _BoundedLines(Iterator[str]):
    """The lines of a table. A record may go on over many: an open quote would otherwise take in all of the file."""

    def __init__(self, lines: Iterator[str], longest: int) -> None:
        self._lines = lines
        self._longest = longest
        self._n_characters = 0

    def __next__(self) -> str:
        """Return a line; see ``split_lines``."""
        line = next(self._lines)
        self._n_characters += len(line)
        if self._n_characters > self._longest:
            raise LongLineError(f"a record longer than {self._longest:,} characters; {limits.MAX_BYTES} allows more")
        return line

    def begin_record(self) -> None:
        """Count from here."""
        self._n_characters = 0


class _RecordError(Exception):
    """What is wrong with a record; the loader adds where."""


def _at_line(file: SourceFile, number: int, reason: str) -> LoadError:
    return failure(file, f"line {number:,}: {reason}", line=number)


def _parsed(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line.rstrip(), parse_constant=_no_constant)
    except RecursionError as error:
        raise _RecordError("not JSON that can be read: nested too deeply") from error
    except json.JSONDecodeError as error:
        raise _RecordError(f"not JSON: {error.msg} at column {error.colno}") from error
    except ValueError as error:
        raise _RecordError(f"not JSON that can be read: {error}") from error
    if not isinstance(record, dict):
        raise _RecordError(f'{_kind(record)}, not an object such as {{"id": "1", "text": "…"}}')
    if _SUSPECT.search(line):
        try:
            json.dumps(record, ensure_ascii=False, allow_nan=False).encode()
        except RecursionError as error:
            raise _RecordError("not JSON that can be read: nested too deeply") from error
        except UnicodeEncodeError as error:
            half = ord(error.object[error.start])
            raise _RecordError(f"\\u{half:04x} is half a character: a lone surrogate is not text") from error
        except ValueError as error:
            raise _RecordError("a number is too large") from error
    return record


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _document(record: dict[str, Any], fallback: str) -> Document:
    if "text" not in record:
        found = ", ".join(map(repr, list(record)[:10])) or "none at all"
        raise _RecordError(f'no "text"; the keys are {found}')
    doc_id = next((record.pop(key) for key in _IDS if record.get(key) is not None), fallback)
    if isinstance(doc_id, bool) or not isinstance(doc_id, str | int | float) or doc_id == "":
        raise _RecordError(f'"id" is {_kind(doc_id)}; it must be a text of at least one character, or a number')
    text = record.pop("text")
    if not isinstance(text, str):
        raise _RecordError(f'"text" is {_kind(text)}; it must be a text')
    title = record.pop("title", None)
    if isinstance(title, bool) or not isinstance(title, str | int | float | None):
        raise _RecordError(f'"title" is {_kind(title)}; it must be a text')
    nested = record.get("metadata")
    if isinstance(nested, dict):
        del record["metadata"]
        record = {**nested, **record}
    # An id that is null says the same as none.
    metadata = {key: value for key, value in record.items() if not (key in _IDS and value is None)}
    return Document(str(doc_id), text, "" if title is None else str(title), metadata)


def _kind(value: Any) -> str:
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return "an empty text" if value == "" else kinds.get(type(value), "null")


def _columns(header: list[str]) -> list[str]:
    columns = [name.strip() for name in header]
    columns = [name.lower() if name.lower() in ("id", "_id", "text", "title") else name for name in columns]
    if "text" not in columns:
        raise _RecordError(f'no column "text"; the columns are {", ".join(map(repr, columns[:20]))}')
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise _RecordError(f"two columns are called {twice!r}; names must differ")
    return columns


def _row(columns: list[str], row: list[str], fallback: str) -> Document:
    if len(row) != len(columns):
        raise _RecordError(f"{len(row)} fields, but {len(columns)} columns; quote fields that hold the delimiter")
    fields: dict[str, Any] = dict(zip(columns, row, strict=True))
    key = next((key for key in _IDS if fields.get(key, "").strip()), None)
    doc_id = fallback if key is None else fields.pop(key)
    text, title = fields.pop("text"), fields.pop("title", "")
    return Document(doc_id, text, title, {key: value for key, value in fields.items() if key not in _IDS or value})
