"""Reranking by a contextual model: how much better the default index ranks with it, and what a search then takes.

    python -m tests.bench.reranking [SET] [--model minilm] [--top 5 10 20 50] [--timed 40] [--keep DIR]

nDCG@10 is that of ``vecsearch eval``, documents by their best passage; * marks what differs from the search without
reranking, p < .05. Times are of whole searches for ten passages by ``Index.search``, for queries spread over the set:
first with an empty cache, so that every passage is embedded (cold), then again (warm). Needs the extras ``eval`` and
``minilm``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tests.bench.timing import DATA, machine, require
from vecsearch import Index, Pipeline, Reranker
from vecsearch.embedding_cache import EmbeddingCache
from vecsearch.evaluation.comparison import Workshop, evaluate
from vecsearch.evaluation.configurations import Configuration
from vecsearch.evaluation.datasets import read_collection
from vecsearch.evaluation.significance import LEVEL


def milliseconds(index: Index, query: str, reranker: Reranker | None, n: int) -> float:
    """Return how long one search for ten passages takes."""
    began = time.perf_counter()
    index.search(query, 10, syntax="plain", rerank=reranker, n_rerank=n)
    return 1_000 * (time.perf_counter() - began)


def cold_and_warm(index: Index, queries: list[str], pipeline: Pipeline, n: int) -> tuple[list[float], list[float]]:
    """Return how long each query takes with nothing in the cache, and again."""
    cold, warm = [], []
    for query in queries:
        with tempfile.TemporaryDirectory() as folder:
            cache = EmbeddingCache(Path(folder))
            reranker = Reranker(pipeline, cache=cache)
            cold.append(milliseconds(index, query, reranker, n))
            warm.append(milliseconds(index, query, reranker, n))
            cache.close()
    return cold, warm


def shown(times: list[float]) -> str:
    """Return median and 95th percentile."""
    return f"{statistics.median(times):,.0f} / {np.quantile(times, 0.95):,.0f}"


def main() -> None:
    """Print a Markdown table, a row for each number of passages that are rescored."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", nargs="?", default="scifact", metavar="SET")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--top", nargs="*", type=int, default=[5, 10, 20, 50], metavar="N")
    parser.add_argument("--timed", type=int, default=40, metavar="N", help="queries that are timed")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the index here, and use one that is there")
    arguments = parser.parse_args()
    collection = read_collection(require(DATA / arguments.set))
    wanted = [Configuration(), *(Configuration({}, {"rerank": arguments.model, "n_rerank": n}) for n in arguments.top)]
    with ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workshop = stack.enter_context(Workshop(folder))
        index = workshop.index(Configuration(), collection.documents)
        pipeline = Pipeline.from_names(embedder=arguments.model)
        queries = list(collection.queries.values())
        timed = queries[:: max(1, len(queries) // arguments.timed)][: arguments.timed]
        milliseconds(index, queries[0], Reranker(pipeline), 5)  # starts what is started once
        without = [milliseconds(index, query, None, 1) for query in timed]
        times = {}
        for n in arguments.top:
            times[n] = cold_and_warm(index, timed, pipeline, n)
            print(f"{n}: cold {shown(times[n][0])} ms, warm {shown(times[n][1])} ms", file=sys.stderr)
        results = list(evaluate(collection, wanted, workshop))
    print(
        f"{machine()}\n{arguments.set}, {len(queries)} queries; {arguments.model}, maxsim; {len(timed)} queries timed\n"
    )
    print("| rescored | nDCG@10 | cold, p50 / p95 ms | warm, p50 / p95 ms |\n|---|---|---|---|")
    print(f"| none | {results[0].measures['nDCG@10']:.4f} | {shown(without)} | |")
    for n, result in zip(arguments.top, results[1:], strict=True):
        mark = "*" if (result.p_values or {}).get("nDCG@10", 1.0) < LEVEL else ""
        cold, warm = times[n]
        print(f"| {n} | {result.measures['nDCG@10']:.4f}{mark} | {shown(cold)} | {shown(warm)} |")


if __name__ == "__main__":
    main()
