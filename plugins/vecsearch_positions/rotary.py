"""Rotary position embeddings, compared at every alignment of the query with the passage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from vecsearch import VectorsError
from vecsearch_positions.arguments import Floats, Offsets, contiguous, number, whole_number
from vecsearch_positions.rotation import frequencies, turns

if TYPE_CHECKING:
    from vecsearch_positions.rotation import Complexes

__all__ = ["RotaryEncoder"]

_BLOCK_VALUES = 1 << 19  # similarities held at a time: 2 MiB
_KEPT_PLACES = 1024  # 1 MiB of rotations at dim 256


class RotaryEncoder:
    """Compare tokens by how far apart their places are, at the alignment of query and passage that fits best.

    m_i(δ) = max_j ⟨R^{i+δ} q_i, R^j d_j⟩,  δ = −(n_q − 1) … n_d − 1;  a passage's score is max_δ Σ_i w_i m_i(δ)

    R turns the pairs (f, f + dim/2) by θ_f = ``base``^(−2f/dim) (Su et al. 2021, RoFormer, §3.2.2). Since
    ⟨R^m q, R^n k⟩ = ⟨q, R^{n−m} k⟩, only the distance between the two places counts. Stored vectors are not turned: a
    query that starts at place 0 would only find phrases at the beginning of a passage. ``encode`` changes nothing, so
    candidates are found as under ``none``, and the best ``depth`` of them are compared by ``align``.

    It does not put order into the stored vectors: a passage that is not among the first ``depth`` candidates is never
    aligned. δ shifts the query as a whole, so a word inserted in the middle of a phrase moves the rest out of place.

    Args:
        base: of the frequencies, ≥ 1.
        depth: how many candidates are aligned, ≥ 1.

    Raises:
        ValueError: an argument out of its range.

    Example:
        In two dimensions θ_0 = 1, so R turns by one radian a place. The query's one token equals the passage's second
        one. At δ = 1 both are turned once, and their similarity is 1; at δ = 0 the passage's is turned once more than
        the query's, ⟨q, R q⟩ = cos 1 = .5403. With the first token, (0, 1), the similarity is ⟨q, (0, 1)⟩ = 0 at δ = 0
        and ⟨R q, (0, 1)⟩ = sin 1 = .8415 at δ = 1.

        >>> import numpy as np
        >>> query = np.array([[1.0, 0.0]], dtype=np.float32)
        >>> passage = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
        >>> print(RotaryEncoder().align(query, passage).round(4))
        [[0.5403]
         [1.    ]]
    """

    name: ClassVar[str] = "rotary"
    version: ClassVar[str] = "1"

    def __init__(self, *, base: float = 10000.0, depth: int = 100) -> None:
        self._base = number("base", base, low=1.0)
        self._depth = whole_number("depth", depth, low=1)
        self._kept: dict[int, Complexes] = {}

    @property
    def depth(self) -> int:
        """How many candidates are aligned."""
        return self._depth

    @property
    def config(self) -> Mapping[str, Any]:
        """``base`` and ``depth``."""
        return {"base": self._base, "depth": self._depth}

    @property
    def files(self) -> Mapping[str, str]:
        """No files are read."""
        return {}

    def encode(self, units: Floats, weights: Floats, offsets: Offsets) -> Floats:  # noqa: ARG002 - the protocol's arguments
        """Return a copy of ``units``, unturned.

        Raises:
            VectorsError: ``dim`` is odd.
        """
        frequencies(units.shape[1], self._base, self.name)
        return np.array(units, dtype=np.float32)

    def align(self, query: Floats, passage: Floats) -> Floats:
        """Return the best partner of every query token, for every alignment.

        The cost is (n_query + n_tokens) · n_query · n_tokens · dim multiplications.

        Args:
            query: float32 ``(n_query, dim)``; ``dim`` even.
            passage: float32 ``(n_tokens, dim)``.

        Returns:
            float32 ``(n_query + n_tokens - 1, n_query)`` of similarities, row r for δ = r − (n_query − 1). Within 1e-5
            of the formula for unit rows. Extra memory: the turned passage and a few MiB.

        Raises:
            VectorsError: ``dim`` is odd or differs between the two, or one of them holds no token.
        """
        query, passage = contiguous(query), contiguous(passage)
        (n_query, dim), n_tokens = query.shape, len(passage)
        if n_query == 0 or n_tokens == 0 or passage.shape[1] != dim:
            raise VectorsError(
                f"cannot align a query {query.shape} with a passage {passage.shape}: "
                f"both need at least one token, and vectors of one length",
                query=list(query.shape),
                passage=list(passage.shape),
            )
        half = dim // 2
        n_alignments = n_query + n_tokens - 1
        theta = frequencies(dim, self._base, self.name)
        # Only distances count: with the passage at n_query − 1, no place of the query is negative.
        tokens = _pairs(passage) * self._table(n_query - 1, n_alignments, theta)
        transposed = np.ascontiguousarray(tokens.view(np.float32).T)
        pairs = _pairs(query)
        best = np.empty((n_alignments, n_query), dtype=np.float32)
        step = max(1, _BLOCK_VALUES // (n_query * max(n_tokens, dim)))
        for start in range(0, n_alignments, step):
            stop = min(start + step, n_alignments)
            table = self._table(start, stop + n_query - 1, theta)
            # Row r aligns query token i with place r + i: a window of the table for every alignment.
            windows = np.lib.stride_tricks.sliding_window_view(table, n_query, axis=0).transpose(0, 2, 1)
            turned = np.ascontiguousarray(windows * pairs).reshape(-1, half)
            similarities = turned.view(np.float32) @ transposed
            best[start:stop] = similarities.max(axis=1).reshape(stop - start, n_query)
        return best

    def similarities(self, query: Floats, passage: Floats, alignment: int) -> Floats:
        """Return all similarities of one alignment; their maxima over the passage are row ``alignment`` of ``align``.

        Args:
            query: float32 ``(n_query, dim)``; ``dim`` even.
            passage: float32 ``(n_tokens, dim)``.
            alignment: a row of what ``align`` returns.

        Returns:
            float32 ``(n_query, n_tokens)``.
        """
        query, passage = contiguous(query), contiguous(passage)
        theta = frequencies(query.shape[1], self._base, self.name)
        turned = _pairs(query) * self._table(alignment, alignment + len(query), theta)
        tokens = _pairs(passage) * self._table(len(query) - 1, len(query) - 1 + len(passage), theta)
        return turned.view(np.float32) @ tokens.view(np.float32).T

    def _table(self, start: int, stop: int, theta: npt.NDArray[np.float64]) -> Complexes:
        if stop > _KEPT_PLACES:
            return turns(np.arange(start, stop), theta)
        half = len(theta)
        if half not in self._kept:
            self._kept[half] = turns(np.arange(_KEPT_PLACES), theta)
        return self._kept[half][start:stop]


def _pairs(vectors: Floats) -> Complexes:
    """Return dimensions (f, f + dim/2) as complex numbers, complex64 ``(n, dim // 2)``."""
    half = vectors.shape[1] // 2
    result = np.empty((len(vectors), half), dtype=np.complex64)
    result.real = vectors[:, :half]
    result.imag = vectors[:, half:]
    return result
