"""Documents of files and folders without an index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vecsearch import UsageError, read_documents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "notes" / "vendor").mkdir(parents=True)
    (tmp_path / "notes" / "a.md").write_text("# Dogs\n\nA dog barks.\n")
    lines = [{"id": str(number), "text": f"line {number}"} for number in range(3)]
    (tmp_path / "notes" / "b.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "notes" / "broken.txt").write_bytes(b"whole\n\xff\n")
    (tmp_path / "notes" / "ignored.txt").write_text("not this")
    (tmp_path / "notes" / "photo.png").write_bytes(b"\x89PNG")
    (tmp_path / "notes" / "vendor" / "c.txt").write_text("nor that")
    (tmp_path / "notes" / ".gitignore").write_text("ignored.txt\n")
    (tmp_path / "notes" / ".git").mkdir()
    return tmp_path / "notes"


def test_documents_are_those_that_an_index_would_hold(folder):
    from vecsearch import Index
    from vecsearch.ingest import index_paths

    read = list(read_documents([folder], exclude=["vendor/"]))
    assert [(document.id, document.title) for document in read] == [("a.md", "Dogs"), ("0", ""), ("1", ""), ("2", "")]
    with Index.create(folder.parent / "index") as index:
        index_paths(index, [folder], exclude=["vendor/"])
        assert {document.id for document in index.documents()} == {document.id for document in read}


def test_what_is_left_out_is_told(folder):
    left_out: dict[str, str] = {}
    list(read_documents([folder], skipped=left_out.__setitem__))
    assert {Path(path).name: reason for path, reason in left_out.items()} == {
        "broken.txt": left_out[str(folder / "broken.txt")],
        "photo.png": "binary",
    }
    assert "UTF-8" in left_out[str(folder / "broken.txt")]


def test_progress_grows_to_all_that_there_is(folder):
    seen: list[tuple[int, int]] = []
    list(read_documents([folder], progress=lambda *counts: seen.append(counts)))
    amounts = [done for done, _ in seen]
    assert amounts == sorted(amounts)
    assert len(set(amounts)) > 1
    sizes = [(folder / name).stat().st_size for name in ("a.md", "b.jsonl", "broken.txt", "vendor/c.txt")]
    assert set(seen[-1:]) == {(sum(sizes), sum(sizes))}


def test_file_that_two_paths_lead_to_is_read_once(folder):
    assert [document.id for document in read_documents([folder / "a.md", folder, folder / "a.md"])].count("a.md") == 1


def test_path_that_is_not_there_is_refused_at_once(folder):
    with pytest.raises(UsageError, match="nowhere cannot be read"):
        read_documents([folder, folder / "nowhere"])
