"""How FAISS's FastScan lays out 4-bit codes: in blocks of 32 that are compared in registers.

From André, Kermarrec & Le Scouarnec 2015, "Cache locality is not enough: high-performance nearest neighbor search with
product quantization fast scan".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]

__all__ = ["BLOCK", "packed", "unpacked"]

BLOCK = 32
"""Codes that FastScan compares at a time."""

# where FastScan keeps the codes of a half block: the first 16 in the low nibbles, the others in the high ones
_FASTSCAN = np.array([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])
_UNSCAN = np.argsort(_FASTSCAN)


def packed(flat: Bytes) -> Bytes:
    """Turn codes ``(32 · n, code_size)`` into FastScan blocks ``(n, code_size, 32)``."""
    codes = flat.reshape(-1, BLOCK, flat.shape[1]).transpose(0, 2, 1)
    codes = np.ascontiguousarray(codes).reshape(*codes.shape[:2], 2, 16)[..., _FASTSCAN]
    halves = np.empty((*codes.shape[:2], 2, 16), np.uint8)
    halves[:, :, 0] = codes[:, :, 0] & 15 | codes[:, :, 1] << 4
    halves[:, :, 1] = codes[:, :, 0] >> 4 | codes[:, :, 1] & 240
    return halves.reshape(*codes.shape[:2], BLOCK)


def unpacked(blocks: Bytes) -> Bytes:
    """Turn FastScan blocks back into codes."""
    halves = blocks.reshape(*blocks.shape[:2], 2, 16)
    codes = np.empty(halves.shape, np.uint8)
    codes[:, :, 0] = halves[:, :, 0] & 15 | halves[:, :, 1] << 4
    codes[:, :, 1] = halves[:, :, 0] >> 4 | halves[:, :, 1] & 240
    codes = codes[..., _UNSCAN].reshape(*blocks.shape)
    return np.ascontiguousarray(codes.transpose(0, 2, 1)).reshape(-1, blocks.shape[1])
