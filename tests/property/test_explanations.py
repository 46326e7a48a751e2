"""An explanation adds up to its score, covers the query, and points at whole words of the hit, whatever the text."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search_oracle import keyword_counts
from tests.tiny import tiny_pipeline
from vecsearch import Document, GivenVectors, Hit, Index, Pipeline, QueryError
from vecsearch.stores.memory import MemoryStore

WORDS = [
    "dog",
    "Man",
    "bit",
    "lion",
    "the",
    "Ünïcöde",
    "e\u0301le\u0300ve",
    "東京",
    "שלום",
    "مرحبا",
    "🦁🏽",
    "👩‍👩‍👧",
    "run_time",
]
MARKS = [
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "\x00",
    "\u200f",
    "\u00ad",
    "\u2028",
    ", ",
    ". ",
    "-",
    "'",
    "\x1c",
    "\u0301",
    "«",
]
texts = st.lists(st.sampled_from(WORDS) | st.sampled_from(MARKS) | st.text(max_size=3), max_size=30).map("".join)
plain_queries = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
queries = plain_queries | st.sampled_from(['"dog bit"~3 man', "=lion the", "NEAR(Man the) dog", "lion -dog", '"東京"'])
SETTINGS = settings(derandomize=True, deadline=None, max_examples=40)
EVERYTHING = list(
    itertools.product(
        ("hybrid", "vector", "keyword"),
        ("debiased_maxsim", "maxsim", "soft_tf"),
        ("zscore", "rrf"),
        ("default", "strict", "none"),
        ("passage", "document"),
    )
)


def in_memory(pipeline: Pipeline) -> Index:
    return Index.over(lambda encode: MemoryStore(encode, pipeline.dim), pipeline, Path("memory"))


def searched(index: Index, query: str, **asked: Any) -> list[Hit]:
    try:
        return index.search(query, 100, explain=True, **asked)
    except QueryError:
        return []


def assert_explained(index: Index, query: str, hit: Hit, *, has_title: bool = False) -> None:
    """Check the sum, the cover and the places of one explanation."""
    assert hit.explanation is not None
    assert hit.explanation.total == pytest.approx(hit.score, abs=1e-5)
    assert hit.explanation.signals == hit.signals
    assert {one.signal for one in hit.explanation.contributions} <= set(hit.signals)
    spans = {tuple(span) for span in index.pipeline.tokenize([hit.text]).spans.tolist()}
    starts, ends = {start for start, _ in spans}, {end for _, end in spans}
    of_query = index.pipeline.tokenize([query]).spans.tolist()
    for one in hit.explanation.contributions:
        if one.label == "constant":
            assert (one.query_start, one.start, one.similarity, one.weight) == (None,) * 4
            continue
        assert one.query_start is not None
        assert query[one.query_start : one.query_end] == one.label
        if one.start is None:
            continue
        assert one.end is not None
        if one.signal == "vector":
            assert one.similarity is not None
            assert -1.0001 <= one.similarity <= 1.0001
            assert has_title or (one.start, one.end) in spans
        elif one.signal == "keyword":
            assert keyword_counts([hit.text[one.start : one.end], one.label])[0].keys() & (
                keyword_counts([one.label])[0].keys()
            )
        else:
            assert one.start in starts
            assert one.end in ends
    if "vector" in hit.signals:
        # every token of the query but those that weigh nothing
        covered = [one for one in hit.explanation.contributions if one.signal == "vector" and one.weight]
        found = {(one.query_start, one.query_end) for one in covered}
        assert found <= set(map(tuple, of_query))
        if not {'"', "=", "(", "-"} & set(query):
            assert len(covered) == len(of_query)
    for match in hit.matches:
        assert query[match.query_start : match.query_end].strip()
        assert hit.text[match.start : match.end].strip()
        if "vector" in hit.signals:
            assert has_title or (match.start, match.end) in spans


@settings(SETTINGS, max_examples=30)
@given(
    wanted=st.lists(texts, min_size=1, max_size=6),
    query=queries,
    asked=st.lists(st.sampled_from(EVERYTHING), min_size=3, max_size=3),
)
def test_explanations_of_any_text_add_up_and_point_at_tokens(
    pipelines: dict[str, Pipeline], wanted: list[str], query: str, asked: list[tuple[str, ...]]
) -> None:
    for pipeline in (tiny_pipeline(), pipelines["relative"]):
        index = in_memory(pipeline)
        index.add(Document(id=str(number), text=text) for number, text in enumerate(wanted))
        for mode, scorer, fusion, order, by in asked:
            order = "default" if mode == "keyword" else order
            for hit in searched(index, query, mode=mode, scorer=scorer, fusion=fusion, order=order, by=by):
                assert_explained(index, query, hit)


@pytest.mark.parametrize("encoder", ["relative", "rotary"])
def test_explanations_add_up_for_everything_that_can_be_asked(pipelines: dict[str, Pipeline], encoder: str) -> None:
    index = in_memory(pipelines[encoder])
    index.add(
        [
            Document(id="a", text="The dog bit the man. " * 8 + "A lion slept.", title="A man and his dog"),
            Document(id="b", text="The man bit the dog; the dog, too, bit."),
            Document(id="c", text="  \n\n  Lions and dogs\nlive near rivers."),
            Document(id="d", text="Nothing."),
        ]
    )
    n_found = 0
    for mode, scorer, fusion, order, by in EVERYTHING:
        if mode == "keyword" and (order, scorer, fusion) != ("default", "maxsim", "zscore"):
            continue
        for query in ("dog bit man", '"dog bit" lion', "dog -lion"):
            for hit in searched(index, query, mode=mode, scorer=scorer, fusion=fusion, order=order, by=by):
                assert_explained(index, query, hit, has_title=hit.doc_id == "a")
                n_found += 1
    assert n_found > 300


def test_one_signal_without_a_weight_is_explained(pipelines: dict[str, Pipeline]) -> None:
    index = in_memory(pipelines["relative"])
    index.add(Document(id=str(number), text=text) for number, text in enumerate(["dog bit", "man", "lion dog man"]))
    for weights in ({"vector": 0, "keyword": 1}, {"vector": 1, "keyword": 0}, {"vector": 0, "keyword": 0}):
        for fusion in ("zscore", "rrf"):
            for hit in searched(index, "dog man", weights=weights, fusion=fusion):
                assert_explained(index, "dog man", hit)


def test_terms_of_given_vectors_add_up() -> None:
    index = in_memory(GivenVectors(8))  # type: ignore[arg-type]
    rows = np.random.default_rng(2).standard_normal((20, 8)).astype(np.float32)
    index.add(Document(id=str(n), vectors=rows[2 * n : 2 * n + 2], text="seen") for n in range(10))
    for scorer in ("debiased_maxsim", "maxsim", "soft_tf"):
        for hit in index.search(vectors=rows[3:6], scorer=scorer, explain=True):
            assert hit.explanation is not None
            assert hit.explanation.total == pytest.approx(hit.score, abs=1e-5)
            assert [one.label for one in hit.explanation.contributions] == ["token 0", "token 1", "token 2"]
