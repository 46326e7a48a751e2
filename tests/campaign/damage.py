"""Damaged files: what verify says of them, and what an index answers that holds them."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign import children
from tests.campaign.operations import answers_of, make_base, small
from tests.integration.test_durability import document
from tests.tiny import tiny_pipeline
from vecsearch import Index, VecsearchError

__all__ = ["FILES", "damages"]

FILES = ("segment", "codes", "codebook", "meta.db", "meta.db-wal", "meta.db-shm", "writer.lock", "last-commit")
WAYS = ("bit", "bit", "bit", "zeros", "swapped", "cut", "longer", "missing", "exchanged")
SAME_SIZE = ("bit", "zeros", "swapped")
BLOCK = 512
UNSEALED = {"files", "tuning", "manifest", "_sqlite_migrations", "documents.file_no"}
"""Tables and columns of which indexes/FORMAT.md does not say that every change is found."""


def apply(path: Path, way: str, chance: random.Random) -> bool:
    """Damage a file. Returns whether it is not as it was."""
    content = path.read_bytes()
    changed = bytearray(content)
    place = chance.randrange(max(len(content), 1))
    block = slice(place // BLOCK * BLOCK, place // BLOCK * BLOCK + BLOCK)
    match way:
        case "bit" if content:
            changed[place] ^= 1 << chance.randrange(8)
        case "zeros":
            changed[block] = bytes(len(changed[block]))
        case "swapped" if len(content) >= 2 * BLOCK:
            other = chance.randrange(len(content) // BLOCK) * BLOCK
            first, second = changed[block], changed[other : other + BLOCK]
            if len(first) == len(second):
                changed[block], changed[other : other + BLOCK] = second, first
        case "cut":
            del changed[place:]
        case "longer":
            changed += chance.randbytes(chance.choice([1, 4096]))
        case "exchanged":
            others = [one for one in path.parent.iterdir() if one.suffix == path.suffix and one != path]
            if others:
                changed = bytearray(chance.choice(others).read_bytes())
        case "missing":
            path.unlink()
            return True
    if changed != content:
        path.write_bytes(changed)
    return changed != content


def rows_of(folder: Path) -> dict[str, str]:
    """Return a digest of the rows of each table, whatever the bytes of the pages: only what verify must find."""
    from sqlite_utils import Database

    from vecsearch.stores.keywords import instances

    connection = sqlite3.connect(f"{(folder / 'meta.db').absolute().as_uri()}?mode=ro", uri=True)
    try:
        schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()
        # what SQLite or a library defines as its version likes is compared with nothing
        own = [row for row in schema if row[2] != "_sqlite_migrations" and not row[2].startswith("keywords_")]
        found = {"sqlite_schema": own, "keywords": sorted(instances(Database(connection)))}
        for kind, name, _, _ in schema:
            if kind == "table" and not name.startswith("keywords") and name not in UNSEALED:
                columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
                some = ", ".join(column for column in columns if f"{name}.{column}" not in UNSEALED)
                found[name] = sorted(map(repr, connection.execute(f'SELECT {some} FROM "{name}"')))
        found["counters"] = [row for row in found["counters"] if "next_" not in row]
        return {name: hashlib.sha256(repr(rows).encode()).hexdigest() for name, rows in found.items()}
    except (sqlite3.Error, UnicodeDecodeError):
        return {"": "unreadable"}
    finally:
        connection.close()


class _Sound:
    """A sound index, closed or as a dead process left it, and all that it may answer."""

    def __init__(self, folder: Path, kind: str, with_log: bool) -> None:
        self.folder, self.kind = folder, kind
        outcome = children.run(lambda: self._make(with_log))
        assert outcome.code == 0, outcome
        self.states: list[Any] = outcome.value
        self.rows = children.run(lambda: rows_of(self.copied())).value

    def _make(self, with_log: bool) -> list[Any]:
        small(self.kind)
        made = self.folder / "made"
        make_base(made, "filled")
        with Index.open(made, pipeline=tiny_pipeline()) as index:
            states = [answers_of(index)]
            for number in (80, 81, 82):
                index.add([document(number)])
                states.append(answers_of(index))
            if with_log:
                shutil.copytree(made, self.folder / "sound")
        if not with_log:
            shutil.copytree(made, self.folder / "sound")
            return states[-1:]
        return states

    def copied(self) -> Path:
        """Return a new copy of it."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.folder / "sound", copy)
        return copy


def _of_index(folder: Path, kind: str, work: Callable[[Index], Any]) -> Any:
    small(kind)
    try:
        with Index.open(folder, pipeline=tiny_pipeline()) as index:
            return work(index)
    except VecsearchError as error:
        return f"{error.code}: {error.message}"


def damages(folder: str, kind: str, file: str, n: int, seed: int) -> dict[str, Any]:
    """Damage one kind of file again and again: half of the time before an index is opened, half after it was verified.

    Args:
        folder: to work in.
        kind: of segments.
        file: one of ``FILES``.
        n: how many times.
        seed: of what is damaged.
    """
    Path(folder).mkdir(parents=True)
    sound = _Sound(Path(folder), kind, file.startswith("meta.db-"))
    chance = random.Random(f"{seed} {kind} {file}")
    is_immutable = file in ("segment", "codes", "codebook")
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    for number in range(n):
        copy = sound.copied()
        was_verified = number % 2 == 1
        paths = sorted(path for path in copy.iterdir() if path.name == file or path.suffix == f".{file}")
        path = chance.choice(paths)
        if was_verified and not file.startswith("meta.db-"):
            first = children.run(lambda: _of_index(copy, kind, lambda index: [index.verify(), answers_of(index)]))  # noqa: B023
            assert first.value == [[], sound.states[-1]], first
        before = path.stat()
        way = chance.choice(SAME_SIZE if was_verified else WAYS)
        if not apply(path, way, chance):
            continue
        if was_verified:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        rows = children.run(lambda: rows_of(copy)).value  # noqa: B023
        answered = children.run(lambda: _of_index(copy, kind, answers_of))  # noqa: B023
        verified = children.run(lambda: _of_index(copy, kind, lambda index: index.verify()))  # noqa: B023
        is_found = verified.value != []
        is_right = answered.value in sound.states
        is_told = isinstance(answered.value, str)
        if is_immutable:
            # of codes only what is looked at is checked
            is_good = is_found and (is_told or (file == "codes" and is_right))
        elif file == "meta.db":
            # what verify does not find changes no row but such as are not sealed
            is_good = is_found or rows == sound.rows
        elif file == "meta.db-wal":
            # a commit that is lost is told
            is_good = (answered.value == sound.states[-1] and is_right) or (is_told and is_found)
        else:
            is_good = is_right or is_told or is_found
        outcome = "told" if is_told else "right" if is_right else "found by verify alone"
        seen[outcome if is_found or is_right or is_told else "unseen"] += 1
        if not is_good or verified.code != 0 or answered.code != 0:
            moment = "after verify" if was_verified else "before"
            changed = sorted(name for name in {*rows, *sound.rows} if rows.get(name) != sound.rows.get(name))
            detail = f"changed {changed}; answers {answered.code} {str(answered.value)[:120]}"
            wrong.append(f"{file}, {kind}, {number}: {way} {moment}; verify {verified}; {detail}")
    return {"n": seen.total(), "seen": seen, "wrong": wrong}
