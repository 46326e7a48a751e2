"""The relative encoder: every token's vector holds its neighbours, each bound to its signed distance.

The sum over neighbours is a two-sided decaying filter along the tokens, and is computed as such, exactly, in O(1)
array operations a block of about a thousand tokens, however the block falls into passages:

* A block is cut into chunks of 32 tokens. Within a chunk everything is turned to the chunk's first token, so that one
  small table of rotations serves every chunk; neighbours are summed by one 32 × 32 matrix of decays a chunk, in which
  pairs of different passages are zero.
* What a chunk gets from the chunks beside it is two vectors, one from each side: the decayed sum over its passage's
  earlier (later) tokens. They are rows 33 and 34 of the product, themselves found by the same filter over chunks.
* Passages longer than a block hand the same two vectors from block to block.

Where numba is installed, the plain recurrence (``compiled.py``) takes over in processes that encode enough for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from vecsearch_positions import compiled
from vecsearch_positions.arguments import Floats, Ids, Offsets, contiguous, number
from vecsearch_positions.rotation import frequencies, turns

if TYPE_CHECKING:
    from vecsearch_positions.rotation import Complexes

__all__ = ["RelativeEncoder"]

_CHUNK = 32  # tokens; the product stays below OpenBLAS's threshold for threads, which cost more than they give here
_BLOCK_VALUES = 1 << 18  # float32 values of a block (1 MiB): it and its temporaries stay near the second-level cache
_NEGLIGIBLE = 1e-6
_NO_ORDER = 1e-15  # √λ is then below what float32 can add to 1
_HEAVIEST = np.float32(1e9)
# Loading numba and its kernel costs as much as encoding this many tokens of 256 dimensions without it.
_WORTH_COMPILING = 500_000


class RelativeEncoder:
    """Mix every token's vector with its neighbours, each turned by its signed distance.

    x_i = norm(√(1−λ)·u_i + √λ·norm(c_i)),  c_i = Σ_{o≠0} γ^{|o|−1} · w_{i+o} · R^o u_{i+o}

    λ is ``order``, γ is ``decay``, u a token's unit row, w its weight, o a signed distance within the passage (never
    past its edges), R the rotation of pairs (f, f + dim/2) by θ_f = ``base``^(−2f/dim). The neighbour on the left is
    turned the other way than the one on the right, so order counts, and only distances enter, so a phrase has the same
    vectors wherever it stands, except near a passage's edges. c is the retention of Sun et al. 2023 (Retentive
    Network, §2.1: a decaying sum over rotated keys), two-sided, without attention and without training; the rotation
    is that of Su et al. 2021 (RoFormer, §3.2.2).

    Limits: x_i = u_i where ‖c_i‖ < 1e-6 (a lone token, or neighbours without weight) and where the sum of both parts
    vanishes (‖…‖ < 1e-6); a zero u_i stays zero, whatever stands around it: a token without meaning gets none from
    its neighbours. Only ratios of weights matter; one above 1e9 counts as 1e9, so that sums of squares stay finite.

    It is not attention: what a neighbour gives depends on its distance and weight, never on what it means. Near
    neighbours dominate: with γ = .75, ten places away counts .08 of next door. In float32 the result is within 1e-5 of
    the formula, except where neighbours cancel each other almost wholly and rounding decides what is left.

    Args:
        order: λ in [0, 1]; 0 ignores order and equals ``none``, 1 ignores the token itself.
        decay: γ in [0, 1); 0 looks at the two tokens next door only.
        base: of the frequencies, ≥ 1.

    Raises:
        ValueError: an argument out of its range.

    Example:
        Two tokens of equal weight in two dimensions, so θ_0 = 1 and R^o turns by o radians. The first one's only
        neighbour stands one place to the right: c_0 = R u_1 = R(0, 1) = (−sin 1, cos 1). With λ = ½ both parts weigh
        the same, x_0 = norm((1 − .8415, .5403)); for the second, c_1 = R⁻¹ u_0 = (cos 1, −sin 1).

        >>> import numpy as np
        >>> units = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
        >>> x = RelativeEncoder(order=0.5).encode(units, np.ones(2, np.float32), np.array([0, 2]))
        >>> print(x.round(4))
        [[0.2815 0.9595]
         [0.9595 0.2815]]
    """

    name: ClassVar[str] = "relative"
    version: ClassVar[str] = "1"

    def __init__(self, *, order: float = 0.3, decay: float = 0.75, base: float = 10000.0) -> None:
        self._order = number("order", order, low=0.0, high=1.0)
        self._decay = number("decay", decay, low=0.0, high=1.0, below=True)
        self._base = number("base", base, low=1.0)
        self._tables: dict[int, _Tables] = {}
        self._n_encoded = 0

    @property
    def config(self) -> Mapping[str, Any]:
        """``order``, ``decay`` and ``base``."""
        return {"order": self._order, "decay": self._decay, "base": self._base}

    @property
    def files(self) -> Mapping[str, str]:
        """No files are read."""
        return {}

    def encode(self, units: Floats, weights: Floats, offsets: Offsets) -> Floats:
        """Return position-aware vectors of a flat batch; see the class for the formula.

        Args:
            units: float32 ``(n_tokens, dim)``, unit or zero rows; ``dim`` even.
            weights: float32 ``(n_tokens,)`` ≥ 0.
            offsets: int64 ``(n_passages + 1,)``.

        Returns:
            float32 ``(n_tokens, dim)``, unit rows, zero where ``units`` is zero. Extra memory beyond that: a few MiB,
            and one vector for every thousand tokens of the longest passage.

        Raises:
            VectorsError: ``dim`` is odd.
        """
        units, weights = contiguous(units), contiguous(weights)
        n_tokens, dim = units.shape
        theta = frequencies(dim, self._base, self.name)
        if self._order < _NO_ORDER or n_tokens == 0:
            return units.copy()
        weights = np.minimum(weights, _HEAVIEST)
        out = np.empty_like(units)
        # A process may encode in many small batches: what pays is their sum. Once loaded, the kernel always pays.
        self._n_encoded += n_tokens
        if compiled.is_loaded(self._decay) or self._n_encoded * dim >= _WORTH_COMPILING * 256:
            flat = np.ascontiguousarray(offsets, dtype=np.int64)
            if compiled.encode(units, weights, flat, theta, self._decay, self._order, out):
                return out
        self._encode_in_blocks(units, weights, offsets, out)
        return out

    def encode_compared(
        self, rows: Floats, places: Ids, weights: Floats, offsets: Offsets, query: Floats
    ) -> tuple[Floats, Floats] | None:
        """Encode tokens and compare them with a query in one go, in compiled code; None where that is not loaded.

        Args, returns and errors: see ``ComparingEncoder`` and ``encode``.
        """
        if not compiled.is_loaded(self._decay) or self._order < _NO_ORDER:
            return None
        theta = frequencies(rows.shape[1], self._base, self.name)
        out = np.empty((len(places), rows.shape[1]), np.float32)
        maxima = np.empty((len(query), len(offsets) - 1), np.float32)
        compiled.encode_compared(
            contiguous(rows),
            np.ascontiguousarray(places, np.int32),
            np.minimum(contiguous(weights), _HEAVIEST),
            np.ascontiguousarray(offsets, np.int64),
            theta,
            self._decay,
            self._order,
            out,
            contiguous(query),
            maxima,
        )
        return out, maxima

    def _encode_in_blocks(self, units: Floats, weights: Floats, offsets: Offsets, out: Floats) -> None:
        dim = units.shape[1]
        tables = self._tables.get(dim)
        if tables is None:
            tables = self._tables.setdefault(dim, _Tables.make(dim, self._decay, self._base, self.name))
        scratch = _Scratch(tables)
        passages = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        for start, stop in _blocks(offsets, tables.n_tokens):
            if stop - start <= tables.n_tokens:
                scratch.load(units[start:stop], weights[start:stop], passages[start:stop])
                scratch.write(units[start:stop], self._order, out[start:stop])
                continue
            # One passage longer than a block: first from its end to its beginning, for what comes from the right.
            pieces = [slice(at, min(at + tables.n_tokens, stop)) for at in range(start, stop, tables.n_tokens)]
            from_right = np.zeros((len(pieces), dim // 2), dtype=np.complex64)
            for i in range(len(pieces) - 1, 0, -1):
                scratch.load(units[pieces[i]], weights[pieces[i]], passages[pieces[i]])
                from_right[i - 1] = scratch.to_left(from_right[i])
            from_left = np.zeros(dim // 2, dtype=np.complex64)
            for piece, right in zip(pieces, from_right, strict=True):
                scratch.load(units[piece], weights[piece], passages[piece])
                scratch.write(units[piece], self._order, out[piece], from_left, right)
                from_left = scratch.to_right(from_left)


def _blocks(offsets: Offsets, n_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield token ranges of whole passages, of at most ``n_tokens``, or of one passage that is longer."""
    start, end = 0, int(offsets[-1])
    while start < end:
        stop = int(offsets[np.searchsorted(offsets, start + n_tokens, side="right") - 1])
        if stop <= start:
            stop = int(offsets[np.searchsorted(offsets, start, side="right")])
        yield start, stop
        start = stop


@dataclass(frozen=True)
class _Tables:
    """Constants for one length of vectors."""

    n_chunks: int  # of a block
    decays: Floats  # (chunk, chunk): γ^(|i − j| − 1), 0 on the diagonal
    powers: Floats  # (chunk,): γ^i
    chunk_powers: Floats  # (n_chunks + 1,): γ^(chunk · k)
    turns: Complexes  # (chunk, dim / 2): R^i
    unturns: Complexes  # its inverse
    chunk_turns: Complexes  # (n_chunks + 1, dim / 2): R^(chunk · k)

    @property
    def n_tokens(self) -> int:
        return self.n_chunks * _CHUNK

    @classmethod
    def make(cls, dim: int, decay: float, base: float, encoder: str) -> _Tables:
        n_chunks = min(max(_BLOCK_VALUES // (dim * _CHUNK), 4), 128)
        theta = frequencies(dim, base, encoder)
        places = np.arange(_CHUNK)
        distances = np.abs(places[:, None] - places[None, :])
        decays = np.where(distances > 0, decay ** np.maximum(distances - 1, 0).astype(np.float64), 0.0)
        chunks = np.arange(n_chunks + 1) * _CHUNK
        rotation = turns(places, theta)
        return cls(
            n_chunks=n_chunks,
            decays=_flushed(decays),
            powers=_flushed(decay ** places.astype(np.float64)),
            chunk_powers=_flushed(decay ** chunks.astype(np.float64)),
            turns=rotation,
            unturns=rotation.conj(),
            chunk_turns=turns(chunks, theta),
        )


def _flushed(powers: npt.NDArray[np.float64]) -> Floats:
    # Denormal numbers would slow every product down a hundredfold and change no sum.
    return np.where(powers < 1e-30, 0.0, powers).astype(np.float32)


class _Scratch:
    """Room for one block, used for block after block."""

    def __init__(self, tables: _Tables) -> None:
        self.tables = tables
        half = tables.turns.shape[1]
        n_chunks = tables.n_chunks
        self._own = np.empty((n_chunks, _CHUNK, 2 * half), dtype=np.float32)
        # The last two rows of a chunk hold what its passages hand over from the left and from the right.
        self._turned = np.empty((n_chunks, _CHUNK + 2, half), dtype=np.complex64)
        self._summed = np.empty((n_chunks, _CHUNK, half), dtype=np.complex64)
        self._mixed = np.empty((n_chunks, _CHUNK, 2 * half), dtype=np.float32)
        self._filter = np.empty((n_chunks, _CHUNK, _CHUNK + 2), dtype=np.float32)
        self._weights = np.empty(n_chunks * _CHUNK, dtype=np.float32)
        self._passages = np.empty(n_chunks * _CHUNK, dtype=np.int64)

    def load(self, units: Floats, weights: Floats, passages: npt.NDArray[np.int64]) -> None:
        """Turn a block's tokens to their chunks' first places, and sum each chunk's first and last passage."""
        tables, half = self.tables, self._turned.shape[2]
        n = len(units)
        self._n = n
        self._n_chunks = n_chunks = -(-n // _CHUNK)
        self._weights[:n] = weights
        self._weights[n : n_chunks * _CHUNK] = 0.0
        self._passages[:n] = passages
        self._passages[n : n_chunks * _CHUNK] = -1
        self._chunk_weights = self._weights[: n_chunks * _CHUNK].reshape(n_chunks, _CHUNK)
        self._chunk_passages = self._passages[: n_chunks * _CHUNK].reshape(n_chunks, _CHUNK)

        # subtle: read once into the cache, then taken apart; strided reads from main memory cost more than the copy.
        own = self._own[:n_chunks]
        own.reshape(-1, 2 * half)[:n] = units
        own.reshape(-1, 2 * half)[n:] = 0.0
        turned = self._turned[:n_chunks]
        turned[:, :_CHUNK].real = own[..., :half]
        turned[:, :_CHUNK].imag = own[..., half:]
        self._has_meaning = np.vecdot(own, own).reshape(-1) > 0.0
        np.multiply(turned[:, :_CHUNK], tables.turns, out=turned[:, :_CHUNK])

        self._in_first = self._chunk_passages == self._chunk_passages[:, :1]
        self._in_last = self._chunk_passages == self._chunk_passages[:, -1:]
        decayed = np.empty((n_chunks, 2, _CHUNK), dtype=np.float32)
        np.multiply(self._chunk_weights * tables.powers[::-1], self._in_last, out=decayed[:, 0])
        np.multiply(self._chunk_weights * tables.powers, self._in_first, out=decayed[:, 1])
        sums = np.matmul(decayed, turned.view(np.float32)[:, :_CHUNK]).view(np.complex64)
        # Turned to the block's first place, so that chunks can be added up.
        self._last_sums = sums[:, 0] * tables.chunk_turns[:n_chunks]
        self._first_sums = sums[:, 1] * tables.chunk_turns[:n_chunks]

    def to_right(self, from_left: Complexes) -> Complexes:
        """Return what the block, all one passage, hands to the next one, turned to that one's first place."""
        tables, n = self.tables, self._n_chunks
        total = tables.chunk_powers[:n][::-1] @ self._last_sums + tables.chunk_powers[n] * from_left
        return total * tables.chunk_turns[n].conj()  # type: ignore[no-any-return]

    def to_left(self, from_right: Complexes) -> Complexes:
        """Return what the block, all one passage, hands to the (full) one before, turned to that one's first place."""
        tables, n = self.tables, self._n_chunks
        total = tables.chunk_powers[:n] @ self._first_sums + tables.chunk_powers[n] * from_right
        return total * tables.chunk_turns[-1]  # type: ignore[no-any-return]

    def write(
        self,
        units: Floats,
        order: float,
        out: Floats,
        from_left: Complexes | None = None,
        from_right: Complexes | None = None,
    ) -> None:
        """Write the vectors of the block that was loaded last, whose ``units`` are given again.

        Args:
            from_left, from_right: what the blocks beside it hand over, where the block is a piece of one passage.
        """
        tables, n, n_chunks = self.tables, self._n, self._n_chunks
        self._exchange(from_left, from_right)
        filters = self._filter[:n_chunks]
        within = filters[:, :, :_CHUNK]
        np.multiply(tables.decays, self._chunk_weights[:, None, :], out=within)
        np.multiply(within, self._chunk_passages[:, :, None] == self._chunk_passages[:, None, :], out=within)
        np.multiply(tables.powers, self._in_first, out=filters[:, :, _CHUNK])
        np.multiply(tables.powers[::-1], self._in_last, out=filters[:, :, _CHUNK + 1])

        summed = self._summed[:n_chunks]
        flat = summed.view(np.float32).reshape(n_chunks * _CHUNK, -1)
        turned = self._turned[:n_chunks].view(np.float32)
        np.matmul(filters, turned, out=flat.reshape(n_chunks, _CHUNK, -1))
        lengths = np.sqrt(np.vecdot(flat, flat))
        if order < 1.0:
            # norm(√(1−λ)·u + √λ·c/‖c‖) = norm(c + √((1−λ)/λ)·‖c‖·u), both still turned to their chunk's first place
            shares = (lengths * np.float32(math.sqrt((1.0 - order) / order))).reshape(n_chunks, _CHUNK, 1)
            mixed = self._mixed[:n_chunks]
            np.multiply(turned[:, :_CHUNK], shares, out=mixed)
            np.add(flat, mixed.reshape(flat.shape), out=flat)
        norms = np.sqrt(np.vecdot(flat, flat))
        is_mixed = (lengths >= _NEGLIGIBLE) & (norms * math.sqrt(order) >= lengths * _NEGLIGIBLE)
        is_mixed &= self._has_meaning
        np.multiply(flat, np.divide(1.0, norms, out=np.zeros_like(norms), where=is_mixed)[:, None], out=flat)
        np.multiply(summed, tables.unturns, out=summed)
        vectors = summed.reshape(n_chunks * _CHUNK, -1)[:n]
        half = vectors.shape[1]
        out[:, :half] = vectors.real
        out[:, half:] = vectors.imag
        if not is_mixed[:n].all():
            np.copyto(out, units, where=~is_mixed[:n, None])

    def _exchange(self, from_left: Complexes | None, from_right: Complexes | None) -> None:
        """Sum for every chunk what its passage holds left and right of it, within the block and beyond."""
        tables, n = self.tables, self._n_chunks
        first, last = self._chunk_passages[:, 0], self._chunk_passages[:, -1]
        # Two chunks touched by one passage have nothing but that passage between them.
        joined = np.tril(last[None, :] == first[:, None], -1)
        chunks = np.arange(n)
        decays = np.where(joined, tables.chunk_powers[np.maximum(chunks[:, None] - chunks[None, :] - 1, 0)], 0.0)
        decays = decays.astype(np.float32)
        unturns = tables.chunk_turns[:n].conj()
        for row, weights, sums, beyond, powers in (
            (_CHUNK, decays, self._last_sums, from_left, tables.chunk_powers[:n]),
            (_CHUNK + 1, decays.T, self._first_sums, from_right, tables.chunk_powers[:n][::-1]),
        ):
            total = np.matmul(weights, sums.view(np.float32)).view(np.complex64)
            if beyond is not None:
                total += powers[:, None] * beyond
            np.multiply(total, unturns, out=self._turned[:n, row])
