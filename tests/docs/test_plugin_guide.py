"""docs/plugins.md, carried out: its package is installed, listed, used and checked; its output is compared."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "plugins.md"


class Block(NamedTuple):
    path: str | None  # the file that it is, where the line before it names one
    language: str
    text: str


def blocks() -> list[Block]:
    fence = re.compile(r"(?:^`([^`\n]+)`\n\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return [Block(*match.groups()) for match in fence.finditer(GUIDE.read_text("utf-8"))]


def files() -> dict[str, str]:
    return {block.path: block.text for block in blocks() if block.path is not None}


def consoles(word: str) -> list[str]:
    return [block.text for block in blocks() if block.language == "console" and word in block.text]


class Place:
    """A folder to work in, with `python`, `vecsearch` and the guide's package."""

    def __init__(self, folder: Path, python: str, paths: list[str]) -> None:
        self.folder = folder / "work"
        self.folder.mkdir(parents=True)
        programs = folder / "bin"
        programs.mkdir()
        for name, command in (("python", f'"{python}"'), ("vecsearch", f'"{python}" -m vecsearch')):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
            program.chmod(0o755)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("VECSEARCH", "PYTEST"))}
        self.environment = {
            **kept,
            "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUTF8": "1",
            "NO_COLOR": "1",
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=self.environment)

    def console(self, text: str) -> None:
        """Run the commands of a console block one after another; compare what each writes to stdout."""
        parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
        assert parts[0] == ""
        for command, expected in zip(parts[1::2], parts[2::2], strict=True):
            run = self.run("bash", "-c", command)
            assert run.returncode == (1 if "grep -c" in command else 0), (command, run.stderr)
            assert matches(run.stdout, expected), f"$ {command}\n{run.stdout}{run.stderr}"


def matches(seen: str, expected: str) -> bool:
    """Return whether an output is as expected, where a line `...` stands for any number of lines."""
    pattern = "".join(r"(?:.*\n)*" if line == "..." else re.escape(line) + r"[ ]*\n" for line in expected.splitlines())
    return re.fullmatch(pattern, seen) is not None


def write_package(folder: Path) -> None:
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (folder / "acme_vecsearch" / "__init__.py").touch()


def lay_metadata(folder: Path) -> None:
    """Write what an installer would write beside the package."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", "utf-8"
    )
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("".join(groups), "utf-8")


@pytest.fixture
def place(tmp_path) -> Place:
    package = tmp_path / "acme-vecsearch"
    write_package(package)
    lay_metadata(package)
    place = Place(tmp_path / "place", sys.executable, [str(package), *filter(None, sys.path)])
    for name in ("wrong.py", "tests/test_conformance.py"):
        shutil.copy(package / name, place.folder)
    return place


def test_guide_has_the_files_that_it_counts():
    assert [name for name in files() if name != "wrong.py"] == [
        "pyproject.toml",
        "acme_vecsearch/plugin.py",
        "acme_vecsearch/tokenizer.py",
        "acme_vecsearch/encoder.py",
        "tests/test_conformance.py",
    ]


def test_every_block_of_the_guide_is_used_by_a_test_here():
    kinds = sorted(block.language for block in blocks() if block.path is None)
    assert kinds == sorted(["sh", "console", "console", "python", "console", "text", "console"])


@pytest.mark.parametrize("name", ["acme_vecsearch/tokenizer.py", "acme_vecsearch/encoder.py"])
def test_classes_of_the_guide_take_twenty_lines_at_most(name):
    (cls,) = [node for node in ast.parse(files()[name]).body if isinstance(node, ast.ClassDef)]
    lines = files()[name].splitlines()[cls.lineno - 1 : cls.end_lineno]
    assert len([line for line in lines if line.strip()]) <= 20


def test_plugin_of_the_guide_is_listed(place):
    (listing,) = consoles("vecsearch plugins\n")
    place.console(listing)


def test_plugin_of_the_guide_indexes_and_searches(place):
    (session,) = consoles("vecsearch index")
    place.console(session)


def test_library_example_of_the_guide_holds(place):
    (code,) = [block.text for block in blocks() if block.language == "python" and block.path is None]
    run = place.run("python", "-W", "error", "-c", code)
    assert (run.returncode, run.stdout) == (0, ""), run.stderr


def test_conformance_tests_of_the_guide_pass(place):
    run = place.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_conformance.py")
    assert "3 passed" in run.stdout, run.stdout + run.stderr


def test_conformance_tests_of_the_guide_fail_where_the_plugin_is_wrong(place, tmp_path):
    encoder = tmp_path / "acme-vecsearch" / "acme_vecsearch" / "encoder.py"
    code = encoder.read_text("utf-8")
    edge = "        before[starts[starts < len(units)]] = 0"
    assert edge in code
    encoder.write_text(code.replace(edge, "        starts"), "utf-8")
    run = place.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_conformance.py")
    assert "1 failed, 2 passed" in run.stdout
    assert "a passage's vectors never depend on the other passages of the batch" in run.stdout


def test_failing_check_of_the_guide_says_what_the_guide_shows(place):
    (session,) = consoles("wrong.py")
    place.console(session)


def test_whole_plugin_passes_at_once(place):
    code = "from vecsearch.testing import check_plugin; print(check_plugin('acme-vecsearch'))"
    run = place.run("python", "-c", code)
    assert run.stdout == "['plugin acme', 'tokenizer whitespace', 'encoder previous']\n", run.stderr


def test_broken_plugin_is_listed_as_the_guide_shows(place, tmp_path):
    module = tmp_path / "acme-vecsearch" / "acme_vecsearch" / "plugin.py"
    code = module.read_text("utf-8")
    module.write_text(code.replace("vecsearch_register_tokenizers", "vecsearch_register_tokeniser"), "utf-8")
    (shown,) = [block.text for block in blocks() if block.language == "text"]
    run = place.run("vecsearch", "plugins")
    assert run.returncode == 0, run.stderr
    assert [line.rstrip() for line in run.stdout.splitlines() if "acme" in line] == shown.splitlines()


def test_disabled_plugins_are_not_listed(place):
    (session,) = consoles("VECSEARCH_DISABLE_PLUGINS")
    place.console(session)
    assert '"plugin": "acme"' in place.run("vecsearch", "plugins", "--json").stdout


@pytest.mark.campaign
@pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="building wheels offline needs hatchling")
@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="the project's source is not here to be built")
def test_guide_holds_in_a_clean_environment_with_everything_installed_by_pip(tmp_path):
    package = tmp_path / "acme-vecsearch"
    write_package(package)
    wheels = tmp_path / "wheels"
    offline = ["--no-index", "--no-deps", "--disable-pip-version-check", "-q"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *offline, "--no-build-isolation", "-w", wheels, ROOT, package],
        check=True,
    )
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    python = home / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", *offline, *sorted(wheels.glob("*.whl"))], check=True)
    # Dependencies come from this environment, not from the network. Its own .pth files are not followed from there,
    # and the new environment's packages stand before it: vecsearch itself is the one that pip has just installed.
    (site_packages,) = home.glob("lib/python*/site-packages")
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site_packages / "dependencies.pth").write_text("\n".join(sorted(dependencies)) + "\n", "utf-8")

    place = Place(tmp_path / "place", str(python), [])
    del place.environment["PYTHONPATH"]
    for name in ("wrong.py", "tests/test_conformance.py"):
        shutil.copy(package / name, place.folder)
    where = place.run("python", "-c", "import vecsearch, vecsearch_scorers as s; print(vecsearch.__file__, s.__file__)")
    assert where.stdout.count(str(home)) == 2, where.stdout + where.stderr
    for block in blocks():
        if block.language == "console":
            place.console(block.text)
        elif block.language == "python" and block.path is None:
            run = place.run("python", "-c", block.text)
            assert run.returncode == 0, run.stderr
    run = place.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_conformance.py")
    assert "3 passed" in run.stdout, run.stdout + run.stderr
