"""LanceDB: a column of many vectors a row.

Its index takes such a column by the cosine only ("multivector type supports only cosine distance"), and with it the
weights of a query are lost. Without an index it scores all rows, by dot products if asked: mode ``scan``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
from driving import Arrays, K, Search, run
from lancedb.index import IvfPq

BATCH = 100


def build(arrays: Arrays, folder: Path) -> None:
    """Write the table, then index the column."""
    vectors, offsets = arrays.load("vectors.f32", "r"), arrays.offsets
    dim = vectors.shape[1]
    kind = pa.list_(pa.list_(pa.float32(), dim))
    schema = pa.schema([pa.field("number", pa.int64()), pa.field("vector", kind)])

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, len(offsets) - 1, BATCH):
            bounds = offsets[first : first + BATCH + 1]
            rows = pa.array(np.asarray(vectors[bounds[0] : bounds[-1]]).ravel())
            fixed = pa.FixedSizeListArray.from_arrays(rows, dim)
            column = pa.ListArray.from_arrays(pa.array((bounds - bounds[0]).astype(np.int32)), fixed)
            numbers = pa.array(np.arange(first, first + len(bounds) - 1))
            yield pa.RecordBatch.from_arrays([numbers, column], schema=schema)

    table = lancedb.connect(str(folder)).create_table("passages", batches(), schema=schema)
    if arrays.mode == "index":
        table.create_index("vector", config=IvfPq(distance_type="cosine"))


def prepare(arrays: Arrays, folder: Path) -> Search:
    """Open the table."""
    table = lancedb.connect(str(folder)).open_table("passages")
    queries = arrays.weighted_queries
    metric = "cosine" if arrays.mode == "index" else "dot"

    def search(number: int) -> list[int]:
        asked = table.search(queries[number]).distance_type(metric)
        found = asked.select(["number", "_distance"]).limit(K).to_arrow()
        return found["number"].to_pylist()

    return search


if __name__ == "__main__":
    run(build, prepare)
