"""What to do about a method that raises, or is not there: words that name its parameters and what they may be."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from vecsearch import protocols

__all__ = ["definition", "on_error", "on_missing"]

_PROTOCOLS: dict[str, tuple[type, ...]] = {
    "tokenizer": (protocols.Tokenizer,),
    "embedder": (protocols.StaticEmbedder, protocols.ContextualEmbedder),
    "encoder": (protocols.AligningEncoder, protocols.ComparingEncoder),
    "scorer": (protocols.Scorer,),
    "loader": (protocols.Loader,),
}

_INPUTS = {
    "tokenize": "texts is a list of strings, one or many or none, and any of them may be empty",
    "rows": "entries is a list of strings, one or many or none; what the model does not know has a row of zeros",
    "embed": "texts is a list of strings, one or many or none; tokens may be none as well",
    "encode": "units holds the tokens of all passages, which may be none, and may have any number of columns; where "
    "only some can be, give them to the check: dims=(…,)",
    "encode_compared": "places says which of rows each token has; query may have any number of rows",
    "align": "query and passage have a token each, or more",
    "reduce": "passage p has the columns offsets[p]:offsets[p + 1] of similarities, so passages begin at offsets[:-1]",
    "transform": "reduced has a row for each query token and a column for each passage; statistics.background may have "
    "no columns",
    "combine": "transformed has a row for each query token and a column for each passage, weights a number for each "
    "query token",
    "sensitivity": "weights has a number for each query token, and may be all zeros",
}

_ATTRIBUTES = {
    "config": "`self.config = {…}` in __init__, with every argument of the constructor (or {})",
    "files": "`self.files = {}` in __init__, or the files that are read",
    "name": '`name: ClassVar[str] = "…"`',
    "version": '`version: ClassVar[str] = "1"`',
    "suffixes": '`suffixes: ClassVar[tuple[str, ...]] = (".txt",)`',
    "dim": "`self.dim = …`, the length of a row",
    "depth": "`self.depth = 100`, how many candidates are aligned",
}


def definition(subject: str, method: str) -> str | None:
    """Return the first line of a method as the protocol of its kind has it; None where it has no such method.

    Args:
        subject: what is checked; begins with its kind, such as ``"tokenizer Words.tokenize"``.

    Example:
        >>> definition("tokenizer Words.tokenize", "tokenize")
        'def tokenize(self, texts)'
    """
    for protocol in _PROTOCOLS.get(subject.partition(" ")[0], ()):
        function = inspect.getattr_static(protocol, method, None)
        if inspect.isfunction(function):
            return f"def {method}({', '.join(inspect.signature(function).parameters)})"
    return None


def on_error(subject: str, error: Exception) -> str:
    """Return what to do about a method, named at the end of ``subject``, that raised."""
    method = subject.rpartition(".")[2]
    # The frame of the check itself and nothing below it: the call could not even begin.
    is_refused = isinstance(error, TypeError) and _depth(error) == 1
    if method == "__init__":
        return (
            "give every argument a default, or give it to the check by keyword, as in check_…(MyClass, size=3)"
            if "missing" in str(error)
            else "take what `config` returns and what the check was given; the traceback above shows where it failed"
        )
    written = definition(subject, method)
    if is_refused and written is not None:
        return f"write `{written}`: it is called with these arguments, by position"
    if method in _INPUTS:
        return f"handle this input: {_INPUTS[method]}; the traceback above shows where it failed"
    return "handle this input; the traceback above shows where it failed"


def _depth(error: Exception) -> int:
    depth, frame = 0, error.__traceback__
    while frame is not None:
        depth, frame = depth + 1, frame.tb_next
    return depth


def on_missing(subject: str, names: Sequence[str]) -> str:
    """Return what to write where a class lacks attributes or methods.

    Example:
        >>> on_missing("tokenizer Words", ["vocabulary"])
        'write `def vocabulary(self)`; docs/plugins.md says what it must be'
    """
    parts = [_ATTRIBUTES.get(name) or f"`{definition(subject, name) or name}`" for name in names]
    return f"write {'; and '.join(parts)}; docs/plugins.md says what {'it' if len(names) == 1 else 'each'} must be"
