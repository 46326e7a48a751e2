"""The number of the last commit, noted beside the database, so that a log that lost its end is noticed.

SQLite reads its log up to the first frame whose checksum is wrong, and takes that for the end: an index that loses its
newest commits by damage there looks sound. So a writer notes, after each COMMIT, which one it was. The note is never
ahead of what is safe: where it says more than the database holds, commits are lost.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

from sqlite_utils import Database

from vecsearch.errors import IndexDamagedError
from vecsearch.stores.disk import Disk
from vecsearch.stores.reading import generation_of
from vecsearch.stores.salvage import reader

__all__ = ["LAST_COMMIT_NAME", "forget_last_commit", "last_commit", "lost_commits", "note_commit", "refuse_if_lost"]

LAST_COMMIT_NAME = "last-commit"
_MAGIC = b"vslastc1"
_NOTE = struct.Struct("<8sQI")


def note_commit(disk: Disk, generation: int) -> None:
    """Note that a commit was acknowledged. What cannot be noted is not: the commit stands.

    At the level ``fast`` nothing is noted: there a power loss may take commits, and that is no damage.
    """
    if disk.durability == "full":
        head = _MAGIC + generation.to_bytes(8, "little")
        with contextlib.suppress(OSError):
            disk.put(LAST_COMMIT_NAME, head + zlib.crc32(head).to_bytes(4, "little"))


def last_commit(folder: Path) -> int | None:
    """Return the number that was noted last; None where there is no note, or one that was not written whole."""
    try:
        with open(folder / LAST_COMMIT_NAME, "rb") as file:
            content = file.read(_NOTE.size)
    except OSError:
        return None
    if len(content) != _NOTE.size:
        return None
    magic, generation, crc = _NOTE.unpack(content)
    return int(generation) if magic == _MAGIC and crc == zlib.crc32(content[:-4]) else None


def lost_commits(db: Database, folder: Path) -> str | None:
    """Return a sentence where commits are lost that were acknowledged, else None.

    Args:
        db: connection with an open transaction, perhaps of an older commit.
        folder: of the index.
    """
    noted = last_commit(folder)
    if noted is None or noted <= generation_of(db):
        return None
    newest = _newest(folder)
    if noted <= newest:
        return None  # somebody has written since the transaction began
    return (
        f"commit {noted} was acknowledged, but the newest that is there is {newest}: the end of meta.db-wal is lost, "
        f"and what was added, changed or deleted in between"
    )


def _newest(folder: Path) -> int:
    with contextlib.closing(reader(folder).conn) as connection:
        return generation_of(Database(connection))


def refuse_if_lost(db: Database, folder: Path) -> None:
    """Refuse an index that has lost commits.

    Raises:
        IndexDamagedError: it has.
    """
    lost = lost_commits(db, folder)
    if lost is not None:
        raise IndexDamagedError(
            f"index {folder}: {lost}; `vecsearch repair -i {folder.name}` goes on with what there is, then add what is "
            f"missing again; or `vecsearch restore BACKUP -i {folder.name} --force`",
            path=str(folder),
        )


def forget_last_commit(folder: Path) -> None:
    """Take what is there for all there was. The caller has the writer's lock."""
    Disk(folder).remove(LAST_COMMIT_NAME)
