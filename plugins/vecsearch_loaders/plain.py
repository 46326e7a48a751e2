"""Plain text: one document a file, as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vecsearch import Document, SourceFile
from vecsearch_loaders.decoding import TextLoader, read_text

__all__ = ["PlainTextLoader"]


class PlainTextLoader(TextLoader):
    """Reads a file as one document without title or sections. Serves every file of text that no other loader takes."""

    name: ClassVar[str] = "text"
    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".text", ".log")

    def load(self, file: SourceFile) -> Iterator[Document]:
        """Yield the one document.

        Raises:
            LoadError: see ``decoding.read_text``.
        """
        yield Document(file.id, read_text(file, self.encoding, self.max_bytes))
