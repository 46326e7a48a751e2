"""The one door through which an index folder is changed: every file that is made, written, synced, renamed or removed.

SQLite writes its own files; everything else that changes the folder of an index goes through a ``Disk``. So what a
store asks of the file system, and in which order, can be read, recorded and made to fail in one place.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias, get_args

from vecsearch.errors import UsageError

if TYPE_CHECKING:
    from vecsearch.stores.files import Buffer

__all__ = ["Disk", "Durability"]

Durability: TypeAlias = Literal["full", "fast"]
"""What a commit survives: ``full`` a power loss, ``fast`` the end of the process. See indexes/FORMAT.md."""


class Disk:
    """Changes the files of one index folder.

    Args:
        folder: of the index.
        durability: whether anything is synced.

    Raises:
        UsageError: there is no such durability.
    """

    def __init__(self, folder: Path, durability: Durability = "full") -> None:
        if durability not in get_args(Durability):
            raise UsageError(f"durability is {durability!r}; it must be 'full' or 'fast'")
        self.folder = folder
        self.durability = durability

    def make_folder(self) -> None:
        """Make the folder, and those above it, if they are not there."""
        folder = self.folder.absolute()
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        for one in reversed(missing):
            one.mkdir(exist_ok=True)
        for one in missing or [folder]:
            # a folder that may be entered but not read cannot be synced
            with contextlib.suppress(PermissionError):
                self._sync_folder(one.parent)

    def create(self, name: str) -> BinaryIO:
        """Make a new file and open it for writing.

        Raises:
            FileExistsError: there is one of that name.
            OSError: the file system refused; likewise below.
        """
        return open(self.folder / name, "xb")

    def write(self, file: BinaryIO, block: Buffer) -> None:
        """Write a block behind what is written."""
        file.write(block)

    def put(self, name: str, content: Buffer) -> None:
        """Write the beginning of a file, which is made if it is not there. Nothing is synced."""
        descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.pwrite(descriptor, content, 0)
        finally:
            os.close(descriptor)

    def sync(self, file: BinaryIO) -> None:
        """Make durable what was written to a file."""
        file.flush()
        if self.durability == "full":
            os.fsync(file.fileno())

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing what has it."""
        os.replace(self.folder / old, self.folder / new)

    def sync_entries(self) -> None:
        """Make durable which files there are."""
        self._sync_folder(self.folder)

    def settle(self, names: Iterable[str]) -> None:
        """Make durable what is named: a writer before may have synced nothing. Files that are missing are left out."""
        if self.durability == "full":
            for name in names:
                with contextlib.suppress(FileNotFoundError), open(self.folder / name, "rb") as file:
                    os.fsync(file.fileno())
            self.sync_entries()

    def _sync_folder(self, folder: Path) -> None:
        if self.durability != "full":
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        (self.folder / name).unlink(missing_ok=True)
