"""Vectors of texts that were embedded before, in the user's cache folder: what is embedded again costs nothing.

An entry holds the rows of one text as an index keeps them (``precision``), by a key made of the text and of all that
its vectors depend on: the identities of embedder and tokenizer, which hold the hashes of their files, and the
precision. Whatever else a pipeline does comes after. Only contextual embedders are worth it: the rows of others are
looked up faster than read.

``VECSEARCH_CACHE_BYTES`` limits its size, 0 turns it off.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.errors import UsageError
from vecsearch.guarding import unusable_row
from vecsearch.pipeline import Pipeline
from vecsearch.precision import packed, row_bytes, unpacked
from vecsearch.types import Precision, Tokens

if TYPE_CHECKING:
    from vecsearch.types import Floats, Offsets

__all__ = ["MAX_BYTES", "EmbeddingCache", "cache_folder", "cache_limit", "default_cache"]

MAX_BYTES = 1_000_000_000
"""As large as the cache becomes by default: 2.5 million tokens of 384 dimensions in ``int8``."""
LIMIT = "VECSEARCH_CACHE_BYTES"
_FILE = "embeddings.db"
_TOKENS_AT_ONCE = 1 << 14
"""About so many tokens are embedded before their rows are kept: what an interrupted run has embedded is not lost."""


class EmbeddingCache:
    """Rows of texts by pipeline. Threads and processes may share it. Whatever is wrong with it only costs time.

    Args:
        folder: where it is kept, in one file.
        max_bytes: about how large the file may be; what was not used for longest leaves first.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        from vecsearch.stores.blobs import Blobs

        self.path = folder / _FILE
        self.max_bytes = max_bytes
        self._blobs = Blobs(self.path, max_bytes)

    def rows(self, pipeline: Pipeline, texts: Sequence[str], tokens: Tokens, precision: Precision = "int8") -> Floats:
        """Return the rows of texts as ``Pipeline.rows`` gives them, those that are kept without embedding anything.

        Args:
            pipeline: of a contextual embedder.
            texts: n texts; equal ones are embedded once.
            tokens: of the texts, as the pipeline's tokenizer gave them.
            precision: of what is kept.

        Returns:
            float32 ``(n_tokens, dim)``, before any position; rounded to the precision, whether they were kept or not.

        Raises:
            PluginError: as ``Pipeline.rows``.
        """
        keys = self.keys(pipeline, texts, precision)
        rows = np.empty((tokens.n_tokens, pipeline.dim), np.float32)
        bounds = tokens.offsets.tolist()
        for some in _parts(np.diff(tokens.offsets).tolist()):
            found = self._found(pipeline, [keys[number] for number in some], tokens.offsets, some, precision)
            missing = list({keys[number]: number for number in some if keys[number] not in found}.values())
            if missing:
                new = self._embedded(pipeline, texts, tokens, missing, precision)
                found.update(zip((keys[number] for number in missing), new, strict=True))
                self._blobs.put({keys[number]: found[keys[number]] for number in missing})
            for number in some:
                rows[bounds[number] : bounds[number + 1]] = unpacked(found[keys[number]], pipeline.dim, precision)
        return rows

    def _found(
        self, pipeline: Pipeline, keys: Sequence[bytes], offsets: Offsets, numbers: Sequence[int], precision: Precision
    ) -> dict[bytes, bytes]:
        sizes = np.diff(offsets)[numbers] * row_bytes(precision, pipeline.dim)
        found = self.get(keys, sizes.tolist())
        return {key: content for key, content in found.items() if _is_usable(content, pipeline.dim, precision)}

    def _embedded(
        self, pipeline: Pipeline, texts: Sequence[str], tokens: Tokens, numbers: Sequence[int], precision: Precision
    ) -> list[bytes]:
        some = _tokens_of(tokens, numbers)
        content = packed(pipeline.rows([texts[number] for number in numbers], some), precision)
        return [content[begin:end].tobytes() for begin, end in itertools.pairwise(some.offsets.tolist())]

    def keys(self, pipeline: Pipeline, texts: Sequence[str], precision: Precision = "int8") -> list[bytes]:
        """Return the key of each text, 32 bytes."""
        identity = pipeline.identity
        parts = {part: identity[part] for part in ("tokenizer", "embedder")}
        prefix = json.dumps([1, parts, precision, pipeline.dim], sort_keys=True)
        hashed = hashlib.blake2b(prefix.encode() + b"\0", digest_size=32)
        keys = []
        for text in texts:
            one = hashed.copy()
            one.update(text.encode("utf-8", "surrogatepass"))
            keys.append(one.digest())
        return keys

    def get(self, keys: Sequence[bytes], sizes: Sequence[int]) -> dict[bytes, bytes]:
        """Return what is kept by key, as it was put, where it has the size that is expected."""
        expected = dict(zip(keys, sizes, strict=True))
        return {key: content for key, content in self._blobs.get(keys).items() if len(content) == expected[key]}

    def info(self) -> dict[str, Any]:
        """Return path, limit, number of entries and bytes, JSON-ready."""
        n, size = self._blobs.size()
        return {"path": str(self.path), "max_bytes": self.max_bytes, "n_entries": n, "bytes": size}

    def clear(self) -> None:
        """Forget everything.

        Raises:
            OSError: the file system refused.
        """
        self._blobs.clear()

    def close(self) -> None:
        """Let go of the file; it is opened again when it is used again."""
        self._blobs.close()


def default_cache() -> EmbeddingCache | None:
    """Return the cache in the user's cache folder; None where ``VECSEARCH_CACHE_BYTES`` is 0.

    Raises:
        UsageError: the variable holds no number.
    """
    limit = cache_limit()
    return EmbeddingCache(cache_folder(), limit) if limit else None


def cache_folder() -> Path:
    """Return where the cache is kept, in the user's cache folder."""
    from platformdirs import user_cache_path

    return user_cache_path("vecsearch")


def cache_limit() -> int:
    """Return how many bytes the cache may take, as ``VECSEARCH_CACHE_BYTES`` says; 0 for no cache.

    Raises:
        UsageError: it holds no number.
    """
    text = os.environ.get(LIMIT, "")
    try:
        limit = int(text) if text else MAX_BYTES
    except ValueError:
        limit = -1
    if limit < 0:
        raise UsageError(f"{LIMIT} is {text!r:.80}; it must be a number of bytes, 0 for no cache")
    return limit


def _is_usable(content: bytes, dim: int, precision: Precision) -> bool:
    """Whether rows are numbers that an embedder may give: the file may be a stranger's."""
    with np.errstate(invalid="ignore", over="ignore"):
        return unusable_row(unpacked(content, dim, precision)) is None


def _parts(lengths: Sequence[int]) -> Iterator[range]:
    """Yield the numbers of texts in parts of about ``_TOKENS_AT_ONCE`` tokens."""
    begin = size = 0
    for number, length in enumerate(lengths):
        size += length
        if size >= _TOKENS_AT_ONCE or number == len(lengths) - 1:
            yield range(begin, number + 1)
            begin, size = number + 1, 0


def _tokens_of(tokens: Tokens, numbers: Sequence[int]) -> Tokens:
    """Return the tokens of some texts."""
    chosen = np.array(numbers, np.int64)
    lengths = np.diff(tokens.offsets)[chosen]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    wanted = np.repeat(tokens.offsets[:-1][chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
    ids = None if tokens.ids is None else tokens.ids[wanted]
    entries = None if tokens.entries is None else [tokens.entries[place] for place in wanted.tolist()]
    return Tokens(offsets, tokens.spans[wanted], ids, entries)
