"""Memory of processes that write."""

from __future__ import annotations

import subprocess
import sys

import pytest

ARENAS = """
import ctypes, sys, threading
import numpy as np
from vecsearch.budget import share_one_arena

libc = ctypes.CDLL(None)
if not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_info"):
    print("not glibc")
    sys.exit()
if sys.argv[1] == "shared":
    share_one_arena()
barrier = threading.Barrier(4)

def work():
    kept = [np.ones(1000) for _ in range(50)]
    barrier.wait()

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.parametrize("how", ["shared", "apart"])
def test_threads_share_one_arena_only_where_it_is_asked_for(how: str) -> None:
    run = subprocess.run([sys.executable, "-c", ARENAS, how], check=True, capture_output=True, text=True)
    if run.stdout.startswith("not glibc"):
        pytest.skip("malloc is not glibc's")
    n_arenas = run.stdout.count("<heap nr=")
    assert (n_arenas == 1) == (how == "shared"), run.stdout
