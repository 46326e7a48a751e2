"""``vecsearch info`` and ``plugins``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from vecsearch.cli.indexes import open_index
from vecsearch.cli.options import index_option, json_option
from vecsearch.cli.output import columns, in_color, one_line, write, write_json
from vecsearch.cli.scaffolding import new_command
from vecsearch.cli.settings import Settings, pass_settings

__all__ = ["info_command", "plugins_command", "tune_command"]


@click.command(
    "info",
    epilog="""Examples:

\b
  vecsearch info -i notes
  vecsearch info -i notes --json""",
)
@index_option
@json_option("one object")
@pass_settings
def info_command(settings: Settings, name: str | None, is_json: bool) -> None:
    """Show what an index holds and how it was made.

    Counts, sizes in bytes, and name, version, configuration and file hashes of its tokenizer, embedder and encoder;
    what a monitor asks for: generation, rows that deleted documents left, when it was last verified, free space. With
    --json each segment as well.
    """
    with open_index(settings, name) as index:
        facts = index.info()
    if is_json:
        write_json(facts)
        return
    rows = list(_flat(facts))
    write("".join(line + "\n" for line in columns(rows)))


def _flat(facts: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            continue  # a line for each of many segments; --json has them
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{key}.")
        elif isinstance(value, bool):
            yield f"{before}{key}", "yes" if value else "no"
        elif isinstance(value, int) and not key.endswith("format_version"):
            yield f"{before}{key}", f"{value:,}"
        else:
            yield f"{before}{key}", "-" if value is None or value == {} else str(value)


@click.command(
    "tune",
    epilog="""Examples:

\b
  vecsearch tune -i notes
  vecsearch tune --recall .99 -i notes""",
)
@index_option
@click.option(
    "--recall",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the best ten by exact search to find.  [default: as before; at first .98]",
)
@click.option("--queries", type=click.IntRange(min=1), metavar="N", help="Queries to measure with.  [default: 192]")
@json_option("one object")
@pass_settings
def tune_command(
    settings: Settings, name: str | None, recall: float | None, queries: int | None, is_json: bool
) -> None:
    """Measure and set how deep a large index is searched.

    A large index finds candidates by codes of its vectors and scores the best of them exactly. This measures, on
    queries made of its own passages, what share of the best ten by exact search the candidates hold, and sets the
    cheapest depth that reaches the recall. Small indexes are searched exactly: for them there is nothing to do.
    """
    with open_index(settings, name, read_only=False) as index:
        facts = index.tune(recall, n_queries=queries)
    if is_json:
        write_json({"search": "exact"} if facts is None else {"search": "approximate", **facts})
    elif facts is None:
        write("search is exact: there is nothing to tune\n")
    else:
        write("".join(line + "\n" for line in columns(list(_flat(facts)))))
        if min(facts["recall"].values(), default=0.0) < facts["target"]:
            click.echo(f"the recall of {facts['target']:g} was not reached; --exact finds everything", err=True)


@click.group(
    "plugins",
    invoke_without_command=True,
    epilog="""Examples:

\b
  vecsearch plugins
  VECSEARCH_DISABLE_PLUGINS=loaders vecsearch plugins --json
  vecsearch plugins new acme_words --kind tokenizer""",
)
@json_option("one object a line; kind, name, version, plugin, distribution, error")
@pass_settings
@click.pass_context
def plugins_command(ctx: click.Context, settings: Settings, is_json: bool) -> None:
    """List the installed plugins, or begin a new one.

    Kind, name and version of everything they register, and the distribution that brings it. A plugin that is broken,
    or in conflict with another, is listed last with its error and does not stop the others.
    """
    if ctx.invoked_subcommand is not None:
        return
    from vecsearch.plugins import Registry

    installed = Registry().installed()
    if is_json:
        for one in installed:
            write_json(one.to_dict())
        return
    rows = [(one.kind, one.name, one.version or "-", one.distribution) for one in installed]
    lines = columns(rows, heading=("kind", "name", "version", "distribution"))
    is_colored = settings.colors()
    write(in_color(lines[0], is_colored, bold=True) + "\n")
    for line, one in zip(lines[1:], installed, strict=True):
        write(line + "\n")
        if one.error:
            write("    " + in_color(one_line(one.error), is_colored, fg="red") + "\n")


plugins_command.add_command(new_command)
