"""Hooks of vecsearch_scorers: nothing is imported before a hook is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecsearch import hookimpl

if TYPE_CHECKING:
    from vecsearch import Scorer


@hookimpl
def vecsearch_register_scorers() -> Sequence[type[Scorer]]:
    """Register maxsim."""
    from vecsearch_scorers.maxsim import MaxSimScorer

    return [MaxSimScorer]
