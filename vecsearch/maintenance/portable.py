"""Documents as lines of JSON: what an index holds, for any later version and any pipeline.

One object a line: ``id``, ``text``, ``title``, ``metadata``; ``sections``, where its passages began, where there are
several; ``vectors`` and ``token_ids`` of an index of given vectors. Paths of files are not part of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vecsearch.errors import IndexNotFoundError, LoadError
from vecsearch.pipeline import Pipeline, load_pipeline
from vecsearch.precision import RowFormat, checked_precision
from vecsearch.stores.salvage import FoundDocument, LostDocument, Salvage, refuse_strange_tables
from vecsearch.stores.schema import DATABASE_NAME
from vecsearch.types import Document

__all__ = ["documents_of_folder", "export", "read_documents", "recorded_pipeline"]

LONGEST_LINE = 1 << 30
"""Bytes of one document."""
_FIELDS = {"id", "text", "title", "metadata", "sections", "vectors", "token_ids"}


def export(
    path: str | os.PathLike[str],
    write: Callable[[dict[str, Any]], object],
    *,
    lost: Callable[[LostDocument], object] = lambda _: None,
) -> int:
    """Give all documents of one commit of an index, one at a time. It need not be sound; no plugin is needed.

    Args:
        path: of the index.
        write: takes each document as an object that JSON can hold.
        lost: told of each document that cannot be read.

    Returns:
        How many documents were written.

    Raises:
        IndexNotFoundError: there is no index.
        IndexDamagedError: its database cannot be opened.
    """
    n_documents = 0
    for one in _found(Path(path), is_foreign=False):
        if isinstance(one, LostDocument):
            lost(one)
        else:
            write(_object(one))
            n_documents += 1
    return n_documents


def _found(folder: Path, *, is_foreign: bool) -> Iterator[FoundDocument | LostDocument]:
    if not (folder / DATABASE_NAME).is_file():
        raise IndexNotFoundError(f"there is no index in {folder}", path=str(folder))
    with Salvage(folder, is_foreign=is_foreign) as salvage:
        configuration = salvage.manifest().get("configuration")
    with Salvage(folder, given=_given(configuration), is_foreign=is_foreign) as salvage:
        yield from salvage.documents()


def _given(configuration: Any) -> RowFormat | None:
    """Return how given vectors are stored, None where an index holds none, or does not say."""
    if not isinstance(configuration, dict) or configuration.get("embedder") is not None:
        return None
    dim, precision = configuration.get("dim"), configuration.get("precision") or "fp32"
    if type(dim) is not int or dim < 1:
        return None
    return RowFormat(dim, checked_precision(precision))


def _object(one: FoundDocument) -> dict[str, Any]:
    line: dict[str, Any] = {"id": one.id, "title": one.title, "text": one.text, "metadata": one.metadata}
    if len(one.starts) > 1:
        line["sections"] = list(one.starts[1:])
    if one.vectors is not None:
        line["vectors"] = one.vectors.tolist()
        if one.token_ids is not None:
            line["token_ids"] = one.token_ids.tolist()
    return line


def read_documents(stream: BinaryIO, name: str, *, recut: bool = False) -> Iterator[Document]:
    """Yield the documents of a stream of lines, as ``export`` gives them, read one by one.

    Args:
        stream: bytes, UTF-8.
        name: of the stream, for messages.
        recut: cut every text anew, wherever its passages began.

    Raises:
        LoadError: a line is no such object; names it.
    """
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise LoadError(f"{name}, line {number}: longer than {LONGEST_LINE:,} bytes", path=name)
        if line.strip():
            yield _document(line, f"{name}, line {number}", recut)


def _document(line: bytes, place: str, recut: bool) -> Document:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{place}: not JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("id"), str):
        raise LoadError(f"{place}: must be an object with an id, as `vecsearch export` writes them")
    if strange := sorted(fields.keys() - _FIELDS):
        raise LoadError(
            f"{place}: {strange[0]!r:.80} is no field of an export ({', '.join(sorted(_FIELDS))}); other JSON lines "
            f"are added with `vecsearch add`"
        )
    metadata, sections = fields.get("metadata", {}), fields.get("sections", [])
    if not isinstance(metadata, dict) or not isinstance(sections, list):
        raise LoadError(f"{place}: metadata must be an object, and sections a list of offsets")
    vectors, token_ids = fields.get("vectors"), fields.get("token_ids")
    try:
        array = None if vectors is None else np.array(vectors, np.float32)
        ids = None if token_ids is None else np.array(token_ids, np.int32)
    except (ValueError, TypeError, OverflowError) as error:
        raise LoadError(
            f"{place}: vectors must be rows of numbers of one length, token_ids numbers: {error}"
        ) from error
    if array is not None and array.ndim != 2:
        raise LoadError(f"{place}: vectors must be a list of rows of numbers")
    return Document(
        fields["id"],
        fields.get("text", ""),
        title=fields.get("title", ""),
        metadata=metadata,
        sections=() if recut else tuple(sections),
        vectors=array,
        token_ids=ids,
    )


def documents_of_folder(
    path: str | os.PathLike[str],
    *,
    recut: bool = False,
    lost: Callable[[LostDocument], object] = lambda _: None,
) -> Iterator[Document]:
    """Yield the documents of an index from elsewhere. Nothing but its texts is believed, nothing in it is changed.

    Args:
        path: of its folder.
        recut: as for ``read_documents``.
        lost: told of each document that cannot be read.

    Raises:
        IndexNotFoundError: there is no index.
        IndexDamagedError: its database cannot be opened, or has tables that vecsearch does not make so.
    """
    folder = Path(path)
    if not (folder / DATABASE_NAME).is_file():
        raise IndexNotFoundError(f"there is no index in {folder}", path=str(folder))
    refuse_strange_tables(folder)
    for one in _found(folder, is_foreign=True):
        if isinstance(one, LostDocument):
            lost(one)
            continue
        yield Document(
            one.id,
            one.text,
            title=one.title,
            metadata=one.metadata,
            sections=() if recut else tuple(one.starts[1:]),
            vectors=one.vectors,
            token_ids=one.token_ids,
        )


def recorded_pipeline(path: str | os.PathLike[str]) -> Pipeline | None:
    """Return the pipeline that an index from elsewhere says it was made with; None where it does not say.

    Raises:
        PluginNotFoundError, LoadError, VectorsError: as ``load_pipeline``.
    """
    with Salvage(Path(path), is_foreign=True) as salvage:
        configuration, artefacts = salvage.manifest().get("configuration"), salvage.artefacts()
    parts = {"tokenizer", "embedder", "encoder", "dim", "max_tokens", "precision"}
    if not isinstance(configuration, dict) or not configuration.keys() <= parts:
        return None
    try:
        return load_pipeline(configuration, artefacts=artefacts)
    except (KeyError, TypeError, AttributeError):
        return None
