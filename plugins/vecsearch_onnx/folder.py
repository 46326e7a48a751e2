"""What stands beside a model: its tokenizer's special tokens, and how long a text it takes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vecsearch import LoadError

if TYPE_CHECKING:
    import tokenizers

__all__ = [
    "LONGEST",
    "Frame",
    "find_files",
    "folder_of",
    "has_model",
    "load_tokenizer",
    "read_frame",
    "read_settings",
    "read_window",
]

LONGEST = 512
"""Tokens of a window unless the user says more: what attention needs grows with the square."""

_MAX_BYTES = 16_000_000
_SETTINGS = {
    "config": "config.json",
    "tokenizer_config": "tokenizer_config.json",
    "sentence_config": "sentence_bert_config.json",
    "sentence_transformers": "config_sentence_transformers.json",
    "colbert": "artifact.metadata",
    "onnx_config": "onnx_config.json",
    "dense_config": "1_Dense/config.json",
    "dense": "1_Dense/model.safetensors",
}


class Frame(NamedTuple):
    """What a model was trained to see around a text.

    Attributes:
        before, after: ids of the special tokens at either end, such as [CLS] and [SEP].
        largest: the largest id that the tokenizer has.
    """

    before: list[int]
    after: list[int]
    largest: int


def find_files(path: str, file: str) -> dict[str, str]:
    """Return the files of a model's folder: ``path`` (the model), ``tokenizer``, and what it has of settings.

    Args:
        path: the folder.
        file: name of the model's file in it; ``onnx/`` below it is looked into as well, where hubs keep them.

    Raises:
        LoadError: there is no such folder, or it lacks the model or the tokenizer; says what it has.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise LoadError(f"{path} is not a folder; give one that holds {file} and tokenizer.json", path=path)
    model = next((place for place in (folder / file, folder / "onnx" / file) if place.is_file()), None)
    if model is None:
        others = sorted(place.relative_to(folder).as_posix() for place in folder.glob("**/*.onnx"))[:5]
        hint = f"it has {', '.join(others)}: name one with file=" if others else "export the model to ONNX"
        raise LoadError(f"{folder / file} is missing; {hint}", path=str(folder / file))
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise LoadError(
            f"{tokenizer} is missing; save the model's fast tokenizer there, as the tokenizers library writes it",
            path=str(tokenizer),
        )
    files = {"path": str(model), "tokenizer": str(tokenizer)}
    files |= {key: str(folder / name) for key, name in _SETTINGS.items() if (folder / name).is_file()}
    # weights too large for one file stand beside it
    weights = [place for ending in ("_data", ".data") if (place := model.with_name(model.name + ending)).is_file()]
    return files | {f"weights{number or ''}": str(place) for number, place in enumerate(weights)}


def has_model(path: str) -> bool:
    """Tell whether a folder holds an ONNX model that gives a vector a token, by its files alone.

    Static models are exported to ONNX as well (potion is), with one vector a text; their settings say what they are.
    """
    folder = Path(path)
    if not any(place.is_dir() and any(place.glob("*.onnx")) for place in (folder, folder / "onnx")):
        return False
    try:
        return read_settings(str(folder / "config.json")).get("model_type") != "model2vec"
    except LoadError:
        return True


def read_window(files: dict[str, str]) -> int:
    """Return how many tokens the model takes at once, special ones counted: the least of what its settings say.

    Raises:
        LoadError: a file of settings is not a JSON object.
    """
    used = ("config", "tokenizer_config", "sentence_config")
    settings = {key: read_settings(files[key]) for key in used if key in files}
    config = settings.get("config", {})
    positions = config.get("max_position_embeddings")
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet") and type(positions) is int:
        positions -= 2  # these count positions from 2
    said = [
        positions,
        settings.get("tokenizer_config", {}).get("model_max_length"),
        settings.get("sentence_config", {}).get("max_seq_length"),
    ]
    return min([LONGEST, *(number for number in said if type(number) is int and number > 0)])


def read_settings(path: str) -> dict[str, Any]:
    """Return the JSON object that a small file holds.

    Raises:
        LoadError: it holds anything else.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}", path=path) from error
    try:
        if len(content) > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{path} is not JSON: {error}; fetch the model's settings again", path=path) from error
    if not isinstance(found, dict):
        raise LoadError(f"{path} is not a JSON object; fetch the model's settings again", path=path)
    return found


def load_tokenizer(path: str) -> tokenizers.Tokenizer:
    """Return the tokenizer of a ``tokenizer.json``, without its padding and truncation.

    Raises:
        LoadError: the file cannot be used.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
        # a frame would hold nothing but padding
        tokenizer.no_padding()
        tokenizer.no_truncation()
    except BaseException as error:
        # subtle: the library's PanicException is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise LoadError(f"{path} is not a tokenizer that can be used: {error}; fetch it again", path=path) from error
    return tokenizer


def read_frame(path: str, tokenizer: tokenizers.Tokenizer) -> Frame:
    """Return what a tokenizer puts around a text, and its largest id.

    Raises:
        LoadError: it has no token for a text.
    """
    framed = tokenizer.encode("a", add_special_tokens=True)
    is_text = [not special for special in framed.special_tokens_mask]
    if not any(is_text):
        raise LoadError(f"{path} has no token for the text 'a'; give the tokenizer of the model", path=path)
    first, last = is_text.index(True), len(is_text) - is_text[::-1].index(True)
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    return Frame(framed.ids[:first], framed.ids[last:], largest)


def folder_of(path: str) -> str:
    """Return a folder's absolute path, so that an index finds it from wherever it is opened."""
    return os.path.abspath(os.path.expanduser(path))
