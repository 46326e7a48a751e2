import json
import re
import sys
from pathlib import Path

import click.testing
import numpy as np
import pytest
from click.testing import CliRunner

from vecsearch import Index
from vecsearch.cli.program import program
from vecsearch.evaluation.datasets import read_collection
from vecsearch.evaluation.measures import MEASURES

CORPUS = {
    "stone": "A stone is a stone, and the river is deep.",
    "bread": "Bread is made of flour, water and salt.",
    "bakery": "The bakery sells bread every morning.",
    "empty": "",
}
QUERIES = {"q1": "bread", "q2": "stone", "q3": "zebra", "q4": "never judged"}
# q1: both documents with the word are relevant; q2: the one that ranks first is not; q3: no document has the word
JUDGED = [("q1", "bread", 2), ("q1", "bakery", 1), ("q2", "bread", 1), ("q2", "stone", 0), ("q3", "stone", 1)]
ROW = re.compile(r"\| (?P<label>.+?) \| (?P<n>.+?) \| (?P<cells>.+) \|")


def run(*arguments: object) -> click.testing.Result:
    return CliRunner().invoke(program, ["eval", *map(str, arguments)])


def table(result: click.testing.Result) -> list[tuple[str, str, list[str]]]:
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"\|(---\|)+", lines[1])
    matches = [ROW.fullmatch(line) for line in (lines[0], *lines[2:])]
    return [(found["label"], found["n"], found["cells"].split(" | ")) for found in matches if found]


def records(result: click.testing.Result) -> list[dict]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Four documents and four queries, of which three are judged."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    lines = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in CORPUS.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    lines = [json.dumps({"_id": name, "text": text}) for name, text in QUERIES.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    rows = ["query-id\tcorpus-id\tscore", *(f"{query}\t{name}\t{grade}" for query, name, grade in JUDGED)]
    (folder / "qrels.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder


@pytest.fixture
def matrix(tmp_path: Path) -> str:
    """Words whose cosines are plain: king − man + woman = queen; of zebra nothing is known."""
    rows = {
        "king": (1, 0, 1),
        "queen": (0, 1, 1),
        "man": (1, 0, 0),
        "woman": (0, 1, 0),
        "stone": (0, 0, -1),
        "zebra": (0, 0, 0),
    }
    np.save(tmp_path / "rows.npy", np.array(list(rows.values()), np.float32))
    (tmp_path / "words.txt").write_text("\n".join(rows) + "\n", "utf-8")
    return f"matrix:path={tmp_path / 'rows.npy'},vocabulary={tmp_path / 'words.txt'}"


def test_keyword_search_of_a_tiny_collection_measures_what_one_works_out_by_hand(collection: Path) -> None:
    # q1 finds bakery and bread in some order, q2 finds only the stone, which is judged useless, q3 finds nothing
    (one,) = records(run(collection, "--mode", "keyword", "--json"))
    assert (one["dataset"], one["kind"], one["configuration"]) == ("tiny", "collection", "mode=keyword")
    assert (one["pipeline"], one["search"], one["p_values"]) == ({}, {"mode": "keyword"}, None)
    assert (one["n"], one["n_covered"]) == (3, 2)
    assert list(one["measures"]) == list(MEASURES)
    assert one["measures"]["MAP"] == one["measures"]["MRR"] == pytest.approx(1 / 3)
    assert one["measures"]["recall@10"] == one["measures"]["recall@100"] == pytest.approx(1 / 3)
    best, other = (2 + 1 / np.log2(3)), (1 + 2 / np.log2(3))
    assert one["measures"]["nDCG@10"] in (pytest.approx(1 / 3), pytest.approx(other / best / 3))


def test_the_table_has_a_row_a_configuration_and_the_baseline_first(collection: Path) -> None:
    result = run(collection, "--bm25", "--mode", "keyword", "--mode", "vector")
    head, *rows = table(result)
    assert head == ("configuration", "queries", list(MEASURES))
    assert [label for label, _, _ in rows] == ["BM25 (bm25s)", "mode=keyword", "mode=vector"]
    assert [n for _, n, _ in rows] == ["2 of 3", "2 of 3", "3"]
    assert all(re.fullmatch(r"[01]\.\d{4}", cell) for _, _, cells in rows for cell in cells)
    assert result.stderr.startswith("* differs from the first row, p < 0.05 (two-sided paired randomisation test")


def test_a_difference_on_every_query_is_marked_and_none_is_not(tmp_path: Path) -> None:
    # the wanted order of words stands in the document with the higher id, so without positions it ties and comes second
    words = ["dog", "wolf", "child", "teacher", "king"]
    asked = [(a, b) for number, a in enumerate(words) for b in words[number + 1 :]]
    texts = {f"{a}-{b}-{kind}": text for a, b in asked for kind, text in ((1, f"{b} bit {a}"), (2, f"{a} bit {b}"))}
    folder = tmp_path / "orders"
    folder.mkdir()
    lines = [json.dumps({"_id": name, "text": text}) + "\n" for name, text in texts.items()]
    (folder / "corpus.jsonl").write_text("".join(lines), "utf-8")
    lines = [json.dumps({"_id": f"{a}-{b}", "text": f"{a} bit {b}"}) + "\n" for a, b in asked]
    (folder / "queries.jsonl").write_text("".join(lines), "utf-8")
    judged = "".join(f"{a}-{b}\t{a}-{b}-2\t1\n" for a, b in asked)
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}", "utf-8")
    arguments = (folder, "--mode", "vector", "--encoder", "none", "--encoder", "relative")
    none, relative = (cells for _, _, cells in table(run(*arguments))[1:])
    columns = list(MEASURES)
    assert (none[columns.index("MRR")], relative[columns.index("MRR")]) == ("0.5000", "1.0000*")
    assert (none[columns.index("recall@10")], relative[columns.index("recall@10")]) == ("1.0000", "1.0000")
    tested = records(run(*arguments, "--json"))[1]["p_values"]
    assert tested["MRR"] == 2 / 2 ** len(asked)
    assert tested["recall@10"] == 1.0


def test_other_queries_are_read_from_the_file_named(collection: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"_id": f"q{n}", "text": "flour water"}) + "\n" for n in (1, 2, 3)), "utf-8")
    (one,) = records(run(collection, "--queries", other, "--mode", "keyword", "--json"))
    # all three find the bread alone: half of what q1 wants, all that q2 wants
    assert one["measures"]["recall@10"] == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_each_query_can_be_had_on_its_own_and_their_mean_is_the_measure(collection: Path, tmp_path: Path) -> None:
    file = tmp_path / "queries-out.jsonl"
    found = records(run(collection, "--mode", "keyword", "--mode", "hybrid", "--per-query", file, "--json"))
    items = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [(one["configuration"], one["query"]) for one in items] == [
        (mode, query) for mode in ("mode=keyword", "mode=hybrid") for query in ("q1", "q2", "q3")
    ]
    for one in found:
        own = [item for item in items if item["configuration"] == one["configuration"]]
        for name, mean in one["measures"].items():
            assert np.mean([item[name] for item in own]) == pytest.approx(mean)


def test_run_files_hold_the_rankings_and_give_the_same_measures(collection: Path, tmp_path: Path) -> None:
    ir_measures = pytest.importorskip("ir_measures")
    file = tmp_path / "run.trec"
    found = records(run(collection, "--mode", "vector", "--mode", "keyword", "--trec", file, "--json"))
    assert sorted(path.name for path in tmp_path.glob("*.trec")) == ["run-1.trec", "run-2.trec"]
    relevance = {query: dict(of) for query, of in read_collection(collection).relevance.items()}
    for number, one in enumerate(found, 1):
        path = tmp_path / f"run-{number}.trec"
        assert {line.split()[5] for line in path.read_text("utf-8").splitlines()} == {one["configuration"]}
        measured = ir_measures.calc_aggregate(
            [ir_measures.parse_measure(theirs) for theirs in MEASURES.values()],
            relevance,
            list(ir_measures.read_trec_run(str(path))),
        )
        assert {str(measure): value for measure, value in measured.items()} == pytest.approx(
            {theirs: one["measures"][ours] for ours, theirs in MEASURES.items()}
        )


def test_an_id_that_a_run_file_cannot_hold_is_refused_before_anything_is_done(collection: Path, tmp_path: Path) -> None:
    with (collection / "corpus.jsonl").open("a", encoding="utf-8") as corpus:
        corpus.write(json.dumps({"_id": "two words", "text": "x"}) + "\n")
    file = tmp_path / "run.trec"
    result = run(collection, "--trec", file)
    assert (result.exit_code, result.stdout, file.exists()) == (1, "", False)
    assert "the id 'two words' is empty or has white space" in result.stderr


def test_kept_indexes_are_shared_used_again_and_hold_the_corpus_of_today(collection: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    arguments = ("--mode", "keyword", "--mode", "vector", "--encoder", "none", "--keep", kept, "--json")
    first = records(run(collection, *arguments))
    assert sorted(path.name for path in kept.iterdir()) == ["encoder=none"]
    assert records(run(collection, *arguments)) == first
    lines = (collection / "corpus.jsonl").read_text("utf-8").splitlines(keepends=True)
    (collection / "corpus.jsonl").write_text("".join(lines[:3]), "utf-8")  # without the empty one, which finds nothing
    assert records(run(collection, *arguments)) == first
    with Index.open(kept / "encoder=none", read_only=True) as index:
        assert {one.id for one in index.documents()} == {"stone", "bread", "bakery"}


def test_pairs_are_measured_by_similarity(tmp_path: Path, matrix: str) -> None:
    # similarities: 1, cos(king, queen) = .5, 0
    file = tmp_path / "pairs.tsv"
    file.write_text("sentence1\tsentence2\tlabel\nman\tman\t1\nking\tqueen\t0\nman\twoman\t1\n", "utf-8")
    head, row = table(run(file, "--embedder", matrix, "--encoder", "none"))
    assert head == ("configuration", "pairs", ["AUC"])
    assert (row[1], row[2]) == ("3", ["0.5000"])
    out = tmp_path / "out.jsonl"
    run(file, "--embedder", matrix, "--encoder", "none", "--per-query", out)
    items = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [(item["pair"], item["label"], round(item["similarity"], 6)) for item in items] == [
        ("2", 1, 1.0),
        ("3", 0, 0.5),
        ("4", 1, 0.0),
    ]


def test_triples_count_ties_one_half_by_similarity_and_by_search(tmp_path: Path) -> None:
    file = tmp_path / "triples.tsv"
    rows = [
        ("the dog bit the man", "the dog bit the man", "a river of stone"),  # right
        ("the dog bit the man", "a river of stone", "the dog bit the man"),  # wrong
        ("the dog bit the man", "the man bit the dog", "the man bit the dog"),  # a tie
    ]
    file.write_text("anchor\tpositive\tnegative\n" + "".join("\t".join(row) + "\n" for row in rows), "utf-8")
    (one,) = records(run(file, "--mode", "vector", "--encoder", "none", "--json"))
    assert one["measures"] == {"accuracy by similarity": 0.5, "accuracy by search": 0.5}
    plain, ordered = records(run(file, "--encoder", "none", "--encoder", "relative", "--json"))
    assert (plain["p_values"], ordered["p_values"]) == (None, dict.fromkeys(plain["measures"], 1.0))


def test_the_encoder_decides_which_order_of_words_is_nearer(tmp_path: Path) -> None:
    file = tmp_path / "triples.tsv"
    file.write_text("anchor\tpositive\tnegative\na dog bit a man\tthe dog bit the man\tthe man bit the dog\n", "utf-8")
    none, relative = records(run(file, "--mode", "vector", "--encoder", "none", "--encoder", "relative", "--json"))
    assert none["measures"] == {"accuracy by similarity": 0.5, "accuracy by search": 0.5}
    assert relative["measures"] == {"accuracy by similarity": 1.0, "accuracy by search": 1.0}


def test_analogies_are_answered_by_the_nearest_word_and_unknown_words_not_covered(tmp_path: Path, matrix: str) -> None:
    file = tmp_path / "questions.txt"
    # the second answer is queen again, and king second; of zebra nothing is known
    file.write_text(": royal\nMan woman king queen\nwoman queen man king\nman woman zebra queen\n", "utf-8")
    out = tmp_path / "out.jsonl"
    (one,) = records(run(file, "--embedder", matrix, "--per-query", out, "--json"))
    assert (one["kind"], one["n"], one["n_covered"]) == ("analogies", 3, 2)
    assert one["measures"] == {"first": 1.0, "in first 5": 1.0}
    items = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [(item["section"], item["question"], item["rank"]) for item in items] == [
        ("royal", ["man", "woman", "king", "queen"], 1),
        ("royal", ["woman", "queen", "man", "king"], 1),
    ]
    wrong = tmp_path / "wrong.txt"
    wrong.write_text(": royal\nman woman king stone\n", "utf-8")
    (one,) = records(run(wrong, "--embedder", matrix, "--json"))
    assert one["measures"] == {"first": 0.0, "in first 5": 1.0}


def test_word_similarity_is_a_rank_correlation_over_the_known_pairs(tmp_path: Path, matrix: str) -> None:
    # cosines: man–king .71, king–queen .5, man–woman 0, king–stone −.71
    file = tmp_path / "judged.txt"
    file.write_text("man king 9\nking queen 7\nman woman 3\nking stone 4\nman zebra 5\n", "utf-8")
    head, row = table(run(file, "--embedder", matrix))
    assert head == ("configuration", "pairs", ["Spearman"])
    assert row[1:] == ("4 of 5", ["0.8000"])
    file.write_text("man zebra 9\nking queen 7\n", "utf-8")
    result = run(file, "--embedder", matrix)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "knows both words of 1 of the 2 pairs of judged" in result.stderr


def test_compare_starts_with_the_default_and_varies_what_is_not_given(tmp_path: Path) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text(
        "sentence1\tsentence2\tlabel\na dog bit a man\tthe dog bit the man\t1\nman bit\tbit man\t0\n", "utf-8"
    )
    found = [label for label, _, _ in table(run(file, "--compare"))[1:]]
    assert found == [
        f"encoder={one}" for one in ("none", "sinusoidal", "rotary", "relative:order=0.3", "relative:order=0.5")
    ]


def test_compare_on_a_collection_tries_modes_scorers_and_encoders(collection: Path) -> None:
    rows = table(run(collection, "--compare", "--scorer", "maxsim"))[1:]
    assert [label for label, _, _ in rows] == [
        "encoder=relative mode=hybrid scorer=maxsim",
        "encoder=relative mode=vector scorer=maxsim",
        "encoder=relative mode=keyword",
        "encoder=none mode=hybrid scorer=maxsim",
        "encoder=none mode=vector scorer=maxsim",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--mode", "vector"], 2, "--mode makes no difference to a data set of the kind 'pairs'"),
        (["--bm25", "--trec", "x.trec"], 2, "--bm25 and --trec makes no difference"),
        (["--encoder", "nonsense"], 1, "nonsense"),
        (["--queries", "x"], 1, "queries and qrels belong to a collection"),
    ],
)
def test_what_a_kind_of_data_set_cannot_use_is_refused(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    file = tmp_path / "pairs.tsv"
    file.write_text("sentence1\tsentence2\tlabel\na\tb\t1\nc\td\t0\n", "utf-8")
    result = run(file, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("qrels.tsv", None, "no qrels.tsv in it"),
        ("qrels.tsv", "query-id\tcorpus-id\tscore\nq1\tnowhere\t1\n", "qrels.tsv, line 2: 'nowhere' is not an _id of"),
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n' * 2, "corpus.jsonl, line 2: the _id 'a' was there before"),
    ],
)
def test_a_broken_collection_fails_with_one_line(collection: Path, name: str, content: str | None, said: str) -> None:
    (collection / name).unlink()
    if content is not None:
        (collection / name).write_text(content, "utf-8")
    result = run(collection)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    assert said in result.stderr
    described = json.loads(run(collection, "--json").stderr)
    assert described["error"] == "load"


def test_a_missing_extra_is_noticed_before_anything_is_indexed(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    result = run(collection, "--keep", tmp_path / "kept")
    assert result.exit_code == 1
    assert "pip install 'vecsearch[eval]'" in result.stderr
    assert not (tmp_path / "kept").exists()


def test_bm25_reaches_its_published_figures(shared_data: Path) -> None:
    from vecsearch.evaluation.measures import retrieval_measures
    from vecsearch.evaluation.runs import bm25_rankings

    for name, expected in (("cranfield", 0.3650), ("cisi", 0.3956)):
        collection = read_collection(shared_data / name)
        measured = retrieval_measures(collection.relevance, bm25_rankings(collection))
        assert round(float(measured["nDCG@10"].mean()), 4) == expected
