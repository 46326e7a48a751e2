"""How near chance brings a passage to a query is told where an index has codes, by any scorer alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.coded import search_codes
from tests.tiny import tiny_pipeline
from vecsearch import Document, Index
from vecsearch.queries import Query


def texts(n: int) -> list[Document]:
    rng = np.random.default_rng(5)
    words = [f"{animal}{number}" for animal in ("lion", "fish", "tree", "river") for number in range(20)]
    return [Document(id=str(number), text=" ".join(rng.choice(words, 25))) for number in range(n)]


def test_chance_is_the_same_high_quantile_of_the_background_for_every_scorer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_codes(monkeypatch)
    with Index.create(tmp_path / "notes", pipeline=tiny_pipeline()) as index:
        index.add(texts(60))
        index.flush()
        searcher = index._searcher
        query = Query.of_text(index.pipeline, "lion3 fish4")
        with index._store.snapshot() as snapshot:
            assert snapshot.depth() is not None
            weights = query.weights(snapshot)
            asked = [
                searcher.vector(snapshot, query, weights, searcher.scorer(name)).asked(None)
                for name in ("maxsim", "debiased_maxsim")
            ]
    background = asked[1].statistics.background
    length = asked[1].statistics.mean_length
    for one in asked:
        assert one.chance is not None
        share = (background > one.chance[:, None]).mean(axis=1)
        assert np.all(share <= 1 / (2 * length))
        assert np.all((background >= one.chance[:, None]).sum(axis=1) > background.shape[1] / (2 * length + 1) - 1)
    np.testing.assert_allclose(asked[0].chance, asked[1].chance, rtol=1e-5)


def test_where_every_passage_is_compared_nothing_is_left_to_chance(tmp_path: Path) -> None:
    with Index.create(tmp_path / "notes", pipeline=tiny_pipeline()) as index:
        index.add(texts(3))
        query = Query.of_text(index.pipeline, "lion3")
        with index._store.snapshot() as snapshot:
            searcher = index._searcher
            signal = searcher.vector(snapshot, query, query.weights(snapshot), searcher.scorer("maxsim"))
            assert signal.asked(None).chance is None
