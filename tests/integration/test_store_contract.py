"""One suite over every store: what the engine relies on, whoever keeps the documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.checks import assert_search_is_right
from tests.coded import search_codes
from tests.oracle import Oracle
from vecsearch import Document, GivenVectors, Index, Pipeline
from vecsearch.errors import LoadError, UsageError
from vecsearch.stores import upkeep
from vecsearch.stores.memory import MemoryStore
from vecsearch.stores.protocol import Store
from vecsearch.types import FileRecord

Make = Callable[[Pipeline], Index]

TEXTS = {
    "bites-1": "The dog bit the man.",
    "bites-2": "The man bit the dog.",
    "quote": "To be, or not to be: that is the question.",
    "long": "A lion slept under a tree. " * 12 + "Then the lioness woke and hunted at dusk.",
    "german": "Der Straßenbahnfahrer grüßte die Prinzessin; 東京 hat keine Prinzessin 🦁.",
    "code": "def parse_config(path): return json.loads(path.read_text())",
}
QUERIES = (
    "dog bit man",
    "man bit dog",
    "to be or not to be",
    "lioness",
    "Prinzessin 東京",
    "parse the config file",
    "zzyzx",
)


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


def _fill(index: Index, texts: dict[str, str] = TEXTS) -> Oracle:
    oracle = Oracle(index.pipeline)
    index.add(Document(id=doc_id, text=text) for doc_id, text in texts.items())
    for doc_id, text in texts.items():
        oracle.put(doc_id, text)
    return oracle


def test_stores_satisfy_the_protocol(default_pipeline: Pipeline) -> None:
    store: Store = MemoryStore(lambda batch: np.zeros((len(batch.ids), 256), np.float32), 256)
    assert store.capabilities.exact


@pytest.mark.parametrize("encoder", ["none", "sinusoidal", "learned", "relative", "rotary"])
def test_search_equals_brute_force(make: Make, pipelines: dict[str, Pipeline], encoder: str) -> None:
    index = make(pipelines[encoder])
    oracle = _fill(index)
    for query in QUERIES:
        for k in (1, 3, 100):
            assert_search_is_right(index, oracle, query, k)


def test_search_equals_brute_force_after_update_and_delete(make: Make, pipelines: dict[str, Pipeline]) -> None:
    index = make(pipelines["relative"])
    oracle = _fill(index)
    index.add([Document(id="long", text="The lioness bit the man.", title="Lions")])
    oracle.put("long", "The lioness bit the man.", "Lions")
    assert index.delete(["quote", "no such id"]) == 1
    oracle.remove("quote")
    for query in QUERIES:
        assert_search_is_right(index, oracle, query, 4)
    index.compact()
    for query in QUERIES:
        assert_search_is_right(index, oracle, query, 4)


def test_equal_scores_are_ordered_by_id(make: Make, pipelines: dict[str, Pipeline]) -> None:
    index = make(pipelines["relative"])
    index.add(Document(id=f"{number:03}", text="the same words") for number in reversed(range(40)))
    index.add([Document(id="another", text="quite other words")])
    assert [hit.doc_id for hit in index.search("same words", 5)] == ["000", "001", "002", "003", "004"]
    assert len({hit.score for hit in index.search("same words", 40)}) == 1


def test_equal_passages_are_embedded_once(make: Make, pipelines: dict[str, Pipeline]) -> None:
    index = make(pipelines["relative"])
    index.add(Document(id=str(number), text="the same words") for number in range(5))
    assert (index.info()["n_passages"], index.info()["n_embedded_passages"]) == (5, 1)
    index.delete(["0", "1", "2", "3"])
    assert [hit.doc_id for hit in index.search("same")] == ["4"]
    index.delete(["4"])
    assert index.info()["n_embedded_passages"] == 0
    assert index.search("same") == []


def test_word_order_decides_with_relative_and_ties_with_none(make: Make, pipelines: dict[str, Pipeline]) -> None:
    bites = {"a": "the dog bit the man", "b": "the man bit the dog"}
    index = make(pipelines["relative"])
    _fill(index, bites)
    assert index.search(bites["a"])[0].doc_id == "a"
    assert index.search(bites["b"])[0].doc_id == "b"
    unordered = make(pipelines["none"])
    _fill(unordered, bites)
    for query in bites.values():
        first, second = unordered.search(query)
        assert first.score == second.score
        assert (first.doc_id, second.doc_id) == ("a", "b")


def test_get_returns_what_was_added(make: Make, default_pipeline: Pipeline) -> None:
    index = make(default_pipeline)
    text = "\n\n# Title\r\n\r\nFirst.\x00 Second 🦁.\n\n\tindented\n" * 40 + "   "
    document = Document(id="x", text=text, title="T", metadata={"lang": "en", "tags": ["a", 1, None]})
    index.add([document])
    assert index.get("x") == document
    assert index.get("y") is None


def test_documents_without_tokens_are_kept(make: Make, default_pipeline: Pipeline) -> None:
    index = make(default_pipeline)
    index.add([Document(id="empty"), Document(id="blank", text=" \n\t "), Document(id="titled", title="Only a title")])
    assert [summary.id for summary in index.documents()] == ["blank", "empty", "titled"]
    assert index.get("blank") == Document(id="blank", text=" \n\t ")
    assert [hit.doc_id for hit in index.search("title", 10)] == ["titled"]


def test_adding_again_changes_nothing(make: Make, default_pipeline: Pipeline) -> None:
    index = make(default_pipeline)
    _fill(index)
    before = {name: value for name, value in index.info().items() if name not in ("generation", "bytes", "bytes_free")}
    report = index.add(Document(id=doc_id, text=text) for doc_id, text in TEXTS.items())
    assert (report.n_documents, report.n_unchanged) == (0, len(TEXTS))
    assert index.info().items() >= before.items()


def test_listing_pages_in_id_order_by_prefix(make: Make, default_pipeline: Pipeline) -> None:
    index = make(default_pipeline)
    ids = [f"a/{number:04}" for number in range(1203)] + ["a", "b%", "b%x", "b_x", "ü", "z\x00null", "'; --"]
    index.add(Document(id=doc_id, text="x") for doc_id in ids)
    assert [summary.id for summary in index.documents()] == sorted(ids)
    assert [summary.id for summary in index.documents(prefix="b%")] == ["b%", "b%x"]
    assert [summary.id for summary in index.documents(prefix="z\x00")] == ["z\x00null"]
    assert len(list(index.documents(prefix="a/", limit=7))) == 7


def test_a_batch_that_fails_leaves_earlier_batches(make: Make, default_pipeline: Pipeline) -> None:
    index = make(default_pipeline)
    good = Document(id="good", text="kept")
    with pytest.raises(UsageError, match="'twice'"):
        index.add([Document(id="twice", text="first"), Document(id="twice", text="second")])
    assert index.get("twice") is None
    index.add([good])
    with pytest.raises(UsageError):
        index.add([Document(id="twice"), Document(id="twice")])
    assert index.get("good") == good


def test_files_own_their_documents(make: Make, default_pipeline: Pipeline, tmp_path: Path) -> None:
    index = make(default_pipeline)
    problems: list[str] = []

    def add(path: str, sha: bytes, documents: list[Document], fails: bool = False) -> None:
        def read() -> Iterator[Document]:
            yield from documents
            if fails:
                raise LoadError("cannot be read")

        (tmp_path / path).write_text("x")
        record = FileRecord(str(tmp_path), path, 1, 2, sha)
        index.add_files([(record, read)], skipped=lambda record, error: problems.append(error.message))

    add("one.jsonl", b"1", [Document(id="a", text="first"), Document(id="b", text="second")])
    assert index.files(str(tmp_path)) == {"one.jsonl": FileRecord(str(tmp_path), "one.jsonl", 1, 2, b"1")}
    add("one.jsonl", b"2", [Document(id="b", text="second"), Document(id="c", text="third")])
    assert [summary.id for summary in index.documents()] == ["b", "c"]
    add("two.jsonl", b"3", [Document(id="c", text="stolen"), Document(id="d", text="fourth")])
    assert index.get("c") == Document(id="c", text="third")
    assert "one.jsonl" in problems.pop()
    add("one.jsonl", b"4", [Document(id="b", text="changed")], fails=True)
    assert problems == ["cannot be read"]
    assert index.get("b") == Document(id="b", text="second")
    assert [summary.path for summary in index.documents(prefix="d")] == [str(tmp_path / "two.jsonl")]
    assert index.remove_files(str(tmp_path), ["one.jsonl"]) == 2
    assert [summary.id for summary in index.documents()] == ["d"]


def test_given_vectors_are_searched_and_given_back(make: Make) -> None:
    index = make(GivenVectors(4))
    eye = np.eye(4, dtype=np.float32)
    ids = np.array([7, 8], np.int32)
    index.add(
        [
            Document(id="xy", vectors=eye[:2], token_ids=ids),
            Document(id="z", vectors=3 * eye[2:3], text="seen", metadata={"kind": "image"}),
        ]
    )
    hits = index.search(vectors=eye[2:3])
    assert [(hit.doc_id, round(hit.score, 6)) for hit in hits] == [("z", 1.0), ("xy", 0.0)]
    assert hits[0].text == "seen"
    found = index.get("xy")
    assert found is not None
    assert found.vectors is not None
    assert found.vectors.tolist() == eye[:2].tolist()
    assert found.token_ids is not None
    assert found.token_ids.tolist() == [7, 8]
    other = index.get("z")
    assert other is not None
    assert other.vectors is not None
    assert other.vectors.tolist() == (3 * eye[2:3]).tolist()
    assert other.token_ids is None


def test_closed_vocabularies_are_searched_alike(make: Make, registry: object) -> None:
    pipeline = Pipeline.from_names(tokenizer="pieces", max_tokens=32)
    index = make(pipeline)
    oracle = _fill(index)
    for query in QUERIES:
        assert_search_is_right(index, oracle, query, 3)
    assert all(len(index.pipeline.tokenize([hit.text]).spans) <= 32 for hit in index.search("lion", 100))
