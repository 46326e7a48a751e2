"""Exact search with NumPy: a matrix product over all vectors, the largest of each passage, a weighted sum."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from driving import Arrays, K, Search, run

BLOCK_PASSAGES = 32


def build(arrays: Arrays, folder: Path) -> None:
    """Nothing but the vectors is needed."""
    os.link(arrays.folder / "vectors.f32.npy", folder / "vectors.npy")


def prepare(arrays: Arrays, folder: Path) -> Search:
    """Hold all vectors in memory."""
    vectors, offsets, queries = np.load(folder / "vectors.npy"), arrays.offsets, arrays.weighted_queries

    def search(number: int) -> list[int]:
        query = np.ascontiguousarray(queries[number].T)
        scores = np.empty(len(offsets) - 1, np.float32)
        for first in range(0, len(scores), BLOCK_PASSAGES):
            bounds = offsets[first : first + BLOCK_PASSAGES + 1]
            similarities = vectors[bounds[0] : bounds[-1]] @ query
            best = np.maximum.reduceat(similarities, bounds[:-1] - bounds[0], axis=0)
            scores[first : first + BLOCK_PASSAGES] = best.sum(axis=1)
        best_k = np.argpartition(-scores, K - 1)[:K]
        return best_k[np.argsort(-scores[best_k])].tolist()

    return search


if __name__ == "__main__":
    run(build, prepare)
