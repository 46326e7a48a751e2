"""Comparisons that several tests make."""

from __future__ import annotations

from tests.oracle import Oracle
from vecsearch import Index


def assert_search_is_right(index: Index, oracle: Oracle, query: str, k: int) -> None:
    """Compare a search with brute force: scores, completeness, order and ties.

    Scores may differ by rounding, so two passages that close may change places; nothing else may.
    """
    expected = oracle.scores(query)
    hits = index.search(query, k, mode="vector", scorer="maxsim")
    slack = 1e-4 * max([1.0, *map(abs, expected.values())])
    found = [(hit.doc_id, hit.passage) for hit in hits]
    assert len(found) == min(k, len(expected))
    assert len(set(found)) == len(found)
    for hit, best in zip(hits, sorted(expected.values(), reverse=True), strict=False):
        assert abs(hit.score - expected[hit.doc_id, hit.passage]) <= slack, (hit, expected)
        assert abs(hit.score - best) <= slack, (hit, best)
    assert found == [place for _, place in sorted((-hit.score, (hit.doc_id, hit.passage)) for hit in hits)]
