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
from vecsearch import Pipeline, StaticEmbedder


def read(path: Path) -> dict[str, list[list[str]]]:
    """Return the questions by section, four words each."""
    sections: dict[str, list[list[str]]] = {}
    for line in path.read_text(encoding="utf-8").casefold().splitlines():
        if line.startswith(":"):
            section = sections.setdefault(line.removeprefix(":").strip(), [])
        else:
            section.append(line.split())
    return sections


def ranks(embedder: StaticEmbedder, questions: list[list[str]], words: list[str]) -> np.ndarray:
    """Return the rank of the right answer to each question, from 1."""
    rows = embedder.rows(words, np.ones(len(words), bool))
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    number_of = {word: number for number, word in enumerate(words)}
    found = []
    for first in range(0, len(questions), 512):
        a, b, c, answer = np.array([[number_of[word] for word in one] for one in questions[first : first + 512]]).T
        similarities = (rows[b] - rows[a] + rows[c]) @ units.T
        for given in (a, b, c):
            similarities[np.arange(len(a)), given] = -np.inf
        right = similarities[np.arange(len(a)), answer]
        found.append((similarities > right[:, None]).sum(axis=1) + 1)
    return np.concatenate(found)


def main() -> None:
    """Print a Markdown table, one row a section: how often the answer comes first, and among the first five."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=DATA / "word-tests" / "questions-words.txt")
    sections = read(require(parser.parse_args().file))
    embedder = Pipeline.from_names().embedder
    assert isinstance(embedder, StaticEmbedder)
    asked = {word for questions in sections.values() for question in questions for word in question}
    own = embedder.vocabulary()
    whole = {
        entry
        for entry, starts in zip(own.entries, own.starts_word.tolist(), strict=True)
        if starts and entry.isalpha() and entry.islower()
    }
    vocabularies = [sorted(asked), sorted(asked | whole)]
    print(machine() + "\n")
    heads = [f"{kind} of {len(words):,} words" for words in vocabularies for kind in ("first", "in first 5")]
    print(f"| section | questions | {' | '.join(heads)} |")
    print("|---|---|" + "---|" * len(heads))
    everything = [question for questions in sections.values() for question in questions]
    for name, questions in [*sections.items(), ("**all**", everything)]:
        shares = []
        for words in vocabularies:
            found = ranks(embedder, questions, words)
            shares += [f"{np.mean(found == 1):.3f}", f"{np.mean(found <= 5):.3f}"]
        print(f"| {name} | {len(questions):,} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
