"""A tokenizer that cuts at white space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from vecsearch import Tokens


class ExampleTokenizer:
    """Cut texts at white space and nowhere else: ``dog.`` is one token.

    Args:
        lower: whether ``Dog`` and ``dog`` are one entry.

    Raises:
        ValueError: lower is neither true nor false.

    Example:
        >>> tokens = ExampleTokenizer().tokenize(["The dog", "", " bit"])
        >>> tokens.entries, tokens.offsets.tolist(), tokens.spans.tolist()
        (['the', 'dog', 'bit'], [0, 2, 2, 3], [[0, 3], [4, 7], [1, 4]])
    """

    name: ClassVar[str] = "example_plugin"
    version: ClassVar[str] = "1"  # change it whenever some text is cut in another way

    def __init__(self, *, lower: bool = True) -> None:
        if not isinstance(lower, bool):
            raise ValueError(f"lower is {lower!r}; it must be true or false")
        self.config: Mapping[str, Any] = {"lower": lower}
        self.files: Mapping[str, str] = {}

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of each text, with spans in characters of the text as it is given."""
        entries: list[str] = []
        spans = [np.zeros((0, 2), np.int64)]
        offsets = [0]
        for text in texts:  # some calls a text, none a token
            characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<U1")
            is_inside = np.concatenate([[False], ~np.strings.isspace(characters), [False]])
            edges = np.flatnonzero(is_inside[1:] != is_inside[:-1])  # start, end, start, end, …
            spans.append(edges.reshape(-1, 2))
            entries += (text.lower() if self.config["lower"] else text).split()
            offsets.append(len(entries))
        return Tokens(np.array(offsets, np.int64), np.concatenate(spans).astype(np.int32), entries=entries)

    def vocabulary(self) -> None:
        """Return None: the vocabulary is open, an index gives every new entry an id of its own."""
