"""``vecsearch backup``, ``restore``, ``export`` and ``import``."""

from __future__ import annotations

import contextlib
import errno
import glob
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from vecsearch.cli.adding import add_documents, looked_at, summarize
from vecsearch.cli.indexes import folder_of, resolve
from vecsearch.cli.maintaining import present
from vecsearch.cli.making import Parts, open_or_create
from vecsearch.cli.options import cache_option, index_option, index_or_new_option, json_option, pipeline_options
from vecsearch.cli.output import counted, json_line, one_line, write, write_json
from vecsearch.cli.settings import Settings, pass_settings

if TYPE_CHECKING:
    from vecsearch.pipeline import Pipeline
    from vecsearch.stores.salvage import LostDocument
    from vecsearch.types import Document

__all__ = ["backup_command", "export_command", "import_command", "restore_command"]


@click.command(
    "backup",
    epilog="""Examples:

\b
  vecsearch backup /mnt/backups/notes -i notes
  vecsearch backup ../notes-backup -i notes --json""",
)
@click.argument("to", metavar="DEST", type=click.Path(file_okay=False, path_type=Path))
@index_option
@json_option("one object; path, generation, n_files, n_copied, n_bytes, n_bytes_copied")
@pass_settings
def backup_command(settings: Settings, to: Path, name: str | None, is_json: bool) -> None:
    """Copy an index to a folder, or bring the copy there up to date.

    One commit is copied, whole, also while the index is searched and written. Every file is checked by its SHA-256;
    what DEST has already is checked, not copied again. Interrupted, it leaves the backup before. `vecsearch restore`
    makes an index of it.
    """
    from vecsearch.maintenance.backups import backup

    done = backup(folder_of(settings, resolve(settings, name)), to)
    if is_json:
        write_json(done.to_dict())
        return
    write(
        f"{one_line(str(to))}: {counted(done.n_files, 'file')}, {done.n_bytes / 1e6:,.1f} MB; "
        f"{done.n_copied:,} of them copied, {done.n_bytes_copied / 1e6:,.1f} MB\n"
    )


@click.command(
    "restore",
    epilog="""Examples:

\b
  vecsearch restore /mnt/backups/notes -i notes
  vecsearch restore /mnt/backups/notes -i notes --force""",
)
@click.argument("source", metavar="BACKUP", type=click.Path(exists=True, file_okay=False, path_type=Path))
@index_or_new_option("the name of the folder BACKUP")
@click.option("--force", is_flag=True, help="Move an index that is there aside, and tell where.")
@json_option("one object; path, created (of the backup), n_bytes, kept (the index that was there)")
@pass_settings
def restore_command(settings: Settings, source: Path, name: str | None, force: bool, is_json: bool) -> None:
    """Make an index of a backup.

    It is copied beside, every file is checked by its SHA-256, and all of it is verified as by `verify --deep`, before
    it takes its place. Where there is an index of that name, nothing is done without --force.
    """
    from vecsearch.maintenance.backups import restore

    folder = folder_of(settings, name or source.resolve().name)
    done = restore(source, folder, force=force)
    if is_json:
        write_json(done.to_dict())
        return
    write(f"{one_line(str(folder))}: restored, {done.n_bytes / 1e6:,.1f} MB of {done.created}\n")
    if done.kept is not None:
        write(f"The index that was there is kept: {one_line(str(done.kept))}\n")


@click.command(
    "export",
    epilog="""Examples:

\b
  vecsearch export -i notes > notes.jsonl
  vecsearch export notes.jsonl -i notes
  vecsearch export -i notes | gzip > notes.jsonl.gz""",
)
@click.argument("to", metavar="[FILE|-]", default="-", type=click.Path(dir_okay=False, allow_dash=True))
@index_option
@pass_settings
def export_command(settings: Settings, to: str, name: str | None) -> None:
    """Write all documents as lines of JSON.

    id, title, text and metadata; sections: where its passages began; of an index of given vectors, vectors and
    token_ids. `vecsearch import` makes an index of it, of any version and with any pipeline. All documents are of one
    commit. Works on damaged indexes: a document that cannot be read is named on stderr, and the exit code is 1.
    """
    from vecsearch.maintenance.portable import export

    folder = present(settings, name)
    n_lost = 0

    def tell(lost: LostDocument) -> None:
        nonlocal n_lost
        n_lost += 1
        shown = "a document" if lost.id is None else f"document {lost.id}"
        click.echo(one_line(f"Lost: {shown}: {lost.why}"), err=True)

    if to == "-":
        export(folder, write_json, lost=tell)
    else:
        n_documents = _export_to(Path(to), lambda put: export(folder, put, lost=tell))
        click.echo(f"Wrote {counted(n_documents, 'document')} to {one_line(to)}.", err=True)
    if n_lost:
        click.get_current_context().exit(1)


def _export_to(path: Path, run: Callable[[Callable[[dict[str, Any]], object]], int]) -> int:
    """Write a file that is replaced as a whole or not at all; what a dead process left of it is removed."""
    from vecsearch.stores.schema import in_place

    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        if not _is_running(left.suffixes[-2][1:]):
            left.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            n_documents = run(lambda line: file.write(json_line(line) + "\n"))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    with in_place(path, "the export"):
        _sync_folder(path.parent)
    return n_documents


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:
        pass  # it is another user's
    return True


def _sync_folder(folder: Path) -> None:
    """Make a new name durable, where the system can do that."""
    from vecsearch.stores.disk import Disk

    try:
        Disk(folder).sync_entries()
    except OSError as error:
        # a folder that may not be read, or a file system that knows no such thing
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP):
            raise


@click.command(
    "import",
    epilog="""Examples:

\b
  vecsearch import notes.jsonl -i notes
  zcat notes.jsonl.gz | vecsearch import - -i notes --embedder wordllama
  vecsearch import /media/stick/notes -i notes""",
)
@click.argument("source", metavar="FILE|-|FOLDER", type=click.Path(exists=True, allow_dash=True))
@index_or_new_option("the name of FOLDER, or of FILE without .jsonl")
@click.option("--recut", is_flag=True, help="Cut every text anew, wherever its passages began.")
@click.option("--trust", is_flag=True, help="Copy the index in FOLDER as it is, if all of it is sound.")
@pipeline_options
@cache_option
@json_option("one object; index, n_documents, n_unchanged, n_removed, n_passages, n_tokens")
@pass_settings
def import_command(
    settings: Settings,
    source: str,
    name: str | None,
    recut: bool,
    trust: bool,
    parts: Parts,
    cache: bool,
    is_json: bool,
) -> None:
    """Add the documents of an export or of an index folder.

    FILE is what `vecsearch export` wrote. Of a FOLDER only texts, titles, metadata and given vectors are read, and
    checked; vectors and all else are made here. It is made as FOLDER says that it was, unless options say otherwise.
    With --trust the index is copied as it is, after all of it was verified: that it is whole is then sure, not who
    made it. Into an index that is there, documents are added as by `vecsearch add`.
    """
    path = Path(source)
    if name is None:
        if source == "-":
            raise click.UsageError("say with -i which index the documents of stdin go to")
        name = path.resolve().name.removesuffix(".jsonl")
    folder = folder_of(settings, name)
    if trust:
        if not path.is_dir() or recut or any(value is not None for value in parts.values()):
            raise click.UsageError("--trust copies the index in a FOLDER as it is; leave the other options out")
        from vecsearch.maintenance.backups import take_copy

        n_bytes = take_copy(path, folder)
        if is_json:
            write_json({"index": str(folder), "n_bytes": n_bytes})
        else:
            write(f"{one_line(str(folder))}: copied, {n_bytes / 1e6:,.1f} MB, all of it verified\n")
        return
    n_lost = 0

    def tell(lost: LostDocument) -> None:
        nonlocal n_lost
        n_lost += 1
        shown = "a document" if lost.id is None else f"document {lost.id}"
        click.echo(one_line(f"Lost: {shown}: {lost.why}"), err=True)

    from vecsearch.maintenance.portable import documents_of_folder, read_documents, recorded_pipeline

    with ExitStack() as stack:
        make: Callable[[], Pipeline] | None = None
        if source != "-" and path.is_dir():
            documents = documents_of_folder(path, recut=recut, lost=tell)
            documents, first = _peeked(documents)
            recorded = recorded_pipeline(path) if not any(value is not None for value in parts.values()) else None
            if recorded is not None:
                make = lambda: recorded  # noqa: E731
        else:
            stream: BinaryIO = sys.stdin.buffer if source == "-" else stack.enter_context(path.open("rb"))
            documents, first = _peeked(read_documents(stream, source, recut=recut))
        if make is None and first is not None and first.vectors is not None:
            dim = first.vectors.shape[-1]
            parts = {"encoder": parts["encoder"], "precision": parts["precision"], "pca": parts["pca"]}
            make = lambda: _given(dim, parts)  # noqa: E731
        documents, sample = looked_at(documents)
        index = stack.enter_context(open_or_create(folder, parts, make, cache=cache, sample=sample))
        report = add_documents(index, documents, folder)
    summarize(folder, report, is_json)
    if n_lost:
        click.get_current_context().exit(1)


def _peeked(documents: Iterator[Document]) -> tuple[Iterator[Document], Document | None]:
    """Return the documents and the first of them, nothing of them consumed."""
    first = next(documents, None)
    return (iter(()), None) if first is None else (itertools.chain([first], documents), first)


def _given(dim: int, parts: Parts) -> Pipeline:
    from vecsearch.pipeline import GivenVectors

    return GivenVectors(dim, parts["encoder"] or "none", precision=parts["precision"])
