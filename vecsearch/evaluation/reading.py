"""Reads files of records line by line, strictly: what is not as it should be is an error that names file and line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from vecsearch.errors import LoadError

__all__ = ["broken", "json_records", "numbered_lines", "table_rows"]


def broken(path: Path, said: str, line: int | None = None) -> LoadError:
    """Return an error that names the file, the line if there is one, and what is wrong."""
    place = f"{path}" if line is None else f"{path}, line {line}"
    return LoadError(f"{place}: {said}", path=str(path), line=line)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that are not blank, with their numbers from 1; ``.gz`` is decompressed.

    Raises:
        LoadError: the file cannot be opened, decompressed or decoded as UTF-8.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                text = line.rstrip("\r\n")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise broken(path, f"not UTF-8 after line {number}: {error.reason}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise broken(path, f"not a whole gzip file: {error}") from error
    except OSError as error:
        raise broken(path, error.strerror or str(error)) from error


def json_records(path: Path, required: Collection[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the JSON objects of a file with one a line, with their line numbers.

    Args:
        path: of the file.
        required: keys that each must have, with text as value.

    Raises:
        LoadError: a line is no JSON object, or lacks a key; see ``numbered_lines`` as well.
    """
    for number, line in numbered_lines(path):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise broken(path, f"not JSON: {error}", number) from error
        if not isinstance(record, dict):
            raise broken(path, f"a JSON {type(record).__name__}; each line must be an object", number)
        for key in required:
            if not isinstance(record.get(key), str):
                raise broken(path, f"{key!r} is {record.get(key)!r:.40}; it must be text", number)
        yield number, record


def table_rows(path: Path, columns: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a tab-separated file by the names in its header, with their line numbers. Quotes mean nothing.

    Raises:
        LoadError: the header lacks a column, or a row is shorter or longer; see ``numbered_lines`` as well.
    """
    header: list[str] = []
    for number, line in numbered_lines(path):
        fields = line.split("\t")
        if not header:
            header = [name.strip() for name in fields]
            missing = [name for name in columns if name not in header]
            if missing:
                raise broken(
                    path, f"the header must name {', '.join(columns)}, tab-separated; it is {line!r:.80}", number
                )
            continue
        if len(fields) != len(header):
            raise broken(path, f"{len(fields)} fields, the header has {len(header)}: {line!r:.80}", number)
        yield number, dict(zip(header, fields, strict=True))
    if not header:
        raise broken(path, f"empty; the first line must be a header with {', '.join(columns)}, tab-separated")
