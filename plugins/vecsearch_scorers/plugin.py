"""Hooks of vecsearch_scorers: nothing is imported before a hook is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecsearch import hookimpl

if TYPE_CHECKING:
    from vecsearch import Scorer


@hookimpl
def vecsearch_register_scorers() -> Sequence[type[Scorer]]:
    """Register debiased_maxsim, maxsim and soft_tf."""
    from vecsearch_scorers.debiased import DebiasedMaxSimScorer
    from vecsearch_scorers.maxsim import MaxSimScorer
    from vecsearch_scorers.soft_tf import SoftTfScorer

    return [DebiasedMaxSimScorer, MaxSimScorer, SoftTfScorer]
