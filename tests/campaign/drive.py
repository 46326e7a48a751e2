"""The process in which I/O calls are broken: does one piece of work after the other, as it is told by its input.

A line of input is a JSON list: module, function, arguments. A line of output is what the function returned, or its
traceback. What is broken is broken in forked children, so this process imports everything once and stays whole.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import traceback
from pathlib import Path

from tests.campaign.operations import warm_up


def main() -> None:
    """Work until the input ends."""
    with tempfile.TemporaryDirectory() as folder:
        warm_up(Path(folder))
    for line in sys.stdin:
        module, function, arguments = json.loads(line)
        try:
            work = getattr(importlib.import_module(f"tests.campaign.{module}"), function)
            answer = {"value": work(**arguments), "error": ""}
        except Exception:
            answer = {"value": None, "error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
