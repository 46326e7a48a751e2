"""Every error that vecsearch raises on purpose.

    VecsearchError                      code
    ├── UsageError                      usage               a call that cannot mean anything (k < 1, two ids alike, …)
    │   ├── QueryError                  query               a query with nothing to search for, or that cannot be read
    │   ├── FilterError                 filter              a filter that cannot be read or cannot match
    │   └── SearchTimeoutError          timeout             search(timeout=) ran out
    ├── DocumentError                   document            a document that cannot be stored as given
    │   └── VectorsError                vectors             vectors of a wrong shape, type or value
    ├── LoadError                       load                a file that cannot be read as text
    ├── PluginError                     plugin              a plugin that broke its contract or raised
    │   ├── PluginLoadError             plugin_load         … that could not be imported
    │   ├── PluginNotFoundError         plugin_not_found    a name that no installed plugin has
    │   └── PluginConflictError         plugin_conflict     two classes with one name
    └── IndexFolderError                index               anything about one index folder
        ├── IndexNotFoundError          index_not_found
        ├── IndexExistsError            index_exists
        ├── IdentityError               identity            made by another tokenizer, embedder or encoder
        ├── FormatVersionError          format_version      made by a newer vecsearch
        ├── IndexLockedError            index_locked        a second writer
        ├── IndexReadOnlyError          index_read_only     writing where one may only read
        ├── IndexClosedError            index_closed        used after close()
        ├── StorageError                storage             the file system refused (disk full, no permission, …)
        └── IndexDamagedError           index_damaged       a file or row is not what was written

Messages say what failed, the value seen, what is allowed and the next step; the facts stand in attributes as well.
``to_dict()`` is stable: ``{"error": code, "message": text, **facts}``.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "DocumentError",
    "FilterError",
    "FormatVersionError",
    "IdentityError",
    "IndexClosedError",
    "IndexDamagedError",
    "IndexFolderError",
    "IndexExistsError",
    "IndexLockedError",
    "IndexNotFoundError",
    "IndexReadOnlyError",
    "LoadError",
    "PluginConflictError",
    "PluginError",
    "PluginLoadError",
    "PluginNotFoundError",
    "QueryError",
    "SearchTimeoutError",
    "StorageError",
    "UsageError",
    "VecsearchError",
    "VectorsError",
]


class VecsearchError(Exception):
    """Base of every error here. Keyword arguments become attributes and appear in ``to_dict()``.

    Example:
        >>> QueryError("the query is empty", query="").to_dict()
        {'error': 'query', 'message': 'the query is empty', 'query': ''}
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts
        for name, value in facts.items():
            setattr(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Return the code, the message and the facts, as JSON can hold them."""
        plain = (str, int, float, bool, type(None), list, dict)
        facts = {name: value if isinstance(value, plain) else str(value) for name, value in self.facts.items()}
        return {"error": self.code, "message": self.message, **facts}


class UsageError(VecsearchError):
    code = "usage"


class QueryError(UsageError):
    code = "query"


class FilterError(UsageError):
    """A filter that cannot be read, is too large, or compares what no document has.

    Where it was read from text: ``text``, ``offset`` (of the place in it, from 0) and ``pointer``, two lines that
    show the place.
    """

    code = "filter"


class SearchTimeoutError(UsageError):
    code = "timeout"


class DocumentError(VecsearchError):
    code = "document"


class VectorsError(DocumentError):
    code = "vectors"


class LoadError(VecsearchError):
    code = "load"


class PluginError(VecsearchError):
    code = "plugin"


class PluginLoadError(PluginError):
    code = "plugin_load"


class PluginNotFoundError(PluginError):
    code = "plugin_not_found"


class PluginConflictError(PluginError):
    code = "plugin_conflict"


class IndexFolderError(VecsearchError):
    """Anything about one index folder."""

    code = "index"


class IndexNotFoundError(IndexFolderError):
    code = "index_not_found"


class IndexExistsError(IndexFolderError):
    code = "index_exists"


class IdentityError(IndexFolderError):
    code = "identity"


class FormatVersionError(IndexFolderError):
    code = "format_version"


class IndexLockedError(IndexFolderError):
    code = "index_locked"


class IndexReadOnlyError(IndexFolderError):
    code = "index_read_only"


class IndexClosedError(IndexFolderError):
    code = "index_closed"


class StorageError(IndexFolderError):
    code = "storage"


class IndexDamagedError(IndexFolderError):
    code = "index_damaged"
