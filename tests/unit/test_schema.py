"""The database of an index: how it is opened, what protects its rows, what its errors become."""

from __future__ import annotations

import contextlib
import errno
import shutil
import sqlite3
import zlib
from pathlib import Path

import pytest
from sqlite_utils import Database

from vecsearch import (
    IndexDamagedError,
    IndexLockedError,
    IndexReadOnlyError,
    QueryError,
    StorageError,
    VecsearchError,
)
from vecsearch.stores.schema import FORMAT_VERSION, checksum, connect, integer_columns, migrations, translated


@pytest.fixture
def path(tmp_path: Path) -> Path:
    db = connect(tmp_path / "meta.db")
    migrations.apply(db)
    db.conn.close()
    return tmp_path / "meta.db"


def pragma(db: Database, name: str) -> object:
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_connection_is_durable_and_distrusts_the_file(path: Path) -> None:
    db = connect(path)
    names = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "cell_size_check")
    found = {name: pragma(db, name) for name in names}
    db.conn.close()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "trusted_schema": 0,
        "cell_size_check": 1,
    }


def test_names_with_signs_of_uris_are_files(tmp_path: Path) -> None:
    for name in ("a?mode=ro", "50%20 #1", "ü 東京"):
        (tmp_path / name).mkdir()
        db = connect(tmp_path / name / "meta.db")
        db.execute("CREATE TABLE t (x)")
        db.conn.close()
        assert (tmp_path / name / "meta.db").exists()


def test_a_read_only_connection_neither_makes_nor_changes_a_file(path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        connect(path.with_name("other.db"), read_only=True)
    assert not path.with_name("other.db").exists()
    db = connect(path, read_only=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM counters")
    db.conn.close()


def test_a_reader_takes_back_what_was_begun_when_the_power_went(tmp_path: Path) -> None:
    interrupted, left = tmp_path / "interrupted.db", tmp_path / "left.db"
    with contextlib.closing(sqlite3.connect(interrupted, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")  # so that pages and journal come to the disk before the commit
        db.execute("CREATE TABLE there (number)")
        db.execute("BEGIN")
        db.execute("CREATE TABLE begun AS SELECT randomblob(99999) AS content")
        shutil.copy(interrupted, left)
        shutil.copy(f"{interrupted}-journal", f"{left}-journal")
    db = connect(left, read_only=True)
    assert db.table_names() == ["there"]
    assert not Path(f"{left}-journal").exists()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM there")
    db.conn.close()


def test_formats_are_counted_by_their_migrations() -> None:
    names = [migration.name for migration in migrations.pending(Database(memory=True))]
    assert len(names) == FORMAT_VERSION
    assert [int(name.partition("_")[0]) for name in names] == list(range(1, FORMAT_VERSION + 1))


def test_tables_are_strict_and_refer_to_each_other(path: Path) -> None:
    db = connect(path)
    tables = {row[1]: row[5] for row in db.execute("PRAGMA table_list") if row[2] == "table"}
    # FTS5 keeps its index in tables of its own, which cannot be strict
    ours = {name for name in tables if not name.startswith(("sqlite_", "_sqlite", "keywords"))}
    assert ours == {
        "artefacts",
        "background",
        "codebooks",
        "counters",
        "documents",
        "embedded",
        "embedded_tokens",
        "files",
        "manifest",
        "metadata_indexed",
        "metadata_types",
        "metadata_values",
        "passage_terms",
        "passages",
        "segments",
        "terms",
        "token_statistics",
        "tuning",
        "words",
    }
    assert all(tables[name] for name in ours)
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        db.execute("INSERT INTO passages VALUES (1, 7, 0, 0, 1, NULL, 0, '', 0)")
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value in INTEGER"):
        db.execute("INSERT INTO counters VALUES ('n', 'many')")
    db.conn.close()


def test_a_migration_is_applied_once(path: Path) -> None:
    db = connect(path)
    db.execute("INSERT INTO counters VALUES ('n', 7)")
    migrations.apply(db)
    assert list(migrations.pending(db)) == []
    assert db.execute("SELECT value FROM counters").fetchone() == (7,)
    db.conn.close()


def test_a_checksum_is_the_crc_of_parts_behind_their_lengths() -> None:
    assert checksum() == 0
    assert checksum("é", 12, b"\x00") == zlib.crc32(b"2:\xc3\xa92:121:\x00")


def test_a_checksum_changes_with_every_part_and_every_border() -> None:
    parts: list[tuple[object, ...]] = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        ("abc", ""),
        ("", "abc"),
        ("abd",),
        ("ABC",),
        (1, 23),
        (12, 3),
        (-12, 3),
        ("1:a", ""),
        (b"\x00",),
        (b"\x00\x00",),
    ]
    assert len({checksum(*some) for some in parts}) == len(parts)
    assert checksum("5") == checksum(5) == checksum(b"5")


def sqlite_error(name: str, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> sqlite3.Error:
    error = kind(f"what SQLite says of {name}")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (sqlite_error("SQLITE_FULL"), StorageError),
        (sqlite_error("SQLITE_IOERR_WRITE"), StorageError),
        (sqlite_error("SQLITE_CANTOPEN"), StorageError),
        (sqlite_error("SQLITE_READONLY_DBMOVED"), IndexReadOnlyError),
        (sqlite_error("SQLITE_BUSY_SNAPSHOT"), IndexLockedError),
        (sqlite_error("SQLITE_LOCKED"), IndexLockedError),
        (sqlite_error("SQLITE_CORRUPT_INDEX", sqlite3.DatabaseError), IndexDamagedError),
        (sqlite_error("SQLITE_NOTADB", sqlite3.DatabaseError), IndexDamagedError),
        (sqlite3.OperationalError("Could not decode to UTF-8 column 'text'"), IndexDamagedError),
        (OSError(errno.ENOSPC, "No space left on device", "x.tmp"), StorageError),
        (OSError(errno.EIO, "Input/output error"), StorageError),
        (PermissionError(errno.EACCES, "Permission denied", "x.tmp"), IndexReadOnlyError),
    ],
    ids=str,
)
def test_errors_of_the_system_become_errors_of_the_index(
    tmp_path: Path, raised: Exception, kind: type[VecsearchError]
) -> None:
    with pytest.raises(VecsearchError) as caught, translated(tmp_path):
        raise raised
    assert type(caught.value) is kind
    assert caught.value.__cause__ is raised
    assert str(tmp_path) in caught.value.message
    assert caught.value.facts["path"] == str(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SQLITE_IOERR_FSYNC", "there wholly or not at all when the index is next opened"),
        ("SQLITE_IOERR_WRITE", "nothing of this step was committed"),
    ],
)
def test_a_disk_that_does_not_sync_leaves_open_whether_a_step_is_committed(
    tmp_path: Path, name: str, said: str
) -> None:
    with pytest.raises(StorageError, match=said), translated(tmp_path):
        raise sqlite_error(name)


@pytest.mark.parametrize("raised", [QueryError("empty"), KeyboardInterrupt(), ZeroDivisionError()], ids=repr)
def test_other_errors_pass_as_they_are(tmp_path: Path, raised: BaseException) -> None:
    with pytest.raises(type(raised)) as caught, translated(tmp_path):
        raise raised
    assert caught.value is raised


@pytest.mark.parametrize("value", [1.5, "no number", "", b"\x01", "7,8", "--3", "1-2"])
def test_a_value_that_is_no_integer_is_damage(value: object, tmp_path: Path) -> None:
    db = Database(memory=True)
    db["rows"].insert_all([{"a": 3, "b": -7}, {"a": 2**63 - 1, "b": -(2**63)}, {"a": 1, "b": 0}])

    def read(condition: str) -> list[list[int]]:
        row = db.execute(f"SELECT count(*), group_concat(a), group_concat(b) FROM rows WHERE {condition}").fetchone()
        return integer_columns(row, tmp_path, "the rows").tolist()

    assert sorted(read("a > 1")) == [[3, -7], [2**63 - 1, -(2**63)]]
    assert read("a < 0") == []
    db.execute("UPDATE rows SET b = ? WHERE a = 3", [value])
    with pytest.raises(IndexDamagedError, match="the rows"):
        read("TRUE")
    db.execute("UPDATE rows SET b = NULL WHERE a = 3")
    with pytest.raises(IndexDamagedError, match="the rows"):
        read("TRUE")
