"""Hooks of vecsearch_positions: nothing is imported before a hook is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecsearch import hookimpl

if TYPE_CHECKING:
    from vecsearch import PositionalEncoder


@hookimpl
def vecsearch_register_encoders() -> Sequence[type[PositionalEncoder]]:
    """Register none, sinusoidal, learned, relative and rotary."""
    from vecsearch_positions.absolute import LearnedEncoder, SinusoidalEncoder
    from vecsearch_positions.none import NoneEncoder
    from vecsearch_positions.relative import RelativeEncoder
    from vecsearch_positions.rotary import RotaryEncoder

    return [LearnedEncoder, SinusoidalEncoder, NoneEncoder, RelativeEncoder, RotaryEncoder]
