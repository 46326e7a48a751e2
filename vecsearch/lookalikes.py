"""Which words may stand for another in a phrase: those near it in the embedding matrix, but for those spelled alike.

A slot is a table by token id: how much each token is like the word that is looked for, 0 where it is not accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Floats

    Places = npt.NDArray[np.int64]

__all__ = ["LIKENESS", "SHORTEST", "exact_slot", "likeness", "without_false_friends"]

LIKENESS = 0.25
"""Cosine from which a word is accepted in place of another; measured in docs/decisions.md."""

SHORTEST = 3
"""Characters of the shortest word that others may stand for."""

_BLOCK_TYPES = 1 << 16

_ENDINGS = frozenset({"s", "ed", "ing", "ings", "er", "ers", "est", "ly"})
_DOUBLING = frozenset({"ed", "ing", "ings", "er", "ers", "est"})
"""Endings before which a word may double its last letter."""


def likeness(
    word_units: Floats, type_units: Floats, threshold: float = LIKENESS, own_ids: Sequence[int] | None = None
) -> Floats:
    """Return slots: how much each token is like each word.

    Args:
        word_units: float32 ``(n_words, dim)``, rows of unit length or zero.
        type_units: float32 ``(n_types, dim)`` by token id, likewise.
        threshold: cosine in (0, 1] from which a token is accepted.
        own_ids: the token id of each word, −1 where it has none; a word is like itself by 1, even with a zero row.

    Returns:
        float32 ``(n_words, n_types)``: cosines, at most 1; 0 below the threshold.

    Example:
        >>> words, types = np.array([[1, 0]], np.float32), np.array([[0.6, 0.8], [0, 1], [0, 0]], np.float32)
        >>> likeness(words, types, 0.5, own_ids=[2])
        array([[0.6, 0. , 1. ]], dtype=float32)
    """
    tables = np.empty((len(word_units), len(type_units)), np.float32)
    for begin in range(0, len(type_units), _BLOCK_TYPES):
        block = type_units[begin : begin + _BLOCK_TYPES]
        cosines = np.minimum((block @ word_units.T).T, np.float32(1))
        tables[:, begin : begin + len(block)] = np.where(cosines >= threshold, cosines, 0)
    for number, own in enumerate(own_ids or ()):
        if own >= 0:
            tables[number, own] = 1
    return tables


def exact_slot(own_id: int, n_types: int) -> Floats:
    """Return a slot float32 ``(n_types,)`` that one token fills, none where ``own_id`` is −1."""
    slot = np.zeros(n_types, np.float32)
    if own_id >= 0:
        slot[own_id] = 1
    return slot


def without_false_friends(slot: Floats, word: str, words_of: Callable[[Places], Sequence[str]]) -> Floats:
    """Drop from a slot the tokens that owe their likeness to their spelling.

    The row of a rare word is the sum of the rows of its pieces, so *carve* (``car`` + ``ve``) is like *car* by .97 and
    *locke* like *lock* by .91, whatever they mean. Hence a token that begins or ends with the word, or with a more
    alike token that stays, or the other way round, is dropped unless the longer is an English inflection of the
    shorter: *cars* and *stopped* stay, *unlock*, *subprocess* and *carve* go. A word with a digit or of less than
    ``SHORTEST`` characters has no look-alikes (*3.11* is like *3.12* by .71), nor is it one.

    Args:
        slot: float32 ``(n_types,)``, of ``likeness``.
        word: as the tokenizer gives it.
        words_of: the entries of token ids.

    Returns:
        The slot with zeros for what was dropped. The word itself always stays.

    Example:
        >>> entries = ["car", "carve", "cars", "automobile", "car2"]
        >>> slot = np.array([1, 0.97, 0.76, 0.67, 0.9], np.float32)
        >>> without_false_friends(slot, "car", lambda ids: [entries[i] for i in ids]).tolist()
        [1.0, 0.0, 0.7599999904632568, 0.6700000166893005, 0.0]
    """
    ids = np.flatnonzero(slot)
    ids = ids[np.argsort(-slot[ids], kind="stable")]
    pruned = np.zeros_like(slot)
    accepts = _may_be_like(word)
    kept = [word]
    for token_id, entry in zip(ids.tolist(), words_of(ids), strict=True):
        if entry != word:
            if not accepts or not _may_be_like(entry) or not all(_may_both_stay(entry, other) for other in kept):
                continue
            kept.append(entry)
        pruned[token_id] = slot[token_id]
    return pruned


def _may_be_like(word: str) -> bool:
    return len(word) >= SHORTEST and any(map(str.isalpha, word)) and not any(map(str.isdigit, word))


def _may_both_stay(one: str, other: str) -> bool:
    short, long = (one, other) if len(one) <= len(other) else (other, one)
    if long.startswith(short):
        return _is_inflection(short, long[len(short) :])
    return not long.endswith(short)


def _is_inflection(word: str, ending: str) -> bool:
    """Tell whether an ending makes an English form of a word: *s* and *ing* of any, *d* behind *e*, *ion* of *act*."""
    if ending in _ENDINGS or (ending[:1] == word[-1:] and ending[1:] in _DOUBLING):  # stop, stopped
        return True
    if ending == "es":
        return word.endswith(("s", "x", "z", "ch", "sh", "o"))
    if ending in ("d", "r", "rs", "st"):
        return word.endswith("e")
    if ending in ("ion", "ions", "or", "ors"):
        return word.endswith("ct")
    # of short words these make other words: cit-ation, gar-ment
    return ending in ("ation", "ations", "ment", "ments") and len(word) >= 5
