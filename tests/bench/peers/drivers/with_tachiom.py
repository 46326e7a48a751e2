"""tachiom: token-aware clusters, product quantization, HNSW over the centroids. It compares by dot product."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tachiom
from driving import Arrays, K, Search, run


def build(arrays: Arrays, folder: Path) -> None:
    """Build from the float16 array, whose bits it takes as uint16."""
    vectors = arrays.load("vectors.f16").view(np.uint16)
    index = tachiom.Tachiom.build_from_arrays(
        vectors, arrays.load("token_ids"), arrays.load("lengths"), ef_construction=200
    )
    index.save(str(folder / "index.bin"))


def prepare(arrays: Arrays, folder: Path) -> Search:
    """Load the index into memory."""
    index = tachiom.Tachiom.load(str(folder / "index.bin"))
    queries = arrays.weighted_queries

    def search(number: int) -> list[int]:
        scores, numbers = index.search(queries[number], k=K)
        return numbers[np.isfinite(scores)].tolist()

    return search


if __name__ == "__main__":
    run(build, prepare)
