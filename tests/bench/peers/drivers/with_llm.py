"""llm: its collections of embeddings in SQLite, with the mean of a text's WordLlama rows as the embedding.

The two files of the wordllama package are read as they are; its own loader asks a hub for them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

import llm
import sqlite_utils
from driving import Arrays, K, Search, run
from safetensors.numpy import load_file
from tokenizers import Tokenizer


class MeanOfRows(llm.EmbeddingModel):
    """One vector of 256 a text."""

    model_id = "wordllama-mean"

    def __init__(self) -> None:
        spec = importlib.util.find_spec("wordllama")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        (self._matrix,) = load_file(package / "weights" / "l2_supercat_256.safetensors").values()
        self._tokenizer = Tokenizer.from_file(str(package / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def embed_batch(self, items: Iterable[str | bytes]) -> Iterator[list[float]]:
        """Yield the mean of the rows of each text."""
        for item in items:
            ids = self._tokenizer.encode(str(item), add_special_tokens=False).ids
            yield self._matrix[ids].astype("float32").mean(axis=0).tolist()


def _collection(folder: Path) -> llm.Collection:
    return llm.Collection("passages", sqlite_utils.Database(folder / "embeddings.db"), model=MeanOfRows())


def build(arrays: Arrays, folder: Path) -> None:
    """Embed and store all texts."""
    _collection(folder).embed_multi((str(number), text) for number, text in enumerate(arrays.texts))


def prepare(arrays: Arrays, folder: Path) -> Search:
    """Open the collection."""
    collection, texts = _collection(folder), arrays.query_texts

    def search(number: int) -> list[int]:
        return [int(entry.id) for entry in collection.similar(texts[number], number=K)]

    return search


if __name__ == "__main__":
    run(build, prepare, is_maxsim=False)
