"""What many small additions do to search: documents added one by one to a large index, then compacted.

    python -m tests.bench.additions [--passages 20000] [--adds 1000]

Prints the median time of a search by vectors and of a hybrid one before the additions, after them, and compacted.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path

from tests.bench.peer_queries import make_queries
from tests.bench.scale import documents, milliseconds
from tests.bench.timing import machine
from vecsearch import Index


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=20_000)
    parser.add_argument("--adds", type=int, default=1_000)
    arguments = parser.parse_args()
    n = arguments.passages
    print(machine())
    with tempfile.TemporaryDirectory() as folder, Index.create(Path(folder) / "index") as index:
        index.add(documents(n))
        index.flush()
        texts = [document.text for document in documents(min(n, 20_000))]
        queries = [query.text for query in make_queries(texts, index.pipeline, 30)]

        def report(what: str) -> None:
            medians = []
            for mode in ("vector", "hybrid"):
                index.search(queries[0], mode=mode)  # type: ignore[arg-type]
                median, *_ = milliseconds(
                    lambda text, mode=mode: index.search(text, mode=mode, syntax="plain"),  # type: ignore[misc]
                    queries,
                )
                medians.append(f"{mode} p50 {median:.1f} ms")
            facts = index.info()
            held = f"{facts['n_segments']} segments, {facts['n_fresh_tokens']:,} fresh tokens"
            print(f"{what}: {', '.join(medians)}; {held}")

        report(f"{n:,} passages")
        times = []
        for document in itertools.islice(documents(n + arguments.adds), n, None):
            begun = time.perf_counter()
            index.add([document])
            times.append(1000 * (time.perf_counter() - begun))
        print(f"{arguments.adds:,} documents, each a commit: median {statistics.median(times):.1f} ms")
        report("after them")
        begun = time.perf_counter()
        index.compact()
        print(f"compacted in {time.perf_counter() - begun:.1f} s, the measuring of depth included")
        report("compacted")


if __name__ == "__main__":
    main()
