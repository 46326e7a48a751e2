"""Hooks of vecsearch_loaders: nothing is imported before a hook is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecsearch import hookimpl

if TYPE_CHECKING:
    from vecsearch import Loader


@hookimpl
def vecsearch_register_loaders() -> Sequence[type[Loader]]:
    """Register loaders for the common kinds of text file."""
    from vecsearch_loaders.code import SourceCodeLoader
    from vecsearch_loaders.html import HtmlLoader
    from vecsearch_loaders.markdown import MarkdownLoader
    from vecsearch_loaders.pdf import PdfLoader
    from vecsearch_loaders.plain import PlainTextLoader
    from vecsearch_loaders.records import CsvLoader, JsonLinesLoader
    from vecsearch_loaders.rst import RestructuredTextLoader

    return [
        SourceCodeLoader,
        HtmlLoader,
        MarkdownLoader,
        PdfLoader,
        PlainTextLoader,
        CsvLoader,
        JsonLinesLoader,
        RestructuredTextLoader,
    ]
