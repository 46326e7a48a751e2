"""Make the golden index of the current format: `python -m tests.data.make_golden`, once, when a format is new.

What is committed is never made again: it stands for the indexes that users have.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.tiny import TinyContextual, TinyEncoder, tiny_pipeline
from vecsearch import Document, GivenVectors, Index, Pipeline, fit_pca
from vecsearch.pipeline import reduced
from vecsearch.reduction import ARTEFACT, Reduction
from vecsearch.stores import upkeep
from vecsearch.stores.creation import read_manifest
from vecsearch.stores.schema import FORMAT_VERSION
from vecsearch.types import FileRecord

DATA = Path(__file__).parent
QUERIES = ("dog bit man", "the lion slept at dusk", "Prinzessin 東京 🦁", "refrain", "zzz", "title of nothing")
MODES: tuple[Literal["hybrid", "vector", "keyword"], ...] = ("hybrid", "vector", "keyword")
VECTORS = (np.eye(4) + np.arange(16).reshape(4, 4) / 64).astype(np.float32)


def documents() -> list[Document]:
    """Return the documents that the golden index holds at last, by id, apart from those of files."""
    return [
        Document(id="'; --", text="a\x00b", metadata={"a": {"b": [1, 2.5, None, True]}}),
        Document(id="bites-1", text="The dog bit the man.", title="News", metadata={"lang": "en"}),
        Document(id="bites-2", text="The man bit the dog."),
        Document(id="changed", text="Its second text.", title="Second"),
        Document(id="empty"),
        Document(id="ids\n" + "x" * 300, text="refrain"),
        Document(id="long", text="The lion slept under a tree.\n\n" * 9 + "\tThen it woke at dusk and hunted.\r\n  "),
        Document(id="titled", title="The title of nothing"),
        Document(id="übergrüßt", text="Der Straßenbahnfahrer grüßte die Prinzessin; 東京 e\u0301 🦁.", title="Ж"),
    ]


def records() -> list[FileRecord]:
    """Return the files that the golden index knows."""
    return [
        FileRecord("/texts", "notes/one.txt", 21, 1_700_000_000_000_000_000, bytes(range(32))),
        FileRecord("/texts", "two.txt", 7, 1_700_000_000_000_000_001, bytes(32)),
    ]


def pipeline() -> Any:
    """Return the pipeline of the index of texts."""
    return tiny_pipeline(max_tokens=12)


def vectors_pipeline() -> Any:
    """Return the pipeline of the index of given vectors."""
    return GivenVectors(4, encoder=TinyEncoder())


def contextual_pipeline() -> Pipeline:
    """Return the pipeline of the index of contextual vectors, before they are reduced."""
    return Pipeline(None, TinyContextual(), TinyEncoder(), max_tokens=12)


def reduced_pipeline(folder: Path) -> Pipeline:
    """Return the pipeline of that index, as it was made."""
    content = read_manifest(folder)["artefacts"][ARTEFACT]
    return reduced(contextual_pipeline(), Reduction.parse(content))


def answers(index: Index, vectors_index: Index) -> dict[str, Any]:
    """Return everything that can be asked of the two, JSON-ready."""
    counts = ("n_documents", "n_passages", "n_tokens", "n_embedded_passages", "n_words", "n_segments", "n_fresh_tokens")
    return {
        "info": {name: index.info()[name] for name in counts},
        "documents": [summary.to_dict() for summary in index.documents()],
        "words": [list(word) for word in index.words()],
        "files": [[record.path, record.size, record.mtime_ns] for record in index.files("/texts").values()],
        "searches": searches(index),
        "vectors": {
            str(row): [hit.to_dict() for hit in vectors_index.search(vectors=VECTORS[row : row + 1])]
            for row in range(4)
        },
    }


def searches(index: Index) -> dict[str, Any]:
    """Return the hits of all queries in all modes."""
    return {
        f"{mode}: {query}": [hit.to_dict() for hit in index.search(query, 4, mode=mode, explain=mode == "hybrid")]
        for mode in MODES
        for query in QUERIES
    }


def fill(index: Index) -> None:
    """Bring an empty index to its last state by adds, updates, deletes and files."""
    index.add([Document(id="changed", text="Its first text, which is replaced.")])
    index.add([Document(id="gone", text="In the segment, but deleted."), *documents()])
    index.delete(["gone"])

    def read(number: int) -> Iterator[Document]:
        yield Document(id=f"file-{number}", text=f"Read from file {number}: refrain")

    index.add_files(
        ((record, partial(read, number)) for number, record in enumerate(records())),
        skipped=lambda record, error: print(record, error),
    )


def sentences() -> list[Document]:
    """Return the documents of the index of contextual vectors."""
    words = ["the", "dog", "bit", "a", "man", "lion", "slept", "under", "tree", "and", "woke", "at", "dusk"]
    texts = [" ".join(words[(number * step) % len(words)] for step in range(1, 12)) for number in range(1, 14)]
    return [Document(id=f"{number:02}", text=text) for number, text in enumerate(texts)]


def fill_vectors(index: Index) -> None:
    """Fill the index of given vectors."""
    index.add(
        [
            Document(id="with ids", vectors=VECTORS[:3], token_ids=np.array([5, 6, 2**31 - 1], np.int32)),
            Document(id="without", text="seen", vectors=VECTORS[3:] * 3, metadata={"kind": "image"}),
        ]
    )


def make() -> None:
    """Write the golden indexes and what they answer."""
    folder = DATA / f"golden-{FORMAT_VERSION}"
    shutil.rmtree(folder, ignore_errors=True)
    upkeep.SEGMENT_TOKENS, upkeep.FEWEST_TOKENS = 50, 60
    with (
        Index.create(folder / "notes", pipeline=pipeline()) as index,
        Index.create(folder / "vectors", pipeline=vectors_pipeline()) as vectors_index,
    ):
        fill(index)
        fill_vectors(vectors_index)
        expected = answers(index, vectors_index)
    with Index.create(folder / "reduced", pipeline=fit_pca(contextual_pipeline(), sentences(), 6)) as reduced_index:
        reduced_index.add(sentences())
        expected["reduced"] = searches(reduced_index)
    for lock in folder.glob("*/writer.lock"):
        lock.unlink()
    lines = json.dumps(expected, ensure_ascii=False, indent=1)
    (folder / "expected.json").write_text(f"{lines}\n", encoding="utf-8")


if __name__ == "__main__":
    make()
