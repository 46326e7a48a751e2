"""Hooks of vecsearch_tokenizers: nothing is imported before a hook is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecsearch import hookimpl

if TYPE_CHECKING:
    import click

    from vecsearch import Tokenizer


@hookimpl
def vecsearch_register_tokenizers() -> Sequence[type[Tokenizer]]:
    """Register word, character, subword and pieces."""
    from vecsearch_tokenizers.character import CharacterTokenizer
    from vecsearch_tokenizers.subword import PiecesTokenizer, SubwordTokenizer
    from vecsearch_tokenizers.word import WordTokenizer

    return [CharacterTokenizer, PiecesTokenizer, SubwordTokenizer, WordTokenizer]


@hookimpl
def vecsearch_register_commands() -> Sequence[click.Command]:
    """Register train-tokenizer."""
    from vecsearch_tokenizers.commands import train_tokenizer

    return [train_tokenizer]
