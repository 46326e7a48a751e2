"""Reads word vectors as word2vec, GloVe and fastText write them, text or word2vec's binary form, gzipped or not.

Text has one word a line and its values after it, parted by spaces or tabs; a first line ``count dim`` may stand
before. The binary form has that line, then for every word its name, a space and ``dim`` little-endian float32.

A file is read as a stream. Its values go block by block to a temporary file without a name, which is then mapped
into memory: a process holds the words and one block, however large the file is.
"""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from vecsearch import LoadError
from vecsearch_wordllama.tensors import MAX_DIM, first_unfit, refuse_special

__all__ = ["peek_dim", "read_binary", "read_text"]

_BLOCK = 4 * 1024 * 1024  # bytes of the file that are parsed at once
_PEEK = 1024 * 1024  # bytes from which the dim of a text without a header is read
_LONGEST_LINE = 64 * 1024 * 1024
_LONGEST_WORD = 65_536
# Numbers as text pack to a half or a fifth. What unpacks to much more than that is made to fill the disk.
_MAX_RATIO = 100
_SMALL = 64 * 1024 * 1024

Rows = npt.NDArray[np.float32]


def peek_dim(path: str, *, binary: bool) -> int:
    """Return the number of values a word has, from the beginning of a file.

    It is what the header says; without one, what most of the first lines have.

    Raises:
        LoadError: the file cannot be read, is empty, or does not begin like one of word vectors.
    """
    with _opened(path) as stream:
        return _binary_header(path, stream)[1] if binary else _text_header(path, stream.read(_PEEK))[1]


def read_text(path: str) -> tuple[list[str], Rows]:
    """Read a text of word vectors.

    A word may hold spaces (glove.840B has ``. . .`` and ``at name@domain.com``): the last ``dim`` fields of a line
    are the values, and what stands before them is the word unless it ends in a number.

    Returns:
        The words in the order of the lines, and float32 ``(n_words, dim)``, read-only.

    Raises:
        LoadError: a line has too few or too many values, or one that is no number, is NaN or infinite or too large
            for float32; the text is not UTF-8; the header announces another number of words. Names the line.
    """
    with _opened(path) as stream:
        count, dim = _text_header(path, stream.read(_PEEK))
        stream.seek(0)
        words: list[str] = []
        blank: int | None = None
        with _new_spool(path) as spool:
            for first, lines in _line_blocks(path, stream):
                numbers: list[int] = []
                values: list[str] = []
                for number, line in enumerate(lines, first):
                    if number == 1 and count is not None:
                        continue
                    if not line or line.isspace():
                        blank = blank or number
                        continue
                    if blank:
                        raise LoadError(
                            f"line {blank} of {path} is empty; a word and {dim} values belong there",
                            path=path,
                            line=blank,
                        )
                    word, _, rest = line.rstrip().partition(" ")
                    if not word or rest.count(" ") != dim - 1:
                        word, rest = _parted(path, number, line, dim)
                    words.append(word)
                    values.append(rest)
                    numbers.append(number)
                if values:
                    rows = _parsed(path, values, numbers, dim)
                    _refuse_unfit(path, rows, words[-len(rows) :], [f"line {number}" for number in numbers])
                    _spool_rows(path, spool, rows)
            if count is not None and count != len(words):
                raise LoadError(
                    f"the first line of {path} announces {count} words, {len(words)} follow; "
                    "is it cut short? fetch it again",
                    path=path,
                )
            return words, _mapped(path, spool, len(words), dim)


def read_binary(path: str) -> tuple[list[str], Rows]:
    """Read word2vec's binary form.

    Returns:
        The words in their order, and float32 ``(n_words, dim)``, read-only.

    Raises:
        LoadError: the file ends early or goes on too long, a word is not UTF-8, a value is NaN, infinite or too
            large; names the word.
    """
    with _opened(path) as stream, _new_spool(path) as spool:
        count, dim = _binary_header(path, stream)
        width = 4 * dim
        words: list[str] = []
        buffer = b""
        while len(words) < count:
            fresh = stream.read(_BLOCK)
            _refuse_bomb(path, stream)
            buffer += fresh
            names: list[str] = []
            vectors: list[bytes] = []
            start = 0
            while len(words) + len(names) < count:
                space = buffer.find(b" ", start)
                if space < 0 or space + 1 + width > len(buffer):
                    break
                # some writers end each vector with a newline, some do not
                names.append(_word(path, buffer[start:space].lstrip(b"\n"), len(words) + len(names) + 1))
                start = space + 1 + width
                vectors.append(buffer[space + 1 : start])
            buffer = buffer[start:]
            if names:
                rows = np.frombuffer(b"".join(vectors), dtype="<f4").reshape(-1, dim)
                _refuse_unfit(path, rows, names, [f"row {len(words) + row}" for row in range(len(rows))])
                _spool_rows(path, spool, rows)
                words += names
            elif not fresh or len(buffer) > _LONGEST_WORD + width:
                break
        if len(words) < count or (buffer + stream.read(1)).strip(b"\n"):
            raise LoadError(
                f"{path} announces {count} words of {dim} values and holds "
                f"{len(words) if len(words) < count else 'more'}; is it cut short? fetch it again",
                path=path,
            )
        return words, _mapped(path, spool, len(words), dim)


def _text_header(path: str, beginning: bytes) -> tuple[int | None, int]:
    """Return the announced count, None without a header, and the dim."""
    if b"\0" in beginning:
        raise LoadError(
            f"{path} is not text; a matrix is .npy or .safetensors with a vocabulary, word2vec's .bin, "
            "or text with a word and its values a line",
            path=path,
        )
    lines = beginning.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if len(beginning) == _PEEK and len(lines) > 1:
        lines.pop()  # cut off by the end of the peek
    n_fields = [len(line.split()) for line in lines if line.strip()]
    if not n_fields:
        raise LoadError(f"{path} is empty; a word and its values a line are expected", path=path)
    head = lines[0].split()
    if len(head) == 2 and all(field.isdigit() and len(field) < 19 for field in head):
        count, dim = int(head[0]), int(head[1])
        if len(n_fields) == 1 or n_fields[1] > dim:
            return count, _believable(path, dim)
    # subtle: a word of several parts has more fields; the commonest number is that of plain words, the smaller on a tie
    dim = min(Counter(n_fields).items(), key=lambda item: (-item[1], item[0]))[0] - 1
    return None, _believable(path, dim)


def _binary_header(path: str, stream: IO[bytes]) -> tuple[int, int]:
    head = stream.readline(64).split()
    if len(head) != 2 or not all(field.isdigit() and len(field) < 19 for field in head):
        raise LoadError(
            f"{path} does not begin with a line of two numbers, as word2vec's binary form does; "
            "name text .txt and a NumPy array .npy",
            path=path,
        )
    return int(head[0]), _believable(path, int(head[1]))


def _believable(path: str, dim: int) -> int:
    if not 1 <= dim <= MAX_DIM:
        raise LoadError(f"{path} has {dim} values a word; 1 to {MAX_DIM} are expected", path=path, dim=dim)
    return dim


def _line_blocks(path: str, stream: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of a first line, from 1, and the lines of a block."""
    number, rest = 1, b""
    while True:
        fresh = stream.read(_BLOCK)
        _refuse_bomb(path, stream)
        block = rest + fresh
        cut = block.rfind(b"\n") + 1 if fresh else len(block)
        if not cut and len(block) > _LONGEST_LINE:
            raise LoadError(f"line {number} of {path} is longer than {_LONGEST_LINE} bytes; is it text?", path=path)
        block, rest = block[:cut], block[cut:]
        if number == 1:
            block = block.removeprefix(b"\xef\xbb\xbf")
        if block:
            try:  # tabs are made spaces so that read_text need not take its slow way
                lines = block.decode().removesuffix("\n").replace("\t", " ").split("\n")
            except UnicodeDecodeError as error:
                line = number + block.count(b"\n", 0, error.start)
                raise LoadError(
                    f"line {line} of {path} is not UTF-8; convert the file", path=path, line=line
                ) from error
            yield number, lines
            number += len(lines)
        if not fresh:
            return


def _parted(path: str, number: int, line: str, dim: int) -> tuple[str, str]:
    """Return the word and the values of a line that is not simply one word and ``dim`` fields."""
    word, *values = line.rsplit(None, dim)
    # subtle: "dog 1 2 3" of dim 2 is a line with a value too many, not the word "dog 1"
    last = word.split()[-1:]
    if len(values) != dim or not last or (word.strip() != last[0] and _is_number(last[0])):
        raise LoadError(
            f"line {number} of {path} has {max(len(line.split()) - 1, 0)} values after its word, {dim} are expected",
            path=path,
            line=number,
        )
    return word.strip(), " ".join(values)


def _parsed(path: str, values: list[str], numbers: list[int], dim: int) -> Rows:
    try:
        rows = np.loadtxt(values, dtype=np.float32, comments=None, ndmin=2)
        if rows.shape == (len(values), dim):
            return rows
    except ValueError:
        pass
    for number, line in zip(numbers, values, strict=True):  # who was it?
        fields = line.split()
        wrong = [field for field in fields if not _is_number(field)]
        if wrong or len(fields) != dim:
            found = f"{wrong[0][:40]!r} is not a number" if wrong else f"{len(fields)} values, {dim} are expected"
            raise LoadError(f"line {number} of {path}: {found}", path=path, line=number)
    raise LoadError(f"lines {numbers[0]} to {numbers[-1]} of {path} are not {dim} numbers each", path=path)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field  # Python's own way of writing, which no file of vectors has


def _refuse_bomb(path: str, stream: IO[bytes]) -> None:
    unpacked = stream.tell()
    if unpacked > _SMALL and unpacked > _MAX_RATIO * os.path.getsize(path):
        raise LoadError(
            f"{path} unpacks to more than {_MAX_RATIO} times its size; unpack it first if that is meant", path=path
        )


def _refuse_unfit(path: str, rows: Rows, words: list[str], places: list[str]) -> None:
    row = first_unfit(rows)
    if row is not None:
        raise LoadError(
            f"{places[row]} of {path} ({words[row][:40]!r}) has a value that is NaN, infinite or too large; "
            "leave the word out or mend it",
            path=path,
            word=words[row],
        )


def _word(path: str, raw: bytes, number: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise LoadError(f"word {number} of {path} is not UTF-8: {raw[:40]!r}", path=path) from error


def _new_spool(path: str) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise _no_room(path, error) from error


def _spool_rows(path: str, spool: IO[bytes], rows: Rows) -> None:
    try:
        spool.write(np.ascontiguousarray(rows, dtype=np.float32).data)
        spool.flush()
    except OSError as error:
        raise _no_room(path, error) from error


def _no_room(path: str, error: OSError) -> LoadError:
    return LoadError(
        f"the values of {path} cannot be put into the temporary folder {tempfile.gettempdir()}: "
        f"{error.strerror or error}; make room, set TMPDIR, or convert the file to .npy",
        path=path,
    )


def _mapped(path: str, spool: IO[bytes], n_rows: int, dim: int) -> Rows:
    if not n_rows:
        raise LoadError(f"{path} holds no words", path=path)
    return np.asarray(np.memmap(spool, dtype=np.float32, mode="r", shape=(n_rows, dim)))


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    refuse_special(path)
    try:
        with gzip.open(path, "rb") if path.lower().endswith(".gz") else open(path, "rb") as stream:
            yield cast("IO[bytes]", stream)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise LoadError(f"{path} cannot be read: {reason}", path=path) from error
