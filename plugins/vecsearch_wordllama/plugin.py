"""Hooks of vecsearch_wordllama: nothing is imported before a hook is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecsearch import hookimpl

if TYPE_CHECKING:
    from vecsearch import Embedder


@hookimpl
def vecsearch_register_embedders() -> Sequence[type[Embedder]]:
    """Register matrix, static and wordllama."""
    from vecsearch_wordllama.matrix import MatrixEmbedder
    from vecsearch_wordllama.static import StaticFolderEmbedder
    from vecsearch_wordllama.wordllama import WordLlamaEmbedder

    return [MatrixEmbedder, StaticFolderEmbedder, WordLlamaEmbedder]
