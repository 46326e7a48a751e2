"""vecsearch beside other engines: same passages, same queries, same vectors, same machine, one run.

    python -m tests.bench.peers [--passages 2000 20000] [--peer NAME ...] [--all] [--keep DIR]
        [--json FILE] [--plot DIR]

The vectors are those of the default pipeline for the first passages of techdocs-large. Each peer is installed into a
virtual environment of its own, builds in one process and searches in others, one peer after the other; what cannot be
installed or takes too long is named with the reason. Needs a package index, and Linux to hold a process to its cores.
The project itself is measured as committed, not as edited.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.peers.arrays import write_arrays
from tests.bench.peers.environments import PEERS, Installed, InstallError, Peer, install
from tests.bench.peers.figures import markdown, notes
from tests.bench.peers.running import Limits, PeerError, Workplace
from tests.bench.timing import machine
from vecsearch import Pipeline

PLOTS = Peer("plots", "", ("matplotlib==3.11.2",), "", "")


def main() -> None:
    """Measure, and print Markdown."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        _run(arguments, arguments.keep.resolve() if arguments.keep else Path(folder))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, nargs="+", default=[2000], metavar="N", help="sizes of the collection")
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peer", action="extend", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--all", action="store_true", help="also the peers that bring torch, about 5 GB each")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep arrays, environments and indexes, and use them")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all figures; those in it are not measured again"
    )
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw plots, with a Matplotlib of their own")
    parser.add_argument("--build-seconds", type=float, default=900, help="give a build up after so long")
    parser.add_argument("--search-seconds", type=float, default=60, help="ask no further queries after so long")
    return parser.parse_args()


def _run(arguments: argparse.Namespace, keep: Path) -> None:
    asked = arguments.peer or [peer.name for peer in PEERS if arguments.all or not peer.is_heavy]
    peers = [peer for peer in PEERS if peer.name in asked]
    limits = Limits(arguments.build_seconds, arguments.search_seconds)
    everything: dict[str, Any] = {"machine": machine(), "sizes": {}}
    if arguments.json and arguments.json.exists():
        everything = json.loads(arguments.json.read_text())
    installed: dict[str, Installed | str] = {}
    pipeline = Pipeline.from_names()
    for size in arguments.passages:
        facts = write_arrays(keep / str(size) / "arrays", size, pipeline)
        (keep / str(size) / "indexes").mkdir(exist_ok=True)
        workplace = Workplace(keep / str(size) / "arrays", keep / str(size) / "indexes", limits)
        found = everything["sizes"].setdefault(str(size), {"commit": "", "facts": facts, "peers": {}})
        for peer in peers:
            if peer.name in found["peers"]:
                continue
            name = peer.environment or peer.name
            if name not in installed:
                installed[name] = _installed(peer, keep)
            known = installed[name]
            if isinstance(known, Installed) and known.commit:
                found["commit"] = known.commit
            found["peers"][peer.name] = _figures(workplace, peer, known, everything["sizes"], size)
            if arguments.json:  # a run takes long: what is known is kept
                arguments.json.write_text(json.dumps(everything, indent=1))
    print(everything["machine"])
    for found in everything["sizes"].values():
        print(f"\n{markdown(found['facts'], peers, found['peers'], found['commit'])}")
    print("\n".join(["", *notes(peers)]))
    if arguments.plot:
        _plot(arguments.plot, everything, keep)


def _figures(
    workplace: Workplace, peer: Peer, installed: Installed | str, sizes: dict[str, Any], n_passages: int
) -> dict[str, Any]:
    if isinstance(installed, str):
        return {"skipped": installed}
    reason = _hopeless(sizes, peer, n_passages, workplace.limits)
    return {"skipped": reason} if reason else _measured(workplace, peer, installed)


def _installed(peer: Peer, keep: Path) -> Installed | str:
    _say(f"installing {peer.name}")
    try:
        return install(peer, keep)
    except InstallError as error:
        return f"cannot be installed: {error}"


def _measured(workplace: Workplace, peer: Peer, installed: Installed) -> dict[str, Any]:
    _say(f"measuring {peer.name}")
    try:
        return workplace.measure(peer, installed)
    except PeerError as error:
        _say(f"{peer.name}: {error}")
        return {"skipped": str(error)}


def _hopeless(sizes: dict[str, Any], peer: Peer, n_passages: int, limits: Limits) -> str | None:
    """Return why a peer need not be tried, by what a smaller size has shown; None where it is to be tried."""
    smaller = [int(size) for size in sizes if int(size) < n_passages]
    if not smaller:
        return None
    before = sizes[str(max(smaller))]["peers"].get(peer.name)
    if before is None:
        return None
    if "skipped" in before:
        return f"{before['skipped']}, with {max(smaller):,} passages"
    expected = before["build_s"] * n_passages / max(smaller)
    if expected <= limits.build:
        return None
    return f"a build would take about {expected:,.0f} s, by that of {max(smaller):,} passages"


def _plot(folder: Path, everything: dict[str, Any], keep: Path) -> None:
    figures = keep / "figures.json"
    figures.write_text(json.dumps(everything))
    try:
        python = install(PLOTS, keep).python
    except InstallError as error:
        _say(f"no plots: {error}")
        return
    subprocess.run([str(python), str(Path(__file__).with_name("plots.py")), str(figures), str(folder)], check=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
