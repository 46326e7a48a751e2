"""A filter as a tree of conditions, and what it means.

A filter is true or false of every document; there is no third value.

* A comparison is true where the value is there and has the literal's type: number with number, string with string,
  bool with bool (true is no number). Where the value is missing, null or of another type it is false.
* ``not`` is plain negation, and ``!=`` is ``not (… = …)``: true of documents without the key as well.
* Of a list, a comparison is true if it is true of any element. Lists within lists and objects are not compared.
* Numbers compare by value, 1 = 1.0, exactly. A stored integer beyond 64 bits counts as infinite: larger than every
  literal, or smaller. Literals are finite, integers among them of 64 bits.
* Strings compare by code point. ``like`` is case-sensitive: ``%`` any text, ``_`` any character, ``\\`` before ``%``,
  ``_`` and ``\\`` takes their meaning away.
* A bare key is short for ``key = true``. ``exists`` is true where the value is there and is not null.

What is here decides; ``stores.conditions`` says the same in SQL.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any, ClassVar, NoReturn

from vecsearch.errors import FilterError
from vecsearch.filter_values import Literal, as_literal, as_pattern, comparable, fits, spelled
from vecsearch.metadata_keys import MAX_KEY_PARTS, key_name, quoted, shown, type_of, value_at

__all__ = [
    "BUILT_IN",
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_VALUES",
    "And",
    "Comparison",
    "Exists",
    "Filter",
    "In",
    "IsTrue",
    "Leaf",
    "Like",
    "Not",
    "Or",
    "spelled_key",
]

MAX_DEPTH = 32
MAX_NODES = 1_000
MAX_VALUES = 10_000
"""Limits of one filter: nodes above each other, nodes in all, values of one ``in``."""

BUILT_IN = ("id", "title", "path")
"""Fields of every document that are no metadata; all are strings, and path may be missing."""

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Filter:
    """One node of a filter. Combine with ``&``, ``|`` and ``~``; equal trees are equal and hash alike."""

    depth: int = 1
    n_nodes: int = 1

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Say whether a document passes.

        Args:
            document: ``id``, ``title``, ``path`` (may be absent or None) and ``metadata``.
        """
        raise NotImplementedError

    def leaves(self) -> Iterator[Leaf]:
        """Yield the conditions on single fields, in order."""
        raise NotImplementedError

    def fields(self) -> set[tuple[str, str | None]]:
        """Return the metadata keys used, spelled, each with a type it is compared with; None for ``exists``."""
        return {
            (key_name(leaf.key[1:]), kind)
            for leaf in self.leaves()
            if leaf.key[0] == "metadata"
            for kind in (leaf.types() or (None,))
        }

    def __and__(self, other: Filter) -> Filter:
        return And((*_terms(self, And), *_terms(other, And))) if isinstance(other, Filter) else NotImplemented

    def __or__(self, other: Filter) -> Filter:
        return Or((*_terms(self, Or), *_terms(other, Or))) if isinstance(other, Filter) else NotImplemented

    def __invert__(self) -> Filter:
        return Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a filter is neither true nor false by itself: combine filters with & | ~ (not with and, or, not), each "
            'comparison in parentheses: (field("year") >= 2020) & ~(field("lang") == "en")'
        )


def _terms(one: Filter, kind: type[And] | type[Or]) -> tuple[Filter, ...]:
    return one.filters if isinstance(one, kind) else (one,)


@dataclass(frozen=True)
class Leaf(Filter):
    """A condition on one field.

    Attributes:
        key: path through the document: ``("id",)``, ``("title",)``, ``("path",)`` or ``("metadata", name, …)``.
    """

    key: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.key not in {(name,) for name in BUILT_IN} and (len(self.key) < 2 or self.key[0] != "metadata"):
            raise FilterError(f"{shown(self.key)} is no path through a document; make it with field(…)")
        if len(self.key) > MAX_KEY_PARTS + 1:
            raise FilterError(f"a key of more than {MAX_KEY_PARTS} nested names")
        for name in self.key:
            if not isinstance(as_literal(name), str):
                raise FilterError(f"{shown(name)} is no name of a key: names are text")

    def __str__(self) -> str:
        raise NotImplementedError

    def types(self) -> frozenset[str]:
        """Return the types of the literals: string, number, bool."""
        raise NotImplementedError

    def holds(self, value: Any) -> bool:
        """Say whether the condition is true of one value that is no list."""
        raise NotImplementedError

    def matches(self, document: Mapping[str, Any]) -> bool:
        value = value_at(document, self.key)
        return any(map(self.holds, value)) if type_of(value) == "list" else self.holds(value)

    def leaves(self) -> Iterator[Leaf]:
        yield self


@dataclass(frozen=True)
class Comparison(Leaf):
    """``key operator value``, the operator one of = < <= > >=. Truth values compare with = only."""

    operator: str
    value: Literal
    kind: str = attribute(init=False, repr=False)  # invariant: part of equality, for 1 == True in Python

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "value", as_literal(self.value))
        object.__setattr__(self, "kind", type_of(self.value))
        if self.operator not in _OPERATORS:
            raise FilterError(f"{shown(self.operator)} is no operator of a comparison; use = < <= > >=")
        if self.kind == "bool" and self.operator != "=":
            raise FilterError(f"true and false have no order: {self}; use = or !=")

    def __str__(self) -> str:
        return f"{spelled_key(self.key)} {self.operator} {spelled(self.value)}"

    def types(self) -> frozenset[str]:
        return frozenset({self.kind})

    def holds(self, value: Any) -> bool:
        return type_of(value) == self.kind and _OPERATORS[self.operator](comparable(value), self.value)


@dataclass(frozen=True)
class In(Leaf):
    """``key in (value, …)``; true of nothing if there are no values."""

    values: tuple[Literal, ...]
    _members: frozenset[tuple[str, Literal]] = attribute(init=False, repr=False, compare=False)
    _kinds: tuple[str, ...] = attribute(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        values = tuple(map(as_literal, self.values))
        if len(values) > MAX_VALUES:
            raise FilterError(f"{len(values):,} values in one list; at most {MAX_VALUES:,} are allowed")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "_kinds", tuple(map(type_of, values)))
        object.__setattr__(self, "_members", frozenset(zip(self._kinds, values, strict=True)))

    def __str__(self) -> str:
        return f"{spelled_key(self.key)} in ({', '.join(map(spelled, self.values))})"

    def types(self) -> frozenset[str]:
        return frozenset(self._kinds)

    def holds(self, value: Any) -> bool:
        kind = type_of(value)
        return kind in ("string", "number", "bool") and (kind, comparable(value)) in self._members


@dataclass(frozen=True)
class Like(Leaf):
    """``key like pattern``."""

    pattern: str

    def __post_init__(self) -> None:
        super().__post_init__()
        pattern = as_literal(self.pattern)
        if not isinstance(pattern, str):
            raise FilterError(f"like needs a string as its pattern, not {shown(pattern)}")
        as_pattern(pattern)
        object.__setattr__(self, "pattern", pattern)

    def __str__(self) -> str:
        return f"{spelled_key(self.key)} like {quoted(self.pattern)}"

    def types(self) -> frozenset[str]:
        return frozenset({"string"})

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and fits(value, as_pattern(self.pattern))


@dataclass(frozen=True)
class IsTrue(Leaf):
    """A bare key: short for ``key = true``."""

    def __str__(self) -> str:
        return spelled_key(self.key)

    def types(self) -> frozenset[str]:
        return frozenset({"bool"})

    def holds(self, value: Any) -> bool:
        return value is True


@dataclass(frozen=True)
class Exists(Leaf):
    """``exists key``: the value is there and is not null."""

    def __str__(self) -> str:
        return f"exists {spelled_key(self.key)}"

    def types(self) -> frozenset[str]:
        return frozenset()

    def holds(self, value: Any) -> bool:
        return value is not None

    def matches(self, document: Mapping[str, Any]) -> bool:
        return self.holds(value_at(document, self.key))


@dataclass(frozen=True)
class Not(Filter):
    """True where the filter is false."""

    filter: Filter
    depth: int = attribute(init=False, repr=False, compare=False)
    n_nodes: int = attribute(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _measure(self, (self.filter,))

    def __str__(self) -> str:
        one = self.filter
        if isinstance(one, Comparison) and one.operator == "=":
            return f"{spelled_key(one.key)} != {spelled(one.value)}"
        if isinstance(one, In | Like):
            key = spelled_key(one.key)
            return f"{key} not{str(one)[len(key) :]}"
        return f"not {_nested(one)}"

    def matches(self, document: Mapping[str, Any]) -> bool:
        return not self.filter.matches(document)

    def leaves(self) -> Iterator[Leaf]:
        yield from self.filter.leaves()


@dataclass(frozen=True)
class _Chain(Filter):
    filters: tuple[Filter, ...]
    depth: int = attribute(init=False, repr=False, compare=False)
    n_nodes: int = attribute(init=False, repr=False, compare=False)
    word: ClassVar[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", tuple(self.filters))
        if len(self.filters) < 2:
            raise FilterError(f"{self.word} joins two filters or more, not {len(self.filters)}")
        _measure(self, self.filters)

    def __str__(self) -> str:
        return f" {self.word} ".join(map(_nested, self.filters))

    def leaves(self) -> Iterator[Leaf]:
        for one in self.filters:
            yield from one.leaves()


@dataclass(frozen=True)
class And(_Chain):
    """True where all filters are."""

    word = "and"

    def matches(self, document: Mapping[str, Any]) -> bool:
        return all(one.matches(document) for one in self.filters)


@dataclass(frozen=True)
class Or(_Chain):
    """True where any filter is."""

    word = "or"

    def matches(self, document: Mapping[str, Any]) -> bool:
        return any(one.matches(document) for one in self.filters)


def _measure(node: Filter, below: tuple[Filter, ...]) -> None:
    """Set a node's size. As no tree grows beyond the limits, recursion over one is always safe."""
    for one in below:
        if not isinstance(one, Filter):
            raise FilterError(f"{shown(one)} is no filter; compare a field with a value: field('year') >= 2020")
    depth = 1 + max(one.depth for one in below)
    n_nodes = 1 + sum(one.n_nodes for one in below)
    if depth > MAX_DEPTH:
        raise FilterError(f"a filter nested more than {MAX_DEPTH} deep")
    if n_nodes > MAX_NODES:
        raise FilterError(
            f"a filter of {n_nodes:,} conditions; at most {MAX_NODES:,} are allowed; many values of one key go "
            f"into one list: key in (…)"
        )
    object.__setattr__(node, "depth", depth)
    object.__setattr__(node, "n_nodes", n_nodes)


def _nested(one: Filter) -> str:
    return f"({one})" if isinstance(one, _Chain) else str(one)


def spelled_key(key: tuple[str, ...]) -> str:
    """Return a path through a document as text of the filter language."""
    hidden = len(key) > 1 and key[1] in (*BUILT_IN, "metadata")
    return key_name(key if hidden or len(key) == 1 else key[1:])
