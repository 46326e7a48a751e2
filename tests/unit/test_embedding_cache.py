"""Vectors of texts that were embedded before: found again, limited in size, and never believed when damaged."""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.tiny import TinyContextual, TinyEncoder
from vecsearch import Pipeline, UsageError
from vecsearch.embedding_cache import EmbeddingCache, default_cache
from vecsearch.precision import rounded
from vecsearch.stores.blobs import Blobs
from vecsearch.types import Precision

TEXTS = ["the dog bit the man", "", "the man bit the dog", "the dog bit the man", "a lion"]


def contextual(**config: Any) -> Pipeline:
    return Pipeline(None, TinyContextual(**config), TinyEncoder())


def rows(
    cache: EmbeddingCache, pipeline: Pipeline, texts: list[str] = TEXTS, precision: Precision = "int8"
) -> np.ndarray:
    return cache.rows(pipeline, texts, pipeline.tokenize(texts), precision)


def embedded(pipeline: Pipeline) -> list[str]:
    embedder = pipeline.embedder
    assert isinstance(embedder, TinyContextual)
    return embedder.texts


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "cache")


def database(cache: EmbeddingCache) -> sqlite3.Connection:
    cache.close()
    return sqlite3.connect(cache.path, isolation_level=None)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_what_is_kept_equals_what_is_embedded(cache: EmbeddingCache, precision: Precision) -> None:
    pipeline = contextual()
    expected = rounded(pipeline.rows(TEXTS, pipeline.tokenize(TEXTS)), precision)
    for _ in range(2):
        found = rows(cache, pipeline, precision=precision)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


def test_a_text_is_embedded_once(cache: EmbeddingCache) -> None:
    pipeline = contextual()
    rows(cache, pipeline)
    assert embedded(pipeline) == ["the dog bit the man", "", "the man bit the dog", "a lion"]
    other = contextual()
    rows(EmbeddingCache(cache.path.parent), other, [*reversed(TEXTS), "new"])
    assert embedded(other) == ["new"]


class LaterContextual(TinyContextual):
    version: ClassVar[str] = "2"


@pytest.mark.parametrize(
    ("pipeline", "precision"),
    [
        (contextual(dim=17), "int8"),
        (Pipeline(None, LaterContextual(), TinyEncoder()), "int8"),
        (contextual(), "fp16"),
    ],
)
def test_another_identity_or_precision_is_another_entry(
    cache: EmbeddingCache, pipeline: Pipeline, precision: Precision
) -> None:
    rows(cache, contextual())
    rows(cache, pipeline, precision=precision)
    assert "a lion" in embedded(pipeline)
    embedded(pipeline).clear()


def test_another_encoder_or_length_of_passages_is_the_same_entry(cache: EmbeddingCache, registry: Any) -> None:
    rows(cache, contextual())
    other = Pipeline(None, TinyContextual(), registry.create("encoder", "relative", {}), max_tokens=32)
    rows(cache, other)
    assert embedded(other) == []


@pytest.mark.parametrize("column", ["content", "hash"])
def test_a_flipped_bit_is_found_and_embedded_anew(cache: EmbeddingCache, column: str) -> None:
    pipeline = contextual()
    expected = rows(cache, pipeline)
    with database(cache) as db:
        changed = []
        for number, value in db.execute(f"SELECT rowid, {column} FROM entries WHERE length(content) > 0").fetchall():
            flipped = bytearray(value)
            flipped[len(flipped) // 2] ^= 16
            changed.append((bytes(flipped), number))
        db.executemany(f"UPDATE entries SET {column} = ? WHERE rowid = ?", changed)
    db.close()
    embedded(pipeline).clear()
    np.testing.assert_array_equal(rows(cache, pipeline), expected)
    assert len(embedded(pipeline)) == 3
    np.testing.assert_array_equal(rows(cache, pipeline), expected)
    assert len(embedded(pipeline)) == 3


def test_an_entry_under_another_key_is_not_taken(cache: EmbeddingCache) -> None:
    pipeline = contextual()
    texts = ["dog man", "man dog"]
    expected = rows(cache, pipeline, texts)
    with database(cache) as db:
        (first, other), (second, another) = db.execute("SELECT hash, content FROM entries ORDER BY rowid").fetchall()
        db.execute("UPDATE entries SET hash = ?, content = ? WHERE content = ?", [second, another, other])
    db.close()
    assert first != second
    np.testing.assert_array_equal(rows(cache, pipeline, texts), expected)


def test_rows_that_no_embedder_gives_are_not_taken(cache: EmbeddingCache) -> None:
    pipeline = contextual()
    keys = cache.keys(pipeline, ["dog"], "fp32")
    bad = np.full((1, 16), np.nan, np.float32)
    Blobs(cache.path, 1 << 20).put({keys[0]: bad.tobytes()})
    assert np.isfinite(rows(cache, pipeline, ["dog"], "fp32")).all()
    short = np.ones((1, 15), np.float32)
    Blobs(cache.path, 1 << 20).put({keys[0]: short.tobytes()})
    assert rows(cache, pipeline, ["dog"], "fp32").shape == (1, 16)


@pytest.mark.parametrize(
    "content",
    [b"not a database, and long enough to have been one " * 100, b"SQLite format 3\0" + b"\xff" * 8_000],
    ids=["text", "header"],
)
def test_a_file_that_is_no_cache_is_replaced(cache: EmbeddingCache, content: bytes) -> None:
    cache.path.parent.mkdir()
    cache.path.write_bytes(content)
    pipeline = contextual()
    for _ in range(3):
        rows(cache, pipeline, ["a lion"])
    assert cache.info()["n_entries"] == 1


def test_a_file_with_other_tables_is_not_used(cache: EmbeddingCache) -> None:
    pipeline = contextual()
    rows(cache, pipeline)
    with database(cache) as db:
        db.execute("CREATE TRIGGER more AFTER INSERT ON entries BEGIN DELETE FROM entries; END")
    db.close()
    for _ in range(3):
        rows(cache, pipeline)
    assert cache.info()["n_entries"] == 4


def test_what_was_not_used_for_longest_leaves_first(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs.db", 10_000)
    keys = [bytes([number]) * 32 for number in range(9)]
    for key in keys[:8]:
        blobs.put({key: key * 30})  # 960 bytes, and 128 for the entry
    assert len(blobs.get(keys[:2])) == 2
    blobs.put({keys[8]: keys[8] * 62})
    found = set(blobs.get(keys))
    assert found == {keys[0], keys[1], *keys[4:9]}
    n, size = blobs.size()
    assert n == len(found)
    assert size <= 9_000
    assert blobs.get([keys[0]]) == {keys[0]: keys[0] * 30}


def test_a_lower_limit_is_kept_by_the_next_write(tmp_path: Path) -> None:
    keys = [number.to_bytes(2, "big") * 16 for number in range(500)]
    larger = Blobs(tmp_path / "blobs.db", 1 << 30)
    larger.put({key: key * 200 for key in keys})
    larger.close()
    smaller = Blobs(tmp_path / "blobs.db", 100_000)
    smaller.put({b"k" * 32: b"v"})
    assert smaller.size()[1] <= 90_000
    smaller.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 300_000


def test_a_blob_beyond_the_limit_is_not_kept(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs.db", 1_000)
    blobs.put({b"a" * 32: bytes(1_000), b"b" * 32: bytes(100)})
    assert set(blobs.get([b"a" * 32, b"b" * 32])) == {b"b" * 32}


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = EmbeddingCache(tmp_path / "file" / "cache")
    pipeline = contextual()
    for _ in range(2):
        assert len(rows(cache, pipeline, ["a lion"])) == 2
    assert embedded(pipeline) == ["a lion", "a lion"]
    assert cache.info()["n_entries"] == 0


def test_a_locked_cache_only_costs_time(cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecsearch.stores.blobs.WAITING_SECONDS", 0.01)
    pipeline = contextual()
    rows(cache, pipeline, ["a lion"])
    with database(cache) as other:
        other.execute("BEGIN EXCLUSIVE")
        rows(cache, pipeline, ["a lion", "a dog"])
        assert embedded(pipeline) == ["a lion", "a dog"]
        other.execute("ROLLBACK")
    other.close()
    rows(cache, pipeline, ["a dog"])
    assert embedded(pipeline) == ["a lion", "a dog", "a dog"]


def test_threads_share_a_cache(cache: EmbeddingCache) -> None:
    pipeline = contextual()
    expected = rounded(pipeline.rows(TEXTS, pipeline.tokenize(TEXTS)), "int8")
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(rows(cache, contextual()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for one in found:
        np.testing.assert_array_equal(one, expected)


def test_a_cache_is_its_owners_only_and_can_be_cleared(cache: EmbeddingCache) -> None:
    pipeline = contextual()
    rows(cache, pipeline)
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600
    assert cache.info() == {"path": str(cache.path), "max_bytes": 1_000_000_000, "n_entries": 4, "bytes": 752}
    cache.clear()
    assert list(cache.path.parent.iterdir()) == []
    assert cache.info()["n_entries"] == 0
    rows(cache, pipeline)
    assert cache.info()["n_entries"] == 4


def test_many_tokens_are_kept_part_by_part(cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecsearch.embedding_cache._TOKENS_AT_ONCE", 4)

    class Failing(TinyContextual):
        def embed(self, texts: Any, tokens: Any) -> np.ndarray:
            if "a lion" in texts:
                raise KeyboardInterrupt
            return super().embed(texts, tokens)

    with pytest.raises(KeyboardInterrupt):
        rows(cache, Pipeline(None, Failing(), TinyEncoder()))
    pipeline = contextual()
    rows(cache, pipeline)
    assert embedded(pipeline) == ["a lion"]


def test_the_environment_limits_the_cache_or_turns_it_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = default_cache()
    assert found is not None
    assert found.max_bytes == 1_000_000_000
    monkeypatch.setenv("VECSEARCH_CACHE_BYTES", "5000")
    found = default_cache()
    assert found is not None
    assert found.max_bytes == 5_000
    monkeypatch.setenv("VECSEARCH_CACHE_BYTES", "0")
    assert default_cache() is None
    monkeypatch.setenv("VECSEARCH_CACHE_BYTES", "much")
    with pytest.raises(UsageError, match="VECSEARCH_CACHE_BYTES is 'much'"):
        default_cache()
