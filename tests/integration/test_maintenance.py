"""Bad days: damaged pages, rows and files are named and mended; backups, exports and imports lose nothing."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import children
from tests.coded import search_codes
from tests.data import make_golden
from tests.integration.test_durability import QUIET_DAMAGES, change, document, documents_of, flip
from tests.tiny import TinyTokenizer, tiny_pipeline
from vecsearch import (
    Document,
    FormatVersionError,
    GivenVectors,
    IdentityError,
    Index,
    IndexDamagedError,
    IndexExistsError,
    IndexLockedError,
    IndexNotFoundError,
    LoadError,
    StorageError,
)
from vecsearch.maintenance import doctor
from vecsearch.maintenance.backups import backup, restore, take_copy
from vecsearch.maintenance.folders import finish_interrupted
from vecsearch.maintenance.portable import documents_of_folder, export, read_documents
from vecsearch.maintenance.repairing import repair
from vecsearch.maintenance.verifying import verify
from vecsearch.precision import RowFormat, rounded
from vecsearch.stores import upkeep
from vecsearch.stores.carving import Carver
from vecsearch.stores.copying import held, migrate
from vecsearch.stores.disk import Disk
from vecsearch.stores.salvage import FoundDocument, LostDocument, Salvage
from vecsearch.stores.schema import FORMAT_VERSION, migrations
from vecsearch.types import FileRecord, Precision

QUERY = "the lion slept under a tree"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A closed index of segments and fresh passages, with files, indexed metadata and a deleted document."""
    monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", 400)
    monkeypatch.setattr(upkeep, "FLUSH_TOKENS", 100)
    with Index.create(tmp_path / "indexes" / "notes", pipeline=tiny_pipeline()) as index:
        index.add(document(number) for number in range(40))
        index.add(document(number) for number in range(40, 80))
        index.add([document(number) for number in (80, 81)])
        index.delete(["0003"])
        index.index_metadata("number")
        records = [FileRecord("/texts", f"{number}.txt", 5, 6, bytes(32)) for number in range(3)]
        index.add_files(((record, partial(read, record)) for record in records), skipped=lambda *_: None)
        assert index.info()["n_segments"] > 1
        assert index.info()["n_fresh_tokens"] > 0
        assert index.info()["n_dead_rows"] > 0
        return index.path


def read(record: FileRecord) -> Iterator[Document]:
    yield Document(record.path, f"file {record.path}")


def opened(folder: Path) -> Index:
    return Index.open(folder, pipeline=tiny_pipeline())


def answers(folder: Path) -> tuple[dict[str, Document], list[tuple[float, str, int]]]:
    with opened(folder) as index:
        assert index.verify() == []
        hits = index.search(QUERY, 20)
        return documents_of(index), [(round(hit.score, 4), hit.doc_id, hit.passage) for hit in hits]


def content(folder: Path) -> dict[str, bytes]:
    own = ("meta.db-wal", "meta.db-shm", "verified.json", "writer.lock", "last-commit")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in own}


def overwrite_page(folder: Path, page: int) -> None:
    with open(folder / "meta.db", "r+b") as file:
        file.seek(page * 4096)
        file.write(random.Random(page).randbytes(4096))


def pages_of(folder: Path, table: str, kind: str = "leaf") -> list[int]:
    """Return the pages of a table, numbered from 0."""
    with sqlite3.connect(folder / "meta.db") as db:
        rows = db.execute("SELECT pageno - 1 FROM dbstat WHERE name = ? AND pagetype = ?", [table, kind]).fetchall()
    db.close()
    return [page for (page,) in rows]


# verify


def test_a_sound_index_is_sound_and_remembers_that_it_was_verified(folder: Path) -> None:
    with opened(folder) as index:
        assert index.info()["last_verified"] is None
        assert verify(folder).to_dict() == {
            "path": str(folder),
            "is_sound": True,
            "is_deep": False,
            "mend": None,
            "damages": [],
        }
        assert verify(folder, deep=True).is_sound
        remembered = index.info()["last_verified"]
    assert (remembered["is_deep"], remembered["n_damages"]) == (True, 0)
    (folder / "verified.json").write_text('{"time": 1')
    with opened(folder) as index:
        assert index.info()["last_verified"] is None


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("damage", [lambda path: flip(path, 100), Path.unlink, lambda path: os.truncate(path, 99)])
def test_a_damaged_file_is_named_with_the_command_that_mends_it(
    folder: Path, damage: Callable[[Path], object], deep: bool
) -> None:
    before = answers(folder)
    segment = sorted(folder.glob("*.segment"))[0]
    damage(segment)
    found = verify(folder, deep=deep)
    assert [(one.place, one.mend) for one in found.damages] == [(segment.name, "compact")]
    done = repair(folder, pipeline=tiny_pipeline())
    assert (done.action, done.lost, done.kept) == ("compacted", (), None)
    assert answers(folder) == before


@pytest.mark.parametrize("kind", [".codebook", ".codes"])
def test_deleted_codes_and_a_deleted_codebook_are_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    search_codes(monkeypatch)
    with opened(folder) as index:
        index.compact()
    before = answers(folder)
    for path in folder.glob(f"*{kind}"):
        path.unlink()
    found = verify(folder)
    assert found.mend == "compact"
    assert kind in found.damages[0].place
    assert repair(folder, pipeline=tiny_pipeline()).action == "compacted"
    assert answers(folder) == before


def test_a_damaged_document_is_named_and_only_with_drop_given_up(folder: Path) -> None:
    before, _ = answers(folder)
    change(folder, "UPDATE documents SET title = 'other' WHERE doc_id = '0007'")
    change(folder, "UPDATE passages SET text = text || '!' WHERE doc_no = 10 AND ordinal = 0")
    lost = {"0007", "0009"}
    found = verify(folder, deep=True)
    assert {one.document for one in found.damages if one.document} == lost
    assert found.mend == "repair"
    stored = content(folder)
    with pytest.raises(IndexDamagedError, match=r"2 documents .*'0007'.*'0009'.*--drop") as caught:
        repair(folder, pipeline=tiny_pipeline())
    assert {one["id"] for one in caught.value.facts["lost"]} == lost
    assert content(folder) == stored
    assert [path.name for path in folder.parent.iterdir()] == ["notes"]
    done = repair(folder, drop=True, pipeline=tiny_pipeline())
    assert {one.id for one in done.lost} == lost
    assert done.kept is not None
    assert content(done.kept) == stored
    assert answers(folder)[0] == {doc_id: one for doc_id, one in before.items() if doc_id not in lost}


def test_files_of_lost_documents_are_read_again_by_the_next_run(folder: Path) -> None:
    change(folder, "UPDATE documents SET title = 'other' WHERE doc_id = '1.txt'")
    repair(folder, drop=True, pipeline=tiny_pipeline())
    with opened(folder) as index:
        assert sorted(index.files("/texts")) == ["0.txt", "2.txt"]
        assert index.search("file", 1)[0].path == "/texts/0.txt"


@pytest.mark.parametrize(
    "change_of_file", ["file = '../' || file", "file = file || '.txt'", "size = -1", "file = NULL"]
)
def test_a_record_of_a_file_that_cannot_be_is_damage_that_is_mended(folder: Path, change_of_file: str) -> None:
    before = answers(folder)
    with sqlite3.connect(folder / "meta.db", isolation_level=None) as db:
        (defined,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'segments'").fetchone()
        db.execute("PRAGMA writable_schema = 1")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'segments'")
    db.close()
    change(folder, f"UPDATE segments SET {change_of_file} WHERE segment_no = (SELECT min(segment_no) FROM segments)")
    with sqlite3.connect(folder / "meta.db", isolation_level=None) as db:
        db.execute("PRAGMA writable_schema = 1")
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'segments'", [defined])
    db.close()
    with pytest.raises(IndexDamagedError, match="the record of the file"), opened(folder) as index:
        index.search(QUERY, 5)
    assert not verify(folder).is_sound
    repair(folder, pipeline=tiny_pipeline())
    assert answers(folder) == before


# what texts say cannot be made again
FOLLOWING = {name: sql for name, sql in QUIET_DAMAGES.items() if "passages" not in sql or "counters" in sql}


@pytest.mark.parametrize("statement", FOLLOWING.values(), ids=FOLLOWING)
def test_what_follows_from_the_texts_is_made_again(folder: Path, statement: str) -> None:
    before = answers(folder)
    with opened(folder) as index:
        generation = index.info()["generation"]
    change(folder, statement)
    done = repair(folder, pipeline=tiny_pipeline())
    # new files have new rows
    assert done.action == ("compacted" if statement.startswith("UPDATE segments") else "rebuilt")
    assert list(done.lost) == []
    assert answers(folder) == before
    with opened(folder) as index:
        assert index.info()["generation"] > generation
        assert index.info()["indexed_metadata"] == ["number"]


def test_every_damaged_page_of_the_database_costs_only_documents_that_are_named(folder: Path, tmp_path: Path) -> None:
    before, _ = answers(folder)
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    tables = ("documents", "passages", "keywords_data", "embedded_tokens", "passage_terms", "words", "embedded")
    pages = [page for table in tables for page in random.Random(0).sample(sorted(pages_of(folder, table)), 1)]
    pages += pages_of(folder, "sqlite_autoindex_documents_1")[:1]
    n_lost = 0
    for page in pages:
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        overwrite_page(folder, page)
        found = verify(folder, deep=True)
        assert found.mend == "repair"
        done = repair(folder, drop=True, pipeline=tiny_pipeline())
        now, _ = answers(folder)
        lost = {one.id for one in done.lost}
        assert now == {doc_id: one for doc_id, one in before.items() if doc_id not in lost}
        assert lost <= before.keys()
        assert done.kept is not None
        shutil.rmtree(done.kept.parent)
        n_lost += len(lost)
    assert n_lost > 0


def test_a_damaged_page_of_documents_costs_what_is_on_it_and_no_neighbour(folder: Path) -> None:
    before, _ = answers(folder)
    for page in pages_of(folder, "documents"):
        content = (folder / "meta.db").read_bytes()
        overwrite_page(folder, page)
        with Carver(folder) as carver:  # looks at each page for itself
            on_others = {one.id for one in carver.documents() if isinstance(one, FoundDocument)}
        with Salvage(folder) as salvage:
            outcomes = list(salvage.documents())
        assert {one.id for one in outcomes if isinstance(one, FoundDocument)} == on_others
        assert {one.id for one in outcomes} == before.keys()
        (folder / "meta.db").write_bytes(content)


def test_pages_that_are_free_bring_nothing_back(folder: Path) -> None:
    with sqlite3.connect(folder / "meta.db") as db:
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("DELETE FROM passages WHERE doc_no > 20")
        db.execute("DELETE FROM documents WHERE doc_no > 20")
        assert db.execute("PRAGMA freelist_count").fetchone()[0] > 0
    db.close()
    with Carver(folder) as carver:
        found = {one.id for one in carver.documents() if isinstance(one, FoundDocument)}
    with Salvage(folder) as salvage:
        assert found == {one.id for one in salvage.documents() if isinstance(one, FoundDocument)}


def test_given_vectors_come_back_and_a_document_without_them_is_lost(tmp_path: Path) -> None:
    folder, pipeline = tmp_path / "vectors", GivenVectors(4)
    vectors = np.arange(24, dtype=np.float32).reshape(6, 4)
    with Index.create(folder, pipeline=pipeline) as index:
        index.add([Document("a", vectors=vectors[:2]), Document("b", vectors=vectors[2:], token_ids=np.arange(4))])
        index.add([Document("c", vectors=vectors[1:4])])
        hits = index.search(vectors=vectors[:1])
    change(folder, "UPDATE counters SET value = value + 1 WHERE name = 'n_tokens'")
    assert repair(folder).action == "rebuilt"
    with Index.open(folder) as index:
        assert index.search(vectors=vectors[:1]) == hits
        found = index.get("b")
        assert found is not None
        assert found.vectors is not None
        assert found.vectors.tolist() == vectors[2:].tolist()
    change(folder, "UPDATE embedded_tokens SET token_rows = zeroblob(48) WHERE length(token_rows) = 48")
    assert [one.id for one in repair(folder, drop=True).lost] == ["c"]
    with Index.open(folder) as index:
        assert [one.id for one in index.documents()] == ["a", "b"]


def test_an_index_that_is_open_elsewhere_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    backup(folder, tmp_path / "backup")
    change(folder, "UPDATE counters SET value = value + 1 WHERE name = 'n_tokens'")
    stored = content(folder)
    with opened(folder) as reader:
        reader.search("lion")
        with pytest.raises(IndexLockedError, match="is open in another process"):
            repair(folder, pipeline=tiny_pipeline())
        with pytest.raises(IndexLockedError, match="is open in another process"):
            restore(tmp_path / "backup", folder, force=True)
        reader.delete(["nothing"])
        with pytest.raises(IndexLockedError, match="is being written"):
            repair(folder, pipeline=tiny_pipeline())
    assert content(folder).keys() == stored.keys()
    assert [path.name for path in folder.parent.iterdir()] == ["notes"]
    assert repair(folder, pipeline=tiny_pipeline()).action == "rebuilt"


def test_a_repair_that_dies_between_the_folders_is_finished_by_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answers(folder)
    change(folder, "UPDATE counters SET value = value + 1 WHERE name = 'n_tokens'")
    rename = Disk.rename

    def dying(disk: Disk, old: str, new: str) -> None:
        if new == "notes":
            raise KeyboardInterrupt
        rename(disk, old, new)

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "rename", dying)
        with pytest.raises(KeyboardInterrupt):
            repair(folder, pipeline=tiny_pipeline())
    assert not folder.exists()
    assert repair(folder).action == "finished"
    assert answers(folder) == before
    (kept,) = folder.parent.glob("notes.damaged-*/notes")
    assert verify(kept).mend == "repair"


def test_a_lost_manifest_needs_a_pipeline_and_another_one_is_refused(folder: Path) -> None:
    before = answers(folder)

    class LaterTokenizer(TinyTokenizer):
        version = "2"

    change(folder, "UPDATE counters SET value = value + 1 WHERE name = 'n_tokens'")
    with pytest.raises(IdentityError, match='"version": "2"'):
        repair(folder, pipeline=tiny_pipeline(LaterTokenizer()))
    change(folder, "UPDATE manifest SET value = '{' WHERE key = 'configuration'")
    with pytest.raises(IndexDamagedError, match=r"vecsearch repair -i notes --embedder"):
        repair(folder)
    assert repair(folder, pipeline=tiny_pipeline()).action == "rebuilt"
    assert answers(folder) == before


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(bytes(20_000))], ids=["gone", "zeros"])
def test_without_a_database_a_backup_is_asked_for_and_brings_all_back(
    folder: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    before = answers(folder)
    backup(folder, tmp_path / "backup")
    damage(folder / "meta.db")
    assert verify(folder).mend in ("repair", "restore")
    with pytest.raises(IndexDamagedError, match=r"vecsearch restore BACKUP -i notes --force"):
        repair(folder, pipeline=tiny_pipeline())
    done = restore(tmp_path / "backup", folder, force=True)
    assert done.kept is not None
    assert answers(folder) == before


def test_what_is_no_index_is_not_verified(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(IndexNotFoundError):
        verify(tmp_path)
    with pytest.raises(IndexNotFoundError):
        verify(tmp_path / "nothing")


# migrate


@pytest.fixture
def oldest(tmp_path: Path) -> Path:
    shutil.copytree(make_golden.DATA / "golden-1", tmp_path / "golden")
    return tmp_path / "golden" / "notes"


def test_an_old_format_is_brought_up_to_date_and_tells_from_what(oldest: Path) -> None:
    assert verify(oldest, deep=True).is_sound
    stored = content(oldest)
    assert migrate(oldest, dry_run=True) == (1, FORMAT_VERSION)
    assert content(oldest) == stored
    assert migrate(oldest, dry_run=False) == (1, FORMAT_VERSION)
    assert migrate(oldest, dry_run=False) == (FORMAT_VERSION, FORMAT_VERSION)
    assert verify(oldest, deep=True).is_sound


def test_an_interrupted_migration_leaves_the_old_format_whole(oldest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply = type(migrations).apply

    def dying(self: Any, db: Any, *arguments: Any, **options: Any) -> None:
        apply(self, db, *arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(migrations), "apply", dying)
        with pytest.raises(KeyboardInterrupt):
            migrate(oldest, dry_run=False)
    assert verify(oldest, deep=True).is_sound
    assert migrate(oldest, dry_run=False) == (1, FORMAT_VERSION)


def test_old_formats_are_repaired_backed_up_and_exported(oldest: Path, tmp_path: Path) -> None:
    backup(oldest, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "restored")
    lines: list[dict[str, Any]] = []
    assert export(tmp_path / "restored", lines.append) == len(make_golden.documents()) + 2
    change(oldest, "UPDATE counters SET value = value + 1 WHERE name = 'n_tokens'")
    assert repair(oldest, pipeline=make_golden.pipeline()).action == "rebuilt"
    with Index.open(oldest, pipeline=make_golden.pipeline()) as index:
        for one in make_golden.documents():
            assert index.get(one.id) == one
        assert list(index.files("/texts").values()) == make_golden.records()
        assert index.verify() == []


# backup and restore


def test_a_backup_copies_only_what_is_new_and_restores_the_same(folder: Path, tmp_path: Path) -> None:
    before = answers(folder)
    first = backup(folder, tmp_path / "backup")
    assert first.n_copied == first.n_files > 2
    again = backup(folder, tmp_path / "backup")
    assert (again.n_copied, again.n_files) == (0, first.n_files)
    with opened(folder) as index:
        index.add([document(500)])
        third = backup(folder, tmp_path / "backup")  # a writer holds the index
    assert (third.n_copied, third.n_files) == (1, first.n_files)
    assert len(list((tmp_path / "backup").glob("*.db"))) == 1
    restore(tmp_path / "backup", tmp_path / "restored")
    documents, _ = answers(tmp_path / "restored")
    assert documents == before[0] | {"0500": document(500)}
    assert answers(folder)[0] == documents


def test_a_restore_replaces_nothing_unless_told_and_keeps_what_was_there(folder: Path, tmp_path: Path) -> None:
    before = answers(folder)
    backup(folder, tmp_path / "backup")
    with opened(folder) as index:
        index.delete(["0001"])
        generation = index.info()["generation"]
    stored = content(folder)
    with pytest.raises(IndexExistsError, match="--force"):
        restore(tmp_path / "backup", folder)
    assert content(folder) == stored
    # as a power loss leaves it, just before an index is moved there
    empty = folder.with_name(f"{folder.name}.replaced-20200101-000000")
    empty.mkdir()
    done = restore(tmp_path / "backup", folder, force=True)
    assert done.kept is not None
    assert not empty.exists()
    assert content(done.kept) == stored
    assert answers(folder) == before
    with opened(folder) as index:
        assert index.info()["generation"] > generation


def test_a_damaged_backup_is_refused_and_named(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "backup"
    backup(folder, source)
    shutil.copytree(source, tmp_path / "whole")
    stored = content(folder)
    for path in sorted((tmp_path / "whole").glob("*.*")):
        if path.name == "writer.lock":
            continue
        for damage in (lambda path: flip(path, -3), Path.unlink):
            shutil.rmtree(source)
            shutil.copytree(tmp_path / "whole", source)
            damage(source / path.name)
            message = "there is no backup" if not (source / "backup.json").exists() else path.name
            with pytest.raises((IndexDamagedError, IndexNotFoundError), match=message):
                restore(source, folder, force=True)
            assert content(folder) == stored
            assert [one.name for one in folder.parent.iterdir()] == ["notes"]
    backup(folder, source)  # the next one mends it
    assert restore(source, tmp_path / "restored").kept is None


def test_a_backup_cannot_name_files_outside(folder: Path, tmp_path: Path) -> None:
    from vecsearch.maintenance.backups import _checksum

    backup(folder, tmp_path / "backup")
    path = tmp_path / "backup" / "backup.json"
    manifest = json.loads(path.read_text())
    del manifest["checksum"]
    manifest["files"]["../../secret.db"] = {"size": 1, "sha256": "0" * 64}
    path.write_text(json.dumps({**manifest, "checksum": _checksum(manifest)}))
    with pytest.raises(IndexDamagedError, match="no file of an index"):
        restore(tmp_path / "backup", tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_an_interrupted_backup_leaves_the_one_before(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = answers(folder)
    backup(folder, tmp_path / "backup")
    with opened(folder) as index:
        index.add([document(number) for number in range(500, 540)])
        index.compact()
    rename = Disk.rename

    def dying(disk: Disk, old: str, new: str) -> None:
        if new == "backup.json":
            raise KeyboardInterrupt
        rename(disk, old, new)

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "rename", dying)
        with pytest.raises(KeyboardInterrupt):
            backup(folder, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "restored")
    assert answers(tmp_path / "restored")[0] == before
    done = backup(folder, tmp_path / "backup")
    assert len(list((tmp_path / "backup").iterdir())) == done.n_files + 2  # backup.json and writer.lock


@pytest.mark.parametrize("errand", ["backup", "restore"])
def test_a_disk_that_does_not_sync_what_is_in_place_is_told_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errand: str
) -> None:
    before = answers(folder)
    if errand == "restore":
        backup(folder, tmp_path / "backup")
    done, target = (
        (lambda: backup(folder, tmp_path / "backup"), tmp_path / "backup" / "backup.json")
        if errand == "backup"
        else (lambda: restore(tmp_path / "backup", tmp_path / "restored"), tmp_path / "restored")
    )
    sync = Disk.sync_entries

    def failing(disk: Disk) -> None:
        if target.exists():
            raise OSError(errno.EIO, "Input/output error")
        sync(disk)

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "sync_entries", failing)
        with pytest.raises(StorageError, match="is in place, but the disk does not say whether it has kept it"):
            done()
    if errand == "backup":
        restore(tmp_path / "backup", tmp_path / "restored")
    assert answers(tmp_path / "restored") == before


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("for_good", [False, True])
def test_a_restored_index_that_cannot_be_put_in_its_place_is_not_put_there_later_or_said_to_be(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool, for_good: bool
) -> None:
    backup(folder, tmp_path / "backup")
    restored = tmp_path / "restored"
    if is_there:
        shutil.copytree(folder, restored)
        with opened(restored) as index:
            index.delete(["0001"])
    before = answers(restored) if is_there else None
    rename, has_failed = Disk.rename, []

    def failing(disk: Disk, old: str, new: str) -> None:
        if (new == "restored" and (for_good or not has_failed)) or (for_good and has_failed):
            has_failed.append(new)
            raise OSError(errno.EIO, "Input/output error")
        rename(disk, old, new)

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "rename", failing)
        said = "puts it in its place, wholly or not at all" if for_good else "nothing of this step was committed"
        with pytest.raises(StorageError, match=said):
            restore(tmp_path / "backup", restored, force=is_there)
    assert restored.exists() == (is_there and not for_good)
    if for_good:
        assert repair(restored, pipeline=tiny_pipeline()).action == "finished"
        assert answers(restored) == answers(folder)
        return
    assert not finish_interrupted(restored)
    if is_there:
        assert answers(restored) == before
    assert [path.name for path in tmp_path.glob("restored*")] == (["restored"] if is_there else [])


@pytest.mark.parametrize("error", [StorageError, IndexDamagedError])
def test_what_is_compacted_is_told_where_it_cannot_be_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def unreadable(index: Index) -> None:
        raise error("cannot be read", path=str(folder))

    monkeypatch.setattr(Index, "tune", unreadable)
    with opened(folder) as index, pytest.raises(error, match="that all segments are written anew is committed, but"):
        index.compact()


@pytest.mark.parametrize("error", [StorageError, IndexDamagedError])
def test_what_a_repair_has_written_is_told_where_it_cannot_be_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    (segment,) = sorted(folder.glob("*.segment"))[:1]
    segment.unlink()

    def unreadable(index: Index) -> dict[str, Any]:
        raise error("cannot be read", path=str(folder))

    with monkeypatch.context() as patch:
        patch.setattr(Index, "info", unreadable)
        with pytest.raises(error, match="that its files are written anew is committed, but"):
            repair(folder, pipeline=tiny_pipeline())
    assert verify(folder, deep=True).is_sound


def test_a_backup_goes_nowhere_where_other_things_are(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(IndexExistsError, match="other things"):
        backup(folder, tmp_path)
    with pytest.raises(IndexExistsError, match="other things"):
        backup(folder, folder)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_backup_of_a_damaged_index_is_refused_and_the_one_before_stays(folder: Path, tmp_path: Path) -> None:
    backup(folder, tmp_path / "backup")
    with opened(folder) as index:
        index.compact()
    flip(next(iter(folder.glob("*.segment"))), 200)
    with pytest.raises(IndexDamagedError, match=r"vecsearch compact -i notes"):
        backup(folder, tmp_path / "backup")
    assert restore(tmp_path / "backup", tmp_path / "restored").n_bytes > 0


WRITER = """
import sys
from tests.integration.test_durability import document
from tests.tiny import tiny_pipeline
from vecsearch import Index
from vecsearch.stores import upkeep
upkeep.SEGMENT_TOKENS, upkeep.FLUSH_TOKENS = 400, 100
with Index.open(sys.argv[1], pipeline=tiny_pipeline()) as index:
    print("writing", flush=True)
    number = 1000
    while True:
        index.add([document(number), document(number + 5000)])
        if number % 3 == 0:
            index.compact()
        number += 1
"""


def test_backups_are_whole_while_a_writer_adds_and_compacts(folder: Path, tmp_path: Path) -> None:
    before, _ = answers(folder)
    generations = []
    with children.start(WRITER, folder) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        for number in range(6):
            done = backup(folder, tmp_path / "backup")
            generations.append(done.generation)
            restore(tmp_path / "backup", tmp_path / f"restored-{number}")
            documents, _ = answers(tmp_path / f"restored-{number}")
            added = sorted(int(doc_id) for doc_id in documents.keys() - before.keys())
            n_added = len(added) // 2
            # pairs are added in one commit each: whole ones, and all up to the last
            assert added == [*range(1000, 1000 + n_added), *range(6000, 6000 + n_added)]
            assert before.keys() <= documents.keys()
        assert child.poll() is None
        child.kill()
        child.wait()
    assert generations == sorted(generations)
    assert generations[-1] > generations[0]
    # the lock of the writer that was killed is free
    with opened(folder) as index:
        index.add([document(2)])
    assert verify(folder, deep=True).is_sound


def test_a_file_that_a_merge_removes_while_a_commit_is_held_stays_readable(folder: Path) -> None:
    with held(folder) as commit:
        with opened(folder) as index:
            index.compact()
        for stored, file in commit.files:
            assert not (folder / stored.file).exists()
            assert len(file.read()) == stored.size


# export and import


def test_an_export_gives_the_same_documents_and_the_same_hits(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as index:
        text = "the lion slept and " * 5
        index.add([Document("sections", text, sections=(19, 57), title="A tree")])
        assert len(index.search("lion", 30, where='id = "sections"')) == 3
    before = answers(folder)
    lines: list[str] = []
    assert export(folder, lambda one: lines.append(json.dumps(one))) == len(before[0])
    stream = io.BytesIO("\n".join(lines).encode())
    with Index.create(tmp_path / "again", pipeline=tiny_pipeline()) as index:
        index.add(read_documents(stream, "lines"))
        index.flush()
    assert answers(tmp_path / "again") == before


def test_an_export_of_given_vectors_gives_them_back_exactly(tmp_path: Path) -> None:
    pipeline = GivenVectors(3)
    vectors = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    documents = [
        Document("a", vectors=vectors[:3], metadata={"kind": "image"}),
        Document("b", "seen", vectors=vectors[3:], token_ids=np.array([1, 2, 3, 2**31 - 1], np.int32)),
    ]
    with Index.create(tmp_path / "one", pipeline=pipeline) as index:
        index.add(documents)
        hits = index.search(vectors=vectors[:2])
    lines: list[str] = []
    export(tmp_path / "one", lambda one: lines.append(json.dumps(one) + "\n"))
    with Index.create(tmp_path / "two", pipeline=pipeline) as index:
        index.add(read_documents(io.BytesIO("".join(lines).encode()), "lines"))
        assert index.search(vectors=vectors[:2]) == hits
        for one in documents:
            found = index.get(one.id)
            assert found is not None
            assert found == one
            assert found.vectors is not None
            assert one.vectors is not None
            assert found.vectors.tobytes() == one.vectors.tobytes()


def test_an_export_leaves_out_what_is_damaged_and_says_so(folder: Path) -> None:
    change(folder, "UPDATE documents SET title = 'other' WHERE doc_id = '0007'")
    for path in folder.glob("*.segment"):
        path.unlink()
    lost: list[LostDocument] = []
    lines: list[dict[str, Any]] = []
    n_documents = export(folder, lines.append, lost=lost.append)
    assert [one.id for one in lost] == ["0007"]
    assert n_documents == len(lines) == 83


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "must be an object with an id"),
        ('{"id": 1}', "must be an object with an id"),
        ('{"id": "a", "author": "x"}', "'author' is no field of an export"),
        ('{"id": "a", "metadata": []}', "metadata must be an object"),
        ('{"id": "a", "sections": 3}', "sections a list"),
        ('{"id": "a", "vectors": [[1], [1, 2]]}', "vectors must be rows"),
        ('{"id": "a", "vectors": 3}', "vectors must be a list of rows"),
        ('{"id": "a", "vectors": [[1]], "token_ids": ["x"]}', "token_ids"),
        ("[" * 100_000, "not JSON"),
        ("\ufeff\x00", "not JSON"),
    ],
)
def test_a_line_that_is_no_document_is_named(line: str, message: str) -> None:
    stream = io.BytesIO(b'{"id": "first", "text": "fine"}\n\n' + line.encode() + b"\n")
    documents = read_documents(stream, "lines.jsonl")
    assert next(documents) == Document("first", "fine")
    with pytest.raises(LoadError, match=message) as caught:
        next(documents)
    assert "lines.jsonl, line 3" in caught.value.message


def test_a_folder_from_elsewhere_is_believed_in_its_texts_only(folder: Path, tmp_path: Path) -> None:
    before = answers(folder)
    for path in folder.glob("*.segment"):
        path.write_bytes(b"poison")
    change(folder, "UPDATE counters SET value = -1 WHERE name = 'n_passages'")
    stored = content(folder)
    with Index.create(tmp_path / "own", pipeline=tiny_pipeline()) as index:
        index.add(documents_of_folder(folder))
        index.flush()
    assert answers(tmp_path / "own") == before
    assert content(folder) == stored
    assert not list(folder.glob("meta.db-*"))


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TRIGGER t AFTER INSERT ON documents BEGIN DELETE FROM documents; END",
        "ALTER TABLE documents RENAME TO d; CREATE VIEW documents AS SELECT * FROM d",
        "DROP TABLE words; CREATE TABLE words (token_id, word, checksum)",
        "DROP TABLE files",
    ],
)
def test_a_folder_with_tables_that_vecsearch_does_not_make_is_refused(folder: Path, script: str) -> None:
    with sqlite3.connect(folder / "meta.db") as db:
        db.executescript(script)
    db.close()
    with pytest.raises(IndexDamagedError, match="no vecsearch made so"):
        list(documents_of_folder(folder))
    with pytest.raises(IndexDamagedError, match="no vecsearch made so"):
        take_copy(folder, folder.with_name("copy"))


def test_a_trusted_folder_is_copied_if_it_is_sound(folder: Path, tmp_path: Path) -> None:
    before = answers(folder)
    assert take_copy(folder, tmp_path / "copy") > 0
    assert answers(tmp_path / "copy") == before
    with pytest.raises(IndexExistsError):
        take_copy(folder, tmp_path / "copy")
    change(folder, "UPDATE documents SET title = 'other' WHERE doc_id = '0007'")
    with pytest.raises(IndexDamagedError, match="'0007'"):
        take_copy(folder, tmp_path / "another")
    assert not list(tmp_path.glob("another*"))


def test_a_newer_format_is_left_to_a_newer_vecsearch(folder: Path, tmp_path: Path) -> None:
    change(folder, f"UPDATE manifest SET value = '{FORMAT_VERSION + 1}' WHERE key = 'format_version'")
    with sqlite3.connect(folder / "meta.db") as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('vecsearch', ?, '')",
            [f"{FORMAT_VERSION + 1:04}_new"],
        )
    db.close()
    for refused in (opened, verify, repair, lambda folder: export(folder, print)):
        with pytest.raises(FormatVersionError):
            refused(folder)


def test_the_first_page_and_those_that_lead_to_others_are_not_needed(folder: Path, tmp_path: Path) -> None:
    before, _ = answers(folder)
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    pages = {0, *pages_of(folder, "sqlite_schema"), *pages_of(folder, "sqlite_schema", "internal")}
    pages |= {*pages_of(folder, "passages", "internal"), *pages_of(folder, "documents", "internal")}
    assert len(pages) >= 4
    for page in pages:
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        overwrite_page(folder, page)
        assert verify(folder).mend == "repair"
        done = repair(folder, pipeline=tiny_pipeline())
        assert (done.action, list(done.lost)) == ("rebuilt", [])
        found, _ = answers(folder)
        assert found == before | ({"0003": document(3)} if "0003" in found else {})
        assert "0003" not in found or page == 0  # it was deleted: only the first page knows what is free
        with opened(folder) as index:
            assert sorted(index.files("/texts")) == ["0.txt", "1.txt", "2.txt"]
        assert done.kept is not None
        shutil.rmtree(done.kept.parent)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_pages_of_the_log_count_and_given_vectors_are_carved(tmp_path: Path, precision: Precision) -> None:
    folder, vectors = tmp_path / "vectors", np.arange(4_000, dtype=np.float32).reshape(1_000, 4)
    with Index.create(folder, pipeline=GivenVectors(4, precision=precision)) as index:
        index.add([Document("a", vectors=vectors[:2], token_ids=np.arange(2))])
        backup(folder, tmp_path / "checkpointed")
        index.add([Document("b", "x" * 20_000, vectors=vectors, metadata={"kind": "large"})])
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
    assert (copy / "meta.db-wal").stat().st_size > 0
    with Carver(copy, given=RowFormat(4, precision)) as carver:
        found = {one.id: one for one in carver.documents() if isinstance(one, FoundDocument)}
    assert found.keys() == {"a", "b"}
    assert (found["b"].text, found["b"].metadata) == ("x" * 20_000, {"kind": "large"})
    assert found["b"].vectors is not None
    assert found["b"].vectors.tobytes() == rounded(vectors, precision).tobytes()
    assert found["a"].token_ids is not None
    assert found["a"].token_ids.tolist() == [0, 1]


def test_whatever_the_pages_hold_carving_only_finds_what_was_written(folder: Path) -> None:
    before, _ = answers(folder)
    content = (folder / "meta.db").read_bytes()
    for seed in range(30):
        chosen = random.Random(seed)
        damaged = bytearray(content)
        for _ in range(chosen.randrange(1, 400)):
            damaged[chosen.randrange(len(damaged))] = chosen.randrange(256)
        (folder / "meta.db").write_bytes(damaged)
        with Carver(folder) as carver:
            for one in carver.documents():
                if isinstance(one, FoundDocument) and one.id != "0003":
                    assert before[one.id].text == one.text
                    assert before[one.id].metadata == one.metadata


# doctor

MOUNTS = r"""
22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:40 / /mnt rw shared:2 - nfs4 server:/export rw
24 23 0:41 / /mnt/fast\040disk rw - xfs /dev/sdb rw
"""


def test_the_doctor_knows_network_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    kinds = {path: doctor.file_system(Path(path), str(mounts)) for path in ("/", "/mnt/a", "/mntx", "/mnt/fast disk/b")}
    assert kinds == {"/": "ext4", "/mnt/a": "nfs4", "/mntx": "ext4", "/mnt/fast disk/b": "xfs"}
    assert doctor.file_system(Path("/"), str(tmp_path / "nothing")) is None
    monkeypatch.setattr(doctor, "file_system", lambda path: "nfs4")
    (found,) = [one for one in doctor.examine_machine(tmp_path) if one.name == "file system"]
    assert (found.status, found.facts["is_network"]) == ("warning", True)
    assert "network file system" in found.message


@pytest.fixture
def writing(folder: Path) -> Iterator[Path]:
    with opened(folder) as index:
        index.delete(["nothing"])
        yield folder


def test_the_doctor_tells_who_is_written_and_whether_the_disk_syncs(
    writing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {one.name: one for one in doctor.examine_machine(writing.parent)}
    assert {one.status for one in found.values()} <= {"ok", "warning"}
    assert found["locks"].facts == {"n_indexes": 1, "held": ["notes"]}
    assert found["sync"].facts["seconds"] > 0
    assert found["sqlite"].facts["has_fts5"] is True
    assert "tokenizer word" in found["plugins"].facts["loaded"]

    def refuse(disk: Disk, file: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Disk, "sync", refuse)
    found = {one.name: one for one in doctor.examine_machine(writing.parent)}
    assert (found["sync"].status, found["sync"].message.endswith("Input/output error")) == ("problem", True)
    assert not list(writing.parent.glob("*.tmp"))
