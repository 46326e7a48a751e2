"""Hashes of files: right, and computed once a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from vecsearch import checksums
from vecsearch.checksums import remember, sha256_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache" / "sha256"
    monkeypatch.setattr(checksums, "_folder", lambda: folder)
    return folder


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were really hashed."""
    names: list[str] = []
    digest = hashlib.file_digest

    def counting(file: Any, *arguments: Any) -> Any:
        names.append(Path(file.name).name)
        return digest(file, *arguments)

    monkeypatch.setattr(hashlib, "file_digest", counting)
    return names


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"abc")
    return tmp_path / "file"


ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""FIPS 180-2, appendix B.1."""


def test_a_hash_is_the_sha256_of_the_content(file: Path) -> None:
    assert sha256_of(file) == ABC
    assert sha256_of(str(file)) == ABC


def test_a_file_is_hashed_once(file: Path, hashed: list[str]) -> None:
    assert [sha256_of(file) for _ in range(3)] == [ABC] * 3
    assert hashed == ["file"]


def test_a_file_of_another_name_is_the_same_file(file: Path, hashed: list[str]) -> None:
    sha256_of(file)
    moved = file.rename(file.with_name("moved"))
    assert sha256_of(moved) == ABC
    assert hashed == ["file"]


def test_a_file_that_changed_is_hashed_again(file: Path, hashed: list[str]) -> None:
    sha256_of(file)
    os.utime(file, ns=(1, 1))
    assert sha256_of(file) == ABC
    file.write_bytes(b"abcd")
    os.utime(file, ns=(1, 1))  # another size alone is enough
    assert sha256_of(file) == hashlib.sha256(b"abcd").hexdigest()
    other = file.with_name("other")
    other.write_bytes(b"dcba")
    os.utime(other, ns=(1, 1))
    other.replace(file)  # another file alone is enough
    assert sha256_of(file) == hashlib.sha256(b"dcba").hexdigest()
    assert len(hashed) == 4


def test_what_was_remembered_is_believed(file: Path, hashed: list[str]) -> None:
    with open(file, "rb") as opened:
        remember(opened.fileno(), "0" * 64)
    assert sha256_of(file) == "0" * 64
    assert hashed == []


@pytest.mark.parametrize("content", [b"", b"ba7816", b"\xff" * 64, b"z" * 64, b"A" * 64, (ABC + "\n").encode()])
def test_a_cache_entry_that_is_no_hash_is_not_believed(
    file: Path, cache: Path, hashed: list[str], content: bytes
) -> None:
    sha256_of(file)
    (entry,) = cache.iterdir()
    entry.write_bytes(content)
    assert sha256_of(file) == ABC
    assert len(hashed) == 2
    assert entry.read_text() == ABC


def test_a_cache_that_cannot_be_written_only_costs_time(
    file: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "_folder", lambda: file / "below a file")
    assert [sha256_of(file) for _ in range(2)] == [ABC] * 2
    assert hashed == ["file", "file"]


def test_the_cache_holds_one_entry_a_file_and_nothing_else(file: Path, cache: Path) -> None:
    for _ in range(3):
        sha256_of(file)
    assert len(list(cache.iterdir())) == 1


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "missing")
