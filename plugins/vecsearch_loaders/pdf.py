"""PDF, with the extra ``vecsearch[pdf]``: one document a file, a section a page."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, BinaryIO, ClassVar

from vecsearch import Document, SourceFile
from vecsearch_loaders import limits
from vecsearch_loaders.apart import read_apart
from vecsearch_loaders.child import RefusedError
from vecsearch_loaders.decoding import failure

__all__ = ["PdfLoader", "read_pages"]

_BETWEEN_PAGES = "\n\f\n"


class PdfLoader:
    """Reads the text layer of a file as one document; ``n_pages`` becomes metadata. Scanned pages are not read.

    Every file is read in a process of its own, within limits.

    Args:
        max_bytes, max_seconds, max_memory: see ``limits``.

    Raises:
        ValueError: a limit is no number above 0.
    """

    name: ClassVar[str] = "pdf"
    version: ClassVar[str] = "1"
    suffixes: ClassVar[tuple[str, ...]] = (".pdf",)

    def __init__(
        self, *, max_bytes: int | None = None, max_seconds: float | None = None, max_memory: int | None = None
    ) -> None:
        self._given = {"max_bytes": max_bytes, "max_seconds": max_seconds, "max_memory": max_memory}
        self.max_bytes = limits.max_bytes(max_bytes)
        self.max_seconds = limits.max_seconds(max_seconds)
        self.max_memory = limits.max_memory(max_memory)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._given)

    @property
    def files(self) -> dict[str, str]:
        """No files beside the one that is loaded."""
        return {}

    def load(self, file: SourceFile) -> Iterator[Document]:
        """Yield the one document, its pages parted by a line with a form feed.

        Raises:
            LoadError: the extra is not installed; the file is encrypted, broken, without text or too large; or
                reading it took too long, needed too much memory or ended in a crash.
        """
        if find_spec("pypdf") is None:
            raise failure(file, "reading PDF needs an extra: pip install 'vecsearch[pdf]'")
        if file.size > self.max_bytes:
            raise failure(file, f"larger than {self.max_bytes:,} bytes; {limits.MAX_BYTES} allows more")
        with file.open() as stream:
            answer = read_apart(file, "pdf", stream, self.max_seconds, self.max_memory)
        pages: list[str] = answer["pages"]
        if not any(page.strip() for page in pages):
            raise failure(file, "no text in it; scanned pages are not read")
        lengths = (len(page) + len(_BETWEEN_PAGES) for page in pages[:-1])
        starts = tuple(itertools.accumulate(lengths, initial=0))
        yield Document(file.id, _BETWEEN_PAGES.join(pages), answer["title"], {"n_pages": len(pages)}, starts)


def read_pages(stream: BinaryIO) -> dict[str, Any]:
    """Return the ``title`` and the ``pages`` of a file. Runs in a process of its own.

    Raises:
        RefusedError: the file is encrypted or broken.
    """
    import pypdf

    logging.getLogger("pypdf").addHandler(logging.NullHandler())
    try:
        reader = pypdf.PdfReader(stream)
        if reader.is_encrypted and not reader.decrypt(""):
            raise RefusedError("encrypted; remove its password first")
        pages = [_text(page.extract_text()) for page in reader.pages]
        title = reader.metadata.title if reader.metadata else None
    except (RefusedError, MemoryError):
        raise
    except Exception as error:  # a broken file makes it raise nearly anything
        raise RefusedError(f"not a readable PDF: {type(error).__name__}: {error}") from error
    return {"title": _text(title).strip() if isinstance(title, str) else "", "pages": pages}


def _text(extracted: str) -> str:
    # Broken fonts give halves of characters: pairs are put together, the rest are marked as unknown.
    return extracted.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
