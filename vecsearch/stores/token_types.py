"""Finding token types: among those that have cells of their own, and the cells that rarer ones were given.

A type is a token id, the same for every token that is the same word. This module does not say which cell is near.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Floats, Ids

    Numbers = npt.NDArray[np.int64]

__all__ = ["RareCells", "places"]

MOST_TYPE = 1 << 26
"""Types below this are looked up in a table, others by bisection."""


def places(sorted_types: Ids, types: Ids) -> Numbers:
    """Return where each type is among the sorted ones, −1 where it is not."""
    if not len(sorted_types):
        return np.full(len(types), -1, np.int64)
    highest = int(sorted_types[-1])
    if highest < MOST_TYPE:
        table = np.full(highest + 2, -1, np.int64)
        table[sorted_types] = np.arange(len(sorted_types))
        return table[np.where((types < 0) | (types > highest), highest + 1, types)]
    place = np.minimum(np.searchsorted(sorted_types, types), len(sorted_types) - 1)
    return np.where(sorted_types[place] == types, place, -1)


class RareCells:
    """The cells that types without a cell of their own were given, so that each is looked for once.

    Args:
        alone: returns the vectors that tokens of some types have when they stand alone, float32 ``(n, dim)``: a cell
            found by that is the same for each text, and a query knows it too. None where types do not tell.
    """

    def __init__(self, alone: Callable[[Ids], Floats] | None = None) -> None:
        self.alone = alone
        self._types = np.zeros(0, np.int32)
        self._cells = np.zeros(0, np.int32)

    def of(self, types: Ids) -> Ids:
        """Return the cell of each type, −1 where it has none yet."""
        place = places(self._types, types)
        found: Ids = np.append(self._cells, np.int32(-1))[place]
        return found

    def add(self, types: Ids, cells: Ids) -> None:
        """Remember the cells of types that have none yet."""
        types, cells = np.concatenate([self._types, types]), np.concatenate([self._cells, cells])
        order = np.argsort(types)
        self._types, self._cells = types[order], cells[order]
