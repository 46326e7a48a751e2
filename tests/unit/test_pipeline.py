"""Pipelines: put together, compared by identity, built again, and what they compute."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.tiny import TinyEmbedder, TinyEncoder, TinyTokenizer, tiny_pipeline
from vecsearch import (
    GivenVectors,
    Pipeline,
    PluginError,
    PluginNotFoundError,
    Tokens,
    UsageError,
    VectorsError,
    Vocabulary,
)
from vecsearch.pipeline import load_pipeline, parse_spec, split_rows
from vecsearch.plugins import Registry
from vecsearch.positioning import Positioning, RowTable
from vecsearch.stores.protocol import TokenBatch

ROWS = {"right": (3, 0), "up": (0, 4), "both": (3, 4), "left": (-1, 0)}


class PlaneEmbedder:
    """Four words in the plane; all others are zero."""

    name: ClassVar[str] = "plane"
    version: ClassVar[str] = "1"
    dim = 2
    config: ClassVar[dict[str, Any]] = {}
    files: ClassVar[dict[str, str]] = {}

    def rows(self, entries: Sequence[str], starts_word: np.ndarray) -> np.ndarray:
        return np.array([ROWS.get(entry, (0, 0)) for entry in entries], np.float32).reshape(-1, 2)

    def vocabulary(self) -> Vocabulary:
        return Vocabulary(list(ROWS), np.ones(len(ROWS), bool))


class ShoutingEmbedder:
    """Contextual: a token's vector says how many tokens its text has."""

    name: ClassVar[str] = "shouting"
    version: ClassVar[str] = "1"
    dim = 2
    config: ClassVar[dict[str, Any]] = {}
    files: ClassVar[dict[str, str]] = {}

    def tokenizer(self) -> TinyTokenizer:
        return TinyTokenizer()

    def embed(self, texts: Sequence[str], tokens: Tokens) -> np.ndarray:
        lengths = np.diff(tokens.offsets)
        return np.repeat(np.stack([lengths, np.ones(len(lengths))], axis=1), lengths, axis=0).astype(np.float32)


class OtherTokenizer(TinyTokenizer):
    name: ClassVar[str] = "other"


class ClosedTokenizer(TinyTokenizer):
    """Knows the words of the plane and nothing else."""

    name: ClassVar[str] = "closed"

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        found = super().tokenize(texts)
        assert found.entries is not None
        ids = np.array([list(ROWS).index(entry) for entry in found.entries], np.int32)
        return Tokens(found.offsets, found.spans, ids=ids)

    def vocabulary(self) -> Vocabulary:
        return Vocabulary(list(ROWS), np.array([True, True, False, True]))


class FileEmbedder(TinyEmbedder):
    name: ClassVar[str] = "of-a-file"

    def __init__(self, *, path: str) -> None:
        self._path = path

    @property
    def config(self) -> dict[str, Any]:
        return {"path": self._path, "scale": 2}

    @property
    def files(self) -> dict[str, str]:
        return {"path": self._path}


@pytest.fixture
def plane() -> Pipeline:
    return tiny_pipeline(embedder=PlaneEmbedder())


# parts


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="embedder 'plane' needs a tokenizer"):
        Pipeline(None, PlaneEmbedder(), TinyEncoder())
    with pytest.raises(UsageError, match="its own tokenizer 'tiny' only, not with 'other'"):
        Pipeline(OtherTokenizer(), ShoutingEmbedder(), TinyEncoder())
    with pytest.raises(UsageError, match="max_tokens must be 8 or more"):
        tiny_pipeline(max_tokens=7)


def test_a_contextual_embedder_brings_its_tokenizer() -> None:
    for tokenizer in (None, TinyTokenizer()):
        pipeline = Pipeline(tokenizer, ShoutingEmbedder(), TinyEncoder())
        assert pipeline.tokenizer is not None
        assert pipeline.tokenizer.name == "tiny"
        assert not pipeline.is_static
        vectors, weights, offsets = pipeline.encode(["one two three", "", "one"])
        assert offsets.tolist() == [0, 3, 3, 4]
        assert weights.tolist() == pytest.approx([math.sqrt(10)] * 3 + [math.sqrt(2)])
        assert vectors[0].tolist() == pytest.approx([3 / math.sqrt(10), 1 / math.sqrt(10)])


def test_kinds_of_pipelines_are_told_apart() -> None:
    given = GivenVectors(3, encoder=TinyEncoder())
    assert (given.is_given, given.is_static, given.dim) == (True, False, 3)
    tiny = tiny_pipeline()
    assert (tiny.is_given, tiny.is_static, tiny.dim) == (False, True, 16)
    assert tiny.closed_vocabulary is None
    closed = tiny_pipeline(ClosedTokenizer(), PlaneEmbedder()).closed_vocabulary
    assert closed is not None
    assert closed.entries == list(ROWS)


def test_given_vectors_cannot_read_text() -> None:
    given = GivenVectors(3, encoder=TinyEncoder())
    with pytest.raises(UsageError, match="cannot read text"):
        given.encode(["a"])
    with pytest.raises(UsageError, match="cannot read text"):
        given.similarity("a", "b")


# identity


def test_an_identity_names_what_decides_the_vectors() -> None:
    tiny = {"name": "tiny", "version": "1", "files": {}}
    assert tiny_pipeline(embedder=TinyEmbedder(dim=8), max_tokens=9).identity == {
        "tokenizer": tiny | {"config": {}},
        "embedder": tiny | {"config": {"dim": 8}},
        "encoder": tiny | {"config": {}},
        "max_tokens": 9,
    }
    assert GivenVectors(3, encoder=TinyEncoder()).identity["embedder"] == {"name": "given", "config": {"dim": 3}}


def test_an_identity_holds_hashes_of_files_in_place_of_their_paths(tmp_path: Path) -> None:
    identities = []
    for name, content in (("a", b"abc"), ("b", b"abc"), ("c", b"abd")):
        (tmp_path / name).write_bytes(content)
        identities.append(tiny_pipeline(embedder=FileEmbedder(path=str(tmp_path / name))).identity)
    assert identities[0] == identities[1]
    assert identities[0] != identities[2]
    assert identities[0]["embedder"]["config"] == {"scale": 2}
    assert identities[0]["embedder"]["files"]["path"].startswith("ba7816bf")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    pipeline = tiny_pipeline(embedder=FileEmbedder(path=str(tmp_path / "gone.npy")))
    with pytest.raises(PluginError, match=r"'of-a-file' needs the file '.*gone\.npy', which cannot be read: No such"):
        _ = pipeline.identity


@pytest.mark.parametrize(
    "specs",
    [
        {},
        {"encoder": "relative:order=0.5"},
        {"tokenizer": "character", "encoder": "none", "max_tokens": 40},
        {"tokenizer": "pieces", "encoder": "rotary:depth=7"},
    ],
)
def test_a_pipeline_is_built_again_from_its_configuration(registry: Registry, specs: dict[str, Any]) -> None:
    pipeline = Pipeline.from_names(**specs, registry=registry)
    again = load_pipeline(json.loads(json.dumps(pipeline.configuration)), registry)
    assert again.identity == pipeline.identity
    assert json.loads(json.dumps(again.identity)) == again.identity
    text = "The lion slept, the dog bit."
    assert again.encode([text])[0].tobytes() == pipeline.encode([text])[0].tobytes()


def test_given_vectors_are_built_again_from_their_configuration(registry: Registry) -> None:
    pipeline = GivenVectors(5, "sinusoidal:alpha=2", registry=registry)
    again = load_pipeline(json.loads(json.dumps(pipeline.configuration)), registry)
    assert isinstance(again, GivenVectors)
    assert again.dim == 5
    assert again.identity == pipeline.identity


def test_other_options_are_another_identity(registry: Registry) -> None:
    one, other = (Pipeline.from_names(encoder=f"relative:order={order}", registry=registry) for order in (0.3, 0.5))
    assert one.identity["encoder"] != other.identity["encoder"]
    assert one.identity["tokenizer"] == other.identity["tokenizer"]


def test_a_name_of_nobody_is_an_error_that_names_those_there_are(registry: Registry) -> None:
    for kind in ("tokenizer", "embedder", "encoder"):
        with pytest.raises(PluginNotFoundError, match=f"no {kind} is called 'nobody'; installed: "):
            Pipeline.from_names(registry=registry, **{kind: "nobody"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("word", ("word", {})),
        ("word:", ("word", {})),
        ("relative:order=0.5,base=100", ("relative", {"order": 0.5, "base": 100})),
        ("subword:path=/a b/t.json", ("subword", {"path": "/a b/t.json"})),
        ('x:a=true,b=null,c=text,d="5",e=', ("x", {"a": True, "b": None, "c": "text", "d": "5", "e": ""})),
        ("x:path=C:\\t=1.json", ("x", {"path": "C:\\t=1.json"})),
    ],
)
def test_a_spec_is_a_name_and_json_or_text_values(spec: str, expected: object) -> None:
    assert parse_spec(spec) == expected


@pytest.mark.parametrize("spec", ["x:order", "x:=5", "x:a=1,b"])
def test_a_spec_without_a_value_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="is not key=value"):
        parse_spec(spec)


# vectors


def test_texts_become_unit_vectors_and_weights(plane: Pipeline) -> None:
    vectors, weights, offsets = plane.encode(["Right both", "", "unknown up"])
    assert offsets.tolist() == [0, 2, 2, 4]
    assert weights.tolist() == [3, 5, 0, 4]
    assert vectors.tolist() == [[1, 0], [pytest.approx(0.6), pytest.approx(0.8)], [0, 0], [0, 1]]
    assert [array.dtype.name for array in (vectors, weights, offsets)] == ["float32", "float32", "int64"]


def test_each_entry_is_embedded_once_a_batch() -> None:
    asked: list[Sequence[str]] = []

    class Asked(PlaneEmbedder):
        def rows(self, entries: Sequence[str], starts_word: np.ndarray) -> np.ndarray:
            asked.append(list(entries))
            assert starts_word.tolist() == [True] * len(entries)
            return super().rows(entries, starts_word)

    tiny_pipeline(embedder=Asked()).encode(["up right up", "right up"])
    assert asked == [["up", "right"]]


def test_pieces_of_a_closed_vocabulary_keep_how_they_start() -> None:
    asked: list[tuple[list[str], list[bool]]] = []

    class Asked(PlaneEmbedder):
        def rows(self, entries: Sequence[str], starts_word: np.ndarray) -> np.ndarray:
            asked.append((list(entries), starts_word.tolist()))
            return super().rows(entries, starts_word)

    pipeline = tiny_pipeline(ClosedTokenizer(), Asked())
    assert pipeline.encode(["left both left"])[1].tolist() == [1, 5, 1]
    assert asked == [(["both", "left"], [False, True])]


def test_rows_are_split_into_directions_and_norms() -> None:
    rows = np.array([[3, 4], [0, 0], [1e-20, 0], [-2e17, 0]], np.float32)
    units, norms = split_rows(rows)
    assert units.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0], [0, 0], [-1, 0]]
    assert norms.tolist() == [5, 0, 0, pytest.approx(2e17)]
    assert split_rows(rows[:0])[0].shape == (0, 2)


def test_similarity_by_hand(plane: Pipeline) -> None:
    # right·both = .6, up·both = .8: forward (3·.6 + 4·.8) / 7 = 5/7; backward 5·.8 / 5
    assert plane.similarity("right up", "both") == pytest.approx((5 / 7 + 0.8) / 2)
    assert plane.similarity("right", "left") == pytest.approx(-1)
    assert plane.similarity("right unknown", "right") == pytest.approx(1)


@pytest.mark.parametrize("other", ["", "unknown", "right up"])
def test_similarity_with_nothing_is_zero(plane: Pipeline, other: str) -> None:
    assert plane.similarity("", other) == 0
    assert plane.similarity(other, "unknown words") == 0


@pytest.mark.parametrize("encoder", ["none", "sinusoidal", "learned", "relative", "rotary"])
def test_similarity_is_symmetric_and_largest_with_itself(pipelines: dict[str, Pipeline], encoder: str) -> None:
    pipeline = pipelines[encoder]
    texts = ["the dog bit the man", "the man bit the dog", "a lion", "Prinzessin 東京", "lion a"]
    for one in texts:
        assert pipeline.similarity(one, one) == pytest.approx(1, abs=1e-5)
        for other in texts:
            assert pipeline.similarity(one, other) == pytest.approx(pipeline.similarity(other, one), abs=1e-5)
            assert pipeline.similarity(one, other) <= 1 + 1e-5


def test_many_pairs_are_compared_as_one(plane: Pipeline) -> None:
    words = [*ROWS, "unknown", ""]
    pairs = [(f"{a} {b}", c) for a in words for b in words for c in words] * 2
    assert len(pairs) > 256
    assert plane.similarities(pairs).tolist() == [plane.similarity(*pair) for pair in pairs]
    assert plane.similarities([]).shape == (0,)


# tables of rows


def test_a_table_computes_each_row_once() -> None:
    asked: list[str] = []

    class Asked(PlaneEmbedder):
        def rows(self, entries: Sequence[str], starts_word: np.ndarray) -> np.ndarray:
            asked.extend(entries)
            return super().rows(entries, starts_word)

    words = [*ROWS, "unknown"]
    table = RowTable(tiny_pipeline(embedder=Asked()), lambda ids: [words[number % 5] for number in ids.tolist()])
    units, norms = table.take(np.array([1, 0, 1, 4], np.int32))
    assert norms.tolist() == [4, 3, 4, 0]
    assert units.tolist() == [[0, 1], [1, 0], [0, 1], [0, 0]]
    units, norms = table.take(np.array([4, 3, 5000, 1], np.int32))  # beyond what was made room for
    assert norms.tolist() == [0, 1, 3, 4]
    assert asked == ["right", "up", "unknown", "left", "right"]
    assert table.take(np.zeros(0, np.int32))[0].shape == (0, 2)


def test_a_table_of_a_closed_vocabulary_reads_its_entries() -> None:
    table = RowTable(tiny_pipeline(ClosedTokenizer(), PlaneEmbedder()), lambda ids: pytest.fail("not open"))
    assert table.take(np.array([2, 3], np.int32))[1].tolist() == [5, 1]


def test_a_table_gives_copies() -> None:
    table = RowTable(tiny_pipeline(embedder=PlaneEmbedder()), lambda ids: ["right"] * len(ids))
    table.take(np.zeros(1, np.int32))[0][:] = 7
    assert table.take(np.zeros(1, np.int32))[0].tolist() == [[1, 0]]


def test_a_table_that_failed_is_asked_again() -> None:
    asked: list[object] = []

    def words_of(ids: object) -> list[str]:
        asked.append(ids)
        if len(asked) == 1:
            raise PluginError("away")
        return ["up"]

    table = RowTable(tiny_pipeline(embedder=PlaneEmbedder()), words_of)
    with pytest.raises(PluginError, match="away"):
        table.take(np.zeros(1, np.int32))
    assert table.take(np.zeros(1, np.int32))[1].tolist() == [4]


def test_a_full_table_keeps_the_rows_that_are_asked_for_most_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecsearch.positioning.ROW_BYTES", 1024 * 4 * TinyEmbedder().dim)
    words = [f"word{number}" for number in range(9000)]
    expected = split_rows(TinyEmbedder().rows(words, np.ones(9000, bool)))
    asked: Counter[int] = Counter()

    def words_of(ids: np.ndarray) -> list[str]:
        asked.update(ids.tolist())
        return [words[number] for number in ids.tolist()]

    table = RowTable(tiny_pipeline(), words_of)
    generator = np.random.default_rng(0)
    for first in range(100, 9000, 100):
        ids = generator.permutation(np.concatenate([np.arange(100), np.arange(first, first + 100)])).astype(np.int32)
        units, norms = table.take(ids)
        assert np.array_equal(units, expected[0][ids])
        assert np.array_equal(norms, expected[1][ids])
    assert {asked[number] for number in range(100)} == {1}
    # more in one batch than there is room for
    units, norms = table.take(np.arange(9000, dtype=np.int32))
    assert np.array_equal(units, expected[0])
    assert np.array_equal(norms, expected[1])


def test_rows_that_were_returned_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecsearch.positioning.ROW_BYTES", 1024 * 4 * TinyEmbedder().dim)
    words = [f"word{number}" for number in range(5000)]
    expected = split_rows(TinyEmbedder().rows(words, np.ones(5000, bool)))
    table = RowTable(tiny_pipeline(), lambda ids: [words[number] for number in ids.tolist()])
    ids = np.arange(900, dtype=np.int32)
    rows, places, norms = table.find(ids)
    for first in range(900, 5000, 100):  # these push most of the first out again
        table.take(np.arange(first, first + 100, dtype=np.int32))
    assert np.array_equal(rows[places], expected[0][ids])
    assert np.array_equal(norms, expected[1][ids])


class _Comparing(TinyEncoder):
    """Compares while it encodes; what it returns can be set."""

    returned: Any = None

    def encode_compared(self, rows: Any, places: Any, weights: Any, offsets: Any, query: Any) -> Any:
        if self.returned is not None:
            return self.returned(rows[places], offsets, query)
        vectors = self.encode(rows[places], weights, offsets)
        return vectors, np.maximum.reduceat(query @ vectors.T, offsets[:-1], axis=1)


def _comparing(returned: Any = None) -> tuple[Positioning, TokenBatch]:
    encoder = _Comparing()
    encoder.returned = returned
    pipeline = tiny_pipeline(encoder=encoder)
    words = ["lion", "tree", "house", "sea"]
    table = RowTable(pipeline, lambda ids: [words[number] for number in ids.tolist()])
    return Positioning(pipeline, table), TokenBatch(np.array([0, 1, 4, 6]), np.array([2, 0, 1, 2, 3, 0], np.int32))


def test_an_encoder_that_compares_gives_vectors_and_maxima_at_once() -> None:
    positioning, batch = _comparing()
    query = positioning(batch)[1:3]
    found = positioning.compared(batch, query)
    assert found is not None
    vectors, maxima = found
    assert np.array_equal(vectors, positioning(batch))
    similarities = query @ vectors.T
    expected = [similarities[:, begin:end].max(axis=1) for begin, end in ((0, 1), (1, 4), (4, 6))]
    np.testing.assert_allclose(maxima.T, expected, atol=1e-6)


def test_no_other_encoder_and_no_stored_rows_are_compared_at_once() -> None:
    positioning, batch = _comparing(lambda *_: None)
    assert positioning.compared(batch, positioning(batch)) is None
    plain = tiny_pipeline()
    assert Positioning(plain, positioning.table).compared(batch, positioning(batch)) is None
    assert Positioning(positioning.pipeline, None).compared(batch, positioning(batch)) is None


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda *_: 7, "returned int, not vectors and maxima"),
        (lambda rows, _, query: (rows[:-1], np.zeros((len(query), 3), np.float32)), "returned shape"),
        (lambda rows, *_: (rows, np.zeros((1, 1), np.float32)), "returned shape"),
        (lambda rows, _, query: (2 * rows, np.zeros((len(query), 3), np.float32)), "rows of length"),
        (lambda rows, _, query: (rows, np.full((len(query), 3), np.nan, np.float32)), "NaN or infinity"),
    ],
)
def test_what_an_encoder_that_compares_returns_is_checked(returned: Any, message: str) -> None:
    positioning, batch = _comparing(returned)
    with pytest.raises(VectorsError, match=rf"encode_compared\(\).*{message}"):
        positioning.compared(batch, positioning(batch)[:2])


def test_threads_share_a_table() -> None:
    words = [f"word{number}" for number in range(3000)]
    pipeline = tiny_pipeline()
    expected = split_rows(TinyEmbedder().rows(words, np.ones(3000, bool)))
    table = RowTable(pipeline, lambda ids: [words[number] for number in ids.tolist()])
    wrong: list[int] = []

    def take(seed: int) -> None:
        generator = np.random.default_rng(seed)
        for _ in range(50):
            ids = generator.integers(0, 3000, 100).astype(np.int32)
            units, norms = table.take(ids)
            if not (np.array_equal(units, expected[0][ids]) and np.array_equal(norms, expected[1][ids])):
                wrong.append(seed)

    threads = [threading.Thread(target=take, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_stored_passages_are_positioned_from_ids_or_from_rows() -> None:
    pipeline = tiny_pipeline(embedder=PlaneEmbedder())
    table = RowTable(pipeline, lambda ids: [list(ROWS)[number] for number in ids.tolist()])
    ids, offsets = np.array([0, 2], np.int32), np.array([0, 2], np.int64)
    assert Positioning(pipeline, table)(TokenBatch(offsets, ids)).tolist() == [
        [1, 0],
        [pytest.approx(0.6), pytest.approx(0.8)],
    ]
    rows = np.array([[0, 2], [0, 0]], np.float32)
    assert Positioning(pipeline, None)(TokenBatch(offsets, ids, rows)).tolist() == [[0, 1], [0, 0]]
