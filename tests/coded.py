"""Small indexes with codes, which real ones have from a million tokens on."""

from __future__ import annotations

import pytest

from vecsearch.stores import coded, manifest, reading, upkeep
from vecsearch.stores.protocol import Depth

__all__ = ["search_codes"]


def search_codes(monkeypatch: pytest.MonkeyPatch, *, fewest: int = 300) -> None:
    """Let indexes have codes from a few tokens on, and search them so deep that nothing is missed."""
    monkeypatch.setattr(upkeep, "FEWEST_TOKENS", fewest)
    monkeypatch.setattr(upkeep, "FLUSH_TOKENS", 1)
    monkeypatch.setattr(coded, "LIGHT", 0.0)
    monkeypatch.setattr(reading, "DIRECT_TOKENS", 100)
    deep = Depth(n_nearest=1_000_000, n_probe=100_000, n_rescored=2_000)
    monkeypatch.setattr(manifest, "read_depth", lambda db, folder: deep)
