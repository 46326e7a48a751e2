"""No positions: a token's vector is its row, wherever it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from vecsearch_positions.arguments import Floats, Offsets

__all__ = ["NoneEncoder"]


class NoneEncoder:
    """Leave vectors as they are: x = u.

    It does not tell "dog bites man" from "man bites dog": under this encoder they hold the same vectors. For
    contextual embedders, whose vectors know their neighbours, and as the baseline for the other encoders.

    Example:
        >>> import numpy as np
        >>> units = np.array([[0.6, 0.8], [1.0, 0.0]], dtype=np.float32)
        >>> print(NoneEncoder().encode(units, np.ones(2, np.float32), np.array([0, 2])))
        [[0.6 0.8]
         [1.  0. ]]
    """

    name: ClassVar[str] = "none"
    version: ClassVar[str] = "1"

    @property
    def config(self) -> Mapping[str, Any]:
        """Nothing to configure."""
        return {}

    @property
    def files(self) -> Mapping[str, str]:
        """No files are read."""
        return {}

    def encode(self, units: Floats, weights: Floats, offsets: Offsets) -> Floats:  # noqa: ARG002 - the protocol's arguments
        """Return a copy of ``units``, the caller's to change."""
        return np.array(units, dtype=np.float32)
