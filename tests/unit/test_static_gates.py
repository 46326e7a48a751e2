"""What the source may never do, read from the source itself. Every gate is tried on a snippet that breaks it."""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import vecsearch

ENGINE = Path(vecsearch.__file__).resolve().parent
# of the source tree, or, where the wheel is tested, of what is installed
ROOTS = [ENGINE, *sorted({*ENGINE.parent.glob("plugins/vecsearch_*"), *ENGINE.parent.glob("vecsearch_*")})]
PROJECT = Path(__file__).parents[2] / "pyproject.toml"

EXECUTES_WHAT_IT_READS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code"}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.execvp", "os.spawnl", "os.spawnv",
    "subprocess.getoutput", "subprocess.getstatusoutput", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "torch.load", "tempfile.mktemp", "ctypes.CDLL", "pty.spawn",
}  # fmt: skip
NETWORK = {
    "requests", "urllib.request", "urllib3", "http.client", "httpx", "aiohttp", "socket", "ssl", "ftplib",
    "smtplib", "huggingface_hub", "socketserver", "http.server", "xmlrpc",
}  # fmt: skip
EXTERNAL_XML = {"xml.sax", "xml.etree", "xml.dom", "lxml", "xml.parsers"}

# Text that stands in SQL without being a constant of the statement, looked at one by one. Beside these, `marks(...)`
# (question marks and commas) and names of module constants in capitals are taken.
REVIEWED_SQL = {
    ("stores/analysis.py", "statement"),  # its two callers give constants
    ("stores/manifest.py", "codebook"),  # one of two constants
    ("stores/reading.py", "chosen"),  # a constant, or marks
    ("stores/reading.py", "expression"),  # compiled from a filter: constants and marks, its values are parameters
    ("stores/salvage.py", "statement"),  # built from names of tables and columns that stand in the module
    ("stores/schema.py", "statement"),  # the statements of the constants _TABLES_…
    ("stores/schema.py", "_SYNCHRONOUS[durability]"),  # one of two constants
    ("stores/verification.py", "statement"),  # constants of the module
    ("stores/writing.py", "condition"),  # its callers give constants, or marks
    ("stores/writing.py", "memory // CACHE_SHARE // 1024"),  # a whole number
}
_SQL_METHODS = {"execute", "executemany", "executescript", "execute_returning_dicts", "query"}
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")


@cache
def sources() -> list[tuple[str, ast.Module]]:
    """Return every source file: its path below its package's folder, and its tree."""
    found = []
    for root in ROOTS:
        for path in sorted(root.rglob("*.py")):
            below = path.relative_to(root).as_posix()
            tree = ast.parse(path.read_text("utf-8"), str(path))
            found.append((below if root == ENGINE else f"{root.name}/{below}", tree))
    return found


def imported(node: ast.AST) -> list[str]:
    """Return the modules that a statement imports, with dots; of ``from a import b`` both a and a.b."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def is_any_of(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in names)


def name_of(function: ast.expr) -> str:
    """Return ``a.b.c`` of a chain of names, as far as it is one."""
    return ast.unparse(function) if isinstance(function, ast.Name | ast.Attribute) else ""


def constant_true(node: ast.expr) -> bool:
    return not (isinstance(node, ast.Constant) and not node.value)


# gates: each yields what breaks it


def imports_of_what_executes(_: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        yield from (module for module in imported(node) if is_any_of(module, EXECUTES_WHAT_IT_READS))


def forbidden_calls(_: str, tree: ast.Module) -> Iterator[str]:
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = name_of(node.func)
            head, dot, rest = name.partition(".")
            # CDLL(None) is the program itself: no file is loaded
            is_own = name.endswith("CDLL") and [ast.unparse(one) for one in node.args] == ["None"]
            if (aliases.get(head, head) + dot + rest) in FORBIDDEN_CALLS and not is_own:
                yield name


def shells(_: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (
                ast.unparse(node)[:80]
                for keyword in node.keywords
                if keyword.arg == "shell" and constant_true(keyword.value)
            )


def pickled_arrays(_: str, tree: ast.Module) -> Iterator[str]:
    """What loads or saves arrays without saying that nothing is pickled."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if name_of(node.func) in (
            "np.load",
            "numpy.load",
            "np.save",
            "numpy.save",
            "np.savez",
            "np.lib.format.read_array",
        ):
            allowed = given.get("allow_pickle")
            if not (isinstance(allowed, ast.Constant) and allowed.value is False):
                yield ast.unparse(node)[:80]
        elif "allow_pickle" in given and constant_true(given["allow_pickle"]):
            yield ast.unparse(node)[:80]


def built_sql(path: str, tree: ast.Module) -> Iterator[str]:
    """What is put into SQL as text and is not reviewed."""

    def parts(node: ast.expr) -> Iterator[ast.expr]:
        match node:
            case ast.Constant():
                return
            case ast.JoinedStr():
                for value in node.values:
                    if isinstance(value, ast.FormattedValue):
                        yield from parts(value.value)
            case ast.BinOp(op=ast.Add() | ast.Mod()):
                yield from parts(node.left)
                yield from parts(node.right)
            case ast.Call(func=ast.Attribute(attr="format" | "join" | "replace", value=text)):
                yield from parts(text)
                for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                    yield from parts(argument)
            case ast.IfExp():
                yield from parts(node.body)
                yield from parts(node.orelse)
            case ast.Call(func=ast.Name(id="marks")):
                return
            case ast.Name() if _CONSTANT.fullmatch(node.id):
                return
            case _:
                yield node

    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _SQL_METHODS:
            statement = (
                node.args[0] if node.args else next((one.value for one in node.keywords if one.arg == "sql"), None)
            )
            for part in parts(statement) if statement is not None else ():
                if (path, ast.unparse(part)) not in REVIEWED_SQL:
                    yield f"line {part.lineno}: {ast.unparse(part)}"


def network(_: str, tree: ast.Module) -> Iterator[str]:
    """Imports of what talks to the network, wherever they stand: nothing here has to."""
    for node in ast.walk(tree):
        yield from (module for module in imported(node) if is_any_of(module, NETWORK))


def parsers_of_xml(_: str, tree: ast.Module) -> Iterator[str]:
    """Imports of parsers that expand entities or fetch what a document names."""
    for node in ast.walk(tree):
        yield from (module for module in imported(node) if is_any_of(module, EXTERNAL_XML))


Gate = Callable[[str, ast.Module], Iterator[str]]

BREAKING: dict[Gate, list[str]] = {
    imports_of_what_executes: [
        "import pickle",
        "def f():\n    import marshal",
        "from shelve import open",
        "import dill as d",
        "from pickle import loads",
    ],
    forbidden_calls: [
        "eval('1')",
        "exec(text)",
        "compile(text, '', 'exec')",
        "import os\nos.system('ls')",
        "from os import system as run\nrun('ls')",
        "import os as o\no.popen('ls')",
        "import yaml\nyaml.load(text)",
        "__import__('os')",
        "import ctypes\nctypes.CDLL('x.so')",
    ],
    shells: ["import subprocess\nsubprocess.run('ls', shell=True)", "run(x, shell=is_shell)"],
    pickled_arrays: [
        "np.load(path)",
        "np.load(path, mmap_mode='r')",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=is_trusted)",
        "np.save(path, array)",
        "load(path, allow_pickle=True)",
    ],
    built_sql: [
        "db.execute(f'SELECT * FROM t WHERE id = {doc_id!r}')",
        "db.execute('SELECT * FROM t WHERE id = ' + doc_id)",
        "db.execute('SELECT * FROM t WHERE id = %s' % doc_id)",
        "db.execute('SELECT * FROM {}'.format(table))",
        "db.execute(', '.join(names))",
        "db.conn.executemany(text, rows)",
        "db.executescript(read())",
        "db.query(sql=f'SELECT {column}')",
        "db.execute(f'SELECT 1 IN ({marks(ids)}) AND {other}')",
        "db.execute('SELECT 1' if x else text)",
    ],
    network: ["import requests", "from urllib import request", "def f():\n    import socket", "import http.client"],
    parsers_of_xml: ["import xml.etree.ElementTree as ET", "from lxml import etree", "from xml import sax"],
}
PASSING: dict[Gate, list[str]] = {
    imports_of_what_executes: ["import json", "from vecsearch_loaders.code import x", "import pickleball"],
    forbidden_calls: [
        "re.compile('x')",
        "from re import compile as c\nc('x')",
        "self.exec(1)",
        "import ctypes\nctypes.CDLL(None)",
        "import os\nos.open('x')",
    ],
    shells: ["run(x, shell=False)"],
    pickled_arrays: ["np.load(path, allow_pickle=False)", "self.load(path)"],
    built_sql: [
        "db.execute('SELECT 1 WHERE x = ?', [x])",
        "db.execute(f'SELECT 1 IN ({marks(ids)})', ids)",
        "db.execute(f'SELECT {_COLUMNS} ' 'FROM t')",
        "executor.submit(text)",
    ],
    network: ["from urllib.parse import quote", "import httptools"],
    parsers_of_xml: ["import xmltodict", "from html.parser import HTMLParser"],
}


@pytest.mark.parametrize("gate", BREAKING, ids=lambda gate: gate.__name__)
def test_the_source_does_nothing_of_this(gate: Gate) -> None:
    assert {path: found for path, tree in sources() if (found := list(gate(path, tree)))} == {}


@pytest.mark.parametrize(("gate", "snippet"), [(gate, one) for gate, many in BREAKING.items() for one in many])
def test_a_snippet_that_breaks_a_gate_is_found(gate: Gate, snippet: str) -> None:
    assert list(gate("x.py", ast.parse(textwrap.dedent(snippet))))


@pytest.mark.parametrize(("gate", "snippet"), [(gate, one) for gate, many in PASSING.items() for one in many])
def test_what_is_allowed_passes(gate: Gate, snippet: str) -> None:
    assert list(gate("x.py", ast.parse(snippet))) == []


def test_all_of_the_source_is_read() -> None:
    paths = [path for path, _ in sources()]
    assert {"cli/output.py", "stores/schema.py", "vecsearch_loaders/pdf.py", "vecsearch_wordllama/tensors.py"} <= set(
        paths
    )
    assert len(paths) == len(set(paths))
    plugins = {path.partition("/")[0] for path in paths if path.startswith("vecsearch_")}
    assert plugins >= {f"vecsearch_{name}" for name in ("loaders", "positions", "scorers", "tokenizers", "wordllama")}


def test_every_reviewed_place_still_exists() -> None:
    texts = {path: ast.unparse(tree) for path, tree in sources() if path.startswith("stores/")}
    assert {(path, part) for path, part in REVIEWED_SQL if part not in texts.get(path, "")} == set()


# the project file


def lacking(project: str) -> list[str]:
    """Return what a pyproject.toml lacks."""
    facts = tomllib.loads(project)
    found = []
    needed = {Requirement(text).name: Requirement(text) for text in facts["project"]["dependencies"]}
    if "faiss-cpu" not in needed or any(needed["faiss-cpu"].specifier.contains(old) for old in ("1.15.0", "1.12.0")):
        found.append("faiss-cpu >= 1.15.1")
    lint = facts["tool"]["ruff"]["lint"]
    if "S" not in lint["select"] or any(re.fullmatch(r"S\d*", rule) for rule in lint["ignore"] if rule != "S101"):
        found.append("ruff's rules S")
    for place, rules in lint["per-file-ignores"].items():
        none = "S" if place.startswith("tests/") else r"S\d*"  # tests may leave out some by number, not all
        if any(re.fullmatch(none, rule) for rule in rules):
            found.append(f"ruff's rules S for {place}")
    return found


def test_the_project_demands_a_sound_faiss_and_all_rules_of_security() -> None:
    assert lacking(PROJECT.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('"faiss-cpu>=1.15.1"', '"faiss-cpu>=1.12"', "faiss-cpu >= 1.15.1"),
        ('"faiss-cpu>=1.15.1",', "", "faiss-cpu >= 1.15.1"),
        ('"S", "PT"', '"PT"', "ruff's rules S"),
        ('"S101",', '"S101", "S608",', "ruff's rules S"),
        ('"tests/**" = ["S105", ', '"tests/**" = ["S", ', "ruff's rules S for tests/**"),
        ('"vecsearch/errors.py" = ["RUF022"]', '"vecsearch/**" = ["S301"]', "ruff's rules S for vecsearch/**"),
    ],
)
def test_a_project_file_that_lacks_one_of_them_is_found(old: str, new: str, found: str) -> None:
    project = PROJECT.read_text("utf-8")
    assert old in project
    assert lacking(project.replace(old, new)) == [found]
