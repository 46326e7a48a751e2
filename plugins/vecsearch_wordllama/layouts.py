"""Finds out what kind of static model a folder holds, and which of its files are read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vecsearch import LoadError
from vecsearch_wordllama.tensors import refuse_special, tensor_names

__all__ = ["Layout", "find_layout", "is_static"]

_MATRIX, _TOKENIZER, _CONFIG = "model.safetensors", "tokenizer.json", "config.json"
_VOCABULARY = "vocabulary.txt"
_NESTED = "0_StaticEmbedding"  # where sentence-transformers keeps a module
_WORDS, _PIECES, _SENTENCE_TRANSFORMERS = "words", "embeddings", "embedding.weight"
_LARGEST_CONFIG = 1_000_000
_FORMAT = 1  # of folders that `vecsearch train` writes
_KINDS = (
    "expected are model.safetensors and tokenizer.json, as model2vec and sentence-transformers write them, "
    "or model.safetensors and vocabulary.txt, as `vecsearch train` does"
)


@dataclass(frozen=True)
class Layout:
    """The files of a model.

    Attributes:
        files: by what they are: ``path``, the matrix; ``tokenizer``, ``vocabulary`` and ``config`` where they are read.
        words: name of the tensor with a row a word, None where there is none.
        pieces: name of the tensor with a row a token, None where there is none.
        has_weights: whether tensors ``weights`` and ``mapping`` say more about the tokens, as model2vec's do.
        base: name and configuration of the embedder that serves unknown words, None where there is none.
    """

    files: Mapping[str, str]
    words: str | None
    pieces: str | None
    has_weights: bool
    base: tuple[str, Mapping[str, Any]] | None = None

    @property
    def matrix(self) -> str:
        """The safetensors file."""
        return self.files["path"]


def is_static(path: str) -> bool:
    """Tell whether a folder holds a static model, by the names of its files and tensors."""
    try:
        for folder in (path, os.path.join(path, _NESTED)):
            matrix = os.path.join(folder, _MATRIX)
            if os.path.isfile(matrix) and {_WORDS, _PIECES, _SENTENCE_TRANSFORMERS} & set(tensor_names(matrix)):
                return True
        # a folder with a list of words and no readable matrix is one that is broken, and should be told as such
        return os.path.isfile(os.path.join(path, _VOCABULARY))
    except LoadError:
        return not os.path.isdir(os.path.join(path, "onnx")) and not os.path.isfile(os.path.join(path, "model.onnx"))


def find_layout(path: str) -> Layout:
    """Return what a folder holds.

    Raises:
        LoadError: it holds no static model, a file is missing, or one is not the one that ``config.json`` tells of.
    """
    if not os.path.isdir(path):
        raise LoadError(f"{path} is not a folder; {_KINDS}", path=path)
    matrix = os.path.join(path, _MATRIX)
    folder = path
    if not os.path.isfile(matrix):
        folder = os.path.join(path, _NESTED)
        if not os.path.isfile(os.path.join(folder, _MATRIX)):
            raise LoadError(f"{matrix} is missing; {_KINDS}", path=matrix)
        matrix = os.path.join(folder, _MATRIX)
    names = tensor_names(matrix)
    words = _WORDS if _WORDS in names else None
    pieces = next((name for name in (_PIECES, _SENTENCE_TRANSFORMERS) if name in names), None)
    if words is None and pieces is None:
        raise LoadError(
            f"{matrix} has no tensor {_WORDS!r}, {_PIECES!r} or {_SENTENCE_TRANSFORMERS!r}, so it is no static model; "
            f"it has {', '.join(map(repr, names[:5])) or 'none'}",
            path=matrix,
        )
    files = {"path": matrix}
    if pieces:
        files["tokenizer"] = _there(folder, _TOKENIZER)
    if words:
        files["vocabulary"] = _there(folder, _VOCABULARY)
    config = os.path.join(path, _CONFIG)
    base = None
    if os.path.isfile(config):
        files["config"] = config
        settings = _read_config(config)
        if settings.get("model_type") == "vecsearch" and settings.get("format") != _FORMAT:
            raise LoadError(
                f"{config} is of format {settings.get('format')!r}, and this vecsearch reads format {_FORMAT}; "
                "use a newer vecsearch, or train the model again",
                path=config,
            )
        _check_hashes(config, settings, files)
        base = _base(config, settings) if words else None
    return Layout(files, words, pieces, has_weights=pieces == _PIECES, base=base)


def _there(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        raise LoadError(f"{path} is missing, and {_MATRIX} cannot be read without it; {_KINDS}", path=path)
    return path


def _base(config: str, settings: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    base = settings.get("base")
    if base is None:
        return None
    if isinstance(base, dict) and isinstance(base.get("name"), str) and isinstance(base.get("config"), dict):
        return base["name"], base["config"]
    raise LoadError(f"'base' of {config} is not an embedder with its configuration; train the model again", path=config)


def _check_hashes(config: str, settings: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Compare files with the hashes that ``vecsearch train`` noted; models of others have none."""
    noted = settings.get("sha256")
    if noted is None:
        return
    if not isinstance(noted, dict):
        raise LoadError(f"'sha256' of {config} is not a JSON object; train the model again", path=config)
    for key, path in files.items():
        if key == "config":
            continue
        refuse_special(path)
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        expected = noted.get(os.path.basename(path))
        if found != expected:
            raise LoadError(
                f"{path} is not the file that was written with the model: its SHA-256 is {found}, and {config} says "
                f"{expected}; train the model again, or copy its whole folder again",
                path=path,
            )


def _read_config(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST_CONFIG + 1)
        if len(content) > _LARGEST_CONFIG:
            raise ValueError(f"it has more than {_LARGEST_CONFIG:,} bytes")
        found = json.loads(content)
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{path} is not JSON: {error}; fetch the model again", path=path) from error
    if not isinstance(found, dict):
        raise LoadError(f"{path} is not a JSON object; fetch the model again", path=path)
    return found
