"""What is read to learn a vocabulary from: nothing outside of the folder, and no line that fills the memory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vecsearch_tokenizers import commands
from vecsearch_tokenizers.commands import read_texts


def read(*paths: Path) -> tuple[str, list[str]]:
    """Return all text that is read, and what is said of the files that are not."""
    said: list[str] = []
    return "".join(read_texts(paths, said.append)), said


def test_links_below_a_folder_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "b").write_text("dog")
    (tmp_path / "in" / "c").symlink_to(tmp_path)
    assert read(tmp_path / "in") == ("dog", [f"skipped {tmp_path / 'in' / 'a'}: link, not followed"])


def test_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read(tmp_path / "pipe") == ("", [f"skipped {tmp_path / 'pipe'}: not a regular file"])
    assert read(tmp_path) == ("", [])


def test_text_is_cut_only_between_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_CHUNK", 5)
    text = "dog\nthe lion slept\n\nman"
    (tmp_path / "a").write_text(text)
    assert list(read_texts([tmp_path / "a"], print)) == ["dog\nthe lion slept\n", "\nman"]
    monkeypatch.setattr(commands, "_LONGEST_LINE", 4)
    assert "".join(read_texts([tmp_path / "a"], print)) == text


def test_line_of_jsonl_that_is_too_long_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_LONGEST_LINE", 100)
    lines = [json.dumps({"text": text}) for text in ("dog ", "x" * 1000, "man ", "y" * 87)]
    assert [len(line) for line in lines] == [16, 1012, 16, 99]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    text, said = read(tmp_path / "a.jsonl")
    assert text == "dog man " + "y" * 87
    assert said == [f'skipped 1 lines of {tmp_path / "a.jsonl"}: not a JSON object with a "text"']
    (tmp_path / "a.jsonl").write_text("[" * 1000)
    assert read(tmp_path / "a.jsonl")[0] == ""
