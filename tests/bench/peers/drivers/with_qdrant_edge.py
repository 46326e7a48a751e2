"""qdrant-edge: one point a passage with all its vectors, compared by MaxSim of dot products.

Mode ``index`` builds HNSW over the points; ``scan`` leaves it out and compares all.
"""

from __future__ import annotations

from pathlib import Path

from driving import Arrays, K, Search, run
from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeVectorParams,
    MultiVectorComparator,
    MultiVectorConfig,
    Point,
    Query,
    QueryRequest,
    SearchParams,
    UpdateOperation,
)

BATCH = 100


def build(arrays: Arrays, folder: Path) -> None:
    """Upsert all passages, then let it optimize."""
    vectors, offsets = arrays.load("vectors.f32", "r"), arrays.offsets
    multi = MultiVectorConfig(MultiVectorComparator.MaxSim)
    params = EdgeVectorParams(vectors.shape[1], Distance.Dot, multivector_config=multi)
    shard = EdgeShard.create(str(folder), EdgeConfig(vectors=params))
    n_passages = len(offsets) - 1
    for first in range(0, n_passages, BATCH):
        points = [
            Point(number, vectors[offsets[number] : offsets[number + 1]].tolist())
            for number in range(first, min(first + BATCH, n_passages))
        ]
        shard.update(UpdateOperation.upsert_points(points))
    if arrays.mode == "index":
        shard.optimize()
    shard.flush()
    shard.close()


def prepare(arrays: Arrays, folder: Path) -> Search:
    """Load the shard."""
    shard = EdgeShard.load(str(folder))
    queries = [query.tolist() for query in arrays.weighted_queries]
    params = SearchParams(exact=arrays.mode == "scan")

    def search(number: int) -> list[int]:
        found = shard.query(QueryRequest(limit=K, query=Query.Nearest(queries[number]), params=params))
        return [point.id for point in found]

    return search


if __name__ == "__main__":
    run(build, prepare)
