"""A virtual environment for each peer, with versions pinned here, so that a run can be repeated.

What an install weighs is measured before the driver's own need, NumPy, is added.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.timing import ROOT

__all__ = ["PEERS", "InstallError", "Installed", "Peer", "folder_bytes", "install"]

COMMITTED = "vecsearch at HEAD"
"""Stands for what is committed of this project, so that figures belong to a commit, not to a moment."""
NUMPY = "numpy==2.4.6"
INSTALL_SECONDS = 900


@dataclass(frozen=True)
class Peer:
    """A system that is measured.

    Attributes:
        name: in the table, and for ``--peer``.
        driver: file in ``drivers``, without its suffix.
        requirements: what pip installs.
        importing: the statement that is timed; "" where there is nothing to install.
        note: what a reader of the table must know.
        platform: tag to fetch the wheel by, where pip itself would refuse it.
        options: passed on to the driver.
        is_heavy: measured only with ``--all``.
        environment: shared by peers that name the same one.
        index: shared by peers that name the same one; by default each peer has its own.
    """

    name: str
    driver: str
    requirements: tuple[str, ...]
    importing: str
    note: str
    platform: str | None = None
    options: tuple[str, ...] = ()
    is_heavy: bool = False
    environment: str | None = None
    index: str | None = None


PEERS: Sequence[Peer] = (
    Peer("exact", "exact", (), "", "NumPy, one matrix product over all vectors"),
    Peer(
        "vecsearch, vector",
        "ours",
        (COMMITTED,),
        "from vecsearch import Index",
        "`Index.search`, mode=vector, scorer=maxsim; built from text",
        options=("--mode", "vector"),
        environment="vecsearch",
        index="vecsearch",
    ),
    Peer(
        "vecsearch, hybrid",
        "ours",
        (COMMITTED,),
        "from vecsearch import Index",
        "`Index.search`, the default; the same index",
        options=("--mode", "hybrid"),
        environment="vecsearch",
        index="vecsearch",
    ),
    Peer(
        "tachiom",
        "with_tachiom",
        ("tachiom==0.4.0",),
        "import tachiom",
        "ef_construction=200, else its defaults",
        platform="manylinux_2_39_x86_64",
    ),
    Peer(
        "maxsim-cpu",
        "with_maxsim_cpu",
        ("maxsim-cpu==0.1.0",),
        "import maxsim_cpu",
        "scores all passages, at most 16 query tokens a call; no index, the vectors themselves are on disk",
    ),
    Peer(
        "lancedb",
        "with_lancedb",
        ("lancedb==0.40.0",),
        "import lancedb",
        "multivector column, IVF_PQ by its defaults; by the cosine only, so without weights",
        options=("--mode", "index"),
    ),
    Peer(
        "lancedb, scan",
        "with_lancedb",
        ("lancedb==0.40.0",),
        "import lancedb",
        "the same without an index, by dot products",
        options=("--mode", "scan"),
        environment="lancedb",
    ),
    Peer(
        "qdrant-edge",
        "with_qdrant_edge",
        ("qdrant-edge-py==0.9.0",),
        "import qdrant_edge",
        "multivector, HNSW by its defaults",
        options=("--mode", "index"),
    ),
    Peer(
        "qdrant-edge, scan",
        "with_qdrant_edge",
        ("qdrant-edge-py==0.9.0",),
        "import qdrant_edge",
        "the same without HNSW",
        options=("--mode", "scan"),
        environment="qdrant-edge",
    ),
    Peer(
        "fast-plaid",
        "with_fast_plaid",
        ("fast-plaid==1.7.0.2110",),
        "from fast_plaid import search",
        "its defaults, on the CPU",
        is_heavy=True,
    ),
    Peer(
        "xtr-warp-rs",
        "with_xtr_warp",
        ("xtr-warp-rs==2.1.0.2110",),
        "from xtr_warp.search import XTRWarp",
        "its defaults, on the CPU",
        is_heavy=True,
    ),
    Peer(
        "bm25s",
        "with_bm25s",
        ("bm25s==0.3.16", "PyStemmer==3.1.0"),
        "import bm25s",
        "text: Lucene's BM25, English stop words, stemmed",
    ),
    Peer("SQLite FTS5", "with_fts5", (), "", "text: any of the words, by bm25()"),
    Peer(
        "llm",
        "with_llm",
        ("llm==0.36", "wordllama==0.4.0.post1"),
        "import llm",
        "text: one mean vector of WordLlama a passage, `llm similar`",
    ),
)


class InstallError(Exception):
    """A peer cannot be installed here; the message says why."""


@dataclass(frozen=True)
class Installed:
    """A peer's environment.

    Attributes:
        python: to run its driver with.
        variables: added to the environment of the driver.
        n_bytes: what it weighs beyond an empty virtual environment; 0 where nothing was installed.
        commit: of this project, where it is what was installed.
    """

    python: Path
    variables: dict[str, str]
    n_bytes: int
    commit: str = ""


def install(peer: Peer, keep: Path) -> Installed:
    """Make a peer's environment below ``keep``, or take the one that is there.

    Raises:
        InstallError: pip fails, or takes longer than ``INSTALL_SECONDS``.
    """
    folder = keep / "environments" / (peer.environment or peer.name).replace(" ", "-")
    python, record = folder / "bin" / "python", folder / "installed.json"
    wheels = folder / "unpacked"
    variables = {"PYTHONPATH": str(wheels)} if peer.platform else {}
    pins = [*peer.requirements, NUMPY]
    commit = ""
    if record.exists() and (known := json.loads(record.read_text()))["pins"] == pins:
        if COMMITTED in peer.requirements:
            commit = _commit()
            sources = str(_sources(keep, commit))
            _run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", sources])
        return Installed(python, variables, known["n_bytes"], commit)
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    empty = folder_bytes(folder)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    if peer.platform:
        fetched = folder / "fetched"
        how = ("--platform", peer.platform, "--only-binary=:all:", "--no-deps", "--dest", str(fetched))
        _run([*pip, "download", "--quiet", *how, *peer.requirements])
        for wheel in sorted(fetched.glob("*.whl")):
            _run([str(python), "-m", "zipfile", "-e", str(wheel), str(wheels)])
            wheel.unlink()
        fetched.rmdir()
        _run([*pip, "install", "--quiet", NUMPY])  # what such a peer itself needs
    elif peer.requirements:
        if COMMITTED in peer.requirements:
            commit = _commit()
        wanted = [str(_sources(keep, commit)) if one == COMMITTED else one for one in peer.requirements]
        _run([*pip, "install", "--quiet", *wanted])
    weight = folder_bytes(folder) - empty if peer.requirements else 0
    _run([*pip, "install", "--quiet", NUMPY])
    record.write_text(json.dumps({"pins": pins, "n_bytes": weight}))
    return Installed(python, variables, weight, commit)


def folder_bytes(folder: Path) -> int:
    """Return the sizes of all files below a folder, or of one file, added up. Links are not followed."""
    if folder.is_file():
        return folder.stat().st_size
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _commit() -> str:
    """Return the last commit of this project, or "" where there is no git."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _sources(keep: Path, commit: str) -> Path:
    """Write out what a commit holds; return the folder. Without git it is the project's own."""
    if not commit:
        return ROOT
    folder = keep / "sources"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _run(["git", "-C", str(ROOT), "archive", "--output", str(folder / "sources.tar"), commit])
    shutil.unpack_archive(folder / "sources.tar", folder, filter="data")
    return folder


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise InstallError(f"not installed within {INSTALL_SECONDS} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise InstallError(lines[-1] if lines else f"exit code {done.returncode}")
