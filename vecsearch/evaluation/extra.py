"""Imports what the extra ``vecsearch[eval]`` brings, when it is first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from vecsearch.errors import UsageError

__all__ = ["require"]


def require(module: str) -> Any:
    """Import a module of the extra.

    Raises:
        UsageError: it cannot be imported; says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(
            f"this evaluation needs an extra: pip install 'vecsearch[eval]' ({error})", module=module
        ) from error
