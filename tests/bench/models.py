"""The preset minilm: word order on PAWS-Wiki triples by encoder, and its speed beside bare onnxruntime.

    python -m tests.bench.models

Triples: how often the paraphrase of an anchor outranks its non-paraphrase by ``Pipeline.similarity``. Speed: tokens of
CISI's first texts in a second of processor time, by the embedder and by onnxruntime alone on the same batches.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tests.bench.timing import DATA, machine, require
from vecsearch import Pipeline, Tokens
from vecsearch.evaluation.datasets import Triples, read_dataset
from vecsearch.evaluation.sentences import outcomes_by_similarity
from vecsearch.pipeline import build_encoder

ENCODERS = ("none", "relative:order=0.2", "relative:order=0.3", "relative:order=0.5")
N_TEXTS = 30


class Remembering:
    """An embedder that embeds each text once."""

    name = "remembering"
    version = "1"
    config: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    files: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, embedder: Any) -> None:
        self.embedder = embedder
        self.dim = embedder.dim
        self._known: dict[str, Any] = {}

    def tokenizer(self) -> Any:
        return self.embedder.tokenizer()

    def embed(self, texts: Sequence[str], tokens: Tokens) -> Any:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            some = self.tokenizer().tokenize(new)
            parts = np.split(self.embedder.embed(new, some), some.offsets[1:-1])
            self._known.update(zip(new, parts, strict=True))
        return np.concatenate([np.zeros((0, self.dim), np.float32), *(self._known[text] for text in texts)])


def processor_seconds(run: Callable[[], object], n_runs: int = 3) -> float:
    """Return the least processor time of some runs: others on the machine change it little."""
    times = []
    for _ in range(n_runs):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return min(times)


def main() -> None:
    """Print both."""
    pipeline = Pipeline.from_names(embedder="minilm", encoder="none")
    embedder: Any = pipeline.embedder
    print(f"{machine()}\n")

    with open(require(DATA / "cisi" / "corpus.jsonl"), encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(N_TEXTS), strict=False)]
    tokens = pipeline.tokenize(texts)
    model = embedder._encoder._model
    batches: list[tuple[Any, Any]] = []
    own_run = model.run
    model.run = lambda ids, mask: (batches.append((ids, mask)), own_run(ids, mask))[1]
    embedder.embed(texts, tokens)
    del model.run

    def bare() -> None:
        def one(batch: tuple[Any, Any]) -> None:
            ids, mask = batch
            feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            model._session.run(["last_hidden_state"], feed)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one, batches))

    ours, alone = processor_seconds(lambda: embedder.embed(texts, tokens)), processor_seconds(bare)
    print("| | tokens a second of processor time |\n|---|---|")
    print(
        f"| minilm | {tokens.n_tokens / ours:,.0f} |\n| onnxruntime alone | {tokens.n_tokens / alone:,.0f} |\n",
        flush=True,
    )

    triples = read_dataset(require(DATA / "paws-wiki" / "triples.tsv"))
    assert isinstance(triples, Triples)
    remembering = Remembering(embedder)
    print(f"| encoder | {len(triples.ids):,} triples, similarity |\n|---|---|")
    for encoder in ENCODERS:
        won = outcomes_by_similarity(Pipeline(None, remembering, build_encoder(encoder)), triples).mean()
        print(f"| {encoder} | {won:.4f} |", flush=True)


if __name__ == "__main__":
    main()
