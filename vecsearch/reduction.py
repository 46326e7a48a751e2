"""Contextual vectors of fewer numbers: projected on the directions in which vectors differ most.

The directions are fitted once, on vectors of the texts that an index is made for (see ``fitting``), and frozen: an
index keeps them as an artefact of its own, and its identity names their hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vecsearch.errors import PluginError, UsageError, VectorsError
from vecsearch.guarding import call, checked_floats, unusable_row
from vecsearch.protocols import ContextualEmbedder, Tokenizer
from vecsearch.types import Tokens

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Floats

__all__ = ["ARTEFACT", "ReducedEmbedder", "Reduction"]

ARTEFACT = "reduction"
"""What an index calls the directions among its artefacts."""
_MARK = b"vsreduce"
_VERSION = 1
_LARGEST_DIM = 1 << 16


@dataclass(frozen=True, eq=False)
class Reduction:
    """A projection on some directions.

    Attributes:
        directions: float32 ``(dim_before, dim)``, columns of length 1 at right angles to each other.
    """

    directions: Floats

    @property
    def dim(self) -> int:
        """Numbers of a vector afterwards."""
        return int(self.directions.shape[1])

    def apply(self, rows: Floats) -> Floats:
        """Return rows projected, each as long as it was, since its length is the token's weight.

        Args:
            rows: float32 ``(n, dim_before)``.

        Returns:
            float32 ``(n, dim)``; zeros where a row has no part in the directions.
        """
        found = rows @ self.directions
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        left = np.sqrt(np.einsum("ij,ij->i", found, found, dtype=np.float64))
        has_part = left > 1e-6 * lengths
        factors = np.divide(lengths, left, out=np.zeros_like(left), where=has_part)
        reduced: Floats = (found * factors[:, None]).astype(np.float32)
        return reduced

    @cached_property
    def content(self) -> bytes:
        """Bytes that ``parse`` reads: a mark, version, both dimensions, and the directions, row by row."""
        header = np.array([_VERSION, *self.directions.shape], "<u8").tobytes()
        return _MARK + header + np.ascontiguousarray(self.directions, "<f4").tobytes()

    @cached_property
    def sha256(self) -> str:
        """Of the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @classmethod
    def parse(cls, content: bytes) -> Reduction:
        """Return the reduction that ``content`` was made of.

        Raises:
            ValueError: it was made of none.
        """
        begin = len(_MARK) + 24
        if content[: len(_MARK)] != _MARK or len(content) < begin:
            raise ValueError("is no reduction")
        version, before, dim = np.frombuffer(content, "<u8", 3, len(_MARK)).tolist()
        if version != _VERSION or not 0 < dim <= before <= _LARGEST_DIM or len(content) != begin + 4 * before * dim:
            raise ValueError("is a reduction of another version or size")
        directions = np.frombuffer(content, "<f4", offset=begin).reshape(before, dim).astype(np.float32)
        if unusable_row(directions) is not None or np.abs(directions).max() > 1.001:
            raise ValueError("has directions that are none")
        return cls(directions)


class ReducedEmbedder:
    """A contextual embedder whose vectors are projected. It is one itself, and has what else the embedder has.

    Args:
        embedder: whose vectors.
        reduction: of them.

    Raises:
        UsageError: it is for vectors of another length.
    """

    name: ClassVar[str] = "reduced"
    version: ClassVar[str] = "1"

    def __init__(self, embedder: ContextualEmbedder, reduction: Reduction) -> None:
        if embedder.dim != len(reduction.directions):
            raise UsageError(
                f"embedder {embedder.name!r} gives vectors of {embedder.dim} numbers, and the reduction is for "
                f"{len(reduction.directions)}"
            )
        self.embedder = embedder
        self.reduction = reduction
        for name in ("scorer", "encoder", "uses_idf", "reference"):
            if hasattr(embedder, name):
                setattr(self, name, getattr(embedder, name))
        if hasattr(embedder, "embed_query"):
            self.embed_query = self._embed_query

    @property
    def config(self) -> Mapping[str, Any]:
        """Name and configuration of the embedder, ``dim``, and the ``sha256`` of the directions."""
        inner = {"name": self.embedder.name, "config": dict(self.embedder.config)}
        return {"embedder": inner, "dim": self.dim, "sha256": self.reduction.sha256}

    @property
    def files(self) -> Mapping[str, str]:
        """Those of the embedder."""
        return self.embedder.files

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return self.reduction.dim

    def tokenizer(self) -> Tokenizer:
        """Return the embedder's own."""
        return self.embedder.tokenizer()

    def embed(self, texts: Sequence[str], tokens: Tokens) -> Floats:
        """Return float32 ``(n_tokens, dim)``.

        Raises:
            PluginError: the embedder raised, or broke its contract.
        """
        rows = call(self.embedder, "embedder", "embed", texts, tokens)
        return self._reduced(rows, tokens, "embed")

    def _embed_query(self, text: str) -> tuple[Tokens, Floats]:
        found = call(self.embedder, "embedder", "embed_query", text)
        if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[0], Tokens):
            raise PluginError(
                f"embedder {self.embedder.name!r}: embed_query() returned {type(found).__name__}, "
                "not a pair of Tokens and vectors",
                plugin=self.embedder.name,
                kind="embedder",
            )
        return found[0], self._reduced(found[1], found[0], "embed_query")

    def _reduced(self, rows: Any, tokens: Tokens, method: str) -> Floats:
        shape = (tokens.n_tokens, len(self.reduction.directions))
        return self.reduction.apply(checked_floats(rows, shape, self.embedder, "embedder", method))


def fit_directions(units: Floats, dim: int, weights: npt.NDArray[np.floating] | None = None) -> Reduction:
    """Return the directions that keep most of the inner products of some vectors.

    The eigenvectors of the largest eigenvalues of Σ_i w_i u_i u_iᵀ. The mean is not taken off, unlike in Pearson's
    principal components (1901): inner products with it are part of what is to be kept. Each direction points to where
    its largest number is positive, so that the same vectors give the same directions.

    Args:
        units: float32 ``(n, dim_before)``, rows of length 1; n ≥ ``dim_before``.
        dim: how many directions, < ``dim_before``.
        weights: float ``(n,)`` ≥ 0, how much each vector counts; by default all the same.

    Raises:
        VectorsError: the vectors have fewer directions than that.

    Example:
        Vectors near a plane of three dimensions: the third is left out.

        >>> units = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 1, 0]], np.float32)
        >>> fit_directions(units, 2).apply(units).shape
        (3, 2)
        >>> projected = fit_directions(units, 2).apply(units)
        >>> np.abs(projected @ projected.T).round(3)  # none is negative, but for a zero's sign
        array([[1. , 0.6, 0. ],
               [0.6, 1. , 0.8],
               [0. , 0.8, 1. ]], dtype=float32)
    """
    columns = units.T.astype(np.float64)
    moments = (columns if weights is None else columns * weights) @ units
    values, vectors = np.linalg.eigh(moments)
    if values[-dim] <= 1e-9 * values[-1]:
        raise VectorsError(f"the vectors differ in fewer than {dim} directions; ask for fewer")
    chosen = vectors[:, ::-1][:, :dim]
    signs = np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(dim)])
    return Reduction((chosen * signs).astype(np.float32))
