"""Checks of ``vecsearch.protocols.Tokenizer``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from vecsearch.testing.contract import (
    ConformanceError,
    build,
    call,
    check_array,
    check_in_threads,
    check_methods,
    on_smallest_text,
    shown,
    unchanged,
)
from vecsearch.testing.texts import SAMPLE_TEXTS
from vecsearch.types import Tokens, Vocabulary

__all__ = ["check_instance", "check_tokenizer", "check_vocabulary"]

# Each changes its length in characters when it is folded, composed or encoded, in one way or another.
_PREFIXES = ("İİİ", "ﬁﬁﬁ", "ßßß", "e\u0301e\u0301e\u0301", "ééé", "日本語", "👍👍👍", "𝔘𝔫𝔦", "x\0\0", "  x")

Content = tuple[list[list[int]], list[Any]]


def check_tokenizer(cls: type[Any], /, **config: Any) -> None:
    """Check a tokenizer class.

    Args:
        cls: the class.
        config: arguments for its constructor.

    Raises:
        ConformanceError: it breaks the contract.

    What is checked: name, version, configuration and files; types and shapes of what ``tokenize`` returns; spans
    within the text, in characters, their starts never decreasing, pointing into the original text; ids within the
    vocabulary; that a text's tokens don't depend on its neighbours in the batch, on earlier calls, or on the thread.
    """
    tokenizer = build("tokenizer", cls, config)
    subject = f"tokenizer {cls.__qualname__}"
    check_instance(subject, tokenizer)
    again = type(tokenizer)(**tokenizer.config)

    def check_again(text: str) -> None:
        if _contents(again, [text]) != _contents(tokenizer, [text]):
            raise ConformanceError(
                f"{subject}.config",
                "type(plugin)(**plugin.config) is the same plugin",
                seen="a tokenizer made of the configuration gives other tokens: "
                f"{shown(_contents(again, [text]))}, not {shown(_contents(tokenizer, [text]))}",
                given=f"texts=[{text!r}]",
                advice="return every setting that tokenize() depends on",
            )

    for text in SAMPLE_TEXTS:
        on_smallest_text(text, check_again)


def check_instance(subject: str, tokenizer: Any) -> None:
    """Check what a tokenizer does, whoever made it."""
    check_methods(subject, tokenizer, ["tokenize", "vocabulary", "name", "version", "config", "files"])
    vocabulary = call(f"{subject}.vocabulary", "()", tokenizer.vocabulary)
    n_entries = None
    if vocabulary is not None:
        check_vocabulary(f"{subject}.vocabulary", vocabulary)
        n_entries = len(vocabulary.entries)
    where = f"{subject}.tokenize"
    _check_tokens(where, tokenizer, [], n_entries)
    first: list[Content] = []
    for text in SAMPLE_TEXTS:
        on_smallest_text(text, lambda text: _check_tokens(where, tokenizer, [text], n_entries))
        first += _contents(tokenizer, [text])
    _check_tokens(where, tokenizer, list(SAMPLE_TEXTS), n_entries)
    _check_tokens(where, tokenizer, tuple(SAMPLE_TEXTS), n_entries)
    _check_original_places(where, tokenizer)
    _check_independence(where, tokenizer, first)
    check_in_threads(
        where,
        "the sample texts",
        [lambda: _contents(tokenizer, SAMPLE_TEXTS[:20]), lambda: _contents(tokenizer, SAMPLE_TEXTS[20:])],
        lambda one, other: one == other,
    )


def check_vocabulary(subject: str, vocabulary: object) -> None:
    """Check a closed vocabulary."""
    if not isinstance(vocabulary, Vocabulary):
        raise ConformanceError(
            subject,
            "it returns a vecsearch.Vocabulary, or None where a tokenizer's vocabulary is open",
            seen=shown(vocabulary),
            given="()",
            advice="return Vocabulary(entries=[…], starts_word=np.array([…], dtype=bool)); where there are no entries, "
            "Vocabulary([], np.zeros(0, bool))",
        )
    for number, entry in enumerate(vocabulary.entries):
        if not isinstance(entry, str):
            raise ConformanceError(
                subject,
                "entries are strings, in id order",
                seen=f"entry {number} is {shown(entry)}",
                given="()",
                advice="decode the entries",
            )
    check_array(
        subject,
        "starts_word",
        vocabulary.starts_word,
        np.bool_,
        (len(vocabulary.entries),),
        "()",
        on_shape="return one bool for each entry",
    )


def _check_tokens(where: str, tokenizer: Any, texts: Sequence[str], n_entries: int | None) -> None:
    given = f"texts={shown(texts)}"
    before = list(texts)
    tokens = call(where, given, tokenizer.tokenize, texts)
    unchanged(where, "texts", before, list(texts), given)
    if not isinstance(tokens, Tokens):
        raise ConformanceError(
            where,
            "it returns a vecsearch.Tokens",
            seen=f"{shown(tokens)} (a {type(tokens).__name__})",
            given=given,
            advice="return Tokens(offsets=…, spans=…, ids=…) or Tokens(offsets=…, spans=…, entries=…): one for the "
            "whole batch, not one for each text",
        )
    check_array(
        where,
        "offsets",
        tokens.offsets,
        np.int64,
        (len(texts) + 1,),
        given,
        on_shape="return one number more than there are texts: 0, then how many tokens there are up to the end of each",
    )
    check_array(
        where,
        "spans",
        tokens.spans,
        np.int32,
        (None, 2),
        given,
        on_shape="return start and end of each token; for none np.zeros((0, 2), np.int32), so .reshape(-1, 2) helps",
    )
    n_tokens = len(tokens.spans)
    if tokens.offsets[0] != 0 or tokens.offsets[-1] != n_tokens or (np.diff(tokens.offsets) < 0).any():
        raise ConformanceError(
            where,
            "offsets rise from 0 to the number of tokens: those of text t are offsets[t]:offsets[t + 1]",
            seen=f"offsets {tokens.offsets.tolist()} for {n_tokens} tokens",
            given=given,
            advice="return np.concatenate([[0], np.cumsum(tokens of each text)])",
        )
    _check_names(where, tokens, n_tokens, n_entries, given)
    for number, text in enumerate(texts):
        spans = tokens.spans[tokens.offsets[number] : tokens.offsets[number + 1]]
        _check_spans(where, spans, text, given)


def _check_names(where: str, tokens: Tokens, n_tokens: int, n_entries: int | None, given: str) -> None:
    if n_entries is None:
        if tokens.entries is None or tokens.ids is not None:
            raise ConformanceError(
                where,
                "an open vocabulary (vocabulary() is None) gives entries and no ids",
                seen=f"ids={shown(tokens.ids)}, entries={shown(tokens.entries)}",
                given=given,
                advice="return entries=[…], or return the vocabulary from vocabulary()",
            )
        if len(tokens.entries) != n_tokens:
            raise ConformanceError(
                where,
                "there is one entry a token",
                seen=f"{len(tokens.entries)} entries for {n_tokens} spans",
                given=given,
                advice="cut entries and spans by the same rule",
            )
        for entry in tokens.entries:
            if not isinstance(entry, str):
                raise ConformanceError(
                    where, "entries are strings", seen=shown(entry), given=given, advice="return plain str objects"
                )
        return
    if tokens.ids is None or tokens.entries is not None:
        raise ConformanceError(
            where,
            "a closed vocabulary gives ids and no entries",
            seen=f"ids={shown(tokens.ids)}, entries={shown(tokens.entries)}",
            given=given,
            advice="return ids=…, or return None from vocabulary()",
        )
    check_array(where, "ids", tokens.ids, np.int32, (n_tokens,), given)
    outside = tokens.ids[(tokens.ids < 0) | (tokens.ids >= n_entries)]
    if len(outside):
        raise ConformanceError(
            where,
            f"ids lie within the vocabulary: 0 ≤ id < {n_entries}",
            seen=f"id {outside[0]}",
            given=given,
            advice="list every entry in vocabulary(), the special and added ones too, or map what is unknown to one id",
        )


def _check_spans(where: str, spans: np.ndarray[Any, Any], text: str, given: str) -> None:
    if not text and len(spans):
        raise ConformanceError(
            where,
            "an empty text has no tokens",
            seen=f"{len(spans)} tokens",
            given=given,
            advice="add no special tokens: every token stands for characters of the text",
        )
    wrong = (spans[:, 0] < 0) | (spans[:, 0] > spans[:, 1]) | (spans[:, 1] > len(text))
    if wrong.any():
        raise ConformanceError(
            where,
            "spans are characters of the text: 0 ≤ start ≤ end ≤ len(text)",
            seen=f"span {tuple(spans[wrong][0].tolist())} in a text of {len(text)} characters",
            given=given,
            advice="count characters (str indices) of the text itself: not bytes, and not of its folded or "
            "normalised form",
        )
    back = np.flatnonzero(np.diff(spans[:, 0]) < 0)
    if len(back):
        raise ConformanceError(
            where,
            "tokens are in reading order: starts never decrease within a text",
            seen=f"span {spans[back[0] + 1].tolist()} after {spans[back[0]].tolist()}",
            given=given,
            advice="sort the tokens of each text by their start",
        )


def _check_original_places(where: str, tokenizer: Any) -> None:
    """Check that what precedes a word doesn't shift its span, whatever becomes of it on the way."""
    plain = _contents(tokenizer, ["xxx dog"])[0][0]
    if not plain or plain[-1][1] != len("xxx dog"):
        return  # a tokenizer that leaves out letters, or this word, has no place to compare
    for prefix in _PREFIXES:
        text = f"{prefix} dog"
        spans = _contents(tokenizer, [text])[0][0]
        if not spans or spans[-1][1] != len(text):
            raise ConformanceError(
                where,
                "spans point into the original text, whatever becomes of it before it is cut",
                seen=f"the last token ends at {spans[-1][1] if spans else 'nothing'}, "
                f"and the word that it ends with at {len(text)}",
                given=f"texts=[{text!r}]",
                advice="map places in the folded, normalised or encoded text back to characters of the original",
            )


def _check_independence(where: str, tokenizer: Any, alone: Sequence[Content]) -> None:
    for text, before in zip(SAMPLE_TEXTS, alone, strict=True):
        now = _contents(tokenizer, [text])[0]
        if now != before:
            raise ConformanceError(
                where,
                "the same text always gives the same tokens",
                seen=f"{shown(now)}, and earlier {shown(before)}",
                given=f"texts=[{text!r}], after other texts",
                advice="keep nothing between calls that changes a result",
            )
    together = _contents(tokenizer, SAMPLE_TEXTS)
    for number, (one, expected) in enumerate(zip(together, alone, strict=True)):
        if one != expected:
            raise _neighbour_error(where, tokenizer, number, expected, one)


def _neighbour_error(where: str, tokenizer: Any, number: int, expected: Content, seen: Content) -> ConformanceError:
    text = SAMPLE_TEXTS[number]
    texts: list[str] | tuple[str, ...] = SAMPLE_TEXTS
    for other in SAMPLE_TEXTS:  # a pair shows it better than the whole batch
        for pair, place in (([other, text], 1), ([text, other], 0)):
            content = _contents(tokenizer, pair)[place]
            if content != expected and len(texts) > 2:
                texts, seen = pair, content
    return ConformanceError(
        where,
        "a text's tokens never depend on its neighbours in the batch",
        seen=f"{text!r} gives {shown(expected)} alone and {shown(seen)} in the batch",
        given=f"texts={shown(texts)}",
        advice="cut each text on its own, without padding or truncation; begin its spans at 0",
    )


def _contents(tokenizer: Any, texts: Sequence[str]) -> list[Content]:
    """Return spans and ids or entries of each text, as plain lists."""
    tokens = tokenizer.tokenize(texts)
    names = tokens.entries if tokens.ids is None else tokens.ids.tolist()
    bounds = tokens.offsets.tolist()
    spans = tokens.spans.tolist()
    return [(spans[a:b], list(names[a:b])) for a, b in pairwise(bounds)]
