"""The hooks of a vecsearch plugin, all on one screen.

A plugin is a module named by an entry point of the group ``vecsearch``. It holds hook functions only and imports its
classes inside them, so that ``vecsearch --help`` stays fast. Each hook is called at most once a ``plugins.Registry``,
when a name of its kind is first needed. It returns the classes (never instances) that it adds; order never matters,
and two classes of one kind with one name are an error that names both. A hook that raises is shown as broken by
``vecsearch plugins`` and does not stop the others.

    from vecsearch import hookimpl

    @hookimpl
    def vecsearch_register_tokenizers():
        from my_package.tokenizer import MyTokenizer
        return [MyTokenizer]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from vecsearch.protocols import Embedder, Loader, PositionalEncoder, Scorer, Tokenizer

hookspec = pluggy.HookspecMarker("vecsearch")
hookimpl = pluggy.HookimplMarker("vecsearch")


@hookspec
def vecsearch_register_tokenizers() -> Sequence[type[Tokenizer]]:
    """Return tokenizer classes. Called when an index is created or opened, and by the token commands."""
    raise NotImplementedError


@hookspec
def vecsearch_register_embedders() -> Sequence[type[Embedder]]:
    """Return embedder classes, static or contextual. Called when an index is created or opened."""
    raise NotImplementedError


@hookspec
def vecsearch_register_encoders() -> Sequence[type[PositionalEncoder]]:
    """Return positional encoder classes. Called when an index is created or opened."""
    raise NotImplementedError


@hookspec
def vecsearch_register_scorers() -> Sequence[type[Scorer]]:
    """Return scorer classes. Called by the first search of a process."""
    raise NotImplementedError


@hookspec
def vecsearch_register_loaders() -> Sequence[type[Loader]]:
    """Return loader classes. Called when files are indexed."""
    raise NotImplementedError


@hookspec
def vecsearch_register_commands() -> Sequence[click.Command]:
    """Return click commands for the ``vecsearch`` program. The only hook that ``vecsearch --help`` calls."""
    raise NotImplementedError
