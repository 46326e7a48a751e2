"""The codes of one segment: made, merged, and searched for passages that may hold good partners of a query's tokens.

Their bytes on disk are searched in place: FAISS is given their address, and nothing is copied. What a search looks at
is checked before, block by block, so that one search of large segments reads only some of them. All segments of one
codebook share the cells, so one ``Probe`` serves them all, and segments are merged without decoding. Scores are
approximate, and this module does not know exact ones.
"""

from __future__ import annotations

import mmap
import struct
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.ahead import ahead
from vecsearch.stores import compiled_scan
from vecsearch.stores.code_layout import Layout
from vecsearch.stores.codebook import Codebook
from vecsearch.stores.faiss_library import faiss, one_thread
from vecsearch.stores.fastscan import BLOCK, unpacked
from vecsearch.stores.token_types import RareCells

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.stores.files import MappedFile
    from vecsearch.stores.probe import Probe
    from vecsearch.types import Bools, Floats, Ids

    Bytes = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.int64]

__all__ = ["Codes", "Written", "bitmap", "coded", "merged"]

LIFT = 0.05
"""How far below the lowest cell of a probe similarities are counted from."""


def bitmap(numbers: Numbers) -> Bytes:
    """Return the bitmap that allows these passages: uint8, a bit for each number up to the largest of them."""
    bits = np.zeros(int(numbers.max(initial=-1)) + 1, bool)
    bits[numbers] = True
    return np.packbits(bits, bitorder="little")


class Codes:
    """The codes of one segment. Frozen; threads may share it.

    Attributes:
        n: tokens.
        layout: of its bytes.
    """

    def __init__(self, codebook: Codebook, content: Bytes, layout: Layout, file: MappedFile | None = None) -> None:
        """Not for callers: see ``build``, ``merged``, ``from_buffer`` and ``from_file``."""
        self.n = layout.n
        self._file = file
        self._is_seen = np.zeros(0 if file is None else len(layout.sizes), bool)  # cells whose bytes were checked
        self._codebook = codebook
        self._content = content
        self.layout = layout
        self._index, lists = _over(codebook, content, layout)
        # subtle: FAISS unmaps the address when the lists die, but it was not FAISS that mapped it
        weakref.finalize(self, _forget, self._index, lists).atexit = False

    @classmethod
    def build(cls, codebook: Codebook, blocks: Iterable[tuple[Floats, Ids, Numbers]]) -> Codes:
        """Code vectors; see ``coded``."""
        return cls._of(codebook, coded(codebook, blocks))

    @classmethod
    def merged(cls, codebook: Codebook, parts: Sequence[Codes], allowed: Bytes | None = None) -> Codes:
        """Return the codes of several segments of one codebook as one; see ``merged``."""
        return cls._of(codebook, merged(codebook, parts, allowed))

    @classmethod
    def _of(cls, codebook: Codebook, written: Written) -> Codes:
        content = np.empty(written.n_bytes, np.uint8)
        begin = 0
        for piece in written.pieces:
            content[begin : begin + piece.size] = piece.reshape(-1).view(np.uint8)
            begin += piece.size
        return cls.from_buffer(codebook, content)

    def search(self, probe: Probe, k: int, allowed: Bytes | None = None) -> tuple[Floats, Numbers]:
        """Return the best tokens of each query token in the cells of a probe, in any order.

        Args:
            probe: of the query.
            k: tokens ≥ 1.
            allowed: uint8 ``(n,)``: passage p may be found if bit p % 8 of byte p // 8 is set; none beyond it may.

        Returns:
            Approximate similarities float32 ``(n_query, n)`` and the numbers of their passages, int64 of that shape;
            −inf and −1 behind what was found; n = k, or more than was found of any.
        """
        if not self.n or not k or not probe.cells.size or (allowed is not None and not len(allowed)):
            return np.full((len(probe), k), -np.inf, np.float32), np.full((len(probe), k), -1, np.int64)
        self._check_cells(probe.cells)
        found = compiled_scan.nearest(self._content, self.layout, probe, k, allowed)
        return found or self._nearest(probe, k, allowed)

    def _check_cells(self, cells: Numbers) -> None:
        """Check what is in cells; −1 stands for none."""
        if self._file is None:
            return
        cells = cells[cells >= 0]
        cells = cells[~self._is_seen[cells]]  # in the long run none
        if len(cells):
            self._file.check(*self.layout.ranges(cells))
            self._is_seen[cells] = True

    def _check(self, begins: Numbers, ends: Numbers) -> None:
        if self._file is not None:
            self._file.check(begins, ends)

    def _nearest(self, probe: Probe, k: int, allowed: Bytes | None) -> tuple[Floats, Numbers]:
        """Search with FAISS."""
        similarities = np.full((len(probe), k), -np.inf, np.float32)
        numbers = np.full((len(probe), k), -1, np.int64)
        library = faiss()
        parameters = library.SearchParametersIVF()
        parameters.nprobe = probe.cells.shape[1] + 1
        if allowed is not None:
            allowed = np.ascontiguousarray(allowed)
            # subtle: FAISS keeps an address of it, so it must have a name as long as the search goes on
            selector = library.IDSelectorBitmap(len(allowed), library.swig_ptr(allowed))
            parameters.sel = selector
        query = np.ascontiguousarray(probe.query)
        # subtle: FAISS adds up whole numbers from the lowest cell on, and drops what has 0. One cell that is not there,
        # lower than all others, lifts every token above 0.
        lowest = probe.lowest[:, None] - np.float32(LIFT)
        cells = np.concatenate([probe.cells, np.full((len(probe), 1), -1)], axis=1)
        biases = np.concatenate(
            [np.where(probe.cells < 0, lowest, probe.similarities), lowest], axis=1, dtype=np.float32
        )
        self._index.search_preassigned_c(
            len(probe),
            library.swig_ptr(query),
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
        """Length of what ``to_bytes`` returns."""
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
        return cls(codebook, content, Layout.read(content, codebook))

    @classmethod
    def from_file(cls, codebook: Codebook, file: MappedFile) -> Codes:
        """Use a file in place. What is used of it is checked before: header and sizes now, all else later.

        Args:
            codebook: the one they were made with.
            file: written with ``coded`` or ``merged``.

        Raises:
            IndexDamagedError: it is not what was written; of all else that takes codes likewise.
            ValueError: see ``from_buffer``.
        """
        file.check(np.zeros(1, np.int64), np.array([min(Layout.header_size(codebook.n_cells), len(file.content))]))
        return cls(codebook, file.content, Layout.read(file.content, codebook), file)

    def let_go(self) -> None:
        """Let the system take back what of the file is in memory, which counts as memory of this process.

        What is needed comes back, mostly from the cache of files, in no time to speak of.
        """
        base: Any = self._content
        while isinstance(base, np.ndarray | memoryview):
            base = base.base if isinstance(base, np.ndarray) else base.obj
        if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            base.madvise(mmap.MADV_DONTNEED)

    def numbers(self, begin: int, end: int) -> Numbers:
        """Return the numbers of the tokens of a range of cells, in order."""
        layout = self.layout
        self._check(*layout.bytes_of_slots(layout.first_slots[[begin]], layout.first_slots[[end]]))
        return layout.numbers(self._content)[layout.slots(begin, end)]

    def flat(self, begin: int, end: int) -> Bytes:
        """Return the codes of the tokens of a range of cells, in order: ``(n, code_size)``."""
        layout = self.layout
        first, last = layout.blocks[begin], layout.blocks[end]
        self._check(*layout.bytes_of_blocks(layout.blocks[[begin]], layout.blocks[[end]]))
        return unpacked(layout.codes(self._content)[first:last])[layout.rows(begin, end)]


@dataclass(frozen=True)
class Written:
    """The bytes of a segment of codes, made piece by piece while they are written.

    Attributes:
        n, n_bytes: tokens, and bytes of all pieces.
        pieces: uint8, one behind the other; may be gone through once.
    """

    n: int
    n_bytes: int
    pieces: Iterator[Bytes]


def coded(
    codebook: Codebook,
    blocks: Iterable[tuple[Floats, Ids, Numbers]],
    *,
    n_tokens: int = 0,
    rare: RareCells | None = None,
) -> Written:
    """Code vectors.

    Args:
        codebook: trained.
        blocks: vectors float32 ``(n, dim)``, types int32 ``(n,)`` and numbers int64 ``(n,)`` ≥ 0, the passages that the
            tokens belong to. One thread reads a block while another finds the cells of the one before, and this one
            codes the one before that: three blocks are in memory at a time, and ``code_size + 20`` bytes a token.
        n_tokens: of all blocks, as far as is known: memory is taken for so many at once.
        rare: cells that rare types were given; those found now are added.

    Raises:
        ValueError: a number is negative, or a block is not of such shapes.
    """
    rare = RareCells() if rare is None else rare
    all_codes = np.empty((n_tokens, codebook.code_size), np.uint8)
    all_cells, all_numbers = np.empty(n_tokens, np.int32), np.empty(n_tokens, np.int64)
    n = 0

    def in_cells() -> Iterator[tuple[Floats, Ids, Numbers]]:
        for vectors, types, numbers in ahead(blocks):
            _check(codebook, vectors, types, numbers)
            with one_thread():
                cells = codebook.cells(vectors, types, rare)
            yield vectors, cells, numbers

    for vectors, cells, numbers in ahead(in_cells()):
        with one_thread():
            codes = codebook.encode(vectors, cells)
        end = n + len(numbers)
        if end > len(all_cells):
            more = max(end, 2 * len(all_cells)) - len(all_cells)
            all_codes = np.concatenate([all_codes, np.empty((more, codebook.code_size), np.uint8)])
            all_cells = np.concatenate([all_cells, np.empty(more, np.int32)])
            all_numbers = np.concatenate([all_numbers, np.empty(more, np.int64)])
        all_codes[n:end], all_cells[n:end], all_numbers[n:end] = codes, cells, numbers
        n = end
    layout = Layout.of(np.bincount(all_cells[:n], minlength=codebook.n_cells), codebook.code_size)
    order = np.argsort(all_cells[:n], kind="stable")

    def pieces() -> Iterator[Bytes]:
        yield layout.header(codebook.fingerprint)
        for begin, end in layout.chunks():
            yield layout.blocks_of(begin, end, all_codes[order[layout.tokens[begin] : layout.tokens[end]]])
        for begin, end in layout.chunks():
            yield layout.slots_of(begin, end, all_numbers[order[layout.tokens[begin] : layout.tokens[end]]])

    return Written(n, layout.n_bytes, pieces())


def _check(codebook: Codebook, vectors: Floats, types: Ids, numbers: Numbers) -> None:
    if vectors.shape != (len(numbers), codebook.dim) or types.shape != numbers.shape:
        raise ValueError(
            f"a block has vectors {vectors.shape}, types {types.shape} and numbers {numbers.shape}; "
            f"they must be (n, {codebook.dim}), (n,) and (n,)"
        )
    if len(numbers) and numbers.min() < 0:
        raise ValueError(f"a passage has the number {numbers.min()}; numbers must be 0 or more")


def merged(codebook: Codebook, parts: Sequence[Codes], allowed: Bytes | None = None) -> Written:
    """Return the codes of several segments of one codebook as one, neither decoded nor coded again.

    Args:
        codebook: of all of them.
        parts: segments.
        allowed: as for ``Codes.search``; codes of other passages are left out.
    """
    sizes = np.zeros(codebook.n_cells, np.int64)
    for part in parts:
        for begin, end in part.layout.chunks():
            kept = _is_allowed(part.numbers(begin, end), allowed)
            sizes[begin:end] += np.bincount(part.layout.cells(begin, end)[kept] - begin, minlength=end - begin)
    layout = Layout.of(sizes, codebook.code_size)

    def order_of(begin: int, end: int) -> tuple[list[Numbers], list[Bools], Numbers]:
        numbers = [part.numbers(begin, end) for part in parts]
        kept = [_is_allowed(some, allowed) for some in numbers]
        cells = [part.layout.cells(begin, end)[of_part] for part, of_part in zip(parts, kept, strict=True)]
        return numbers, kept, np.argsort(np.concatenate([np.zeros(0, np.int64), *cells]), kind="stable")

    def pieces() -> Iterator[Bytes]:
        yield layout.header(codebook.fingerprint)
        for begin, end in layout.chunks():
            _, kept, order = order_of(begin, end)
            codes = [part.flat(begin, end)[is_kept] for part, is_kept in zip(parts, kept, strict=True)]
            codes.append(np.zeros((0, layout.code_size), np.uint8))
            yield layout.blocks_of(begin, end, np.concatenate(codes)[order])
        for begin, end in layout.chunks():
            numbers, kept, order = order_of(begin, end)
            some = [of_part[is_kept] for of_part, is_kept in zip(numbers, kept, strict=True)]
            some.append(np.zeros(0, np.int64))
            yield layout.slots_of(begin, end, np.concatenate(some)[order])

    return Written(layout.n, layout.n_bytes, pieces())


def _over(codebook: Codebook, content: Bytes, layout: Layout) -> tuple[Any, Any]:
    """Return a FAISS index whose lists are read from ``content``, and the lists, which nobody owns yet."""
    library = faiss()
    codes_at = layout.blocks[:-1] * BLOCK * layout.code_size
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


def _is_allowed(numbers: Numbers, allowed: Bytes | None) -> Bools:
    if allowed is None:
        return np.ones(len(numbers), bool)
    is_allowed = np.zeros(len(numbers), bool)
    within = np.flatnonzero(numbers >> 3 < len(allowed))
    is_allowed[within] = allowed[numbers[within] >> 3] >> (numbers[within] & 7).astype(np.uint8) & 1
    return is_allowed
