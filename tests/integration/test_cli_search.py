import json
import os
from pathlib import Path

import click.testing
import pytest
from click.testing import CliRunner

from vecsearch import Document, Index, Pipeline
from vecsearch.cli.program import program

HOSTILE = "the cat \x1b]0;owned\x07 sat \x1b[2J on \u202ethe mat\x9b"


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory, default_pipeline: Pipeline) -> Path:
    folder = tmp_path_factory.mktemp("indexes")
    with Index.create(folder / "bites", pipeline=default_pipeline) as index:
        index.add(
            [
                Document("dog-man", "Yesterday the dog bit the man.\nHe cried.", title="News", metadata={"n": 1}),
                Document("man-dog", "Yesterday the man bit the dog.\nIt barked."),
                Document("odd\nid", HOSTILE, title="\x1b[31mred"),
                Document("long", "\n".join(f"Line {number} talks of nothing." for number in range(40)) + "\nA zebra."),
            ]
        )
    return folder


def run(indexes: Path, *arguments: str) -> click.testing.Result:
    return CliRunner().invoke(program, ["--indexes", str(indexes), *arguments])


def test_the_best_passage_comes_first_with_score_place_title_and_text(indexes: Path) -> None:
    result = run(indexes, "search", "the", "dog", "bit", "the", "man", "-k", "2")
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = result.stdout.split("\n\n")
    head, *lines = first.splitlines()
    score, place, title = head.split("  ")
    assert float(score) > float(second.split()[0])
    assert (place, title) == ("dog-man:1", "News")
    assert lines == ["    Yesterday the dog bit the man.", "    He cried."]
    assert second.split()[1] == "man-dog:1"


def test_word_order_decides(indexes: Path) -> None:
    assert run(indexes, "search", "the man bit the dog", "-k", "1").stdout.split()[1] == "man-dog:1"
    assert run(indexes, "search", "the dog bit the man", "-k", "1").stdout.split()[1] == "dog-man:1"


def test_json_is_one_hit_a_line_with_its_rank(indexes: Path) -> None:
    result = run(indexes, "search", "the dog bit the man", "--json", "-k", "3")
    hits = [json.loads(line) for line in result.stdout.splitlines()]
    with Index.open(indexes / "bites", read_only=True) as index:
        wanted = [hit.to_dict() for hit in index.search("the dog bit the man", k=3)]
    assert hits == [{"rank": rank, **hit} for rank, hit in enumerate(wanted, 1)]


def test_matching_words_are_marked_in_color_and_only_then(indexes: Path) -> None:
    plain = run(indexes, "search", "dog", "-k", "1").stdout
    colored = run(indexes, "--color", "search", "dog", "-k", "1").stdout
    assert "\x1b" not in plain
    assert "\x1b[31m\x1b[1mdog\x1b[0m" in colored
    assert click.unstyle(colored) == plain
    assert "\x1b[1mYesterday" not in colored


def test_the_lines_around_the_match_are_shown_and_the_line_number_is_the_match_s(indexes: Path) -> None:
    head, *lines = run(indexes, "search", "zebra", "-k", "1").stdout.splitlines()
    assert head.split()[1] == "long:41"
    assert lines[0].startswith("    … Line 36")
    assert lines[-1] == "    A zebra."
    full = run(indexes, "search", "zebra", "-k", "1", "--full").stdout.splitlines()
    assert "…" not in "".join(full)
    assert len(full) > len(lines) + 1


def test_what_a_document_holds_cannot_act_on_the_terminal(indexes: Path) -> None:
    for flag in ("--no-color", "--color"):
        shown = click.unstyle(run(indexes, flag, "search", "the cat sat on the mat", "-k", "1").stdout)
        assert not any(ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 for sign in shown.replace("\n", ""))
        assert "odd␊id:1  ␛[31mred" in shown
        assert "the cat ␛]0;owned␇ sat ␛[2J on \\u202ethe mat\\x9b" in shown


def test_json_keeps_what_a_document_holds(indexes: Path) -> None:
    line = run(indexes, "search", "the cat sat on the mat", "-k", "1", "--json").stdout
    assert json.loads(line)["text"] == HOSTILE
    assert "\x1b" not in line
    assert "\x9b" not in line


def test_k_larger_than_the_index_gives_everything(indexes: Path) -> None:
    hits = run(indexes, "search", "dog", "-k", "1000", "--json").stdout.splitlines()
    assert {json.loads(hit)["doc_id"] for hit in hits} == {"dog-man", "man-dog", "odd\nid", "long"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search"], "the query is empty"),
        (["search", " "], "the query is empty"),
        (["search", "dog", "-k", "0"], "x>=1"),
        (["search", "dog", "-k", "many"], "not a valid integer"),
        (["search", "dog", "--timeout", "0"], "x>0"),
        (["search", "dog", "--vectors", "missing.npy"], "does not exist"),
        (["search", "dog", "--token-ids", __file__], "give those too"),
        (["search", "dog", "--vectors", __file__], "either a query or --vectors"),
        (["search", "dog", "--nonsense"], "No such option"),
    ],
)
def test_a_command_line_that_means_nothing_is_refused_with_code_2(
    indexes: Path, arguments: list[str], said: str
) -> None:
    result = run(indexes, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Try " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "dog", "-i", "cats"], "Error: no index is called 'cats' in "),
        (["search", "dog", "--scorer", "none"], "Error: no scorer is called 'none'; installed: "),
        (["search", "dog", "--timeout", "1e-9"], "Error: the search ran out of time"),
        (["search", "--vectors", __file__], "is not a .npy file of numbers"),
    ],
)
def test_what_fails_is_one_line_with_code_1(indexes: Path, arguments: list[str], said: str) -> None:
    result = run(indexes, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_without_a_name_the_only_index_is_meant_and_of_several_all_are_named(tmp_path: Path) -> None:
    assert "there is no index in " in run(tmp_path / "none", "search", "dog").stderr
    Index.create(tmp_path / "b").close()
    assert run(tmp_path, "search", "dog").exit_code == 0
    Index.create(tmp_path / "a").close()
    (tmp_path / "no-index").mkdir()
    result = run(tmp_path, "search", "dog")
    assert result.exit_code == 1
    assert result.stderr.endswith("choose one with -i: a, b\n")


def test_no_hit_is_no_failure_and_stdout_stays_empty(tmp_path: Path) -> None:
    Index.create(tmp_path / "empty").close()
    result = run(tmp_path, "search", "dog")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No passage was found." in result.stderr


def test_the_folder_of_indexes_comes_from_the_environment_too(
    indexes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(program, ["search", "dog"]).exit_code == 1
    monkeypatch.setenv("VECSEARCH_INDEXES", str(indexes))
    assert CliRunner().invoke(program, ["search", "dog"]).exit_code == 0


def test_verbose_tells_the_time_on_stderr(indexes: Path) -> None:
    result = run(indexes, "-v", "search", "dog", "-k", "2", "--json")
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr.startswith("2 hits in ")


def test_a_search_writes_nothing_to_the_index(indexes: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {
            entry.name: (entry.stat().st_size, entry.stat().st_mtime_ns)
            for entry in os.scandir(indexes / "bites")
            if not entry.name.endswith(("-shm", "-wal"))
        }

    before = state()
    assert run(indexes, "search", "a word never seen xyzzy").exit_code == 0
    assert state() == before


def test_metadata_keys_are_indexed_on_request_and_filters_answer_the_same(tmp_path: Path) -> None:
    (tmp_path / "mail.jsonl").write_text(
        "".join(json.dumps({"id": str(n), "text": "a dog", "year": 2000 + n}) + "\n" for n in range(20)), "utf-8"
    )
    indexes = tmp_path / "indexes"
    for name, options in (("plain", []), ("indexed", ["--index-metadata", "year"])):
        result = run(indexes, "add", str(tmp_path / "mail.jsonl"), "-i", name, *options)
        assert result.exit_code == 0, result.stderr
    found = {}
    for name in ("plain", "indexed"):
        lines = run(indexes, "search", "dog", "-i", name, "--where", "year >= 2017", "--json").stdout.splitlines()
        found[name] = [json.loads(line)["doc_id"] for line in lines]
    assert sorted(found["plain"]) == ["17", "18", "19"]
    assert found["plain"] == found["indexed"]
    with Index.open(indexes / "indexed", read_only=True) as index:
        assert index.info()["indexed_metadata"] == ["year"]
    refused = run(indexes, "add", str(tmp_path / "mail.jsonl"), "-i", "plain", "--index-metadata", "a b")
    assert refused.exit_code == 1
    assert "a b" in refused.stderr
