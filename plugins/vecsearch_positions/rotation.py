"""The rotation R of rotary position embeddings: R^m turns the pair (f, f + dim/2) of a vector by m · θ_f.

θ_f = base^(−2f/dim) for f = 0 … dim/2 − 1 (Su et al. 2021, RoFormer, §3.2.2, which pairs neighbouring dimensions
(2f, 2f + 1); the halves are paired here, which is the same up to a permutation of dimensions and reads memory in
order). A vector is handled as dim/2 complex numbers z_f = x_f + i·x_{f + dim/2}, so that R^m z = exp(i·m·θ) · z.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from vecsearch import VectorsError

if TYPE_CHECKING:
    Complexes: TypeAlias = npt.NDArray[np.complex64]

__all__ = ["frequencies", "turns"]


def frequencies(dim: int, base: float, encoder: str) -> npt.NDArray[np.float64]:
    """Return θ, float64 ``(dim // 2,)``, in radians a place, from 1 downwards.

    Raises:
        VectorsError: ``dim`` is odd; names ``encoder`` and what to use instead.

    Example:
        >>> frequencies(4, 10000.0, "rotary").tolist()
        [1.0, 0.01]
    """
    if dim % 2:
        raise VectorsError(
            f"the encoder {encoder!r} turns pairs of dimensions and needs vectors of even length, not of {dim}; "
            f"use the encoder 'none' or 'sinusoidal', or append a zero to every vector",
            dim=dim,
            encoder=encoder,
        )
    return base ** (-2.0 * np.arange(dim // 2, dtype=np.float64) / dim)


def turns(places: npt.ArrayLike, theta: npt.NDArray[np.float64]) -> Complexes:
    """Return exp(i · place · θ), complex64 ``(n_places, dim // 2)``.

    Angles are multiplied and reduced in float64, so a place of a million is as exact as place 1.
    """
    angles = np.multiply.outer(np.asarray(places, dtype=np.float64), theta)
    result = np.empty(angles.shape, dtype=np.complex64)
    result.real = np.cos(angles)
    result.imag = np.sin(angles)
    return result
