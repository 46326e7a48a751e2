"""Results as rows of a Markdown table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecsearch.evaluation.significance import LEVEL, N_DRAWS

if TYPE_CHECKING:
    from vecsearch.evaluation.comparison import Result
    from vecsearch.evaluation.datasets import Dataset

__all__ = ["NOTE", "header", "row"]

NOTE = f"* differs from the first row, p < {LEVEL} (two-sided paired randomisation test, {N_DRAWS:,} draws)"
"""What the mark means."""
_COUNTED = {
    "collection": "queries",
    "pairs": "pairs",
    "triples": "triples",
    "analogies": "questions",
    "word similarity": "pairs",
}


def header(dataset: Dataset, result: Result) -> str:
    """Return the two lines that begin the table which ``result`` and others of its data set are rows of."""
    names = ["configuration", _COUNTED[dataset.kind], *result.measures]
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}\n"


def row(result: Result) -> str:
    """Return the line of a result, marked where it differs from the first (``NOTE``)."""
    n = f"{result.n:,}" if result.n_covered == result.n else f"{result.n_covered:,} of {result.n:,}"
    tested = result.p_values or {}
    cells = [f"{value:.4f}{'*' if tested.get(name, 1.0) < LEVEL else ''}" for name, value in result.measures.items()]
    label = result.label.replace("|", "\\|")
    return f"| {' | '.join([label, n, *cells])} |\n"
