"""The texts that stand in for a small collection: ordinary, different from each other, and enough of them."""

from __future__ import annotations

import numpy as np

from vecsearch import Pipeline
from vecsearch_scorers.debiased import expected_maxima
from vecsearch_wordllama.reference import REFERENCE
from vecsearch_wordllama.wordllama import WordLlamaEmbedder


def test_embedder_gives_the_texts_every_time() -> None:
    embedder = WordLlamaEmbedder()
    assert embedder.reference() is embedder.reference() is REFERENCE


def test_texts_are_passages_about_different_things() -> None:
    counts = [len(text.split()) for text in REFERENCE]
    assert min(counts) >= 60
    assert max(counts) <= 120
    assert 2_000 <= sum(counts) <= 3_000
    words = [{word.strip(".,;:?!\"'()").lower() for word in text.split()} for text in REFERENCE]
    assert len(set.union(*words)) > 900
    shared = [len(a & b) / len(a | b) for n, a in enumerate(words) for b in words[:n]]
    assert max(shared) < 0.2


def test_texts_are_clean() -> None:
    assert all(text == " ".join(text.split()) for text in REFERENCE)
    assert all(text.rstrip('"').endswith((".", "?")) for text in REFERENCE)
    assert len(set(REFERENCE)) == len(REFERENCE)


def test_chance_grows_with_length_and_leaves_room_for_real_matches() -> None:
    """Words of no text here find hardly anything near them, and themselves at 1."""
    pipeline = Pipeline.from_names()
    sample = pipeline.embed(list(REFERENCE)).vectors
    query = pipeline.embed(["supersonic boundary layer", "enzyme inhibitors", "quarterly dividend"]).vectors
    chance = expected_maxima(np.sort(query @ sample.T, axis=1), np.array([1, 20, 250]))
    assert np.all(np.diff(chance, axis=1) > 0)
    assert np.abs(chance[:, 0]).max() < 0.1
    assert 0.15 < chance[:, 2].mean() < 0.5
