"""The only place that imports FAISS, and only when something needs it: it costs a cold start 0.1 s."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["faiss", "one_thread"]


def faiss() -> Any:
    """Return the FAISS module, imported at the first call."""
    import faiss as library

    return library


@contextmanager
def one_thread() -> Iterator[None]:
    """Let FAISS work in the calling thread alone: where other threads work beside it, or where each step is small."""
    library = faiss()
    n_threads = library.omp_get_max_threads()
    # subtle: a setting of the calling thread, not of the process
    library.omp_set_num_threads(1)
    try:
        yield
    finally:
        library.omp_set_num_threads(n_threads)
