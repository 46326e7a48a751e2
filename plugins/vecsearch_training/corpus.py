"""The tokens of a corpus: their ids in a temporary file, and how often each occurs. Memory holds the vocabulary."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

from vecsearch import Tokenizer, Tokens, UsageError, Vocabulary

__all__ = ["Corpus", "Entries", "read_corpus"]

BATCH = 1 << 21
"""Characters that are tokenized at a time."""
BLOCK = 1 << 20
"""Tokens that are looked at at a time."""
MOST_TYPES = 2_000_000
"""Different words that are counted at once, about 300 MB. Beyond, the rarest are forgotten (word2vec does the same)."""

Ids = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Entries:
    """What gets a row: entries of the vocabulary, the most frequent first (of a closed vocabulary: in its order).

    Attributes:
        texts: of the entries.
        starts_word: bool ``(n,)``, as in ``vecsearch.Vocabulary``.
        counts: int64 ``(n,)``, how often each occurs.
    """

    texts: list[str]
    starts_word: npt.NDArray[np.bool_]
    counts: Counts


class Corpus:
    """A tokenized corpus, to be closed.

    Attributes:
        entries: those that are frequent enough.
        n_tokens: of all texts, rare ones counted.
    """

    def __init__(self, spool: IO[bytes], numbers: Ids, entries: Entries, n_tokens: int) -> None:
        self._spool = spool
        self._numbers = numbers
        self.entries = entries
        self.n_tokens = n_tokens

    def __enter__(self) -> Corpus:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def blocks(self, overlap: int) -> Iterator[tuple[Ids, int]]:
        """Yield numbers of entries in the order of the text, −1 for a rare one and between texts, and how many are new.

        Args:
            overlap: how many tokens of the next block are shown at the end of each.
        """
        n_stored = self._spool.tell() // 4
        if not n_stored:
            return
        stored = np.memmap(self._spool, np.int32, "r", shape=(n_stored,))
        for first in range(0, n_stored, BLOCK):
            ids = np.asarray(stored[first : first + BLOCK + overlap])
            yield np.where(ids < 0, np.int32(-1), self._numbers[ids]), min(BLOCK, n_stored - first)


def read_corpus(texts: Iterable[str], tokenizer: Tokenizer, *, min_count: int, most: int, gap: int) -> Corpus:
    """Tokenize texts, once through.

    Args:
        texts: any strings, as a stream.
        tokenizer: of an open vocabulary, whose words are counted, or a closed one, all of whose entries are kept.
        min_count: rarer words get no row.
        most: words of an open vocabulary at most; the most frequent ones.
        gap: so many places are left empty between two texts, that no window reaches from one into another.

    Raises:
        UsageError: not one word occurs often enough.
        OSError: the temporary file cannot be written.
    """
    spool = tempfile.TemporaryFile()  # noqa: SIM115 (it belongs to the corpus)
    try:
        return _read(texts, tokenizer, spool, min_count, most, gap)
    except BaseException:
        spool.close()
        raise


def _read(texts: Iterable[str], tokenizer: Tokenizer, spool: IO[bytes], min_count: int, most: int, gap: int) -> Corpus:
    closed = tokenizer.vocabulary()
    counter = _OpenCounter() if closed is None else _ClosedCounter(closed)
    n_tokens = 0
    for batch in _batches(texts):
        tokens = tokenizer.tokenize(batch)
        ids = counter.count(tokens)
        n_tokens += len(ids)
        spaced = np.full(len(ids) + gap * len(batch), -1, np.int32)
        spaced[np.arange(len(ids)) + gap * np.repeat(np.arange(len(batch)), np.diff(tokens.offsets))] = ids
        spool.write(spaced.data)
    spool.flush()
    numbers, entries = counter.entries(min_count, most)
    if not entries.counts.any():
        raise UsageError(
            f"nothing can be learned: of {n_tokens:,} tokens none occurs {min_count} times or more; "
            "give more text, or a smaller min_count",
            n_tokens=n_tokens,
        )
    return Corpus(spool, numbers, entries, n_tokens)


class _OpenCounter:
    """Numbers words in the order in which they are first seen; a word that was forgotten gets a new number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._counts = np.zeros(1 << 16, np.int64)
        self._n_ids = 0
        self._forgotten = 0

    def count(self, tokens: Tokens) -> Ids:
        """Count tokens; return their numbers."""
        assert tokens.entries is not None
        for word in dict.fromkeys(tokens.entries):
            if word not in self._numbers:
                self._numbers[word] = self._n_ids
                self._n_ids += 1
        ids = np.fromiter(map(self._numbers.__getitem__, tokens.entries), np.int32, len(tokens.entries))
        if self._n_ids > len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros(max(len(self._counts), self._n_ids), np.int64)])
        self._counts[: self._n_ids] += np.bincount(ids, minlength=self._n_ids)
        while len(self._numbers) > MOST_TYPES:
            self._forgotten += 1
            self._numbers = {word: id_ for word, id_ in self._numbers.items() if self._counts[id_] > self._forgotten}
        return ids

    def entries(self, min_count: int, most: int) -> tuple[Ids, Entries]:
        """Return the number of the entry of every id, −1 where it has none, and the entries."""
        counted = [(-int(self._counts[id_]), word, id_) for word, id_ in self._numbers.items()]
        kept = sorted(one for one in counted if -one[0] >= min_count)[:most]
        numbers = np.full(max(self._n_ids, 1), -1, np.int32)
        numbers[[id_ for _, _, id_ in kept]] = np.arange(len(kept), dtype=np.int32)
        counts = np.array([-count for count, _, _ in kept], np.int64)
        return numbers, Entries([word for _, word, _ in kept], np.ones(len(kept), np.bool_), counts)


class _ClosedCounter:
    """Counts the entries of a closed vocabulary, all of which are kept."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._counts = np.zeros(len(vocabulary.entries), np.int64)

    def count(self, tokens: Tokens) -> Ids:
        assert tokens.ids is not None
        self._counts += np.bincount(tokens.ids, minlength=len(self._counts))
        return tokens.ids

    def entries(self, min_count: int, most: int) -> tuple[Ids, Entries]:  # noqa: ARG002 (all are kept)
        numbers = np.where(self._counts >= min_count, np.arange(len(self._counts)), -1).astype(np.int32)
        texts = list(self._vocabulary.entries)
        counts = np.where(numbers >= 0, self._counts, 0)
        return numbers, Entries(texts, np.asarray(self._vocabulary.starts_word, np.bool_), counts)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    n_characters = 0
    for text in texts:
        batch.append(text)
        n_characters += len(text)
        if n_characters >= BATCH:
            yield batch
            batch, n_characters = [], 0
    if batch:
        yield batch
