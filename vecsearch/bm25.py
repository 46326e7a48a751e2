"""BM25 over the passages of an index: which hold keywords of a query, and what each is worth.

    Σ_t ln(1 + (N − n_t + ½) / (n_t + ½)) · f_t (k1 + 1) / (f_t + k1 (1 − b + b · L / L̄))

f_t is how often keyword t stands in the passage, n_t in how many passages it does, N how many there are, L the words
of the passage, L̄ their mean. A keyword that the query has twice counts twice.

Source: Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with the idf of Lucene,
which is never negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vecsearch.rarity import idf

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.analysis import Keyword
    from vecsearch.stores.protocol import Numbers, PassageTable, Snapshot
    from vecsearch.units import Units

    Doubles = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]

__all__ = ["BUDGET", "KeywordSignal"]

K1 = 1.2
B = 0.75
BUDGET = 100_000
"""Once so many postings are read, no more are, as long as they name enough passages. To read them takes about as long
as to look up what is left in the counts of the passages that were found."""


class KeywordSignal:
    """The keyword side of one query over one snapshot.

    The passages of the rarest keyword are read first, then those of the next, until the budget is spent: what only
    frequent keywords could add has a small idf. Their share of the score of a passage that was found is exact.

    Args:
        snapshot: of the store.
        table: its passages.
        keywords: of the query.
        is_allowed: bool ``(n_rows,)``, which rows of the table may be found.
        enough: how many rows must have been found before the budget ends the reading.

    Attributes:
        terms: the query's different keywords, in its order.
        idf: float64 ``(n_terms,)``, times how often the query has the keyword.
        is_known: whether any passage holds a keyword, allowed or not.
        rows: int64, rows of the table that hold one of the keywords read; ascending.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        table: PassageTable,
        keywords: list[Keyword],
        is_allowed: Mask,
        enough: int,
    ) -> None:
        self._snapshot = snapshot
        self._table = table
        repeats: dict[str, int] = {}
        for keyword in keywords:
            repeats[keyword.term] = repeats.get(keyword.term, 0) + 1
        self.terms = list(repeats)
        frequencies = snapshot.keyword_frequencies(self.terms)
        self.is_known = bool(frequencies.any())
        self.idf: Doubles = idf(frequencies, len(table)) * np.array(list(repeats.values()), np.float64)
        # repeated, so that L̄ of an empty table is a number
        self._mean_length = max(float(table.n_terms.mean()), 1.0) if len(table) else 1.0
        self._read: dict[int, tuple[Numbers, Numbers]] = {}
        found = np.zeros(len(table), bool)
        n_read = 0
        for number in np.argsort(frequencies, kind="stable").tolist():
            if not frequencies[number]:
                self._read[number] = (np.zeros(0, np.int64), np.zeros(0, np.int64))
                continue
            if n_read + frequencies[number] > BUDGET and int(found.sum()) >= enough:
                break
            passages, counts = snapshot.postings(self.terms[number])
            n_read += len(passages)
            rows = table.places_of(passages)
            is_live = rows >= 0
            rows, counts = rows[is_live], counts[is_live]
            self._read[number] = (rows, counts)
            found[rows[is_allowed[rows]]] = True
        self.rows = np.flatnonzero(found)

    def contributions(self, rows: Numbers) -> Doubles:
        """Return what each keyword adds to the score of rows of the table: float64 ``(n_terms, n_rows)``.

        Args:
            rows: ascending.
        """
        counts = np.zeros((len(self.terms), len(rows)), np.float64)
        for number, (held, often) in self._read.items():
            at = np.searchsorted(held, rows)
            at[at == len(held)] = 0
            if len(held):
                is_held = held[at] == rows
                counts[number, is_held] = often[at[is_held]]
        unread = [number for number in range(len(self.terms)) if number not in self._read]
        if unread and len(rows):
            counts[unread] = self._snapshot.keyword_counts(
                self._table.passages[rows], [self.terms[number] for number in unread]
            )
        norm = K1 * (1 - B + B * self._table.n_terms[rows] / self._mean_length)
        return self.idf[:, None] * counts * (K1 + 1) / (counts + norm[None, :])

    def scores(self, rows: Numbers) -> Doubles:
        """Return the BM25 of rows of the table, ascending."""
        scores = np.zeros(len(rows), np.float64)
        for row in self.contributions(rows):  # in the order of the query, so that equal passages score equal
            scores += row
        return scores

    def best_rows(self, n: int, units: Units) -> Numbers:
        """Return rows, ascending, that hold the best ones of the n best units by the keywords read."""
        if len(self.rows) <= n:
            return self.rows
        of_rows = np.zeros(len(self._table), np.float64)
        for number in sorted(self._read):
            held, often = self._read[number]
            norm = K1 * (1 - B + B * self._table.n_terms[held] / self._mean_length)
            of_rows[held] += self.idf[number] * often * (K1 + 1) / (often + norm)
        partial = of_rows[self.rows]
        # what is unread can still add this much to any of them
        rest = float(sum(self.idf[number] for number in range(len(self.terms)) if number not in self._read)) * (K1 + 1)
        _, best = units.best_rows(self.rows, partial)
        of_best = partial[np.searchsorted(self.rows, best)]
        if len(best) <= n:
            return np.sort(best)
        least = np.partition(of_best, len(best) - n)[len(best) - n] - rest
        chosen = best[of_best >= least]
        if len(chosen) > 4 * n:  # the unread weigh as much as the read: so many are looked at, and no more
            chosen = best[np.argsort(-of_best, kind="stable")[: 4 * n]]
        return np.sort(chosen)
