"""The relative encoder as the plain recurrence, compiled by numba where numba is installed.

With F_i the sum over the tokens left of i and G_i over those right of it,

    F_{i+1} = R⁻¹(w_i u_i + γ F_i),   G_{i−1} = R(w_i u_i + γ G_i),   c_i = F_i + G_i:

one pass forward, one backward, each turning the running sum by one place, without a sine or cosine a token.

A running sum forgets in about 1/(1−γ) tokens, and so does what rounding adds to it. In float32 that is harmless up to
γ = .9 (ten tokens: 1e-6); beyond, the sums run in float64, at four fifths of the speed.

In the second pass each vector is finished, and compared with a query, if there is one, while it is still near.

Nothing is imported or compiled before ``encode`` is called.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vecsearch_positions.arguments import Floats, Ids, Offsets

if TYPE_CHECKING:
    Sums: TypeAlias = npt.NDArray[np.floating[Any]]
    Kernel: TypeAlias = Callable[[Floats, Ids, Floats, Offsets, Sums, Sums, float, float, Floats, Floats, Floats], None]

__all__ = ["encode", "encode_compared", "is_loaded"]

_lock = threading.Lock()
_kernels: dict[type[np.floating[Any]], Kernel | None] = {}  # None where numba cannot be used
_FORGETFUL = 0.9


def is_loaded(decay: float) -> bool:
    """Return whether ``encode`` would find its kernel compiled."""
    return _kernels.get(_precision(decay)) is not None


def encode(
    units: Floats,
    weights: Floats,
    offsets: Offsets,
    theta: npt.NDArray[np.float64],
    decay: float,
    order: float,
    out: Floats,
) -> bool:
    """Write the relative encoder's vectors into ``out``, or return False where numba is not usable.

    The first call imports numba and compiles, or loads what an earlier process compiled. The work releases the GIL.

    Args:
        units, weights, offsets, out: as for ``PositionalEncoder.encode``, C-contiguous.
        theta: float64 ``(dim // 2,)``, the frequencies.
        decay: γ.
        order: λ > 0.
    """
    places = np.arange(len(units), dtype=np.int32)
    nothing = np.empty((0, units.shape[1]), np.float32), np.empty((0, len(offsets) - 1), np.float32)
    return encode_compared(units, places, weights, offsets, theta, decay, order, out, *nothing)


def encode_compared(
    rows: Floats,
    places: Ids,
    weights: Floats,
    offsets: Offsets,
    theta: npt.NDArray[np.float64],
    decay: float,
    order: float,
    out: Floats,
    query: Floats,
    maxima: Floats,
) -> bool:
    """Write the vectors as ``encode`` does, and how near each passage comes to each token of a query.

    Args:
        rows, places, query: as for ``ComparingEncoder.encode_compared``, C-contiguous.
        maxima: float32 ``(n_query, n_passages)``, written, −inf for an empty passage.
        Others: see ``encode``.
    """
    precision = _precision(decay)
    with _lock:
        if precision not in _kernels:
            _kernels[precision] = _compile(precision)
    kernel = _kernels[precision]
    if kernel is None:
        return False
    cosines, sines = np.cos(theta).astype(precision), np.sin(theta).astype(precision)
    kernel(rows, places, weights, offsets, cosines, sines, decay, order, out, query, maxima)
    return True


def _precision(decay: float) -> type[np.floating[Any]]:
    return np.float32 if decay <= _FORGETFUL else np.float64


def _compile(precision: type[np.floating[Any]]) -> Kernel | None:
    try:
        import numba
    except Exception:  # subtle: besides ImportError, a numba that dislikes this NumPy or its own LLVM raises anything
        return None
    types = numba.types
    constants = types.Array(numba.from_dtype(np.dtype(precision)), 1, "C", readonly=True)
    # Declared read-only, arguments may be writeable or not (memory-mapped) without a second compilation.
    given = types.Array(types.float32, 2, "C", readonly=True)
    written = types.Array(types.float32, 2, "C")
    signature = types.void(
        given,
        types.Array(types.int32, 1, "C", readonly=True),
        types.Array(types.float32, 1, "C", readonly=True),
        types.Array(types.int64, 1, "C", readonly=True),
        constants,
        constants,
        types.float64,
        types.float64,
        written,
        given,
        written,
    )
    # No assumption that values are finite (nnan, ninf): only the order of sums may change.
    options: dict[str, Any] = {
        "nogil": True,
        "fastmath": {"reassoc", "contract", "nsz", "arcp"},
        "error_model": "numpy",
    }
    for cache in (True, False):
        try:
            kernel: Kernel = numba.njit([signature], cache=cache, **options)(_encode)
            return kernel
        except Exception:  # noqa: S112 - a cache that cannot be written or read must not stop the compilation
            continue
    return None


def _encode(
    units: Floats,
    places: Ids,
    weights: Floats,
    offsets: Offsets,
    cosines: Sums,
    sines: Sums,
    decay: float,
    order: float,
    out: Floats,
    query: Floats,
    maxima: Floats,
) -> None:
    n_query, dim = query.shape
    half = dim // 2
    number = cosines.dtype.type
    gamma = number(decay)
    reals = np.empty(half, cosines.dtype)
    imaginaries = np.empty(half, cosines.dtype)
    itself = np.float32(math.sqrt(1.0 - order))
    strength = np.float32(math.sqrt(order))
    for passage in range(len(offsets) - 1):
        start, stop = offsets[passage], offsets[passage + 1]
        reals[:] = 0.0
        imaginaries[:] = 0.0
        for i in range(start, stop):
            weight = number(weights[i])
            own_row = units[places[i]]
            a, b = own_row[:half], own_row[half:]
            x, y = out[i, :half], out[i, half:]
            for f in range(half):
                re, im = reals[f], imaginaries[f]
                x[f] = re
                y[f] = im
                re = weight * a[f] + gamma * re
                im = weight * b[f] + gamma * im
                reals[f] = re * cosines[f] + im * sines[f]
                imaginaries[f] = im * cosines[f] - re * sines[f]
        reals[:] = 0.0
        imaginaries[:] = 0.0
        for q in range(n_query):
            maxima[q, passage] = -np.inf
        for k in range(stop - start):
            i = stop - 1 - k
            weight = number(weights[i])
            own_row = units[places[i]]
            a, b = own_row[:half], own_row[half:]
            x, y = out[i, :half], out[i, half:]
            length = np.float32(0.0)
            own = np.float32(0.0)
            for f in range(half):
                re, im = reals[f], imaginaries[f]
                c = np.float32(x[f] + re)
                s = np.float32(y[f] + im)
                x[f] = c
                y[f] = s
                length += c * c + s * s
                own += a[f] * a[f] + b[f] * b[f]
                re = weight * a[f] + gamma * re
                im = weight * b[f] + gamma * im
                reals[f] = re * cosines[f] - im * sines[f]
                imaginaries[f] = im * cosines[f] + re * sines[f]
            length = np.float32(math.sqrt(length))
            is_mixed = length >= np.float32(1e-6) and own > np.float32(0.0)
            if is_mixed:
                scale = strength / length
                norm = np.float32(0.0)
                for f in range(half):
                    c = scale * x[f] + itself * a[f]
                    s = scale * y[f] + itself * b[f]
                    x[f] = c
                    y[f] = s
                    norm += c * c + s * s
                norm = np.float32(math.sqrt(norm))
                is_mixed = norm >= np.float32(1e-6)
                if is_mixed:
                    scale = np.float32(1.0) / norm
                    for f in range(half):
                        x[f] *= scale
                        y[f] *= scale
            if not is_mixed:
                for f in range(half):
                    x[f] = a[f]
                    y[f] = b[f]
            # compared at once, while the vector is near: four tokens of the query share each read of it
            vector = out[i]
            q = 0
            while q + 4 <= n_query:
                q0, q1, q2, q3 = query[q], query[q + 1], query[q + 2], query[q + 3]
                s0 = s1 = s2 = s3 = np.float32(0.0)
                for f in range(dim):
                    value = vector[f]
                    s0 += value * q0[f]
                    s1 += value * q1[f]
                    s2 += value * q2[f]
                    s3 += value * q3[f]
                maxima[q, passage] = max(maxima[q, passage], s0)
                maxima[q + 1, passage] = max(maxima[q + 1, passage], s1)
                maxima[q + 2, passage] = max(maxima[q + 2, passage], s2)
                maxima[q + 3, passage] = max(maxima[q + 3, passage], s3)
                q += 4
            while q < n_query:
                q0 = query[q]
                s0 = np.float32(0.0)
                for f in range(dim):
                    s0 += vector[f] * q0[f]
                maxima[q, passage] = max(maxima[q, passage], s0)
                q += 1
