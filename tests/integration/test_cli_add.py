import json
from pathlib import Path

import click.testing
import numpy as np
import pytest
from click.testing import CliRunner

from vecsearch import Index
from vecsearch.cli.program import program

MAIL = (
    '{"id": "1", "text": "The dog bit the man.", "title": "News", "lang": "en"}\n'
    '{"id": "2", "text": "A zebra undoes a commit."}\n'
)


def run(tmp_path: Path, *arguments: object, stdin: str | bytes = "") -> click.testing.Result:
    return CliRunner().invoke(program, ["--indexes", str(tmp_path / "indexes"), *map(str, arguments)], input=stdin)


def got(tmp_path: Path, doc_id: str, name: str = "mail") -> dict:
    return json.loads(run(tmp_path, "get", doc_id, "-i", name, "--json").stdout)


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def test_json_lines_from_stdin_become_documents(tmp_path: Path) -> None:
    result = run(tmp_path, "add", "-", "-i", "mail", stdin=MAIL)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{tmp_path / 'indexes' / 'mail'}: wrote 2 documents (0 unchanged), 2 passages, 13 tokens\n"
    assert got(tmp_path, "1") == {
        "id": "1",
        "title": "News",
        "text": "The dog bit the man.",
        "metadata": {"lang": "en"},
    }
    assert run(tmp_path, "search", "zebra", "-k", "1").stdout.split()[1] == "2:1"


def test_adding_the_same_again_changes_nothing_and_a_new_text_replaces_the_old(tmp_path: Path) -> None:
    run(tmp_path, "add", "-", "-i", "mail", stdin=MAIL)
    changed = MAIL.replace("A zebra", "The giraffe")
    report = json.loads(run(tmp_path, "add", "-", "--json", stdin=changed).stdout)
    assert (report["n_documents"], report["n_unchanged"]) == (1, 1)
    assert got(tmp_path, "2")["text"] == "The giraffe undoes a commit."


def test_a_byte_order_mark_and_blank_lines_do_not_hide_json(tmp_path: Path) -> None:
    assert run(tmp_path, "add", "-", "-i", "mail", stdin="\ufeff\n" + MAIL).exit_code == 0
    assert got(tmp_path, "1")["title"] == "News"


def test_csv_and_plain_text_are_read_from_files_by_suffix_and_from_stdin_by_format(tmp_path: Path) -> None:
    table = 'id,text,price\n7,"A table, of oak",12\n'
    (tmp_path / "shop.csv").write_text(table)
    (tmp_path / "note.txt").write_text("One plain note.\n")
    for source, options, stdin, name in (
        (tmp_path / "shop.csv", [], "", "a"),
        ("-", ["--format", "csv"], table, "b"),
    ):
        assert run(tmp_path, "add", source, "-i", name, *options, stdin=stdin).exit_code == 0
        assert got(tmp_path, "7", name)["text"] == "A table, of oak"
        assert got(tmp_path, "7", name)["metadata"] == {"price": "12"}
    assert run(tmp_path, "add", tmp_path / "note.txt", "-i", "a").exit_code == 0
    assert got(tmp_path, str(tmp_path / "note.txt"), "a")["text"] == "One plain note.\n"
    assert run(tmp_path, "add", "-", "-i", "a", "--id", "from stdin", stdin="Words.").exit_code == 0
    assert got(tmp_path, "from stdin", "a")["text"] == "Words."


def test_records_without_an_id_are_called_after_their_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("text\tcolour\na table\tred\na chair\tblue\n")
    assert run(tmp_path, "add", tmp_path / "t.tsv", "-i", "a").exit_code == 0
    assert got(tmp_path, f"{tmp_path / 't.tsv'}#3", "a")["metadata"] == {"colour": "blue"}
    assert run(tmp_path, "add", "-", "-i", "a", stdin='{"text": "a lamp"}\n').exit_code == 0
    assert got(tmp_path, "stdin#1", "a")["text"] == "a lamp"


def test_another_encoding_is_read_when_named(tmp_path: Path) -> None:
    line = '{"id": "1", "text": "naïve"}\n'.encode("latin-1")
    refused = run(tmp_path, "add", "-", "-i", "mail", stdin=line)
    assert (refused.exit_code, "--encoding" in refused.stderr) == (1, True)
    assert run(tmp_path, "add", "-", "-i", "mail", "--encoding", "latin-1", stdin=line).exit_code == 0
    assert got(tmp_path, "1")["text"] == "naïve"


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["add"], "", "name a FILE"),
        (["add", "missing.jsonl"], "", "does not exist"),
        (["add", "-", "-i", "x"], "plain words", "a text needs an id"),
        (["add", "-", "-i", "x", "--id", "1"], MAIL, "--id is for one text"),
        (["add", "-", "-i", "x", "--format", "xml"], MAIL, "is not one of"),
        (["add", "-", "-i", "x", "--offsets", __file__], MAIL, "give those too"),
        (["add", "--vectors", __file__, "-i", "x"], "", "say which document the vectors are of"),
        (["add", "--vectors", __file__, "--id", "1", "-i", "x", "--tokenizer", "word"], "", "leave those options out"),
    ],
)
def test_a_wrong_command_line_is_refused_and_makes_no_index(
    tmp_path: Path, arguments: list[str], stdin: str, said: str
) -> None:
    result = run(tmp_path, *arguments, stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert not (tmp_path / "indexes").exists()


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        (b'{"id": "1", "text": "a"}\n{"id": 1', "line 2"),
        (b'{"id": "1", "text": "a"}\n{"id": "1", "text": "b"}\n', "'1'"),
        (b'{"id": "1", "text": "\xff\xfe"}\n', ""),
        (b'{"id": "", "text": "a"}\n', ""),
        (b'{"id": "1"}\n', "text"),
    ],
)
def test_a_document_that_cannot_be_taken_is_one_line_with_code_1(tmp_path: Path, stdin: bytes, said: str) -> None:
    result = run(tmp_path, "add", "-", "-i", "mail", stdin=stdin)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert "unexpected" not in result.stderr
    assert result.stderr.count("\n") == 1
    assert said in result.stderr


def test_without_a_name_and_an_index_there_is_nothing_to_add_to(tmp_path: Path) -> None:
    result = run(tmp_path, "add", "-", stdin=MAIL)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: there is no index in ")


def test_vectors_of_one_document_make_an_index_of_given_vectors(tmp_path: Path) -> None:
    cat = saved(tmp_path / "cat.npy", np.array([[1, 0, 0], [0, 1, 0]], np.float32))
    dog = saved(tmp_path / "dog.npy", np.array([[0, 0, 1]], np.float32))
    assert run(tmp_path, "add", "--vectors", cat, "--id", "cat.png", "-i", "images").exit_code == 0
    assert run(tmp_path, "add", "--vectors", dog, "--id", "dog.png", "-i", "images").exit_code == 0
    facts = json.loads(run(tmp_path, "info", "--json").stdout)
    assert (facts["n_documents"], facts["n_tokens"]) == (2, 3)
    result = run(tmp_path, "search", "--vectors", dog, "-k", "1", "--json")
    assert json.loads(result.stdout)["doc_id"] == "dog.png"
    shown = run(tmp_path, "search", "--vectors", cat, "-k", "1")
    assert shown.stdout.split()[1] == "cat.png:1"


def test_vectors_of_many_documents_take_their_ids_and_metadata_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "images.jsonl").write_text(
        '{"id": "a", "text": "a cat", "album": 1}\n{"id": "b", "text": "a dog"}\n{"id": "c", "text": ""}\n'
    )
    rows = np.eye(6, dtype=np.float32)
    flat, deep = saved(tmp_path / "flat.npy", rows), saved(tmp_path / "deep.npy", rows.reshape(3, 2, 6))
    offsets = saved(tmp_path / "offsets.npy", np.array([0, 2, 4, 6]))
    ids = saved(tmp_path / "ids.npy", np.arange(6))
    for name, options in (
        ("flat", ["--vectors", flat, "--offsets", offsets, "--token-ids", ids]),
        ("deep", ["--vectors", deep]),
    ):
        result = run(tmp_path, "add", tmp_path / "images.jsonl", *options, "-i", name)
        assert result.exit_code == 0, result.stderr
        with Index.open(tmp_path / "indexes" / name, read_only=True) as index:
            document = index.get("b")
            assert document is not None
            assert document.vectors is not None
            np.testing.assert_array_equal(document.vectors, rows[2:4])
            assert (document.token_ids is None) == (name == "deep")
        assert got(tmp_path, "a", name)["metadata"] == {"album": 1}
        query = saved(tmp_path / "query.npy", rows[4:5])
        hit = json.loads(run(tmp_path, "search", "--vectors", query, "-i", name, "-k", "1", "--json").stdout)
        assert hit["doc_id"] == "c"


def test_vectors_and_documents_must_be_as_many(tmp_path: Path) -> None:
    (tmp_path / "two.jsonl").write_text('{"id": "a", "text": ""}\n{"id": "b", "text": ""}\n')
    for n_documents, said in ((1, "vectors for 1 documents, but more"), (3, "vectors for 3 documents, but only 2")):
        vectors = saved(tmp_path / "v.npy", np.ones((n_documents, 2, 4), np.float32))
        result = run(tmp_path, "add", tmp_path / "two.jsonl", "--vectors", vectors, "-i", "x")
        assert result.exit_code == 1
        assert said in result.stderr


def test_vectors_of_another_length_are_refused(tmp_path: Path) -> None:
    three = saved(tmp_path / "3.npy", np.ones((1, 3), np.float32))
    four = saved(tmp_path / "4.npy", np.ones((1, 4), np.float32))
    run(tmp_path, "add", "--vectors", three, "--id", "a", "-i", "x")
    for arguments in (["add", "--vectors", four, "--id", "b", "-i", "x"], ["search", "--vectors", four]):
        result = run(tmp_path, *arguments)
        assert result.exit_code == 1
        assert "(1, 4)" in result.stderr
        assert "3)" in result.stderr


def test_text_and_vectors_do_not_mix(tmp_path: Path) -> None:
    vectors = saved(tmp_path / "v.npy", np.ones((1, 3), np.float32))
    run(tmp_path, "add", "-", "-i", "texts", stdin=MAIL)
    result = run(tmp_path, "add", "--vectors", vectors, "--id", "a", "-i", "texts")
    assert result.exit_code == 1
    assert "makes its own from text" in result.stderr
    run(tmp_path, "add", "--vectors", vectors, "--id", "a", "-i", "vectors")
    for arguments in (
        ["search", "dog", "-i", "vectors"],
        ["tokens", "dog", "-i", "vectors"],
        ["similar", "dog", "-i", "vectors"],
    ):
        result = run(tmp_path, *arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert "unexpected" not in result.stderr
    assert run(tmp_path, "add", "-", "-i", "vectors", stdin=MAIL).exit_code == 1


def test_vectors_that_tokens_wrote_can_be_added_and_searched(tmp_path: Path) -> None:
    for number, text in enumerate(["the dog bit the man", "the man bit the dog"]):
        out = tmp_path / f"{number}.npy"
        assert run(tmp_path, "tokens", text, "--vectors", out).exit_code == 0
        assert run(tmp_path, "add", "--vectors", out, "--id", text, "-i", "given").exit_code == 0
    for number, text in enumerate(["the dog bit the man", "the man bit the dog"]):
        result = run(tmp_path, "search", "--vectors", tmp_path / f"{number}.npy", "--json", "-k", "1")
        assert json.loads(result.stdout)["doc_id"] == text
