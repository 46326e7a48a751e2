"""The files of an index are changed through one door: nothing else of the stores writes, renames, removes or syncs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecsearch.stores

STORES = Path(vecsearch.stores.__file__).parent
CHANGING = {
    *(
        "replace",
        "rename",
        "renames",
        "unlink",
        "remove",
        "rmdir",
        "removedirs",
        "mkdir",
        "makedirs",
        "link",
        "symlink",
    ),
    *("truncate", "ftruncate", "write", "writev", "pwrite", "pwritev", "fsync", "fdatasync", "open", "utime", "chmod"),
    *("copyfile", "copy", "copy2", "copytree", "copyfileobj", "move", "rmtree"),
}
"""Functions of ``os`` and ``shutil`` that change files, or may."""
METHODS = {"write_bytes", "write_text", "touch", "unlink", "rmdir", "mkdir", "rename", "symlink_to", "hardlink_to"}
"""Methods of ``Path`` that change files, of names that nothing else has."""


def changes(source: str) -> Iterator[str]:
    """Yield each call of a source by which it may change a file."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Name(id="open") if _mode(node, 1) != "rb":
                yield ast.unparse(node)
            case ast.Attribute(value=ast.Name(id="os" | "shutil"), attr=name) if name in CHANGING:
                yield ast.unparse(node)
            case ast.Attribute(value=ast.Name(id="tempfile" | "io")):
                yield ast.unparse(node)
            case ast.Attribute(attr="open") if _mode(node, 0) != "rb":
                yield ast.unparse(node)
            case ast.Attribute(value=value, attr=name) if name in METHODS and not _is_disk(value):
                yield ast.unparse(node)


def _mode(call: ast.Call, place: int) -> object:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "mode"] + call.args[place : place + 1]
    return given[0].value if given and isinstance(given[0], ast.Constant) else "r"


def _is_disk(value: ast.expr) -> bool:
    return ast.unparse(value) in ("disk", "self._disk")


@pytest.mark.parametrize(
    ("source", "n"),
    [
        ("open(p, 'wb')", 1),
        ("open(p, mode='a')", 1),
        ("open(p)", 1),  # as text: nothing of an index is
        ("open(p, 'rb')", 0),
        ("path.open('wb')", 1),
        ("os.replace(a, b); os.unlink(a); os.fsync(1)", 3),
        ("path.unlink()", 1),
        ("path.write_bytes(b'')", 1),
        ("shutil.rmtree(p)", 1),
        ("disk.rename(a, b); self._disk.rename(a, b)", 0),
        ("'a'.replace('a', 'b')", 0),
    ],
)
def test_the_reader_of_calls_sees_what_may_change_a_file(source: str, n: int) -> None:
    assert len(list(changes(source))) == n


def test_only_the_door_changes_files() -> None:
    found = {path.name: list(changes(path.read_text("utf-8"))) for path in STORES.rglob("*.py")}
    assert len(found["disk.py"]) >= 5
    # the cache of blobs is beside the indexes, and no truth
    assert {name for name, calls in found.items() if calls} == {"disk.py", "blobs.py"}
