"""PDF, with the extra ``vecsearch[pdf]``: one document a file, a section a page."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from vecsearch import Document, LoadError, SourceFile
from vecsearch_loaders.decoding import failure

if TYPE_CHECKING:
    from pypdf import PdfReader

__all__ = ["PdfLoader"]

_BETWEEN_PAGES = "\n\f\n"


class PdfLoader:
    """Reads the text layer of a file as one document; ``n_pages`` becomes metadata. Scanned pages are not read."""

    name: ClassVar[str] = "pdf"
    version: ClassVar[str] = "1"
    suffixes: ClassVar[tuple[str, ...]] = (".pdf",)

    @property
    def config(self) -> dict[str, Any]:
        """No arguments."""
        return {}

    @property
    def files(self) -> dict[str, str]:
        """No files beside the one that is loaded."""
        return {}

    def load(self, file: SourceFile) -> Iterator[Document]:
        """Yield the one document, its pages parted by a line with a form feed.

        Raises:
            LoadError: the extra is not installed, or the file is encrypted, broken or without text.
        """
        try:
            import pypdf
        except ImportError as error:
            raise failure(file, "reading PDF needs an extra: pip install 'vecsearch[pdf]'") from error
        # What it warns of in passing is no news to a user; without a handler it would go to stderr.
        logger = logging.getLogger("pypdf")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
        with file.open() as stream:
            try:
                title, pages = _read(file, pypdf, stream)
            except LoadError:
                raise
            except Exception as error:  # a broken file makes it raise nearly anything
                raise failure(file, f"not a readable PDF: {type(error).__name__}: {error}") from error
        if not any(page.strip() for page in pages):
            raise failure(file, "no text in it; scanned pages are not read")
        lengths = (len(page) + len(_BETWEEN_PAGES) for page in pages[:-1])
        starts = tuple(itertools.accumulate(lengths, initial=0))
        yield Document(file.id, _BETWEEN_PAGES.join(pages), title, {"n_pages": len(pages)}, starts)


def _read(file: SourceFile, pypdf: Any, stream: BinaryIO) -> tuple[str, list[str]]:
    reader: PdfReader = pypdf.PdfReader(stream)
    if reader.is_encrypted and not reader.decrypt(""):
        raise failure(file, "encrypted; remove its password first")
    pages = [_text(page.extract_text()) for page in reader.pages]
    title = reader.metadata.title if reader.metadata else None
    return _text(title).strip() if isinstance(title, str) else "", pages


def _text(extracted: str) -> str:
    # Broken fonts give halves of characters: pairs are put together, the rest are marked as unknown.
    return extracted.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
