"""Bad input of every kind: a clear error of the right class, nothing lost, and the index goes on working."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests import children
from tests.tiny import TinyEmbedder, TinyEncoder, TinyTokenizer, tiny_pipeline
from vecsearch import (
    Document,
    DocumentError,
    FormatVersionError,
    GivenVectors,
    IdentityError,
    Index,
    IndexDamagedError,
    IndexExistsError,
    IndexNotFoundError,
    Pipeline,
    PluginError,
    PluginNotFoundError,
    QueryError,
    SearchTimeoutError,
    Tokens,
    UsageError,
    VecsearchError,
    VectorsError,
    adding,
)
from vecsearch.stores.schema import FORMAT_VERSION

KEPT = [
    Document(id="bites-1", text="the dog bit the man", title="News", metadata={"lang": "en"}),
    Document(id="bites-2", text="the man bit the dog"),
]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index.create(tmp_path / "notes", pipeline=tiny_pipeline()) as index:
        index.add(KEPT)
        yield index


@pytest.fixture
def vectors_index(tmp_path: Path) -> Iterator[Index]:
    with Index.create(tmp_path / "vectors", pipeline=GivenVectors(3)) as index:
        index.add([Document(id="x", vectors=np.eye(3, dtype=np.float32)[:1])])
        yield index


def assert_nothing_is_lost(index: Index, documents: Sequence[Document] = KEPT) -> None:
    """Compare all documents with what they must be, as this object sees them and as a new one does."""
    pipeline = index.pipeline
    for reader in (index, Index.open(index.path, pipeline=pipeline, read_only=True)):
        assert [summary.id for summary in reader.documents()] == sorted(document.id for document in documents)
        assert all(reader.get(document.id) == document for document in documents)
        assert reader.verify() == []
        if reader is not index:
            reader.close()


def error_of(kind: type[VecsearchError], call: Callable[[], object]) -> VecsearchError:
    """Return the error of exactly this class that a call raises."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    json.dumps(caught.value.to_dict())
    assert caught.value.to_dict()["error"] == kind.code
    return caught.value


# which index


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, Path.touch], ids=["nothing", "folder", "file"])
def test_a_place_without_an_index_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "nowhere")
    error = error_of(IndexNotFoundError, lambda: Index.open(tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in error.message
    assert "vecsearch index" in error.message
    assert error.facts["path"] == str(tmp_path / "nowhere")


def test_opening_what_is_no_index_leaves_it_alone(tmp_path: Path) -> None:
    error_of(IndexNotFoundError, lambda: Index.open(tmp_path))
    assert list(tmp_path.iterdir()) == []


class OtherTokenizer(TinyTokenizer):
    name: ClassVar[str] = "other-tokenizer"


class NewerTokenizer(TinyTokenizer):
    version: ClassVar[str] = "2"


class OtherEncoder(TinyEncoder):
    name: ClassVar[str] = "other-encoder"


@pytest.mark.parametrize(
    ("part", "other", "said"),
    [
        ("tokenizer", tiny_pipeline(OtherTokenizer()), '"other-tokenizer"'),
        ("tokenizer", tiny_pipeline(NewerTokenizer()), '"version": "2"'),
        ("embedder", tiny_pipeline(embedder=TinyEmbedder(dim=8)), '{"dim": 8}'),
        ("encoder", tiny_pipeline(encoder=OtherEncoder()), '"other-encoder"'),
        ("max_tokens", tiny_pipeline(max_tokens=17), "17"),
        ("tokenizer", GivenVectors(16), "null"),
    ],
)
def test_an_index_of_another_pipeline_is_refused_and_both_are_named(
    index: Index, part: str, other: Pipeline, said: str
) -> None:
    error = error_of(IdentityError, lambda: Index.open(index.path, pipeline=other))
    assert error.facts["part"] == part
    recorded, given = index.pipeline.identity[part], other.identity[part]
    assert (error.facts["recorded"], error.facts["given"]) == (recorded, given)
    assert f"was made with {part} {json.dumps(recorded, sort_keys=True)}, " in error.message
    assert f"this is {json.dumps(given, sort_keys=True)};" in error.message
    assert said in json.dumps(given)
    assert said not in json.dumps(recorded)
    assert_nothing_is_lost(index)


def test_an_index_whose_plugins_are_not_installed_names_them(index: Index) -> None:
    error = error_of(PluginNotFoundError, lambda: Index.open(index.path))
    assert "'tiny'" in error.message


def test_an_index_of_a_newer_format_is_refused_and_left_alone(index: Index) -> None:
    index.close()
    set_manifest(index.path, "format_version", str(FORMAT_VERSION + 1))
    error = error_of(FormatVersionError, lambda: Index.open(index.path, pipeline=index.pipeline))
    assert f"format {FORMAT_VERSION + 1}" in error.message
    assert "install a newer one" in error.message
    assert (error.facts["found"], error.facts["supported"]) == (FORMAT_VERSION + 1, FORMAT_VERSION)
    set_manifest(index.path, "format_version", str(FORMAT_VERSION))
    assert_nothing_is_lost(Index.open(index.path, pipeline=index.pipeline))


@pytest.mark.parametrize("value", ["{", '"1"', "null", "[1]"])
@pytest.mark.parametrize("key", ["format_version", "identity", "configuration"])
def test_a_manifest_that_makes_no_sense_is_damage(index: Index, key: str, value: str) -> None:
    index.close()
    set_manifest(index.path, key, value)
    error = error_of(IndexDamagedError, lambda: Index.open(index.path, pipeline=index.pipeline))
    assert key in error.message
    assert str(index.path) in error.message


def test_a_manifest_that_lacks_a_key_is_damage(index: Index) -> None:
    index.close()
    with sqlite3.connect(index.path / "meta.db") as db:
        db.execute("DELETE FROM manifest WHERE key = 'identity'")
    db.close()
    assert "lacks identity" in error_of(IndexDamagedError, lambda: Index.open(index.path)).message


def set_manifest(folder: Path, key: str, value: str) -> None:
    with sqlite3.connect(folder / "meta.db") as db:
        db.execute("UPDATE manifest SET value = ? WHERE key = ?", (value, key))
    db.close()


INTERRUPTED = """
import os, sys
from vecsearch import Index
from vecsearch.stores import creation
from tests.tiny import tiny_pipeline
creation._write_first = lambda *_: os._exit(9)
Index.create(sys.argv[1], pipeline=tiny_pipeline())
"""


def test_an_index_whose_creation_was_interrupted_is_named_and_can_be_created_again(tmp_path: Path) -> None:
    folder = tmp_path / "half"
    with children.start(INTERRUPTED, folder) as child:
        assert child.wait() == 9
    assert (folder / "meta.db").exists()
    error = error_of(IndexNotFoundError, lambda: Index.open(folder))
    assert "interrupted" in error.message
    with Index.create(folder, pipeline=tiny_pipeline()) as index:
        index.add(KEPT)
        assert_nothing_is_lost(index)


def test_an_empty_folder_can_become_an_index(tmp_path: Path) -> None:
    with Index.create(tmp_path, pipeline=tiny_pipeline()) as index:
        index.add(KEPT)
        assert_nothing_is_lost(index)


@pytest.mark.parametrize("state", ["closed", "open", "written"])
def test_creating_over_an_index_is_refused(index: Index, state: str) -> None:
    if state == "closed":
        index.close()
    if state == "open":
        index.close()
        index = Index.open(index.path, pipeline=index.pipeline)
    error = error_of(IndexExistsError, lambda: Index.create(index.path, pipeline=tiny_pipeline(max_tokens=9)))
    assert "Index.open()" in error.message
    assert error.facts["path"] == str(index.path)
    with Index.open(index.path, pipeline=index.pipeline) as again:
        assert_nothing_is_lost(again)
    index.close()


def test_creating_in_a_folder_of_other_things_is_refused_and_leaves_them_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    error = error_of(IndexExistsError, lambda: Index.create(tmp_path, pipeline=tiny_pipeline()))
    assert "not empty" in error.message
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


# queries


@pytest.mark.parametrize("query", ["", " ", "\n\t\u2003\r"])
def test_an_empty_query_is_refused(index: Index, query: str) -> None:
    assert "at least one word" in error_of(QueryError, lambda: index.search(query)).message


@pytest.mark.parametrize("query", [5, b"dog", ["dog"]])
def test_a_query_that_is_no_text_is_refused(index: Index, query: Any) -> None:
    error = error_of(QueryError, lambda: index.search(query))
    assert type(query).__name__ in error.message


def test_a_query_of_only_unknown_words_is_answered(index: Index, default_pipeline: Pipeline, tmp_path: Path) -> None:
    assert len(index.search("zyzzyva qwxyz")) == 2
    with Index.create(tmp_path / "default", pipeline=default_pipeline) as default:
        default.add(KEPT)
        assert sorted(hit.doc_id for hit in default.search("zyzzyva qwxyz")) == ["bites-1", "bites-2"]


def test_a_query_of_only_words_without_a_weight_says_why_it_is_not_answered(index: Index) -> None:
    for mode in ("hybrid", "vector"):
        error = error_of(QueryError, lambda mode=mode: index.search("nil NIL", mode=mode))
        assert "knows none of its words" in error.message
    assert index.search("nil NIL", mode="keyword") == []
    assert [hit.doc_id for hit in index.search("nil man", 1, mode="vector")] == ["bites-1"]


def test_a_query_of_signs_without_a_token_says_why_it_is_not_answered(index: Index) -> None:
    assert "weight" in error_of(QueryError, lambda: index.search("?! …")).message


@pytest.mark.parametrize("k", [0, -1, 1.0, True, "3", None])
def test_a_k_that_is_no_number_of_hits_is_refused(index: Index, k: Any) -> None:
    error = error_of(UsageError, lambda: index.search("dog", k))
    assert f"k is {k!r}" in error.message
    assert error.facts["k"] == k


def test_a_k_beyond_all_passages_gives_them_all(index: Index) -> None:
    assert len(index.search("dog", 10**12, mode="vector")) == 2
    assert len(index.search("dog", 1_000)) == 2


def test_a_page_that_the_pool_of_a_hybrid_search_cannot_fill_is_refused(index: Index) -> None:
    error = error_of(UsageError, lambda: index.search("dog", 10, offset=991))
    assert "hits 992 to 1,001 are asked for" in error.message
    assert "mode='vector'" in error.message


def test_a_word_that_only_the_keywords_know_is_found_by_them(index: Index) -> None:
    index.add([Document(id="nil", text="A nil is no zero.")])
    assert [hit.doc_id for hit in index.search("nil")] == ["nil"]


def test_an_over_long_query_is_refused_before_it_is_embedded(tmp_path: Path) -> None:
    class Counting(TinyEmbedder):
        n_entries = 0

        def rows(self, entries: Sequence[str], starts_word: np.ndarray) -> np.ndarray:
            self.n_entries += len(entries)
            return super().rows(entries, starts_word)

    embedder = Counting()
    with Index.create(tmp_path / "counted", pipeline=tiny_pipeline(embedder=embedder)) as index:
        index.add(KEPT)
        assert len(index.search("dog " * 2048, 2)) == 2
        seen = embedder.n_entries
        error = error_of(QueryError, lambda: index.search(" ".join(map(str, range(2049)))))
        assert "2049 tokens; at most 2048" in error.message
        assert embedder.n_entries == seen


def test_a_query_with_a_lone_surrogate_is_refused(index: Index) -> None:
    error = error_of(QueryError, lambda: index.search("dog \udc80"))
    assert "lone surrogate at character 4" in error.message
    assert "surrogate" in error_of(UsageError, lambda: index.tokens("\udc80")).message


@pytest.mark.parametrize("timeout", [0, 0.0, -1])
def test_a_search_without_time_runs_out_of_it(index: Index, timeout: float) -> None:
    error = error_of(SearchTimeoutError, lambda: index.search("dog", timeout=timeout))
    assert "ran out of time after" in error.message
    assert len(index.search("dog", timeout=3600)) == 2


@pytest.mark.parametrize("timeout", [float("nan"), "5", True])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(index: Index, timeout: Any) -> None:
    assert "timeout" in error_of(UsageError, lambda: index.search("dog", timeout=timeout)).message


def test_vectors_cannot_search_an_index_of_text(index: Index) -> None:
    error = error_of(UsageError, lambda: index.search(vectors=np.ones((1, 16), np.float32)))
    assert "search it with text" in error.message


def test_text_cannot_search_an_index_of_vectors(vectors_index: Index) -> None:
    error = error_of(UsageError, lambda: vectors_index.search("dog"))
    assert "vectors=" in error.message


def test_a_search_takes_either_text_or_vectors(index: Index, vectors_index: Index) -> None:
    eye = np.eye(3, dtype=np.float32)
    assert "either" in error_of(UsageError, lambda: index.search()).message
    assert "either" in error_of(UsageError, lambda: vectors_index.search("dog", vectors=eye)).message
    error = error_of(UsageError, lambda: index.search("dog", token_ids=np.array([1], np.int32)))
    assert "token_ids" in error.message


def test_an_unknown_scorer_is_named(index: Index) -> None:
    error = error_of(PluginNotFoundError, lambda: index.search("dog", scorer="best"))
    assert "'best'" in error.message
    assert "maxsim" in error.message


WRONG_VECTORS = [
    ([[1.0, 0.0, 0.0]], "list"),
    (np.ones((1, 3)), "float64"),
    (np.ones((1, 3), np.float16), "float16"),
    (np.ones((1, 3), np.int32), "int32"),
    (np.ones(3, np.float32), "(3,)"),
    (np.ones((1, 4), np.float32), "(n_tokens ≥ 1, 3)"),
    (np.ones((1, 1, 3), np.float32), "(1, 1, 3)"),
    (np.ones((0, 3), np.float32), "(0, 3)"),
    (np.array([[1, 1, 1], [1, np.nan, 1]], np.float32), "row 1"),
    (np.array([[np.inf, -np.inf, 1]], np.float32), "row 0"),
    (np.array([[1, 1, 1], [1, -3e38, 3e38]], np.float32), "row 1"),
]


@pytest.mark.parametrize(("vectors", "said"), WRONG_VECTORS)
def test_wrong_given_vectors_are_refused_in_documents_and_in_queries(
    vectors_index: Index, vectors: Any, said: str
) -> None:
    error = error_of(VectorsError, lambda: vectors_index.add([Document(id="bad", vectors=vectors)]))
    assert "'bad'" in error.message
    assert said in error.message
    error = error_of(VectorsError, lambda: vectors_index.search(vectors=vectors))
    assert "the query" in error.message
    assert said in error.message
    assert [hit.doc_id for hit in vectors_index.search(vectors=np.eye(3, dtype=np.float32))] == ["x"]
    assert vectors_index.verify() == []


WRONG_IDS = [
    ([1, 2, 3], "list"),
    (np.array([1, 2], np.int32), "(3,)"),
    (np.array([1.0, 2.0, 3.0]), "float64"),
    (np.array([[1, 2, 3]], np.int32), "(1, 3)"),
    (np.array([1, 2, 2**31], np.int64), "2147483648"),
    (np.array([1, 2, -2], np.int32), "-2"),
]


@pytest.mark.parametrize(("token_ids", "said"), WRONG_IDS)
def test_wrong_token_ids_are_refused_in_documents_and_in_queries(
    vectors_index: Index, token_ids: Any, said: str
) -> None:
    eye = np.eye(3, dtype=np.float32)
    error = error_of(VectorsError, lambda: vectors_index.add([Document(id="bad", vectors=eye, token_ids=token_ids)]))
    assert said in error.message
    error = error_of(VectorsError, lambda: vectors_index.search(vectors=eye, token_ids=token_ids))
    assert said in error.message
    assert [summary.id for summary in vectors_index.documents()] == ["x"]


def test_a_query_vector_without_an_id_is_allowed_but_a_document_needs_all(vectors_index: Index) -> None:
    eye = np.eye(3, dtype=np.float32)
    ids = np.array([1, 2, -1], np.int32)
    assert [hit.doc_id for hit in vectors_index.search(vectors=eye, token_ids=ids)] == ["x"]
    assert (
        "-1"
        in error_of(VectorsError, lambda: vectors_index.add([Document(id="bad", vectors=eye, token_ids=ids)])).message
    )


def test_a_query_of_zero_vectors_says_why_it_is_not_answered(vectors_index: Index) -> None:
    error = error_of(QueryError, lambda: vectors_index.search(vectors=np.zeros((2, 3), np.float32)))
    assert "zero" in error.message


def test_an_over_long_query_of_vectors_is_refused(vectors_index: Index) -> None:
    error = error_of(QueryError, lambda: vectors_index.search(vectors=np.ones((2049, 3), np.float32)))
    assert "2049 vectors; at most 2048" in error.message


def test_vectors_are_refused_by_an_index_of_text(index: Index) -> None:
    error = error_of(VectorsError, lambda: index.add([Document(id="v", vectors=np.ones((1, 16), np.float32))]))
    assert "GivenVectors" in error.message
    error_of(VectorsError, lambda: index.add([Document(id="v", text="x", token_ids=np.array([1], np.int32))]))
    assert_nothing_is_lost(index)


def test_documents_without_vectors_are_refused_by_an_index_of_vectors(vectors_index: Index) -> None:
    error = error_of(VectorsError, lambda: vectors_index.add([Document(id="v", text="only text")]))
    assert "(n_tokens, 3)" in error.message


@pytest.mark.parametrize("dim", [0, -1, 1.5, "3", True])
def test_given_vectors_need_a_length(dim: Any) -> None:
    assert repr(dim) in error_of(UsageError, lambda: GivenVectors(dim)).message


# documents

ODD_IDS = {
    "quotes": 'it\'s "quoted" `here`',
    "sql": "'; DROP TABLE documents; --",
    "wildcards": "%_*?[a-z]",
    "newlines": "a\nb\r\nc",
    "nul": "a\x00b",
    "only-nul": "\x00",
    "space": " ",
    "long": "x" * 10_000,
    "number": "5",
    "unicode": "e\u0301é 東京 🦁 \u202eright to left\ufeff\uffff\U0010ffff",
}


@pytest.mark.parametrize("doc_id", ODD_IDS.values(), ids=ODD_IDS)
def test_any_text_can_be_an_id(index: Index, doc_id: str) -> None:
    document = Document(id=doc_id, text="a lion slept", title=doc_id[:50], metadata={doc_id[:50]: doc_id})
    index.add([document])
    assert_nothing_is_lost(index, [*KEPT, document])
    hit = index.search("lion slept", 1)[0]
    assert (hit.doc_id, hit.metadata) == (doc_id, {doc_id[:50]: doc_id})
    assert index.get(doc_id[:-1]) is None
    assert index.add([document]).n_unchanged == 1
    assert [summary.id for summary in index.documents(prefix=doc_id)] == [doc_id]
    assert index.delete([doc_id, doc_id]) == 1
    assert_nothing_is_lost(index)


NESTED: list[Any] = []
for _ in range(100_000):
    NESTED = [NESTED]
CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)

BAD_DOCUMENTS: dict[str, tuple[Any, str]] = {
    "no document": ({"id": "x", "text": "y"}, "got dict"),
    "empty id": (Document(id=""), "at least one character"),
    "id of a number": (Document(id=5), "not 5"),  # type: ignore[arg-type]
    "id of bytes": (Document(id=b"x"), "not b'x'"),  # type: ignore[arg-type]
    "no id": (Document(id=None), "not None"),  # type: ignore[arg-type]
    "text of bytes": (Document(id="x", text=b"y"), "text must be text, not bytes"),  # type: ignore[arg-type]
    "no text": (Document(id="x", text=None), "text must be text, not NoneType"),  # type: ignore[arg-type]
    "no title": (Document(id="x", title=None), "title must be text, not NoneType"),  # type: ignore[arg-type]
    "surrogate in id": (Document(id="a\ud800"), "id has a lone surrogate at character 1"),
    "surrogate in text": (Document(id="x", text="\udcff"), "text has a lone surrogate at character 0"),
    "surrogate in title": (Document(id="x", title="ab\udfff"), "title has a lone surrogate at character 2"),
    "surrogate in metadata": (Document(id="x", metadata={"a": ["\ud83e"]}), "metadata"),
    "surrogate in metadata key": (Document(id="x", metadata={"\ud83e": 1}), "metadata"),
    "NaN in metadata": (Document(id="x", metadata={"a": float("nan")}), "metadata"),
    "infinity in metadata": (Document(id="x", metadata={"a": {"b": float("inf")}}), "metadata"),
    "set in metadata": (Document(id="x", metadata={"a": {1}}), "set"),
    "array in metadata": (Document(id="x", metadata={"a": np.ones(1)}), "ndarray"),
    "number as metadata key": (Document(id="x", metadata={1: "a"}), "metadata"),  # type: ignore[dict-item]
    "number as inner metadata key": (Document(id="x", metadata={"a": {1: "a"}}), "metadata"),
    "tuple in metadata": (Document(id="x", metadata={"a": ("b",)}), "metadata"),
    "deep metadata": (Document(id="x", metadata={"a": NESTED}), "metadata"),
    "circular metadata": (Document(id="x", metadata={"a": CIRCULAR}), "metadata"),
    "no metadata": (Document(id="x", metadata=None), "metadata"),  # type: ignore[arg-type]
    "list as metadata": (Document(id="x", metadata=[1]), "metadata"),  # type: ignore[arg-type]
    "section before the text": (Document(id="x", text="abc", sections=[-1]), "sections"),
    "section beyond the text": (Document(id="x", text="abc", sections=[4]), "sections"),
    "sections that fall": (Document(id="x", text="abc", sections=[2, 1]), "sections"),
    "section between characters": (Document(id="x", text="abc", sections=[0.5]), "sections"),  # type: ignore[list-item]
    "section of text": (Document(id="x", text="abc", sections=["1"]), "sections"),  # type: ignore[list-item]
    "sections of sections": (Document(id="x", text="abc", sections=[[1], [2]]), "sections"),  # type: ignore[list-item]
    "ragged sections": (Document(id="x", text="abc", sections=[[1], [1, 2]]), "sections"),  # type: ignore[list-item]
    "a number as sections": (Document(id="x", text="abc", sections=1), "sections"),  # type: ignore[arg-type]
    "no sections": (Document(id="x", text="abc", sections=None), "sections"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("document", "said"), BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
def test_a_document_that_cannot_be_stored_is_refused(index: Index, document: Any, said: str) -> None:
    error = error_of(DocumentError, lambda: index.add([Document(id="before", text="queued"), document]))
    assert said in error.message
    assert len(error.message) < 500
    assert_nothing_is_lost(index)
    index.add([Document(id="after", text="lion")])
    assert index.search("lion", 1)[0].doc_id == "after"


def test_sections_may_be_empty_arrays_and_touch_both_ends(index: Index) -> None:
    index.add(
        [
            Document(id="list", text="abc", sections=[0, 3]),
            Document(id="array", text="abc", sections=np.array([0, 1, 1], np.int64)),  # type: ignore[arg-type]
            Document(id="empty", text="", sections=np.zeros(0)),  # type: ignore[arg-type]
            Document(id="end", text="", sections=(0,)),
        ]
    )
    assert index.get("array") == Document(id="array", text="abc")
    assert index.verify() == []


def test_a_document_alone_is_not_a_list_of_documents(index: Index) -> None:
    assert "[" in error_of(UsageError, lambda: index.add(KEPT[0])).message  # type: ignore[arg-type]
    assert_nothing_is_lost(index)


@pytest.mark.parametrize("doc_id", [5, None, b"5", 5.0, "a\ud800"])
def test_what_cannot_be_an_id_is_neither_got_nor_deleted(index: Index, doc_id: Any) -> None:
    five = Document(id="5", text="five")
    index.add([five])
    assert "id" in error_of(UsageError, lambda: index.get(doc_id)).message
    assert "id" in error_of(UsageError, lambda: index.delete(["bites-1", doc_id])).message
    assert_nothing_is_lost(index, [*KEPT, five])


def test_one_text_is_not_a_list_of_ids(index: Index) -> None:
    assert "delete(['bites-1'])" in error_of(UsageError, lambda: index.delete("bites-1")).message
    assert_nothing_is_lost(index)


def test_a_prefix_with_a_lone_surrogate_is_refused(index: Index) -> None:
    assert "surrogate" in error_of(UsageError, lambda: list(index.documents(prefix="\ud800"))).message


def test_two_documents_of_one_id_in_one_call_are_refused(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "BATCH_DOCUMENTS", 2)
    new = [Document(id=str(number), text=f"new {number}") for number in range(3)]
    error = error_of(UsageError, lambda: index.add([*new, new[0]]))
    assert "'0'" in error.message
    assert error.facts["id"] == "0"
    assert_nothing_is_lost(index, [*KEPT, *new[:2]])  # the first batch of two was committed
    index.add(new)
    assert_nothing_is_lost(index, [*KEPT, *new])


# plugins that misbehave


class BadTokenizer(TinyTokenizer):
    name: ClassVar[str] = "bad-tokenizer"

    def __init__(self, *, fault: str = "") -> None:
        self.fault = fault

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        good = super().tokenize(texts)
        if not any("poison" in text for text in texts):
            return good
        offsets, spans, entries = good.offsets, good.spans, good.entries
        assert entries is not None
        n = good.n_tokens
        faults: dict[str, Callable[[], Any]] = {
            "raises": lambda: 1 // 0,
            "exits": lambda: exec("raise OSError(28, 'No space left on device')"),
            "nothing": lambda: None,
            "beyond the text": lambda: Tokens(offsets, spans + np.int32(1000), entries=entries),
            "before the text": lambda: Tokens(offsets, spans - np.int32(1000), entries=entries),
            "backwards spans": lambda: Tokens(offsets, spans[:, ::-1].copy(), entries=entries),
            "falling spans": lambda: Tokens(offsets, spans[::-1].copy(), entries=entries),
            "spans of int64": lambda: Tokens(offsets, spans.astype(np.int64), entries=entries),
            "spans in a list": lambda: Tokens(offsets, spans.tolist(), entries=entries),
            "flat spans": lambda: Tokens(offsets, spans.ravel(), entries=entries),
            "offsets of int32": lambda: Tokens(offsets.astype(np.int32), spans, entries=entries),
            "offsets in a list": lambda: Tokens(offsets.tolist(), spans, entries=entries),
            "short offsets": lambda: Tokens(offsets[:-1], spans, entries=entries),
            "falling offsets": lambda: Tokens(offsets[::-1].copy(), spans, entries=entries),
            "no entries": lambda: Tokens(offsets, spans),
            "too few entries": lambda: Tokens(offsets, spans, entries=entries[1:]),
            "numbers as entries": lambda: Tokens(offsets, spans, entries=list(range(n))),  # type: ignore[arg-type]
            "ids of no vocabulary": lambda: Tokens(offsets, spans, ids=np.zeros(n, np.int32)),
        }
        found: Tokens = faults[self.fault]()
        return found


class BadEmbedder(TinyEmbedder):
    name: ClassVar[str] = "bad-embedder"

    def __init__(self, *, fault: str = "") -> None:
        super().__init__()
        self.fault = fault

    def rows(self, entries: Sequence[str], starts_word: np.ndarray) -> np.ndarray:
        rows = super().rows(entries, starts_word)
        if "poison" not in entries:
            return rows
        faults: dict[str, Callable[[], Any]] = {
            "raises": lambda: dict[str, Any]()["weights"],
            "NaN": lambda: np.where(np.arange(16) == 3, np.float32(np.nan), rows),
            "infinity": lambda: np.where(np.arange(16) == 3, np.float32(np.inf), -np.float32(np.inf) + 0 * rows),
            "too long": lambda: rows + np.float32(3e38),
            "wrong dim": lambda: rows[:, :8],
            "a row too few": lambda: rows[1:],
            "float64": lambda: rows.astype(np.float64),
            "a list": lambda: rows.tolist(),
            "nothing": lambda: None,
        }
        found: np.ndarray = faults[self.fault]()
        return found


class BadEncoder(TinyEncoder):
    name: ClassVar[str] = "bad-encoder"

    def __init__(self, *, fault: str = "", poison: float = 0.0) -> None:
        self.fault = fault
        self.poison = np.linalg.norm(TinyEmbedder().rows(["poison"], np.ones(1, bool)))

    def encode(self, units: np.ndarray, weights: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        if not np.any(np.abs(weights - self.poison) < 1e-3):
            return units.copy()
        faults: dict[str, Callable[[], Any]] = {
            "raises": lambda: [][1],
            "NaN": lambda: units * np.float32(np.nan),
            "wrong shape": lambda: units[:, 1:],
            "a row too many": lambda: np.concatenate([units, units[:1]]),
            "float16": lambda: units.astype(np.float16),
            "long rows": lambda: units * np.float32(1.5),
        }
        found: np.ndarray = faults[self.fault]()
        return found


FAULTS: list[tuple[Callable[[str], Pipeline], str, type[VecsearchError], str]] = [
    *(
        (lambda fault: tiny_pipeline(BadTokenizer(fault=fault)), fault, PluginError, f"tokenizer 'bad-tokenizer'{said}")
        for fault, said in {
            "raises": " failed in tokenize(): ZeroDivisionError",
            "exits": " failed in tokenize(): OSError",
            "nothing": ": tokenize() returned NoneType",
            "beyond the text": ": tokenize() gave spans that leave their text",
            "before the text": ": tokenize() gave spans that leave their text",
            "backwards spans": ": tokenize() gave spans that leave their text",
            "falling spans": ": tokenize() gave spans",
            "spans of int64": ": tokenize() spans are int64",
            "spans in a list": ": tokenize() spans are list",
            "flat spans": ": tokenize() ",
            "offsets of int32": ": tokenize() offsets are int32",
            "offsets in a list": ": tokenize() offsets are list",
            "short offsets": ": tokenize() offsets",
            "falling offsets": ": tokenize() offsets do not rise",
            "no entries": ": tokenize() gave ids and entries",
            "too few entries": ": tokenize() gave ",
            "numbers as entries": ": tokenize() gave entries that are no text",
            "ids of no vocabulary": ": tokenize() gave ids and entries",
        }.items()
    ),
    *(
        (lambda fault: tiny_pipeline(embedder=BadEmbedder(fault=fault)), fault, kind, f"embedder 'bad-embedder'{said}")
        for fault, kind, said in [
            ("raises", PluginError, " failed in rows(): KeyError: 'weights'"),
            ("NaN", VectorsError, ": rows() returned NaN or infinity, first at row"),
            ("infinity", VectorsError, ": rows() returned NaN or infinity, first at row 0"),
            ("too long", VectorsError, ": rows() returned"),
            ("wrong dim", VectorsError, ": rows() returned shape (7, 8), not (7, 16)"),
            ("a row too few", VectorsError, ": rows() returned shape"),
            ("float64", VectorsError, ": rows() returned float64"),
            ("a list", VectorsError, ": rows() returned list"),
            ("nothing", VectorsError, ": rows() returned NoneType"),
        ]
    ),
    *(
        (
            lambda fault: tiny_pipeline(encoder=BadEncoder(fault=fault)),
            fault,
            kind,
            f"positional encoder 'bad-encoder'{said}",
        )
        for fault, kind, said in [
            ("raises", PluginError, " failed in encode(): IndexError"),
            ("NaN", VectorsError, ": encode() returned NaN or infinity, first at row 0"),
            ("wrong shape", VectorsError, ": encode() returned shape ("),
            ("a row too many", VectorsError, ": encode() returned shape ("),
            ("float16", VectorsError, ": encode() returned float16"),
            ("long rows", VectorsError, ": encode() returned rows of length 1.5"),
        ]
    ),
]


@pytest.mark.parametrize(
    ("make", "fault", "kind", "said"), FAULTS, ids=[f"{said[:12]}-{f}" for _, f, _, said in FAULTS]
)
def test_a_plugin_that_misbehaves_is_named_and_its_batch_is_not_committed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[str], Pipeline],
    fault: str,
    kind: type[VecsearchError],
    said: str,
) -> None:
    monkeypatch.setattr(adding, "BATCH_DOCUMENTS", 2)
    with Index.create(tmp_path / "notes", pipeline=make(fault)) as index:
        documents = [*KEPT, Document(id="good", text="in one batch with"), Document(id="bad", text="two poison words")]
        error = error_of(kind, lambda: index.add([*documents, Document(id="later", text="never reached")]))
        assert said in error.message
        assert error.facts["plugin"].startswith("bad-")
        assert_nothing_is_lost(index)
        error = error_of(kind, lambda: index.search("poison and"))
        assert error.facts["plugin"].startswith("bad-")
        index.add([documents[2], Document(id="later", text="words without harm")])
        assert_nothing_is_lost(index, [*documents[:3], Document(id="later", text="words without harm")])
        assert index.search("words", 1)[0].doc_id == "later"


class BadScorer:
    name: ClassVar[str] = "bad-scorer"
    version: ClassVar[str] = "1"
    config: ClassVar[dict[str, Any]] = {}
    files: ClassVar[dict[str, str]] = {}

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def _maybe(self, method: str, good: Any) -> Any:
        if not self.fault.startswith(f"{method} "):
            return good
        match self.fault.removeprefix(f"{method} "):
            case "raises":
                raise RuntimeError("out of ink")
            case "gives NaN":
                return good * np.nan
            case "gives too few":
                return good[:-1] if isinstance(good, np.ndarray) else -good
            case "gives nothing":
                return None
        raise AssertionError(self.fault)

    def reduce(self, similarities: np.ndarray, offsets: np.ndarray) -> Any:
        return self._maybe("reduce", np.maximum.reduceat(similarities, offsets[:-1], axis=1))

    def transform(self, reduced: np.ndarray, lengths: np.ndarray, statistics: Any) -> Any:
        return self._maybe("transform", reduced)

    def combine(self, transformed: np.ndarray, weights: np.ndarray) -> Any:
        return self._maybe("combine", weights @ transformed)

    def sensitivity(self, weights: np.ndarray, statistics: Any) -> Any:
        return self._maybe("sensitivity", float(weights.sum()))


@pytest.mark.parametrize("method", ["reduce", "transform", "combine", "sensitivity"])
@pytest.mark.parametrize("fault", ["raises", "gives NaN", "gives too few", "gives nothing"])
def test_a_scorer_that_misbehaves_is_named(index: Index, method: str, fault: str) -> None:
    error = error_of(PluginError, lambda: index.search("dog", 1, scorer=BadScorer(f"{method} {fault}")))
    assert "scorer 'bad-scorer'" in error.message
    assert f"{method}()" in error.message
    assert error.facts["plugin"] == "bad-scorer"
    found = [hit.doc_id for hit in index.search("dog", scorer=BadScorer())]
    assert found == [hit.doc_id for hit in index.search("dog")]


def test_what_is_no_scorer_is_refused(index: Index) -> None:
    assert "scorer" in error_of(UsageError, lambda: index.search("dog", scorer=5)).message  # type: ignore[arg-type]


class BadAligner(TinyEncoder):
    name: ClassVar[str] = "bad-aligner"
    depth = 10

    def __init__(self, *, fault: str = "") -> None:
        self.fault = fault

    def similarities(self, query: np.ndarray, passage: np.ndarray, alignment: int) -> Any:
        return query @ passage.T

    def align(self, query: np.ndarray, passage: np.ndarray) -> Any:
        good = (query @ passage.T).max(axis=1)[None, :]
        match self.fault:
            case "raises":
                raise RuntimeError("lost its place")
            case "NaN":
                return good * np.float32(np.nan)
            case "wrong shape":
                return good[:, :-1]
            case "no alignment":
                return good[:0]
        return good


@pytest.mark.parametrize("fault", ["raises", "NaN", "wrong shape", "no alignment"])
def test_an_aligning_encoder_that_misbehaves_is_named(tmp_path: Path, fault: str) -> None:
    with Index.create(tmp_path / "aligned", pipeline=tiny_pipeline(encoder=BadAligner(fault=fault))) as index:
        index.add(KEPT)
        for call in (lambda: index.search("dog"), lambda: index.pipeline.similarity("dog", "man")):
            with pytest.raises(PluginError if fault == "raises" else VectorsError) as caught:
                call()
            assert "positional encoder 'bad-aligner'" in caught.value.message
            assert "align()" in caught.value.message


def test_progress_that_raises_leaves_the_batch_that_it_was_told_of(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "BATCH_DOCUMENTS", 1)
    new = [Document(id=str(number), text=f"new {number}") for number in range(3)]

    def progress(_: object) -> None:
        raise LookupError("the screen is gone")

    with pytest.raises(LookupError):
        index.add(new, progress=progress)
    assert_nothing_is_lost(index, [*KEPT, new[0]])


# sizes


@pytest.mark.parametrize("text", ["", "x", "x " * 17, "x" * 100_000, "…" * 1000])
def test_a_document_of_any_size_is_kept(index: Index, text: str) -> None:
    document = Document(id="sized", text=text)
    index.add([document])
    assert_nothing_is_lost(index, [*KEPT, document])
    assert index.delete(["sized"]) == 1
    assert_nothing_is_lost(index)


HUGE = """
import resource, sys
import vecsearch
folder, n_characters = sys.argv[1], int(sys.argv[2])
words = "the lion slept under a tree and woke at dusk while the dog bit the man who ran".split()
def text():
    parts, size, number = [], 0, 0
    while size < n_characters:
        part = " ".join(f"{word}{(number * 7 + place) % 997}" for place, word in enumerate(words))
        parts.append(part + (".\\n\\n" if number % 5 == 0 else " "))
        size += len(parts[-1])
        number += 1
    return "".join(parts)
body = text()
with vecsearch.Index.create(folder, pipeline=vecsearch.Pipeline.from_names()) as index:
    index.add([vecsearch.Document(id="small", text="warm up")])
    index.search("warm")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = index.add([vecsearch.Document(id="huge", text=body)])
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert index.get("huge").text == body
    assert index.search("the lion slept at dusk", 3)[0].doc_id == "huge"
    assert index.verify() == []
    assert len(body) >= n_characters
    print(report.n_tokens, (after - before) // 1024)
"""


def test_a_document_of_5_megabytes_needs_little_memory(tmp_path: Path) -> None:
    n_tokens, n_megabytes = map(int, children.run(HUGE, tmp_path / "huge", 5_000_000).split())
    assert n_tokens > 600_000
    # all vectors at once would be 1 KiB a token: 700 MB
    assert n_megabytes < 450


@pytest.mark.slow
def test_a_document_of_50_megabytes_needs_little_memory(tmp_path: Path) -> None:
    n_tokens, n_megabytes = map(int, children.run(HUGE, tmp_path / "huge", 50_000_000).split())
    assert n_tokens > 6_000_000
    # all vectors at once would be 7 GB
    assert n_megabytes < 2_500
