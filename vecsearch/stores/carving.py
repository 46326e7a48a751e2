"""Reading rows from the bare pages of a database that SQLite cannot open, or cannot find its way through.

Every leaf page of a table is looked at for itself, so no page that only leads to others is needed, nor the first one,
nor the schema. What a row is of follows from its columns, and a row is believed only if its checksum is right. The
format of pages and records: https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.errors import IndexDamagedError
from vecsearch.precision import RowFormat, unpacked
from vecsearch.stores.reading import passage_checksum
from vecsearch.stores.salvage import FoundDocument, LostDocument, are_rows
from vecsearch.stores.schema import DATABASE_NAME, checksum, translated
from vecsearch.types import FileRecord

__all__ = ["Carver"]

_MAGIC = b"SQLite format 3\0"
_USUAL_PAGE = 4096
_TABLE_LEAF, _INDEX_LEAF = 0x0D, 0x0A
_MANIFEST = {"format_version", "vecsearch", "created", "identity", "configuration"}
_UNKNOWN = "neither its record nor its id can be read"
_LARGEST_RECORD = 1 << 30
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)

Place = tuple[int, int]
"""A page and where a cell begins in it."""


class Carver:
    """Reads what ``Salvage`` does, page by page. A context manager; nobody may write the index meanwhile.

    Args:
        folder: of the index.
        given: see ``Salvage``.
        names: ids of documents by number, where they are known from elsewhere, to name what is lost.

    Attributes:
        holes: what could not be known, one sentence each.

    Raises:
        IndexDamagedError: there are no pages at all.
        StorageError: the file system refused.
    """

    def __init__(self, folder: Path, *, given: RowFormat | None = None, names: Mapping[int, str] | None = None) -> None:
        self.folder = folder
        self._names = names or {}
        self.holes: list[str] = []
        self._given = given
        with translated(folder):
            self._pages = _Pages(folder / DATABASE_NAME)
        if not self._pages.is_header_whole:
            self.holes.append("the first page cannot be read: documents that were deleted may be back")
        self._records: dict[int, list[Place]] = {}
        self._passages: dict[int, dict[int, tuple[int, Place]]] = {}
        self._tokens: dict[int, Place] = {}
        self._files: dict[int, FileRecord] = {}
        self._manifest: dict[str, Any] = {}
        self._counters: dict[str, int] = {}
        for is_table, place, rowid, values in self._pages.cells():
            if is_table:
                self._take_row(place, rowid, values)
            elif len(values) == 2 and isinstance(values[0], str):
                self._take_pair(values[0], values[1])

    def __enter__(self) -> Carver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._pages.close()

    def _take_row(self, place: Place, rowid: int, values: Sequence[Any]) -> None:
        if not values or values[0] is not None:  # the column that is the row's number is stored as NULL
            return
        match len(values):
            case 8 if _is_document(values):
                self._records.setdefault(rowid, []).append(place)
            case 9 if passage_checksum(values[1:8]) == values[8] and isinstance(values[7], str):
                of_document = self._passages.setdefault(values[1], {})
                # a later passage of the same place took the place of an earlier one
                if values[2] not in of_document or of_document[values[2]][0] < rowid:
                    of_document[values[2]] = (rowid, place)
            case 4 if self._given is not None and _are_given(self._given, rowid, values):
                self._tokens[rowid] = place
            case 6:
                _, root, path, size, mtime_ns, sha256 = values
                kinds = (str, str, int, int, bytes)
                if all(map(isinstance, (root, path, size, mtime_ns, sha256), kinds)) and len(sha256) in (0, 32):
                    self._files[rowid] = FileRecord(root, path, size, mtime_ns, sha256)

    def _take_pair(self, key: str, value: Any) -> None:
        if key in _MANIFEST and isinstance(value, str):
            try:
                self._manifest[key] = json.loads(value)
            except ValueError:
                return
        elif key in ("generation", "n_documents") and isinstance(value, int):
            self._counters[key] = max(value, self._counters.get(key, 0))

    def manifest(self) -> dict[str, Any]:
        """Return those rows of the manifest that were found."""
        return dict(self._manifest)

    def artefacts(self) -> dict[str, bytes]:
        """Return nothing: their pages tell too little of themselves."""
        return {}

    def counter(self, name: str) -> int:
        """Return ``generation`` or ``n_documents``, 0 where it was not found."""
        return self._counters.get(name, 0)

    def files(self) -> list[FileRecord]:
        """Return the files that are recorded and whose documents were all committed."""
        return [record for record in self._files.values() if record.size >= 0 and record.sha256]

    def indexed_metadata(self) -> list[str]:
        """Return nothing: these rows have no checksum and look like others."""
        return []

    def documents(self) -> Iterator[FoundDocument | LostDocument]:
        """Yield every document of which there is a record, and one without an id for each that only has passages."""
        taken: set[str] = set()
        numbers = self._records.keys() | self._passages.keys() | self._names.keys()
        for number in sorted(numbers):
            places = self._records.get(number)
            if places is None:
                name = self._names.get(number)
                yield LostDocument(name, "its record cannot be read" if name else _UNKNOWN)
                continue
            found = [self._whole(number, self._pages.values(place)) for place in places]
            # of a number that was used twice, the record that fits the passages is the one that counts
            whole = [one for one in found if isinstance(one, FoundDocument)]
            best = (whole or found)[0]
            if best.id is not None and best.id in taken:
                continue
            taken.add(best.id or "")
            yield best
        n_missing = self.counter("n_documents") - len(numbers)
        for _ in range(min(max(n_missing, 0), 1_000_000)):
            yield LostDocument(None, _UNKNOWN)

    def _whole(self, number: int, record: Sequence[Any]) -> FoundDocument | LostDocument:
        _, doc_id, title, metadata, content_hash, n_characters, file_no, _ = record
        owner = self._files.get(file_no)
        file = None if owner is None else (owner.root, owner.path)
        rows = self._passages.get(number, {})
        texts: list[str] = []
        starts: list[int] = []
        embedded: list[Any] = []
        length = 0
        for ordinal in range(len(rows)):
            if ordinal not in rows:
                break
            values = self._pages.values(rows[ordinal][1])
            if values[3] != length:
                break
            texts.append(values[7])
            starts.append(values[3])
            embedded.append(values[5])
            length += len(values[7])
        if length != n_characters:
            return LostDocument(doc_id, "a passage of its text is not what was written, or cannot be read", file)
        try:
            parsed = json.loads(metadata)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            return LostDocument(doc_id, "its record makes no sense", file)
        text = "".join(texts)
        if self._given is None:
            return FoundDocument(doc_id, title, parsed, content_hash, text, starts, file)
        places = [self._tokens.get(one) for one in embedded]
        if not places or None in places:
            return LostDocument(doc_id, "its given vectors are not what was written, or cannot be read", file)
        all_values = [self._pages.values(place) for place in places if place is not None]
        ids = np.frombuffer(b"".join(values[1] for values in all_values), "<i4").astype(np.int32)
        vectors = unpacked(b"".join(values[2] for values in all_values), self._given.dim, self._given.precision)
        token_ids = None if np.any(ids < 0) else ids
        return FoundDocument(doc_id, title, parsed, content_hash, text, starts, file, vectors, token_ids)


def _is_document(values: Sequence[Any]) -> bool:
    _, doc_id, title, metadata, content_hash, n_characters, _, crc = values
    are_texts = isinstance(doc_id, str) and isinstance(title, str) and isinstance(metadata, str)
    if not are_texts or not isinstance(content_hash, bytes):
        return False
    return bool(checksum(doc_id, title, metadata, content_hash, n_characters) == crc)


def _are_given(row_format: RowFormat, rowid: int, values: Sequence[Any]) -> bool:
    _, ids, rows, crc = values
    if not isinstance(ids, bytes) or not isinstance(rows, bytes) or not are_rows(row_format, ids, rows):
        return False
    return bool(checksum(rowid, ids, rows) == crc)


class _Pages:
    """The pages of a database file, with those that SQLite's log holds in place of the older ones."""

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as file:
            header = file.read(100)
            if len(header) < 100:
                raise IndexDamagedError(f"{path} has no pages", path=str(path))
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        (size,) = struct.unpack_from(">H", header, 16)
        size = 65536 if size == 1 else size
        self.is_header_whole = header.startswith(_MAGIC) and size >= 512 and size & (size - 1) == 0
        self._size = size if self.is_header_whole else _USUAL_PAGE
        self._usable = self._size - (header[20] if self.is_header_whole else 0)
        self._logged = _logged(path.with_name(f"{path.name}-wal"), self._size)
        self._n_pages = max([len(self._map) // self._size, *self._logged])
        self._free = self._free_pages() if self.is_header_whole else set()

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()

    def _page(self, number: int) -> bytes:
        """Return a page, numbered from 1; nothing where there is none."""
        logged = self._logged.get(number)
        return logged if logged is not None else self._map[(number - 1) * self._size : number * self._size]

    def _free_pages(self) -> set[int]:
        free: set[int] = set()
        (trunk,) = struct.unpack_from(">I", self._page(1), 32)
        while 0 < trunk <= self._n_pages and trunk not in free:
            free.add(trunk)
            page = self._page(trunk)
            if len(page) < self._size:
                break
            trunk, n_leaves = struct.unpack_from(">II", page)
            n_leaves = min(n_leaves, (self._usable - 8) // 4)
            free.update(struct.unpack_from(f">{n_leaves}I", page, 8))
        return free

    def cells(self) -> Iterator[tuple[bool, Place, int, list[Any]]]:
        """Yield each record of each leaf page: whether it is a table's, its place, its number (0 in an index)."""
        for number in range(1, self._n_pages + 1):
            page = self._page(number)
            at = 100 if number == 1 else 0
            if number in self._free or len(page) < self._size or page[at] not in (_TABLE_LEAF, _INDEX_LEAF):
                continue
            (n_cells,) = struct.unpack_from(">H", page, at + 3)
            if n_cells > (self._usable - 8) // 4:
                continue
            for (begin,) in struct.iter_unpack(">H", page[at + 8 : at + 8 + 2 * n_cells]):
                try:
                    rowid, values = self._record(page, begin, page[at] == _TABLE_LEAF)
                except (ValueError, IndexError, struct.error):
                    continue
                yield page[at] == _TABLE_LEAF, (number, begin), rowid, values

    def values(self, place: Place) -> list[Any]:
        """Return the values of a table's record that ``cells`` has yielded."""
        return self._record(self._page(place[0]), place[1], True)[1]

    def _record(self, page: bytes, at: int, is_table: bool) -> tuple[int, list[Any]]:
        """Return number and values of a record; a ValueError or IndexError where there is none."""
        length, at = _varint(page, at)
        rowid = 0
        if is_table:
            rowid, at = _varint(page, at)
            rowid -= (rowid >> 63) << 64
        if not 0 < length <= _LARGEST_RECORD:
            raise ValueError("no length of a record")
        return rowid, _values(self._payload(page, at, length, is_table))

    def _payload(self, page: bytes, at: int, length: int, is_table: bool) -> bytes:
        usable = self._usable
        most = usable - 35 if is_table else (usable - 12) * 64 // 255 - 23
        if length <= most:
            return page[at : at + length]
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        local = local if local <= most else least
        pieces, left = [page[at : at + local]], length - local
        (following,) = struct.unpack_from(">I", page, at + local)
        seen: set[int] = set()
        while left > 0:
            if not 0 < following <= self._n_pages or following in seen:
                raise ValueError("a chain of pages that leads nowhere")
            seen.add(following)
            more = self._page(following)
            pieces.append(more[4 : 4 + min(left, usable - 4)])
            left -= usable - 4
            (following,) = struct.unpack_from(">I", more)
        return b"".join(pieces)


def _values(payload: bytes) -> list[Any]:
    header, at = _varint(payload, 0)
    if header > len(payload):
        raise ValueError("a header longer than its record")
    kinds = []
    while at < header:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values: list[Any] = []
    for kind in kinds:
        size = _SIZES[kind] if kind < 10 else (kind - 12) // 2
        piece = payload[at : at + size]
        if len(piece) < size or kind in (10, 11):
            raise ValueError("a value beyond its record")
        at += size
        if kind == 0:
            values.append(None)
        elif kind <= 6:
            values.append(int.from_bytes(piece, "big", signed=True))
        elif kind == 7:
            values.append(struct.unpack(">d", piece)[0])
        elif kind <= 9:
            values.append(kind - 8)
        elif kind % 2:
            values.append(piece.decode("utf-8"))  # a UnicodeDecodeError is a ValueError
        else:
            values.append(piece)
    return values


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return an integer of 1 to 9 bytes, 7 bits each, and where it ends."""
    value = 0
    for number in range(8):
        byte = content[at + number]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + number + 1
    return value << 8 | content[at + 8], at + 9


def _logged(path: Path, size: int) -> dict[int, bytes]:
    """Return the newest committed page by number from SQLite's log, where there is one."""
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    if len(content) < 32 or struct.unpack_from(">I", content, 8)[0] != size:
        return {}
    salts = content[16:24]
    found: dict[int, bytes] = {}
    waiting: dict[int, bytes] = {}
    for at in range(32, len(content) - 24 - size + 1, 24 + size):
        if content[at + 8 : at + 16] != salts:
            break
        number, n_pages = struct.unpack_from(">II", content, at)
        waiting[number] = content[at + 24 : at + 24 + size]
        if n_pages:
            found |= waiting
            waiting = {}
    return found
