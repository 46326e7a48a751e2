"""`vecsearch plugins new`: what it writes is a plugin that works, and what it can't write well it doesn't write."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.plugin_packages import ROOT, clean_environment, lay_metadata
from vecsearch import UsageError
from vecsearch.cli import scaffolding as command
from vecsearch.cli.program import program
from vecsearch.plugins import KINDS as ALL_KINDS
from vecsearch.scaffolding import KINDS, package_files, write_package

# What the README of each kind finds, with what, and where.
FOUND = {
    "tokenizer": "notes/dog.txt",
    "embedder": "notes/elephant.txt",
    "encoder": "notes/man.txt",
    "scorer": "notes/dog.txt",
    "loader": "notes/talk.srt",
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, list(map(str, arguments)))


def commands(readme: str) -> list[str]:
    """Return the blocks of commands of a README, in order: install, test, use."""
    return re.findall(r"^```sh\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)


def everything(folder: Path) -> dict[str, str]:
    """Return the files below a folder, hidden ones too, by path."""
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}


def test_there_is_an_example_of_every_kind_but_commands() -> None:
    assert set(KINDS) == set(ALL_KINDS) - {"command"}
    assert set(command._KINDS) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_those_that_are_written_and_nothing_else(kind: str, tmp_path: Path) -> None:
    result = run("plugins", "new", "acme_one", "--kind", kind, "--into", tmp_path)
    assert result.exit_code == 0, result.output
    files = package_files("acme_one", kind)
    assert everything(tmp_path) == {f"acme_one/{path}": text for path, text in files.items()}
    assert result.stdout.splitlines() == [str(tmp_path / "acme_one" / path) for path in sorted(files)]
    assert "pip install -e '.[test]'" in result.stderr
    assert not re.search(r"example_\w|example-plugin|Example[A-Z]", "".join([*files, *files.values()]))
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert (project["name"], project["entry-points"]) == (
        "acme-one",
        {"vecsearch": {"acme_one": "acme_one.plugin"}},
    )


@pytest.mark.parametrize("place", [["plugins", "new", "--json"], ["plugins", "--json", "new"]], ids=["after", "before"])
def test_json_names_what_was_written(place: list[str], tmp_path: Path) -> None:
    result = run(*place, "acme_one", "--kind", "scorer", "--into", tmp_path)
    assert json.loads(result.stdout) == {
        "name": "acme_one",
        "kind": "scorer",
        "folder": str(tmp_path / "acme_one"),
        "files": sorted(package_files("acme_one", "scorer")),
    }
    again = run(*place, "acme_one", "--kind", "scorer", "--into", tmp_path)
    assert (again.exit_code, again.stdout, json.loads(again.stderr)["error"]) == (1, "", "usage")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A package of each kind, on the path of this process, with metadata as if it were installed."""
    into = tmp_path_factory.mktemp("packages")
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        for kind in KINDS:
            write_package(f"made_{kind}", kind, into)
            folders[kind] = into / f"made_{kind}"
            lay_metadata(folders[kind])
            patch.syspath_prepend(folders[kind])
        yield folders
    for name in [name for name in sys.modules if name.startswith("made_")]:
        del sys.modules[name]


@pytest.mark.parametrize("length", [1, 40])
def test_packages_pass_the_rules_of_this_project_whatever_the_length_of_the_name(length: int, tmp_path: Path) -> None:
    for kind in KINDS:
        folder = tmp_path / kind
        for path, text in package_files("q" * length, kind).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, "utf-8")
        for rules in (["check"], ["format", "--check", "--diff"]):
            # from its own folder, where its package is the first party and vecsearch is one of others
            ruff = [sys.executable, "-m", "ruff", rules[0], "--config", str(ROOT / "pyproject.toml"), "--no-cache"]
            linted = subprocess.run([*ruff, *rules[1:], "."], cwd=folder, capture_output=True, text=True)
            assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_tests_of_a_new_package_pass(kind: str, packages: dict[str, Path]) -> None:
    ran = []
    for path in sorted((packages[kind] / "tests").glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"made_{kind}_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, test in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("test_"):
                test()
                ran.append(name)
    assert {f"test_{kind}_keeps_its_contract", "test_module_of_hooks_is_light"} <= set(ran)
    assert len(ran) >= 4


def test_new_plugins_are_listed_beside_what_is_installed(packages: dict[str, Path]) -> None:
    assert run("plugins").stdout.splitlines()[0].split() == ["kind", "name", "version", "distribution"]
    listed = [json.loads(line) for line in run("plugins", "--json").stdout.splitlines()]
    assert {(one["kind"], one["name"], one["distribution"]) for one in listed if one["plugin"].startswith("made_")} == {
        (kind, f"made_{kind}", f"made-{kind} 0.1.0") for kind in packages
    }
    assert [one for one in listed if one["error"]] == []
    assert {"word", "wordllama", "relative", "maxsim"} <= {one["name"] for one in listed}


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_is_built_and_searched_as_the_readme_says(
    kind: str, packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    *_, use = commands((packages[kind] / "README.md").read_text("utf-8"))
    seen = ""
    for line in use.splitlines():
        if line.startswith("vecsearch "):
            (words,) = [re.findall(r'"([^"]*)"|(\S+)', line)]
            result = run(*[quoted or plain for quoted, plain in words][1:])
            assert result.exit_code == 0, result.output
            seen = result.stdout
        else:
            subprocess.run(["bash", "-c", line], check=True)
    assert FOUND[kind] in seen.splitlines()[0], seen
    facts = json.loads(run("info", "-i", "notes", "--json").stdout)
    if kind in ("tokenizer", "embedder", "encoder"):
        assert facts["pipeline"][kind]["name"] == f"made_{kind}"


# names and places that are refused


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("acme-words", "such as acme_words"),
        ("Acme Words!", "such as acme_words"),
        ("1st", "begin with a letter, such as st"),
        ("acme__words", "such as acme_words"),
        ("_acme", "such as acme"),
        ("ümlaut", "such as mlaut"),
        ("../acme", "such as acme"),
        ("", "begin with a letter"),
        ("a" * 41, "at most 40"),
        ("class", "a word of the language Python"),
        ("match", "a word of the language Python"),
        ("json", "a module of Python's standard library"),
        ("tests", "a folder or module"),
        ("vecsearch", "a folder or module"),
        ("numpy", "the installed distribution numpy"),
        ("faiss", "an installed package"),
        ("pytest", "the installed distribution pytest"),
        ("word", "an installed tokenizer"),
        ("loaders", "an installed plugin, of vecsearch"),
    ],
)
def test_bad_name_is_refused_and_nothing_is_written(name: str, reason: str, tmp_path: Path) -> None:
    result = run("plugins", "new", "--kind", "tokenizer", "--into", tmp_path, "--", name)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert reason in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_name_of_another_kind_is_free(tmp_path: Path) -> None:
    write_package("maxsim", "tokenizer", tmp_path)
    with pytest.raises(UsageError, match="an installed scorer"):
        write_package("maxsim", "scorer", tmp_path)


def test_folder_of_texts_where_one_stands_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "poems").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "new").mkdir()
    write_package("poems", "tokenizer", tmp_path / "new")
    (tmp_path / "poems" / "__init__.py").touch()
    importlib.invalidate_caches()
    shutil.rmtree(tmp_path / "new" / "poems")
    with pytest.raises(UsageError, match="an installed package"):
        write_package("poems", "tokenizer", tmp_path / "new")


@pytest.mark.parametrize("what", ["empty folder", "folder", "file", "link to nowhere"])
def test_what_stands_in_the_way_is_not_touched(what: str, tmp_path: Path) -> None:
    place = tmp_path / "acme_one"
    if what == "file":
        place.write_text("mine", "utf-8")
    elif what == "link to nowhere":
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.mkdir()
    if what == "folder":
        (place / "README.md").write_text("mine", "utf-8")
    before = everything(tmp_path)
    result = run("plugins", "new", "acme_one", "--kind", "loader", "--into", tmp_path)
    assert result.exit_code == 1
    assert "is there already, and nothing in it is touched" in result.stderr
    assert everything(tmp_path) == before
    assert os.listdir(tmp_path) == ["acme_one"]
    assert what in ("folder", "file") or everything(tmp_path) == {}


def test_folder_to_write_into_must_be_there(tmp_path: Path) -> None:
    result = run("plugins", "new", "acme_one", "--kind", "loader", "--into", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr
    with pytest.raises(UsageError, match="there is no folder"):
        write_package("acme_one", "loader", tmp_path / "nowhere")
    assert os.listdir(tmp_path) == []


def test_kind_must_be_one_that_there_is_an_example_of(tmp_path: Path) -> None:
    assert run("plugins", "new", "acme_one", "--kind", "command", "--into", tmp_path).exit_code == 2
    assert "--kind" in run("plugins", "new", "acme_one", "--into", tmp_path).stderr
    with pytest.raises(UsageError, match="kinds: tokenizer, embedder"):
        write_package("acme_one", "command", tmp_path)
    assert os.listdir(tmp_path) == []


def test_nothing_is_left_where_a_file_cannot_be_written(tmp_path: Path) -> None:
    texts = package_files("acme_one", "scorer").values()
    sizes = sorted(len(text.encode()) for text in texts)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[-1] - 1, hard))  # all files fit but the largest
    try:
        result = run("plugins", "new", "acme_one", "--kind", "scorer", "--into", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path / 'acme_one'}: File too large\n"
    assert os.listdir(tmp_path) == []
    assert run("plugins", "new", "acme_one", "--kind", "scorer", "--into", tmp_path).exit_code == 0


def test_help_of_the_new_command_stands_below_that_of_plugins() -> None:
    assert "new  Write the package of a new plugin." in run("plugins", "--help").stdout
    assert "--kind [tokenizer|embedder|encoder|scorer|loader]" in run("plugins", "new", "--help").stdout


# everything by pip


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What must stand in ``os.environ`` to work in a clean environment with vecsearch."""
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("the project's source is not here to be built")
    python, variables = clean_environment(tmp_path_factory.mktemp("clean"))
    return {**variables, "PATH": os.pathsep.join([str(python.parent), variables["PATH"]]), "NO_COLOR": "1"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_readme_of_a_new_package_holds_in_a_clean_environment(
    kind: str, environment: dict[str, str], tmp_path: Path
) -> None:
    name = f"clean_{kind}"

    def shell(text: str, folder: Path) -> str:
        ran = subprocess.run(
            ["bash", "-ec", text], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{text}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    shell(f"vecsearch plugins new {name} --kind {kind}", tmp_path)
    folder = tmp_path / name
    install, test, use = commands((folder / "README.md").read_text("utf-8"))
    assert str(ROOT) not in shell('python -c "import vecsearch; print(vecsearch.__file__)"', tmp_path)
    assert name not in shell("vecsearch plugins", folder)
    shell(install, folder)
    assert re.search(r"\b[4-9] passed", shell(test, folder))
    listed = [json.loads(line) for line in shell("vecsearch plugins --json", folder).splitlines()]
    assert [(one["kind"], one["distribution"]) for one in listed if one["name"] == name] == [
        (kind, f"clean-{kind} 0.1.0")
    ]
    assert re.search(rf"^\d+\.\d+  {re.escape(FOUND[kind])}:1(?:  talk)?$", shell(use, folder), re.MULTILINE)
    typed = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", name, "tests"]
    checked = subprocess.run(typed, cwd=folder, env=environment, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    # in its own order it leaves as it came
    shell(f"python -m pip uninstall -y -q {name}", folder)
    assert name not in shell("vecsearch plugins", tmp_path)
