"""Keywords in the database: FTS5 finds the passages that hold one, and each passage's own counts give its BM25.

FTS5 is never asked to rank: to rank it would have to look at every passage that holds any word of the query, *the*
included. It is asked for the passages of rare keywords only. What BM25 needs for any other passage stands beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlite_utils import Database

from vecsearch.stores.analysis import Analyzer
from vecsearch.stores.schema import checksum, chunks, damaged_row, marks

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.protocol import Numbers

__all__ = [
    "KeptPostings",
    "KeywordWriter",
    "PassageCounts",
    "instances",
    "keyword_text",
    "postings",
    "read_counts",
    "read_terms",
    "term_numbers",
]

_MOST = 0xFFFF
FEWEST_KEPT = 500
"""So many passages of a keyword are read in the time that asking takes: they are not kept."""
MOST_KEPT = 2_000_000
"""Passages of keywords that are kept in memory, 6 bytes each."""


def keyword_text(title: str, text: str, ordinal: int) -> str:
    """Return what the keywords of a passage are taken from: the first one of a document carries the title."""
    return f"{title}\n{text}" if title and ordinal == 0 else text


@dataclass(frozen=True)
class PassageCounts:
    """How often each keyword occurs in each of some passages, flat, in the order of the passages.

    Attributes:
        vocabulary: the different keywords.
        places: int64 ``(n_rows,)``, where each row's keyword stands in ``vocabulary``.
        counts: int64 ``(n_rows,)`` ≥ 1.
        offsets: int64 ``(n_passages + 1,)``; rows of passage p are ``offsets[p]:offsets[p + 1]``.
        n_terms: int64 ``(n_passages,)``, number of words of each passage.
    """

    vocabulary: Sequence[str]
    places: Numbers
    counts: Numbers
    offsets: Numbers
    n_terms: Numbers


class KeywordWriter:
    """Keeps the keywords of an index. All methods belong into a transaction of the caller's.

    Args:
        db: the writer's connection.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._analyzer = Analyzer()
        self._numbers: dict[str, int] | None = None

    def forget(self) -> None:
        """Read the numbers of keywords again when they are needed: the transaction that gave some has failed."""
        self._numbers = None

    def count(self, texts: Sequence[str]) -> PassageCounts:
        """Count the keywords of the texts of passages."""
        found = self._analyzer.count(texts)
        offsets = np.searchsorted(found.texts, np.arange(len(texts) + 1))
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(found.counts)])
        n_terms = sums[offsets[1:]] - sums[offsets[:-1]]
        return PassageCounts(found.vocabulary, found.places, found.counts, offsets, n_terms)

    def add(self, first: int, texts: Sequence[str], counts: PassageCounts) -> None:
        """Take in passages numbered from ``first`` on."""
        self._db.conn.executemany("INSERT INTO keywords (rowid, text) VALUES (?, ?)", enumerate(texts, first))
        vocabulary = self._intern(counts.vocabulary, counts.places)
        self._add_frequencies(vocabulary, np.bincount(counts.places, minlength=len(vocabulary)))
        numbers = vocabulary[counts.places]
        order = np.lexsort((numbers, np.repeat(np.arange(len(texts)), np.diff(counts.offsets))))
        all_numbers = numbers[order].astype("<u4").tobytes()
        all_amounts = np.minimum(counts.counts[order], _MOST).astype("<u2").tobytes()
        rows = []
        for number, (begin, end) in enumerate(pairwise(counts.offsets.tolist()), first):
            content = (all_numbers[4 * begin : 4 * end], all_amounts[2 * begin : 2 * end])
            rows.append((number, *content, checksum(number, *content)))
        self._db.conn.executemany(
            "INSERT INTO passage_terms (passage_no, term_nos, counts, checksum) VALUES (?, ?, ?, ?)", rows
        )

    def remove(self, doc_nos: Sequence[int]) -> None:
        """Take out the passages of at most 500 documents, before their rows are deleted.

        A passage whose row is damaged stays among the passages of its keywords. It is found there no more: numbers of
        passages are never used again.
        """
        gone = [np.zeros(0, "<u4")]
        texts: list[tuple[int, str]] = []
        for number, title, ordinal, text, term_nos, counts, crc in self._db.execute(
            "SELECT passage_no, title, ordinal, text, term_nos, counts, passage_terms.checksum "  # noqa: S608
            "FROM passages JOIN documents USING (doc_no) JOIN passage_terms USING (passage_no) "
            f"WHERE doc_no IN ({marks(doc_nos)})",
            list(doc_nos),
        ).fetchall():
            if checksum(number, term_nos, counts) == crc:
                gone.append(np.frombuffer(term_nos, "<u4"))
            texts.append((number, keyword_text(title, text, ordinal)))
        # subtle: without its content, FTS5 must be given the text that is to go
        self._db.conn.executemany("INSERT INTO keywords (keywords, rowid, text) VALUES ('delete', ?, ?)", texts)
        numbers, n_passages = np.unique(np.concatenate(gone), return_counts=True)
        self._add_frequencies(numbers, -n_passages)

    def _intern(self, terms: Sequence[str], places: Numbers) -> Numbers:
        """Return the numbers of keywords; new ones get theirs in the order in which ``places`` names them."""
        if self._numbers is None:
            self._numbers = dict(self._db.execute("SELECT term, term_no FROM terms"))
        known = self._numbers
        in_order = np.argsort(np.unique(places, return_index=True)[1]).tolist()
        new = [term for place in in_order if (term := terms[place]) not in known]
        first = len(known)
        known.update(zip(new, range(first, first + len(new)), strict=True))
        self._db.conn.executemany(
            "INSERT INTO terms (term_no, term, passage_frequency) VALUES (?, ?, 0)", enumerate(new, first)
        )
        return np.fromiter(map(known.__getitem__, terms), np.int64, len(terms))

    def _add_frequencies(self, numbers: Numbers, changes: Numbers) -> None:
        self._db.conn.executemany(
            "UPDATE terms SET passage_frequency = passage_frequency + ? WHERE term_no = ?",
            zip(changes.tolist(), numbers.tolist(), strict=True),
        )


def term_numbers(db: Database, terms: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Return the number of each keyword, −1 where it is unknown, and in how many passages it occurs."""
    found = {
        term: (number, frequency)
        for chunk in chunks(list(dict.fromkeys(terms)))
        for term, number, frequency in db.execute(
            f"SELECT term, term_no, passage_frequency FROM terms WHERE term IN ({marks(chunk)})",  # noqa: S608 - only marks
            chunk,
        )
    }
    pairs = np.array([found.get(term, (-1, 0)) for term in terms], np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def postings(db: Database, term: str) -> tuple[Numbers, Numbers]:
    """Return the passages that hold a keyword, ascending, and how often each of them does."""
    _open_instances(db)
    # one text of all numbers takes a quarter of the time of a row for each
    (text,) = db.execute("SELECT group_concat(doc) FROM temp.keyword_instances WHERE term = ?", [term]).fetchone()
    occurrences = np.fromstring(text or "", np.int64, sep=",")
    steps = np.diff(occurrences, prepend=-1)
    if (steps < 0).any():
        occurrences.sort()
        steps = np.diff(occurrences, prepend=-1)
    begins = np.flatnonzero(steps)
    return occurrences[begins], np.diff(begins, append=len(occurrences))


class KeptPostings:
    """The passages of the keywords of one commit that were asked for last. Threads may share it.

    Frequent words take longest to read, and come up again: all that are kept of them are 12 MB at most.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]] = {}
        self._n_kept = 0

    def of(self, term: str, read: Callable[[str], tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
        """Return what ``read`` returns for a keyword, or returned before."""
        with self._lock:
            kept = self._kept.pop(term, None)
            if kept is not None:
                self._kept[term] = kept  # invariant: what was asked for last stands last
        if kept is not None:
            return kept[0].astype(np.int64), kept[1].astype(np.int64)
        passages, counts = read(term)
        fits = len(passages) and passages[-1] <= np.iinfo(np.int32).max and counts.max() <= _MOST
        if fits and FEWEST_KEPT <= len(passages) <= MOST_KEPT:
            small = passages.astype(np.int32), counts.astype(np.uint16)
            with self._lock:
                if term not in self._kept:
                    self._kept[term] = small
                    self._n_kept += len(passages)
                while self._n_kept > MOST_KEPT:
                    oldest = next(iter(self._kept))
                    self._n_kept -= len(self._kept.pop(oldest)[0])
        return passages, counts


def _open_instances(db: Database) -> None:
    db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.keyword_instances USING fts5vocab(main, keywords, instance)")


def read_counts(db: Database, folder: Path, passages: Numbers, numbers: Numbers) -> Numbers:
    """Return how often keywords occur in passages: int64 ``(n_terms, n_passages)``, from the passages' own counts.

    Args:
        db: connection with an open read transaction.
        folder: of the index, for messages.
        passages: numbers of passages, ascending.
        numbers: of keywords; −1 occurs nowhere.

    Raises:
        IndexDamagedError: a row is missing or is not what was written.
    """
    counts = np.zeros((len(numbers), len(passages)), np.int64)
    for begin, rows in _read_rows(db, folder, passages.tolist()):
        places = begin + np.repeat(np.arange(len(rows)), [len(term_nos) // 4 for term_nos, _ in rows])
        held = np.frombuffer(b"".join(term_nos for term_nos, _ in rows), "<u4").astype(np.int64)
        often = np.frombuffer(b"".join(amounts for _, amounts in rows), "<u2").astype(np.int64)
        for row_no, number in enumerate(numbers.tolist()):
            at = np.flatnonzero(held == number)
            counts[row_no, places[at]] = often[at]
    return counts


def read_terms(db: Database, folder: Path, passages: Sequence[int]) -> Iterator[tuple[int, Numbers, Numbers]]:
    """Yield each passage with the numbers of its keywords and how often it has them.

    Raises:
        IndexDamagedError: a row is missing or is not what was written.
    """
    for begin, rows in _read_rows(db, folder, passages):
        for number, (term_nos, counts) in enumerate(rows, begin):
            yield passages[number], np.frombuffer(term_nos, "<u4"), np.frombuffer(counts, "<u2")


def instances(db: Database) -> Iterator[tuple[int, int, int]]:
    """Yield passage, keyword and count of all that the full-text index holds; −1 for a keyword without a number."""
    _open_instances(db)
    numbers = dict(db.execute("SELECT term, term_no FROM terms"))
    for term, passage, count in db.execute("SELECT term, doc, count(*) FROM temp.keyword_instances GROUP BY term, doc"):
        yield passage, numbers.get(term, -1), min(count, _MOST)


def _read_rows(db: Database, folder: Path, passages: Sequence[int]) -> Iterator[tuple[int, list[tuple[bytes, bytes]]]]:
    """Yield the checked rows of passages in runs, each with the place of its first."""
    begin = 0
    for chunk in chunks(passages):
        found = {}
        for number, term_nos, amounts, crc in db.execute(
            "SELECT passage_no, term_nos, counts, checksum FROM passage_terms "  # noqa: S608 - only marks
            f"WHERE passage_no IN ({marks(chunk)})",
            chunk,
        ):
            if checksum(number, term_nos, amounts) != crc:
                raise damaged_row(folder, f"the keywords of passage {number}")
            found[number] = (term_nos, amounts)
        if len(found) != len(chunk):
            raise damaged_row(folder, f"the keywords of {len(chunk) - len(found)} passages")
        yield begin, [found[number] for number in chunk]
        begin += len(chunk)
