"""Candidates from codes: which passages are probably the best, without a look at every vector.

1. Each token of the query that weighs something finds its nearest tokens among the codes.
2. They are gathered by passage and reduced by the scorer's own formula. What a passage has not among the nearest of a
   token is taken for as near as the farthest of these.
3. The scorer transforms and combines that as it does exact similarities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.protocols import Scorer
from vecsearch.stores.codebook import Codebook
from vecsearch.stores.codes import Codes, bitmap
from vecsearch.stores.protocol import Depth, Scan, ScanQuery

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.protocol import Numbers
    from vecsearch.types import Floats

    Doubles = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]
    Bitmap = npt.NDArray[np.uint8]

__all__ = ["Coded", "heavy"]

LIGHT = 0.05
"""Tokens of a query below this share of the heaviest one's weight are not looked up …"""
FEWEST_HEAVY = 3
"""… but so many are: "to be or not to be" must find Hamlet."""
SPREAD = 1.25
"""Of the nearest tokens, a segment gives so many times its share, …"""
FEWEST_NEAREST = 64
"""… and so many more."""
MOST_WIDENED = 8
"""Where few passages are allowed, at most so many times as many cells are looked through."""


@dataclass(frozen=True)
class Coded:
    """The codes of one commit.

    Attributes:
        codebook: that they are read by.
        parts: of one segment each.
        numbers: int64, the living embedded passages that are in them, ascending.
        lengths: int64, how many tokens each of those has.
        depth: how deep they are searched.
    """

    codebook: Codebook
    parts: Sequence[Codes]
    numbers: Numbers
    lengths: Numbers
    depth: Depth

    def candidates(self, query: ScanQuery, scorer: Scorer, depth: Depth | None = None) -> Scan:
        """Return the passages that one of the heavy tokens of a query finds, with approximate scores.

        Args:
            query, scorer: see ``Snapshot.scan``.
            depth: how deep to look, if not as the index is set to.
        """
        depth = depth or self.depth
        chosen = heavy(query.weights)
        vectors, weights = np.ascontiguousarray(query.vectors[chosen]), query.weights[chosen]
        statistics = replace(query.statistics, background=query.statistics.background[chosen])
        found = [self._nearest(row, scorer) for row in self._search(vectors, query.allowed, depth)]
        numbers, places = self._union([passages for passages, _, _ in found])
        floors = np.array([[floor] for _, _, floor in found], np.float32)
        reduced = np.repeat(floors, len(numbers), axis=1)
        for row, place, (_, values, floor) in zip(reduced, places, found, strict=True):
            row[place] = np.maximum(values, floor)
        lengths = self._length_of[numbers]

        def scored(reduced: Floats, lengths: Numbers) -> Doubles:
            transformed = scorer.transform(reduced, lengths, statistics)
            return np.asarray(scorer.combine(transformed, weights), np.float64)

        def unfound(lengths: Numbers) -> Doubles:
            return scored(np.repeat(floors, len(lengths), axis=1), lengths)

        return Scan(numbers, scored(reduced, lengths), 0.0, depth.n_rescored, unfound)

    @cached_property
    def _length_of(self) -> Numbers:
        """The length of each passage by its number."""
        lengths = np.zeros(int(self.numbers[-1]) + 1, np.int64)
        lengths[self.numbers] = self.lengths
        return lengths

    def _union(self, found: list[Numbers]) -> tuple[Numbers, list[Numbers]]:
        """Return all passages that were found, ascending, and the places of each list in them."""
        is_found = np.zeros(int(self.numbers[-1]) + 1, bool)
        for passages in found:
            is_found[passages] = True
        union = np.flatnonzero(is_found)
        places = np.empty(len(is_found), np.int64)
        places[union] = np.arange(len(union))
        return union, [places[passages] for passages in found]

    def _search(self, vectors: Floats, allowed: Numbers | None, depth: Depth) -> list[tuple[Floats, Numbers]]:
        """Return similarities and passages of the nearest tokens of each query token."""
        share = 1.0 if allowed is None else len(allowed) / max(len(self.numbers), 1)
        n_probe = int(depth.n_probe * min(MOST_WIDENED, 1 / max(share, 1e-9)))
        probe = self.codebook.probe(vectors, min(n_probe, self.codebook.n_cells))
        allowing = self._living if allowed is None else bitmap(allowed)
        found = []
        for part in self.parts:
            # of each segment its share, and some more since the nearest are not spread evenly
            n = min(depth.n_nearest, int(SPREAD * depth.n_nearest * part.n / self._n_coded) + FEWEST_NEAREST)
            found.append(part.search(vectors, probe, min(n, part.n), allowing))
        similarities = np.concatenate([values for values, _ in found], axis=1)
        numbers = np.concatenate([passages for _, passages in found], axis=1)
        are_found = numbers >= 0
        return [
            (values[is_found], passages[is_found])
            for values, passages, is_found in zip(similarities, numbers, are_found, strict=True)
        ]

    @cached_property
    def _n_coded(self) -> int:
        return sum(part.n for part in self.parts)

    @cached_property
    def _living(self) -> Bitmap | None:
        """Which passages are alive, None where all that have codes are."""
        return None if self._n_coded == int(self.lengths.sum()) else bitmap(self.numbers)

    @staticmethod
    def _nearest(row: tuple[Floats, Numbers], scorer: Scorer) -> tuple[Numbers, Floats, float]:
        """Reduce what one token of the query has found, by passage; the last is what was not found is worth at most."""
        similarities, numbers = row
        if not len(similarities):
            return np.zeros(0, np.int64), np.zeros(0, np.float32), 0.0
        # a sort of plain integers takes a fifth of the time of an argsort
        bits = len(numbers).bit_length()
        keys = (numbers << bits) | np.arange(len(numbers))
        keys.sort()
        order, ordered = keys & ((1 << bits) - 1), keys >> bits
        begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        offsets = np.append(begins, len(ordered))
        values = scorer.reduce(np.ascontiguousarray(similarities[order])[None, :], offsets)[0]
        farthest = np.array([[similarities.min()]], np.float32)
        floor = float(scorer.reduce(farthest, np.array([0, 1], np.int64))[0, 0])
        return ordered[begins], values, floor


def heavy(weights: Floats) -> Mask:
    """Return which tokens of a query are looked up: bool ``(n_query,)``.

    Example:
        >>> heavy(np.array([9, 0.1, 5, 0.2, 1], np.float32)).tolist()
        [True, False, True, False, True]
        >>> heavy(np.array([9, 0.1, 0.2], np.float32)).tolist()
        [True, True, True]
    """
    least = LIGHT * float(weights.max(initial=0))
    n = min(FEWEST_HEAVY, len(weights))
    chosen = weights >= least
    if int(chosen.sum()) < n:
        chosen[np.argsort(-weights, kind="stable")[:n]] = True
    return np.asarray(chosen)
