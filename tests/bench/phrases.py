"""Phrase queries on paraphrases: tests/data/phrases, asked in double quotes through ``Index.search``.

    python -m tests.bench.phrases [--splits visible held]

recall@10 as tests/data/phrases/README.md defines it, beside SQLite's FTS5 (unicode61) asked for the same phrase. The
index of techdocs-large holds every document that one of the phrases matches in the whole collection, found by the
same matcher, and 20,000 others: what can be among the hits is the same, and it is built in minutes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.bench.timing import DATA, ROOT, machine, require
from vecsearch import Document, Index, Pipeline
from vecsearch.lookalikes import likeness, without_false_friends
from vecsearch.phrases import find
from vecsearch.pipeline import split_rows

OTHERS = 20_000
CHUNK = 2_000


def read_phrases(name: str, splits: Sequence[str]) -> list[dict[str, str]]:
    """Return the lines of the set that belong to a collection and to some splits."""
    with open(ROOT / "tests" / "data" / "phrases" / "phrases.tsv", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row for row in rows if row["set"] == name and row["split"] in splits]


def documents(name: str) -> Iterator[Document]:
    """Yield the documents of a collection."""
    path = DATA / name / "corpus.jsonl"
    stream = open(path, encoding="utf-8") if path.exists() else gzip.open(f"{path}.gz", "rt", encoding="utf-8")  # noqa: SIM115
    with stream as lines:
        for line in lines:
            record = json.loads(line)
            yield Document(id=record["_id"], title=record.get("title") or "", text=record["text"])


def matching(pipeline: Pipeline, all_documents: Sequence[Document], phrases: Sequence[str]) -> set[int]:
    """Return the numbers of the documents that hold one of the phrases, or words like theirs."""
    numbers: dict[str, int] = {}
    ids, lengths = [], []
    for begin in range(0, len(all_documents), CHUNK):
        tokens = pipeline.tokenize([document.text for document in all_documents[begin : begin + CHUNK]])
        assert tokens.entries is not None
        for entry in dict.fromkeys(tokens.entries):
            numbers.setdefault(entry, len(numbers))
        ids.append(np.fromiter(map(numbers.__getitem__, tokens.entries), np.int32, len(tokens.entries)))
        lengths.append(np.diff(tokens.offsets))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(lengths))])
    flat, entries = np.concatenate(ids), list(numbers)
    is_word = np.fromiter((any(map(str.isalnum, entry)) for entry in entries), bool, len(entries))
    units = np.concatenate(
        [
            split_rows(
                pipeline.entry_rows(entries[begin : begin + CHUNK], np.ones(len(entries[begin : begin + CHUNK]), bool))
            )[0]
            for begin in range(0, len(entries), CHUNK)
        ]
    )
    found: set[int] = set()
    for phrase in phrases:
        words = list(pipeline.tokenize([phrase]).entries or ())
        rows = split_rows(pipeline.entry_rows(words, np.ones(len(words), bool)))[0]
        tables = likeness(rows, units, own_ids=[numbers.get(word, -1) for word in words])
        slots = [
            without_false_friends(table, word, lambda some: [entries[number] for number in some.tolist()])
            for table, word in zip(tables, words, strict=True)
        ]
        found.update(find(slots, "phrase", 0, flat, offsets, is_word).passages.tolist())
    return found


def recall(found: Sequence[str], expected: Sequence[str]) -> float:
    """Return the share of the expected documents among the first ten."""
    return len(set(found[:10]) & set(expected)) / min(len(expected), 10)


def full_text_recalls(all_documents: Sequence[Document], rows: Sequence[dict[str, str]]) -> list[float]:
    """Return the recall of SQLite's FTS5 on each phrase."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE texts USING fts5(id UNINDEXED, text, tokenize='unicode61')")
    db.executemany("INSERT INTO texts VALUES (?, ?)", ((document.id, document.text) for document in all_documents))
    recalls = []
    for row in rows:
        phrase = row["phrase"].replace('"', '""')
        hits = db.execute("SELECT id FROM texts WHERE texts MATCH ? ORDER BY rank LIMIT 10", [f'text : "{phrase}"'])
        recalls.append(recall([doc_id for (doc_id,) in hits], row["expected"].split(" ")))
    db.close()
    return recalls


def main() -> None:
    """Print one row a collection and split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=("til-notes", "techdocs-large"))
    parser.add_argument("--splits", nargs="+", default=("visible", "held"))
    parser.add_argument("--mode", default="hybrid", choices=("hybrid", "vector", "keyword"))
    arguments = parser.parse_args()
    pipeline = Pipeline.from_names()
    print(machine(), end="\n\n")
    print("| collection | split | phrases | recall@10 | FTS5 phrase | phrases with no hit |\n|---|---|---|---|---|---|")
    for name in arguments.sets:
        require(DATA / name)
        rows = read_phrases(name, arguments.splits)
        chosen = list(documents(name))
        if len(chosen) > 2 * OTHERS:
            kept = matching(pipeline, chosen, [row["phrase"] for row in rows])
            kept |= set(random.Random(0).sample(range(len(chosen)), OTHERS))
            chosen = [chosen[number] for number in sorted(kept)]
        exact = full_text_recalls(chosen, rows)
        with tempfile.TemporaryDirectory() as folder, Index.create(Path(folder) / "index", pipeline=pipeline) as index:
            index.add(chosen)
            found = [
                [hit.doc_id for hit in index.search(f'"{row["phrase"]}"', 10, by="document", mode=arguments.mode)]
                for row in rows
            ]
        for split in arguments.splits:
            places = [number for number, row in enumerate(rows) if row["split"] == split]
            recalls = [recall(found[number], rows[number]["expected"].split(" ")) for number in places]
            by_text = np.mean([exact[number] for number in places])
            n_empty = sum(not found[number] for number in places)
            print(
                f"| {name} | {split} | {len(places)} | {np.mean(recalls):.3f} | {by_text:.3f} | {n_empty} |", flush=True
            )


if __name__ == "__main__":
    main()
