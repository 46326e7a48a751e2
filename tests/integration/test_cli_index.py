import json
import os
from pathlib import Path

import click.testing
import pytest
from click.testing import CliRunner

from vecsearch.cli.program import program


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "git").mkdir(parents=True)
    (folder / "git" / "undo.md").write_text(
        "# Undo\n\nA zebra undoes a commit.\n\n# Redo\n\nA giraffe does it again.\n"
    )
    (folder / "plain.txt").write_text("The dog bit the man.\n")
    (folder / "code.py").write_text("def undo_commit():\n    return 'zebra'\n")
    (folder / "empty.txt").write_text("")
    (folder / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\x00" * 20)
    return folder


def run(tmp_path: Path, *arguments: object, stdin: str | bytes = "") -> click.testing.Result:
    return CliRunner().invoke(program, ["--indexes", str(tmp_path / "indexes"), *map(str, arguments)], input=stdin)


def indexed(tmp_path: Path, *arguments: object) -> dict:
    result = run(tmp_path, "index", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_folder_is_indexed_under_its_name_and_the_summary_says_what_and_what_not(tmp_path: Path, notes: Path) -> None:
    result = run(tmp_path, "index", notes)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'indexes' / 'notes'}: ")
    assert "3 new or changed, 0 unchanged, 0 removed" in lines[0]
    assert lines[1].startswith("wrote 3 documents, ")
    assert lines[2] == "skipped 2 (--verbose names them):"
    assert {line.split()[0] for line in lines[3:]} == {"1"}
    assert "picture.txt" not in result.stdout
    again = run(tmp_path, "index", notes, "--verbose").stdout
    assert "picture.txt" in again
    assert "empty.txt" in again


def test_a_search_shows_path_and_line_below_the_current_folder(
    tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, "index", notes)
    monkeypatch.chdir(notes)
    head, *lines = run(tmp_path, "search", "a giraffe does it again", "-k", "1").stdout.splitlines()
    assert head.split()[1] == os.path.join("git", "undo.md") + ":7"
    assert "    A giraffe does it again." in lines
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, "search", "dog", "-k", "1").stdout.split()[1] == os.path.join("notes", "plain.txt") + ":1"
    monkeypatch.chdir(tmp_path / "indexes")
    assert run(tmp_path, "search", "dog", "-k", "1").stdout.split()[1] == f"{notes / 'plain.txt'}:1"


def test_a_record_of_a_file_is_shown_by_its_id_for_it_has_no_line_there(tmp_path: Path) -> None:
    (tmp_path / "mail.jsonl").write_text('{"id": "2026/7", "text": "The dog\\nbit the man."}\n{"text": "A zebra."}\n')
    run(tmp_path, "index", tmp_path / "mail.jsonl")
    assert run(tmp_path, "search", "bit", "-k", "1").stdout.split()[1] == "2026/7:2"
    assert run(tmp_path, "search", "zebra", "-k", "1").stdout.split()[1] == "mail.jsonl#2:1"


def test_a_second_run_finds_what_is_unchanged_changed_and_gone(tmp_path: Path, notes: Path) -> None:
    first = indexed(tmp_path, notes)
    assert (first["n_changed"], first["n_unchanged"], first["n_removed_files"]) == (3, 0, 0)
    second = indexed(tmp_path, notes)
    assert (second["n_changed"], second["n_unchanged"], second["documents"]["n_documents"]) == (0, 3, 0)
    (notes / "plain.txt").write_text("The man bit the cat instead.\n")
    (notes / "code.py").unlink()
    third = indexed(tmp_path, notes)
    assert (third["n_changed"], third["n_unchanged"], third["n_removed_files"]) == (1, 1, 1)
    ids = [json.loads(line)["id"] for line in run(tmp_path, "list", "-i", "notes", "--json").stdout.splitlines()]
    assert len(ids) == 2
    assert "cat instead" in run(tmp_path, "search", "cat", "-k", "1").stdout


def test_json_names_every_skipped_file_with_its_reason(tmp_path: Path, notes: Path) -> None:
    report = indexed(tmp_path, notes)
    assert set(report) == {"index", "n_files", "n_unchanged", "n_changed", "n_removed_files", "documents", "skipped"}
    assert {os.path.basename(one["path"]) for one in report["skipped"]} == {"picture.txt", "empty.txt"}
    assert all(one["reason"] for one in report["skipped"])


def test_patterns_and_size_choose_the_files(tmp_path: Path, notes: Path) -> None:
    assert indexed(tmp_path, notes, "-i", "a", "--glob", "*.md", "--glob", "*.py")["n_changed"] == 2
    assert indexed(tmp_path, notes, "-i", "b", "--exclude", "git/")["n_changed"] == 2
    assert indexed(tmp_path, notes, "-i", "c", "--max-bytes", "21")["n_changed"] == 1
    (notes / ".hidden.txt").write_text("Hidden zebra.")
    assert indexed(tmp_path, notes, "-i", "d")["n_changed"] == 3
    assert indexed(tmp_path, notes, "-i", "e", "--hidden")["n_changed"] == 4


def test_a_single_file_gives_its_stem_as_the_name(tmp_path: Path, notes: Path) -> None:
    assert indexed(tmp_path, notes / "plain.txt")["index"] == str(tmp_path / "indexes" / "plain")


def test_several_paths_need_a_name(tmp_path: Path, notes: Path) -> None:
    result = run(tmp_path, "index", notes / "git", notes / "plain.txt")
    assert result.exit_code == 2
    assert "-i NAME" in result.stderr
    assert indexed(tmp_path, notes / "git", notes / "plain.txt", "-i", "both")["n_changed"] == 2


def test_the_folder_of_indexes_is_not_indexed_itself(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("The dog bit the man.")
    for _ in range(2):
        report = indexed(tmp_path, tmp_path, "-i", "all")
        assert report["skipped"] == []
    assert (report["n_changed"], report["n_unchanged"]) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing"], "does not exist"),
        ([], "Missing argument 'PATH...'"),
        (["/"], "name it with -i NAME"),
        ([".", "--max-bytes", "0"], "x>=1"),
        ([".", "--passage-tokens", "7"], "x>=8"),
        ([".", "--encoding", "klingon"], "no encoding is called 'klingon'"),
        ([".", "--encoder", "relative:order"], "is not key=value"),
    ],
)
def test_a_wrong_command_line_makes_no_index(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = run(tmp_path, "index", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert not (tmp_path / "indexes").exists()


def test_a_plugin_that_is_not_there_makes_no_index(tmp_path: Path, notes: Path) -> None:
    result = run(tmp_path, "index", notes, "--tokenizer", "klingon")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: no tokenizer is called 'klingon'; installed: ")
    assert not (tmp_path / "indexes").exists()


def test_a_new_index_is_made_as_the_options_say(tmp_path: Path, notes: Path) -> None:
    run(tmp_path, "index", notes, "--tokenizer", "pieces", "--encoder", "relative:order=0.5", "--passage-tokens", "64")
    facts = json.loads(run(tmp_path, "info", "--json").stdout)["pipeline"]
    assert facts["tokenizer"]["name"] == "pieces"
    assert facts["encoder"]["config"]["order"] == 0.5
    assert facts["max_tokens"] == 64


def test_an_index_made_otherwise_is_refused_and_both_are_named(tmp_path: Path, notes: Path) -> None:
    run(tmp_path, "index", notes, "--tokenizer", "pieces")
    for options, named in (
        (["--tokenizer", "word"], ("pieces", "word")),
        (["--encoder", "none"], ("relative", "none")),
        (["--encoder", "relative:order=0.4"], ("0.3", "0.4")),
        (["--passage-tokens", "100"], ("256", "100")),
    ):
        result = run(tmp_path, "index", notes, *options)
        assert (result.exit_code, result.stdout) == (1, "")
        assert all(f"{name}" in result.stderr for name in named), result.stderr
        assert json.loads(run(tmp_path, "index", notes, *options, "--json").stderr)["error"] == "identity"
    assert run(tmp_path, "index", notes, "--tokenizer", "pieces", "--encoder", "relative").exit_code == 0


def test_an_index_whose_making_was_interrupted_is_made_anew(tmp_path: Path, notes: Path) -> None:
    (tmp_path / "indexes" / "notes").mkdir(parents=True)
    (tmp_path / "indexes" / "notes" / "meta.db").touch()
    assert indexed(tmp_path, notes)["n_changed"] == 3


def test_a_folder_that_holds_other_things_is_left_alone(tmp_path: Path, notes: Path) -> None:
    (tmp_path / "indexes" / "notes").mkdir(parents=True)
    (tmp_path / "indexes" / "notes" / "thesis.txt").write_text("precious")
    result = run(tmp_path, "index", notes)
    assert result.exit_code == 1
    assert "is not empty and holds no index" in result.stderr
    assert [path.name for path in (tmp_path / "indexes" / "notes").iterdir()] == ["thesis.txt"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, notes: Path) -> None:
    (tmp_path / "indexes").mkdir(mode=0o500)
    result = run(tmp_path, "index", notes)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_an_index_over_files_survives_odd_names(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "a 'quote' \"b\"\n\x1b[2J.txt").write_text("A zebra with an odd name.")
    run(tmp_path, "index", folder)
    shown = run(tmp_path, "search", "zebra").stdout
    assert "␊␛[2J.txt:1" in shown
    assert "\x1b" not in shown
