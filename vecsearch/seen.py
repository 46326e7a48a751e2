"""Which documents a run has met, and which file each of them came from, in 20 bytes a document.

A document is known by 128 bits of the hash of its id: two of a billion documents share them with a chance of 10⁻²¹.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Ids

    Halves: TypeAlias = npt.NDArray[np.uint64]

__all__ = ["File", "Seen"]

File = tuple[str, str]
"""Root and path."""

RECENT = 1 << 17
"""So many documents are kept in a dictionary before they go into arrays."""


@dataclass(frozen=True)
class _Sorted:
    """Documents by the first half of their hash: halves uint64 ``(n,)``, and numbers of their files int32 ``(n,)``."""

    first: Halves
    second: Halves
    files: Ids

    @classmethod
    def of(cls, keys: bytes, files: Ids) -> _Sorted:
        halves = np.frombuffer(keys, "<u8").reshape(-1, 2)
        return cls(*_ordered(halves[:, 0], halves[:, 1], files))

    def and_(self, other: _Sorted) -> _Sorted:
        """Return the documents of both."""
        return _Sorted(
            *_ordered(
                np.concatenate([self.first, other.first]),
                np.concatenate([self.second, other.second]),
                np.concatenate([self.files, other.files]),
            )
        )

    def file_of(self, first: np.uint64, second: np.uint64) -> int | None:
        """Return the number of a document's file, None where it is not here."""
        begin, end = np.searchsorted(self.first, first, "left"), np.searchsorted(self.first, first, "right")
        at = np.flatnonzero(self.second[begin:end] == second)
        return int(self.files[begin + at[0]]) if len(at) else None


def _ordered(first: Halves, second: Halves, files: Ids) -> tuple[Halves, Halves, Ids]:
    order = np.argsort(first)
    return first[order], second[order], files[order]


class Seen:
    """Documents by id. One thread adds, others may ask meanwhile."""

    def __init__(self) -> None:
        self._files: list[File | None] = []
        self._numbers: dict[File | None, int] = {}
        self._recent: dict[bytes, int] = {}
        self._runs: tuple[_Sorted, ...] = ()

    def __contains__(self, doc_id: str) -> bool:
        return self._find(doc_id) is not None

    def file_of(self, doc_id: str) -> File | None:
        """Return the file that a document came from; None where it came from none, or was not met."""
        number = self._find(doc_id)
        return None if number is None else self._files[number]

    def add(self, doc_id: str, file: File | None) -> None:
        """Remember a document that was not met yet."""
        number = self._numbers.setdefault(file, len(self._files))
        if number == len(self._files):
            self._files.append(file)
        self._recent[_key(doc_id)] = number
        if len(self._recent) >= RECENT:
            run = _Sorted.of(b"".join(self._recent), np.fromiter(self._recent.values(), np.int32, len(self._recent)))
            runs = self._runs
            # each is at least twice as long as the next: few are to be asked, and none is sorted often
            while runs and len(runs[-1].first) < 2 * len(run.first):
                run, runs = runs[-1].and_(run), runs[:-1]
            # subtle: others may ask now, so what leaves the dictionary is in the arrays before
            self._runs = (*runs, run)
            self._recent = {}

    def _find(self, doc_id: str) -> int | None:
        key = _key(doc_id)
        number = self._recent.get(key)
        runs = self._runs
        if number is not None or not runs:
            return number
        first, second = np.frombuffer(key, "<u8")
        for run in runs:
            number = run.file_of(first, second)
            if number is not None:
                return number
        return None


def _key(doc_id: str) -> bytes:
    return hashlib.blake2b(doc_id.encode(), digest_size=16).digest()
