"""A positional encoder that mixes each token with the one before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from vecsearch.types import Floats, Offsets


class ExampleEncoder:
    """Add to each token a share of the one before it, turned by one place.

    Because it is turned, "after dog" is another direction than "dog". It stops at the edges of passages.

    Args:
        share: of the token before, in [0, 1]; 0 knows no order.

    Raises:
        ValueError: share is out of its range.

    Example: two passages, of two tokens and of one.

        >>> units = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float32)
        >>> encoder = ExampleEncoder(share=0.75)
        >>> encoder.encode(units, np.ones(3, dtype=np.float32), np.array([0, 2, 3])).round(2).tolist()
        [[1.0, 0.0, 0.0], [0.800000011920929, 0.6000000238418579, 0.0], [0.0, 0.0, 1.0]]
    """

    name: ClassVar[str] = "example_plugin"
    version: ClassVar[str] = "1"  # change it whenever some vector changes

    def __init__(self, *, share: float = 0.4) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share is {share!r}; it must lie in [0, 1]")
        self.config: Mapping[str, Any] = {"share": share}
        self.files: Mapping[str, str] = {}

    def encode(self, units: Floats, weights: Floats, offsets: Offsets) -> Floats:  # noqa: ARG002 (weights do not matter)
        """Return position-aware vectors: float32 ``(n_tokens, dim)``, rows of unit length or zero."""
        before = np.zeros_like(units)
        before[1:] = np.roll(units[:-1], 1, axis=1)
        starts = offsets[:-1]
        before[starts[starts < len(units)]] = 0  # the first token of a passage has none before it
        mixed = units + np.float32(self.config["share"]) * before
        norms = np.linalg.norm(mixed, axis=1, keepdims=True)
        encoded: Floats = np.divide(mixed, norms, out=np.zeros_like(mixed), where=norms > 1e-12)
        return encoded
