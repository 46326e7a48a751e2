"""Which weights fuse vectors and keywords best: a grid, on queries of SciFact that no other figure here is taken from.

    python -m tests.bench.tuning [--steps 10] [--scorer NAME …] [--keep DIR]

The 809 queries of BEIR's training split; the figures of docs/benchmarks.md are of the test split. One row a weight of
the vectors, keywords having the rest; * marks what differs from the first row, p < .05. Needs the extra ``eval``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench.timing import DATA, machine, require
from vecsearch.evaluation.comparison import Workshop, evaluate
from vecsearch.evaluation.configurations import Configuration
from vecsearch.evaluation.datasets import read_collection
from vecsearch.evaluation.tables import NOTE, header, row


def grid(n_steps: int, scorers: list[str], fusion: str) -> list[Configuration]:
    """Return a hybrid search for each weight from 0 to 1 and each scorer, those with the engine's own weights first."""
    weights = [{"vector": step / n_steps, "keyword": (n_steps - step) / n_steps} for step in range(n_steps + 1)]
    return [
        Configuration(search={"scorer": scorer, "fusion": fusion, **chosen})
        for scorer in scorers
        for chosen in ({}, *({"weights": one} for one in weights))
    ]


def main() -> None:
    """Print a Markdown table as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--scorer", nargs="+", default=["debiased_maxsim"])
    parser.add_argument("--fusion", choices=("zscore", "rrf"), default="zscore")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the index here, and use one that is there")
    arguments = parser.parse_args()
    folder = require(DATA / "scifact")
    collection = read_collection(folder, queries=folder / "queries-train.jsonl", qrels=folder / "qrels-train.tsv")

    def searched(n_done: int, n: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{n_done:,}/{n:,} queries")

    print(machine())
    print(f"SciFact, training split; fusion {arguments.fusion}\n")
    with ExitStack() as stack:
        home = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workshop = stack.enter_context(Workshop(home, searched=searched))
        found = grid(arguments.steps, arguments.scorer, arguments.fusion)
        for number, result in enumerate(evaluate(collection, found, workshop)):
            print((header(collection, result) if number == 0 else "") + row(result), end="", flush=True)
    print(f"\n{NOTE}")


if __name__ == "__main__":
    main()
