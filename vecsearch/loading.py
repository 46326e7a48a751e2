"""Hands files to the loaders that take them, and gives their documents, whatever is to be done with these."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from vecsearch.errors import DocumentError, LoadError, PluginConflictError, VecsearchError
from vecsearch.plugins import Registry
from vecsearch.protocols import Loader, SourceFile
from vecsearch.sources import MAX_BYTES, Found, Skipped, opener, reason_of, walk
from vecsearch.types import Document

__all__ = ["PLAIN", "Loaders", "guarded", "read_documents", "reason_not_read"]

PLAIN = ".txt"
"""The loader of this suffix takes files of text that no other loader takes."""


def read_documents(
    paths: Sequence[str | Path],
    *,
    glob: Sequence[str] = (),
    exclude: Sequence[str] = (),
    hidden: bool = False,
    max_bytes: int = MAX_BYTES,
    encoding: str | None = None,
    registry: Registry | None = None,
    skipped: Callable[[str, str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Document]:
    """Yield the documents of files and folders, read as ``vecsearch index`` reads them; needs no index.

    A file that cannot be read is left out, with the documents after the place where it broke.

    Args:
        paths: folders and files. All are looked through at once, before the first document is asked for.
        glob: patterns as in .gitignore; only files that match one.
        exclude: patterns as in .gitignore; no files or folders that match.
        hidden: take hidden files and folders as well.
        max_bytes: larger files found in folders are skipped.
        encoding: of text files without a byte order mark; None is UTF-8.
        registry: where loaders come from; by default all that are installed.
        skipped: called with the path of each file that is left out, and the reason.
        progress: called after each document with how many bytes are read, and how many there are.

    Raises:
        UsageError: a path that cannot be read, a pattern or an encoding that is none.
        PluginConflictError: two loaders take the same suffix.
    """
    loaders = Loaders(registry or Registry(), encoding)
    tell: Callable[[str, str], None] = skipped or (lambda _path, _reason: None)
    files: dict[str, Found] = {}
    for path in paths:
        for one in walk(
            Path(path), glob=glob, exclude=exclude, hidden=hidden, max_bytes=max_bytes, suffixes=loaders.suffixes
        ):
            if isinstance(one, Skipped):
                tell(one.path, one.reason)
            else:
                files.setdefault(one.full_path, one)
    return _documents(files, loaders, tell, progress or (lambda _done, _all: None))


def _documents(
    files: dict[str, Found],
    loaders: Loaders,
    skipped: Callable[[str, str], None],
    progress: Callable[[int, int], None],
) -> Iterator[Document]:
    n_bytes, n_done = sum(found.size for found in files.values()), 0
    for full_path, found in files.items():
        loader = loaders.of(found.suffix)
        if loader is None:
            skipped(full_path, "no loader takes it")
            continue
        reading = _Reading(found)
        source = SourceFile(found.path, found.path.rpartition("/")[2], reading.open, found.size)
        try:
            for document in guarded(loader, source):
                yield document
                progress(n_done + reading.n_bytes(), n_bytes)
        except (LoadError, DocumentError) as error:
            skipped(full_path, reason_not_read(error, found.path))
        n_done += found.size
        progress(n_done, n_bytes)


class _Reading:
    """Opens a file and knows how much of it is read."""

    def __init__(self, found: Found) -> None:
        self._open = opener(found)
        self._size = found.size
        self._stream: BinaryIO | None = None

    def open(self) -> BinaryIO:
        self._stream = self._open()
        return self._stream

    def n_bytes(self) -> int:
        try:
            return 0 if self._stream is None else self._size if self._stream.closed else self._stream.tell()
        except (OSError, ValueError):  # a loader may do with its stream what it likes
            return 0


class Loaders:
    """The loaders by suffix, one instance each."""

    def __init__(self, registry: Registry, encoding: str | None) -> None:
        self._by_suffix: dict[str, Loader] = {}
        for name in registry.names("loader"):
            cls = registry.get("loader", name)
            takes_encoding = encoding is not None and "encoding" in inspect.signature(cls).parameters
            loader: Loader = registry.create("loader", name, {"encoding": encoding} if takes_encoding else {})
            for suffix in loader.suffixes:
                other = self._by_suffix.setdefault(suffix, loader)
                if other is not loader:
                    raise PluginConflictError(
                        f"two loaders take {suffix} files: {other.name!r} and {name!r}; "
                        f"leave the plugin of one out with VECSEARCH_DISABLE_PLUGINS",
                        kind="loader",
                        name=name,
                    )

    @property
    def suffixes(self) -> tuple[str, ...]:
        return tuple(self._by_suffix)

    def of(self, suffix: str) -> Loader | None:
        """Return the loader of a suffix; that of plain text for one that no loader has."""
        return self._by_suffix.get(suffix) or self._by_suffix.get(PLAIN)


def guarded(loader: Loader, source: SourceFile) -> Iterator[Document]:
    """Yield what a loader yields; whatever else it raises becomes a LoadError, so that the other files go on."""
    try:
        yield from loader.load(source)
    except (LoadError, DocumentError):
        raise
    except OSError as error:
        reason = reason_of(error)
        raise LoadError(f"{source.name}: {reason}", file=source.name, reason=reason) from error
    except Exception as error:
        reason = f"loader {loader.name!r} failed: {type(error).__name__}: {error}"
        raise LoadError(f"{source.name}: {reason}", file=source.name, reason=reason) from error


def reason_not_read(error: OSError | VecsearchError, path: str) -> str:
    if isinstance(error, OSError):
        return reason_of(error)
    name = path.rpartition("/")[2]
    return str(error.facts.get("reason") or error.message.removeprefix(f"{path}: ").removeprefix(f"{name}: "))
