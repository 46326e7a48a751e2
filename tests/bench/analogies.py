"""Analogies of the default matrix: "a is to b as c is to …", answered by the word nearest to E(b) − E(a) + E(c).

    python -m tests.bench.analogies [FILE]

The questions are those of word2vec (Mikolov et al. 2013), case-folded; a, b and c are left out of the answers. Two
vocabularies to choose from: the words of the questions alone, and with them the model's own whole words.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tests.bench.timing import DATA, machine, require
from vecsearch import Pipeline
from vecsearch.evaluation.datasets import Analogies, read_dataset
from vecsearch.evaluation.words import analogy_ranks, whole_words


def main() -> None:
    """Print a Markdown table, one row a section: how often the answer comes first, and among the first five."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=DATA / "word-tests" / "questions-words.txt")
    analogies = read_dataset(require(parser.parse_args().file))
    assert isinstance(analogies, Analogies)
    pipeline = Pipeline.from_names()
    asked = {word for questions in analogies.sections.values() for question in questions for word in question}
    vocabularies = [sorted(asked), sorted(asked | whole_words(pipeline))]
    print(machine() + "\n")
    heads = [f"{kind} of {len(words):,} words" for words in vocabularies for kind in ("first", "in first 5")]
    print(f"| section | questions | {' | '.join(heads)} |")
    print("|---|---|" + "---|" * len(heads))
    everything = [question for questions in analogies.sections.values() for question in questions]
    for name, questions in [*analogies.sections.items(), ("**all**", everything)]:
        shares = []
        for words in vocabularies:
            found = analogy_ranks(pipeline, questions, words)
            shares += [f"{np.mean(found == 1):.3f}", f"{np.mean(found <= 5):.3f}"]
        print(f"| {name} | {len(questions):,} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
