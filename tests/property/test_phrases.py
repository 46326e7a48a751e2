"""Matching equals its definition, token by token, and SQLite's FTS5 where words are exact."""

from __future__ import annotations

import itertools
import sqlite3

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vecsearch import phrases
from vecsearch.lookalikes import exact_slot
from vecsearch.phrases import Found, find

KINDS = ("phrase", "near")
N_TYPES = 6
LEVELS = (0.0, 0.0, 0.5, 0.75, 1.0)
SETTINGS = settings(derandomize=True, deadline=None, max_examples=300)

slots = st.lists(st.lists(st.sampled_from(LEVELS), min_size=N_TYPES, max_size=N_TYPES), min_size=1, max_size=4)
passages = st.lists(st.lists(st.integers(0, N_TYPES + 1), max_size=12), max_size=6)
punctuation = st.lists(st.booleans(), min_size=N_TYPES, max_size=N_TYPES)


def flat(texts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array(list(itertools.chain(*texts)), np.int32)
    return ids, np.cumsum([0, *map(len, texts)])


def best_by_definition(
    tables: list[list[float]], kind: str, slop: int, text: list[int], is_word: list[bool]
) -> tuple[float, list[int]] | None:
    """Try every choice of one token a slot; of the strongest take the one that begins first, then the earliest."""
    counts = list(itertools.accumulate((i >= N_TYPES or is_word[i] for i in text), initial=0))
    able = [[j for j, i in enumerate(text) if i < N_TYPES and is_word[i] and table[i] > 0] for table in tables]
    found = []
    for choice in itertools.product(*able):
        places = [counts[j] for j in choice]
        if kind == "phrase":
            in_order = all(a < b for a, b in itertools.pairwise(places))
            fits = in_order and places[-1] - places[0] - (len(places) - 1) <= slop
        else:
            fits = max(places) - min(places) <= slop + 1
        if fits:
            strength = min(table[text[j]] for table, j in zip(tables, choice, strict=True))
            found.append((-strength, min(choice), choice))
    if not found:
        return None
    strength, _, choice = min(found)
    return -strength, list(choice)


def as_lists(found: Found) -> list[tuple[int, float, list[int]]]:
    return list(zip(found.passages.tolist(), found.strength.tolist(), found.positions.tolist(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
@given(
    tables=slots, slop=st.integers(0, 6), texts=passages, is_word=punctuation, block=st.sampled_from([1, 7, 1 << 18])
)
@example(tables=[[1.0] * 6] * 4, slop=0, texts=[[0] * 12], is_word=[True] * 6, block=1)
@example(tables=[[1.0, 0.5] + [0.0] * 4] * 3, slop=2, texts=[[1, 0, 0, 1, 0]], is_word=[True] * 6, block=1)
@SETTINGS
def test_the_best_match_is_that_of_the_definition(
    kind: str, tables: list[list[float]], slop: int, texts: list[list[int]], is_word: list[bool], block: int
) -> None:
    ids, offsets = flat(texts)
    usual = phrases.BLOCK_TOKENS
    phrases.BLOCK_TOKENS = block
    try:
        found = find([np.array(t, np.float32) for t in tables], kind, slop, ids, offsets, np.array(is_word))
    finally:
        phrases.BLOCK_TOKENS = usual
    expected = []
    for number, text in enumerate(texts):
        best = best_by_definition(tables, kind, slop, text, is_word)
        if best is not None:
            expected.append((number, best[0], [int(offsets[number]) + j for j in best[1]]))
    assert as_lists(found) == expected
    assert found.first_token.tolist() == [min(choice) for _, _, choice in expected]
    assert found.last_token.tolist() == [max(choice) for _, _, choice in expected]


@pytest.mark.parametrize("kind", KINDS)
@given(n_slots=st.integers(9, 20), missing=st.integers(0, 19))
@SETTINGS
def test_more_slots_than_bits_are_told_apart(kind: str, n_slots: int, missing: int) -> None:
    text = list(range(n_slots))
    lacking = [i for i in text if i != missing % n_slots]
    ids, offsets = flat([lacking, text, [], lacking])
    group = [exact_slot(i, n_slots) for i in range(n_slots)]
    found = find(group, kind, n_slots, ids, offsets, np.ones(n_slots, bool))
    assert as_lists(found) == [(1, 1.0, list(range(n_slots - 1, 2 * n_slots - 1)))]


@given(
    texts=st.lists(st.lists(st.sampled_from("abcd"), max_size=12), min_size=1, max_size=8),
    words=st.lists(st.sampled_from("abcd"), min_size=1, max_size=4),
    kind=st.sampled_from(KINDS),
    slop=st.integers(0, 5),
)
@SETTINGS
def test_exact_words_are_found_where_fts5_finds_them(
    texts: list[list[str]], words: list[str], kind: str, slop: int
) -> None:
    slop = slop if kind == "near" else 0
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE texts USING fts5(text, tokenize=unicode61)")
    db.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", [(n, " ".join(t)) for n, t in enumerate(texts)])
    pattern = '"{}"'.format(" ".join(words)) if kind == "phrase" else f"NEAR({' '.join(words)}, {slop})"
    rows = db.execute("SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid", (pattern,)).fetchall()
    db.close()
    ids, offsets = flat([["abcd".index(word) for word in text] for text in texts])
    group = [exact_slot("abcd".index(word), 4) for word in words]
    assert find(group, kind, slop, ids, offsets, np.ones(4, bool)).passages.tolist() == [row[0] for row in rows]
