"""Candidates from codes: which passages are probably the best, without a look at every vector.

1. Each token of the query that weighs something finds its nearest tokens among the codes.
2. They are gathered by passage and reduced by the scorer's own formula. What a passage has not among the nearest of a
   token is taken for somewhat nearer than chance makes it, or for as near as the farthest of these if that is less.
3. The scorer transforms and combines that as it does exact similarities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.protocols import Scorer
from vecsearch.stores import compiled_scan
from vecsearch.stores.codebook import Codebook
from vecsearch.stores.codes import Codes, bitmap
from vecsearch.stores.protocol import Depth, Scan, ScanQuery

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.probe import Probe
    from vecsearch.stores.protocol import Numbers
    from vecsearch.types import Floats

    Doubles = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]
    Places = npt.NDArray[np.int32]
    Bitmap = npt.NDArray[np.uint8]
    Nearest = tuple[Floats, Numbers]
    """Similarities and passages of the nearest tokens of each query token, in any order; −1 where there are fewer."""

__all__ = ["Coded", "heavy"]

LIGHT = 0.05
"""Tokens of a query below this share of the heaviest one's weight are not looked up …"""
FEWEST_HEAVY = 3
"""… but so many are: "to be or not to be" must find Hamlet."""
SPREAD = 1.25
"""Of the nearest tokens, a segment gives so many times its share, …"""
FEWEST_NEAREST = 64
"""… and so many more."""
RARE_NEAREST = 8
"""In cells of rare types, one for so many others is looked for: about so many fewer tokens are in them."""
MOST_NAMED = 4_096
"""Candidates that are handed on at first: many times as many as are compared exactly."""
GUESSED = 0.3
"""What a passage has not among the nearest is so far from chance to the farthest of these: passages that are found by
other tokens of the query are about the same things (docs/decisions.md)."""
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
            depth: how deep to look, if not as the index is set to. Then the system is let take back what was looked at:
                who measures many depths looks at nearly all codes, and shall not have them in memory.
        """
        is_measured = depth is not None
        depth = depth or self.depth
        chosen = heavy(query.weights)
        vectors, weights = np.ascontiguousarray(query.vectors[chosen]), query.weights[chosen]
        statistics = replace(query.statistics, background=query.statistics.background[chosen])
        alone = None if query.alone is None else query.alone[chosen]
        probes = self.codebook.probe(vectors, self._n_probe(query.allowed, depth), alone)
        found = self._search(probes, query.allowed, depth, sparing=is_measured)
        chance = None if query.chance is None else query.chance[chosen]
        unfound = _unfound(found, chance, len(vectors))
        floors = scorer.reduce(np.ascontiguousarray(unfound[:, None]), np.array([0, 1], np.int64))
        numbers, place_of = self._union(found)
        reduced = np.repeat(floors, len(numbers) + 1, axis=1)  # the last column is of nothing that was found
        if getattr(scorer, "takes_maximum", False):
            _gather_maxima(reduced, found, place_of)
        else:
            for token, row in enumerate(reduced):
                passages, values = _reduced(found, token, scorer)
                row[place_of[passages]] = np.maximum(values, row[-1])
        reduced = reduced[:, :-1]
        lengths = self._length_of[numbers]

        def scored(reduced: Floats, lengths: Numbers) -> Doubles:
            transformed = scorer.transform(reduced, lengths, statistics)
            return np.asarray(scorer.combine(transformed, weights), np.float64)

        scores = scored(reduced, lengths)

        def worth(embedded: Numbers, lengths: Numbers) -> Doubles:
            places = place_of[np.minimum(embedded, len(place_of) - 1)]
            values = np.append(scores, 0)[places]
            is_unfound = places == len(scores)
            values[is_unfound] = scored(np.repeat(floors, int(is_unfound.sum()), axis=1), lengths[is_unfound])
            return values

        whole = Scan(numbers, scores, 0.0, depth.n_rescored, worth)
        if len(numbers) <= MOST_NAMED:
            return whole
        best = np.sort(np.argpartition(-scores, MOST_NAMED - 1)[:MOST_NAMED])
        return replace(whole, embedded=numbers[best], scores=scores[best], rest=lambda: whole)

    @cached_property
    def _length_of(self) -> Numbers:
        """The length of each passage by its number."""
        lengths = np.zeros(int(self.numbers[-1]) + 1, np.int64)
        lengths[self.numbers] = self.lengths
        return lengths

    def _union(self, found: list[list[Nearest]]) -> tuple[Numbers, Places]:
        """Return all passages that were found, ascending, and the place of each number in them; of others, the end."""
        is_found = np.zeros(int(self.numbers[-1]) + 2, bool)
        for of_segment in found:
            for _, numbers in of_segment:
                if not compiled_scan.mark(numbers, is_found):
                    is_found[numbers] = True
        is_found[-1] = False  # where −1, which stands for none, is looked up
        union = np.flatnonzero(is_found)
        place_of = np.full(len(is_found), len(union), np.int32)
        place_of[union] = np.arange(len(union), dtype=np.int32)
        return union, place_of

    def _n_probe(self, allowed: Numbers | None, depth: Depth) -> int:
        share = 1.0 if allowed is None else len(allowed) / max(len(self.numbers), 1)
        return min(int(depth.n_probe * min(MOST_WIDENED, 1 / max(share, 1e-9))), self.codebook.n_cells)

    def _search(
        self, probes: list[Probe], allowed: Numbers | None, depth: Depth, *, sparing: bool
    ) -> list[list[Nearest]]:
        """Return the nearest tokens of each query token in each segment, by the kind of their cells."""
        allowing = self._living if allowed is None else bitmap(allowed)
        found = []
        for part in self.parts:
            # of each segment its share, and some more since the nearest are not spread evenly
            n = min(depth.n_nearest, int(SPREAD * depth.n_nearest * part.n / self._n_coded) + FEWEST_NEAREST)
            # collecting the nearest takes FAISS longer than comparing all that are looked at
            of_rare = n if n >= part.n else n // RARE_NEAREST + FEWEST_NEAREST
            counts = [n, *[min(of_rare, n)] * (len(probes) - 1)]
            found.append(
                [part.search(probe, min(count, part.n), allowing) for probe, count in zip(probes, counts, strict=True)]
            )
            if sparing:
                part.let_go()
        return found

    @cached_property
    def _n_coded(self) -> int:
        return sum(part.n for part in self.parts)

    @cached_property
    def _living(self) -> Bitmap | None:
        """Which passages are alive, None where all that have codes are."""
        return None if self._n_coded == int(self.lengths.sum()) else bitmap(self.numbers)


def _unfound(found: list[list[Nearest]], chance: Floats | None, n_query: int) -> Floats:
    """Return how near each token of the query is taken to be to passages that it did not find: float32 ``(n_query,)``.

    They are no nearer than the farthest that it found, where it found as many as it was asked for; and about as near as
    by chance, which is ``GUESSED`` of the way to that. Where nobody says what chance gives, the farthest of all stands
    for it.
    """
    bounds = np.full(n_query, -np.inf, np.float32)
    lists = [one for of_segment in found for one in of_segment if one[1].shape[1]]
    for similarities, numbers in lists:
        is_full = numbers[:, -1] >= 0
        bounds[is_full] = np.maximum(bounds, similarities.min(axis=1))[is_full]
    if chance is None:
        farthest = np.full(n_query, np.inf, np.float32)
        for similarities, numbers in lists:
            farthest = np.minimum(farthest, np.where(numbers >= 0, similarities, np.inf).min(axis=1))
        chance = np.where(np.isfinite(farthest), farthest, 0)
    guessed = np.where(np.isfinite(bounds), chance + np.float32(GUESSED) * (bounds - chance), chance)
    return np.where(bounds < chance, np.where(np.isfinite(bounds), bounds, chance), guessed).astype(np.float32)


def _gather_maxima(reduced: Floats, found: list[list[Nearest]], place_of: Places) -> None:
    """Raise each passage's value to the largest similarity that a token of the query found in it."""
    for of_segment in found:
        for similarities, numbers in of_segment:
            if compiled_scan.raise_to(similarities, numbers, place_of, reduced):
                continue
            for row, places, values in zip(reduced, place_of[numbers], similarities, strict=True):
                np.maximum.at(row, places, values)


def _reduced(found: list[list[Nearest]], token: int, scorer: Scorer) -> tuple[Numbers, Floats]:
    """Reduce what one token of the query has found, by passage; passages ascending."""
    similarities = np.concatenate([values[token] for of_segment in found for values, _ in of_segment])
    numbers = np.concatenate([passages[token] for of_segment in found for _, passages in of_segment])
    similarities, numbers = similarities[numbers >= 0], numbers[numbers >= 0]
    if not len(numbers):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    # a sort of plain integers takes a fifth of the time of an argsort
    bits = len(numbers).bit_length()
    keys = (numbers << bits) | np.arange(len(numbers))
    keys.sort()
    order, ordered = keys & ((1 << bits) - 1), keys >> bits
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    offsets = np.append(begins, len(ordered))
    values = scorer.reduce(np.ascontiguousarray(similarities[order])[None, :], offsets)[0]
    return ordered[begins], values


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
