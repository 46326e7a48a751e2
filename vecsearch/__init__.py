"""vecsearch: a plugin-based vector search engine for text, in which word order counts.

Text becomes tokens, each token an integer id, each id a row of an embedding matrix, and a positional encoder makes
each row aware of its neighbours. The names below are the public interface; they are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vecsearch.errors import (
        DocumentError,
        FilterError,
        FormatVersionError,
        IdentityError,
        IndexClosedError,
        IndexDamagedError,
        IndexExistsError,
        IndexFolderError,
        IndexLockedError,
        IndexNotFoundError,
        IndexReadOnlyError,
        LoadError,
        PluginConflictError,
        PluginError,
        PluginLoadError,
        PluginNotFoundError,
        QueryError,
        SearchTimeoutError,
        StorageError,
        UsageError,
        VecsearchError,
        VectorsError,
    )
    from vecsearch.filters import Filter, field
    from vecsearch.fitting import fit_pca
    from vecsearch.hookspecs import hookimpl
    from vecsearch.index import Index
    from vecsearch.loading import read_documents
    from vecsearch.pipeline import GivenVectors, Pipeline
    from vecsearch.plugins import Registry
    from vecsearch.protocols import (
        AligningEncoder,
        CollectionStatistics,
        ComparingEncoder,
        ContextualEmbedder,
        Embedder,
        Loader,
        Plugin,
        PositionalEncoder,
        Scorer,
        SourceFile,
        StaticEmbedder,
        Tokenizer,
    )
    from vecsearch.reranking import Reranker, RerankReport
    from vecsearch.types import Document, Hit, Match, Tokens, Vocabulary

_HOMES = {
    "vecsearch.errors": (
        "DocumentError FilterError FormatVersionError IdentityError IndexClosedError IndexDamagedError "
        "IndexExistsError IndexFolderError IndexLockedError IndexNotFoundError IndexReadOnlyError LoadError "
        "PluginConflictError PluginError PluginLoadError PluginNotFoundError QueryError SearchTimeoutError "
        "StorageError UsageError VecsearchError VectorsError"
    ),
    "vecsearch.filters": "Filter field",
    "vecsearch.fitting": "fit_pca",
    "vecsearch.hookspecs": "hookimpl",
    "vecsearch.index": "Index",
    "vecsearch.loading": "read_documents",
    "vecsearch.pipeline": "GivenVectors Pipeline",
    "vecsearch.plugins": "Registry",
    "vecsearch.protocols": (
        "AligningEncoder CollectionStatistics ComparingEncoder ContextualEmbedder Embedder Loader Plugin "
        "PositionalEncoder Scorer SourceFile StaticEmbedder Tokenizer"
    ),
    "vecsearch.reranking": "Reranker RerankReport",
    "vecsearch.types": "Document Hit Match Tokens Vocabulary",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "AligningEncoder",
    "CollectionStatistics",
    "ComparingEncoder",
    "ContextualEmbedder",
    "Document",
    "DocumentError",
    "Embedder",
    "Filter",
    "FilterError",
    "FormatVersionError",
    "GivenVectors",
    "Hit",
    "IdentityError",
    "Index",
    "IndexClosedError",
    "IndexDamagedError",
    "IndexExistsError",
    "IndexFolderError",
    "IndexLockedError",
    "IndexNotFoundError",
    "IndexReadOnlyError",
    "LoadError",
    "Loader",
    "Match",
    "Pipeline",
    "Plugin",
    "PluginConflictError",
    "PluginError",
    "PluginLoadError",
    "PluginNotFoundError",
    "PositionalEncoder",
    "QueryError",
    "Registry",
    "RerankReport",
    "Reranker",
    "Scorer",
    "SearchTimeoutError",
    "SourceFile",
    "StaticEmbedder",
    "StorageError",
    "Tokenizer",
    "Tokens",
    "UsageError",
    "VecsearchError",
    "VectorsError",
    "Vocabulary",
    "__version__",
    "field",
    "fit_pca",
    "hookimpl",
    "read_documents",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'vecsearch' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
