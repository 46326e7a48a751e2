"""What all peers are given: passages, queries, their token vectors and the exact scores, as files of one folder.

passages.jsonl       one object a passage: id (its number, as text) and text
queries.jsonl        one object a query: text, and source, the number of the passage it was made of
vectors.f32.npy      float32 (n_tokens, dim), rows of unit length or zero, the passages one after the other
vectors.f16.npy      the same as float16
lengths.npy          int32 (n_passages,), tokens of each
token_ids.npy        uint32 (n_tokens,), one id a word
query_vectors.npy    float32 (n_query_tokens, dim)
query_weights.npy    float32 (n_query_tokens,), idf · norm, by the collection of these passages
query_lengths.npy    int32 (n_queries,)
exact_scores.npy     float32 (n_queries, n_passages), weighted MaxSim
exact_plain_scores.npy  float32 (n_queries, n_passages), the same with every weight 1
facts.json           n_passages, n_tokens, n_queries, dim, and the seconds that the vectors of the passages took
"""

from __future__ import annotations

import gzip
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.peer_queries import make_queries
from tests.bench.timing import DATA, require
from vecsearch import Pipeline
from vecsearch.splitting import cut

__all__ = ["CORPUS", "write_arrays"]

CORPUS = DATA / "techdocs-large" / "corpus.jsonl.gz"
BATCH = 500
"""Passages embedded at a time."""


def write_arrays(folder: Path, n_passages: int, pipeline: Pipeline, corpus: Path = CORPUS) -> dict[str, Any]:
    """Write the files for the first passages of a corpus, where they are not there yet; return the facts."""
    record = folder / "facts.json"
    if record.exists():
        return dict(json.loads(record.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    texts = list(itertools.islice(_passages(corpus, pipeline), n_passages))
    with (folder / "passages.jsonl").open("w") as file:
        file.writelines(json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts))
    frequencies, facts = _write_passages(folder, texts, pipeline)
    queries = make_queries(texts, pipeline)
    with (folder / "queries.jsonl").open("w") as file:
        file.writelines(json.dumps(vars(query)) + "\n" for query in queries)
    _write_queries(folder, [query.text for query in queries], frequencies, len(texts), pipeline)
    _write_exact(folder)
    facts["n_queries"] = len(queries)
    record.write_text(json.dumps(facts))
    return facts


def _passages(corpus: Path, pipeline: Pipeline) -> Iterator[str]:
    """Yield the passages of a corpus as the engine would cut them, those with a token."""
    with gzip.open(require(corpus), "rt", encoding="utf-8") as file:
        for line in file:
            document = json.loads(line)
            text = f"{document['title']}\n{document['text']}" if document["title"] else document["text"]
            spans = pipeline.tokenize([text]).spans
            if len(spans):
                bounds = cut(text, spans, max_tokens=pipeline.max_tokens).tolist()
                yield from (text[begin:end] for begin, end in itertools.pairwise(bounds))


def _write_passages(folder: Path, texts: list[str], pipeline: Pipeline) -> tuple[dict[str, int], dict[str, Any]]:
    """Write vectors, lengths and ids; return in how many passages each word is, and the facts."""
    numbers: dict[str, int] = {}
    frequencies: dict[str, int] = {}
    ids, lengths = [], []
    n_tokens = seconds = 0.0
    raw = folder / "vectors.raw"
    with raw.open("wb") as file:
        for begin in range(0, len(texts), BATCH):
            start = time.perf_counter()
            embedded = pipeline.embed(texts[begin : begin + BATCH])
            seconds += time.perf_counter() - start
            file.write(embedded.vectors.tobytes())
            entries = embedded.tokens.entries
            assert entries is not None
            ids += [numbers.setdefault(entry, len(numbers)) for entry in entries]
            for first, last in itertools.pairwise(embedded.offsets.tolist()):
                lengths.append(last - first)
                for entry in set(entries[first:last]):
                    frequencies[entry] = frequencies.get(entry, 0) + 1
            n_tokens += len(embedded.vectors)
    shape = (int(n_tokens), pipeline.dim)
    vectors = np.memmap(raw, np.float32, "r", shape=shape)
    for name, dtype in (("vectors.f32.npy", np.float32), ("vectors.f16.npy", np.float16)):
        written = np.lib.format.open_memmap(folder / name, "w+", dtype, shape)
        for begin in range(0, shape[0], 1 << 16):
            written[begin : begin + (1 << 16)] = vectors[begin : begin + (1 << 16)]
        written.flush()
    raw.unlink()
    np.save(folder / "lengths.npy", np.array(lengths, np.int32))
    np.save(folder / "token_ids.npy", np.array(ids, np.uint32))
    return frequencies, {
        "n_passages": len(texts),
        "n_tokens": shape[0],
        "dim": shape[1],
        "embed_seconds": round(seconds, 2),
    }


def _write_queries(
    folder: Path, texts: list[str], frequencies: dict[str, int], n_passages: int, pipeline: Pipeline
) -> None:
    vectors, weights, lengths = [], [], []
    for text in texts:
        embedded = pipeline.embed([text])
        assert embedded.tokens.entries is not None
        found = np.array([frequencies.get(entry, 0) for entry in embedded.tokens.entries])
        idf = np.log1p((n_passages - found + 0.5) / (found + 0.5))
        vectors.append(embedded.vectors)
        weights.append(embedded.weights * idf.astype(np.float32))
        lengths.append(len(embedded.vectors))
    np.save(folder / "query_vectors.npy", np.concatenate(vectors))
    np.save(folder / "query_weights.npy", np.concatenate(weights))
    np.save(folder / "query_lengths.npy", np.array(lengths, np.int32))


def _write_exact(folder: Path) -> None:
    """Write the MaxSim of every query with every passage, weighted and not, in blocks of passages."""
    vectors = np.load(folder / "vectors.f32.npy", mmap_mode="r")
    offsets = np.concatenate([[0], np.cumsum(np.load(folder / "lengths.npy"), dtype=np.int64)])
    queries, weights = np.load(folder / "query_vectors.npy"), np.load(folder / "query_weights.npy")
    starts = np.concatenate([[0], np.cumsum(np.load(folder / "query_lengths.npy"))])[:-1]
    scores = np.zeros((len(starts), len(offsets) - 1), np.float32)
    plain = np.zeros_like(scores)
    for first in range(0, len(offsets) - 1, 100):
        last = min(first + 100, len(offsets) - 1)
        similarities = queries @ np.asarray(vectors[offsets[first] : offsets[last]]).T
        best = np.maximum.reduceat(similarities, offsets[first:last] - offsets[first], axis=1)
        scores[:, first:last] = np.add.reduceat(best * weights[:, None], starts, axis=0)
        plain[:, first:last] = np.add.reduceat(best, starts, axis=0)
    np.save(folder / "exact_scores.npy", scores)
    np.save(folder / "exact_plain_scores.npy", plain)
