"""What holds for every text and every tokenization."""

from __future__ import annotations

import itertools
import re

import numpy as np
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.splitting import cut, line_starts

_LETTERS = "ab.!?。,\"') \t\n\r\u3000\u00a0é\u0301\u200d😀👍🏽🇩🇪漢क्षกำ각\x00\x0c"
_TEXTS = st.one_of(
    st.text(alphabet=_LETTERS, max_size=300),
    st.text(max_size=100),
    st.lists(st.sampled_from(["word ", "two. ", "End.\n", "\n\n", "\r\n", "\r\n\r\n", "x-y-z", "漢字。", "  "])).map(
        "".join
    ),
)
_LIMITS = st.integers(1, 20)


@st.composite
def tokenized(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    """Return a text and non-overlapping tokens of it: words, characters, or stretches cut at random."""
    text = draw(_TEXTS)
    kind = draw(st.sampled_from(["words", "characters", "random"]))
    if kind == "words":
        spans = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
    elif kind == "characters":
        spans = [match.span() for match in regex.finditer(r"\X", text)]
    else:
        places = sorted(draw(st.sets(st.integers(0, len(text)), max_size=60)))
        pairs = list(itertools.pairwise(places))
        spans = [pair for pair in pairs if draw(st.integers(0, 5))]
    return text, np.array(spans, np.int32).reshape(-1, 2)


@settings(deadline=None, max_examples=300)
@given(tokenized(), _LIMITS, st.lists(st.integers(-5, 310), max_size=12))
def test_passages_are_a_partition_into_whole_tokens_within_the_limit(given_text, limit, sections):
    text, spans = given_text
    places = cut(text, spans, max_tokens=limit, sections=sections)
    assert places[0] == 0
    assert places[-1] == len(text)
    assert len(places) == 2 or (np.diff(places) > 0).all()
    belongs = np.searchsorted(places[1:-1], spans[:, 0], side="right")
    assert (places[belongs] <= spans[:, 0]).all()
    assert (spans[:, 1] <= places[belongs + 1]).all()
    counts = np.bincount(belongs, minlength=len(places) - 1)
    assert counts.sum() == len(spans)
    assert counts.max(initial=0) <= limit
    assert len(spans) == 0 or counts.min() >= 1
    assert (cut(text, spans, max_tokens=limit, sections=sections) == places).all()


@settings(deadline=None, max_examples=300)
@given(_TEXTS, _LIMITS, st.lists(st.integers(0, 310), max_size=12))
def test_cuts_between_graphemes_never_fall_inside_one(text, limit, sections):
    # With whole graphemes as tokens there is always a way not to part one.
    spans = np.array([match.span() for match in regex.finditer(r"\X", text)], np.int32).reshape(-1, 2)
    inside = set(range(len(text) + 1)) - {0, len(text)} - {int(end) for end in spans[:, 1]}
    assert not inside & set(cut(text, spans, max_tokens=limit, sections=sections).tolist())


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=30), _LIMITS)
def test_tokens_that_share_a_character_stay_together(n_bytes, limit):
    text = "漢" * len(n_bytes)
    spans = np.array([(at, at + 1) for at, n in enumerate(n_bytes) for _ in range(n)], np.int32)
    places = cut(text, spans, max_tokens=limit)
    for begin, end in itertools.pairwise(places):
        assert sum(n_bytes[begin:end]) <= limit or end - begin == 1


@settings(deadline=None)
@given(_TEXTS)
def test_lines_are_those_of_universal_newlines(text):
    starts = line_starts(text)
    for offset in range(len(text)):
        # A line end belongs to the line that it ends; the second half of \r\n too.
        before = text[:offset]
        is_half = before.endswith("\r") and text[offset] == "\n"
        expected = before.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1 - is_half
        assert np.searchsorted(starts, offset, side="right") == expected
