"""A log that lost its end is told, by those who open the index and by verifying; ``repair`` goes on without it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.integration.test_durability import document, documents_of
from tests.tiny import tiny_pipeline
from vecsearch import Index, IndexDamagedError
from vecsearch.maintenance.repairing import repair
from vecsearch.maintenance.verifying import verify
from vecsearch.stores import upkeep
from vecsearch.stores.disk import Durability
from vecsearch.stores.last_commit import LAST_COMMIT_NAME, last_commit


def left_by_a_dead_process(folder: Path, durability: Durability = "full") -> Path:
    """Return the folder of an index of five commits, as a process leaves it that dies."""
    with Index.create(folder / "made", pipeline=tiny_pipeline(), durability=durability) as index:
        for number in range(5):
            index.add([document(number)])
        return Path(shutil.copytree(index.path, folder / "left"))


def opened(folder: Path, **options: bool) -> Index:
    return Index.open(folder, pipeline=tiny_pipeline(), **options)  # type: ignore[arg-type]


def cut(folder: Path) -> None:
    log = folder / "meta.db-wal"
    content = log.read_bytes()
    log.write_bytes(content[: len(content) * 2 // 3])


@pytest.mark.parametrize("is_gone", [False, True])
@pytest.mark.parametrize("read_only", [False, True])
def test_lost_commits_are_told_and_repair_goes_on_without_them(tmp_path: Path, is_gone: bool, read_only: bool) -> None:
    left = left_by_a_dead_process(tmp_path)
    folder = Path(shutil.copytree(left, tmp_path / "again"))
    assert verify(left).is_sound
    (folder / "meta.db-wal").unlink() if is_gone else cut(folder)

    with pytest.raises(IndexDamagedError, match=r"commit \d+ was acknowledged, .*`vecsearch repair -i again`"):
        opened(folder, read_only=read_only).search("lion")
    with pytest.raises(IndexDamagedError, match="was acknowledged"), opened(folder) as index:
        index.add([document(9)])
    for is_deep in (False, True):
        found = verify(folder, deep=is_deep)
        assert [damage.place for damage in found.damages] == ["meta.db-wal"]
        assert found.mend == "repair"

    assert repair(folder).action == "accepted"
    assert verify(folder, deep=True).is_sound
    with opened(folder) as index:
        assert len(documents_of(index)) < 5
        index.add([document(number) for number in range(5)])
        assert len(documents_of(index)) == 5
    assert repair(folder).action == "none"


def test_lost_commits_beside_a_missing_segment_are_mended_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", 30)
    folder = left_by_a_dead_process(tmp_path)
    cut(folder)
    for path in folder.glob("*.segment"):
        path.unlink()
    assert repair(folder, pipeline=tiny_pipeline()).action in ("accepted", "compacted")
    assert verify(folder, deep=True).is_sound


def test_a_reader_of_an_older_commit_is_no_loss(tmp_path: Path) -> None:
    with Index.create(tmp_path / "notes", pipeline=tiny_pipeline()) as index:
        for number in range(3):
            with opened(index.path) as reader:
                index.add([document(number)])
                assert len(documents_of(reader)) == number + 1
        assert last_commit(index.path) == index.info()["generation"]
        assert index.verify() == []


def test_fast_writers_note_nothing(tmp_path: Path) -> None:
    folder = left_by_a_dead_process(tmp_path, "fast")
    assert last_commit(folder) is None
    cut(folder)
    assert verify(folder, deep=True).is_sound  # as FORMAT.md says of that level


@pytest.mark.parametrize("content", [b"", b"vslastc1", b"vslastc1" + b"\xff" * 12, bytes(20), b"x" * 4096])
def test_a_note_that_was_not_written_whole_says_nothing(tmp_path: Path, content: bytes) -> None:
    folder = left_by_a_dead_process(tmp_path)
    (folder / LAST_COMMIT_NAME).write_bytes(content)
    assert last_commit(folder) is None
    assert verify(folder, deep=True).is_sound
    with opened(folder) as index:
        index.add([document(9)])
        assert last_commit(folder) == index.info()["generation"]


def test_an_index_that_cannot_be_noted_works_on(tmp_path: Path) -> None:
    folder = left_by_a_dead_process(tmp_path)
    (folder / LAST_COMMIT_NAME).unlink()
    (folder / LAST_COMMIT_NAME).mkdir()
    with opened(folder) as index:
        index.add([document(9)])
        assert "0009" in documents_of(index)
        assert index.verify() == []
