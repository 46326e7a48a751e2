"""The peer benchmark's own parts: its queries, its arrays, how it counts, and drivers that need nothing installed."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.bench import peer_queries
from tests.bench.peer_queries import alter, make_queries, near_words, sentences
from tests.bench.peers import running
from tests.bench.peers.__main__ import _hopeless
from tests.bench.peers.arrays import write_arrays
from tests.bench.peers.drivers.driving import Arrays, recall_of
from tests.bench.peers.environments import PEERS, Installed, Peer, folder_bytes
from tests.bench.peers.figures import HEADINGS, markdown
from tests.bench.peers.running import Limits, PeerError, Workplace
from tests.oracle import Oracle
from vecsearch import Pipeline

SUBJECTS = ("cat", "dog", "horse", "driver", "kernel", "index", "table", "reader", "writer", "author", "doctor")
TEXTS = [
    f"The {subject} opens a small file slowly. It then writes the {other} to the old disk, as before.\nx = {number};"
    for number, (subject, other) in enumerate(zip(SUBJECTS, SUBJECTS[1:] + SUBJECTS[:1], strict=True))
]


@pytest.fixture(scope="module")
def pipeline(pipelines: dict[str, Pipeline]) -> Pipeline:
    return pipelines["relative"]


@pytest.fixture(scope="module")
def arrays(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peers")
    with gzip.open(folder / "corpus.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"title": "", "text": text}) + "\n" for text in TEXTS)
    write_arrays(folder / "arrays", len(TEXTS), pipeline, folder / "corpus.jsonl.gz")
    return folder / "arrays"


def test_sentences_are_of_letters_and_of_6_to_25_words():
    long = "The " + " ".join(["word"] * 24) + "."
    text = f"{long} The {long[4:-1]} more. Too short. The value x = 3 is not taken here. Is this\none taken as well?"
    assert [" ".join(words) for words in sentences(text)] == [long[:-1].lower(), "is this one taken as well"]


def test_a_quarter_of_the_words_is_dropped_and_a_quarter_replaced():
    words = [f"w{number}" for number in range(12)]
    near = {word: [f"near-{word}"] for word in words}
    altered = alter(words, near, np.random.default_rng(0))
    assert len(altered) == 9
    replaced = [word.removeprefix("near-") for word in altered if word.startswith("near-")]
    kept = [word for word in altered if not word.startswith("near-")]
    assert (len(replaced), len(kept)) == (3, 6)
    order = [word.removeprefix("near-") for word in altered]
    assert order == [word for word in words if word in order]


def test_words_without_neighbours_are_kept():
    words = ["a", "b", "c", "d", "e", "f", "g", "h"]
    altered = alter(words, {}, np.random.default_rng(1))
    assert len(altered) == 6
    assert not Counter(altered) - Counter(words)


def test_near_words_are_the_nearest_rows_and_never_the_word_itself(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peer_queries, "N_NEAR", 1)
    vocabulary = ["banana", "cat", "cats", "kernel", "kernels"]
    assert near_words(pipeline, ["cat", "kernels"], vocabulary) == {"cat": ["cats"], "kernels": ["kernel"]}


def test_queries_are_the_same_for_the_same_seed_and_come_from_different_passages(pipeline: Pipeline):
    queries = make_queries(TEXTS, pipeline, n=8)
    assert queries == make_queries(TEXTS, pipeline, n=8)
    assert queries != make_queries(TEXTS, pipeline, n=8, seed=1)
    assert len({query.source for query in queries}) == 8
    for query in queries:
        shared = set(query.text.split()) & {word for words in sentences(TEXTS[query.source]) for word in words}
        assert shared


def test_exact_scores_are_those_of_the_oracle(arrays: Path, pipeline: Pipeline):
    oracle = Oracle(pipeline)
    for number, text in enumerate(TEXTS):
        oracle.put(str(number), text)
    exact = np.load(arrays / "exact_scores.npy")
    for number, query in enumerate(Arrays(arrays).query_texts):
        wanted = oracle.scores(query)
        assert exact[number] == pytest.approx([wanted[str(passage), 0] for passage in range(len(TEXTS))], rel=1e-4)


def test_weighted_queries_carry_the_weights(arrays: Path):
    opened = Arrays(arrays)
    vectors, offsets = opened.load("vectors.f32"), opened.offsets
    exact = opened.load("exact_scores")
    for number, query in enumerate(opened.weighted_queries):
        passage = vectors[offsets[3] : offsets[4]]
        assert (passage @ query.T).max(axis=0).sum() == pytest.approx(exact[number, 3], rel=1e-4)


def test_recall_counts_equal_scores_as_equal_and_repeats_once():
    exact = np.array([0.5, 0.9, 0.1, 0.9, 0.5], np.float32)
    assert recall_of([1, 3, 4], exact, k=3) == 1
    assert recall_of([1, 3, 0], exact, k=3) == 1
    assert recall_of([1, 1, 1], exact, k=3) == pytest.approx(1 / 3)
    assert recall_of([1, 2, 2, 3], exact, k=3) == pytest.approx(2 / 3)
    assert recall_of([], exact, k=3) == 0


def test_folder_bytes_counts_all_files(tmp_path: Path):
    (tmp_path / "below").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "below" / "b").write_bytes(b"4567")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert folder_bytes(tmp_path) == 7
    assert folder_bytes(tmp_path / "a") == 3


@pytest.mark.parametrize(("name", "recall"), [("exact", 1.0), ("vecsearch, vector", 1.0), ("SQLite FTS5", None)])
def test_drivers_build_and_search(name: str, recall: float | None, arrays: Path, tmp_path: Path):
    (peer,) = (peer for peer in PEERS if peer.name == name)
    driver = str(running.DRIVERS / f"{peer.driver}.py")
    found = []
    for phase in ("build", "search"):
        command = [sys.executable, driver, phase, str(arrays), str(tmp_path), *peer.options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    assert found[0]["build_s"] > 0
    assert folder_bytes(tmp_path) > 0
    assert found[1]["recall"] == recall
    assert found[1]["source"] >= 0.9
    assert found[1]["n_queries"] == len(TEXTS)
    assert 0 < found[1]["p50_ms"] <= found[1]["p95_ms"]


def test_a_driver_that_fails_is_named_with_its_last_line(arrays: Path, tmp_path: Path):
    peer = Peer("broken", "with_tachiom", (), "", "")
    workplace = Workplace(arrays, tmp_path, Limits(30, 1))
    with pytest.raises(PeerError, match=r"build failed: .*No module named 'tachiom'"):
        workplace.measure(peer, Installed(Path(sys.executable), {}, 0))


def test_a_table_has_a_row_for_each_peer_measured_and_the_reason_for_the_others():
    searched = {"recall": 0.5, "source": 1.0, "n_queries": 9, "p50_ms": 1.25, "p95_ms": 250.0, "cpu_ms": 1.0}
    searched["peak_rss_mb"] = 90.0
    figures = {
        "exact": {
            "build_s": 2.0,
            "build_rss_mb": 1500.0,
            "disk_bytes": 640,
            "install_bytes": 3_000_000,
            "threads_1": searched,
            "threads_2": searched | {"recall": None},
            "load": [0.5, 1.5],
        },
        "tachiom": {"skipped": "cannot be installed: no wheel"},
    }
    facts = {"n_passages": 4, "n_tokens": 10, "n_queries": 9, "embed_seconds": 0.5}
    peers = [peer for peer in PEERS if peer.name in figures]
    lines = markdown(facts, peers, figures, "1234567").splitlines()
    assert lines[2].count("|") == lines[3].count("|") == lines[4].count("|") == len(HEADINGS) + 1
    assert lines[4] == (
        "| exact | 0.500 | 1.00 | 9 | 1.2 / 250 | 1.0 | 1.2 / 250 | 2.0 | 64 | 1,500 / 90 | 3 | – | – |"
    )
    assert lines[-1] == "* tachiom: no figures, cannot be installed: no wheel"


def test_what_took_too_long_at_a_smaller_size_is_not_tried_at_a_larger_one():
    (peer,) = (peer for peer in PEERS if peer.name == "tachiom")
    limits = Limits(build=100, search=1)

    def at(**figures: object) -> dict[str, object]:
        return {"2000": {"peers": {"tachiom": figures}}}

    assert _hopeless({}, peer, 20_000, limits) is None
    assert _hopeless(at(build_s=9.0), peer, 20_000, limits) is None
    assert _hopeless(at(build_s=11.0), peer, 20_000, limits) == (
        "a build would take about 110 s, by that of 2,000 passages"
    )
    assert _hopeless(at(skipped="build not done"), peer, 20_000, limits) == "build not done, with 2,000 passages"
