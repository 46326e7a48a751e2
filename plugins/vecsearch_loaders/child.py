"""The process that reads one file within limits: ``python -m vecsearch_loaders.child READER SECONDS MEMORY``.

It reads the file from stdin and writes one JSON object to stdout: what the reader returned, or ``{"error": why}``.
Only the standard library is imported before the limits are set.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

__all__ = ["MAX_ANSWER", "READERS", "RefusedError", "main"]

MAX_ANSWER = 1024 * 1024 * 1024
"""Longest answer, in bytes of JSON."""

READERS = {
    "html": ("vecsearch_loaders.html", "read_page"),
    "markdown": ("vecsearch_loaders.markdown", "read_outline"),
    "pdf": ("vecsearch_loaders.pdf", "read_pages"),
}
"""Where each reader is: a function from a stream of bytes to a dictionary that JSON can hold."""


class RefusedError(Exception):
    """A reader's own reason why a file cannot be read."""


def main(reader: str, seconds: float, memory: int) -> None:
    """Read stdin and write the answer."""
    _limit(seconds, memory)
    module, function = READERS[reader]
    try:
        answer = json.dumps(getattr(import_module(module), function)(sys.stdin.buffer))
        if len(answer) > MAX_ANSWER:
            answer = json.dumps({"error": f"more than {MAX_ANSWER:,} bytes of text in it"})
    except MemoryError:
        answer = '{"error": "memory"}'
    except RefusedError as error:
        answer = json.dumps({"error": str(error)})
    except Exception as error:  # a broken file makes a parser raise nearly anything
        answer = json.dumps({"error": f"not readable: {type(error).__name__}: {error}"})
    sys.stdout.write(answer)


def _limit(seconds: float, memory: int) -> None:
    """Set the limits of this process, and of no other; those that the system has are kept where they are lower."""
    try:
        import resource
    except ImportError:  # Windows has none; the parent's clock is what is left
        return
    # The clock of the parent ends what takes too long; this one ends it where the parent has been killed.
    wanted = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(seconds) + 2),
        (resource.RLIMIT_FSIZE, MAX_ANSWER + 1),
        (resource.RLIMIT_AS, memory),
    ]
    for kind, limit in wanted:
        _, hard = resource.getrlimit(kind)
        most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # macOS refuses some
            continue


if __name__ == "__main__":
    # subtle: run by name this module is __main__, and the error that readers raise is that of the module imported
    from vecsearch_loaders.child import main as run

    run(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
