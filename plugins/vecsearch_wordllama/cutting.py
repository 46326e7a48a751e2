"""Cuts vocabulary entries into the pieces of a model by its own ``tokenizer.json``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecsearch import LoadError, Vocabulary
from vecsearch_wordllama.entries import SPECIAL
from vecsearch_wordllama.tensors import refuse_special
from vecsearch_wordllama.vocabularies import Lookup

if TYPE_CHECKING:
    import tokenizers

__all__ = ["Cutter"]

_MAX_BYTES = 64_000_000
_LONG = 1024  # characters of one entry that are cut at once
_SURROGATES = re.compile("[\ud800-\udfff]")


class Cutter:
    """The pieces of entries, by a tokenizer of any kind that the ``tokenizers`` library knows.

    An entry that is one of the tokenizer's own in its place (``##ing`` where it continues a word) is that piece; any
    other is cut as a text. The unknown token and special ones are left out.

    Args:
        path: a ``tokenizer.json``.

    Raises:
        LoadError: it cannot be read or is not a tokenizer.

    Attributes:
        n_ids: one more than the largest id.
        entries: as the file writes them, in the order of their ids; "" where an id has none.
    """

    def __init__(self, path: str) -> None:
        self._tokenizer = _load(path)
        by_entry: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        self.n_ids = max(by_entry.values(), default=-1) + 1
        if self.n_ids > 2 * len(by_entry) + 65_536:
            raise LoadError(
                f"{path} has {len(by_entry):,} entries and ids up to {self.n_ids:,}; fetch it again", path=path
            )
        self.entries = [""] * self.n_ids
        for entry, id_ in by_entry.items():
            self.entries[id_] = entry
        added = self._tokenizer.get_added_tokens_decoder().values()
        unknown = getattr(self._tokenizer.model, "unk_token", None)  # a Unigram's has one of the usual names
        self._special = SPECIAL | {token.content for token in added if token.special} | {unknown}
        self._special_ids = {by_entry[entry] for entry in self._special if entry in by_entry}
        self._lookup = Lookup(self.entries)

    @property
    def vocabulary(self) -> Vocabulary:
        """The entries in the order of their ids, marks removed."""
        return self._lookup.vocabulary

    def cut(self, entries: Sequence[str], starts: Sequence[bool]) -> list[list[int]]:
        """Return the ids of each entry's pieces; none where nothing is known of it.

        Args:
            entries: surface texts.
            starts: whether each begins a word.
        """
        # byte-level vocabularies (GPT-2) know a word by the space before it
        space = " " if self._lookup.marks == "Ġ" else ""
        pieces: list[list[int]] = []
        texts: list[str] = []
        owners: list[int] = []
        for nth, (entry, starting) in enumerate(zip(entries, starts, strict=True)):
            found = -1 if entry in self._special else self._lookup.find_in_place(entry, starting)
            pieces.append([found] if found >= 0 else [])
            if found >= 0 or entry in self._special:
                continue
            whole = (space if starting else "") + (entry if entry.isascii() else _SURROGATES.sub("\ufffd", entry))
            for first in range(0, len(whole), _LONG):
                texts.append(whole[first : first + _LONG])
                owners.append(nth)
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        for owner, encoding in zip(owners, encodings, strict=True):
            pieces[owner] += [id_ for id_ in encoding.ids if id_ not in self._special_ids]
        return pieces


def _load(path: str) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer

    refuse_special(path)
    try:
        if os.path.getsize(path) > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
        tokenizer = Tokenizer.from_file(path)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True  # "[CLS]" inside an entry is text
        tokenizer.encode_batch_fast(["a \U0010fffd"], add_special_tokens=False)
    except BaseException as error:
        # subtle: the library's PanicException is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise LoadError(f"{path} is not a tokenizer that can be used: {error}; fetch it again", path=path) from error
    return tokenizer
