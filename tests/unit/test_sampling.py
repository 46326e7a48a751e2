"""The background sample: a function of what is stored, however it came to be stored."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database

from vecsearch.stores import sampling
from vecsearch.stores.sampling import SampleWriter, hashes, hashes_at
from vecsearch.stores.schema import connect, migrations


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = connect(tmp_path / "meta.db", durability="fast")
    migrations.apply(database)
    yield database
    database.conn.close()


def key(number: int) -> bytes:
    return hashlib.blake2b(str(number).encode(), digest_size=16).digest()


def add(db: Database, number: int, length: int, embedded_no: int) -> None:
    db.execute(
        "INSERT INTO embedded (embedded_no, key, n_tokens, n_references) VALUES (?, ?, ?, 1)",
        [embedded_no, key(number), length],
    )
    SampleWriter(db).add(embedded_no, [key(number)], np.array([0, length], np.int64))


def kept(db: Database, n: int) -> list[int]:
    return [row[0] for row in db.execute("SELECT hash FROM background ORDER BY hash LIMIT ?", [n])]


def test_hashes_are_spread_evenly_and_depend_on_key_and_position_only() -> None:
    found = hashes([key(1), key(2)], np.array([0, 50_000, 100_000]))
    assert len(set(found.tolist())) == 100_000
    assert found.min() >= 0
    assert found.max() < sampling.LIMIT
    counts, _ = np.histogram(found, bins=10, range=(0, sampling.LIMIT))
    assert counts.min() > 9_500
    assert hashes([key(2)], np.array([0, 50_000])).tolist() == found[50_000:].tolist()
    assert hashes([key(2)], np.array([0, 3])).tolist() == found[50_000:50_003].tolist()


def test_no_passages_have_no_hashes() -> None:
    assert hashes([], np.array([0])).tolist() == []


def test_the_sample_is_the_smallest_hashes_after_any_order_of_adds_and_deletes(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "FEWEST", 64)
    monkeypatch.setattr(sampling, "MOST", 256)
    generator = random.Random(5)
    lengths: dict[int, int] = {}
    embedded: dict[int, int] = {}
    own: dict[int, np.ndarray] = {}
    seen_limits = set()
    for step in range(400):
        # first it grows, then it shrinks to a few passages, then it grows again
        is_growing = step < 150 or step > 320
        if lengths and generator.random() > (0.8 if is_growing else 0.1):
            gone = generator.choice(sorted(lengths))
            db.execute("DELETE FROM embedded WHERE embedded_no = ?", [embedded.pop(gone)])
            del lengths[gone]
        else:
            number = generator.randrange(10_000)
            if number not in lengths:
                lengths[number], embedded[number] = generator.randrange(1, 40), step
                add(db, number, lengths[number], step)
                own[number] = hashes([key(number)], np.array([0, lengths[number]]))
        SampleWriter(db).balance()
        expected = np.sort(np.concatenate([np.zeros(0, np.int64), *(own[one] for one in lengths)]))[:64]
        assert kept(db, 64) == expected.tolist()
        assert db.execute("SELECT count(*) FROM background").fetchone()[0] <= 256
        seen_limits.add(SampleWriter(db)._limit())
    assert len(seen_limits) > 3


def test_a_token_alone_has_the_hash_that_it_has_among_others() -> None:
    found = hashes([key(1), key(2)], np.array([0, 3, 5]))
    assert hashes_at([key(2), key(1)], np.array([1, 2])).tolist() == [found[4], found[2]]


def test_of_a_large_batch_only_what_is_kept_is_written(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "FEWEST", 64)
    monkeypatch.setattr(sampling, "MOST", 256)
    add(db, 1, 200, 1)
    add(db, 2, 5_000, 2)
    expected = np.sort(hashes([key(1), key(2)], np.array([0, 200, 5_200])))
    n_kept = db.execute("SELECT count(*) FROM background").fetchone()[0]
    assert 128 <= n_kept <= 256
    assert kept(db, n_kept) == expected[:n_kept].tolist()
