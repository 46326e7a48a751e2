"""The only place that imports FAISS, and only when something needs it: it costs a cold start 0.1 s."""

from __future__ import annotations

from typing import Any

__all__ = ["faiss"]


def faiss() -> Any:
    """Return the FAISS module, imported at the first call."""
    import faiss as library

    return library
