"""Tiny encoders as folders: a real ONNX graph with random weights, a tokenizer.json, and NumPy that says what it gives.

``attention`` looks at all of a text and knows places; ``local`` looks three tokens to either side and knows none;
``quantised`` rounds to eight bits by the range of its whole batch, as dynamic quantisation does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("onnxruntime", reason="the extra vecsearch[onnx] is not installed")
onnx = pytest.importorskip("onnx", reason="the package onnx, of the extra dev, makes the models of these tests")

Kind = Literal["attention", "local", "quantised"]

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*_SPECIAL, "the", "dog", "bit", "man", "a", "ran", "big", "##s", "##ing", ".", ","]
REACH = 3
"""Tokens to either side that ``local`` looks at."""


class Weights:
    """Random weights of a tiny encoder."""

    def __init__(self, n_rows: int = len(WORDS), dim: int = 8, n_places: int = 600) -> None:
        rng = np.random.default_rng(11)
        self.rows = rng.standard_normal((n_rows, dim)).astype(np.float32)
        self.places = rng.standard_normal((n_places, dim)).astype(np.float32) / 2
        self.kernel = rng.standard_normal((dim, 1, 2 * REACH + 1)).astype(np.float32)

    def expected(self, kind: Kind, ids: list[int]) -> npt.NDArray[np.float64]:
        """Return what the encoder gives for one text, special tokens among it: ``(n, dim)``."""
        x = self.rows[ids].astype(np.float64)
        if kind == "local":
            padded = np.pad(x, ((REACH, REACH), (0, 0)))
            return sum(padded[shift : shift + len(x)] * self.kernel[:, 0, shift] for shift in range(2 * REACH + 1))
        x = x + self.places[: len(x)]
        scores = x @ x.T / np.sqrt(x.shape[1])
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        return x + shares / shares.sum(axis=1, keepdims=True) @ x


def graph(kind: Kind, weights: Weights, *, inputs: tuple[str, ...], output: str, pooled: bool = False) -> Any:
    """Return the ONNX model."""
    helper, numpy_helper, types = onnx.helper, onnx.numpy_helper, onnx.TensorProto
    made: list[Any] = []

    def node(operator: str, *operands: str, **attributes: Any) -> str:
        name = f"v{len(made)}"
        made.append(helper.make_node(operator, list(operands), [name], **attributes))
        return name

    constants = {
        "rows": weights.rows,
        "places": weights.places,
        "kernel": weights.kernel,
        "one": np.float32(1),
        "far": np.float32(1e9),
        "scale": np.float32(1 / np.sqrt(weights.rows.shape[1])),
        "last": np.array([-1], np.int64),
        "middle": np.array([1], np.int64),
        "zero": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "third": np.array([2], np.int64),
    }
    words = node("Gather", "rows", inputs[0])
    mask = node("Cast", inputs[1], to=types.FLOAT)
    words = node("Mul", words, node("Unsqueeze", mask, "last"))
    if kind == "local":
        turned = node("Conv", node("Transpose", words, perm=[0, 2, 1]), "kernel", pads=[REACH, REACH], group=8)
        found = node("Transpose", turned, perm=[0, 2, 1])
    else:
        length = node("Slice", node("Shape", inputs[0]), "second", "third")
        x = node("Add", words, node("Slice", "places", "zero", length, "zero"))
        if kind == "quantised":
            made.append(helper.make_node("DynamicQuantizeLinear", [x], ["small", "step", "origin"]))
            x = node("DequantizeLinear", "small", "step", "origin")
        scores = node("Mul", node("MatMul", x, node("Transpose", x, perm=[0, 2, 1])), "scale")
        hidden = node("Mul", node("Sub", mask, "one"), "far")
        shares = node("Softmax", node("Add", scores, node("Unsqueeze", hidden, "middle")), axis=-1)
        found = node("Add", x, node("MatMul", shares, x))
    shape: list[int | str] = ["batch", "sequence", weights.rows.shape[1]]
    if pooled:
        found = node("ReduceMean", found, "middle", keepdims=0)
        shape = ["batch", weights.rows.shape[1]]
    made.append(helper.make_node("Identity", [found], [output]))
    body = helper.make_graph(
        made,
        "tiny",
        [helper.make_tensor_value_info(name, types.INT64, ["batch", "sequence"]) for name in inputs],
        [helper.make_tensor_value_info(output, types.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def save_tokenizer(path: Path, words: list[str] = WORDS) -> None:
    """Write a WordPiece tokenizer with [CLS] and [SEP], and with the padding and truncation that must be ignored."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece({word: id_ for id_, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))]
    )
    tokenizer.add_special_tokens(_SPECIAL)
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(path))


def save_folder(
    folder: Path,
    kind: Kind = "attention",
    *,
    weights: Weights | None = None,
    inputs: tuple[str, ...] = ("input_ids", "attention_mask", "token_type_ids"),
    output: str = "last_hidden_state",
    pooled: bool = False,
    words: list[str] = WORDS,
) -> Path:
    """Write a folder with ``model.onnx`` and ``tokenizer.json``; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    model = graph(kind, weights or Weights(), inputs=inputs, output=output, pooled=pooled)
    onnx.save(model, str(folder / "model.onnx"))
    save_tokenizer(folder / "tokenizer.json", words)
    return folder
