"""What the tests of codes share: tokens as a corpus has them, a codebook for them, and their codes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.typed_tokens import blocks, tokens, trained
from vecsearch.stores.codebook import Codebook
from vecsearch.stores.codes import Codes


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tokens()


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    return trained()


@pytest.fixture(scope="module")
def codes(codebook: Codebook, sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Codes:
    return Codes.build(codebook, blocks(*sample))
