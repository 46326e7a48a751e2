"""Fitting what is fitted once on the texts of an index, before it is made: the directions of a reduction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.errors import DocumentError, UsageError, VectorsError
from vecsearch.pipeline import Pipeline, reduced, split_rows
from vecsearch.preparation import checked
from vecsearch.protocols import ContextualEmbedder
from vecsearch.rarity import idf
from vecsearch.reduction import ReducedEmbedder, fit_directions
from vecsearch.types import Document

if TYPE_CHECKING:
    import numpy.typing as npt

    from vecsearch.embedding_cache import EmbeddingCache
    from vecsearch.types import Floats, Tokens

    Doubles = npt.NDArray[np.float64]
    Numbers = npt.NDArray[np.int64]

__all__ = ["READ_CHARACTERS", "TOKENS", "fit_pca"]

READ_CHARACTERS = 4_000_000
"""About how much text is looked at, from the first document on; more is not read."""
TOKENS = 32_768
"""About how many tokens are embedded of it."""
FEWEST_OF_DIM = 8
"""So many times as many tokens as a vector has numbers are needed."""
STRETCH = 1_000
"""Characters of a stretch of text that is embedded or not."""


def fit_pca(
    pipeline: Pipeline, documents: Iterable[Document], dim: int, cache: EmbeddingCache | None = None
) -> Pipeline:
    """Return a pipeline whose vectors have ``dim`` numbers, by principal components fitted on some texts.

    About 33,000 tokens are embedded: of stretches of text that are chosen by their hash, so that among the texts that
    are looked at (4 million characters) neither the order nor the length of documents matters. A token counts by its
    idf among these stretches, as it does in scores, where the pipeline uses idf.

    Args:
        pipeline: of a contextual embedder.
        documents: that an index is to be made of; read as far as is needed.
        dim: from 1 to one less than the embedder's.
        cache: of embeddings, or None.

    Raises:
        UsageError: the embedder is not contextual, is reduced already, or has no more than ``dim`` numbers; the
            positional encoder cannot have vectors of ``dim`` numbers.
        VectorsError: there are too few tokens.
        PluginError: a plugin raised, or broke its contract.
    """
    embedder = pipeline.embedder
    if not isinstance(embedder, ContextualEmbedder):
        kind = "given vectors" if embedder is None else f"embedder {embedder.name!r}"
        raise UsageError(f"{kind}: only vectors of contextual embedders are reduced; leave PCA out")
    if isinstance(embedder, ReducedEmbedder):
        raise UsageError("the vectors of this pipeline are reduced already")
    if isinstance(dim, bool) or not isinstance(dim, int) or not 0 < dim < embedder.dim:
        raise UsageError(
            f"PCA to {dim!r:.40} numbers: it must be 1 or more, and less than the {embedder.dim} there are"
        )
    try:
        pipeline.check_encoder(dim)
    except VectorsError as error:
        raise UsageError(f"PCA to {dim} numbers: {error}; or ask PCA for another number") from error
    units, types, stretches = _sampled(pipeline, _stretches(pipeline, documents), cache)
    needed = FEWEST_OF_DIM * embedder.dim
    if len(units) < needed:
        raise VectorsError(
            f"PCA of {embedder.name!r} is fitted on {needed:,} tokens or more, and the texts have {len(units):,}; "
            f"leave it out, or begin with more text"
        )
    return reduced(pipeline, fit_directions(units, dim, rarities(types, stretches) if pipeline.uses_idf else None))


def rarities(types: Numbers, passages: Numbers) -> Doubles:
    """Return the idf of each token, ln(1 + (N − df + ½) / (df + ½)) for N passages, df of which hold its type.

    Args:
        types: int64 ``(n_tokens,)``, equal for tokens of one type.
        passages: int64 ``(n_tokens,)``, the passage of each; N is how many different ones there are.

    Returns:
        float64 ``(n_tokens,)``, > 0.

    Example:
        >>> rarities(np.array([7, 9, 7, 7]), np.array([0, 0, 1, 1])).round(3).tolist()
        [0.182, 0.693, 0.182, 0.182]
    """
    if not len(types):
        return np.zeros(0)
    places = np.unique(types, return_inverse=True)[1]
    numbers = np.unique(passages, return_inverse=True)[1]
    once = np.unique(numbers * (places.max() + 1) + places) % (places.max() + 1)
    frequencies = np.bincount(once)
    return idf(frequencies, int(numbers.max()) + 1)[places]


def _stretches(pipeline: Pipeline, documents: Iterable[Document]) -> list[str]:
    """Return stretches of the first texts, each once, in the order of their hashes."""
    found: dict[bytes, str] = {}
    left = READ_CHARACTERS
    for document in documents:
        try:
            checked(document, pipeline)
        except DocumentError:
            continue  # who adds it is told
        text = f"{document.title}\n{document.text}" if document.title else document.text
        for stretch in _cut(text[:left]):
            found.setdefault(hashlib.blake2b(stretch.encode("utf-8", "replace"), digest_size=16).digest(), stretch)
        left -= len(text)
        if left <= 0:
            break
    return [found[key] for key in sorted(found)]


def _cut(text: str) -> Iterator[str]:
    begin = 0
    while begin < len(text):
        end = begin + STRETCH
        if end < len(text):
            space = max(text.rfind(" ", begin, end), text.rfind("\n", begin, end))
            end = space + 1 if space > begin else end
        yield text[begin:end]
        begin = end


def _sampled(pipeline: Pipeline, stretches: list[str], cache: EmbeddingCache | None) -> tuple[Floats, Numbers, Numbers]:
    """Return tokens of the first stretches: vectors of length 1, types, and the number of the stretch of each."""
    units, types, owners = [np.zeros((0, pipeline.dim), np.float32)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    numbers: dict[str, int] = {}
    n_tokens = begin = 0
    while begin < len(stretches) and n_tokens < TOKENS:
        some = stretches[begin : begin + 16]
        tokens = pipeline.tokenize(some)
        rows = pipeline.rows(some, tokens) if cache is None else cache.rows(pipeline, some, tokens, "fp16")
        directions, norms = split_rows(rows)
        has_direction = norms > 0
        units.append(directions[has_direction])
        types.append(_types(tokens, numbers)[has_direction])
        owners.append((begin + np.repeat(np.arange(len(some)), np.diff(tokens.offsets)))[has_direction])
        begin += len(some)
        n_tokens += len(units[-1])
    return np.concatenate(units), np.concatenate(types), np.concatenate(owners)


def _types(tokens: Tokens, numbers: dict[str, int]) -> Numbers:
    """Return the type of each token as a number; entries of an open vocabulary get theirs in turn."""
    if tokens.ids is not None:
        return tokens.ids.astype(np.int64)
    assert tokens.entries is not None
    return np.array([numbers.setdefault(entry, len(numbers)) for entry in tokens.entries], np.int64)
