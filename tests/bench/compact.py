"""Contextual vectors in fewer bytes: what each choice costs in nDCG@10, bytes a token and milliseconds.

    python -m tests.bench.compact [SET …] [--variant NAME …] [--encoder SPEC] [--model SPEC] [--keep DIR]

Texts are embedded once: DIR holds what the model gave, as float32, and is used again by the next run. Every variant is
indexed and searched as users do it. "row" is what is kept of a token's vector; "folder" the whole index, its full text
and vectors or codes for searching included. A search is one query by vectors, k = 10, its embedding left out; the
median over 25 queries or more. Needs the extras ``eval`` and, for minilm, ``minilm``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tests.bench.timing import DATA, machine, require
from vecsearch import Index, Pipeline, Tokens, fit_pca
from vecsearch.embedding_cache import EmbeddingCache
from vecsearch.evaluation.datasets import Collection, read_collection
from vecsearch.evaluation.measures import retrieval_measures
from vecsearch.evaluation.runs import search_rankings
from vecsearch.pipeline import build_encoder
from vecsearch.precision import row_bytes
from vecsearch.types import Precision

SETS = ("cranfield", "cisi", "scifact")
MODES = ("vector", "hybrid")
TIMED = 25
"""About so many queries are timed, one by one."""


@dataclass(frozen=True)
class Variant:
    """How vectors are kept; ``pca`` 0 for all of their numbers."""

    precision: Precision
    pca: int = 0


VARIANTS = {
    "fp32": Variant("fp32"),
    "fp16": Variant("fp16"),
    "int8": Variant("int8"),
    "PCA 256, int8": Variant("int8", 256),
    "PCA 160, int8": Variant("int8", 160),
    "PCA 128, int8": Variant("int8", 128),
    "PCA 64, int8": Variant("int8", 64),
}


class Kept:
    """An embedder that takes what it gave before from a folder. Queries too: a search is timed without the model."""

    name: ClassVar[str] = "kept"
    version: ClassVar[str] = "1"
    files: ClassVar[Mapping[str, str]] = {}

    def __init__(self, pipeline: Pipeline, cache: EmbeddingCache) -> None:
        self._pipeline = pipeline
        self._cache = cache
        self._queries: dict[str, tuple[Tokens, np.ndarray]] = {}
        self.dim = pipeline.dim
        self.config = {"of": pipeline.identity["embedder"]}

    def tokenizer(self) -> Any:
        return self._pipeline.tokenizer

    def embed(self, texts: Sequence[str], tokens: Tokens) -> np.ndarray:
        return self._cache.rows(self._pipeline, texts, tokens, "fp32")

    def embed_query(self, text: str) -> tuple[Tokens, np.ndarray]:
        if text not in self._queries:
            tokens = self._pipeline.tokenize([text])
            self._queries[text] = (tokens, self.embed([text], tokens))
        return self._queries[text]


@dataclass(frozen=True)
class Measured:
    """Of one variant on one set."""

    ndcg: Mapping[str, float]
    row_bytes: float
    folder_bytes: float
    ms: float
    dim: int


def measured(collection: Collection, embedder: Kept, variant: Variant, encoder: str, folder: Path) -> Measured:
    """Index a collection in a folder, and search it."""
    pipeline = Pipeline(None, embedder, build_encoder(encoder), precision=variant.precision)  # type: ignore[arg-type]
    if variant.pca:
        pipeline = fit_pca(pipeline, collection.documents(), variant.pca)
    with Index.create(folder, pipeline=pipeline, cache=False, durability="fast") as index:
        index.add(collection.documents())
        index.flush()
        ndcg = {}
        for mode in MODES:
            rankings = search_rankings(index, collection.queries, {"mode": mode, "scorer": "maxsim"}, depth=10)
            ndcg[mode] = float(retrieval_measures(collection.relevance, rankings)["nDCG@10"].mean())
        times = []
        queries = list(collection.queries.values())
        for query in queries[:: max(1, len(queries) // TIMED)]:
            begin = time.perf_counter()
            index.search(query, 10, mode="vector", scorer="maxsim", syntax="plain", matches=False)
            times.append(time.perf_counter() - begin)
        n_tokens = index.info()["n_tokens"]
    size = sum(path.stat().st_size for path in folder.iterdir())
    return Measured(
        ndcg,
        row_bytes(variant.precision, pipeline.dim),
        size / n_tokens,
        statistics.median(times) * 1e3,
        pipeline.dim,
    )


def main() -> None:
    """Print a Markdown table for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=SETS, metavar="SET")
    parser.add_argument("--variant", action="append", choices=VARIANTS, dest="variants")
    parser.add_argument("--encoder", default="relative")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="by default a folder that is removed at the end")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        keep = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        report(arguments, EmbeddingCache(keep, 100_000_000_000))


def report(arguments: argparse.Namespace, cache: EmbeddingCache) -> None:
    """Measure and print."""
    embedder = Kept(Pipeline.from_names(embedder=arguments.model, encoder="none", precision="fp32"), cache)
    print(f"{machine()}\n\n{arguments.model}, encoder {arguments.encoder}, scorer maxsim\n")
    print("| set | kept as | numbers | bytes a row | bytes a token, folder | nDCG@10 vector | hybrid | ms a search |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.sets:
        collection = read_collection(require(DATA / name))
        for label in arguments.variants or VARIANTS:
            with tempfile.TemporaryDirectory() as folder:
                one = measured(collection, embedder, VARIANTS[label], arguments.encoder, Path(folder) / "index")
            print(
                f"| {name} | {label} | {one.dim} | {one.row_bytes:,.0f} | {one.folder_bytes:,.0f} | "
                f"{one.ndcg['vector']:.4f} | {one.ndcg['hybrid']:.4f} | {one.ms:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
