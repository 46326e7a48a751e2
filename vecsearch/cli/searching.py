"""``vecsearch search``."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vecsearch.cli.indexes import open_index
from vecsearch.cli.options import index_option, json_option, npy_option
from vecsearch.cli.output import counted, in_color, one_line, visible, write, write_json
from vecsearch.cli.settings import Settings, pass_settings

if TYPE_CHECKING:
    from vecsearch.types import Hit

__all__ = ["search_command"]

N_LINES = 5
"""Lines of a passage that are shown."""
NEAR = 0.6
"""Similarity from which on a word of a passage is highlighted; cosine of the position-aware vectors."""
_INDENT = "    "


@click.command(
    "search",
    epilog="""Examples:

\b
  vecsearch search "how do I undo a commit"
  vecsearch search "who bit the dog" -i notes -k 20 --json
  vecsearch search --vectors query.npy -i images""",
)
@click.argument("query", nargs=-1)
@index_option
@click.option("-k", type=click.IntRange(min=1), default=10, metavar="N", help="How many passages at most.")
@click.option("--scorer", default="maxsim", metavar="NAME", help="How passages are scored; see `vecsearch plugins`.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Give up after so many seconds.  [default: never]",
)
@npy_option("--vectors", help="Search an index of given vectors with these, float32 (n_tokens, dim).")
@npy_option("--token-ids", help="Their token ids, integers (n_tokens,); -1 for none.")
@click.option("--full", is_flag=True, help=f"Show whole passages, not the best {N_LINES} lines of each.")
@json_option("one object a hit and line; rank, score, doc_id, text, matches, ...")
@pass_settings
def search_command(
    settings: Settings,
    query: tuple[str, ...],
    name: str | None,
    k: int,
    scorer: str,
    timeout: float | None,
    vectors: Path | None,
    token_ids: Path | None,
    full: bool,
    is_json: bool,
) -> None:
    """Find the best passages for a query.

    Prints for each its score (higher is better), where it stands (path:line, or the id of the document), the
    document's title, and the lines that answer the query best, the words nearest to the query's highlighted.
    """
    text = " ".join(query)
    if vectors is None and not text.strip():
        raise click.UsageError("the query is empty; say what to search for, or give --vectors FILE.npy")
    if vectors is not None and query:
        raise click.UsageError("give either a query or --vectors, not both")
    if token_ids is not None and vectors is None:
        raise click.UsageError("--token-ids says what --vectors are of; give those too")
    with open_index(settings, name) as index:
        started = time.perf_counter()
        if vectors is None:
            hits = index.search(text, k, scorer=scorer, timeout=timeout)
        else:
            from vecsearch.cli.arrays import read_ids, read_vectors

            array = read_vectors(vectors)
            ids = None if token_ids is None else read_ids(token_ids, len(array), lowest=-1)
            hits = index.search(k=k, vectors=array, token_ids=ids, scorer=scorer, timeout=timeout)
        seconds = time.perf_counter() - started
    if is_json:
        for rank, hit in enumerate(hits, 1):
            write_json({"rank": rank, **hit.to_dict()})
    else:
        is_colored = settings.colors()
        columns = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
        write("\n".join(_shown(hit, columns, is_colored, full) for hit in hits))
        if not hits:
            click.echo("No passage was found.", err=True)
    if settings.verbose:
        click.echo(f"{counted(len(hits), 'hit')} in {seconds * 1000:.1f} ms", err=True)


def _shown(hit: Hit, columns: int, is_colored: bool, is_full: bool) -> str:
    from vecsearch.cli.excerpt import best_line, excerpt, line_number, near_matches

    room = max(columns - len(_INDENT) - len("…  …"), 20)
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
    for row in rows:
        words = "".join(
            in_color(_safe(piece), is_colored and is_marked, fg="red", bold=True)
            for piece, is_marked in row.pieces(hit.text)
        )
        shown.append(_INDENT + ("… " if row.leads else "") + words + (" …" if row.trails else ""))
    return "".join(line.rstrip() + "\n" for line in shown)


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
