"""What a search must return, computed by brute force from the definitions in float64, slowly and without any index.

It shares with the engine only its inputs: the tokens of a text, the embedder's rows, and where passages are cut. The
positional encoders are written out again here as their formulas stand in docs/guide.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from vecsearch import Pipeline
from vecsearch.preparation import Preparation

BASE = 10_000.0
DECAY = 0.75


@dataclass
class Oracle:
    """A collection as a plain dictionary: document id → its passages, as embedded."""

    pipeline: Pipeline
    passages: dict[str, list[str]] = field(default_factory=dict)

    def put(self, doc_id: str, text: str, title: str = "") -> None:
        from vecsearch import Document

        preparation = Preparation(self.pipeline, None, None)  # type: ignore[arg-type]  # cutting needs no store
        cuts, _, _ = preparation._split([Document(id=doc_id, text=text, title=title)])
        pieces = [piece for piece, _ in cuts[0]]
        if title and pieces:
            pieces[0] = f"{title}\n{pieces[0]}"
        self.passages[doc_id] = pieces

    def remove(self, doc_id: str) -> None:
        self.passages.pop(doc_id, None)

    def scores(self, query: str) -> dict[tuple[str, int], float]:
        """Return the MaxSim score of every passage that holds a token."""
        held = {
            (doc_id, ordinal): entries
            for doc_id, pieces in self.passages.items()
            for ordinal, piece in enumerate(pieces)
            if (entries := _entries(self.pipeline, piece))
        }
        n = len(held)
        wanted = _entries(self.pipeline, query)
        weights = []
        for entry, row in zip(wanted, _rows(self.pipeline, wanted), strict=True):
            frequency = sum(entry in entries for entries in held.values())
            idf = math.log(1 + (n - frequency + 0.5) / (frequency + 0.5))
            weights.append(idf * float(np.linalg.norm(row)))
        return {
            place: _maxsim(self.pipeline, _rows(self.pipeline, wanted), weights, _rows(self.pipeline, entries))
            for place, entries in held.items()
        }


def _entries(pipeline: Pipeline, text: str) -> list[object]:
    tokens = pipeline.tokenize([text])
    return list(tokens.entries) if tokens.entries is not None else tokens.ids.tolist()


def _rows(pipeline: Pipeline, entries: list[object]) -> np.ndarray:
    if not entries:
        return np.zeros((0, pipeline.dim))
    closed = pipeline.closed_vocabulary
    if closed is None:
        return pipeline.entry_rows(entries, np.ones(len(entries), bool)).astype(np.float64)
    texts = [closed.entries[number] for number in entries]
    return pipeline.entry_rows(texts, closed.starts_word[entries]).astype(np.float64)


def _maxsim(pipeline: Pipeline, query_rows: np.ndarray, weights: list[float], rows: np.ndarray) -> float:
    if pipeline.encoder.name == "rotary":
        query, passage = _unit(query_rows), _unit(rows)
        return max(
            _weighted_maxima([_rotate(u, i + delta) for i, u in enumerate(query)], weights, _rotated(passage))
            for delta in range(-(len(query) - 1), len(passage))
        )
    return _weighted_maxima(encode(pipeline, query_rows), weights, encode(pipeline, rows))


def _weighted_maxima(query: list[np.ndarray], weights: list[float], passage: list[np.ndarray]) -> float:
    return sum(
        weight * float(np.max(np.array(passage) @ q)) for q, weight in zip(query, weights, strict=True) if weight
    )


def encode(pipeline: Pipeline, rows: np.ndarray) -> list[np.ndarray]:
    """Return the position-aware vectors of one passage."""
    units = _unit(rows)
    norms = [float(np.linalg.norm(row)) for row in rows]
    config = pipeline.encoder.config
    match pipeline.encoder.name:
        case "none":
            return units
        case "sinusoidal":
            return [_mixed(u, config["alpha"] * _sinusoid(i, len(u))) for i, u in enumerate(units)]
        case "learned":
            table = np.load(config["path"]).astype(np.float64)
            return [_mixed(u, config["alpha"] * table[min(i, len(table) - 1)]) for i, u in enumerate(units)]
        case "relative":
            return [_relative(units, norms, i, config["order"]) for i in range(len(units))]
    raise AssertionError(pipeline.encoder.name)


def _relative(units: list[np.ndarray], norms: list[float], i: int, order: float) -> np.ndarray:
    context = np.zeros(len(units[i]))
    for j, neighbour in enumerate(units):
        if j != i:
            context += DECAY ** (abs(j - i) - 1) * norms[j] * _rotate(neighbour, j - i)
    length = float(np.linalg.norm(context))
    if length < 1e-6 or not units[i].any():
        return units[i]
    return _unit_of(math.sqrt(1 - order) * units[i] + math.sqrt(order) * context / length)


def _rotated(units: list[np.ndarray]) -> list[np.ndarray]:
    return [_rotate(u, j) for j, u in enumerate(units)]


def _rotate(vector: np.ndarray, places: int) -> np.ndarray:
    """Turn the pair (f, f + d/2) by ``places`` times base^(−2f/d)."""
    half = len(vector) // 2
    angles = places * BASE ** (-2 * np.arange(half) / len(vector))
    turned = (vector[:half] + 1j * vector[half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag])


def _sinusoid(position: int, dim: int) -> np.ndarray:
    """Vaswani et al. 2017, §3.5: sine in even places, cosine in odd ones; as long as a unit row, for an even dim."""
    angles = [position / BASE ** (2 * (place // 2) / dim) for place in range(dim)]
    return np.array([math.cos(a) if place % 2 else math.sin(a) for place, a in enumerate(angles)]) / math.sqrt(dim / 2)


def _mixed(unit: np.ndarray, position: np.ndarray) -> np.ndarray:
    return _unit_of(unit + position) if unit.any() else unit


def _unit(rows: np.ndarray) -> list[np.ndarray]:
    return [_unit_of(row) for row in rows]


def _unit_of(vector: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector
