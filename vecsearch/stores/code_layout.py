"""Where the codes of a segment and the numbers of their passages lie in its file, cell after cell.

It is such that FAISS can search the bytes in place. The format is described in ``indexes/FORMAT.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.stores.fastscan import BLOCK, packed

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.codebook import Codebook

    Bytes = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.int64]

__all__ = ["Layout"]

CHUNK_TOKENS = 1 << 17
"""About as many codes are moved at a time."""

_HEADER = struct.Struct("<8s16s5Q")  # mark, fingerprint, n, n_cells, code size, blocks, slots
_MARK = b"vscodes\x01"


class Layout:
    """Where the codes and numbers of each cell are.

    A header; the sizes of the lists, uint32 each; blocks of 32 codes, each list in blocks of its own; numbers, int64,
    each list padded to a whole number of codes, since FAISS counts the distance from codes to numbers in codes.

    Attributes:
        sizes: int64 ``(n_cells,)``, codes of each cell.
        code_size: bytes of a code.
        n: codes of all cells.
        n_blocks: int64 ``(n_cells,)``, blocks of each cell.
        tokens, blocks, first_slots: int64 ``(n_cells + 1,)``, codes, blocks and slots for numbers before each cell.
        begin_codes, begin_numbers, n_bytes: where blocks and numbers begin, and the length of it all.
    """

    def __init__(self, sizes: Numbers, code_size: int) -> None:
        self.sizes = sizes
        self.code_size = code_size
        self.n = int(sizes.sum())
        quantum = int(np.lcm(8, code_size)) // 8
        self.tokens = _sums(sizes)
        self.n_blocks = -(-sizes // BLOCK)
        self.blocks = _sums(self.n_blocks)
        self.first_slots = _sums(-(-sizes // quantum) * quantum)
        self.begin_codes = self.header_size(len(sizes))
        self.begin_numbers = self.begin_codes + int(self.blocks[-1]) * BLOCK * code_size
        self.n_bytes = self.begin_numbers + 8 * int(self.first_slots[-1])

    @staticmethod
    def header_size(n_cells: int) -> int:
        """Return the bytes of the header and the sizes of so many cells."""
        return _aligned(_HEADER.size + 4 * n_cells)

    @classmethod
    def of(cls, sizes: Numbers, code_size: int) -> Layout:
        """Return the layout of so many codes of each cell, numbers ``(n_cells,)``."""
        return cls(sizes.astype(np.int64), code_size)

    @classmethod
    def read(cls, content: Bytes, codebook: Codebook) -> Layout:
        """Return the layout of codes by their header and sizes.

        Raises:
            ValueError: these are not codes, or not those of this codebook, or not all of them.
        """
        if len(content) < _HEADER.size:
            raise ValueError(f"codes have at least {_HEADER.size} bytes, not {len(content)}")
        mark, fingerprint, n, n_cells, code_size, n_blocks, n_slots = _HEADER.unpack(content[: _HEADER.size].tobytes())
        if mark != _MARK:
            raise ValueError("these are not codes")
        if fingerprint != codebook.fingerprint or (n_cells, code_size) != (codebook.n_cells, codebook.code_size):
            raise ValueError("these codes belong to another codebook")
        end = _HEADER.size + 4 * n_cells
        if len(content) < end:
            raise ValueError("these are not all the codes")
        layout = cls.of(content[_HEADER.size : end].copy().view("<u4"), code_size)
        if (layout.n, layout.blocks[-1], layout.first_slots[-1], layout.n_bytes) != (
            n,
            n_blocks,
            n_slots,
            len(content),
        ):
            raise ValueError("the lists of these codes are not as long as they say")
        return layout

    def header(self, fingerprint: bytes) -> Bytes:
        """Return the header and the sizes, up to where the blocks begin."""
        content = np.zeros(self.begin_codes, np.uint8)
        header = _HEADER.pack(
            _MARK,
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
        return content

    def ranges(self, cells: Numbers) -> tuple[Numbers, Numbers]:
        """Return where the bytes of cells begin and end, those of codes and of numbers: int64 ``(2 n,)`` each."""
        codes = self.bytes_of_blocks(self.blocks[cells], self.blocks[cells + 1])
        numbers = self.bytes_of_slots(self.first_slots[cells], self.first_slots[cells + 1])
        return np.concatenate([codes[0], numbers[0]]), np.concatenate([codes[1], numbers[1]])

    def bytes_of_blocks(self, begins: Numbers, ends: Numbers) -> tuple[Numbers, Numbers]:
        """Return where ranges of blocks begin and end in the file."""
        size = BLOCK * self.code_size
        return self.begin_codes + size * begins, self.begin_codes + size * ends

    def bytes_of_slots(self, begins: Numbers, ends: Numbers) -> tuple[Numbers, Numbers]:
        """Return where ranges of slots begin and end in the file."""
        return self.begin_numbers + 8 * begins, self.begin_numbers + 8 * ends

    def codes(self, content: Bytes) -> Bytes:
        """Return the blocks: uint8 ``(n_blocks, code_size, 32)``."""
        return content[self.begin_codes : self.begin_numbers].reshape(-1, self.code_size, BLOCK)

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
        return self._spread((self.blocks - self.blocks[begin]) * BLOCK, begin, end)

    def blocks_of(self, begin: int, end: int, codes: Bytes) -> Bytes:
        """Return the blocks of a range of cells, given the codes of its tokens in order: uint8, flat."""
        flat = np.zeros((int(self.blocks[end] - self.blocks[begin]) * BLOCK, self.code_size), np.uint8)
        flat[self.rows(begin, end)] = codes
        return packed(flat).reshape(-1)

    def slots_of(self, begin: int, end: int, numbers: Numbers) -> Bytes:
        """Return the slots of a range of cells, given the numbers of its tokens in order: uint8, flat."""
        first = self.first_slots[begin]
        slots = np.full(int(self.first_slots[end] - first), -1, np.int64)
        slots[self.slots(begin, end) - first] = numbers
        return slots.view(np.uint8)

    def _spread(self, starts: Numbers, begin: int, end: int) -> Numbers:
        shifts = starts[begin:end] - (self.tokens[begin:end] - self.tokens[begin])
        places: Numbers = np.arange(self.tokens[end] - self.tokens[begin]) + np.repeat(shifts, self.sizes[begin:end])
        return places


def _sums(counts: Numbers) -> Numbers:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def _aligned(n: int) -> int:
    return -(-n // 64) * 64
