"""Draws what a run has written as JSON. Runs in an environment of its own, which has Matplotlib.

    python plots.py FIGURES.json FOLDER

recall-N.svg: recall@10 against the median latency, one point a peer, N passages. sizes.svg: latency and time of the
build against the number of passages, where there is more than one size.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib import ticker


def main() -> None:
    """Draw all plots."""
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "vecsearch"})
    sizes: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())["sizes"]
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for size, found in sizes.items():
        figure, axes = plt.subplots(figsize=(8, 6))
        for name, peer in found["peers"].items():
            if "skipped" not in peer and peer["threads_1"]["recall"] is not None:
                point = peer["threads_1"]["p50_ms"], peer["threads_1"]["recall"]
                axes.scatter(*point)
                axes.annotate(name, point, xytext=(0, -8), textcoords="offset points", rotation=-50, va="top")
        axes.set(
            xscale="log",
            xlabel="p50 of a query, ms, 1 thread",
            ylabel="recall@10 of exact MaxSim",
            ylim=(0, 1.05),
            title=f"{int(size):,} passages",
        )
        _save(figure, folder / f"recall-{size}.svg")
    if len(sizes) > 1:
        _sizes(sizes, folder / "sizes.svg")


def _sizes(sizes: dict[str, Any], path: Path) -> None:
    figure, (latency, build) = plt.subplots(1, 2, figsize=(12, 5))
    names = list(dict.fromkeys(name for found in sizes.values() for name in found["peers"]))
    for name in names:
        known = [
            (found["facts"]["n_passages"], peer)
            for found in sizes.values()
            if "skipped" not in (peer := found["peers"].get(name, {"skipped": ""}))
        ]
        if known:
            passages = [size for size, _ in known]
            colour = mpl.colormaps["tab20"](names.index(name) % 20)
            latency.plot(passages, [peer["threads_1"]["p50_ms"] for _, peer in known], "o-", label=name, color=colour)
            build.plot(passages, [peer["build_s"] for _, peer in known], "o-", label=name, color=colour)
    latency.set(xscale="log", yscale="log", xlabel="passages", ylabel="p50 of a query, ms, 1 thread")
    build.set(xscale="log", yscale="log", xlabel="passages", ylabel="build, s", ylim=(0.01, None))
    for axes in (latency, build):
        axes.set_xticks([found["facts"]["n_passages"] for found in sizes.values()])
        axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    build.legend(bbox_to_anchor=(1.02, 1), loc="upper left")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    # the same figures give the same file
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
