"""Runs a driver in its own process, on as many cores as are asked for, and puts together what is known of a peer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.peers.environments import Installed, Peer, folder_bytes
from tests.bench.timing import command_seconds

__all__ = ["Limits", "PeerError", "Workplace"]

DRIVERS = Path(__file__).with_name("drivers")
THREADS = (1, 2)
_POOLS = ("OMP", "OPENBLAS", "MKL", "RAYON", "LANCE_CPU", "TOKIO_WORKER")


class PeerError(Exception):
    """A peer gave no figures; the message says why."""


class Limits:
    """How long things may take, in seconds: a build, and the questions of one search process."""

    def __init__(self, build: float, search: float) -> None:
        self.build = build
        self.search = search


class Workplace:
    """One collection, and the indexes that peers make of it.

    Args:
        arrays: folder of the collection; see ``arrays``.
        folder: where indexes go, one folder a peer.
        limits: of time.
    """

    def __init__(self, arrays: Path, folder: Path, limits: Limits) -> None:
        self._arrays = arrays
        self._folder = folder
        self.limits = limits
        self._built: dict[str, dict[str, Any]] = {}

    def measure(self, peer: Peer, installed: Installed) -> dict[str, Any]:
        """Return the figures of a peer: build, disk, searches with each number of threads, import, install.

        Raises:
            PeerError: its driver fails or takes too long.
        """
        begin = os.getloadavg()[0]
        name = (peer.index or peer.name).replace(" ", "-")
        index = self._folder / name
        if name not in self._built:
            shutil.rmtree(index, ignore_errors=True)
            index.mkdir(parents=True)
            built = self._run(peer, installed, "build", index, max(THREADS), self.limits.build)
            self._built[name] = built | {"disk_bytes": folder_bytes(index)}
        figures: dict[str, Any] = {"install_bytes": installed.n_bytes, **self._built[name]}
        figures["build_rss_mb"] = figures.pop("peak_rss_mb")
        for n_threads in THREADS:
            time.sleep(1)
            # loading, warming up and one slow question come on top of what is allowed
            found = self._run(peer, installed, "search", index, n_threads, 4 * self.limits.search + 60)
            figures[f"threads_{n_threads}"] = found
        if peer.importing:
            python = str(installed.python)
            taken, bare = self._seconds([python, "-c", peer.importing], [python, "-c", "pass"], installed)
            figures["import_s"] = taken - bare
        if peer.index == "vecsearch":
            program = str(installed.python.with_name("vecsearch"))
            words = [program, "search", "how is an index built", "-i", "index"]
            figures["cli_s"], _ = self._seconds(words, [program, "--help"], installed, index)
        return figures | {"load": [begin, os.getloadavg()[0]]}

    def _seconds(
        self, command: Sequence[str], baseline: Sequence[str], installed: Installed, index: Path | None = None
    ) -> tuple[float, float]:
        variables = self._variables(installed, index=index)
        try:
            return command_seconds(
                command, baseline, 3, cwd=self._folder, env=variables, stderr=subprocess.DEVNULL, timeout=120
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise PeerError(f"{' '.join(command[1:])} failed: {error}") from error

    def _run(
        self, peer: Peer, installed: Installed, phase: str, index: Path, n_threads: int, limit: float
    ) -> dict[str, Any]:
        command = [str(installed.python), str(DRIVERS / f"{peer.driver}.py"), phase, str(self._arrays), str(index)]
        command += ["--seconds", str(self.limits.search), *peer.options]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
                cwd=self._folder,
                env=self._variables(installed, n_threads),
                preexec_fn=partial(_stay_on, n_threads),
            )
        except subprocess.TimeoutExpired:
            raise PeerError(f"{phase} not done within {limit:.0f} s") from None
        if done.returncode:
            last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise PeerError(f"{phase} failed: {last[:300]}")
        # a peer may write to stdout as well
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))

    def _variables(self, installed: Installed, n_threads: int = 2, index: Path | None = None) -> dict[str, str]:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        variables |= {f"{pool}_NUM_THREADS": str(n_threads) for pool in _POOLS[:4]}
        variables |= {f"{pool}_THREADS": str(n_threads) for pool in _POOLS[4:]}
        variables |= {"XDG_CACHE_HOME": str(self._folder / "cache"), "VECSEARCH_INDEXES": str(index or self._folder)}
        return variables | installed.variables


def _stay_on(n_cores: int) -> None:
    """Keep the process on so many cores: pools that count cores then start no more threads. Linux only."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])
