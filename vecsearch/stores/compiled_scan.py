"""Searches codes in compiled code, where numba is installed, the processor has AVX2, and it pays.

It finds what FAISS finds, but for tokens that are exactly as near as the last that is wanted: of those either takes
some. Nothing is imported or compiled before ``nearest`` is called.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.stores.fastscan import BLOCK

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.code_layout import Layout
    from vecsearch.stores.probe import Probe
    from vecsearch.types import Floats

    Bytes = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.int64]

__all__ = ["load", "nearest"]

WORTH_COMPILING = 40_000_000
"""Loading numba and the kernel takes as long as it saves where a process compares so many codes with a query token."""


class _Kernel:
    """Loads the kernel when as much has been compared as makes it worth while. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_compared = 0
        self._is_tried = False
        self._run: Any = None

    def after(self, n_compared: int) -> Any:
        """Return it, or None where there is none; ``n_compared``: codes that are to be compared now."""
        if self._is_tried:
            return self._run
        with self._lock:
            self._n_compared += n_compared
            if not self._is_tried and self._n_compared >= WORTH_COMPILING:
                self._run = _compiled()
                self._is_tried = True
        return self._run


_kernel = _Kernel()


def load() -> None:
    """Load the kernel now, where there is one: numba takes some 120 MB, which comes as a surprise later."""
    _kernel.after(WORTH_COMPILING)


def nearest(
    content: Bytes, layout: Layout, probe: Probe, k: int, allowed: Bytes | None
) -> tuple[Floats, Numbers] | None:
    """Return what ``Codes.search`` returns, or None where FAISS is to do it.

    Args:
        content, layout: of a segment of codes.
        probe: cells of its codebook.
        k, allowed: as for ``Codes.search``.
    """
    of_tokens = BLOCK * np.where(probe.cells < 0, 0, layout.n_blocks[probe.cells]).sum(axis=1)
    run = _kernel.after(int(of_tokens.sum()))
    if run is None or content.ctypes.data % 8:
        return None
    n = int(of_tokens.max(initial=0))
    width = k if k <= n else n + 1
    similarities = np.empty((len(probe), width), np.float32)
    numbers = np.empty((len(probe), width), np.int64)
    tables = probe.tables
    run(
        content,
        layout.begin_codes,
        layout.numbers(content),
        layout.sizes,
        layout.blocks,
        layout.first_slots,
        np.ascontiguousarray(probe.cells),
        tables.entries,
        tables.biases,
        tables.step,
        tables.low,
        np.zeros(0, np.uint8) if allowed is None else np.ascontiguousarray(allowed),
        allowed is not None,
        np.empty(n, np.uint16),
        np.empty(n // BLOCK, np.int64),
        similarities,
        numbers,
    )
    return similarities, numbers


def _compiled() -> Any:
    try:
        from vecsearch.stores import scan_kernel

        if not scan_kernel.is_usable():
            return None
    except Exception:  # subtle: besides ImportError, a numba that dislikes this NumPy or its own LLVM raises anything
        return None
    for cache in (True, False):
        try:
            return scan_kernel.compiled(cache=cache)
        except Exception:  # noqa: S112 - a cache that cannot be written or read must not stop the compilation
            continue
    return None
