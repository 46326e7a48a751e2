"""Segments: immutable files of position-aware vectors, each a FAISS flat index. The only module that imports FAISS.

A segment file is a 19-byte mark, then the FAISS index exactly as FAISS writes it. The mark makes the vectors begin at
byte 64 of the file, so that a memory-mapped segment is aligned and is searched in place, without a copy.
A file is named by its SHA-256. It is checked before FAISS reads a byte of it: size and the CRC-32 of every block of
1 MiB each time a process loads it, and the whole SHA-256 the first time (see ``vecsearch.checksums``).
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import isal_zlib

from vecsearch import checksums
from vecsearch.errors import IndexDamagedError

if TYPE_CHECKING:
    from vecsearch.types import Floats

__all__ = ["SegmentRecord", "load_segment", "verify_segment", "write_segment"]

MARK = b"vecsearch segment\n\x01"
_FAISS_HEADER = 45  # of an IndexFlat: four-letter code, d, ntotal, two dummies, is_trained, metric, length of codes
_CRC_BLOCK = 1 << 20


@dataclass(frozen=True)
class SegmentRecord:
    """What the manifest says of a segment file.

    Attributes:
        file: name within the index folder, made of its hash.
        sha256: of the whole file, hexadecimal.
        size: bytes.
        n_vectors, dim: shape of what it holds.
        crcs: CRC-32 of each block of 1 MiB, 4 bytes little-endian each.
    """

    file: str
    sha256: str
    size: int
    n_vectors: int
    dim: int
    crcs: bytes


def write_segment(folder: Path, vectors: Floats, sync: Callable[[Path], None]) -> SegmentRecord:
    """Write vectors float32 ``(n, dim)``, n ≥ 1, as a segment: to a temporary file, synced, then renamed.

    Args:
        folder: of the index.
        vectors: rows in C order.
        sync: makes the folder's entries durable; called after the rename.

    Returns:
        The record for the manifest. The segment exists on disk, but not for readers until the manifest names it.

    Raises:
        OSError: the file system refused; the temporary file is removed.
    """
    faiss = _faiss()
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    body = memoryview(faiss.serialize_index(index))
    del index
    sha256, crcs = hashlib.sha256(MARK), []
    first = MARK + bytes(body[: _CRC_BLOCK - len(MARK)])
    temporary = folder / f"segment-{os.getpid()}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(first)
            crcs.append(isal_zlib.crc32(first))
            for begin in range(_CRC_BLOCK - len(MARK), len(body), _CRC_BLOCK):
                block = body[begin : begin + _CRC_BLOCK]
                file.write(block)
                crcs.append(isal_zlib.crc32(block))
            sha256.update(body)
            file.flush()
            os.fsync(file.fileno())
            name = f"{sha256.hexdigest()[:32]}.segment"
            temporary.rename(folder / name)
            checksums.remember(file.fileno(), sha256.hexdigest())
        sync(folder)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return SegmentRecord(
        file=name,
        sha256=sha256.hexdigest(),
        size=len(MARK) + len(body),
        n_vectors=len(vectors),
        dim=vectors.shape[1],
        crcs=np.array(crcs, "<u4").tobytes(),
    )


def load_segment(folder: Path, record: SegmentRecord) -> Floats:
    """Map a segment into memory, after checking it, and return its vectors float32 ``(n_vectors, dim)``, read-only.

    The map stays valid after the file is unlinked.

    Raises:
        IndexDamagedError: the file is missing, or not the one that was written.
    """
    path = folder / record.file
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size != record.size:
                raise _damaged(path, f"has {os.fstat(file.fileno()).st_size} bytes instead of {record.size}")
            content = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
            _check_blocks(path, content, record)
        if checksums.sha256_of(path) != record.sha256:
            raise _damaged(path, "does not have the SHA-256 that it was written with")
    except FileNotFoundError as error:
        raise _damaged(path, "is missing") from error
    return _vectors(path, content, record)


def verify_segment(folder: Path, record: SegmentRecord) -> str | None:
    """Hash the whole file again, whatever is remembered; return a sentence about the damage, or None."""
    path = folder / record.file
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"segment {record.file} cannot be read: {error.strerror}"
    return None if found == record.sha256 else f"segment {record.file} does not have the SHA-256 it was written with"


def _check_blocks(path: Path, content: np.ndarray, record: SegmentRecord) -> None:
    expected = np.frombuffer(record.crcs, "<u4")
    if len(expected) != -(-len(content) // _CRC_BLOCK):
        raise _damaged(path, "has another number of blocks than the manifest has checksums")
    for number, crc in enumerate(expected.tolist()):
        if isal_zlib.crc32(content[number * _CRC_BLOCK : (number + 1) * _CRC_BLOCK]) != crc:
            raise _damaged(path, f"is damaged between byte {number * _CRC_BLOCK} and {(number + 1) * _CRC_BLOCK}")


def _vectors(path: Path, content: np.ndarray, record: SegmentRecord) -> Floats:
    expected = len(MARK) + _FAISS_HEADER + 4 * record.n_vectors * record.dim
    if bytes(content[: len(MARK)]) != MARK or len(content) != expected:
        raise _damaged(path, "is not a segment of the shape that the manifest names")
    faiss = _faiss()
    body = content[len(MARK) :]
    index = faiss.read_index(faiss.ZeroCopyIOReader(faiss.swig_ptr(body), body.size))
    if type(index) is not faiss.IndexFlatIP or (index.ntotal, index.d) != (record.n_vectors, record.dim):
        raise _damaged(path, "does not hold the FAISS index that the manifest names")
    vectors = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d)
    # subtle: FAISS only points into the map. An array over the map itself keeps the map alive as long as anyone
    # holds the vectors; the address shows that they are the same bytes.
    mapped = content[len(MARK) + _FAISS_HEADER :].view(np.float32).reshape(vectors.shape)
    assert mapped.ctypes.data == vectors.ctypes.data
    return mapped


def _damaged(path: Path, what: str) -> IndexDamagedError:
    return IndexDamagedError(
        f"segment {path} {what}; the documents are safe in {path.parent / 'meta.db'}, and "
        f"`vecsearch compact -i {path.parent.name}` writes all segments anew from them",
        path=str(path),
    )


def _faiss() -> Any:
    # imported late: it costs a cold start 0.1 s, and an index of few texts has no segment
    import faiss

    return faiss
