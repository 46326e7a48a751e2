"""What verification costs a cold search: processor time of new processes that open an index and search it once.

    python -m tests.bench.verifying [INDEX_FOLDER ...]

Without folders, an index of the til-notes is made. The first search has an empty cache of hashes, so every file is
read and hashed; the later ones find the hashes remembered, and check a CRC-32 of each MiB that they load. The time is
that of the whole process, the start of Python included; other work on the machine does not count. Checks are done while
the database is read, so beside it stands how much longer a search is waited for than where blocks are not checked: in
turns, the medians. What the checks read first the search need not, so without them it does more itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.timing import DATA, machine, require

N_LATER = 15


def main() -> None:
    """Print the cost for each index."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--unchecked", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(_search(arguments.child, is_checked=not arguments.unchecked)))
        return
    print(machine())
    with tempfile.TemporaryDirectory() as made:
        folders = arguments.folders
        if not folders:
            corpus = require(DATA / "til-notes" / "corpus.jsonl")
            words = ["--indexes", made, "index", str(corpus), "-i", "til-notes"]
            subprocess.run([sys.executable, "-m", "vecsearch", *words], check=True, stdout=2)
            folders = [Path(made) / "til-notes"]
        for folder in folders:
            _measure(folder)


def _measure(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "XDG_CACHE_HOME": cache, "OMP_NUM_THREADS": "1"}

        def once(*options: str) -> dict[str, float]:
            command = [sys.executable, "-m", "tests.bench.verifying", "--child", str(folder), *options]
            begin = time.perf_counter()
            ran = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
            return {"waited": time.perf_counter() - begin, **json.loads(ran.stdout)}

        first = once()
        pairs = [(once(), once("--unchecked")) for _ in range(N_LATER)]
        later = [checked for checked, _ in pairs]
    whole = statistics.median(one["whole"] for one in later)
    checks = statistics.median(one["checks"] for one in later)
    waited, unchecked = (statistics.median(one["waited"] for one in some) for some in zip(*pairs, strict=True))
    without = statistics.median(one["whole"] for _, one in pairs)
    print(
        f"{folder.name}: {first['megabytes']:.0f} MB of files; first search {first['whole']:.3f} s, of which checks "
        f"{first['checks']:.3f} s; later ones {whole:.3f} s, checks {checks:.4f} s: {checks / whole:.1%}; "
        f"without checks of blocks {without:.3f} s; "
        f"waited for {waited:.3f} s, without checks of blocks {unchecked:.3f} s: {1 - unchecked / waited:.1%}"
    )


def _search(folder: Path, *, is_checked: bool) -> dict[str, float]:
    """Search an index once; return seconds of processor time, whole and in checks, and the size of its files."""
    from vecsearch import Index, checksums
    from vecsearch.stores import files, last_commit

    spent = 0.0

    def timed(module: Any, name: str) -> None:
        check: Callable[..., Any] = getattr(module, name)

        def run(*arguments: Any) -> Any:
            nonlocal spent
            begin = time.thread_time()
            try:
                return check(*arguments)
            finally:
                spent += time.thread_time() - begin

        setattr(module, name, run)

    if is_checked:
        timed(files.MappedFile, "check")
    else:
        files.MappedFile.check = lambda *_: None  # type: ignore[method-assign]
    timed(checksums, "sha256_of")
    timed(last_commit, "refuse_if_lost")
    with Index.open(folder, read_only=True) as index:
        assert index.search("how are files locked")
    size = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in files.SUFFIXES)
    return {"whole": time.process_time(), "checks": spent, "megabytes": size / 1e6}


if __name__ == "__main__":
    main()
