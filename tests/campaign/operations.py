"""What the campaign breaks: every operation that changes an index, and the indexes it is done to.

A new operation is one line of ``OPERATIONS``; everything that the campaign does, it then does to that operation too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests import coded
from tests.data import make_golden
from tests.integration.test_durability import document
from tests.tiny import tiny_pipeline
from vecsearch import Document, Index, IndexNotFoundError, Pipeline, pipeline
from vecsearch.plugins import Registry
from vecsearch.stores import files, upkeep
from vecsearch.types import FileRecord

__all__ = [
    "BASES",
    "KINDS",
    "OPERATIONS",
    "Operation",
    "digest",
    "documents_of",
    "make_base",
    "open_index",
    "quick",
    "small",
    "state_of",
]

KINDS = ("vectors", "codes")
"""Whether the segments of an index hold vectors, or codes as those of large indexes do."""
NEXT = document(9000)
"""What is added after an operation, to see that the index works on."""


def small(kind: str) -> None:
    """Let this process write segments of few tokens, and codes if asked, those in many blocks with checksums."""
    patch = pytest.MonkeyPatch()
    if kind == "codes":
        coded.search_codes(patch, fewest=200)
        patch.setattr(files, "_CRC_BLOCK", 256)
    patch.setattr(upkeep, "SEGMENT_TOKENS", 100)
    patch.setattr(upkeep, "FLUSH_TOKENS", 30)


@cache
def _plugins() -> Registry:
    return Registry()


def quick(kind: str) -> None:
    """Do what ``small`` does, and let this process use the plugins that were found before it was forked."""
    small(kind)
    pytest.MonkeyPatch().setattr(pipeline, "_registry", _plugins)


def record(number: int, version: int = 0) -> FileRecord:
    """Return what is recorded of a file."""
    return FileRecord("/texts", f"{number}.txt", 10 + number, version, bytes([version]) * 32)


def add_files(index: Index, numbers: range, version: int = 0) -> None:
    """Add files with one document each."""

    def reader(number: int) -> Callable[[], Iterator[Document]]:
        return lambda: iter([document(500 + number, version)])

    def skipped(*reason: object) -> None:
        raise AssertionError(reason)

    index.add_files([(record(number, version), reader(number)) for number in numbers], skipped=skipped)


def _fill(index: Index) -> None:
    """An index of several segments, fresh passages, deleted documents, and files."""
    index.add(document(number) for number in range(10))
    index.add(document(number) for number in range(10, 16))
    index.delete(["0003", "0004", "0011"])
    add_files(index, range(3))
    assert index.info()["n_segments"] > 1
    assert index.info()["n_fresh_tokens"] > 0


def _fill_almost(index: Index) -> None:
    """An index that gets its first codes with a few more tokens, where it is to have any."""
    index.add(document(number) for number in range(1, 6))


def _fill_half_dead(index: Index) -> None:
    """An index with segments of which one holds nothing that lives: merged with another one, that comes out again."""
    for numbers in (range(40), range(50, 54), range(60, 65)):
        index.add(Document(f"{number:04}", " ".join(f"w{number}x{place}" for place in range(30))) for number in numbers)
        if len(numbers) > 5:
            index.compact()
    index.delete([f"{number:04}" for number in range(60, 65)])


def _empty(index: Index) -> None:
    pass


BASES: dict[str, Callable[[Index], None]] = {
    "filled": _fill,
    "almost": _fill_almost,
    "half dead": _fill_half_dead,
    "empty": _empty,
}


@dataclass(frozen=True)
class Operation:
    """What is done to an index.

    Attributes:
        run: does it, in one commit that changes what the index answers.
        base: index that it is done to: one of ``BASES``, ``golden-1``, or "" for none, which ``run`` then makes.
        kinds: of segments that it differs for.
        has_steps: whether a commit that changes no answer comes before that one.
    """

    run: Callable[[Index], object]
    base: str = "filled"
    kinds: tuple[str, ...] = KINDS
    has_steps: bool = False


def _after_others(index: Index, numbers: range) -> None:
    # SQLite syncs the folder when it makes its log: here that is done already
    index.delete(["none"])
    index.add(document(number) for number in numbers)


def _nothing(index: Index) -> None:
    pass


OPERATIONS: dict[str, Operation] = {
    "create": Operation(_nothing, base="", kinds=("vectors",)),
    "first add": Operation(lambda index: index.add([document(1), document(2)]), base="empty", kinds=("vectors",)),
    "add few": Operation(lambda index: index.add([document(60), document(61)])),
    "add many": Operation(lambda index: _after_others(index, range(60, 66)), has_steps=True),
    "first codes": Operation(
        lambda index: index.add(document(number) for number in range(10, 17)), base="almost", kinds=("codes",)
    ),
    "update": Operation(lambda index: index.add(document(number, 1) for number in range(8, 13))),
    "delete": Operation(lambda index: index.delete(["0001", "0006", "0012", "none"])),
    "add files": Operation(lambda index: add_files(index, range(1, 4), 1)),
    "remove files": Operation(lambda index: index.remove_files("/texts", ["1.txt", "2.txt"]), kinds=("vectors",)),
    "flush": Operation(lambda index: index.flush()),
    "merge": Operation(lambda index: index.flush(), base="half dead", kinds=("codes",)),
    "compact": Operation(lambda index: index.compact()),
    "index metadata": Operation(lambda index: index.index_metadata("number"), kinds=("vectors",)),
    "migrate": Operation(lambda index: index.delete(["none"]), base="golden-1", kinds=("vectors",)),
}


def warm_up(folder: Path) -> None:
    """Import what operations need, so that forked children need not. Nothing of it stays, no thread is started."""
    small("vectors")
    for base, make in BASES.items():
        with Index.create(folder / base, pipeline=tiny_pipeline()) as index:
            make(index)
            index.flush()
            index.verify()
            answers_of(index)
    for kind in ("encoder", "scorer"):
        _plugins().names(kind)
    from vecsearch import tuning  # noqa: F401
    from vecsearch.stores import codes  # noqa: F401


def pipeline_of(base: str) -> Pipeline:
    """Return the pipeline of an index."""
    return make_golden.pipeline() if base.startswith("golden") else tiny_pipeline()


def make_base(folder: Path, base: str) -> None:
    """Make the index that an operation is done to, in a folder that is not there yet."""
    if base.startswith("golden"):
        shutil.copytree(make_golden.DATA / base / "notes", folder)
    elif base:
        with Index.create(folder, pipeline=pipeline_of(base)) as index:
            BASES[base](index)


def open_index(folder: Path, base: str, **options: Any) -> Index:
    """Open an index, or make it where it has no base."""
    try:
        return Index.open(folder, pipeline=pipeline_of(base), **options)
    except IndexNotFoundError:
        if base:
            raise
        return Index.create(folder, pipeline=pipeline_of(base), **options)


def documents_of(index: Index) -> dict[str, str]:
    """Return what is kept of each document, as text."""
    found = {}
    for summary in index.documents():
        kept = index.get(summary.id)
        assert kept is not None, summary.id
        found[kept.id] = json.dumps([kept.text, kept.title, kept.metadata], sort_keys=True)
    return found


def answers_of(index: Index) -> dict[str, Any]:
    """Return what an index answers: its documents, files, counts, and the hits of some queries."""
    hits = {}
    info = index.info()
    if info["n_passages"]:
        for mode, query in (("hybrid", "the lion slept at dusk"), ("vector", "a dog bit"), ("keyword", "tree refrain")):
            found = index.search(query, 30, mode=mode)  # type: ignore[arg-type]
            hits[mode] = [[hit.doc_id, hit.passage, round(hit.score, 4), hit.text] for hit in found]
    files = {path: [one.size, one.mtime_ns] for path, one in index.files("/texts").items()}
    counts = [info[name] for name in ("n_documents", "n_passages", "n_tokens", "n_embedded_passages")]
    answers = {"hits": hits, "files": files, "counts": counts, "metadata": index.info()["indexed_metadata"]}
    digest = hashlib.sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()
    return {"documents": documents_of(index), "digest": digest}


def state_of(folder: Path, base: str, **options: Any) -> dict[str, Any] | None:
    """Return what the index in a folder answers, None where there is none."""
    try:
        with Index.open(folder, pipeline=pipeline_of(base), **options) as index:
            return answers_of(index)
    except IndexNotFoundError:
        return None


def digest(folder: Path, but_for: str | None = None) -> bytes:
    """Return a hash of all that is in a folder: names, and bytes of files but for those whose names end like that."""
    hashed = hashlib.blake2b()
    for path in sorted(folder.rglob("*")):
        is_read = path.is_file() and not (but_for and path.name.endswith(but_for))
        content = path.read_bytes() if is_read else b""
        hashed.update(f"{path.relative_to(folder)} {path.is_file()} {len(content)}\n".encode())
        hashed.update(content)
    return hashed.digest()


def strays_of(folder: Path) -> list[str]:
    """Return the files of an index folder that nothing names."""
    from vecsearch.stores.manifest import file_names
    from vecsearch.stores.schema import connect

    with contextlib.closing(connect(folder / "meta.db", read_only=True).conn) as connection:
        from sqlite_utils import Database

        named = file_names(Database(connection))
    own = {"meta.db", "meta.db-wal", "meta.db-shm", "meta.db-journal", "writer.lock", "last-commit", "verified.json"}
    return sorted({path.name for path in folder.iterdir()} - named - own)


def work_on(folder: Path, base: str, **options: Any) -> dict[str, str]:
    """Add a document, see that the index is whole and its folder clean, and return the documents without that one."""
    with open_index(folder, base, **options) as index:
        index.add([NEXT])
        problems = [*index.verify(), *strays_of(folder)]
        assert not problems, problems
        documents = documents_of(index)
        documents.pop(NEXT.id)
        return documents
