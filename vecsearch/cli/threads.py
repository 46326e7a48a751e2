"""How many threads the libraries that multiply matrices have in a command; they read it when they are loaded."""

from __future__ import annotations

import os
import sys

__all__ = ["one_thread"]


def one_thread(*, searching: bool = False) -> None:
    """Let NumPy's BLAS work in one thread, unless the environment says in how many.

    A command that writes divides its work over the cores itself, and the products of one query are too small to be
    divided: more threads mostly wait for each other, and take the cores from others while they do.

    Args:
        searching: let FAISS, too.
    """
    if "numpy" in sys.modules:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if searching:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
