"""One ONNX file, opened with onnxruntime: token ids in, one vector a token out.

onnxruntime is imported when a model is opened, and its errors never leave this module as they are.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vecsearch import LoadError, PluginError

if TYPE_CHECKING:
    from vecsearch.types import Floats

__all__ = ["EXTRA", "Model"]

EXTRA = "pip install 'vecsearch[onnx]'"

_OUTPUTS = ("last_hidden_state", "token_embeddings", "contextual", "embeddings", "output")
"""Names that exporters give to one vector a token, the usual one first."""
_KNOWN = ("input_ids", "attention_mask", "token_type_ids")
_INTEGERS: dict[str, type[np.signedinteger[Any]]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}

Ints = npt.NDArray[np.int64]


class Model:
    """An encoder that gives one vector a token.

    Args:
        path: of the ONNX file.
        output: name of the output to take; empty for the only one with a vector a token, or the one that is called as
            exporters usually do.

    Attributes:
        path: of the file.
        together: whether texts may share a batch. False where numbers are quantised while the model runs: by the
            range of the whole batch, so that a text's vectors would depend on its neighbours.

    Raises:
        PluginError: onnxruntime is not installed.
        LoadError: the file is missing, is no model, or has other inputs or outputs; names it and what it has.
    """

    def __init__(self, path: str, output: str = "") -> None:
        runtime = _runtime()
        self.path = path
        if not os.path.isfile(path):
            raise LoadError(f"{path} is missing; give the folder of a model exported to ONNX", path=path)
        options = runtime.SessionOptions()
        # one thread a batch, several batches at once: no thread waits for another inside a batch
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session: Any = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self.together = not _holds(path, b"DynamicQuantize")
        except OSError as error:
            raise LoadError(f"{path} cannot be read: {error.strerror or error}", path=path) from error
        except Exception as error:  # onnxruntime has a dozen classes of its own, straight below Exception
            raise LoadError(
                f"{path} is not a model that onnxruntime can run: {_first_line(error)}; export or fetch it again",
                path=path,
            ) from error
        self._inputs = self._checked_inputs()
        self._output = self._chosen_output(output)

    def run(self, ids: Ints, mask: Ints) -> Floats:
        """Return the vectors of a batch.

        Args:
            ids: int64 ``(n_texts, n_tokens)``.
            mask: int64 like it, 1 for a token, 0 for padding.

        Returns:
            float32 ``(n_texts, n_tokens, dim)``.

        Raises:
            LoadError: the model fails, or returns another shape.
        """
        arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": None}
        feed = {}
        for name, dtype in self._inputs.items():
            array = arrays[name]
            feed[name] = np.zeros(ids.shape, dtype) if array is None else array.astype(dtype, copy=False)
        try:
            (found,) = self._session.run([self._output], feed)
        except Exception as error:  # as above
            raise LoadError(
                f"{self.path} fails on {ids.shape[0]} texts of {ids.shape[1]} tokens, ids {int(ids.min())} to "
                f"{int(ids.max())}: {_first_line(error)}",
                path=self.path,
            ) from error
        if found.ndim != 3 or found.shape[:2] != ids.shape or found.dtype.kind != "f":
            raise LoadError(
                f"output {self._output!r} of {self.path} is {found.dtype} {found.shape} for ids {ids.shape}; "
                "one vector a token is expected: name another output with output=",
                path=self.path,
            )
        vectors: Floats = found.astype(np.float32, copy=False)
        return vectors

    def _checked_inputs(self) -> dict[str, type[np.signedinteger[Any]]]:
        found = {one.name: one.type for one in self._session.get_inputs()}
        if "input_ids" not in found or not set(found) <= set(_KNOWN) or not set(found.values()) <= set(_INTEGERS):
            said = ", ".join(f"{name} of {type_}" for name, type_ in found.items()) or "none"
            raise LoadError(
                f"{self.path} has the inputs {said}; expected are whole numbers called {', '.join(_KNOWN)}, "
                "of which the last two may be absent: export the encoder for feature extraction",
                path=self.path,
            )
        return {name: _INTEGERS[type_] for name, type_ in found.items()}

    def _chosen_output(self, wanted: str) -> str:
        found = {one.name: one.shape for one in self._session.get_outputs()}
        fitting = [name for name, shape in found.items() if shape is None or len(shape) in (0, 3)]
        usual = [name for name in _OUTPUTS if name in fitting]
        if wanted in found:
            return wanted
        if not wanted and (usual or len(fitting) == 1):
            return (usual or fitting)[0]
        said = ", ".join(f"{name} {shape}" for name, shape in found.items())
        hint = "name it with output=" if fitting else "export the encoder for feature extraction, without pooling"
        raise LoadError(
            f"{self.path} has the outputs {said}; "
            + (f"none is called {wanted!r}" if wanted else "one with a vector a token is expected")
            + f": {hint}",
            path=self.path,
        )


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise PluginError(
            f"models in ONNX files need onnxruntime, which is not installed; get it with {EXTRA}"
        ) from error
    return onnxruntime


def _holds(path: str, name: bytes) -> bool:
    """Tell whether a name stands in a file, such as that of an operator of the graph."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(name) >= 0


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
