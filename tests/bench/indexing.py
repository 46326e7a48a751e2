"""Indexing end to end: read, split, tokenize, embed, encode, FAISS, SQLite; and a second run over unchanged input.

    python -m tests.bench.indexing [FILE.jsonl[.gz] ...] [--runs N] [--passages N]

By default the notes, and the first 20,000 passages of the technical documents. Each run is a process of its own, so
that the peak of memory is its own, and every batch is synced. The baseline, in turn with it, is SQLite's own full-text
index of the same texts: one transaction, synced. Words are what white space parts; the tokens of the index are more.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.timing import DATA, machine
from vecsearch import Index
from vecsearch.ingest import index_paths

FILES = (DATA / "til-notes" / "corpus.jsonl", DATA / "techdocs-large" / "corpus.jsonl.gz")
PASSAGES = 20_000


@dataclass(frozen=True)
class Run:
    """What one run has measured; seconds of wall time, and of both processors together."""

    n_tokens: int
    n_passages: int
    seconds: float
    processor_seconds: float
    peak_bytes: int
    seconds_again: float


def build(file: Path) -> Run:
    """Index a file in a temporary folder, then once more with nothing changed."""
    with tempfile.TemporaryDirectory() as folder, Index.create(Path(folder) / "index") as index:
        begin, processor = time.perf_counter(), time.process_time()
        report = index_paths(index, [file])
        index.flush()
        seconds, processor_seconds = time.perf_counter() - begin, time.process_time() - processor
        # Linux counts KiB, macOS bytes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        begin = time.perf_counter()
        second = index_paths(index, [file])
        again = time.perf_counter() - begin
        assert second.documents.n_documents == 0
    done = report.documents
    return Run(done.n_tokens, done.n_passages, seconds, processor_seconds, peak, again)


def full_text_seconds(file: Path) -> float:
    """Return how long SQLite takes for a full-text index of the same texts."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        db = sqlite3.connect(Path(folder) / "fts.db")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE VIRTUAL TABLE texts USING fts5 (id UNINDEXED, text)")
        with db, open(file, encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                db.execute("INSERT INTO texts VALUES (?, ?)", [record["_id"], record["text"]])
        db.close()
        return time.perf_counter() - begin


def n_words(file: Path) -> int:
    """Return how many words the texts and titles of a file hold."""
    with open(file, encoding="utf-8") as lines:
        records = map(json.loads, lines)
        return sum(len(record["text"].split()) + len(record.get("title", "").split()) for record in records)


def report(name: str, file: Path, n_runs: int) -> None:
    """Print the rates of a file."""
    runs, baselines = [], []
    for _ in range(n_runs):
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.indexing", "--build", str(file)], check=True, capture_output=True
        )
        runs.append(Run(**json.loads(done.stdout)))
        baselines.append(full_text_seconds(file))
    seconds = statistics.median(run.seconds for run in runs)
    processor_seconds = statistics.median(run.processor_seconds for run in runs)
    baseline = statistics.median(baselines)
    n_bytes, words, first = file.stat().st_size, n_words(file), runs[0]
    print(
        f"{name}: {n_bytes / 1e6:.2f} MB, {first.n_passages:,} passages, {words:,} words, {first.n_tokens:,} tokens; "
        f"median of {n_runs} runs"
    )
    print(
        f"  vecsearch: {seconds:.2f} s = {words / seconds:,.0f} words/s, {first.n_tokens / seconds:,.0f} tokens/s, "
        f"{n_bytes / 1e6 / seconds:.2f} MB/s"
    )
    print(
        f"  processor time {processor_seconds:.2f} s: {words / processor_seconds:,.0f} words/s, "
        f"{first.n_tokens / processor_seconds:,.0f} tokens/s, were one core free for it"
    )
    print(f"  peak memory: {max(run.peak_bytes for run in runs) / 1e6:,.0f} MB")
    print(f"  SQLite FTS5 alone: {baseline:.2f} s; vecsearch takes {seconds / baseline:.1f} times as long")
    print(f"  second run, nothing changed: {statistics.median(run.seconds_again for run in runs):.3f} s", flush=True)


def main() -> None:
    """Print the rates of each file, the ratio to the baseline, and the peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--passages", type=int, default=PASSAGES, help="of a file, at most")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build is not None:
        print(json.dumps(asdict(build(arguments.build))))
        return
    print(machine())
    for file in arguments.files or FILES:
        if not file.exists():
            print(f"{file.parent.name}/{file.name}: left out, it is not there; see VECSEARCH_TEST_DATA")
            continue
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "corpus.jsonl"
            opening = gzip.open if file.suffix == ".gz" else open
            with opening(file, "rb") as lines, part.open("wb") as copy:
                copy.writelines(itertools.islice(lines, arguments.passages))
            report(f"{file.parent.name}/{file.name}", part, arguments.runs)


if __name__ == "__main__":
    main()
