"""``vecsearch search`` and ``vecsearch like``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vecsearch.cli.indexes import open_index
from vecsearch.cli.options import index_option, json_option, npy_option
from vecsearch.cli.output import counted, one_line, write, write_json
from vecsearch.cli.reranking import RerankNotes, rerank_options
from vecsearch.cli.settings import Settings, pass_settings
from vecsearch.cli.showing import N_LINES, show_hits
from vecsearch.cli.threads import one_thread
from vecsearch.worker import Worker

if TYPE_CHECKING:
    from vecsearch.index import Index
    from vecsearch.types import Hit

__all__ = ["like_command", "search_command"]

Command = TypeVar("Command", bound=Callable[..., Any])


def _ranking_options(command: Command) -> Command:
    """Add what ``search`` and ``like`` have in common."""
    options: list[Callable[[Command], Command]] = [
        click.option("-k", type=click.IntRange(min=1), default=10, metavar="N", help="How many hits at most."),
        click.option(
            "--offset", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out so many of the best."
        ),
        click.option(
            "--mode",
            type=click.Choice(["hybrid", "vector", "keyword"]),
            help="What ranks: vectors and keywords together, or one of them.  "
            "[default: hybrid; vector for an index of given vectors]",
        ),
        click.option(
            "--scorer",
            metavar="SPEC",
            help="How vectors are scored; see `vecsearch plugins`.  [default: what suits the embedder]",
        ),
        click.option(
            "--order",
            type=click.Choice(["none", "default", "strict"]),
            default="default",
            help="How much the order of words counts.",
        ),
        click.option("--where", metavar="FILTER", help="Only documents whose metadata pass, such as 'year >= 2020'."),
        click.option(
            "--min-score",
            type=float,
            metavar="SCORE",
            help="Only hits whose vector score, before fusion, is so much or more.",
        ),
        click.option("--explain", is_flag=True, help="Show what each word of the query adds to the score."),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="Give up after so many seconds.  [default: never]",
        ),
        click.option("--exact", is_flag=True, help="Compare every passage, even of a large index; this takes long."),
        click.option("--full", is_flag=True, help=f"Show whole passages, not the best {N_LINES} lines of each."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(
    "search",
    epilog="""Examples:

\b
  vecsearch search "how do I undo a commit"
  vecsearch search '"car crash" -insurance' -i news
  vecsearch search "who bit the dog" -i notes -k 20 --json
  vecsearch search "release notes" --where 'year >= 2020 and not draft' --explain
  vecsearch search --queries questions.txt -i notes --json
  vecsearch search "can a virus cause cancer" -i papers --rerank minilm
  vecsearch search --vectors query.npy -i images

\b
Query:
  car crash          passages about it, best first
  "car crash"        these words or words like them, in order, adjacent
  "car crash"~3      ... with up to 3 words between
  NEAR(car crash, 5) ... in any order, at most 5 words between
  =crash             this very word        -bus  -"bus stop"   none of these""",
)
@click.argument("query", nargs=-1)
@index_option
@_ranking_options
@click.option(
    "--by",
    type=click.Choice(["passage", "document"]),
    default="passage",
    help="Whether a hit is a passage or a document.",
)
@click.option("--fusion", type=click.Choice(["zscore", "rrf"]), default="zscore", help="How a hybrid search adds up.")
@rerank_options
@click.option("--plain", is_flag=True, help="Take every character of the query as text: no operators.")
@click.option(
    "--queries",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Search for each line of a file (- for stdin), faster than one by one.",
)
@npy_option("--vectors", help="Search an index of given vectors with these, float32 (n_tokens, dim).")
@npy_option("--token-ids", help="Their token ids, integers (n_tokens,); -1 for none.")
@json_option("one object a hit and line; rank, score, doc_id, text, matches, ...")
@pass_settings
def search_command(
    settings: Settings,
    /,
    query: tuple[str, ...],
    name: str | None,
    by: str,
    fusion: str,
    rerank: str | None,
    n_rerank: int,
    budget: float | None,
    plain: bool,
    queries: Path | None,
    vectors: Path | None,
    token_ids: Path | None,
    is_json: bool,
    **ranking: Any,
) -> None:
    """Find the best passages for a query.

    Prints for each its score (higher is better), where it stands (path:line, or the id of the document), the
    document's title, and the lines that answer the query best, the words nearest to the query's highlighted.
    """
    text = " ".join(query)
    if not text.strip() and vectors is None and queries is None:
        raise click.UsageError(
            "the query is empty; say what to search for, or give --vectors FILE.npy or --queries FILE"
        )
    if bool(query) + (vectors is not None) + (queries is not None) > 1:
        raise click.UsageError("give either a query or --vectors or --queries, and only one of them")
    if token_ids is not None and vectors is None:
        raise click.UsageError("--token-ids says what --vectors are of; give those too")
    if rerank is not None and vectors is not None:
        raise click.UsageError("--rerank needs a query of text, for a model reads it; --vectors have none")
    is_full = ranking.pop("full")
    options = {**ranking, "by": by, "fusion": fusion, "n_rerank": n_rerank}
    lines = None if queries is None else _lines(queries)
    notes = RerankNotes(rerank, budget)
    if lines is None and not options["exact"]:
        one_thread(searching=True)
    with open_index(settings, name) as index, Worker() as worker:
        worker.submit(index.preload)  # while the query is read; what goes wrong in it goes wrong in the search too
        options["rerank"] = notes.reranker()
        started = time.perf_counter()
        if lines is not None:
            _search_many(index, lines, settings, options, notes, is_plain=plain, is_full=is_full, is_json=is_json)
            return
        if vectors is None:
            hits = index.search(text, syntax="plain" if plain else "query", **options)
        else:
            from vecsearch.cli.arrays import read_ids, read_vectors

            array = read_vectors(vectors)
            ids = None if token_ids is None else read_ids(token_ids, len(array), lowest=-1)
            hits = index.search(vectors=array, token_ids=ids, **options)
        seconds = time.perf_counter() - started
    first_rank = options["offset"] + 1
    show_hits(hits, settings, is_full=is_full, is_json=is_json, first_rank=first_rank, more=notes.of(0))
    notes.say()
    _say_how_long(settings, hits, seconds)


@click.command(
    "like",
    epilog="""Examples:

\b
  vecsearch like git/undo.md -i notes
  vecsearch like git/undo.md --by passage -k 5 --json""",
)
@click.argument("doc_id")
@index_option
@_ranking_options
@click.option(
    "--by",
    type=click.Choice(["passage", "document"]),
    default="document",
    help="Whether a hit is a passage or a document.",
)
@json_option("one object a hit and line, as of search")
@pass_settings
def like_command(settings: Settings, /, doc_id: str, name: str | None, by: str, is_json: bool, **ranking: Any) -> None:
    """Find the documents most like one of the index.

    The heaviest words of the document are the query, among their neighbours as they stand in it.
    """
    is_full = ranking.pop("full")
    with open_index(settings, name) as index:
        started = time.perf_counter()
        hits = index.like(doc_id, by=by, **ranking)  # type: ignore[arg-type]  # click has checked the choice
        seconds = time.perf_counter() - started
    show_hits(hits, settings, is_full=is_full, is_json=is_json, first_rank=ranking["offset"] + 1)
    _say_how_long(settings, hits, seconds)


def _lines(path: Path) -> list[str]:
    from vecsearch.errors import UsageError

    with click.open_file(str(path), encoding="utf-8") as file:
        try:
            lines = file.read().splitlines()
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not UTF-8 at byte {error.start}; convert it first", path=str(path)) from error
    return [line for line in lines if line.strip()]


def _search_many(
    index: Index,
    lines: list[str],
    settings: Settings,
    options: dict[str, Any],
    notes: RerankNotes,
    *,
    is_plain: bool,
    is_full: bool,
    is_json: bool,
) -> None:
    started = time.perf_counter()
    options = {**options, "mode": options["mode"] or "hybrid"}
    found = index.search_many(lines, syntax="plain" if is_plain else "query", **options)
    for number, (line, hits) in enumerate(zip(lines, found, strict=True)):
        if is_json:
            for rank, hit in enumerate(hits, options["offset"] + 1):
                write_json({"query": line, "rank": rank, **hit.to_dict(), **notes.of(number)})
            continue
        write(("\n" if number else "") + f"== {one_line(line)}\n")
        show_hits(hits, settings, is_full=is_full, is_json=False)
    notes.say()
    if settings.verbose:
        seconds = time.perf_counter() - started
        click.echo(f"{counted(len(lines), 'query')} in {seconds * 1000:.1f} ms".replace("querys", "queries"), err=True)


def _say_how_long(settings: Settings, hits: list[Hit], seconds: float) -> None:
    if settings.verbose:
        click.echo(f"{counted(len(hits), 'hit')} in {seconds * 1000:.1f} ms", err=True)
