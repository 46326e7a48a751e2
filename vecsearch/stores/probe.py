"""What a query looks for in the cells of a codebook, in floats and in the whole numbers that codes are added up by.

The similarity of a query token and a coded one is that with the centre of the cell, and one number more for each part
of the code, which has 16 values. So a token of the query has a table of 16 numbers a part, and all that is done for a
coded token is to look up and add. Tables of 8 bits are looked up 16 to 64 at a time (André, Kermarrec & Le Scouarnec
2015, "Cache locality is not enough: high-performance nearest neighbor search with product quantization fast scan").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Floats

    Bytes = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.int64]

__all__ = ["Probe", "Tables"]

LARGEST_ENTRY = 255
LARGEST_SUM = 60_000
"""What 16 bits hold, with room for rounding half a step up in each of 11,000 parts; 0 stands for no token."""


@dataclass(frozen=True)
class Tables:
    """Similarities as whole numbers: ``low + step · (bias + sum of entries − 1)``, to half a step a part.

    Attributes:
        entries: uint8 ``(n_query, n_sub · 16)``, of each part of a code.
        biases: uint16 ``(n_query, n_probe)`` ≥ 1, of the cells of a probe.
        step, low: float32 ``(n_query,)``.
    """

    entries: Bytes
    biases: npt.NDArray[np.uint16]
    step: Floats
    low: Floats


@dataclass(frozen=True)
class Probe:
    """Cells of one kind that a query looks into, and what it looks for there.

    Attributes:
        query: float32 ``(n_query, width)``, as long as codes stand for, times as much as codes count in these cells.
        cells: int64 ``(n_query, n_probe)``, −1 where there are fewer cells.
        similarities: float32 ``(n_query, n_probe)``, inner products with their centres.
        patterns: float32 ``(n_sub, 16, width / n_sub)``, what the values of each part of a code stand for.
    """

    query: Floats
    cells: Numbers
    similarities: Floats
    patterns: Floats

    def __len__(self) -> int:
        """Tokens of the query."""
        return len(self.query)

    @cached_property
    def lowest(self) -> Floats:
        """The least similarity with a cell that each token looks into, 0 where it looks into none."""
        lowest = np.where(self.cells < 0, np.inf, self.similarities).min(axis=1, initial=np.inf)
        return np.where(np.isinf(lowest), 0, lowest).astype(np.float32)

    @cached_property
    def tables(self) -> Tables:
        """The similarities as whole numbers."""
        n_sub, _, n = self.patterns.shape
        parts = self.query.reshape(len(self), n_sub, n).transpose(1, 0, 2)
        products = (parts @ self.patterns.transpose(0, 2, 1)).transpose(1, 0, 2)
        least = products.min(axis=2)
        spans = products.max(axis=2) - least
        above = np.where(self.cells < 0, 0, self.similarities - self.lowest[:, None])
        total = spans.sum(axis=1) + above.max(axis=1, initial=0)
        tiny = np.finfo(np.float32).tiny
        widest = np.maximum(spans.max(axis=1) / LARGEST_ENTRY, total / LARGEST_SUM)
        step = np.where(widest > tiny, widest, 1).astype(np.float32)
        entries = np.rint((products - least[:, :, None]) / step[:, None, None]).astype(np.uint8)
        biases = (np.rint(above / step[:, None]) + 1).astype(np.uint16)
        low = (self.lowest + least.sum(axis=1)).astype(np.float32)
        return Tables(np.ascontiguousarray(entries.reshape(len(self), -1)), biases, step, low)
