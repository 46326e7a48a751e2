r"""How keys of metadata are spelled, and which types their values have.

A key is a path of names through nested objects. Its spelling joins them with dots: ``year``, ``author.name``. A name
that is no identifier, or is a word of the filter language, stands in backticks with the escapes of a JSON string:
`` `my key` ``, `` author.`e-mail address` ``. So one spelling means one path: ``a.b`` is the key b of an object a,
`` `a.b` `` a key with a dot in its name. An identifier begins with a letter or ``_`` and goes on with letters, digits,
``_`` and ``-``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from vecsearch.errors import FilterError

__all__ = [
    "KEYWORDS",
    "MAX_KEY_PARTS",
    "field_types",
    "key_name",
    "key_parts",
    "quoted",
    "read_key",
    "read_quoted",
    "shown",
    "type_of",
    "value_at",
]

KEYWORDS = frozenset({"and", "or", "not", "in", "like", "exists", "true", "false"})
"""Words of the filter language, in any letter case."""
MAX_KEY_PARTS = 32
"""Objects nested deeper cannot be named; they are stored all the same."""

_IDENTIFIER = re.compile(r"[^\W\d][\w-]*")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", **{mark: mark for mark in "\"'`\\/"}}
_HEX = re.compile(r"[0-9A-Fa-f]{4}")
_LOW_SURROGATE = re.compile(r"\\u([dD][c-fC-F][0-9A-Fa-f]{2})")


def key_name(parts: Sequence[str]) -> str:
    r"""Return the one spelling of a key that messages, listings and stores use.

    Example:
        >>> key_name(["author", "e-mail"]), key_name(["my key"]), key_name(["in"])
        ('author.e-mail', '`my key`', '`in`')
    """
    return ".".join(map(_part_name, parts))


def _part_name(part: str) -> str:
    if _IDENTIFIER.fullmatch(part) and part.lower() not in KEYWORDS:
        return part
    return "`" + quoted(part)[1:-1].replace("`", "\\`") + "`"


@lru_cache(maxsize=1024)
def key_parts(name: str) -> tuple[str, ...]:
    """Return the path that a spelling means.

    Raises:
        FilterError: it is no spelling of a key; ``offset`` says where.

    Example:
        >>> key_parts("author.`first name`")
        ('author', 'first name')
    """
    parts, end = read_key(name, 0)
    if end < len(name):
        raise FilterError(
            f"{shown(name)} is no key: {shown(name[end])} cannot stand in a plain name; write the name in backticks, "
            f"as in `my key`, and a dot between the names of nested objects",
            offset=end,
        )
    return parts


def read_key(text: str, start: int) -> tuple[tuple[str, ...], int]:
    """Read the key that begins at ``start``; return its path and where it ends.

    Raises:
        FilterError: no key begins there, or it is not finished, or has over ``MAX_KEY_PARTS`` names.
    """
    parts = []
    at = start
    while True:
        if text.startswith("`", at):
            part, at = read_quoted(text, at)
        elif match := _IDENTIFIER.match(text, at):
            part, at = match[0], match.end()
        else:
            found = shown(text[at]) if at < len(text) else "the end"
            raise FilterError(f"expected the name of a key, found {found}", offset=at)
        parts.append(part)
        if len(parts) > MAX_KEY_PARTS:
            raise FilterError(f"a key of more than {MAX_KEY_PARTS} nested names", offset=start)
        if not text.startswith(".", at):
            return tuple(parts), at
        at += 1


def read_quoted(text: str, start: int) -> tuple[str, int]:
    r"""Read what stands between the mark at ``start`` and the next such mark; return it and where it ends.

    A backslash escapes as in JSON, and any of the three marks as well.

    Raises:
        FilterError: no closing mark, an unknown escape, half a surrogate pair.
    """
    mark = text[start]
    special = re.compile(rf"[\\{mark}]")
    pieces = []
    at = start + 1
    while found := special.search(text, at):
        pieces.append(text[at : found.start()])
        at = found.end()
        if found[0] == mark:
            return "".join(pieces), at
        piece, at = _read_escape(text, at)
        pieces.append(piece)
    raise FilterError(f"the {mark} here is never closed", offset=start)


def _read_escape(text: str, at: int) -> tuple[str, int]:
    letter = text[at : at + 1]
    if letter in _ESCAPES:
        return _ESCAPES[letter], at + 1
    if letter == "u" and (digits := _HEX.match(text, at + 1)):
        code, at = int(digits[0], 16), digits.end()
        if 0xD800 <= code < 0xDC00 and (low := _LOW_SURROGATE.match(text, at)):
            code, at = 0x10000 + ((code - 0xD800) << 10) + int(low[1], 16) - 0xDC00, low.end()
        if 0xD800 <= code < 0xE000:
            raise FilterError(f"\\u{code:04x} is half a surrogate pair and no character", offset=at - 6)
        return chr(code), at
    if not letter:
        raise FilterError("a backslash at the end", offset=at - 1)
    raise FilterError(
        f"{shown(chr(92) + letter)} is no escape; allowed are \\\\ \\\" \\' \\` \\/ \\b \\f \\n \\r \\t "
        f"and \\uXXXX; a backslash itself is written \\\\",
        offset=at - 1,
    )


def quoted(text: str) -> str:
    """Return a text between double quotes, as ``read_quoted`` reads it: on one line, printable."""
    return "".join(mark if mark.isprintable() else _escape(mark) for mark in json.dumps(text, ensure_ascii=False))


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def shown(value: object) -> str:
    """Return a value as a message shows it: on one line, printable, not too long."""
    try:
        text = repr(value[:80] if isinstance(value, str) else value)
    except (RecursionError, ValueError):  # nested too deeply, or an integer of thousands of digits
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:59]}…"


def type_of(value: object) -> str:
    """Return string, number, bool, null, object or list."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if value is None:
        return "null"
    return "object" if isinstance(value, Mapping) else "list"


def value_at(document: Mapping[str, Any], path: Sequence[str]) -> Any:
    """Return what a path of keys leads to, None where it leads to nothing. Lists are not entered."""
    value: Any = document
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def field_types(metadata: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return each key of one document's metadata, spelled, with the types of its values.

    The elements of a list count as the key's values; a list within a list, or one without elements, counts as
    ``list``. Keys of nested objects count, those of objects in lists do not: no filter reaches them.

    Example:
        >>> sorted(field_types({"year": 1999, "tags": ["a", None], "author": {"name": "Ada"}}))
        [('author', 'object'), ('author.name', 'string'), ('tags', 'null'), ('tags', 'string'), ('year', 'number')]
    """
    return set(_field_types(metadata, ()))


def _field_types(metadata: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for part, value in metadata.items():
        path = (*above, part)
        name = key_name(path)
        kind = type_of(value)
        if kind == "list" and len(value):
            yield from ((name, type_of(element)) for element in value)
        else:
            yield name, kind
        if kind == "object" and len(path) < MAX_KEY_PARTS:
            yield from _field_types(value, path)
