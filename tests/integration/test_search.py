"""Search by every mode, over every store, against brute force; and what users rely on beside the scores."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.coded import search_codes
from tests.property.test_query_language import PIECES, VALID
from tests.search_oracle import SearchOracle, assert_right
from tests.tiny import tiny_pipeline
from vecsearch import (
    Document,
    FilterError,
    GivenVectors,
    Hit,
    Index,
    Pipeline,
    QueryError,
    UsageError,
    bm25,
    ranking,
    request,
)
from vecsearch.index import QUERIES_AT_ONCE
from vecsearch.query_language import parse_query
from vecsearch.stores import upkeep
from vecsearch.stores.memory import MemoryStore

Make = Callable[[Pipeline], Index]

MODES = ("hybrid", "vector", "keyword")
SCORERS = ("debiased_maxsim", "maxsim", "soft_tf")
WORDS = re.findall(
    r"\S+",
    "the a of dog man bit bites lion lioness cat tree car crash accident automobile doctor physician water fire stone "
    "house river mountain protein cell run_time Straße naïve 東京 🦁 , .",
)
QUERIES = (
    "the dog bit the man",
    "lioness by a river",
    "protein cells, physicians",
    "Strasse 東京",
    "zzyzx house house",
)


@pytest.fixture(params=["folder", "codes", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make indexes: exact ones, ones with codes that are searched so deep that nothing is missed, and in memory."""
    opened: list[Index] = []
    monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", 500)
    if request.param == "codes":
        search_codes(monkeypatch)

    def build(pipeline: Pipeline) -> Index:
        if request.param == "memory":
            opened.append(Index.over(lambda encode: MemoryStore(encode, pipeline.dim), pipeline, Path("memory")))
        else:
            opened.append(Index.create(tmp_path / f"index-{len(opened)}", pipeline=pipeline))
        return opened[-1]

    yield build
    for index in opened:
        index.close()


def documents(n: int, seed: int = 1) -> list[Document]:
    """Return documents of one to three passages of 32 tokens, some with titles, some with equal texts."""
    chance = random.Random(seed)
    found = []
    for number in range(n):
        text = " ".join(chance.choices(WORDS, k=chance.choice((3, 8, 20, 60))))
        if number % 9 == 8:
            text = found[-1].text
        title = "A lion and a car" if number % 7 == 0 else ""
        found.append(Document(id=f"{number:03}", text=text, title=title, metadata={"n": number, "third": number % 3}))
    return found


def filled(index: Index, wanted: list[Document]) -> SearchOracle:
    oracle = SearchOracle(index.pipeline)
    index.add(wanted)
    for document in wanted:
        oracle.put(document.id, document.text, document.title)
    return oracle


def assert_alike(hits: list[Hit], others: list[Hit]) -> None:
    """Compare hits but for rounding: vectors that are made anew may round with what they are made together with."""
    assert [(hit.doc_id, hit.passage) for hit in hits] == [(hit.doc_id, hit.passage) for hit in others]
    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in others], abs=1e-5)


@pytest.mark.parametrize("encoder", ["none", "relative", "rotary"])
def test_every_mode_scorer_and_unit_equals_brute_force(
    make: Make, pipelines: dict[str, Pipeline], encoder: str
) -> None:
    index = make(pipelines[encoder])
    oracle = filled(index, documents(24))
    for query in QUERIES[:1] if encoder == "rotary" else QUERIES[1:4]:
        for by in ("passage", "document"):
            assert_right(index, oracle, query, mode="keyword", by=by)
            for scorer in SCORERS:
                assert_right(index, oracle, query, mode="vector", scorer=scorer, by=by)
                for fusion in ("zscore", "rrf"):
                    assert_right(index, oracle, query, mode="hybrid", scorer=scorer, by=by, fusion=fusion)


def test_every_mode_equals_brute_force_with_the_tiny_pipeline(make: Make) -> None:
    index = make(tiny_pipeline())
    oracle = filled(index, documents(40))
    for query in QUERIES:
        for by in ("passage", "document"):
            for mode in MODES:
                for scorer in SCORERS if mode != "keyword" else ("maxsim",):
                    assert_right(index, oracle, query, mode=mode, scorer=scorer, by=by)
                    assert_right(index, oracle, query, 3, mode=mode, scorer=scorer, by=by)


def test_search_equals_brute_force_after_changes(make: Make, pipelines: dict[str, Pipeline], tmp_path: Path) -> None:
    index = make(pipelines["relative"])
    oracle = filled(index, documents(30))

    def check() -> None:
        for mode in MODES:
            for by in ("passage", "document"):
                assert_right(index, oracle, QUERIES[0], mode=mode, by=by)

    check()
    for document in documents(10, seed=2):
        index.add([document])
        oracle.put(document.id, document.text, document.title)
    check()
    index.delete([f"{number:03}" for number in range(0, 30, 4)])
    for number in range(0, 30, 4):
        oracle.remove(f"{number:03}")
    check()
    index.flush()
    check()
    index.compact()
    check()
    if (tmp_path / "index-0").exists():
        index.close()
        with Index.open(tmp_path / "index-0", pipeline=pipelines["relative"], read_only=True) as index:
            check()


def test_one_document_has_a_fused_score_of_zero(make: Make, default_pipeline: Pipeline) -> None:
    index = make(default_pipeline)
    index.add([Document(id="a", text="the quick brown fox jumps over a protein")])
    for scorer in SCORERS:
        (hit,) = index.search("brown the dog", scorer=scorer)
        assert hit.score == 0.0


def test_orders_that_tie_are_told_apart_by_no_fusion(make: Make, pipelines: dict[str, Pipeline]) -> None:
    """Passages of the same words in other orders have equal scores without word order, however they are computed."""
    index = make(pipelines["none"])
    words = [*WORDS[:6], "lion", "river"]
    chance = random.Random(3)
    index.add(Document(id=f"{n:02}", text=" ".join(chance.sample(words, len(words)))) for n in range(50))
    for fusion in ("zscore", "rrf"):
        for scorer in ("maxsim", "soft_tf"):
            hits = index.search("lion bites dog", 50, scorer=scorer, fusion=fusion)
            assert len({round(hit.signals["vector"], 4) for hit in hits}) == 1
            assert max(hit.score for hit in hits) - min(hit.score for hit in hits) < 1e-3
            assert max(abs(hit.score) for hit in hits) < (1e-3 if fusion == "zscore" else 0.02)


def set_pool(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    for module in (ranking, request):
        monkeypatch.setattr(module, "POOL", n)


@pytest.mark.parametrize("fusion", ["zscore", "rrf"])
@pytest.mark.parametrize("by", ["passage", "document"])
def test_a_small_pool_is_filled_with_the_best_of_each_signal(
    make: Make, pipelines: dict[str, Pipeline], by: str, fusion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_pool(monkeypatch, 8)
    chance = random.Random(5)
    index = make(pipelines["relative"])
    oracle = filled(
        index,
        [
            Document(id=f"{n:02}", text=" ".join(chance.choices(WORDS[3:24], k=chance.randint(5, 90))))
            for n in range(60)
        ],
    )
    is_coded = index.info()["search"] == "approximate"
    for query in ("dog bites man", "doctor water house"):
        if not is_coded:  # by codes, who is the last of the pool is a guess
            assert_right(index, oracle, query, 8, by=by, fusion=fusion, pool=8, scorer="maxsim")
        with pytest.raises(UsageError, match="the best 8"):
            index.search(query, 5, offset=4, by=by)
        assert len(index.search(query, 60, by=by, mode="vector")) == 60


def test_keyword_scores_are_exact_where_not_all_postings_are_read(
    make: Make, pipelines: dict[str, Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_pool(monkeypatch, 2)
    monkeypatch.setattr(bm25, "BUDGET", 0)
    index = make(pipelines["relative"])
    oracle = filled(index, documents(40))
    query = "dog doctor water the"
    right = {one.unit: one.score for one in oracle.search(query, mode="keyword")}
    hits = index.search(query, 100, mode="keyword")
    assert len(hits) > 4
    for hit in hits:
        assert hit.score == pytest.approx(right[hit.doc_id, hit.passage], rel=1e-6)


def test_documents_of_many_good_passages_hide_no_other(
    make: Make, pipelines: dict[str, Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_pool(monkeypatch, 4)
    index = make(pipelines["relative"])
    book = Document(id="book", text="Lions lions lions. " * 300)
    oracle = filled(
        index, [book, *(Document(id=f"{n}", text=f"A lion and {n} words of other things") for n in range(3))]
    )
    assert [hit.doc_id for hit in assert_right(index, oracle, "lions", 4, mode="keyword", by="document")][1:] == [
        "0",
        "1",
        "2",
    ]
    assert_right(index, oracle, "lions", 4, by="document", pool=4)


@pytest.mark.parametrize("by", ["passage", "document"])
def test_pages_join_to_the_whole_list(make: Make, pipelines: dict[str, Pipeline], by: str) -> None:
    index = make(pipelines["relative"])
    index.add(documents(30))
    for asked in (
        {"mode": "hybrid"},
        {"mode": "hybrid", "fusion": "rrf"},
        {"mode": "vector"},
        {"mode": "keyword"},
        {"mode": "hybrid", "order": "strict"},
        {"mode": "vector", "order": "none"},
    ):
        query = "the dog bit a man by the river"
        whole = index.search(query, 900, by=by, **asked)
        assert len(whole) >= 25
        for size in (3, 7, 500):
            pages = [
                hit
                for offset in range(0, len(whole), size)
                for hit in index.search(query, size, offset=offset, by=by, **asked)
            ]
            assert_alike(pages, whole)
        assert index.search(query, 10, offset=len(whole), by=by, **asked) == []


def test_a_page_beyond_the_pool_is_refused(make: Make) -> None:
    index = make(tiny_pipeline())
    index.add(documents(5))
    assert len(index.search("dog", 1, offset=999)) == 0
    for k, offset in ((1_001, 0), (1, 1_000), (500, 501)):
        with pytest.raises(UsageError, match="mode='vector'"):
            index.search("dog", k, offset=offset)
        assert index.search("dog", k, offset=offset + 1_000, mode="vector") == []


@pytest.mark.parametrize("order", ["default", "strict"])
@pytest.mark.parametrize("mode", ["hybrid", "vector"])
def test_min_score_leaves_out_what_scores_less_by_vectors(
    make: Make, pipelines: dict[str, Pipeline], mode: str, order: str
) -> None:
    index = make(pipelines["relative"])
    index.add(documents(40))
    whole = index.search(QUERIES[0], 900, mode=mode, order=order)
    ascending = sorted(hit.signals["vector"] for hit in whole)
    for least in (ascending[0] - 1, sum(ascending[10:12]) / 2, sum(ascending[-4:-2]) / 2, ascending[-1] + 1):
        wanted = [hit for hit in whole if hit.signals["vector"] >= least]
        for k in (1, 5, 900):
            assert_alike(index.search(QUERIES[0], k, mode=mode, order=order, min_score=least), wanted[:k])


def test_min_score_needs_vectors(make: Make) -> None:
    index = make(tiny_pipeline())
    index.add([Document(id="a", text="nil word")])
    assert [hit.doc_id for hit in index.search("nil")] == ["a"]
    with pytest.raises(QueryError, match="min_score"):
        index.search("nil", min_score=0.5)
    with pytest.raises(UsageError, match="min_score"):
        index.search("nil", min_score=0.5, mode="keyword")


@pytest.mark.parametrize("is_indexed", [False, True])
def test_filters_let_through_k_of_those_there_are(make: Make, pipelines: dict[str, Pipeline], is_indexed: bool) -> None:
    index = make(pipelines["relative"])
    # the word that is looked for is everywhere, and the wanted documents are the worst of all
    wanted = [Document(id=f"{n:02}", text="a lion and " * 3 + "other words " * n, metadata={"n": n}) for n in range(40)]
    oracle = filled(index, wanted)
    if is_indexed:
        index.index_metadata("n")
    for least in (39, 38, 30, 20, 0):
        for mode in MODES:
            for by in ("passage", "document"):
                hits = assert_right(
                    index,
                    oracle,
                    "lion",
                    mode=mode,
                    by=by,
                    where=f"n >= {least}",
                    allowed=lambda doc_id, least=least: int(doc_id) >= least,
                )
                if by == "document":
                    assert len(hits) == 40 - least
    for mode in MODES:
        assert index.search("lion", mode=mode, where="n > 39") == []
        with pytest.raises(FilterError, match="colour"):
            index.search("lion", mode=mode, where="colour = 'red'")


def test_a_filter_that_lets_nothing_through_is_no_error(make: Make) -> None:
    index = make(tiny_pipeline())
    index.add([Document(id="a", text="nil word"), Document(id="b", text="word")])
    assert index.search("nil", where="id = 'b'") == []
    with pytest.raises(QueryError, match="no token"):
        make(tiny_pipeline()).search("nil")


@pytest.mark.parametrize("by", ["passage", "document"])
@pytest.mark.parametrize("made_with", ["none", "relative", "rotary"])
def test_orders_equal_indexes_made_with_them(
    make: Make, pipelines: dict[str, Pipeline], registry: Any, made_with: str, by: str
) -> None:
    index = make(pipelines[made_with])
    wanted = documents(16)
    index.add(wanted)
    for order, encoder in (("none", "none"), ("strict", "relative:order=0.5")):
        other = Pipeline.from_names(encoder=encoder, max_tokens=32, registry=registry)
        oracle = filled(make(other), wanted)
        for query in QUERIES[:2]:
            expected = {
                (one.doc_id if by == "document" else one.unit): one.score
                for one in oracle.search(query, mode="vector", scorer="maxsim", by=by)
            }
            hits = index.search(query, 1_000, mode="vector", scorer="maxsim", order=order, by=by)
            assert len(hits) == len(expected)
            for hit in hits:
                key = hit.doc_id if by == "document" else (hit.doc_id, hit.passage)
                assert hit.score == pytest.approx(expected[key], rel=1e-4, abs=1e-4)


def test_word_order_counts_as_it_is_asked_for(make: Make, default_pipeline: Pipeline) -> None:
    index = make(default_pipeline)
    index.add([Document(id="a", text="the dog bit the man"), Document(id="b", text="the man bit the dog")])
    for mode in ("vector", "hybrid"):
        for query, best in (("the dog bit the man", "a"), ("the man bit the dog", "b")):
            for order in ("default", "strict"):
                first, second = index.search(query, mode=mode, order=order)
                assert (first.doc_id, first.score > second.score) == (best, True)
            first, second = index.search(query, mode=mode, order="none")
            assert (first.doc_id, second.doc_id) == ("a", "b")
            assert first.score == second.score


def test_many_queries_equal_one_by_one(make: Make, pipelines: dict[str, Pipeline]) -> None:
    index = make(pipelines["relative"])
    index.add(documents(20))
    for asked in ({"mode": "vector", "by": "document", "order": "strict"}, {"mode": "keyword", "offset": 2}):
        for query, hits in zip(QUERIES, index.search_many(QUERIES, 5, **asked), strict=True):
            assert_alike(hits, index.search(query, 5, **asked))
    queries = [*QUERIES, '"car crash"', "=lion -dog", *(f"house {word}" for word in WORDS)]
    assert len(queries) > QUERIES_AT_ONCE
    for asked in (
        {"mode": "hybrid"},
        {"mode": "hybrid", "fusion": "rrf", "scorer": "soft_tf", "where": "third = 1", "explain": True},
    ):
        together = index.search_many(queries, 5, **asked)
        for query, hits in zip(queries, together, strict=True):
            assert_alike(hits, index.search(query, 5, **asked))
    assert index.search_many([]) == []


@pytest.mark.parametrize("wrong", ["", '"', '"!!!"', "nil", 'dog "...'])
def test_errors_of_many_queries_name_the_number(make: Make, wrong: str) -> None:
    index = make(tiny_pipeline())
    index.add(documents(3))
    with pytest.raises(QueryError, match=r"^query 3: "):
        index.search_many(["dog", "cat", wrong, "lion"])


def test_like_finds_a_near_duplicate_and_not_itself(make: Make, default_pipeline: Pipeline) -> None:
    index = make(default_pipeline)
    text = "Proteins fold into shapes that decide what a living cell can do. Physicians study them."
    index.add(
        [
            *documents(20),
            Document(id="original", text=text, title="Folding"),
            Document(id="copy", text=text.replace("decide", "determine")),
            Document(id="twin", text=text, title="Folding"),
        ]
    )
    for asked in ({}, {"mode": "vector"}, {"mode": "keyword"}, {"mode": "vector", "order": "none"}):
        for by in ("document", "passage"):
            hits = index.like("original", 5, by=by, **asked)
            assert {hit.doc_id for hit in hits[:2]} == {"twin", "copy"}
            assert "original" not in {hit.doc_id for hit in hits}
    assert index.like("original", where="id != 'twin'")[0].doc_id == "copy"
    for hit in index.like("original", 30, explain=True):
        assert hit.explanation is not None
        assert hit.explanation.total == pytest.approx(hit.score, abs=1e-5)
    with pytest.raises(UsageError, match="'nobody'"):
        index.like("nobody")


def test_like_works_on_given_vectors(make: Make) -> None:
    index = make(GivenVectors(8))
    rows = np.random.default_rng(1).standard_normal((12, 8)).astype(np.float32)
    index.add(Document(id=str(n), vectors=rows[2 * n : 2 * n + 2]) for n in range(5))
    index.add([Document(id="near", vectors=rows[2:4] + np.float32(0.01))])
    assert index.like("1")[0].doc_id == "near"
    assert {hit.doc_id for hit in index.like("1")} == {"0", "2", "3", "4", "near"}
    with pytest.raises(UsageError, match="'nobody'"):
        index.like("nobody")


PHRASED = {
    "crash": "There was a car crash on the bridge.",
    "accident": "He had an automobile accident last year.",
    "apart": "A crash of waves, and a car beside it, far from the road.",
    "bus": "A car crash with a bus.",
    "other": "Lions sleep under trees.",
}


def test_phrases_are_required_and_show_where_they_stand(make: Make, default_pipeline: Pipeline) -> None:
    index = make(default_pipeline)
    index.add(Document(id=doc_id, text=text, metadata={"n": len(text)}) for doc_id, text in PHRASED.items())
    for mode in MODES:
        for by in ("passage", "document"):

            def found(query: str, mode: str = mode, by: str = by, **asked: Any) -> list[str]:
                return [hit.doc_id for hit in index.search(query, mode=mode, by=by, **asked)]

            expected = {"crash", "bus"} if mode == "keyword" else {"crash", "accident", "bus"}
            assert set(found('="car crash"')) == {"crash", "bus"}
            assert set(found('"car crash"')) == expected
            assert set(found('="car crash" -bus')) == {"crash"}
            assert set(found("car =crash")) == {"crash", "apart", "bus"}
            assert set(found("=NEAR(crash car, 5)")) == {"crash", "apart", "bus"}
            assert set(found("=NEAR(crash car, 2)")) == {"crash", "bus"}
            assert set(found('="car bridge"~3')) == {"crash"}
            assert found('="car bridge"~2') == []
            assert set(found('="car crash"', where="id = 'bus'")) == {"bus"}
            assert found('="zzyzx"') == []
            assert found('crash -"car crash"') == (["apart"] if mode == "keyword" else found('crash -"car crash"'))
            assert not {"crash", "bus"} & set(found('crash -"car crash"'))
            for hit in index.search('road ="car crash"', mode=mode, by=by, explain=True):
                start = hit.text.index("car crash")
                spans = {(match.start, match.end): match for match in hit.matches}
                assert {(start, start + 3), (start + 4, start + 9)} <= set(spans)
                assert (spans[start, start + 3].query_start, spans[start, start + 3].query_end) == (7, 10)
                assert hit.signals["phrase"] == 1
                assert hit.explanation is not None
                (of_phrase,) = [one for one in hit.explanation.contributions if one.signal == "phrase"]
                assert (of_phrase.start, of_phrase.end) == (start, start + 9)
                assert of_phrase.label == '="car crash"'


def test_likeness_in_quotes_finds_synonyms(make: Make, default_pipeline: Pipeline) -> None:
    index = make(default_pipeline)
    index.add(Document(id=doc_id, text=text) for doc_id, text in PHRASED.items())
    assert index.search('"automobile accident"', mode="vector")[0].doc_id == "accident"
    hits = index.search('"automobile accident"')
    assert {hit.doc_id for hit in hits} == {"accident", "crash", "bus"}
    assert hits[0].doc_id == "accident"
    assert {hit.doc_id for hit in index.search('="automobile accident"')} == {"accident"}
    crash = next(hit for hit in hits if hit.doc_id == "crash")
    assert 0.4 <= crash.signals["phrase"] < 1


def test_phrases_of_documents_are_looked_for_in_passages(make: Make, pipelines: dict[str, Pipeline]) -> None:
    index = make(pipelines["relative"])
    filler = "Nothing of interest stands in these many words. " * 8
    index.add(
        [
            Document(id="late", text=f"A lion, a lion, a lion. {filler} The car crash comes late."),
            Document(id="torn", text=f"A car. {filler} A crash."),
        ]
    )
    (hit,) = index.search('lion ="car crash"', by="document")
    assert hit.doc_id == "late"
    assert "car crash" in hit.text
    (hit,) = index.search('lion ="car crash"', by="document", mode="keyword")
    assert "car crash" in hit.text


def test_copies_of_a_document_find_no_more_by_chance(make: Make, default_pipeline: Pipeline) -> None:
    """Chance is measured by different token sequences, so a text is as unlikely however often it is there."""
    found = []
    index = make(default_pipeline)
    for n in (1, 2, 1_000):
        index.add(Document(id=str(number), text="The dog bit the man by a river") for number in range(n))
        (hit,) = index.search("a dog near water", 1, mode="vector", scorer="debiased_maxsim", explain=True)
        assert hit.explanation is not None
        # the weights hold the idf, which is another at each size
        found.append([one.value / one.weight for one in hit.explanation.contributions if one.weight])
    assert found[1] == pytest.approx(found[0], abs=1e-6)
    assert found[2] == pytest.approx(found[0], abs=1e-6)


def test_scores_do_not_depend_on_how_the_collection_came_about(make: Make) -> None:
    wanted = documents(40)
    fresh, turned, changed = make(tiny_pipeline()), make(tiny_pipeline()), make(tiny_pipeline())
    fresh.add(wanted)
    for document in reversed(wanted):
        turned.add([document])
    changed.add(documents(60, seed=9))
    changed.add(wanted)
    changed.delete([f"{number:03}" for number in range(40, 60)])
    for mode in MODES:
        for query in QUERIES:
            lists = [
                {(hit.doc_id, hit.passage): hit.score for hit in index.search(query, 900, mode=mode)}
                for index in (fresh, turned, changed)
            ]
            assert lists[1] == pytest.approx(lists[0], rel=1e-5, abs=1e-5)
            assert lists[2] == pytest.approx(lists[0], rel=1e-5, abs=1e-5)


def fuzzed(n: int) -> Iterator[str]:
    """Yield queries: valid ones with characters taken out, put in or moved, and random ones."""
    chance = random.Random(11)
    for number in range(n):
        query = list(chance.choice(VALID) if number % 2 else "".join(chance.choices(PIECES, k=chance.randint(0, 12))))
        for _ in range(chance.randint(0, 4)):
            at = chance.randint(0, len(query))
            query[at : at + chance.randint(0, 2)] = chance.choice(PIECES)
        yield "".join(query)


def test_any_query_is_searched_or_refused(make: Make, default_pipeline: Pipeline) -> None:
    for query in fuzzed(10_000):
        try:
            parse_query(query)
        except QueryError:
            continue
    index = make(default_pipeline)
    index.add([*documents(10), Document(id="fuzz", text="a b c d e car crash dog x \x00 🚀 é 日 3")])
    n_found = 0
    for number, query in enumerate(fuzzed(300)):
        try:
            n_found += bool(index.search(query, 3, mode=MODES[number % 3], explain=True))
        except QueryError:
            continue
    assert n_found > 50


@pytest.mark.parametrize("store_query", ["AND", "dog OR", "NOT dog", "NEAR(", '"', '"dog', "dog*", "^dog", "text:dog"])
def test_signs_of_the_full_text_index_mean_nothing(make: Make, store_query: str) -> None:
    index = make(tiny_pipeline())
    index.add([Document(id="a", text="a dog and no cat"), Document(id="b", text="text of lions or near them")])
    chance = random.Random(store_query)
    signs = ["AND", "OR", "NOT", "NEAR", '"', "*", "^", ":", "(", ")", "-", "'", ";", "--", "{", "+", "dog", "\x00"]
    for query in (store_query, *(" ".join(chance.choices(signs, k=6)) for _ in range(20))):
        hits = index.search(query, mode="keyword", syntax="plain")
        assert ("a" in {hit.doc_id for hit in hits}) or "dog" not in query.lower()
        assert len(index.search(f"x {query}", syntax="plain")) == 2


def test_a_query_beyond_the_first_pass_is_named_by_its_number(make: Make, default_pipeline: Pipeline) -> None:
    index = make(default_pipeline)
    index.add([Document(id="1", text="a dog")])
    with pytest.raises(QueryError, match=r"^query 41: the phrase"):
        index.search_many([*["dog"] * 40, '"dog'])
    with pytest.raises(QueryError, match=r"^query 41: .*no word"):
        index.search_many([*["dog"] * 40, 'dog "!"'])
