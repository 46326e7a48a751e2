"""Checks of ``vecsearch.protocols.StaticEmbedder`` and ``ContextualEmbedder``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vecsearch.protocols import ContextualEmbedder, StaticEmbedder
from vecsearch.testing import tokenizers
from vecsearch.testing.contract import (
    ConformanceError,
    build,
    call,
    check_array,
    check_in_threads,
    shown,
    unchanged,
)
from vecsearch.testing.texts import SAMPLE_TEXTS
from vecsearch.types import Tokens

__all__ = ["check_embedder"]

# Any tokenizer's vocabulary may hold any of these.
_ENTRIES = (
    *(
        "dog",
        "the",
        "ing",
        "a",
        "Straße",
        "e\u0301",
        "日",
        "👩‍👩‍👧‍👦",
        "שלום",
        "zzqxjkv",
        "<unk>",
        "<0x0A>",
        "\0",
        " ",
        "\n",
    ),
    *("...", "don't", "3.14", "antidisestablishmentarianism", "ab" * 100, "\u0378", ""),
)

Floats = npt.NDArray[np.float32]


def check_embedder(cls: type[Any], /, *, tolerance: float = 1e-3, **config: Any) -> None:
    """Check an embedder class, static or contextual.

    Args:
        cls: the class.
        tolerance: how far a vector may move with its neighbours in the batch, as a share of the largest norm.
        config: arguments for its constructor.

    Raises:
        ConformanceError: it breaks the contract.

    What is checked: name, version, configuration and files; ``dim``; types, shapes and finiteness of rows or
    vectors; unknown entries, empty texts and empty batches; that a row doesn't depend on its neighbours in the
    batch, on earlier calls or on the thread; for a contextual embedder its tokenizer too; ``scorer``, ``encoder``,
    ``reference``, ``uses_idf`` and ``embed_query`` where they are there.
    """
    embedder = build("embedder", cls, config)
    subject = f"embedder {cls.__qualname__}"
    is_static, is_contextual = isinstance(embedder, StaticEmbedder), isinstance(embedder, ContextualEmbedder)
    if is_static == is_contextual:
        there = set(dir(embedder))
        raise ConformanceError(
            subject,
            "it is either static (dim, rows, vocabulary) or contextual (dim, tokenizer, embed)",
            seen=f"it has {', '.join(n for n in _METHODS if n in there) or 'none of them'}",
            given=repr(cls),
            advice=_advice_on_kind(there),
        )
    dim = call(f"{subject}.dim", "()", lambda: embedder.dim)
    if not isinstance(dim, int) or dim < 1:
        raise ConformanceError(
            f"{subject}.dim", "it is an int ≥ 1", seen=shown(dim), given="()", advice="return the length of a row"
        )
    _check_suiting(subject, embedder)
    _check_reference(subject, embedder)
    if isinstance(embedder, StaticEmbedder):
        _check_static(subject, embedder, dim, tolerance)
    else:
        _check_contextual(subject, embedder, dim, tolerance)


def _advice_on_kind(there: set[str]) -> str:
    lacking = [
        f"for a {kind} one add {', '.join(name for name in names if name not in there)}"
        for kind, names in (("static", _METHODS[:3]), ("contextual", ("dim", *_METHODS[3:])))
        if not there.issuperset(names)
    ]
    if not lacking:
        return "leave out rows and vocabulary, or tokenizer and embed: the one says static, the other contextual"
    return f"{', or '.join(lacking)}; docs/plugins.md says what each returns"


def _check_suiting(subject: str, embedder: Any) -> None:
    """Check the names of what suits its vectors."""
    for part, kind, usual in (("scorer", "a scorer", "maxsim"), ("encoder", "a positional encoder", "none")):
        name = call(f"{subject}.{part}", "()", getattr, embedder, part, usual)
        if not isinstance(name, str) or not name:
            raise ConformanceError(
                f"{subject}.{part}",
                f"it is the name of {kind}, where it is there",
                seen=shown(name),
                given="()",
                advice=f'write `{part}: ClassVar[str] = "{usual}"`, or leave it out to take what suits the kind',
            )


def _check_reference(subject: str, embedder: Any) -> None:
    if not hasattr(type(embedder), "reference"):
        return
    where = f"{subject}.reference"
    texts = call(where, "()", lambda: embedder.reference())
    again = call(where, "()", lambda: embedder.reference())
    is_list = isinstance(texts, Sequence) and not isinstance(texts, str) and len(texts) > 0
    if not is_list or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ConformanceError(
            where,
            "it is a list of texts, none of them empty, and at least one",
            seen=shown(texts),
            given="()",
            advice="return texts of the language that the model was made for, or leave the method out",
        )
    if list(texts) != list(again):
        raise ConformanceError(
            where,
            "it always gives the same texts",
            seen=f"{shown(texts)}, then {shown(again)}",
            given="()",
            advice="return a constant: scores of small indexes depend on it",
        )


_METHODS = ("dim", "rows", "vocabulary", "tokenizer", "embed")


def _check_static(subject: str, embedder: StaticEmbedder, dim: int, tolerance: float) -> None:
    vocabulary = call(f"{subject}.vocabulary", "()", embedder.vocabulary)
    tokenizers.check_vocabulary(f"{subject}.vocabulary", vocabulary)
    where = f"{subject}.rows"
    _rows(where, embedder, [], [], dim)
    for entry in _ENTRIES:
        for starts_word in (True, False):
            _rows(where, embedder, [entry], [starts_word], dim)
    entries = [entry for entry in _ENTRIES for _ in range(2)]
    starts = [True, False] * len(_ENTRIES)
    together = _rows(where, embedder, entries, starts, dim)
    scale = float(np.linalg.norm(together, axis=1).max(initial=1e-6))
    for number, (entry, starts_word) in enumerate(zip(entries, starts, strict=True)):
        alone = _rows(where, embedder, [entry], [starts_word], dim)[0]
        if np.abs(alone - together[number]).max() > tolerance * scale:
            raise ConformanceError(
                where,
                "an entry's row depends on nothing but the entry: not on its neighbours, nor on earlier calls",
                seen=f"{shown(alone)} alone, {shown(together[number])} in a batch of {len(entries)}",
                given=f"entries=[{entry!r}], starts_word=[{starts_word}], and {shown(entries)}",
                advice="compute each row from its own entry only",
            )
    own = list(vocabulary.entries[:1000])
    if own and not _rows(where, embedder, own, vocabulary.starts_word[:1000].tolist(), dim).any():
        raise ConformanceError(
            where,
            "the model's own entries have rows: zeros are for what is unknown",
            seen=f"zeros for each of its first {len(own)} entries",
            given=f"entries={shown(own)}",
            advice="let vocabulary() return the entries as rows() looks them up",
        )
    halves = len(_ENTRIES)
    check_in_threads(
        where,
        f"entries={shown(entries)}",
        [
            lambda: embedder.rows(entries[:halves], np.array(starts[:halves])),
            lambda: embedder.rows(entries[halves:], np.array(starts[halves:])),
        ],
        lambda one, other: np.allclose(one, other, rtol=0, atol=tolerance * scale),
    )


def _rows(where: str, embedder: StaticEmbedder, entries: list[str], starts: Sequence[bool], dim: int) -> Floats:
    given = f"entries={shown(entries)}, starts_word={shown(starts)}"
    starts_word = np.array(starts, dtype=bool)
    entries_before, starts_before = list(entries), starts_word.copy()
    rows = call(where, given, embedder.rows, entries, starts_word)
    unchanged(where, "entries", entries_before, entries, given)
    unchanged(where, "starts_word", starts_before, starts_word, given)
    check_array(
        where,
        "the result",
        rows,
        np.float32,
        (len(entries), dim),
        given,
        on_shape="return one row of length dim for each entry, and np.zeros((0, dim), np.float32) for none",
    )
    return rows


def _check_contextual(subject: str, embedder: ContextualEmbedder, dim: int, tolerance: float) -> None:
    tokenizer = call(f"{subject}.tokenizer", "()", embedder.tokenizer)
    tokenizers.check_instance(f"{subject}.tokenizer()", tokenizer)
    where = f"{subject}.embed"
    _embed(where, embedder, tokenizer, [], dim)
    alone = [_embed(where, embedder, tokenizer, [text], dim) for text in SAMPLE_TEXTS]
    together = np.split(
        _embed(where, embedder, tokenizer, list(SAMPLE_TEXTS), dim),
        np.cumsum([len(vectors) for vectors in alone])[:-1],
    )
    scale = max(float(np.linalg.norm(vectors, axis=1).max(initial=1e-6)) for vectors in alone)
    for text, one, among in zip(SAMPLE_TEXTS, alone, together, strict=True):
        if len(one) and np.abs(one - among).max() > tolerance * scale:
            raise ConformanceError(
                where,
                "a text's vectors never depend on its neighbours in the batch, nor on earlier calls",
                seen=f"{shown(one[0])} alone, {shown(among[0])} in a batch of {len(SAMPLE_TEXTS)} (first token)",
                given=f"texts=[{shown(text)}], and the sample texts",
                advice="mask padding; embed texts of one length together, or one by one where numbers are quantised "
                "by batch",
            )

    def run(texts: Sequence[str]) -> Floats:
        return embedder.embed(texts, tokenizer.tokenize(texts))

    check_in_threads(
        where,
        "the sample texts",
        [lambda: run(SAMPLE_TEXTS[:20]), lambda: run(SAMPLE_TEXTS[20:30])],
        lambda one, other: np.allclose(one, other, rtol=0, atol=tolerance * scale),
    )
    _check_queries(subject, embedder, tokenizer, dim, tolerance)


def _check_queries(subject: str, embedder: ContextualEmbedder, tokenizer: Any, dim: int, tolerance: float) -> None:
    """Check what an embedder may have for queries: ``uses_idf`` and ``embed_query``."""
    uses_idf = call(f"{subject}.uses_idf", "()", getattr, embedder, "uses_idf", True)
    if not isinstance(uses_idf, bool):
        raise ConformanceError(
            f"{subject}.uses_idf",
            "it is a bool, where it is there: whether rare tokens of a query weigh more",
            seen=shown(uses_idf),
            given="()",
            advice="write `uses_idf: ClassVar[bool] = False` in the class, or leave it out",
        )
    if not hasattr(embedder, "embed_query"):
        return
    where = f"{subject}.embed_query"
    for text in ("", *SAMPLE_TEXTS):
        given = f"text={shown(text)}"
        found = call(where, given, embedder.embed_query, text)
        if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[0], Tokens):
            raise ConformanceError(
                where,
                "it returns a pair: Tokens, and their vectors",
                seen=shown(found),
                given=given,
                advice="return tokens, vectors",
            )
        tokens, vectors = found
        plain: Tokens = tokenizer.tokenize([text])
        n = plain.n_tokens
        kept, more = tokens.spans[:n], tokens.spans[n:]
        if not np.array_equal(kept, plain.spans) or not np.array_equal(more, np.full(more.shape, len(text))):
            raise ConformanceError(
                where,
                "its tokens are those that tokenizer() gives, then any that stand for no character, at the text's end",
                seen=f"spans {shown(tokens.spans)}, and {shown(plain.spans)} by the tokenizer",
                given=given,
                advice="append tokens such as masks with the span (len(text), len(text)); leave out markers before it",
            )
        check_array(
            where, "the second of the pair, one vector a token,", vectors, np.float32, (tokens.n_tokens, dim), given
        )
        again = call(where, given, embedder.embed_query, text)[1]
        scale = max(float(np.linalg.norm(vectors, axis=1).max(initial=0)), 1e-6)
        if again.shape != vectors.shape or np.abs(again - vectors).max(initial=0) > tolerance * scale:
            raise ConformanceError(
                where,
                "it always gives the same vectors of a text",
                seen=f"{shown(vectors)}, then {shown(again)}",
                given=given,
                advice="keep nothing of earlier calls",
            )


def _embed(where: str, embedder: ContextualEmbedder, tokenizer: Any, texts: list[str], dim: int) -> Floats:
    given = f"texts={shown(texts)}"
    tokens: Tokens = tokenizer.tokenize(texts)
    offsets, spans = tokens.offsets.copy(), tokens.spans.copy()
    ids = None if tokens.ids is None else tokens.ids.copy()
    vectors = call(where, given, embedder.embed, texts, tokens)
    unchanged(where, "tokens.offsets", offsets, tokens.offsets, given)
    unchanged(where, "tokens.spans", spans, tokens.spans, given)
    if ids is not None:
        unchanged(where, "tokens.ids", ids, tokens.ids, given)
    check_array(where, "the result, one vector a token,", vectors, np.float32, (tokens.n_tokens, dim), given)
    return vectors
