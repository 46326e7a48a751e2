"""Every example in a docstring is run."""

from __future__ import annotations

import doctest
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

import pytest

PACKAGES = sorted(
    {"vecsearch"}
    | {
        point.value.partition(".")[0]
        for point in entry_points(group="vecsearch")
        if point.dist is not None and point.dist.name == "vecsearch"
    }
)
OF_EXTRAS = {"vecsearch.stores.scan_kernel": "numba"}
"""Modules that cannot be imported where an extra is not installed, and what they need."""


def modules() -> Iterator[str]:
    for name in PACKAGES:
        yield name
        for found in pkgutil.walk_packages(import_module(name).__path__, f"{name}."):
            needed = OF_EXTRAS.get(found.name)
            if not found.name.endswith(".__main__") and (needed is None or find_spec(needed) is not None):
                yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_the_examples_of_a_module_are_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = import_module(name)
    results = doctest.testmod(module, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert results.failed == 0, capsys.readouterr().out


def test_the_engine_has_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {
        name
        for name in modules()
        if any(test.examples for test in finder.find(import_module(name), import_module(name).__name__))
    }
    assert {"vecsearch.index", "vecsearch.pipeline", "vecsearch.scoring", "vecsearch.stores.views"} <= found
