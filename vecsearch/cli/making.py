"""Opens an index for writing, and makes it first if it is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsearch.errors import IdentityError, IndexNotFoundError

if TYPE_CHECKING:
    from vecsearch.index import Index
    from vecsearch.pipeline import Pipeline
    from vecsearch.stores.disk import Durability
    from vecsearch.types import Document

__all__ = ["Parts", "open_or_create"]

Parts = Mapping[str, Any]
"""What the user says of the pipeline, by argument of ``Pipeline.from_names``; None where nothing is said.

``pca``: to how many numbers its vectors are reduced.
"""


def open_or_create(
    folder: Path,
    parts: Parts,
    make: Callable[[], Pipeline] | None = None,
    *,
    durability: Durability = "full",
    memory: int = 1_000_000_000,
    cache: bool = True,
    sample: Callable[[], Iterable[Document]] = tuple,
) -> Index:
    """Open the index in a folder for writing, or make it.

    Args:
        folder: of the index.
        parts: used to make it; where it is there, those that are given must be its own.
        make: returns the pipeline of a new index; by default it is made of ``parts``.
        durability, memory, cache: see ``Index.open``.
        sample: returns documents that a new index will hold; what is fitted is fitted on them.

    Raises:
        IdentityError: the index is there and was made with other parts; names both.
        See ``Index.open`` and ``Index.create``.
    """
    from vecsearch.budget import share_one_arena
    from vecsearch.index import Index
    from vecsearch.pipeline import Pipeline

    share_one_arena()
    given = {part: value for part, value in parts.items() if value is not None}
    dim = given.pop("pca", None)
    try:
        index = Index.open(folder, durability=durability, memory=memory, cache=cache)
    except IndexNotFoundError:
        pipeline = make() if make else Pipeline.from_names(**given)
        if dim is not None:
            pipeline = _fitted(pipeline, sample(), dim, cache)
        return Index.create(folder, pipeline=pipeline, durability=durability, memory=memory, cache=cache)
    if (dim is not None and index.pipeline.artefacts.keys() != {"reduction"}) or dim not in (None, index.pipeline.dim):
        with index:
            raise IdentityError(
                f"index {folder} has vectors of {index.pipeline.dim} numbers, and PCA is fitted when an index is made; "
                f"leave --pca out, or index the sources into a new index",
                path=str(folder),
            )
    if not given:
        return index
    with index:
        wanted = _wanted(index.pipeline, given)
    # a pipeline that is not the recorded one is refused here, and both are named
    return Index.open(folder, pipeline=wanted, durability=durability, memory=memory, cache=cache)


def _fitted(pipeline: Pipeline, documents: Iterable[Document], dim: int, cache: bool) -> Pipeline:
    from vecsearch.embedding_cache import default_cache
    from vecsearch.fitting import fit_pca

    kept = default_cache() if cache else None
    try:
        return fit_pca(pipeline, documents, dim, kept)
    finally:
        if kept is not None:
            kept.close()


def _wanted(recorded_pipeline: Pipeline, given: Parts) -> Pipeline:
    """Return the recorded pipeline with the given parts in place of its own."""
    from vecsearch.pipeline import Pipeline, load_pipeline, parse_spec
    from vecsearch.plugins import Registry

    recorded = recorded_pipeline.configuration
    if recorded["embedder"] is None and ("tokenizer" in given or "embedder" in given):
        # given vectors: the parts alone say what is wanted
        return Pipeline.from_names(**given)
    registry = Registry()
    parts = dict(recorded)
    for part, value in given.items():
        if part in ("max_tokens", "precision"):
            parts[part] = value
        else:
            name, config = parse_spec(value)
            parts[part] = {"name": name, "config": config}
    artefacts = recorded_pipeline.artefacts
    brings_tokenizer = "embedder" in given and hasattr(registry.get("embedder", parts["embedder"]["name"]), "tokenizer")
    if artefacts and brings_tokenizer:
        # the same reduction of the embedder that is named
        reduced = recorded["embedder"]
        parts["embedder"] = {**reduced, "config": {**reduced["config"], "embedder": parts["embedder"]}}
        return load_pipeline(parts, registry, artefacts=artefacts)
    if "embedder" in given and "tokenizer" not in given:
        if brings_tokenizer:
            parts["tokenizer"] = None  # it brings its own
        elif parts["tokenizer"] is None:
            parts["tokenizer"] = {"name": "word", "config": {}}
            if "precision" not in given:
                parts["precision"] = None  # a static one has none
    return load_pipeline(parts, registry, artefacts=artefacts)
