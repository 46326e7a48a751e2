"""Word order on PAWS-Wiki (Zhang et al. 2019): pairs with nearly the same words, half of them in another order.

    python -m tests.bench.order [--encoders relative:order=0.3 …]

AUC: the chance that a paraphrase scores above a non-paraphrase, over all pairs, by ``Pipeline.similarity``.
Triples: how often the paraphrase of an anchor outranks its non-paraphrase, ties counted one half, by
``Pipeline.similarity`` and by ``Index.search`` with all positives and negatives in one index.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np

from tests.bench.timing import DATA, machine, require
from vecsearch import Document, Index, Pipeline

ENCODERS = ("none", "sinusoidal", "rotary", "relative:order=0.3", "relative:order=0.5")


def read(name: str) -> list[dict[str, str]]:
    """Return the rows of a tab-separated file of the set."""
    with open(require(DATA / "paws-wiki" / name), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def area_under_curve(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the chance that a positive scores above a negative, ties one half.

    Example:
        >>> area_under_curve(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0, 0, 1, 1]))
        0.875
    """
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    n_positive = int(labels.sum())
    n_pairs = n_positive * (len(labels) - n_positive)
    return float((ranks[labels == 1].sum() - n_positive * (n_positive + 1) / 2) / n_pairs)


def pairs_auc(pipeline: Pipeline, rows: list[dict[str, str]]) -> float:
    """Return the AUC of ``similarity`` on labelled pairs."""
    scores = pipeline.similarities([(row["sentence1"], row["sentence2"]) for row in rows])
    return area_under_curve(scores, np.array([int(row["label"]) for row in rows]))


def triples_by_similarity(pipeline: Pipeline, rows: list[dict[str, str]]) -> float:
    """Return the share of triples that ``similarity`` gets right, ties one half."""
    near = pipeline.similarities([(row["anchor"], row["positive"]) for row in rows])
    far = pipeline.similarities([(row["anchor"], row["negative"]) for row in rows])
    return float(np.mean((near > far) + 0.5 * (near == far)))


def triples_by_search(pipeline: Pipeline, rows: list[dict[str, str]]) -> float:
    """Return the share of triples that a search in one index of all sentences gets right, ties one half."""
    won = 0.0
    with tempfile.TemporaryDirectory() as folder, Index.create(Path(folder) / "paws", pipeline=pipeline) as index:
        index.add(
            Document(id=f"{row['id']} {kind}", text=row[kind]) for row in rows for kind in ("positive", "negative")
        )
        for row in rows:
            wanted = {f"{row['id']} {kind}" for kind in ("positive", "negative")}
            scores: dict[str, float] = {}
            for k in (20, 200, 2 * len(rows)):
                scores = {hit.doc_id: hit.score for hit in index.search(row["anchor"], k) if hit.doc_id in wanted}
                if len(scores) == 2:
                    break
            near, far = scores[f"{row['id']} positive"], scores[f"{row['id']} negative"]
            won += (near > far) + 0.5 * (near == far)
    return won / len(rows)


def main() -> None:
    """Print one row an encoder, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", nargs="+", default=ENCODERS)
    parser.add_argument("--tokenizer", default="word")
    arguments = parser.parse_args()
    pairs, same_bag, triples = read("pairs-dev.tsv"), read("pairs-samebag.tsv"), read("triples.tsv")
    print(machine())
    print(f"tokenizer {arguments.tokenizer}; {len(pairs)} pairs, {len(same_bag)} same-bag, {len(triples)} triples\n")
    print("| encoder | pairs AUC | same-bag AUC | triples, similarity | triples, Index.search |")
    print("|---|---|---|---|---|")
    for encoder in arguments.encoders:
        pipeline = Pipeline.from_names(arguments.tokenizer, encoder=encoder)
        search = "–" if encoder.startswith("rotary") else f"{triples_by_search(pipeline, triples):.4f}"
        print(
            f"| {encoder} | {pairs_auc(pipeline, pairs):.4f} | {pairs_auc(pipeline, same_bag):.4f} "
            f"| {triples_by_similarity(pipeline, triples):.4f} | {search} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
