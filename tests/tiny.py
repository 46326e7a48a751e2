"""A pipeline of a few lines that never changes: no model files, fast to start, the same numbers on every machine.

The golden indexes in tests/data were made with it, so what it computes must stay as it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from vecsearch import Pipeline, Tokens, Vocabulary

WORD = re.compile(r"\w+")
NO_MEANING = "nil"
"""The one word of which the embedder knows nothing."""


class TinyTokenizer:
    """Case-folded runs of word characters, an open vocabulary."""

    name: ClassVar[str] = "tiny"
    version: ClassVar[str] = "1"

    @property
    def config(self) -> dict[str, object]:
        return {}

    @property
    def files(self) -> dict[str, str]:
        return {}

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        found = [[match.span() for match in WORD.finditer(text)] for text in texts]
        return Tokens(
            offsets=np.cumsum([0, *map(len, found)], dtype=np.int64),
            spans=np.array([span for spans in found for span in spans], np.int32).reshape(-1, 2),
            entries=[text[begin:end].lower() for text, spans in zip(texts, found, strict=True) for begin, end in spans],
        )

    def vocabulary(self) -> Vocabulary | None:
        return None


class TinyEmbedder:
    """A word's row is the bytes of its BLAKE2b hash as signed numbers."""

    name: ClassVar[str] = "tiny"
    version: ClassVar[str] = "1"

    def __init__(self, *, dim: int = 16) -> None:
        self.dim = dim

    @property
    def config(self) -> dict[str, object]:
        return {"dim": self.dim}

    @property
    def files(self) -> dict[str, str]:
        return {}

    def rows(self, entries: Sequence[str], starts_word: np.ndarray) -> np.ndarray:
        hashes = [hashlib.blake2b(entry.encode(), digest_size=self.dim).digest() for entry in entries]
        rows = np.frombuffer(b"".join(hashes), np.int8).reshape(-1, self.dim).astype(np.float32)
        rows[[entry == NO_MEANING for entry in entries]] = 0
        return rows

    def vocabulary(self) -> Vocabulary:
        return Vocabulary([], np.zeros(0, bool))


class TinyContextual(TinyEmbedder):
    """A word's row is that of ``TinyEmbedder``, and a quarter of the rows beside it: what is near changes it."""

    name: ClassVar[str] = "tiny_contextual"
    rows = None  # type: ignore[assignment]  # a static embedder would have them

    def __init__(self, *, dim: int = 16) -> None:
        super().__init__(dim=dim)
        self.texts: list[str] = []
        """All that were embedded, in order."""

    def tokenizer(self) -> TinyTokenizer:
        return TinyTokenizer()

    def embed(self, texts: Sequence[str], tokens: Tokens) -> np.ndarray:
        self.texts += texts
        assert tokens.entries is not None
        own = TinyEmbedder.rows(self, tokens.entries, np.ones(tokens.n_tokens, bool))
        found = own.copy()
        text_of = np.repeat(np.arange(len(texts)), np.diff(tokens.offsets))
        beside = (text_of[1:] == text_of[:-1])[:, None]
        found[1:] += own[:-1] / 4 * beside
        found[:-1] += own[1:] / 4 * beside
        return found.astype(np.float32)


class TinyEncoder:
    """Every position alike."""

    name: ClassVar[str] = "tiny"
    version: ClassVar[str] = "1"

    @property
    def config(self) -> dict[str, object]:
        return {}

    @property
    def files(self) -> dict[str, str]:
        return {}

    def encode(self, units: np.ndarray, weights: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        return units.copy()


def tiny_pipeline(
    tokenizer: Any = None, embedder: Any = None, encoder: Any = None, *, max_tokens: int = 16
) -> Pipeline:
    """Return the pipeline, with some of its parts exchanged if asked."""
    return Pipeline(
        tokenizer or TinyTokenizer(), embedder or TinyEmbedder(), encoder or TinyEncoder(), max_tokens=max_tokens
    )
