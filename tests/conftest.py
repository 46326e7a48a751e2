"""What several tests share: pipelines built once, the public data where it is there, a cache folder of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vecsearch import Pipeline
from vecsearch.plugins import Registry

ROOT = Path(__file__).resolve().parent.parent
ENCODERS = ("none", "sinusoidal", "learned", "relative", "rotary")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep remembered hashes out of the user's cache folder; sub-processes inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry()


@pytest.fixture(scope="session")
def pipelines(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pipeline]:
    """The default tokenizer and embedder with each positional encoder; rotary aligns whatever there is."""
    import numpy as np

    table = tmp_path_factory.mktemp("positions") / "learned.npy"
    np.save(table, np.random.default_rng(7).standard_normal((40, 256)).astype(np.float32) / 16)
    specs = {"learned": f"learned:path={table}", "rotary": "rotary:depth=1000"}
    return {
        name: Pipeline.from_names(encoder=specs.get(name, name), max_tokens=32, registry=registry) for name in ENCODERS
    }


@pytest.fixture(scope="session")
def default_pipeline(registry: Registry) -> Pipeline:
    return Pipeline.from_names(registry=registry)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The public test data beside the project."""
    folder = Path(os.environ.get("VECSEARCH_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("the public test data is not beside the project: ../shared/data")
    return folder


LONGEST = (
    "test_acknowledged_commits_survive_many_kills",
    "test_a_document_of_50_megabytes_needs_little_memory",
    "test_what_was_acknowledged_survives_kills_at_random_moments",
    "test_a_flipped_bit_anywhere_in_the_database_never_changes_a_document",
    "test_mixed_operations_for_long_leak_neither_files_nor_memory",
    "test_guide_holds_in_a_clean_environment_with_everything_installed_by_pip",
    "test_readme_of_a_new_package_holds_in_a_clean_environment",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: a run on several cores ends when the last of them has."""
    items.sort(key=lambda item: not item.name.startswith(LONGEST))
