"""Documents as another index keeps them, in batches of the size that one commit holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vecsearch.types import Document

__all__ = ["Kept", "batches"]

BATCH_CHARACTERS = 400_000
BATCH_DOCUMENTS = 2_000
BATCH_TOKENS = 100_000


@dataclass(frozen=True)
class Kept:
    """A document of another index.

    Attributes:
        document: without sections.
        starts: where its passages begin, ascending from 0; empty where it has none.
        content_hash: as stored there.
        file: root and path of the file it belongs to.
    """

    document: Document
    starts: Sequence[int]
    content_hash: bytes
    file: tuple[str, str] | None = None


def batches(documents: Iterable[Kept]) -> Iterator[list[Kept]]:
    """Yield documents in lists for one commit each, in order."""
    some: list[Kept] = []
    size = 0
    for one in documents:
        some.append(one)
        vectors = one.document.vectors
        n_vectors = 0 if vectors is None else len(vectors)
        size += len(one.document.text) + len(one.document.title) + n_vectors * (BATCH_CHARACTERS // BATCH_TOKENS)
        if size >= BATCH_CHARACTERS or len(some) >= BATCH_DOCUMENTS:
            yield some
            some, size = [], 0
    if some:
        yield some
