"""Counts how often words stand near each other, and weighs the counts by positive pointwise mutual information.

Sources: Levy & Goldberg 2014, "Neural word embedding as implicit matrix factorization"; Levy, Goldberg & Dagan 2015,
"Improving distributional similarity with lessons learned from word embeddings" (smoothed contexts, subsampling,
shifts). Counts are kept sparse, and a bound on their number holds whatever the size of the corpus.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vecsearch import PluginError
from vecsearch_training.corpus import Corpus, Counts

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["cooccurrences", "positive_pmi", "sparse"]

MOST_CELLS = 60_000_000
"""Pairs of words that are counted at once, 8 bytes each; beyond, the rarest pairs are forgotten."""


def sparse() -> Any:
    """Return ``scipy.sparse``.

    Raises:
        PluginError: SciPy is not installed; says how to get it.
    """
    try:
        import scipy.sparse
    except ImportError as error:
        raise PluginError(
            f"training needs SciPy, which cannot be imported ({error}); get it with pip install 'vecsearch[train]'"
        ) from error
    return scipy.sparse


def cooccurrences(corpus: Corpus, window: int, progress: Callable[[int], None] | None = None) -> csr_array:
    """Count pairs of entries at most ``window`` tokens apart, near ones more than far ones.

    A pair at distance d counts window − d + 1 (word2vec's windows of random size give the same weights on average).
    Rare words have no pairs and keep their place.

    Args:
        corpus: of n entries.
        window: 1 or more; at most the gap between the corpus's texts.
        progress: called with the number of tokens that are counted so far.

    Returns:
        float32 ``(n, n)``, symmetric.

    Raises:
        PluginError: SciPy is not installed.
    """
    library = sparse()
    shape = (len(corpus.entries.texts),) * 2
    parts: list[Any] = [library.csr_array(shape, dtype=np.float32)]
    n_seen = 0
    for ids, n_new in corpus.blocks(overlap=window):
        parts.append(_counted(ids, n_new, window, shape))
        # like sizes are added, so that each count is copied a few times only
        while len(parts) > 1 and 2 * parts[-1].nnz > parts[-2].nnz:
            last = parts.pop()
            parts[-1] = parts[-1] + last
        if sum(part.nnz for part in parts) > MOST_CELLS:
            parts = [_without_rarest(_added(parts), MOST_CELLS // 2)]
        n_seen += n_new
        if progress is not None:
            progress(n_seen)
    after = _added(parts)
    both: csr_array = after + after.T.tocsr()
    return both


def positive_pmi(
    counts: csr_array, occurrences: Counts, *, smoothing: float, subsampling: float, shift: float
) -> csr_array:
    """Turn counts, in place, into max(0, PMI − log shift).

    PMI(w, c) = log(#(w, c) · Σ_c' #(c')^α / (#(w) · #(c)^α)). Frequent words are subsampled as word2vec does, with
    the probability √(t/f) to be kept, but by expectation: counts are multiplied by the probabilities of both words,
    and nothing is left to chance.

    Args:
        counts: float32 ``(n, n)`` of ``cooccurrences``; it is overwritten.
        occurrences: int64 ``(n,)``, of each entry.
        smoothing: α, from 0 to 1.
        subsampling: t as a share of all tokens; 0 for none.
        shift: 1 for none.

    Returns:
        float32 ``(n, n)`` without zeros.

    Example:
        >>> from scipy.sparse import csr_array
        >>> counts = csr_array(np.array([[0, 3], [3, 0]], np.float32))
        >>> np.round(positive_pmi(counts, np.array([3, 3]), smoothing=1, subsampling=0, shift=1).toarray(), 3)
        array([[0.   , 0.693],
               [0.693, 0.   ]], dtype=float32)
    """
    kept = np.ones(len(occurrences))
    if subsampling > 0:
        share = occurrences / max(1, int(occurrences.sum()))
        kept = np.sqrt(np.minimum(1, subsampling / np.where(share > 0, share, 1)))
    bounds = _row_blocks(counts.indptr)
    sums = np.zeros(len(occurrences))
    for rows, cells in bounds:
        scaled = counts.data[cells] * kept[counts.indices[cells]]
        sums[rows] = (
            kept[rows]
            * np.add.reduceat(np.append(scaled, 0), counts.indptr[rows] - cells.start)
            * (np.diff(counts.indptr[rows.start : rows.stop + 1]) > 0)
        )
    if not sums.any():
        return counts
    smoothed = sums**smoothing
    total = np.log(smoothed.sum()) - np.log(shift)
    with np.errstate(divide="ignore"):  # entries without pairs have no cells
        log_kept, log_sums, log_smoothed = np.log(kept), np.log(sums), np.log(smoothed)
    for rows, cells in bounds:
        of_rows = np.repeat((log_kept - log_sums)[rows], np.diff(counts.indptr[rows.start : rows.stop + 1]))
        of_columns = (log_kept - log_smoothed)[counts.indices[cells]]
        counts.data[cells] = np.maximum(np.log(counts.data[cells]) + of_rows + of_columns + total, 0)
    counts.eliminate_zeros()
    return counts


def _counted(ids: npt.NDArray[np.int32], n_new: int, window: int, shape: tuple[int, int]) -> Any:
    rows, columns, values = [], [], []
    for distance in range(1, window + 1):
        after = ids[distance : n_new + distance]
        before = ids[: len(after)]
        both = (before >= 0) & (after >= 0)
        rows.append(before[both])
        columns.append(after[both])
        values.append(np.full(len(rows[-1]), window - distance + 1, np.float32))
    # subtle: the arrays are new ones; scipy would reorder those that it is given
    places = np.concatenate(rows), np.concatenate(columns)
    return sparse().coo_array((np.concatenate(values), places), shape=shape).tocsr()


def _added(parts: list[Any]) -> Any:
    total = parts[-1]
    for part in parts[-2::-1]:
        total = total + part
    return total


def _without_rarest(counts: Any, most: int) -> Any:
    """Return counts of which at most so many cells are kept, the largest; all of one size go or stay together."""
    n_dropped = len(counts.data) - most
    counts.data[counts.data <= np.partition(counts.data, n_dropped - 1)[n_dropped - 1]] = 0
    counts.eliminate_zeros()
    return counts


def _row_blocks(indptr: npt.NDArray[Any], cells: int = 1 << 22) -> list[tuple[slice, slice]]:
    """Return ranges of rows with about so many cells together, and the range of their cells."""
    blocks = []
    first = 0
    while first < len(indptr) - 1:
        last = max(first + 1, int(np.searchsorted(indptr, indptr[first] + cells, side="right")) - 1)
        blocks.append((slice(first, last), slice(int(indptr[first]), int(indptr[last]))))
        first = last
    return blocks
