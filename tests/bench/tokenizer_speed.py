"""Print how many tokens a second each tokenizer makes of real text, on one core: python tests/bench/tokenizer_speed.py

The text is ../shared/data/til-notes (Markdown notes with code), or the texts of a JSONL file named on the command
line. Each tokenizer sees them once to warm up, then five times; the median counts.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from vecsearch_tokenizers.character import CharacterTokenizer
from vecsearch_tokenizers.subword import PiecesTokenizer
from vecsearch_tokenizers.word import WordTokenizer

DEFAULT = Path(__file__).parents[3] / "shared" / "data" / "til-notes" / "corpus.jsonl"


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    if not path.is_file():
        sys.exit(f"no such file: {path}")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with path.open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    n_characters = sum(map(len, texts))
    print(f"{path.parent.name}: {len(texts):,} texts, {n_characters:,} characters")
    for tokenizer in (WordTokenizer(), CharacterTokenizer(), PiecesTokenizer()):
        n_tokens = tokenizer.tokenize(texts).n_tokens
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            tokenizer.tokenize(texts)
            seconds.append(time.perf_counter() - start)
        middle = statistics.median(seconds)
        print(
            f"{tokenizer.name:10} {n_tokens:>10,} tokens {n_tokens / middle:>12,.0f} tokens/s "
            f"{n_characters / middle / 1e6:>6.1f} M characters/s"
        )


if __name__ == "__main__":
    main()
