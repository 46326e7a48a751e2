"""xtr-warp-rs: WARP on torch, 4-bit residuals, with its default settings, on the CPU."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from driving import Arrays, K, Search, run
from xtr_warp.search import XTRWarp


def build(arrays: Arrays, folder: Path) -> None:
    """Create the index of all passages."""
    vectors = torch.from_numpy(arrays.load("vectors.f16"))
    passages = list(torch.split(vectors, arrays.load("lengths").tolist()))
    XTRWarp(index=str(folder / "index"), device="cpu").create(passages, device="cpu", show_progress=False)


def prepare(arrays: Arrays, folder: Path) -> Search:
    """Load the index; it is allowed as many threads as there are cores."""
    index = XTRWarp(index=str(folder / "index"), device="cpu").load("cpu")
    queries = [torch.from_numpy(query)[None] for query in arrays.weighted_queries]
    n_threads = len(os.sched_getaffinity(0))

    def search(number: int) -> list[int]:
        (found,) = index.search(queries[number], top_k=K, num_threads=n_threads, show_progress=False)
        return [passage for passage, _ in found]

    return search


if __name__ == "__main__":
    run(build, prepare)
