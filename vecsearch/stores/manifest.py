"""What the database says of the files of an index: segments, codebooks, and how deep codes are searched."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlite_utils import Database

from vecsearch.stores.files import SUFFIXES, StoredFile
from vecsearch.stores.protocol import Depth
from vecsearch.stores.schema import damaged_row
from vecsearch.stores.segments import SegmentRecord

__all__ = [
    "CodebookRecord",
    "NewCodebook",
    "codebook_record",
    "file_names",
    "insert_codebook",
    "insert_segment",
    "read_depth",
    "segment_records",
    "write_depth",
]


@dataclass(frozen=True)
class CodebookRecord:
    """What the manifest says of a codebook.

    Attributes:
        number: in the database.
        stored: the file.
        n_cells: how many cells it has.
        n_tokens: of the index it was made for.
    """

    number: int
    stored: StoredFile
    n_cells: int
    n_tokens: int


@dataclass(frozen=True)
class NewCodebook:
    """A codebook that the manifest is to name: file, number of cells, tokens of the index it was made for."""

    stored: StoredFile
    n_cells: int
    n_tokens: int


def _has_codes(db: Database) -> bool:
    """Return whether the format of the index knows codes: from version 2 on."""
    return bool(db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'codebooks'").fetchone()[0])


def _stored(db: Database, file: object, sha256: object, size: object, crcs: object, *numbers: object) -> StoredFile:
    """Return what a row says of a file, with some numbers of it, after a look at whether it can be.

    Raises:
        IndexDamagedError: the name is no name of our files, or a value has another type.
    """
    is_name = isinstance(file, str) and Path(file).name == file and Path(file).suffix in SUFFIXES
    if (
        is_name
        and isinstance(sha256, str)
        and isinstance(crcs, bytes)
        and all(isinstance(number, int) and number >= 0 for number in (size, *numbers))
    ):
        return StoredFile(file, sha256, size, crcs)  # type: ignore[arg-type]  # seen above
    home = Path(db.execute("PRAGMA database_list").fetchone()[2]).parent
    raise damaged_row(home, f"the record of the file {file!r:.80}")


def segment_records(db: Database) -> list[tuple[int, SegmentRecord]]:
    """Return all segments that the manifest names, with their numbers.

    Raises:
        IndexDamagedError: a row names what cannot be.
    """
    codebook = "codebook_no" if _has_codes(db) else "NULL"
    return [
        (number, SegmentRecord(_stored(db, file, sha256, size, crcs, n_vectors, dim), n_vectors, dim, codebook_no))
        for number, file, sha256, size, crcs, n_vectors, dim, codebook_no in db.execute(
            f"SELECT segment_no, file, sha256, size, crcs, n_vectors, dim, {codebook} "  # noqa: S608 - constants
            f"FROM segments ORDER BY segment_no"
        )
    ]


def insert_segment(db: Database, record: SegmentRecord) -> int:
    """Name a segment in the manifest, and return its number."""
    stored = record.stored
    # the same rows written twice are the same file: then its row is there already
    db.execute(
        "INSERT INTO segments (file, sha256, size, n_vectors, dim, crcs, codebook_no) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (file) DO NOTHING",
        [stored.file, stored.sha256, stored.size, record.n_vectors, record.dim, stored.crcs, record.codebook_no],
    )
    return int(db.execute("SELECT segment_no FROM segments WHERE file = ?", [record.file]).fetchone()[0])


def codebook_record(db: Database) -> CodebookRecord | None:
    """Return the codebook of the index, None while it has none.

    Raises:
        IndexDamagedError: its row names what cannot be.
    """
    if not _has_codes(db):
        return None
    row = db.execute(
        "SELECT codebook_no, file, sha256, size, crcs, n_cells, n_tokens FROM codebooks ORDER BY codebook_no DESC"
    ).fetchone()
    return None if row is None else CodebookRecord(row[0], _stored(db, *row[1:7]), row[5], row[6])


def insert_codebook(db: Database, codebook: NewCodebook) -> int:
    """Name a codebook in the manifest, and return its number."""
    stored = codebook.stored
    db.execute(
        "INSERT INTO codebooks (file, sha256, size, crcs, n_cells, n_tokens) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (file) DO NOTHING",
        [stored.file, stored.sha256, stored.size, stored.crcs, codebook.n_cells, codebook.n_tokens],
    )
    return int(db.execute("SELECT codebook_no FROM codebooks WHERE file = ?", [stored.file]).fetchone()[0])


def file_names(db: Database) -> set[str]:
    """Return the names of all files that the manifest names."""
    codebook = codebook_record(db)
    names = {record.file for _, record in segment_records(db)}
    return names if codebook is None else names | {codebook.stored.file}


def read_depth(db: Database, folder: Path) -> Depth:
    """Return how deep codes are to be searched.

    Raises:
        IndexDamagedError: what is stored makes no sense.
    """
    row = db.execute("SELECT value FROM tuning WHERE key = 'depth'").fetchone() if _has_codes(db) else None
    if row is None:
        return Depth()
    try:
        depth = Depth(**json.loads(row[0]))
        numbers = (depth.n_nearest, depth.n_probe, depth.n_rescored)
        if not all(isinstance(number, int) and 0 < number <= 1_000_000 for number in numbers):
            raise ValueError(f"{numbers} are no depths")
    except (TypeError, ValueError) as error:
        raise damaged_row(folder, "the depth of search") from error
    return depth


def write_depth(db: Database, depth: Depth) -> None:
    """Store how deep codes are searched from now on."""
    db.execute(
        "INSERT INTO tuning (key, value) VALUES ('depth', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [json.dumps(asdict(depth), sort_keys=True)],
    )
