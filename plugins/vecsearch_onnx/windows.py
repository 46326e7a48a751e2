"""Cuts token sequences into windows that a model can take, and windows into batches of about one length.

A text that fits is one window. A longer one is read in windows that overlap: each token's vector comes from a window
in which it has at least ``margin`` tokens of context on either side, or all there are, so that no seam shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vecsearch.types import Offsets

__all__ = ["Windows", "batches", "cut"]

Numbers = npt.NDArray[np.int64]


class Windows(NamedTuple):
    """Windows over a flat batch of tokens; int64 ``(n_windows,)`` each.

    Attributes:
        starts: the first token of each.
        lengths: tokens of each, from 1 to the longest window.
        kept_from, kept_to: the tokens whose vectors are taken from it. Every token is kept by exactly one window.
    """

    starts: Numbers
    lengths: Numbers
    kept_from: Numbers
    kept_to: Numbers


def cut(offsets: Offsets, longest: int, margin: int) -> Windows:
    """Cut texts into windows.

    Args:
        offsets: int64 ``(n_texts + 1,)``, where the tokens of each text begin. A text without tokens has no window.
        longest: tokens that a window may have, more than ``2 * margin``.
        margin: least context of a token on either side, where its text has as much.

    Example:
        >>> windows = cut(np.array([0, 3, 13]), longest=6, margin=2)
        >>> [row.tolist() for row in windows]
        [[0, 3, 5, 7], [3, 6, 6, 6], [0, 3, 7, 9], [3, 7, 9, 13]]
    """
    assert longest > 2 * margin >= 0
    begins, lengths = offsets[:-1], np.diff(offsets)
    step = longest - 2 * margin
    # a long text: windows every ``step`` tokens, the last moved back so that it ends with the text
    counts = np.where(lengths > longest, -(-(lengths - 2 * margin) // step), (lengths > 0).astype(np.int64))
    text = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(text)) - np.repeat(np.cumsum(counts) - counts, counts)
    size = np.minimum(lengths[text], longest)
    is_last = number == counts[text] - 1
    within = np.minimum(number * step, lengths[text] - size)
    kept_from = np.where(number == 0, 0, number * step + margin)
    kept_to = np.where(is_last, lengths[text], (number + 1) * step + margin)
    begin = begins[text]
    return Windows(begin + within, size, begin + kept_from, begin + kept_to)


def batches(lengths: Numbers, most_tokens: int, most_windows: int) -> list[Numbers]:
    """Put windows of about one length together, the longest first.

    Args:
        lengths: of the windows, ≥ 1.
        most_tokens: tokens of a batch, padding counted; a window longer than that is a batch of its own.
        most_windows: in one batch, ≥ 1.

    Returns:
        Numbers of the windows of each batch, int64; every window is in exactly one.

    Example:
        >>> [batch.tolist() for batch in batches(np.array([2, 9, 3, 8]), most_tokens=18, most_windows=9)]
        [[1, 3], [2, 0]]
    """
    order = np.argsort(-lengths, kind="stable")
    found, first = [], 0
    while first < len(order):
        n_windows = max(1, min(most_windows, most_tokens // int(lengths[order[first]])))
        found.append(order[first : first + n_windows])
        first += n_windows
    return found
