"""Which cells there are: planned for a corpus from a sample of its tokens.

Where tokens have types, cells follow from the types: a frequent type has a cell of its own, a very frequent one has
several, by a small k-means, and rare types have none. So no global k-means is needed. Where most tokens have no types,
or none is frequent, a k-means of two levels makes cells, or more cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vecsearch.stores.faiss_library import faiss
from vecsearch.stores.token_types import places

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Floats, Ids

    Numbers = npt.NDArray[np.int64]

__all__ = ["plan"]

LIST_TOKENS = 1_000
"""A type with more tokens than this in the corpus has several cells."""
FEWEST_TOKENS = 24
"""A type with fewer tokens than this in the corpus has no cell of its own."""
RARE_TOKENS = 250
"""Cells of tokens that have no type's cell hold about so many, where they are few."""
FEWEST_REST = 64
"""So few of a sample get no cells of their own, but go to the nearest ones."""
FEWEST_SAMPLES = 2
"""A cell rests on so many vectors of the sample at least."""


def plan(vectors: Floats, types: Ids, n_tokens: int, seed: int) -> tuple[Ids, Floats, Numbers]:
    """Return the types that have cells, the centres of all cells, and where the cells of each type begin.

    Args:
        vectors: float32 ``(n ≥ 1, width)``, a sample.
        types: int32 ``(n,)``, −1 for none.
        n_tokens: of the corpus, ``n`` or more.
        seed: of the k-means.

    Returns:
        Types int32 ``(n_types,)``, rising; centres float32 ``(n_cells, width)``; and int64 ``(n_types + 1,)``, the
        first cell of each type, and then the first of the cells that belong to no type.
    """
    scale = n_tokens / len(vectors)
    is_typed = types >= 0
    own_types, counts = np.unique(types[is_typed], return_counts=True)
    own_types = own_types[(counts * scale >= FEWEST_TOKENS) & (counts >= FEWEST_SAMPLES)].astype(np.int32)
    place = places(own_types, types)
    centres = []
    n_cells = []
    for members in _groups(place):
        centres.append(_split(vectors[members], round(len(members) * scale), seed))
        n_cells.append(len(centres[-1]))
    rest = np.flatnonzero(place < 0)
    if len(rest) >= FEWEST_REST or not centres:
        most = LIST_TOKENS if len(rest) > len(vectors) // 2 else RARE_TOKENS
        # two levels: the groups of a coarse k-means are split as types are
        n_groups = max(1, min(round((len(rest) * scale / most) ** 0.5), len(rest) // 64))
        groups = _nearest_of(vectors[rest], _kmeans(vectors[rest], n_groups, seed))
        centres += [
            _split(vectors[rest[members]], round(len(members) * scale), seed, most) for members in _groups(groups)
        ]
    return own_types, np.concatenate(centres), np.cumsum([0, *n_cells], dtype=np.int64)


def _groups(place: Numbers) -> list[Numbers]:
    """Return the indices of each value ≥ 0 of an array, values rising."""
    order = np.argsort(place, kind="stable")
    order = order[np.searchsorted(place[order], 0) :]
    bounds = np.flatnonzero(np.diff(place[order], prepend=-1))
    return np.split(order, bounds[1:]) if len(order) else []


def _split(vectors: Floats, n_tokens: int, seed: int, most: int = LIST_TOKENS) -> Floats:
    n = max(1, min(-(-n_tokens // most), len(vectors) // FEWEST_SAMPLES))
    if n == 1:
        mean: Floats = vectors.mean(axis=0, keepdims=True)
        return mean
    return _kmeans(vectors, n, seed)


def _kmeans(vectors: Floats, n: int, seed: int) -> Floats:
    kmeans = faiss().Kmeans(
        vectors.shape[1], n, niter=8, seed=seed, min_points_per_centroid=1, max_points_per_centroid=256
    )
    kmeans.train(np.ascontiguousarray(vectors))
    centres: Floats = kmeans.centroids
    return centres


def _nearest_of(vectors: Floats, centres: Floats) -> Numbers:
    _, nearest = faiss().knn(np.ascontiguousarray(vectors), centres, 1)
    found: Numbers = nearest[:, 0].astype(np.int64)
    return found
