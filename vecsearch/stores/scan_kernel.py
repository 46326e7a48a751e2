"""The nearest coded tokens of each query token, compiled by numba, with the table lookups of AVX2 or AVX-512.

Importing this module imports numba: see ``compiled_scan``, which does so where it pays.

FAISS compares codes as fast, but sorts what it collects, which takes it several times as long as the comparison where
thousands are wanted. Here the sums of all codes of a query token are kept, 2 bytes each; the sum that the k-th nearest
has is found by counting how many are above a limit, 16 times; and those above it are read out, unsorted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import config as numba_config
from numba import from_dtype, njit, types
from numba.core import cgutils as numba_cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from vecsearch.stores.fastscan import BLOCK

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Floats

    Bytes = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.int64]
    Sums = npt.NDArray[np.uint16]
    Mask = npt.NDArray[np.bool_]
    Places = npt.NDArray[np.int32]

cgutils: Any = numba_cgutils
config: Any = numba_config

__all__ = ["Kernels", "compiled", "is_usable"]

COUNTED = 1 << 18
"""Sums that are counted at a time, so that counters of 16 bits do not run over."""

_I1, _I8, _I16, _I32, _I64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))
_LOOKUPS = {32: "llvm.x86.avx2.pshuf.b", 64: "llvm.x86.avx512.pshuf.b.512"}
_FEATURES = {32: "+avx2", 64: "+avx512bw"}


def _widths(context: Any) -> list[int]:
    """Return how many lookups the processor that is compiled for does at a time, most first."""
    features = context.codegen().magic_tuple()[2].split(",")
    has_wide = "-evex512" not in features  # else there is AVX-512, but of 32 bytes
    return [width for width in (64, 32) if _FEATURES[width] in features and (has_wide or width == 32)]


def is_usable() -> bool:
    """Return whether numba compiles, and for a processor that has the instructions."""
    return not config.DISABLE_JIT and 32 in _widths(cpu_target.target_context)


def _vector(kind: ir.IntType, n: int) -> ir.VectorType:
    return ir.VectorType(kind, n)


def _all(kind: ir.IntType, n: int, value: int) -> ir.Constant:
    return ir.Constant(_vector(kind, n), [value] * n)


def _spread(builder: Any, value: Any, n: int) -> Any:
    """Return a vector that holds a value n times."""
    empty = ir.Constant(_vector(value.type, n), ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, empty, _all(_I32, n, 0))


def _load(builder: Any, kind: Any, address: Any) -> Any:
    loaded = builder.load(builder.inttoptr(address, kind.as_pointer()))
    loaded.align = 1
    return loaded


def _folded(builder: Any, vector: Any, n: int) -> Any:
    """Add the halves of a vector, and theirs, until n numbers are left."""
    while vector.type.count > n:
        half = vector.type.count // 2
        halves = [
            builder.shuffle_vector(vector, vector, ir.Constant(_vector(_I32, half), list(range(begin, begin + half))))
            for begin in (0, half)
        ]
        vector = builder.add(*halves)
    return vector


def _added(builder: Any, codes: Any, entries: Any, begin: Any, end: Any, width: int) -> list[Any]:
    """Add up what the bytes of a block say, ``width`` of them at a time.

    A byte holds two codes: the low half that of one token, the high half that of another. Every 16 bytes are of one
    part of the code, so that their table is one register. Sums of 8 bits in 16: those of even bytes are got by taking
    those of odd ones, which are added up by themselves, from the sums of both.

    Returns:
        Four vectors of 8 sums: of tokens 0 to 7, 8 to 15, 16 to 23 and 24 to 31.
    """
    bytes_, pairs = _vector(_I8, width), _vector(_I16, width // 2)
    look_up = cgutils.get_or_insert_function(builder.module, ir.FunctionType(bytes_, [bytes_, bytes_]), _LOOKUPS[width])
    eight = _all(_I16, width // 2, 8)
    sums = [cgutils.alloca_once_value(builder, _all(_I16, width // 2, 0)) for _ in range(4)]
    with cgutils.for_range_slice(builder, begin, end, ir.Constant(_I64, width), _I64) as (at, _):
        some = _load(builder, bytes_, builder.add(codes, at))
        table = _load(builder, bytes_, builder.add(entries, at))
        low = builder.and_(some, _all(_I8, width, 15))
        high = builder.lshr(some, _all(_I8, width, 4))
        for first, places in ((0, low), (2, high)):
            found = builder.bitcast(builder.call(look_up, [table, places]), pairs)
            builder.store(builder.add(builder.load(sums[first]), found), sums[first])
            odd = builder.add(builder.load(sums[first + 1]), builder.lshr(found, eight))
            builder.store(odd, sums[first + 1])
    results = []
    for first in (0, 2):
        both, odd = (builder.load(sums[first + which]) for which in (0, 1))
        even = builder.sub(both, builder.shl(odd, eight))
        results += [_folded(builder, even, 8), _folded(builder, odd, 8)]
    return results


def _add_block(_: Any, codes: Any, entries: Any, n_bytes: Any, bias: Any, out: Any) -> Any:  # noqa: ARG001
    """Write 32 sums, uint16: those of a block of codes, with a bias."""
    signature = types.void(types.uintp, types.uintp, types.intp, types.uint16, types.uintp)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        codes, entries, n_bytes, bias, out = arguments
        totals = [_spread(builder, bias, 8)] * 4
        begin = ir.Constant(_I64, 0)
        for width in _widths(context):  # of 64 at a time, 32 may be left
            end = builder.and_(n_bytes, ir.Constant(_I64, -width))
            some = _added(builder, codes, entries, begin, end, width)
            totals = [builder.add(total, more) for total, more in zip(totals, some, strict=True)]
            begin = end
        for number, total in enumerate(totals):
            address = builder.add(out, ir.Constant(_I64, 16 * number))
            builder.store(total, builder.inttoptr(address, total.type.as_pointer())).align = 1
        return context.get_dummy_value()

    return signature, generate


def _count_above(_: Any, sums: Any, n: Any, limit: Any) -> Any:  # noqa: ARG001
    """Return how many of n sums are above a limit; n a multiple of 32 up to ``COUNTED``."""
    signature = types.int64(types.uintp, types.intp, types.uint16)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        sums, n, limit = arguments
        kind = _vector(_I16, BLOCK)
        limits = _spread(builder, limit, BLOCK)
        counts = cgutils.alloca_once_value(builder, _all(_I16, BLOCK, 0))
        with cgutils.for_range_slice(builder, ir.Constant(_I64, 0), n, ir.Constant(_I64, BLOCK), _I64) as (at, _):
            some = _load(builder, kind, builder.add(sums, builder.shl(at, ir.Constant(_I64, 1))))
            is_above = builder.sext(builder.icmp_unsigned(">", some, limits), kind)
            builder.store(builder.sub(builder.load(counts), is_above), counts)
        wide = builder.zext(builder.load(counts), _vector(_I64, BLOCK))
        return builder.extract_element(_folded(builder, wide, 1), ir.Constant(_I32, 0))

    return signature, generate


def _which_above(_: Any, sums: Any, limit: Any) -> Any:  # noqa: ARG001
    """Return which of 32 sums are above a limit, a bit each."""
    signature = types.uint32(types.uintp, types.uint16)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        sums, limit = arguments
        some = _load(builder, _vector(_I16, BLOCK), sums)
        return builder.bitcast(builder.icmp_unsigned(">", some, _spread(builder, limit, BLOCK)), _I32)

    return signature, generate


def _lowest_bit(_: Any, bits: Any) -> Any:  # noqa: ARG001
    """Return the place of the lowest bit of a number other than 0."""
    signature = types.int64(types.uint32)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        count = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_I32, [_I32, _I1]), "llvm.cttz.i32")
        return builder.zext(builder.call(count, [arguments[0], ir.Constant(_I1, 1)]), _I64)

    return signature, generate


add_block: Any = intrinsic(_add_block)
count_above: Any = intrinsic(_count_above)
which_above: Any = intrinsic(_which_above)
lowest_bit: Any = intrinsic(_lowest_bit)


def _scan(
    content: Bytes,
    begin_codes: int,
    numbers: Numbers,
    sizes: Numbers,
    blocks: Numbers,
    slots: Numbers,
    cells: Numbers,
    entries: Bytes,
    biases: Sums,
    step: Floats,
    low: Floats,
    allowed: Bytes,
    is_filtered: bool,
    sums: Sums,
    places: Numbers,
    similarities: Floats,
    found: Numbers,
) -> None:
    """Find the nearest tokens of each query token.

    Args:
        content, begin_codes, numbers: of a segment; sizes, blocks, slots: of its layout.
        cells: of a probe; entries, biases, step, low: its tables.
        allowed: bitmap of passages; is_filtered: whether it counts.
        sums, places: room for a sum a code and a place a block of all cells of one query token.
        similarities, found: what is found goes here; k is their width.
    """
    n_bytes = entries.shape[1]
    codes_at = content.ctypes.data + np.uintp(begin_codes)
    sums_at = sums.ctypes.data
    k = found.shape[1]
    for token in range(len(cells)):
        entries_at = entries.ctypes.data + np.uintp(token * n_bytes)
        n = 0
        for which in range(cells.shape[1]):
            cell = cells[token, which]
            if cell < 0:
                continue
            size = sizes[cell]
            for begin in range(0, size, BLOCK):
                block = codes_at + np.uintp((blocks[cell] + begin // BLOCK) * n_bytes)
                add_block(block, entries_at, n_bytes, biases[token, which], sums_at + np.uintp(2 * n))
                place = slots[cell] + begin
                places[n // BLOCK] = place
                for other in range(size - begin, BLOCK):
                    sums[n + other] = 0
                if is_filtered:
                    for other in range(min(size - begin, BLOCK)):
                        number = numbers[place + other]
                        if number >> 3 >= len(allowed) or not (allowed[number >> 3] >> (number & 7)) & 1:
                            sums[n + other] = 0
                n += BLOCK
        # the least limit that at most k are above
        limit, end = 0, 65_535
        n_above = 0
        while limit < end:
            middle = (limit + end) // 2
            n_middle = 0
            for begin in range(0, n, COUNTED):
                n_middle += count_above(sums_at + np.uintp(2 * begin), min(n - begin, COUNTED), np.uint16(middle))
            if n_middle <= k:
                end = middle
                n_above = n_middle
            else:
                limit = middle + 1
        # all above it, and of those that equal it the first ones; a sum of 0 stands for none
        n_equal = k - n_above if limit > 0 else 0
        lowest = np.uint16(limit - 1 if n_equal > 0 else limit)
        n_found = 0
        for block_no in range(n // BLOCK):
            bits = which_above(sums_at + np.uintp(2 * BLOCK * block_no), lowest)
            while bits:
                one = lowest_bit(bits)
                bits &= bits - np.uint32(1)
                value = sums[BLOCK * block_no + one]
                if value == limit:
                    if n_equal == 0:
                        continue
                    n_equal -= 1
                similarities[token, n_found] = low[token] + step[token] * np.float32(np.int64(value) - 1)
                found[token, n_found] = numbers[places[block_no] + one]
                n_found += 1
        similarities[token, n_found:] = -np.inf
        found[token, n_found:] = -1


def _mark(numbers: Numbers, is_found: Mask) -> None:
    """Mark which passages are among the numbers, int64 ``(n_query, k)``; −1 stands for none."""
    for token in range(numbers.shape[0]):
        for which in range(numbers.shape[1]):
            if numbers[token, which] >= 0:
                is_found[numbers[token, which]] = True


def _raise(similarities: Floats, numbers: Numbers, place_of: Places, reduced: Floats) -> None:
    """Raise what each passage has, float32 ``(n_query, n_passages)``, to the largest similarity found in it.

    Args:
        similarities, numbers: what was found, float32 and int64 ``(n_query, k)``; −1 stands for none.
        place_of: int32, the column of each passage.
        reduced: is changed.
    """
    for token in range(numbers.shape[0]):
        for which in range(numbers.shape[1]):
            if numbers[token, which] >= 0:
                place = place_of[numbers[token, which]]
                if similarities[token, which] > reduced[token, place]:
                    reduced[token, place] = similarities[token, which]


class Kernels(NamedTuple):
    """``_scan``, ``_mark`` and ``_raise``, compiled."""

    scan: Any
    mark: Any
    raise_: Any


def compiled(*, cache: bool) -> Kernels:
    """Compile all of them, or load what an earlier process compiled; ``cache``: keep it for others."""

    def given(kind: Any, n: int) -> Any:
        return types.Array(from_dtype(np.dtype(kind)), n, "C", readonly=True)

    def made(kind: Any, n: int) -> Any:
        return types.Array(from_dtype(np.dtype(kind)), n, "C")

    found = given(np.int64, 2)
    scan = types.void(
        given(np.uint8, 1),
        types.int64,
        *[given(np.int64, 1)] * 4,
        given(np.int64, 2),
        given(np.uint8, 2),
        given(np.uint16, 2),
        *[given(np.float32, 1)] * 2,
        given(np.uint8, 1),
        types.boolean,
        made(np.uint16, 1),
        made(np.int64, 1),
        made(np.float32, 2),
        made(np.int64, 2),
    )
    mark = types.void(found, made(np.bool_, 1))
    raise_ = types.void(given(np.float32, 2), found, given(np.int32, 1), made(np.float32, 2))

    def jitted(signature: Any, function: Any) -> Any:
        return njit([signature], nogil=True, error_model="numpy", cache=cache)(function)

    return Kernels(jitted(scan, _scan), jitted(mark, _mark), jitted(raise_, _raise))
