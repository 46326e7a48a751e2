"""How well search ranks: nDCG@10 on five judged collections, by every signal, scorer and fusion, beside BM25.

    python -m tests.bench.retrieval [SET …] [--measure recall@100] [--encoder SPEC] [--keep DIR]

BM25 is bm25s in the variant of Lucene, k1 = 1.5, b = .75, English stop words and stemmer, on title and text. * marks
what differs from it on the queries of a set, p < .05, two-sided paired randomisation test, 10,000 draws. The mean is
over the sets. Needs the extra ``eval``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tests.bench.timing import DATA, machine, require
from vecsearch.evaluation.comparison import Result, Workshop, evaluate
from vecsearch.evaluation.configurations import Configuration, configurations
from vecsearch.evaluation.datasets import read_collection
from vecsearch.evaluation.measures import MEASURES
from vecsearch.evaluation.significance import LEVEL

SETS = ("scifact", "cranfield", "cisi", "til-notes", "tldr-commands")
SCORERS = ("maxsim", "debiased_maxsim", "soft_tf")


def compared(encoder: str) -> list[Configuration]:
    """Return what is compared: keywords, vectors by each scorer, both fused by each, and ranks fused."""
    of_pipeline = {"encoder": [encoder]}
    modes = configurations({**of_pipeline, "mode": ["keyword", "vector", "hybrid"], "scorer": SCORERS})
    return [*modes, Configuration({"encoder": encoder}, {"mode": "hybrid", "fusion": "rrf"})]


def measured(name: str, encoder: str, keep: Path | None) -> list[Result]:
    """Return the results of all configurations on one set, BM25 first."""
    collection = read_collection(require(DATA / name))

    def searched(n_done: int, n: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{name}: {n_done:,}/{n:,} queries")

    with ExitStack() as stack:
        folder = keep / name if keep else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workshop = stack.enter_context(Workshop(folder, searched=searched))
        return list(evaluate(collection, compared(encoder), workshop, bm25=True))


def label(result: Result) -> str:
    """Return what a row is called: the ways of searching, without the encoder that all share."""
    if result.configuration is None:
        return result.label
    search = result.configuration.search
    return ", ".join(str(search[part]) for part in ("mode", "scorer", "fusion") if part in search)


def main() -> None:
    """Print a Markdown table, one row a configuration and one column a set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=SETS, metavar="SET")
    parser.add_argument("--measure", choices=MEASURES, default="nDCG@10")
    parser.add_argument("--encoder", default="relative")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the indexes here, and use those that are there")
    arguments = parser.parse_args()
    measure = arguments.measure
    of_set = {name: measured(name, arguments.encoder, arguments.keep) for name in arguments.sets}
    print(machine())
    print(f"{measure}; encoder {arguments.encoder}\n")
    heads = [f"{name} ({results[0].n:,} queries)" for name, results in of_set.items()]
    print(f"| search | {' | '.join(heads)} | mean |")
    print("|---|" + "---|" * (len(heads) + 1))
    for row in zip(*of_set.values(), strict=True):
        cells = [
            f"{one.measures[measure]:.4f}{'*' if (one.p_values or {}).get(measure, 1.0) < LEVEL else ''}" for one in row
        ]
        mean = np.mean([one.measures[measure] for one in row])
        print(f"| {label(row[0])} | {' | '.join(cells)} | {mean:.4f} |")


if __name__ == "__main__":
    main()
