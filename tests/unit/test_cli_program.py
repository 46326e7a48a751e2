import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import click
import pytest
from click.testing import CliRunner

from vecsearch import __version__
from vecsearch.cli import indexes
from vecsearch.cli.failures import fail
from vecsearch.cli.program import _MODULES, program
from vecsearch.cli.settings import Settings
from vecsearch.errors import IndexNotFoundError
from vecsearch.stores.schema import DATABASE_NAME

OWN = tuple(_MODULES)
HEAVY = ("numpy", "faiss", "sqlite3", "sqlite_utils", "regex", "tokenizers", "numba", "hypothesis")


def command(name: str) -> click.Command:
    context = click.Context(program)
    found = program.get_command(context, name)
    assert found is not None
    return found


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"], *([name, "--help"] for name in OWN)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom vecsearch.cli.program import program\n"
        f"try:\n    program.main({arguments!r}, prog_name='vecsearch')\nexcept SystemExit:\n    pass\n"
        f"print('HEAVY', *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Usage: " in done.stdout + done.stderr or __version__ in done.stdout
    assert done.stderr.splitlines()[-1] == "HEAVY"


def test_completing_an_index_name_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / indexes.MARKER).touch()
    (tmp_path / "nothing").mkdir()
    code = (
        "import sys\nfrom vecsearch.cli.program import program\n"
        "try:\n    program.main([], prog_name='vecsearch')\nexcept SystemExit:\n    pass\n"
        f"print('HEAVY', *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    )
    environment = {
        **os.environ,
        "_VECSEARCH_COMPLETE": "bash_complete",
        "COMP_WORDS": f"vecsearch --indexes {tmp_path} search -i n",
        "COMP_CWORD": "5",
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split() == ["plain,notes"]
    assert done.stderr == "HEAVY\n"


@pytest.mark.parametrize("name", OWN)
def test_every_command_has_a_help_line_an_example_and_tells_the_default_of_every_option(name: str) -> None:
    found = command(name)
    assert found.help
    assert found.help.splitlines()[0].endswith((".", "..."))
    assert found.epilog
    assert "Example" in found.epilog
    assert f"vecsearch {name} " in found.epilog or f"vecsearch {name}\n" in found.epilog
    for option in found.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


@pytest.mark.parametrize("name", OWN)
def test_every_help_fits_a_terminal_of_80_columns(name: str) -> None:
    text = CliRunner().invoke(program, [name, "--help"], prog_name="vecsearch").output
    examples = text.index("Example")
    assert max(map(len, text[:examples].splitlines())) <= 80


def test_the_help_lists_every_command_with_its_help_line() -> None:
    text = CliRunner().invoke(program, ["--help"]).output
    for name in OWN:
        assert f"\n  {name} " in text
        assert command(name).get_short_help_str(100) in text


def test_the_version_is_the_package_s() -> None:
    assert CliRunner().invoke(program, ["--version"], prog_name="vecsearch").output == f"vecsearch {__version__}\n"


def test_python_m_vecsearch_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "vecsearch", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"vecsearch {__version__}\n"


def test_an_unknown_command_is_refused_with_a_likely_one() -> None:
    result = CliRunner().invoke(program, ["serch"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "'search'" in result.stderr


def test_the_marker_of_an_index_is_the_store_s_database() -> None:
    assert indexes.MARKER == DATABASE_NAME


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "/etc"])
def test_a_name_that_is_no_single_folder_is_refused(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(program, ["--indexes", str(tmp_path), "info", "-i", name])
    assert result.exit_code == 2
    assert "is not the name of an index" in result.stderr


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (IndexNotFoundError("no index\nhere", path="x"), "Error: no index␊here", 1),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), "Error: a.txt: No such file or directory", 1),
        (MemoryError(), "Error: there is not enough memory for this", 1),
        (KeyError("k"), "Error: unexpected KeyError: 'k'; VECSEARCH_DEBUG=1 shows where, please report it", 1),
        (KeyboardInterrupt(), "Interrupted.", 130),
    ],
)
def test_every_failure_is_one_line_and_an_exit_code(
    error: BaseException, line: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail(error, Settings()) == code
    assert capsys.readouterr() == ("", line + "\n")


def test_a_reader_who_has_gone_away_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(BrokenPipeError(32, "Broken pipe"), Settings()) == 0
    assert capsys.readouterr() == ("", "")


def test_failures_under_json_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings()
    settings.is_json = True
    fail(IndexNotFoundError("none", path="x"), settings)
    fail(ValueError("odd"), settings)
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first == {"error": "index_not_found", "message": "none", "path": "x"}
    assert second["error"] == "unexpected"
    assert "ValueError: odd" in second["message"]


def test_the_traceback_is_shown_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said() -> str:
        try:
            raise ValueError("odd")
        except ValueError as error:
            fail(error, Settings())
        return capsys.readouterr().err

    assert "Traceback" not in said()
    monkeypatch.setenv("VECSEARCH_DEBUG", "1")
    assert "Traceback" in said()
    assert said().splitlines()[-1].startswith("Error: unexpected ValueError: odd")


@pytest.mark.parametrize(
    ("flag", "environment", "is_colored"),
    [
        (None, {}, False),
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, True),
        (None, {"NO_COLOR": "1"}, False),
        (False, {}, False),
    ],
)
def test_color_is_what_the_option_says_then_no_color_then_the_stream(
    flag: bool | None, environment: dict[str, str], is_colored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings(color=flag).colors() is is_colored


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **plugins: str) -> None:
    """Install a distribution "some-dist" with plugins, each by name the source of its commands hook."""
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("VECSEARCH_DISABLE_PLUGINS", "tokenizers,training,positions,wordllama,scorers,loaders,onnx")
    description = folder / "some_dist-1.0.dist-info"
    description.mkdir(parents=True)
    (description / "METADATA").write_text("Metadata-Version: 2.1\nName: some-dist\nVersion: 1.0\n")
    points = []
    for name, source in plugins.items():
        module = f"{folder.name.replace('-', '_')}_{name}"
        (folder / f"{module}.py").write_text(
            "import click\nfrom vecsearch import hookimpl\n\n@hookimpl\ndef vecsearch_register_commands():\n"
            + indent(dedent(source), "    ")
        )
        points.append(f"{name} = {module}\n")
    (description / "entry_points.txt").write_text("[vecsearch]\n" + "".join(points))


COUNT = """
    @click.command("count")
    @click.argument("text")
    def count(text):
        "Count characters."
        click.echo(len(text))
    return [count]
"""


def test_a_command_of_a_plugin_is_listed_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, counting=COUNT)
    assert "Commands of plugins:\n  count  Count characters." in CliRunner().invoke(program, ["--help"]).output
    assert CliRunner().invoke(program, ["count", "four"]).stdout == "4\n"


def test_a_hidden_command_of_a_plugin_is_not_listed_but_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, counting=COUNT.replace('"count")', '"count", hidden=True)'))
    assert "count" not in CliRunner().invoke(program, ["--help"]).output
    assert CliRunner().invoke(program, ["count", "four"]).stdout == "4\n"


def test_a_plugin_cannot_replace_a_command_of_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, usurper=COUNT.replace('"count"', '"info"'))
    result = CliRunner().invoke(program, ["--indexes", "nowhere", "info"])
    assert (result.exit_code, result.stderr[:24]) == (1, "Error: there is no index")


def test_two_plugins_with_one_command_are_both_named_when_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, one=COUNT, two=COUNT)
    result = CliRunner().invoke(program, ["count", "four"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "'one' of some-dist 1.0 and 'two' of some-dist 1.0" in result.stderr
    assert CliRunner().invoke(program, ["--help"]).exit_code == 0


def test_a_failing_command_of_a_plugin_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, counting=COUNT.replace("click.echo(len(text))", "text[99]"))
    result = CliRunner().invoke(program, ["count", "four"])
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: unexpected IndexError: string index out of range; VECSEARCH_DEBUG=1 shows where, please report it\n"
    )


def test_a_broken_plugin_is_listed_with_its_error_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, broken="raise ImportError('no such thing')", good=COUNT)
    result = CliRunner().invoke(program, ["plugins"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["kind", "name", "version", "distribution"],
        ["command", "count", "-", "some-dist", "1.0"],
        ["broken", "broken", "-", "some-dist", "1.0"],
    ]
    assert "no such thing" in lines[3]
    objects = [json.loads(line) for line in CliRunner().invoke(program, ["plugins", "--json"]).stdout.splitlines()]
    assert [one["kind"] for one in objects] == ["command", "broken"]
    assert set(objects[0]) == {"kind", "name", "version", "plugin", "distribution", "error"}
    assert CliRunner().invoke(program, ["count", "four"]).stdout == "4\n"
