"""Hooks of vecsearch_onnx: nothing is imported before a hook is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecsearch import hookimpl

if TYPE_CHECKING:
    from vecsearch import Embedder


@hookimpl
def vecsearch_register_embedders() -> Sequence[type[Embedder]]:
    """Register minilm and onnx."""
    from vecsearch_onnx.encoder import OnnxEmbedder
    from vecsearch_onnx.minilm import MiniLmEmbedder

    return [MiniLmEmbedder, OnnxEmbedder]
