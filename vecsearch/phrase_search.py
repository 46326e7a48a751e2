"""Phrases, neighbouring words and exclusions of a query, looked for in every passage of an index.

``phrases`` finds words by token id; here the words of a query become tables by token id, and what was found becomes
conditions, strengths and places in passages.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.errors import QueryError
from vecsearch.lookalikes import exact_slot, likeness, without_false_friends
from vecsearch.phrases import Found, find
from vecsearch.pipeline import Pipeline, split_rows
from vecsearch.positioning import RowTable
from vecsearch.query_language import Group, ParsedQuery
from vecsearch.types import Match

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.protocol import Numbers, Snapshot
    from vecsearch.types import Bools, Floats, Ids, Spans

    Doubles = npt.NDArray[np.float64]

__all__ = ["FoundPhrases", "PhraseMatch", "PhraseSearch"]

_BLOCK_TYPES = 1 << 14


@dataclass(frozen=True)
class PhraseMatch:
    """The best match of one group in one passage.

    Attributes:
        label: the group as it was written; start, end: its characters in the query.
        strength: likeness of its least alike word.
        share: what it adds to the strength of all groups together.
        first_token, last_token: of the passage, both included.
    """

    label: str
    start: int
    end: int
    strength: float
    share: float
    first_token: int
    last_token: int


@dataclass(frozen=True)
class _Slot:
    """A word of a group: one token that is looked for, and the characters of the query that it was written with."""

    own_id: int
    entry: str
    starts_word: bool
    is_exact: bool
    start: int
    end: int


@dataclass(frozen=True)
class _Required:
    group: Group
    slots: Sequence[_Slot]
    tables: Sequence[Floats]
    found: Found


@dataclass(frozen=True)
class FoundPhrases:
    """What a query's groups found.

    Attributes:
        text: the query.
        numbers: int64 ``(n,)``, numbers of all embedded passages, ascending.
        first_tokens: int64 ``(n,)``, where their tokens begin.
        ids: int32, their tokens.
        required: the groups that a passage must hold.
        excluded: bool ``(n,)``, which hold what is excluded.
    """

    text: str
    numbers: Numbers
    first_tokens: Numbers
    ids: Ids
    required: Sequence[_Required]
    excluded: Bools

    def is_allowed(self, embedded: Numbers) -> Bools:
        """Return which embedded passages hold every required group and none of the excluded ones."""
        allowed = ~self.excluded
        for one in self.required:
            holds = np.zeros(len(self.numbers), bool)
            holds[one.found.passages] = True
            allowed &= holds
        return allowed[np.searchsorted(self.numbers, embedded)] if len(self.numbers) else np.zeros(len(embedded), bool)

    @property
    def is_scored(self) -> bool:
        """Whether there are required groups, whose matches are more or less alike."""
        return bool(self.required)

    def strength_of(self, embedded: Numbers) -> Doubles:
        """Return the mean strength of the required groups in embedded passages that are allowed."""
        strengths = np.zeros(len(self.numbers))
        for one in self.required:
            strengths[one.found.passages] += one.found.strength.astype(np.float64) / len(self.required)
        return strengths[np.searchsorted(self.numbers, embedded)]

    def of(self, embedded: int) -> list[PhraseMatch]:
        """Return the matches of the required groups in one allowed embedded passage."""
        passage = int(np.searchsorted(self.numbers, embedded))
        first = int(self.first_tokens[passage])
        matches = []
        for one in self.required:
            at = int(np.searchsorted(one.found.passages, passage))
            strength = float(one.found.strength[at])
            matches.append(
                PhraseMatch(
                    label=self.text[one.group.start : one.group.end],
                    start=one.group.start,
                    end=one.group.end,
                    strength=strength,
                    share=strength / len(self.required),
                    first_token=int(one.found.first_token[at]) - first,
                    last_token=int(one.found.last_token[at]) - first,
                )
            )
        return matches

    def matches(self, embedded: int, spans: Spans, length: int) -> tuple[Match, ...]:
        """Return the words of the matches in one allowed embedded passage, as far as they stand in the text shown."""
        passage = int(np.searchsorted(self.numbers, embedded))
        first = int(self.first_tokens[passage])
        matches: dict[tuple[int, int], Match] = {}
        for one in self.required:
            at = int(np.searchsorted(one.found.passages, passage))
            for slot, table, token in zip(one.slots, one.tables, one.found.positions[at].tolist(), strict=True):
                start, end = spans[token - first].tolist()
                if start >= 0 and end <= length:
                    matches[start, end] = Match(start, end, slot.start, slot.end, float(table[self.ids[token]]))
        return tuple(sorted(matches.values(), key=lambda match: (-match.similarity, match.start)))


class PhraseSearch:
    """Looks for the groups of queries. Keeps what it knows of the vocabulary; threads may share it.

    Args:
        pipeline: of the index.
        table: rows of token ids for a static pipeline; without it a word is like itself only.
    """

    def __init__(self, pipeline: Pipeline, table: RowTable | None) -> None:
        self._pipeline = pipeline
        self._table = table
        self._lock = threading.Lock()
        self._entries: list[str] = []
        self._is_word: Bools = np.zeros(0, bool)

    def find(self, snapshot: Snapshot, query: ParsedQuery) -> FoundPhrases:
        """Find the groups of a query.

        Raises:
            QueryError: a group holds no word, only punctuation.
        """
        numbers, offsets, ids = snapshot.all_tokens()
        ids = np.maximum(ids, 0).astype(np.int32, copy=False)
        is_word = self._words(snapshot)
        required = []
        for group in query.required:
            slots, tables = self._slots(snapshot, query.text, group, len(is_word))
            required.append(
                _Required(group, slots, tables, find(tables, group.kind, group.slop, ids, offsets, is_word))
            )
        excluded = np.zeros(len(numbers), bool)
        for group in query.excluded:
            _, tables = self._slots(snapshot, query.text, group, len(is_word))
            excluded[find(tables, group.kind, group.slop, ids, offsets, is_word).passages] = True
        return FoundPhrases(query.text, numbers, offsets[:-1], ids, required, excluded)

    def _words(self, snapshot: Snapshot) -> Bools:
        """Return which token ids are words: those with a letter, a digit or a pictograph."""
        closed = self._pipeline.closed_vocabulary
        with self._lock:
            known = len(self._is_word)
            # words only come, and keep their ids
            entries = snapshot.entries(known) if closed is None else closed.entries[known:]
            if entries:
                more = np.fromiter(map(_is_word, entries), bool, len(entries))
                self._is_word = np.concatenate([self._is_word, more])
                self._entries += entries
            return self._is_word

    def _slots(self, snapshot: Snapshot, text: str, group: Group, n_types: int) -> tuple[list[_Slot], list[Floats]]:
        slots = self._tokens(snapshot, group)
        if not slots:
            raise QueryError(
                f"{text[group.start : group.end]!r} at character {group.start + 1} holds no word that can be looked "
                f"for; distances and phrases count words, not punctuation",
                query=text,
                offset=group.start,
            )
        tables = [exact_slot(slot.own_id, n_types) for slot in slots]
        alike = [number for number, slot in enumerate(slots) if not slot.is_exact]
        if alike and self._table is not None:
            rows = self._pipeline.entry_rows(
                [slots[number].entry for number in alike], np.array([slots[number].starts_word for number in alike])
            )
            found = self._likeness(split_rows(rows)[0], n_types)
            for number, table in zip(alike, found, strict=True):
                if slots[number].own_id >= 0:
                    table[slots[number].own_id] = 1
                tables[number] = without_false_friends(
                    table, slots[number].entry, lambda ids: [self._entries[token] for token in ids.tolist()]
                )
        return slots, tables

    def _likeness(self, units: Floats, n_types: int) -> Floats:
        assert self._table is not None
        parts = [np.zeros((len(units), 0), np.float32)]
        for begin in range(0, n_types, _BLOCK_TYPES):
            types, _ = self._table.take(np.arange(begin, min(begin + _BLOCK_TYPES, n_types), dtype=np.int32))
            parts.append(likeness(units, types))
        return np.concatenate(parts, axis=1)

    def _tokens(self, snapshot: Snapshot, group: Group) -> list[_Slot]:
        tokens = self._pipeline.tokenize([word.text for word in group.words])
        closed = self._pipeline.closed_vocabulary
        if closed is None:
            assert tokens.entries is not None
            entries, starts = list(tokens.entries), [True] * tokens.n_tokens
            ids = snapshot.lookup(entries).tolist()
        else:
            assert tokens.ids is not None
            ids = tokens.ids.tolist()
            entries, starts = [closed.entries[number] for number in ids], closed.starts_word[tokens.ids].tolist()
        bounds = tokens.offsets.tolist()
        slots = []
        for word, begin, end in zip(group.words, bounds[:-1], bounds[1:], strict=True):
            for at in range(begin, end):
                if _is_word(entries[at]):
                    slots.append(_Slot(ids[at], entries[at], starts[at], word.is_exact, word.start, word.end))
        return slots


def _is_word(entry: str) -> bool:
    return any(character.isalnum() or unicodedata.category(character) == "So" for character in entry)
