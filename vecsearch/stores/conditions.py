r"""Filters as SQL: the same truth of every document as ``filters``, found by SQLite.

Keys and values are parameters; the text of the statement is made of constants only. Every expression is 0 or 1,
never NULL, so that NOT is plain negation.

What SQLite 3.40 cannot do, and what is done instead:

* It ends a JSON string at a NUL. So the JSON text is rewritten before it is read, and literals with it: NUL becomes
  U+0001 U+0001, and U+0001 becomes U+0001 U+0002 (``encoded``). That keeps texts apart and in order.
* A JSON path cannot name every key: a key with a quote is an error, one with an escape is not found. Such keys are
  looked for among ``json_each`` of the object.
* LIKE ignores case, so patterns become GLOB's. GLOB reads U+FFFE and U+FFFF as U+FFFD: where a pattern has one of
  them, they are replaced in the value first, by bytes that no text has.
* Integers beyond 64 bits are read as floats, the last digit not always right: they count as infinite, by definition.
* An expression may be 1,000 deep and its parser's stack 100: long chains become groups of groups.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from vecsearch.filter_tree import And, Comparison, Exists, Filter, In, IsTrue, Leaf, Like, Not, Or
from vecsearch.filter_values import INT64_MAX, INT64_MIN, Literal, Pattern, Wildcard, as_pattern, comparable
from vecsearch.metadata_keys import key_name, key_parts, type_of, value_at

__all__ = ["condition", "encoded", "metadata_values"]

_Sql = tuple[str, tuple[object, ...]]
"""A piece of SQL and its parameters."""

_PLAIN_KEY = re.compile(r"[ !#-\[\]-~]+")  # printable ASCII that JSON writes without an escape
_GROUP = 8
_JSON_TYPES = {"number": ("integer", "real"), "string": ("text",), "bool": ("true", "false")}


def _rewritten(text: str) -> str:
    r"""Return SQL for JSON text in which no string holds a NUL; ``\\`` goes first, for ``\\u0000`` is no NUL."""
    return (
        f"CASE WHEN instr({text}, '\\u000') > 0 THEN replace(replace(replace({text}, '\\\\', '\\u005c'), "
        f"'\\u0001', '\\u0001\\u0002'), '\\u0000', '\\u0001\\u0001') ELSE {text} END"
    )


_METADATA = _rewritten("documents.metadata")
_BUILT_IN = {"id": "documents.doc_id", "title": "documents.title", "path": "files.path"}

# For GLOB: bytes that no text has, beyond U+10FFFF, one "character" each
_NUL_MARK, _FFFE_MARK, _FFFF_MARK = b"\xf4\x90\x80\x80", b"\xf4\x90\x80\x81", b"\xf4\x90\x80\x82"
_GLOB_MARKS = {"\0": _NUL_MARK, "\ufffe": _FFFE_MARK, "\uffff": _FFFF_MARK}


def condition(filter: Filter, indexed: frozenset[str]) -> tuple[str, list[object]]:
    """Return a boolean expression over ``documents LEFT JOIN files USING (file_no)``, and its parameters.

    Args:
        filter: to compile.
        indexed: metadata keys, spelled, whose values are in the table ``metadata_values``, for all documents.

    Returns:
        SQL whose value is 0 or 1.

    Example:
        >>> from vecsearch.filters import field
        >>> condition(field("id") == "a", frozenset())
        ('documents.doc_id = ?', ['a'])
    """
    text, parameters = _compile(filter, indexed).sql
    return text, list(parameters)


def encoded(text: str) -> str:
    """Return a text without NUL, in the same order to others as before, and equal to none of them if it was not."""
    return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")


def metadata_values(metadata: Mapping[str, Any], keys: Collection[str]) -> list[tuple[str, str, object]]:
    """Return one document's rows of the table ``metadata_values``.

    Args:
        metadata: of the document.
        keys: that are indexed, spelled.

    Returns:
        (key, type, value) of each different string, number and truth value, strings ``encoded``, truth values 0 or 1.

    Raises:
        FilterError: one of ``keys`` is no spelling of a key.
    """
    rows: dict[tuple[str, str, object], None] = {}
    for key in keys:
        value = value_at(metadata, key_parts(key))
        for element in value if type_of(value) == "list" else [value]:
            kind = type_of(element)
            if kind in _JSON_TYPES:
                rows[key, kind, _parameter(comparable(element))] = None
    return list(rows)


def _parameter(value: Literal) -> object:
    if isinstance(value, str):
        return encoded(value)
    return int(value) if isinstance(value, bool) else value


def _fill(template: str, *pieces: _Sql | str) -> _Sql:
    """Put pieces in place of ``{}``, one after the other."""
    whole: list[_Sql] = [(piece, ()) if isinstance(piece, str) else piece for piece in pieces]
    text = template.format(*(piece[0] for piece in whole))
    return text, tuple(parameter for piece in whole for parameter in piece[1])


def _value(parameter: object) -> _Sql:
    return "?", (parameter,)


class _Part(NamedTuple):
    sql: _Sql
    word: str  # AND or OR, that joins it; empty where nothing does
    depth: int  # about how many entries of the parser's stack it takes, compared with others


def _compile(filter: Filter, indexed: frozenset[str], is_negated: bool = False) -> _Part:
    """Compile a tree; NOT goes down to the leaves, where it costs least."""
    if isinstance(filter, Not):
        return _compile(filter.filter, indexed, not is_negated)
    if isinstance(filter, And | Or):
        word = "AND" if isinstance(filter, And) is not is_negated else "OR"
        return _joined(word, [_compile(one, indexed, is_negated) for one in filter.filters])
    assert isinstance(filter, Leaf)
    sql = _compile_leaf(filter, indexed)
    return _Part(_fill("NOT ({})", sql) if is_negated else sql, "", 0)


def _joined(word: str, parts: list[_Part]) -> _Part:
    """Join parts in groups of groups, the deepest part first: at the beginning it needs the least of the stack."""
    parts = sorted(parts, key=lambda part: -part.depth)
    while len(parts) > _GROUP:
        groups = [_chained(word, parts[at : at + _GROUP]) for at in range(1, len(parts), _GROUP)]
        parts = [parts[0], *groups]
    return _chained(word, parts)


def _chained(word: str, parts: list[_Part]) -> _Part:
    if len(parts) == 1:
        return parts[0]
    sqls, depth = [], 0
    for number, part in enumerate(parts):
        is_wrapped = part.word != "" if number else (word, part.word) == ("AND", "OR")
        sqls.append(_fill("({})", part.sql) if is_wrapped else part.sql)
        depth = max(depth, part.depth + is_wrapped + (2 if number else 0))
    return _Part(_fill(f" {word} ".join(["{}"] * len(sqls)), *sqls), word, depth)


def _compile_leaf(leaf: Leaf, indexed: frozenset[str]) -> _Sql:
    if isinstance(leaf, In) and not leaf.values:
        return "0", ()
    if leaf.key[0] in _BUILT_IN:
        return _of_built_in(leaf, leaf.key[0])
    names = leaf.key[1:]
    if key_name(names) in indexed and not isinstance(leaf, Exists):
        return _of_indexed(leaf, key_name(names))
    if all(_PLAIN_KEY.fullmatch(name) for name in names):
        path = _value("$" + "".join(f'."{name}"' for name in names))
        kind, value = _fill("json_type({}, {})", _METADATA, path), _fill("json_extract({}, {})", _METADATA, path)
        return _of_json(leaf, kind, value, _fill("json_each({}, {})", _METADATA, path))
    return _of_awkward_key(leaf, names)


def _of_built_in(leaf: Leaf, name: str) -> _Sql:
    column = _BUILT_IN[name]
    if isinstance(leaf, Exists):
        return f"{column} IS NOT NULL", ()
    test: _Sql | None
    if isinstance(leaf, Comparison) and isinstance(leaf.value, str):
        test = _fill(f"{{}} {leaf.operator} {{}}", column, _value(leaf.value))
    elif isinstance(leaf, In) and not any("\0" in value for value in leaf.values if isinstance(value, str)):
        texts = [value for value in leaf.values if isinstance(value, str)]
        test = _fill("{} IN {}", column, _values(texts)) if texts else None
    else:
        # A plain column has no escapes to rewrite: it is made JSON for that, if it must be.
        rewritten = _rewritten(f"json_quote({column})")
        has_nul = f"(instr({column}, char(0)) > 0 OR instr({column}, char(1)) > 0)"
        test = _test(leaf, "string", (f"CASE WHEN {has_nul} THEN json_extract({rewritten}, '$') ELSE {column} END", ()))
    if test is None:
        return "0", ()
    return _fill("coalesce({}, 0)", test) if name == "path" else test


def _of_indexed(leaf: Leaf, key: str) -> _Sql:
    found: list[_Sql] = []
    for kind in sorted(leaf.types()):
        test = _test(leaf, kind, ("value", ()))
        if test is None:
            continue
        if isinstance(leaf, Like):
            test = _fill("{}{}", _prefix_range(as_pattern(leaf.pattern)), test)
        found.append(
            _fill(
                "documents.doc_no IN (SELECT doc_no FROM metadata_values WHERE key = {} AND type = {} AND {})",
                _value(key),
                _value(kind),
                test,
            )
        )
    return _fill(f"({' OR '.join(['{}'] * len(found))})", *found)


def _of_json(leaf: Leaf, kind: _Sql, value: _Sql, elements: _Sql) -> _Sql:
    """Compile a leaf on a JSON value of which there are SQL for its type, itself, and the table of its elements."""
    if isinstance(leaf, Exists):
        return _fill("coalesce({}, 'null') <> 'null'", kind)
    one = _cases(leaf, ("element.type", ()), ("element.value", ()), "")
    any_element = _fill("WHEN 'array' THEN EXISTS (SELECT 1 FROM {} AS element WHERE {})", elements, one)
    return _cases(leaf, kind, value, any_element)


def _cases(leaf: Leaf, kind: _Sql, value: _Sql, otherwise: _Sql | str) -> _Sql:
    cases: list[_Sql | str] = []
    for ours in sorted(leaf.types()):
        for theirs in _JSON_TYPES[ours]:
            test = _test(leaf, ours, _infinite(leaf, value) if theirs == "integer" else value)
            if test is not None:
                cases.append(_fill(f"WHEN '{theirs}' THEN {{}}", test))
    cases.append(otherwise)
    return _fill(f"CASE {{}} {' '.join(['{}'] * len(cases))} ELSE 0 END", kind, *cases)


def _infinite(leaf: Leaf, value: _Sql) -> _Sql:
    """Make an integer that SQLite holds as a float infinite, where that makes a difference to the leaf."""
    literals = leaf.values if isinstance(leaf, In) else (leaf.value,) if isinstance(leaf, Comparison) else ()
    if all(INT64_MIN < literal <= INT64_MAX for literal in literals if not isinstance(literal, str)):
        return value
    return _fill("CASE typeof({}) WHEN 'real' THEN {} * 1e308 ELSE {} END", value, value, value)


def _of_awkward_key(leaf: Leaf, names: tuple[str, ...]) -> _Sql:
    """Compile a leaf whose key no JSON path can name: step by step through the objects."""
    tables = [f"json_each({_METADATA}) AS step0"]
    for number in range(1, len(names)):
        above = f"step{number - 1}"
        # subtle: json_each of a string would read it as JSON, and of a list give elements with numbers as keys
        tables.append(f"json_each(CASE {above}.type WHEN 'object' THEN {above}.value ELSE '{{}}' END) AS step{number}")
    wanted = [_fill(f"step{number}.key = {{}}", _value(encoded(name))) for number, name in enumerate(names)]
    last = f"step{len(names) - 1}"
    elements = f"json_each(CASE {last}.type WHEN 'array' THEN {last}.value ELSE '[]' END)"
    test = _of_json(leaf, (f"{last}.type", ()), (f"{last}.value", ()), (elements, ()))
    where = " AND ".join(["{}"] * (len(wanted) + 1))
    return _fill(f"EXISTS (SELECT 1 FROM {{}} WHERE {where})", ", ".join(tables), *wanted, test)  # noqa: S608 - constants


def _test(leaf: Leaf, kind: str, value: _Sql) -> _Sql | None:
    """Compile the test of one value that has the type ``kind``; None where it fails whatever the value is."""
    if kind not in leaf.types():
        return None
    if isinstance(leaf, IsTrue):
        return _fill("{} = 1", value)
    if isinstance(leaf, Comparison):
        return _fill(f"{{}} {leaf.operator} {{}}", value, _value(_parameter(leaf.value)))
    if isinstance(leaf, In):
        return _fill("{} IN {}", value, _values([_parameter(one) for one in leaf.values if type_of(one) == kind]))
    assert isinstance(leaf, Like)
    return _glob(value, as_pattern(leaf.pattern))


def _values(literals: list[Any]) -> _Sql:
    """Return a table of literals: one parameter however many they are."""
    return _fill("(SELECT value FROM json_each({}))", _value(json.dumps(literals, ensure_ascii=False)))


def _glob(value: _Sql, pattern: Pattern) -> _Sql:
    if Wildcard.ANY_CHARACTER in pattern or not {"\0", "\x01", "\x02"}.isdisjoint(pattern):
        value = _fill(
            "replace(replace({}, char(1, 1), {}), char(1, 2), char(1))", value, f"CAST(x'{_NUL_MARK.hex()}' AS TEXT)"
        )
    if not {"\ufffd", "\ufffe", "\uffff"}.isdisjoint(pattern):
        value = _fill(
            "replace(replace({}, char(65534), {}), char(65535), {})",
            value,
            f"CAST(x'{_FFFE_MARK.hex()}' AS TEXT)",
            f"CAST(x'{_FFFF_MARK.hex()}' AS TEXT)",
        )
    return _fill("{} GLOB CAST({} AS TEXT)", value, _value(b"".join(map(_glob_part, pattern))))


def _glob_part(part: str | Wildcard) -> bytes:
    if isinstance(part, Wildcard):
        return b"*" if part is Wildcard.ANY_TEXT else b"?"
    if part in ("*", "?", "["):
        return b"[" + part.encode() + b"]"
    return _GLOB_MARKS.get(part) or part.encode()


def _prefix_range(pattern: Pattern) -> _Sql:
    """Bound the values of a pattern by the text that it begins with, so that an index can be searched."""
    prefix = ""
    for part in pattern:
        if isinstance(part, Wildcard):
            break
        prefix += part
    if not prefix:
        return "", ()
    prefix = encoded(prefix)
    after = ord(prefix[-1]) + 1
    if after > 0x10FFFF:
        return _fill("value >= {} AND ", _value(prefix))
    after = 0xE000 if after == 0xD800 else after  # surrogates are no characters
    return _fill("value >= {} AND value < {} AND ", _value(prefix), _value(prefix[:-1] + chr(after)))
