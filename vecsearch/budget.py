"""How much memory a process may take while it writes an index."""

from __future__ import annotations

__all__ = ["LEAST_MEMORY", "MEMORY"]

MEMORY = 1_000_000_000
"""Bytes, by default …"""
LEAST_MEMORY = 600_000_000
"""… and at least: libraries, words and what a codebook is trained on need so many."""
