"""Indexing end to end: read, split, tokenize, embed, encode, FAISS, SQLite; and a second run over unchanged input.

    python -m tests.bench.indexing [FILE.jsonl]

The baseline, in the same run, is SQLite's own full-text index of the same texts, one transaction, synced.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from pathlib import Path

from tests.bench.timing import DATA, machine, median_seconds, require
from vecsearch import Index
from vecsearch.ingest import index_paths


def main() -> None:
    """Print rates and the ratio to the baseline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=DATA / "til-notes" / "corpus.jsonl")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    file = require(arguments.file)
    n_bytes = file.stat().st_size
    n_tokens = 0
    again: list[float] = []

    def build() -> None:
        nonlocal n_tokens
        with tempfile.TemporaryDirectory() as folder, Index.create(Path(folder) / "index") as index:
            report = index_paths(index, [file])
            index.flush()
            n_tokens = report.documents.n_tokens
            begin = time.perf_counter()
            second = index_paths(index, [file])
            again.append(time.perf_counter() - begin)
            assert second.documents.n_documents == 0

    def full_text() -> None:
        with tempfile.TemporaryDirectory() as folder:
            db = sqlite3.connect(Path(folder) / "fts.db")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("CREATE VIRTUAL TABLE texts USING fts5 (id UNINDEXED, text)")
            with db, open(file, encoding="utf-8") as lines:
                for line in lines:
                    record = json.loads(line)
                    db.execute("INSERT INTO texts VALUES (?, ?)", [record["_id"], record["text"]])
            db.close()

    build()
    again.clear()
    ours = median_seconds(build, arguments.runs) - sorted(again)[len(again) // 2]
    baseline = median_seconds(full_text, arguments.runs)
    print(machine())
    print(f"{file.parent.name}/{file.name}: {n_bytes / 1e6:.2f} MB, {n_tokens} tokens, median of {arguments.runs} runs")
    print(f"vecsearch: {ours:.2f} s = {n_tokens / ours:,.0f} tokens/s, {n_bytes / 1e6 / ours:.2f} MB/s")
    print(f"SQLite FTS5 alone: {baseline:.2f} s; vecsearch takes {ours / baseline:.1f} times as long")
    print(f"second run, nothing changed: {sorted(again)[len(again) // 2]:.3f} s")


if __name__ == "__main__":
    main()
