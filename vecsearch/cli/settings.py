"""What the options of the program itself say, as the commands see it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import click

__all__ = ["Settings", "pass_settings"]


def _color_of_environment() -> bool | None:
    # https://no-color.org: any value but the empty one
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


@dataclass
class Settings:
    """Settings of one run.

    Attributes:
        indexes: folder of the indexes.
        color: True or False where the user has said so, by option or environment; None: look at the stream.
        verbose: whether to say more on stderr.
        is_json: whether the command writes JSON; failures are then JSON as well.
    """

    indexes: Path = Path("indexes")
    color: bool | None = None
    verbose: bool = False
    is_json: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.color is None:
            self.color = _color_of_environment()

    def colors(self, stream: TextIO | None = None) -> bool:
        """Return whether to write colour to a stream, stdout by default."""
        stream = stream or sys.stdout
        return stream.isatty() if self.color is None else self.color


pass_settings = click.make_pass_decorator(Settings, ensure=True)
