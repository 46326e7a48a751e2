"""Keywords: cut as FTS5 cuts, counted, found again, and taken out without a trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from tests.campaign import children
from vecsearch import IndexDamagedError
from vecsearch.stores.analysis import FTS_TOKENIZER, Analyzer, Keyword
from vecsearch.stores.keywords import KeywordWriter, keyword_text, postings, read_counts, term_numbers
from vecsearch.stores.schema import connect, migrations

TEXTS = [
    "The dog bit the man.",
    "Dogs bite; biting dogs.",
    "Übergrößen ÜBERGRÖSSEN naïve",
    "",
    "parse_config parseHTML",
]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = connect(tmp_path / "meta.db")
    migrations.apply(database)
    yield database
    database.conn.close()


def fill(db: Database, texts: list[str], title: str = "") -> KeywordWriter:
    """Store each text as a document of one passage, numbered from 0."""
    writer = KeywordWriter(db)
    for number, text in enumerate(texts):
        db.execute(
            "INSERT INTO documents (doc_no, doc_id, title, metadata, content_hash, n_characters, checksum) "
            "VALUES (?, ?, ?, '{}', x'', 0, 0)",
            [number, str(number), title],
        )
        db.execute(
            "INSERT INTO passages (passage_no, doc_no, ordinal, start, line, n_terms, text, checksum) "
            "VALUES (?, ?, 0, 0, 1, 0, ?, 0)",
            [number, number, text],
        )
    whole = [keyword_text(title, text, 0) for text in texts]
    writer.add(0, whole, writer.count(whole))
    return writer


def test_keywords_are_stems_with_the_words_they_were_made_of() -> None:
    text = "Committed, commits: naïve"
    found = Analyzer().keywords(text)
    assert found == [Keyword("commit", 0, 9), Keyword("commit", 11, 18), Keyword("naiv", 20, 25)]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_keywords_of_a_text_are_those_that_the_index_of_its_words_holds(text: str) -> None:
    db = sqlite3.connect(":memory:")
    db.execute(f"CREATE VIRTUAL TABLE t USING fts5(text, tokenize='{FTS_TOKENIZER}')")
    db.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, instance)")
    db.execute("INSERT INTO t VALUES (?)", [text])
    expected = [term for (term,) in db.execute("SELECT term FROM v ORDER BY offset")]
    db.close()
    found = Analyzer().keywords(text)
    assert [keyword.term for keyword in found] == expected
    assert all(0 <= keyword.start < keyword.end <= len(text) for keyword in found)


def test_counts_are_by_passage(db: Database) -> None:
    counts = KeywordWriter(db).count(TEXTS)
    assert counts.n_terms.tolist() == [5, 4, 3, 0, 3]
    assert counts.offsets.tolist() == [0, 4, 6, 9, 9, 12]
    terms = [counts.vocabulary[place] for place in counts.places[4:6]]
    assert dict(zip(terms, counts.counts[4:6].tolist(), strict=True)) == {"bite": 2, "dog": 2}


def test_postings_and_counts_agree(db: Database) -> None:
    fill(db, TEXTS)
    passages, counts = postings(db, "dog")
    assert (passages.tolist(), counts.tolist()) == ([0, 1], [1, 2])
    numbers, frequencies = term_numbers(db, ["dog", "the", "unknown"])
    assert frequencies.tolist() == [2, 1, 0]
    found = read_counts(db, Path("index"), np.arange(5), numbers)
    assert found.tolist() == [[1, 2, 0, 0, 0], [2, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_what_is_removed_leaves_nothing_behind(db: Database) -> None:
    writer = fill(db, TEXTS, title="A dog's title")
    assert postings(db, "titl")[0].tolist() == [0, 1, 2, 3, 4]
    writer.remove([1, 2, 3, 4])
    db.execute("DELETE FROM documents WHERE doc_no > 0")
    assert postings(db, "dog")[0].tolist() == [0]
    assert term_numbers(db, ["dog", "bite", "titl"])[1].tolist() == [1, 0, 1]
    assert db.execute("SELECT count(*) FROM passage_terms").fetchone()[0] == 1
    writer.remove([0])
    db.execute("DELETE FROM documents")
    db.execute("CREATE VIRTUAL TABLE temp.rows_of USING fts5vocab(main, keywords, row)")
    assert db.execute("SELECT count(*) FROM temp.rows_of").fetchone()[0] == 0
    db.execute("INSERT INTO keywords (keywords) VALUES ('integrity-check')")


def test_a_damaged_row_is_named(db: Database) -> None:
    fill(db, TEXTS)
    db.execute("UPDATE passage_terms SET counts = x'0900' WHERE passage_no = 1")
    with pytest.raises(IndexDamagedError, match="the keywords of passage 1"):
        read_counts(db, Path("index"), np.arange(2), np.array([0]))
    db.execute("DELETE FROM passage_terms WHERE passage_no = 0")
    with pytest.raises(IndexDamagedError, match="the keywords of 1 passages"):
        read_counts(db, Path("index"), np.array([0]), np.array([0]))


def test_too_little_memory_is_told_as_such() -> None:
    def counted() -> str:
        analyzer = Analyzer()
        analyzer.count(["a word"])
        (in_use,) = analyzer._db.execute("PRAGMA hard_heap_limit = 2000000").fetchone()
        assert in_use == 2_000_000
        try:
            analyzer.count([" ".join(f"w{number}" for number in range(200_000))])
        except MemoryError:
            return "no memory"
        return "counted"

    outcome = children.run(counted)
    assert outcome.value == "no memory", outcome
