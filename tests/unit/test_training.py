"""Learning a matrix from text: each step against its definition, and what the whole of it finds."""

from __future__ import annotations

import builtins
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the extra vecsearch[train] is not installed")

from vecsearch import PluginError, Registry, UsageError
from vecsearch_training import contexts, corpus
from vecsearch_training.contexts import cooccurrences, positive_pmi
from vecsearch_training.corpus import read_corpus
from vecsearch_training.factors import product, truncated_svd
from vecsearch_training.model import Model, learn
from vecsearch_wordllama.static import StaticFolderEmbedder

WORDS = Registry().create("tokenizer", "word")


def counted(texts: list[str], window: int = 2, min_count: int = 1, most: int = 100) -> tuple[list[str], np.ndarray]:
    with read_corpus(texts, WORDS, min_count=min_count, most=most, gap=window) as read:
        return read.entries.texts, cooccurrences(read, window).toarray()


def by_definition(texts: list[str], words: list[str], window: int) -> np.ndarray:
    counts = np.zeros((len(words), len(words)))
    for text in texts:
        tokens = text.split()
        for (i, a), (j, b) in itertools.permutations(enumerate(tokens), 2):
            if abs(i - j) <= window and a in words and b in words:
                counts[words.index(a), words.index(b)] += window - abs(i - j) + 1
    return counts


def random_texts(seed: int = 0, n_texts: int = 40) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(list("abcdefgh"), generator.integers(0, 12))) for _ in range(n_texts)]


# Counting


@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("block", [3, 7, 1 << 20])
def test_counts_are_those_of_the_definition(monkeypatch, window, block):
    monkeypatch.setattr(corpus, "BLOCK", block)
    monkeypatch.setattr(corpus, "BATCH", 50)
    texts = random_texts()
    words, counts = counted(texts, window)
    assert counts.tolist() == by_definition(texts, words, window).tolist()


def test_rare_words_keep_their_place_and_have_no_pairs():
    words, counts = counted(["a rare b", "a b"], window=2, min_count=2)
    assert words == ["a", "b"]
    assert counts.tolist() == [[0, 3], [3, 0]]  # one token apart 2, two tokens apart 1


def test_words_are_the_most_frequent_ones_ties_in_the_order_of_their_letters():
    assert counted(["d c b a c d"], most=3)[0] == ["c", "d", "a"]


def test_rarest_pairs_are_forgotten_when_there_are_too_many(monkeypatch):
    texts = ["a b"] * 5 + ["c d"] * 3 + ["e f", "g h"]
    monkeypatch.setattr(contexts, "MOST_CELLS", 3)
    words, counts = counted(texts, window=1)
    assert np.argwhere(np.triu(counts)).tolist() == [[words.index("a"), words.index("b")]]
    assert counts.max() == 5


def test_rarest_words_are_forgotten_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(corpus, "MOST_TYPES", 3)
    monkeypatch.setattr(corpus, "BATCH", 1)
    texts = ["a a b b", "c d", "e a b", "c a"]
    with read_corpus(texts, WORDS, min_count=1, most=9, gap=1) as read:
        assert dict(zip(read.entries.texts, read.entries.counts.tolist(), strict=True)) == {"a": 4, "b": 3}


def test_text_without_frequent_words_is_refused():
    with pytest.raises(UsageError, match="of 3 tokens none occurs 2 times or more"):
        counted(["a b c"], min_count=2)


# Positive pointwise mutual information


@pytest.mark.parametrize(
    ("smoothing", "subsampling", "shift"), [(1, 0, 1), (0.75, 0, 1), (0.75, 0.05, 1), (0.5, 0.1, 3)]
)
@pytest.mark.parametrize("block", [1, 5, 1 << 20])
def test_ppmi_is_that_of_the_definition(monkeypatch, smoothing, subsampling, shift, block):
    from scipy.sparse import csr_array

    own = contexts._row_blocks
    monkeypatch.setattr(contexts, "_row_blocks", lambda indptr: own(indptr, block))
    _, dense = counted(random_texts())
    dense = np.pad(dense, ((0, 1), (0, 1)))  # an entry without pairs
    occurrences = np.arange(len(dense)) + 3
    found = positive_pmi(
        csr_array(dense), occurrences, smoothing=smoothing, subsampling=subsampling, shift=shift
    ).toarray()
    share = occurrences / occurrences.sum()
    kept = np.sqrt(np.minimum(1, subsampling / share)) if subsampling else np.ones(len(dense))
    scaled = dense * kept[:, None] * kept
    contexts_of = scaled.sum(axis=0) ** smoothing
    with np.errstate(divide="ignore", invalid="ignore"):
        pmi = np.log(scaled * contexts_of.sum() / scaled.sum(axis=1, keepdims=True) / contexts_of) - np.log(shift)
    np.testing.assert_allclose(found, np.where(scaled > 0, np.maximum(pmi, 0), 0), rtol=1e-5, atol=1e-6)


# Decomposition


def test_decomposition_is_that_of_numpy():
    from scipy.sparse import csr_array

    generator = np.random.default_rng(1)
    dense = (generator.standard_normal((90, 20)) * 2.0 ** -np.arange(20)) @ generator.standard_normal((20, 70))
    dense[generator.random(dense.shape) < 0.2] = 0
    matrix = csr_array(dense.astype(np.float32))
    values, vectors = truncated_svd(matrix, 5, seed=0)
    _, expected, rows = np.linalg.svd(dense, full_matrices=False)
    np.testing.assert_allclose(values, expected[:5], rtol=1e-3)
    np.testing.assert_allclose(np.abs(np.sum(vectors.T * rows[:5], axis=1)), 1, atol=1e-2)
    assert (vectors[np.abs(vectors).argmax(axis=0), range(5)] > 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (5, 3)])
def test_product_is_that_of_numpy(shape):
    from scipy.sparse import csr_array

    matrix = csr_array(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    dense = np.ones((shape[1], 2), np.float32)
    assert product(matrix, dense).tolist() == (matrix.toarray() @ dense).tolist()


# The whole


def sentences() -> list[str]:
    """Two kinds of sentences: animals run, dishes are cooked; lynx and soup are rare ones of each kind."""
    generator = np.random.default_rng(0)
    animals, dishes = ["dog", "cat", "fox", "wolf", "lynx"], ["rice", "stew", "cake", "bread", "soup"]
    where, how = ["forest", "garden", "street", "field"], ["oven", "pan", "pot", "kitchen"]
    texts = []
    for _ in range(600):
        texts.append(f"the {generator.choice(animals)} runs and sleeps in the {generator.choice(where)}")
        texts.append(f"the {generator.choice(dishes)} is cooked and eaten from the {generator.choice(how)}")
    return texts


def cosine(folder: Path, a: str, b: str) -> float:
    first, second = StaticFolderEmbedder(path=str(folder)).rows([a, b], np.ones(2, bool))
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


@pytest.mark.parametrize("kind", ["word", "subword"])
def test_words_in_the_same_contexts_get_similar_rows(tmp_path, kind):
    model = learn(sentences, tokenizer=kind, dim=8, n_pieces=512)
    model.save(tmp_path / "model")
    same, other = cosine(tmp_path / "model", "lynx", "wolf"), cosine(tmp_path / "model", "lynx", "soup")
    assert same > 0.5 > other + 0.3
    embedder = StaticFolderEmbedder(path=str(tmp_path / "model"))
    assert embedder.dim == 8
    if kind == "subword":
        from vecsearch import Pipeline

        pipeline = Pipeline.from_names(
            tokenizer=f"subword:path={tmp_path / 'model' / 'tokenizer.json'}",
            embedder=f"static:path={tmp_path / 'model'}",
        )
        assert pipeline.similarity("the lynx", "the wolf") > pipeline.similarity("the lynx", "the soup")


def test_learned_rows_have_length_1():
    lengths = np.linalg.norm(learn(sentences, dim=8).rows, axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_rows_are_padded_where_words_are_few():
    assert learn(lambda: ["a b a b a b c d c d c d"], dim=64, min_count=1).rows.shape == (4, 64)


def test_same_text_and_seed_give_the_same_files(tmp_path):
    for name in ("one", "two"):
        learn(sentences, dim=8, seed=3).save(tmp_path / name)
    for file in ("model.safetensors", "vocabulary.txt", "config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    trained = json.loads((tmp_path / "one" / "config.json").read_text())["trained"]
    assert (trained["seed"], trained["dim"], trained["tokenizer"]) == (3, 8, "word")


def test_adapted_model_moves_words_and_leaves_the_rest_to_its_base(tmp_path):
    learn(sentences, base="wordllama").save(tmp_path / "model")
    base = Registry().create("embedder", "wordllama")
    embedder = StaticFolderEmbedder(path=str(tmp_path / "model"))
    words, starts = ["protein", "lynx"], np.ones(2, bool)
    before, after = base.rows(words, starts), embedder.rows(words, starts)
    assert after[0].tolist() == before[0].tolist()
    assert not np.allclose(after[1], before[1], atol=0.1)
    assert np.linalg.norm(after[1]) == pytest.approx(np.linalg.norm(before[1]), rel=1e-2)
    assert embedder.reference() == base.reference()
    assert set(embedder.files) == {"path", "vocabulary", "config", "base_matrix", "base_tokenizer"}
    unmoved = base.rows(["lynx", "wolf"], starts)
    own = float(unmoved[0] @ unmoved[1] / np.prod(np.linalg.norm(unmoved, axis=1)))
    assert cosine(tmp_path / "model", "lynx", "wolf") > own + 0.1


def test_model_that_names_itself_as_its_base_is_refused(tmp_path):
    from vecsearch import LoadError

    learn(sentences, dim=8).save(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    for base, said in (
        ({"name": "static", "config": {"path": str(tmp_path / "model")}}, "made from 'static'"),
        ({"name": "wordllama", "config": {}}, "has no rows of 8 numbers"),
        ({"name": 1}, "'base' of .* is not an embedder"),
    ):
        path.write_text(json.dumps({**config, "base": base}))
        with pytest.raises(LoadError, match=said):
            StaticFolderEmbedder(path=str(tmp_path / "model"))


# What is refused, and what is left behind


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"tokenizer": "pieces"}, "cannot train with the tokenizer 'pieces'; there are word, subword"),
        ({"dim": 1}, "dim is 1; it is a whole number from 2"),
        ({"window": 0}, "window is 0"),
        ({"min_count": True}, "min_count is True"),
        ({"most_words": 1}, "most_words is 1"),
        ({"base": "wordllama", "tokenizer": "subword"}, "leave the tokenizer at 'word'"),
        ({"n_pieces": 8, "tokenizer": "subword"}, "vocabulary of 8 entries"),
    ],
)
def test_argument_out_of_range_is_refused(arguments, said):
    with pytest.raises(UsageError, match=said):
        learn(sentences, **arguments)


def test_text_that_says_nothing_is_refused():
    with pytest.raises(UsageError, match="no two words stand near each other"):
        learn(lambda: ["a", "b", "a", "b"], min_count=1)


def test_missing_scipy_is_told_before_anything_is_read(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **options):
        if name.startswith("scipy"):
            raise ImportError("no scipy")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)

    def texts() -> list[str]:
        raise AssertionError("read")

    with pytest.raises(PluginError, match=r"pip install 'vecsearch\[train\]'"):
        learn(texts)


def small() -> Model:
    return learn(sentences, dim=4)


def test_what_is_there_is_not_overwritten_unless_asked(tmp_path):
    model = small()
    model.save(tmp_path / "model")
    with pytest.raises(UsageError, match="exists; choose another name, or overwrite it with --force"):
        model.save(tmp_path / "model")
    (tmp_path / "model" / "stale").touch()
    model.save(tmp_path / "model", overwrite=True)
    assert not (tmp_path / "model" / "stale").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UsageError, match="is not the folder of a model and is left alone"):
        model.save(tmp_path / "other", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "other"]


def test_interrupted_write_leaves_what_was_there(tmp_path, monkeypatch):
    model = small()
    model.save(tmp_path / "model")
    before = (tmp_path / "model" / "config.json").read_bytes()

    def interrupted(self: Model, folder: Path) -> None:
        (folder / "model.safetensors").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "_write", interrupted)
    for name in ("model", "new"):
        with pytest.raises(KeyboardInterrupt):
            model.save(tmp_path / name, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "config.json").read_bytes() == before


def test_interrupted_reading_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def texts() -> Iterator[str]:
        yield "a b"
        raise KeyboardInterrupt

    for kind in ("word", "subword"):
        with pytest.raises(KeyboardInterrupt):
            learn(texts, tokenizer=kind)
    assert list(tmp_path.iterdir()) == []
