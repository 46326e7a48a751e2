"""Talks to the process in which I/O calls are broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.campaign import shim
from tests.campaign.scale import IS_LONG, SEED

__all__ = ["MEMORY", "ROOT", "Driver", "assert_nothing_wrong"]

ROOT = Path(__file__).resolve().parents[2]
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - folders there get names of their own
"""Where folders are in memory: what a sync does is seen in the record of calls, so a disk would only cost time."""


class Driver:
    """A process with the library loaded, started when it is first needed.

    Args:
        folder: for the library.
        project: whose store is broken.
    """

    def __init__(self, folder: Path, project: Path = ROOT) -> None:
        self._folder = folder
        self._project = project
        self._process: subprocess.Popen[str] | None = None

    def do(self, module: str, function: str, **arguments: Any) -> Any:
        """Call a function of a module of the campaign there, and return what it returns."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.campaign.drive"],
                cwd=self._project,
                env=shim.environment(shim.build(self._folder))
                | {"PYTHONPATH": os.pathsep.join(map(str, (self._project, self._project / "plugins")))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([module, function, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the process ended with {self._process.wait()}"
        answer = json.loads(line)
        assert not answer["error"], answer["error"]
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate()


def assert_nothing_wrong(found: dict[str, Any], n_at_least: int = 1) -> None:
    """Print what was done, and fail where something was wrong or too little was done."""
    facts = {name: value for name, value in found.items() if name != "wrong"}
    print(f"campaign {'long' if IS_LONG else 'short'}, seed {SEED}: {json.dumps(facts)}")
    assert found["wrong"] == [], "\n".join([f"{len(found['wrong'])} of {found['n']} wrong", *found["wrong"][:5]])
    assert found["n"] >= n_at_least
