"""Verifying an index, also one that cannot be opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecsearch.stores.schema import translated
from vecsearch.stores.verification import Damage, Mend, examine_folder, remember_verified

__all__ = ["Verification", "verify"]

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
        FormatVersionError: a newer vecsearch made it.
        StorageError, IndexReadOnlyError, IndexLockedError: the system refused to let it be read, for want of open files
            or rights for example; that is no damage.
    """
    folder = Path(path)
    with translated(folder):
        found = Verification(folder, deep, list(examine_folder(folder, is_deep=deep)))
    remember_verified(folder, is_deep=deep, n_damages=len(found.damages))
    return found
