"""What may import what: read from the source, and from a fresh interpreter."""

from __future__ import annotations

import ast
import graphlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

import vecsearch
from vecsearch import hookspecs

ENGINE = Path(vecsearch.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"
PLUGINS = sorted(
    {
        point.value.partition(".")[0]
        for point in entry_points(group="vecsearch")
        if point.dist is not None and point.dist.name == "vecsearch"
    }
)
ARRAY_TYPES = {"Bools", "Floats", "Ids", "Offsets", "Spans"}  # exist for type checkers only

# From the ground up. No module leads to one of a later layer, by whatever way; modules not named here stand between.
LAYERS = [
    ["errors", "types"],
    ["checksums", "hookspecs", "protocols"],
    ["plugins", "splitting"],
    ["pipeline", "scoring", "stores"],
    ["index"],
    ["ingest"],
    ["evaluation"],
    ["cli", "testing"],
]
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}


class Import(NamedTuple):
    module: str  # that is imported
    name: str | None  # that is taken of it
    is_for_types: bool
    is_in_function: bool


def imports(path: Path, package: str) -> Iterator[Import]:
    """Yield everything that a source file imports, relative names resolved."""

    def walk(node: ast.AST, is_for_types: bool, is_in_function: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, is_for_types, is_in_function)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            module = ".".join(filter(None, [base if node.level else "", node.module or ""]))
            for alias in node.names:
                yield Import(module, alias.name, is_for_types, is_in_function)
        in_function = is_in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from walk(child, True, in_function)
            for child in node.orelse:
                yield from walk(child, is_for_types, in_function)
            return
        for child in ast.iter_child_nodes(node):
            yield from walk(child, is_for_types, in_function)

    yield from walk(ast.parse(path.read_text("utf-8")), False, False)


def sources(folder: Path, package: str) -> dict[str, Path]:
    """Return the source files of a package by the name of the module."""
    modules = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [package, *path.relative_to(folder).with_suffix("").parts]
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def package_of(module: str, path: Path) -> str:
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


ENGINE_SOURCES = sources(ENGINE, "vecsearch")


def plugin_sources(package: str) -> dict[str, Path]:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return sources(Path(spec.origin).parent, package)


def test_reader_of_imports_sees_every_form(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import a.b as c, d\n"
        "from e import f as g\n"
        "from . import h\n"
        "from ..i import j\n"
        "if TYPE_CHECKING:\n    import k\nelse:\n    import l\n"
        "class C:\n    def m(self):\n        from n import o\n"
        "try:\n    import p\nexcept ImportError:\n    pass\n",
        "utf-8",
    )
    assert list(imports(path, "x.y")) == [
        Import("a.b", None, False, False),
        Import("d", None, False, False),
        Import("e", "f", False, False),
        Import("x.y", "h", False, False),
        Import("x.i", "j", False, False),
        Import("k", None, True, False),
        Import("l", None, False, False),
        Import("n", "o", False, True),
        Import("p", None, False, False),
    ]


def test_first_party_plugins_are_there():
    assert set(PLUGINS) >= {
        "vecsearch_loaders",
        "vecsearch_positions",
        "vecsearch_scorers",
        "vecsearch_tokenizers",
        "vecsearch_wordllama",
    }


@pytest.mark.parametrize("package", PLUGINS)
def test_plugins_import_only_public_names_of_the_engine(package):
    wrong = []
    for module, path in plugin_sources(package).items():
        for one in imports(path, package_of(module, path)):
            if one.module == "vecsearch" and (one.name is None or one.name in {*vecsearch.__all__, "testing"}):
                continue
            if one.module == "vecsearch.types" and one.is_for_types and one.name in ARRAY_TYPES:
                continue
            if one.module.partition(".")[0] == "vecsearch" and not one.module.startswith("vecsearch.testing"):
                wrong.append(f"{module} imports {one.name} of {one.module}")
    assert not wrong


@pytest.mark.parametrize("package", PLUGINS)
def test_plugin_packages_do_not_import_each_other(package):
    others = set(PLUGINS) - {package}
    wrong = [
        f"{module} imports {one.module}"
        for module, path in plugin_sources(package).items()
        for one in imports(path, package_of(module, path))
        if one.module.partition(".")[0] in others
    ]
    assert not wrong


@pytest.mark.parametrize("package", PLUGINS)
def test_modules_of_hooks_import_numpy_nowhere(package):
    path = plugin_sources(package)[f"{package}.plugin"]
    tops = {one.module.partition(".")[0] for one in imports(path, package) if not one.is_in_function}
    assert tops <= {"__future__", "collections", "typing", "vecsearch", "click"}


def test_engine_imports_no_plugin_package():
    wrong = [
        f"{module} imports {one.module}"
        for module, path in ENGINE_SOURCES.items()
        for one in imports(path, package_of(module, path))
        if one.module.partition(".")[0] in PLUGINS or re.match(r"vecsearch_\w+", one.module)
    ]
    assert not wrong


def test_engine_names_no_plugin_package():
    named = [
        f"{module}: {package}"
        for module, path in ENGINE_SOURCES.items()
        for package in PLUGINS
        if package in path.read_text("utf-8")
    ]
    assert not named


def importers(*names: str) -> set[str]:
    return {
        module
        for module, path in ENGINE_SOURCES.items()
        for one in imports(path, package_of(module, path))
        if one.module.partition(".")[0] in names and not one.is_for_types
    }


def test_faiss_is_imported_by_one_module():
    assert len(importers("faiss")) == 1


def test_sqlite_is_imported_by_the_stores_only():
    found = importers("sqlite3", "sqlite_utils")
    assert found
    assert all(module.startswith("vecsearch.stores") for module in found), found


def engine_imports() -> dict[str, set[str]]:
    """Return which engine modules each engine module imports when the program runs."""
    graph: dict[str, set[str]] = {}
    for module, path in ENGINE_SOURCES.items():
        if module == "vecsearch":
            continue  # the public names, each imported when it is first used
        graph[module] = set()
        for one in imports(path, package_of(module, path)):
            if one.is_for_types or one.module.partition(".")[0] != "vecsearch":
                continue
            target = f"{one.module}.{one.name}"
            target = target if target in ENGINE_SOURCES else one.module
            if target not in ("vecsearch", module):
                graph[module].add(target)
    return graph


def reached(graph: dict[str, set[str]], module: str) -> set[str]:
    """Return every module that a module leads to."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = graph.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def test_engine_modules_lead_downwards_only():
    graph = engine_imports()
    layers = {module: LAYER_OF.get(module.split(".")[1]) for module in graph}
    wrong = [
        f"{module} leads to {target}"
        for module, layer in layers.items()
        for target in sorted(reached(graph, module))
        if layer is not None and (layers.get(target) or 0) > layer
    ]
    assert not wrong


def test_every_named_layer_is_there():
    assert {module.split(".")[1] for module in engine_imports()} >= set(LAYER_OF)


def test_engine_imports_have_no_cycle():
    assert list(graphlib.TopologicalSorter(engine_imports()).static_order())


def test_command_line_and_test_kit_are_imported_by_nobody():
    tops = {
        (module.split(".")[1], target.split(".")[1])
        for module, targets in engine_imports().items()
        for target in targets
    }
    assert {top for top, target in tops if target == "cli" and top != "cli"} <= {"__main__"}
    assert {top for top, target in tops if target == "testing" and top != "testing"} == set()


def test_index_looks_no_plugin_up():
    assert "vecsearch.plugins" not in engine_imports()["vecsearch.index"]


HEAVY = ["numpy", "faiss", "sqlite3", "sqlite_utils", "tokenizers", "regex", "bs4", "numba", "vecsearch.index"]

HELP = """
import sys
sys.argv = ["vecsearch", *{arguments}]
import vecsearch.cli
try:
    vecsearch.cli.main()
except SystemExit as stop:
    code = stop.code
import json
print()
print(json.dumps([code, [name for name in {heavy} if name in sys.modules]]))
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["search", "--help"], ["index", "--help"], ["eval", "--help"]],
    ids=lambda words: " ".join(words),
)
def test_help_loads_neither_numpy_nor_a_store(arguments, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", HELP.format(arguments=arguments, heavy=HEAVY)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    code, loaded = json.loads(run.stdout.splitlines()[-1])
    assert (code or 0, loaded) == (0, [])


def test_public_names_are_all_there():
    assert [name for name in vecsearch.__all__ if not hasattr(vecsearch, name)] == []
    assert dir(vecsearch) == vecsearch.__all__


# The hooks and what the guide says of them


def test_every_hook_is_documented_with_its_exact_signature():
    text = (DOCS / "plugins.md").read_text("utf-8")
    documented = set(re.findall(r"^### `(vecsearch_\w+\(.*)`$", text, flags=re.MULTILINE))
    specified = {
        f"{name}{inspect.signature(hook)}".replace("'", "")
        for name, hook in vars(hookspecs).items()
        if getattr(hook, "vecsearch_spec", None) is not None
    }
    assert documented == specified


def test_hooks_return_what_their_specification_documents_and_do_nothing_else():
    for name, hook in vars(hookspecs).items():
        if getattr(hook, "vecsearch_spec", None) is not None:
            assert inspect.getdoc(hook), name
            with pytest.raises(NotImplementedError):
                hook()
