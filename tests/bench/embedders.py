"""Measure how many vocabulary entries a second get their rows.

    python tests/bench/embedders.py [FILE ...]

The entries are the case-folded words of the files (of any text), each once, or of Python's own language reference.
The first call is measured alone: the tokenizer remembers words that it has cut. Further calls are the best of five.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vecsearch import StaticEmbedder
from vecsearch_wordllama.matrix import MatrixEmbedder
from vecsearch_wordllama.wordllama import WordLlamaEmbedder


def main(paths: list[str]) -> None:
    """Print one line an embedder and kind of file."""
    words = sorted({word for text in texts(paths) for word in re.findall(r"\w+", text.casefold())})
    started = time.perf_counter()
    wordllama = WordLlamaEmbedder()
    constructed = time.perf_counter()
    wordllama.rows(["dog"], np.array([True]))
    print(f"wordllama: construct {1e3 * (constructed - started):.1f} ms, ", end="")
    print(f"first row {1e3 * (time.perf_counter() - constructed):.0f} ms")

    first = time.perf_counter()
    rows = wordllama.rows(words, np.ones(len(words), dtype=bool))
    first = time.perf_counter() - first
    vocabulary = wordllama.vocabulary()
    own = {entry for entry, starts in zip(vocabulary.entries, vocabulary.starts_word.tolist(), strict=True) if starts}
    print(f"words: {len(words):,}, {np.mean([word not in own for word in words]):.1%} of more than one piece")
    print(f"wordllama, first call: {len(words) / first:,.0f} entries/s; ", end="")
    print(f"further calls: {speed(wordllama, words):,.0f} entries/s")

    with tempfile.TemporaryDirectory() as folder:
        array, names, text = Path(folder, "m.npy"), Path(folder, "v.txt"), Path(folder, "t.txt")
        np.save(array, rows)
        names.write_text("\n".join(words), encoding="utf-8")
        lines = (
            f"{word} {' '.join(f'{x:.5f}' for x in row)}\n" for word, row in zip(words, rows.tolist(), strict=True)
        )
        with text.open("w", encoding="utf-8") as file:
            file.writelines(lines)
        for embedder in (
            MatrixEmbedder(path=str(array), vocabulary=str(names)),
            MatrixEmbedder(path=str(text)),
        ):
            started = time.perf_counter()
            embedder.vocabulary()
            loaded = time.perf_counter() - started
            print(
                f"matrix, {Path(embedder.files['path']).suffix}: load {rows.size / loaded / 1e6:,.1f} M values/s; ",
                end="",
            )
            print(f"{speed(embedder, words):,.0f} entries/s")


def texts(paths: list[str]) -> list[str]:
    """Return the text of each file, or Python's language reference."""
    if paths:
        return [Path(path).read_text(encoding="utf-8") for path in paths]
    from pydoc_data.topics import topics

    return list(topics.values())


def speed(embedder: StaticEmbedder, words: list[str]) -> float:
    """Return entries a second, the best of five calls."""
    starts = np.ones(len(words), dtype=bool)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        embedder.rows(words, starts)
        seconds.append(time.perf_counter() - started)
    return len(words) / min(seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
