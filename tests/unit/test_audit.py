"""What the audit of packages in .ci says: it is no part of what is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

AUDIT = Path(__file__).parents[2] / ".ci" / "audit.py"
pytestmark = pytest.mark.skipif(not AUDIT.exists(), reason="only a source tree has .ci")

SOUND = {"name": "numpy", "version": "2.4.6", "vulns": []}
UNSOUND = {"name": "pypdf", "version": "5.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["6.0"]}]}
UNKNOWN = {"name": "click", "skip_reason": "Dependency not found on PyPI"}
OURS = {"name": "vecsearch", "skip_reason": "distribution marked as editable"}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", AUDIT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("packages", "may_go_on", "said"),
    [
        ([SOUND, OURS], True, "no advisory against 1 packages"),
        ([SOUND, UNKNOWN, OURS], True, "no advisory against 1 packages; no answer for click"),
        ([UNKNOWN, OURS], True, "skipped: the advisory service answered for none of 1 packages"),
        ([UNSOUND, UNKNOWN], False, "advisories are known against:\npypdf 5.0: PYSEC-1, mended in 6.0"),
    ],
)
def test_an_advisory_fails_and_no_answer_is_said(
    audit: ModuleType, packages: list[dict[str, Any]], may_go_on: bool, said: str
) -> None:
    assert audit.verdict({"dependencies": packages}) == (may_go_on, said)
