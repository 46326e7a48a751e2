"""What a codebook consists of, and how that lies in its file: a header, then one array after the other.

The format is described in ``indexes/FORMAT.md``. Nothing that is read is believed: it is checked against the header.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.stores.centre_graph import graph_bytes, read_graph
from vecsearch.stores.patterns import MOST_SPREAD, MOST_STRETCH, SUB_DIMENSIONS

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Floats, Ids

    Bytes = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.int64]

__all__ = ["HEADER", "CodebookParts", "codebook_bytes", "read_codebook"]

HEADER = struct.Struct("<8s16s3d6Q")
"""Mark, fingerprint, stretch, spread and stretch of rare tokens, n_tokens, dim, n_sub, n_cells, n_types, bytes of the
graph."""
_MARK = b"vscells\x02"
_HEADER_2, _MARK_2 = struct.Struct("<8s16sd6Q"), b"vscells\x01"


@dataclass(frozen=True)
class CodebookParts:
    """All that a codebook consists of.

    Attributes:
        dim: length of a vector.
        n_tokens: size of the corpus that the cells were planned for.
        graph: an ``IndexHNSWSQ`` over the centres of the cells (``centre_graph``).
        patterns: float32 ``(n_sub, 16, SUB_DIMENSIONS)``, ``n_sub`` even.
        stretch: how many times as long the patterns count in a search, for tokens in cells of types.
        rare_spread: how many times as far from their centres tokens in other cells are; patterns count as much longer.
        rare_stretch: like ``stretch``, for those.
        types: int32, rising, those that have cells.
        starts: int64 ``(n_types + 1,)``. The cells of ``types[i]`` are ``starts[i]`` to ``starts[i + 1] − 1``.
        fingerprint: 16 bytes by which codes know their codebook.
    """

    dim: int
    n_tokens: int
    graph: Any
    patterns: Floats
    stretch: float
    rare_spread: float
    rare_stretch: float
    types: Ids
    starts: Numbers
    fingerprint: bytes


def codebook_bytes(parts: CodebookParts) -> bytes:
    """Return the bytes of a codebook; ``read_codebook`` reads them back."""
    graph = graph_bytes(parts.graph)
    header = HEADER.pack(
        _MARK,
        parts.fingerprint,
        parts.stretch,
        parts.rare_spread,
        parts.rare_stretch,
        parts.n_tokens,
        parts.dim,
        len(parts.patterns),
        int(parts.graph.ntotal),
        len(parts.types),
        len(graph),
    )
    arrays = (parts.patterns.astype("<f4"), parts.types.astype("<i4"), parts.starts.astype("<i8"))
    return b"".join([header, *(array.tobytes() for array in arrays), graph])


def read_codebook(buffer: bytes | memoryview | Bytes) -> CodebookParts:
    """Read what ``codebook_bytes`` gave, or that of an index of format 2.

    Raises:
        ValueError: it is anything else.
    """
    content = np.frombuffer(buffer, np.uint8)
    if len(content) < HEADER.size:
        raise ValueError(f"a codebook has at least {HEADER.size} bytes, not {len(content)}")
    is_format_2 = content[: len(_MARK_2)].tobytes() == _MARK_2
    form = _HEADER_2 if is_format_2 else HEADER
    mark, fingerprint, stretch, *numbers = form.unpack(content[: form.size].tobytes())
    rare_spread, rare_stretch = (1.0, stretch) if is_format_2 else (numbers.pop(0), numbers.pop(0))
    n_tokens, dim, n_sub, n_cells, n_types, n_graph = numbers
    sizes = [4 * n_sub * 16 * SUB_DIMENSIONS, 4 * n_types, 8 * (n_types + 1), n_graph]
    if mark not in (_MARK, _MARK_2) or form.size + sum(sizes) != len(content):
        raise ValueError("this is not a codebook, or not all of one")
    if not 0 < dim <= n_sub * SUB_DIMENSIONS < dim + 2 * SUB_DIMENSIONS or n_sub % 2 or not n_cells:
        raise ValueError(f"a codebook cannot have {n_cells} cells, {dim} dimensions and {n_sub} codes a vector")
    ends = form.size + np.cumsum(sizes)
    patterns, types, starts, graph = (content[end - size : end] for end, size in zip(ends.tolist(), sizes, strict=True))
    pattern_values = patterns.copy().view("<f4").astype(np.float32).reshape(n_sub, 16, SUB_DIMENSIONS)
    type_values = types.copy().view("<i4").astype(np.int32)
    start_values = starts.copy().view("<i8").astype(np.int64)
    stretches = np.array([stretch, rare_stretch])
    if not np.isfinite(pattern_values).all() or not ((stretches >= 1) & (stretches <= MOST_STRETCH)).all():
        raise ValueError("the patterns of a codebook must be finite, and stretched within reason")
    if not 1 / MOST_SPREAD <= rare_spread <= MOST_SPREAD:
        raise ValueError("rare tokens of a codebook cannot be as far from their centres as it says")
    if type_values.min(initial=0) < 0 or np.any(np.diff(type_values) <= 0):
        raise ValueError("the types of a codebook must rise from 0")
    if start_values[0] != 0 or start_values[-1] > n_cells or np.any(np.diff(start_values) <= 0):
        raise ValueError("the cells of the types of a codebook must rise from 0 to the number of cells")
    return CodebookParts(
        dim,
        n_tokens,
        read_graph(graph, n_sub * SUB_DIMENSIONS, n_cells),
        pattern_values,
        stretch,
        rare_spread,
        rare_stretch,
        type_values,
        start_values,
        fingerprint,
    )
