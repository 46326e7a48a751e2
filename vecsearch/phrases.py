"""Finds phrases and neighbouring words in token ids: flat arrays in, matches out. Knows no store and no text.

A group of a query is a list of *slots*, one for each word that is looked for. A slot is a table by token id: how much
each token is like the slot's word, 0 where it is not accepted. So a word and its look-alikes cost the same as a word.

    phrase   p₀ < p₁ < … < pₙ₋₁   and   pₙ₋₁ − p₀ − (n − 1) ≤ slop
    near     max p − min p ≤ slop + 1, in any order; two slots may share a token, as in SQLite's FTS5, whose
             NEAR(a b, slop) it is

where pᵢ is the place of slot i's token in its passage *counted in words*: punctuation has no place and fills no slot.
A match is as strong as its weakest word; of each passage the strongest match is found, exactly.

    "car crash"~1   slots car = {car 1, automobile .67, …}, crash = {crash 1, collision .55, …}
                    "The automobile, in a collision …"   no match: two words between; a comma would not count
                    "an automobile's collision"          automobile(1) s(2) collision(3): strength .55

Blocks of tokens are looked at one after the other. Most passages lack one of the words, which a table of bits by token
id shows at one lookup a token. In the rest, a threshold of strength is searched by bisection, all passages at once:
whether a match of that strength exists is decided by going from word to word, always to the nearest that qualifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from vecsearch.scoring import blocks

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Bools, Floats, Ids, Offsets

    Places = npt.NDArray[np.int64]

__all__ = ["Found", "find"]

BLOCK_TOKENS = 1 << 18
"""Tokens looked at a time: 8 to 25 MiB are in use, however many tokens there are in all."""

_BITS = 8
"""Slots that the first, quick look tells apart."""


@dataclass(frozen=True)
class Found:
    """The best match of every passage that holds one, by passage.

    Attributes:
        passages: int64 ``(m,)``, ascending.
        first_token, last_token: int64 ``(m,)``, the outermost tokens of the match, both included, as places in ``ids``.
        strength: float32 ``(m,)`` in (0, 1]: the likeness of the least alike word.
        positions: int64 ``(m, n_slots)``: the token of each slot, as places in ``ids``.
    """

    passages: Places
    first_token: Places
    last_token: Places
    strength: Floats
    positions: Places


@dataclass(frozen=True)
class _Partners:
    """Tokens that can fill a slot, of passages that hold one for every slot.

    Attributes:
        tokens: int64 ``(n,)``, their places in the ids, ascending.
        owners: int64 ``(n,)``, which of the passages each belongs to, ascending.
        words: int64 ``(n,)``, the place of each counted in words, ascending; between two passages lies a gap that no
            match can span, so that a match need only be narrow to be within one passage.
        likeness: float32 ``(n_slots, n)``.
        passages: int64, the passages.
    """

    tokens: Places
    owners: Places
    words: Places
    likeness: Floats
    passages: Places

    def where(self, kept: Bools) -> _Partners:
        """Keep some of the tokens."""
        return _Partners(self.tokens[kept], self.owners[kept], self.words[kept], self.likeness[:, kept], self.passages)


def find(
    group_slots: Sequence[Floats],
    kind: Literal["phrase", "near"],
    slop: int,
    ids: Ids,
    offsets: Offsets,
    is_word: Bools,
) -> Found:
    """Find the best match of a group in every passage.

    Args:
        group_slots: one or more tables float32 ``(n_types,)`` in [0, 1] by token id: likeness to the slot's word, 0
            where the token is not accepted.
        kind: ``"phrase"`` or ``"near"``, see above.
        slop: ≥ 0.
        ids: int32 ``(n_tokens,)`` ≥ 0. Ids from ``n_types`` on are words that fill no slot: such as came to the
            vocabulary after the tables were made.
        offsets: int64 ``(n_passages + 1,)``; passages may be empty.
        is_word: bool ``(n_types,)`` by token id, False for punctuation.

    Returns:
        Of each passage the strongest match; of equally strong ones that which begins first, and in it the earliest
        token of every slot (of a phrase: the earliest behind the one before).

    Example:
        >>> dog, bites = np.array([1, 0, 0, 0], np.float32), np.array([0, 1, 0.75, 0], np.float32)
        >>> ids = np.array([0, 3, 2, 1, 0, 1], np.int32)  # passages "dog , nips" and "bites dog bites"
        >>> is_word = np.array([True, True, True, False])
        >>> found = find([dog, bites], "phrase", 0, ids, np.array([0, 3, 6]), is_word)
        >>> found.positions.tolist(), found.strength.tolist()
        ([[0, 2], [4, 5]], [0.75, 1.0])
    """
    tables = np.stack([np.where(is_word, slot, np.float32(0)) for slot in group_slots])
    # the last entry of each table by id stands for all ids beyond
    tables = np.concatenate([tables, np.zeros((len(tables), 1), np.float32)], axis=1)
    is_word = np.append(is_word, True)
    bits = np.zeros(tables.shape[1], np.uint8)
    for number, table in enumerate(tables):
        bits |= (table > 0).astype(np.uint8) << np.uint8(number % _BITS)
    is_fillable = bool((tables > 0).any(axis=1).all())
    width = min(slop, len(ids)) + (len(tables) - 1 if kind == "phrase" else 1)
    parts = []
    for first, last in blocks(offsets if is_fillable else offsets[:1], BLOCK_TOKENS):
        partners = _partners(tables, bits, is_word, ids, offsets[first : last + 1], width)
        if len(partners.tokens):
            parts.append(_strongest(partners, kind, width, first))
    return _joined(parts, len(tables))


def _partners(
    tables: Floats, bits: npt.NDArray[np.uint8], is_word: Bools, ids: Ids, offsets: Offsets, width: int
) -> _Partners:
    """Find the tokens of a block that can take part in a match."""
    begin, end = int(offsets[0]), int(offsets[-1])
    # subtle: "clip" sends ids beyond the tables to their last entry, and is faster than the check that it replaces
    codes = bits.take(ids[begin:end], mode="clip")
    lengths = np.diff(offsets)
    passages = np.flatnonzero(lengths)  # reduceat would give an empty passage the token behind it
    if len(passages):
        present = np.bitwise_or.reduceat(codes, offsets[passages] - begin)
        passages = passages[present == np.bitwise_or.reduce(bits)]

    # the tokens of these passages, end to end
    lengths = lengths[passages]
    ends = np.cumsum(lengths)
    tokens = np.arange(lengths.sum()) + np.repeat(offsets[passages] - (ends - lengths), lengths)
    hits = np.flatnonzero(codes[tokens - begin])
    token_ids = ids[tokens]
    n_words = np.cumsum(is_word.take(token_ids, mode="clip"), dtype=np.int64)
    owners = np.searchsorted(ends, hits, "right")
    return _Partners(
        tokens=tokens[hits],
        owners=owners,
        words=n_words[hits] + owners * width,
        likeness=tables.take(token_ids[hits], axis=1, mode="clip"),
        passages=passages,
    )


def _strongest(partners: _Partners, kind: str, width: int, first_passage: int) -> Found:
    """Find the best match of each passage by bisection over the strengths that occur."""
    levels = np.unique(partners.likeness)
    levels = levels[levels > 0]
    thresholds = np.full(len(partners.passages), levels[0], np.float32)
    chains = _chains(partners, kind, width, thresholds)
    holds = np.zeros(len(partners.passages), np.bool_)
    holds[partners.owners[chains[:, 0]]] = True
    partners = partners.where(holds[partners.owners])

    # invariant: a passage holds a match of strength levels[low], and none of levels[high]
    low = np.zeros(len(holds), np.int64)
    high = np.where(holds, len(levels), 1)
    while (high - low > 1).any():
        middle = (low + high) // 2
        chains = _chains(partners, kind, width, levels[middle])
        reached = np.zeros(len(holds), np.bool_)
        reached[partners.owners[chains[:, 0]]] = True
        low = np.where(reached, middle, low)
        high = np.where(reached, high, middle)

    chains = _chains(partners, kind, width, levels[low])
    owners, firsts = np.unique(partners.owners[chains[:, 0]], return_index=True)
    positions = partners.tokens[chains[firsts]]
    return Found(
        passages=partners.passages[owners] + first_passage,
        first_token=positions.min(axis=1),
        last_token=positions.max(axis=1),
        strength=levels[low[owners]],
        positions=positions,
    )


def _chains(partners: _Partners, kind: str, width: int, thresholds: Floats) -> Places:
    """Return matches whose every word reaches the threshold of its passage.

    From each token that can begin a match, every slot takes the nearest that qualifies: no other choice ends earlier,
    so where this one is too wide, none fits.

    Returns:
        int64 ``(n, n_slots)``, indices of partners, ascending by where the match begins; of each passage that holds
        such matches, at least the one that begins first.
    """
    words = partners.words
    qualifies = partners.likeness >= thresholds[partners.owners]
    begins = np.flatnonzero(qualifies[0] if kind == "phrase" else qualifies.any(axis=0))
    chain = np.empty((len(begins), 0), np.int64)
    here = words[begins]
    for slot in qualifies:
        able = np.flatnonzero(slot)
        # a phrase goes on behind the word before; near, and the first of a phrase, may take the one it begins with
        behind = kind == "phrase" and chain.shape[1] > 0
        nearest = np.searchsorted(words[able], here, "right" if behind else "left")
        fits = nearest < len(able)
        chosen = able[nearest[fits]]
        narrow = words[chosen] - words[begins[fits]] <= width
        kept = np.flatnonzero(fits)[narrow]
        begins, chosen = begins[kept], chosen[narrow]
        chain = np.concatenate([chain[kept], chosen[:, None]], axis=1)
        here = words[chosen if kind == "phrase" else begins]
    return chain


def _joined(parts: Sequence[Found], n_slots: int) -> Found:
    none = Found(*(np.zeros(0, np.int64),) * 3, np.zeros(0, np.float32), np.zeros((0, n_slots), np.int64))
    return Found(*(np.concatenate([vars(part)[name] for part in (none, *parts)]) for name in vars(none)))
