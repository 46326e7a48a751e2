"""Segments: immutable files of position-aware vectors, each a FAISS flat index.

A segment file is a 19-byte mark, then the FAISS index exactly as FAISS writes it. The mark makes the vectors begin at
byte 64 of the file, so that a memory-mapped segment is aligned and is searched in place, without a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.stores.faiss_library import faiss
from vecsearch.stores.files import StoredFile, damaged, map_file, verify_file, write_file

if TYPE_CHECKING:
    from vecsearch.stores.disk import Disk
    from vecsearch.stores.files import Bytes
    from vecsearch.types import Floats

__all__ = ["SegmentRecord", "load_segment", "verify_segment", "write_segment"]

MARK = b"vecsearch segment\n\x01"
_FAISS_HEADER = 45  # of an IndexFlat: four-letter code, d, ntotal, two dummies, is_trained, metric, length of codes


@dataclass(frozen=True)
class SegmentRecord:
    """What the manifest says of a segment.

    Attributes:
        stored: the file.
        n_vectors, dim: shape of what it holds.
        codebook_no: of the codebook that its codes are read by; None where it holds vectors.
    """

    stored: StoredFile
    n_vectors: int
    dim: int
    codebook_no: int | None = None

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.stored.file


def write_segment(disk: Disk, vectors: Floats) -> SegmentRecord:
    """Write vectors float32 ``(n, dim)``, n ≥ 1, as a segment.

    Args:
        disk: of the index.
        vectors: rows in C order.

    Returns:
        The record for the manifest.

    Raises:
        OSError: the file system refused.
    """
    library = faiss()
    vectors = np.ascontiguousarray(vectors)
    index = library.IndexFlatIP(vectors.shape[1])
    index.ntotal = len(vectors)
    # what FAISS writes before the vectors, without copies of them: how many numbers they are comes last
    header = library.serialize_index(index).tobytes()[:-8] + vectors.size.to_bytes(8, "little")
    pieces = [MARK + header, vectors.data]
    return SegmentRecord(write_file(disk, pieces, ".segment"), len(vectors), vectors.shape[1])


def load_segment(folder: Path, record: SegmentRecord) -> Floats:
    """Map a segment into memory, after checking it, and return its vectors float32 ``(n_vectors, dim)``, read-only.

    The map stays valid after the file is unlinked.

    Raises:
        IndexDamagedError: the file is missing, or not the one that was written.
    """
    return _vectors(folder / record.file, map_file(folder, record.stored).whole(), record)


def verify_segment(folder: Path, record: SegmentRecord) -> str | None:
    """Hash the whole file again, whatever is remembered; return a sentence about the damage, or None."""
    return verify_file(folder, record.stored)


def _vectors(path: Path, content: Bytes, record: SegmentRecord) -> Floats:
    expected = len(MARK) + _FAISS_HEADER + 4 * record.n_vectors * record.dim
    if bytes(content[: len(MARK)]) != MARK or len(content) != expected:
        raise damaged(path, "is not a segment of the shape that the manifest names")
    library = faiss()
    body = content[len(MARK) :]
    index = library.read_index(library.ZeroCopyIOReader(library.swig_ptr(body), body.size))
    if type(index) is not library.IndexFlatIP or (index.ntotal, index.d) != (record.n_vectors, record.dim):
        raise damaged(path, "does not hold the FAISS index that the manifest names")
    vectors = library.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d)
    # subtle: FAISS only points into the map. An array over the map itself keeps the map alive as long as anyone
    # holds the vectors; the address shows that they are the same bytes.
    mapped = content[len(MARK) + _FAISS_HEADER :].view(np.float32).reshape(vectors.shape)
    assert mapped.ctypes.data == vectors.ctypes.data
    return mapped
