"""How search, memory and size grow with the collection: the first N passages of techdocs-large.

    python -m tests.bench.scale [--passages 20000 100000 237892] [--queries 50] [--exact 20] [--threads 1] [--keep DIR]

For each size: a build in a process of its own (words/s, peak memory, bytes a token), the recall of the candidates
against exact search for two scorers, and the median and 95th percentile of a search by vectors and by both, warm,
beside the stages they are made of. Queries are sentences with a quarter of their words dropped and a quarter replaced
(``tests.bench.peer_queries``).
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.peer_queries import make_queries
from tests.bench.timing import DATA, has_numba, machine, require
from vecsearch import Document, Index
from vecsearch.budget import share_one_arena
from vecsearch.queries import Query
from vecsearch.request import Request
from vecsearch.stores.protocol import Depth
from vecsearch.tuning import K, best_of, ranks_of

SCORERS = ("maxsim", "debiased_maxsim")
DEPTHS = (10, 30, 50, 100, 200, 400)
COMPILED_AFTER = 10
"""Rounds of queries after which a kernel is compiled, where one can be: when that has been found to pay."""


def documents(n: int) -> Iterator[Document]:
    """Yield the first n passages."""
    with gzip.open(require(DATA / "techdocs-large" / "corpus.jsonl.gz"), "rt", encoding="utf-8") as file:
        for line in itertools.islice(file, n):
            record = json.loads(line)
            yield Document(id=record["_id"], title=record["title"], text=record["text"])


def build(n: int, folder: Path) -> dict[str, Any]:
    """Index n passages as ``vecsearch index`` does and return what it took; meant for a process of its own.

    The command has one thread of BLAS (``vecsearch.cli.threads``), which is set where this process is started.
    """
    share_one_arena()
    begun = time.perf_counter()
    with Index.create(folder) as index:
        report = index.add(documents(n))
        added = time.perf_counter() - begun
        index.flush()
        seconds = time.perf_counter() - begun
        facts = index.info()
    return {
        "n_tokens": report.n_tokens,
        "seconds": seconds,
        "flush_seconds": seconds - added,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "bytes": facts["bytes"],
        "approximate": facts["approximate"],
        "n_segments": facts["n_segments"],
    }


def milliseconds(run: Callable[[str], object], queries: list[str], n_rounds: int = 3) -> tuple[float, float, float]:
    """Return median and 95th percentile of a call for each query, the best of some rounds each; and the median of the
    first ones.
    """
    times, firsts = [], []
    for query in queries:
        of_query = []
        for _ in range(n_rounds):
            begun = time.perf_counter()
            run(query)
            of_query.append(time.perf_counter() - begun)
        times.append(1000 * min(of_query))
        firsts.append(1000 * of_query[0])
    return statistics.median(times), float(np.quantile(times, 0.95)), statistics.median(firsts)


def recalls(index: Index, queries: list[str], scorer: str) -> tuple[float, list[float]]:
    """Return recall@10 of the hits against exact search, and of the best n candidates by depth."""
    searcher = index._searcher
    found = []
    ranks: list[np.ndarray[Any, Any]] = []
    with index._store.snapshot() as snapshot:
        used = searcher.scorer(scorer)
        asked = [
            searcher.vector(snapshot, query, query.weights(snapshot), used).asked(None)
            for query in (Query.of_text(index.pipeline, text) for text in queries)
        ]
        exact = [best_of(scan) for scan in snapshot.scan_many(asked, used, exact=True)]
        for best, scan in zip(exact, snapshot.scan_many(asked, used), strict=True):
            ranks.append(ranks_of(best, scan))
            depth = snapshot.depth()
            found.append(1.0 if depth is None else float((ranks[-1] < depth.n_rescored).mean()))
    together = np.concatenate(ranks)
    return float(np.mean(found)), [float((together < n).mean()) for n in DEPTHS]


def stages(index: Index, queries: list[str], scorer: str) -> dict[str, float]:
    """Return the median milliseconds of the stages of a search by vectors."""
    searcher = index._searcher
    times: dict[str, list[float]] = {}

    def timed(stage: str, run: Callable[..., Any], *arguments: Any) -> Any:
        begun = time.perf_counter()
        value = run(*arguments)
        times.setdefault(stage, []).append(1000 * (time.perf_counter() - begun))
        return value

    request = Request(mode="vector", scorer=scorer)
    for text in queries:
        query = timed("query embedded", Query.of_text, index.pipeline, text)
        with index._store.snapshot() as snapshot:
            search = timed("begun", searcher._begin, snapshot, query, None, request)
            scan = timed("candidates", search.scan)
            best = np.sort(scan.embedded[np.argsort(-scan.scores)[: scan.depth or K]])
            timed("best scored", search.vector.approximate, best)
    return {stage: statistics.median(values) for stage, values in times.items()}


def report(n: int, folder: Path, arguments: argparse.Namespace) -> None:
    """Build if there is no index, measure and print."""
    built = folder.with_suffix(".json")
    if not built.exists():
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "tests.bench.scale", "--build", str(n), str(folder)]
        environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        built.write_text(done.stdout, encoding="utf-8")
    facts = json.loads(built.read_text("utf-8"))
    n_tokens = facts["n_tokens"]
    sizes = ", ".join(f"{name} {size / n_tokens:.1f}" for name, size in facts["bytes"].items())
    print(f"{n:,} passages, {n_tokens:,} tokens")
    print(
        f"  build: {facts['seconds']:.0f} s, of which coding again and measuring depth {facts['flush_seconds']:.0f} s; "
        f"{n_tokens / facts['seconds']:,.0f} tokens/s; peak {facts['peak_mb']:,.0f} MB; {facts['n_segments']} segments"
    )
    print(f"  bytes a token: {sizes}")
    texts = [document.text for document in documents(min(n, 20_000))]
    with Index.open(folder, read_only=True) as index:
        queries = [query.text for query in make_queries(texts, index.pipeline, arguments.queries)]
        depth = index.info()["approximate"] or {}
        if depth:
            print("  depth: " + ", ".join(f"{name} {depth[name]:,}" for name in ("n_nearest", "n_probe", "n_rescored")))
        for query in queries * (COMPILED_AFTER if has_numba() else 0):
            index.search(query, mode="vector", syntax="plain")
        for scorer in SCORERS:
            index.search(queries[0], mode="vector", scorer=scorer)
            if depth and arguments.exact:
                recall, of_depth = recalls(index, queries[: arguments.exact], scorer)
                curve = ", ".join(f"{share:.3f} of {n}" for n, share in zip(DEPTHS, of_depth, strict=True))
                print(f"  {scorer}: recall@10 {recall:.3f} of {arguments.exact} queries; candidates hold {curve}")
            for mode in ("vector", "hybrid"):
                median, late, first = milliseconds(
                    lambda text, mode=mode, scorer=scorer: index.search(text, mode=mode, scorer=scorer, syntax="plain"),
                    queries,
                )
                print(f"  {scorer}, {mode}: p50 {median:.1f} ms, p95 {late:.1f} ms, first round {first:.1f} ms")
        found = stages(index, queries, "debiased_maxsim")
        print(
            "  stages of a search by vectors, ms: " + ", ".join(f"{name} {value:.1f}" for name, value in found.items())
        )


def main() -> None:
    """Print the figures of each size as they are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, nargs="+", default=[2_000, 20_000, 100_000])
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--exact", type=int, default=20, help="queries whose recall is measured; 0 for none")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the indexes here, and use those that are there")
    parser.add_argument("--build", nargs=2, metavar=("N", "DIR"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build:
        print(json.dumps(build(int(arguments.build[0]), Path(arguments.build[1]))))
        return
    from vecsearch.stores.faiss_library import faiss

    faiss().omp_set_num_threads(arguments.threads)
    print(machine())
    print(f"search with {arguments.threads} thread(s), builds with all; recall target {Depth().target}\n")
    with ExitStack() as stack:
        home = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home.mkdir(parents=True, exist_ok=True)
        for n in arguments.passages:
            report(n, home / f"techdocs-{n}", arguments)


if __name__ == "__main__":
    main()
