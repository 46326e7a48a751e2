"""How long a campaign runs, and from which seed.

``VECSEARCH_CAMPAIGN=long`` makes it long, ``VECSEARCH_CAMPAIGN_SEED`` sets the seed; both are printed.
"""

from __future__ import annotations

import os
from typing import TypeVar

__all__ = ["IS_LONG", "SEED", "sized"]

IS_LONG = os.environ.get("VECSEARCH_CAMPAIGN", "") == "long"
SEED = int(os.environ.get("VECSEARCH_CAMPAIGN_SEED", "1"))

T = TypeVar("T")


def sized(short: T, long: T) -> T:
    """Return the number for the campaign that runs."""
    return long if IS_LONG else short
