"""ColBERT-like folders: markers, projection, expansion and the skip list, against NumPy that does the same."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.tiny_onnx import WORDS, Weights, save_folder
from vecsearch import Document, Index, LoadError, Pipeline
from vecsearch.testing import check_embedder
from vecsearch_onnx.encoder import OnnxEmbedder

CLS, SEP, MASK = 2, 3, 4
# two entries of the vocabulary serve as markers
QUERY, PASSAGE = WORDS.index("ran"), WORDS.index("big")
COLBERT = {"query_token_id": "ran", "doc_token_id": "big", "query_maxlen": 12, "mask_punctuation": True, "dim": 8}
PYLATE = {
    "query_prefix": "ran",
    "document_prefix": "big ",
    "query_length": 12,
    "attend_to_expansion_tokens": True,
    "skiplist_words": ["."],
    "do_query_expansion": True,
}


def settled(folder, name, settings):
    (save_folder(folder) / name).write_text(json.dumps(settings))
    return folder


def units(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def masked(ids, n_masks):
    """The graph's vectors of a sequence, where nobody looks at the last ``n_masks`` tokens."""
    weights = Weights()
    shown = np.arange(len(ids)) < len(ids) - n_masks
    x = weights.rows[ids].astype(np.float64) * shown[:, None] + weights.places[: len(ids)]
    scores = x @ x.T / np.sqrt(8) + np.where(shown, 0, -1e9)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return x + shares / shares.sum(axis=1, keepdims=True) @ x


def test_passages_have_their_marker_and_no_punctuation(tmp_path):
    embedder = OnnxEmbedder(path=str(settled(tmp_path, "artifact.metadata", COLBERT)))
    texts = ["the dog, bit.", "a man"]
    tokens = embedder.tokenizer().tokenize(texts)
    vectors = embedder.embed(texts, tokens)
    ids = tokens.ids.tolist()
    expected = np.concatenate(
        [units(Weights().expected("attention", [CLS, PASSAGE, *part, SEP]))[2:-1] for part in (ids[:5], ids[5:])]
    )
    expected[[2, 4]] = 0  # the comma and the point
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("attended", [False, True])
def test_queries_have_their_marker_and_are_filled_up_with_masks(tmp_path, attended):
    settings = {**COLBERT, "attend_to_mask_tokens": attended}
    embedder = OnnxEmbedder(path=str(settled(tmp_path, "artifact.metadata", settings)))
    tokens, vectors = embedder.embed_query("the dog.")
    assert tokens.ids.tolist() == [5, 6, WORDS.index("."), *[MASK] * 6]  # 12 less [CLS], marker, three, [SEP]
    assert tokens.spans.tolist() == [[0, 3], [4, 7], [7, 8], *[[8, 8]] * 6]
    row = [CLS, QUERY, *tokens.ids[:3].tolist(), SEP, *[MASK] * 6]
    expected = units(masked(row, 0 if attended else 6))
    np.testing.assert_allclose(vectors, np.concatenate([expected[2:5], expected[6:]]), atol=1e-5)


def test_settings_of_pylate_say_the_same(tmp_path):
    one = OnnxEmbedder(path=str(settled(tmp_path / "one", "config_sentence_transformers.json", PYLATE)))
    colbert = {**COLBERT, "attend_to_mask_tokens": True}
    other = OnnxEmbedder(path=str(settled(tmp_path / "other", "artifact.metadata", colbert)))
    np.testing.assert_array_equal(one.embed_query("the dog")[1], other.embed_query("the dog")[1])
    tokens = one.tokenizer().tokenize(["dog, bit."])
    assert np.flatnonzero(~one.embed(["dog, bit."], tokens).any(axis=1)).tolist() == [3]
    unexpanded = {**PYLATE, "do_query_expansion": False}
    plain = OnnxEmbedder(path=str(settled(tmp_path / "plain", "onnx_config.json", unexpanded)))
    assert plain.embed_query("the dog")[0].n_tokens == 2


def test_a_query_longer_than_its_length_is_not_cut(tmp_path):
    embedder = OnnxEmbedder(path=str(settled(tmp_path, "artifact.metadata", COLBERT)))
    tokens, vectors = embedder.embed_query(" ".join(["dog"] * 900))
    assert tokens.n_tokens == len(vectors) == 900
    assert embedder.embed_query("")[1].shape == (0, 8)


def test_it_keeps_the_contract_of_embedders(tmp_path):
    check_embedder(OnnxEmbedder, path=str(settled(tmp_path, "artifact.metadata", COLBERT)))


def save_dense(folder, matrix, activation="torch.nn.modules.linear.Identity"):
    from safetensors.numpy import save_file

    (folder / "1_Dense").mkdir()
    save_file({"linear.weight": matrix}, folder / "1_Dense" / "model.safetensors")
    (folder / "1_Dense" / "config.json").write_text(json.dumps({"activation_function": activation}))


def test_vectors_are_projected(tmp_path):
    matrix = np.random.default_rng(5).standard_normal((3, 8)).astype(np.float32)
    save_dense(settled(tmp_path, "artifact.metadata", COLBERT), matrix)
    embedder = OnnxEmbedder(path=str(tmp_path))
    assert embedder.dim == 3
    tokens = embedder.tokenizer().tokenize(["a man"])
    hidden = Weights().expected("attention", [CLS, PASSAGE, *tokens.ids.tolist(), SEP])[2:-1]
    np.testing.assert_allclose(embedder.embed(["a man"], tokens), units(hidden @ matrix.T), atol=1e-5)
    assert set(embedder.files) >= {"dense", "dense_config", "colbert"}


def test_a_projection_that_the_model_has_in_it_is_not_done_twice(tmp_path):
    folder = settled(tmp_path, "artifact.metadata", COLBERT)
    save_dense(folder, np.ones((8, 20), np.float32))  # from 20 to 8, which is what the model gives
    assert OnnxEmbedder(path=str(folder)).dim == 8


def test_another_projection_is_refused(tmp_path):
    save_dense(settled(tmp_path / "a", "artifact.metadata", COLBERT), np.ones((3, 20), np.float32))
    with pytest.raises(LoadError, match="gives vectors of 8 numbers, and the matrix in 1_Dense takes 20"):
        OnnxEmbedder(path=str(tmp_path / "a"))
    save_dense(settled(tmp_path / "b", "artifact.metadata", COLBERT), np.ones((3, 8), np.float32), "Tanh")
    with pytest.raises(LoadError, match=r"activation Tanh; a plain linear\.weight is expected"):
        OnnxEmbedder(path=str(tmp_path / "b"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"query_token_id": "[unused0]"}, "names the token '\\[unused0\\]', which tokenizer.json does not have"),
        ({"doc_token_id": None}, "names the token None"),
        ({"query_maxlen": 0}, "gives queries 0 tokens"),
        ({"query_maxlen": 10**9}, "gives queries 1000000000 tokens"),
    ],
)
def test_settings_without_sense_are_refused(tmp_path, changed, said):
    with pytest.raises(LoadError, match=said):
        OnnxEmbedder(path=str(settled(tmp_path, "artifact.metadata", {**COLBERT, **changed})))


def test_a_search_sums_the_maxima_of_tokens_and_masks_unweighted(tmp_path):
    folder = settled(tmp_path / "model", "artifact.metadata", COLBERT)
    pipeline = Pipeline.from_names(embedder=f"onnx:path={folder}", encoder="none", precision="fp32")
    texts = ["the dog bit a man.", "a man", "the big man ran, the dog"]
    with Index.create(tmp_path / "index", pipeline=pipeline) as index:
        index.add([Document(id=str(number), text=text) for number, text in enumerate(texts)])
        hits = index.search("a dog", k=3, mode="vector")
    _, query = pipeline.embedder.embed_query("a dog")
    passages = [pipeline.embedder.embed([text], pipeline.tokenizer.tokenize([text])) for text in texts]
    # what is on the skip list has a similarity of 0 to everything
    expected = {str(number): float((query @ passage.T).max(axis=1).sum()) for number, passage in enumerate(passages)}
    assert [hit.doc_id for hit in hits] == sorted(expected, key=lambda one: -expected[one])
    for hit in hits:
        assert hit.score == pytest.approx(expected[hit.doc_id], rel=1e-4)


def test_only_vectors_that_are_compared_as_they_are_have_no_positions(tmp_path):
    late = settled(tmp_path / "late", "artifact.metadata", COLBERT)
    assert Pipeline.from_names(embedder=f"onnx:path={late}").encoder.name == "none"
    plain = save_folder(tmp_path / "plain")
    pipeline = Pipeline.from_names(embedder=f"onnx:path={plain}")
    assert (pipeline.encoder.name, pipeline.encoder.config["order"]) == ("relative", 0.3)
