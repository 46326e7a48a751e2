"""Runs all benchmarks, one after the other: ``make bench``. Each prints what docs/benchmarks.md shows of it."""

from __future__ import annotations

import subprocess
import sys

MODULES = (
    "tokenizer_speed",
    "positions",
    "embedders",
    "indexing",
    "startup",
    "verifying",
    "searching",
    "scale",
    "additions",
    "analogies",
    "word_tests",
    "training",
    "order",
    "models",
    "compact",
    "reranking",
    "phrases",
    "retrieval",
    "tuning",
)


def main() -> None:
    """Run them; the exit code is 1 where one has failed."""
    failed = []
    for name in MODULES:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
