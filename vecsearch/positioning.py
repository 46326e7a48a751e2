"""From what a store keeps of passages to their position-aware vectors: the rows of token ids, then the encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.pipeline import Pipeline, split_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.protocol import TokenBatch
    from vecsearch.types import Floats, Ids

__all__ = ["Positioning", "RowTable", "directions"]

ROW_BYTES = 1 << 26
"""About how much memory the rows of an index's words take: 65,536 of 256 dimensions."""


class RowTable:
    """The rows of token ids, each computed once while there is room; split into directions and norms.

    Args:
        pipeline: static, with an open or a closed vocabulary.
        words_of: the words that have given ids, for an open vocabulary.
    """

    def __init__(self, pipeline: Pipeline, words_of: Callable[[npt.NDArray[np.signedinteger]], list[str]]) -> None:
        self._pipeline = pipeline
        self._words_of = words_of
        self._lock = Lock()
        self._units: Floats = np.zeros((0, pipeline.dim), np.float32)
        self._norms: Floats = np.zeros(0, np.float32)
        self._n_rows = 0
        self._places: Ids = np.zeros(0, np.int32)  # of the row of each id; −1 where it has none
        self._ids: Ids = np.zeros(0, np.int32)  # of each row
        self._uses: Ids = np.zeros(0, np.int32)  # how many batches asked for each row of late

    def take(self, ids: Ids) -> tuple[Floats, Floats]:
        """Return unit rows float32 ``(n, dim)`` and norms float32 ``(n,)`` of token ids int32 ``(n,)`` ≥ 0."""
        units, places, norms = self.find(ids)
        return units[places], norms

    def find(self, ids: Ids) -> tuple[Floats, Ids, Floats]:
        """Return unit rows float32, which of them token ids int32 ``(n,)`` ≥ 0 have, int32 ``(n,)``, and their norms.

        Rows that were returned never change.
        """
        with self._lock:
            if len(ids):
                self._make_room(int(ids.max()) + 1)
                missing = np.unique(ids[self._places[ids] < 0])
                room = max(ROW_BYTES // (4 * self._pipeline.dim), len(self._norms))
                while self._n_rows and self._n_rows + len(missing) > room:
                    self._keep_frequent()
                    missing = np.unique(ids[self._places[ids] < 0])
                self._grow(self._n_rows + len(missing))
                for begin in range(0, len(missing), 1 << 14):
                    self._fill(missing[begin : begin + (1 << 14)])
            places = self._places[ids]
            self._uses[places] += 1
            return self._units, places, self._norms[places]

    def _keep_frequent(self) -> None:
        """Keep the half of the rows that was asked for most often, counting what is long ago less and less."""
        n = self._n_rows // 2
        kept = np.sort(np.argsort(-self._uses[: self._n_rows], kind="stable")[:n])
        self._places[self._ids[: self._n_rows]] = -1
        # into new arrays: others may be looking at the rows
        units = np.zeros_like(self._units)
        units[:n] = self._units[kept]
        self._units = units
        for rows in (self._norms, self._ids, self._uses):
            rows[:n] = rows[kept]
        self._places[self._ids[:n]] = np.arange(n, dtype=np.int32)
        self._uses[:n] //= 2
        self._n_rows = n

    def _make_room(self, n_ids: int) -> None:
        if n_ids > len(self._places):
            more = max(n_ids, 2 * len(self._places)) - len(self._places)
            self._places = np.concatenate([self._places, np.full(more, -1, np.int32)])

    def _grow(self, n_rows: int) -> None:
        if n_rows <= len(self._norms):
            return
        size = max(n_rows, min(2 * len(self._norms), ROW_BYTES // (4 * self._pipeline.dim)), 1024)
        units = np.zeros((size, self._pipeline.dim), np.float32)
        units[: self._n_rows] = self._units[: self._n_rows]
        self._units = units
        more = size - len(self._norms)
        self._norms = np.concatenate([self._norms, np.zeros(more, np.float32)])
        self._ids, self._uses = (np.concatenate([row, np.zeros(more, np.int32)]) for row in (self._ids, self._uses))

    def _fill(self, ids: npt.NDArray[np.signedinteger]) -> None:
        closed = self._pipeline.closed_vocabulary
        if closed is None:
            entries: Sequence[str] = self._words_of(ids)
            starts_word = np.ones(len(ids), bool)
        else:
            entries = [closed.entries[number] for number in ids.tolist()]
            starts_word = closed.starts_word[ids]
        rows = slice(self._n_rows, self._n_rows + len(ids))
        self._units[rows], self._norms[rows] = split_rows(self._pipeline.entry_rows(entries, starts_word))
        self._places[ids] = np.arange(rows.start, rows.stop, dtype=np.int32)
        self._ids[rows], self._uses[rows] = ids, 0
        self._n_rows = rows.stop


@dataclass(frozen=True)
class Positioning:
    """Computes the position-aware vectors of what a store keeps.

    Attributes:
        pipeline: of the index.
        table: rows of its token ids, None where a store keeps rows.
    """

    pipeline: Pipeline
    table: RowTable | None

    def __call__(self, batch: TokenBatch) -> Floats:
        """Return the position-aware vectors of a batch: float32 ``(n_tokens, dim)``."""
        units, weights = directions(self.table, batch)
        return self.pipeline.encode_rows(units, weights, batch.offsets)

    def compared(self, batch: TokenBatch, query: Floats) -> tuple[Floats, Floats] | None:
        """Return these vectors, and how near each passage comes to each token of a query.

        That is the largest similarity, float32 ``(n_query, n_passages)``. None where the encoder does not do both in
        one go.
        """
        if self.table is None or self.pipeline.comparing_encoder is None:
            return None
        rows, places, weights = self.table.find(batch.ids)
        return self.pipeline.encode_compared(rows, places, weights, batch.offsets, query)


def directions(table: RowTable | None, batch: TokenBatch) -> tuple[Floats, Floats]:
    """Return unit rows and norms of the tokens of a batch as a store keeps it, before any position."""
    if batch.rows is not None:
        return split_rows(batch.rows)
    assert table is not None
    return table.take(batch.ids)
