"""What a search needs of one commit, in memory: mapped segments, fresh passages, and where each passage's rows are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.stores.keywords import KeptPostings
from vecsearch.stores.protocol import PassageTable

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.coded import Coded
    from vecsearch.stores.protocol import Numbers
    from vecsearch.types import Floats, Ids, Offsets

    Mask = npt.NDArray[np.bool_]

__all__ = ["Part", "View", "fresh_part", "segment_part"]


@dataclass(frozen=True)
class Part:
    """A piece of the collection, as ``scoring.best`` takes it.

    Attributes:
        vectors: float32 ``(n_tokens, dim)``.
        offsets: int64 ``(n_passages + 1,)``, rising.
        numbers: int64 ``(n_passages,)`` of embedded passages, −1 where the rows are dead.
    """

    vectors: Floats
    offsets: Offsets
    numbers: Numbers


def segment_part(vectors: Floats, numbers: Numbers, starts: Numbers, lengths: Numbers) -> Part:
    """Lay the living passages of a segment over its rows; what lies between them is dead.

    Example:
        >>> part = segment_part(np.zeros((9, 2), np.float32), np.array([7, 8]), np.array([0, 5]), np.array([3, 4]))
        >>> part.offsets.tolist(), part.numbers.tolist()
        ([0, 3, 5, 9], [7, -1, 8])

    Raises:
        ValueError: passages overlap, or leave the segment.
    """
    offsets = np.unique(np.concatenate([starts, starts + lengths, [0, len(vectors)]]).astype(np.int64))
    if np.any(lengths < 1) or offsets[0] < 0 or offsets[-1] > len(vectors):
        raise ValueError("passages leave the segment")
    places = np.searchsorted(offsets, starts)
    laid = np.full(len(offsets) - 1, -1, np.int64)
    laid[places] = numbers
    if not np.array_equal(np.diff(offsets)[places], lengths) or not np.array_equal(laid[places], numbers):
        raise ValueError("passages overlap")
    return Part(vectors, offsets, laid)


def fresh_part(vectors: Mapping[int, Floats], numbers: Numbers, dim: int) -> Part:
    """Join passages that are in no segment yet."""
    pieces = [vectors[number] for number in numbers.tolist()]
    offsets = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
    return Part(np.concatenate([np.zeros((0, dim), np.float32), *pieces]), offsets, numbers)


class View:
    """All parts of one commit.

    Args:
        generation: number of the commit.
        parts: what has vectors.
        passages: all live passages.
        coded: what has codes instead.

    Attributes:
        tokens: of all embedded passages, once somebody has asked for them; see ``Snapshot.all_tokens``.
        postings: of keywords that were asked for.
    """

    def __init__(self, generation: int, parts: list[Part], passages: PassageTable, coded: Coded | None = None) -> None:
        self.generation = generation
        self.parts = parts
        self.passages = passages
        self.coded = coded
        self.tokens: tuple[Numbers, Offsets, Ids] | None = None
        self.postings = KeptPostings()
        in_codes = np.zeros(0, np.int64) if coded is None else coded.numbers
        numbers = np.concatenate([in_codes, *(part.numbers for part in parts)])
        part_of = np.repeat(np.arange(-1, len(parts)), [len(in_codes), *(len(part.numbers) for part in parts)])
        begins = np.concatenate([np.zeros(len(in_codes), np.int64), *(part.offsets[:-1] for part in parts)])
        ends = np.concatenate(
            [np.zeros(0, np.int64) if coded is None else coded.lengths, *(part.offsets[1:] for part in parts)]
        )
        order = np.argsort(numbers, kind="stable")
        order = order[numbers[order] >= 0]
        self._numbers, self._part_of = numbers[order], part_of[order]
        self._begins, self._ends = begins[order], ends[order]
        self._lengths: Numbers = self._ends - self._begins

    @property
    def numbers(self) -> Numbers:
        """Numbers of all embedded passages, ascending."""
        return self._numbers

    @property
    def lengths(self) -> Numbers:
        """How many tokens each of them has."""
        return self._lengths

    def lengths_of(self, wanted: Numbers) -> Numbers:
        """Return how many tokens some embedded passages have, in the order asked."""
        return self.lengths[self._places(wanted)]

    def are_coded(self, wanted: Numbers) -> Mask:
        """Return which embedded passages have codes instead of vectors: bool ``(n,)``."""
        return np.asarray(self._part_of[self._places(wanted)] < 0)

    def take_at(self, wanted: Numbers, positions: Numbers, dim: int) -> Floats:
        """Return the vectors of single tokens, by embedded passage and position: float32 ``(n, dim)``."""
        places = self._places(wanted)
        rows = self._begins[places] + positions
        vectors = np.zeros((len(wanted), dim), np.float32)
        for number, part in enumerate(self.parts):
            chosen = np.flatnonzero(self._part_of[places] == number)
            vectors[chosen] = part.vectors[rows[chosen]]
        return vectors

    def _places(self, wanted: Numbers) -> Numbers:
        places: Numbers = np.searchsorted(self._numbers, wanted)
        if np.any(places >= len(self._numbers)) or np.any(self._numbers[places] != wanted):
            raise KeyError("embedded passage of another commit")
        return places

    def take(self, wanted: Numbers) -> tuple[Floats, Offsets]:
        """Return vectors and offsets of embedded passages that have vectors, in the order asked.

        Raises:
            KeyError: one of them is not in this commit.
        """
        places = self._places(wanted)
        pieces = [
            self.parts[part].vectors[begin:end]
            for part, begin, end in zip(
                self._part_of[places].tolist(), self._begins[places].tolist(), self._ends[places].tolist(), strict=True
            )
        ]
        offsets = np.zeros(len(pieces) + 1, np.int64)
        np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
        if not pieces:
            return np.zeros((0, self.parts[0].vectors.shape[1] if self.parts else 0), np.float32), offsets
        return np.concatenate(pieces), offsets
