"""What the loaders of formats with a parser share: large texts are parsed in a process of their own."""

from __future__ import annotations

import io
from typing import Any

from vecsearch import SourceFile
from vecsearch_loaders import limits
from vecsearch_loaders.apart import read_apart
from vecsearch_loaders.decoding import TextLoader

__all__ = ["ParsingLoader"]

_LARGE = 256 * 1024
"""Characters from which on a text is large. The worst of fewer take about a second and 100 MB."""


class ParsingLoader(TextLoader):
    """A loader of text that a parser takes apart.

    Args:
        encoding: of files without a byte order mark; None is UTF-8.
        max_bytes, max_seconds, max_memory: see ``limits``; the last two are of the process that parses a large text.

    Raises:
        ValueError: Python knows no such text encoding, or a limit is no number above 0.
    """

    def __init__(
        self,
        *,
        encoding: str | None = None,
        max_bytes: int | None = None,
        max_seconds: float | None = None,
        max_memory: int | None = None,
    ) -> None:
        super().__init__(encoding=encoding, max_bytes=max_bytes)
        self._given = {"max_seconds": max_seconds, "max_memory": max_memory}
        self.max_seconds = limits.max_seconds(max_seconds)
        self.max_memory = limits.max_memory(max_memory)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().config, **self._given}

    def is_large(self, text: str) -> bool:
        """Tell whether a text is to be parsed apart."""
        return len(text) > _LARGE

    def parsed_apart(self, file: SourceFile, reader: str, text: str) -> dict[str, Any]:
        """Return what a reader of ``child.READERS`` makes of a text.

        Raises:
            LoadError: see ``apart.read_apart``.
        """
        content = io.BytesIO(text.encode("utf-8", "surrogatepass"))
        return read_apart(file, reader, content, self.max_seconds, self.max_memory)
