"""The reliability campaign: what docs/reliability.md promises, broken in every way it names.

The short form runs with `pytest -m campaign`, the long one with `make campaign`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign import damage, shim
from tests.campaign.driving import MEMORY, Driver, assert_nothing_wrong
from tests.campaign.errands import ERRANDS
from tests.campaign.operations import KINDS, OPERATIONS
from tests.campaign.scale import IS_LONG, SEED, sized

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(shim.lacking() is not None, reason=f"I/O calls cannot be broken here: {shim.lacking()}"),
]

ERRAND = [(name, kind) for name, errand in ERRANDS.items() for kind in errand.kinds]
OPERATION = [(name, kind) for name, operation in OPERATIONS.items() for kind in operation.kinds]
EVERY = [*OPERATION, *ERRAND]
FILES = [
    *((file, "codes" if file in ("codes", "codebook") else "vectors") for file in damage.FILES),
    ("meta.db", "codes"),
]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """The process in which I/O calls are broken."""
    driver = Driver(tmp_path_factory.mktemp("library"))
    yield driver
    driver.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the test's own, in memory if that can be."""
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="vecsearch-") as name:
        yield Path(name)


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_files_at_any_moment_are_the_old_state_or_the_new(driver: Driver, folder: Path, name: str, kind: str) -> None:
    found = driver.do(
        "faults",
        "stops",
        folder=str(folder / "world"),
        name=name,
        kind=kind,
        seed=SEED,
        torn=sized(4, 1),
        is_brief=not IS_LONG,
    )
    assert_nothing_wrong(found)
    assert found["n"] > found["n_calls"]


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_a_process_that_ends_at_any_io_call_leaves_the_old_state_or_the_new(
    driver: Driver, folder: Path, name: str, kind: str
) -> None:
    found = driver.do(
        "faults",
        "ends",
        folder=str(folder / "world"),
        name=name,
        kind=kind,
        durability="full",
        n_at_most=sized(2, 100_000),
        seed=SEED,
        is_brief=not IS_LONG,
    )
    assert_nothing_wrong(found)


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_an_io_call_that_fails_leaves_the_old_state_a_clear_error_and_an_index_that_works_on(
    driver: Driver, folder: Path, name: str, kind: str
) -> None:
    found = driver.do(
        "faults",
        "failures",
        folder=str(folder / "world"),
        name=name,
        kind=kind,
        durability="full",
        n_at_most=sized(12, 0),
        seed=SEED,
        is_brief=not IS_LONG,
    )
    assert_nothing_wrong(found, 10)


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_a_power_loss_leaves_the_old_state_or_the_new_and_what_was_acknowledged(
    driver: Driver, folder: Path, name: str, kind: str
) -> None:
    found = driver.do(
        "power",
        "losses",
        folder=str(folder / "world"),
        name=name,
        kind=kind,
        durability="full",
        n_states=sized(200, 2_000),
        seed=SEED,
        is_brief=not IS_LONG,
    )
    assert_nothing_wrong(found)


@pytest.mark.parametrize(
    ("name", "kind"), OPERATION if sized(False, True) else [("add many", "vectors"), ("compact", "codes")]
)
def test_a_power_loss_while_writing_fast_leaves_whole_documents_and_segments_that_can_be_mended(
    driver: Driver, folder: Path, name: str, kind: str
) -> None:
    found = driver.do(
        "power",
        "losses",
        folder=str(folder / "world"),
        name=name,
        kind=kind,
        durability="fast",
        n_states=sized(60, 500),
        seed=SEED,
        is_brief=not IS_LONG,
    )
    assert_nothing_wrong(found)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_acknowledged_survives_kills_at_random_moments(driver: Driver, folder: Path, kind: str) -> None:
    found = driver.do("kills", "kills", folder=str(folder), kind=kind, n=sized(50, 2_500), seed=SEED)
    assert_nothing_wrong(found)
    assert found["seen"]["killed"] > found["n"] // 4


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_at_a_random_moment_leaves_an_index_that_works_on(driver: Driver, folder: Path, kind: str) -> None:
    found = driver.do("kills", "interrupts", folder=str(folder), kind=kind, n=sized(10, 500), seed=SEED)
    assert_nothing_wrong(found)
    assert found["seen"]["interrupted"] > found["n"] // 4


@pytest.mark.parametrize("kind", KINDS)
def test_too_little_memory_leaves_an_index_that_is_whole(driver: Driver, folder: Path, kind: str) -> None:
    found = driver.do("kills", "starved", folder=str(folder), kind=kind, n=sized(10, 250), seed=SEED)
    assert_nothing_wrong(found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_the_old_state_and_no_files_and_later_there_is_room(
    driver: Driver, folder: Path, kind: str
) -> None:
    found = driver.do("kills", "full", folder=str(folder), kind=kind, n=sized(2, 20), seed=SEED)
    assert_nothing_wrong(found)
    assert found["seen"]["full"] > 0


@pytest.mark.parametrize(("file", "kind"), FILES)
def test_damage_is_found_by_verify_and_never_answers(driver: Driver, folder: Path, file: str, kind: str) -> None:
    n = sized(60, 300)
    found = driver.do("damage", "damages", folder=str(folder / "world"), kind=kind, file=file, n=n, seed=SEED)
    assert_nothing_wrong(found, 0 if file in ("writer.lock", "last-commit") else n // 2)


@pytest.mark.parametrize("kind", KINDS)
def test_readers_beside_a_writer_see_one_commit_each_and_never_an_older_one(
    driver: Driver, folder: Path, kind: str
) -> None:
    seconds = sized(10, 300)
    found = driver.do("crowds", "readers", folder=str(folder / "index"), kind=kind, seconds=seconds, seed=SEED)
    assert_nothing_wrong(found, 20)
    assert found["n_commits"] > 5


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_operations_for_long_leak_neither_files_nor_memory(driver: Driver, folder: Path, kind: str) -> None:
    seconds = sized(30, 1_800)
    found = driver.do("crowds", "soak", folder=str(folder / "index"), kind=kind, seconds=seconds, seed=SEED)
    assert_nothing_wrong(found, 20)
