"""A folder with a static model: a matrix with a tokenizer, as model2vec and sentence-transformers write them, or with
a list of words, as ``vecsearch train`` writes it; or with both.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from vecsearch import LoadError, Registry, StaticEmbedder, UsageError, Vocabulary
from vecsearch_wordllama.cutting import Cutter
from vecsearch_wordllama.entries import checked_starts
from vecsearch_wordllama.layouts import Layout, find_layout, is_static
from vecsearch_wordllama.sums import sums
from vecsearch_wordllama.tensors import first_unfit, map_tensor, map_vector, tensor_names
from vecsearch_wordllama.vocabularies import Lookup, read_vocabulary

if TYPE_CHECKING:
    from vecsearch.types import Bools, Floats

__all__ = ["StaticFolderEmbedder"]

_BLOCK = 8192  # rows that are checked, or entries that are looked up, at once


@dataclass(frozen=True)
class _Words:
    """Rows of whole words."""

    matrix: npt.NDArray[Any]
    lookup: Lookup


@dataclass(frozen=True)
class _Pieces:
    """Rows of the pieces that a tokenizer cuts words into."""

    matrix: npt.NDArray[Any]
    cutter: Cutter
    weights: npt.NDArray[Any] | None
    mapping: npt.NDArray[Any] | None

    def rows(self, entries: Sequence[str], starts: Sequence[bool]) -> Floats:
        pieces = self.cutter.cut(entries, starts)
        if self.mapping is None:
            return sums(self.matrix, pieces, self.weights)
        # quantised vocabularies share rows: each id has a weight of its own and the row of its cluster
        used = sorted({id_ for ids in pieces for id_ in ids})
        place = {id_: number for number, id_ in enumerate(used)}
        ids = np.array(used, np.int64)
        matrix = np.zeros((1, self.matrix.shape[1]), np.float32) if not used else self.matrix[self.mapping[ids]]
        weights = self.weights[ids] if self.weights is not None and used else None
        return sums(matrix, [[place[id_] for id_ in ids] for ids in pieces], weights)


class StaticFolderEmbedder:
    """Gives an entry its own row where the model knows it whole, and else the sum of the rows of its pieces.

    What a folder may hold:

    * ``model.safetensors`` with ``embeddings``, ``tokenizer.json`` and ``config.json``: a model of model2vec (potion),
      with its ``weights`` of tokens and the ``mapping`` of a quantised vocabulary where they are there;
    * ``model.safetensors`` with ``embedding.weight`` and ``tokenizer.json``, or both in ``0_StaticEmbedding/``: a
      static model of sentence-transformers;
    * ``model.safetensors`` with ``words``, and ``vocabulary.txt``, one word a line: a model of ``vecsearch train``. It
      may have ``embeddings`` and ``tokenizer.json`` as well, for words that it does not know whole, or be made from
      another embedder (``base`` in ``config.json``), which then serves them.

    Norms of rows are weights of words, and are taken as they are. Letter case: an entry is looked for as it is
    written, then case-folded; a tokenizer does what its file says. Unknown tokens and special ones count nothing.

    Args:
        path: the folder. ``~`` is the home folder.

    Raises:
        UsageError: ``path`` is no text.
        LoadError: a file is missing, is not what it should be, does not belong to the others, or is not the one whose
            hash ``config.json`` has; names the file and the remedy.
    """

    name: ClassVar[str] = "static"
    version: ClassVar[str] = "1"

    def __init__(self, *, path: str) -> None:
        if not isinstance(path, str) or not path:
            raise UsageError(f"path={path!r} is no folder; give that of the model: path=model", path=path)
        self._path = os.path.abspath(os.path.expanduser(path))
        self._layout = find_layout(self._path)
        self._words_matrix, self._pieces_matrix = _matrices(self._layout)
        self._base = _base(self._layout, self.dim)
        if self._base is not None and hasattr(
            self._base, "reference"
        ):  # what it was made for, the model made from it is for
            self.reference: Callable[[], Sequence[str]] = self._base.reference
        self._lock = threading.Lock()
        self._loaded: tuple[_Words | None, _Pieces | None] | None = None
        self._vocabulary: Vocabulary | None = None

    @staticmethod
    def takes(path: str) -> bool:
        """Tell whether a path is that of a folder with a static model."""
        return is_static(path)

    @property
    def config(self) -> Mapping[str, Any]:
        """Return ``path``, made absolute."""
        return {"path": self._path}

    @property
    def files(self) -> Mapping[str, str]:
        """The files that are read: ``path`` (the matrix), ``tokenizer``, ``vocabulary``, ``config``, and the base's."""
        of_base = {} if self._base is None else {f"base_{key}": path for key, path in self._base.files.items()}
        return {**self._layout.files, **of_base}

    @property
    def dim(self) -> int:
        """Length of a row."""
        matrix = self._pieces_matrix if self._words_matrix is None else self._words_matrix
        assert matrix is not None
        return int(matrix.shape[1])

    def rows(self, entries: Sequence[str], starts_word: Bools) -> Floats:
        """Return the rows of vocabulary entries; an entry's row never depends on the others asked for.

        Args:
            entries: n surface texts.
            starts_word: bool ``(n,)``.

        Returns:
            float32 ``(n, dim)``, not normalised; zeros for an entry of which nothing is known.

        Raises:
            UsageError: ``starts_word`` is not one bool an entry, or ``entries`` is one string.
            LoadError: the first call found the files unfit.
        """
        starts = checked_starts(entries, starts_word).tolist()
        words, pieces = self._load()
        rows = np.zeros((len(entries), self.dim), dtype=np.float32)
        for first in range(0, len(entries), _BLOCK):
            block = slice(first, first + _BLOCK)
            some, starting = entries[block], starts[block]
            unknown = list(range(len(some)))
            if words is not None:
                found = np.fromiter(map(words.lookup.find, some, starting), np.int64, len(some))
                known = np.flatnonzero(found >= 0)
                rows[first + known] = words.matrix[found[known]]
                unknown = np.flatnonzero(found < 0).tolist()
            if unknown and (pieces is not None or self._base is not None):
                left, left_starting = [some[nth] for nth in unknown], [starting[nth] for nth in unknown]
                if pieces is not None:
                    found_rows = pieces.rows(left, left_starting)
                else:
                    assert self._base is not None
                    found_rows = self._base.rows(left, np.array(left_starting, np.bool_))
                rows[first + np.array(unknown, np.int64)] = found_rows
        return rows

    def vocabulary(self) -> Vocabulary:
        """Return the words and then the pieces of the model, marks removed; after them the entries of its base.

        Raises:
            LoadError: the first call found the files unfit.
        """
        words, pieces = self._load()
        with self._lock:
            if self._vocabulary is None:
                parts = ([words.lookup.vocabulary] if words else []) + ([pieces.cutter.vocabulary] if pieces else [])
                parts += [self._base.vocabulary()] if self._base else []
                starts_word = np.concatenate([part.starts_word for part in parts])
                starts_word.setflags(write=False)
                self._vocabulary = Vocabulary(tuple(entry for part in parts for entry in part.entries), starts_word)
            return self._vocabulary

    def _load(self) -> tuple[_Words | None, _Pieces | None]:
        with self._lock:
            if self._loaded is None:
                words = pieces = None
                if self._words_matrix is not None:
                    words = _load_words(self._layout, self._words_matrix)
                if self._pieces_matrix is not None:
                    pieces = _load_pieces(self._layout, self._pieces_matrix)
                self._loaded = words, pieces
            return self._loaded


def _matrices(layout: Layout) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    """Return the matrix of the words, and that of the pieces."""
    words = map_tensor(layout.matrix, layout.words) if layout.words else None
    pieces = map_tensor(layout.matrix, layout.pieces, is_quantised=True) if layout.pieces else None
    if words is not None and pieces is not None and words.shape[1] != pieces.shape[1]:
        raise LoadError(
            f"{layout.matrix} has words of {words.shape[1]} numbers and pieces of {pieces.shape[1]}; train it again",
            path=layout.matrix,
        )
    return words, pieces


def _base(layout: Layout, dim: int) -> StaticEmbedder | None:
    """Return the embedder that a model was made from."""
    if layout.base is None:
        return None
    name, config = layout.base
    # subtle: a folder that names itself would be opened for ever
    base = None if name == StaticFolderEmbedder.name else Registry().create("embedder", name, config)
    if not isinstance(base, StaticEmbedder) or base.dim != dim:
        path = layout.files["config"]
        raise LoadError(
            f"{path} says that the model was made from {name!r}, which has no rows of {dim} numbers for it; "
            "train the model again",
            path=path,
        )
    return base


def _load_words(layout: Layout, matrix: npt.NDArray[Any]) -> _Words:
    path = layout.files["vocabulary"]
    entries = read_vocabulary(path)
    if len(entries) != len(matrix):
        raise LoadError(
            f"{path} has {len(entries)} words and {layout.matrix} has {len(matrix)} rows for them; "
            "the two do not belong together: train the model again, or fetch it again",
            path=path,
        )
    _refuse_unfit(layout.matrix, matrix, entries)
    return _Words(matrix, Lookup(entries, "none"))


def _load_pieces(layout: Layout, matrix: npt.NDArray[Any]) -> _Pieces:
    path = layout.files["tokenizer"]
    cutter = Cutter(path)
    names = tensor_names(layout.matrix)
    mapping = weights = None
    if layout.has_weights and "mapping" in names:
        mapping = map_vector(layout.matrix, "mapping", of="places")
        if len(mapping) and not 0 <= int(mapping.min()) <= int(mapping.max()) < len(matrix):
            raise LoadError(
                f"'mapping' of {layout.matrix} names rows from {mapping.min()} to {mapping.max()}, and there are "
                f"{len(matrix)}; fetch the model again",
                path=layout.matrix,
            )
    n_ids = len(matrix) if mapping is None else len(mapping)
    if layout.has_weights and "weights" in names:
        weights = map_vector(layout.matrix, "weights", of="numbers")
        if len(weights) != n_ids or not np.isfinite(weights).all():
            raise LoadError(
                f"'weights' of {layout.matrix} are {len(weights)} for {n_ids} tokens, or one is no number; "
                "fetch the model again",
                path=layout.matrix,
            )
    if cutter.n_ids != n_ids:
        raise LoadError(
            f"{path} has {cutter.n_ids} tokens and {layout.matrix} has rows for {n_ids}; "
            "give the tokenizer that belongs to the model: fetch both again",
            path=path,
        )
    _refuse_unfit(layout.matrix, matrix, cutter.entries if mapping is None else ())
    return _Pieces(matrix, cutter, weights, mapping)


def _refuse_unfit(path: str, matrix: npt.NDArray[Any], entries: Sequence[str]) -> None:
    if matrix.dtype.kind != "f":
        return
    for first in range(0, len(matrix), _BLOCK):
        unfit = first_unfit(matrix[first : first + _BLOCK])
        if unfit is not None:
            row = first + unfit
            named = f" ({entries[row][:40]!r})" if row < len(entries) else ""
            raise LoadError(
                f"row {row} of {path}{named} has a value that is NaN, infinite or too large; "
                "fetch the model again, or train it again",
                path=path,
                row=row,
            )
