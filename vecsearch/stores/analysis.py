"""Cuts text into keywords exactly as the full-text index does, by asking SQLite's FTS5 itself.

A keyword is a word of letters and digits, its diacritics folded, cut back to its stem (Porter 1980): ``committed`` and
``Commits`` are both ``commit``.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from vecsearch.stores.protocol import Numbers

__all__ = ["FTS_TOKENIZER", "Analyzer", "Counted", "Keyword"]

FTS_TOKENIZER = "porter unicode61 remove_diacritics 2"

# What every version of FTS5 takes for the end of a word: ASCII signs and the block General Punctuation. Other signs it
# knows by tables of its own; where one stands inside such a run, the keywords of the run share its characters.
_RUN = re.compile(r"[^\x00-\x2f:-@\[-`{-\x7f\u2000-\u206f]+")


@dataclass(frozen=True)
class Keyword:
    """A keyword of a query and the word it was made of: characters ``start`` to ``end``."""

    term: str
    start: int
    end: int


@dataclass(frozen=True)
class Counted:
    """How often each keyword occurs in each of some texts; one row a text and keyword, by text, then by keyword.

    Attributes:
        texts: int64 ``(n_rows,)``, numbers of the texts, ascending.
        vocabulary: the different keywords, in the order of their bytes.
        places: int64 ``(n_rows,)``, where each row's keyword stands in ``vocabulary``.
        counts: int64 ``(n_rows,)`` ≥ 1.
    """

    texts: Numbers
    vocabulary: Sequence[str]
    places: Numbers
    counts: Numbers

    @property
    def terms(self) -> list[str]:
        """The keyword of each row."""
        return [self.vocabulary[place] for place in self.places.tolist()]


class Analyzer:
    """A full-text index in memory, through which texts pass. May be shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute(
            f"CREATE VIRTUAL TABLE texts USING fts5(text, content='', columnsize=0, tokenize='{FTS_TOKENIZER}')"
        )
        self._db.execute("CREATE VIRTUAL TABLE instances USING fts5vocab(texts, instance)")

    def count(self, texts: Sequence[str]) -> Counted:
        """Count the keywords of texts."""
        # subtle: asked by term alone, FTS5 gives its rows as they stand, with nothing to sort and one row a term
        rows = self._pass_through(texts, "SELECT term, count(*), group_concat(doc) FROM instances GROUP BY term")
        vocabulary, n_each, numbers = zip(*rows, strict=True) if rows else ((), (), ())
        of_instances = np.array(",".join(numbers).split(",") if numbers else (), np.int64)
        places = np.repeat(np.arange(len(vocabulary)), np.array(n_each, np.int64))
        pairs, counts = np.unique(of_instances << 32 | places, return_counts=True)
        return Counted(pairs >> 32, vocabulary, pairs & 0xFFFFFFFF, counts.astype(np.int64))

    def keywords(self, text: str) -> list[Keyword]:
        """Return the keywords of a query in reading order, each with the word it was made of."""
        spans = [match.span() for match in _RUN.finditer(text)]
        rows = self._pass_through(
            [text[start:end] for start, end in spans], "SELECT doc, term FROM instances ORDER BY doc, offset"
        )
        return [Keyword(term, *spans[number]) for number, term in rows]

    def close(self) -> None:
        """Let go of the memory."""
        self._db.close()

    def _pass_through(self, texts: Sequence[str], statement: str) -> list[tuple[Any, ...]]:
        with self._lock:
            self._db.execute("BEGIN")
            try:
                self._db.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", enumerate(texts))
                return self._db.execute(statement).fetchall()
            finally:
                # subtle: where memory is short, SQLite has rolled back by itself
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
