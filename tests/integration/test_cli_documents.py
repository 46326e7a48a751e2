import io
import json
import sys
from pathlib import Path

import click.testing
import pytest
from click.testing import CliRunner

from vecsearch import Document, Index, Pipeline
from vecsearch.cli.program import program

ODD = 'quote " newline \n tab \t end'


@pytest.fixture
def indexes(tmp_path: Path, default_pipeline: Pipeline) -> Path:
    with Index.create(tmp_path / "notes", pipeline=default_pipeline) as index:
        index.add(
            [
                Document("git/undo", "How to undo.\r\nStep two.", title="Undo", metadata={"lang": "en"}),
                Document("git/redo", "How to redo."),
                Document("vim", "Leave with :q"),
                Document(ODD, "odd id \x1b[31m"),
            ]
        )
    return tmp_path


def run(indexes: Path, *arguments: str, stdin: str = "") -> click.testing.Result:
    return CliRunner().invoke(program, ["--indexes", str(indexes), *arguments], input=stdin)


def ids(indexes: Path) -> list[str]:
    return [json.loads(line)["id"] for line in run(indexes, "list", "-i", "notes", "--json").stdout.splitlines()]


def test_get_writes_the_text_exactly_into_a_pipe(indexes: Path) -> None:
    assert run(indexes, "get", "git/undo").stdout_bytes == b"How to undo.\r\nStep two."
    assert run(indexes, "get", ODD).stdout == "odd id \x1b[31m"


def test_get_shows_control_characters_on_a_terminal(indexes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    program.main(["--indexes", str(indexes), "get", ODD], standalone_mode=False)
    assert terminal.getvalue() == "odd id ␛[31m\n"


def test_get_json_is_the_whole_document(indexes: Path) -> None:
    assert json.loads(run(indexes, "get", "git/undo", "--json").stdout) == {
        "id": "git/undo",
        "title": "Undo",
        "text": "How to undo.\r\nStep two.",
        "metadata": {"lang": "en"},
    }


def test_get_of_an_unknown_id_fails(indexes: Path) -> None:
    result = run(indexes, "get", "git")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: no document with the id 'git' is in ")
    as_json = run(indexes, "get", "git", "--json")
    assert (as_json.exit_code, json.loads(as_json.stderr)["error"]) == (1, "document")


def test_list_of_an_index_is_in_the_order_of_ids(indexes: Path) -> None:
    result = run(indexes, "list", "-i", "notes")
    assert result.exit_code == 0
    heading, *lines = result.stdout.splitlines()
    assert heading.split() == ["passages", "tokens", "characters", "id", "title"]
    assert [line.split("  ")[-1].strip() for line in lines] == [
        "git/redo",
        "Undo",
        ODD.replace("\n", "␊").replace("\t", "␉"),
        "vim",
    ]
    assert lines[1].split() == ["1", lines[1].split()[1], "23", "git/undo", "Undo"]
    assert ids(indexes) == ["git/redo", "git/undo", ODD, "vim"]


def test_list_takes_a_prefix_and_a_limit(indexes: Path) -> None:
    assert len(run(indexes, "list", "--prefix", "git/").stdout.splitlines()) == 3
    assert len(run(indexes, "list", "--limit", "1").stdout.splitlines()) == 2
    assert run(indexes, "list", "--limit", "0").stdout == ""
    assert run(indexes, "list", "--limit", "-1").exit_code == 2


def test_list_without_a_name_lists_the_indexes_with_their_counts(indexes: Path) -> None:
    Index.create(indexes / "empty").close()
    result = run(indexes, "list")
    assert [line.split() for line in result.stdout.splitlines()][:2] == [
        ["index", "documents", "passages", "tokens"],
        ["empty", "0", "0", "0"],
    ]
    assert result.stdout.splitlines()[2].split()[:3] == ["notes", "4", "4"]
    objects = [json.loads(line) for line in run(indexes, "list", "--json").stdout.splitlines()]
    assert objects[0] == {"name": "empty", "n_documents": 0, "n_passages": 0, "n_tokens": 0}
    assert run(indexes / "none", "list").stdout == ""


def test_a_damaged_index_does_not_hide_the_others(indexes: Path) -> None:
    (indexes / "bad").mkdir()
    (indexes / "bad" / "meta.db").write_bytes(b"not a database" * 100)
    result = run(indexes, "list")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split() == ["bad", "-", "-", "-"]
    assert result.stdout.splitlines()[2].split()[0] == "notes"
    assert result.stderr.startswith("bad: ")


def test_delete_deletes_and_says_how_many(indexes: Path) -> None:
    result = run(indexes, "delete", "git/undo", ODD)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Deleted 2 documents.\n", "")
    assert ids(indexes) == ["git/redo", "vim"]
    hits = [json.loads(line)["doc_id"] for line in run(indexes, "search", "undo", "--json").stdout.splitlines()]
    assert sorted(hits) == ["git/redo", "vim"]


def test_delete_names_the_ids_that_are_not_there(indexes: Path) -> None:
    result = run(indexes, "delete", "vim", "git", "vim")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Deleted 1 document.\n", "Not in the index: git\n")
    assert json.loads(run(indexes, "delete", "git/redo", "x", "--json").stdout) == {"n_deleted": 1, "unknown": ["x"]}


def test_delete_of_only_unknown_ids_fails_and_deletes_nothing(indexes: Path) -> None:
    result = run(indexes, "delete", "git", "x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: no document with the id 'git', 'x' is in ")
    assert len(ids(indexes)) == 4


def test_delete_reads_ids_from_a_file_and_from_stdin(indexes: Path, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("git/undo\n\ngit/redo\n")
    assert run(indexes, "delete", "--from-file", str(tmp_path / "ids")).stdout == "Deleted 2 documents.\n"
    assert run(indexes, "delete", "--from-file", "-", stdin="vim\n").stdout == "Deleted 1 document.\n"
    assert ids(indexes) == [ODD]
    assert run(indexes, "delete").exit_code == 2


def test_a_file_of_ids_that_is_not_utf_8_is_refused(indexes: Path, tmp_path: Path) -> None:
    (tmp_path / "ids").write_bytes(b"vim\n\xff\n")
    result = run(indexes, "delete", "--from-file", str(tmp_path / "ids"))
    assert result.exit_code == 1
    assert "is not UTF-8" in result.stderr
    assert len(ids(indexes)) == 4


def test_info_tells_counts_and_the_pipeline(indexes: Path) -> None:
    facts = json.loads(run(indexes, "info", "--json").stdout)
    with Index.open(indexes / "notes", read_only=True) as index:
        told = index.info()
    assert facts.pop("bytes_free") > 0
    assert told.pop("bytes_free") > 0  # other programs take and free space meanwhile
    assert facts == told
    lines = dict(line.split(maxsplit=1) for line in run(indexes, "info").stdout.splitlines())
    assert lines["n_documents"] == "4"
    assert lines["pipeline.tokenizer.name"] == "word"
    assert lines["pipeline.encoder.name"] == "relative"
    assert lines["search"] == "exact"
