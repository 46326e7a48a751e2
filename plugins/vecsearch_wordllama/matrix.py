"""The user's own embedding matrix: an array with its vocabulary, or a file of word vectors."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from vecsearch import LoadError, UsageError, Vocabulary
from vecsearch_wordllama.entries import checked_starts
from vecsearch_wordllama.tensors import MAX_DIM, first_unfit, map_tensor, refuse_special
from vecsearch_wordllama.vocabularies import MARKS, Lookup, Marks, read_vocabulary
from vecsearch_wordllama.wordvectors import peek_dim, read_binary, read_text

if TYPE_CHECKING:
    from vecsearch.types import Bools, Floats

__all__ = ["MatrixEmbedder"]

_Matrix = npt.NDArray[np.floating[Any]]
_BLOCK = 8192  # rows that are converted or checked at once


@dataclass(frozen=True)
class _Loaded:
    matrix: _Matrix
    lookup: Lookup


class MatrixEmbedder:
    """Gives an entry the row that the user's matrix has for it, and zeros where it has none.

    An entry is looked for as it is written and then without regard to letter case, in its place in a word first:
    see ``Lookup``. Rows are taken as they are: their norms are the weights of the words, so of a matrix whose norms
    mean nothing, give the rows unit length first.

    The beginning of the file is checked at once; the rest is read when rows are first asked for. Arrays are mapped
    into memory. Text and word2vec's binary form are parsed each time a process needs them (about 10 s for 400,000
    words of 300): store a large one once as .npy and a vocabulary.

    Args:
        path: ``.npy`` (two dimensions, float16, float32 or float64) or ``.safetensors``, both with ``vocabulary``;
            ``.bin``, word2vec's binary form; any other name: a word and its values a line, as GloVe, word2vec and
            fastText write them. Text and ``.bin`` may be gzipped (``.gz``). ``~`` is the home folder.
        vocabulary: text with one entry a line, or ``.json``: a list, or an object entry → row. As many entries as
            rows; of entries written alike the first counts.
        tensor: name of the tensor in a ``.safetensors`` file; by default the only one of two dimensions.
        marks: how the vocabulary marks the pieces of words: ``none``, ``##``, ``▁``, ``Ġ``, or ``auto``, which looks.

    Raises:
        UsageError: an argument is missing, or has nothing to say for a file of this kind.
        LoadError: a file cannot be read or is not what it should be; names it, the place and the remedy.
    """

    name: ClassVar[str] = "matrix"
    version: ClassVar[str] = "1"

    def __init__(
        self, *, path: str, vocabulary: str | None = None, tensor: str | None = None, marks: Marks = "auto"
    ) -> None:
        if not isinstance(path, str) or not path:
            raise UsageError(f"path={path!r} is no file name; give the matrix: path=vectors.npy", path=path)
        self._path = os.path.abspath(os.path.expanduser(path))
        self._kind = _kind(self._path)
        is_array = self._kind in ("npy", "safetensors")
        if is_array and not (isinstance(vocabulary, str) and vocabulary):
            raise UsageError(
                f"{path} needs vocabulary=, a file that names its rows: one entry a line, or .json", path=path
            )
        if not is_array and vocabulary is not None:
            raise UsageError(f"{path} has its words inside; leave vocabulary={vocabulary!r} out", path=path)
        if self._kind != "safetensors" and tensor is not None:
            raise UsageError(f"{path} has no named tensors; leave tensor={tensor!r} out", path=path)
        if marks not in MARKS:
            raise UsageError(f"marks={marks!r} is not one of {', '.join(MARKS)}", marks=marks)
        self._vocabulary = os.path.abspath(os.path.expanduser(vocabulary)) if vocabulary else None
        self._tensor = tensor
        self._marks: Marks = marks

        self._array: _Matrix | None = None
        match self._kind:
            case "npy":
                self._array = _map_npy(self._path)
            case "safetensors":
                self._array = map_tensor(self._path, tensor)
        if self._array is not None:
            self._dim = int(self._array.shape[1])
        else:
            self._dim = peek_dim(self._path, binary=self._kind == "bin")
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    @staticmethod
    def takes(path: str) -> bool:
        """Tell whether a path is that of a file: all of them are word vectors to it, until they are read."""
        return os.path.isfile(path)

    @property
    def config(self) -> Mapping[str, Any]:
        """The constructor's arguments, paths made absolute."""
        return {"path": self._path, "vocabulary": self._vocabulary, "tensor": self._tensor, "marks": self._marks}

    @property
    def files(self) -> Mapping[str, str]:
        """``path``, and ``vocabulary`` where there is one."""
        return {"path": self._path} | ({"vocabulary": self._vocabulary} if self._vocabulary else {})

    @property
    def dim(self) -> int:
        """Length of a row of the matrix."""
        return self._dim

    def rows(self, entries: Sequence[str], starts_word: Bools) -> Floats:
        """Return the rows of vocabulary entries.

        Args:
            entries: n surface texts.
            starts_word: bool ``(n,)``.

        Returns:
            float32 ``(n, dim)``, as the matrix has them; zeros for an entry that it does not have.

        Raises:
            UsageError: ``starts_word`` is not one bool an entry, or ``entries`` is one string.
            LoadError: the first call found the files unfit.
        """
        starts = checked_starts(entries, starts_word)
        loaded = self._load()
        found = np.fromiter(map(loaded.lookup.find, entries, starts.tolist()), dtype=np.int64, count=len(entries))
        rows = np.zeros((len(entries), self._dim), dtype=np.float32)
        known = np.flatnonzero(found >= 0)
        for first in range(0, len(known), _BLOCK):
            block = known[first : first + _BLOCK]
            rows[block] = loaded.matrix[found[block]]
        return rows

    def vocabulary(self) -> Vocabulary:
        """Return the entries of the matrix in its order, marks removed.

        Raises:
            LoadError: the first call found the files unfit.
        """
        return self._load().lookup.vocabulary

    def _load(self) -> _Loaded:
        with self._lock:
            if self._loaded is None:
                if self._array is None:
                    reader = read_binary if self._kind == "bin" else read_text
                    words, matrix = reader(self._path)
                    self._loaded = _Loaded(matrix, Lookup(words, self._marks))
                else:
                    assert self._vocabulary is not None
                    entries = read_vocabulary(self._vocabulary)
                    if len(entries) != len(self._array):
                        raise LoadError(
                            f"the vocabulary {self._vocabulary} has {len(entries)} entries and {self._path} has "
                            f"{len(self._array)} rows; they must be as many: line 1 names row 0",
                            path=self._vocabulary,
                        )
                    _refuse_unfit(self._path, self._array, entries)
                    self._loaded = _Loaded(self._array, Lookup(entries, self._marks))
            return self._loaded


def _kind(path: str) -> Literal["npy", "safetensors", "bin", "text"]:
    name = path.lower()
    if name.endswith((".npy", ".safetensors")):
        return "npy" if name.endswith(".npy") else "safetensors"
    if name.endswith((".npz", ".npy.gz", ".safetensors.gz")):
        raise UsageError(f"{path} is compressed and cannot be mapped into memory; unpack it first", path=path)
    return "bin" if name.removesuffix(".gz").endswith(".bin") else "text"


def _map_npy(path: str) -> _Matrix:
    refuse_special(path)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}", path=path) from error
    except Exception as error:  # not this format, pickled objects, shorter than its header says; NumPy has many
        reason = str(error) or "its header cannot be read"
        raise LoadError(f"{path} is not a whole .npy file of numbers: {reason}; save it again", path=path) from error
    if array.ndim != 2 or not 1 <= array.shape[1] <= MAX_DIM or not len(array):
        raise LoadError(
            f"{path} has shape {array.shape}; (rows, dim) with at least one row and dim from 1 to {MAX_DIM} "
            "are expected",
            path=path,
        )
    if array.dtype.kind != "f" or array.dtype.itemsize not in (2, 4, 8):
        raise LoadError(f"{path} has dtype {array.dtype}; float16, float32 or float64 are expected", path=path)
    return np.asarray(array)


def _refuse_unfit(path: str, matrix: _Matrix, entries: Sequence[str]) -> None:
    for first in range(0, len(matrix), _BLOCK):
        unfit = first_unfit(matrix[first : first + _BLOCK])
        if unfit is not None:
            row = first + unfit
            raise LoadError(
                f"row {row} of {path} ({entries[row][:40]!r}) has a value that is NaN, infinite or too large; mend it",
                path=path,
                row=row,
                word=entries[row],
            )
