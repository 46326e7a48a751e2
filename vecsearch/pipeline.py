"""A pipeline: one tokenizer, one embedder and one positional encoder, and the identity that an index records of them.

Its parts are called here and nowhere else, each call guarded (see ``guarding``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.checksums import sha256_of
from vecsearch.errors import PluginError, UsageError, VectorsError
from vecsearch.guarding import GuardedScorer, call, checked_floats, checked_tokens, checked_vocabulary
from vecsearch.precision import RowFormat, checked_precision
from vecsearch.protocols import (
    AligningEncoder,
    ComparingEncoder,
    ContextualEmbedder,
    Embedder,
    Plugin,
    PositionalEncoder,
    Scorer,
    StaticEmbedder,
    Tokenizer,
)
from vecsearch.reduction import ARTEFACT, ReducedEmbedder, Reduction
from vecsearch.types import Precision, Tokens, Vocabulary

if TYPE_CHECKING:
    from vecsearch.plugins import Registry
    from vecsearch.types import Bools, Floats, Ids, Offsets

__all__ = [
    "Embedded",
    "GivenVectors",
    "Pipeline",
    "build_encoder",
    "build_scorer",
    "load_pipeline",
    "parse_spec",
    "reduced",
    "split_rows",
]

DEFAULT_MAX_TOKENS = 256
DEFAULT_PRECISION: Precision = "int8"
"""Of the vectors of contextual embedders."""
LONGEST = 1.001
"""Vectors of length 1 may be as long as this, by rounding."""


@dataclass(frozen=True)
class Embedded:
    """Texts as position-aware vectors.

    Attributes:
        vectors: float32 ``(n_tokens, dim)``, rows of unit length or zero.
        weights: float32 ``(n_tokens,)``, norms of the embedder's rows.
        offsets: int64 ``(n_texts + 1,)``.
        tokens: what the tokenizer gave.
    """

    vectors: Floats
    weights: Floats
    offsets: Offsets
    tokens: Tokens


class Pipeline:
    """Turns text into position-aware token vectors. Frozen; threads may share it.

    Args:
        tokenizer: None to take the one that a contextual embedder brings.
        embedder: static or contextual.
        encoder: the positional encoder.
        max_tokens: longest passage, in tokens.
        precision: how exactly an index keeps the vectors of a contextual embedder: ``"fp32"``, ``"fp16"`` or
            ``"int8"``, the default. Those of a static one are never kept, as they follow from the tokens.

    Raises:
        UsageError: the parts do not fit together, or ``max_tokens`` is below 8.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        embedder: Embedder | None,
        encoder: PositionalEncoder,
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        precision: str | None = None,
    ) -> None:
        if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 8:
            raise UsageError(f"passages of {max_tokens} tokens are too short; max_tokens must be 8 or more")
        self.embedder = embedder
        self.encoder = encoder
        self.max_tokens = max_tokens
        if isinstance(embedder, ContextualEmbedder):
            own = embedder.tokenizer()
            if tokenizer is not None and _identity(tokenizer) != _identity(own):
                raise UsageError(
                    f"embedder {embedder.name!r} works with its own tokenizer {own.name!r} only, "
                    f"not with {tokenizer.name!r}; leave the tokenizer out"
                )
            tokenizer = own
        elif embedder is not None and tokenizer is None:
            raise UsageError(f"embedder {embedder.name!r} needs a tokenizer")
        self.tokenizer = tokenizer
        self.precision: Precision = _precision_of(embedder, precision)

    @classmethod
    def from_names(
        cls,
        tokenizer: str | None = None,
        embedder: str = "wordllama",
        encoder: str | None = None,
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        precision: str | None = None,
        registry: Registry | None = None,
    ) -> Pipeline:
        """Build a pipeline from the names of installed plugins.

        Args:
            tokenizer: name, or ``"name:key=value,key=value"`` (see ``parse_spec``); ``"word"`` by default.
            embedder: likewise.
            encoder: likewise; by default what the embedder names, else ``"relative"``.
            max_tokens: longest passage, in tokens.
            precision: see ``Pipeline``.
            registry: where plugins are looked up; by default all that are installed.

        Raises:
            PluginNotFoundError: no plugin has such a name.
            UsageError: a plugin refuses its configuration.
        """
        registry = registry or _registry()
        embedding = registry.create("embedder", *parse_spec(embedder))
        contextual = isinstance(embedding, ContextualEmbedder)
        if tokenizer is None and not contextual:
            tokenizer = "word"
        return cls(
            None if tokenizer is None else registry.create("tokenizer", *parse_spec(tokenizer)),
            embedding,
            registry.create("encoder", *parse_spec(encoder or _suiting_encoder(embedding))),
            max_tokens=max_tokens,
            precision=precision,
        )

    @cached_property
    def dim(self) -> int:
        """Length of a vector."""
        assert self.embedder is not None
        return int(self.embedder.dim)

    @property
    def row_format(self) -> RowFormat:
        """How an index stores the embedder's vectors."""
        return RowFormat(self.dim, self.precision)

    @property
    def is_given(self) -> bool:
        """Whether vectors come from the caller instead of from text."""
        return self.embedder is None

    # to ask whether an object follows a protocol takes tens of microseconds, and searches ask many times

    @cached_property
    def is_static(self) -> bool:
        """Whether a token's row follows from its id alone."""
        return isinstance(self.embedder, StaticEmbedder)

    @cached_property
    def aligning_encoder(self) -> AligningEncoder | None:
        """The encoder where it aligns, else None."""
        return self.encoder if isinstance(self.encoder, AligningEncoder) else None

    @cached_property
    def comparing_encoder(self) -> ComparingEncoder | None:
        """The encoder where it compares while it encodes, else None."""
        return self.encoder if isinstance(self.encoder, ComparingEncoder) else None

    @cached_property
    def _contextual_embedder(self) -> ContextualEmbedder | None:
        return self.embedder if isinstance(self.embedder, ContextualEmbedder) else None

    @cached_property
    def closed_vocabulary(self) -> Vocabulary | None:
        """The tokenizer's vocabulary, None where it is open or there is no tokenizer."""
        if self.tokenizer is None:
            return None
        return checked_vocabulary(call(self.tokenizer, "tokenizer", "vocabulary"), self.tokenizer)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What an index records: name, version, configuration and file hashes of each part. JSON-ready."""
        identity = {
            "tokenizer": _identity(self.tokenizer),
            "embedder": _identity(self.embedder) if self.embedder else {"name": "given", "config": {"dim": self.dim}},
            "encoder": _identity(self.encoder),
            "max_tokens": self.max_tokens,
        }
        return identity if self.is_static else {**identity, "precision": self.precision}

    @property
    def configuration(self) -> dict[str, Any]:
        """What ``load_pipeline`` builds the same pipeline from. JSON-ready; holds paths, unlike ``identity``."""

        def of(plugin: Plugin | None) -> dict[str, Any] | None:
            return None if plugin is None else {"name": plugin.name, "config": dict(plugin.config)}

        return {
            "tokenizer": None if isinstance(self.embedder, ContextualEmbedder) else of(self.tokenizer),
            "embedder": of(self.embedder),
            "encoder": of(self.encoder),
            "max_tokens": self.max_tokens,
            "dim": self.dim if self.is_given else None,
            "precision": None if self.is_static else self.precision,
        }

    @property
    def artefacts(self) -> dict[str, bytes]:
        """What was fitted for this pipeline and is no plugin's file, by name: an index keeps it itself."""
        embedder = self.embedder
        return {ARTEFACT: embedder.reduction.content} if isinstance(embedder, ReducedEmbedder) else {}

    @property
    def scorer(self) -> str:
        """Name of the scorer that suits the embedder: its own word, else by its kind."""
        own = getattr(self.embedder, "scorer", None)
        if isinstance(own, str):
            return own
        return "debiased_maxsim" if self.is_static else "maxsim"

    def reference_texts(self) -> list[str]:
        """Return texts of the kind that the embedder was made for; none where it has none."""
        if self.embedder is None or not hasattr(self.embedder, "reference"):
            return []
        texts = call(self.embedder, "embedder", "reference")
        return [text for text in texts if isinstance(text, str)]

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Split texts into tokens, checked against the contract of ``protocols.Tokenizer``.

        Raises:
            UsageError: the pipeline takes vectors, not text.
            PluginError: the tokenizer raised, or broke its contract.
        """
        if self.tokenizer is None:
            raise UsageError("this index holds given vectors and cannot read text; search it with vectors=")
        tokens = call(self.tokenizer, "tokenizer", "tokenize", texts)
        return checked_tokens(tokens, texts, self.tokenizer, self.closed_vocabulary)

    def rows(self, texts: Sequence[str], tokens: Tokens) -> Floats:
        """Return the embedder's own vectors of tokenized texts, float32 ``(n_tokens, dim)``, before any position."""
        contextual = self._contextual_embedder
        if contextual is not None:
            rows = call(contextual, "embedder", "embed", texts, tokens)
            return checked_floats(rows, (tokens.n_tokens, self.dim), contextual, "embedder", "embed")
        entries, starts_word, inverse = self._entries(tokens)
        return self.entry_rows(entries, starts_word)[inverse]

    def query_rows(self, text: str, tokens: Tokens) -> tuple[Tokens, Floats]:
        """Return the tokens of a query and their vectors, as ``rows``; an embedder may treat queries in its own way.

        Args:
            text: of the query.
            tokens: of it.

        Raises:
            PluginError: the embedder raised, or broke its contract.
        """
        if self.embedder is None or self.tokenizer is None or not hasattr(self.embedder, "embed_query"):
            return tokens, self.rows([text], tokens)
        found = call(self.embedder, "embedder", "embed_query", text)
        if not isinstance(found, tuple) or len(found) != 2:
            raise PluginError(
                f"embedder {self.embedder.name!r}: embed_query() returned {type(found).__name__}, "
                "not a pair of Tokens and vectors",
                plugin=self.embedder.name,
                kind="embedder",
            )
        tokens = checked_tokens(found[0], [text], self.tokenizer, self.closed_vocabulary)
        shape = (tokens.n_tokens, self.dim)
        return tokens, checked_floats(found[1], shape, self.embedder, "embedder", "embed_query")

    @property
    def uses_idf(self) -> bool:
        """Whether rare tokens of a query weigh more, as the embedder says; True where it says nothing."""
        return bool(getattr(self.embedder, "uses_idf", True))

    def entry_rows(self, entries: Sequence[str], starts_word: Bools) -> Floats:
        """Return the rows of vocabulary entries from a static embedder, checked; float32 ``(n, dim)``."""
        assert self.embedder is not None
        rows = call(self.embedder, "embedder", "rows", entries, starts_word)
        return checked_floats(rows, (len(entries), self.dim), self.embedder, "embedder", "rows")

    def encode_rows(
        self, units: Floats, weights: Floats, offsets: Offsets, encoder: PositionalEncoder | None = None
    ) -> Floats:
        """Apply the positional encoder, or another one, to a flat batch, checked; float32 ``(n_tokens, dim)``."""
        encoder = encoder or self.encoder
        vectors = call(encoder, "positional encoder", "encode", units, weights, offsets)
        return _checked_vectors(vectors, units.shape, encoder, "encode")

    def encode_compared(
        self, rows: Floats, places: Ids, weights: Floats, offsets: Offsets, query: Floats
    ) -> tuple[Floats, Floats] | None:
        """Return what ``ComparingEncoder.encode_compared`` does, checked; None where the encoder does not do it."""
        encoder = self.comparing_encoder
        if encoder is None:
            return None
        found = call(encoder, "positional encoder", "encode_compared", rows, places, weights, offsets, query)
        if found is None:
            return None
        if not isinstance(found, tuple) or len(found) != 2:
            raise VectorsError(
                f"positional encoder {encoder.name!r}: encode_compared() returned {type(found).__name__}, "
                f"not vectors and maxima, or None",
                plugin=encoder.name,
                kind="positional encoder",
            )
        vectors, maxima = found
        shape = (len(query), len(offsets) - 1)
        return (
            _checked_vectors(vectors, (len(places), rows.shape[1]), encoder, "encode_compared"),
            checked_floats(maxima, shape, encoder, "positional encoder", "encode_compared"),
        )

    def check_encoder(self, dim: int | None = None) -> None:
        """Try the positional encoder on two rows, so that one that cannot have such vectors is found out early.

        Args:
            dim: length of the rows; by default that of the pipeline's vectors.

        Raises:
            VectorsError: the encoder cannot have vectors of that length, or gives what it must not.
            PluginError: the encoder raised.
        """
        rows = np.eye(2, dim or self.dim, dtype=np.float32)
        self.encode_rows(rows, np.ones(2, np.float32), np.array([0, 2], np.int64))

    def align(self, query: Floats, passage: Floats) -> Floats:
        """Return the similarities of every alignment from an aligning encoder, checked; see ``AligningEncoder``."""
        aligned = call(self.encoder, "positional encoder", "align", query, passage)
        n_alignments = max(1, len(aligned)) if isinstance(aligned, np.ndarray) and aligned.ndim else 1
        return checked_floats(aligned, (n_alignments, len(query)), self.encoder, "positional encoder", "align")

    def aligned_similarities(self, query: Floats, passage: Floats, alignment: int) -> Floats:
        """Return the similarities of one alignment from an aligning encoder, checked; see ``AligningEncoder``."""
        found = call(self.encoder, "positional encoder", "similarities", query, passage, alignment)
        return checked_floats(found, (len(query), len(passage)), self.encoder, "positional encoder", "similarities")

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Return texts as position-aware vectors, with their tokens. Needs no index.

        Raises:
            PluginError: a plugin raised, or broke its contract.
        """
        tokens = self.tokenize(texts)
        units, weights = split_rows(self.rows(texts, tokens))
        return Embedded(self.encode_rows(units, weights, tokens.offsets), weights, tokens.offsets, tokens)

    def encode(self, texts: Sequence[str]) -> tuple[Floats, Floats, Offsets]:
        """Return vectors, weights and offsets of texts; see ``Embedded``."""
        embedded = self.embed(texts)
        return embedded.vectors, embedded.weights, embedded.offsets

    def similarity(self, a: str, b: str) -> float:
        """Return how alike two texts are, word order included, in [−1, 1]; symmetric.

        ½ [Σ w_i max_j⟨a_i, b_j⟩ / Σ w_i + Σ w_j max_i⟨a_i, b_j⟩ / Σ w_j], w the norms of the embedder's rows.
        0 where a text has no token with a weight. No collection is needed: there is no idf in it.
        """
        return float(self.similarities([(a, b)])[0])

    def similarities(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Return ``similarity`` of each pair of texts: float32 ``(n_pairs,)``, many at once."""
        results = np.zeros(len(pairs), np.float32)
        for begin in range(0, len(pairs), 256):
            some = pairs[begin : begin + 256]
            embedded = self.embed([text for pair in some for text in pair])
            bounds = embedded.offsets.tolist()
            for number in range(len(some)):
                first, middle, last = bounds[2 * number : 2 * number + 3]
                results[begin + number] = self._similarity(embedded, slice(first, middle), slice(middle, last))
        return results

    def _similarity(self, embedded: Embedded, a: slice, b: slice) -> float:
        total_a, total_b = embedded.weights[a].sum(), embedded.weights[b].sum()
        if total_a == 0 or total_b == 0:
            return 0.0
        if self.aligning_encoder is not None:
            forward = self.align(embedded.vectors[a], embedded.vectors[b]) @ embedded.weights[a]
            backward = self.align(embedded.vectors[b], embedded.vectors[a]) @ embedded.weights[b]
            return float(forward.max() / total_a + backward.max() / total_b) / 2
        similarities = embedded.vectors[a] @ embedded.vectors[b].T
        forward = similarities.max(axis=1) @ embedded.weights[a]
        backward = similarities.max(axis=0) @ embedded.weights[b]
        return float(forward / total_a + backward / total_b) / 2

    def _entries(self, tokens: Tokens) -> tuple[Sequence[str], Bools, Ids]:
        """Return the different entries of some tokens, whether they start words, and which entry each token is."""
        if tokens.entries is not None:
            numbers = {entry: number for number, entry in enumerate(dict.fromkeys(tokens.entries))}
            inverse = np.fromiter(map(numbers.__getitem__, tokens.entries), np.int32, len(tokens.entries))
            return list(numbers), np.ones(len(numbers), bool), inverse
        assert self.closed_vocabulary is not None
        assert tokens.ids is not None
        ids, inverse_ids = np.unique(tokens.ids, return_inverse=True)
        entries = [self.closed_vocabulary.entries[number] for number in ids.tolist()]
        return entries, self.closed_vocabulary.starts_word[ids], inverse_ids.astype(np.int32)


class GivenVectors(Pipeline):
    """A pipeline for vectors that the caller brings, from any model and any kind of thing.

    Args:
        dim: length of a vector.
        encoder: positional encoder by name (see ``parse_spec``) or object; ``"none"`` by default.
        precision: how exactly an index keeps the vectors: ``"fp32"``, as they are, ``"fp16"`` or ``"int8"``.
        registry: where plugins are looked up.
    """

    def __init__(
        self,
        dim: int,
        encoder: str | PositionalEncoder = "none",
        *,
        precision: str | None = None,
        registry: Registry | None = None,
    ) -> None:
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
            raise UsageError(f"dim is {dim!r}; it must be a whole number of 1 or more", dim=dim)
        if isinstance(encoder, str):
            built: PositionalEncoder = (registry or _registry()).create("encoder", *parse_spec(encoder))
        else:
            built = encoder
        super().__init__(None, None, built, precision=precision)
        self.__dict__["dim"] = dim


def _checked_vectors(vectors: Any, shape: tuple[int, ...], encoder: PositionalEncoder, method: str) -> Floats:
    # the rounding bound of exact scoring rests on their lengths
    lengths = np.array([np.inf])
    if isinstance(vectors, np.ndarray) and vectors.dtype == np.float32 and vectors.shape == shape:
        lengths = np.sqrt(np.vecdot(vectors, vectors))
    if lengths.max(initial=0) <= LONGEST:  # then all numbers are finite, too: no NaN is below anything
        return vectors  # type: ignore[no-any-return]
    checked_floats(vectors, shape, encoder, "positional encoder", method)
    raise VectorsError(
        f"positional encoder {encoder.name!r}: {method}() returned rows of length {lengths.max():g}, "
        f"first at row {int(np.argmax(lengths > LONGEST))}; they must have length 1, or be zero",
        plugin=encoder.name,
        kind="positional encoder",
    )


def split_rows(rows: Floats) -> tuple[Floats, Floats]:
    """Split rows into directions of unit length and norms; a row shorter than 1e-12 becomes zero with norm 0.

    Example:
        >>> split_rows(np.array([[3, 4], [0, 0]], np.float32))
        (array([[0.6, 0.8],
               [0. , 0. ]], dtype=float32), array([5., 0.], dtype=float32))
    """
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    norms[norms < 1e-12] = 0
    divisors = np.where(norms > 0, norms, 1)[:, None]
    units = (rows / divisors).astype(np.float32)
    units[norms == 0] = 0
    return units, norms.astype(np.float32)


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """Parse ``"name"`` or ``"name:key=value,key=value"``; a value is JSON where it parses as JSON, else text.

    Example:
        >>> parse_spec("relative:order=0.5,decay=0.75")
        ('relative', {'order': 0.5, 'decay': 0.75})
        >>> parse_spec("subword:path=my,tokenizer.json")
        Traceback (most recent call last):
        vecsearch.errors.UsageError: 'tokenizer.json' in 'subword:path=my,tokenizer.json' is not key=value

    Raises:
        UsageError: a part is not ``key=value``.
    """
    if not isinstance(spec, str):
        raise UsageError(f"{spec!r:.80} is no specification; it is text: name, or name:key=value,key=value")
    name, _, rest = spec.partition(":")
    config: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise UsageError(f"{part!r} in {spec!r} is not key=value")
        try:
            config[key] = json.loads(value)
        except ValueError:
            config[key] = value
    return name, config


def load_pipeline(
    configuration: Mapping[str, Any],
    registry: Registry | None = None,
    *,
    artefacts: Mapping[str, bytes] = MappingProxyType({}),
) -> Pipeline:
    """Build the pipeline that an index was made with from what ``Pipeline.configuration`` gave.

    Args:
        configuration: of the pipeline.
        registry: where plugins are looked up; by default all that are installed.
        artefacts: that the index keeps, as ``Pipeline.artefacts`` gave them.

    Raises:
        VectorsError: an artefact is missing or is not the one that the configuration names.
        PluginNotFoundError: a plugin is no longer installed.
        LoadError: one of its files is gone.
    """
    registry = registry or _registry()

    def build(kind: str) -> Any:
        part = configuration[kind]
        return None if part is None else registry.create(kind, part["name"], part["config"])

    precision = configuration.get("precision")
    if configuration["embedder"] is None:
        return GivenVectors(configuration["dim"], build("encoder"), precision=precision)
    embedder: Any
    if configuration["embedder"]["name"] == ReducedEmbedder.name:
        embedder = _load_reduced(configuration["embedder"]["config"], registry, artefacts)
    else:
        embedder = build("embedder")
    if precision is None and not isinstance(embedder, StaticEmbedder):
        precision = "fp32"  # before format 4 there was no other
    return Pipeline(
        build("tokenizer"), embedder, build("encoder"), max_tokens=configuration["max_tokens"], precision=precision
    )


def _load_reduced(config: Mapping[str, Any], registry: Registry, artefacts: Mapping[str, bytes]) -> ReducedEmbedder:
    content = artefacts.get(ARTEFACT)
    try:
        if content is None:
            raise ValueError("is missing")
        reduction = Reduction.parse(content)
        if reduction.sha256 != config["sha256"]:
            raise ValueError("does not have the SHA-256 that it was made with")
    except ValueError as error:
        raise VectorsError(f"the reduction, by which vectors are compared, {error}") from error
    inner = config["embedder"]
    return ReducedEmbedder(registry.create("embedder", inner["name"], inner["config"]), reduction)


def reduced(pipeline: Pipeline, reduction: Reduction) -> Pipeline:
    """Return a pipeline of a contextual embedder with its vectors reduced."""
    assert isinstance(pipeline.embedder, ContextualEmbedder)
    return Pipeline(
        None,
        ReducedEmbedder(pipeline.embedder, reduction),
        pipeline.encoder,
        max_tokens=pipeline.max_tokens,
        precision=pipeline.precision,
    )


def _precision_of(embedder: Embedder | None, precision: str | None) -> Precision:
    if isinstance(embedder, StaticEmbedder):
        if precision is not None:
            raise UsageError(
                f"embedder {embedder.name!r} gives a token the same vector everywhere, so none is kept and precision "
                f"means nothing; leave it out",
            )
        return "fp32"
    if precision is not None:
        return checked_precision(precision)
    return "fp32" if embedder is None else DEFAULT_PRECISION


def _registry() -> Registry:
    from vecsearch.plugins import Registry

    return Registry()


def _identity(plugin: Plugin | None) -> dict[str, Any] | None:
    if plugin is None:
        return None
    if isinstance(plugin, ReducedEmbedder):
        config = {"dim": plugin.dim, "sha256": plugin.reduction.sha256}
        return {"name": plugin.name, "version": plugin.version, "config": config, "of": _identity(plugin.embedder)}
    files = dict(plugin.files)
    try:
        hashes = {key: sha256_of(path) for key, path in sorted(files.items())}
    except OSError as error:
        raise PluginError(
            f"{plugin.name!r} needs the file {error.filename!r}, which cannot be read: {error.strerror}",
            plugin=plugin.name,
        ) from error
    config = {key: value for key, value in sorted(plugin.config.items()) if key not in files}
    identity: dict[str, Any] = {"name": plugin.name, "version": plugin.version, "config": config, "files": hashes}
    # a configuration that JSON cannot hold would be found out only when the index is opened again
    return dict(json.loads(json.dumps(identity)))


def _suiting_encoder(embedder: Embedder) -> str:
    """Return the positional encoder that suits an embedder, as a specification."""
    own = getattr(embedder, "encoder", None)
    return own if isinstance(own, str) else "relative"


def build_encoder(spec: str, registry: Registry | None = None) -> PositionalEncoder:
    """Return a positional encoder by name or ``"name:key=value"``.

    Raises:
        PluginNotFoundError: no plugin has such an encoder.
    """
    encoder: PositionalEncoder = (registry or _registry()).create("encoder", *parse_spec(spec))
    return encoder


def build_scorer(spec: str, registry: Registry | None = None) -> Scorer:
    """Return a scorer, guarded, by name or ``"name:key=value"``.

    Raises:
        PluginNotFoundError: no plugin has such a scorer.
    """
    return GuardedScorer((registry or _registry()).create("scorer", *parse_spec(spec)))
