"""What was fitted for an index before it was made, and cannot be made again: kept in its database, by name.

The manifest has their SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from sqlite_utils import Database

from vecsearch.stores.schema import damaged_row

__all__ = ["examined_artefacts", "read_artefacts", "write_artefacts"]


def write_artefacts(db: Database, artefacts: Mapping[str, bytes]) -> None:
    """Keep the artefacts of a new index, content by name."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in artefacts.items()}
    db.execute("INSERT INTO manifest (key, value) VALUES ('artefacts', ?)", [json.dumps(hashes, sort_keys=True)])
    db.conn.executemany("INSERT INTO artefacts (name, content) VALUES (?, ?)", artefacts.items())


def read_artefacts(db: Database, folder: Path) -> dict[str, bytes]:
    """Return all artefacts, each checked.

    Raises:
        IndexDamagedError: one is missing or is not what was written.
    """
    found, damaged = examined_artefacts(db)
    if damaged:
        raise damaged_row(folder, f"artefact {damaged[0]}")
    return found


def examined_artefacts(db: Database) -> tuple[dict[str, bytes], list[str]]:
    """Return the artefacts that are what was written, and the names of those that are not."""
    row = db.execute("SELECT value FROM manifest WHERE key = 'artefacts'").fetchone()
    if row is None:  # before format 4 there were none
        return {}, []
    try:
        expected = dict(json.loads(row[0]))
    except (TypeError, ValueError):
        return {}, ["hashes, in the manifest,"]
    stored = dict(db.execute("SELECT name, content FROM artefacts").fetchall())
    found = {
        name: content
        for name, content in stored.items()
        if isinstance(content, bytes) and hashlib.sha256(content).hexdigest() == expected.get(name)
    }
    damaged = sorted(repr(name)[:80] for name in expected.keys() | stored.keys() if name not in found)
    return found, damaged
