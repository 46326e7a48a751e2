"""``vecsearch train``: from files to a model that ``--model`` takes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vecsearch.cli.program import program

pytest.importorskip("scipy", reason="the extra vecsearch[train] is not installed")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, [*map(str, arguments)])


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder of notes in which ``lynx`` stands where ``wolf`` does, and files that are not to be read."""
    folder = tmp_path / "notes"
    folder.mkdir()
    lines = [
        f"the {animal} runs and sleeps in the {place}. the {dish} is cooked and eaten from the {pot}."
        for animal, dish in (("lynx", "soup"), ("wolf", "stew"), ("fox", "cake"))
        for place, pot in (("forest", "oven"), ("garden", "pan"), ("field", "kitchen"))
    ]
    (folder / "animals.md").write_text("# Animals\n\n" + "\n\n".join(lines * 5))
    (folder / "ignored.md").write_text("zebra " * 50)
    (folder / ".gitignore").write_text("ignored.md\n")
    (folder / ".git").mkdir()
    (folder / "vendor").mkdir()
    (folder / "vendor" / "other.md").write_text("giraffe " * 50)
    (folder / "broken.md").write_bytes(b"\xff\xfe\x00\xd8")
    return folder


@pytest.mark.parametrize("kind", ["word", "subword"])
def test_trained_model_finds_neighbours_and_makes_an_index(tmp_path, notes, kind):
    model = tmp_path / "made" / "model"
    made = run("train", notes, "-o", model, "--tokenizer", kind, "--dim", "8", "--pieces", "512")
    assert made.exit_code == 0, made.stderr
    assert made.stdout == f"{model}\n"
    assert f"{'words' if kind == 'word' else 'pieces'} of 8 numbers, learned from" in made.stderr
    assert f"skipped {notes / 'broken.md'}: " in made.stderr
    near = run("similar", "lynx", "--model", model, "-k", "3", "--json")
    assert "wolf" in [json.loads(line)["word"] for line in near.stdout.splitlines()]
    indexes = ["--indexes", tmp_path / "indexes"]
    assert run(*indexes, "index", notes, "-i", "notes", "--model", model).exit_code == 0
    found = run(*indexes, "search", "wolf", "-i", "notes", "--mode", "vector", "-k", "1", "--json")
    assert "wolf" in json.loads(found.stdout.splitlines()[0])["text"]


def test_files_are_left_out_as_when_they_are_indexed(tmp_path, notes):
    run("train", notes, "-o", tmp_path / "model", "--exclude", "vendor/")
    words = (tmp_path / "model" / "vocabulary.txt").read_text().split()
    assert "lynx" in words
    assert not {"zebra", "giraffe"} & set(words)
    run("train", notes, "-o", tmp_path / "all")
    assert "giraffe" in (tmp_path / "all" / "vocabulary.txt").read_text().split()


def test_adapted_model_knows_other_words_as_well(tmp_path, notes):
    made = run("train", notes, "-o", tmp_path / "model", "--from", "wordllama")
    assert made.exit_code == 0, made.stderr
    near = [
        json.loads(line)["word"]
        for line in run("similar", "protein", "--model", tmp_path / "model", "--json").stdout.splitlines()
    ]
    assert "gene" in near
    assert run("train", notes, "-o", tmp_path / "other", "--from", "wordllama", "--dim", "8").exit_code == 2
    refused = run("train", notes, "-o", tmp_path / "other", "--from", "nothing")
    assert refused.exit_code == 1
    assert "no embedder is called 'nothing'" in refused.stderr


def test_model_that_is_there_is_kept(tmp_path, notes):
    run("train", notes, "-o", tmp_path / "model", "--dim", "4")
    before = (tmp_path / "model" / "config.json").read_bytes()
    refused = run("train", notes, "-o", tmp_path / "model", "--dim", "5")
    assert refused.exit_code == 1
    assert "exists; choose another name, or overwrite it with --force" in refused.stderr
    assert (tmp_path / "model" / "config.json").read_bytes() == before
    assert run("train", notes, "-o", tmp_path / "model", "--dim", "5", "--force").exit_code == 0
    assert json.loads((tmp_path / "model" / "config.json").read_text())["trained"]["dim"] == 5


def test_text_without_words_is_refused(tmp_path):
    (tmp_path / "short.txt").write_text("a few words")
    refused = run("train", tmp_path / "short.txt", "-o", tmp_path / "model")
    assert refused.exit_code == 1
    assert "of 3 tokens none occurs 5 times or more" in refused.stderr
    assert not (tmp_path / "model").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_interrupt_leaves_nothing_behind(tmp_path, notes):
    os.mkfifo(tmp_path / "pipe")
    # a loader that waits: the process is interrupted while it reads. A test run in the background of a shell ignores
    # SIGINT, and its children would inherit that
    code = (
        "import signal, sys, vecsearch.cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import vecsearch_training.model as model\n"
        "def waits(texts, **_):\n"
        f"    open({str(tmp_path / 'pipe')!r})\n"
        "    for _ in texts(): pass\n"
        "    import time; time.sleep(60)\n"
        "model.learn = waits\n"
        f"sys.argv = ['vecsearch', 'train', {str(notes)!r}, '-o', {str(tmp_path / 'model')!r}]\n"
        "vecsearch.cli.main()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    (tmp_path / "pipe").write_text("")  # waits until the other end is open
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == b"Interrupted.\n"
    assert process.returncode == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes", "pipe"]
