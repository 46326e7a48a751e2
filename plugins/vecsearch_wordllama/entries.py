"""Checks what an embedder is asked for, and which entries stand for no text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vecsearch import UsageError

if TYPE_CHECKING:
    from vecsearch.types import Bools

__all__ = ["SPECIAL", "checked_starts"]

SPECIAL = frozenset(
    ("<unk>", "<s>", "</s>", "<pad>", "<mask>", "[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "<|endoftext|>")
)
"""Entries usual among tokenizers that stand for no text."""


def checked_starts(entries: Sequence[str], starts_word: Bools) -> Bools:
    """Return ``starts_word`` as an array of one bool an entry.

    Raises:
        UsageError: it is anything else, or ``entries`` is one string, whose characters would pass for entries.
    """
    if isinstance(entries, str):
        raise UsageError(f"entries is the string {entries[:40]!r}; a sequence of strings is expected")
    starts = np.asarray(starts_word)
    # subtle: an empty list has no dtype of its own; NumPy calls it float64
    if starts.shape != (len(entries),) or (starts.dtype != np.bool_ and starts.size):
        raise UsageError(
            f"starts_word is {starts.dtype} of shape {starts.shape}; "
            f"{len(entries)} entries need bool of shape ({len(entries)},)"
        )
    return starts.astype(np.bool_, copy=False)
