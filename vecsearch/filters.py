"""Filters on documents: conditions on metadata, id, title and path.

``field`` makes them in Python, ``filter_language.parse_filter`` from text; ``str`` of a filter is such text. What they
mean stands in ``filter_tree``. ``check_fields`` compares one with what documents have, as ``field_types`` tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import NoReturn

from vecsearch.errors import FilterError
from vecsearch.filter_tree import (
    BUILT_IN,
    And,
    Comparison,
    Exists,
    Filter,
    In,
    IsTrue,
    Leaf,
    Like,
    Not,
    Or,
    spelled_key,
)
from vecsearch.filter_values import Literal
from vecsearch.metadata_keys import MAX_KEY_PARTS, field_types, key_name, key_parts, shown

__all__ = [
    "And",
    "Comparison",
    "Exists",
    "Field",
    "Filter",
    "In",
    "IsTrue",
    "Leaf",
    "Like",
    "Not",
    "Or",
    "check_fields",
    "field",
    "field_types",
    "resolve_key",
]


def resolve_key(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the path through a document that a key of the filter language means.

    Raises:
        FilterError: a key within a built-in field, or ``metadata`` without a key.

    Example:
        >>> resolve_key(("year",)), resolve_key(("id",)), resolve_key(("metadata", "id"))
        (('metadata', 'year'), ('id',), ('metadata', 'id'))
    """
    name = key_name(parts)
    if parts == ("metadata",):
        raise FilterError("metadata is no field by itself; name a key of it: metadata.year, or short: year")
    if parts[0] in BUILT_IN and len(parts) > 1:
        raise FilterError(f"{parts[0]} is text and has no keys; a key of the metadata is metadata.{name}")
    return parts if parts[0] in (*BUILT_IN, "metadata") else ("metadata", *parts)


class Field:
    """A field of documents to compare with values; made by ``field``."""

    __slots__ = ("key",)
    __hash__ = None  # type: ignore[assignment]  # == makes a filter, so fields cannot be told apart in a set

    def __init__(self, key: tuple[str, ...]) -> None:
        self.key = key

    def __eq__(self, value: Literal) -> Filter:  # type: ignore[override]  # the point of the class
        return Comparison(self.key, "=", value)

    def __ne__(self, value: Literal) -> Filter:  # type: ignore[override]  # the point of the class
        return Not(self == value)

    def __lt__(self, value: Literal) -> Filter:
        return Comparison(self.key, "<", value)

    def __le__(self, value: Literal) -> Filter:
        return Comparison(self.key, "<=", value)

    def __gt__(self, value: Literal) -> Filter:
        return Comparison(self.key, ">", value)

    def __ge__(self, value: Literal) -> Filter:
        return Comparison(self.key, ">=", value)

    def in_(self, values: Iterable[Literal]) -> Filter:
        """True where the value is one of these."""
        if isinstance(values, str):
            raise FilterError(f"in_ needs a list of values, not the one string {shown(values)}")
        if not isinstance(values, Iterable):
            raise FilterError(f"in_ needs a list of values, not {shown(values)}")
        return In(self.key, tuple(values))

    def like(self, pattern: str) -> Filter:
        """True where the value fits a pattern of ``%`` (any text) and ``_`` (any character)."""
        return Like(self.key, pattern)

    def exists(self) -> Filter:
        """True where the value is there and is not null."""
        return Exists(self.key)

    def is_true(self) -> Filter:
        """True where the value is true."""
        return IsTrue(self.key)

    def __bool__(self) -> NoReturn:
        raise TypeError('a field is no filter: compare it with a value, or ask field("draft").is_true()')

    def __repr__(self) -> str:
        return f"field({spelled_key(self.key)!r})"


def field(key: str | Iterable[str]) -> Field:
    r"""Name a field of documents to compare with values.

    Args:
        key: as in the filter language: ``year``, ``author.name`` for nested objects, `` `my key` `` in backticks
            where it is no identifier; ``id``, ``title`` and ``path`` are the document's own, ``metadata.id`` reaches
            a key that they hide. Or the names as they are, from the outermost object inwards: ``["my key"]``.

    Raises:
        FilterError: no key; or, later, a value that nothing can be compared with.

    Example:
        >>> recent = (field("year") >= 2020) & ~field("draft").is_true()
        >>> print(recent)
        year >= 2020 and not draft
        >>> recent.matches({"id": "a", "title": "", "metadata": {"year": 2021}})
        True
    """
    parts = key_parts(key) if isinstance(key, str) else tuple(key) if isinstance(key, Iterable) else (key,)
    if not 1 <= len(parts) <= MAX_KEY_PARTS or not all(isinstance(part, str) for part in parts):
        raise FilterError(f"{shown(parts)} is no key: 1 to {MAX_KEY_PARTS} names, each text")
    return Field(resolve_key(parts))


def check_fields(filter: Filter, known: Mapping[str, frozenset[str]]) -> None:
    """Refuse a filter that compares what no document has: most likely a slip of the pen.

    Args:
        filter: to check.
        known: metadata keys that documents have, spelled, each with its types: see ``field_types``.

    Raises:
        FilterError: an unknown key, or a literal of a type that the key never has.
    """
    for leaf in filter.leaves():
        is_built_in = leaf.key[0] != "metadata"
        name = key_name(leaf.key if is_built_in else leaf.key[1:])
        if not is_built_in and name not in known:
            raise FilterError(f"no document has the metadata key {name}; {_nearest(name, known)}", key=name)
        types = frozenset({"string"}) if is_built_in else known[name]
        for kind in sorted(leaf.types() - types):
            there = ", ".join(sorted(types - {"null"})) or "null"
            raise FilterError(
                f"{spelled_key(leaf.key)} is compared with a {kind}, but its values are of type {there}: "
                f"{leaf if len(str(leaf)) <= 80 else str(leaf)[:79] + '…'}",
                key=name,
                type=kind,
            )


def _nearest(name: str, known: Mapping[str, object]) -> str:
    if not known:
        return "no document has any metadata"
    near = get_close_matches(name, known, n=3, cutoff=0.6)
    folded = [other for other in known if other.casefold() == name.casefold()]
    if near or folded:
        return f"did you mean {' or '.join(dict.fromkeys([*folded, *near]))}?"
    some = sorted(known)[:10]
    return f"there are {', '.join(some)}{' and more' if len(known) > len(some) else ''}"
