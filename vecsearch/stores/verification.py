"""Checking all that an embedded store keeps: every file, every row, and that the rows agree with each other."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sqlite_utils import Database

from vecsearch.errors import IndexDamagedError
from vecsearch.filters import field_types
from vecsearch.stores.files import verify_file
from vecsearch.stores.keywords import instances, read_terms
from vecsearch.stores.manifest import codebook_record, segment_records
from vecsearch.stores.reading import EmbeddedSnapshot, read_tokens, read_words
from vecsearch.stores.sampling import FEWEST, hashes
from vecsearch.stores.schema import chunks
from vecsearch.stores.segments import verify_segment

__all__ = ["damages"]

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
}


def damages(db: Database, folder: Path, dim: int) -> Iterator[str]:
    """Yield one sentence for each damage.

    Args:
        db: connection with an open read transaction.
        folder: of the index.
        dim: length of a vector.
    """
    try:
        yield from (f"meta.db: {row[0]}" for row in db.execute("PRAGMA integrity_check") if row[0] != "ok")
        yield from (f"meta.db: {row}" for row in db.execute("PRAGMA foreign_key_check"))
        for _, record in segment_records(db):
            if damage := verify_segment(folder, record):
                yield damage
        codebook = codebook_record(db)
        if codebook is not None and (damage := verify_file(folder, codebook.stored)):
            yield damage
        yield from _damaged_documents(db, folder, dim)
        for what, statement in _CONTRADICTIONS.items():
            (n_wrong,) = db.execute(statement).fetchone()
            if n_wrong:
                yield f"meta.db: {n_wrong} {what} do not agree with the documents"
        yield from _wrong_frequencies(db, folder, dim)
        yield from _damaged_words(db, folder)
        yield from _wrong_keywords(db, folder)
        yield from _wrong_sample(db)
        yield from _wrong_metadata(db)
    except sqlite3.DatabaseError as error:
        yield f"meta.db cannot be read any further: {error}"
    except (TypeError, ValueError, OverflowError) as error:
        # a flipped bit can make a number of a text, or a negative one of a length
        yield f"meta.db holds values that cannot be there: {error}"


def _damaged_documents(db: Database, folder: Path, dim: int) -> Iterator[str]:
    snapshot = EmbeddedSnapshot(db, None, folder, dim)
    for (doc_id,) in db.execute("SELECT doc_id FROM documents ORDER BY doc_no").fetchall():
        try:
            snapshot.document(doc_id)
        except IndexDamagedError as error:
            yield error.message


def _damaged_words(db: Database, folder: Path) -> Iterator[str]:
    try:
        for _ in read_words(db, folder):
            pass
    except IndexDamagedError as error:
        yield error.message


def _wrong_frequencies(db: Database, folder: Path, dim: int) -> Iterator[str]:
    """Count again in how many passages each token occurs."""
    references = dict(db.execute("SELECT embedded_no, n_references FROM embedded"))
    counted: Counter[int] = Counter()
    for numbers in chunks(references):
        try:
            tokens = read_tokens(db, numbers, dim, folder)
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
        yield error.message
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
