"""What is acknowledged stays: through killed writers, full disks, interrupts and second writers; and damage is seen."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests import children
from tests.campaign.scale import sized
from tests.coded import search_codes
from tests.tiny import TinyEmbedder, TinyEncoder, tiny_pipeline
from vecsearch import (
    Document,
    GivenVectors,
    Index,
    IndexDamagedError,
    IndexLockedError,
    IndexNotFoundError,
    IndexReadOnlyError,
    StorageError,
    UsageError,
    VecsearchError,
    adding,
    checksums,
)
from vecsearch.cli.program import program
from vecsearch.stores import upkeep
from vecsearch.stores.disk import Disk
from vecsearch.types import FileRecord

SENTENCE = "the lion slept under a tree and woke at dusk while the dog bit the man who ran"


def document(number: int, version: int = 0) -> Document:
    """Return a document of its own text, the same every time; some have several passages, some have equal ones."""
    chosen = random.Random(f"{number} {version}")
    words = ["refrain"] * 16 if number % 4 == 0 else []
    words += [chosen.choice(SENTENCE.split()) for _ in range(chosen.randrange(60))]
    return Document(id=f"{number:04}", text=" ".join(words), title=f"Version {version}", metadata={"number": number})


def documents_of(index: Index) -> dict[str, Document]:
    found = {summary.id: index.get(summary.id) for summary in index.documents()}
    return {doc_id: document for doc_id, document in found.items() if document is not None}


def strays_of(folder: Path) -> set[str]:
    """Return files in an index folder that the manifest does not name."""
    with sqlite3.connect(folder / "meta.db") as db:
        named = {name for (name,) in db.execute("SELECT file FROM segments")}
    db.close()
    return {path.name for path in folder.iterdir() if path.suffix in (".segment", ".tmp")} - named


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", 200)
    monkeypatch.setattr(upkeep, "FLUSH_TOKENS", 50)


@pytest.fixture
def index(tmp_path: Path, small_segments: None) -> Iterator[Index]:
    """An index of two segments, some fresh passages and a deleted document."""
    with Index.create(tmp_path / "notes", pipeline=tiny_pipeline()) as index:
        index.add(document(number) for number in range(20))
        index.add(document(number) for number in range(20, 40))
        index.add([document(40), document(41)])
        index.delete(["0003"])
        assert index.info()["n_segments"] == 2
        assert index.info()["n_fresh_tokens"] > 0
        yield index


def reopened(index: Index) -> Index:
    index.close()
    return Index.open(index.path, pipeline=index.pipeline)


# killed writers

SCRIPTED = """
import sys
from tests.integration.test_durability import work
work(*sys.argv[1:])
"""
N_STEPS = 40


def work(folder: str, kill_at: str = "0") -> None:
    """Take the steps in an index, in a process of its own; print the number of each one when it is acknowledged.

    Args:
        folder: of the index.
        kill_at: kill this process with signal 9 at the so-manyth call of or from a function of the store; 0: never,
            and print the number of calls at the end.
    """
    import sys

    upkeep.SEGMENT_TOKENS, upkeep.FLUSH_TOKENS = 150, 50
    with Index.create(folder, pipeline=tiny_pipeline()) as index:
        print("begun", flush=True)
        n_calls, last = 0, int(kill_at)
        stores = str(Path(upkeep.__file__).parent)

        def count(frame: Any, event: str, argument: object) -> None:
            nonlocal n_calls
            if frame.f_code.co_filename.startswith(stores):
                n_calls += 1
                if n_calls == last:
                    os.kill(os.getpid(), 9)

        sys.setprofile(count)
        for number in range(N_STEPS):
            take_step(index, number)
            print(number, flush=True)
        sys.setprofile(None)
    print(f"calls {n_calls}")


def take_step(index: Index, number: int) -> None:
    match number % 10:
        case 3:
            index.delete([f"{number - 1:04}", "none"])
        case 5:
            index.add([document(number - 4, version=1)])
        case 8:
            index.compact()
        case _:
            index.add([document(number), document(1000 + number)])


def documents_after(n_steps: int) -> dict[str, Document]:
    """Return what the first so many steps leave, as a plain dictionary says."""
    found: dict[str, Document] = {}
    for number in range(n_steps):
        match number % 10:
            case 3:
                found.pop(f"{number - 1:04}", None)
            case 5:
                found[f"{number - 4:04}"] = document(number - 4, version=1)
            case 8:
                pass
            case _:
                found |= {f"{number:04}": document(number), f"{1000 + number}": document(1000 + number)}
    return found


def assert_acknowledged_steps_survive(folder: Path, lines: Sequence[str]) -> None:
    n_acknowledged = len(lines) - 1
    with Index.open(folder, pipeline=tiny_pipeline()) as index:
        found = documents_of(index)
        assert found in (documents_after(n_acknowledged), documents_after(n_acknowledged + 1))
        assert index.verify() == []
        if found:
            assert index.search("the lion slept under the tree and woke", 5)
        index.add([document(5000)])
        assert strays_of(folder) == set()
        assert documents_of(index) == found | {"5000": document(5000)}
        assert index.verify() == []


def kill_inside(folder: Path, n_kills: int) -> None:
    whole = children.run(SCRIPTED, folder / "whole").split()
    n_calls = int(whole[-1])
    assert_acknowledged_steps_survive(folder / "whole", whole[:-2])
    generator = random.Random(0)
    for number in range(n_kills):
        kill_at = generator.randrange(n_calls * number // n_kills, n_calls * (number + 1) // n_kills) + 1
        path = folder / str(number)
        with children.start(SCRIPTED, path, kill_at) as child:
            output, errors = child.communicate()
        assert child.returncode == -9, errors
        assert_acknowledged_steps_survive(path, output.splitlines())


def test_acknowledged_commits_survive_a_kill_at_any_call_of_the_store(tmp_path: Path) -> None:
    kill_inside(tmp_path, 12)


@pytest.mark.campaign
def test_acknowledged_commits_survive_many_kills(tmp_path: Path) -> None:
    kill_inside(tmp_path, sized(12, 200))


@pytest.mark.parametrize("n_lines", [1, 12, 30])
def test_acknowledged_commits_survive_a_kill_from_outside(tmp_path: Path, n_lines: int) -> None:
    with children.start(SCRIPTED, tmp_path / "notes") as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(n_lines)]
        child.kill()
        lines += child.stdout.readlines()
    assert_acknowledged_steps_survive(tmp_path / "notes", [line for line in lines if line[0] in "b0123456789"])


# two writers


def test_a_second_writer_is_refused_at_once_and_the_first_goes_on(index: Index) -> None:
    before = documents_of(index)
    with Index.open(index.path, pipeline=index.pipeline) as second:
        for write in (
            lambda: second.add([document(50)]),
            lambda: second.delete(["0001"]),
            second.compact,
            second.flush,
            lambda: second.remove_files("/", ["x"]),
        ):
            with pytest.raises(IndexLockedError, match="is being written by another") as caught:
                write()
            assert caught.value.to_dict()["error"] == "index_locked"
            assert caught.value.facts["path"] == str(index.path)
        assert documents_of(second) == before
        index.add([document(51)])
        assert documents_of(second) == before | {"0051": document(51)}
        index.close()
        second.add([document(50)])
        assert documents_of(second) == before | {"0051": document(51), "0050": document(50)}


def test_an_index_that_only_reads_takes_no_lock(index: Index) -> None:
    with reopened(index) as first, Index.open(index.path, pipeline=index.pipeline) as second:
        assert first.search("lion")
        second.add([document(50)])
        first.search("lion")


HOLDER = """
import sys
from tests.integration.test_durability import document
from tests.tiny import tiny_pipeline
from vecsearch import Index
index = Index.open(sys.argv[1], pipeline=tiny_pipeline())
index.add([document(60)])
print("holding", flush=True)
sys.stdin.read()
"""


def test_a_writer_in_another_process_is_respected_until_it_is_killed(index: Index) -> None:
    with reopened(index) as index:
        before = documents_of(index)
        with children.start(HOLDER, index.path) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "holding\n"
            with pytest.raises(IndexLockedError):
                index.add([document(61)])
            assert documents_of(index) == before | {"0060": document(60)}
            child.kill()
            child.wait()
            index.add([document(61)])
        assert documents_of(index) == before | {"0060": document(60), "0061": document(61)}
        assert index.verify() == []


# reading only


def test_an_index_opened_read_only_refuses_every_write(index: Index, tmp_path: Path) -> None:
    before = documents_of(index)
    record = FileRecord(str(tmp_path), "x", 1, 2, b"3")
    index.close()
    content = {path.name: path.read_bytes() for path in index.path.iterdir()}
    with Index.open(index.path, pipeline=index.pipeline, read_only=True) as reader:
        for write in (
            lambda: reader.add([document(50)]),
            lambda: reader.add_files([(record, lambda: iter([document(50)]))], skipped=lambda *_: None),
            lambda: reader.delete(["0001"]),
            reader.compact,
            reader.flush,
            lambda: reader.touch_files([record]),
            lambda: reader.remove_files("/", ["x"]),
        ):
            with pytest.raises(IndexReadOnlyError, match="opened read-only") as caught:
                write()
            assert caught.value.to_dict()["error"] == "index_read_only"
        assert documents_of(reader) == before
        assert len(reader.search("lion", 5)) == 5
    assert {name: (index.path / name).read_bytes() for name in content} == content


# Root may write anywhere; without its capabilities it is an ordinary owner.
NO_ROOT = """
import ctypes, os, sys
if os.geteuid() == 0:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    if ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()):
        print("skip: capset refused")
        sys.exit()
from pathlib import Path
from tests.integration.test_durability import document, documents_of
from tests.tiny import tiny_pipeline
from vecsearch import Index, VecsearchError
folder = Path(sys.argv[1])
"""
POWERLESS = f"""{NO_ROOT}
def attempt(call):
    try:
        return call()
    except VecsearchError as error:
        return f"{{error.code}}: {{error.message}}"
for read_only in (False, True):
    with Index.open(folder, pipeline=tiny_pipeline(), read_only=read_only) as index:
        print(len(documents_of(index)), len(index.search("lion", 5)), index.verify())
        print(attempt(lambda: index.add([document(50)])))
        print(attempt(lambda: index.delete(["0001"])))
        print(len(index.search("lion", 5)))
print(attempt(lambda: Index.create(folder / "inner", pipeline=tiny_pipeline())))
"""


ONCE_READ_ONLY = f"""{NO_ROOT}
with Index.open(folder, pipeline=tiny_pipeline()) as other, Index.open(folder, pipeline=tiny_pipeline()) as index:
    shared = folder / "meta.db-shm"
    shared.touch()
    shared.chmod(0o444)
    before = len(documents_of(index))
    shared.chmod(0o644)
    index.add([document(50)])
    print(len(documents_of(index)) - before, index.verify())
"""


def test_a_reader_that_could_only_read_does_not_keep_its_process_from_writing(index: Index) -> None:
    index.close()
    output = children.run(ONCE_READ_ONLY, index.path)
    if output.startswith("skip"):
        pytest.skip(output)
    assert output == "1 []\n"


@pytest.mark.parametrize(
    ("folder_mode", "file_mode"), [(0o555, 0o444), (0o555, 0o644), (0o755, 0o444)], ids=["both", "folder", "files"]
)
def test_a_folder_that_cannot_be_written_is_searched_all_the_same(
    index: Index, folder_mode: int, file_mode: int
) -> None:
    before = documents_of(index)
    index.close()
    for path in index.path.iterdir():
        path.chmod(file_mode)
    index.path.chmod(folder_mode)
    output = children.run(POWERLESS, index.path)
    index.path.chmod(0o755)
    for path in index.path.iterdir():
        path.chmod(0o644)
    if output.startswith("skip"):
        pytest.skip(output)
    lines = output.splitlines()
    for first in (0, 4):
        assert lines[first] == f"{len(before)} 5 []"
        assert lines[first + 1].startswith("index_read_only: ")
        assert lines[first + 2].startswith("index_read_only: ")
        assert lines[first + 3] == "5"
    if folder_mode == 0o555:
        assert lines[8].startswith("index_read_only: ")
        assert "Permission denied" in lines[8]
    shutil.rmtree(index.path / "inner", ignore_errors=True)
    with Index.open(index.path, pipeline=index.pipeline) as again:
        again.add([document(50)])
        assert documents_of(again) == before | {"0050": document(50)}
        assert again.verify() == []


# full disk

FULL = """
import resource, sys
from pathlib import Path
from tests.integration.test_durability import document, documents_of, strays_of
from tests.tiny import tiny_pipeline
from vecsearch import Document, Index, StorageError
from vecsearch.stores import upkeep
upkeep.SEGMENT_TOKENS = 200
folder, limit, n_words = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
large = Document(id="large", text=" ".join(f"word{number}" for number in range(n_words)))
with Index.open(folder, pipeline=tiny_pipeline()) as index:
    before = documents_of(index)
    index.delete(["nothing"])  # the writer has its files
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        index.add([large])
        print("stored")
    except StorageError as error:
        print(error.to_dict()["error"])
        assert "earlier commits are safe" in error.message, error.message
        assert str(folder) in error.message, error.message
        found = documents_of(index)
        # what failed may be the segment after the commit
        assert found in (before, before | {"large": large}), found.keys()
        assert len(index.search("lion slept", 5)) == 5
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert index.verify() == []
    index.add([large, document(70)])
    assert documents_of(index) == before | {"large": large, "0070": document(70)}
    assert strays_of(folder) == set()
    assert index.verify() == []
    assert index.search("word7 word8", 1)[0].doc_id == "large"
with Index.open(folder, pipeline=tiny_pipeline()) as index:
    assert documents_of(index) == before | {"large": large, "0070": document(70)}
    assert index.verify() == []
"""


@pytest.mark.parametrize("n_words", [100, 6000])
def test_a_full_disk_loses_nothing(index: Index, tmp_path: Path, n_words: int) -> None:
    index.close()
    outcomes = []
    for limit in (0, 5_000, 60_000, 300_000, 100_000_000):
        folder = tmp_path / str(limit)
        shutil.copytree(index.path, folder)
        outcomes.append(children.run(FULL, folder, limit, n_words).strip())
    assert outcomes[:2] == ["storage"] * 2
    assert outcomes[-1] == "stored"


def test_a_file_system_that_refuses_to_sync_a_segment_loses_nothing(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = documents_of(index)

    def refuse(disk: Disk) -> None:
        raise OSError(5, "Input/output error", str(disk.folder))

    large = Document(id="large", text=" ".join(map(str, range(300))))
    with monkeypatch.context() as patch:
        patch.setattr(Disk, "sync_entries", refuse)
        with pytest.raises(StorageError, match="Input/output error"):
            index.add([large])
        assert documents_of(index) == before
        assert strays_of(index.path) != set()
    index.add([document(70)])
    assert strays_of(index.path) == set()
    with reopened(index) as again:
        assert documents_of(again) == before | {"0070": document(70)}
        assert again.verify() == []


# interrupts


def test_an_interrupt_between_documents_keeps_what_is_committed(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "BATCH_DOCUMENTS", 2)
    before = documents_of(index)
    new = [document(number) for number in range(100, 107)]

    def interrupted() -> Iterator[Document]:
        yield from new[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.add(interrupted())
    assert documents_of(index) == before | {document.id: document for document in new[:4]}
    assert index.verify() == []
    report = index.add(new)
    assert (report.n_unchanged, report.n_documents) == (4, 3)
    assert documents_of(reopened(index)) == before | {document.id: document for document in new}


def test_an_interrupt_at_any_line_of_a_commit_leaves_an_index_that_works_on(tmp_path: Path) -> None:
    places = {"intern", "commit", "_transaction", "_exclusive", "exclusive", "write"}
    n_lines, last = 0, 0
    index = Index.create(tmp_path / "notes", pipeline=tiny_pipeline())

    def trace(frame: Any, event: str, argument: object) -> Any:
        nonlocal n_lines
        if "/stores/" not in frame.f_code.co_filename or frame.f_code.co_name not in places:
            return None
        if event == "line":
            n_lines += 1
            if n_lines == last:
                raise KeyboardInterrupt
        return trace

    def add(number: int) -> list[Document]:
        nonlocal n_lines
        n_lines = 0
        new = [Document(id=f"new {number}", text=f"a word{number} of its own {number}")]
        threading.settrace(trace)
        sys.settrace(trace)
        try:
            index.add(new)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
        return new

    add(0)
    assert n_lines > 40
    for last in range(1, n_lines + 1):
        before = documents_of(index)
        if n_lines < last - 1:
            break  # the one before was not reached
        with contextlib.suppress(KeyboardInterrupt):
            add(last)
        found = documents_of(index)
        assert found.keys() - before.keys() <= {f"new {last}"}
        index.add([Document(id=f"next {last}", text=f"one word{last} more{last}")])
        assert documents_of(index).keys() == found.keys() | {f"next {last}"}
        index.delete([f"new {last}", f"next {last}"])
    assert index.verify() == []
    index.close()


class InterruptedEmbedder(TinyEmbedder):
    def rows(self, entries: Sequence[str], starts_word: np.ndarray) -> np.ndarray:
        if self.dim == 16 and "stop" in entries and STOP:
            raise KeyboardInterrupt
        return super().rows(entries, starts_word)


class InterruptedEncoder(TinyEncoder):
    def encode(self, units: np.ndarray, weights: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        if STOP and STOP.pop():
            raise KeyboardInterrupt
        return super().encode(units, weights, offsets)


STOP: list[bool] = []


@pytest.mark.parametrize("n_words", [1, 300])
@pytest.mark.parametrize("place", ["embedder", "encoder", "segment"])
def test_an_interrupt_inside_a_batch_keeps_earlier_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_segments: None, place: str, n_words: int
) -> None:
    monkeypatch.setattr(adding, "BATCH_DOCUMENTS", 1)
    parts: dict[str, dict[str, Any]] = {
        "embedder": {"embedder": InterruptedEmbedder()},
        "encoder": {"encoder": InterruptedEncoder()},
        "segment": {},
    }
    new = [document(1), Document(id="stop", text="stop " + " ".join(map(str, range(n_words)))), document(2)]
    with Index.create(tmp_path / "notes", pipeline=tiny_pipeline(**parts[place])) as index:
        index.add([document(0)])

        def progress(_: object) -> None:
            if place == "segment":
                monkeypatch.setattr(upkeep, "write_segment", interrupt)
            STOP[:] = [True]

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        if (place, n_words) == ("segment", 1):
            index.add([new[0]])  # too small a batch for a segment
            monkeypatch.setattr(upkeep, "write_segment", interrupt)
            with pytest.raises(KeyboardInterrupt):
                index.compact()
        else:
            with pytest.raises(KeyboardInterrupt):
                index.add(new, progress=progress)
        monkeypatch.undo()
        STOP.clear()
        assert documents_of(index) == {document.id: document for document in (document(0), new[0])}
        assert index.verify() == []
        report = index.add(new)
        assert (report.n_unchanged, report.n_documents) == (1, 2)
        assert strays_of(index.path) == set()
    with Index.open(index.path, pipeline=index.pipeline) as again:
        assert documents_of(again) == {document.id: document for document in (document(0), *new)}
        assert again.verify() == []


# levels of durability


def syncs_of(monkeypatch: pytest.MonkeyPatch, write: Callable[[], object]) -> int:
    calls: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        write()
    return len(calls)


def test_fast_syncs_nothing_and_full_syncs_what_fast_left(
    tmp_path: Path, small_segments: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> None:
        with Index.create(tmp_path / "a" / "b", pipeline=tiny_pipeline(), durability="fast") as index:
            index.add(document(number) for number in range(20))
            assert index.info()["n_segments"] == 1

    assert syncs_of(monkeypatch, make) == 0
    with Index.open(tmp_path / "a" / "b", pipeline=tiny_pipeline()) as index:
        # the segment and the folder
        assert syncs_of(monkeypatch, lambda: index.add([document(30)])) == 2
        assert syncs_of(monkeypatch, lambda: index.add([document(31)])) == 0
        assert syncs_of(monkeypatch, lambda: index.add(document(number) for number in range(40, 60))) == 2
        assert index.verify() == []


def test_a_durability_that_there_is_not_is_refused(index: Index) -> None:
    for make in (
        lambda: Index.open(index.path, pipeline=index.pipeline, durability="slow"),  # type: ignore[arg-type]
        lambda: Index.create(index.path / "x", durability="slow"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match="must be 'full' or 'fast'"):
            make()
    assert not (index.path / "x").exists()


@pytest.mark.parametrize(("level", "is_synced"), [("full", True), ("fast", False), (None, True)])
def test_commands_that_write_take_a_durability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str | None, is_synced: bool
) -> None:
    (tmp_path / "a.txt").write_text("the lion slept")
    option = [] if level is None else ["--durability", level]
    for arguments in (
        ["index", str(tmp_path / "a.txt"), "-i", "notes"],
        ["add", str(tmp_path / "a.txt"), "-i", "notes", "--id", "b"],
        ["delete", "b", "-i", "notes"],
    ):

        def run(arguments: list[str] = arguments) -> None:
            result = CliRunner().invoke(program, ["--indexes", str(tmp_path / "indexes"), *arguments, *option])
            assert result.exit_code == 0, result.output

        assert (syncs_of(monkeypatch, run) > 0) == is_synced


# damaged segments


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def swap(path: Path) -> None:
    (other,) = set(path.parent.glob("*.segment")) - {path}
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SEGMENT_DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit of the mark": lambda path: flip(path, 3),
    "a bit of the kind of index": lambda path: flip(path, 19),
    "a bit of the dim": lambda path: flip(path, 23),
    "a bit of the number of vectors": lambda path: flip(path, 27),
    "a bit of the metric": lambda path: flip(path, 52),
    "a bit of the first vector": lambda path: flip(path, 64),
    "a bit in the middle": lambda path: flip(path, path.stat().st_size // 2),
    "the last bit": lambda path: flip(path, -1),
    "cut": lambda path: os.truncate(path, path.stat().st_size - 4),
    "cut to the header": lambda path: os.truncate(path, 64),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeroed page": lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(4096) + path.read_bytes()[8192:]),
    "missing": lambda path: path.unlink(),
    "two swapped": swap,
    "other text": lambda path: path.write_text("not an index"),
}


@pytest.mark.parametrize("damage", SEGMENT_DAMAGES.values(), ids=SEGMENT_DAMAGES)
def test_a_damaged_segment_never_answers_and_is_mended_by_compaction(
    index: Index, damage: Callable[[Path], object]
) -> None:
    documents = documents_of(index)
    expected = index.search("the lion slept", 100)
    index.close()
    segment = max(index.path.glob("*.segment"), key=lambda path: path.stat().st_size)
    damage(segment)
    with Index.open(index.path, pipeline=index.pipeline) as damaged:
        for _ in range(2):
            with pytest.raises(IndexDamagedError, match=r"\.segment .*compact") as caught:
                damaged.search("the lion slept")
            assert caught.value.to_dict()["error"] == "index_damaged"
        # the documents are whole
        assert documents_of(damaged) == documents
        assert segment.name in "".join(damaged.verify())
        damaged.compact()
        assert damaged.verify() == []
        assert damaged.search("the lion slept", 100) == expected
    with Index.open(index.path, pipeline=index.pipeline) as again:
        assert again.search("the lion slept", 100) == expected
        assert documents_of(again) == documents
        assert strays_of(index.path) == set()


def test_damage_that_keeps_size_and_time_is_seen_by_the_next_load(index: Index) -> None:
    index.close()
    with Index.open(index.path, pipeline=index.pipeline) as verified:
        assert verified.search("lion")
    segment = next(index.path.glob("*.segment"))
    before = segment.stat()
    with open(segment, "r+b") as file:
        file.seek(100)
        byte = file.read(1)[0]
        file.seek(100)
        file.write(bytes([byte ^ 16]))
    os.utime(segment, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = segment.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    with (
        Index.open(index.path, pipeline=index.pipeline) as next_load,
        pytest.raises(IndexDamagedError, match="between byte 0 and 1048576"),
    ):
        next_load.search("lion")


def test_a_segment_is_hashed_once_and_again_only_when_it_changes(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    digest = hashlib.file_digest

    def counting(file: Any, *arguments: Any) -> Any:
        hashed.append(Path(file.name).name)
        return digest(file, *arguments)

    def hashed_by_a_search() -> list[str]:
        hashed.clear()
        with Index.open(index.path, pipeline=index.pipeline) as opened:
            opened.search("lion")
        return sorted(hashed)

    monkeypatch.setattr(hashlib, "file_digest", counting)
    index.close()
    segments = sorted(path.name for path in index.path.glob("*.segment"))
    assert hashed_by_a_search() == []  # known since they were written
    monkeypatch.setattr(checksums, "_folder", lambda: tmp_path / "another cache")
    assert hashed_by_a_search() == segments
    assert hashed_by_a_search() == []
    os.utime(index.path / segments[0], ns=(1, 1))
    assert hashed_by_a_search() == segments[:1]
    monkeypatch.setattr(checksums, "_folder", lambda: Path(os.devnull) / "no cache")
    assert hashed_by_a_search() == segments
    assert hashed_by_a_search() == segments


def test_a_merge_with_segments_of_deleted_passages_keeps_what_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_codes(monkeypatch, fewest=200)
    monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", 100)
    monkeypatch.setattr(Index, "tune", lambda index: None)  # takes seconds, and moves no file

    def some(*numbers: int) -> list[Document]:
        return [Document(id=f"{n:04}", text=" ".join(f"w{n}x{place}" for place in range(30))) for n in numbers]

    with Index.create(tmp_path / "notes", pipeline=tiny_pipeline()) as index:
        index.add(some(*range(20)))
        index.compact()
        index.add(some(50, 51, 52, 53))
        kept = set(index.path.glob("*.codes"))
        index.add(some(60, 61, 62, 63, 64))
        index.delete(["0060", "0061", "0062", "0063", "0064"])
        assert len(set(index.path.glob("*.codes"))) == 3
        index.flush()
        # nothing but what the segment before held is alive: the merged one is the same file
        assert set(index.path.glob("*.codes")) == kept
        assert index.verify() == []
        assert index.search("w51x3 w51x4", 1)[0].doc_id == "0051"


# damaged rows


def change(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "meta.db") as db:
        assert db.execute(statement).rowcount == 1
    db.close()


ROW_DAMAGES = {
    "text": "UPDATE passages SET text = 'D' || substr(text, 2) WHERE doc_no = 6 AND ordinal = 0",
    "place": "UPDATE passages SET start = start + 1 WHERE doc_no = 6 AND ordinal = 0",
    "line": "UPDATE passages SET line = 2 WHERE doc_no = 6 AND ordinal = 0",
    "vectors of another passage": (
        "UPDATE passages SET embedded_no = (SELECT embedded_no FROM passages WHERE doc_no = 7) "
        "WHERE doc_no = 6 AND ordinal = 0"
    ),
    "passage of another document": "UPDATE passages SET doc_no = 6, ordinal = 9 WHERE doc_no = 7 AND ordinal = 0",
    "title": "UPDATE documents SET title = 'Version 1' WHERE doc_no = 6",
    "metadata": "UPDATE documents SET metadata = '{\"number\": 6}' WHERE doc_no = 6",
    "hash": "UPDATE documents SET content_hash = x'00' WHERE doc_no = 6",
    "length": "UPDATE documents SET n_characters = n_characters + 1 WHERE doc_no = 6",
    "id": "UPDATE documents SET doc_id = '0005 ' WHERE doc_no = 6",
}


@pytest.mark.parametrize("statement", ROW_DAMAGES.values(), ids=ROW_DAMAGES)
def test_a_damaged_row_of_a_document_never_answers(index: Index, statement: str) -> None:
    documents = documents_of(index)
    index.close()
    change(index.path, statement)
    with Index.open(index.path, pipeline=index.pipeline) as damaged:
        assert damaged.verify() != []
        with pytest.raises(IndexDamagedError, match=r"meta\.db is not what was written"):
            damaged.search("the lion slept", 100)
        with pytest.raises(IndexDamagedError, match=r"meta\.db is not what was written"):
            documents_of(damaged)
        for doc_id, whole in documents.items():
            if doc_id not in ("0005", "0006"):
                assert damaged.get(doc_id) == whole


TOKEN_DAMAGES = {
    "ids": "UPDATE embedded_tokens SET token_ids = zeroblob(length(token_ids)) WHERE embedded_no = {}",
    "cut": "UPDATE embedded_tokens SET token_ids = substr(token_ids, 5) WHERE embedded_no = {}",
    "rows": "UPDATE embedded_tokens SET token_rows = x'00000000' WHERE embedded_no = {}",
    "gone": "DELETE FROM embedded_tokens WHERE embedded_no = {}",
}


@pytest.mark.parametrize("statement", TOKEN_DAMAGES.values(), ids=TOKEN_DAMAGES)
def test_damaged_tokens_never_answer(index: Index, statement: str) -> None:
    fresh = numbers_of(index, "segment_no IS NULL")[0]
    index.close()
    change(index.path, statement.format(fresh))
    with Index.open(index.path, pipeline=index.pipeline) as damaged:
        with pytest.raises(IndexDamagedError, match="tokens"):
            damaged.search("the lion slept", 100)
        assert "tokens" in "".join(damaged.verify())
        with pytest.raises(IndexDamagedError, match="tokens"):
            damaged.compact()
        assert damaged.get("0001") == document(1)


def numbers_of(index: Index, condition: str) -> list[int]:
    with sqlite3.connect(index.path / "meta.db") as db:
        numbers = [row[0] for row in db.execute(f"SELECT embedded_no FROM embedded WHERE {condition}")]
    db.close()
    return numbers


def test_damaged_given_vectors_never_answer(tmp_path: Path) -> None:
    eye = np.eye(4, dtype=np.float32)
    with Index.create(tmp_path / "vectors", pipeline=GivenVectors(4)) as index:
        index.add([Document(id="a", vectors=eye)])
    change(index.path, "UPDATE embedded_tokens SET token_rows = zeroblob(length(token_rows))")
    with Index.open(index.path, pipeline=GivenVectors(4)) as damaged:
        with pytest.raises(IndexDamagedError, match="tokens"):
            damaged.search(vectors=eye)
        with pytest.raises(IndexDamagedError, match="tokens"):
            damaged.get("a")


def test_a_damaged_table_of_places_never_answers(index: Index) -> None:
    number = numbers_of(index, "segment_no = 1 AND row_start > 0")[0]
    index.close()
    change(index.path, f"UPDATE embedded SET row_start = row_start - 1 WHERE embedded_no = {number}")
    with Index.open(index.path, pipeline=index.pipeline) as damaged:
        with pytest.raises(IndexDamagedError, match="table"):
            damaged.search("lion")
        assert "places in segments" in "".join(damaged.verify())


QUIET_DAMAGES = {
    "document frequency": "UPDATE token_statistics SET document_frequency = document_frequency + 1 WHERE token_id = 2",
    "document frequency gone": "DELETE FROM token_statistics WHERE token_id = 2",
    "total": "UPDATE counters SET value = value + 1 WHERE name = 'n_passages'",
    "checksums of a segment": "UPDATE segments SET crcs = zeroblob(length(crcs)) WHERE segment_no = 1",
    "size of a segment": "UPDATE segments SET size = size + 1 WHERE segment_no = 1",
    "reference count": "UPDATE embedded SET n_references = n_references + 1 WHERE embedded_no = 2",
    "length": "UPDATE embedded SET n_tokens = n_tokens + 1 WHERE embedded_no = 2",
    "word": "UPDATE words SET word = 'lyon' WHERE word = 'lion'",
    "word of nobody": "UPDATE words SET token_id = 99999 WHERE word = 'lion'",
    "passage of no document": "UPDATE passages SET doc_no = 999 WHERE doc_no = 6 AND ordinal = 0",
    "number that was given": "UPDATE counters SET value = 1 WHERE name = 'next_embedded'",
    "migration": "UPDATE _sqlite_migrations SET name = '0009_none' WHERE name LIKE '0002%'",
    "record of a file": "INSERT INTO files (root, path, size, mtime_ns, sha256) VALUES ('/texts', 'x', 5, 0, x'00')",
}


@pytest.mark.parametrize("statement", QUIET_DAMAGES.values(), ids=QUIET_DAMAGES)
def test_verify_sees_rows_that_contradict_each_other(index: Index, statement: str) -> None:
    assert index.verify() == []
    index.close()
    change(index.path, statement)
    with Index.open(index.path, pipeline=index.pipeline) as damaged:
        (found, *_) = damaged.verify()
        assert "meta.db" in found


def test_a_damaged_word_is_not_learnt_anew(index: Index) -> None:
    index.close()
    change(index.path, "UPDATE words SET word = 'lyon' WHERE word = 'lion'")
    with Index.open(index.path, pipeline=index.pipeline) as damaged:
        with pytest.raises(IndexDamagedError, match="'lyon'"):
            damaged.add([Document(id="x", text="another lion")])
        assert damaged.get("x") is None


def overwrite(path: Path, begin: float, end: float) -> None:
    content = bytearray(path.read_bytes())
    places = slice(int(begin * len(content)), int(end * len(content)))
    content[places] = random.Random(0).randbytes(len(content[places]))
    path.write_bytes(content)


DATABASE_DAMAGES: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: overwrite(path, 0, 1),
    "garbage in front": lambda path: overwrite(path, 0, 0.01),
    "garbage behind the first page": lambda path: overwrite(path, 0.05, 1),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut to a page": lambda path: os.truncate(path, 4096),
    "empty": lambda path: os.truncate(path, 0),
    "other text": lambda path: path.write_text("not a database at all\n" * 400),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
}


@pytest.mark.parametrize("damage", DATABASE_DAMAGES.values(), ids=DATABASE_DAMAGES)
def test_a_damaged_database_never_answers(index: Index, damage: Callable[[Path], object]) -> None:
    index.close()
    damage(index.path / "meta.db")
    content = {path.name: path.read_bytes() for path in index.path.iterdir()}

    def answer() -> None:
        with Index.open(index.path, pipeline=index.pipeline) as damaged:
            damaged.search("lion", 100)
            documents_of(damaged)

    with pytest.raises(IndexDamagedError) as caught:
        answer()
    assert str(index.path) in caught.value.message
    assert caught.value.to_dict()["error"] == "index_damaged"
    assert {name: (index.path / name).read_bytes() for name in content} == content


def test_a_missing_database_is_no_index(index: Index) -> None:
    index.close()
    (index.path / "meta.db").unlink()
    with pytest.raises(IndexNotFoundError):
        Index.open(index.path, pipeline=index.pipeline)


@pytest.mark.slow
def test_a_flipped_bit_anywhere_in_the_database_never_changes_a_document(index: Index, tmp_path: Path) -> None:
    """Flip 600 bits, one at a time: every document comes back as it was, or an error says what is damaged."""
    documents, expected = documents_of(index), index.search("the lion slept", 100)
    index.close()
    content = (index.path / "meta.db").read_bytes()
    generator = random.Random(1)
    n_wrong_searches = 0
    for _ in range(600):
        flipped = bytearray(content)
        flipped[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        (index.path / "meta.db").write_bytes(flipped)
        try:
            with Index.open(index.path, pipeline=index.pipeline, read_only=True) as damaged:
                sound = damaged.verify() == []
                for doc_id, whole in documents.items():
                    found = damaged.get(doc_id)
                    assert found == whole or (found is None and not sound)
                if damaged.search("the lion slept", 100) != expected:
                    n_wrong_searches += 1
                    assert not sound
        except VecsearchError:
            continue
    assert n_wrong_searches < 30
