"""Vectors reduced by principal components: fitted once, kept with the index, applied to documents and queries."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.tiny import TinyContextual, TinyEncoder, tiny_pipeline
from tests.tiny_onnx import Weights, save_folder
from vecsearch import (
    Document,
    GivenVectors,
    IdentityError,
    Index,
    IndexDamagedError,
    Pipeline,
    Tokens,
    UsageError,
    VectorsError,
    fit_pca,
    fitting,
)
from vecsearch.cli.program import program
from vecsearch.embedding_cache import EmbeddingCache
from vecsearch.maintenance.backups import backup, restore
from vecsearch.maintenance.portable import export
from vecsearch.maintenance.repairing import repair
from vecsearch.maintenance.verifying import verify
from vecsearch.pipeline import split_rows
from vecsearch.plugins import Registry
from vecsearch.reduction import ReducedEmbedder, Reduction, fit_directions

WORDS = ("dog", "man", "lion", "lioness", "tree", "dusk", "train", "car", "wreck", "bit", "big", "ran", "the", "a")


def documents(n: int = 60) -> list[Document]:
    rng = np.random.default_rng(5)
    return [Document(id=f"{number:03}", text=" ".join(rng.choice(WORDS, 9)), title="Of words") for number in range(n)]


def contextual(**given: Any) -> Pipeline:
    return Pipeline(None, TinyContextual(), TinyEncoder(), **given)


def directions_of(pipeline: Pipeline) -> np.ndarray:
    assert isinstance(pipeline.embedder, ReducedEmbedder)
    return pipeline.embedder.reduction.directions


# the projection


def test_directions_keep_what_differs_most() -> None:
    rng = np.random.default_rng(1)
    planes = rng.standard_normal((500, 3)) @ rng.standard_normal((3, 20))
    units, _ = split_rows((planes + rng.standard_normal((500, 20)) * 1e-4).astype(np.float32))
    reduction = fit_directions(units, 3)
    found = reduction.apply(units)
    np.testing.assert_allclose(found @ found.T, units @ units.T, atol=1e-3)
    np.testing.assert_allclose(reduction.directions.T @ reduction.directions, np.eye(3), atol=1e-5)


def test_a_reduced_row_is_as_long_as_it_was_and_zero_stays_zero() -> None:
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((50, 8)).astype(np.float32) * 5
    rows[7] = 0
    found = fit_directions(split_rows(rows)[0], 4).apply(rows)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(rows, axis=1), rtol=1e-5)
    assert not found[7].any()
    directions = np.eye(3, 2, dtype=np.float32)
    assert Reduction(directions).apply(np.array([[0, 0, 2]], np.float32)).tolist() == [[0, 0]]


def test_the_same_vectors_in_any_order_give_the_same_directions() -> None:
    rng = np.random.default_rng(3)
    units, _ = split_rows(rng.standard_normal((400, 12)).astype(np.float32) * np.arange(1, 13, dtype=np.float32))
    one, other = fit_directions(units, 5), fit_directions(units[rng.permutation(400)], 5)
    np.testing.assert_allclose(one.directions, other.directions, atol=1e-5)
    assert fit_directions(units, 5).sha256 == one.sha256


def test_a_weight_counts_as_so_many_equal_vectors() -> None:
    units, _ = split_rows(np.random.default_rng(6).standard_normal((80, 9)).astype(np.float32))
    weights = np.random.default_rng(7).integers(0, 4, 80)
    one, other = fit_directions(units, 4, weights), fit_directions(np.repeat(units, weights, axis=0), 4)
    np.testing.assert_allclose(one.directions, other.directions, atol=1e-4)
    assert not np.allclose(one.directions, fit_directions(units, 4).directions, atol=1e-2)


def test_vectors_of_few_directions_are_refused() -> None:
    units = np.tile(np.eye(2, 6, dtype=np.float32), (30, 1))
    assert fit_directions(units, 2).dim == 2
    with pytest.raises(VectorsError, match="differ in fewer than 3 directions"):
        fit_directions(units, 3)


def test_an_artefact_is_read_as_it_was_written_and_no_other() -> None:
    reduction = fit_directions(split_rows(np.random.default_rng(4).standard_normal((90, 7)).astype(np.float32))[0], 3)
    again = Reduction.parse(reduction.content)
    np.testing.assert_array_equal(again.directions, reduction.directions)
    assert again.sha256 == reduction.sha256
    content = reduction.content
    nan = content[:-4] + np.array([np.nan], "<f4").tobytes()
    for bad in (b"", content[:-1], content + b"\0", b"x" + content[1:], content[:8] + b"\2" + content[9:], nan):
        with pytest.raises(ValueError, match=r"is no reduction|of another version or size|directions that are none"):
            Reduction.parse(bad)


# fitting


def test_rarities_are_the_idf_among_passages() -> None:
    rng = np.random.default_rng(8)
    types, passages = rng.integers(100, 120, 300), np.sort(rng.integers(0, 30, 300))
    n = len(set(passages.tolist()))
    for one, found in zip(types.tolist(), fitting.rarities(types, passages).tolist(), strict=True):
        frequency = len({passage for passage, other in zip(passages, types, strict=True) if other == one})
        assert found == pytest.approx(np.log(1 + (n - frequency + 0.5) / (frequency + 0.5)))


@pytest.mark.parametrize("uses_idf", [True, False])
def test_a_token_counts_as_it_does_in_scores(monkeypatch: pytest.MonkeyPatch, uses_idf: bool) -> None:
    given: list[Any] = []

    def fit(units: np.ndarray, dim: int, weights: Any) -> Reduction:
        given.append((units, weights))
        return fit_directions(units, dim, weights)

    monkeypatch.setattr(fitting, "fit_directions", fit)
    pipeline = contextual()
    monkeypatch.setattr(TinyContextual, "uses_idf", uses_idf, raising=False)
    fit_pca(pipeline, [Document(id="1", text="the dog the man " * 30), Document(id="2", text="the tree " * 60)], 3)
    ((units, weights),) = given
    if not uses_idf:
        assert weights is None
        return
    frequent = min(weights)
    assert len(units) == len(weights) == 240
    assert (weights == frequent).sum() == 120  # "the" is in all
    assert max(weights) > frequent


def test_order_and_packaging_of_texts_do_not_matter() -> None:
    found = [directions_of(fit_pca(contextual(), some, 6)) for some in (documents(), documents()[::-1])]
    np.testing.assert_array_equal(found[0], found[1])


def test_it_is_fitted_on_a_part_of_many_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "TOKENS", 200)
    monkeypatch.setattr(fitting, "READ_CHARACTERS", 3_000)
    pipeline = contextual()
    read = []

    def many() -> Any:
        for document in documents(10_000):
            read.append(document.id)
            yield document

    fit_pca(pipeline, many(), 6)
    assert isinstance(pipeline.embedder, TinyContextual)
    assert len(pipeline.embedder.texts) < len(read) < 100


@pytest.mark.parametrize(
    ("pipeline", "dim", "kind", "message"),
    [
        (tiny_pipeline(), 4, UsageError, "embedder 'tiny': only vectors of contextual embedders are reduced"),
        (GivenVectors(8), 4, UsageError, "given vectors: only vectors of contextual embedders are reduced"),
        (contextual(), 16, UsageError, "PCA to 16 numbers: it must be 1 or more, and less than the 16 there are"),
        (contextual(), 0, UsageError, "PCA to 0 numbers"),
        (contextual(), True, UsageError, "PCA to True numbers"),
    ],
)
def test_what_cannot_be_reduced_is_refused(pipeline: Pipeline, dim: int, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        fit_pca(pipeline, documents(), dim)


def test_too_few_tokens_are_refused() -> None:
    with pytest.raises(VectorsError, match="is fitted on 128 tokens or more, and the texts have 11; leave it out"):
        fit_pca(contextual(), documents(1), 4)


def test_what_is_reduced_is_not_reduced_again() -> None:
    with pytest.raises(UsageError, match="are reduced already"):
        fit_pca(fit_pca(contextual(), documents(), 6), documents(), 3)


def test_fitting_takes_embeddings_from_the_cache(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    one, other = contextual(), contextual()
    first = fit_pca(one, documents(), 6, cache)
    second = fit_pca(other, documents(), 6, cache)
    assert isinstance(other.embedder, TinyContextual)
    assert other.embedder.texts == []
    assert first.identity == second.identity


# the embedder


class Asking(TinyContextual):
    """Has all that an embedder may have."""

    scorer = "soft_tf"
    encoder = "relative:order=0.1"
    uses_idf = False

    def reference(self) -> list[str]:
        return ["dog man"]

    def embed_query(self, text: str) -> tuple[Tokens, np.ndarray]:
        tokens = self.tokenizer().tokenize([text])
        return tokens, -self.embed([text], tokens)


def test_a_reduced_embedder_has_what_its_embedder_has() -> None:
    plain = fit_pca(contextual(), documents(), 6)
    assert (plain.scorer, plain.uses_idf, plain.reference_texts()) == ("maxsim", True, [])
    tokens = plain.tokenize(["dog man"])
    np.testing.assert_array_equal(plain.query_rows("dog man", tokens)[1], plain.rows(["dog man"], tokens))
    asking = fit_pca(Pipeline(None, Asking(), TinyEncoder()), documents(), 6)
    assert getattr(asking.embedder, "encoder", None) == "relative:order=0.1"
    assert (asking.scorer, asking.uses_idf, asking.reference_texts()) == ("soft_tf", False, ["dog man"])
    np.testing.assert_array_equal(asking.query_rows("dog man", tokens)[1], -asking.rows(["dog man"], tokens))


# the index


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Let an index find the tiny plugins by name."""
    found = Registry()
    classes = {("embedder", "tiny_contextual"): TinyContextual, ("encoder", "tiny"): TinyEncoder}
    create = Registry.create

    def created(self: Registry, kind: Any, name: str, config: Any = None) -> Any:
        if (kind, name) in classes:
            return classes[kind, name](**(config or {}))
        return create(self, kind, name, config)

    monkeypatch.setattr(Registry, "create", created)
    return found


@pytest.fixture
def folder(tmp_path: Path, registry: Registry) -> Path:
    path = tmp_path / "index"
    with Index.create(path, pipeline=fit_pca(contextual(), documents(), 6)) as index:
        index.add(documents())
    return path


def scores(index: Index) -> list[tuple[str, float]]:
    return [(hit.doc_id, hit.score) for query in ("lion tree", "car wreck") for hit in index.search(query, 20)]


def test_an_index_keeps_its_reduction(folder: Path) -> None:
    with Index.open(folder) as index:
        found = scores(index)
        assert index.pipeline.dim == 6
        embedder = index.info()["pipeline"]["embedder"]
        assert (embedder["name"], embedder["config"]["dim"], embedder["of"]["name"]) == (
            "reduced",
            6,
            "tiny_contextual",
        )
        index.add([Document(id="new", text="a mutex of the kernel")])
        assert index.search("mutex of kernel", 1)[0].doc_id == "new"
        index.delete(["new"])
        index.compact()
        assert index.verify() == []
        assert scores(index) == found
    rows = sqlite3.connect(folder / "meta.db")
    (size, ids) = rows.execute("SELECT length(token_rows), length(token_ids) FROM embedded_tokens").fetchone()
    rows.close()
    assert size == ids // 4 * (4 + 6)


def test_scores_are_those_of_reduced_vectors(folder: Path) -> None:
    with Index.open(folder) as index:
        pipeline = index.pipeline
        hit = index.search("lion", 1, mode="vector", scorer="maxsim")[0]
        query = split_rows(pipeline.rows(["lion"], pipeline.tokenize(["lion"])))[0]
        full = contextual()
        unreduced = split_rows(full.rows(["lion"], full.tokenize(["lion"])))[0]
        assert query.shape == (1, 6)
        assert unreduced.shape == (1, 16)
        text = f"Of words\n{hit.text}" if hit.passage == 0 else hit.text
        passage = split_rows(pipeline.rows([text], pipeline.tokenize([text])))[0]
        best = max(match.similarity for match in hit.matches)
        assert best == pytest.approx(float((query @ passage.T).max()), abs=0.01)


def test_another_reduction_is_another_identity(folder: Path) -> None:
    other = fit_pca(contextual(), documents()[:30], 6)
    with pytest.raises(IdentityError, match="made with embedder"):
        Index.open(folder, pipeline=other)
    with pytest.raises(IdentityError, match="made with embedder"):
        Index.open(folder, pipeline=contextual())


DAMAGES = {
    "a changed byte": "UPDATE artefacts SET content = CAST(substr(content, 2) || 'x' AS BLOB)",
    "gone": "DELETE FROM artefacts",
    "empty": "UPDATE artefacts SET content = x''",
    "another name": "UPDATE artefacts SET name = 'x'",
    "another hash": "UPDATE manifest SET value = '{\"reduction\": \"0\"}' WHERE key = 'artefacts'",
    "no hash": "UPDATE manifest SET value = '7' WHERE key = 'artefacts'",
}


@pytest.mark.parametrize("statement", DAMAGES.values(), ids=DAMAGES)
def test_damage_of_the_reduction_is_reported_and_repaired(folder: Path, statement: str) -> None:
    with Index.open(folder) as index:
        before = scores(index)
    db = sqlite3.connect(folder / "meta.db")
    before_it = db.execute("SELECT name, content, value FROM artefacts, manifest WHERE key = 'artefacts'").fetchall()
    db.execute(statement)
    assert db.execute("SELECT name, content, value FROM artefacts, manifest WHERE key = 'artefacts'").fetchall() != (
        before_it
    )
    db.commit()
    db.close()
    for deep in (False, True):
        found = verify(folder, deep=deep)
        assert [damage.mend for damage in found.damages] == ["repair"] * len(found.damages)
        assert any("artefact" in damage.what for damage in found.damages)
    with pytest.raises(IndexDamagedError, match="artefact"):
        Index.open(folder)
    done = repair(folder)
    assert (done.action, done.n_documents) == ("rebuilt", 60)
    with Index.open(folder) as index:
        # fitted anew on the same texts: the same up to the rounding of sums
        assert [score for _, score in scores(index)] == pytest.approx([score for _, score in before], rel=0.02)
        assert index.pipeline.dim == 6


def test_a_backup_has_the_reduction(folder: Path, tmp_path: Path) -> None:
    with Index.open(folder) as index:
        found = scores(index)
    backup(folder, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "restored")
    with Index.open(tmp_path / "restored") as index:
        assert scores(index) == found


def test_an_export_needs_no_reduction(folder: Path) -> None:
    lines: list[Any] = []
    assert export(folder, lines.append) == 60
    assert {tuple(line) for line in lines} == {("id", "title", "text", "metadata")}


# the command line


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_folder(tmp_path / "models" / "tiny")


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps({"id": one.id, "text": one.text}) + "\n" for one in documents()))
    return path


def run(tmp_path: Path, *arguments: object) -> Result:
    return CliRunner().invoke(program, ["--indexes", str(tmp_path / "indexes"), *map(str, arguments)])


@pytest.mark.parametrize("command", ["index", "add", "import"])
def test_pca_is_chosen_when_an_index_is_made(tmp_path: Path, model: Path, records: Path, command: str) -> None:
    made = run(tmp_path, command, records, "-i", "notes", "--model", model, "--pca", 6)
    assert (made.exit_code, made.stderr) == (0, "")
    facts = json.loads(run(tmp_path, "info", "-i", "notes", "--json").stdout)
    assert facts["n_documents"] == 60
    assert facts["pipeline"]["embedder"]["config"]["dim"] == 6
    for options in ([], ["--model", model], ["--pca", 6], ["--model", model, "--pca", 6]):
        again = run(tmp_path, command, records, "-i", "notes", *options, "--json")
        assert (again.exit_code, again.stderr) == (0, "")
    for options in (["--pca", 4], ["--model", model, "--pca", 4]):
        refused = run(tmp_path, command, records, "-i", "notes", *options)
        assert refused.exit_code == 1
        assert "has vectors of 6 numbers, and PCA is fitted when an index is made" in refused.stderr
    other = Weights()
    other.rows += 1
    refused = run(tmp_path, command, records, "-i", "notes", "--model", save_folder(tmp_path / "other", weights=other))
    assert refused.exit_code == 1
    assert "made with embedder" in refused.stderr


def test_pca_of_an_index_without_it_is_refused(tmp_path: Path, model: Path, records: Path) -> None:
    run(tmp_path, "add", records, "-i", "notes", "--model", model)
    refused = run(tmp_path, "add", records, "-i", "notes", "--pca", 6)
    assert refused.exit_code == 1
    assert "PCA is fitted when an index is made; leave --pca out" in refused.stderr


def test_pca_without_enough_text_makes_no_index(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("dog man")
    refused = run(tmp_path, "index", path, "--model", model, "--pca", 6)
    assert refused.exit_code == 1
    assert "leave it out, or begin with more text" in refused.stderr
    assert not (tmp_path / "indexes").exists()


@pytest.mark.parametrize("encoder", ["relative", "rotary"])
def test_pca_to_a_number_that_the_encoder_cannot_have_makes_no_index(
    tmp_path: Path, model: Path, records: Path, encoder: str
) -> None:
    refused = run(tmp_path, "index", records, "-i", "notes", "--model", model, "--pca", 5, "--encoder", encoder)
    assert refused.exit_code == 1
    assert f"PCA to 5 numbers: the encoder '{encoder}'" in refused.stderr
    assert "or ask PCA for another number" in refused.stderr
    assert not (tmp_path / "indexes").exists()
    made = run(tmp_path, "index", records, "-i", "notes", "--model", model, "--pca", 6, "--encoder", encoder)
    assert (made.exit_code, made.stderr) == (0, "")


def test_vectors_that_the_encoder_cannot_have_make_no_index(tmp_path: Path) -> None:
    with pytest.raises(VectorsError, match="even length, not of 5"):
        Index.create(tmp_path / "index", pipeline=GivenVectors(5, "rotary"))
    assert not (tmp_path / "index").exists()


def test_a_folder_from_elsewhere_is_imported_with_its_reduction(tmp_path: Path, model: Path, records: Path) -> None:
    run(tmp_path, "add", records, "-i", "notes", "--model", model, "--pca", 6)
    made = run(tmp_path, "import", tmp_path / "indexes" / "notes", "-i", "copy")
    assert (made.exit_code, made.stderr) == (0, "")
    pipelines = [
        json.loads(run(tmp_path, "info", "-i", name, "--json").stdout)["pipeline"] for name in ("notes", "copy")
    ]
    assert pipelines[0] == pipelines[1]
