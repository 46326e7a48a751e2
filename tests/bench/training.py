"""Models learned from technical documentation: what they cost, what they know, and how search ranks with them.

    python -m tests.bench.training [--keep DIR] [--queries N]

Each model is trained by the command, in a process of its own. Words: Spearman's ρ with what people said, on pairs of
which the model knows both words (how many, in brackets), and analogies of which it knows all four, chosen among the
words of all questions and all whole words of the default matrix. Ranking: til-notes, through ``vecsearch eval``'s own
functions. ``--keep`` keeps the models in a folder, and uses those that are there: their cost is then not told.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from tests.bench.timing import DATA, machine, require
from vecsearch import Pipeline
from vecsearch.evaluation.comparison import Workshop, evaluate
from vecsearch.evaluation.configurations import Configuration, configurations
from vecsearch.evaluation.datasets import Analogies, read_collection, read_dataset
from vecsearch.evaluation.words import analogy_ranks, is_known, whole_words

MODELS = {
    "word": [],
    "subword": ["--tokenizer", "subword"],
    "adapted": ["--from", "wordllama"],
}
SIMILARITIES = ("WS-353-ALL", "SIMLEX-999", "MEN-TR-3k", "RW-STANFORD")
SHOWN = ("mutex", "kernel", "rebase", "regex")


def trained(folder: Path, corpus: Path, options: list[str]) -> str:
    """Train a model unless it is there; return what it took."""
    if folder.exists():
        return "kept from before"
    command = [sys.executable, "-m", "vecsearch", "train", str(corpus), "-o", str(folder), *options]
    started = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(said)
    size = sum(file.stat().st_size for file in folder.iterdir())
    return (
        f"{seconds:,.0f} s, {usage.ru_utime + usage.ru_stime:,.0f} s of processor time, peak "
        f"{usage.ru_maxrss / 1e6:.2f} GB, folder {size / 1e6:.0f} MB; {said.strip().splitlines()[-1]}"
    )


def words_known(embedder: str) -> list[str]:
    """Return the cells of a row: similarities, and analogies."""
    cells = []
    for name in SIMILARITIES:
        dataset = read_dataset(require(DATA / "word-tests" / "word-sim" / f"EN-{name}.txt"))
        (result,) = evaluate(dataset, [Configuration({"embedder": embedder})], Workshop(Path()))
        cells.append(f"{result.measures['Spearman']:.3f} ({result.n_covered:,})")
    analogies = read_dataset(require(DATA / "word-tests" / "questions-words.txt"))
    assert isinstance(analogies, Analogies)
    pipeline = Pipeline.from_names(embedder=embedder)
    questions = [one for questions in analogies.sections.values() for one in questions]
    asked = sorted({word for question in questions for word in question})
    known = {word for word, is_there in zip(asked, is_known(pipeline, asked), strict=True) if is_there}
    answerable = [question for question in questions if known.issuperset(question)]
    choice = sorted(known | whole_words(Pipeline.from_names()))
    found = np.mean(analogy_ranks(pipeline, answerable, choice) == 1)
    return [*cells, f"{found:.3f} ({len(answerable):,})"]


def neighbours(embedder: str, word: str) -> str:
    """Return the words nearest to a word, as the command has them."""
    command = [sys.executable, "-m", "vecsearch", "similar", word, "--model", embedder, "-k", "8"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return ", ".join(line.split()[1] for line in found.splitlines())


def main() -> None:
    """Print three Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the models here, and use those that are there")
    parser.add_argument("--queries", type=int, metavar="N", help="so many queries of til-notes instead of all")
    arguments = parser.parse_args()
    print(machine() + "\n")
    with ExitStack() as stack:
        place = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.mkdir(parents=True, exist_ok=True)
        corpus = place / "techdocs.jsonl"
        if not corpus.exists():
            packed = require(DATA / "techdocs-large" / "corpus.jsonl.gz")
            with gzip.open(packed, "rb") as source, corpus.open("wb") as target:
                shutil.copyfileobj(source, target)
        notes = require(DATA / "til-notes" / "corpus.jsonl")
        embedders = {"wordllama (the default)": "wordllama"}
        for name, options in MODELS.items():
            print(f"{name}: {trained(place / name, corpus, options)}", flush=True)
            embedders[name] = f"static:path={place / name}"
        print(f"adapted to the notes: {trained(place / 'notes', notes, ['--from', 'wordllama'])}", flush=True)

        print(f"\n| model | {' | '.join(SIMILARITIES)} | analogies |\n|---|{'---|' * (len(SIMILARITIES) + 1)}")
        for name, embedder in embedders.items():
            print(f"| {name} | {' | '.join(words_known(embedder))} |", flush=True)

        print(f"\n| model | {' | '.join(SHOWN)} |\n|---|{'---|' * len(SHOWN)}")
        for name, embedder in embedders.items():
            path = embedder.removeprefix("static:path=")
            print(f"| {name} | {' | '.join(neighbours(path, word) for word in SHOWN)} |", flush=True)

        embedders["adapted to the notes"] = f"static:path={place / 'notes'}"
        collection = read_collection(DATA / "til-notes")
        step = 1 if arguments.queries is None else max(1, len(collection.queries) // arguments.queries)
        queries = dict(islice(collection.queries.items(), 0, None, step))
        relevance = {query: collection.relevance[query] for query in queries}
        collection = replace(collection, queries=queries, relevance=relevance)
        modes = [
            {"mode": ["keyword"]},
            *({"embedder": [one], "mode": ["vector", "hybrid"]} for one in embedders.values()),
        ]
        compared = [one for mode in modes for one in configurations(mode)]
        names = ["keywords alone", *(f"{name}, {mode}" for name in embedders for mode in ("vector", "hybrid"))]
        print(f"\n| til-notes, {len(collection.queries):,} queries | nDCG@10 |\n|---|---|", flush=True)
        workshop = stack.enter_context(Workshop(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        for name, result in zip(names, evaluate(collection, compared, workshop), strict=True):
            mark = "*" if (result.p_values or {}).get("nDCG@10", 1.0) < 0.05 else ""
            print(f"| {name} | {result.measures['nDCG@10']:.4f}{mark} |", flush=True)
    print("\n* differs from the first row, p < .05, two-sided paired randomisation test, 10,000 draws")


if __name__ == "__main__":
    main()
