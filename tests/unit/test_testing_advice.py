"""What the kit tells a beginner: for the likely mistakes of each kind, what to do about them, in words."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from vecsearch import Document, Tokens, Vocabulary, protocols
from vecsearch.testing import (
    ConformanceError,
    advice,
    check_embedder,
    check_encoder,
    check_loader,
    check_scorer,
    check_tokenizer,
)


class Base:
    name, version = "x", "1"
    config: dict[str, Any] = {}  # noqa: RUF012 (as beginners write it)
    files: dict[str, str] = {}  # noqa: RUF012


class TakesOneText(Base):
    def tokenize(self, text):
        return text.split()

    def vocabulary(self):
        return None


class TakesNoTexts(TakesOneText):
    def tokenize(self):
        return None


class TokensOfEachText(TakesOneText):
    def tokenize(self, texts):
        return [text.split() for text in texts]


class OffsetsOfOneText(TakesOneText):
    def tokenize(self, texts):
        words = [word for text in texts for word in text.split()]
        return Tokens(np.array([0, len(words)]), np.zeros((len(words), 2), np.int32), entries=words)


class NoVocabulary(Base):
    tokenize = TokensOfEachText.tokenize


class NoConfiguration:
    name, version = "x", "1"
    tokenize = TokensOfEachText.tokenize

    def vocabulary(self):
        return None


class NeedsAnArgument(TakesOneText):
    def __init__(self, size):
        self.config = {"size": size}


class UnitsOnly(Base):
    def encode(self, units):
        return units


class OneDimension(Base):
    def encode(self, units, weights, offsets):
        return units + np.ones(64, np.float32)


class ListOfRows(Base):
    def encode(self, units, weights, offsets):
        return list(units)


class Rows(Base):
    dim = 2

    def rows(self, entries, starts_word):
        return np.ones((len(entries), 2), np.float32)

    def vocabulary(self):
        return Vocabulary(["a"], np.ones(1, bool))


class RowsOfKnownWords(Rows):
    def rows(self, entries, starts_word):
        return np.array([{"a": [1, 2]}[entry] for entry in entries], np.float32).reshape(-1, 2)


class RowOfOneWord(Rows):
    def rows(self, entry, starts_word):
        return np.ones(2, np.float32)


class NoOwnWords(Rows):
    def vocabulary(self):
        return None


class NoDimension(Base):
    rows = Rows.rows
    vocabulary = Rows.vocabulary


class BothKinds(Rows):
    def tokenizer(self):
        return None

    def embed(self, texts, tokens):
        return None


class MaximumOfAll(Base):
    def reduce(self, similarities, offsets):
        return similarities.max(axis=1)

    def transform(self, reduced, lengths, statistics):
        return reduced

    def combine(self, transformed, weights):
        return weights @ transformed

    def sensitivity(self, weights, statistics):
        return float(weights.sum())


class BeyondTheLast(MaximumOfAll):
    def reduce(self, similarities, offsets):
        return np.maximum.reduceat(similarities, offsets, axis=1)


class Maximum(MaximumOfAll):
    def reduce(self, similarities, offsets):
        return np.maximum.reduceat(similarities, offsets[:-1], axis=1)


class MeanOfTheBackground(Maximum):
    def transform(self, reduced, lengths, statistics):
        return reduced - statistics.background.sum(axis=1, keepdims=True) / statistics.background.shape[1]


class OneScore(Maximum):
    def combine(self, transformed, weights):
        return (weights @ transformed).sum(keepdims=True)[None]


class OpensThePath(Base):
    suffixes = (".t",)

    def load(self, file):
        with open(file) as stream:
            yield Document(id="1", text=stream.read())


class ReadsThePath(OpensThePath):
    def load(self, file):
        yield Document(id="1", text=file.path.read_text())


class TakesNoFile(OpensThePath):
    def load(self):
        yield Document(id="1", text="")


class GivesBytes(OpensThePath):
    def load(self, file):
        with file.open() as stream:
            yield Document(id="1", text=stream.read())


class FailsToDecode(OpensThePath):
    def load(self, file):
        with file.open() as stream:
            yield Document(id="1", text=stream.read().decode())


class FailsInTheParser(OpensThePath):
    def load(self, file):
        raise TypeError("nothing of the kind")
        yield


MISTAKES = [
    (check_tokenizer, TakesOneText, "texts is a list of strings, one or many or none"),
    (check_tokenizer, TakesNoTexts, "write `def tokenize(self, texts)`: it is called with these arguments"),
    (check_tokenizer, TokensOfEachText, "one for the whole batch, not one for each text"),
    (check_tokenizer, OffsetsOfOneText, "return one number more than there are texts"),
    (check_tokenizer, NoVocabulary, "write `def vocabulary(self)`; docs/plugins.md says what it must be"),
    (check_tokenizer, NoConfiguration, "write `self.config = {…}` in __init__, with every argument"),
    (check_tokenizer, NeedsAnArgument, "give every argument a default, or give it to the check by keyword"),
    (
        check_tokenizer,
        NoVocabulary(),
        "give the class itself, and its arguments by keyword: check_tokenizer(NoVocabulary",
    ),
    (check_encoder, UnitsOnly, "write `def encode(self, units, weights, offsets)`"),
    (check_encoder, OneDimension, "give them to the check: dims=(…,)"),
    (check_encoder, ListOfRows, "return np.array(…, dtype=np.float32)"),
    (check_encoder, Base, "write `def encode(self, units, weights, offsets)`; docs/plugins.md"),
    (check_embedder, RowsOfKnownWords, "what the model does not know has a row of zeros"),
    (check_embedder, RowOfOneWord, "return one row of length dim for each entry"),
    (check_embedder, NoOwnWords, "where there are no entries, Vocabulary([], np.zeros(0, bool))"),
    (check_embedder, NoDimension, "for a static one add dim, or for a contextual one add dim, tokenizer, embed"),
    (check_embedder, BothKinds, "leave out rows and vocabulary, or tokenizer and embed"),
    (check_scorer, MaximumOfAll, "np.maximum.reduceat(similarities, offsets[:-1], axis=1)"),
    (check_scorer, BeyondTheLast, "so passages begin at offsets[:-1]"),
    (check_scorer, MeanOfTheBackground, "statistics.background has no columns unless the class says `needs_background"),
    (check_scorer, OneScore, "return one score for each passage"),
    (check_scorer, Base, "write `def reduce(self, similarities, offsets)`; and `def transform(self, reduced, lengths"),
    (check_loader, OpensThePath, "write `def load(self, file)` and read `with file.open() as stream:`"),
    (check_loader, ReadsThePath, "file is a vecsearch.SourceFile, with id, name and size, and no path"),
    (check_loader, TakesNoFile, "write `def load(self, file)` and read"),
    (check_loader, GivesBytes, "decode bytes with .decode('utf-8')"),
    (check_loader, FailsToDecode, "catch what the parser raises: `raise LoadError("),
    (check_loader, FailsInTheParser, "catch what the parser raises: `raise LoadError("),
    (check_loader, Base, 'write `suffixes: ClassVar[tuple[str, ...]] = (".txt",)`; and `def load(self, file)`'),
]


@pytest.mark.parametrize(
    ("check", "cls", "words"), MISTAKES, ids=[f"{c.__name__}-{n}" for n, (c, *_) in enumerate(MISTAKES)]
)
def test_mistake_of_a_beginner_is_answered_with_what_to_do(check, cls, words):
    with pytest.raises(ConformanceError) as caught, np.errstate(all="ignore"):
        check(cls)
    assert words in caught.value.advice


def test_every_method_of_a_protocol_that_is_given_something_has_words_for_it():
    for kind, classes in advice._PROTOCOLS.items():
        for protocol in classes:
            for name, function in inspect.getmembers(protocol, inspect.isfunction):
                if name.startswith("_"):
                    continue
                assert advice.definition(f"{kind} X.{name}", name) == (
                    f"def {name}({', '.join(inspect.signature(function).parameters)})"
                )
                n_given = len(inspect.signature(function).parameters) - 1
                # of a loader its own check speaks; of one alignment, align() does
                assert n_given == 0 or name in {*advice._INPUTS, "load", "similarities"}, name
    assert advice.definition("scorer X.no_such", "no_such") is None
    assert set(advice._PROTOCOLS["embedder"]) == {protocols.StaticEmbedder, protocols.ContextualEmbedder}
