"""Token vectors of an encoder in a folder: ``model.onnx`` and ``tokenizer.json``, as hubs and exporters write them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from vecsearch import LoadError, Registry, Tokenizer, Tokens
from vecsearch_onnx.folder import Frame, find_files, folder_of, read_frame, read_window
from vecsearch_onnx.model import Model
from vecsearch_onnx.windows import Windows, batches, cut

if TYPE_CHECKING:
    from vecsearch.types import Floats

__all__ = ["Encoder", "OnnxEmbedder"]

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

    Raises:
        LoadError: the model cannot take the tokenizer's ids, or ``window`` tokens; or it is broken.
    """

    def __init__(self, model: Model, frame: Frame, window: int, tokenizer_path: str) -> None:
        self._model = model
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
        return int(vectors.shape[2])

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
        found[flat[is_kept]] = kept

    def _check_finite(self, vectors: Floats) -> None:
        if not np.isfinite(vectors).all():
            raise LoadError(
                f"{self._model.path} gave a vector with NaN or infinity in it; the file is damaged, or was quantised "
                "in a way that does not work here: export or fetch it again",
                path=self._model.path,
            )


class OnnxEmbedder:
    """Gives every token the vector that an encoder gives it in its text.

    Special tokens of the model's own ([CLS], [SEP]) are put around a text and left out of the result. A text longer
    than the model takes is read in windows that overlap by a quarter: each token has an eighth of a window as context
    on either side at least.

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
        self._config = {"path": folder_of(path), "file": file, "output": output, "window": window}
        self._files = find_files(folder_of(path), file)
        self._tokenizer = subword_tokenizer(self._files["tokenizer"])
        self._encoder = Encoder(
            Model(self._files["path"], output),
            read_frame(self._files["tokenizer"]),
            window or read_window(self._files),
            self._files["tokenizer"],
        )

    @property
    def config(self) -> Mapping[str, Any]:
        """``path`` (absolute), ``file``, ``output`` and ``window``."""
        return dict(self._config)

    @property
    def files(self) -> Mapping[str, str]:
        """All files read: the model as ``path``, ``tokenizer``, and those of settings."""
        return dict(self._files)

    @property
    def dim(self) -> int:
        """Length of the model's vectors."""
        return self._encoder.dim

    def tokenizer(self) -> Tokenizer:
        """Return the folder's own, as ``subword`` reads it, letter case left to the file."""
        return self._tokenizer

    def embed(self, texts: Sequence[str], tokens: Tokens) -> Floats:  # noqa: ARG002 (the ids say all)
        """Return float32 ``(n_tokens, dim)``, as the model gives them.

        Raises:
            LoadError: the model fails, or gives NaN.
        """
        return embedded(self._encoder, tokens)


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
