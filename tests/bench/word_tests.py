"""Word similarity of the default matrix: Spearman's ρ of cosines with what people said, on the public sets.

python -m tests.bench.word_tests [--embedder SPEC]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.bench.timing import DATA, machine, require
from vecsearch.evaluation.comparison import Workshop, evaluate
from vecsearch.evaluation.configurations import Configuration
from vecsearch.evaluation.datasets import read_dataset


def main() -> None:
    """Print one row a set, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", default="wordllama")
    configuration = Configuration({"embedder": parser.parse_args().embedder})
    print(machine() + "\n")
    print("| set | pairs | covered | Spearman |")
    print("|---|---|---|---|")
    for path in sorted(require(DATA / "word-tests" / "word-sim").glob("*.txt")):
        (result,) = evaluate(read_dataset(path), [configuration], Workshop(Path()))  # no index is made
        name = path.stem.removeprefix("EN-")
        print(f"| {name} | {result.n:,} | {result.n_covered:,} | {result.measures['Spearman']:.3f} |")


if __name__ == "__main__":
    main()
