"""Which documents are run, with which files before them, and how the demo of the README is run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.docs.blocks import ROOT, Block, Part, Session, commands, parse, sample_files

__all__ = ["DEMO", "DOCUMENTS", "demo_block", "run_demo", "run_document"]

DOCUMENTS = ("README.md", "docs/guide.md", "indexes/FORMAT.md")
DEMO = "python -m vecsearch.demo | vecsearch add - --index python-reference"


def run_document(name: str, folder: Path, *, is_strict: bool = True) -> tuple[list[Part], dict[str, Any]]:
    """Run one document in a new session.

    Args:
        name: one of ``DOCUMENTS``.
        folder: made for it.
        is_strict: see ``Session``.

    Returns:
        What has an expected output, and the namespace of its Python blocks.
    """
    session = Session(folder, sample_files() if name != "docs/guide.md" else {}, is_strict=is_strict)
    if name == "indexes/FORMAT.md":
        make_index_of_notes(session.folder)
    parts = session.run((ROOT / name).read_text("utf-8"))
    return parts, session.namespace


def make_index_of_notes(home: Path) -> None:
    """Make the index that indexes/FORMAT.md reads: the notes of the guide, compacted, so that there is a segment."""
    from vecsearch import Index
    from vecsearch.ingest import index_paths

    with Index.create(home / "indexes" / "notes") as index:
        index_paths(index, [home / "notes"])
        index.compact()
    shutil.rmtree(home / "notes")


def demo_block() -> tuple[str, Block]:
    """Return README.md and its block that begins with ``$ make demo``."""
    document = (ROOT / "README.md").read_text("utf-8")
    (block,) = [block for block in parse(document) if block.text.startswith("$ make demo\n")]
    return document, block


def run_demo(session: Session, document: str) -> list[Part]:
    """Run what ``make demo`` runs, without making an environment, and return its parts."""
    (block,) = [block for block in parse(document) if block.text.startswith("$ make demo\n")]
    parts = []
    for command, start, end, expected in commands(block):
        seen = session.command(DEMO if command == "make demo" else command)
        # `make demo` writes an empty line between its commands
        is_last = end == block.end
        parts.append(Part(command, start, end, expected, seen if is_last else seen + "\n"))
    return parts
