"""Arguments as a request from outside may bring them: of JSON's types, and of the wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import tiny_pipeline
from vecsearch import Document, FilterError, GivenVectors, Index, Pipeline, UsageError, VecsearchError, field

CALLS: dict[str, Callable[[Index], Any]] = {
    "add": lambda index: index.add(5),  # type: ignore[arg-type]
    "delete": lambda index: index.delete(None),  # type: ignore[arg-type]
    "search_many": lambda index: index.search_many(1.5),  # type: ignore[arg-type]
    "limit": lambda index: list(index.documents(limit=[1])),  # type: ignore[arg-type]
    "words": lambda index: index.words("5"),  # type: ignore[arg-type]
    "weights": lambda index: index.search("dog", weights=3),  # type: ignore[arg-type]
    "where": lambda index: index.search("dog", where=True),  # type: ignore[arg-type]
    "timeout": lambda index: index.search("dog", timeout=10**400),
    "tokens": lambda _: Pipeline.from_names("word", max_tokens={}),  # type: ignore[arg-type]
    "specification": lambda _: Pipeline.from_names([]),  # type: ignore[arg-type]
    "field": lambda _: field(None),  # type: ignore[arg-type]
    "values": lambda _: field("lang").in_(5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", CALLS)
def test_argument_of_the_wrong_type_is_a_typed_error(tmp_path: Path, name: str) -> None:
    with Index.create(tmp_path / "notes", pipeline=tiny_pipeline()) as index:
        index.add([Document("a", "the dog bit the man")])
        with pytest.raises(VecsearchError) as caught:
            CALLS[name](index)
        assert isinstance(caught.value, UsageError | FilterError)
        assert index.words(10**30) == index.words()
        assert index.verify() == []


def test_given_vectors_that_are_all_there_may_be_added_again(tmp_path: Path) -> None:
    documents = [Document("a", vectors=np.eye(3, dtype=np.float32))]
    with Index.create(tmp_path / "given", pipeline=GivenVectors(3)) as index:
        index.add(documents)
        assert index.add(documents).n_unchanged == 1
        assert index.verify() == []
