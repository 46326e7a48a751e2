"""Checks of ``vecsearch.protocols.Loader``."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, BinaryIO

from vecsearch.errors import LoadError
from vecsearch.protocols import SourceFile
from vecsearch.testing.contract import ConformanceError, build, call, check_in_threads, check_methods, shown
from vecsearch.types import Document

__all__ = ["check_loader"]

_PLAIN = b"A first line.\n\nA second paragraph, of two\nlines.\n"
_HOSTILE = (b"", b"\0", b"\n", b"\xff\xfe", b"\x80\x81\xfe\xff", b"{", b'"', b"<a", b"\xef\xbb\xbf", b"%PDF-1.7\n")


def check_loader(cls: type[Any], /, *, files: Mapping[str, bytes] | None = None, **config: Any) -> None:
    """Check a loader class.

    Args:
        cls: the class.
        files: sample files that it must be able to read: name and content. The shorter, the better the messages.
        config: arguments for its constructor.

    Raises:
        ConformanceError: it breaks the contract.

    What is checked: name, version, configuration and files; suffixes; that ``load`` gives an iterator of Documents
    with str ids, unique within a file, str texts and titles, metadata that JSON can hold and sections that ascend
    within the text; that it gives the same again and in threads; that it closes what it opens, also when it is left
    half-way; and that a cut off, empty, random or undecodable file gives documents or a LoadError that names the
    file, and nothing else.
    """
    loader = build("loader", cls, config)
    subject = f"loader {cls.__qualname__}"
    check_methods(subject, loader, ["suffixes", "load"])
    suffixes = cls.suffixes
    if (
        not isinstance(suffixes, tuple)
        or not suffixes
        or any(not isinstance(s, str) or not s.startswith(".") or s != s.lower() for s in suffixes)
    ):
        raise ConformanceError(
            f"{subject}.suffixes",
            "it is a tuple of file name endings, lower case, with the dot",
            seen=shown(suffixes),
            given=repr(cls),
            advice='write suffixes: ClassVar[tuple[str, ...]] = (".txt",)',
        )
    where = f"{subject}.load"
    for name, content in (files or {}).items():
        if not name.lower().endswith(suffixes):
            raise ValueError(f"the sample file {name!r} ends with none of the suffixes {suffixes} of {subject}")
        documents = _documents(where, loader, name, content, may_refuse=False)
        again = _documents(where, loader, name, content, may_refuse=False)
        if documents != again:
            raise ConformanceError(
                where,
                "the same file always gives the same documents",
                seen=f"{shown(again)}, and earlier {shown(documents)}",
                given=_given(name, content),
                advice="derive ids from file.id and the place in the file; keep nothing between calls",
            )
        _check_left_half_way(where, loader, name, content)
        for part in {len(content) * eighth // 8 for eighth in range(8)}:
            _documents(where, loader, name, content[:part], may_refuse=True)
    for suffix in suffixes:
        for content in (_PLAIN, *_HOSTILE):
            _documents(where, loader, f"sample{suffix}", content, may_refuse=True)
    samples = list((files or {}).items())[:2]
    check_in_threads(
        where,
        f"files {[name for name, _ in samples]}",
        [lambda sample=sample: _documents(where, loader, *sample, may_refuse=False) for sample in samples],  # type: ignore[misc]
        lambda one, other: one == other,
    )


def _given(name: str, content: bytes) -> str:
    return f"a file {name!r} of {len(content)} bytes: {shown(content)}"


class _Opened:
    """A file in memory that remembers what was opened and not closed."""

    def __init__(self, name: str, content: bytes) -> None:
        self._content = content
        self._streams: list[io.BytesIO] = []
        self.file = SourceFile(id=f"folder/{name}", name=name, open=self._open, size=len(content))

    def _open(self) -> BinaryIO:
        stream = io.BytesIO(self._content)
        self._streams.append(stream)
        return stream

    def n_open(self) -> int:
        return sum(not stream.closed for stream in self._streams)


def _documents(where: str, loader: Any, name: str, content: bytes, *, may_refuse: bool) -> list[Document] | None:
    """Return the documents of a file, each checked; None for a LoadError where one is allowed."""
    opened = _Opened(name, content)
    given = _given(name, content)
    documents: list[Document] = []
    try:
        loaded = loader.load(opened.file)
        _check_iterator(where, loaded, given)
        for document in loaded:
            _check_document(where, document, given)
            documents.append(document)
    except ConformanceError:
        raise
    except LoadError as error:
        if not may_refuse:
            raise ConformanceError(
                where,
                "a good file is read",
                seen=f"LoadError: {error}",
                given=given,
                advice="mend the loader or the sample",
            ) from error
        if name not in str(error):
            raise ConformanceError(
                where,
                "a LoadError names the file",
                seen=f"LoadError: {error}",
                given=given,
                advice="put file.name into the message",
            ) from error
        _check_closed(where, opened, given)
        return None
    except Exception as error:
        raise ConformanceError(
            where,
            "a file that it can't read gives a LoadError, and nothing else" if may_refuse else "a good file is read",
            seen=f"{type(error).__name__}: {error}",
            given=given,
            advice="write `def load(self, file)` and read `with file.open() as stream:`, which gives bytes; file is a "
            "vecsearch.SourceFile, with id, name and size, and no path"
            if _is_misuse(error)
            else "catch what the parser raises: `raise LoadError(f'{file.name}: …') from error`",
        ) from error
    _check_closed(where, opened, given)
    ids = [document.id for document in documents]
    if len(set(ids)) < len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise ConformanceError(
            where,
            "ids are unique within a file",
            seen=f"the id {twice!r} more than once",
            given=given,
            advice="add the place in the file to the id, or raise a LoadError where the file itself repeats one",
        )
    return documents


def _is_misuse(error: Exception) -> bool:
    """Whether an error says that the loader took its argument for something else."""
    said = str(error)
    return (isinstance(error, TypeError) and ("SourceFile" in said or ".load() takes" in said)) or (
        isinstance(error, AttributeError) and "'SourceFile'" in said
    )


def _check_closed(where: str, opened: _Opened, given: str) -> None:
    if opened.n_open():
        raise ConformanceError(
            where,
            "what it opens it closes, however the reading ends",
            seen=f"{opened.n_open()} streams still open",
            given=given,
            advice="write `with file.open() as stream:`",
        )


def _check_left_half_way(where: str, loader: Any, name: str, content: bytes) -> None:
    opened = _Opened(name, content)
    given = f"{_given(name, content)}, left after its first document"
    loaded = loader.load(opened.file)
    next(loaded, None)
    close = getattr(loaded, "close", None)
    if close is not None:
        call(where, given, close)
    del loaded, close
    _check_closed(where, opened, given)


def _check_iterator(where: str, loaded: object, given: str) -> None:
    if not isinstance(loaded, Iterator):
        raise ConformanceError(
            where,
            "it yields documents as a stream",
            seen=f"{shown(loaded)} (a {type(loaded).__name__})",
            given=given,
            advice="write it as a generator, with yield",
        )


def _check_document(where: str, document: object, given: str) -> None:
    if not isinstance(document, Document):
        raise ConformanceError(
            where, "it yields vecsearch.Document", seen=shown(document), given=given, advice="yield Document(id=…, …)"
        )
    problem = None
    if not isinstance(document.id, str) or not document.id:
        problem = f"the id {shown(document.id)}"
    elif not isinstance(document.text, str):
        problem = f"the text {shown(document.text)}"
    elif not isinstance(document.title, str):
        problem = f"the title {shown(document.title)}"
    elif not isinstance(document.metadata, Mapping):
        problem = f"the metadata {shown(document.metadata)}"
    if problem:
        raise ConformanceError(
            where,
            "a document has a non-empty str id, a str text, a str title and a dict of metadata",
            seen=problem,
            given=given,
            advice="decode bytes with .decode('utf-8'), convert the rest with str(…); use file.id for a document that "
            "is the whole file",
        )
    try:
        json.dumps(dict(document.metadata))
    except (TypeError, ValueError) as error:
        raise ConformanceError(
            where,
            "metadata are JSON values by name",
            seen=f"{shown(document.metadata)}: {error}",
            given=given,
            advice="write dates and paths as strings",
        ) from error
    sections = list(document.sections)
    if any(not isinstance(place, int) or not 0 <= place <= len(document.text) for place in sections) or any(
        a >= b for a, b in pairwise(sections)
    ):
        raise ConformanceError(
            where,
            "sections are characters of the text where a section begins, ascending: 0 ≤ place ≤ len(text)",
            seen=f"{shown(sections)} in a text of {len(document.text)} characters",
            given=given,
            advice="count characters of Document.text itself, as plain ints, each place once",
        )
