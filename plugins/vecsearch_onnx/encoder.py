"""Token vectors of an encoder in a folder: ``model.onnx`` and ``tokenizer.json``, as hubs and exporters write them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from vecsearch import LoadError, Registry, Tokenizer, Tokens
from vecsearch_onnx.folder import Frame, find_files, folder_of, has_model, load_tokenizer, read_frame, read_window
from vecsearch_onnx.late import Late, marked, read_late, read_projection
from vecsearch_onnx.model import Model
from vecsearch_onnx.windows import Windows, batches, cut

if TYPE_CHECKING:
    from vecsearch.types import Floats

__all__ = ["Encoder", "EncoderEmbedder", "OnnxEmbedder"]

BATCH_TOKENS = 512
"""Tokens of one run of the model, padding counted: what it works on then stays in the processor's cache."""
BATCH_WINDOWS = 64


class Encoder:
    """A model with its tokenizer's special tokens. Threads may share it.

    Args:
        model: the model.
        frame: put around every window.
        window: tokens that the model takes at once, special ones counted.
        tokenizer_path: for messages.
        projection: float32 ``(n_in, dim)`` that vectors are multiplied with, unless the model did so itself.

    Raises:
        LoadError: the model cannot take the tokenizer's ids, or ``window`` tokens; or it is broken.
    """

    def __init__(
        self, model: Model, frame: Frame, window: int, tokenizer_path: str, projection: Floats | None = None
    ) -> None:
        self._model = model
        self._projection = projection
        self._frame = frame
        self._n_special = len(frame.before) + len(frame.after)
        self._longest = window - self._n_special
        if self._longest < 8:
            raise LoadError(
                f"{model.path} takes {window} tokens at once, {self._n_special} of them special; 8 others are needed",
                path=model.path,
            )
        self.dim = self._probed(tokenizer_path)

    def _probed(self, tokenizer_path: str) -> int:
        """Run the tokenizer's largest id through the model; return the length of a vector."""
        ids = np.array([[*self._frame.before, self._frame.largest, *self._frame.after]], np.int64)
        try:
            vectors = self._model.run(ids, np.ones_like(ids))
        except LoadError as error:
            raise LoadError(
                f"{tokenizer_path} has ids up to {self._frame.largest:,}, and the model cannot take that one: "
                f"{error.message}; give the tokenizer that belongs to the model",
                path=tokenizer_path,
            ) from error
        self._check_finite(vectors)
        found = int(vectors.shape[2])
        if self._projection is not None and found not in self._projection.shape:
            raise LoadError(
                f"{self._model.path} gives vectors of {found} numbers, and the matrix in 1_Dense takes "
                f"{self._projection.shape[0]}; the two do not belong together",
                path=self._model.path,
            )
        if self._projection is not None and found != self._projection.shape[0]:
            self._projection = None  # exported with it
        return found if self._projection is None else self._projection.shape[1]

    @property
    def n_special(self) -> int:
        """How many special tokens are put around a window."""
        return self._n_special

    def vectors(self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]) -> Floats:
        """Return the vectors of texts, special tokens left out.

        Args:
            ids: int32 ``(n_tokens,)`` of all texts in a row.
            offsets: int64 ``(n_texts + 1,)``.

        Returns:
            float32 ``(n_tokens, dim)``.

        Raises:
            LoadError: the model fails, or gives NaN.
        """
        windows = cut(offsets, self._longest, self._longest // 8)
        found = np.empty((len(ids), self.dim), np.float32)
        most_windows = BATCH_WINDOWS if self._model.together else 1
        runs = batches(windows.lengths + self._n_special, BATCH_TOKENS, most_windows)
        n_threads = min(len(runs), _n_processors())
        if n_threads <= 1:
            for numbers in runs:
                self._fill(found, ids, windows, numbers)
        else:
            with ThreadPoolExecutor(n_threads) as pool:
                for _ in pool.map(lambda numbers: self._fill(found, ids, windows, numbers), runs):
                    pass
        return found

    def _fill(
        self, found: Floats, ids: npt.NDArray[np.int32], windows: Windows, numbers: npt.NDArray[np.int64]
    ) -> None:
        """Run one batch, and write the vectors of the tokens that its windows keep."""
        starts, lengths, kept_from, kept_to = (row[numbers] for row in windows)
        before, after = self._frame.before, self._frame.after
        column = np.arange(int(lengths.max()) + self._n_special)
        place = column[None, :] - len(before)  # of each column within its window
        is_token = (place >= 0) & (place < lengths[:, None])
        flat = starts[:, None] + place
        batch = np.zeros(is_token.shape, np.int64)
        batch[is_token] = ids[flat[is_token]]
        batch[:, : len(before)] = before
        for nth, special in enumerate(after):
            batch[np.arange(len(numbers)), len(before) + lengths + nth] = special
        mask = (place < lengths[:, None] + len(after)).astype(np.int64)
        vectors = self._model.run(batch, mask)
        is_kept = is_token & (flat >= kept_from[:, None]) & (flat < kept_to[:, None])
        kept = vectors[is_kept]
        self._check_finite(kept)
        found[flat[is_kept]] = kept if self._projection is None else kept @ self._projection

    def expanded(self, ids: Sequence[int], n_masks: int, mask: int, *, is_attended: bool) -> Floats | None:
        """Return the vectors of a short text, and of masks behind its last special token, which say what may be meant.

        Args:
            ids: of the text, n of them.
            n_masks: how many.
            mask: id of the mask.
            is_attended: whether other tokens look at the masks.

        Returns:
            float32 ``(n + n_masks, dim)``; None where all of it is longer than the model takes.

        Raises:
            LoadError: as ``vectors``.
        """
        before, after = self._frame.before, self._frame.after
        row = [*before, *ids, *after, *[mask] * n_masks]
        if len(row) > self._longest + self._n_special:
            return None
        shown = np.ones((1, len(row)), np.int64)
        if n_masks and not is_attended:
            shown[0, -n_masks:] = 0
        vectors = self._model.run(np.array([row], np.int64), shown)[0]
        first = len(before)
        kept = np.concatenate([vectors[first : first + len(ids)], vectors[len(row) - n_masks :]])
        self._check_finite(kept)
        return kept if self._projection is None else kept @ self._projection

    def _check_finite(self, vectors: Floats) -> None:
        if not np.isfinite(vectors).all():
            raise LoadError(
                f"{self._model.path} gave a vector with NaN or infinity in it; the file is damaged, or was quantised "
                "in a way that does not work here: export or fetch it again",
                path=self._model.path,
            )


class EncoderEmbedder:
    """What embedders share that run one encoder over the ids of its own tokenizer.

    Args:
        encoder: the model.
        tokenizer: the model's own.
        config: constructor arguments, defaults filled in.
        files: all files read.
    """

    def __init__(
        self, encoder: Encoder, tokenizer: Tokenizer, config: Mapping[str, Any], files: Mapping[str, str]
    ) -> None:
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._config = dict(config)
        self._files = dict(files)

    @property
    def config(self) -> Mapping[str, Any]:
        """Constructor arguments, defaults filled in; a path is absolute."""
        return dict(self._config)

    @property
    def files(self) -> Mapping[str, str]:
        """All files read: the model, the tokenizer as ``tokenizer``, and those of settings."""
        return dict(self._files)

    @property
    def dim(self) -> int:
        """Length of the model's vectors."""
        return self._encoder.dim

    def tokenizer(self) -> Tokenizer:
        """Return the model's own, as ``subword`` reads it, letter case left to its file."""
        return self._tokenizer

    def embed(self, texts: Sequence[str], tokens: Tokens) -> Floats:  # noqa: ARG002 (the ids say all)
        """Return float32 ``(n_tokens, dim)``, as the model gives them.

        Raises:
            LoadError: the model fails, or gives NaN.
        """
        return embedded(self._encoder, tokens)


class OnnxEmbedder(EncoderEmbedder):
    """Gives every token the vector that an encoder gives it in its text.

    Special tokens of the model's own ([CLS], [SEP]) are put around a text and left out of the result. A text longer
    than the model takes is read in windows that overlap by a quarter: each token has an eighth of a window as context
    on either side at least.

    A folder with settings of late interaction (see ``late``) is treated as they say: markers tell queries from
    passages, vectors are projected and have length 1, queries are filled up with masks, and what is on the skip list
    counts nothing in passages: its vector is zero, alike to nothing by 0, where ColBERT leaves it out. [CLS], [SEP] and
    the markers themselves are left out here as well.

    Args:
        path: a folder with the model, ``tokenizer.json``, and the settings that came with them.
        file: name of the model's file in it.
        output: name of the output with a vector a token; empty for the usual one.
        window: most tokens that the model takes at once, special ones counted; 0 for what the settings say, 512 at
            most.

    Raises:
        PluginError: onnxruntime is not installed.
        LoadError: a file is missing or is not what it should be; names it.
        ValueError: an argument makes no sense.
    """

    name: ClassVar[str] = "onnx"
    version: ClassVar[str] = "1"

    def __init__(self, *, path: str, file: str = "model.onnx", output: str = "", window: int = 0) -> None:
        for key, value in (("path", path), ("file", file), ("output", output)):
            if not isinstance(value, str):
                raise TypeError(f"{key} must be text, not {value!r}")
        if isinstance(window, bool) or not isinstance(window, int) or window < 0:
            raise ValueError(f"window is {window!r}; it must be a number of tokens, or 0 for what the settings say")
        config = {"path": folder_of(path), "file": file, "output": output, "window": window}
        files = find_files(folder_of(path), file)
        place = files["tokenizer"]
        raw = load_tokenizer(place)
        frame, length = read_frame(place, raw), window or read_window(files)
        model, projection = Model(files["path"], output), read_projection(files)
        self._late = read_late(files, raw)
        if self._late is None:
            encoder = self._of_queries = Encoder(model, frame, length, place, projection)
        else:
            encoder = Encoder(model, marked(frame, self._late.passage), length, place, projection)
            self._of_queries = Encoder(model, marked(frame, self._late.query), length, place, projection)
        super().__init__(encoder, subword_tokenizer(place), config, files)

    @staticmethod
    def takes(path: str) -> bool:
        """Tell whether a path is that of a folder with an ONNX model which gives a vector a token."""
        return has_model(path)

    def embed(self, texts: Sequence[str], tokens: Tokens) -> Floats:
        """Return float32 ``(n_tokens, dim)``, as the model gives them.

        Raises:
            LoadError: the model fails, or gives NaN.
        """
        vectors = super().embed(texts, tokens)
        if self._late is None or tokens.ids is None:
            return vectors
        vectors = _normalised(vectors)
        vectors[np.isin(tokens.ids, self._late.skipped)] = 0
        return vectors

    @property
    def encoder(self) -> str:
        """``relative``, which lifts what MiniLM ranks; none for a ColBERT-like model, whose vectors are compared so."""
        return "relative" if self._late is None else "none"

    @property
    def uses_idf(self) -> bool:
        """Whether rare tokens of a query weigh more: not with a ColBERT-like model, which was trained without."""
        return self._late is None

    def embed_query(self, text: str) -> tuple[Tokens, Floats]:
        """Return the tokens of a query and their vectors, float32 ``(n_tokens, dim)``.

        Of a ColBERT-like model, masks may follow the tokens of the text; each stands at its end, and for no character.

        Raises:
            LoadError: the model fails, or gives NaN.
        """
        tokens = self._tokenizer.tokenize([text])
        if self._late is None or not tokens.n_tokens:
            return tokens, embedded(self._of_queries, tokens)
        return _expanded(self._of_queries, self._late, text, tokens)


def _expanded(encoder: Encoder, late: Late, text: str, tokens: Tokens) -> tuple[Tokens, Floats]:
    assert tokens.ids is not None
    n_masks = max(0, late.query_length - tokens.n_tokens - encoder.n_special)
    found = encoder.expanded(tokens.ids.tolist(), n_masks, late.mask, is_attended=late.is_attended)
    if found is None:
        return tokens, _normalised(embedded(encoder, tokens))
    ids = np.concatenate([tokens.ids, np.full(n_masks, late.mask, np.int32)])
    spans = np.concatenate([tokens.spans, np.full((n_masks, 2), len(text), np.int32)])
    return Tokens(np.array([0, len(ids)], np.int64), spans, ids=ids), _normalised(found)


def _normalised(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Floats = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-12)
    return units


def embedded(encoder: Encoder, tokens: Tokens) -> Floats:
    """Return the vectors of tokens that a model's own tokenizer gave."""
    if tokens.ids is None:
        raise ValueError("these tokens have no ids; take the embedder's own tokenizer()")
    return encoder.vectors(tokens.ids, tokens.offsets)


def subword_tokenizer(path: str) -> Tokenizer:
    """Return the tokenizer of a ``tokenizer.json``: the installed one called ``subword``."""
    tokenizer: Tokenizer = Registry().create("tokenizer", "subword", {"path": path, "fold_case": False})
    return tokenizer


def _n_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
