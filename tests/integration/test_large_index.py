"""Indexes that are large enough for codes: when they get them, what they find, and how deep they are searched."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest
from click.testing import CliRunner

from tests.coded import search_codes
from tests.integration.test_durability import SEGMENT_DAMAGES, flip
from tests.search_oracle import SearchOracle, assert_right
from tests.tiny import tiny_pipeline
from vecsearch import (
    Document,
    GivenVectors,
    Index,
    IndexDamagedError,
    Pipeline,
    UsageError,
    field,
    ranking,
    tuning,
)
from vecsearch.cli.program import program
from vecsearch.stores import coded, coding, embedded, manifest, reading, upkeep
from vecsearch.stores.disk import Disk
from vecsearch.stores.protocol import Depth
from vecsearch.worker import Worker
from vecsearch_positions.relative import RelativeEncoder

WORDS = [f"{first}{second}" for first in ("lion", "dog", "tree", "car", "doctor", "river") for second in "abcdefgh"]


WORDS_OF_ENGLISH = "the a dog man lion cat tree car crash doctor water fire stone house river mountain protein run"


def texts(n: int, seed: int = 0, n_words: int = 12) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(3, n_words))) for _ in range(n)]


def documents(n: int, seed: int = 0) -> list[Document]:
    return [
        Document(id=f"{seed}-{number:04}", text=text, metadata={"n": number})
        for number, text in enumerate(texts(n, seed))
    ]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Index]]:
    """Make indexes that have codes from 400 tokens on."""
    monkeypatch.setattr(upkeep, "FEWEST_TOKENS", 400)
    monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", 100)
    monkeypatch.setattr(upkeep, "FLUSH_TOKENS", 1)
    opened: list[Index] = []

    def build(pipeline: Pipeline | None = None) -> Index:
        index = Index.create(tmp_path / f"index-{len(opened)}", pipeline=pipeline or tiny_pipeline())
        opened.append(index)
        return index

    yield build
    for index in opened:
        index.close()


def kinds(index: Index) -> dict[str, int]:
    """Return how many files of each kind there are."""
    found = [path.suffix for path in index.path.iterdir()]
    return {suffix: found.count(suffix) for suffix in (".segment", ".codes", ".codebook", ".tmp")}


def test_an_index_gets_codes_when_it_is_large_and_vectors_when_it_is_small_again(make: Callable[..., Index]) -> None:
    index = make()
    index.add(documents(30))
    assert index.info()["search"] == "exact"
    assert index.info()["approximate"] is None
    assert kinds(index) == {".segment": 1, ".codes": 0, ".codebook": 0, ".tmp": 0}
    index.add(documents(60, seed=1))
    facts = index.info()
    assert facts["search"] == "approximate"
    assert facts["approximate"]["n_tokens_coded"] == facts["n_tokens"] - facts["n_fresh_tokens"]
    assert facts["bytes"]["codebook"] > 0
    assert kinds(index) == {".segment": 0, ".codes": 1, ".codebook": 1, ".tmp": 0}
    assert index.delete([document.id for document in documents(60, seed=1)]) == 60
    index.compact()
    assert index.info()["search"] == "exact"
    assert kinds(index) == {".segment": index.info()["n_segments"], ".codes": 0, ".codebook": 0, ".tmp": 0}
    assert index.verify() == []


def test_small_additions_are_found_at_once_and_merged_by_and_by(
    make: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coding, "MERGED", 2)
    search_codes(monkeypatch, fewest=400)
    index = make()
    oracle = SearchOracle(index.pipeline)
    most = 0
    for number, document in enumerate(documents(300)):
        index.add([document])
        oracle.put(document.id, document.text)
        most = max(most, index.info()["n_segments"])
        if number % 60 == 59:
            assert_right(index, oracle, document.text, mode="vector", scorer="maxsim")
    assert index.info()["n_tokens"] > 1_500
    assert most <= 6
    index.flush()
    assert index.info()["n_fresh_tokens"] == 0
    assert kinds(index)[".codes"] == index.info()["n_segments"]
    assert_right(index, oracle, "lionb treec doctord", scorer="maxsim")
    assert index.verify() == []


def test_there_are_k_hits_where_there_are_k_passages(make: Callable[..., Index]) -> None:
    index = make()
    index.add(documents(200))
    index.tune(0.5)
    assert index.info()["approximate"]["n_nearest"] == 1_000
    gone = [document.id for document in documents(200)[::2]]
    index.delete(gone)
    for mode in ("vector", "hybrid"):
        for k in (1, 10, 99, 100, 150):
            hits = index.search("liona dogb carc", k, mode=mode)  # type: ignore[arg-type]
            assert len(hits) == min(k, 100)
            assert not {hit.doc_id for hit in hits} & set(gone)
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("direct", [0, 100_000])
def test_filters_leave_what_exact_search_finds(
    make: Callable[..., Index], monkeypatch: pytest.MonkeyPatch, share: float, direct: int
) -> None:
    search_codes(monkeypatch, fewest=400)
    monkeypatch.setattr(reading, "DIRECT_TOKENS", direct)
    index = make()
    index.add(documents(1_000))
    where = field("n") < 1_000 * share
    for mode in ("vector", "hybrid"):
        for query in texts(5, seed=9):
            found = index.search(query, 10, mode=mode, where=where)  # type: ignore[arg-type]
            exact = index.search(query, 10, mode=mode, where=where, exact=True)  # type: ignore[arg-type]
            assert [hit.doc_id for hit in found] == [hit.doc_id for hit in exact]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in exact], rel=1e-5, abs=1e-5)
            assert len(found) == min(10, round(1_000 * share))


def test_explanations_of_coded_passages_add_up_to_the_score(make: Callable[..., Index]) -> None:
    index = make()
    index.add(documents(300))
    for scorer in ("maxsim", "debiased_maxsim", "soft_tf"):
        for hit in index.search("lionb treec doctord", 5, scorer=scorer, explain=True, mode="vector"):
            assert hit.explanation is not None
            assert hit.explanation.total == pytest.approx(hit.score, abs=1e-5)


def test_what_is_scored_last_is_explained_by_the_same_vectors(
    make: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder rounds differently in another company, so what was made last is kept, however little is."""
    monkeypatch.setattr(reading, "KEPT_TOKENS", 20)
    index = make()
    index.add(documents(100))
    encode, made = index._store._encode, []  # type: ignore[attr-defined]

    def counting(tokens: Any) -> Any:
        made.append(len(tokens.ids))
        return encode(tokens)

    monkeypatch.setattr(index._store, "_encode", counting)
    with index._store.snapshot() as snapshot:
        snapshot.vectors(np.arange(30))
        vectors, offsets = snapshot.vectors(np.arange(20, 60))
        assert len(made) == 2
        again, bounds = snapshot.vectors(np.array([55, 25, 58]))
        assert len(made) == 2
    for number, piece in zip((55, 25, 58), np.split(again, bounds[1:-1]), strict=True):
        assert piece.tobytes() == vectors[offsets[number - 20] : offsets[number - 19]].tobytes()


@pytest.mark.parametrize("scorer", ["maxsim", "debiased_maxsim", "soft_tf"])
def test_candidates_that_are_compared_while_they_are_encoded_score_the_same(
    make: Callable[..., Index], monkeypatch: pytest.MonkeyPatch, scorer: str
) -> None:
    pytest.importorskip("numba", reason="the extra vecsearch[fast] is not installed")
    monkeypatch.setattr("vecsearch_positions.relative._WORTH_COMPILING", 0)
    index = make(tiny_pipeline(encoder=RelativeEncoder()))
    index.add(documents(300))
    maxima, asked = reading.EmbeddedSnapshot.maxima, []

    def counting(self: Any, embedded: Any, query: Any) -> Any:
        found = maxima(self, embedded, query)
        asked.append(found is not None)
        return found

    def hits() -> list[tuple[str, float, object]]:
        found = index.search("lionb treec doctord", 20, scorer=scorer, explain=True, mode="vector")
        return [(hit.doc_id, hit.score, hit.explanation and hit.explanation.total) for hit in found]

    hits()  # the first search encodes passages for the background, too
    monkeypatch.setattr(reading.EmbeddedSnapshot, "maxima", counting)
    at_once = hits()
    assert asked == ([] if scorer == "soft_tf" else [True])  # of a sum, maxima say nothing
    monkeypatch.setattr(reading.EmbeddedSnapshot, "maxima", lambda self, embedded, query: None)
    one_by_one = hits()
    assert [one[0] for one in at_once] == [one[0] for one in one_by_one]
    for (_, score, total), (_, other, _) in zip(at_once, one_by_one, strict=True):
        assert score == pytest.approx(other, abs=1e-5)
        assert total == pytest.approx(score, abs=1e-5)


def test_pages_neither_repeat_nor_skip(make: Callable[..., Index]) -> None:
    index = make()
    index.add(documents(300))
    whole = [hit.doc_id for hit in index.search("lionb treec", 15)]
    pages = [hit.doc_id for offset in (0, 5, 10) for hit in index.search("lionb treec", 5, offset=offset)]
    assert pages == whole


def test_it_makes_no_difference_how_many_candidates_are_named_at_first(
    make: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make()
    index.add(
        Document(id=f"{number:03}", text=" ".join(texts(6, number)), metadata={"n": number}) for number in range(80)
    )
    index.tune(0.9)
    index.delete([f"{number:03}" for number in range(0, 80, 7)])
    index.add(documents(10, seed=3))
    scans: list[Any] = []
    seen: set[int] = set()
    monkeypatch.setattr(reading, "DIRECT_TOKENS", 0)
    monkeypatch.setattr(ranking, "POOL", 8)
    monkeypatch.setattr(ranking, "REORDERED", 16)

    def hits(**options: Any) -> list[tuple[str, int, float]]:
        found = index.search("lionb treec doctord carh", **options)
        return [(hit.doc_id, hit.passage, hit.score) for hit in found]

    look = ranking.Search._candidates
    monkeypatch.setattr(ranking.Search, "_candidates", lambda self, scan: scans.append(scan) or look(self, scan))
    for options in (
        {"mode": "vector"},
        {"mode": "vector", "k": 3, "scorer": "soft_tf"},
        {"mode": "vector", "by": "document", "k": 40},
        {"mode": "vector", "order": "strict"},
        {"mode": "hybrid"},
        {"mode": "hybrid", "k": 6, "offset": 4},
        {"mode": "hybrid", "by": "passage", "where": field("n") > 5},
    ):
        monkeypatch.setattr(coded, "MOST_NAMED", 4_096)
        right = hits(**options)
        assert right
        for n in (1, 30, 50):
            monkeypatch.setattr(coded, "MOST_NAMED", n)
            scans.clear()
            assert hits(**options) == right, (options, n)
            seen.add(len(scans))
            assert n > 1 or len(scans) > 1  # of one candidate nothing can be told: all are named then
    assert seen >= {1, 2}


def test_many_queries_at_once_find_what_one_by_one_do(make: Callable[..., Index]) -> None:
    index = make()
    index.add(documents(300))
    queries = texts(20, seed=5)
    together = index.search_many(queries, 5)
    for query, hits in zip(queries, together, strict=True):
        alone = index.search(query, 5)
        assert [hit.doc_id for hit in hits] == [hit.doc_id for hit in alone]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in alone], rel=1e-5)


def test_threads_may_share_an_index_that_is_written(make: Callable[..., Index]) -> None:
    index = make()
    index.add(documents(300))
    queries = texts(30, seed=6)
    expected = [[hit.doc_id for hit in index.search(query, 5, mode="vector")] for query in queries]

    def search(query: str) -> list[str]:
        return [hit.doc_id for hit in index.search(query, 5, mode="vector")]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(search, queries)) == expected
        found = pool.map(search, queries * 3)
        for number in range(5):
            index.add([Document(id=f"other-{number}", text="nothing like it " * 30)])
        assert all(len(doc_ids) == 5 for doc_ids in found)
    index.compact()
    assert index.verify() == []


def test_given_vectors_without_types_have_codes_too(make: Callable[..., Index]) -> None:
    index = make(GivenVectors(16))
    chance = np.random.default_rng(3)
    rows = chance.standard_normal((200, 6, 16)).astype(np.float32)
    index.add(Document(id=f"{number}", vectors=vectors) for number, vectors in enumerate(rows))
    assert index.info()["search"] == "approximate"
    depth = index.tune(0.95)
    assert depth is not None
    assert 0.95 <= depth["recall"]["maxsim"] <= 1
    for number in (0, 77, 199):
        (hit,) = index.search(vectors=rows[number], k=1)
        assert hit.doc_id == str(number)


def test_depth_is_measured_when_an_index_becomes_large_and_when_it_has_doubled(make: Callable[..., Index]) -> None:
    index = make()
    index.add(documents(100))
    assert index.info()["approximate"]["recall"] == {}
    index.flush()
    first = index.info()["approximate"]
    assert first["n_tokens"] == index.info()["n_tokens"]
    assert list(first["recall"]) == [index.pipeline.scorer]
    assert first["recall"][index.pipeline.scorer] >= first["target"] == Depth().target
    index.add(documents(20, seed=1))
    index.flush()
    assert index.info()["approximate"] == first | {
        "n_tokens_coded": index.info()["n_tokens"],
        "n_tokens_trained_for": first["n_tokens_trained_for"],
    }
    index.add(documents(400, seed=2))
    index.flush()
    grown = index.info()["approximate"]
    assert grown["n_tokens"] == index.info()["n_tokens"]
    assert grown["n_tokens_trained_for"] == index.info()["n_tokens"]  # it is four times as large as it was


def test_recall_that_is_asked_for_is_kept(make: Callable[..., Index]) -> None:
    index = make()
    index.add(documents(300))
    low, high = index.tune(0.3, n_queries=20), index.tune(1.0, n_queries=20)
    assert low is not None
    assert high is not None
    assert low["n_queries"] == high["n_queries"] == 20
    assert (low["n_nearest"], low["n_rescored"]) <= (high["n_nearest"], high["n_rescored"])
    assert index.info()["approximate"]["target"] == 1.0
    index.compact()
    assert index.info()["approximate"]["target"] == 1.0


def test_a_recall_that_is_mostly_measured_by_deep_searches_is_that_by_exact_ones(
    make: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make()
    index.add(documents(600))
    monkeypatch.setattr(tuning, "DEPTHS", ((20, 2),))
    monkeypatch.setattr(tuning, "RESCORED", (10, 12, 15, 20))
    monkeypatch.setattr(tuning, "FEWEST_EXACT", 4)
    found = []
    for most_exact in (4, 1_000):
        monkeypatch.setattr(tuning, "MOST_EXACT", most_exact)
        found.append(index.tune(1.0, n_queries=80))
    assert found[0] == found[1]
    assert found[0] is not None
    assert 0 < found[0]["recall"][index.pipeline.scorer] < 1


def test_what_deep_searches_miss_counts_against_the_recall(
    make: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make()
    index.add(documents(600))
    monkeypatch.setattr(coded, "FEWEST_NEAREST", 0)
    monkeypatch.setattr(tuning, "DEEP", Depth(n_nearest=8, n_probe=1, n_rescored=10))
    monkeypatch.setattr(tuning, "DEPTHS", ((8, 1),))
    monkeypatch.setattr(tuning, "RESCORED", (10,))
    recalls = {}
    for n_exact in (40, 80):
        monkeypatch.setattr(tuning, "FEWEST_EXACT", n_exact)
        monkeypatch.setattr(tuning, "MOST_EXACT", n_exact)
        facts = index.tune(0.9, n_queries=80)
        assert facts is not None
        recalls[n_exact] = facts["recall"][index.pipeline.scorer]
    # it found all of what it had found itself
    assert recalls[40] < 0.9
    assert recalls[40] == pytest.approx(recalls[80], abs=0.1)


@pytest.mark.parametrize("arguments", [(0,), (1.5,), ("all",), (0.9, 0), (0.9, 1.5)])
def test_what_cannot_be_tuned_is_refused(make: Callable[..., Index], arguments: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError, match=r"recall is|n_queries is"):
        make().tune(arguments[0], n_queries=arguments[1] if len(arguments) > 1 else None)


def test_there_is_nothing_to_tune_in_an_exact_index(make: Callable[..., Index]) -> None:
    index = make()
    index.add(documents(3))
    assert index.tune() is None


def test_what_is_preloaded_by_another_thread_is_not_read_again(
    make: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make()
    index.add(documents(200))
    expected = index.search("lionb treec", 5)
    index.close()
    read: list[str] = []
    load = embedded.load_codes
    monkeypatch.setattr(embedded, "load_codes", lambda *given: read.append(given[1].file) or load(*given))
    with Index.open(index.path, pipeline=index.pipeline, read_only=True) as opened, Worker() as worker:
        preloading = worker.submit(opened.preload)
        assert opened.search("lionb treec", 5) == expected
        preloading.result()
    assert len(read) == len(set(read)) == kinds(index)[".codes"]


@pytest.mark.parametrize("kind", [".codes", ".codebook"])
@pytest.mark.parametrize(
    "damage",
    [SEGMENT_DAMAGES[name] for name in ("a bit in the middle", "the last bit", "cut", "empty", "longer", "missing")]
    + [lambda path: flip(path, 9)],
    ids=["middle", "last", "cut", "empty", "longer", "missing", "fingerprint"],
)
def test_damaged_codes_never_answer_and_are_mended_by_compaction(
    make: Callable[..., Index], kind: str, damage: Callable[[Path], object]
) -> None:
    index = make()
    index.add(documents(200))
    expected = index.search("lionb treec", 5, exact=True)
    index.close()
    (path,) = index.path.glob(f"*{kind}")
    damage(path)
    with Index.open(index.path, pipeline=index.pipeline) as damaged:
        with pytest.raises(IndexDamagedError, match=r"compact"):
            damaged.search("lionb treec")
        assert damaged.get("0-0000") == documents(200)[0]
        assert path.name in "".join(damaged.verify())
        damaged.compact()
        assert damaged.verify() == []
        found = damaged.search("lionb treec", 5, exact=True)
    assert [hit.doc_id for hit in found] == [hit.doc_id for hit in expected]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], rel=1e-5)


def test_a_writer_that_died_leaves_no_codes_behind(make: Callable[..., Index]) -> None:
    index = make()
    index.add(documents(200))
    index.close()
    for name in ("0" * 32 + ".codes", "1" * 32 + ".codebook", "codes-1.tmp"):
        (index.path / name).write_bytes(b"left")
    with Index.open(index.path, pipeline=index.pipeline) as again:
        again.add(documents(1, seed=7))
        assert kinds(again) == {".segment": 0, ".codes": 1, ".codebook": 1, ".tmp": 0}
        assert again.verify() == []


def test_an_interrupted_rewrite_leaves_the_index_as_it_was(
    make: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make()
    index.add(documents(200))
    before = index.search("lionb treec", 5)
    write = coding.write_file

    def failing(disk: Disk, pieces: Any, suffix: str) -> Any:
        if suffix == ".codes":
            raise OSError(28, "No space left on device")
        return write(disk, pieces, suffix)

    with monkeypatch.context() as patch:
        patch.setattr(coding, "write_file", failing)
        with pytest.raises(Exception, match="No space left"):
            index.compact()
    assert index.verify() == []
    assert [hit.doc_id for hit in index.search("lionb treec", 5)] == [hit.doc_id for hit in before]
    index.add(documents(1, seed=8))
    assert kinds(index) == {".segment": 0, ".codes": 1, ".codebook": 1, ".tmp": 0}


def test_deep_search_of_real_words_equals_exact_search(
    make: Callable[..., Index], default_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the default depth, nearly all of the best are found; the scores of what is found are exact."""
    index = make(default_pipeline)
    monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", 1_000)
    chance = random.Random(1)
    words = WORDS_OF_ENGLISH.split()
    index.add(
        Document(id=f"{number}", text=" ".join(chance.choices(words, k=chance.randint(5, 40)))) for number in range(500)
    )
    n_found = 0
    for query in ("the dog and the lion", "water by a stone house", "protein cells", "car crash"):
        exact = {hit.doc_id: hit.score for hit in index.search(query, 10, mode="vector", exact=True)}
        found = {hit.doc_id: hit.score for hit in index.search(query, 10, mode="vector")}
        for doc_id in exact.keys() & found.keys():
            assert found[doc_id] == pytest.approx(exact[doc_id], rel=1e-5)
            n_found += 1
    assert n_found >= 36


def vecsearch(folder: Path, *arguments: str) -> click.testing.Result:
    return CliRunner().invoke(program, ["--indexes", str(folder), *arguments])


def test_tune_tells_a_small_index_that_there_is_nothing_to_do(
    make: Callable[..., Index], default_pipeline: Pipeline
) -> None:
    index = make(default_pipeline)
    index.add(documents(3))
    index.close()
    told = vecsearch(index.path.parent, "tune")
    assert (told.exit_code, told.stdout) == (0, "search is exact: there is nothing to tune\n")
    assert json.loads(vecsearch(index.path.parent, "tune", "--json").stdout) == {"search": "exact"}


def test_tune_measures_and_says_where_a_recall_is_not_reached(
    make: Callable[..., Index], default_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make(default_pipeline)
    index.add(documents(300))
    index.close()
    folder = index.path.parent
    reached = vecsearch(folder, "tune", "--recall", ".5", "--queries", "12", "--json")
    facts = json.loads(reached.stdout)
    assert (reached.exit_code, reached.stderr) == (0, "")
    assert (facts["search"], facts["target"], facts["n_queries"]) == ("approximate", 0.5, 12)
    assert (
        json.loads(vecsearch(folder, "info", "--json").stdout)["approximate"].items()
        >= {name: facts[name] for name in ("n_nearest", "n_probe", "n_rescored", "recall", "target")}.items()
    )
    monkeypatch.setattr(tuning, "DEPTHS", ((1, 1),))
    monkeypatch.setattr(tuning, "RESCORED", (1, 1, 1, 1))
    missed = vecsearch(folder, "tune", "--recall", "1")
    assert missed.exit_code == 0
    assert re.search(r"n_rescored +1\n", missed.stdout)
    assert missed.stderr == "the recall of 1 was not reached; --exact finds everything\n"
    assert vecsearch(folder, "tune", "--recall", "2").exit_code == 2


def test_exact_finds_what_a_shallow_search_misses(
    make: Callable[..., Index], default_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make(default_pipeline)
    index.add(documents(300))
    right = [hit.doc_id for hit in index.search("river doctor", 4, mode="vector", exact=True)]
    monkeypatch.setattr(manifest, "read_depth", lambda db, folder: Depth(n_nearest=4, n_probe=1, n_rescored=2))
    monkeypatch.setattr(coded, "FEWEST_NEAREST", 0)
    index.close()
    found: list[list[str]] = []
    for options in ([], ["--exact"]):
        printed = vecsearch(
            index.path.parent, "search", "river doctor", "--mode", "vector", "--json", "-k", "4", *options
        )
        assert printed.exit_code == 0
        found.append([json.loads(line)["doc_id"] for line in printed.stdout.splitlines()])
    assert found[1] == right
    assert len(found[0]) == 4
    assert found[0] != right
