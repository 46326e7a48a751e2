"""Word order on PAWS-Wiki (Zhang et al. 2019): pairs with nearly the same words, half of them in another order.

    python -m tests.bench.order [--encoders relative:order=0.3 …]

AUC: the chance that a paraphrase scores above a non-paraphrase, over all pairs, by ``Pipeline.similarity``.
Triples: how often the paraphrase of an anchor outranks its non-paraphrase, ties counted one half, by
``Pipeline.similarity`` and by ``Index.search`` by vectors with all positives and negatives in one index.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from tests.bench.timing import DATA, machine, require
from vecsearch import Pipeline
from vecsearch.evaluation.comparison import Workshop
from vecsearch.evaluation.configurations import Configuration
from vecsearch.evaluation.datasets import Pairs, Triples, read_dataset
from vecsearch.evaluation.measures import area_under_curve
from vecsearch.evaluation.sentences import outcomes_by_search, outcomes_by_similarity, similarities, triple_documents

ENCODERS = ("none", "sinusoidal", "rotary", "relative:order=0.3", "relative:order=0.5")


def pairs_auc(pipeline: Pipeline, pairs: Pairs) -> float:
    """Return the AUC of ``similarity`` on labelled pairs."""
    return area_under_curve(similarities(pipeline, pairs.sentences), np.array(pairs.labels))


def triples_by_search(configuration: Configuration, triples: Triples) -> float:
    """Return the share of triples that a search in one index of all sentences gets right, ties one half."""
    with tempfile.TemporaryDirectory() as folder, Workshop(Path(folder)) as workshop:
        index = workshop.index(configuration, lambda: iter(triple_documents(triples)))
        return float(outcomes_by_search(index, triples, configuration.search).mean())


def main() -> None:
    """Print one row an encoder, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", nargs="+", default=ENCODERS)
    parser.add_argument("--tokenizer", default="word")
    arguments = parser.parse_args()
    names = ("pairs-dev.tsv", "pairs-samebag.tsv", "triples.tsv")
    pairs, same_bag, triples = (read_dataset(require(DATA / "paws-wiki" / name)) for name in names)
    assert isinstance(pairs, Pairs)
    assert isinstance(same_bag, Pairs)
    assert isinstance(triples, Triples)
    print(machine())
    print(
        f"tokenizer {arguments.tokenizer}; {len(pairs.ids)} pairs, {len(same_bag.ids)} same-bag, "
        f"{len(triples.ids)} triples\n"
    )
    print("| encoder | pairs AUC | same-bag AUC | triples, similarity | triples, Index.search |")
    print("|---|---|---|---|---|")
    for encoder in arguments.encoders:
        configuration = Configuration({"tokenizer": arguments.tokenizer, "encoder": encoder}, {"mode": "vector"})
        pipeline = Pipeline.from_names(arguments.tokenizer, encoder=encoder)
        search = "–" if encoder.startswith("rotary") else f"{triples_by_search(configuration, triples):.4f}"
        print(
            f"| {encoder} | {pairs_auc(pipeline, pairs):.4f} | {pairs_auc(pipeline, same_bag):.4f} "
            f"| {outcomes_by_similarity(pipeline, triples).mean():.4f} | {search} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
