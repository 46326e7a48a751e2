"""What all drivers have in common. A driver runs in its peer's own environment and needs NumPy besides.

    python with_PEER.py build ARRAYS FOLDER
    python with_PEER.py search ARRAYS FOLDER --seconds S

``ARRAYS`` is what ``arrays`` writes. Each call prints one JSON object. The caller has set how many cores and threads
there are. ``build`` makes an index in ``FOLDER``, which is there and empty; ``search`` is another process.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Arrays", "K", "Search", "recall_of", "run"]

K = 10
LEAST_QUERIES = 10
"""Measured however slow a peer is."""

Search = Callable[[int], Sequence[int]]
"""Takes the number of a query, returns the numbers of the passages found, best first."""


@dataclass(frozen=True)
class Arrays:
    """The files of a folder; see ``arrays``. ``mode`` is what the caller asks of a driver that has several."""

    folder: Path
    mode: str = ""

    def load(self, name: str, mmap_mode: Any = None) -> np.ndarray:
        """Return one array."""
        return np.load(self.folder / f"{name}.npy", mmap_mode=mmap_mode)

    @cached_property
    def texts(self) -> list[str]:
        """Texts of the passages."""
        return [record["text"] for record in _records(self.folder / "passages.jsonl")]

    @cached_property
    def query_texts(self) -> list[str]:
        """Texts of the queries."""
        return [record["text"] for record in _records(self.folder / "queries.jsonl")]

    @cached_property
    def offsets(self) -> np.ndarray:
        """Bounds of the passages among the tokens, int64 ``(n_passages + 1,)``."""
        return np.concatenate([[0], np.cumsum(self.load("lengths"), dtype=np.int64)])

    @cached_property
    def weighted_queries(self) -> list[np.ndarray]:
        """Query vectors times their weights, float32 ``(n_tokens, dim)`` each: a dot product carries the weight."""
        weighted = self.load("query_vectors") * self.load("query_weights")[:, None]
        return np.split(np.ascontiguousarray(weighted), np.cumsum(self.load("query_lengths"))[:-1])


def recall_of(found: Sequence[int], exact: np.ndarray, k: int = K) -> float:
    """Return which part of the true best k was found; passages of equal score stand for one another.

    Args:
        found: numbers of passages; the first k count.
        exact: float32 ``(n_passages,)``, the true scores of one query.

    Example:
        >>> recall_of([3, 1], np.array([0.5, 0.9, 0.1, 0.9], np.float32), k=2)
        1.0
        >>> recall_of([3, 2, 1], np.array([0.5, 0.9, 0.1, 0.9], np.float32), k=2)
        0.5
    """
    k = min(k, len(exact))
    least = np.partition(exact, -k)[-k]
    # sums of float32 differ in their last bits with the order of addition
    return float((exact[list(dict.fromkeys(found))[:k]] >= least - 1e-5 * abs(least)).sum() / k)


def run(
    build: Callable[[Arrays, Path], None],
    prepare: Callable[[Arrays, Path], Search],
    *,
    is_maxsim: bool = True,
) -> None:
    """Do what the command line says.

    Args:
        build: makes the index of the passages in a folder.
        prepare: opens it; what it returns is timed, one query at a time, after a few that warm up.
        is_maxsim: whether the peer ranks by the MaxSim of the given vectors, so that recall means something.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("phase", choices=("build", "search"))
    parser.add_argument("arrays", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60, help="stop asking queries after so long")
    parser.add_argument("--mode", default="")
    arguments = parser.parse_args()
    arrays = Arrays(arguments.arrays, arguments.mode)
    begin = time.perf_counter()
    if arguments.phase == "build":
        build(arrays, arguments.folder)
        figures: dict[str, Any] = {"build_s": time.perf_counter() - begin}
    else:
        search = prepare(arrays, arguments.folder)
        figures = {"open_s": time.perf_counter() - begin}
        figures |= _measure(arrays, search, arguments.seconds, is_maxsim and arguments.mode != "hybrid")
    print(json.dumps(figures | {"peak_rss_mb": figures.get("peak_rss_mb", _peak_rss_mb())}))


def _measure(arrays: Arrays, search: Search, seconds: float, is_maxsim: bool) -> dict[str, Any]:
    n_queries = len(arrays.load("query_lengths"))
    for number in range(min(3, n_queries)):
        search(number)
    walls, processor, found = [], [], []
    end = time.perf_counter() + seconds
    for number in range(n_queries):
        if time.perf_counter() > end and number >= LEAST_QUERIES:
            break
        begin, used = time.perf_counter(), time.process_time()
        numbers = search(number)
        walls.append((time.perf_counter() - begin) * 1000)
        processor.append((time.process_time() - used) * 1000)
        found.append([int(one) for one in numbers])
    peak = _peak_rss_mb()  # before what is needed to judge
    exact = arrays.load("exact_scores", "r")
    sources = [record["source"] for record in _records(arrays.folder / "queries.jsonl")]
    plain = arrays.load("exact_plain_scores", "r")
    return {
        "n_queries": len(walls),
        "p50_ms": float(np.percentile(walls, 50)),
        "p95_ms": float(np.percentile(walls, 95)),
        "cpu_ms": float(np.percentile(processor, 50)),
        "recall": _mean_recall(found, exact) if is_maxsim else None,
        "plain_recall": _mean_recall(found, plain) if is_maxsim else None,
        "source": float(np.mean([source in numbers[:K] for source, numbers in zip(sources, found, strict=False)])),
        "peak_rss_mb": peak,
    }


def _mean_recall(found: Sequence[Sequence[int]], exact: np.ndarray) -> float:
    return float(np.mean([recall_of(numbers, exact[number]) for number, numbers in enumerate(found)]))


def _peak_rss_mb() -> float | None:
    """Return the most memory that this process has held; files mapped into memory count. Linux only."""
    status = Path("/proc/self/status")
    if os.name != "posix" or not status.exists():
        return None
    # subtle: getrusage() would also count the process that started this one, as it was before exec
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _records(path: Path) -> list[dict[str, Any]]:
    with path.open() as file:
        return [json.loads(line) for line in file]
