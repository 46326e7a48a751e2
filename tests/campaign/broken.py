"""Stores that are broken on purpose, and which part of the campaign sees it: `python -m tests.campaign.broken`.

Each is a copy of the project with one text replaced. A part that sees nothing wrong in a broken store tests nothing.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.campaign.driving import MEMORY, ROOT, Driver

__all__ = ["BROKEN", "Broken", "main"]


@dataclass(frozen=True)
class Broken:
    """A store that is broken.

    Attributes:
        what: was done to it.
        file: below ``vecsearch/stores``.
        old, new: text that is replaced, and what by.
        work: module, function and arguments of the part of the campaign that must see it.
    """

    what: str
    file: str
    old: str
    new: str
    work: tuple[str, str, dict[str, Any]]


def _losses(name: str) -> tuple[str, str, dict[str, Any]]:
    facts = {"name": name, "kind": "vectors", "durability": "full", "n_states": 200, "is_brief": True}
    return "power", "losses", facts


def _stops(name: str, kind: str = "vectors") -> tuple[str, str, dict[str, Any]]:
    return "faults", "stops", {"name": name, "kind": kind, "torn": 4, "is_brief": True}


def _of(function: str, name: str, kind: str = "vectors", n: int = 40) -> tuple[str, str, dict[str, Any]]:
    return "faults", function, {"name": name, "kind": kind, "durability": "full", "n_at_most": n, "is_brief": True}


_SWEEP = (
    '            if path.suffix == ".tmp" or (path.suffix in SUFFIXES and path.name not in named):\n',
    '            if path.suffix == ".none":\n',
)
_ROLLBACK = ('                self.db.execute("ROLLBACK")\n', "                pass\n")
_HALVES = (
    "            self._insert_documents(batch.documents, files, numbers)\n",
    '            self.db.execute("COMMIT")\n            self.db.execute("BEGIN IMMEDIATE")\n'
    "            self._insert_documents(batch.documents, files, numbers)\n",
)

BROKEN = [
    Broken(
        "no sync of files",
        "disk.py",
        '        if self.durability == "full":\n            os.fsync(file.fileno())\n\n    def rename',
        "\n    def rename",
        _losses("add many"),
    ),
    Broken(
        "no sync of the folder",
        "disk.py",
        '        """Make durable which files there are."""\n        self._sync_folder(self.folder)\n',
        '        """Make durable which files there are."""\n',
        _losses("add many"),
    ),
    Broken(
        "no sync of the folder above a new index",
        "disk.py",
        "                self._sync_folder(one.parent)\n",
        "                pass\n",
        _losses("create"),
    ),
    Broken("commits are not synced", "schema.py", '"full": "FULL"', '"full": "NORMAL"', _losses("add few")),
    Broken("rows whose checksum says nothing", "schema.py",
           '    return zlib.crc32(b"".join(pieces))\n', "    return 0\n",
           ("damage", "damages", {"kind": "vectors", "file": "meta.db", "n": 200})),
    Broken("blocks of files are not checked", "files.py", "!= self._crcs[number]:\n", "is None:\n",
           ("damage", "damages", {"kind": "vectors", "file": "segment", "n": 40})),
    Broken("cells that a search looks at are not checked", "codes.py",
           "        self._check_cells(probe.cells)\n", "",
           ("damage", "damages", {"kind": "codes", "file": "codes", "n": 40})),
    Broken("a commit in two halves, seen by stops", "writing.py", *_HALVES, _stops("update")),
    Broken("a commit in two halves, seen by ends", "writing.py", *_HALVES, _of("ends", "update")),
    Broken("old segments are removed before the commit", "upkeep.py",
           "            writer.repoint(list(self._segments_of(passages)), dropped)\n",
           "            for file in old:\n                self._disk.remove(file)\n"
           "            writer.repoint(list(self._segments_of(passages)), dropped)\n", _stops("compact")),
    Broken("a merge removes what it has written", "upkeep.py",
           "            for file in {record.file for _, record in merged} - manifest.file_names(writer.db):\n",
           "            for file in {record.file for _, record in merged}:\n", _stops("merge", "codes")),
    Broken("files of dead writers are left, seen by stops", "embedded.py", *_SWEEP, _stops("add many")),
    Broken("files of dead writers are left, seen by kills", "embedded.py", *_SWEEP,
           ("kills", "kills", {"kind": "codes", "n": 60})),
    Broken("files of failed commits are left", "embedded.py", *_SWEEP, ("kills", "full", {"kind": "vectors", "n": 6})),
    Broken("no rollback, seen by failures", "writing.py", *_ROLLBACK, _of("failures", "add few")),
    Broken("no rollback, seen by interrupts", "writing.py", *_ROLLBACK,
           ("kills", "interrupts", {"kind": "vectors", "n": 30})),
    Broken("no rollback, seen by a memory limit", "writing.py", *_ROLLBACK,
           ("kills", "starved", {"kind": "vectors", "n": 12})),
    Broken("a rollback of what SQLite has rolled back for want of memory", "analysis.py",
           "                if self._db.in_transaction:\n                    self._db.execute",
           "                self._db.execute", ("kills", "starved", {"kind": "vectors", "n": 40})),
    Broken("an error after a commit says that nothing is committed", "schema.py",
           "        raise type(error)(\n            f\"index {folder}: what was added",
           "        raise\n        raise type(error)(\n            f\"index {folder}: what was added",
           _of("failures", "add few", n=100)),
    Broken("readers that change to a newer commit half-way", "embedded.py",
           "            analyzer = self._analyzer if vectors else None\n",
           '            db.execute("ROLLBACK")\n            db.execute("BEGIN")\n'
           "            analyzer = self._analyzer if vectors else None\n",
           ("crowds", "readers", {"kind": "vectors", "seconds": 20})),
    Broken("connections that are never given back", "embedded.py",
           "                        self._idle.append(db)\n",
           '                        self.__dict__.setdefault("_kept", []).append(db)\n',
           ("crowds", "soak", {"kind": "vectors", "seconds": 20})),
]  # fmt: skip


def main() -> None:
    """Try all, or those whose description holds a word of the command line."""
    n_unseen = 0
    for one in BROKEN:
        if sys.argv[1:] and not any(word in one.what for word in sys.argv[1:]):
            continue
        with tempfile.TemporaryDirectory(dir=MEMORY) as name:
            folder = Path(name)
            ignored = shutil.ignore_patterns("__pycache__", "data")
            for part in ("vecsearch", "plugins", "tests"):
                shutil.copytree(ROOT / part, folder / "project" / part, ignore=None if part == "plugins" else ignored)
            shutil.copytree(ROOT / "tests" / "data", folder / "project" / "tests" / "data")
            path = folder / "project" / "vecsearch" / "stores" / one.file
            source = path.read_text("utf-8")
            assert source.count(one.old) == 1, f"{one.what}: {one.file} has changed"
            path.write_text(source.replace(one.old, one.new), "utf-8")
            driver = Driver(folder, folder / "project")
            module, function, arguments = one.work
            try:
                found = driver.do(module, function, folder=str(folder / "work"), seed=1, **arguments)
                wrong, n = found["wrong"], found["n"]
            except AssertionError as error:
                wrong, n = [str(error)], 0
            driver.close()
        n_unseen += not wrong
        how = f"{len(wrong)} of {n} wrong" if n else "fails at once"
        print(
            f"{one.what}: {module}.{function} {arguments.get('name', '')}: {how if wrong else 'NOT SEEN'}", flush=True
        )
        if wrong:
            print("    " + wrong[0].strip().splitlines()[-1][:160])
    sys.exit(n_unseen > 0)


if __name__ == "__main__":
    main()
