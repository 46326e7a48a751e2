"""Analogies and word similarity: what the rows of an embedding matrix know, without any text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.errors import UsageError
from vecsearch.protocols import StaticEmbedder

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.pipeline import Pipeline
    from vecsearch.types import Bools, Floats

__all__ = ["analogy_ranks", "cosines", "is_known", "whole_words"]

Question = tuple[str, str, str, str]

_CELLS = 1 << 24
"""Similarities computed at a time."""


def whole_words(pipeline: Pipeline) -> set[str]:
    """Return the embedder's own entries that are words in lower case.

    Raises:
        UsageError: the embedder has no matrix.
    """
    vocabulary = _embedder(pipeline).vocabulary()
    return {
        entry
        for entry, starts_word in zip(vocabulary.entries, vocabulary.starts_word.tolist(), strict=True)
        if starts_word and entry.isalpha() and entry.islower()
    }


def is_known(pipeline: Pipeline, words: Sequence[str]) -> Bools:
    """Return which words have a row that is not zero, bool ``(n_words,)``.

    Raises:
        UsageError: the embedder has no matrix.
    """
    known: Bools = np.any(_rows(pipeline, words) != 0, axis=1)
    return known


def analogy_ranks(pipeline: Pipeline, questions: Sequence[Question], words: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the rank of the right answer to each question, from 1.

    The answer to "a is to b as c is to …" is the word whose row is nearest to E(b) − E(a) + E(c) by cosine; a, b and
    c themselves are left out (Mikolov et al. 2013). Of equally near words the right one comes last.

    Args:
        pipeline: with a static embedder.
        questions: four words each, all of them among ``words`` and known.
        words: different words to choose from; unknown ones are never nearest.

    Raises:
        UsageError: the embedder has no matrix.
    """
    rows = _rows(pipeline, words)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    units = rows / np.where(norms > 0, norms, 1)
    number_of = {word: number for number, word in enumerate(words)}
    block = max(1, _CELLS // max(1, len(words)))
    found = [np.zeros(0, np.int64)]
    for first in range(0, len(questions), block):
        a, b, c, answer = np.array([[number_of[word] for word in one] for one in questions[first : first + block]]).T
        similarities = (rows[b] - rows[a] + rows[c]) @ units.T
        similarities[:, norms[:, 0] == 0] = -np.inf
        for given in (a, b, c):
            similarities[np.arange(len(a)), given] = -np.inf
        right = similarities[np.arange(len(a)), answer]
        found.append((similarities >= right[:, None]).sum(axis=1))
    return np.concatenate(found)


def cosines(pipeline: Pipeline, pairs: Sequence[tuple[str, str]]) -> Floats:
    """Return the cosine of the rows of each pair of words, float32 ``(n_pairs,)``; NaN where one of them is unknown.

    Raises:
        UsageError: the embedder has no matrix.
    """
    first, second = (_rows(pipeline, [pair[side] for pair in pairs]) for side in (0, 1))
    products = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    dots = np.einsum("ij,ij->i", first, second)
    found: Floats = np.where(products > 0, dots / np.where(products > 0, products, 1), np.nan).astype(np.float32)
    return found


def _embedder(pipeline: Pipeline) -> StaticEmbedder:
    if not isinstance(pipeline.embedder, StaticEmbedder):
        name = pipeline.embedder.name if pipeline.embedder is not None else "given"
        raise UsageError(f"embedder {name!r} has no matrix of words: its vectors depend on the text around a word")
    return pipeline.embedder


def _rows(pipeline: Pipeline, words: Sequence[str]) -> Floats:
    _embedder(pipeline)
    return pipeline.entry_rows(words, np.ones(len(words), bool))
