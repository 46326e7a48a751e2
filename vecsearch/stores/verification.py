"""Checking what an embedded store keeps: files, rows, and that the rows agree with each other.

Each check stands for itself, so that one that fails hides nothing of the others.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from sqlite_utils import Database

from vecsearch.errors import IndexDamagedError, IndexNotFoundError
from vecsearch.filters import field_types
from vecsearch.stores.artefacts import examined_artefacts
from vecsearch.stores.disk import Disk
from vecsearch.stores.files import SUFFIXES, StoredFile, is_refusal, map_file, verify_file
from vecsearch.stores.keywords import instances, read_terms
from vecsearch.stores.last_commit import lost_commits
from vecsearch.stores.manifest import codebook_record, segment_records
from vecsearch.stores.reading import EmbeddedSnapshot, read_tokens, read_words
from vecsearch.stores.salvage import reader, refuse_newer
from vecsearch.stores.sampling import FEWEST, hashes
from vecsearch.stores.schema import DATABASE_NAME, FORMAT_VERSION, chunks, migrations

__all__ = ["LOG_NAME", "Damage", "Mend", "damages", "examine", "examine_folder", "last_verified", "remember_verified"]

LOG_NAME = f"{DATABASE_NAME}-wal"
VERIFIED_NAME = "verified.json"
"""The file in an index folder that says when it was last examined, and with what result."""
_UNREADABLE = ("SQLITE_IOERR", "SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_CORRUPTFS")
Mend: TypeAlias = Literal["compact", "repair", "restore"]
"""The command that mends it: ``compact`` where the database is sound, ``repair`` where documents can still be read."""

# Each counts rows that cannot be where everything is as it was written.
_CONTRADICTIONS = {
    "reference counts": """
        SELECT count(*) FROM embedded
        WHERE n_references != (SELECT count(*) FROM passages WHERE passages.embedded_no = embedded.embedded_no)
        OR n_references < 1
    """,
    "numbers of tokens": """
        SELECT count(*) FROM embedded LEFT JOIN embedded_tokens USING (embedded_no)
        WHERE n_tokens IS NOT length(token_ids) / 4
    """,
    "places in segments": """
        SELECT count(*) FROM (
            SELECT row_start, row_start + n_tokens AS row_end, n_vectors,
                lag(row_start + n_tokens, 1, 0) OVER (PARTITION BY segment_no ORDER BY row_start) AS before
            FROM embedded LEFT JOIN segments USING (segment_no) WHERE segment_no IS NOT NULL
        ) WHERE row_start IS NULL OR n_vectors IS NULL OR row_start < before OR row_end > n_vectors
    """,
    "totals": """
        SELECT count(*) FROM (
            SELECT 'n_documents' AS total_of, count(*) AS total FROM documents
            UNION ALL SELECT 'n_passages', count(embedded_no) FROM passages
            UNION ALL SELECT 'n_tokens', coalesce(sum(n_tokens), 0) FROM passages JOIN embedded USING (embedded_no)
        ) WHERE total != coalesce((SELECT value FROM counters WHERE name = total_of), 0)
    """,
    "numbers to be given next": """
        SELECT count(*) FROM counters WHERE
            (name = 'next_embedded' AND value <= (SELECT max(embedded_no) FROM embedded))
            OR (name = 'next_passage' AND value <= (SELECT max(passage_no) FROM passages))
    """,
    "rows of keywords": """
        SELECT count(*) FROM (
            SELECT passage_no FROM passages EXCEPT SELECT passage_no FROM passage_terms
            UNION ALL SELECT * FROM (SELECT passage_no FROM passage_terms EXCEPT SELECT passage_no FROM passages)
        )
    """,
}


@dataclass(frozen=True)
class Damage:
    """Something that is not as it was written.

    Attributes:
        what: a sentence.
        place: the file, or ``meta.db``; ``LOG_NAME`` where commits are lost.
        mend: the command that mends it.
        document: id of the document that it makes unreadable, where it is one that is known.
    """

    what: str
    place: str
    mend: Mend
    document: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return dict(vars(self))


def damages(db: Database, folder: Path) -> Iterator[str]:
    """Yield one sentence for each damage that a deep examination finds; see ``examine``."""
    yield from (damage.what for damage in examine(db, folder, is_deep=True))


def examine_folder(folder: Path, *, is_deep: bool) -> Iterator[Damage]:
    """Yield the damages of an index that perhaps cannot be opened; see ``examine``.

    Raises:
        IndexNotFoundError: there is no index.
        FormatVersionError: a newer vecsearch made it.
        OSError, sqlite3.Error: the system refused, which says nothing of the index.
    """
    if not (folder / DATABASE_NAME).exists():
        if not folder.is_dir() or not any(path.suffix in SUFFIXES for path in folder.iterdir()):
            raise IndexNotFoundError(f"there is no index in {folder}", path=str(folder))
        yield Damage("meta.db is missing", DATABASE_NAME, "restore")
        return
    try:
        with contextlib.closing(reader(folder).conn) as connection:
            db = Database(connection)
            db.execute("BEGIN")
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if not {"documents", "passages", "manifest"} <= tables:
                yield Damage("meta.db holds no index", DATABASE_NAME, "restore")
                return
            refuse_newer(db, folder)
            yield from examine(db, folder, is_deep=is_deep)
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        _raise_refusal(error)
        yield _row(f"meta.db cannot be opened: {error}")


def examine(db: Database, folder: Path, *, is_deep: bool) -> Iterator[Damage]:
    """Yield the damages of an index.

    Args:
        db: connection with an open read transaction.
        folder: of the index.
        is_deep: check every file by its SHA-256, every row by its checksum, and count everything again. Else
            SQLite's quick check, sizes and CRCs of files, and whether the tables agree with each other.
    """
    checks: list[Callable[[], Iterator[Damage]]] = [
        lambda: _damaged_pages(db, is_deep),
        lambda: _lost_commits(db, folder),
        lambda: _damaged_manifest(db),
        lambda: _wrong_versions(db),
        lambda: _senseless_files(db),
        lambda: _damaged_artefacts(db),
        lambda: _damaged_files(db, folder, is_deep),
    ]
    if is_deep:
        checks.append(lambda: _damaged_documents(db, folder))
    checks += [_contradiction(db, what, statement) for what, statement in _CONTRADICTIONS.items()]
    if is_deep:
        checks += [
            lambda: _rows(_wrong_frequencies(db, folder)),
            lambda: _rows(_damaged_words(db, folder)),
            lambda: _rows(_wrong_keywords(db, folder)),
            lambda: _rows(_wrong_sample(db)),
            lambda: _rows(_wrong_metadata(db)),
        ]
    told: set[str] = set()
    for check in checks:
        for damage in _guarded(check):
            if damage.what not in told:
                told.add(damage.what)
                yield damage


def _guarded(check: Callable[[], Iterator[Damage]]) -> Iterator[Damage]:
    """Yield what a check finds; what stops it is a damage too."""
    try:
        yield from check()
    except sqlite3.Error as error:
        _raise_refusal(error)
        yield _row(f"meta.db cannot be read any further: {error}")
    except IndexDamagedError as error:
        yield _row(_what(error))
    except (TypeError, ValueError, OverflowError) as error:
        # a flipped bit can make a number of a text, or a negative one of a length
        yield _row(f"meta.db holds values that cannot be there: {error}")


def _raise_refusal(error: Exception) -> None:
    """Raise an error of the system that was asked, such as too many open files: it says nothing of the index."""
    is_refused = isinstance(error, OSError) and is_refusal(error)
    name = getattr(error, "sqlite_errorname", "") or ""
    # even to read, SQLite makes and locks files beside the database
    is_refused |= name.startswith(("SQLITE_CANTOPEN", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PERM", "SQLITE_FULL"))
    is_refused |= name.startswith("SQLITE_IOERR") and name not in _UNREADABLE
    if is_refused:
        raise error


def _row(what: str, document: str | None = None) -> Damage:
    return Damage(what, "meta.db", "repair", document)


def _rows(sentences: Iterator[str]) -> Iterator[Damage]:
    return map(_row, sentences)


def _damaged_pages(db: Database, is_deep: bool) -> Iterator[Damage]:
    # subtle: each pragma is a row a damage, or one row "ok"
    statement = "PRAGMA integrity_check(20)" if is_deep else "PRAGMA quick_check(20)"
    yield from (_row(f"meta.db: {line}") for (text,) in db.execute(statement) if text != "ok" for line in _lines(text))
    if is_deep:
        yield from (_row(f"meta.db: {row}") for row in db.execute("PRAGMA foreign_key_check"))


def _lost_commits(db: Database, folder: Path) -> Iterator[Damage]:
    lost = lost_commits(db, folder)
    if lost is not None:
        yield Damage(lost, LOG_NAME, "repair")


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("*** in database")] or [text]


def _damaged_manifest(db: Database) -> Iterator[Damage]:
    kinds: dict[str, type] = {"format_version": int, "identity": dict, "configuration": dict}
    found = dict(db.execute("SELECT key, value FROM manifest"))
    for key, kind in kinds.items():
        try:
            value = json.loads(found[key])
        except (KeyError, TypeError, ValueError):
            value = None
        if not isinstance(value, kind):
            yield _row(f"meta.db: the manifest lacks {key}, or has a senseless one")


def _damaged_artefacts(db: Database) -> Iterator[Damage]:
    yield from (_row(f"meta.db: artefact {name} is not what was written") for name in examined_artefacts(db)[1])


def _wrong_versions(db: Database) -> Iterator[Damage]:
    """Compare the migrations that were applied with the format that the manifest says."""
    applied = [name for (name,) in db.execute("SELECT name FROM _sqlite_migrations ORDER BY name")]
    version = int(json.loads(db.execute("SELECT value FROM manifest WHERE key = 'format_version'").fetchone()[0]))
    if [name[:4] for name in applied] != [f"{number:04}" for number in range(1, version + 1)]:
        yield _row(f"meta.db: format {version} does not agree with the migrations that were applied")
    elif version == FORMAT_VERSION and _definitions(db) != _own_definitions():
        yield _row("meta.db: its tables are not defined as those of this format")


def _definitions(db: Database) -> set[tuple[str | None, ...]]:
    """Return how tables and indexes are defined, but for what SQLite or a library defines as its version likes."""
    return {
        row
        for row in db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
        if row[2] != "_sqlite_migrations" and not row[2].startswith(("keywords_", "sqlite_"))
    }


def _own_definitions() -> set[tuple[str | None, ...]]:
    own = Database(memory=True)
    try:
        migrations.apply(own)
        return _definitions(own)
    finally:
        own.conn.close()


def _senseless_files(db: Database) -> Iterator[Damage]:
    """Look for records of files as nobody writes them; one that is only another one cannot be told."""
    (n_wrong,) = db.execute(
        "SELECT count(*) FROM files WHERE size < -1 OR root = '' OR path = '' "
        "OR length(sha256) != 32 AND NOT (size = -1 AND length(sha256) = 0)"
    ).fetchone()
    if n_wrong:
        yield _row(f"meta.db: {n_wrong} records of files make no sense")


def _damaged_files(db: Database, folder: Path, is_deep: bool) -> Iterator[Damage]:
    records = [record.stored for _, record in segment_records(db)]
    codebook = codebook_record(db)
    if codebook is not None:
        records.append(codebook.stored)
    for stored in records:
        found = verify_file(folder, stored) if is_deep else _quick_file(folder, stored)
        if found is not None:
            yield Damage(found, stored.file, "compact")


def _quick_file(folder: Path, stored: StoredFile) -> str | None:
    kind = Path(stored.file).suffix[1:]
    try:
        map_file(folder, stored).whole()
    except IndexDamagedError as error:
        return error.message
    except (OSError, ValueError) as error:
        _raise_refusal(error)
        return f"{kind} {stored.file} cannot be read: {error}"
    return None


def _contradiction(db: Database, what: str, statement: str) -> Callable[[], Iterator[Damage]]:
    def check() -> Iterator[Damage]:
        (n_wrong,) = db.execute(statement).fetchone()
        if n_wrong:
            yield _row(f"meta.db: {n_wrong} {what} do not agree with the documents")

    return check


def _damaged_documents(db: Database, folder: Path) -> Iterator[Damage]:
    snapshot = EmbeddedSnapshot(db, None, folder, None)
    # subtle: in the order of ids it is the index of ids that is read, which names documents on damaged pages too
    for (doc_id,) in db.execute("SELECT doc_id FROM documents ORDER BY doc_id").fetchall():
        try:
            if snapshot.document(doc_id) is None:
                yield _row(f"meta.db: document {doc_id!r} is in the index of ids, but not in its table", doc_id)
        except IndexDamagedError as error:
            yield _row(_what(error), doc_id)
        except sqlite3.Error as error:
            yield _row(f"meta.db: document {doc_id!r} cannot be read: {error}", doc_id)


def _what(error: IndexDamagedError) -> str:
    """Return what is damaged without what to do about it, which is told once for all."""
    what = error.facts.get("row")
    return error.message if what is None else f"meta.db: {what} is not what was written"


def _damaged_words(db: Database, folder: Path) -> Iterator[str]:
    try:
        for _ in read_words(db, folder):
            pass
    except IndexDamagedError as error:
        yield _what(error)


def _wrong_frequencies(db: Database, folder: Path) -> Iterator[str]:
    """Count again in how many passages each token occurs."""
    references = dict(db.execute("SELECT embedded_no, n_references FROM embedded"))
    counted: Counter[int] = Counter()
    for numbers in chunks(references):
        try:
            tokens = read_tokens(db, numbers, None, folder)
        except IndexDamagedError:
            return  # it was named with its document
        passage_of = np.repeat(np.arange(len(numbers)), np.diff(tokens.offsets))
        pairs = np.unique(np.stack([passage_of, tokens.ids])[:, tokens.ids >= 0], axis=1)
        amounts = np.array([references[number] for number in numbers], np.int64)[pairs[0]]
        ids, places = np.unique(pairs[1], return_inverse=True)
        totals = np.zeros(len(ids), np.int64)
        np.add.at(totals, places, amounts)
        counted.update(dict(zip(ids.tolist(), totals.tolist(), strict=True)))
    stored = dict(db.execute("SELECT token_id, document_frequency FROM token_statistics WHERE document_frequency != 0"))
    if stored != counted:
        n_wrong = len({number for number, _ in stored.items() ^ counted.items()})
        yield f"meta.db: the document frequencies of {n_wrong} tokens do not agree with the documents"


def _wrong_keywords(db: Database, folder: Path) -> Iterator[str]:
    """Compare the counts of every passage with the full-text index, and the frequencies of keywords with both."""
    passages = [number for (number,) in db.execute("SELECT passage_no FROM passages ORDER BY passage_no")]
    counted: Counter[int] = Counter()
    counts: set[tuple[int, int, int]] = set()
    try:
        for number, term_nos, amounts in read_terms(db, folder, passages):
            counted.update(term_nos.tolist())
            counts.update(zip(itertools.repeat(number), term_nos.tolist(), amounts.tolist(), strict=False))
    except IndexDamagedError as error:
        yield _what(error)
        return
    stored = dict(db.execute("SELECT term_no, passage_frequency FROM terms WHERE passage_frequency != 0"))
    if stored != counted:
        n_wrong = len({number for number, _ in stored.items() ^ counted.items()})
        yield f"meta.db: the frequencies of {n_wrong} keywords do not agree with the documents"
    found = set(instances(db))
    if found != counts:
        n_wrong = len({number for number, _, _ in found ^ counts})
        yield f"meta.db: the full-text index does not agree with {n_wrong} passages"


def _wrong_sample(db: Database) -> Iterator[str]:
    """Draw the background sample again."""
    rows = db.execute("SELECT embedded_no, key, n_tokens FROM embedded ORDER BY embedded_no").fetchall()
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([row[2] for row in rows], dtype=np.int64)])
    drawn = np.sort(hashes([row[1] for row in rows], offsets))[:FEWEST]
    kept = db.execute("SELECT hash FROM background ORDER BY hash LIMIT ?", [FEWEST]).fetchall()
    if [number for (number,) in kept] != drawn.tolist():
        yield "meta.db: the background sample does not agree with the documents"


def _wrong_metadata(db: Database) -> Iterator[str]:
    """Count again which types of values each metadata key has."""
    counted: Counter[tuple[str, str]] = Counter()
    for (metadata,) in db.execute("SELECT metadata FROM documents WHERE metadata != '{}'"):
        try:
            counted.update(field_types(json.loads(metadata)))
        except ValueError:
            return  # it was named with its document
    stored = {
        (key, kind): n for key, kind, n in db.execute("SELECT key, type, n_documents FROM metadata_types") if n != 0
    }
    if stored != counted:
        yield "meta.db: the types of metadata do not agree with the documents"


def remember_verified(folder: Path, *, is_deep: bool, n_damages: int) -> None:
    """Note in an index folder that it was examined now, and with what result; where it may not be written, do not."""
    disk = Disk(folder, "fast")
    temporary = f"verified-{os.getpid()}.tmp"
    time = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"time": time, "is_deep": is_deep, "n_damages": n_damages}
    with contextlib.suppress(OSError):
        try:
            with disk.create(temporary) as file:
                disk.write(file, json.dumps(entry).encode())
            disk.rename(temporary, VERIFIED_NAME)
        finally:
            disk.remove(temporary)


def last_verified(folder: Path) -> dict[str, Any] | None:
    """Return when an index was last examined (``time``), whether deep, and ``n_damages``; None: never."""
    try:
        with open(folder / VERIFIED_NAME, "rb") as file:
            entry = json.loads(file.read(1_000))
        return {"time": str(entry["time"]), "is_deep": bool(entry["is_deep"]), "n_damages": int(entry["n_damages"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
