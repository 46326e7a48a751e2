"""Many batches in one call: written by another thread, they are what one thread alone would have written."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import children
from tests.tiny import TinyEmbedder, TinyEncoder, TinyTokenizer, tiny_pipeline
from vecsearch import Document, Index, IndexLockedError, PluginError, UsageError, adding
from vecsearch.stores import upkeep
from vecsearch.types import Progress, Tokens

BATCH = 20
"""Documents of a batch."""
N_BATCHES = 12


def documents(n: int = BATCH * N_BATCHES + 7) -> list[Document]:
    chance = random.Random(0)
    words = [f"{first}{second}" for first in ("lion", "dog", "tree", "car") for second in "abcdefghijkl"]
    return [
        Document(
            id=f"{number:05}",
            text=" ".join(chance.choices([*words, f"only{number}"], k=chance.randint(1, 40))),
            title="Some title" if number % 3 == 0 else "",
        )
        for number in range(n)
    ]


def small(patch: pytest.MonkeyPatch) -> None:
    """Make batches small, and an index of several of them large: it has codes, merged ones too."""
    patch.setattr(adding, "BATCH_DOCUMENTS", BATCH)
    patch.setattr(upkeep, "SEGMENT_TOKENS", 100)
    patch.setattr(upkeep, "FLUSH_TOKENS", 1)
    patch.setattr(upkeep, "FEWEST_TOKENS", 1_000)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)


def contents(folder: Path) -> dict[str, list[Any]]:
    """Return all tables, with the names of the files, which are made of what is in them."""
    db = sqlite3.connect(folder / "meta.db")
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {
        table: db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
        for table in tables
        if table not in ("manifest", "_sqlite_migrations", "sqlite_stat1") and not table.startswith("keywords")
    }
    found["instances"] = list(db.execute("SELECT rowid FROM keywords WHERE keywords MATCH 'liona' ORDER BY rowid"))
    db.close()
    return found


def test_one_call_writes_what_a_call_for_each_batch_writes(tmp_path: Path) -> None:
    told: list[Progress] = []
    with Index.create(tmp_path / "one", pipeline=tiny_pipeline()) as index:
        report = index.add(documents(), progress=told.append)
        assert index.info()["search"] == "approximate"
        assert index.verify() == []
    with Index.create(tmp_path / "each", pipeline=tiny_pipeline()) as index:
        n_passages = 0
        for begin in range(0, len(documents()), BATCH):
            n_passages += index.add(documents()[begin : begin + BATCH]).n_passages
    assert contents(tmp_path / "one") == contents(tmp_path / "each")
    assert (report.n_documents, report.n_passages) == (len(documents()), n_passages)
    assert [progress.n_documents for progress in told] == [
        *range(BATCH, BATCH * N_BATCHES + 1, BATCH),
        len(documents()),
    ]


def test_what_is_unchanged_is_neither_tokenized_nor_written(tmp_path: Path) -> None:
    class Counting(TinyTokenizer):
        n_texts = 0

        def tokenize(self, texts: Sequence[str]) -> Tokens:
            self.n_texts += len(texts)
            return super().tokenize(texts)

    tokenizer = Counting()
    with Index.create(tmp_path / "index", pipeline=tiny_pipeline(tokenizer=tokenizer)) as index:
        index.add(documents())
        before = contents(index.path)
        tokenizer.n_texts = 0
        report = index.add(documents())
        assert (report.n_documents, report.n_unchanged) == (0, len(documents()))
        assert tokenizer.n_texts == 0
        after = contents(index.path)
    assert {table: rows for table, rows in after.items() if table != "counters"} == {
        table: rows for table, rows in before.items() if table != "counters"
    }


def test_a_full_batch_is_committed_without_waiting_for_the_next_document(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", pipeline=tiny_pipeline()) as index:

        def slow() -> Iterator[Document]:
            yield from documents()[:BATCH]
            # a source that gives nothing more for as long as the batch is not there
            for _ in range(100_000):
                if index.info()["n_documents"] == BATCH:
                    break
            assert index.info()["n_documents"] == BATCH
            yield documents()[BATCH]

        index.add(slow())
        assert index.info()["n_documents"] == BATCH + 1


def test_a_source_may_read_and_change_the_index_that_it_is_added_to(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", pipeline=tiny_pipeline()) as index:

        def busy() -> Iterator[Document]:
            for number, document in enumerate(documents()):
                if number % 7 == 0:
                    index.add([Document(id=f"other {number}", text=f"an other text {number}")])
                    assert index.get(f"other {number}") is not None
                yield document

        index.add(busy())
        assert index.info()["n_documents"] == len(documents()) + len(range(0, len(documents()), 7))
        assert index.verify() == []


class Failing(TinyEmbedder):
    """Fails on one word."""

    def rows(self, entries: Sequence[str], starts_word: np.ndarray) -> np.ndarray:
        if self.dim == 16 and "only70" in entries:
            raise ValueError("no such word")
        return super().rows(entries, starts_word)


def with_only_70() -> list[Document]:
    found = documents()
    found[70] = Document(id=found[70].id, text="here is only70")
    return found


def test_a_batch_that_fails_leaves_those_before_it_and_nothing_after(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", pipeline=tiny_pipeline(embedder=Failing())) as index:
        with pytest.raises(PluginError, match="no such word"):
            index.add(with_only_70())
        assert [one.id for one in index.documents()] == [one.id for one in documents()[:60]]
        assert index.verify() == []


def test_a_text_that_fails_ahead_of_its_turn_fails_in_its_turn(tmp_path: Path) -> None:
    class Refusing(TinyTokenizer):
        def tokenize(self, texts: Sequence[str]) -> Tokens:
            if any("only70" in text for text in texts):
                raise ValueError("no such text")
            return super().tokenize(texts)

    told: list[Progress] = []
    with Index.create(tmp_path / "index", pipeline=tiny_pipeline(tokenizer=Refusing())) as index:
        with pytest.raises(PluginError, match="no such text"):
            index.add(with_only_70(), progress=told.append)
        assert index.info()["n_documents"] == told[-1].n_documents == 60


def test_the_failure_of_a_batch_comes_before_that_of_the_source(tmp_path: Path) -> None:
    def broken() -> Iterator[Document]:
        yield from with_only_70()[:85]
        raise OSError("the source is gone")

    with Index.create(tmp_path / "index", pipeline=tiny_pipeline(embedder=Failing())) as index:
        with pytest.raises(PluginError, match="no such word") as caught:
            index.add(broken())
        assert isinstance(caught.value.__context__, OSError)
        assert index.info()["n_documents"] == 60


def test_when_the_source_fails_every_full_batch_is_committed_and_told(tmp_path: Path) -> None:
    told: list[Progress] = []

    def broken() -> Iterator[Document]:
        yield from documents()[: 3 * BATCH + 5]
        raise OSError("the source is gone")

    with Index.create(tmp_path / "index", pipeline=tiny_pipeline()) as index:
        with pytest.raises(OSError, match="the source is gone"):
            index.add(broken(), progress=told.append)
        assert index.info()["n_documents"] == told[-1].n_documents == 3 * BATCH


def test_an_index_that_cannot_be_written_says_so_at_the_first_full_batch(tmp_path: Path) -> None:
    n_read = 0

    def counted() -> Iterator[Document]:
        nonlocal n_read
        for document in documents():
            n_read += 1
            yield document

    with (
        Index.create(tmp_path / "index", pipeline=tiny_pipeline()) as first,
        Index.open(tmp_path / "index", pipeline=tiny_pipeline()) as second,
    ):
        first.add(documents()[:1])
        with pytest.raises(IndexLockedError):
            second.add(counted())
    assert n_read == BATCH


def test_each_part_of_a_pipeline_is_called_by_one_thread_at_a_time(tmp_path: Path) -> None:
    clashes: list[str] = []

    class Alone:
        def __init__(self, name: str) -> None:
            self.name, self.busy = name, threading.Lock()

        def __enter__(self) -> None:
            if not self.busy.acquire(blocking=False):
                clashes.append(self.name)

        def __exit__(self, *_: object) -> None:
            if self.busy.locked():
                self.busy.release()

    class Tokenizer(TinyTokenizer):
        alone = Alone("tokenizer")

        def tokenize(self, texts: Sequence[str]) -> Tokens:
            with self.alone:
                for _ in range(30):  # as long as it takes for another thread to come in between
                    tokens = super().tokenize(texts)
                return tokens

    class Embedder(TinyEmbedder):
        alone = Alone("embedder")

        def rows(self, entries: Sequence[str], starts_word: np.ndarray) -> np.ndarray:
            with self.alone:
                return super().rows(entries, starts_word)

    class Encoder(TinyEncoder):
        alone = Alone("encoder")

        def encode(self, units: np.ndarray, weights: np.ndarray, offsets: np.ndarray) -> np.ndarray:
            with self.alone:
                return super().encode(units, weights, offsets)

    pipeline = tiny_pipeline(tokenizer=Tokenizer(), embedder=Embedder(), encoder=Encoder())
    with Index.create(tmp_path / "index", pipeline=pipeline) as index:
        index.add(documents())
        index.flush()
    assert clashes == []


KILLED = """
import sys
from tests.integration.test_bulk_adding import killed_run
killed_run(sys.argv[1])
"""


def killed_run(folder: str) -> None:
    """Add all documents to the index in a folder, in a process of its own; print a line after each commit."""
    patch = pytest.MonkeyPatch()
    small(patch)
    pipeline = tiny_pipeline()
    there = Path(folder).exists()
    with Index.open(folder, pipeline=pipeline) if there else Index.create(folder, pipeline=pipeline) as index:
        report = index.add(documents(), progress=lambda progress: print(progress.n_documents, flush=True))
        index.flush()
        print(f"done {report.n_documents} {report.n_unchanged}", flush=True)


@pytest.mark.parametrize("n_lines", [1, 5, 11])
def test_a_killed_build_with_codes_is_taken_up_by_the_same_command(tmp_path: Path, n_lines: int) -> None:
    folder = tmp_path / "index"
    with children.start(KILLED, folder) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(n_lines)]
        child.kill()
        lines += child.stdout.readlines()
    told = [int(line) for line in lines if line.strip().isdigit()]
    with Index.open(folder, pipeline=tiny_pipeline()) as index:
        assert index.verify() == []
        committed = index.info()["n_documents"]
        # what was told is there; of what was not, at most the batch that was just committed
        assert told[-1] <= committed <= min(told[-1] + 2 * BATCH, len(documents()))
        assert [one.id for one in index.documents()] == [one.id for one in documents()[:committed]]
    done = children.run(KILLED, folder).split("done ")[1].split()
    assert list(map(int, done)) == [len(documents()) - committed, committed]
    with Index.open(folder, pipeline=tiny_pipeline()) as index:
        assert index.info()["search"] == "approximate"
        assert index.verify() == []
        assert [index.get(one.id) for one in documents()] == documents()


def test_memory_must_be_enough(tmp_path: Path) -> None:
    for memory in (0, 599_999_999, True, 1e9):
        with pytest.raises(UsageError, match="600,000,000"):
            Index.create(tmp_path / "index", pipeline=tiny_pipeline(), memory=memory)  # type: ignore[arg-type]
