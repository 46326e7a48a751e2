"""Grapheme clusters: what a reader takes for one character."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import regex

from vecsearch import Tokens
from vecsearch_tokenizers.blocks import Found, tokens_by_block

if TYPE_CHECKING:
    from vecsearch import Vocabulary
    from vecsearch_tokenizers.blocks import Codes

__all__ = ["CharacterTokenizer"]


class CharacterTokenizer:
    """Split text into grapheme clusters (UAX #29), case-folded and composed; white space is skipped.

    So are control and formatting characters that stand alone. Spans point into the text as it was given.

    Example:
        >>> tokens = CharacterTokenizer().tokenize(["Ab é👩‍🚀"])
        >>> list(tokens.entries), tokens.spans.tolist()
        (['a', 'b', 'é', '👩‍🚀'], [[0, 1], [1, 2], [3, 4], [4, 7]])
    """

    name: ClassVar[str] = "character"
    version: ClassVar[str] = "1"

    @property
    def config(self) -> Mapping[str, Any]:
        """Return nothing: there is nothing to set."""
        return {}

    @property
    def files(self) -> Mapping[str, str]:
        """Return nothing: no file is read."""
        return {}

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Split texts into grapheme clusters, each text on its own.

        Args:
            texts: any strings.

        Returns:
            Tokens with entries, one a cluster, never empty.
        """
        return tokens_by_block(texts, _find)

    def vocabulary(self) -> Vocabulary | None:
        """Return None: the vocabulary is open."""
        return None


def _find(block: str, codes: Codes) -> Found:
    if codes.dtype == np.uint8:
        starts = np.flatnonzero((codes > ord(" ")) & (codes != 0x7F))
        return Found(starts, starts + 1)
    matches = list(_pattern().finditer(block))
    starts = np.fromiter(map(regex.Match.start, matches), np.int64, len(matches))
    return Found(starts, np.fromiter(map(regex.Match.end, matches), np.int64, len(matches)))


@cache
def _pattern() -> regex.Pattern[str]:
    # subtle: \X joins a prepended letter even with a blank behind it; here no token holds white space.
    skipped = r"\s\p{Z}\p{Cc}\p{Cf}"
    cluster = rf"(?=[^{skipped}\p{{GCB=Prepend}}])\X"
    return regex.compile(rf"(?V1){cluster}|[\p{{GCB=Prepend}}--\p{{Cf}}](?:{cluster})?")
