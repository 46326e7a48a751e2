"""Putting one index folder in the place of another, so that a whole one is there at every moment, or is said where.

What is made for ``notes`` is made in ``notes.<work>/notes``, beside it: no index of that name is listed meanwhile.
"""

from __future__ import annotations

import contextlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

from vecsearch.errors import IndexExistsError, StorageError
from vecsearch.stores.disk import Disk
from vecsearch.stores.schema import in_place, translated

__all__ = ["READY", "begin", "finish_interrupted", "install"]

READY = "ready"
"""What the folder that holds a new index is called from when it is verified until it is in place."""


def begin(folder: Path, work: str) -> Path:
    """Return the path, not there yet, of a new folder for an index, beside it; what an earlier attempt left is removed.

    Raises:
        StorageError, IndexReadOnlyError: the file system refused.
    """
    holder = folder.with_name(f"{folder.name}.{work}")
    with translated(folder):
        if holder.exists():
            shutil.rmtree(holder)
        Disk(holder).make_folder()
    return holder / folder.name


def install(new: Path, folder: Path, label: str) -> Path | None:
    """Put a verified index in its place; one that is there is moved aside first.

    Args:
        new: what ``begin`` returned.
        folder: of the index.
        label: of the folder in which the earlier one is kept.

    Returns:
        Where the earlier one is now; None where there was none.

    Raises:
        StorageError, IndexReadOnlyError: the file system refused; what was there is there.
    """
    disk = Disk(folder.parent)
    with translated(folder):
        holder = folder.with_name(f"{folder.name}.{READY}")
        if holder.exists():
            shutil.rmtree(holder)
        disk.rename(new.parent.name, holder.name)
        aside = None
        if folder.exists():
            _remove_empty(folder, label)
            kept = _unused(folder.with_name(f"{folder.name}.{label}-{datetime.now(UTC):%Y%m%d-%H%M%S}"))
            Disk(kept).make_folder()
            aside = kept / folder.name
            disk.rename(folder.name, f"{kept.name}/{folder.name}")
        try:
            disk.rename(f"{holder.name}/{folder.name}", folder.name)
        except OSError as error:
            try:
                if aside is not None:
                    disk.rename(f"{aside.parent.name}/{folder.name}", folder.name)
                    aside.parent.rmdir()
                disk.rename(holder.name, new.parent.name)  # else it would be put in its place later
            except OSError:
                raise StorageError(
                    f"{folder}: {error.strerror or error}: {error.filename or folder}; the new index is whole, in "
                    f"{holder}, and `vecsearch repair -i {folder.name}` puts it in its place, wholly or not at all; "
                    f"mend the disk and run that",
                    path=str(folder),
                ) from error
            raise
        with in_place(folder, "the new index"):
            disk.sync_entries()
        with contextlib.suppress(OSError):  # it is removed the next time
            holder.rmdir()
    return aside


def finish_interrupted(folder: Path) -> bool:
    """Put a verified index in its place where the process that made it died between moving the old one and this."""
    holder = folder.with_name(f"{folder.name}.{READY}")
    new = holder / folder.name
    if folder.exists() or not new.exists():
        # a power loss brings the empty folder back; so does a death just before it goes
        with contextlib.suppress(OSError):
            holder.rmdir()
        return False
    with translated(folder):
        Disk(folder.parent).rename(f"{holder.name}/{folder.name}", folder.name)
        with in_place(folder, "the new index"):
            Disk(folder.parent).sync_entries()
        with contextlib.suppress(OSError):
            holder.rmdir()
    return True


def refuse_existing(folder: Path) -> None:
    """Refuse a folder that is not empty.

    Raises:
        IndexExistsError: there is something in it.
    """
    with translated(folder):
        if folder.exists() and any(folder.iterdir()):
            raise IndexExistsError(f"there is something in {folder} already; choose another name", path=str(folder))


def _remove_empty(folder: Path, label: str) -> None:
    """Remove what a power loss just before an index was moved aside left: a folder for it, with nothing in it."""
    for path in folder.parent.iterdir():
        if path.name.startswith(f"{folder.name}.{label}-") and path.is_dir():
            with contextlib.suppress(OSError):  # there is something in it
                path.rmdir()


def _unused(path: Path) -> Path:
    number, chosen = 1, path
    while chosen.exists():
        number += 1
        chosen = path.with_name(f"{path.name}-{number}")
    return chosen
