"""Token vectors of encoders in ONNX files, against NumPy that computes the same graph."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest

from tests.tiny_onnx import Weights, save_folder
from vecsearch import LoadError, Pipeline, PluginError, UsageError
from vecsearch.testing import check_embedder
from vecsearch_onnx.encoder import OnnxEmbedder

TEXTS = ["The dogs bit a man.", "", "ran", "a big dog, the big man, biting", " . "]
CLS, SEP = 2, 3


def embed(embedder, texts):
    tokens = embedder.tokenizer().tokenize(texts)
    return tokens, embedder.embed(texts, tokens)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_folder(tmp_path_factory.mktemp("models") / "attention")


def test_vectors_are_those_of_the_graph_without_special_tokens(folder):
    tokens, vectors = embed(OnnxEmbedder(path=str(folder)), TEXTS)
    for number in range(len(TEXTS)):
        own = slice(*tokens.offsets[number : number + 2])
        expected = Weights().expected("attention", [CLS, *tokens.ids[own].tolist(), SEP])[1:-1]
        np.testing.assert_allclose(vectors[own], expected, atol=1e-5)


def test_every_token_has_its_characters(folder):
    text = "The dogs, [MASK] it"
    tokens = OnnxEmbedder(path=str(folder)).tokenizer().tokenize([text])
    assert [text[start:end] for start, end in tokens.spans.tolist()] == ["The", "dog", "s", ",", "[", "MASK", "]", "it"]
    assert 4 not in tokens.ids  # what looks like a special token is text


def test_padding_and_truncation_of_the_tokenizer_file_do_not_count(folder):
    tokens, vectors = embed(OnnxEmbedder(path=str(folder)), ["the dog bit the man the dog bit the man"])
    assert tokens.n_tokens == len(vectors) == 10


def test_it_keeps_the_contract_of_embedders(folder):
    check_embedder(OnnxEmbedder, path=str(folder))
    check_embedder(OnnxEmbedder, path=str(folder), window=16)


@pytest.mark.parametrize("n_words", [1, 13, 14, 15, 16, 17, 29, 100, 1501])
def test_windows_of_a_long_text_show_no_seam(tmp_path, n_words):
    embedder = OnnxEmbedder(path=str(save_folder(tmp_path, "local")), window=3 * 8 + 2)  # 24 tokens, margin 3
    words = np.random.default_rng(3).choice(["the", "dog", "bit", "man", "ran"], n_words)
    tokens, vectors = embed(embedder, ["dog", " ".join(words), "the man"])
    ids = tokens.ids[slice(*tokens.offsets[1:3])].tolist()
    # special tokens stand at the ends of windows, so they are near the ends of the text only
    expected = Weights().expected("local", [CLS, *ids, SEP])[1:-1]
    np.testing.assert_allclose(vectors[1:-2], expected, atol=1e-5)


def test_texts_share_no_batch_where_numbers_are_quantised_by_batch(tmp_path):
    embedder = OnnxEmbedder(path=str(save_folder(tmp_path, "quantised")))
    texts = ["the dog", "bit the man, the big man", "a man"]
    _, together = embed(embedder, texts)
    alone = np.concatenate([embed(embedder, [text])[1] for text in texts])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("inputs", [("input_ids", "attention_mask"), ("input_ids", "attention_mask", "token_type_ids")])
def test_segments_may_be_absent(tmp_path, inputs):
    assert embed(OnnxEmbedder(path=str(save_folder(tmp_path, inputs=inputs))), ["a dog"])[1].shape == (2, 8)


def test_the_model_may_lie_below_onnx_and_have_another_name(folder, tmp_path):
    (tmp_path / "onnx").mkdir()
    shutil.copy(folder / "model.onnx", tmp_path / "onnx" / "small.onnx")
    shutil.copy(folder / "tokenizer.json", tmp_path)
    assert OnnxEmbedder(path=str(tmp_path), file="small.onnx").dim == 8
    with pytest.raises(LoadError, match=r"model\.onnx is missing; it has onnx/small\.onnx: name one with file="):
        OnnxEmbedder(path=str(tmp_path))


def test_settings_say_how_long_a_window_is(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "config.json").write_text('{"max_position_embeddings": 40, "model_type": "bert"}')
    (copy / "tokenizer_config.json").write_text('{"model_max_length": 1000000000000000019884624838656}')
    text = " ".join(["the dog bit a man"] * 20)
    _, expected = embed(OnnxEmbedder(path=str(folder), window=40), [text])
    np.testing.assert_array_equal(embed(OnnxEmbedder(path=str(copy)), [text])[1], expected)
    assert not np.array_equal(embed(OnnxEmbedder(path=str(copy), window=39), [text])[1], expected)


def test_identity_is_of_the_files_not_of_their_place(folder, tmp_path):
    def identity(path):
        return Pipeline.from_names(embedder=f"onnx:path={path}").identity

    copy = shutil.copytree(folder, tmp_path / "copy")
    assert identity(copy) == identity(folder)
    (copy / "config.json").write_text("{}")
    assert identity(copy) != identity(folder)
    (copy / "config.json").unlink()
    weights = Weights()
    weights.rows += 1
    save_folder(copy, weights=weights)
    assert identity(copy)["embedder"]["files"]["path"] != identity(folder)["embedder"]["files"]["path"]


# errors


def test_without_onnxruntime_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # what import finds where it is not installed
    with pytest.raises(PluginError, match=r"pip install 'vecsearch\[onnx\]'"):
        OnnxEmbedder(path=str(folder))


def test_missing_files_are_named(folder, tmp_path):
    with pytest.raises(LoadError, match=r"nowhere is not a folder; give one that holds model\.onnx and tokenizer"):
        OnnxEmbedder(path=str(tmp_path / "nowhere"))
    with pytest.raises(LoadError, match=r"model\.onnx is missing; export the model to ONNX"):
        OnnxEmbedder(path=str(tmp_path))
    shutil.copy(folder / "model.onnx", tmp_path)
    with pytest.raises(LoadError, match=r"tokenizer\.json is missing; save the model's fast tokenizer"):
        OnnxEmbedder(path=str(tmp_path))


def test_other_inputs_are_named(tmp_path):
    path = str(save_folder(tmp_path, inputs=("input_ids", "attention_mask", "position_ids")))
    with pytest.raises(LoadError, match=r"model\.onnx has the inputs .*position_ids of tensor\(int64\); expected"):
        OnnxEmbedder(path=path)


def test_a_vector_a_text_is_refused(tmp_path):
    path = str(save_folder(tmp_path, pooled=True, output="sentence_embedding"))
    with pytest.raises(LoadError, match=r"has the outputs sentence_embedding .*without pooling"):
        OnnxEmbedder(path=path)
    with pytest.raises(LoadError, match=r"is float32 \(1, 8\) for ids \(1, 3\)"):
        OnnxEmbedder(path=path, output="sentence_embedding")


def test_an_output_that_is_not_there_is_named(folder):
    with pytest.raises(LoadError, match=r"none is called 'hidden'"):
        OnnxEmbedder(path=str(folder), output="hidden")


def test_a_tokenizer_with_more_entries_than_the_model_has_rows_is_refused(folder, tmp_path):
    path = save_folder(tmp_path, words=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(40)), "a"])
    with pytest.raises(LoadError, match=r"tokenizer\.json has ids up to 45, .*give the tokenizer that belongs to"):
        OnnxEmbedder(path=str(path))


def test_nan_is_refused(tmp_path):
    weights = Weights()
    weights.rows[6] = np.nan  # "dog"
    embedder = OnnxEmbedder(path=str(save_folder(tmp_path, weights=weights)))
    assert embed(embedder, ["the man"])[1].shape == (2, 8)
    with pytest.raises(LoadError, match=r"model\.onnx gave a vector with NaN or infinity"):
        embed(embedder, ["the man", "the dog"])


def test_a_cut_model_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    content = (copy / "model.onnx").read_bytes()
    for content_of_file in (content[: len(content) // 2], b"", b"not a model"):
        (copy / "model.onnx").write_bytes(content_of_file)
        with pytest.raises(LoadError, match=r"model\.onnx is not a model that onnxruntime can run"):
            OnnxEmbedder(path=str(copy))


@pytest.mark.parametrize("content", ["[", "[]", json.dumps([1]), "[" * 100_000])
def test_settings_that_are_no_object_are_refused(folder, tmp_path, content):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "config.json").write_text(content)
    with pytest.raises(LoadError, match=r"config\.json is not "):
        OnnxEmbedder(path=str(copy))


@pytest.mark.parametrize("arguments", [{"window": -1}, {"window": True}, {"file": 3}, {"window": 1.5}])
def test_arguments_without_sense_are_refused(folder, registry, arguments):
    with pytest.raises(UsageError, match=next(iter(arguments))):
        registry.create("embedder", "onnx", {"path": str(folder), **arguments})


def test_a_window_too_small_for_text_is_refused(folder):
    with pytest.raises(LoadError, match=r"takes 9 tokens at once, 2 of them special; 8 others are needed"):
        OnnxEmbedder(path=str(folder), window=9)
