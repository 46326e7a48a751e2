"""``vecsearch plugins new``."""

from __future__ import annotations

from pathlib import Path

import click

from vecsearch.cli.options import json_option
from vecsearch.cli.output import one_line, write, write_json
from vecsearch.cli.settings import Settings, pass_settings

__all__ = ["new_command"]

# Written here a second time, since the help must not load what knows them; a test compares.
_KINDS = ("tokenizer", "embedder", "encoder", "scorer", "loader")


@click.command(
    "new",
    epilog="""Examples:

\b
  vecsearch plugins new acme_words --kind tokenizer
  vecsearch plugins new acme_order --kind encoder --into ~/src --json""",
)
@click.argument("name")
@click.option("--kind", type=click.Choice(_KINDS), required=True, help="What the plugin is.")
@click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    metavar="DIR",
    help="Folder that gets the new one.",
)
@json_option("one object; name, kind, folder, files")
@pass_settings
@click.pass_context
def new_command(ctx: click.Context, settings: Settings, name: str, kind: str, into: Path, is_json: bool) -> None:
    """Write the package of a new plugin.

    A folder NAME with a small plugin that works, its tests, and a README that says how to install, test and use it.
    NAME is that of the Python package, of its entry point and of the plugin itself. All files are written, or none; a
    name that is taken is refused.
    """
    from vecsearch.scaffolding import write_package

    if ctx.parent is not None and ctx.parent.params.get("is_json"):  # vecsearch plugins --json new …
        settings.is_json = is_json = True
    files = write_package(name, kind, into)
    if is_json:
        folder = into / name
        shown = [path.relative_to(folder).as_posix() for path in files]
        write_json({"name": name, "kind": kind, "folder": str(folder), "files": shown})
        return
    write("".join(one_line(str(path)) + "\n" for path in files))
    click.echo(one_line(f"next: cd {into / name}; pip install -e '.[test]'; python -m pytest"), err=True)
