"""bm25s: keywords, Lucene's variant, k1 = 1.5, b = .75, English stop words, Snowball stemmer."""

from __future__ import annotations

from pathlib import Path

import bm25s
import Stemmer
from driving import Arrays, K, Search, run

HOW = {"stopwords": "en", "show_progress": False}


def build(arrays: Arrays, folder: Path) -> None:
    """Tokenize, index and save."""
    index = bm25s.BM25(k1=1.5, b=0.75)
    index.index(bm25s.tokenize(arrays.texts, stemmer=Stemmer.Stemmer("english"), **HOW), show_progress=False)
    index.save(str(folder / "index"))


def prepare(arrays: Arrays, folder: Path) -> Search:
    """Load the index; a query is tokenized when it is asked."""
    index = bm25s.BM25.load(str(folder / "index"))
    texts, stemmer = arrays.query_texts, Stemmer.Stemmer("english")

    def search(number: int) -> list[int]:
        tokens = bm25s.tokenize([texts[number]], stemmer=stemmer, return_ids=False, **HOW)
        numbers, _ = index.retrieve(tokens, k=K, show_progress=False)
        return numbers[0].tolist()

    return search


if __name__ == "__main__":
    run(build, prepare, is_maxsim=False)
