"""Learns a model from texts, and writes it as a folder that ``--model`` takes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from vecsearch import Registry, StaticEmbedder, Tokenizer, UsageError, __version__
from vecsearch_training.adapting import adapted
from vecsearch_training.contexts import cooccurrences, positive_pmi, sparse
from vecsearch_training.corpus import Entries, read_corpus
from vecsearch_training.factors import product, truncated_svd

if TYPE_CHECKING:
    from vecsearch.types import Floats

__all__ = ["Kind", "Model", "Stage", "learn"]

Kind = Literal["word", "subword"]
Stage = Callable[[str, float], None]
"""Called with what is being done, and how much of it is done, from 0 to 1."""

CONTEXTS = 30_000
"""The most frequent words span the space; all others are placed in it by their contexts among these."""
POWER = 0.0
"""Of the singular values: 0 weighs all directions alike."""


@dataclass(frozen=True)
class Model:
    """A learned matrix with what its rows stand for.

    Attributes:
        entries: of the vocabulary.
        rows: float32 ``(n_entries, dim)``; zeros for a piece that does not occur.
        settings: what it was learned with, JSON-ready.
        tokenizer: text of a ``tokenizer.json`` whose tokens the entries are; None where they are words.
        base: specification of the embedder that knows the other words, JSON-ready; None where there is none.
    """

    entries: Entries
    rows: Floats
    settings: Mapping[str, Any]
    tokenizer: str | None = None
    base: Mapping[str, Any] | None = field(default=None)

    def save(self, folder: Path, *, overwrite: bool = False) -> None:
        """Write a folder with the model, whole or not at all.

        Rows are stored as float16. ``config.json`` has the SHA-256 of the other files.

        Raises:
            UsageError: there is something of that name, and it is not to be overwritten, or is no folder of a model.
            OSError: it cannot be written.
        """
        folder = Path(os.path.abspath(folder))
        refuse_taken(folder, overwrite=overwrite)
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        before = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        beside.mkdir()
        try:
            self._write(beside)
            if folder.exists():
                folder.rename(before)
            beside.rename(folder)
        except BaseException:
            if before.exists() and not folder.exists():
                before.rename(folder)
            raise
        finally:
            for left in (beside, before):
                shutil.rmtree(left, ignore_errors=True)
        _sync(folder.parent)

    def _write(self, folder: Path) -> None:
        from safetensors.numpy import save

        matrix = {"embeddings" if self.tokenizer else "words": self.rows.astype(np.float16)}
        files = {"model.safetensors": save(matrix)}
        if self.tokenizer is None:
            files["vocabulary.txt"] = "".join(entry + "\n" for entry in self.entries.texts).encode()
        else:
            files["tokenizer.json"] = self.tokenizer.encode()
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        config = {"model_type": "vecsearch", "format": 1, "vecsearch": __version__, "trained": dict(self.settings)}
        described = config | ({"base": dict(self.base)} if self.base else {}) | {"sha256": hashes}
        files["config.json"] = (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode()
        for name, content in files.items():
            with (folder / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync(folder)


def learn(
    texts: Callable[[], Iterable[str]],
    *,
    tokenizer: Kind = "word",
    dim: int = 256,
    window: int = 5,
    min_count: int = 5,
    most_words: int = 100_000,
    n_pieces: int = 16_000,
    base: str | None = None,
    smoothing: float = 0.75,
    subsampling: float = 1e-5,
    shift: float = 1.0,
    seed: int = 0,
    registry: Registry | None = None,
    stage: Stage | None = None,
) -> Model:
    """Learn a row for every word, or every piece of words, from the words around it.

    Positive pointwise mutual information of words and the words near them, its rows reduced to ``dim`` numbers by a
    truncated singular value decomposition (Levy & Goldberg 2014). Rows have length 1: searches weigh words by their
    rarity anyhow, and no other length ranked better.

    Args:
        texts: returns the texts; called once, or twice for ``subword``, which first learns its pieces.
        tokenizer: ``word``: whole words as the tokenizer of that name cuts them; ``subword``: pieces by BPE.
        dim: length of a row, from 2.
        window: tokens to either side that count as near.
        min_count: rarer words or pieces get no row.
        most_words: of ``word``; the most frequent.
        n_pieces: entries of the vocabulary of ``subword``.
        base: a static embedder (``wordllama``) to be adapted: its rows are moved by what the texts say, and it serves
            the words that the texts do not have. ``word`` only; ``dim`` is then that of the embedder.
        smoothing, subsampling, shift: see ``contexts.positive_pmi``.
        seed: of the decomposition. The same texts and seed give the same model on the same machine.
        registry: where tokenizers and embedders come from.
        stage: see ``Stage``.

    Raises:
        UsageError: an argument is out of range, or the texts have not enough words.
        PluginError: SciPy is not installed.
    """
    _check(tokenizer, dim, window, min_count, most_words, base)
    sparse()  # what is missing is told before anything is read
    registry = registry or Registry()
    tell: Stage = stage or (lambda _what, _share: None)
    cutter, description = _tokenizer(texts, tokenizer, n_pieces, registry)
    embedder = _base(base, registry)
    with read_corpus(texts(), cutter, min_count=min_count, most=most_words, gap=window) as corpus:
        entries = corpus.entries
        counts = cooccurrences(corpus, window, lambda n: tell("counting", n / max(1, corpus.n_tokens)))
        n_tokens = corpus.n_tokens
    ppmi = positive_pmi(counts, entries.counts, smoothing=smoothing, subsampling=subsampling, shift=shift)
    frequent = np.sort(np.argsort(-entries.counts, kind="stable")[:CONTEXTS])
    ppmi = ppmi[:, frequent]
    n_dimensions = min(embedder.dim if embedder else dim, len(frequent))
    values, vectors = truncated_svd(ppmi[frequent], n_dimensions, seed, lambda done, of: tell("decomposing", done / of))
    rows = product(ppmi, vectors * np.where(values > 0, np.maximum(values, 1e-6) ** (POWER - 1), 0))
    units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    if embedder is None:
        rows = units.astype(np.float32)
        if n_dimensions < dim:
            rows = np.pad(rows, ((0, 0), (0, dim - n_dimensions)))
    else:
        rows = adapted(units, entries, embedder)
    if not rows.any():
        raise UsageError("nothing can be learned: no two words stand near each other more often than chance has it")
    settings = {
        "tokenizer": tokenizer,
        "dim": rows.shape[1],
        "window": window,
        "min_count": min_count,
        "smoothing": smoothing,
        "subsampling": subsampling,
        "shift": shift,
        "seed": seed,
        "n_tokens": n_tokens,
    }
    origin = {"name": embedder.name, "config": dict(embedder.config)} if embedder else None
    return Model(entries, rows, settings, description, origin)


def refuse_taken(folder: Path, *, overwrite: bool) -> None:
    """Refuse to write where something is, unless it is a model that may be overwritten.

    Raises:
        UsageError: as above.
    """
    if not os.path.lexists(folder):
        return
    if not overwrite:
        raise UsageError(f"{folder} exists; choose another name, or overwrite it with --force", path=str(folder))
    is_empty = folder.is_dir() and not any(folder.iterdir())
    if not (is_empty or ((folder / "config.json").is_file() and (folder / "model.safetensors").is_file())):
        raise UsageError(f"{folder} is not the folder of a model and is left alone; choose another name")


def _check(tokenizer: str, dim: int, window: int, min_count: int, most_words: int, base: str | None) -> None:
    if tokenizer not in get_args(Kind):
        raise UsageError(f"cannot train with the tokenizer {tokenizer!r}; there are {', '.join(get_args(Kind))}")
    for name, value, least, largest in (
        ("dim", dim, 2, 4096),
        ("window", window, 1, 50),
        ("min_count", min_count, 1, 1_000_000),
        ("most_words", most_words, 2, 2_000_000),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= largest:
            raise UsageError(f"{name} is {value!r}; it is a whole number from {least} to {largest:,}")
    if base is not None and tokenizer != "word":
        raise UsageError("a model to start from has rows of words; leave the tokenizer at 'word'")


def _tokenizer(
    texts: Callable[[], Iterable[str]], kind: Kind, n_pieces: int, registry: Registry
) -> tuple[Tokenizer, str | None]:
    """Return the tokenizer, and the text of its file where it was learned."""
    if kind == "word":
        return registry.create("tokenizer", "word"), None
    with tempfile.TemporaryDirectory() as folder:
        learned: Any = registry.get("tokenizer", "subword")
        tokenizer: Tokenizer = learned.learn(texts(), size=n_pieces, folder=folder)
        return tokenizer, Path(tokenizer.files["path"]).read_text("utf-8")


def _base(name: str | None, registry: Registry) -> StaticEmbedder | None:
    if name is None:
        return None
    found = registry.create("embedder", name)
    if not isinstance(found, StaticEmbedder):
        raise UsageError(f"embedder {name!r} has no matrix that could be adapted: its vectors depend on their text")
    return found


def _sync(folder: Path) -> None:
    with suppress(OSError, AttributeError):  # not every system has folders that can be synced
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
