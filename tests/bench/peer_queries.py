"""Queries that say what a sentence of the collection says, in part with other words. Seeded.

A quarter of a sentence's words is dropped and a quarter replaced by near neighbours, so that neither the exact words
nor their exact order lead back to the passage.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vecsearch import Pipeline

__all__ = ["PeerQuery", "alter", "make_queries", "near_words", "sentences"]

WORDS = (6, 25)
"""Fewest and most words of a sentence."""
N_NEAR = 5
"""A word is replaced by one of so many neighbours."""
LEAST_FREQUENCY = 3
"""Occurrences that a word needs to take part: neighbours of the rarest are names and misprints."""

_SENTENCE = re.compile(r"(?:^|(?<=[.!?]\s))[A-Z][A-Za-z ,'-]+[.!?](?=\s|$)")
_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")


@dataclass(frozen=True)
class PeerQuery:
    """A query, and the number of the passage whose sentence it was made of."""

    text: str
    source: int


def sentences(text: str) -> Iterator[list[str]]:
    """Yield the words, in lower case, of each natural sentence: letters only, of 6 to 25 words.

    Example:
        >>> list(sentences("See x = 1. The index is\\nwritten to disk once. Not this."))
        [['the', 'index', 'is', 'written', 'to', 'disk', 'once']]
    """
    for match in _SENTENCE.finditer(re.sub(r"\s+", " ", text)):
        words = [word.lower() for word in _WORD.findall(match.group())]
        if WORDS[0] <= len(words) <= WORDS[1]:
            yield words


def near_words(pipeline: Pipeline, words: Sequence[str], vocabulary: Sequence[str]) -> dict[str, list[str]]:
    """Return for each word its ``N_NEAR`` nearest others of a vocabulary, by the cosine of their embedding rows.

    Args:
        pipeline: with a static embedder.
        words: to find neighbours of.
        vocabulary: where they are looked for; all different.
    """

    def units(entries: Sequence[str]) -> np.ndarray:
        rows = pipeline.entry_rows(entries, np.ones(len(entries), bool))
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    similarities = units(words) @ units(vocabulary).T
    place = {word: number for number, word in enumerate(vocabulary)}
    for number, word in enumerate(words):
        if word in place:
            similarities[number, place[word]] = -np.inf
    # a stable sort: equal cosines stand in the order of the vocabulary
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :N_NEAR]
    return {word: [vocabulary[column] for column in row] for word, row in zip(words, order.tolist(), strict=True)}


def alter(words: Sequence[str], near: Mapping[str, Sequence[str]], random: np.random.Generator) -> list[str]:
    """Return a sentence with a quarter of its words dropped and another quarter replaced by near neighbours.

    Words without neighbours are left as they are, unless they are dropped.
    """
    quarter = round(len(words) / 4)
    dropped = set(random.permutation(len(words))[:quarter].tolist())
    replaceable = [number for number, word in enumerate(words) if number not in dropped and near.get(word)]
    replaced = set(random.permutation(replaceable)[:quarter].tolist())
    altered = []
    for number, word in enumerate(words):
        if number in replaced:
            altered.append(near[word][int(random.integers(len(near[word])))])
        elif number not in dropped:
            altered.append(word)
    return altered


def make_queries(passages: Sequence[str], pipeline: Pipeline, n: int = 100, seed: int = 0) -> list[PeerQuery]:
    """Return queries made of sentences of n different passages, fewer where there are not so many.

    The same passages and seed give the same queries.
    """
    random = np.random.default_rng(seed)
    counts = Counter(word for text in passages for word in _WORD.findall(text.lower()))
    vocabulary = sorted(word for word, count in counts.items() if count >= LEAST_FREQUENCY)
    chosen: list[tuple[int, list[str]]] = []
    for number in random.permutation(len(passages)).tolist():
        found = list(sentences(passages[number]))
        if found:
            chosen.append((number, found[int(random.integers(len(found)))]))
        if len(chosen) == n:
            break
    known = set(vocabulary)
    near = near_words(pipeline, sorted({word for _, words in chosen for word in words if word in known}), vocabulary)
    return [PeerQuery(" ".join(alter(words, near, random)), number) for number, words in chosen]
