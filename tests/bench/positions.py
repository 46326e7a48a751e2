"""Measure the positional encoders on one core: tokens a second, and how far the compiled recurrence is from NumPy.

    python tests/bench/positions.py [--dim 256] [--tokens 65536] [--runs 5]

Each figure is the median of the runs, on random unit rows in passages of the named length. The first call of each
encoder (tables, and for numba the import and the compilation or its cache) is not counted; it is printed by itself.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from vecsearch_positions import compiled
from vecsearch_positions.absolute import LearnedEncoder, SinusoidalEncoder
from vecsearch_positions.none import NoneEncoder
from vecsearch_positions.relative import RelativeEncoder
from vecsearch_positions.rotary import RotaryEncoder
from vecsearch_positions.rotation import frequencies

_ONE_CORE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def median_seconds(call: Callable[[], object], runs: int) -> float:
    """Return the median duration of ``call``, after one call that is not counted."""
    call()
    durations = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def main() -> None:
    """Run and print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=65536)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    n, dim, runs = options.tokens, options.dim, options.runs
    rng = np.random.default_rng(0)
    units = rng.standard_normal((n, dim), dtype=np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    weights = rng.uniform(1.0, 16.0, n).astype(np.float32)
    theta = frequencies(dim, 10000.0, "relative")
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")
    print(f"{n} tokens, dim {dim}, one core, median of {runs}\n")

    start = time.perf_counter()
    has_numba = compiled.encode(units[:2], weights[:2], np.array([0, 2]), theta, 0.75, 0.3, np.empty_like(units[:2]))
    print(f"numba: {f'loaded in {time.perf_counter() - start:.2f} s' if has_numba else 'not usable'}\n")

    print(f"{'relative, tokens a passage':30} {'NumPy tokens/s':>16} {'numba tokens/s':>16} {'max difference':>16}")
    relative = RelativeEncoder()
    for length in (8, 16, 100, 200, 256, 1000, n):
        offsets = np.unique(np.append(np.arange(0, n, length), n)).astype(np.int64)
        by_numpy, by_numba = np.empty_like(units), np.empty_like(units)

        plain = partial(relative._encode_in_blocks, units, weights, offsets, by_numpy)
        fast = partial(compiled.encode, units, weights, offsets, theta, 0.75, 0.3, by_numba)
        line = f"{length:<30} {n / median_seconds(plain, runs):16,.0f}"
        if has_numba:
            line += f" {n / median_seconds(fast, runs):16,.0f} {np.abs(by_numpy - by_numba).max():16.1e}"
        print(line)

    offsets = np.unique(np.append(np.arange(0, n, 200), n)).astype(np.int64)
    print(f"\n{'encoder, 200 tokens a passage':30} {'NumPy tokens/s':>16}")
    with tempfile.TemporaryDirectory() as folder:
        learned = LearnedEncoder.fit(units, offsets, path=os.path.join(folder, "table.npy"))
        for encoder in (NoneEncoder(), SinusoidalEncoder(), learned, RotaryEncoder()):
            seconds = median_seconds(partial(encoder.encode, units, weights, offsets), runs)
            print(f"{encoder.name:30} {n / seconds:16,.0f}")

    print(f"\n{'rotary.align, query × passage':30} {'ms':>16}")
    rotary = RotaryEncoder()
    for n_query, n_tokens in ((4, 100), (8, 256), (32, 256)):
        seconds = median_seconds(partial(rotary.align, units[:n_query], units[-n_tokens:]), 4 * runs)
        print(f"{f'{n_query} × {n_tokens}':30} {1000 * seconds:16.2f}")


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in _ONE_CORE.items()):
        # The libraries read these when NumPy is imported: start again with them set.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **_ONE_CORE})
    main()
