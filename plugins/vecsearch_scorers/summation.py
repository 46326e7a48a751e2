"""The sum that all scorers end with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.types import Floats

__all__ = ["weighted_sum"]


def weighted_sum(terms: Floats, weights: Floats) -> npt.NDArray[np.float64]:
    """Return Σ_i w_i · t_i of each passage.

    Args:
        terms: ``(n_query, n_passages)``.
        weights: ``(n_query,)``.

    Returns:
        float64 ``(n_passages,)``, summed in float64 in the order of the query, so that passages whose terms are equal
        score equal to the last bit, whatever stands beside them.
    """
    # subtle: a matrix product would be faster and would sum in an order that depends on the place of a passage
    scores = np.zeros(terms.shape[1], dtype=np.float64)
    for weight, row in zip(weights.tolist(), terms, strict=True):  # once a query token
        scores += weight * row.astype(np.float64)
    return scores
