"""A static embedder that knows words by their spelling."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vecsearch import Vocabulary

if TYPE_CHECKING:
    from vecsearch.types import Bools, Floats


class ExampleEmbedder:
    """Give words that are spelt alike rows that are alike: a row counts the three-letter pieces of its entry.

    ``dog`` has the pieces ``<do``, ``dog`` and ``og>``. Each is hashed to a column and a sign. So no model is needed,
    every word has a row, and a misspelt word is still found. Long words have long rows, and weigh more in a query.

    Args:
        dim: length of a row, 16 or more; the longer, the fewer pieces share a column.

    Raises:
        ValueError: dim is no number of 16 or more.

    Source: the hashed pieces of words are those of Bojanowski et al., "Enriching Word Vectors with Subword Information"
    (2017), section 3.2.

    Example:
        >>> embedder = ExampleEmbedder()
        >>> dog, dogs, cat = embedder.rows(["dog", "dogs", "cat"], np.ones(3, dtype=bool))
        >>> float(dog @ dog), float(dog @ dogs), float(dog @ cat)
        (3.0, 2.0, 0.0)
    """

    name: ClassVar[str] = "example_plugin"
    version: ClassVar[str] = "1"  # change it whenever some row changes

    def __init__(self, *, dim: int = 256) -> None:
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 16:
            raise ValueError(f"dim is {dim!r}; it must be a whole number of 16 or more")
        self.dim = dim
        self.config: Mapping[str, Any] = {"dim": dim}
        self.files: Mapping[str, str] = {}

    def rows(self, entries: Sequence[str], starts_word: Bools) -> Floats:
        """Return float32 ``(n, dim)``; zeros for an entry of which nothing is known."""
        rows = np.zeros((len(entries), self.dim), np.float32)
        for row, entry, is_start in zip(rows, entries, starts_word.tolist(), strict=True):  # once a word of an index
            word = ("<" if is_start else "") + entry.casefold() + ">"
            for start in range(len(word) - 2):
                number = zlib.crc32(word[start : start + 3].encode("utf-8", "surrogatepass"))
                row[(number >> 1) % self.dim] += 1 if number & 1 else -1
        return rows

    def vocabulary(self) -> Vocabulary:
        """Return no entries: there is a row for every word, and none is the model's own."""
        return Vocabulary([], np.zeros(0, bool))
