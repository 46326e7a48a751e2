"""Timing as docs/benchmarks.md reports it: the median of several runs, beside a baseline measured in the same run."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("VECSEARCH_TEST_DATA", ROOT.parent / "shared" / "data"))


def median_seconds(run: Callable[[], object], n_runs: int = 5) -> float:
    """Return the median wall time of some runs."""
    times = []
    for _ in range(n_runs):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def command_seconds(
    command: Sequence[str], baseline: Sequence[str], n_runs: int = 11, **options: object
) -> tuple[float, float]:
    """Run two commands in turn, each in a new process; return the median wall time of each. A first pair warms up."""

    def once(words: Sequence[str]) -> float:
        begin = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
        return time.perf_counter() - begin

    pairs = [(once(command), once(baseline)) for _ in range(n_runs + 1)][1:]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def has_numba() -> bool:
    """Return whether encoders use compiled kernels, once it pays."""
    return find_spec("numba") is not None


def machine() -> str:
    """Return one line about this machine and Python."""
    import faiss
    import numpy

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    with_numba = f", numba {version('numba')}" if has_numba() else ""
    return (
        f"{os.cpu_count()} cores, {name}; Python {platform.python_version()}, NumPy {numpy.__version__}, "
        f"FAISS {faiss.__version__}{with_numba}, {sys.platform}"
    )


def require(path: Path) -> Path:
    """Return the path, or end with a message where the data is not there."""
    if not path.exists():
        raise SystemExit(f"{path} is not there; set VECSEARCH_TEST_DATA to the folder of the public test data")
    return path
