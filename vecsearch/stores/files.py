"""Immutable files of an index: each named by its SHA-256, and checked before a byte of it is used.

A file is written to a temporary one, synced, then renamed, so that one that exists is whole. Each time a process maps
it, its size is checked, and the CRC-32 of every block of 1 MiB before anything in the block is used; the whole SHA-256
is checked the first time: see ``vecsearch.checksums``.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from isal import isal_zlib

from vecsearch import checksums
from vecsearch.errors import IndexDamagedError

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.disk import Disk

    Bytes: TypeAlias = npt.NDArray[np.uint8]
    Numbers: TypeAlias = npt.NDArray[np.int64]
    Buffer: TypeAlias = bytes | memoryview

__all__ = ["SUFFIXES", "MappedFile", "StoredFile", "damaged", "is_refusal", "map_file", "verify_file", "write_file"]

SUFFIXES = frozenset({".segment", ".codes", ".codebook"})
"""What the names of such files end with: vectors, codes of vectors, and what codes are made and read by."""
_CRC_BLOCK = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    """What the manifest says of a file.

    Attributes:
        file: name within the index folder, made of its hash.
        sha256: of the whole file, hexadecimal.
        size: bytes.
        crcs: CRC-32 of each block of 1 MiB, 4 bytes little-endian each.
    """

    file: str
    sha256: str
    size: int
    crcs: bytes


def write_file(disk: Disk, pieces: Iterable[Buffer], suffix: str) -> StoredFile:
    """Write pieces, one behind the other, as an immutable file.

    Args:
        disk: of the index.
        pieces: the content, not empty.
        suffix: one of ``SUFFIXES``.

    Returns:
        What the manifest is to say. The file exists on disk, but not for readers until the manifest names it.

    Raises:
        OSError: the file system refused; the temporary file is removed.
    """
    sha256, crcs, size = hashlib.sha256(), [], 0
    temporary = f"{suffix[1:]}-{os.getpid()}.tmp"
    try:
        with disk.create(temporary) as file:
            for block in _blocks(pieces):
                disk.write(file, block)
                sha256.update(block)
                crcs.append(isal_zlib.crc32(block))
                size += len(block)
            disk.sync(file)
            name = f"{sha256.hexdigest()[:32]}{suffix}"
            disk.rename(temporary, name)
            checksums.remember(file.fileno(), sha256.hexdigest())
        disk.sync_entries()
    except BaseException:
        disk.remove(temporary)
        raise
    return StoredFile(name, sha256.hexdigest(), size, np.array(crcs, "<u4").tobytes())


def _blocks(pieces: Iterable[Buffer]) -> Iterator[Buffer]:
    """Yield the same bytes in blocks of 1 MiB; the last one may be shorter."""
    begun = bytearray()
    for piece in pieces:
        view, place = memoryview(piece).cast("B"), 0
        if begun:
            place = _CRC_BLOCK - len(begun)
            begun += view[:place]
            if len(begun) < _CRC_BLOCK:
                continue
            yield bytes(begun)
            begun.clear()
        while len(view) - place >= _CRC_BLOCK:
            yield view[place : place + _CRC_BLOCK]
            place += _CRC_BLOCK
        begun += view[place:]
    if begun:
        yield bytes(begun)


class MappedFile:
    """A file in memory, of which a block must be checked before anything in it is used. Threads may share it.

    The map stays valid after the file is unlinked.

    Attributes:
        content: uint8 ``(size,)``, read-only; not checked.
    """

    def __init__(self, path: Path, content: Bytes, record: StoredFile) -> None:
        """Not for callers: see ``map_file``."""
        self.content = content
        self._path = path
        self._is_checked = np.zeros(-(-len(content) // _CRC_BLOCK), bool)
        if len(record.crcs) != 4 * len(self._is_checked):
            raise damaged(path, "has another number of blocks than the manifest has checksums")
        self._crcs = np.frombuffer(record.crcs, "<u4")

    def check(self, begins: Numbers, ends: Numbers) -> None:
        """Check the blocks that ranges of bytes lie in, but those that were checked before.

        Args:
            begins, ends: int64 ``(n,)``, within the file; ranges may overlap, or be empty.

        Raises:
            IndexDamagedError: a block is not what was written; names it.
        """
        n = len(self._is_checked)
        some = begins < ends
        steps = np.bincount(begins[some] // _CRC_BLOCK, minlength=n + 1)
        steps -= np.bincount((ends[some] - 1) // _CRC_BLOCK + 1, minlength=n + 1)
        is_wanted = np.cumsum(steps[:n]) > 0
        for number in np.flatnonzero(is_wanted & ~self._is_checked).tolist():
            begin = number * _CRC_BLOCK
            block = self.content[begin : begin + _CRC_BLOCK]
            if isal_zlib.crc32(block) != self._crcs[number]:
                raise damaged(self._path, f"is damaged between byte {begin} and {begin + _CRC_BLOCK}")
            self._is_checked[number] = True

    def whole(self) -> Bytes:
        """Return all of it, checked.

        Raises:
            IndexDamagedError: see ``check``.
        """
        self.check(np.zeros(1, np.int64), np.array([len(self.content)]))
        return self.content


def map_file(folder: Path, record: StoredFile) -> MappedFile:
    """Map a file into memory, after checking its size, and its SHA-256 where that is not remembered.

    Raises:
        IndexDamagedError: the file is missing, or not the one that was written.
    """
    path = folder / record.file
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size != record.size:
                raise damaged(path, f"has {os.fstat(file.fileno()).st_size} bytes instead of {record.size}")
            content = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        mapped = MappedFile(path, content, record)
        if checksums.sha256_of(path) != record.sha256:
            mapped.whole()  # which names the block
            raise damaged(path, "does not have the SHA-256 that it was written with")
    except FileNotFoundError as error:
        raise damaged(path, "is missing") from error
    return mapped


def verify_file(folder: Path, record: StoredFile) -> str | None:
    """Hash the whole file again, whatever is remembered; return a sentence about the damage, or None.

    Raises:
        OSError: the file system refused, which says nothing of the file.
    """
    kind = Path(record.file).suffix[1:]
    sha256, crcs, size = hashlib.sha256(), [], 0
    try:
        with open(folder / record.file, "rb") as file:
            while block := file.read(_CRC_BLOCK):
                sha256.update(block)
                crcs.append(isal_zlib.crc32(block))
                size += len(block)
    except OSError as error:
        if is_refusal(error):
            raise
        return f"{kind} {record.file} cannot be read: {error.strerror}"
    if sha256.hexdigest() != record.sha256:
        return f"{kind} {record.file} does not have the SHA-256 it was written with"
    # the file is right: then the row that names it may be wrong
    if (np.array(crcs, "<u4").tobytes(), size) != (record.crcs, record.size):
        return f"meta.db: size or checksums of {kind} {record.file} are not those of the file"
    if record.file != f"{record.sha256[:32]}.{kind}":
        return f"meta.db: the name of {kind} {record.file} is not that of its SHA-256"
    return None


def is_refusal(error: OSError) -> bool:
    """Return whether an error is of the system that is asked, such as too many open files, and not of what is read."""
    return error.errno not in (errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)


def damaged(path: Path, what: str) -> IndexDamagedError:
    """Return the error that a file is not the one that was written, and how it is had back."""
    return IndexDamagedError(
        f"{path.suffix[1:]} {path} {what}; the documents are safe in {path.parent / 'meta.db'}, and "
        f"`vecsearch compact -i {path.parent.name}` writes all segments anew from them",
        path=str(path),
    )
