import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from vecsearch import LoadError, UsageError
from vecsearch.evaluation.configurations import configurations
from vecsearch.evaluation.datasets import (
    Analogies,
    Collection,
    Pairs,
    Triples,
    WordSimilarities,
    read_collection,
    read_dataset,
)

CORPUS = [
    {"_id": "a", "title": "Bites", "text": "dog bites man"},
    {"_id": "b", "title": "", "text": ""},
    {"_id": "c", "text": "x"},
]
QUERIES = [{"_id": "1", "text": "bite"}, {"_id": "2", "text": "unjudged"}, {"_id": "3", "text": "irrelevant"}]
QRELS = "query-id\tcorpus-id\tscore\n1\ta\t2\n1\tb\t0\n3\tc\t0\n"


def jsonl(records: list[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A collection of three documents, of whose three queries one has a relevant document."""
    made = tmp_path / "tiny"
    made.mkdir()
    (made / "corpus.jsonl").write_text(jsonl(CORPUS), "utf-8")
    (made / "queries.jsonl").write_text(jsonl(QUERIES), "utf-8")
    (made / "qrels.tsv").write_text(QRELS, "utf-8")
    return made


def test_a_collection_keeps_the_queries_with_a_relevant_document(folder: Path) -> None:
    collection = read_dataset(folder)
    assert isinstance(collection, Collection)
    assert (collection.name, collection.doc_ids) == ("tiny", {"a", "b", "c"})
    assert collection.queries == {"1": "bite"}
    assert collection.relevance == {"1": {"a": 2, "b": 0}}
    assert [(one.id, one.title, one.text) for one in collection.documents()] == [
        ("a", "Bites", "dog bites man"),
        ("b", "", ""),
        ("c", "", "x"),
    ]


def test_a_compressed_corpus_and_judgments_in_a_subfolder_are_found(folder: Path) -> None:
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress((folder / "corpus.jsonl").read_bytes()))
    (folder / "corpus.jsonl").unlink()
    (folder / "qrels").mkdir()
    (folder / "qrels.tsv").rename(folder / "qrels" / "test.tsv")
    collection = read_collection(folder)
    assert collection.relevance == {"1": {"a": 2, "b": 0}}
    assert [one.id for one in collection.documents()] == ["a", "b", "c"]


def test_another_split_is_read_from_the_files_named(folder: Path) -> None:
    (folder / "train.jsonl").write_text(jsonl([{"_id": "t", "text": "x"}]), "utf-8")
    (folder / "train.tsv").write_text("query-id\tcorpus-id\tscore\nt\tc\t1\n", "utf-8")
    collection = read_collection(folder, queries=folder / "train.jsonl", qrels=folder / "train.tsv")
    assert (collection.queries, collection.relevance) == ({"t": "x"}, {"t": {"c": 1}})
    with pytest.raises(LoadError, match=r"train\.tsv, line 2: 't' is not an _id of .*queries\.jsonl"):
        read_collection(folder, qrels=folder / "train.tsv")


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(LoadError, match=rf"tiny: no {name} in it; a collection is a folder with"):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("qrels.tsv", QRELS + "1\tz\t1\n", r"qrels\.tsv, line 5: 'z' is not an _id of .*corpus\.jsonl"),
        ("qrels.tsv", QRELS + "9\ta\t1\n", r"qrels\.tsv, line 5: '9' is not an _id of .*queries\.jsonl"),
        ("qrels.tsv", QRELS + "1\ta\t1\n", r"line 5: query '1' and document 'a' were judged before"),
        ("qrels.tsv", QRELS + "1\tc\tgood\n", r"line 5: the score is 'good'; it must be a whole number"),
        ("qrels.tsv", QRELS + "1\tc\t1.5\n", r"line 5: the score is '1.5'; it must be a whole number"),
        ("qrels.tsv", QRELS + "1\tc\n", r"line 5: 2 fields, the header has 3"),
        ("qrels.tsv", "1\ta\t2\n", r"line 1: the header must name query-id, corpus-id, score, tab-separated"),
        ("qrels.tsv", "", r"qrels\.tsv: empty; the first line must be a header with query-id"),
        ("qrels.tsv", "query-id\tcorpus-id\tscore\n1\ta\t0\n", r"qrels\.tsv: no query has a relevant document"),
        ("corpus.jsonl", jsonl([*CORPUS, CORPUS[0]]), r"corpus\.jsonl, line 4: the _id 'a' was there before"),
        ("corpus.jsonl", jsonl([{"_id": 7, "text": "x"}]), r"line 1: '_id' is 7; it must be text"),
        ("corpus.jsonl", jsonl([{"_id": "a"}]), r"line 1: 'text' is None; it must be text"),
        ("corpus.jsonl", jsonl([{"_id": "a", "text": "x", "title": 3}]), r"line 1: 'title' is 3; it must be text"),
        ("corpus.jsonl", jsonl([["a"]]), r"line 1: a JSON list; each line must be an object"),
        ("corpus.jsonl", "{\n", r"corpus\.jsonl, line 1: not JSON: "),
        ("corpus.jsonl", "\n\n", r"corpus\.jsonl: empty; each line must be a JSON object"),
        ("queries.jsonl", jsonl([QUERIES[0], QUERIES[0]]), r"queries\.jsonl, line 2: the _id '1' was there before"),
    ],
)
def test_a_broken_collection_is_refused_with_file_and_line(folder: Path, name: str, content: str, said: str) -> None:
    (folder / name).write_text(content, "utf-8")
    with pytest.raises(LoadError, match=said) as raised:
        read_dataset(folder)
    assert raised.value.facts["path"] == str(folder / name)


def test_what_is_not_utf8_or_not_gzip_is_refused(folder: Path) -> None:
    (folder / "queries.jsonl").write_bytes(b'{"_id": "1", "text": "\xff"}\n')
    with pytest.raises(LoadError, match=r"queries\.jsonl: not UTF-8 after line 0"):
        read_dataset(folder)
    whole = gzip.compress(jsonl(CORPUS).encode())
    (folder / "corpus.jsonl").unlink()
    for content in (whole[:-9], b"not gzip", whole[:20] + b"\0\0\0" + whole[23:]):
        (folder / "corpus.jsonl.gz").write_bytes(content)
        with pytest.raises(LoadError, match=r"corpus\.jsonl\.gz: not a whole gzip file"):
            read_dataset(folder)


def test_pairs_triples_analogies_and_word_similarities_are_told_from_their_content(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text('id\tsentence1\tsentence2\tlabel\np1\ta "quoted\tb\t1\np2\tc\td\t0\n', "utf-8")
    assert read_dataset(pairs) == Pairs("pairs", ["p1", "p2"], [('a "quoted', "b"), ("c", "d")], [1, 0])
    triples = tmp_path / "triples.tsv"
    triples.write_text("negative\tanchor\tpositive\nn\ta\tp\n", "utf-8")
    assert read_dataset(triples) == Triples("triples", ("2",), ("a",), ("p",), ("n",))
    analogies = tmp_path / "questions.txt"
    analogies.write_text(": capitals\nAthens Greece Paris France\n\n: empty\n", "utf-8")
    assert read_dataset(analogies) == Analogies(
        "questions", {"capitals": [("athens", "greece", "paris", "france")], "empty": []}
    )
    words = tmp_path / "words.txt"
    words.write_text("Tiger\tcat 7.5\nstock CD -1e1\n", "utf-8")
    assert read_dataset(words) == WordSimilarities("words", [("tiger", "cat"), ("stock", "cd")], [7.5, -10.0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"of no known kind; expected a folder with corpus\.jsonl, .*; it begins with ''"),
        ("some prose about dogs\n", r"of no known kind; .*; it begins with 'some prose about dogs'"),
        ("tiger cat nan\n", r"of no known kind"),
        ("sentence1\tsentence2\n", r"of no known kind"),
        ("sentence1\tsentence2\tlabel\na\tb\t2\n", r"line 2: the label is '2'; it must be 0 or 1"),
        ("sentence1\tsentence2\tlabel\na\tb\n", r"line 2: 2 fields, the header has 3"),
        ("sentence1\tsentence2\tlabel\na\tb\t1\n", r"there must be pairs of both labels"),
        ("anchor\tpositive\tnegative\n", r"there is no triple in it"),
        (": s\na b c\n", r"line 2: 3 words; a question has four"),
        (": s\n", r"there is no question in it"),
        ("a b 1\nc d\n", r"line 2: expected two words and a number: 'c d'"),
        ("a b 1\nc d inf\n", r"line 2: expected two words and a number"),
    ],
)
def test_a_file_of_no_kind_or_a_broken_one_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "file").write_text(content, "utf-8")
    with pytest.raises(LoadError, match=said):
        read_dataset(tmp_path / "file")


def test_queries_and_judgments_belong_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a b 1\n", "utf-8")
    with pytest.raises(UsageError, match="queries and qrels belong to a collection"):
        read_dataset(tmp_path / "file", queries=tmp_path / "file")


def labels(**choices: list[str]) -> list[str]:
    return [one.label for one in configurations(choices)]


def test_configurations_are_all_combinations_with_the_pipeline_changing_slowest() -> None:
    assert labels() == ["default"]
    assert labels(mode=["vector", "hybrid"], encoder=["none", "relative"]) == [
        "encoder=none mode=vector",
        "encoder=none mode=hybrid",
        "encoder=relative mode=vector",
        "encoder=relative mode=hybrid",
    ]


def test_what_a_mode_does_not_use_makes_no_further_configuration() -> None:
    found = labels(
        encoder=["none", "relative"], mode=["keyword", "vector", "hybrid"], scorer=["maxsim"], fusion=["zscore", "rrf"]
    )
    assert found == [
        "encoder=none mode=keyword",
        "encoder=none mode=vector scorer=maxsim",
        "encoder=none mode=hybrid scorer=maxsim fusion=zscore",
        "encoder=none mode=hybrid scorer=maxsim fusion=rrf",
        "encoder=relative mode=vector scorer=maxsim",
        "encoder=relative mode=hybrid scorer=maxsim fusion=zscore",
        "encoder=relative mode=hybrid scorer=maxsim fusion=rrf",
    ]


@pytest.mark.parametrize(
    "choices",
    [
        {"mode": ["keyword"], "scorer": ["maxsim"]},
        {"mode": ["keyword", "vector"], "fusion": ["rrf"]},
        {"mode": ["keyword"], "encoder": ["none", "relative"]},
    ],
)
def test_a_part_that_no_chosen_mode_uses_is_refused(choices: dict[str, list[str]]) -> None:
    with pytest.raises(UsageError, match="makes no difference in mode"):
        configurations(choices)
