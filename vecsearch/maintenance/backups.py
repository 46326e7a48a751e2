"""Backing an index up while it is written, and restoring it.

A backup is a folder: the database as one file, the immutable files of the index, and ``backup.json``, which names them
all with their SHA-256. It is replaced last, so that a backup that is interrupted leaves the one before. What the next
one needs and is there already is checked, not copied.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from vecsearch import __version__
from vecsearch.errors import IndexDamagedError, IndexExistsError, IndexNotFoundError, VecsearchError
from vecsearch.maintenance import folders
from vecsearch.maintenance.verifying import verify
from vecsearch.stores.copying import held, quiet, raise_generation
from vecsearch.stores.disk import Disk
from vecsearch.stores.files import SUFFIXES
from vecsearch.stores.locking import LOCK_NAME, lock_folder
from vecsearch.stores.salvage import Salvage, refuse_strange_tables
from vecsearch.stores.schema import DATABASE_NAME, in_place, translated

__all__ = ["BACKUP_NAME", "Backup", "Restored", "backup", "restore", "take_copy"]

BACKUP_NAME = "backup.json"
_VERSION = 1
_DATABASE = ".db"
_NAME = re.compile(r"[0-9a-f]{32}(\.[a-z]+)")
_BLOCK = 1 << 20
_LARGEST_MANIFEST = 1 << 26


@dataclass(frozen=True)
class Backup:
    """What a backup has done.

    Attributes:
        path: of the backup.
        generation: commit that it holds.
        n_files: that it has.
        n_copied: of these, written now; the rest was there and is what it was.
        n_bytes: of all files.
        n_bytes_copied: written now.
    """

    path: Path
    generation: int
    n_files: int
    n_copied: int
    n_bytes: int
    n_bytes_copied: int

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes by name, JSON-ready."""
        return {**vars(self), "path": str(self.path)}


@dataclass(frozen=True)
class Restored:
    """What a restore has done.

    Attributes:
        path: of the index.
        created: when the backup was made.
        n_bytes: copied.
        kept: where the index that was there before is now; None where there was none.
    """

    path: Path
    created: str
    n_bytes: int
    kept: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes by name, JSON-ready."""
        return {**vars(self), "path": str(self.path), "kept": None if self.kept is None else str(self.kept)}


@dataclass(frozen=True)
class _Entry:
    size: int
    sha256: str


def backup(path: str | os.PathLike[str], to: str | os.PathLike[str]) -> Backup:
    """Back an index up into a folder, or bring the backup in it up to date. Others may use the index, and write it.

    Args:
        path: of the index.
        to: the folder of the backup; made with its parents.

    Raises:
        IndexNotFoundError: there is no index.
        IndexDamagedError: a file is missing or not what was written, or a page of the database cannot be read; the
            backup before this one is whole.
        IndexExistsError: the folder holds other things.
        IndexLockedError: another backup is being written there.
        StorageError, IndexReadOnlyError: a file system refused.
    """
    folder, target = Path(path), Path(to)
    if not (folder / DATABASE_NAME).is_file():
        raise IndexNotFoundError(f"there is no index in {folder}", path=str(folder))
    _refuse_others(target)
    disk = Disk(target)
    with translated(target):
        disk.make_folder()
        lock = lock_folder(target)
        try:
            return _write(folder, disk)
        finally:
            lock.release()


def _refuse_others(target: Path) -> None:
    with translated(target):
        names = {one.name for one in target.iterdir()} if target.is_dir() else set()
    own = {name for name in names if _is_own(name)}
    if names - own:
        stranger = sorted(names - own)[0]
        raise IndexExistsError(
            f"{target} holds other things, {stranger!r} for one; name an empty folder, or that of a backup",
            path=str(target),
        )


def _is_own(name: str) -> bool:
    found = _NAME.fullmatch(name)
    is_file = found is not None and found[1] in {*SUFFIXES, _DATABASE}
    return is_file or name in (BACKUP_NAME, LOCK_NAME) or name.endswith(".tmp") or name.startswith("database.tmp")


def _write(folder: Path, disk: Disk) -> Backup:
    _sweep(disk, None)
    files: dict[str, _Entry] = {}
    n_copied = n_bytes_copied = 0
    with held(folder) as commit:
        for stored, file in commit.files:
            entry = _Entry(stored.size, stored.sha256)
            if not _is_there(disk.folder / stored.file, entry):
                _copy(file, disk, stored.file, entry, folder / stored.file)
                n_copied, n_bytes_copied = n_copied + 1, n_bytes_copied + entry.size
            files[stored.file] = entry
        temporary = "database.tmp"
        commit.copy_database(disk.folder / temporary)
        generation, version = commit.generation, commit.format_version
    with open(disk.folder / temporary, "r+b") as file:
        disk.sync(file)
        entry = _Entry(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())
    database = entry.sha256[:32] + _DATABASE
    if not _is_there(disk.folder / database, entry):
        n_copied, n_bytes_copied = n_copied + 1, n_bytes_copied + entry.size
    disk.rename(temporary, database)
    files[database] = entry
    _write_manifest(
        disk,
        {
            "vecsearch_backup": _VERSION,
            "vecsearch": __version__,
            "index": folder.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "generation": generation,
            "format_version": version,
            "database": database,
            "files": {name: vars(one) for name, one in sorted(files.items())},
        },
    )
    with in_place(disk.folder, "the backup"):
        _sweep(disk, set(files))
    n_bytes = sum(one.size for one in files.values())
    return Backup(disk.folder, generation, len(files), n_copied, n_bytes, n_bytes_copied)


def _write_manifest(disk: Disk, manifest: dict[str, Any]) -> None:
    whole = {**manifest, "checksum": _checksum(manifest)}
    temporary = f"{BACKUP_NAME}.tmp"
    disk.remove(temporary)
    with disk.create(temporary) as file:
        disk.write(file, (json.dumps(whole, indent=1) + "\n").encode())
        disk.sync(file)
    disk.rename(temporary, BACKUP_NAME)
    with in_place(disk.folder, "the backup"):
        disk.sync_entries()


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sweep(disk: Disk, named: set[str] | None) -> None:
    """Remove what an interrupted backup left and, where it is known what is named, what no backup needs any more."""
    for path in list(disk.folder.iterdir()):
        is_left = path.name.endswith(".tmp") or path.name.startswith("database.tmp")
        if is_left or (named is not None and _NAME.fullmatch(path.name) and path.name not in named):
            disk.remove(path.name)


def _is_there(path: Path, entry: _Entry) -> bool:
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size != entry.size:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
    except FileNotFoundError:
        return False


def _copy(source: BinaryIO, disk: Disk, name: str, entry: _Entry, path: Path) -> None:
    """Copy a file and check it on the way; a wrong one is never there under its name.

    Raises:
        IndexDamagedError: it is not the one that was written.
    """
    temporary = f"{name}.tmp"
    disk.remove(temporary)
    sha256 = hashlib.sha256()
    try:
        with disk.create(temporary) as file:
            for block in _blocks(source):
                disk.write(file, block)
                sha256.update(block)
            disk.sync(file)
        if sha256.hexdigest() != entry.sha256:
            raise IndexDamagedError(
                f"{path} does not have the SHA-256 that it was written with; "
                + (
                    f"`vecsearch compact -i {path.parent.name}` writes all segments of the index anew"
                    if (path.parent / DATABASE_NAME).exists()
                    else "this backup cannot be restored, take another"
                ),
                path=str(path),
            )
        disk.rename(temporary, name)
    finally:
        disk.remove(temporary)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def restore(source: str | os.PathLike[str], path: str | os.PathLike[str], *, force: bool = False) -> Restored:
    """Make an index of a backup. It is copied, checked and verified beside; only then it gets its place.

    Args:
        source: the folder of the backup.
        path: of the index.
        force: where there is an index already, move it aside; else that is an error.

    Raises:
        IndexNotFoundError: there is no backup.
        IndexExistsError: there is an index, and ``force`` is not given.
        IndexDamagedError: the backup is not what was written; names the file. Nothing was changed.
        IndexLockedError: somebody writes the index that is there, or has it open.
        StorageError, IndexReadOnlyError: a file system refused; the index that was there is there.
    """
    origin, folder = Path(source), Path(path)
    folders.finish_interrupted(folder)
    is_there = folder.exists() and any(folder.iterdir())
    if is_there and not force:
        raise IndexExistsError(
            f"there is an index in {folder} already; choose another name, or give --force, which moves it aside",
            path=str(folder),
        )
    manifest, files = _read_manifest(origin)
    new = folders.begin(folder, "restoring")
    try:
        disk = Disk(new)
        with translated(folder):
            disk.make_folder()
            for name, entry in files.items():
                target = DATABASE_NAME if name == manifest["database"] else name
                try:
                    with open(origin / name, "rb") as file:
                        _copy(file, disk, target, entry, origin / name)
                except FileNotFoundError as error:
                    raise _broken(origin, f"{name} is missing") from error
            disk.sync_entries()
        found = verify(new, deep=True)
        if not found.is_sound:
            raise _broken(origin, found.damages[0].what)
        kept = None
        if is_there:
            with quiet(folder):
                raise_generation(new, _generation(folder))
                kept = folders.install(new, folder, "replaced")
        else:
            folders.install(new, folder, "replaced")
    finally:
        shutil.rmtree(new.parent, ignore_errors=True)
    return Restored(folder, str(manifest["created"]), sum(one.size for one in files.values()), kept)


def take_copy(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> int:
    """Copy an index from elsewhere as it is, if all of it is sound. That proves that it is whole, not who made it.

    Args:
        source: the folder of the index.
        path: of the copy, where nothing may be.

    Returns:
        How many bytes were copied.

    Raises:
        IndexNotFoundError: there is no index.
        IndexExistsError: there is something at ``path``.
        IndexDamagedError: it is damaged. Nothing was changed.
        StorageError, IndexReadOnlyError: a file system refused.
    """
    origin, folder = Path(source), Path(path)
    if not (origin / DATABASE_NAME).is_file():
        raise IndexNotFoundError(f"there is no index in {origin}", path=str(origin))
    folders.finish_interrupted(folder)
    folders.refuse_existing(folder)
    refuse_strange_tables(origin)
    new = folders.begin(folder, "importing")
    try:
        disk, n_bytes = Disk(new), 0
        with translated(folder):
            disk.make_folder()
            with held(origin) as commit:
                for stored, file in commit.files:
                    found = _NAME.fullmatch(stored.file)
                    if found is None or found[1] not in SUFFIXES:
                        raise IndexDamagedError(f"index {origin} names {stored.file!r} as a file", path=str(origin))
                    _copy(file, disk, stored.file, _Entry(stored.size, stored.sha256), origin / stored.file)
                    n_bytes += stored.size
                commit.copy_database(new / DATABASE_NAME)
            with open(new / DATABASE_NAME, "r+b") as file:
                disk.sync(file)
                n_bytes += os.fstat(file.fileno()).st_size
            disk.sync_entries()
        found_damage = verify(new, deep=True)
        if not found_damage.is_sound:
            raise IndexDamagedError(
                f"index {origin} is damaged: {found_damage.damages[0].what}; without --trust its documents are indexed "
                f"anew",
                path=str(origin),
            )
        folders.install(new, folder, "replaced")
    finally:
        shutil.rmtree(new.parent, ignore_errors=True)
    return n_bytes


def _generation(folder: Path) -> int:
    try:
        with Salvage(folder) as salvage:
            return salvage.counter("generation")
    except VecsearchError:
        return 0


def _read_manifest(origin: Path) -> tuple[dict[str, Any], dict[str, _Entry]]:
    path = origin / BACKUP_NAME
    with translated(origin):
        try:
            with open(path, "rb") as file:
                content = file.read(_LARGEST_MANIFEST)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise IndexNotFoundError(
                f"there is no backup in {origin}; `vecsearch backup {origin} -i NAME` makes one", path=str(origin)
            ) from error
    try:
        manifest = json.loads(content)
        checksum = manifest.pop("checksum")
        version = manifest["vecsearch_backup"]
        files = {name: _Entry(one["size"], one["sha256"]) for name, one in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(origin, f"{BACKUP_NAME} makes no sense") from error
    if checksum != _checksum(manifest):
        raise _broken(origin, f"{BACKUP_NAME} is not what was written")
    if version != _VERSION:
        raise _broken(origin, f"it has version {version}, made by vecsearch {manifest.get('vecsearch')}: use that")
    for name, entry in files.items():
        # a name is a path: nothing but what a backup writes is read
        found = _NAME.fullmatch(name)
        if found is None or found[1] not in {*SUFFIXES, _DATABASE} or not isinstance(entry.size, int):
            raise _broken(origin, f"{BACKUP_NAME} names {name!r}, which is no file of an index")
    if manifest.get("database") not in files:
        raise _broken(origin, "it names no database")
    return manifest, files


def _broken(origin: Path, what: str) -> IndexDamagedError:
    return IndexDamagedError(
        f"the backup in {origin} cannot be restored: {what}; nothing was changed, take another backup", path=str(origin)
    )
