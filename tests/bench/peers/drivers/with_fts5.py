"""SQLite FTS5: any of the words of a query, ranked by its own bm25()."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from driving import Arrays, K, Search, run

_WORD = re.compile(r"\w+")


def build(arrays: Arrays, folder: Path) -> None:
    """Index all texts in one transaction."""
    database = sqlite3.connect(folder / "index.db")
    database.execute("CREATE VIRTUAL TABLE passages USING fts5(text, tokenize = 'porter unicode61')")
    numbered = enumerate(arrays.texts)
    database.executemany("INSERT INTO passages (rowid, text) VALUES (?, ?)", numbered)
    database.commit()
    database.close()


def prepare(arrays: Arrays, folder: Path) -> Search:
    """Open the database."""
    database = sqlite3.connect(folder / "index.db")
    texts = arrays.query_texts
    statement = "SELECT rowid FROM passages WHERE passages MATCH ? ORDER BY rank LIMIT ?"

    def search(number: int) -> list[int]:
        match = " OR ".join(f'"{word}"' for word in _WORD.findall(texts[number]))
        return [row[0] for row in database.execute(statement, (match, K))]

    return search


if __name__ == "__main__":
    run(build, prepare, is_maxsim=False)
