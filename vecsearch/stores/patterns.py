"""The patterns of 4-bit codes: learnt from differences between vectors and the centres of their cells.

Each four dimensions of a difference are coded as one of 16 patterns (product quantization, Jégou, Douze & Schmid 2011).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vecsearch.stores.faiss_library import faiss

if TYPE_CHECKING:
    from vecsearch.types import Floats

__all__ = ["MOST_SPREAD", "MOST_STRETCH", "PQ_SAMPLES", "SUB_DIMENSIONS", "learn_patterns", "spread_of", "stretch_of"]

SUB_DIMENSIONS = 4
"""Dimensions that one 4-bit code stands for."""
PQ_SAMPLES = 16_384
"""Residuals that the patterns are learnt from."""
MOST_STRETCH = 4.0
"""Codes are never counted as longer than this many times."""


MOST_SPREAD = 64.0
"""Rare tokens never count as farther from their centres than this many times."""


def learn_patterns(residuals: Floats, n_sub: int, seed: int) -> Floats:
    """Return the 16 patterns of each part of a vector: float32 ``(n_sub, 16, SUB_DIMENSIONS)``.

    Args:
        residuals: float32 ``(n ≥ 1, n_sub · SUB_DIMENSIONS)``, vectors less the centres of their cells.
        n_sub: parts of a vector.
        seed: of the k-means.
    """
    library = faiss()
    quantizer = library.ProductQuantizer(residuals.shape[1], n_sub, 4)
    quantizer.cp.seed = seed
    quantizer.cp.min_points_per_centroid = 1
    quantizer.cp.max_points_per_centroid = -(-PQ_SAMPLES // 16)
    quantizer.cp.niter = 12
    # k-means wants as many points as patterns
    quantizer.train(np.ascontiguousarray(np.tile(residuals, (-(-16 // len(residuals)), 1))))
    patterns: Floats = library.vector_to_array(quantizer.centroids).reshape(n_sub, 16, -1).astype(np.float32)
    return patterns


def spread_of(residuals: Floats, others: Floats) -> float:
    """Return how many times as long the residuals are as the others, at most ``MOST_SPREAD``: 1 where one is empty."""
    lengths = [
        float(np.einsum("ij,ij->", some, some, dtype=np.float64)) / max(len(some), 1) for some in (residuals, others)
    ]
    if not all(lengths):
        return 1.0
    return float(np.clip((lengths[0] / lengths[1]) ** 0.5, 1 / MOST_SPREAD, MOST_SPREAD))


def stretch_of(residuals: Floats, coded: Floats) -> float:
    """Return how many times as long coded residuals must be to give the right inner product with the residuals.

    Both are float32 ``(n, width)``; the result is at least 1 and at most ``MOST_STRETCH``.

    A pattern is the mean of many residuals and shorter than they are. So codes make every token less like a query that
    resembles it, the more so the farther it is from its centre, and rare types most. ⟨r, r⟩ / ⟨r, coded r⟩ takes that
    back on the mean (the estimator of RaBitQ, Gao & Long 2024, with one factor for all vectors).
    """
    length = float(np.einsum("ij,ij->", residuals, residuals, dtype=np.float64))
    product = float(np.einsum("ij,ij->", residuals, coded, dtype=np.float64))
    return min(max(length / product, 1.0), MOST_STRETCH) if product > 0 else 1.0
