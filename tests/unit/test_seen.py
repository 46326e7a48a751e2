"""Documents that a run has met are known again, with their files, however many they are."""

from __future__ import annotations

import threading

import pytest

from vecsearch import seen
from vecsearch.seen import Seen


@pytest.mark.parametrize("recent", [1, 3, 64, seen.RECENT])
def test_every_document_is_known_with_its_file(monkeypatch: pytest.MonkeyPatch, recent: int) -> None:
    monkeypatch.setattr(seen, "RECENT", recent)
    met = Seen()
    files = [None, ("root", "a"), ("root", "b"), ("other", "a")]
    for number in range(500):
        assert f"é{number}" not in met
        met.add(f"é{number}", files[number % 4])
        assert f"é{number}" in met
    assert [met.file_of(f"é{number}") for number in range(500)] == [files[number % 4] for number in range(500)]
    assert met.file_of("é500") is None


def test_documents_are_told_apart_by_both_halves_of_their_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "RECENT", 4)
    monkeypatch.setattr(seen, "_key", lambda doc_id: bytes(8) + doc_id.encode().rjust(8))
    met = Seen()
    for doc_id in "abcd":
        met.add(doc_id, ("root", doc_id))
    assert [met.file_of(doc_id) for doc_id in "dbca"] == [("root", doc_id) for doc_id in "dbca"]
    assert "e" not in met


def test_another_thread_may_ask_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "RECENT", 2)
    met = Seen()
    met.add("first", ("root", "a"))
    lost: list[int] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            if met.file_of("first") != ("root", "a"):
                lost.append(1)

    asking = threading.Thread(target=ask)
    asking.start()
    for number in range(2_000):
        met.add(str(number), None)
    done.set()
    asking.join()
    assert not lost
