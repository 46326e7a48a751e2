"""Reads and writes .npy files. Nothing in a file is ever executed: pickled objects are refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.errors import VectorsError

if TYPE_CHECKING:
    from vecsearch.types import Floats, Ids, Offsets

__all__ = ["documents_apart", "read_ids", "read_offsets", "read_vectors", "write_array"]


_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06")


def read_vectors(path: Path, *, n_dims: Sequence[int] = (2,)) -> Floats:
    """Return the float32 array of a file, with one of the numbers of dimensions allowed.

    Raises:
        VectorsError: the file holds something else, or NaN or infinity; says what.
    """
    array = _array(path)
    shapes = " or ".join({2: "(n_tokens, dim)", 3: "(n_documents, n_tokens, dim)"}[number] for number in n_dims)
    if array.dtype != np.float32 or array.ndim not in n_dims:
        raise VectorsError(
            f"{path} holds {array.dtype} of shape {array.shape}; vectors must be float32 {shapes}", path=str(path)
        )
    if not np.isfinite(array).all():
        place = tuple(int(number) for number in np.argwhere(~np.isfinite(array))[0])
        raise VectorsError(f"{path} holds {array[place]} at {place}; every number must be finite", path=str(path))
    return array


def read_ids(path: Path, n_tokens: int, *, lowest: int = 0) -> Ids:
    """Return the token ids of a file, int32 ``(n_tokens,)``, from an array of integers in ``lowest`` … 2³¹ − 1.

    Raises:
        VectorsError: the file holds something else; says what.
    """
    array = _integers(path, "token ids")
    if array.shape != (n_tokens,):
        raise VectorsError(
            f"{path} holds token ids of shape {array.shape} for {n_tokens} vectors; there must be one a vector",
            path=str(path),
        )
    highest = np.iinfo(np.int32).max
    if array.size and (int(array.min()) < lowest or int(array.max()) > highest):
        raise VectorsError(
            f"{path} holds token ids from {array.min()} to {array.max()}; allowed are {lowest} to {highest}",
            path=str(path),
        )
    return array.astype(np.int32)


def read_offsets(path: Path, n_tokens: int) -> Offsets:
    """Return where each document's vectors begin, int64 ``(n_documents + 1,)``, from 0 to ``n_tokens``, ascending.

    Raises:
        VectorsError: the file holds something else; says what.
    """
    array = _integers(path, "offsets")
    if array.ndim != 1 or not array.size or array[0] != 0 or array[-1] != n_tokens or np.any(array[1:] < array[:-1]):
        ends = f", from {array[0]} to {array[-1]}" if array.ndim == 1 and array.size else ""
        raise VectorsError(
            f"{path} holds offsets of shape {array.shape}{ends}; they must be (n_documents + 1,), begin with 0, never "
            f"fall and end with the number of vectors, {n_tokens}",
            path=str(path),
        )
    return array.astype(np.int64)


def documents_apart(vectors: Floats, offsets: Offsets | None) -> tuple[Floats, Offsets]:
    """Return flat vectors ``(n_tokens, dim)`` and the documents' offsets, which 3-d vectors have of themselves."""
    if vectors.ndim == 3:
        n_documents, n_tokens, dim = vectors.shape
        return vectors.reshape(-1, dim), np.arange(n_documents + 1, dtype=np.int64) * n_tokens
    return vectors, np.array([0, len(vectors)], np.int64) if offsets is None else offsets


def write_array(path: Path, array: Floats) -> None:
    """Write an array to a file, replacing it as a whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _integers(path: Path, what: str) -> np.ndarray[Any, np.dtype[Any]]:
    array = _array(path)
    if array.dtype.kind not in "iu":
        raise VectorsError(f"{path} holds {array.dtype}; {what} must be integers", path=str(path))
    return array


def _array(path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    if not stat.S_ISREG(path.stat().st_mode):  # asked before it is opened: a pipe would be waited for
        raise VectorsError(f"{path} is not a regular file; one .npy file with one array is needed", path=str(path))
    with path.open("rb") as file:
        if file.read(4) in _ARCHIVES:
            raise VectorsError(
                f"{path} is an archive of arrays; one .npy file with one array is needed", path=str(path)
            )
    try:
        # subtle: mapped first, so that a header that promises more than the file holds costs no memory
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # a header made for that makes NumPy raise nearly anything
        reason = str(error) or "its header cannot be read"
        raise VectorsError(f"{path} is not a .npy file of numbers: {reason}; save it again", path=str(path)) from error
    return np.array(array)
