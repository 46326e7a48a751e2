"""Reads the vocabulary of a matrix and finds entries in it, whatever marks its makers gave to the pieces of words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from vecsearch import LoadError, Vocabulary
from vecsearch_wordllama.tensors import refuse_special

__all__ = ["MARKS", "Lookup", "Marks", "read_vocabulary"]

Marks: TypeAlias = Literal["auto", "none", "##", "▁", "Ġ"]
MARKS: tuple[Marks, ...] = ("auto", "none", "##", "▁", "Ġ")

_MAX_BYTES = 1 << 30  # the largest vocabularies there are have some ten million words of ten bytes
_COMMON = 0.1  # share of marked entries from which a mark is one, and not a word such as "##" or Maltese "Ġorġ"


class Lookup:
    """The entries of a vocabulary by their surface text and place in a word.

    An entry is looked for in its own place first (``##ing`` or a mark-less ``ing`` where it continues a word), then
    in the other; within a place as it is written, then case-folded, then as the first entry that is the same when
    both are case-folded. Of entries written alike the first counts.

    Args:
        entries: as the vocabulary has them, in the order of the rows.
        marks: ``##`` continues a word (WordPiece); ``▁`` begins one (SentencePiece); ``Ġ`` begins one and every
            character stands for a byte (GPT-2); ``none``: every entry is a word. ``auto`` takes the mark that at
            least a tenth of the entries have, or else none.

    Example:
        >>> lookup = Lookup(["Dog", "run", "##ning"])
        >>> [lookup.find("dog", True), lookup.find("ning", False), lookup.find("ning", True), lookup.find("cat", True)]
        [0, 2, 2, -1]
        >>> lookup.vocabulary.entries
        ('Dog', 'run', 'ning')
    """

    def __init__(self, entries: Sequence[str], marks: Marks = "auto") -> None:
        if marks == "auto":
            marks = _common_mark(entries)
        surfaces = [_surface(entry, marks) for entry in entries]
        starts_word = np.array([starts for _, starts in surfaces], dtype=np.bool_)
        starts_word.setflags(write=False)
        self.marks = marks
        self.vocabulary = Vocabulary(tuple(surface for surface, _ in surfaces), starts_word)
        self._exact: dict[bool, dict[str, int]] = {True: {}, False: {}}
        self._folded: dict[bool, dict[str, int]] = {True: {}, False: {}}
        for row, (surface, starts) in enumerate(surfaces):
            self._exact[starts].setdefault(surface, row)
            folded = surface.casefold()
            if folded != surface:
                self._folded[starts].setdefault(folded, row)

    def find(self, entry: str, starts_word: bool) -> int:
        """Return the row of an entry, −1 where the vocabulary has nothing for it."""
        for place in (starts_word, not starts_word):
            exact = self._exact[place]
            row = exact.get(entry)
            if row is None:
                folded = entry.casefold()
                row = exact.get(folded)
                if row is None:
                    row = self._folded[place].get(folded)
            if row is not None:
                return row
        return -1

    def find_in_place(self, entry: str, starts_word: bool) -> int:
        """Return the row of an entry as it is written, in its own place only; −1 where there is none."""
        return self._exact[starts_word].get(entry, -1)


def read_vocabulary(path: str) -> list[str]:
    """Read the entries of a vocabulary in the order of its rows.

    Args:
        path: UTF-8 text with one entry a line, or, where the name ends in ``.json``, a JSON list of entries or an
            object that gives the row of every entry, each row once.

    Raises:
        LoadError: the file cannot be read or is none of these; names the line or the entry.
    """
    try:
        refuse_special(path)
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise LoadError(
                f"the vocabulary {path} is larger than {_MAX_BYTES:,} bytes; is it a list of words? give another file",
                path=path,
            )
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise LoadError(f"the vocabulary {path} cannot be read: {error.strerror or error}", path=path) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise LoadError(f"line {line} of the vocabulary {path} is not UTF-8; convert the file", path=path) from error
    if path.lower().endswith(".json"):
        return _json_entries(path, text)
    if not text:
        return []
    # subtle: not splitlines(), which also cuts at U+0085 and U+2028, and real vocabularies have entries with those
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _json_entries(path: str, text: str) -> list[str]:
    expected = "a list of strings, or an object that gives every entry its row, is expected"
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LoadError(f"the vocabulary {path} is not JSON: {error}; {expected}", path=path) from error
    if isinstance(content, list):
        for row, entry in enumerate(content):
            if not isinstance(entry, str):
                raise LoadError(f"entry {row} of the vocabulary {path} is {entry!r:.60}; {expected}", path=path)
        return content
    if not isinstance(content, dict):
        raise LoadError(f"the vocabulary {path} is JSON of another kind; {expected}", path=path)
    entries: list[str | None] = [None] * len(content)
    for entry, row in content.items():
        if type(row) is not int or not 0 <= row < len(entries):
            raise LoadError(
                f"the vocabulary {path} gives {entry[:40]!r} the row {row!r:.60}; "
                f"its {len(entries)} entries need the rows 0 to {len(entries) - 1}, each once",
                path=path,
            )
        if entries[row] is not None:
            raise LoadError(f"the vocabulary {path} gives the row {row} to {entries[row]!r} and {entry!r}", path=path)
        entries[row] = entry
    return [entry for entry in entries if entry is not None]


def _common_mark(entries: Sequence[str]) -> Marks:
    counts: Counter[Marks] = Counter()
    for entry in entries:
        if entry.startswith("##") and len(entry) > 2:
            counts["##"] += 1
        elif entry.startswith("▁"):
            counts["▁"] += 1
        elif entry.startswith("Ġ"):
            counts["Ġ"] += 1
    if not counts:
        return "none"
    mark, count = counts.most_common(1)[0]
    return mark if count >= _COMMON * len(entries) else "none"


def _surface(entry: str, marks: Marks) -> tuple[str, bool]:
    """Return the text of an entry without its mark, and whether it starts a word."""
    match marks:
        case "##":
            continues = entry.startswith("##") and len(entry) > 2
            return (entry[2:], False) if continues else (entry, True)
        case "▁":
            return entry.removeprefix("▁").replace("▁", " "), entry.startswith("▁")
        case "Ġ":
            text = _from_bytes(entry)
            return text.removeprefix(" "), text.startswith(" ")
        case _:
            return entry, True


def _byte_alphabet() -> dict[str, int]:
    """Return the byte that each character of GPT-2's alphabet stands for.

    Printable Latin-1 characters stand for themselves, the 68 others, in order, are U+0100 and on (space: ``Ġ``).
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


_ALPHABET = _byte_alphabet()


def _from_bytes(entry: str) -> str:
    try:
        return bytes(_ALPHABET[character] for character in entry).decode()
    except (KeyError, UnicodeDecodeError):  # a special entry, or part of a character: as it is written
        return entry
