"""vecsearch by its public interface: text in, default settings."""

from __future__ import annotations

from pathlib import Path

from driving import Arrays, K, Search, run

from vecsearch import Document, Index


def build(arrays: Arrays, folder: Path) -> None:
    """Add each passage as a document of its own."""
    with Index.create(folder / "index") as index:
        index.add(Document(id=str(number), text=text) for number, text in enumerate(arrays.texts))
        index.flush()


def prepare(arrays: Arrays, folder: Path) -> Search:
    """Open the index to be read."""
    index = Index.open(folder / "index", read_only=True)
    texts = arrays.query_texts
    scorer = "maxsim" if arrays.mode == "vector" else None

    def search(number: int) -> list[int]:
        hits = index.search(texts[number], K, mode=arrays.mode, scorer=scorer, syntax="plain")
        return [int(hit.doc_id) for hit in hits]

    return search


if __name__ == "__main__":
    run(build, prepare)
