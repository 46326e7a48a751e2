"""maxsim-cpu: scores passages, all of them; it has no index and no files.

Version 0.1.0 gives wrong scores for a query of more than 16 tokens (sums of 1e30 where 350 is right), so longer ones
are asked 16 tokens at a time and the parts added up, which is what MaxSim means.
"""

from __future__ import annotations

import os
from pathlib import Path

import maxsim_cpu
import numpy as np
from driving import Arrays, K, Search, run

MOST_TOKENS = 16


def build(arrays: Arrays, folder: Path) -> None:
    """Nothing but the vectors is needed."""
    os.link(arrays.folder / "vectors.f32.npy", folder / "vectors.npy")


def prepare(arrays: Arrays, folder: Path) -> Search:
    """Hold all vectors in memory, one array a passage."""
    passages = np.split(np.load(folder / "vectors.npy"), arrays.offsets[1:-1])
    queries = arrays.weighted_queries

    def search(number: int) -> list[int]:
        query = queries[number]
        parts = [query[begin : begin + MOST_TOKENS] for begin in range(0, len(query), MOST_TOKENS)]
        scores = np.sum([maxsim_cpu.maxsim_scores_variable(part, passages) for part in parts], axis=0)
        best = np.argpartition(-scores, K - 1)[:K]
        return best[np.argsort(-scores[best])].tolist()

    return search


if __name__ == "__main__":
    run(build, prepare)
