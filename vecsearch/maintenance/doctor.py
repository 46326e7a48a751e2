"""Looking at the machine, not at an index: versions, plugins, the disk under the folder of indexes, locks."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from vecsearch import __version__
from vecsearch.errors import IndexLockedError, VecsearchError
from vecsearch.stores.copying import database_facts
from vecsearch.stores.disk import Disk
from vecsearch.stores.locking import LOCK_NAME, lock_folder
from vecsearch.stores.schema import DATABASE_NAME

__all__ = ["Finding", "examine_machine", "file_system"]

Status = Literal["ok", "warning", "problem"]

NETWORK = frozenset(
    {
        *(
            "9p",
            "afs",
            "beegfs",
            "ceph",
            "cifs",
            "coda",
            "davfs",
            "glusterfs",
            "gpfs",
            "lustre",
            "ncpfs",
            "nfs",
            "nfs4",
        ),
        *("ocfs2", "panfs", "smb2", "smb3", "smbfs", "virtiofs"),
        *("fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
    }
)
"""File systems that other machines may write at the same time, and whose locks SQLite cannot rely on."""
LITTLE_SPACE = 1 << 30
SLOW_SYNC = 0.5
_PACKAGES = ("numpy", "faiss-cpu", "filelock", "sqlite-utils", "isal")
_SYNCS = 5


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        status: ``"warning"``: works, but not as well as it should; ``"problem"``: something fails.
        message: a sentence for a person.
        facts: the same for a program.
    """

    name: str
    status: Status
    message: str
    facts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes by name, JSON-ready."""
        return dict(vars(self))


def examine_machine(indexes: Path) -> Iterator[Finding]:
    """Yield what can be told of this machine and of the folder that holds the indexes."""
    yield _versions()
    yield _sqlite()
    yield from _plugins()
    folder = indexes
    while not folder.exists() and folder != folder.parent:
        folder = folder.absolute().parent
    yield _folder(indexes, folder)
    yield _file_system(folder)
    yield _space(folder)
    if indexes.is_dir():
        yield _sync(indexes)
        yield from _locks(indexes)


def _versions() -> Finding:
    found: dict[str, str | None] = {"python": platform.python_version(), "vecsearch": __version__}
    missing = []
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
            missing.append(package)
    shown = ", ".join(f"{name} {number or 'not installed'}" for name, number in found.items())
    return Finding("versions", "problem" if missing else "ok", f"{shown}; {platform.platform()}", found)


def _sqlite() -> Finding:
    facts = database_facts()
    if facts["has_fts5"]:
        return Finding("sqlite", "ok", f"SQLite {facts['version']} with FTS5", facts)
    return Finding("sqlite", "problem", f"SQLite {facts['version']} has no FTS5: use a Python whose SQLite has", facts)


def _plugins() -> Iterator[Finding]:
    from vecsearch.plugins import Registry

    installed = Registry().installed()
    broken = [one for one in installed if one.error]
    for one in broken:
        yield Finding("plugin", "problem", f"{one.name} of {one.distribution}: {one.error}", one.to_dict())
    names = sorted({f"{one.kind} {one.name}" for one in installed if not one.error})
    if not names:
        yield Finding("plugins", "problem", "no plugin is installed: nothing can be indexed", {"loaded": []})
    else:
        yield Finding("plugins", "ok", f"{len(names)} parts of plugins load", {"loaded": names})


def _folder(indexes: Path, there: Path) -> Finding:
    facts = {"path": str(indexes), "exists": indexes.exists(), "is_writable": os.access(there, os.W_OK | os.X_OK)}
    if indexes.exists() and not indexes.is_dir():
        return Finding("folder", "problem", f"{indexes} is no folder", facts)
    if not facts["is_writable"]:
        return Finding("folder", "warning", f"{there} may not be written: indexes can only be read", facts)
    if not indexes.exists():
        return Finding("folder", "ok", f"{indexes} is not there yet; the first index makes it", facts)
    return Finding("folder", "ok", f"{indexes} may be written", facts)


def file_system(path: Path, mounts: str = "/proc/self/mountinfo") -> str | None:
    """Return the type of the file system that a path is on; None where the system does not tell (only Linux does)."""
    try:
        lines = Path(mounts).read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    place = os.path.realpath(path)
    best, found = "", None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        # spaces, tabs, line ends and backslashes are written as octal numbers
        mount = fields[4].encode("latin-1", "replace").decode("unicode_escape", "replace")
        is_above = place == mount or place.startswith(mount.rstrip("/") + "/")
        if is_above and len(mount) >= len(best):
            best, found = mount, after.split()[0]
    return found


def _file_system(folder: Path) -> Finding:
    kind = file_system(folder)
    facts = {"type": kind, "is_network": kind in NETWORK}
    if kind is None:
        return Finding("file system", "ok", "the system does not tell its type; keep indexes on a local disk", facts)
    if kind in NETWORK:
        return Finding(
            "file system",
            "warning",
            f"{kind} is a network file system: locks may not hold there, and two writers can destroy an index; keep "
            f"indexes on a local disk, and backups there",
            facts,
        )
    return Finding("file system", "ok", f"{kind}, a local one", facts)


def _space(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    facts = {"n_bytes_free": usage.free, "n_bytes": usage.total}
    status: Status = "ok" if usage.free >= LITTLE_SPACE else "warning" if usage.free else "problem"
    return Finding("space", status, f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free", facts)


def _sync(indexes: Path) -> Finding:
    disk, name = Disk(indexes), f"doctor-{os.getpid()}.tmp"
    seconds = []
    try:
        try:
            with disk.create(name) as file:
                for _ in range(_SYNCS):
                    disk.write(file, bytes(4096))
                    begun = time.perf_counter()
                    disk.sync(file)
                    seconds.append(time.perf_counter() - begun)
            disk.sync_entries()
        finally:
            disk.remove(name)
    except PermissionError as error:
        return Finding("sync", "warning", f"not tried: {error.strerror}", {"seconds": None})
    except OSError as error:
        return Finding("sync", "problem", f"fsync in {indexes} fails: {error.strerror}", {"seconds": None})
    median = statistics.median(seconds)
    status: Status = "ok" if median < SLOW_SYNC else "warning"
    return Finding("sync", status, f"fsync works and takes {median * 1000:.1f} ms", {"seconds": round(median, 6)})


def _locks(indexes: Path) -> Iterator[Finding]:
    held, n_indexes = [], 0
    for folder in sorted(indexes.iterdir()):
        if not (folder / DATABASE_NAME).is_file():
            continue
        n_indexes += 1
        if not (folder / LOCK_NAME).exists():
            continue
        try:
            with contextlib.suppress(OSError):
                lock_folder(folder).release()
        except IndexLockedError:
            held.append(folder.name)
        except VecsearchError:
            continue
    facts = {"n_indexes": n_indexes, "held": held}
    if held:
        names = ", ".join(held)
        yield Finding("locks", "ok", f"being written by another process: {names}", facts)
    else:
        yield Finding("locks", "ok", f"none of {n_indexes} indexes is being written", facts)
