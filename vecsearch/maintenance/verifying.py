"""Verifying an index, also one that cannot be opened, and remembering when that was."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vecsearch.stores.disk import Disk
from vecsearch.stores.verification import Damage, Mend, examine_folder

__all__ = ["VERIFIED_NAME", "Verification", "last_verified", "verify"]

VERIFIED_NAME = "verified.json"
"""The file in an index folder that says when it was last verified, and with what result."""
_ORDER: tuple[Mend, ...] = ("compact", "repair", "restore")


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        path: of the index.
        is_deep: whether everything was read.
        damages: none where it is sound.
    """

    path: Path
    is_deep: bool
    damages: list[Damage]

    @property
    def is_sound(self) -> bool:
        """Whether there is no damage."""
        return not self.damages

    @property
    def mend(self) -> Mend | None:
        """The one command that mends all of it."""
        needed = {damage.mend for damage in self.damages}
        return max(needed, key=_ORDER.index, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return what was found, JSON-ready."""
        return {
            "path": str(self.path),
            "is_sound": self.is_sound,
            "is_deep": self.is_deep,
            "mend": self.mend,
            "damages": [damage.to_dict() for damage in self.damages],
        }


def verify(path: str | os.PathLike[str], *, deep: bool = False) -> Verification:
    """Check an index. It need not be one that can be opened; no plugin is needed.

    Args:
        path: of its folder.
        deep: read everything: each file by its SHA-256, each row by its checksum, all that is counted, again. Else
            SQLite's quick check, sizes and CRCs of files, and whether the tables agree: seconds a GB.

    Raises:
        IndexNotFoundError: there is no index.
    """
    folder = Path(path)
    found = Verification(folder, deep, list(examine_folder(folder, is_deep=deep)))
    _remember(found)
    return found


def _remember(found: Verification) -> None:
    disk = Disk(found.path, "fast")
    temporary = f"verified-{os.getpid()}.tmp"
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "is_deep": found.is_deep,
        "n_damages": len(found.damages),
    }
    # a folder that may not be written can be verified all the same
    with contextlib.suppress(OSError):
        try:
            with disk.create(temporary) as file:
                disk.write(file, json.dumps(entry).encode())
            disk.rename(temporary, VERIFIED_NAME)
        finally:
            disk.remove(temporary)


def last_verified(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return when an index was last verified (``time``), whether deep, and ``n_damages``; None: never."""
    try:
        entry = json.loads((Path(path) / VERIFIED_NAME).read_bytes()[:1000])
        return {"time": str(entry["time"]), "is_deep": bool(entry["is_deep"]), "n_damages": int(entry["n_damages"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
