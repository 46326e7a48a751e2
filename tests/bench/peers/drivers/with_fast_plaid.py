"""fast-plaid: PLAID on torch, 4-bit residuals, with its default settings, on the CPU."""

from __future__ import annotations

from pathlib import Path

import torch
from driving import Arrays, K, Search, run
from fast_plaid import search as plaid


def build(arrays: Arrays, folder: Path) -> None:
    """Create the index of all passages."""
    vectors = torch.from_numpy(arrays.load("vectors.f16"))
    passages = list(torch.split(vectors, arrays.load("lengths").tolist()))
    plaid.FastPlaid(index=str(folder / "index"), device="cpu").create(passages)


def prepare(arrays: Arrays, folder: Path) -> Search:
    """Open the index."""
    index = plaid.FastPlaid(index=str(folder / "index"), device="cpu")
    queries = [torch.from_numpy(query)[None] for query in arrays.weighted_queries]

    def search(number: int) -> list[int]:
        (found,) = index.search(queries[number], top_k=K, show_progress=False)
        return [passage for passage, _ in found]

    return search


if __name__ == "__main__":
    run(build, prepare)
