"""What is done with folders of indexes, not through an open index: backups, repairs, exports and the like.

An errand leaves old or new what it is to make, and nothing else behind; it can be done again. A new errand is one entry
of ``ERRANDS``; what the campaign does to every operation, it then does to that errand too.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

from tests.campaign.operations import digest, make_base, open_index, state_of, strays_of
from tests.data import make_golden
from tests.integration.test_durability import document
from tests.tiny import tiny_pipeline
from vecsearch import Document, GivenVectors, IdentityError, Index, IndexExistsError, IndexNotFoundError, StorageError
from vecsearch.cli.program import program
from vecsearch.maintenance.backups import BACKUP_NAME, backup, restore, take_copy
from vecsearch.maintenance.portable import export
from vecsearch.maintenance.repairing import repair
from vecsearch.maintenance.verifying import verify
from vecsearch.stores.copying import migrate
from vecsearch.stores.schema import FORMAT_VERSION

__all__ = ["ERRANDS", "Errand", "any_index", "strays_beside"]

_TIMES = re.compile(r"-\d{8}-\d{6}(-\d+)?$")


@dataclass(frozen=True)
class Errand:
    """What is done in a folder.

    Attributes:
        prepare: makes in an empty folder what there is before.
        act: does it.
        look: says what a person finds then, who does what messages say; gets a copy of the folder, and an empty one.
        names: what may be in the folder afterwards, times left out.
        kinds: of segments that it differs for.
        reads: whether a failing read leaves old or new as well.
        has_steps: whether it makes several commits, of which those stay that came before an error.
    """

    prepare: Callable[[Path], object]
    act: Callable[[Path], object]
    look: Callable[[Path, Path], Any]
    names: frozenset[str]
    kinds: tuple[str, ...] = ("vectors",)
    reads: bool = True
    has_steps: bool = False


def strays_beside(folder: Path, names: frozenset[str]) -> list[str]:
    """Return what is left in a folder, or in the indexes and backups in it, that nothing needs."""
    found = [path.name for path in folder.iterdir() if _TIMES.sub("", path.name) not in names]
    for path in folder.iterdir():
        if (path / BACKUP_NAME).exists():
            named = json.loads((path / BACKUP_NAME).read_text())["files"]
            found += sorted({one.name for one in path.iterdir()} - {*named, BACKUP_NAME, "writer.lock"})
        elif path.name == "index":
            # the next writer removes what a dead one left
            with contextlib.closing(any_index(path)) as index:
                index.delete(["none"])
            found += strays_of(path)
        elif path.is_dir() and not (path / path.name.partition(".")[0] / "meta.db").exists():
            found.append(f"{path.name}, which holds no index")
    return found


def any_index(path: Path) -> Index:
    """Open an index, of whichever of our pipelines it is."""
    for pipeline in (tiny_pipeline(), make_golden.pipeline()):
        with contextlib.suppress(IdentityError):
            return Index.open(path, pipeline=pipeline)
    return Index.open(path, pipeline=_given())


def _fill(folder: Path) -> None:
    make_base(folder / "index", "filled")


def _change(folder: Path) -> None:
    with open_index(folder / "index", "filled") as index:
        index.add([document(60), document(61)])
        index.delete(["0001"])
        index.compact()


def _filled_and_backed_up(folder: Path) -> None:
    _fill(folder)
    backup(folder / "index", folder / "backup")


def _changed_since(folder: Path) -> None:
    _filled_and_backed_up(folder)
    _change(folder)


def _only_a_backup(folder: Path) -> None:
    _filled_and_backed_up(folder)
    shutil.rmtree(folder / "index")


def _with_wrong_rows(folder: Path) -> None:
    _fill(folder)
    with contextlib.closing(sqlite3.connect(folder / "index" / "meta.db")) as db, db:
        db.execute("UPDATE token_statistics SET document_frequency = document_frequency + 1")


def _without_a_segment(folder: Path) -> None:
    _fill(folder)
    next(path for path in sorted((folder / "index").iterdir()) if path.suffix in (".segment", ".codes")).unlink()


_states: dict[bytes, dict[str, Any] | None] = {}
"""States of folders that this process has read."""


def _state_of(folder: Path) -> dict[str, Any] | None:
    """Return the state of a filled index; one with the bytes of another that was read is not read again."""
    name = digest(folder)
    if name not in _states:
        _states[name] = state_of(folder, "filled")
    return _states[name]


def _found_index(folder: Path) -> dict[str, Any] | None:
    """Return the state of the index, put in its place by ``repair`` where a message says so."""
    if not (folder / "index").exists() and (folder / "index.ready").exists():
        assert repair(folder / "index", pipeline=tiny_pipeline()).action == "finished"
    return _state_of(folder / "index")


def _index_and_backup(folder: Path, scratch: Path) -> Any:
    kept = None
    if (folder / "backup" / BACKUP_NAME).exists():
        restore(folder / "backup", scratch / "index")
        kept = _state_of(scratch / "index")
    return [_found_index(folder), kept]


def _index_and_kept(folder: Path, _: Path) -> Any:
    state = _found_index(folder)
    kept = [_state_of(path / "index") for path in folder.glob("index.replaced-*") if (path / "index").exists()]
    # the one document that was added since must be found somewhere
    assert any("0060" in one["documents"] for one in [state, *kept] if one is not None)
    return state


def _soundness(folder: Path, _: Path) -> Any:
    if not (folder / "index").exists() and (folder / "index.ready").exists():
        repair(folder / "index", pipeline=tiny_pipeline())
    documents: list[Any] = []
    export(folder / "index", documents.append)
    is_sound = verify(folder / "index", deep=True).is_sound
    return [documents, is_sound, state_of(folder / "index", "filled") if is_sound else None]


def _command(folder: Path, *words: str) -> None:
    """Run a command as a shell would."""
    ran = CliRunner().invoke(program, ["--indexes", str(folder), *words], catch_exceptions=False)
    if ran.exit_code:
        assert ran.exit_code == 1, ran.output
        assert ran.stderr.startswith("Error: "), ran.stderr
        assert "report" not in ran.stderr, ran.stderr
        raise StorageError(ran.stderr)


def _exported_before(folder: Path) -> None:
    _fill(folder)
    (folder / "out.jsonl").write_text("what was there before\n")


def _exported(folder: Path, _: Path) -> Any:
    return (folder / "out.jsonl").read_text()


def _given() -> GivenVectors:
    return GivenVectors(4)


def _an_export(folder: Path) -> None:
    vectors = np.eye(4, dtype=np.float32)
    with Index.create(folder / "given", pipeline=_given()) as index:
        index.add(Document(f"{number}", f"text {number}", vectors=vectors[number : number + 2]) for number in range(3))
    with (folder / "in.jsonl").open("w") as file:
        export(folder / "given", lambda line: file.write(json.dumps(line) + "\n"))
    shutil.rmtree(folder / "given")


def _imported(folder: Path, _: Path) -> Any:
    """Return the documents; an index that is empty, or whose making was interrupted, is as good as none."""
    documents: list[Any] = []
    with contextlib.suppress(IndexNotFoundError), Index.open(folder / "index", pipeline=_given()) as index:
        assert not index.verify()
        export(folder / "index", documents.append)
    return documents


def _fill_elsewhere(folder: Path) -> None:
    make_base(folder / "elsewhere" / "elsewhere", "filled")


def _take(folder: Path) -> None:
    with contextlib.suppress(IndexExistsError):
        take_copy(folder / "elsewhere" / "elsewhere", folder / "index")


def _golden(version: int) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        shutil.copytree(make_golden.DATA / f"golden-{version}" / "notes", folder / "index")

    return prepare


def _version_and_answers(folder: Path, _: Path) -> Any:
    before, _ = migrate(folder / "index", dry_run=True)
    return [before, state_of(folder / "index", "golden")]


ERRANDS: dict[str, Errand] = {
    "backup": Errand(
        _fill,
        lambda folder: backup(folder / "index", folder / "backup"),
        _index_and_backup,
        frozenset({"index", "backup"}),
        ("vectors", "codes"),
    ),
    "backup again": Errand(
        _changed_since,
        lambda folder: backup(folder / "index", folder / "backup"),
        _index_and_backup,
        frozenset({"index", "backup"}),
        ("vectors", "codes"),
    ),
    "restore": Errand(
        _only_a_backup,
        lambda folder: restore(folder / "backup", folder / "index", force=True),
        lambda folder, _: _found_index(folder),
        frozenset({"index", "backup", "index.replaced"}),
    ),
    "restore over": Errand(
        _changed_since,
        lambda folder: restore(folder / "backup", folder / "index", force=True),
        _index_and_kept,
        frozenset({"index", "backup", "index.replaced"}),
        ("codes",),
    ),
    "repair rows": Errand(
        _with_wrong_rows,
        lambda folder: repair(folder / "index", pipeline=tiny_pipeline()),
        _soundness,
        frozenset({"index", "index.damaged"}),
    ),
    "repair files": Errand(
        _without_a_segment,
        lambda folder: repair(folder / "index", pipeline=tiny_pipeline()),
        _soundness,
        frozenset({"index", "index.damaged"}),  # what cannot be read is rebuilt
        ("vectors", "codes"),
        has_steps=True,
    ),
    "export": Errand(
        _exported_before,
        lambda folder: _command(folder, "export", str(folder / "out.jsonl"), "-i", "index"),
        _exported,
        frozenset({"index", "out.jsonl"}),
        reads=False,  # it leaves out what it cannot read, and says so
    ),
    "import": Errand(
        _an_export,
        lambda folder: _command(folder, "import", str(folder / "in.jsonl"), "-i", "index"),
        _imported,
        frozenset({"index", "in.jsonl"}),
        has_steps=True,
    ),
    "import --trust": Errand(
        _fill_elsewhere, _take, lambda folder, _: _found_index(folder), frozenset({"index", "elsewhere"}), ("codes",)
    ),
    **{
        f"migrate {version}": Errand(
            _golden(version),
            lambda folder: migrate(folder / "index", dry_run=False),
            _version_and_answers,
            frozenset({"index"}),
        )
        for version in range(1, FORMAT_VERSION)
    },
}
