"""``vecsearch index``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.adding import finish
from vecsearch.cli.failures import Interrupted
from vecsearch.cli.indexes import folder_of
from vecsearch.cli.making import Parts, open_or_create
from vecsearch.cli.options import (
    cache_option,
    durability_option,
    encoding_option,
    index_metadata_option,
    index_or_new_option,
    json_option,
    memory_option,
    pipeline_options,
)
from vecsearch.cli.output import counted, one_line, write, write_json
from vecsearch.cli.progress import Meter
from vecsearch.cli.settings import Settings, pass_settings

if TYPE_CHECKING:
    from vecsearch.ingest import IngestReport
    from vecsearch.stores.disk import Durability
    from vecsearch.types import Document

__all__ = ["index_command"]


@click.command(
    "index",
    epilog="""Examples:

\b
  vecsearch index ~/notes
  vecsearch index src docs -i project --glob '*.py' --glob '*.md' --exclude 'vendor/'
  vecsearch index corpus.jsonl -i corpus --tokenizer pieces --encoder relative:order=0.5""",
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@index_or_new_option("name of the folder, or of the file without its suffix")
@click.option("--glob", "globs", multiple=True, metavar="PATTERN", help="Only files that match; may be repeated.")
@click.option("--exclude", "excludes", multiple=True, metavar="PATTERN", help="No files that match; may be repeated.")
@click.option("--hidden", is_flag=True, help="Hidden files as well.")
@click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    default=50_000_000,
    metavar="BYTES",
    help="Skip files larger than this.",
)
@encoding_option
@pipeline_options
@index_metadata_option
@durability_option
@memory_option
@cache_option
@click.option("-v", "--verbose", is_flag=True, help="Name every skipped file.")
@json_option("one object; index, n_files, n_unchanged, n_changed, n_removed_files, documents, skipped")
@pass_settings
def index_command(
    settings: Settings,
    paths: tuple[Path, ...],
    name: str | None,
    globs: tuple[str, ...],
    excludes: tuple[str, ...],
    hidden: bool,
    max_bytes: int,
    encoding: str | None,
    parts: Parts,
    metadata_keys: tuple[str, ...],
    durability: Durability,
    memory: int,
    cache: bool,
    verbose: bool,
    is_json: bool,
) -> None:
    """Index files and folders, or bring their index up to date.

    Unchanged files cost nothing, changed ones are replaced, vanished ones removed. Files that .gitignore names,
    hidden, binary, empty and over-large ones are skipped, and those that cannot be read; the summary says how many
    and why. Ctrl-C loses nothing that is committed: run the same command again to go on.
    """
    folder = folder_of(settings, name or _name_of(paths))
    chosen: dict[str, Any] = {
        "glob": globs,
        "exclude": (*excludes, *_own_folder(paths, settings.indexes)),
        "hidden": hidden,
        "max_bytes": max_bytes,
        "encoding": encoding,
    }

    def sample() -> Iterator[Document]:
        from vecsearch.loading import read_documents

        return read_documents(paths, **chosen)

    with (
        open_or_create(folder, parts, durability=durability, memory=memory, cache=cache, sample=sample) as index,
        Meter() as meter,
    ):
        from vecsearch.ingest import index_paths

        if metadata_keys:
            index.index_metadata(*metadata_keys)
        try:
            report = index_paths(index, paths, progress=meter, **chosen)
            finish(index, folder)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Interrupted: {counted(meter.committed.n_documents, 'document')} committed in {folder} by this run; "
                "run the same command again to go on."
            ) from None
    if is_json:
        write_json({"index": str(folder), **_fields(report)})
    else:
        write(_summary(folder, report, verbose or settings.verbose))


def _own_folder(paths: tuple[Path, ...], indexes: Path) -> tuple[str, ...]:
    """Return a pattern that leaves the folder of indexes out of what is indexed, where it lies below a path.

    Patterns count for all paths: there is none where another path has a folder at the same place.
    """
    own = indexes.resolve()
    for path in paths:
        root = path.resolve()
        if root != own and own.is_relative_to(root):
            below = own.relative_to(root)
            if not any(other.resolve() != root and (other / below).exists() for other in paths):
                return ("/" + re.sub(r"([\\*?\[\] !#])", r"\\\1", below.as_posix()) + "/",)
    return ()


def _name_of(paths: tuple[Path, ...]) -> str:
    if len(paths) > 1:
        raise click.UsageError("several paths: name their index with -i NAME")
    path = paths[0].resolve()
    name = path.name if path.is_dir() else path.stem
    if not name:
        raise click.UsageError(f"{path} gives no name for its index; name it with -i NAME")
    return name


def _summary(folder: Path, report: IngestReport, is_verbose: bool) -> str:
    done = report.documents
    lines = [
        f"{one_line(str(folder))}: {counted(report.n_files, 'file')}: {report.n_changed:,} new or changed, "
        f"{report.n_unchanged:,} unchanged, {report.n_removed_files:,} removed",
        f"wrote {counted(done.n_documents, 'document')}, {counted(done.n_passages, 'passage')}, "
        f"{counted(done.n_tokens, 'token')}; removed {counted(done.n_removed, 'document')}",
    ]
    by_reason: dict[str, list[str]] = {}
    for one in report.skipped:
        by_reason.setdefault(one_line(one.reason), []).append(one_line(str(one.path)))
    if by_reason:
        lines.append(f"skipped {len(report.skipped):,}" + (":" if is_verbose else " (--verbose names them):"))
        for reason, paths in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
            lines.append(f"  {len(paths):,} {reason}")
            lines += [f"      {path}" for path in paths if is_verbose]
    return "".join(line + "\n" for line in lines)


def _fields(report: IngestReport) -> dict[str, object]:
    return {
        "n_files": report.n_files,
        "n_unchanged": report.n_unchanged,
        "n_changed": report.n_changed,
        "n_removed_files": report.n_removed_files,
        "documents": report.documents.to_dict(),
        "skipped": [{"path": str(one.path), "reason": one.reason} for one in report.skipped],
    }
