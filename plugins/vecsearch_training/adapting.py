"""Moves the rows of an embedder towards what a corpus says of its words.

Learned rows are brought over into the embedder's space by the linear map that fits best over the words that both know
(as between two languages: Mikolov, Le & Sutskever 2013); each row is then moved towards its learned direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vecsearch import StaticEmbedder
from vecsearch_training.corpus import Entries

if TYPE_CHECKING:
    from vecsearch.types import Floats

__all__ = ["adapted"]

RIDGE = 1.0
BLEND_WHOLE, BLEND_PIECES = 0.35, 0.6
"""Share of what the corpus says in the direction of a row: of a word that the embedder has whole, and of another."""
_BLOCK = 8192


def adapted(units: Floats, entries: Entries, embedder: StaticEmbedder) -> Floats:
    """Return rows between an embedder's own and learned ones.

    Args:
        units: float32 ``(n, k)``, learned, of unit length or zero.
        entries: n of them.
        embedder: gives the rows to start from.

    Returns:
        float32 ``(n, embedder.dim)``. Each has the length of the embedder's row; a word of which it knows nothing the
        median length.
    """
    rows = np.concatenate(
        [
            embedder.rows(entries.texts[first : first + _BLOCK], entries.starts_word[first : first + _BLOCK])
            for first in range(0, len(entries.texts), _BLOCK)
        ]
    )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    own = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    known = lengths[:, 0] > 0
    is_whole = known & _whole(entries, embedder)
    fitted = is_whole if is_whole.sum() >= embedder.dim else known
    weights = np.sqrt(np.log1p(entries.counts) * fitted)[:, None].astype(np.float32)
    left = units * weights
    gram = left.T @ left + RIDGE * np.eye(units.shape[1], dtype=np.float32)
    brought = units @ np.linalg.solve(gram, left.T @ (own * weights)).astype(np.float32)
    brought = _units(brought)
    share = np.select([is_whole, known], [BLEND_WHOLE, BLEND_PIECES], 1.0)[:, None]
    blended = _units((1 - share) * own + share * brought)
    median = np.median(lengths[known]) if known.any() else 1.0
    moved: Floats = (blended * np.where(known[:, None], lengths, median)).astype(np.float32)
    return moved


def _whole(entries: Entries, embedder: StaticEmbedder) -> npt.NDArray[np.bool_]:
    """Tell which words stand whole in the embedder's vocabulary: those that it puts together it knows less well."""
    own = embedder.vocabulary()
    whole = {entry for entry, starts in zip(own.entries, own.starts_word.tolist(), strict=True) if starts}
    return np.fromiter(map(whole.__contains__, entries.texts), np.bool_, len(entries.texts))


def _units(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: Floats = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return units
