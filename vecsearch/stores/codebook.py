"""The codebook of an index: which cell a token belongs to, and how its vector is coded relative to that cell.

Where tokens have types, the cell follows from the type, and rare types go to the nearest cell, so no search for the
cell of most tokens is needed. A code is the difference to the centre of the cell, as patterns of four dimensions each.
A codebook is trained on a sample, once for many segments of codes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.scoring import inner_products
from vecsearch.stores.cell_planning import plan
from vecsearch.stores.centre_graph import centres_of, graph_over, nearest_cells
from vecsearch.stores.codebook_layout import CodebookParts, codebook_bytes, read_codebook
from vecsearch.stores.faiss_library import faiss, one_thread
from vecsearch.stores.fastscan import BLOCK
from vecsearch.stores.patterns import PQ_SAMPLES, SUB_DIMENSIONS, learn_patterns, spread_of, stretch_of
from vecsearch.stores.probe import Probe
from vecsearch.stores.token_types import RareCells, places

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Floats, Ids

    Bytes = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.int64]

__all__ = ["Codebook"]

RARE_SHARE = 4
"""Of the cells that are no type's, one for so many others is looked into, …"""
FEWEST_RARE = 8
"""… and so many at least."""
FEW_CELLS = 40_000
"""So many centres are all compared with a query in less time than the graph takes to find the nearest 200 of them."""
FEW_PAIRS = 4_096
"""So many comparisons of tokens with centres are as fast by FAISS; more are three times as fast by NumPy's BLAS."""
ENCODE_TOKENS = 8_192
"""As many vectors are coded at a time, so that they stay in the cache."""


class Codebook:
    """Cells and the code of vectors relative to them. Frozen; threads may share it.

    Attributes:
        n_cells, dim: how many cells, and the length of a vector.
        n_tokens: size of the corpus that the cells were planned for.
        fingerprint: 16 bytes by which codes know their codebook.
    """

    def __init__(self, parts: CodebookParts) -> None:
        """Not for callers: see ``train`` and ``from_bytes``."""
        self.dim = parts.dim
        self.n_tokens = parts.n_tokens
        self.n_cells = int(parts.graph.ntotal)
        self.fingerprint = parts.fingerprint
        self._parts = parts
        self._graph = parts.graph
        self._patterns = parts.patterns
        self._stretched = parts.patterns * np.float32(parts.stretch)
        self._first_rare = int(parts.starts[-1])
        self._types = parts.types
        self._starts = parts.starts
        self._width = parts.patterns.shape[0] * parts.patterns.shape[2]
        self._centres = centres_of(parts.graph)
        if not np.isfinite(self._centres).all():
            raise ValueError("the centres of a codebook must be finite")
        self._half_norms = np.einsum("ij,ij->i", self._centres, self._centres) / 2
        self._quantizer = faiss().ProductQuantizer(self._width, len(self._patterns), 4)
        faiss().copy_array_to_vector(self._patterns.ravel(), self._quantizer.centroids)
        self._quantizer.sync_transposed_centroids()

    @property
    def code_size(self) -> int:
        """Bytes of one code."""
        return len(self._patterns) // 2

    @classmethod
    def train(
        cls,
        vectors: Floats,
        types: Ids,
        n_tokens: int,
        *,
        alone: Callable[[Ids], Floats] | None = None,
        seed: int = 0,
    ) -> Codebook:
        """Plan cells for a corpus and learn how to code it.

        Args:
            vectors: float32 ``(n ≥ 1, dim)``, a sample of the corpus' position-aware vectors, of unit length or zero.
            types: int32 ``(n,)``, their token ids; −1 where a token has none.
            n_tokens: of the whole corpus.
            alone: see ``RareCells``.
            seed: of the k-means.

        Raises:
            ValueError: shapes or types are not these, or the sample is empty.
        """
        if vectors.ndim != 2 or vectors.dtype != np.float32 or not vectors.size:
            raise ValueError(f"the sample is {vectors.dtype} {vectors.shape}; it must be float32 (n ≥ 1, dim ≥ 1)")
        if types.shape != (len(vectors),) or types.dtype != np.int32:
            raise ValueError(f"types are {types.dtype} {types.shape}; they must be int32 ({len(vectors)},)")
        # many small k-means, where threads mostly wait for each other; so the result does not depend on them either
        with one_thread():
            return cls._train(vectors, types, n_tokens, RareCells(alone), seed)

    @classmethod
    def _train(cls, vectors: Floats, types: Ids, n_tokens: int, rare: RareCells, seed: int) -> Codebook:
        dim = vectors.shape[1]
        n_sub = -(-dim // SUB_DIMENSIONS)
        n_sub += n_sub % 2
        vectors = _padded(vectors, n_sub * SUB_DIMENSIONS)
        n_tokens = max(n_tokens, len(vectors))
        own_types, centres, starts = plan(vectors, types, n_tokens, seed)
        graph = graph_over(centres)
        no_patterns = np.zeros((n_sub, 16, SUB_DIMENSIONS), np.float32)
        parts = CodebookParts(dim, n_tokens, graph, no_patterns, 1.0, 1.0, 1.0, own_types, starts, bytes(16))
        generator = np.random.default_rng(seed)
        chosen = generator.permutation(len(vectors))[:PQ_SAMPLES]
        some = vectors[chosen]
        book = cls(parts)
        cells = book._cells(some, types[chosen], rare)
        residuals = some - book._centres[cells]
        is_rare = cells >= book._first_rare
        spread = spread_of(residuals[is_rare], residuals[~is_rare])
        residuals[is_rare] /= np.float32(spread)
        patterns = learn_patterns(residuals, n_sub, seed)
        parts = replace(parts, patterns=patterns, rare_spread=spread)
        book = cls(parts)
        coded = book._patterns_of(book.encode(some[:, :dim], cells))
        stretches = [stretch_of(residuals[kind], coded[kind]) for kind in (~is_rare, is_rare)]
        hashed = hashlib.blake2b(digest_size=16)
        factors = np.array([spread, *stretches])
        for part in (np.array([n_tokens, dim]), book._centres, patterns, factors, own_types, starts):
            hashed.update(np.ascontiguousarray(part).tobytes())
        fingerprint = hashed.digest()
        return cls(replace(parts, stretch=stretches[0], rare_stretch=stretches[1], fingerprint=fingerprint))

    def padded(self, vectors: Floats) -> Floats:
        """Return vectors with as many dimensions as codes stand for: float32 ``(n, width)``, zeros added."""
        return _padded(vectors, self._width)

    def cells(self, vectors: Floats, types: Ids, rare: RareCells | None = None) -> Ids:
        """Return the cell of each token: int32 ``(n,)``.

        Known where the type has one cell; the nearest of its cells where it has several; for a rarer type the cell of
        what is rare that is nearest to a token of the type that stands alone, or to the type's first vector; without a
        type, the one nearest to the token.

        Args:
            vectors: float32 ``(n, dim)``.
            types: int32 ``(n,)``, −1 for none.
            rare: cells of rare types that earlier calls found; this call adds to it. None begins anew.
        """
        return self._cells(self.padded(vectors), types, RareCells() if rare is None else rare)

    def probe(self, query: Floats, n_probe: int, alone: Floats | None = None) -> list[Probe]:
        """Return the nearest cells of each token of a query, by their kind.

        Cells of rare types are looked for apart: their centres are means of words that have little in common, so they
        are not near anything, however near some of their tokens are.

        Args:
            query: float32 ``(n_query, dim)``.
            n_probe: cells.
            alone: the vectors that the tokens would have if each stood alone: what cells of rare types are chosen by,
                when they are filled and when they are looked for.
        """
        padded = self.padded(query)
        # codes that count more in some cells are as good as a query that is longer, centres taken as they are
        spread = np.float32(self._parts.rare_spread * self._parts.rare_stretch / self._parts.stretch)
        if self._first_rare == 0:
            return [Probe(padded * spread, *self._nearest(padded, n_probe, self.n_cells), self._stretched)]
        of_types = Probe(padded, *self._nearest(padded, n_probe, self._first_rare), self._stretched)
        if self._first_rare == self.n_cells:
            return [of_types]
        n_rare = self.n_cells - self._first_rare
        if n_probe < self.n_cells:
            n_rare = min(max(n_probe // RARE_SHARE, FEWEST_RARE), n_rare)
        centres = self._centres[self._first_rare :]
        nearness = inner_products(padded if alone is None else self.padded(alone), centres)
        if alone is not None:
            nearness -= self._half_norms[self._first_rare :]
        rare = _largest(nearness, n_rare)
        similarities = np.einsum("ij,ikj->ik", padded, centres[rare])
        return [of_types, Probe(padded * spread, rare + self._first_rare, similarities, self._stretched)]

    def _nearest(self, query: Floats, n_probe: int, n_cells: int) -> tuple[Numbers, Floats]:
        """Return the nearest of the first cells, −1 where there are fewer, and their similarities."""
        n_found = min(n_probe, n_cells)
        cells = np.full((len(query), n_probe), -1, np.int64)
        similarities = np.zeros((len(query), n_probe), np.float32)
        if not len(query) or not n_found:
            return cells, similarities
        if n_cells <= FEW_CELLS:
            nearness = inner_products(query, self._centres[:n_cells])
            cells[:, :n_found] = _largest(nearness, n_found)
            similarities[:, :n_found] = np.take_along_axis(nearness, cells[:, :n_found], axis=1)
        else:
            similarities[:, :n_found], cells[:, :n_found] = nearest_cells(self._graph, query, n_found)
            cells[cells >= n_cells] = -1
        return cells, similarities

    def encode(self, vectors: Floats, cells: Ids) -> Bytes:
        """Return the codes of vectors in given cells: uint8 ``(n, code_size)``, two 4-bit codes a byte."""
        padded = self.padded(vectors)
        codes = np.empty((len(padded), self.code_size), np.uint8)
        room = np.empty((min(len(padded), ENCODE_TOKENS), self._width), np.float32)
        for begin in range(0, len(padded), ENCODE_TOKENS):
            some = slice(begin, begin + ENCODE_TOKENS)
            residuals = room[: len(padded[some])]
            np.take(self._centres, cells[some], axis=0, out=residuals, mode="clip")
            np.subtract(padded[some], residuals, out=residuals)
            is_rare = np.flatnonzero(cells[some] >= self._first_rare)
            residuals[is_rare] /= np.float32(self._parts.rare_spread)
            codes[some] = self._quantizer.compute_codes(residuals)
        return codes

    def decode(self, codes: Bytes, cells: Ids) -> Floats:
        """Return the vectors that codes in given cells stand for in a search: float32 ``(n, dim)``."""
        parts = self._parts
        is_rare = cells >= self._first_rare
        factors = np.where(is_rare, parts.rare_spread * parts.rare_stretch, parts.stretch).astype(np.float32)
        vectors: Floats = (self._centres[cells] + factors[:, None] * self._patterns_of(codes))[:, : self.dim]
        return vectors

    def _patterns_of(self, codes: Bytes) -> Floats:
        halves = np.stack([codes & 15, codes >> 4], axis=2).reshape(len(codes), -1)
        residuals: Floats = self._patterns[np.arange(len(self._patterns)), halves].reshape(len(codes), -1)
        return residuals

    def index(self) -> Any:
        """Return a new FAISS index over these cells that has no lists yet. The codebook must outlive it."""
        library = faiss()
        n_sub, _, sub_dimensions = self._patterns.shape
        index = library.IndexIVFPQFastScan(
            self._graph, n_sub * sub_dimensions, self.n_cells, n_sub, 4, library.METRIC_INNER_PRODUCT, BLOCK, False
        )
        index.by_residual = True
        library.copy_array_to_vector(self._stretched.ravel(), index.pq.centroids)
        index.is_trained = True
        return index

    def to_bytes(self) -> bytes:
        """Return all of it; ``from_bytes`` reads it back."""
        return codebook_bytes(self._parts)

    @classmethod
    def from_bytes(cls, buffer: bytes | memoryview | Bytes) -> Codebook:
        """Read what ``to_bytes`` gave.

        Raises:
            ValueError: it is anything else.
        """
        return cls(read_codebook(buffer))

    def _cells(self, vectors: Floats, types: Ids, rare: RareCells) -> Ids:
        place = places(self._types, types)
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
            cells[tokens] = cells_of_type.start + self._nearest_of(vectors[tokens], cells_of_type)
        others = np.flatnonzero(~known & (types >= 0))
        if len(others):
            different, firsts, inverse = np.unique(types[others], return_index=True, return_inverse=True)
            found = rare.of(different)
            new = np.flatnonzero(found < 0)
            if len(new):
                alone = None if rare.alone is None else self.padded(rare.alone(different[new]))
                found[new] = self._nearest_rare(vectors[others[firsts[new]]] if alone is None else alone)
                rare.add(different[new], found[new])
            cells[others] = found[inverse]
        untyped = np.flatnonzero(types < 0)
        if len(untyped):
            cells[untyped] = self._nearest_rare(vectors[untyped])
        return cells

    def _nearest_of(self, vectors: Floats, cells: slice) -> Numbers:
        """Return which of some cells has the nearest centre to each vector."""
        n_cells = cells.stop - cells.start
        if len(vectors) * n_cells < FEW_PAIRS:
            # subtle: by FAISS, whose threads can be held to one: NumPy's wait for each other in products so small
            nearest: Numbers = faiss().knn(vectors, self._centres[cells], 1)[1][:, 0]
            return nearest
        nearness = vectors @ self._centres[cells].T
        nearness -= self._half_norms[cells]
        found: Numbers = nearness.argmax(axis=1)
        return found

    def _nearest_rare(self, vectors: Floats) -> Ids:
        """Return the nearest of the cells that are no type's, of all cells where every one is a type's."""
        if 0 < self._first_rare < self.n_cells:
            _, nearest = faiss().knn(np.ascontiguousarray(vectors), self._centres[self._first_rare :], 1)
            cells = self._first_rare + nearest[:, 0]
        else:
            # subtle: a graph may lose a node; any cell is valid
            cells = np.maximum(nearest_cells(self._graph, vectors, 1)[1][:, 0], 0)
        found: Ids = cells.astype(np.int32)
        return found


def _padded(vectors: Floats, width: int) -> Floats:
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.shape[1] == width:
        return vectors
    wide = np.zeros((len(vectors), width), np.float32)
    wide[:, : vectors.shape[1]] = vectors
    return wide


def _largest(values: Floats, n: int) -> Numbers:
    """Return where the n largest values of each row are, in any order: int64 ``(n_rows, n)``."""
    found: Numbers = np.argpartition(values, values.shape[1] - n, axis=1)[:, values.shape[1] - n :]
    return found
