"""``--model``: an encoder in a folder, or a preset, by the shortest way there is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.tiny_onnx import save_folder
from vecsearch.cli.program import program
from vecsearch.precision import rounded

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
    [
        ("models/nowhere", "nowhere is neither a file nor a folder"),
        ("a,b/c", "has a comma"),
        ("models/tiny:window=9", "onnx:path="),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, model: Path, path: str, said: str) -> None:
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


# Static models: folders, and files of word vectors


ROWS = {"the": [0.1, 0.1], "dog": [1, 0.2], "bit": [-0.5, 1], "man": [0.9, 0.1], "ran": [-1, -1], "big": [0.2, 1]}


def word_vectors(path: Path) -> None:
    path.write_text("".join(f"{word} {row[0]} {row[1]}\n" for word, row in ROWS.items()))


def with_header(path: Path) -> None:
    word_vectors(path)
    path.write_text(f"{len(ROWS)} 2\n{path.read_text()}")


def binary(path: Path) -> None:
    import numpy as np

    content = b"".join(f"{word} ".encode() + np.array(row, "<f4").tobytes() + b"\n" for word, row in ROWS.items())
    path.write_bytes(f"{len(ROWS)} 2\n".encode() + content)


def zipped(path: Path) -> None:
    import gzip

    word_vectors(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


def model2vec(path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    path.mkdir()
    save_file({"embeddings": np.array([[0, 0], *ROWS.values()], np.float32)}, str(path / "model.safetensors"))
    entries = {entry: id_ for id_, entry in enumerate(["[UNK]", *ROWS])}
    tokenizer = Tokenizer(models.WordLevel(entries, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "config.json").write_text('{"model_type": "model2vec", "normalize": true}')
    # as it is published, with an export that gives one vector a text
    (path / "onnx").mkdir()
    (path / "onnx" / "model.onnx").write_bytes(b"")


KINDS = [
    ("glove.txt", word_vectors, "matrix"),
    ("fasttext.vec", with_header, "matrix"),
    ("word2vec.bin", binary, "matrix"),
    ("glove.txt.gz", zipped, "matrix"),
    ("potion", model2vec, "static"),
]


@pytest.mark.parametrize(("name", "write", "embedder"), KINDS, ids=[name for name, _, _ in KINDS])
def test_static_model_of_every_kind_makes_an_index(tmp_path, records, name, write, embedder):
    path = tmp_path / name
    write(path)
    made = run(tmp_path, "index", records, "-i", "notes", "--model", path, "--encoder", "none")
    assert (made.exit_code, made.stderr) == (0, "")
    found = run(tmp_path, "search", "big", "-i", "notes", "--mode", "vector", "-k", "1", "--json")
    assert json.loads(found.stdout.splitlines()[0])["doc_id"] == "runs"
    recorded = json.loads(run(tmp_path, "info", "-i", "notes", "--json").stdout)["pipeline"]["embedder"]
    assert (recorded["name"], len(recorded["files"]["path"])) == (embedder, 64)
    similar = run(tmp_path, "similar", "dog", "--model", path, "-k", "1", "--json")
    assert json.loads(similar.stdout)["word"] == "man"


@pytest.mark.parametrize("suffix", ["npy", "safetensors"])
def test_array_needs_its_vocabulary_and_says_so(tmp_path, records, suffix):
    import numpy as np
    from safetensors.numpy import save_file

    path, words, rows = tmp_path / f"m.{suffix}", tmp_path / "words.txt", np.array(list(ROWS.values()), np.float32)
    np.save(path, rows) if suffix == "npy" else save_file({"rows": rows}, str(path))
    words.write_text("\n".join(ROWS))
    refused = run(tmp_path, "index", records, "-i", "notes", "--model", path)
    assert refused.exit_code == 1
    assert f"{path} needs vocabulary=, a file that names its rows" in refused.stderr
    made = run(tmp_path, "index", records, "-i", "notes", "--model", f"matrix:path={path},vocabulary={words}")
    assert (made.exit_code, made.stderr) == (0, "")


def test_index_is_not_opened_with_a_model_that_changed_or_went(tmp_path, records):
    path = tmp_path / "glove.txt"
    word_vectors(path)
    run(tmp_path, "index", records, "-i", "notes", "--model", path)
    path.write_text(path.read_text().replace("0.1", "0.2"))
    refused = run(tmp_path, "search", "dog", "-i", "notes")
    assert refused.exit_code == 1
    assert "was made with embedder" in refused.stderr
    path.unlink()
    refused = run(tmp_path, "search", "dog", "-i", "notes")
    assert refused.exit_code == 1
    assert str(path) in refused.stderr


def test_path_that_several_embedders_take_is_asked_about(tmp_path, model):
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"embeddings": np.eye(3, dtype=np.float32)}, str(model / "model.safetensors"))
    refused = run(tmp_path, "tokens", "dogs", "--model", model)
    assert refused.exit_code == 2
    said = " ".join(refused.stderr.split())
    assert "several embedders take" in said
    assert "onnx:path=" in said
    assert "static:path=" in said


def precision_of(tmp_path: Path, name: str) -> str:
    precision: str = json.loads(run(tmp_path, "info", "-i", name, "--json").stdout)["pipeline"]["precision"]
    return precision


def test_the_precision_is_chosen_when_an_index_is_made(tmp_path: Path, model: Path, records: Path) -> None:
    run(tmp_path, "add", records, "-i", "usual", "--model", model)
    made = run(tmp_path, "add", records, "-i", "exact", "--model", model, "--precision", "fp32")
    assert (made.exit_code, made.stderr) == (0, "")
    assert (precision_of(tmp_path, "usual"), precision_of(tmp_path, "exact")) == ("int8", "fp32")
    refused = run(tmp_path, "add", records, "-i", "exact", "--precision", "fp16")
    assert refused.exit_code == 1
    assert 'made with precision "fp32", but this is "fp16"' in refused.stderr
    assert run(tmp_path, "add", records, "-i", "exact", "--precision", "fp32", "--json").exit_code == 0


def test_a_static_index_has_no_precision(tmp_path: Path, records: Path) -> None:
    refused = run(tmp_path, "add", records, "-i", "notes", "--precision", "int8")
    assert refused.exit_code == 1
    assert "so none is kept and precision means nothing; leave it out" in refused.stderr


def test_given_vectors_have_a_precision(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    np.save(path, np.array([[1, 2.003], [3, 4]], np.float32))
    made = run(tmp_path, "add", "--vectors", path, "--id", "a", "-i", "given", "--precision", "int8")
    assert (made.exit_code, made.stderr) == (0, "")
    assert precision_of(tmp_path, "given") == "int8"
    exported = run(tmp_path, "export", "-i", "given")
    line = json.loads(exported.stdout)
    np.testing.assert_array_equal(
        np.array(line["vectors"], np.float32), rounded(np.load(path, allow_pickle=False), "int8")
    )
    copy = tmp_path / "given.jsonl"
    copy.write_text(exported.stdout)
    assert run(tmp_path, "import", copy, "-i", "copy", "--precision", "int8").exit_code == 0
    assert json.loads(run(tmp_path, "export", "-i", "copy").stdout) == line
    assert run(tmp_path, "import", tmp_path / "indexes" / "given", "-i", "folder").exit_code == 0
    assert precision_of(tmp_path, "folder") == "int8"


def test_the_cache_is_shown_cleared_and_left_alone(
    tmp_path: Path, model: Path, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def n_entries() -> int:
        shown = json.loads(run(tmp_path, "cache", "--json").stdout)
        assert shown["path"] == str(tmp_path / "cache" / "vecsearch" / "embeddings.db")
        count: int = shown["n_entries"]
        return count

    assert n_entries() == 0
    run(tmp_path, "add", records, "-i", "none", "--model", model, "--no-cache")
    assert n_entries() == 0
    run(tmp_path, "add", records, "-i", "one", "--model", model)
    assert n_entries() == 2
    assert "n_entries  2" in run(tmp_path, "cache").stdout
    assert run(tmp_path, "cache", "--clear").exit_code == 0
    assert n_entries() == 0
    monkeypatch.setenv("VECSEARCH_CACHE_BYTES", "much")
    refused = run(tmp_path, "cache")
    assert (refused.exit_code, "VECSEARCH_CACHE_BYTES is 'much'" in refused.stderr) == (1, True)
