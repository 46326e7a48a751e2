"""The values that go in and out: frozen, comparable, JSON-ready with stable keys."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from vecsearch import Document, Hit, Match, Tokens, Vocabulary
from vecsearch.types import AddReport, DocumentSummary, FileRecord, Progress

VALUES: list[Any] = [
    Document(id="a"),
    Match(0, 3, 4, 7, 0.5),
    Hit(1.5, "a", 0, "dog", 0, 3, 1, 1),
    FileRecord("/", "a", 1, 2, b"3"),
    Progress(1, 2, 3),
    AddReport(1, 2, 3, 4, 5),
    DocumentSummary("a", "", 1, 2, 3, None, {}),
    Tokens(np.zeros(1, np.int64), np.zeros((0, 2), np.int32), entries=[]),
    Vocabulary(["a"], np.ones(1, bool)),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_cannot_be_changed(value: Any) -> None:
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


def test_a_hit_is_written_as_json_with_its_stable_keys() -> None:
    hit = Hit(
        score=2.5,
        doc_id="a",
        passage=1,
        text="the dog",
        start=10,
        end=17,
        line_start=2,
        line_end=2,
        title="Dogs",
        metadata={"lang": "en"},
        path="/a.txt",
        matches=(Match(4, 7, 0, 3, 0.75),),
        signals={"vector": 2.5},
    )
    assert json.loads(json.dumps(hit.to_dict())) == {
        "score": 2.5,
        "doc_id": "a",
        "passage": 1,
        "text": "the dog",
        "start": 10,
        "end": 17,
        "line_start": 2,
        "line_end": 2,
        "title": "Dogs",
        "metadata": {"lang": "en"},
        "path": "/a.txt",
        "signals": {"vector": 2.5},
        "matches": [{"start": 4, "end": 7, "query_start": 0, "query_end": 3, "similarity": 0.75}],
    }


@pytest.mark.parametrize("value", [VALUES[1], VALUES[2], VALUES[5], VALUES[6]], ids=lambda value: type(value).__name__)
def test_a_dict_has_the_attributes_and_nothing_else(value: Any) -> None:
    # an explanation that was not asked for is left out
    names = [field.name for field in dataclasses.fields(value) if field.name != "explanation"]
    assert list(value.to_dict()) == names
    json.dumps(value.to_dict())


def test_a_dict_does_not_share_its_metadata() -> None:
    metadata = {"a": 1}
    summary = DocumentSummary("a", "", 1, 2, 3, None, metadata)
    summary.to_dict()["metadata"]["a"] = 2
    assert metadata == {"a": 1}


def test_reports_add_up_field_by_field() -> None:
    total = AddReport(1, 2, 3, 4, 5) + AddReport(10, 20, 30, 40, 50)
    assert total == AddReport(11, 22, 33, 44, 55)
    assert total + AddReport() == total
    assert total.to_dict() == {
        "n_documents": 11,
        "n_unchanged": 22,
        "n_removed": 33,
        "n_passages": 44,
        "n_tokens": 55,
    }


def test_documents_are_equal_by_what_they_say_not_by_their_vectors() -> None:
    one = Document(id="a", text="b", vectors=np.zeros((1, 2), np.float32))
    assert one == Document(id="a", text="b")
    assert one != Document(id="a", text="c")
    assert "vectors" not in repr(one)


def test_a_document_shares_no_default_with_another() -> None:
    one, other = Document(id="a"), Document(id="b")
    assert one.metadata == {}
    assert one.metadata is not other.metadata


def test_tokens_count_their_spans() -> None:
    spans = np.array([[0, 1], [1, 2], [0, 4]], np.int32)
    assert Tokens(np.array([0, 2, 3]), spans, ids=np.zeros(3, np.int32)).n_tokens == 3
    assert Tokens(np.array([0]), spans[:0], entries=[]).n_tokens == 0
