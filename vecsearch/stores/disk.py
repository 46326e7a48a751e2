"""The one door through which an index folder is changed: every file that is made, written, synced, renamed or removed.

SQLite writes its own files; everything else that changes the folder of an index goes through a ``Disk``. So what a
store asks of the file system, and in which order, can be read, recorded and made to fail in one place.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from vecsearch.stores.files import Buffer

__all__ = ["Disk"]


class Disk:
    """Changes the files of one index folder.

    Args:
        folder: of the index.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

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

    def sync(self, file: BinaryIO) -> None:
        """Make durable what was written to a file."""
        file.flush()
        os.fsync(file.fileno())

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing what has it."""
        os.replace(self.folder / old, self.folder / new)

    def sync_entries(self) -> None:
        """Make durable which files there are."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        (self.folder / name).unlink(missing_ok=True)
