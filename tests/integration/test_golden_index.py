"""Indexes that earlier formats left behind: each is opened, answers as it did, and can be written."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.data import make_golden
from tests.tiny import TinyTokenizer, tiny_pipeline
from vecsearch import Document, IdentityError, Index
from vecsearch.stores.schema import FORMAT_VERSION

GOLDEN = sorted(make_golden.DATA.glob("golden-*"))


@pytest.fixture(params=GOLDEN, ids=lambda folder: folder.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of a golden index, and what it must answer."""
    folder = tmp_path / "golden"
    shutil.copytree(request.param, folder)
    return folder, json.loads((folder / "expected.json").read_text("utf-8"))


def opened(folder: Path) -> Iterator[tuple[Index, Index]]:
    with (
        Index.open(folder / "notes", pipeline=make_golden.pipeline()) as index,
        Index.open(folder / "vectors", pipeline=make_golden.vectors_pipeline()) as vectors_index,
    ):
        yield index, vectors_index


def approximate(value: Any) -> Any:
    """Return JSON values in which floating-point numbers compare equal within 1e-6."""
    if isinstance(value, dict):
        return {key: approximate(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [approximate(inner) for inner in value]
    return pytest.approx(value, abs=1e-6) if isinstance(value, float) else value


def test_every_format_has_a_golden_index() -> None:
    assert [folder.name for folder in GOLDEN] == [f"golden-{number}" for number in range(1, FORMAT_VERSION + 1)]


def test_a_golden_index_is_complete_and_small() -> None:
    for folder in GOLDEN:
        assert not list(folder.glob("*/meta.db-*"))
        assert (folder / "reduced").exists() == (int(folder.name.rpartition("-")[2]) >= 4)
        kinds = {path.suffix for path in folder.glob("notes/*.*")}
        assert kinds >= ({".segment"} if folder.name == "golden-1" else {".codes", ".codebook"})
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 700_000


def test_a_golden_index_is_sound_and_answers_as_it_did(golden: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = golden
    for index, vectors_index in opened(folder):
        assert index.verify() == []
        assert vectors_index.verify() == []
        found = {name: value for name, value in expected.items() if name != "reduced"}
        assert make_golden.answers(index, vectors_index) == approximate(found)
        assert expected["info"]["n_fresh_tokens"] > 0
        assert expected["info"]["n_segments"] > 0


def test_a_golden_index_of_reduced_vectors_answers_as_it_did(golden: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = golden
    if "reduced" not in expected:
        assert not (folder / "reduced").exists()  # before format 4
        return
    pipeline = make_golden.reduced_pipeline(folder / "reduced")
    with Index.open(folder / "reduced", pipeline=pipeline) as index:
        assert index.verify() == []
        assert make_golden.searches(index) == approximate(expected["reduced"])
        index.add([Document(id="new", text="the lioness woke")])
        index.delete(["new"])
        index.compact()
        assert index.verify() == []
        assert make_golden.searches(index) == approximate(expected["reduced"])


def test_a_golden_index_gives_its_documents_back(golden: tuple[Path, dict[str, Any]]) -> None:
    for index, vectors_index in opened(golden[0]):
        for document in make_golden.documents():
            assert index.get(document.id) == document
        assert index.get("gone") is None
        assert index.get("file-1") == Document(id="file-1", text="Read from file 1: refrain")
        assert list(index.files("/texts").values()) == make_golden.records()
        found = vectors_index.get("with ids")
        assert found is not None
        assert found.vectors is not None
        assert found.token_ids is not None
        assert found.vectors.tolist() == make_golden.VECTORS[:3].tolist()
        assert found.token_ids.tolist() == [5, 6, 2**31 - 1]


def test_a_golden_index_takes_new_documents(golden: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = golden
    new = Document(id="new", text="The lioness hunted at dusk.")
    for index, _ in opened(folder):
        report = index.add([*make_golden.documents(), new])
        assert (report.n_documents, report.n_unchanged) == (1, len(make_golden.documents()))
        assert index.search("lioness", 1)[0].doc_id == "new"
        assert index.delete(["new"]) == 1
        index.compact()
        assert index.verify() == []
    for index, _ in opened(folder):
        found = make_golden.searches(index)
        assert found == approximate(expected["searches"])


def test_a_fresh_index_of_the_same_documents_answers_the_same(
    golden: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, expected = golden
    with (
        Index.create(tmp_path / "notes", pipeline=make_golden.pipeline()) as index,
        Index.create(tmp_path / "vectors", pipeline=make_golden.vectors_pipeline()) as vectors_index,
    ):
        make_golden.fill(index)
        make_golden.fill_vectors(vectors_index)
        answers = make_golden.answers(index, vectors_index)
    assert answers["searches"] == approximate(expected["searches"])
    assert answers["vectors"] == approximate(expected["vectors"])
    assert answers["documents"] == expected["documents"]


def test_documents_can_be_read_with_sqlite_alone(golden: tuple[Path, dict[str, Any]]) -> None:
    """Whatever becomes of tokenizers and models, the texts are not locked in."""

    class LaterTokenizer(TinyTokenizer):
        version: ClassVar[str] = "2"

    folder, _ = golden
    with pytest.raises(IdentityError, match='"version": "2"'):
        Index.open(folder / "notes", pipeline=tiny_pipeline(LaterTokenizer(), max_tokens=12))
    with sqlite3.connect(folder / "notes" / "meta.db") as db:
        rows = db.execute("SELECT doc_id, title, metadata, doc_no FROM documents ORDER BY doc_id").fetchall()
        found = [
            Document(
                id=doc_id,
                title=title,
                metadata=json.loads(metadata),
                text="".join(
                    text
                    for (text,) in db.execute("SELECT text FROM passages WHERE doc_no = ? ORDER BY ordinal", [number])
                ),
            )
            for doc_id, title, metadata, number in rows
        ]
    db.close()
    assert [document for document in found if not document.id.startswith("file-")] == make_golden.documents()
