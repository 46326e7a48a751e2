"""SHA-256 of files, computed once a file and remembered in the user's cache folder.

A remembered hash counts while device, inode, size and time of last change of the file are the same. The cache holds
one small file an entry, so that processes never wait for each other; a cache that cannot be written only costs time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import lru_cache
from pathlib import Path

__all__ = ["remember", "sha256_of"]


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hexadecimal, from memory where the file has not changed since.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        entry = _entry(file.fileno())
        known = _recall(entry)
        if known is None:
            known = hashlib.file_digest(file, "sha256").hexdigest()
            remember(file.fileno(), known)
        return known


def remember(descriptor: int, sha256: str) -> None:
    """Note that an open file has a hash that was just computed."""
    entry = _entry(descriptor)
    temporary = entry.with_name(f"{entry.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(sha256, encoding="ascii")
        temporary.replace(entry)


def _recall(entry: Path) -> str | None:
    try:
        known = entry.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return known if len(known) == 64 and set(known) <= set("0123456789abcdef") else None


def _entry(descriptor: int) -> Path:
    status = os.fstat(descriptor)
    identity = f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns}"
    return _folder() / hashlib.sha256(identity.encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("vecsearch") / "sha256"
