"""Token-aware cells and 4-bit codes: which passages may hold good partners of a query's tokens, quickly and roughly.

A ``Codebook`` says which cell a token belongs to and how its vector is coded. Where tokens have types, the cell
follows from the type: a frequent type has a cell of its own, a very frequent one has several, and rare types go to the
nearest cell. So no global k-means and no search for the cell of most tokens is needed. A code is the difference to the
centre of the cell, each four dimensions as one of 16 patterns (product quantization, Jégou, Douze & Schmid 2011), in
blocks of 32 codes that are compared in registers (André, Kermarrec & Le Scouarnec 2015; FAISS "FastScan").

``Codes`` are the codes of one segment. Their bytes on disk are searched in place: FAISS is given their address, and
nothing is copied. All segments of one codebook share the cells, so one ``Probe`` serves them all, and segments are
merged without decoding. Scores are approximate, and this module does not know exact ones.
"""

from __future__ import annotations

import hashlib
import struct
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.stores.faiss_library import faiss

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Bools, Floats, Ids

    Bytes = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.int64]

__all__ = ["Codebook", "Codes", "Probe", "RareCells", "best_per_passage"]

LIST_TOKENS = 1_000
"""A type with more tokens than this in the corpus has several cells."""
FEWEST_TOKENS = 24
"""A type with fewer tokens than this in the corpus has no cell of its own."""
FEWEST_SAMPLES = 2
"""A cell rests on so many vectors of the sample at least."""
SUB_DIMENSIONS = 4
"""Dimensions that one 4-bit code stands for."""
PQ_SAMPLES = 16_384
"""Residuals that the patterns are learnt from."""
ENCODE_TOKENS = 8_192
"""As many vectors are coded at a time, so that they stay in the cache."""
CHUNK_TOKENS = 1 << 17
"""About as many codes are moved at a time."""
LINKS = 16
"""Neighbours of a centre in the graph, on each of its levels but the lowest, which has twice as many."""
LIFT = 0.05
"""How far below the lowest cell of a probe similarities are counted from."""
MOST_STRETCH = 4.0
"""Codes are never counted as longer than this many times."""
MOST_TYPE = 1 << 26
"""Types below this are looked up in a table, others by bisection."""

_BLOCK = 32  # codes that FastScan compares at a time
# mark, fingerprint, stretch, n_tokens, dim, n_sub, n_cells, n_types, bytes of the graph
_CODEBOOK = struct.Struct("<8s16sd6Q")
_CODEBOOK_MARK = b"vscells\x01"
_CODES = struct.Struct("<8s16s5Q")  # mark, fingerprint, n, n_cells, code size, blocks, slots
_CODES_MARK = b"vscodes\x01"
# where FastScan keeps the codes of a half block: the first 16 in the low nibbles, the others in the high ones
_FASTSCAN = np.array([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])
_UNSCAN = np.argsort(_FASTSCAN)


@dataclass(frozen=True)
class Probe:
    """The cells that a query looks into.

    Attributes:
        cells: int64 ``(n_query, n_probe)``, −1 where there are fewer cells.
        similarities: float32 ``(n_query, n_probe)``, inner products with their centres.
    """

    cells: Numbers
    similarities: Floats


class Codebook:
    """Cells and the code of vectors relative to them. Frozen; threads may share it.

    Attributes:
        n_cells, dim: how many cells, and the length of a vector.
        n_tokens: size of the corpus that the cells were planned for.
    """

    def __init__(
        self,
        dim: int,
        n_tokens: int,
        graph: Any,
        patterns: Floats,
        stretch: float,
        types: Ids,
        starts: Numbers,
        fingerprint: bytes,
    ) -> None:
        """Not for callers: see ``train`` and ``from_bytes``.

        ``graph``: an ``IndexHNSWSQ`` over centres. ``patterns``: float32 ``(n_sub, 16, SUB_DIMENSIONS)``, and
        ``stretch``: how many times as long they count in a search.
        ``types``: int32, rising, those that have cells. The cells of ``types[i]`` are ``starts[i]`` to
        ``starts[i + 1] − 1``.
        """
        self.dim = dim
        self.n_tokens = n_tokens
        self.n_cells = int(graph.ntotal)
        self.fingerprint = fingerprint
        self._graph = graph
        self._patterns = patterns
        self._stretch = stretch
        self._types = types
        self._starts = starts
        self._width = patterns.shape[0] * patterns.shape[2]
        self._centres = _reconstructed(graph)
        if not np.isfinite(self._centres).all():
            raise ValueError("the centres of a codebook must be finite")
        self._half_norms = np.einsum("ij,ij->i", self._centres, self._centres) / 2
        self._quantizer = faiss().ProductQuantizer(self._width, len(patterns), 4)
        faiss().copy_array_to_vector(patterns.ravel(), self._quantizer.centroids)
        self._quantizer.sync_transposed_centroids()

    @property
    def code_size(self) -> int:
        """Bytes of one code."""
        return len(self._patterns) // 2

    @classmethod
    def train(cls, vectors: Floats, types: Ids, n_tokens: int, *, seed: int = 0) -> Codebook:
        """Plan cells for a corpus and learn how to code it.

        Args:
            vectors: float32 ``(n ≥ 1, dim)``, a sample of the corpus' position-aware vectors, of unit length or zero.
            types: int32 ``(n,)``, their token ids; −1 where a token has none.
            n_tokens: of the whole corpus.
            seed: of the k-means.

        Raises:
            ValueError: shapes or types are not these, or the sample is empty.
        """
        if vectors.ndim != 2 or vectors.dtype != np.float32 or not vectors.size:
            raise ValueError(f"the sample is {vectors.dtype} {vectors.shape}; it must be float32 (n ≥ 1, dim ≥ 1)")
        if types.shape != (len(vectors),) or types.dtype != np.int32:
            raise ValueError(f"types are {types.dtype} {types.shape}; they must be int32 ({len(vectors)},)")
        with _one_thread():
            return cls._train(vectors, types, n_tokens, seed)

    @classmethod
    def _train(cls, vectors: Floats, types: Ids, n_tokens: int, seed: int) -> Codebook:
        dim = vectors.shape[1]
        n_sub = -(-dim // SUB_DIMENSIONS)
        n_sub += n_sub % 2
        vectors = _padded(vectors, n_sub * SUB_DIMENSIONS)
        n_tokens = max(n_tokens, len(vectors))
        own_types, centres, starts = _plan(vectors, types, n_tokens, seed)
        library = faiss()
        graph = library.IndexHNSWSQ(
            vectors.shape[1], library.ScalarQuantizer.QT_8bit, LINKS, library.METRIC_INNER_PRODUCT
        )
        graph.train(centres)
        graph.add(centres)
        generator = np.random.default_rng(seed)
        chosen = generator.permutation(len(vectors))[:PQ_SAMPLES]
        some = vectors[chosen]
        book = cls(
            dim,
            n_tokens,
            graph,
            np.zeros((n_sub, 16, SUB_DIMENSIONS), np.float32),
            1.0,
            own_types,
            starts,
            bytes(16),
        )
        cells = book._cells(some, types[chosen], RareCells())
        residuals = some - book._centres[cells]
        patterns = _patterns(residuals, n_sub, seed)
        book = cls(dim, n_tokens, graph, patterns, 1.0, own_types, starts, bytes(16))
        stretch = _stretch(residuals, book._residuals(book.encode(some[:, :dim], cells)))
        hashed = hashlib.blake2b(digest_size=16)
        for part in (np.array([n_tokens, dim]), book._centres, patterns, np.array(stretch), own_types, starts):
            hashed.update(np.ascontiguousarray(part).tobytes())
        return cls(dim, n_tokens, graph, patterns, stretch, own_types, starts, hashed.digest())

    def cells(self, vectors: Floats, types: Ids, rare: RareCells | None = None) -> Ids:
        """Return the cell of each token: int32 ``(n,)``.

        Known where the type has one cell; the nearest of its cells where it has several; for a rarer type the nearest
        of all cells, that of the type's first vector; without a type, the nearest of all.

        Args:
            vectors: float32 ``(n, dim)``.
            types: int32 ``(n,)``, −1 for none.
            rare: cells of rare types that earlier calls found; this call adds to it. None begins anew.
        """
        return self._cells(_padded(vectors, self._width), types, RareCells() if rare is None else rare)

    def probe(self, query: Floats, n_probe: int) -> Probe:
        """Return the nearest cells of each token of a query, float32 ``(n_query, dim)``, nearest first."""
        n_found = min(n_probe, self.n_cells)
        cells = np.full((len(query), n_probe), -1, np.int64)
        similarities = np.zeros((len(query), n_probe), np.float32)
        if len(query) and n_found:
            similarities[:, :n_found], cells[:, :n_found] = self._nearest(_padded(query, self._width), n_found)
        return Probe(cells, similarities)

    def encode(self, vectors: Floats, cells: Ids) -> Bytes:
        """Return the codes of vectors in given cells: uint8 ``(n, code_size)``, two 4-bit codes a byte."""
        padded = _padded(vectors, self._width)
        codes = np.empty((len(padded), self.code_size), np.uint8)
        room = np.empty((min(len(padded), ENCODE_TOKENS), self._width), np.float32)
        for begin in range(0, len(padded), ENCODE_TOKENS):
            some = slice(begin, begin + ENCODE_TOKENS)
            residuals = room[: len(padded[some])]
            np.take(self._centres, cells[some], axis=0, out=residuals, mode="clip")
            np.subtract(padded[some], residuals, out=residuals)
            codes[some] = self._quantizer.compute_codes(residuals)
        return codes

    def decode(self, codes: Bytes, cells: Ids) -> Floats:
        """Return the vectors that codes in given cells stand for in a search: float32 ``(n, dim)``."""
        vectors: Floats = (self._centres[cells] + self._residuals(codes))[:, : self.dim]
        return vectors

    def _residuals(self, codes: Bytes) -> Floats:
        halves = np.stack([codes & 15, codes >> 4], axis=2).reshape(len(codes), -1)
        residuals: Floats = self._patterns[np.arange(len(self._patterns)), halves].reshape(len(codes), -1)
        return residuals * np.float32(self._stretch)

    def index(self) -> Any:
        """Return a new FAISS index over these cells that has no lists yet. The codebook must outlive it."""
        library = faiss()
        n_sub, _, sub_dimensions = self._patterns.shape
        index = library.IndexIVFPQFastScan(
            self._graph, n_sub * sub_dimensions, self.n_cells, n_sub, 4, library.METRIC_INNER_PRODUCT, _BLOCK, False
        )
        index.by_residual = True
        library.copy_array_to_vector((self._patterns * np.float32(self._stretch)).ravel(), index.pq.centroids)
        index.is_trained = True
        return index

    def to_bytes(self) -> bytes:
        """Return all of it; ``from_bytes`` reads it back."""
        graph = faiss().serialize_index(self._graph).tobytes()
        header = _CODEBOOK.pack(
            _CODEBOOK_MARK,
            self.fingerprint,
            self._stretch,
            self.n_tokens,
            self.dim,
            len(self._patterns),
            self.n_cells,
            len(self._types),
            len(graph),
        )
        arrays = (
            self._patterns.astype("<f4"),
            self._types.astype("<i4"),
            self._starts.astype("<i8"),
        )
        return b"".join([header, *(array.tobytes() for array in arrays), graph])

    @classmethod
    def from_bytes(cls, buffer: bytes | memoryview | Bytes) -> Codebook:
        """Read what ``to_bytes`` gave.

        Raises:
            ValueError: it is anything else.
        """
        content = np.frombuffer(buffer, np.uint8)
        if len(content) < _CODEBOOK.size:
            raise ValueError(f"a codebook has at least {_CODEBOOK.size} bytes, not {len(content)}")
        mark, fingerprint, stretch, *numbers = _CODEBOOK.unpack(content[: _CODEBOOK.size].tobytes())
        n_tokens, dim, n_sub, n_cells, n_types, n_graph = numbers
        sizes = [4 * n_sub * 16 * SUB_DIMENSIONS, 4 * n_types, 8 * (n_types + 1), n_graph]
        if mark != _CODEBOOK_MARK or _CODEBOOK.size + sum(sizes) != len(content):
            raise ValueError("this is not a codebook, or not all of one")
        if not 0 < dim <= n_sub * SUB_DIMENSIONS < dim + 2 * SUB_DIMENSIONS or n_sub % 2 or not n_cells:
            raise ValueError(f"a codebook cannot have {n_cells} cells, {dim} dimensions and {n_sub} codes a vector")
        ends = _CODEBOOK.size + np.cumsum(sizes)
        patterns, types, starts, graph = (
            content[end - size : end] for end, size in zip(ends.tolist(), sizes, strict=True)
        )
        pattern_values = patterns.copy().view("<f4").astype(np.float32).reshape(n_sub, 16, SUB_DIMENSIONS)
        type_values = types.copy().view("<i4").astype(np.int32)
        start_values = starts.copy().view("<i8").astype(np.int64)
        if not np.isfinite(pattern_values).all() or not 1 <= stretch <= MOST_STRETCH:
            raise ValueError("the patterns of a codebook must be finite, and stretched within reason")
        if type_values.min(initial=0) < 0 or np.any(np.diff(type_values) <= 0):
            raise ValueError("the types of a codebook must rise from 0")
        if start_values[0] != 0 or start_values[-1] > n_cells or np.any(np.diff(start_values) <= 0):
            raise ValueError("the cells of the types of a codebook must rise from 0 to the number of cells")
        return cls(
            dim,
            n_tokens,
            _read_graph(graph, n_sub * SUB_DIMENSIONS, n_cells),
            pattern_values,
            stretch,
            type_values,
            start_values,
            fingerprint,
        )

    def _cells(self, vectors: Floats, types: Ids, rare: RareCells) -> Ids:
        place = _places(self._types, types)
        known = place >= 0
        first = self._starts[place]
        counts = np.where(known, self._starts[place + 1] - first, 0)
        cells = np.where(counts == 1, first, -1).astype(np.int32)
        split = np.flatnonzero(counts > 1)
        order = split[np.argsort(place[split], kind="stable")]
        bounds = np.flatnonzero(np.diff(place[order], prepend=-1, append=-1))
        for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            tokens = order[begin:end]
            cells_of_type = slice(int(first[tokens[0]]), int(first[tokens[0]] + counts[tokens[0]]))
            distances = vectors[tokens] @ self._centres[cells_of_type].T - self._half_norms[cells_of_type]
            cells[tokens] = cells_of_type.start + distances.argmax(axis=1)
        others = np.flatnonzero(~known & (types >= 0))
        if len(others):
            different, firsts, inverse = np.unique(types[others], return_index=True, return_inverse=True)
            found = rare.of(different)
            new = np.flatnonzero(found < 0)
            if len(new):
                found[new] = np.maximum(self._nearest(vectors[others[firsts[new]]], 1)[1][:, 0], 0)
                rare.add(different[new], found[new])
            cells[others] = found[inverse]
        untyped = np.flatnonzero(types < 0)
        if len(untyped):
            cells[untyped] = self._nearest(vectors[untyped], 1)[1][:, 0]
        # subtle: a graph may lose a node; any cell is valid
        return np.maximum(cells, 0)

    def _nearest(self, vectors: Floats, k: int) -> tuple[Floats, Numbers]:
        library = faiss()
        parameters = library.SearchParametersHNSW()
        # a token is put into a near cell, which need not be the nearest; a query should look into the nearest ones
        parameters.efSearch = 24 if k == 1 else max(2 * k, 64)
        found: tuple[Floats, Numbers] = self._graph.search(vectors, k, params=parameters)
        return found


class RareCells:
    """The cells that types without a cell of their own were given, so that each is looked for once."""

    def __init__(self) -> None:
        self._types = np.zeros(0, np.int32)
        self._cells = np.zeros(0, np.int32)

    def of(self, types: Ids) -> Ids:
        """Return the cell of each type, −1 where it has none yet."""
        place = _places(self._types, types)
        found: Ids = np.append(self._cells, np.int32(-1))[place]
        return found

    def add(self, types: Ids, cells: Ids) -> None:
        """Remember the cells of types that have none yet."""
        types, cells = np.concatenate([self._types, types]), np.concatenate([self._cells, cells])
        order = np.argsort(types)
        self._types, self._cells = types[order], cells[order]


class Codes:
    """The codes of one segment. Frozen; threads may share it.

    Attributes:
        n: tokens.
    """

    def __init__(self, codebook: Codebook, content: Bytes, layout: _Layout) -> None:
        """Not for callers: see ``build``, ``merged`` and ``from_buffer``."""
        self.n = layout.n
        self._codebook = codebook
        self._content = content
        self._layout = layout
        self._index, lists = _over(codebook, content, layout)
        # subtle: FAISS unmaps the address when the lists die, but it was not FAISS that mapped it
        weakref.finalize(self, _forget, self._index, lists).atexit = False

    @classmethod
    def build(cls, codebook: Codebook, blocks: Iterable[tuple[Floats, Ids, Numbers]]) -> Codes:
        """Code vectors.

        Args:
            codebook: trained.
            blocks: vectors float32 ``(n, dim)``, types int32 ``(n,)`` and numbers int64 ``(n,)`` ≥ 0, the passages that
                the tokens belong to. One block is in memory at a time, and ``code_size + 12`` bytes a token.

        Raises:
            ValueError: a number is negative, or a block is not of such shapes.
        """
        all_codes, all_cells, all_numbers = [], [], []
        rare = RareCells()
        for vectors, types, numbers in blocks:
            if vectors.shape != (len(numbers), codebook.dim) or types.shape != numbers.shape:
                raise ValueError(
                    f"a block has vectors {vectors.shape}, types {types.shape} and numbers {numbers.shape}; "
                    f"they must be (n, {codebook.dim}), (n,) and (n,)"
                )
            if len(numbers) and numbers.min() < 0:
                raise ValueError(f"a passage has the number {numbers.min()}; numbers must be 0 or more")
            cells = codebook.cells(vectors, types, rare)
            all_codes.append(codebook.encode(vectors, cells))
            all_cells.append(cells)
            all_numbers.append(numbers.astype(np.int64))
        cells = np.concatenate([np.zeros(0, np.int32), *all_cells])
        codes = np.concatenate([np.zeros((0, codebook.code_size), np.uint8), *all_codes])
        numbers = np.concatenate([np.zeros(0, np.int64), *all_numbers])
        del all_cells, all_codes, all_numbers
        layout = _Layout.of(np.bincount(cells, minlength=codebook.n_cells), codebook.code_size)
        content = layout.allocate(codebook.fingerprint)
        order = np.argsort(cells, kind="stable")
        for begin, end in layout.chunks():
            some = order[layout.tokens[begin] : layout.tokens[end]]
            layout.fill(content, begin, end, codes[some], numbers[some])
        return cls(codebook, content, layout)

    @classmethod
    def merged(cls, codebook: Codebook, parts: Sequence[Codes], allowed: Bytes | None = None) -> Codes:
        """Return the codes of several segments of one codebook as one, neither decoded nor coded again.

        Args:
            codebook: of all of them.
            parts: segments.
            allowed: as for ``search``; codes of other passages are left out.
        """
        sizes = np.zeros(codebook.n_cells, np.int64)
        for part in parts:
            for begin, end in part._layout.chunks():
                kept = _is_allowed(part._numbers(begin, end), allowed)
                sizes[begin:end] += np.bincount(part._layout.cells(begin, end)[kept] - begin, minlength=end - begin)
        layout = _Layout.of(sizes, codebook.code_size)
        content = layout.allocate(codebook.fingerprint)
        for begin, end in layout.chunks():
            cells, numbers, codes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], []
            codes.append(np.zeros((0, codebook.code_size), np.uint8))
            for part in parts:
                some = part._numbers(begin, end)
                kept = _is_allowed(some, allowed)
                cells.append(part._layout.cells(begin, end)[kept])
                numbers.append(some[kept])
                codes.append(part._flat(begin, end)[kept])
            order = np.argsort(np.concatenate(cells), kind="stable")
            layout.fill(content, begin, end, np.concatenate(codes)[order], np.concatenate(numbers)[order])
        return cls(codebook, content, layout)

    def search(self, query: Floats, probe: Probe, k: int, allowed: Bytes | None = None) -> tuple[Floats, Numbers]:
        """Return the best tokens of each query token, best first.

        Args:
            query: float32 ``(n_query, dim)``.
            probe: of this query.
            k: tokens.
            allowed: uint8 ``(n,)``: passage p may be found if bit p % 8 of byte p // 8 is set; none beyond it may.

        Returns:
            Approximate similarities float32 ``(n_query, k)`` and the numbers of their passages, int64 of that shape;
            −inf and −1 where fewer were found.
        """
        similarities = np.full((len(query), k), -np.inf, np.float32)
        numbers = np.full((len(query), k), -1, np.int64)
        if not self.n or not similarities.size or not probe.cells.size or (allowed is not None and not len(allowed)):
            return similarities, numbers
        library = faiss()
        parameters = library.SearchParametersIVF()
        parameters.nprobe = probe.cells.shape[1] + 1
        if allowed is not None:
            allowed = np.ascontiguousarray(allowed)
            # subtle: FAISS keeps an address of it, so it must have a name as long as the search goes on
            selector = library.IDSelectorBitmap(len(allowed), library.swig_ptr(allowed))
            parameters.sel = selector
        padded = _padded(query, self._codebook._width)
        # subtle: FAISS adds up whole numbers from the lowest cell on, and drops what has 0. One cell that is not there,
        # lower than all others, lifts every token above 0.
        lowest = np.where(probe.cells < 0, np.inf, probe.similarities).min(axis=1, keepdims=True) - LIFT
        cells = np.concatenate([probe.cells, np.full((len(query), 1), -1)], axis=1)
        biases = np.concatenate(
            [np.where(probe.cells < 0, lowest, probe.similarities), lowest], axis=1, dtype=np.float32
        )
        self._index.search_preassigned_c(
            len(query),
            library.swig_ptr(padded),
            k,
            library.swig_ptr(cells),
            library.swig_ptr(biases),
            library.swig_ptr(similarities),
            library.swig_ptr(numbers),
            False,
            parameters,
        )
        similarities[numbers < 0] = -np.inf
        return similarities, numbers

    @property
    def n_bytes(self) -> int:
        """Length of what ``to_bytes`` returns and ``write`` writes."""
        return len(self._content)

    def to_bytes(self) -> bytes:
        """Return all of it, without the codebook; ``from_buffer`` reads it back."""
        return self._content.tobytes()

    @property
    def content(self) -> Bytes:
        """What ``to_bytes`` returns, without a copy: uint8 ``(n_bytes,)``."""
        return self._content

    @classmethod
    def from_buffer(cls, codebook: Codebook, buffer: bytes | memoryview | Bytes) -> Codes:
        """Use what ``to_bytes`` gave in place: nothing is copied, and a memory map stays one.

        Args:
            codebook: the one they were made with.
            buffer: kept as long as the codes live, best at an address that 8 divides. Its checksum was verified by the
                caller.

        Raises:
            ValueError: it is anything else, or belongs to another codebook.
        """
        content = np.frombuffer(buffer, np.uint8)
        return cls(codebook, content, _Layout.read(content, codebook))

    def _numbers(self, begin: int, end: int) -> Numbers:
        return self._layout.numbers(self._content)[self._layout.slots(begin, end)]

    def _flat(self, begin: int, end: int) -> Bytes:
        layout = self._layout
        first, last = layout.blocks[begin], layout.blocks[end]
        return _unpacked(layout.codes(self._content)[first:last])[layout.rows(begin, end)]


class _Layout:
    """Where the codes and numbers of each cell are.

    A header; the sizes of the lists, uint32 each; blocks of 32 codes, each list in blocks of its own; numbers, int64,
    each list padded to a whole number of codes, since FAISS counts the distance from codes to numbers in codes.
    """

    def __init__(self, sizes: Numbers, code_size: int) -> None:
        self.sizes = sizes
        self.code_size = code_size
        self.n = int(sizes.sum())
        quantum = int(np.lcm(8, code_size)) // 8
        self.tokens = _sums(sizes)
        self.blocks = _sums(-(-sizes // _BLOCK))
        self.first_slots = _sums(-(-sizes // quantum) * quantum)
        self.begin_codes = _aligned(_CODES.size + 4 * len(sizes))
        self.begin_numbers = self.begin_codes + int(self.blocks[-1]) * _BLOCK * code_size
        self.n_bytes = self.begin_numbers + 8 * int(self.first_slots[-1])

    @classmethod
    def of(cls, sizes: Numbers, code_size: int) -> _Layout:
        return cls(sizes.astype(np.int64), code_size)

    @classmethod
    def read(cls, content: Bytes, codebook: Codebook) -> _Layout:
        if len(content) < _CODES.size:
            raise ValueError(f"codes have at least {_CODES.size} bytes, not {len(content)}")
        mark, fingerprint, n, n_cells, code_size, n_blocks, n_slots = _CODES.unpack(content[: _CODES.size].tobytes())
        if mark != _CODES_MARK:
            raise ValueError("these are not codes")
        if fingerprint != codebook.fingerprint or (n_cells, code_size) != (codebook.n_cells, codebook.code_size):
            raise ValueError("these codes belong to another codebook")
        end = _CODES.size + 4 * n_cells
        if len(content) < end:
            raise ValueError("these are not all the codes")
        layout = cls.of(content[_CODES.size : end].copy().view("<u4"), code_size)
        if (layout.n, layout.blocks[-1], layout.first_slots[-1], layout.n_bytes) != (
            n,
            n_blocks,
            n_slots,
            len(content),
        ):
            raise ValueError("the lists of these codes are not as long as they say")
        return layout

    def allocate(self, fingerprint: bytes) -> Bytes:
        """Return room for all of it, with header and sizes filled in and nothing else."""
        content = np.zeros(self.n_bytes, np.uint8)
        header = _CODES.pack(
            _CODES_MARK,
            fingerprint,
            self.n,
            len(self.sizes),
            self.code_size,
            int(self.blocks[-1]),
            int(self.first_slots[-1]),
        )
        sizes = self.sizes.astype("<u4").view(np.uint8)
        content[: len(header)] = np.frombuffer(header, np.uint8)
        content[len(header) : len(header) + len(sizes)] = sizes
        self.numbers(content)[:] = -1
        return content

    def codes(self, content: Bytes) -> Bytes:
        """Return the blocks: uint8 ``(n_blocks, code_size, 32)``."""
        return content[self.begin_codes : self.begin_numbers].reshape(-1, self.code_size, _BLOCK)

    def numbers(self, content: Bytes) -> Numbers:
        """Return the numbers of all slots: int64, −1 where a slot is not used."""
        numbers: Numbers = content[self.begin_numbers :].view(np.int64)
        return numbers

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Cut the cells into ranges of about ``CHUNK_TOKENS`` tokens."""
        begin = 0
        while begin < len(self.sizes):
            end = int(np.searchsorted(self.tokens, self.tokens[begin] + CHUNK_TOKENS, side="right")) - 1
            end = max(end, begin + 1)
            yield begin, end
            begin = end

    def cells(self, begin: int, end: int) -> Numbers:
        """Return the cell of every token of a range of cells, in order."""
        return np.repeat(np.arange(begin, end), self.sizes[begin:end])

    def slots(self, begin: int, end: int) -> Numbers:
        """Return where the numbers of a range of cells are among all numbers."""
        return self._spread(self.first_slots, begin, end)

    def rows(self, begin: int, end: int) -> Numbers:
        """Return where the codes of a range of cells are, counted in codes from the first block of the range."""
        return self._spread((self.blocks - self.blocks[begin]) * _BLOCK, begin, end)

    def fill(self, content: Bytes, begin: int, end: int, codes: Bytes, numbers: Numbers) -> None:
        """Write the tokens of a range of cells, in order."""
        first, last = self.blocks[begin], self.blocks[end]
        flat = np.zeros(((last - first) * _BLOCK, self.code_size), np.uint8)
        flat[self.rows(begin, end)] = codes
        self.codes(content)[first:last] = _packed(flat)
        self.numbers(content)[self.slots(begin, end)] = numbers

    def _spread(self, starts: Numbers, begin: int, end: int) -> Numbers:
        shifts = starts[begin:end] - (self.tokens[begin:end] - self.tokens[begin])
        places: Numbers = np.arange(self.tokens[end] - self.tokens[begin]) + np.repeat(shifts, self.sizes[begin:end])
        return places


def best_per_passage(similarities: Floats, numbers: Numbers) -> tuple[Numbers, Floats]:
    """Reduce the best tokens of each query token to the best one a passage.

    Args:
        similarities: float32 ``(n_query, k)``, in any order.
        numbers: int64 ``(n_query, k)``, the passages; negative where there is none.

    Returns:
        Passages int64 ``(n,)``, rising, and float32 ``(n_query, n)``. Where a query token has not found a passage
        stands the smallest similarity that it found, which bounds what it could have been; 0 where it found nothing.

    Example:
        >>> best_per_passage(np.array([[.9, .8, .7], [.6, .5, -np.inf]], np.float32), np.array([[3, 3, 5], [8, 3, -1]]))
        (array([3, 5, 8]), array([[0.9, 0.7, 0.7],
               [0.5, 0.5, 0.6]], dtype=float32))
    """
    numbers = np.maximum(numbers, -1)
    found = numbers >= 0
    floors = np.where(found, similarities, np.inf).min(axis=1, initial=np.inf).astype(np.float32)
    floors[np.isinf(floors)] = 0
    highest = int(numbers.max(initial=-1))
    if highest < 0:
        return np.zeros(0, np.int64), np.zeros((len(numbers), 0), np.float32)
    if highest < MOST_TYPE:
        # the last entry stands for -1
        is_found = np.zeros(highest + 2, bool)
        is_found[numbers] = True
        is_found[-1] = False
        passages = np.flatnonzero(is_found)
        places = np.empty(highest + 2, np.int64)
        places[passages] = np.arange(len(passages))
        places[-1] = len(passages)
        columns = places[numbers]
    else:
        passages, inverse = np.unique(numbers[found], return_inverse=True)
        columns = np.full(numbers.shape, len(passages))
        columns[found] = inverse
    reduced = np.repeat(floors[:, None], len(passages) + 1, axis=1)
    columns += (np.arange(len(numbers)) * (len(passages) + 1))[:, None]
    np.maximum.at(reduced.ravel(), columns.ravel(), similarities.ravel())
    return passages, np.ascontiguousarray(reduced[:, :-1])


def _plan(vectors: Floats, types: Ids, n_tokens: int, seed: int) -> tuple[Ids, Floats, Numbers]:
    """Return the types that have cells, the centres of all cells, and where the cells of each type begin."""
    scale = n_tokens / len(vectors)
    is_typed = types >= 0
    own_types, counts = np.unique(types[is_typed], return_counts=True)
    own_types = own_types[(counts * scale >= FEWEST_TOKENS) & (counts >= FEWEST_SAMPLES)].astype(np.int32)
    place = _places(own_types, types)
    centres = []
    n_cells = []
    for members in _groups(place):
        centres.append(_split(vectors[members], round(len(members) * scale), seed))
        n_cells.append(len(centres[-1]))
    rest = np.flatnonzero(~is_typed)
    if len(rest) > len(vectors) // 2 or not centres:
        if not len(rest):
            rest = np.arange(len(vectors))
        # two levels: the groups of a coarse k-means are split as types are
        n_groups = max(1, min(round((len(rest) * scale / LIST_TOKENS) ** 0.5), len(rest) // 64))
        groups = _nearest_of(vectors[rest], _kmeans(vectors[rest], n_groups, seed))
        centres += [_split(vectors[rest[members]], round(len(members) * scale), seed) for members in _groups(groups)]
    return own_types, np.concatenate(centres), _sums(np.array(n_cells, np.int64))


def _groups(place: Numbers) -> list[Numbers]:
    """Return the indices of each value ≥ 0 of an array, values rising."""
    order = np.argsort(place, kind="stable")
    order = order[np.searchsorted(place[order], 0) :]
    bounds = np.flatnonzero(np.diff(place[order], prepend=-1))
    return np.split(order, bounds[1:]) if len(order) else []


def _split(vectors: Floats, n_tokens: int, seed: int) -> Floats:
    n = max(1, min(-(-n_tokens // LIST_TOKENS), len(vectors) // FEWEST_SAMPLES))
    if n == 1:
        mean: Floats = vectors.mean(axis=0, keepdims=True)
        return mean
    return _kmeans(vectors, n, seed)


def _kmeans(vectors: Floats, n: int, seed: int) -> Floats:
    kmeans = faiss().Kmeans(
        vectors.shape[1], n, niter=8, seed=seed, min_points_per_centroid=1, max_points_per_centroid=256
    )
    kmeans.train(np.ascontiguousarray(vectors))
    centres: Floats = kmeans.centroids
    return centres


@contextmanager
def _one_thread() -> Iterator[None]:
    # many small k-means, where threads mostly wait for each other; so the result does not depend on them either
    library = faiss()
    n_threads = library.omp_get_max_threads()
    library.omp_set_num_threads(1)
    try:
        yield
    finally:
        library.omp_set_num_threads(n_threads)


def _nearest_of(vectors: Floats, centres: Floats) -> Numbers:
    _, nearest = faiss().knn(np.ascontiguousarray(vectors), centres, 1)
    found: Numbers = nearest[:, 0].astype(np.int64)
    return found


def _patterns(residuals: Floats, n_sub: int, seed: int) -> Floats:
    library = faiss()
    quantizer = library.ProductQuantizer(residuals.shape[1], n_sub, 4)
    quantizer.cp.seed = seed
    quantizer.cp.min_points_per_centroid = 1
    quantizer.cp.max_points_per_centroid = -(-PQ_SAMPLES // 16)
    quantizer.cp.niter = 12
    # k-means wants as many points as patterns
    quantizer.train(np.ascontiguousarray(np.tile(residuals, (-(-16 // len(residuals)), 1))))
    patterns: Floats = library.vector_to_array(quantizer.centroids).reshape(n_sub, 16, -1).astype(np.float32)
    return patterns


def _stretch(residuals: Floats, coded: Floats) -> float:
    """Return how many times as long coded residuals must be to give the right inner product with the residuals.

    A pattern is the mean of many residuals and shorter than they are. So codes make every token less like a query that
    resembles it, the more so the farther it is from its centre, and rare types most. ⟨r, r⟩ / ⟨r, coded r⟩ takes that
    back on the mean (the estimator of RaBitQ, Gao & Long 2024, with one factor for all vectors).
    """
    length = float(np.einsum("ij,ij->", residuals, residuals, dtype=np.float64))
    product = float(np.einsum("ij,ij->", residuals, coded, dtype=np.float64))
    return min(max(length / product, 1.0), MOST_STRETCH) if product > 0 else 1.0


def _reconstructed(graph: Any) -> Floats:
    centres = np.empty((graph.ntotal, graph.d), np.float32)
    graph.reconstruct_n(0, graph.ntotal, centres)
    return centres


def _read_graph(content: Bytes, width: int, n_cells: int) -> Any:
    library = faiss()
    limits = library.get_deserialization_vector_byte_limit(), library.get_deserialization_loop_limit()
    library.set_deserialization_vector_byte_limit(len(content))
    library.set_deserialization_loop_limit(len(content))
    try:
        graph = library.deserialize_index(np.ascontiguousarray(content))
        storage: Any = library.downcast_index(graph.storage) if type(graph) is library.IndexHNSWSQ else None
        found = (type(storage), graph.d, graph.ntotal, graph.metric_type)
        if found != (library.IndexScalarQuantizer, width, n_cells, library.METRIC_INNER_PRODUCT) or (
            (storage.d, storage.ntotal, storage.codes.size()) != (width, n_cells, width * n_cells)
        ):
            raise ValueError("the graph of a codebook has another shape than the codebook")
    except RuntimeError as error:
        raise ValueError(f"the graph of a codebook cannot be read: {error}") from error
    finally:
        library.set_deserialization_vector_byte_limit(limits[0])
        library.set_deserialization_loop_limit(limits[1])
    return graph


def _over(codebook: Codebook, content: Bytes, layout: _Layout) -> tuple[Any, Any]:
    """Return a FAISS index whose lists are read from ``content``, and the lists, which nobody owns yet."""
    library = faiss()
    codes_at = layout.blocks[:-1] * _BLOCK * layout.code_size
    numbers_at = layout.begin_numbers - layout.begin_codes + 8 * layout.first_slots[:-1]
    capacities = (numbers_at - codes_at) // layout.code_size
    table = np.stack([layout.sizes, capacities, codes_at], axis=1).astype(np.uint64)
    n_bytes = len(content) - layout.begin_codes
    head = b"ilod" + struct.pack("<3Q", len(table), layout.code_size, len(table))
    serialized = np.frombuffer(head + table.tobytes() + struct.pack("<3Q", 0, 0, n_bytes), np.uint8)
    reader = library.ZeroCopyIOReader(library.swig_ptr(serialized), serialized.size)
    lists = library.read_InvertedLists(reader, library.IO_FLAG_SKIP_IVF_DATA | library.IO_FLAG_READ_ONLY)
    body = content[layout.begin_codes :]
    if len(body):
        lists.ptr = library.swig_ptr(body)
    index = codebook.index()
    index.replace_invlists(lists, False)
    index.ntotal = layout.n
    return index, lists


def _forget(index: Any, lists: Any) -> None:
    # subtle: the lists die with the index now. They were not the index's before, so that a process that ends while
    # codes are alive leaves them alone.
    lists.ptr = None
    index.own_invlists = True


def _packed(flat: Bytes) -> Bytes:
    """Turn codes ``(32 · n, code_size)`` into FastScan blocks ``(n, code_size, 32)``."""
    codes = flat.reshape(-1, _BLOCK, flat.shape[1]).transpose(0, 2, 1)
    codes = np.ascontiguousarray(codes).reshape(*codes.shape[:2], 2, 16)[..., _FASTSCAN]
    packed = np.empty((*codes.shape[:2], 2, 16), np.uint8)
    packed[:, :, 0] = codes[:, :, 0] & 15 | codes[:, :, 1] << 4
    packed[:, :, 1] = codes[:, :, 0] >> 4 | codes[:, :, 1] & 240
    return packed.reshape(*codes.shape[:2], _BLOCK)


def _unpacked(blocks: Bytes) -> Bytes:
    """Turn FastScan blocks back into codes."""
    halves = blocks.reshape(*blocks.shape[:2], 2, 16)
    codes = np.empty(halves.shape, np.uint8)
    codes[:, :, 0] = halves[:, :, 0] & 15 | halves[:, :, 1] << 4
    codes[:, :, 1] = halves[:, :, 0] >> 4 | halves[:, :, 1] & 240
    codes = codes[..., _UNSCAN].reshape(*blocks.shape)
    return np.ascontiguousarray(codes.transpose(0, 2, 1)).reshape(-1, blocks.shape[1])


def _is_allowed(numbers: Numbers, allowed: Bytes | None) -> Bools:
    if allowed is None:
        return np.ones(len(numbers), bool)
    is_allowed = np.zeros(len(numbers), bool)
    within = np.flatnonzero(numbers >> 3 < len(allowed))
    is_allowed[within] = allowed[numbers[within] >> 3] >> (numbers[within] & 7).astype(np.uint8) & 1
    return is_allowed


def _places(sorted_types: Ids, types: Ids) -> Numbers:
    """Return where each type is among the sorted ones, −1 where it is not."""
    if not len(sorted_types):
        return np.full(len(types), -1, np.int64)
    highest = int(sorted_types[-1])
    if highest < MOST_TYPE:
        table = np.full(highest + 2, -1, np.int64)
        table[sorted_types] = np.arange(len(sorted_types))
        return table[np.where((types < 0) | (types > highest), highest + 1, types)]
    place = np.minimum(np.searchsorted(sorted_types, types), len(sorted_types) - 1)
    return np.where(sorted_types[place] == types, place, -1)


def _padded(vectors: Floats, width: int) -> Floats:
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.shape[1] == width:
        return vectors
    wide = np.zeros((len(vectors), width), np.float32)
    wide[:, : vectors.shape[1]] = vectors
    return wide


def _sums(counts: Numbers) -> Numbers:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def _aligned(n: int) -> int:
    return -(-n // 64) * 64
