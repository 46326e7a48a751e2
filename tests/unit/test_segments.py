"""Segments: what is written is what is mapped, and nothing else is ever mapped."""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecsearch import IndexDamagedError
from vecsearch.stores.disk import Disk
from vecsearch.stores.segments import SegmentRecord, load_segment, verify_segment, write_segment


def rows(n: int, dim: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def changed(record: SegmentRecord, **changes: Any) -> SegmentRecord:
    of_file = {name: value for name, value in changes.items() if name in ("sha256", "crcs", "size")}
    of_segment = {name: value for name, value in changes.items() if name not in of_file}
    return replace(record, stored=replace(record.stored, **of_file), **of_segment)


def write(folder: Path, vectors: np.ndarray) -> SegmentRecord:
    return write_segment(Disk(folder), vectors)


@pytest.mark.parametrize(("n", "dim"), [(1, 1), (1, 256), (7, 3), (5000, 64), (16_384, 16)])
def test_vectors_are_mapped_as_they_were_written(tmp_path: Path, n: int, dim: int) -> None:
    vectors = rows(n, dim)
    record = write(tmp_path, vectors)
    mapped = load_segment(tmp_path, record)
    assert mapped.dtype == np.float32
    assert mapped.shape == (n, dim)
    assert mapped.tobytes() == vectors.tobytes()
    assert verify_segment(tmp_path, record) is None


def test_mapped_vectors_are_aligned_and_cannot_be_changed(tmp_path: Path) -> None:
    mapped = load_segment(tmp_path, write(tmp_path, rows(100)))
    assert mapped.ctypes.data % 64 == 0
    assert not mapped.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        mapped[0, 0] = 1


def test_mapped_vectors_outlive_their_file(tmp_path: Path) -> None:
    vectors = rows(100)
    record = write(tmp_path, vectors)
    mapped = load_segment(tmp_path, record)[50:]
    (tmp_path / record.file).unlink()
    assert mapped.tobytes() == vectors[50:].tobytes()


def test_a_record_says_what_the_file_is(tmp_path: Path) -> None:
    record = write(tmp_path, rows(16_384, 16))
    content = (tmp_path / record.file).read_bytes()
    assert record.stored.sha256 == hashlib.sha256(content).hexdigest()
    assert record.file == f"{record.stored.sha256[:32]}.segment"
    assert record.stored.size == len(content) == 64 + 16_384 * 16 * 4
    assert (record.n_vectors, record.dim) == (16_384, 16)
    crcs = [zlib.crc32(content[:1_048_576]), zlib.crc32(content[1_048_576:])]
    assert np.frombuffer(record.stored.crcs, "<u4").tolist() == crcs
    assert [path.name for path in tmp_path.iterdir()] == [record.file]


def test_behind_its_mark_a_segment_is_what_faiss_writes(tmp_path: Path) -> None:
    import faiss

    vectors = rows(10)
    content = (tmp_path / write(tmp_path, vectors).file).read_bytes()
    assert content[:19] == b"vecsearch segment\n\x01"
    index = faiss.deserialize_index(np.frombuffer(content[19:], np.uint8))
    assert index.metric_type == faiss.METRIC_INNER_PRODUCT
    assert index.reconstruct_n(0, 10).tobytes() == vectors.tobytes()
    assert content[64:] == vectors.tobytes()


def test_equal_vectors_are_one_file(tmp_path: Path) -> None:
    assert write(tmp_path, rows(10)) == write(tmp_path, np.asfortranarray(rows(10)))
    assert len(list(tmp_path.iterdir())) == 1


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    record = write(tmp_path, rows(2, 2))
    path = tmp_path / record.file
    content = path.read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            with pytest.raises(IndexDamagedError, match="is damaged between byte 0 and"):
                load_segment(tmp_path, record)
            damage = verify_segment(tmp_path, record)
            assert damage is not None
            assert record.file in damage


@pytest.mark.parametrize("crcs", [b"", b"\0", bytes(3), bytes(5), bytes(8)])
def test_checksums_of_another_number_of_blocks_are_seen(tmp_path: Path, crcs: bytes) -> None:
    record = write(tmp_path, rows(2))
    with pytest.raises(IndexDamagedError, match="another number of blocks"):
        load_segment(tmp_path, replace(record, stored=replace(record.stored, crcs=crcs)))


def test_the_damaged_block_is_named(tmp_path: Path) -> None:
    record = write(tmp_path, rows(40_000, 16))
    with open(tmp_path / record.file, "r+b") as file:
        file.seek(2_000_000)
        file.write(b"\xff\x00\xff\x00")
    with pytest.raises(IndexDamagedError, match="between byte 1048576 and 2097152"):
        load_segment(tmp_path, record)


@pytest.mark.parametrize("size", [0, 1, 18, 64, 95, 97, 1_000_000])
def test_another_size_is_seen(tmp_path: Path, size: int) -> None:
    record = write(tmp_path, rows(2))
    os.truncate(tmp_path / record.file, size)
    with pytest.raises(IndexDamagedError, match=f"has {size} bytes instead of 96"):
        load_segment(tmp_path, record)


def test_a_missing_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    record = write(tmp_path, rows(2))
    (tmp_path / record.file).unlink()
    with pytest.raises(IndexDamagedError, match=r"is missing; the documents are safe .*vecsearch compact") as caught:
        load_segment(tmp_path, record)
    assert caught.value.facts["path"] == str(tmp_path / record.file)
    assert "No such file" in str(verify_segment(tmp_path, record))


@pytest.mark.parametrize("wrong", [{"n_vectors": 3}, {"dim": 3}, {"n_vectors": 4, "dim": 2}, {"crcs": b""}])
def test_a_record_that_does_not_fit_is_seen(tmp_path: Path, wrong: dict[str, object]) -> None:
    record = write(tmp_path, rows(2))
    with pytest.raises(IndexDamagedError, match="manifest"):
        load_segment(tmp_path, changed(record, **wrong))


def test_a_right_checksum_with_a_wrong_hash_is_seen(tmp_path: Path) -> None:
    record = write(tmp_path, rows(2))
    with pytest.raises(IndexDamagedError, match="SHA-256"):
        load_segment(tmp_path, changed(record, sha256="0" * 64))
    assert "SHA-256" in str(verify_segment(tmp_path, changed(record, sha256="0" * 64)))


def test_a_segment_is_on_disk_before_it_has_its_name_and_its_name_before_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        steps.append("fsync of the folder" if stat.S_ISDIR(status.st_mode) else f"fsync of {status.st_size} bytes")
        fsync(descriptor)

    def watched_replace(old: Path, new: Path) -> None:
        if old.parent == tmp_path:  # not what is remembered of a hash, elsewhere
            steps.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_segment(Disk(tmp_path), rows(2))
    assert steps == ["fsync of 96 bytes", "rename", "fsync of the folder"]


@pytest.mark.parametrize("step", ["create", "write", "sync", "rename", "sync_entries"])
def test_a_write_that_fails_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Disk, step, refuse)
    with pytest.raises(OSError, match="No space"):
        write_segment(Disk(tmp_path), rows(2))
    assert [path for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []
    monkeypatch.undo()
    record = write(tmp_path, rows(2))
    assert load_segment(tmp_path, record).tobytes() == rows(2).tobytes()
