"""Making an index folder, and reading what kind of index a folder holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from vecsearch import __version__
from vecsearch.errors import FormatVersionError, IndexDamagedError, IndexExistsError, IndexNotFoundError
from vecsearch.stores.artefacts import read_artefacts, write_artefacts
from vecsearch.stores.disk import Disk, Durability
from vecsearch.stores.locking import LOCK_NAME, lock_folder
from vecsearch.stores.schema import DATABASE_NAME, FORMAT_VERSION, connect, mending, migrations, translated

__all__ = ["Manifest", "create", "read_manifest"]

Manifest = dict[str, Any]
_KINDS: dict[str, type] = {"format_version": int, "identity": dict, "configuration": dict}


def create(
    folder: Path,
    identity: dict[str, Any],
    configuration: dict[str, Any],
    artefacts: Mapping[str, bytes],
    *,
    durability: Durability = "full",
) -> None:
    """Make an empty index in a folder.

    Args:
        folder: made with its parents; if it is there, it must be empty, or hold what a ``create`` left that was
            interrupted.
        identity, configuration: of the pipeline; JSON-ready.
        artefacts: what was fitted for it, by name.
        durability: of the new index itself.

    Raises:
        IndexExistsError: there is an index, or the folder holds other things.
        StorageError, IndexReadOnlyError: the folder cannot be made or written.
    """
    disk = Disk(folder, durability)
    with translated(folder):
        strangers = {path.name for path in folder.iterdir()} if folder.exists() else set()
        if any(not name.startswith((DATABASE_NAME, LOCK_NAME)) for name in strangers):
            if DATABASE_NAME in strangers:
                raise _exists(folder)
            raise IndexExistsError(
                f"{folder} is not empty and holds no index; choose another name or an empty folder", path=str(folder)
            )
        disk.make_folder()
        _refuse_if_complete(folder)
        lock = lock_folder(folder)
        try:
            db = connect(folder / DATABASE_NAME, durability=durability)
            try:
                if _is_complete(db):  # somebody else was faster
                    raise _exists(folder)
                _write_first(db, identity, configuration, artefacts)
            finally:
                db.conn.close()
        finally:
            lock.release()


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of an index: ``format_version``, ``identity``, ``configuration``, ``created``, ``vecsearch``.

    With them ``artefacts``, content by name.

    Raises:
        IndexNotFoundError: the folder holds no index.
        IndexDamagedError: its database cannot be read.
        FormatVersionError: a newer vecsearch made it.
    """
    path = folder / DATABASE_NAME
    with translated(folder):
        if not path.exists():
            raise IndexNotFoundError(
                f"there is no index in {folder}; make one with `vecsearch index PATH -i {folder.name}` or "
                f"Index.create()",
                path=str(folder),
            )
        db = connect(path, read_only=True)
        try:
            if not _is_complete(db):
                if any(folder.glob("*.segment")):
                    raise IndexDamagedError(
                        f"the database of index {folder} is empty, but there are segments; "
                        f"`vecsearch restore BACKUP -i {folder.name} --force` brings a backup back, else index the "
                        f"sources again under another name",
                        path=str(folder),
                    )
                raise IndexNotFoundError(
                    f"the making of index {folder} was interrupted, it holds nothing; delete the folder or create "
                    f"the index again",
                    path=str(folder),
                )
            manifest = {
                key: _parsed(folder, key, value)
                for key, value in db.execute("SELECT key, value FROM manifest WHERE key != 'artefacts'")
            }
            manifest["artefacts"] = read_artefacts(db, folder)
        finally:
            db.conn.close()
    missing = _KINDS.keys() - manifest
    if missing:
        raise IndexDamagedError(
            f"the manifest of index {folder} lacks {', '.join(sorted(missing))}; {mending(folder)}", path=str(folder)
        )
    if manifest["format_version"] > FORMAT_VERSION:
        raise FormatVersionError(
            f"index {folder} has format {manifest['format_version']}, written by vecsearch "
            f"{manifest.get('vecsearch', '?')}; this is vecsearch {__version__}, which reads formats up to "
            f"{FORMAT_VERSION}: install a newer one",
            path=str(folder),
            found=manifest["format_version"],
            supported=FORMAT_VERSION,
        )
    return manifest


def _parsed(folder: Path, key: str, value: str) -> Any:
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
    if not isinstance(parsed, _KINDS.get(key, str)):
        raise IndexDamagedError(
            f"the manifest of index {folder} makes no sense: {key} is {value[:80]}; {mending(folder)}",
            path=str(folder),
        )
    return parsed


def _refuse_if_complete(folder: Path) -> None:
    # before the lock is asked for: an index that is being written exists, and that says more than that it is locked
    if (folder / DATABASE_NAME).exists():
        db = connect(folder / DATABASE_NAME, read_only=True)
        try:
            if _is_complete(db):
                raise _exists(folder)
        finally:
            db.conn.close()


def _is_complete(db: Database) -> bool:
    # the tables and the manifest come into being in one transaction
    return bool(db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'manifest'").fetchone()[0])


def _write_first(
    db: Database, identity: dict[str, Any], configuration: dict[str, Any], artefacts: Mapping[str, bytes]
) -> None:
    manifest = {
        "format_version": FORMAT_VERSION,
        "vecsearch": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "identity": identity,
        "configuration": configuration,
    }
    with db.atomic():
        migrations.apply(db)
        db.conn.executemany(
            "INSERT INTO manifest (key, value) VALUES (?, ?)",
            [(key, json.dumps(value, sort_keys=True)) for key, value in manifest.items()],
        )
        write_artefacts(db, artefacts)


def _exists(folder: Path) -> IndexExistsError:
    return IndexExistsError(
        f"there is an index in {folder} already; open it with Index.open(), or choose another name", path=str(folder)
    )
