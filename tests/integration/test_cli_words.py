import json
from pathlib import Path

import click
import click.testing
import numpy as np
import pytest
from click.testing import CliRunner

from vecsearch import Document, Index, Pipeline
from vecsearch.cli.program import program


def run(*arguments: str) -> click.testing.Result:
    return CliRunner().invoke(program, list(arguments))


def rows(result: click.testing.Result) -> list[tuple[float, str]]:
    assert result.exit_code == 0, result.stderr
    return [(float(line.split()[0]), line.split()[1]) for line in result.stdout.splitlines()]


@pytest.fixture
def matrix(tmp_path: Path) -> str:
    """A matrix small enough to check by hand: kings are queens plus (1, −1, 0)."""
    entries = {
        "king": (1, 0, 1),
        "King": (1, 0, 1),
        "queen": (0, 1, 1),
        "man": (1, 0, 0),
        "woman": (0, 1, 0),
        "stone": (0, 0, -1),
        "<unk>": (1, 0, 1),
        "...": (1, 0, 1),
        "nothing": (0, 0, 0),
    }
    np.save(tmp_path / "rows.npy", np.array(list(entries.values()), np.float32))
    (tmp_path / "words.txt").write_text("\n".join(entries) + "\n")
    return f"matrix:path={tmp_path / 'rows.npy'},vocabulary={tmp_path / 'words.txt'}"


def test_similar_orders_by_cosine_and_leaves_out_the_word_itself_and_what_is_no_word(matrix: str) -> None:
    found = rows(run("similar", "king", "--embedder", matrix))
    assert found == [(0.707, "man"), (0.5, "queen"), (0.0, "woman"), (-0.707, "stone")]
    assert rows(run("similar", "king", "--embedder", matrix, "-k", "1")) == [(0.707, "man")]


def test_analogy_is_the_offset_and_leaves_out_the_inputs(matrix: str) -> None:
    result = run("analogy", "man", "woman", "king", "--embedder", matrix)
    assert rows(result) == [(1.0, "queen"), (-0.707, "stone")]
    assert result.stderr == "E(woman) − E(man) + E(king)\n"


def test_json_gives_rank_word_and_similarity(matrix: str) -> None:
    lines = run("analogy", "man", "woman", "king", "--embedder", matrix, "--json").stdout.splitlines()
    assert json.loads(lines[0]) == {"rank": 1, "word": "queen", "similarity": 1.0}


def test_a_word_without_a_row_fails(matrix: str) -> None:
    result = run("similar", "nothing", "--embedder", matrix)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: embedder 'matrix' knows nothing of 'nothing'\n"


def test_the_default_matrix_knows_kings() -> None:
    words = [word for _, word in rows(run("similar", "king"))]
    assert {"monarch", "throne", "royal"} <= {word.lower() for word in words}
    assert len(words) == 10
    assert "king" not in {word.lower() for word in words}


def test_words_of_an_index_are_those_it_holds(tmp_path: Path, default_pipeline: Pipeline) -> None:
    with Index.create(tmp_path / "court", pipeline=default_pipeline) as index:
        index.add([Document("1", "The king and the queen left the throne; the onion stayed.")])
    found = [word for _, word in rows(run("--indexes", str(tmp_path), "similar", "King", "-i", "court", "-k", "3"))]
    assert set(found) <= {"the", "and", "queen", "left", "throne", "onion", "stayed"}
    assert set(found[:2]) == {"queen", "throne"}


def test_an_index_and_an_embedder_exclude_each_other(matrix: str) -> None:
    assert run("similar", "king", "-i", "x", "--embedder", matrix).exit_code == 2


def test_tokens_shows_places_ids_and_entries() -> None:
    result = run("tokens", "undoCommit isn't", "--tokenizer", "word")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["start", "end", "id", "entry"],
        ["0", "4", "-", "undo"],
        ["4", "10", "-", "commit"],
        ["11", "14", "-", "isn"],
        ["15", "16", "-", "t"],
    ]


def test_tokens_of_a_closed_vocabulary_have_ids_and_json_has_the_text_of_each() -> None:
    lines = run("tokens", "the dog", "--tokenizer", "pieces", "--json").stdout.splitlines()
    tokens = [json.loads(line) for line in lines]
    assert [(token["text"], token["entry"], token["start"], token["end"]) for token in tokens] == [
        ("the", "the", 0, 3),
        ("dog", "dog", 4, 7),
    ]
    assert all(isinstance(token["id"], int) for token in tokens)


def test_tokens_alternate_between_two_backgrounds_and_the_text_stays_readable() -> None:
    text = "the dog, e\u0301 👩‍👩‍👧 end"
    result = run("--color", "tokens", text)
    painted = result.stdout.split("\n\n")[0]
    assert click.unstyle(painted) == text
    assert painted.count("\x1b[44m") == 3
    assert painted.count("\x1b[45m") == 3


def test_tokens_of_a_hostile_text_do_not_act_on_the_terminal() -> None:
    for tokenizer in ("word", "pieces", "character"):
        shown = click.unstyle(run("--color", "tokens", "a \x1b[2J b\x9b", "--tokenizer", tokenizer).stdout)
        assert not any(ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 for sign in shown.replace("\n", "")), tokenizer


def test_tokens_writes_the_vectors_of_the_pipeline(tmp_path: Path, default_pipeline: Pipeline) -> None:
    out = tmp_path / "tokens.npy"
    result = run("tokens", "the dog bit the man", "--vectors", str(out))
    assert result.exit_code == 0
    assert result.stderr == f"Wrote 5 vectors of 256 numbers to {out}.\n"
    vectors = np.load(out, allow_pickle=False)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, default_pipeline.encode(["the dog bit the man"])[0])


def test_tokens_of_an_index_have_its_ids(tmp_path: Path, default_pipeline: Pipeline) -> None:
    with Index.create(tmp_path / "notes", pipeline=default_pipeline) as index:
        index.add([Document("1", "the dog")])
        known = {word: number for number, word, _ in index.words()}
    result = run("--indexes", str(tmp_path), "tokens", "the cat dog", "-i", "notes", "--json")
    ids = {token["entry"]: token["id"] for token in map(json.loads, result.stdout.splitlines())}
    assert ids == {"the": known["the"], "cat": None, "dog": known["dog"]}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--tokenizer", "word:nonsense"], 2, "'nonsense' in 'word:nonsense' is not key=value"),
        (["--tokenizer", "nonsense"], 1, "no tokenizer is called 'nonsense'; installed: "),
        (["--tokenizer", "word:nonsense=1"], 1, "'word' refuses its configuration"),
        (["-i", "notes", "--tokenizer", "word"], 2, "leave those options out"),
        (["--encoder", "relative"], 2, "--vectors OUT.npy"),
    ],
)
def test_a_tokenizer_that_cannot_be_had_is_refused(arguments: list[str], code: int, said: str) -> None:
    result = run("tokens", "text", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
