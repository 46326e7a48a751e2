"""Metadata in the database: which keys there are with values of which types, and an index of the values of some."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from sqlite_utils import Database

from vecsearch.filters import field_types
from vecsearch.metadata_keys import key_name, key_parts
from vecsearch.stores.conditions import metadata_values
from vecsearch.stores.schema import marks

__all__ = ["MetadataWriter", "indexed_keys", "known_types"]

_NONE = "{}"


class MetadataWriter:
    """Keeps what filters need to know of metadata. All methods belong into a transaction of the caller's.

    Args:
        db: the writer's connection.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, documents: Sequence[tuple[int, str]]) -> None:
        """Take in the metadata, JSON text, of documents."""
        parsed = [(doc_no, json.loads(metadata)) for doc_no, metadata in documents if metadata != _NONE]
        self._count(Counter(pair for _, metadata in parsed for pair in field_types(metadata)))
        keys = indexed_keys(self._db)
        if keys:
            for doc_no, metadata in parsed:
                self._insert([(key, doc_no, kind, value) for key, kind, value in metadata_values(metadata, keys)])

    def remove(self, doc_nos: Sequence[int]) -> None:
        """Take out at most 500 documents, before their rows are deleted; their values go with them."""
        gone: Counter[tuple[str, str]] = Counter()
        for (metadata,) in self._db.execute(
            f"SELECT metadata FROM documents WHERE metadata != ? AND doc_no IN ({marks(doc_nos)})",  # noqa: S608 - only marks
            [_NONE, *doc_nos],
        ):
            try:
                gone.subtract(field_types(json.loads(metadata)))
            except ValueError:  # damaged: the types of its keys stay known, which only makes a filter's check milder
                continue
        self._count(gone)

    def index(self, keys: Iterable[str]) -> None:
        """Index the values of keys that are not indexed yet, of all documents that there are and will be."""
        new = sorted({key_name(key_parts(key)) for key in keys} - indexed_keys(self._db))
        self._db.conn.executemany("INSERT INTO metadata_indexed (key) VALUES (?)", [(key,) for key in new])
        for doc_no, metadata in self._db.execute(
            "SELECT doc_no, metadata FROM documents WHERE metadata != ?", [_NONE]
        ).fetchall():
            rows = metadata_values(json.loads(metadata), new)
            self._insert([(key, doc_no, kind, value) for key, kind, value in rows])

    def _insert(self, rows: Sequence[tuple[str, int, str, object]]) -> None:
        self._db.conn.executemany("INSERT INTO metadata_values (key, doc_no, type, value) VALUES (?, ?, ?, ?)", rows)

    def _count(self, changes: Counter[tuple[str, str]]) -> None:
        self._db.conn.executemany(
            "INSERT INTO metadata_types (key, type, n_documents) VALUES (?, ?, ?) "
            "ON CONFLICT (key, type) DO UPDATE SET n_documents = n_documents + excluded.n_documents",
            [(key, kind, change) for (key, kind), change in changes.items() if change],
        )


def indexed_keys(db: Database) -> frozenset[str]:
    """Return the metadata keys whose values are indexed."""
    return frozenset(key for (key,) in db.execute("SELECT key FROM metadata_indexed"))


def known_types(db: Database) -> dict[str, frozenset[str]]:
    """Return the metadata keys that documents have, each with the types of its values."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for key, kind in db.execute("SELECT key, type FROM metadata_types WHERE n_documents > 0"):
        found[key].add(kind)
    return {key: frozenset(kinds) for key, kinds in found.items()}
