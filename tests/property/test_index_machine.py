"""Adds, updates, deletes, compactions and reopenings in any order: the index always equals brute force."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.checks import assert_search_is_right
from tests.coded import search_codes
from tests.search_oracle import SearchOracle, assert_right
from vecsearch import Document, Index, Pipeline
from vecsearch.stores import coding, upkeep

# of each of the twelve tests below: 300 together, or 5,000 with other ones each time
IS_LONG = os.environ.get("VECSEARCH_CAMPAIGN") == "long"
# of each of 12 tests: 5,004 in the long campaign, 300 in the short one
N_SEQUENCES = 417 if IS_LONG else 25 if "VECSEARCH_CAMPAIGN" in os.environ else 8
WORDS = ("dog", "man", "bit", "lion", "the", "cat", "Æsir", "東京", ".", "run_time")
texts = st.lists(st.sampled_from(WORDS), max_size=50).map(" ".join)
ids = st.sampled_from(["a", "b", "c", "d'; --", "e\n", "f\x00"])


class IndexMachine(RuleBasedStateMachine):
    pipelines: dict[str, Pipeline]
    encoders: tuple[str, ...]

    @initialize(encoder=st.deferred(lambda: st.sampled_from(IndexMachine.encoders)))
    def create(self, encoder: str) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.pipeline = self.pipelines[encoder]
        self.index = Index.create(self.folder / "index", pipeline=self.pipeline)
        self.oracle = SearchOracle(self.pipeline)
        self.texts: dict[str, str] = {}

    @rule(documents=st.dictionaries(ids, texts, min_size=1, max_size=4))
    def add(self, documents: dict[str, str]) -> None:
        self.index.add(Document(id=doc_id, text=text) for doc_id, text in documents.items())
        self.texts |= documents
        for doc_id, text in documents.items():
            self.oracle.put(doc_id, text)

    @rule(gone=st.lists(ids, min_size=1, max_size=3))
    def delete(self, gone: list[str]) -> None:
        assert self.index.delete(gone) == len(set(gone) & set(self.texts))
        for doc_id in gone:
            self.texts.pop(doc_id, None)
            self.oracle.remove(doc_id)

    @rule()
    def flush(self) -> None:
        self.index.flush()

    @rule()
    def compact(self) -> None:
        self.index.compact()

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = Index.open(self.folder / "index", pipeline=self.pipeline)

    @rule(query=texts.filter(str.strip), k=st.sampled_from([1, 2, 50]))
    def search(self, query: str, k: int) -> None:
        assert_search_is_right(self.index, self.oracle, query, k)

    @rule(
        query=texts.filter(str.strip),
        scorer=st.sampled_from(["maxsim", "soft_tf"]),
        by=st.sampled_from(["passage", "document"]),
    )
    def search_by_both_signals(self, query: str, scorer: str, by: str) -> None:
        assert_right(self.index, self.oracle, query, scorer=scorer, by=by)
        assert_right(self.index, self.oracle, query, mode="keyword", by=by)

    @rule(is_asked=st.sampled_from([True, False, False, False]))
    def verify(self, is_asked: bool) -> None:
        assert not is_asked or self.index.verify() == []

    @invariant()
    def documents_are_those_added(self) -> None:
        if hasattr(self, "texts"):
            assert [summary.id for summary in self.index.documents()] == sorted(self.texts)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            for doc_id, text in self.texts.items():
                assert self.index.get(doc_id) == Document(id=doc_id, text=text)
            assert self.index.verify() == []
            self.index.close()
            shutil.rmtree(self.folder)


@pytest.mark.parametrize("segment_tokens", [30, 50_000])
@pytest.mark.parametrize("encoder", ["none", "sinusoidal", "learned", "relative", "rotary"])
def test_index_equals_brute_force_in_any_order(
    pipelines: dict[str, Pipeline], encoder: str, segment_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", segment_tokens)
    monkeypatch.setattr(upkeep, "FLUSH_TOKENS", segment_tokens // 3)
    run_machine(pipelines, encoder)


@pytest.mark.parametrize("encoder", ["relative", "rotary"])
def test_an_index_of_codes_equals_brute_force_in_any_order(
    pipelines: dict[str, Pipeline], encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_codes(monkeypatch, fewest=60)
    monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", 30)
    monkeypatch.setattr(coding, "MERGED", 2)
    run_machine(pipelines, encoder)


def run_machine(pipelines: dict[str, Pipeline], encoder: str) -> None:
    IndexMachine.pipelines, IndexMachine.encoders = pipelines, (encoder,)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        IndexMachine,
        settings=settings(
            max_examples=N_SEQUENCES,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            derandomize=not IS_LONG,
            print_blob=True,
        ),
    )
