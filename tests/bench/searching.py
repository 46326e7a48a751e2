"""How long searches take in one process, by mode, scorer and order.

    python -m tests.bench.searching [FILE.jsonl]

The baseline, in the same run, is the matrix product alone: the query's vectors by all vectors of the index.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.timing import DATA, machine, median_seconds, require
from vecsearch import Index
from vecsearch.ingest import index_paths

QUERIES = (
    "how do I undo a commit",
    "list files by size",
    "vim paste without indentation",
    "postgres create index",
    "reverse a string in ruby",
)
WAYS: tuple[dict[str, Any], ...] = (
    {"mode": "vector", "scorer": "maxsim"},
    {"mode": "vector"},
    {"mode": "vector", "scorer": "soft_tf"},
    {"mode": "keyword"},
    {"mode": "hybrid"},
    {"mode": "hybrid", "explain": True},
    {"mode": "hybrid", "order": "none"},
    {"mode": "hybrid", "order": "strict"},
)
ROUNDS = 7


def main() -> None:
    """Print the median of each way of searching."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=DATA / "til-notes" / "corpus.jsonl")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Index.create(Path(folder) / "index") as index:
        report = index_paths(index, [require(arguments.file)])
        index.flush()
        print(machine())
        print(
            f"{arguments.file.parent.name}: {report.documents.n_passages} passages, {report.documents.n_tokens} tokens"
        )
        rows = np.random.default_rng(0).normal(size=(report.documents.n_tokens, index.pipeline.dim)).astype(np.float32)
        query = np.ascontiguousarray(rows[:6].T)
        print(
            f"matrix product of 6 query tokens alone: {median_seconds(partial(np.matmul, rows, query)) * 1000:.1f} ms"
        )
        del rows
        for way in WAYS:
            times = []
            for _ in range(ROUNDS + 1):
                for text in QUERIES:
                    begin = time.perf_counter()
                    index.search(text, 10, **way)
                    times.append(time.perf_counter() - begin)
            # the first round warms up
            median = statistics.median(times[len(QUERIES) :])
            print(f"{', '.join(f'{name}={value}' for name, value in way.items())}: {median * 1000:.1f} ms", flush=True)
        begin = time.perf_counter()
        index.search_many(QUERIES * 6, 10)
        print(f"search_many of 30 queries, hybrid: {(time.perf_counter() - begin) * 1000 / 30:.1f} ms a query")


if __name__ == "__main__":
    main()
