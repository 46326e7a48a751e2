"""Hybrid search of any small collection equals brute force, page by page and behind any filter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search_oracle import SearchOracle, assert_right
from tests.tiny import tiny_pipeline
from vecsearch import Document, Index
from vecsearch.stores.memory import MemoryStore

WORDS = ["dog", "dogs", "man", "lion", "the", "nil", "Straße", "e\u0301", "東京", "x_y", "🦁", "AND"]
texts = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)
collections = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e\x00", "f'; --"]), texts, min_size=1)
queries = st.lists(st.sampled_from([w for w in WORDS if w not in ("nil", "🦁")]), min_size=1, max_size=5).map(" ".join)
SETTINGS = settings(derandomize=True, deadline=None, max_examples=40)
PIPELINE = tiny_pipeline()


def in_memory(collection: dict[str, str]) -> tuple[Index, SearchOracle]:
    index = Index.over(lambda encode: MemoryStore(encode, PIPELINE.dim), PIPELINE, Path("memory"))
    oracle = SearchOracle(PIPELINE)
    index.add(Document(id=doc_id, text=text, metadata={"n": len(text)}) for doc_id, text in collection.items())
    for doc_id, text in collection.items():
        oracle.put(doc_id, text)
    return index, oracle


@SETTINGS
@given(
    collection=collections,
    query=queries,
    scorer=st.sampled_from(["debiased_maxsim", "maxsim", "soft_tf"]),
    fusion=st.sampled_from(["zscore", "rrf"]),
    by=st.sampled_from(["passage", "document"]),
    share=st.floats(0, 1),
)
def test_hybrid_search_equals_brute_force(
    collection: dict[str, str], query: str, scorer: str, fusion: str, by: str, share: float
) -> None:
    index, oracle = in_memory(collection)
    weights = {"vector": share, "keyword": 1 - share}
    assert_right(index, oracle, query, scorer=scorer, fusion=fusion, by=by, weights=weights)


@SETTINGS
@given(collection=collections, query=queries, least=st.integers(0, 200), by=st.sampled_from(["passage", "document"]))
def test_filtered_search_equals_brute_force(collection: dict[str, str], query: str, least: int, by: str) -> None:
    index, oracle = in_memory(collection)
    for mode in ("hybrid", "vector", "keyword"):
        assert_right(
            index,
            oracle,
            query,
            mode=mode,
            by=by,
            where=f"n >= {least}",
            allowed=lambda doc_id: len(collection[doc_id]) >= least,
        )


@SETTINGS
@given(
    collection=collections, query=queries, size=st.integers(1, 5), mode=st.sampled_from(["hybrid", "vector", "keyword"])
)
def test_pages_join_to_the_whole_list(collection: dict[str, str], query: str, size: int, mode: str) -> None:
    index, _ = in_memory(collection)
    whole = index.search(query, 500, mode=mode)
    pages = [
        hit for offset in range(0, len(whole), size) for hit in index.search(query, size, offset=offset, mode=mode)
    ]
    assert [(hit.doc_id, hit.passage) for hit in pages] == [(hit.doc_id, hit.passage) for hit in whole]
    assert [hit.score for hit in pages] == pytest.approx([hit.score for hit in whole], abs=1e-6)
