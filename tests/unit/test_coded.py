"""Candidates from codes: what is gathered by passage, by the scorer's own formula."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tests.typed_tokens import N, blocks, searching_by
from vecsearch import CollectionStatistics
from vecsearch.protocols import Scorer
from vecsearch.stores.codebook import Codebook
from vecsearch.stores.coded import Coded, heavy
from vecsearch.stores.codes import Codes
from vecsearch.stores.protocol import Depth, ScanQuery
from vecsearch_scorers.debiased import DebiasedMaxSimScorer
from vecsearch_scorers.maxsim import MaxSimScorer
from vecsearch_scorers.soft_tf import SoftTfScorer

SCORERS: tuple[Scorer, ...] = (MaxSimScorer(), DebiasedMaxSimScorer(), SoftTfScorer())
Tokens = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(autouse=True, params=["FAISS", "compiled"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test searches by either."""
    searching_by(monkeypatch, request.param)


def coded(codebook: Codebook, sample: Tokens, cuts: tuple[int, ...], n_nearest: int) -> Coded:
    """Return codes of the sample's passages, in segments that begin at these tokens."""
    bounds = [0, *(int(np.searchsorted(sample[2], sample[2][cut])) for cut in cuts), N]
    parts = [
        Codes.build(codebook, blocks(*(array[begin:end] for array in sample)))
        for begin, end in itertools.pairwise(bounds)
    ]
    numbers, lengths = np.unique(sample[2], return_counts=True)
    return Coded(codebook, parts, numbers, lengths, Depth(n_nearest=n_nearest, n_probe=4, n_rescored=5))


def asked(sample: Tokens, n_query: int, allowed: np.ndarray | None = None) -> ScanQuery:
    background = np.linspace(-0.2, 0.5, 60, dtype=np.float32)[None, :].repeat(n_query, axis=0)
    statistics = CollectionStatistics(150, mean_length=20.0, max_length=60, background=background)
    weights = np.linspace(1, 2, n_query, dtype=np.float32)
    return ScanQuery(np.ascontiguousarray(sample[0][: 40 * n_query : 40]), weights, statistics, allowed)


def nearest(index: Coded, query: ScanQuery, counts: list[list[int]]) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Return what each token of the query finds where each segment is asked for so many, by the kind of cells; and how
    near it is taken to be to what it does not find.
    """
    probes = index.codebook.probe(query.vectors, index.depth.n_probe)
    lists = [
        part.search(probe, n)
        for part, of_part in zip(index.parts, counts, strict=True)
        for probe, n in zip(probes, of_part, strict=True)
    ]
    found = []
    for token in range(len(query.weights)):
        values, passages = (np.concatenate([one[which][token] for one in lists]) for which in (0, 1))
        lasts = [float(values[token].min()) for values, passages in lists if passages[token, -1] >= 0]
        chance = float(values[passages >= 0].min()) if query.chance is None else float(query.chance[token])
        farthest = max(lasts, default=chance)
        # three tenths of the way from chance to the farthest that was found
        found.append((values, passages, min(farthest, chance + 0.3 * (farthest - chance))))
    return found


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: scorer.name)
@pytest.mark.parametrize("n_nearest", [1, 30, 2_000])
@pytest.mark.parametrize("cuts", [(), (400, 2_100)])
@pytest.mark.parametrize("chance", [None, 0.2, 0.9])
def test_candidates_equal_their_definition(
    codebook: Codebook,
    sample: Tokens,
    scorer: Scorer,
    n_nearest: int,
    cuts: tuple[int, ...],
    chance: float | None,
) -> None:
    index = coded(codebook, sample, cuts, n_nearest)
    query = asked(sample, 5)
    if chance is not None:
        query = replace(query, chance=np.full(5, chance, np.float32))
    scan = index.candidates(query, scorer)
    # of each segment its share and a quarter more, and 64, but never more than are wanted in all; of cells of rare
    # types an eighth of that, unless all tokens are wanted
    wanted = [min(n_nearest, int(1.25 * n_nearest * part.n / N) + 64) for part in index.parts]
    counts = [
        [min(n, part.n), part.n if n >= part.n else min(n // 8 + 64, n, part.n)]
        for part, n in zip(index.parts, wanted, strict=True)
    ]
    found = nearest(index, query, counts)
    assert scan.embedded.tolist() == sorted({int(one) for _, numbers, _ in found for one in numbers if one >= 0})
    none = int(index.numbers[-1]) + 1  # stands for a passage that no token found
    reduced = np.zeros((5, none + 1), np.float32)
    for row, (similarities, numbers, farthest) in enumerate(found):
        floor = scorer.reduce(np.array([[farthest]], np.float32), np.array([0, 1]))[0, 0]
        for number in range(none + 1):
            own = similarities[numbers == number]
            value = scorer.reduce(own[None, :], np.array([0, len(own)]))[0, 0] if len(own) else floor
            reduced[row, number] = max(value, floor)

    def score(number: int, length: int) -> float:
        transformed = scorer.transform(reduced[:, [number]], np.array([length]), query.statistics)
        return float(scorer.combine(transformed, query.weights)[0])

    lengths = dict(zip(index.numbers.tolist(), index.lengths.tolist(), strict=True))
    for number, found_score in zip(scan.embedded.tolist(), scan.scores.tolist(), strict=True):
        assert found_score == pytest.approx(score(number, lengths[number]), rel=1e-4, abs=1e-5)
    assert scan.depth == 5
    assert scan.worth is not None
    for length in (1, 60):
        assert scan.worth(np.array([none]), np.array([length]))[0] == pytest.approx(
            score(none, length), rel=1e-4, abs=1e-5
        )


class _SlowMaxSimScorer(MaxSimScorer):
    takes_maximum = False


@pytest.mark.parametrize("n_nearest", [1, 30, 2_000])
def test_maxima_are_gathered_as_any_scorer_reduces_them(codebook: Codebook, sample: Tokens, n_nearest: int) -> None:
    index = coded(codebook, sample, (400, 2_100), n_nearest)
    fast, slow = (index.candidates(asked(sample, 5), scorer) for scorer in (MaxSimScorer(), _SlowMaxSimScorer()))
    assert fast.embedded.tolist() == slow.embedded.tolist()
    assert fast.scores.tolist() == slow.scores.tolist()


def test_only_the_best_are_named_at_first(monkeypatch: pytest.MonkeyPatch, codebook: Codebook, sample: Tokens) -> None:
    index = coded(codebook, sample, (400,), 2_000)
    query = asked(sample, 5)
    whole = index.candidates(query, DebiasedMaxSimScorer())
    assert whole.rest is None
    monkeypatch.setattr("vecsearch.stores.coded.MOST_NAMED", 7)
    best = index.candidates(query, DebiasedMaxSimScorer())
    assert best.rest is not None
    assert best.worth is not None
    assert best.rest().embedded.tolist() == whole.embedded.tolist()
    assert best.rest().scores.tolist() == whole.scores.tolist()
    assert best.rest().rest is None
    assert sorted(best.scores.tolist()) == sorted(whole.scores.tolist())[-7:]
    assert best.scores.tolist() == whole.scores[np.isin(whole.embedded, best.embedded)].tolist()
    assert best.depth == whole.depth
    lengths = dict(zip(index.numbers.tolist(), index.lengths.tolist(), strict=True))
    of_whole = np.array([lengths[number] for number in whole.embedded.tolist()])
    assert best.worth(whole.embedded, of_whole).tolist() == whole.scores.tolist()
    assert best.worth(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []


def test_who_is_not_allowed_or_gone_is_no_candidate(codebook: Codebook, sample: Tokens) -> None:
    index = coded(codebook, sample, (), 2_000)
    everyone = index.candidates(asked(sample, 5), MaxSimScorer()).embedded
    allowed = everyone[::9]
    assert index.candidates(asked(sample, 5, allowed), MaxSimScorer()).embedded.tolist() == allowed.tolist()
    alive = np.setdiff1d(index.numbers, everyone[::2])
    less = Coded(codebook, index.parts, alive, index.lengths[np.isin(index.numbers, alive)], index.depth)
    found = less.candidates(asked(sample, 5), MaxSimScorer()).embedded
    assert len(found) > 50
    assert not set(found.tolist()) & set(everyone[::2].tolist())


def test_light_tokens_are_not_looked_up_unless_there_are_few() -> None:
    assert heavy(np.array([1, 0.049, 0.05, 0.9, 0.3], np.float32)).tolist() == [True, False, True, True, True]
    assert heavy(np.array([1, 0.01, 0.02, 0.03], np.float32)).tolist() == [True, False, True, True]
    assert heavy(np.array([0.2], np.float32)).tolist() == [True]
