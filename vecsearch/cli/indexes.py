"""The folder of indexes: which there are, which one a command means, opening it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vecsearch.cli.settings import Settings
from vecsearch.errors import IndexNotFoundError, UsageError

if TYPE_CHECKING:
    from vecsearch.index import Index
    from vecsearch.stores.disk import Durability

__all__ = ["MARKER", "folder_of", "is_index", "names", "open_index", "resolve"]

# subtle: this is stores.schema.DATABASE_NAME, which cannot be imported without sqlite_utils; a test compares the two.
MARKER = "meta.db"


def is_index(folder: Path) -> bool:
    """Return whether a folder holds an index."""
    return (folder / MARKER).is_file()


def names(indexes: Path) -> list[str]:
    """Return the names of the indexes in a folder, sorted; none where there is no such folder."""
    try:
        with os.scandir(indexes) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and is_index(Path(entry.path)))
    except (FileNotFoundError, NotADirectoryError):
        return []


def folder_of(settings: Settings, name: str) -> Path:
    """Return the folder of an index, which need not be there yet."""
    return settings.indexes / name


def resolve(settings: Settings, name: str | None) -> str:
    """Return the name of the index that a command works on: the one named, or the only one.

    Raises:
        IndexNotFoundError: there is none of this name, or none at all; names those that there are.
        UsageError: there are several and none is named.
    """
    there = names(settings.indexes)
    if name is not None:
        # a name need not be listed: a folder that may not be read can still hold readable ones
        if name in there or is_index(folder_of(settings, name)):
            return name
        if is_index(folder_of(settings, f"{name}.ready") / name):
            raise IndexNotFoundError(
                f"index {name!r} was being replaced by a repaired or restored one when the process died; `vecsearch "
                f"repair -i {name}` puts it in its place",
                path=str(folder_of(settings, name)),
                names=there,
            )
        known = f"there are: {', '.join(there)}" if there else "there is none"
        raise IndexNotFoundError(
            f"no index is called {name!r} in {settings.indexes}; {known}; "
            f"make it with `vecsearch index PATH -i {name}`",
            path=str(folder_of(settings, name)),
            names=there,
        )
    if len(there) == 1:
        return there[0]
    if there:
        raise UsageError(
            f"there are several indexes in {settings.indexes}; choose one with -i: {', '.join(there)}", names=there
        )
    raise IndexNotFoundError(
        f"there is no index in {settings.indexes}; make one with `vecsearch index PATH`, or name another folder with "
        "--indexes or VECSEARCH_INDEXES",
        path=str(settings.indexes),
        names=[],
    )


def open_index(
    settings: Settings, name: str | None, *, read_only: bool = True, durability: Durability = "full"
) -> Index:
    """Open the index that a command works on; see ``resolve`` and ``Index.open`` for what is raised."""
    found = resolve(settings, name)
    from vecsearch.budget import share_one_arena
    from vecsearch.index import Index

    if not read_only:
        share_one_arena()
    return Index.open(folder_of(settings, found), read_only=read_only, durability=durability)
