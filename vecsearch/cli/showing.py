"""Shows hits on a terminal: the lines that answer best, and the terms of the score where they were asked for."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.output import columns, in_color, one_line, visible, write, write_json
from vecsearch.cli.settings import Settings

if TYPE_CHECKING:
    from vecsearch.types import Explanation, Hit

__all__ = ["N_LINES", "show_hits"]

N_LINES = 5
"""Lines of a passage that are shown."""
NEAR = 0.6
"""Similarity from which on a word of a passage is highlighted; cosine of the position-aware vectors."""
_INDENT = "    "
_SHADES = ("bright_black", "yellow", "bright_yellow", "bright_red")
"""Colours of words by what they add to the score, from the least on."""


def show_hits(
    hits: Sequence[Hit],
    settings: Settings,
    *,
    is_full: bool,
    is_json: bool,
    first_rank: int = 1,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write hits to stdout: as JSON, one object a line with ``more`` in each, or for people."""
    if is_json:
        for rank, hit in enumerate(hits, first_rank):
            write_json({"rank": rank, **hit.to_dict(), **(more or {})})
        return
    is_colored = settings.colors()
    n_columns = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
    write("\n".join(_shown(hit, n_columns, is_colored, is_full) for hit in hits))
    if not hits:
        click.echo("No passage was found.", err=True)


def _shown(hit: Hit, n_columns: int, is_colored: bool, is_full: bool) -> str:
    from vecsearch.cli.excerpt import best_line, excerpt, line_number, near_matches

    room = max(n_columns - len(_INDENT) - len("…  …"), 20)
    near = near_matches(hit.matches, NEAR)
    rows = excerpt(hit.text, near, columns=room, n_lines=None if is_full else N_LINES)
    line = hit.line_start + (line_number(hit.text, best_line(rows, near).start) if rows else 0)
    place = f"{_place(hit)}:{line}"
    parts = [
        in_color(f"{hit.score:.3f}", is_colored, fg="green"),
        in_color(one_line(place), is_colored, fg="cyan"),
        in_color(one_line(hit.title), is_colored, bold=True),
    ]
    shown = ["  ".join(filter(None, parts))]
    shades = {} if hit.explanation is None else _shades(hit.explanation)
    for row in rows:
        words = "".join(
            in_color(_safe(piece), is_colored and is_marked, fg=_shade(shades, at), bold=True)
            for piece, is_marked, at in row.placed_pieces(hit.text)
        )
        shown.append(_INDENT + ("… " if row.leads else "") + words + (" …" if row.trails else ""))
    if hit.explanation is not None:
        shown += ["", *(_INDENT + line for line in _table(hit, hit.explanation))]
    return "".join(line.rstrip() + "\n" for line in shown)


def _table(hit: Hit, explanation: Explanation) -> list[str]:
    """Return the terms of a score as the lines of a table, the largest first within each signal."""
    rows = []
    for signal in dict.fromkeys(one.signal for one in explanation.contributions):
        of_signal = [one for one in explanation.contributions if one.signal == signal]
        for one in sorted(of_signal, key=lambda one: (one.label == "constant", -one.value)):
            partner = "" if one.start is None else hit.text[one.start : one.end]
            similarity = "" if one.similarity is None else f"{one.similarity:.3f}"
            weight = "" if one.weight is None else f"{one.weight:.2f}"
            rows.append([one.signal, one.label, partner, similarity, weight, f"{one.value:+.4f}"])
    rows.append(["", "score", "", "", "", f"{explanation.total:+.4f}"])
    return columns(rows, heading=["signal", "query", "passage", "similarity", "weight", "adds"], right="lllrrr")


def _shades(explanation: Explanation) -> dict[int, str]:
    """Return the colour of each place in the text by how much of the score its word explains."""
    added: dict[int, float] = {}
    for one in explanation.contributions:
        if one.start is not None:
            added[one.start] = added.get(one.start, 0.0) + max(one.value, 0.0)
    most = max(added.values(), default=0.0)
    return {
        start: _SHADES[min(int(value / most * len(_SHADES)), len(_SHADES) - 1)] if most else _SHADES[0]
        for start, value in added.items()
    }


def _shade(shades: dict[int, str], at: int) -> str:
    return shades.get(at, "red" if not shades else _SHADES[0])


def _safe(text: str) -> str:
    return visible(text).replace("\t", "    ")


def _place(hit: Hit) -> str:
    """Return the path of the file that the document is, below the current folder where it is there; else the id."""
    path = None if hit.path is None else Path(hit.path)
    # a document that is a whole file is called by the file's path below its root; a record of a file is not
    if path is None or not path.as_posix().endswith(f"/{hit.doc_id}"):
        return hit.doc_id
    here = Path.cwd()
    return os.fspath(path.relative_to(here) if path.is_relative_to(here) else path)
