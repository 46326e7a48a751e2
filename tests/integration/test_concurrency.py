"""Threads and processes that read while one writes, compacts or closes: all read whole commits, and nothing crashes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests import children
from tests.tiny import TinyEmbedder, tiny_pipeline
from vecsearch import Document, GivenVectors, Index, IndexClosedError, IndexLockedError, Pipeline
from vecsearch.protocols import CollectionStatistics
from vecsearch.stores import embedded, segments, upkeep
from vecsearch.stores.memory import MemoryStore
from vecsearch.stores.protocol import ScanQuery
from vecsearch.types import FileRecord

PEBBLES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", 60)
    monkeypatch.setattr(upkeep, "FLUSH_TOKENS", 10)


@pytest.fixture(params=["folder", "memory"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    with make(request.param, tmp_path) as index:
        yield index


@pytest.fixture
def folder_index(tmp_path: Path) -> Iterator[Index]:
    with make("folder", tmp_path) as index:
        yield index


def make(kind: str, tmp_path: Path) -> Index:
    pipeline = tiny_pipeline()
    if kind == "memory":
        return Index.over(lambda encode: MemoryStore(encode, pipeline.dim), pipeline, Path("memory"))
    return Index.create(tmp_path / "notes", pipeline=pipeline)


def pebbles(generation: int) -> list[Document]:
    """Return three documents that are always replaced together, in one commit."""
    text = f"a pebble on the shore {generation} " + " ".join(f"{generation % 7}w{place}" for place in range(5))
    return [Document(id=doc_id, text=f"{text} {doc_id}", metadata={"generation": generation}) for doc_id in PEBBLES]


def run_threads(*targets: Callable[[], object]) -> None:
    """Run functions at the same time; what one of them raises is raised here."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(targets))

    def guarded(target: Callable[[], object]) -> None:
        try:
            barrier.wait()
            target()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=[target]) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


def test_threads_that_search_while_one_writes_see_whole_commits_in_order(index: Index) -> None:
    index.add(pebbles(0))
    done = threading.Event()
    seen: list[list[int]] = []

    def read() -> None:
        generations: list[int] = []
        while True:
            last_round = done.is_set()
            hits = index.search("a pebble on the shore", 10)
            found = {hit.metadata["generation"] for hit in hits if hit.doc_id in PEBBLES}
            assert sorted(hit.doc_id for hit in hits if hit.doc_id in PEBBLES) == list(PEBBLES)
            assert len(found) == 1, "hits of two commits in one answer"
            assert all(f"shore {hit.metadata['generation']} " in hit.text for hit in hits if hit.doc_id in PEBBLES)
            generations += found
            assert len({hit.doc_id for hit in hits} & {"pair-1", "pair-2"}) in (0, 2)
            counts = index.info()
            assert counts["n_documents"] == counts["n_passages"]
            assert counts["n_documents"] in (3, 5)
            if last_round:
                break
        assert generations == sorted(generations)
        seen.append(generations)

    def write() -> None:
        try:
            pair = [Document(id="pair-1", text="a pebble"), Document(id="pair-2", text="a shore")]
            for generation in range(1, 60):
                index.add(pebbles(generation))
                match generation % 6:
                    case 1:
                        index.add(pair)
                    case 3:
                        index.delete(["pair-1", "pair-2"])
                    case 4:
                        index.flush()
                    case 5:
                        index.compact()
        finally:
            done.set()

    run_threads(write, read, read, read, read)
    assert [generations[-1] for generations in seen] == [59] * 4
    assert len(set().union(*seen)) > 2, "the readers never met the writer"
    assert index.verify() == []


def test_threads_that_add_at_once_lose_nothing(index: Index) -> None:
    shared = [Document(id=f"shared-{number}", text=f"the same words {number % 5}") for number in range(30)]

    def add(name: int) -> None:
        for begin in range(0, 30, 3):
            own = [Document(id=f"{name}-{begin}-{n}", text=f"the same words {n} new{name}x{begin}") for n in range(5)]
            index.add([*own, *shared[begin : begin + 3]])
            index.delete([f"{name}-{begin}-4", f"shared-{begin}"])

    run_threads(*(lambda name=name: add(name) for name in range(4)))
    index.add(shared)
    expected = {f"{name}-{begin}-{n}" for name in range(4) for begin in range(0, 30, 3) for n in range(4)}
    assert {summary.id for summary in index.documents()} == expected | {document.id for document in shared}
    assert index.verify() == []
    assert index.info()["n_passages"] == len(expected) + 30
    n_new = {word: frequency for _, word, frequency in index.words() if word.startswith("new")}
    assert n_new == {f"new{name}x{begin}": 4 for name in range(4) for begin in range(0, 30, 3)}


def test_threads_that_add_equal_given_vectors_at_once_lose_nothing(tmp_path: Path) -> None:
    eye = np.eye(4, dtype=np.float32)
    with Index.create(tmp_path / "vectors", pipeline=GivenVectors(4)) as index:

        def add(name: int) -> None:
            for number in range(20):
                index.add([Document(id=f"{name}-{number}", vectors=eye[: number % 4 + 1])])
                index.delete([f"{name}-{number - 1}"])

        run_threads(*(lambda name=name: add(name) for name in range(4)))
        assert [summary.id for summary in index.documents()] == [f"{name}-19" for name in range(4)]
        assert index.info()["n_embedded_passages"] == 1
        assert index.verify() == []


def test_a_writer_that_must_wait_is_told_before_it_embeds(folder_index: Index) -> None:
    class Counting(TinyEmbedder):
        n_calls = 0

        def rows(self, entries: Sequence[str], starts_word: np.ndarray) -> np.ndarray:
            self.n_calls += 1
            return super().rows(entries, starts_word)

    folder_index.add(pebbles(0))
    embedder = Counting()
    with (
        Index.open(folder_index.path, pipeline=tiny_pipeline(embedder=embedder)) as second,
        pytest.raises(IndexLockedError),
    ):
        second.add(pebbles(1))
    assert embedder.n_calls == 0


def test_threads_that_search_for_the_first_time_at_once_agree(folder_index: Index) -> None:
    folder_index.add(Document(id=str(number), text=f"word{number} word{number + 1} shore") for number in range(50))
    folder_index.close()
    with Index.open(folder_index.path, pipeline=folder_index.pipeline) as opened:
        found: list[list[str]] = []
        run_threads(*[lambda: found.append([hit.doc_id for hit in opened.search("word7 shore", 5)])] * 8)
        assert found == [found[0]] * 8
        assert found[0][:2] == ["6", "7"]


def open_databases(folder: Path) -> int:
    """Return how often this process has files of an index open."""
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            targets.append(os.readlink(descriptor))
        except OSError:  # the listing's own
            continue
    return sum(target.startswith(f"{folder}{os.sep}meta.db") for target in targets)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not list open files")
def test_threads_that_come_and_go_leave_no_files_open(folder_index: Index) -> None:
    folder_index.add(pebbles(0))
    folder_index.search("pebble")
    before = open_databases(folder_index.path)
    for _ in range(30):
        run_threads(lambda: folder_index.search("pebble"))
    assert open_databases(folder_index.path) <= before + 3
    folder_index.close()
    assert open_databases(folder_index.path) == 0


READER = """
import sys
from tests.tiny import tiny_pipeline
from vecsearch import Index
with Index.open(sys.argv[1], pipeline=tiny_pipeline(), read_only=sys.argv[2] == "True") as index:
    print("ready", flush=True)
    for query in sys.stdin:
        print(*sorted(f"{hit.doc_id}{hit.metadata['generation']}" for hit in index.search(query, 10)), flush=True)
"""


@pytest.mark.parametrize("read_only", [True, False])
def test_a_process_that_reads_sees_each_commit_at_its_next_search(folder_index: Index, read_only: bool) -> None:
    folder_index.add(pebbles(0))
    with children.start(READER, folder_index.path, read_only) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        answers = child.stdout

        def ask() -> list[str]:
            print("a pebble", file=child.stdin, flush=True)
            return answers.readline().split()

        assert answers.readline() == "ready\n"
        assert ask() == ["a0", "b0", "c0"]
        for generation in range(1, 9):
            folder_index.add(pebbles(generation))
            if generation % 2:
                folder_index.compact()
            assert ask() == [f"{doc_id}{generation}" for doc_id in PEBBLES]
        folder_index.delete(["b"])
        assert ask() == ["a8", "c8"]
        folder_index.compact()
        assert ask() == ["a8", "c8"]
        child.stdin.close()
        assert child.wait() == 0, child.stderr and child.stderr.read()


def test_a_snapshot_survives_a_compaction(folder_index: Index) -> None:
    for generation in range(4):
        folder_index.add(pebbles(generation))
        folder_index.add([Document(id=str(generation), text=f"other {generation}")])
    folder_index.flush()
    files = set(folder_index.path.glob("*.segment"))
    assert files
    with Index.open(folder_index.path, pipeline=folder_index.pipeline) as reader:
        with reader._store.snapshot() as snapshot:
            folder_index.delete(["a", "0", "1"])
            folder_index.compact()
            assert not any(path.exists() for path in files)
            query = np.full((1, 16), 0.25, np.float32)
            statistics = CollectionStatistics(1, 1.0, 1, np.zeros((1, 0), np.float32))
            found = snapshot.scan(ScanQuery(query, np.ones(1, np.float32), statistics), MaxSim()).embedded
            table = snapshot.passages()
            assert set(found.tolist()) == set(table.embedded.tolist())
            assert len({place.doc_id for place in snapshot.places(table.passages)}) == 7
            vectors, offsets = snapshot.vectors(found)
            assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
            assert len(offsets) == len(found) + 1
            stored = snapshot.document("a")
            assert stored is not None
            assert stored.text == pebbles(3)[0].text
        assert reader.get("a") is None
        assert {hit.doc_id for hit in reader.search("a pebble other", 10)} == {"b", "c", "2", "3"}


class MaxSim:
    name: ClassVar[str] = "maxsim-of-this-test"
    version: ClassVar[str] = "1"
    config: ClassVar[dict[str, object]] = {}
    files: ClassVar[dict[str, str]] = {}

    def reduce(self, similarities: np.ndarray, offsets: np.ndarray) -> Any:
        return np.maximum.reduceat(similarities, offsets[:-1], axis=1)

    def transform(self, reduced: np.ndarray, lengths: np.ndarray, statistics: Any) -> Any:
        return reduced

    def combine(self, transformed: np.ndarray, weights: np.ndarray) -> Any:
        return weights @ transformed

    def sensitivity(self, weights: np.ndarray, statistics: Any) -> float:
        return float(weights.sum())


def test_a_segment_that_is_compacted_away_while_it_is_opened_is_looked_for_anew(
    folder_index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_index.add(pebbles(0))
    folder_index.add(pebbles(1))
    folder_index.flush()
    load = segments.load_segment
    compacted: list[bool] = []

    def compact_first(*arguments: object) -> object:
        if not compacted:
            compacted.append(True)
            folder_index.delete(["a"])
            folder_index.compact()
        return load(*arguments)  # type: ignore[arg-type]

    with Index.open(folder_index.path, pipeline=folder_index.pipeline) as reader:
        monkeypatch.setattr(embedded, "load_segment", compact_first)
        assert [hit.doc_id for hit in reader.search("a pebble", 10)] == ["b", "c"]
    assert compacted


# closing


@pytest.mark.parametrize("turn", range(5))
def test_closing_while_threads_read_ends_them_with_an_error_and_no_crash(index: Index, turn: int) -> None:
    for generation in range(10):
        index.add(Document(id=f"{generation}{document.id}", text=document.text) for document in pebbles(generation))
    working = threading.Semaphore(0)
    ends: list[type[BaseException]] = []

    def read() -> None:
        try:
            while True:
                assert len(index.search("a pebble", 10)) == 10
                assert index.get("0a") is not None
                assert index.info()["n_documents"] == 30
                assert len(list(index.documents())) == 30
                working.release()
        except IndexClosedError as error:
            ends.append(type(error))

    def close() -> None:
        for _ in range(3 + 4 * turn):
            working.acquire()
        index.close()

    run_threads(close, read, read, read)
    assert ends == [IndexClosedError] * 3


@pytest.mark.parametrize("turn", range(3))
def test_closing_while_a_thread_adds_ends_it_between_commits(folder_index: Index, turn: int) -> None:
    committed = threading.Semaphore(0)
    generations: list[int] = []

    def add() -> None:
        for generation in range(10_000):
            try:
                folder_index.add(pebbles(generation))
            except IndexClosedError:
                break
            generations.append(generation)
            committed.release()
        assert len(generations) < 10_000

    def close() -> None:
        for _ in range(2 + 5 * turn):
            committed.acquire()
        folder_index.close()

    run_threads(add, close)
    with Index.open(folder_index.path, pipeline=folder_index.pipeline) as again:
        again.add([Document(id="later", text="the lock is free")])
        assert [again.get(doc_id) for doc_id in PEBBLES] == pebbles(generations[-1])
        assert again.verify() == []


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not list open files")
def test_a_snapshot_that_is_open_at_the_close_ends_well_and_leaves_no_file_open(folder_index: Index) -> None:
    folder_index.add(pebbles(0))
    with folder_index._store.snapshot() as snapshot:
        folder_index.close()
        stored = snapshot.document("a")
        assert stored is not None
        assert stored.text == pebbles(0)[0].text
    assert open_databases(folder_index.path) == 0


def test_a_closed_index_says_so(index: Index) -> None:
    index.add(pebbles(0))
    index.close()
    index.close()
    record = FileRecord("/", "x", 1, 2, b"3")
    calls: list[Callable[[], object]] = [
        lambda: index.search("pebble"),
        lambda: index.add(pebbles(1)),
        lambda: index.add_files([(record, lambda: iter(pebbles(1)))], skipped=lambda *_: None),
        lambda: index.delete(["a"]),
        lambda: index.get("a"),
        lambda: list(index.documents()),
        lambda: index.files("/"),
        lambda: index.touch_files([record]),
        lambda: index.remove_files("/", ["x"]),
        lambda: index.tokens("pebble"),
        lambda: index.words(),
        lambda: index.info(),
        lambda: index.verify(),
        lambda: index.flush(),
        lambda: index.compact(),
    ]
    for call in calls:
        with pytest.raises(IndexClosedError, match="closed") as caught:
            call()
        assert caught.value.to_dict()["error"] == "index_closed"
    with pytest.raises(IndexClosedError), index:
        index.search("pebble")


def test_a_closed_index_can_be_opened_again_beside_the_closed_object(folder_index: Index) -> None:
    folder_index.add(pebbles(0))
    folder_index.close()
    with Index.open(folder_index.path, pipeline=folder_index.pipeline) as again:
        again.add(pebbles(1))
        with pytest.raises(IndexClosedError):
            folder_index.add(pebbles(2))
        assert [again.get(doc_id) for doc_id in PEBBLES] == pebbles(1)


def test_threads_share_a_pipeline(default_pipeline: Pipeline) -> None:
    texts = [f"the lion number {number} slept under tree {number % 3}" for number in range(40)]
    alone = [default_pipeline.similarity(text, texts[0]) for text in texts]
    found: dict[int, list[float]] = {}

    def compare(name: int) -> None:
        found[name] = [default_pipeline.similarity(text, texts[0]) for text in texts]

    run_threads(*(lambda name=name: compare(name) for name in range(4)))
    assert found == dict.fromkeys(range(4), alone)
