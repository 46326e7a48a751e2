"""Codes lie as FAISS packs them, come back from their bytes, and are refused when damaged."""

from __future__ import annotations

import gc
import mmap
from pathlib import Path

import numpy as np
import pytest

from tests.typed_tokens import N, found, tokens
from vecsearch.stores.codebook import Codebook
from vecsearch.stores.codes import Codes


def test_codes_are_laid_out_as_faiss_packs_them(
    codes: Codes, codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    vectors, types, numbers = sample
    cells = codebook.cells(vectors, types)
    index = codebook.index()
    packer = index.get_CodePacker()
    cell = int(np.bincount(cells).argmax())
    members = np.flatnonzero(cells == cell)
    flat = codebook.encode(vectors[members], cells[members])
    layout = codes.layout
    first = layout.blocks[cell]
    stored = np.ascontiguousarray(layout.codes(codes._content)[first : layout.blocks[cell + 1]])
    for place, code in enumerate(flat):
        assert packer.unpack_1(stored[place // 32].reshape(1, -1), place % 32).tolist() == code.tolist()
    assert codes.numbers(cell, cell + 1).tolist() == numbers[members].tolist()


def test_codes_come_back_from_their_bytes(codes: Codes, codebook: Codebook, tmp_path: Path) -> None:
    query = tokens(4, seed=2)[0]
    assert codes.content.tobytes() == codes.to_bytes()
    assert len(codes.content) == codes.n_bytes
    path = tmp_path / "codes"
    path.write_bytes(codes.to_bytes())
    with open(path, "rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    read = Codes.from_buffer(codebook, mapped)
    path.unlink()
    del mapped
    gc.collect()
    assert read.n == N
    assert found(read, codebook, query, N) == found(codes, codebook, query, N)
    del read
    gc.collect()


def test_codes_of_another_codebook_are_refused(codes: Codes, sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    other = Codebook.train(sample[0], sample[1], N, seed=1)
    with pytest.raises(ValueError, match="another codebook"):
        Codes.from_buffer(other, codes.to_bytes())


def test_damaged_codes_are_refused(codes: Codes, codebook: Codebook) -> None:
    content = codes.to_bytes()
    for cut in (0, 10, 63, 64, 200, len(content) // 2, len(content) - 1):
        with pytest.raises(ValueError, match="codes"):
            Codes.from_buffer(codebook, content[:cut])
    with pytest.raises(ValueError, match="codes"):
        Codes.from_buffer(codebook, content + b"\0")
    for place in range(0, 64 + 4 * codebook.n_cells, 7):
        changed = bytearray(content)
        changed[place] ^= 0x55
        with pytest.raises(ValueError, match="codes"):
            Codes.from_buffer(codebook, bytes(changed))
