"""What a ColBERT-like model's folder says of queries and passages (Khattab & Zaharia 2020).

Three kinds of settings are read: ``artifact.metadata`` (ColBERT), ``config_sentence_transformers.json`` (PyLate) and
``onnx_config.json`` (exports of PyLate). A folder without them, or whose settings name no markers, is none of these.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vecsearch import LoadError
from vecsearch_onnx.folder import Frame, read_settings

if TYPE_CHECKING:
    import tokenizers

    from vecsearch.types import Floats, Ids

__all__ = ["Late", "marked", "read_late", "read_projection"]


class Late(NamedTuple):
    """How queries and passages are told apart.

    Attributes:
        query, passage: ids of the markers behind the first special token.
        query_length: tokens that a query is filled up to with masks, special ones counted; 0 for no such expansion.
        is_attended: whether tokens look at those masks.
        mask: id of the mask.
        skipped: ids whose vectors do not count in passages, int32, sorted.
    """

    query: int
    passage: int
    query_length: int
    is_attended: bool
    mask: int
    skipped: Ids


def read_late(files: Mapping[str, str], tokenizer: tokenizers.Tokenizer) -> Late | None:
    """Return a folder's settings of late interaction, or None where it has none.

    Raises:
        LoadError: a setting is not what it should be, or names a token that the tokenizer does not have.
    """
    for key in ("colbert", "onnx_config", "sentence_transformers"):
        if key in files:
            path = files[key]
            settings = read_settings(path)
            if key == "colbert" and "query_token_id" in settings:
                return _of_colbert(path, settings, tokenizer)
            if key != "colbert" and isinstance(settings.get("query_prefix"), str):
                return _of_pylate(path, settings, tokenizer)
    return None


def _of_colbert(path: str, settings: dict[str, Any], tokenizer: tokenizers.Tokenizer) -> Late:
    skipped = list(string.punctuation) if settings.get("mask_punctuation", True) else []
    return Late(
        _id_of(path, tokenizer, settings["query_token_id"]),
        _id_of(path, tokenizer, settings.get("doc_token_id")),
        _length(path, settings.get("query_maxlen", 32)),
        bool(settings.get("attend_to_mask_tokens", False)),
        _id_of(path, tokenizer, "[MASK]"),
        _first_ids(tokenizer, skipped),
    )


def _of_pylate(path: str, settings: dict[str, Any], tokenizer: tokenizers.Tokenizer) -> Late:
    skipped = settings.get("skiplist_words", [])
    if not isinstance(skipped, list) or not all(isinstance(word, str) for word in skipped):
        raise LoadError(f"skiplist_words in {path} is {skipped!r:.80}; a list of words is expected", path=path)
    is_expanded = bool(settings.get("do_query_expansion", True))
    mask = settings.get("mask_token_id")
    return Late(
        _id_of(path, tokenizer, settings["query_prefix"]),
        _id_of(path, tokenizer, settings.get("document_prefix")),
        _length(path, settings.get("query_length", 32)) if is_expanded else 0,
        bool(settings.get("attend_to_expansion_tokens", False)),
        mask if type(mask) is int else _id_of(path, tokenizer, "[MASK]"),
        _first_ids(tokenizer, skipped),
    )


def _id_of(path: str, tokenizer: tokenizers.Tokenizer, name: object) -> int:
    found = tokenizer.token_to_id(name) if isinstance(name, str) else None
    if found is None and isinstance(name, str):
        found = tokenizer.token_to_id(name.strip())
    if found is None:
        raise LoadError(f"{path} names the token {name!r}, which tokenizer.json does not have", path=path)
    return int(found)


def _length(path: str, length: object) -> int:
    if type(length) is not int or not 0 < length <= 4096:
        raise LoadError(f"{path} gives queries {length!r:.40} tokens; 1 to 4096 are expected", path=path)
    return length


def _first_ids(tokenizer: tokenizers.Tokenizer, words: list[str]) -> Ids:
    ids = [tokenizer.encode(word, add_special_tokens=False).ids[:1] for word in words]
    return np.unique(np.array([one for some in ids for one in some], np.int32))


def marked(frame: Frame, marker: int) -> Frame:
    """Return a frame with a marker behind its first special token."""
    return frame._replace(before=[*frame.before[:1], marker, *frame.before[1:]])


def read_projection(files: Mapping[str, str]) -> Floats | None:
    """Return the matrix that a folder's ``1_Dense`` multiplies vectors with: float32 ``(n_in, n_out)``, or None.

    Raises:
        LoadError: it is no plain linear map.
    """
    if "dense" not in files:
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = files["dense"]
    settings = read_settings(files["dense_config"]) if "dense_config" in files else {}
    activation = str(settings.get("activation_function", "Identity"))
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise LoadError(f"{path} is not a whole safetensors file: {error}; fetch it again", path=path) from error
    matrix = tensors.get("linear.weight")
    if matrix is None or matrix.ndim != 2 or len(tensors) != 1 or not activation.endswith("Identity"):
        raise LoadError(
            f"{path} has {', '.join(sorted(tensors)) or 'no tensors'} with activation {activation}; a plain "
            "linear.weight is expected",
            path=path,
        )
    projection: Floats = np.ascontiguousarray(matrix.T.astype(np.float32))
    return projection
