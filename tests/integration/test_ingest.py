"""Folders and files into an index, and again, and again."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from vecsearch import Index, LoadError, Pipeline, PluginConflictError, UsageError
from vecsearch.ingest import FileProgress, IngestReport, documents_from_stream, index_paths
from vecsearch.plugins import Registry


@pytest.fixture
def index(tmp_path: Path, pipelines: dict[str, Pipeline]) -> Iterator[Index]:
    with Index.create(tmp_path / "index", pipeline=pipelines["none"]) as index:
        yield index


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    write(
        folder,
        {
            "dogs.md": "# Dogs\n\nA dog bit a man.\n",
            "sub/cats.txt": "A cat sat on a mat.\n",
            "birds.jsonl": '{"id": "b1", "text": "A heron."}\n{"id": "b2", "text": "An owl."}\n',
        },
    )
    return folder


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.stat().st_mtime_ns if path.exists() else 0
        path.write_text(content, "utf-8")
        if before:  # the clock of the file system may be coarser than a test is fast
            os.utime(path, ns=(before + 10**9, before + 10**9))


def texts(index: Index) -> dict[str, str]:
    found = {}
    for summary in index.documents():
        document = index.get(summary.id)
        assert document is not None
        found[summary.id] = document.text
    return found


def counts(report: IngestReport) -> tuple[int, int, int, int]:
    return report.n_files, report.n_unchanged, report.n_changed, report.n_removed_files


def reasons(report: IngestReport) -> dict[str, str]:
    return {os.path.basename(one.path): one.reason for one in report.skipped}


def refuse_to_open(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Make files unreadable, for the superuser too. Returns the list of those that are asked for."""
    asked: list[str] = []
    system_open = os.open

    def refusing(path: str, *arguments: int, **options: int) -> int:
        if os.path.basename(path) in names:
            asked.append(os.path.basename(path))
            raise PermissionError(13, "Permission denied")
        return system_open(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refusing)
    return asked


def test_folder_is_indexed_and_its_files_are_found(index, notes):
    report = index_paths(index, [notes])
    assert counts(report) == (3, 0, 3, 0)
    assert (report.documents.n_documents, report.skipped) == (4, ())
    assert set(texts(index)) == {"b1", "b2", "dogs.md", "sub/cats.txt"}
    hit = index.search("cat mat", 1)[0]
    assert (hit.doc_id, hit.path) == ("sub/cats.txt", os.path.join(os.path.realpath(notes), "sub/cats.txt"))
    assert index.search("dog", 1)[0].title == "Dogs"


def test_unchanged_files_are_not_even_opened(index, notes, monkeypatch):
    index_paths(index, [notes])
    asked = refuse_to_open(monkeypatch, "dogs.md", "cats.txt", "birds.jsonl")
    report = index_paths(index, [notes])
    assert counts(report) == (3, 3, 0, 0)
    assert (report.documents.n_documents, report.documents.n_tokens, report.skipped, asked) == (0, 0, (), [])


def test_file_with_a_new_time_and_the_same_content_is_unchanged_and_remembered(index, notes, monkeypatch):
    index_paths(index, [notes])
    os.utime(notes / "dogs.md", ns=(1, 1))
    report = index_paths(index, [notes])
    assert counts(report) == (3, 3, 0, 0)
    assert report.documents.n_tokens == 0
    asked = refuse_to_open(monkeypatch, "dogs.md")
    index_paths(index, [notes])
    assert asked == []


def test_changed_file_replaces_its_documents(index, notes):
    index_paths(index, [notes])
    write(notes, {"birds.jsonl": '{"id": "b2", "text": "A barn owl."}\n{"id": "b3", "text": "A kite."}\n'})
    report = index_paths(index, [notes])
    assert counts(report) == (3, 2, 1, 0)
    assert (report.documents.n_documents, report.documents.n_removed) == (2, 1)
    assert {name: text for name, text in texts(index).items() if name[0] == "b"} == {
        "b2": "A barn owl.",
        "b3": "A kite.",
    }


def test_file_of_the_same_size_and_a_new_time_is_read_again(index, notes):
    index_paths(index, [notes])
    write(notes, {"sub/cats.txt": "A rat sat on a mat.\n"})
    assert counts(index_paths(index, [notes])) == (3, 2, 1, 0)
    assert texts(index)["sub/cats.txt"] == "A rat sat on a mat.\n"


def test_vanished_and_newly_ignored_files_are_removed(index, notes):
    index_paths(index, [notes])
    (notes / "birds.jsonl").unlink()
    write(notes, {".gitignore": "sub/\n"})
    report = index_paths(index, [notes])
    assert counts(report) == (1, 1, 0, 2)
    assert report.documents.n_removed == 3
    assert set(texts(index)) == {"dogs.md"}


def test_renamed_file_of_records_keeps_its_documents(index, notes):
    index_paths(index, [notes])
    (notes / "birds.jsonl").rename(notes / "fowl.jsonl")
    report = index_paths(index, [notes])
    assert counts(report) == (3, 2, 1, 1)
    assert report.documents.n_tokens == 0
    assert texts(index)["b1"] == "A heron."


def test_unreadable_file_is_reported_and_keeps_its_documents(index, notes, monkeypatch):
    index_paths(index, [notes])
    write(notes, {"dogs.md": "# Dogs\n\nChanged.\n"})
    refuse_to_open(monkeypatch, "dogs.md")
    report = index_paths(index, [notes])
    assert counts(report) == (2, 2, 0, 0)
    assert reasons(report) == {"dogs.md": "no permission to read"}
    assert texts(index)["dogs.md"] == "# Dogs\n\nA dog bit a man.\n"
    monkeypatch.undo()
    assert counts(index_paths(index, [notes])) == (3, 2, 1, 0)
    assert texts(index)["dogs.md"] == "# Dogs\n\nChanged.\n"


def test_unreadable_folder_keeps_the_documents_below_it(index, notes, monkeypatch):
    write(notes, {"subject.txt": "Beside it."})
    index_paths(index, [notes])
    (notes / "subject.txt").unlink()
    scandir = os.scandir

    def refusing(path: str) -> object:
        if os.path.basename(path) == "sub":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    report = index_paths(index, [notes])
    assert (reasons(report), report.n_removed_files) == ({"sub": "no permission to read"}, 1)
    assert set(texts(index)) == {"b1", "b2", "dogs.md", "sub/cats.txt"}


def test_root_that_is_gone_is_an_error_and_nothing_is_removed(index, notes, tmp_path):
    index_paths(index, [notes])
    notes.rename(tmp_path / "away")
    with pytest.raises(UsageError, match="cannot be read: vanished"):
        index_paths(index, [notes])
    assert len(texts(index)) == 4


def test_path_that_cannot_be_read_stops_the_run_before_it_writes(index, notes, tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        index_paths(index, [notes, tmp_path / "nothing"])
    assert texts(index) == {}


def test_bad_files_are_skipped_with_the_reason_and_the_others_go_on(index, notes):
    write(notes, {"blank.md": " \n", "bad.jsonl": '{"text": "a"}\n{"id": 1}\n', "nul": "a\0b", "empty.py": ""})
    (notes / "latin.txt").write_bytes(b"na\xefve")
    report = index_paths(index, [notes])
    assert counts(report) == (3, 0, 3, 0)
    assert reasons(report) == {
        "blank.md": "empty",
        "bad.jsonl": "line 2: no \"text\"; the keys are 'id'",
        "nul": "binary",
        "empty.py": "empty",
        "latin.txt": "not UTF-8: byte 0xef at offset 2 (invalid continuation byte); "
        "pass --encoding NAME, such as latin-1",
    }
    assert set(texts(index)) == {"b1", "b2", "dogs.md", "sub/cats.txt"}


def test_encoding_reaches_the_loaders(index, notes):
    (notes / "latin.txt").write_bytes(b"na\xefve")
    index_paths(index, [notes], encoding="latin-1")
    assert texts(index)["latin.txt"] == "naïve"
    with pytest.raises(UsageError, match="encoding 'utf-9' is not known"):
        index_paths(index, [notes], encoding="utf-9")


def test_file_that_became_undecodable_keeps_its_documents(index, notes):
    index_paths(index, [notes])
    (notes / "dogs.md").write_bytes(b"\xff broken, and longer than before")
    assert counts(index_paths(index, [notes])) == (2, 2, 0, 0)
    assert texts(index)["dogs.md"] == "# Dogs\n\nA dog bit a man.\n"


@pytest.mark.parametrize("content", ["", " \n"])
def test_file_that_was_emptied_loses_its_documents(index, notes, content):
    index_paths(index, [notes])
    write(notes, {"dogs.md": content})
    report = index_paths(index, [notes])
    assert (reasons(report), report.documents.n_removed, report.n_removed_files) == ({"dogs.md": "empty"}, 1, 1)
    assert "dogs.md" not in texts(index)


def test_named_file_that_was_emptied_loses_its_documents_and_no_other(index, notes):
    index_paths(index, [notes])
    write(notes, {"dogs.md": ""})
    assert index_paths(index, [notes / "dogs.md"]).n_removed_files == 1
    assert set(texts(index)) == {"b1", "b2", "sub/cats.txt"}


def test_named_file_is_the_same_file_as_in_its_folder(index, notes):
    report = index_paths(index, [notes / "dogs.md"])
    assert (counts(report), set(texts(index))) == ((1, 0, 1, 0), {"dogs.md"})
    assert counts(index_paths(index, [notes])) == (3, 1, 2, 0)
    assert counts(index_paths(index, [notes / "dogs.md"])) == (1, 1, 0, 0)
    assert len(texts(index)) == 4


def test_file_named_beside_its_folder_is_read_once_even_if_hidden(index, notes):
    write(notes, {".todo": "Feed the dog."})
    report = index_paths(index, [notes / ".todo", notes, notes / "dogs.md"])
    assert counts(report) == (4, 0, 4, 0)
    assert counts(index_paths(index, [notes, notes / ".todo"])) == (4, 4, 0, 0)
    assert ".todo" in texts(index)


def test_glob_and_exclude_decide_what_stays(index, notes):
    index_paths(index, [notes])
    assert counts(index_paths(index, [notes], glob=["*.md", "*.txt"], exclude=["sub"])) == (1, 1, 0, 2)
    assert set(texts(index)) == {"dogs.md"}


def test_two_folders_with_the_same_names_do_not_overwrite_each_other(index, notes, tmp_path):
    write(tmp_path / "other", {"dogs.md": "Other dogs.\n", "more.md": "More.\n"})
    index_paths(index, [notes])
    report = index_paths(index, [tmp_path / "other"])
    assert texts(index)["dogs.md"] == "# Dogs\n\nA dog bit a man.\n"
    assert texts(index)["more.md"] == "More.\n"
    assert "is taken by" in reasons(report)["dogs.md"]


def test_file_that_vanishes_while_the_run_goes_on_is_reported_and_kept_for_now(index, notes, tmp_path):
    write(tmp_path / "other", {"late.txt": "Late."})
    index_paths(index, [tmp_path / "other"])
    write(tmp_path / "other", {"late.txt": "Later."})

    def remove(progress: FileProgress) -> None:
        (tmp_path / "other/late.txt").unlink(missing_ok=True)

    report = index_paths(index, [notes, tmp_path / "other"], progress=remove)
    assert reasons(report) == {"late.txt": "vanished"}
    assert texts(index)["late.txt"] == "Late."
    assert index_paths(index, [tmp_path / "other"]).n_removed_files == 1
    assert "late.txt" not in texts(index)


def test_progress_counts_files_to_the_end(index, notes):
    seen: list[FileProgress] = []
    report = index_paths(index, [notes], progress=seen.append)
    assert (seen[-1].n_files_done, seen[-1].n_files, seen[-1].n_documents) == (3, 3, 4)
    assert seen[-1].n_tokens == report.documents.n_tokens > 0
    assert [one.n_files_done for one in seen] == sorted(one.n_files_done for one in seen)


def test_progress_counts_the_bytes_of_what_is_to_be_read(index, notes):
    lines = [json.dumps({"id": str(number), "text": "A dog bit a man. " * 300}) for number in range(1_000)]
    write(notes, {"many.jsonl": "\n".join(lines)})
    n_bytes = sum(path.stat().st_size for path in notes.rglob("*") if path.is_file())
    seen: list[FileProgress] = []
    index_paths(index, [notes], progress=seen.append)
    assert {one.n_bytes for one in seen} == {n_bytes}
    done = [one.n_bytes_done for one in seen]
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert done[-1] == n_bytes
    assert any(0 < one < n_bytes for one in done)

    write(notes, {"dogs.md": "Dogs."})
    seen.clear()
    index_paths(index, [notes], progress=seen.append)
    assert (seen[-1].n_bytes_done, seen[-1].n_bytes) == (5, 5)


def test_interrupt_keeps_what_is_committed_and_the_next_run_takes_up_the_rest(index, tmp_path):
    write(tmp_path / "many", {f"{number:02}.txt": f"word{number} " * 40_000 for number in range(6)})

    def interrupt(progress: FileProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_paths(index, [tmp_path / "many"], progress=interrupt)
    n_committed = len(texts(index))
    assert 0 < n_committed < 6
    report = index_paths(index, [tmp_path / "many"])
    assert report.n_changed < 6
    assert len(texts(index)) == 6


ACME = """
from vecsearch import Document, hookimpl

class AcmeLoader:
    name = "acme"
    version = "1"
    suffixes = ({suffix!r},)
    config = {{}}
    files = {{}}

    def load(self, file):
        with file.open() as stream:
            content = stream.read()
        if content == b"crash":
            raise ZeroDivisionError("oh")
        yield Document(file.id, content.hex())

@hookimpl
def vecsearch_register_loaders():
    return [AcmeLoader]
"""


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """Return a function that installs a loader of a suffix beside ours, as a distribution of its own."""

    def install(suffix: str) -> Registry:
        folder = tmp_path / "site"
        write(
            folder,
            {
                "acme_loader.py": ACME.format(suffix=suffix),
                "acme-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n",
                "acme-1.0.dist-info/entry_points.txt": "[vecsearch]\nacme = acme_loader\n",
            },
        )
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(__import__("sys").modules, "acme_loader", raising=False)
        assert any(point.name == "acme" for point in metadata.entry_points(group="vecsearch"))
        return Registry()

    return install


def test_loader_of_a_strangers_plugin_reads_its_binary_files(index, notes, acme):
    (notes / "x.acme").write_bytes(b"\0\1")
    index_paths(index, [notes], registry=acme(".acme"))
    assert texts(index)["x.acme"] == "0001"


def test_loader_that_crashes_costs_only_its_file(index, notes, acme):
    (notes / "x.acme").write_bytes(b"crash")
    report = index_paths(index, [notes], registry=acme(".acme"))
    assert reasons(report) == {"x.acme": "loader 'acme' failed: ZeroDivisionError: oh"}
    assert len(texts(index)) == 4


def test_two_loaders_of_one_suffix_are_a_conflict_that_names_both(index, notes, acme):
    with pytest.raises(PluginConflictError, match=r"two loaders take \.md files: 'acme' and 'markdown'"):
        index_paths(index, [notes], registry=acme(".md"))


def test_without_loaders_files_are_skipped(index, notes):
    report = index_paths(index, [notes], registry=Registry(disabled=["loaders"]))
    assert set(reasons(report).values()) == {"no loader takes it"}


class Pipe(io.RawIOBase):
    """A stream that gives a few bytes at a time and cannot be read twice."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._content.readinto(memoryview(buffer)[:7])


def test_streams_give_documents_and_stay_open(index):
    records = "".join(json.dumps({"id": number, "text": f"dog {number}"}) + "\n" for number in range(3))
    stream = Pipe(records.encode())
    assert [document.id for document in documents_from_stream(stream, "jsonl")] == ["0", "1", "2"]
    assert not stream.closed
    assert [one.text for one in documents_from_stream(io.BytesIO(b"id,text\n1,a\n"), "csv")] == ["a"]
    (document,) = documents_from_stream(Pipe(b"\xef\xbb\xbfOne dog."), "text", id="one")
    assert (document.id, document.text) == ("one", "One dog.")
    assert index.add(documents_from_stream(Pipe(records.encode()), "jsonl")).n_documents == 3


def test_records_of_a_stream_without_ids_are_named_by_line():
    assert [one.id for one in documents_from_stream(io.BytesIO(b'\n{"text": "a"}'), "jsonl")] == ["stdin#2"]
    assert [one.id for one in documents_from_stream(io.BytesIO(b"text\na\n"), "csv", id="mail")] == ["mail#2"]


def test_stream_in_another_encoding_is_read():
    (document,) = documents_from_stream(io.BytesIO(b"na\xefve"), "text", id="x", encoding="latin-1")
    assert document.text == "naïve"


def test_bad_streams_are_refused():
    with pytest.raises(UsageError, match="a text needs an id"):
        documents_from_stream(io.BytesIO(b"x"), "text")
    with pytest.raises(UsageError, match="no format is called 'xml'"):
        documents_from_stream(io.BytesIO(b"x"), "xml")
    with pytest.raises(LoadError, match="stdin: line 1: not JSON"):
        list(documents_from_stream(io.BytesIO(b"x"), "jsonl"))
    with pytest.raises(LoadError, match="stdin: empty"):
        list(documents_from_stream(io.BytesIO(b""), "jsonl"))


def test_large_file_is_cut_into_passages_that_together_are_its_text(index, tmp_path):
    text = "The dog bit the man. A man bit a dog!\n\n" * 20_000
    write(tmp_path / "big", {"big.txt": text})
    report = index_paths(index, [tmp_path / "big"])
    assert report.documents.n_passages >= report.documents.n_tokens / 32
    assert texts(index)["big.txt"] == text
