"""``--model``: an encoder in a folder, or a preset, by the shortest way there is."""

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


def test_a_folder_makes_an_index_that_remembers_it(tmp_path: Path, model: Path, records: Path) -> None:
    made = run(tmp_path, "add", records, "-i", "notes", "--model", model, "--encoder", "none", "--passage-tokens", "32")
    assert (made.exit_code, made.stderr) == (0, "")
    found = run(tmp_path, "search", "a big man ran.", "-i", "notes", "--mode", "vector", "-k", "1", "--json")
    assert json.loads(found.stdout.splitlines()[0])["doc_id"] == "runs"
    embedder = json.loads(run(tmp_path, "info", "-i", "notes", "--json").stdout)["pipeline"]["embedder"]
    assert (embedder["name"], set(embedder["files"])) == ("onnx", {"path", "tokenizer"})


def test_the_same_command_again_need_not_say_the_rest(tmp_path: Path, model: Path, records: Path) -> None:
    run(tmp_path, "add", records, "-i", "notes", "--model", model, "--encoder", "none", "--passage-tokens", "32")
    again = run(tmp_path, "add", records, "-i", "notes", "--model", model, "--json")
    assert (again.exit_code, again.stderr) == (0, "")
    assert json.loads(again.stdout)["n_unchanged"] == 2


@pytest.mark.parametrize("first", [[], ["--tokenizer", "pieces"]])
def test_another_model_than_that_of_the_index_is_refused(
    tmp_path: Path, model: Path, records: Path, first: list[str]
) -> None:
    run(tmp_path, "add", records, "-i", "notes", *first)
    refused = run(tmp_path, "add", records, "-i", "notes", "--model", model)
    assert refused.exit_code == 1
    assert "was made with tokenizer" in refused.stderr
    assert "subword" in refused.stderr
    run(tmp_path, "add", records, "-i", "tiny", "--model", model)
    refused = run(tmp_path, "add", records, "-i", "tiny", "--model", "wordllama")
    assert refused.exit_code == 1
    assert "subword" in refused.stderr


def test_a_path_is_told_from_a_name_by_its_separator(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    for name in ("./tiny", "tiny/", model, "../models/tiny"):
        assert run(tmp_path, "tokens", "dogs", "--model", name).stdout.split()[-1] == "s"
    refused = run(tmp_path, "tokens", "dogs", "--model", "tiny")
    assert refused.exit_code == 1
    assert "no embedder is called 'tiny'" in refused.stderr


def test_vectors_of_a_model_are_written(tmp_path: Path, model: Path) -> None:
    import numpy as np

    run(tmp_path, "tokens", "the dogs", "--model", model, "--vectors", tmp_path / "out.npy")
    vectors = np.load(tmp_path / "out.npy", allow_pickle=False)
    assert vectors.shape == (3, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("path", "said"),
    [("models/nowhere", "nowhere is not a folder"), ("a,b/c", "has a comma"), ("models/tiny:window=9", "onnx:path=")],
)
def test_what_is_no_folder_is_refused(tmp_path: Path, model: Path, path: str, said: str) -> None:
    refused = run(tmp_path, "tokens", "dogs", "--model", tmp_path / path)
    assert refused.exit_code == 2
    assert said in " ".join(refused.stderr.split())


def test_options_of_a_model_follow_its_name(tmp_path: Path, model: Path) -> None:
    assert run(tmp_path, "tokens", "dogs", "--model", f"onnx:path={model},window=16").exit_code == 0


def test_sentences_are_measured_with_a_model(tmp_path: Path, model: Path) -> None:
    triples = tmp_path / "triples.tsv"
    triples.write_text("anchor\tpositive\tnegative\nthe dog bit a man\tthe dog bit a man\ta man ran\n")
    found = run(tmp_path, "eval", triples, "--model", model, "--json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["measures"]["accuracy by similarity"] == 1
