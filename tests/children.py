"""Sub-processes that tests start, talk to over pipes, and kill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python process with a script as its source; its standard input, output and errors are pipes."""
    return subprocess.Popen(
        [sys.executable, "-W", "error::ResourceWarning", "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(script: str, *arguments: object) -> str:
    """Run a script to its end and return what it printed; its traceback is the message where it fails."""
    child = start(script, *arguments)
    output, errors = child.communicate()
    assert child.returncode == 0, errors
    return output
