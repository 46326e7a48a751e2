"""Maps tensors of a safetensors file into memory without copying them.

The format (https://huggingface.co/docs/safetensors): eight bytes, little-endian, with the length of a JSON header;
the header, which gives dtype, shape and byte range of every tensor; then the bytes of the tensors. Only tensors of
one and two dimensions are mapped here, and nothing is ever written.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any, Literal, TypeGuard

import numpy as np
import numpy.typing as npt

from vecsearch import LoadError

__all__ = ["MAX_DIM", "first_unfit", "map_tensor", "map_vector", "refuse_special", "tensor_names"]

MAX_DIM = 65_536
"""Longest row that is believed: a wider matrix is taken for a file of another kind."""

_MAX_HEADER = 16 * 1024 * 1024  # a header takes ~100 bytes a tensor; a longer one is garbage read as a length
_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_BYTES = {"I8": "|i1"}
_WHOLE = {"I8": "|i1", "U8": "|u1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8"}


def map_tensor(path: str, tensor: str | None = None, *, is_quantised: bool = False) -> npt.NDArray[Any]:
    """Map a matrix of a safetensors file, read-only.

    Args:
        path: the file.
        tensor: name of the tensor; by default the only one of two dimensions.
        is_quantised: take one of 8-bit whole numbers as well.

    Returns:
        float16, float32, float64, or int8, ``(n_rows, dim)``, both at least 1, backed by the file.

    Raises:
        LoadError: the file cannot be read, is not of this format, its header contradicts its length, or it has no
            such tensor; names the file and what was found.
    """
    begin, tensors = _header(path)
    name = _choose(path, tensors, tensor)
    return _mapped(path, begin, name, tensors, 2, _FLOATS | (_BYTES if is_quantised else {}))


def map_vector(path: str, tensor: str, *, of: Literal["numbers", "places"]) -> npt.NDArray[Any]:
    """Map a tensor of one dimension, read-only: of floating point numbers, or of whole ones.

    Raises:
        LoadError: as ``map_tensor``.
    """
    begin, tensors = _header(path)
    return _mapped(path, begin, _choose(path, tensors, tensor), tensors, 1, _FLOATS if of == "numbers" else _WHOLE)


def tensor_names(path: str) -> list[str]:
    """Return the names of all tensors of a safetensors file.

    Raises:
        LoadError: the file cannot be read or is not of this format.
    """
    return list(_header(path)[1])


def refuse_special(path: str) -> None:
    """Refuse what is no file, before it is opened: a pipe would be waited for, a device has no end.

    Raises:
        LoadError: it is there, and is no regular file.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise LoadError(f"{path} cannot be read: it is not a regular file; give the path of one", path=path)


def first_unfit(rows: npt.NDArray[np.floating[Any]]) -> int | None:
    """Return the first row with a value that is NaN, infinite or so large that its norm exceeds float32, or None.

    Example:
        >>> first_unfit(np.array([[1.0, 2.0], [3.0, np.nan], [1e30, 0.0]]))
        1
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found, by becoming infinite
        single = rows.astype(np.float32, copy=False)
        unfit = np.flatnonzero(~np.isfinite(np.einsum("ij,ij->i", single, single)))
    return int(unfit[0]) if len(unfit) else None


def _header(path: str) -> tuple[int, dict[str, Any]]:
    """Return where the tensors begin, and what the header says of each."""
    try:
        refuse_special(path)
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(_MAX_HEADER, size - 8):
                raise _malformed(path, f"it has {size} bytes and announces a header of {length}")
            header = file.read(length)
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}", path=path) from error
    try:
        tensors = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise _malformed(path, "its header is not JSON") from error
    if not isinstance(tensors, dict):
        raise _malformed(path, "its header is not a JSON object")
    tensors.pop("__metadata__", None)
    return 8 + length, tensors


def _mapped(
    path: str, begin: int, name: str, tensors: dict[str, Any], rank: int, dtypes: dict[str, str]
) -> npt.NDArray[Any]:
    dtype, shape, start = _checked(path, name, tensors[name], os.path.getsize(path) - begin, rank, dtypes)
    try:
        mapped = np.memmap(path, dtype=dtype, mode="r", offset=begin + start, shape=shape)
    except (OSError, ValueError) as error:
        raise LoadError(f"{path} cannot be mapped into memory: {error}", path=path) from error
    return np.asarray(mapped)  # the plain view: indexing a np.memmap pays for its subclass on every call


def _choose(path: str, tensors: dict[str, Any], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in tensors:
            raise LoadError(f"{path} has no tensor {wanted!r}; it has {_listed(tensors)}", path=path, tensor=wanted)
        return wanted
    matrices = [name for name, entry in tensors.items() if _rank(entry) == 2]
    if len(matrices) != 1:
        raise LoadError(
            f"{path} has {len(matrices)} tensors of two dimensions, one is expected; "
            f"name it with tensor=; it has {_listed(tensors)}",
            path=path,
        )
    return matrices[0]


def _rank(entry: object) -> int | None:
    shape = entry.get("shape") if isinstance(entry, dict) else None
    return len(shape) if isinstance(shape, list) else None


def _listed(tensors: dict[str, Any]) -> str:
    names = [repr(name) for name in tensors]
    return (", ".join(names[:10]) or "none") + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _checked(
    path: str, name: str, entry: Any, n_bytes: int, rank: int, dtypes: dict[str, str]
) -> tuple[str, tuple[int, ...], int]:
    """Return NumPy's dtype, the shape and the first byte of a tensor, counted from the end of the header."""
    if not isinstance(entry, dict):
        raise _malformed(path, f"tensor {name!r} is not described by a JSON object")
    shape, dtype, offsets = entry.get("shape"), entry.get("dtype"), entry.get("data_offsets")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise _malformed(path, f"tensor {name!r} has shape {shape!r} and data_offsets {offsets!r}")
    if len(shape) != rank or shape[0] < 1 or (rank == 2 and not 1 <= shape[1] <= MAX_DIM):
        expected = f"(rows, dim) with at least one row and dim from 1 to {MAX_DIM}" if rank == 2 else "one dimension"
        raise LoadError(
            f"tensor {name!r} of {path} has shape {shape}; expected {expected}",
            path=path,
            tensor=name,
        )
    if not isinstance(dtype, str) or dtype not in dtypes:
        raise LoadError(
            f"tensor {name!r} of {path} has dtype {dtype!r}; expected one of {', '.join(dtypes)}",
            path=path,
            tensor=name,
        )
    start, end = offsets
    needed = math.prod(shape) * np.dtype(dtypes[dtype]).itemsize
    if end - start != needed or end > n_bytes:
        raise _malformed(
            path, f"tensor {name!r} needs {needed} bytes and lies at {start} to {end} of {n_bytes}; is it cut short?"
        )
    return dtypes[dtype], tuple(shape), start


def _are_counts(values: object) -> TypeGuard[list[int]]:
    # subtle: bool is an int to isinstance, and JSON's true is no length
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _malformed(path: str, found: str) -> LoadError:
    return LoadError(f"{path} is not a whole safetensors file: {found}; fetch it again", path=path)
