"""Searches codes in compiled code, where numba is installed, the processor has AVX2, and it pays.

It finds what FAISS finds, but for tokens that are exactly as near as the last that is wanted: of those either takes
some. What is found it gathers by passage. Nothing is imported or compiled before ``nearest`` is called.
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
    Mask = npt.NDArray[np.bool_]
    Numbers = npt.NDArray[np.int64]
    Places = npt.NDArray[np.int32]

__all__ = ["load", "mark", "nearest", "raise_to"]

WORTH_COMPILING = 40_000_000
"""Loading numba and the kernels takes as long as it saves where a process compares so many codes with a query token."""


class _Loader:
    """Loads the kernels when as much has been compared as makes it worth while. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_compared = 0
        self._is_tried = False
        self._run: Any = None

    @property
    def loaded(self) -> Any:
        """The kernels, None where none are loaded."""
        return self._run

    def after(self, n_compared: int) -> Any:
        """Return them, or None where there are none; ``n_compared``: codes that are to be compared now."""
        if self._is_tried:
            return self._run
        with self._lock:
            self._n_compared += n_compared
            if not self._is_tried and self._n_compared >= WORTH_COMPILING:
                self._run = _compiled()
                self._is_tried = True
        return self._run


_kernels = _Loader()


def load() -> None:
    """Load the kernels now, where there are any: numba takes some 120 MB, which comes as a surprise later."""
    _kernels.after(WORTH_COMPILING)


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
    kernels = _kernels.after(int(of_tokens.sum()))
    if kernels is None or content.ctypes.data % 8:
        return None
    n = int(of_tokens.max(initial=0))
    width = k if k <= n else n + 1
    similarities = np.empty((len(probe), width), np.float32)
    numbers = np.empty((len(probe), width), np.int64)
    tables = probe.tables
    kernels.scan(
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


def mark(numbers: Numbers, is_found: Mask) -> bool:
    """Mark the passages with these numbers, those ≥ 0, or return False where NumPy is to do it."""
    kernels = _kernels.loaded
    if kernels is None:
        return False
    kernels.mark(numbers, is_found)
    return True


def raise_to(similarities: Floats, numbers: Numbers, place_of: Places, reduced: Floats) -> bool:
    """Raise what passages have to what is found in them, or return False where NumPy is to do it.

    Args:
        similarities, numbers: found by each query token, float32 and int64 ``(n_query, k)``; −1 stands for none.
        place_of: int32, where each passage is in ``reduced``.
        reduced: float32 ``(n_query, n_passages)``, is changed.
    """
    kernels = _kernels.loaded
    if kernels is None:
        return False
    kernels.raise_(similarities, numbers, place_of, reduced)
    return True


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
