"""What a search ranks: passages, or documents by their best passage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.protocol import Numbers, PassageTable

    Doubles = npt.NDArray[np.float64]

__all__ = ["Grouping", "Units", "largest"]

Grouping: TypeAlias = Literal["passage", "document"]


class Units:
    """The units of a search over the rows of a table of passages.

    Args:
        table: all passages.
        by: what a unit is.
    """

    def __init__(self, table: PassageTable, by: Grouping) -> None:
        self._are_rows = by == "passage"
        if by == "passage":
            self.of_row: Numbers = np.arange(len(table))
            self.n_units = len(table)
        else:
            self.n_units, self.of_row = table.of_documents

    def best(self, rows: Numbers, values: Doubles, missing: float) -> Doubles:
        """Return the largest value among each unit's rows: float64 ``(n_units,)``, ``missing`` where it has none."""
        found = np.full(self.n_units, missing)
        if self._are_rows:
            found[rows] = np.maximum(values, missing)
        else:
            np.maximum.at(found, self.of_row[rows], values)
        return found

    def best_rows(self, rows: Numbers, values: Doubles) -> tuple[Numbers, Numbers]:
        """Return the units that have rows here, ascending, with the row of each one's largest value, ties the first."""
        if self._are_rows:
            rows = np.sort(rows)
            return rows, rows
        order = np.lexsort((rows, -values, self.of_row[rows]))
        units = self.of_row[rows[order]]
        is_first = np.ones(len(units), bool)
        is_first[1:] = units[1:] != units[:-1]
        return units[is_first], rows[order][is_first]

    def rows(self, units: Numbers, is_allowed: npt.NDArray[np.bool_]) -> Numbers:
        """Return the allowed rows of some units, ascending."""
        is_wanted = np.zeros(self.n_units, bool)
        is_wanted[units] = True
        return np.flatnonzero(is_wanted[self.of_row] & is_allowed)


def largest(values: Doubles, n: int) -> Numbers:
    """Return the places of the n largest values above −inf, ascending; of equal ones the first.

    Example:
        >>> largest(np.array([1.0, 3.0, -np.inf, 3.0, 3.0]), 2).tolist()
        [1, 3]
    """
    there = np.flatnonzero(values > -np.inf)
    if len(there) <= n:
        return there
    least = np.partition(values[there], len(there) - n)[len(there) - n]
    above = np.flatnonzero(values > least)
    level = np.flatnonzero(values == least)[: n - len(above)]
    return np.sort(np.concatenate([above, level]))
