"""Every check of the kit is seen to fail, on a class that breaks just that part of its contract."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from safetensors.numpy import save_file

from vecsearch import Document, LoadError, SourceFile, Tokens, Vocabulary
from vecsearch.plugins import Registry
from vecsearch.testing import (
    SAMPLE_TEXTS,
    ConformanceError,
    check_embedder,
    check_encoder,
    check_loader,
    check_plugin,
    check_plugin_module,
    check_scorer,
    check_tokenizer,
)
from vecsearch_scorers.maxsim import MaxSimScorer


class Base:
    version: ClassVar[str] = "1"

    @property
    def config(self) -> dict[str, Any]:
        return {}

    @property
    def files(self) -> dict[str, str]:
        return {}


def fails(check, cls, *said, **arguments):
    """Run a check that must fail; return its message after looking for some words in it."""
    with pytest.raises(ConformanceError) as caught:
        check(cls, **arguments)
    message = str(caught.value)
    for words in said:
        assert words in message, message
    assert all(f"    {label}" in message for label in ("seen:  ", "with:  ", "to do: ")), message
    return message


# Tokenizers


class Words(Base):
    """A correct tokenizer with an open vocabulary: white space parts words."""

    name = "words"

    def __init__(self, *, fold: bool = True) -> None:
        self.fold = fold

    @property
    def config(self):
        return {"fold": self.fold}

    def tokenize(self, texts):
        spans, entries, offsets = [], [], [0]
        for text in texts:
            for span, entry in self.cut(text):
                spans.append(span)
                entries.append(entry)
            offsets.append(len(entries))
        return Tokens(np.array(offsets, np.int64), np.array(spans, np.int32).reshape(-1, 2), entries=entries)

    def cut(self, text):
        start = 0
        for word in text.split():
            start = text.index(word, start)
            yield (start, start + len(word)), word.casefold() if self.fold else word
            start += len(word)

    def vocabulary(self):
        return None


class Letters(Base):
    """A correct tokenizer with a closed vocabulary: ASCII letters, and 26 for anything else."""

    name = "letters"

    def tokenize(self, texts):
        ids = [self.number(letter) for text in texts for letter in text]
        spans = [(place, place + 1) for text in texts for place in range(len(text))]
        offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        return Tokens(offsets, np.array(spans, np.int32).reshape(-1, 2), ids=np.array(ids, np.int32))

    def number(self, letter):
        return ord(letter.lower()) - 97 if letter.isascii() and letter.isalpha() else 26

    def vocabulary(self):
        return Vocabulary([*"abcdefghijklmnopqrstuvwxyz", "<unk>"], np.ones(27, bool))


def changed_tokens(**changes):
    """Return a tokenize() that changes what Words gives: attribute → function of it."""

    def tokenize(self, texts):
        tokens = Words.tokenize(self, texts)
        values = {key: getattr(tokens, key) for key in ("offsets", "spans", "ids", "entries")}
        return Tokens(**{**values, **{key: change(values[key]) for key, change in changes.items()}})

    return tokenize


def test_correct_tokenizers_pass():
    check_tokenizer(Words)
    check_tokenizer(Words, fold=False)
    check_tokenizer(Letters)


BROKEN_TOKENIZERS = {
    "no version": ({"version": None}, ["a name and a version", "has the version None"]),
    "name in capitals": ({"name": "Words"}, ["the name 'Words'", "lower-case"]),
    "no method": ({"vocabulary": None}, ["it lacks vocabulary"]),
    "property that raises": ({"files": property(lambda self: {}["x"])}, ["files: it must not raise", "KeyError: 'x'"]),
    "raises": ({"cut": lambda self, text: [text[0]]}, ["must not raise", "IndexError", "texts=['']"]),
    "not Tokens": ({"tokenize": lambda self, texts: []}, ["returns a vecsearch.Tokens"]),
    "offsets of int32": (
        {"tokenize": changed_tokens(offsets=lambda a: a.astype(np.int32))},
        ["offsets is int64", "dtype int32", ".astype(np.int64"],
    ),
    "offsets without the 0": ({"tokenize": changed_tokens(offsets=lambda a: a[1:])}, ["offsets is int64 (1)", "(0,)"]),
    "offsets too low": (
        {"tokenize": changed_tokens(offsets=lambda a: a // 2)},
        ["rise from 0 to the number of tokens", "for 1 tokens"],
    ),
    "spans of int64": ({"tokenize": changed_tokens(spans=lambda a: a.astype(np.int64))}, ["spans is int32 (any, 2)"]),
    "no tokens, wrong shape": (
        {"tokenize": changed_tokens(spans=lambda a: a if len(a) else np.zeros(0, np.int32))},
        ["spans is int32 (any, 2)", "shape (0,)", "texts=[]"],
    ),
    "entries missing": (
        {"tokenize": changed_tokens(entries=lambda e: e[:-1])},
        ["one entry a token", "0 entries for 1"],
    ),
    "entries of bytes": (
        {"tokenize": changed_tokens(entries=lambda e: [one.encode() for one in e])},
        ["entries are strings", "b'a'"],
    ),
    "ids and entries": (
        {"tokenize": changed_tokens(ids=lambda _: np.zeros(0, np.int32))},
        ["gives entries and no ids"],
    ),
    "a token for nothing": (
        {"cut": lambda self, text: [((0, 0), "<s>"), *Words.cut(self, text)]},
        ["an empty text has no tokens", "no special tokens", "texts=['']"],
    ),
    "spans of bytes": (
        {
            "cut": lambda self, text: [
                ((len(text[:a].encode()), len(text[:b].encode())), e) for (a, b), e in Words.cut(self, text)
            ]
        },
        ["0 ≤ start ≤ end ≤ len(text)", "not bytes"],
    ),
    "reversed order": (
        {"cut": lambda self, text: list(Words.cut(self, text))[::-1]},
        ["starts never decrease", "[0, 1]"],
    ),
    "spans of the composed text": (
        {"cut": lambda self, text: Words.cut(self, text.replace("e\u0301", "é"))},
        ["point into the original text", "texts=['e\u0301e\u0301e\u0301 dog']"],
    ),
    "changes its input": ({"tokenize": lambda self, texts: _pop(self, texts)}, ["never changed in place", "texts was"]),
    "longest text decides": (
        {
            "tokenize": lambda self, texts: Words.tokenize(
                self, [text if len(text) * 2 > max(map(len, texts)) else "" for text in texts]
            )
        },
        ["never depend on its neighbours", "texts=["],
    ),
    "remembers": ({"tokenize": lambda self, texts: _remember(self, texts)}, ["the same text always gives the same"]),
    "own thread only": ({"tokenize": lambda self, texts: _own_thread(self, texts)}, ["in a thread", "AttributeError"]),
    "drops keywords": ({"__init__": lambda self, **kwargs: setattr(self, "fold", True)}, ["refused, never dropped"]),
    "config incomplete": ({"config": property(lambda self: {})}, ["defaults filled in", "without fold"]),
    "config of sets": ({"config": property(lambda self: {"fold": {1}})}, ["JSON", "{'fold': {1}}"]),
    "config of tuples": (
        {"config": property(lambda self: {"fold": (1,)})},
        ["JSON gives back as", "instead of tuples"],
    ),
    "config ignored": ({"config": property(lambda self: {"fold": True})}, ["is kept, never ignored"], {"fold": False}),
    "config flips": (
        {"config": property(lambda self: {"fold": not self.fold})},
        ["type(plugin)(**plugin.config)", "is the same plugin"],
    ),
    "a file that is not there": ({"files": property(lambda self: {"model": "/no/such/file"})}, ["each is there"]),
}


def _pop(self, texts):
    tokens = Words.tokenize(self, texts)
    if isinstance(texts, list) and texts:
        texts[0] = ""
    return tokens


def _remember(self, texts):
    self.known = {*getattr(self, "known", ()), *texts}
    tokens = Words.tokenize(self, texts)
    if len(self.known) < 12:
        return tokens
    return Tokens(tokens.offsets, tokens.spans, entries=["?"] * tokens.n_tokens)


def _own_thread(self, texts):
    if threading.current_thread() is not threading.main_thread():
        raise AttributeError("no connection in this thread")
    return Words.tokenize(self, texts)


@pytest.mark.parametrize("case", BROKEN_TOKENIZERS)
def test_broken_tokenizer_is_reported(case):
    changes, said, *arguments = BROKEN_TOKENIZERS[case]
    fails(check_tokenizer, type("Broken", (Words,), changes), *said, **(arguments[0] if arguments else {}))


def test_id_outside_the_vocabulary_is_reported_with_the_smallest_text():
    class Wide(Letters):
        def number(self, letter):
            return 27 if letter == "l" else super().number(letter)

    assert "with:  texts=['l']" in fails(check_tokenizer, Wide, "0 ≤ id < 27", "seen:  id 27")


def test_closed_vocabulary_must_give_ids():
    class Confused(Words):
        def vocabulary(self):
            return Vocabulary(["a"], np.ones(1, bool))

    fails(check_tokenizer, Confused, "a closed vocabulary gives ids and no entries")


def test_vocabulary_is_checked():
    class NoFlags(Letters):
        def vocabulary(self):
            return Vocabulary(["a"] * 27, np.ones(26, bool))

    class NotStrings(Letters):
        def vocabulary(self):
            return Vocabulary([b"a"] * 27, np.ones(27, bool))

    class NotAVocabulary(Letters):
        def vocabulary(self):
            return {"a": 0}

    fails(check_tokenizer, NoFlags, "starts_word is bool (27)", "shape (26,)")
    fails(check_tokenizer, NotStrings, "entries are strings", "entry 0 is b'a'")
    fails(check_tokenizer, NotAVocabulary, "a vecsearch.Vocabulary, or None")


def test_class_without_its_method_is_reported_by_name():
    class Nothing(Base):
        name = "nothing"

        def tokenize(self, texts):
            return None

    fails(check_tokenizer, Nothing, "it lacks vocabulary")


def test_positional_only_arguments_are_reported():
    class Positional(Words):
        def __init__(self, fold=True, /):
            self.fold = fold

    fails(check_tokenizer, Positional, "keyword arguments only", "def __init__(self, *, …)")


def test_constructor_that_refuses_its_arguments_is_reported():
    class Refusing(Words):
        def __init__(self, *, fold=True):
            raise RuntimeError("no model")

    fails(check_tokenizer, Refusing, "must not raise", "RuntimeError: no model")


def test_setting_that_config_forgets_to_change_is_seen_by_its_tokens():
    class Hidden(Words):
        made = 0

        def __init__(self, *, fold=True):
            super().__init__(fold=fold and not Hidden.made)
            Hidden.made += 1

        config = property(lambda self: {"fold": True})

    fails(check_tokenizer, Hidden, "is the same plugin", "gives other tokens")


def test_sample_texts_hold_what_always_must_be_tried():
    together = "".join(SAMPLE_TEXTS)
    assert SAMPLE_TEXTS[0] == ""
    assert all(sign in together for sign in ("\0", "\u0301", "\u200d", "日", "ש", "𝔘", "\r\n"))
    assert list(map(len, SAMPLE_TEXTS[:5])) == [0, 1, 1, 1, 1]


# Embedders


class Static(Base):
    """A correct static embedder: a row is the counts of characters by code point modulo dim."""

    name = "static"
    dim = 4

    def rows(self, entries, starts_word):
        rows = np.zeros((len(entries), self.dim), np.float32)
        for row, entry in zip(rows, entries, strict=True):
            for sign in entry:
                row[ord(sign) % self.dim] += 1
        return rows

    def vocabulary(self):
        return Vocabulary(["a", "b"], np.ones(2, bool))


class Contextual(Base):
    """A correct contextual embedder: a letter's row, and that of the letter before it."""

    name = "contextual"
    dim = 28

    def tokenizer(self):
        return Letters()

    def embed(self, texts, tokens):
        vectors = np.zeros((tokens.n_tokens, 28), np.float32)
        vectors[np.arange(tokens.n_tokens), tokens.ids] = 2
        for a, b in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True):
            for token in range(a + 1, b):
                vectors[token, tokens.ids[token - 1]] += 1
        return vectors


def test_correct_embedders_pass():
    check_embedder(Static)
    check_embedder(Contextual)


def _unknown_is_nan(self, entries, starts_word):
    rows = Static.rows(self, entries, starts_word)
    with np.errstate(all="ignore"):
        return rows / (rows.sum(axis=1, keepdims=True))


def _last_row_only(self, entries, starts_word):
    rows = Static.rows(self, entries, starts_word)
    return rows - rows.mean(axis=0) if len(rows) > 1 else rows


def _clear_starts(self, entries, starts_word):
    starts_word[:] = False
    return Static.rows(self, entries, starts_word)


BROKEN_STATIC = {
    "float64": ({"rows": lambda self, e, s: Static.rows(self, e, s).astype(np.float64)}, ["float32", "float64"]),
    "wrong dim": ({"dim": 5, "rows": lambda self, e, s: np.zeros((len(e), 4), np.float32)}, ["(0, 5)", "shape (0, 4)"]),
    "dim is not a number": ({"dim": None}, ["an int ≥ 1", "None"]),
    "a list": ({"rows": lambda self, e, s: [[0.0] * 4] * len(e)}, ["numpy array", "a list"]),
    "nothing for nothing": (
        {"rows": lambda self, e, s: Static.rows(self, e, s) if e else np.zeros(0, np.float32)},
        ["float32 (0, 4)", "entries=[]"],
    ),
    "nan for the unknown": ({"rows": _unknown_is_nan}, ["is finite", "nan at (0, 0)", "entries=['']"]),
    "raises for the unknown": (
        {"rows": lambda self, e, s: Static.rows(self, [{"dog": "dog"}[one] for one in e], s)},
        ["must not raise", "KeyError: 'the'"],
    ),
    "neighbours": ({"rows": _last_row_only}, ["depends on nothing but the entry"]),
    "changes starts_word": ({"rows": _clear_starts}, ["never changed in place", "starts_word was"]),
    "knows nothing": (
        {"rows": lambda self, e, s: np.zeros((len(e), 4), np.float32)},
        ["zeros are for what is unknown"],
    ),
    "own thread only": (
        {
            "rows": lambda self, e, s: (
                Static.rows(self, e, s) + (threading.current_thread() is not threading.main_thread())
            ).astype(np.float32)
        },
        ["two threads"],
    ),
}


@pytest.mark.parametrize("case", BROKEN_STATIC)
def test_broken_static_embedder_is_reported(case):
    changes, said = BROKEN_STATIC[case]
    fails(check_embedder, type("Broken", (Static,), changes), *said)


OPTIONAL = {
    "scorer is a class": ({"scorer": MaxSimScorer}, ["scorer: it is the name of a scorer"]),
    "scorer without a name": ({"scorer": ""}, ["scorer: it is the name of a scorer", "seen:  ''"]),
    "encoder is a class": ({"encoder": Words}, ["encoder: it is the name of a positional encoder"]),
    "one text": ({"reference": lambda self: "dog bites man"}, ["a list of texts", "'dog bites man'"]),
    "no text": ({"reference": lambda self: []}, ["and at least one"]),
    "empty text": ({"reference": lambda self: ["dog", " "]}, ["none of them empty"]),
    "words as bytes": ({"reference": lambda self: [b"dog"]}, ["a list of texts"]),
    "raises": ({"reference": lambda self: 1 / 0}, ["must not raise", "ZeroDivisionError"]),
    "other texts each time": (
        {"reference": lambda self: [str(_count(self))]},
        ["always gives the same texts", "['1'], then ['2']"],
    ),
}


@pytest.mark.parametrize("case", OPTIONAL)
@pytest.mark.parametrize("kind", [Static, Contextual])
def test_broken_optional_part_of_an_embedder_is_reported(kind, case):
    changes, said = OPTIONAL[case]
    fails(check_embedder, type("Broken", (kind,), changes), *said)


@pytest.mark.parametrize("kind", [Static, Contextual])
def test_embedder_with_the_optional_parts_passes(kind):
    parts = {
        "scorer": "soft_tf",
        "encoder": "relative:order=0.1",
        "reference": lambda self: ("dog bites man", "man bites dog"),
    }
    check_embedder(type("Complete", (kind,), parts))


def test_embedder_that_is_of_no_kind_is_reported():
    class Neither(Base):
        name = "neither"
        dim = 4

        def rows(self, entries, starts_word):
            return np.zeros((len(entries), 4), np.float32)

    class Both(Static, Contextual):
        name = "both"

    fails(check_embedder, Neither, "either static", "it has dim, rows")
    fails(check_embedder, Both, "either static", "it has dim, rows, vocabulary, tokenizer, embed")


BROKEN_CONTEXTUAL = {
    "one vector a text": (
        {"embed": lambda self, texts, tokens: np.ones((len(texts), 28), np.float32)},
        ["one vector a token", "shape (1, 28)"],
    ),
    "neighbours": (
        {"embed": lambda self, texts, tokens: np.float32(len(texts)) * Contextual.embed(self, texts, tokens)},
        ["never depend on its neighbours"],
    ),
    "changes ids": ({"embed": lambda self, texts, tokens: _clear_ids(self, texts, tokens)}, ["tokens.ids was"]),
    "broken tokenizer": (
        {"tokenizer": lambda self: type("T", (Letters,), {"number": lambda self, letter: 99})()},
        [".tokenizer()", "0 ≤ id < 27"],
    ),
    "no empty text": (
        {"embed": lambda self, texts, tokens: np.stack(list(Contextual.embed(self, texts, tokens)))},
        ["must not raise", "texts=[]"],
    ),
}


def _clear_ids(self, texts, tokens):
    vectors = Contextual.embed(self, texts, tokens)
    tokens.ids[:] = 0
    return vectors


def _masked(self, text, *, spans=None, vectors=None):
    tokens = self.tokenizer().tokenize([text])
    ids = np.concatenate([tokens.ids, np.zeros(2, np.int32)])
    more = np.full((2, 2), len(text), np.int32) if spans is None else spans
    found = Tokens(np.array([0, len(ids)], np.int64), np.concatenate([tokens.spans, more]), ids=ids)
    rows = np.concatenate([self.embed([text], tokens), np.ones((2, self.dim), np.float32)])
    return found, rows if vectors is None else vectors(rows)


def test_contextual_embedder_with_a_way_of_its_own_for_queries_passes():
    check_embedder(type("Masked", (Contextual,), {"embed_query": _masked, "uses_idf": False}))


BROKEN_CONTEXTUAL |= {
    "idf by word": ({"uses_idf": "no"}, ["uses_idf: it is a bool", "'no'"]),
    "query is no pair": (
        {"embed_query": lambda self, text: _masked(self, text)[1]},
        ["embed_query: it returns a pair", "return tokens, vectors"],
    ),
    "query tokens at its beginning": (
        {"embed_query": lambda self, text: _masked(self, text, spans=np.zeros((2, 2), np.int32))},
        ["at the text's end", "(len(text), len(text))"],
    ),
    "query vectors of another length": (
        {"embed_query": lambda self, text: _masked(self, text, vectors=lambda rows: rows[:, 1:])},
        ["embed_query: the second of the pair"],
    ),
    "query vectors that change": (
        {"embed_query": lambda self, text: _masked(self, text, vectors=lambda rows: rows * np.float32(_count(self)))},
        ["always gives the same vectors of a text"],
    ),
    "query that raises": ({"embed_query": lambda self, text: 1 / 0}, ["must not raise", "ZeroDivisionError"]),
}


@pytest.mark.parametrize("case", BROKEN_CONTEXTUAL)
def test_broken_contextual_embedder_is_reported(case):
    changes, said = BROKEN_CONTEXTUAL[case]
    fails(check_embedder, type("Broken", (Contextual,), changes), *said)


# Encoders


def unit(rows):
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 1e-12)


class Previous(Base):
    """A correct encoder: a token, and a little of the one before it."""

    name = "previous"

    def encode(self, units, weights, offsets):
        before = np.zeros_like(units)
        before[1:] = units[:-1]
        starts = offsets[:-1]
        before[starts[starts < len(units)]] = 0
        return unit(units + np.float32(0.5) * np.roll(before, 1, axis=1))


class Plane(Base):
    """A correct encoder that aligns: the first two features turn by one radian a position."""

    name = "plane"
    depth = 100

    def encode(self, units, weights, offsets):
        return units

    def turned(self, rows, first):
        angles = np.arange(first, first + len(rows))
        turned = rows.copy()
        turned[:, 0] = np.cos(angles) * rows[:, 0] - np.sin(angles) * rows[:, 1]
        turned[:, 1] = np.sin(angles) * rows[:, 0] + np.cos(angles) * rows[:, 1]
        return turned

    def align(self, query, passage):
        placed = self.turned(passage, 0)
        shifts = range(1 - len(query), len(passage))
        return np.stack([(self.turned(query, shift) @ placed.T).max(axis=1) for shift in shifts]).astype(np.float32)

    def similarities(self, query, passage, alignment):
        return (self.turned(query, alignment + 1 - len(query)) @ self.turned(passage, 0).T).astype(np.float32)


def test_correct_encoders_pass():
    check_encoder(Previous)
    check_encoder(Plane, dims=[2, 5])


def _over_edges(self, units, weights, offsets):
    before = np.zeros_like(units)
    before[1:] = units[:-1]
    return unit(units + before)


def _in_place(self, units, weights, offsets):
    units *= -1
    return units


def _not_guarded(self, units, weights, offsets):
    return units / np.linalg.norm(units, axis=1, keepdims=True)


BROKEN_ENCODERS = {
    "over the edges": ({"encode": _over_edges}, ["other passages of the batch", "passages of [1, 1] tokens"]),
    "positions over the batch": (
        {"encode": lambda self, u, w, o: unit(u + np.arange(len(u), dtype=np.float32)[:, None] / 100)},
        ["other passages of the batch", "passages of [1, 1] tokens"],
    ),
    "not unit length": ({"encode": lambda self, u, w, o: u * np.float32(2)}, ["unit length", "has length 2"]),
    "changes its input": ({"encode": _in_place}, ["never changed in place", "units was", "[1] tokens"]),
    "divides by zero": ({"encode": _not_guarded}, ["is finite", "zero rows"]),
    "float64": ({"encode": lambda self, u, w, o: u.astype(np.float64)}, ["float32", "dtype float64"]),
    "one vector a passage": ({"encode": lambda self, u, w, o: u[o[:-1]]}, ["must not raise", "[0] tokens"]),
    "random": (
        {"encode": lambda self, u, w, o: unit(u + np.random.default_rng().random(u.shape).astype(np.float32))},
        ["the same passage always gives the same vectors", "[1] tokens"],
    ),
    "no encode": ({"encode": None}, ["it lacks encode"]),
    "own thread only": (
        {"encode": lambda self, u, w, o: u if threading.current_thread() is threading.main_thread() else -u},
        ["two threads"],
    ),
}


@pytest.mark.parametrize("case", BROKEN_ENCODERS)
def test_broken_encoder_is_reported(case):
    changes, said = BROKEN_ENCODERS[case]
    fails(check_encoder, type("Broken", (Previous,), changes), *said)


BROKEN_ALIGNERS = {
    "one row for all": ({"align": lambda self, q, p: (q @ p.T).max(axis=1)}, ["float32 (any, 1)"]),
    "no alignment": ({"align": lambda self, q, p: np.zeros((0, len(q)), np.float32)}, ["at least one alignment"]),
    "above one": ({"align": lambda self, q, p: 2 * Plane.align(self, q, p)}, ["similarities in [−1, 1]"]),
    "misses itself": (
        {
            "align": lambda self, q, p: Plane.align(self, q, p) / 2,
            "similarities": lambda self, q, p, alignment: Plane.similarities(self, q, p, alignment) / 2,
        },
        ["a text aligned with itself"],
    ),
    "other similarities": (
        {"similarities": lambda self, q, p, alignment: Plane.similarities(self, q, p, 0)},
        ["the matrix of which a row of align() holds the maxima"],
    ),
    "no depth": ({"depth": None}, ["it has encode, align, similarities, depth", "it lacks depth"]),
    "depth 0": ({"depth": 0}, ["depth: it is an int ≥ 1", "seen:  0"]),
    "changes the query": ({"align": lambda self, q, p: _negate(self, q, p)}, ["query was"]),
}


def _negate(self, query, passage):
    aligned = Plane.align(self, query, passage)
    query *= -1
    return aligned


@pytest.mark.parametrize("case", BROKEN_ALIGNERS)
def test_broken_aligning_encoder_is_reported(case):
    changes, said = BROKEN_ALIGNERS[case]
    fails(check_encoder, type("Broken", (Plane,), changes), *said)


class Comparing(Previous):
    """A correct encoder that compares while it encodes."""

    name = "comparing"

    def encode_compared(self, rows, places, weights, offsets, query):
        vectors = self.encode(rows[places], weights, offsets)
        return vectors, np.maximum.reduceat(query @ vectors.T, offsets[:-1], axis=1)


def _with(change):
    """Return an ``encode_compared`` that returns something else."""
    return {"encode_compared": lambda self, *arguments: change(*Comparing.encode_compared(self, *arguments))}


BROKEN_COMPARERS = {
    "one array": (_with(lambda vectors, maxima: vectors), ["encode_compared: it returns vectors and maxima, or None"]),
    "float64": (_with(lambda vectors, maxima: (vectors, maxima.astype(np.float64))), ["float32", "the maxima"]),
    "turned": (_with(lambda vectors, maxima: (vectors, maxima.T.copy())), ["the maxima", "float32 (5, 1)"]),
    "other vectors": (_with(lambda vectors, maxima: (-vectors, maxima)), ["the vectors are those of encode()"]),
    "sums": (_with(lambda vectors, maxima: (vectors, maxima + 1)), ["the maxima are those of the inner products"]),
    "changes rows": (
        {"encode_compared": lambda self, rows, *_: rows.__imul__(-1) and None},
        ["must not raise"],
    ),
    "changes the query": (
        {"encode_compared": lambda self, rows, places, weights, offsets, query: query.fill(0)},
        ["query was"],
    ),
}


def test_correct_comparing_encoders_pass():
    check_encoder(Comparing)
    check_encoder(type("Idle", (Comparing,), {"encode_compared": lambda self, *_: None}))


@pytest.mark.parametrize("case", BROKEN_COMPARERS)
def test_broken_comparing_encoder_is_reported(case):
    changes, said = BROKEN_COMPARERS[case]
    fails(check_encoder, type("Broken", (Comparing,), changes), *said)


# Scorers


class Relative(MaxSimScorer):
    """A correct scorer that reads the background: the share of it that the best partner is above."""

    name = "relative"
    needs_background = True

    def transform(self, reduced, lengths, statistics):
        background = statistics.background
        if not background.shape[1]:
            return reduced
        least = np.minimum(np.median(background, axis=1, keepdims=True), 0.5)
        return np.maximum(reduced - least, 0) / (1 - least)

    def sensitivity(self, weights, statistics):
        return 2 * float(weights.sum())


def test_correct_scorers_pass():
    check_scorer(MaxSimScorer)
    check_scorer(Relative)


def _next_passage_too(self, similarities, offsets):
    return np.maximum.reduceat(similarities, offsets[:-1], axis=1).max(axis=1, keepdims=True) + np.zeros(
        (1, len(offsets) - 1), np.float32
    )


def _sort_in_place(self, similarities, offsets):
    similarities.sort(axis=1)
    return MaxSimScorer.reduce(self, similarities, offsets)


def _sort_background(self, reduced, lengths, statistics):
    statistics.background.sort(axis=1)
    return Relative.transform(self, reduced, lengths, statistics)


def _first_of_background(self, reduced, lengths, statistics):
    return reduced - statistics.background[:, :1] if statistics.background.shape[1] else reduced


def _count_all(self, similarities, offsets):
    return np.add.reduceat(np.maximum(similarities, 0), offsets[:-1], axis=1)


BROKEN_SCORERS = {
    "whole batch": ({"reduce": _next_passage_too}, ["never depends on the other passages"]),
    "batch mean": (
        {"transform": lambda self, r, lengths, c: r * np.float32(lengths.mean() / 3)},
        ["never depends on the other passages"],
    ),
    "reduced over the wrong axis": (
        {"reduce": lambda self, s, o: MaxSimScorer.reduce(self, s, o).T},
        ["reduce: the result is floating (2, 1)", "shape (1, 2)"],
    ),
    "one score in all": ({"combine": lambda self, t, w: (w @ t).sum()}, ["combine: the result"]),
    "changes its input": ({"reduce": _sort_in_place}, ["never changed in place", "similarities was"]),
    "equal passages do not tie": (
        {"combine": lambda self, t, w: MaxSimScorer.combine(self, t, w) + np.arange(t.shape[1]) * 1e-12},
        ["equal passages have equal scores to the last bit", "in one fixed order"],
    ),
    "falls": ({"combine": lambda self, t, w: -(w @ t)}, ["never lowers a score", "a score fell by"]),
    "sensitivity too low": (
        {"sensitivity": lambda self, w, c: float(w.max())},
        ["no score moves by more than sensitivity · ε"],
    ),
    "sensitivity forgets the length": (
        {"reduce": _count_all, "takes_maximum": False},
        ["no score moves by more than sensitivity · ε"],
    ),
    "sensitivity is an array": ({"sensitivity": lambda self, w, c: w}, ["one finite number"]),
    "steep": (
        {"transform": lambda self, r, lengths, c: np.where(r > 0, np.float32(5) * r, r)},
        ["no score moves by more than", "steepest slope"],
    ),
    "divides by the weights": (
        {"combine": lambda self, t, w: w @ t / w.sum()},
        ["combine: the result is finite", "all weights 0"],
    ),
    "logarithm of the negative": (
        {"transform": lambda self, r, lengths, c: np.log(r)},
        ["transform: the result is finite", "nan"],
    ),
    "no reduce": ({"reduce": lambda self, s: s}, ["must not raise", "TypeError"]),
    "no statistics": ({"transform": lambda self, r, lengths: r}, ["must not raise", "TypeError"]),
    "background without asking": (
        {"transform": lambda self, r, lengths, c: r - c.background[:, :1]},
        ["transform: the result is floating", "shape (1, 0)", "background float32 (1, 0)"],
    ),
    "needs_background is no bool": ({"needs_background": "yes"}, ["needs_background: it is a bool", "'yes'"]),
    "takes_maximum is no bool": ({"takes_maximum": 1}, ["takes_maximum: it is a bool", "reduce() is a maximum"]),
    "takes_maximum and is a sum": (
        {
            "reduce": lambda self, s, o: np.add.reduceat(np.maximum(s, 0), o[:-1], axis=1) / 256,
            "takes_maximum": True,
        },
        ["True only where reduce() returns the largest", "leave takes_maximum out"],
    ),
    "needs_background raises": (
        {"needs_background": property(lambda self: 1 / 0)},
        ["must not raise", "ZeroDivisionError"],
    ),
}


@pytest.mark.parametrize("case", BROKEN_SCORERS)
def test_broken_scorer_is_reported(case):
    changes, said = BROKEN_SCORERS[case]
    fails(check_scorer, type("Broken", (MaxSimScorer,), changes), *said)


BROKEN_BY_BACKGROUND = {
    "fails without one": (
        {"transform": lambda self, r, lengths, c: r - c.background.max(axis=1, keepdims=True)},
        ["transform: it must not raise", "ValueError: zero-size array", "background float32 (1, 0)"],
    ),
    "believes it in order": ({"transform": _first_of_background}, ["a sample in no order", "turned round"]),
    "sorts it in place": ({"transform": _sort_background}, ["never changed in place", "statistics.background was"]),
    "slope of no background": (
        {"sensitivity": MaxSimScorer.sensitivity},
        ["no score moves by more than sensitivity · ε"],
    ),
    "divides by nothing": (
        {"transform": lambda self, r, lengths, c: r / (1 - c.background.max(axis=1, keepdims=True, initial=-1))},
        ["transform: the result is finite", "background float32 (1, 3) [[1., 1., 1.]]"],
    ),
}


@pytest.mark.parametrize("case", BROKEN_BY_BACKGROUND)
def test_scorer_that_fails_on_some_background_is_reported(case):
    changes, said = BROKEN_BY_BACKGROUND[case]
    fails(check_scorer, type("Broken", (Relative,), changes), *said)


# Loaders


class Paragraphs(Base):
    """A correct loader: one document a file, a section a paragraph."""

    name = "paragraphs"
    suffixes = (".txt",)

    def load(self, file: SourceFile) -> Iterator[Document]:
        with file.open() as stream:
            try:
                text = stream.read().decode()
            except UnicodeDecodeError as error:
                raise LoadError(f"{file.name}: byte {error.start} is not UTF-8") from error
            yield from self.documents(file, text)

    def documents(self, file: SourceFile, text: str) -> Iterator[Document]:
        yield Document(id=file.id, text=text, title=text[:10], metadata={"n": 1}, sections=[0, *range(1, 0)])


FILES = {"a.txt": b"one\n\ntwo", "B.TXT": b"three"}


def test_correct_loader_passes():
    check_loader(Paragraphs, files=FILES)
    check_loader(Paragraphs)


def giving(**attributes):
    return {"documents": lambda self, file, text: iter([Document(**{"id": file.id, "text": text, **attributes})])}


def _leave_open(self, file):
    stream = file.open()
    yield Document(id=file.id, text=stream.read().decode(errors="replace"))


def _close_at_the_end(self, file):
    stream = file.open()
    text = stream.read().decode(errors="replace")
    yield Document(id=file.id, text=text)
    stream.close()


BROKEN_LOADERS = {
    "suffix without a dot": ({"suffixes": ("txt",)}, ["with the dot", "('txt',)"]),
    "suffixes in a list": ({"suffixes": [".txt"]}, ["a tuple of file name endings"]),
    "a list": (
        {"load": lambda self, file: list(Paragraphs.load(self, file))},
        ["as a stream", "(a list)", "with yield"],
    ),
    "dicts": ({"documents": lambda self, file, text: iter([{"id": "1"}])}, ["vecsearch.Document", "{'id': '1'}"]),
    "numbers as ids": (giving(id=7), ["a non-empty str id", "the id 7"]),
    "empty id": (giving(id=""), ["the id ''"]),
    "text of bytes": (giving(text=b"x"), ["the text b'x'"]),
    "title missing": (giving(title=None), ["the title None"]),
    "metadata of dates": (giving(metadata={"when": {1}}), ["metadata are JSON values", "{'when': {1}}"]),
    "sections out of the text": (giving(sections=[0, 99]), ["0 ≤ place ≤ len(text)", "[0, 99] in a text of 8"]),
    "sections descending": (giving(sections=[3, 1]), ["ascending", "[3, 1]"]),
    "sections of numpy": (giving(sections=[np.int64(1)]), ["as plain ints"]),
    "one id twice": (
        {"documents": lambda self, file, text: iter([Document(id="x", text=text)] * 2)},
        ["unique within a file", "'x' more than once"],
    ),
    "leaves the file open": ({"load": _leave_open}, ["what it opens it closes", "1 streams still open"]),
    "left half-way": ({"load": _close_at_the_end}, ["what it opens it closes", "left after its first document"]),
    "raises what the codec raises": (
        {"load": lambda self, file: _decode(self, file)},
        ["gives a LoadError, and nothing else", "UnicodeDecodeError"],
    ),
    "error without the name": (
        {"load": lambda self, file: _nameless(self, file)},
        ["a LoadError names the file", "put file.name"],
    ),
    "refuses a good file": (
        {"load": lambda self, file: _refuse(self, file)},
        ["a good file is read", "LoadError: a.txt: no"],
    ),
    "other ids each time": (
        {"documents": lambda self, file, text: iter([Document(id=str(_count(self)), text=text)])},
        ["the same file always gives the same documents"],
    ),
}


def _decode(self, file):
    with file.open() as stream:
        yield Document(id=file.id, text=stream.read().decode())


def _nameless(self, file):
    try:
        yield from Paragraphs.load(self, file)
    except LoadError:
        raise LoadError("not UTF-8") from None


def _refuse(self, file):
    raise LoadError(f"{file.name}: no")
    yield


def _count(self):
    self.n = getattr(self, "n", 0) + 1
    return self.n


@pytest.mark.parametrize("case", BROKEN_LOADERS)
def test_broken_loader_is_reported(case):
    changes, said = BROKEN_LOADERS[case]
    fails(check_loader, type("Broken", (Paragraphs,), changes), *said, files=FILES)


def test_sample_of_another_suffix_is_the_callers_mistake():
    with pytest.raises(ValueError, match=r"'a\.md' ends with none of the suffixes"):
        check_loader(Paragraphs, files={"a.md": b""})


# Plugin modules


def write_module(folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.py").write_text(text, "utf-8")
    return name


GOOD_MODULE = """
from typing import Any, ClassVar
from vecsearch import hookimpl

@hookimpl
def vecsearch_register_scorers():
    from vecsearch_scorers.maxsim import MaxSimScorer
    return [type("Other", (MaxSimScorer,), {"name": "kit-test-scorer"})]
"""

BROKEN_MODULES = {
    "numpy": ("import numpy as np" + GOOD_MODULE, ["loads nothing beyond the standard library", "it loads numpy"]),
    "numpy through vecsearch": (
        "from vecsearch.testing import check_scorer" + GOOD_MODULE,
        ["it loads numpy", "inside the hook functions"],
    ),
    "misspelt": (GOOD_MODULE.replace("_scorers()", "_scorer()"), ["unknown hook 'vecsearch_register_scorer'"]),
    "not marked": (GOOD_MODULE.replace("@hookimpl", ""), ["'vecsearch_register_scorers' is not marked", "@hookimpl"]),
    "a class": (GOOD_MODULE + "\nclass Extra: pass\n", ["holds hook functions, and nothing else", "Extra defined"]),
    "a function": (GOOD_MODULE + "\ndef helper(): pass\n", ["nothing else", "helper defined"]),
    "nothing": ("x = 1", ["holds hook functions", "seen:  no hook"]),
    "raises": ("raise RuntimeError('broken')", ["imported in a fresh interpreter", "RuntimeError: broken"]),
    "instances": (GOOD_MODULE.replace("[type(", "[MaxSimScorer(), type("), ["only classes may stand there"]),
    "no version": (
        GOOD_MODULE.replace('{"name"', '{"version": "", "name"'),
        ["has the version ''", "returns a list of classes"],
    ),
    "not a list": (GOOD_MODULE.replace("return [", "return {").replace("})]", "})}"), ["must return a list"]),
    "hook raises": (GOOD_MODULE.replace("return [", "1 / 0; return ["), ["must not raise", "ZeroDivisionError"]),
    "name taken": (
        GOOD_MODULE.replace("kit-test-scorer", "maxsim"),
        ["no other installed plugin has a scorer of the same name", "vecsearch_scorers.maxsim.MaxSimScorer"],
    ),
    "two of one name": (
        GOOD_MODULE.replace("return [", 'return [type("Same", (MaxSimScorer,), {"name": "kit-test-scorer"}), '),
        ["two scorers called 'kit-test-scorer'"],
    ),
    "arguments": (GOOD_MODULE.replace("scorers()", "scorers(registry)"), ["takes no arguments", "(registry)"]),
}


def test_correct_plugin_module_passes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    check_plugin_module(write_module(tmp_path, "kit_good", GOOD_MODULE))


@pytest.mark.parametrize("case", BROKEN_MODULES)
def test_broken_plugin_module_is_reported(case, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    text, said = BROKEN_MODULES[case]
    name = write_module(tmp_path, f"kit_broken_{list(BROKEN_MODULES).index(case)}", text)
    fails(check_plugin_module, name, *said)


def test_module_that_prints_is_still_read(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    check_plugin_module(write_module(tmp_path, "kit_printing", "print('hello', end='')\n" + GOOD_MODULE))


def test_unknown_plugin_names_those_that_are_there():
    with pytest.raises(ValueError, match=r"called 'nonesuch'; plugins: .*scorers"):
        check_plugin("nonesuch")


# First-party plugins


def test_scorers_that_ship_with_vecsearch_pass():
    assert set(check_plugin("scorers")) == {
        *("plugin scorers", "scorer debiased_maxsim", "scorer maxsim", "scorer soft_tf"),
    }


def test_tokenizers_that_ship_with_vecsearch_pass():
    pieces = Registry().create("tokenizer", "pieces").files["tokenizer"]
    assert set(check_plugin("tokenizers", configs={"subword": {"path": pieces}})) == {
        *("plugin tokenizers", "tokenizer character", "tokenizer pieces", "tokenizer subword", "tokenizer word"),
    }


@pytest.mark.parametrize("name", ["character", "pieces", "word"])
def test_tokenizers_that_keep_case_pass(name):
    cls = Registry().get("tokenizer", name)
    check_tokenizer(cls, **{key: False for key in cls().config if key == "fold_case"})


def test_embedders_that_ship_with_vecsearch_pass(tmp_path):
    words = ["the", "dog", "bit", "man", "straße", "日"]
    rows = np.random.default_rng(0).standard_normal((len(words), 5)).astype(np.float32)
    vectors, vocabulary, glove = (tmp_path / name for name in ("vectors.npy", "words.txt", "glove.txt"))
    np.save(vectors, rows)
    vocabulary.write_text("\n".join(words) + "\n", "utf-8")
    lines = [" ".join([word, *map(str, row)]) for word, row in zip(words, rows.tolist(), strict=True)]
    glove.write_text("\n".join(lines) + "\n", "utf-8")
    given = {"path": str(vectors), "vocabulary": str(vocabulary)}
    folder = tmp_path / "static"
    folder.mkdir()
    save_file({"words": rows}, str(folder / "model.safetensors"))
    (folder / "vocabulary.txt").write_text("\n".join(words) + "\n", "utf-8")
    names = ("model.safetensors", "vocabulary.txt")
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / "config.json").write_text(json.dumps({"model_type": "vecsearch", "format": 1, "sha256": hashes}))
    configs = {"matrix": given, "static": {"path": str(folder)}}
    assert set(check_plugin("wordllama", configs=configs)) == {
        *("plugin wordllama", "embedder matrix", "embedder static", "embedder wordllama"),
    }
    check_embedder(Registry().get("embedder", "matrix"), path=str(glove))


def test_encoders_that_ship_with_vecsearch_pass(tmp_path):
    table = tmp_path / "table.npy"
    np.save(table, np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32))
    learned = {"path": str(table), "dims": [16]}
    assert set(check_plugin("positions", configs={"learned": learned})) == {
        "plugin positions",
        *(f"encoder {name}" for name in ("none", "sinusoidal", "learned", "relative", "rotary")),
    }


def test_loaders_that_ship_with_vecsearch_pass():
    prose = b"Title\n\nA first paragraph.\n\nA second one, caf\xc3\xa9.\n"
    samples = {
        ".md": b"# Title\n\nText with `code`.\n\n## Part\n\n* one\n* two\n",
        ".rst": b"Title\n=====\n\nText.\n\nPart\n----\n\n.. code::\n\n   x = 1\n",
        ".py": b"import os\n\n\ndef f():\n    return os.name\n\n\nclass C:\n    pass\n",
        ".html": b"<html><head><title>T</title></head><body><h1>A</h1><p>One &amp; two</p><h2>B</h2></body></html>",
        ".jsonl": b'{"id": "1", "text": "one"}\n{"id": "2", "text": "two", "title": "T", "lang": "en"}\n',
        ".csv": b'id,text,lang\n1,one,en\n2,"two, and\nmore",de\n',
        ".txt": prose,
    }
    registry = Registry()
    given = {
        name: {
            f"sample{suffix}": samples[suffix] for suffix in registry.get("loader", name).suffixes if suffix in samples
        }
        for name in registry.names("loader")
    }
    assert sorted(name for of_loader in given.values() for name in of_loader) == sorted(f"sample{s}" for s in samples)
    checked = check_plugin("loaders", files=given)
    assert checked == ["plugin loaders", *(line for line in checked[1:] if line.startswith("loader "))]
    assert {line.removeprefix("loader ") for line in checked[1:]} == set(registry.names("loader"))


def test_class_that_needs_arguments_asks_for_them():
    with pytest.raises(ValueError, match=r"tokenizer 'subword' can't be made without path; give configs=\{'subword'"):
        check_plugin("tokenizers")
