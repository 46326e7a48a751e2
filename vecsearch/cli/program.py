"""The group of all commands: finds a command when it is asked for, and turns failures into exit codes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vecsearch import __version__
from vecsearch.cli.failures import fail
from vecsearch.cli.output import flush
from vecsearch.cli.settings import Settings
from vecsearch.cli.threads import one_thread

if TYPE_CHECKING:
    from vecsearch.plugins import Registry

__all__ = ["Program", "program"]

_MODULES = {
    "index": "indexing",
    "add": "adding",
    "search": "searching",
    "like": "searching",
    "eval": "evaluating",
    "get": "documents",
    "list": "documents",
    "delete": "documents",
    "info": "inspecting",
    "tune": "inspecting",
    "verify": "maintaining",
    "repair": "maintaining",
    "compact": "maintaining",
    "migrate": "maintaining",
    "backup": "moving",
    "restore": "moving",
    "export": "moving",
    "import": "moving",
    "doctor": "maintaining",
    "cache": "caching",
    "plugins": "inspecting",
    "tokens": "tokens",
    "similar": "words",
    "analogy": "words",
}
"""The module of each command, in the order of the help; the command is its attribute ``<name>_command``."""


_WRITING = frozenset({"index", "add", "tune", "repair", "compact", "migrate", "restore", "import"})


class Program(click.Group):
    """A group that imports a command when it is asked for, and turns every failure into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the engine's own commands, then those of plugins."""
        return [*_MODULES, *self._plugin_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name, None if there is none."""
        if cmd_name in _MODULES:
            module = import_module(f"vecsearch.cli.{_MODULES[cmd_name]}")
            command: click.Command = getattr(module, f"{cmd_name}_command")
            return command
        return self._plugin_commands(ctx).get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names; suggest others like it if there is none."""
        name = args[0]
        if name in _WRITING:
            one_thread()
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and name[:1].isalnum():
            conflicts = [error for error in _registry(ctx).errors("command") if error.facts.get("name") == name]
            if conflicts:
                raise conflicts[0]
            raise click.exceptions.NoSuchCommand(name, possibilities=self.list_commands(ctx), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help lines of the commands, those of plugins under a heading of their own."""
        own = {name: self.get_command(ctx, name) for name in _MODULES}
        for heading, commands in (("Commands", own), ("Commands of plugins", self._plugin_commands(ctx))):
            limit = formatter.width - 6 - max(map(len, commands), default=0)
            rows = [
                (name, command.get_short_help_str(limit))
                for name, command in commands.items()
                if command and not command.hidden
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; see the module for the exit codes."""
        try:
            result = super().invoke(ctx)
            flush()  # what cannot be written must fail here, not when the interpreter is shutting down
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            ctx.exit(fail(error, ctx.find_object(Settings) or Settings()))
        return result

    def _plugin_commands(self, ctx: click.Context) -> dict[str, click.Command]:
        return {
            command.name: command
            for command in _registry(ctx).commands()
            if command.name is not None and command.name not in _MODULES
        }


def _registry(ctx: click.Context) -> Registry:
    from vecsearch.plugins import Registry

    kept = ctx.find_root().meta
    if "vecsearch.registry" not in kept:
        kept["vecsearch.registry"] = Registry()
    registry: Registry = kept["vecsearch.registry"]
    return registry


@click.group(
    cls=Program,
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""Examples:

\b
  vecsearch index ~/notes
  vecsearch search "how do I undo a commit"
  vecsearch search "how do I undo a commit" -i notes -k 20 --json
  cat mail.jsonl | vecsearch add - -i mail

\b
Shell completion (bash; zsh and fish likewise with zsh_source, fish_source):
  eval "$(_VECSEARCH_COMPLETE=bash_source vecsearch)"

Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted. A failure is one line
on stderr (and the place, where a query cannot be read), a JSON object with --json.""",
)
@click.option(
    "--indexes",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default="indexes",
    envvar="VECSEARCH_INDEXES",
    show_envvar=True,
    help="Folder that holds the indexes, one folder each.",
)
@click.option(
    "--color/--no-color", default=None, help="Colour or none; by default colour on a terminal, unless NO_COLOR is set."
)
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")
@click.version_option(__version__, prog_name="vecsearch", message="%(prog)s %(version)s")
@click.pass_context
def program(ctx: click.Context, indexes: Path, color: bool | None, verbose: bool) -> None:
    """Search text by the meaning of its words and by their order."""
    settings = Settings(indexes=indexes, color=color, verbose=verbose)
    ctx.obj = settings
    ctx.color = settings.color
