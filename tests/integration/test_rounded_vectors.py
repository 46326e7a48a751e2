"""Indexes that keep vectors in fewer bytes: every path scores what is kept, and damage of it is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.coded import search_codes
from tests.tiny import TinyContextual, TinyEncoder, tiny_pipeline
from vecsearch import Document, GivenVectors, IdentityError, Index, IndexDamagedError, Pipeline, UsageError
from vecsearch.embedding_cache import EmbeddingCache
from vecsearch.pipeline import DEFAULT_PRECISION, split_rows
from vecsearch.precision import rounded, row_bytes
from vecsearch.stores import upkeep
from vecsearch.stores.memory import MemoryStore
from vecsearch.types import Precision

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
TEXTS = {
    "bites-1": "The dog bit the man.",
    "bites-2": "The man bit the dog.",
    "quote": "To be, or not to be: that is the question.",
    "lion": "A lion slept under a tree. Then the lioness woke and hunted at dusk.",
    "again": "The dog bit the man.",
    "german": "Der Straßenbahnfahrer grüßte die Prinzessin; 東京 hat keine Prinzessin.",
}
QUERIES = ("dog bit man", "to be or not to be", "lioness at dusk", "Prinzessin 東京")

Make = Callable[[Pipeline], Index]


@pytest.fixture(params=["folder", "folder-of-segments", "folder-of-codes", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    opened: list[Index] = []
    if request.param == "folder-of-segments":
        monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", 20)
    if request.param == "folder-of-codes":
        monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", 20)
        search_codes(monkeypatch, fewest=40)

    def build(pipeline: Pipeline) -> Index:
        if request.param == "memory":
            opened.append(Index.over(lambda encode: MemoryStore(encode, pipeline.dim), pipeline, Path("memory")))
        else:
            opened.append(Index.create(tmp_path / f"index-{len(opened)}", pipeline=pipeline))
        return opened[-1]

    yield build
    for index in opened:
        index.close()


def contextual(precision: str | None = None, **config: Any) -> Pipeline:
    return Pipeline(None, TinyContextual(**config), TinyEncoder(), precision=precision)


def documents() -> list[Document]:
    return [Document(id=doc_id, text=text) for doc_id, text in TEXTS.items()]


def expected_scores(pipeline: Pipeline, query: str) -> dict[str, float]:
    """Return the score of every document by maxsim, from the definition: weights times best similarities."""
    texts = list(TEXTS.values())
    tokens = pipeline.tokenize(texts)
    units, _ = split_rows(rounded(pipeline.rows(texts, tokens), pipeline.precision))
    passages = np.split(units.astype(np.float64), tokens.offsets[1:-1])
    asked = pipeline.tokenize([query])
    query_units, norms = split_rows(pipeline.rows([query], asked))
    entries = [set(some) for some in np.split(np.array(tokens.entries, object), tokens.offsets[1:-1])]
    df = np.array([sum(entry in some for some in entries) for entry in asked.entries or ()])
    weights = norms * np.log1p((len(texts) - df + 0.5) / (df + 0.5))
    return {
        doc_id: float(weights @ (query_units.astype(np.float64) @ passage.T).max(axis=1))
        for doc_id, passage in zip(TEXTS, passages, strict=True)
    }


def found_scores(index: Index, query: str, **how: Any) -> dict[str, float]:
    return {hit.doc_id: hit.score for hit in index.search(query, 10, mode="vector", syntax="plain", **how)}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_scores_are_those_of_the_vectors_that_are_kept(make: Make, precision: Precision) -> None:
    index = make(contextual(precision))
    index.add(documents())
    for query in QUERIES:
        found = found_scores(index, query, exact=True)
        assert found == pytest.approx(expected_scores(index.pipeline, query), rel=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_reopening_compacting_and_verifying_agree(make: Make, precision: Precision) -> None:
    index = make(contextual(precision))
    index.add(documents())
    before = [found_scores(index, query, order=order) for query in QUERIES for order in ("default", "strict")]
    if index.path.is_dir():
        index.close()
        with Index.open(index.path, pipeline=contextual(precision)) as again:
            assert [
                found_scores(again, query, order=order) for query in QUERIES for order in ("default", "strict")
            ] == before
            again.compact()
            assert again.verify() == []
            assert found_scores(again, QUERIES[0]) == before[0]
            assert again.info()["pipeline"]["precision"] == precision
    else:
        assert index.verify() == []


def rows_of(path: Path) -> list[tuple[int, bytes, bytes]]:
    with sqlite3.connect(path / "meta.db") as db:
        found = db.execute("SELECT embedded_no, token_ids, token_rows FROM embedded_tokens").fetchall()
    db.close()
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_token_takes_so_many_bytes(tmp_path: Path, precision: Precision) -> None:
    with Index.create(tmp_path / "index", pipeline=contextual(precision, dim=40)) as index:
        index.add(documents())
    sizes = {"fp32": 160, "fp16": 84, "int8": 44}
    assert row_bytes(precision, 40) == sizes[precision]
    assert {len(rows) // (len(ids) // 4) for _, ids, rows in rows_of(tmp_path / "index")} == {sizes[precision]}


def test_contextual_vectors_are_kept_in_int8_by_default_and_given_ones_as_they_are() -> None:
    assert DEFAULT_PRECISION == "int8"
    assert contextual().precision == "int8"
    assert GivenVectors(4).precision == "fp32"


def test_a_static_embedder_keeps_none() -> None:
    assert "precision" not in tiny_pipeline().identity
    pipeline = tiny_pipeline()
    with pytest.raises(UsageError, match="precision means nothing; leave it out"):
        Pipeline(pipeline.tokenizer, pipeline.embedder, pipeline.encoder, precision="int8")


def test_another_precision_is_another_identity(tmp_path: Path) -> None:
    Index.create(tmp_path / "index", pipeline=contextual("int8")).close()
    with pytest.raises(IdentityError, match='made with precision "int8", but this is "fp16"'):
        Index.open(tmp_path / "index", pipeline=contextual("fp16"))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_flipped_bit_in_a_kept_vector_is_reported(tmp_path: Path, precision: Precision) -> None:
    pipeline = contextual(precision)
    with Index.create(tmp_path / "index", pipeline=pipeline) as index:
        index.add(documents())
    number, _, rows = rows_of(tmp_path / "index")[0]
    flipped = bytearray(rows)
    flipped[len(rows) // 2] ^= 1
    with sqlite3.connect(tmp_path / "index" / "meta.db") as db:
        db.execute("UPDATE embedded_tokens SET token_rows = ? WHERE embedded_no = ?", [bytes(flipped), number])
    db.close()
    with Index.open(tmp_path / "index", pipeline=pipeline) as index:
        assert [what for what in index.verify() if f"the tokens of embedded passage {number}" in what]
        with pytest.raises(IndexDamagedError, match=f"the tokens of embedded passage {number}"):
            index.search("dog")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_given_vectors_come_back_as_they_are_kept(make: Make, precision: Precision) -> None:
    vectors = np.random.default_rng(3).standard_normal((7, 5)).astype(np.float32) * 3
    index = make(GivenVectors(5, precision=precision))
    index.add([Document(id="a", vectors=vectors[:4]), Document(id="b", vectors=vectors[4:])])
    found = index.get("a")
    assert found is not None
    assert found.vectors is not None
    np.testing.assert_array_equal(found.vectors, rounded(vectors[:4], precision))
    units, _ = split_rows(rounded(vectors[:4], precision))
    query = vectors[:1]
    score = index.search(vectors=query, k=1)[0].score
    assert score == pytest.approx(float(((split_rows(query)[0] @ units.T) * np.linalg.norm(query)).max()), rel=1e-6)
    # the same vectors again are unchanged, rounded or not
    assert index.add([Document(id="a", vectors=vectors[:4])]).n_unchanged == 1


def test_indexing_again_embeds_nothing(tmp_path: Path) -> None:
    first, second = contextual(), contextual()
    with Index.create(tmp_path / "first", pipeline=first) as index:
        index.add(documents())
        scores = [found_scores(index, query) for query in QUERIES]
    embedded = list(first.embedder.texts)  # type: ignore[union-attr]
    assert embedded.count(TEXTS["lion"]) <= 1
    with Index.create(tmp_path / "second", pipeline=second) as index:
        index.add([Document(id=f"moved/{one.id}", text=one.text) for one in documents()])
        assert not set(second.embedder.texts) & set(TEXTS.values())  # type: ignore[union-attr]
        assert [{f"moved/{name}": score for name, score in found.items()} for found in scores] == [
            found_scores(index, query) for query in QUERIES
        ]


def test_without_the_cache_everything_is_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipelines = [contextual(dim=24) for _ in range(3)]
    with Index.create(tmp_path / "first", pipeline=pipelines[0]) as index:
        index.add(documents())
    with Index.create(tmp_path / "second", pipeline=pipelines[1], cache=False) as index:
        index.add(documents())
    assert TEXTS["lion"] in pipelines[1].embedder.texts  # type: ignore[union-attr]
    monkeypatch.setenv("VECSEARCH_CACHE_BYTES", "0")
    with Index.create(tmp_path / "third", pipeline=pipelines[2]) as index:
        index.add(documents())
    assert TEXTS["lion"] in pipelines[2].embedder.texts  # type: ignore[union-attr]


def test_a_static_index_makes_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddingCache, "rows", None)
    with Index.create(tmp_path / "index", pipeline=tiny_pipeline()) as index:
        index.add(documents())
        assert index.search("dog", 1)
