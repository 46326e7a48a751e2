"""The figures of a run as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.bench.peers.environments import Peer

__all__ = ["HEADINGS", "cells", "markdown", "notes"]

HEADINGS = (
    "peer",
    "recall@10",
    "source@10",
    "queries",
    "1 thread: p50 / p95 ms",
    "CPU ms",
    "2 threads: p50 / p95 ms",
    "build s",
    "bytes/token",
    "RSS MB, build / search",
    "install MB",
    "import s",
    "cold CLI s",
)


def markdown(
    facts: Mapping[str, Any], peers: Sequence[Peer], figures: Mapping[str, Mapping[str, Any]], commit: str
) -> str:
    """Return one table of a collection, the peers that are not in it with the reason, and what is to be known of them.

    Args:
        facts: of the collection; see ``arrays``.
        peers: in the order of the table.
        figures: of each peer by name, as ``Workplace.measure`` returns them, or ``{"skipped": reason}``.
        commit: of vecsearch; empty where it is not measured.
    """
    tried = [peer for peer in peers if peer.name in figures]
    measured = [peer for peer in tried if "skipped" not in figures[peer.name]]
    loads = [load for peer in measured for load in figures[peer.name]["load"]]
    lines = [
        f"{facts['n_passages']:,} passages, {facts['n_tokens']:,} tokens, {facts['n_queries']} queries; "
        f"the vectors alone took {facts['embed_seconds']:.1f} s; "
        f"load average {min(loads, default=0):.1f} to {max(loads, default=0):.1f}"
        + (f"; vecsearch at {commit}" if commit else ""),
        "",
        f"| {' | '.join(HEADINGS)} |",
        f"|{'---|' * len(HEADINGS)}",
    ]
    lines += [f"| {' | '.join(cells(peer, figures[peer.name], facts['n_tokens']))} |" for peer in measured]
    left_out = [peer for peer in tried if "skipped" in figures[peer.name]]
    lines += ["", *(f"* {peer.name}: no figures, {figures[peer.name]['skipped']}" for peer in left_out)]
    return "\n".join(lines).rstrip()


def notes(peers: Sequence[Peer]) -> Iterator[str]:
    """Yield what a reader must know of each peer."""
    for peer in peers:
        version = ", ".join(peer.requirements)
        yield f"* **{peer.name}**{f' ({version})' if version else ''}: {peer.note}"


def cells(peer: Peer, figures: Mapping[str, Any], n_tokens: int) -> list[str]:
    """Return the cells of one row; a dash where there is nothing to measure."""
    one, two = figures["threads_1"], figures["threads_2"]
    is_indexed = figures["build_s"] > 0.001
    return [
        peer.name,
        _number(one["recall"], ".3f"),
        _number(one["source"], ".2f"),
        str(one["n_queries"]),
        f"{_milliseconds(one['p50_ms'])} / {_milliseconds(one['p95_ms'])}",
        _milliseconds(one["cpu_ms"]),
        f"{_milliseconds(two['p50_ms'])} / {_milliseconds(two['p95_ms'])}",
        _number(figures["build_s"] if is_indexed else None, ".1f"),
        _number(figures["disk_bytes"] / n_tokens, ".0f"),
        f"{_number(figures['build_rss_mb'] if is_indexed else None, ',.0f')} / {_number(one['peak_rss_mb'], ',.0f')}",
        _number(figures["install_bytes"] / 1e6 or None, ",.0f"),
        _number(figures.get("import_s"), ".2f"),
        _number(figures.get("cli_s"), ".2f"),
    ]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _milliseconds(value: float) -> str:
    return format(value, ".1f" if value < 100 else ",.0f")
