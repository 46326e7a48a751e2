"""Checks that plugin authors run on their own classes, in their own tests.

    from vecsearch.testing import check_plugin_module, check_tokenizer
    from my_package.tokenizer import MyTokenizer

    def test_tokenizer_keeps_the_contract():
        check_tokenizer(MyTokenizer, lower=False)

    def test_plugin_module_is_light():
        check_plugin_module("my_package.plugin")

Each check raises a ``ConformanceError``, an AssertionError that says what the contract says, what was seen, the
smallest input that shows it and what to do. A check that returns has found nothing. What a machine can't judge
(whether a tokenizer is a good one, how fast it is) isn't checked.
"""

from __future__ import annotations

from vecsearch.testing.contract import ConformanceError
from vecsearch.testing.embedders import check_embedder
from vecsearch.testing.encoders import check_encoder
from vecsearch.testing.loaders import check_loader
from vecsearch.testing.modules import check_plugin, check_plugin_module
from vecsearch.testing.scorers import check_scorer
from vecsearch.testing.texts import SAMPLE_TEXTS
from vecsearch.testing.tokenizers import check_tokenizer

__all__ = [
    "SAMPLE_TEXTS",
    "ConformanceError",
    "check_embedder",
    "check_encoder",
    "check_loader",
    "check_plugin",
    "check_plugin_module",
    "check_scorer",
    "check_tokenizer",
]
