"""docs/plugins.md, carried out: its package is installed, listed, used and checked; its output is compared."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import vecsearch
from tests.plugin_packages import ROOT, Place, clean_environment, lay_metadata
from vecsearch import plugins, testing

GUIDE = ROOT / "docs" / "plugins.md"
WALK = "One of each kind"


class Block(NamedTuple):
    path: str | None  # the file that it is, where the line before it names one
    language: str
    text: str


def section(heading: str) -> str:
    """Return a section of the guide, the smaller ones below it included."""
    found = re.search(rf"^## {re.escape(heading)}\n.*?(?=^## |\Z)", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[0]


def blocks_of(text: str) -> list[Block]:
    fence = re.compile(r"(?:^`([^`\n]+)`\n\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return [Block(*match.groups()) for match in fence.finditer(text)]


def walk() -> list[Block]:
    """Return the blocks of the section that makes a package of each kind by command."""
    return blocks_of(section(WALK))


def blocks() -> list[Block]:
    """Return all other blocks: those of the package that is made by hand, and what follows."""
    return blocks_of(GUIDE.read_text("utf-8").replace(section(WALK), ""))


def files() -> dict[str, str]:
    return {block.path: block.text for block in blocks() if block.path is not None}


def consoles(word: str) -> list[str]:
    return [block.text for block in blocks() if block.language == "console" and word in block.text]


def write_package(folder: Path) -> None:
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (folder / "acme_vecsearch" / "__init__.py").touch()


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


def without_docstrings(code: str) -> str:
    """Return code as it is without docstrings, comments and spacing."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def take_walk(place: Place, install: str) -> None:
    """Carry out the section that makes a package of each kind.

    Args:
        place: to do it in.
        install: ``"pip"``, or ``"by hand"``: metadata are laid beside the packages, which stand on the path already,
            and their tests are not run (tests/integration/test_scaffolding.py runs them, in less time).
    """
    for block in walk():
        if block.path is not None:
            written = (place.folder / block.path).read_text("utf-8")
            assert without_docstrings(written) == without_docstrings(block.text), block.path
        elif block.language == "sh":
            for line in block.text.splitlines():
                if install == "by hand":
                    for name in re.findall(r"-e \./(\w+)", line):
                        lay_metadata(place.folder / name)
                    continue
                run = place.run("bash", "-c", line)
                assert run.returncode == 0, f"{line}\n{run.stdout}{run.stderr}"
                assert "pytest" not in line or re.search(r"[4-9] passed", run.stdout), run.stdout
        else:
            assert block.language == "console"
            place.console(block.text)


def walked_names() -> list[str]:
    return re.findall(r"^\$ vecsearch plugins new (\w+) --kind \w+$", section(WALK), re.MULTILINE)


def test_guide_makes_one_package_of_each_kind_and_shows_what_is_written(tmp_path):
    kinds = re.findall(r"^\$ vecsearch plugins new \w+ --kind (\w+)$", section(WALK), re.MULTILINE)
    assert sorted(kinds) == sorted(set(plugins.KINDS) - {"command"})
    paths = [str(tmp_path / "place" / "work" / name) for name in walked_names()]
    take_walk(Place(tmp_path / "place", sys.executable, [*paths, *filter(None, sys.path)]), "by hand")


def test_class_that_the_guide_shows_must_be_the_one_that_is_written():
    code = 'class A:\n    """Text."""\n\n    x = 1  # why\n'
    assert without_docstrings(code) == without_docstrings("class A:\n    x = 1\n")
    assert without_docstrings(code) != without_docstrings("class A:\n    x = 2\n")


def test_stability_names_all_that_is_public():
    text = section("Stability")
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows["checks"])) == set(testing.__all__)
    arrays = set(re.findall(r"`(\w+)`", rows["types of arrays"]))
    assert (
        f"types for annotations ({', '.join(f'`{name}`' for name in ('Floats', 'Ids', 'Offsets', 'Spans', 'Bools'))})"
        in (" ".join(GUIDE.read_text("utf-8").split()))
    )
    assert arrays == {"Floats", "Ids", "Offsets", "Spans", "Bools"}
    assert f"`{plugins.GROUP}`" in rows["the environment"]
    assert f"`{plugins.DISABLE}`" in rows["the environment"]
    major, minor = map(int, vecsearch.__version__.split(".")[:2])
    assert f"`vecsearch>={major}.{minor},<{major}.{minor + 2}`" in text


@pytest.mark.slow
def test_guide_holds_in_a_clean_environment_with_everything_installed_by_pip(tmp_path):
    package = tmp_path / "acme-vecsearch"
    write_package(package)
    python, offline = clean_environment(tmp_path / "clean", package)
    place = Place(tmp_path / "place", str(python), [])
    # `pip` is that of the environment, and finds there what it builds with
    place.environment |= {key: value for key, value in offline.items() if key.startswith("PIP_")}
    place.environment["PATH"] = place.environment["PATH"].replace(
        os.pathsep, f"{os.pathsep}{python.parent}{os.pathsep}", 1
    )
    place.environment["PYTHONPATH"] = offline["PYTHONPATH"]
    for name in ("wrong.py", "tests/test_conformance.py"):
        shutil.copy(package / name, place.folder)
    where = place.run("python", "-c", "import vecsearch, vecsearch_scorers as s; print(vecsearch.__file__, s.__file__)")
    if (ROOT / "vecsearch").is_dir():  # else the tests run against an installed wheel, which is in another place
        assert where.stdout.count(str(python.parents[1])) == 2, where.stdout + where.stderr
    for block in blocks():
        if block.language == "console":
            place.console(block.text)
        elif block.language == "python" and block.path is None:
            run = place.run("python", "-c", block.text)
            assert run.returncode == 0, run.stderr
    run = place.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_conformance.py")
    assert "3 passed" in run.stdout, run.stdout + run.stderr
    take_walk(place, "pip")
