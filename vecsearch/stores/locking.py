"""The writer's lock of an index folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vecsearch.errors import IndexLockedError

__all__ = ["LOCK_NAME", "lock_folder"]

LOCK_NAME = "writer.lock"


def lock_folder(folder: Path) -> Any:
    """Take the writer's lock of an index folder; the system frees it when the process ends, however it ends.

    Raises:
        IndexLockedError: somebody else holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK_NAME, timeout=0, is_singleton=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise IndexLockedError(
            f"index {folder} is being written by another process or another Index object; "
            f"wait until it is closed, or stop it",
            path=str(folder),
        ) from error
    return lock
