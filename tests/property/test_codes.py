"""Codes of any blocks, merged in any way, hold every token once."""

from __future__ import annotations

import functools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.stores.codebook import Codebook
from vecsearch.stores.codes import Codes

EXACT = settings(derandomize=True, deadline=None, max_examples=60)


@functools.cache
def codebook(dim: int) -> Codebook:
    rng = np.random.default_rng(dim)
    vectors = rng.standard_normal((900, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Codebook.train(vectors, rng.integers(-1, 12, 900).astype(np.int32), 30_000)


@st.composite
def segments(draw: st.DrawFn) -> tuple[int, list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]]]:
    """Draw a dimension, and segments of blocks."""
    dim = draw(st.sampled_from([2, 5, 24]))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    lengths = draw(st.lists(st.lists(st.sampled_from([0, 1, 31, 32, 33, 200]), max_size=3), max_size=4))
    drawn = []
    for segment in lengths:
        blocks = []
        for n in segment:
            vectors = rng.standard_normal((n, dim)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            blocks.append((vectors, rng.integers(-1, 40, n).astype(np.int32), rng.integers(0, 50, n)))
        drawn.append(blocks)
    return dim, drawn


def tokens(
    codes: Codes, book: Codebook, query: np.ndarray, allowed: np.ndarray | None = None
) -> list[tuple[int, float]]:
    rows = [codes.search(probe, max(codes.n, 1), allowed) for probe in book.probe(query, book.n_cells)]
    return sorted(
        (int(n), float(s))
        for similarities, numbers in rows
        for n, s in zip(numbers[0], similarities[0], strict=True)
        if n >= 0
    )


@EXACT
@given(segments(), st.lists(st.booleans(), max_size=60))
def test_merging_keeps_every_allowed_token_with_its_code(
    drawn: tuple[int, list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]]], bits: list[bool]
) -> None:
    dim, all_blocks = drawn
    book = codebook(dim)
    query = np.zeros((1, dim), np.float32)
    query[0, 0] = 1
    parts = [Codes.build(book, blocks) for blocks in all_blocks]
    numbers = sorted(n for blocks in all_blocks for block in blocks for n in block[2].tolist())
    whole = Codes.merged(book, [Codes.from_buffer(book, part.to_bytes()) for part in parts])
    # subtle: FAISS scales its 8-bit tables by query and probe alone, so the same code scores the same in any segment
    separate = sorted(hit for part in parts for hit in tokens(part, book, query))
    assert [number for number, _ in separate] == numbers
    assert tokens(whole, book, query) == separate
    allowed = np.packbits(np.array(bits, bool), bitorder="little")
    right = [hit for hit in separate if hit[0] < len(bits) and bits[hit[0]]]
    assert tokens(whole, book, query, allowed) == right
    assert tokens(Codes.merged(book, parts, allowed), book, query) == right
