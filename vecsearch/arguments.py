"""Checks of what callers give to an index: ids, texts, limits, and queries, which become vectors here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias

from vecsearch.errors import QueryError, UsageError
from vecsearch.pipeline import Pipeline
from vecsearch.preparation import check_given
from vecsearch.queries import Query
from vecsearch.query_language import ParsedQuery, parse_query

if TYPE_CHECKING:
    from vecsearch.types import Floats, Ids

__all__ = ["Syntax", "check_limit", "check_list", "check_text", "checked_id", "checked_query"]

Syntax: TypeAlias = Literal["query", "plain"]


def check_text(text: object, name: str, kind: type[UsageError] = UsageError) -> None:
    """Refuse what is no Unicode text; ``name`` says what it is, ``kind`` is the error."""
    if not isinstance(text, str):
        raise kind(f"{name} must be text, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise kind(
            f"{name} has a lone surrogate at character {error.start}, which is no Unicode text; decode its source with "
            f"errors='replace', or leave it out"
        ) from error


def check_limit(limit: object) -> None:
    """Refuse a limit that is neither a whole number nor None."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
        raise UsageError(f"limit is of type {type(limit).__name__}; it must be a whole number, or None")


def check_list(values: object, what: str) -> None:
    """Refuse what cannot be gone through; ``what`` says what is wanted."""
    if not isinstance(values, Iterable):
        raise UsageError(f"{what}, not {type(values).__name__}")


def checked_id(doc_id: str) -> str:
    """Return the id of a document if it is text."""
    check_text(doc_id, f"the id {doc_id!r:.80}")
    return doc_id


def checked_query(
    pipeline: Pipeline, query: str | None, vectors: Floats | None, token_ids: Ids | None, syntax: Syntax
) -> tuple[Query, ParsedQuery | None]:
    """Return a query of text or of vectors, embedded, and what it asks for beside plain words. See ``Index.search``.

    Raises:
        UsageError: an argument is not what it must be.
        QueryError: the text is empty, too long, or cannot be read.
        VectorsError: vectors of a wrong shape or type.
    """
    if syntax not in ("query", "plain"):
        raise UsageError(f"syntax is {syntax!r}; it must be 'query' or 'plain'")
    if (query is None) == (vectors is None):
        raise UsageError("search() takes either a query or vectors=")
    if vectors is not None:
        if not pipeline.is_given:
            raise UsageError("this index makes its vectors from text; search it with text, not with vectors=")
        check_given(vectors, token_ids, pipeline.dim, "the query", lowest=-1)
        return Query.of_vectors(pipeline, vectors, token_ids), None
    if token_ids is not None:
        raise UsageError("token_ids go with vectors=; a text has its own")
    assert query is not None
    check_text(query, "the query", QueryError)
    if not query.strip():
        raise QueryError("the query is empty; give at least one word", query=query)
    parsed = parse_query(query) if syntax == "query" else None
    return Query.of_text(pipeline, query if parsed is None else parsed.plain), parsed
