"""Hooks of vecsearch_training: nothing is imported before a hook is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecsearch import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def vecsearch_register_commands() -> Sequence[click.Command]:
    """Register train."""
    from vecsearch_training.command import train_command

    return [train_command]
