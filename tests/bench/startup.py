"""Cold starts: a new process each time, the files in the page cache.

    python -m tests.bench.startup [FILE.jsonl]

Baselines, run in turn with the commands: an empty Python, and a Python that imports NumPy, FAISS and sqlite_utils.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.timing import DATA, command_seconds, machine, require


def main() -> None:
    """Print the medians of each command and of its baseline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=DATA / "til-notes" / "corpus.jsonl")
    arguments = parser.parse_args()
    program = str(Path(sys.executable).with_name("vecsearch"))
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "VECSEARCH_INDEXES": folder, "XDG_CACHE_HOME": folder + "/cache"}
        subprocess.run(
            [program, "index", str(require(arguments.file)), "-i", "bench"], check=True, env=environment, stdout=2
        )
        imports = "import numpy, faiss, sqlite_utils, regex, tokenizers"
        for name, command, baseline in (
            ("--help", [program, "--help"], "pass"),
            ("search", [program, "search", "how do I undo a commit", "-i", "bench"], imports),
            ("search -k 100 --json", [program, "search", "ssh keys", "-i", "bench", "-k", "100", "--json"], imports),
            ("second index run", [program, "index", str(arguments.file), "-i", "bench"], imports),
        ):
            ours, bare = command_seconds(command, [sys.executable, "-c", baseline], env=environment)
            print(f"vecsearch {name}: {ours:.3f} s; python -c '{baseline}': {bare:.3f} s; ratio {ours / bare:.1f}")


if __name__ == "__main__":
    main()
