"""``--rerank`` on the command line, with an encoder in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.tiny_onnx import save_folder
from vecsearch.cli.program import program

LINES = [
    {"id": "bites", "text": "The dog bit the man."},
    {"id": "runs", "text": "A big man ran."},
]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_folder(tmp_path / "models" / "tiny")


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


def run(tmp_path: Path, *arguments: object) -> Result:
    return CliRunner().invoke(program, ["--indexes", str(tmp_path / "indexes"), *map(str, arguments)])


def test_hits_are_rescored_by_a_model(tmp_path: Path, model: Path, records: Path) -> None:
    run(tmp_path, "add", records, "-i", "notes")
    query = ("search", "a big dog ran", "-i", "notes", "--rerank", model)
    shown = run(tmp_path, *query, "--explain")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "rerank" in shown.stdout
    plain = run(tmp_path, *query[:4], "--json")
    assert "rerank" not in json.loads(plain.stdout.splitlines()[0])
    hits = [json.loads(line) for line in run(tmp_path, *query, "--json").stdout.splitlines()]
    assert {hit["doc_id"] for hit in hits} == {"bites", "runs"}
    for hit in hits:
        assert "rerank" in hit["signals"]
        assert {**hit["rerank"], "seconds": 0} == {"n": 2, "n_rescored": 2, "seconds": 0, "is_cut": False}
    one = [json.loads(line) for line in run(tmp_path, *query, "--rerank-top", "1", "--json").stdout.splitlines()]
    assert [("rerank" in hit["signals"], hit["rerank"]["n"]) for hit in one] == [(True, 1), (False, 1)]


def test_it_is_said_when_the_time_to_rescore_was_over(tmp_path: Path, model: Path, records: Path) -> None:
    run(tmp_path, "add", records, "-i", "notes")
    query = ("search", "a big dog ran", "-i", "notes", "--rerank", model, "--rerank-budget", "0.000001")
    cut = run(tmp_path, *query)
    assert cut.exit_code == 0
    assert cut.stderr == "The time of --rerank-budget was over: 0 of 2 hits were rescored.\n"
    hits = [json.loads(line) for line in run(tmp_path, *query, "--json").stdout.splitlines()]
    assert all(hit["rerank"]["is_cut"] and hit["rerank"]["n_rescored"] == 0 for hit in hits)
    queries = tmp_path / "queries.txt"
    queries.write_text("a big dog\nthe man\n")
    many = run(
        tmp_path, "search", "--queries", queries, "-i", "notes", "--json", "--rerank", model, "--rerank-budget", "1e-6"
    )
    assert "of 2 of 2 queries not all hits were rescored, but 0 or more" in many.stderr
    assert all(json.loads(line)["rerank"]["is_cut"] for line in many.stdout.splitlines())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rerank-budget", "100"], "--rerank-budget limits --rerank; give that too"),
        (["--rerank", "wordllama"], "the embedder 'wordllama' does not; take a contextual one"),
        (["--rerank", "nobody"], "no embedder is called 'nobody'"),
        (["--rerank", "nobody:"], "no embedder is called 'nobody'"),
        (["--rerank", "minilm", "--rerank-top", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_rescore_is_refused(tmp_path: Path, records: Path, options: list[str], said: str) -> None:
    run(tmp_path, "add", records, "-i", "notes")
    refused = run(tmp_path, "search", "a dog", "-i", "notes", *options)
    assert refused.exit_code in (1, 2)
    assert said in " ".join(refused.stderr.split())


def test_a_collection_is_measured_with_and_without_reranking(tmp_path: Path, model: Path) -> None:
    pytest.importorskip("ir_measures")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": line["id"], "title": "", "text": line["text"]}) + "\n" for line in LINES)
    )
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "who ran"}\n')
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\truns\t1\n")
    options = ["--rerank", "none", "--rerank", model, "--rerank-top", "1", "--rerank-top", "2", "--json"]
    found = run(tmp_path, "eval", folder, *options)
    assert found.exit_code == 0, found.stderr
    searches = [json.loads(line)["search"] for line in found.stdout.splitlines()]
    spec = f"onnx:path={model}"
    assert searches == [{}, {"rerank": spec, "n_rerank": 1}, {"rerank": spec, "n_rerank": 2}]
    refused = run(tmp_path, "eval", folder, "--rerank-top", "5")
    assert (refused.exit_code, "n_rerank makes no difference without rerank" in refused.stderr) == (1, True)
