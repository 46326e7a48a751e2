"""Preparation: a passage is stored with the tokens of its own text, however the batch was tokenized."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from vecsearch import Document, Index, preparation
from vecsearch.pipeline import Pipeline
from vecsearch.preparation import embedded_texts

TEXTS = [
    "The dog bit the man.",
    "",
    "a",
    "Version 3.14 of parse_config(parseHTML) is out. " * 9,
    "\n\n" + "naïve Übergrößen 👩‍🚀 don't. " * 7 + "\r\n",
    "unbroken" * 40,
    " " * 50,
    "The dog bit the man.",
]
TITLES = ["", "A title", "One title that is much longer than half of a passage may be"]


def documents() -> list[Document]:
    """Return each text under each title."""
    return [
        Document(f"{number}-{which}", text, title)
        for number, text in enumerate(TEXTS)
        for which, title in enumerate(TITLES)
    ]


def stored(folder: Path) -> dict[tuple[str, int], tuple[str, str, list[int]]]:
    """Return title, text and token ids of each passage by document and place."""
    db = sqlite3.connect(folder / "meta.db")
    rows = db.execute(
        "SELECT doc_id, ordinal, title, text, token_ids FROM passages JOIN documents USING (doc_no) "
        "LEFT JOIN embedded_tokens USING (embedded_no)"
    ).fetchall()
    db.close()
    return {
        (doc_id, ordinal): (title, text, np.frombuffer(ids or b"", "<i4").tolist())
        for doc_id, ordinal, title, text, ids in rows
    }


@pytest.mark.parametrize("tokenizer", ["word", "character", "pieces"])
@pytest.mark.parametrize("piece", [60, preparation.PIECE_CHARACTERS])
def test_a_passage_has_the_tokens_of_its_own_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: str, piece: int
) -> None:
    monkeypatch.setattr(preparation, "PIECE_CHARACTERS", piece)
    monkeypatch.setattr(preparation, "PASSAGES_AT_ONCE", 7)
    pipeline = Pipeline.from_names(tokenizer, max_tokens=12)
    with Index.create(tmp_path / "index", pipeline=pipeline) as index:
        report = index.add(documents())
        words = {number: word for number, word, _ in index.words()}
    passages = stored(tmp_path / "index")
    assert report.n_passages == len(passages)
    n_tokens = 0
    for (_, ordinal), (title, text, ids) in passages.items():
        tokens = pipeline.tokenize([embedded_texts(pipeline, [(title, text, ordinal)])[0][0]])
        expected = list(tokens.entries) if tokens.entries is not None else tokens.ids.tolist()
        assert ([words[number] for number in ids] if tokens.entries is not None else ids) == expected
        n_tokens += len(ids)
    assert report.n_tokens == n_tokens


@pytest.mark.parametrize("tokenizer", ["word", "pieces"])
def test_batches_change_nothing(tmp_path: Path, tokenizer: str) -> None:
    pipeline = Pipeline.from_names(tokenizer, max_tokens=12)
    with Index.create(tmp_path / "together", pipeline=pipeline) as index:
        index.add(documents())
    with Index.create(tmp_path / "one by one", pipeline=pipeline) as index:
        for document in documents():
            index.add([document])
    assert stored(tmp_path / "together") == stored(tmp_path / "one by one")
