"""``vecsearch verify``, ``repair``, ``compact``, ``migrate`` and ``doctor``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.indexes import folder_of, open_index, resolve
from vecsearch.cli.options import index_option, json_option, pipeline_options
from vecsearch.cli.output import counted, in_color, one_line, write, write_json
from vecsearch.cli.settings import Settings, pass_settings

if TYPE_CHECKING:
    from vecsearch.pipeline import Pipeline

__all__ = [
    "compact_command",
    "doctor_command",
    "migrate_command",
    "present",
    "repair_command",
    "verify_command",
]

_MENDING = {
    "compact": ("compact", ""),
    "repair": ("repair", ""),
    "restore": ("restore BACKUP", " --force"),
}
_COLORS = {"ok": "green", "warning": "yellow", "problem": "red"}


def present(settings: Settings, name: str | None) -> Path:
    """Return the folder of an index that may be so damaged that it is not listed; see ``resolve``."""
    if name is not None and (folder_of(settings, name).exists() or folder_of(settings, f"{name}.ready").exists()):
        return folder_of(settings, name)
    return folder_of(settings, resolve(settings, name))


def _command(settings: Settings, mend: str, folder: Path) -> str:
    words, options = _MENDING[mend]
    where = "" if settings.indexes == Path("indexes") else f"--indexes {shlex.quote(str(settings.indexes))} "
    return f"vecsearch {where}{words} -i {shlex.quote(folder.name)}{options}"


@click.command(
    "verify",
    epilog="""Examples:

\b
  vecsearch verify -i notes
  vecsearch verify --deep -i notes --json""",
)
@index_option
@click.option("--deep", is_flag=True, help="Read every file and every row, and count everything again.")
@json_option("one object; path, is_sound, is_deep, mend, command, damages (what, place, mend, document)")
@pass_settings
def verify_command(settings: Settings, name: str | None, deep: bool, is_json: bool) -> None:
    """Check whether an index is what was written.

    Without --deep: SQLite's quick check, sizes and CRCs of the files, and whether the tables agree. Names every damaged
    file and document, and the command that mends them. The exit code is 1 where anything is damaged. Works on indexes
    that cannot be opened, and changes nothing; `vecsearch info` tells when it was and what it found.
    """
    from vecsearch.maintenance.verifying import verify

    folder = present(settings, name)
    found = verify(folder, deep=deep)
    command = None if found.mend is None else _command(settings, found.mend, folder)
    if is_json:
        write_json({**found.to_dict(), "command": command})
    elif found.is_sound:
        write(f"{one_line(str(folder))}: sound{'' if deep else '; --deep reads everything'}\n")
    else:
        for damage in found.damages:
            write(f"{one_line(damage.what)}\n")
        write(f"{one_line(str(folder))}: {counted(len(found.damages), 'damage')}; mended by: {command}\n")
    if not found.is_sound:
        click.get_current_context().exit(1)


@click.command(
    "repair",
    epilog="""Examples:

\b
  vecsearch repair -i notes
  vecsearch repair --drop -i notes""",
)
@index_option
@click.option("--drop", is_flag=True, help="Leave out the documents that cannot be had back.")
@pipeline_options
@json_option(
    "one object; path, action (none, accepted, compacted, rebuilt, finished), n_documents, lost, kept, damages, holes"
)
@pass_settings
def repair_command(
    settings: Settings,
    name: str | None,
    drop: bool,
    parts: dict[str, Any],
    is_json: bool,
) -> None:
    """Make a damaged index whole again.

    Where only files of vectors are damaged, they are written anew. Where the database is, all that can be read of it
    makes a new index beside the old one: keywords, counts and vectors come from the texts again. It is verified before
    it takes the place of the old one, whose folder is kept; its name is told. Documents that cannot be had back are
    named, and nothing is changed unless --drop says to go on without them.

    Where the last commits are lost, it goes on without them.

    The options of the pipeline are needed only where the index does not know any more how it was made.
    """
    from vecsearch.maintenance.repairing import repair

    folder = present(settings, name)
    done = repair(folder, drop=drop, pipeline=_pipeline(parts))
    if is_json:
        write_json(done.to_dict())
        return
    for lost in done.lost:
        shown = "a document" if lost.id is None else f"document {lost.id}"
        click.echo(one_line(f"Lost: {shown}: {lost.why}"), err=True)
    documents = counted(done.n_documents, "document")
    said = {
        "none": "sound, nothing to repair",
        "accepted": "goes on without the commits that are lost",
        "compacted": "all segments were written anew",
        "rebuilt": "rebuilt",
        "finished": "the repair that was interrupted is finished",
    }
    write(f"{one_line(str(folder))}: {said[done.action]}; {documents}\n")
    if done.kept is not None:
        write(f"The damaged index is kept: {one_line(str(done.kept))}\n")
    if any(lost.file is not None or lost.id is None for lost in done.lost):
        write("`vecsearch index` with the folder that was indexed reads lost documents again from their files.\n")


def _pipeline(parts: dict[str, Any]) -> Pipeline | None:
    given = {part: value for part, value in parts.items() if value is not None}
    if "pca" in given:
        raise click.UsageError("the manifest says whether vectors are reduced; leave --pca out")
    if not given:
        return None
    from vecsearch.pipeline import Pipeline

    return Pipeline.from_names(**given)


@click.command(
    "compact",
    epilog="""Examples:

\b
  vecsearch compact -i notes""",
)
@index_option
@json_option("one object; path, n_segments, n_dead_rows, bytes: each before and after")
@pass_settings
def compact_command(settings: Settings, name: str | None, is_json: bool) -> None:
    """Write all files of vectors anew.

    Drops what deleted documents left, merges what many small additions left, and mends damaged or missing files: they
    are made from the database. Searches go on meanwhile. How deep a large index is searched is measured anew.
    """
    with open_index(settings, name, read_only=False) as index:
        before = _sizes(index.info())
        index.compact()
        after = _sizes(index.info())
        path = index.path
    if is_json:
        write_json({"path": str(path), "before": before, "after": after})
        return
    write(
        f"{one_line(str(path))}: {counted(before['n_segments'], 'segment')} to {after['n_segments']:,}, "
        f"{counted(before['n_dead_rows'], 'dead row')} to {after['n_dead_rows']:,}, "
        f"{before['bytes'] / 1e6:,.1f} to {after['bytes'] / 1e6:,.1f} MB\n"
    )


def _sizes(facts: dict[str, Any]) -> dict[str, int]:
    return {
        "n_segments": facts["n_segments"],
        "n_dead_rows": facts["n_dead_rows"],
        "bytes": sum(facts["bytes"].values()),
    }


@click.command(
    "migrate",
    epilog="""Examples:

\b
  vecsearch migrate --dry-run -i notes
  vecsearch migrate -i notes""",
)
@index_option
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option("one object; path, from, to, is_done")
@pass_settings
def migrate_command(settings: Settings, name: str | None, dry_run: bool, is_json: bool) -> None:
    """Bring an index of an older format to the newest.

    Older formats are read as they are, and brought up to date by the first command that writes; this does only that. It
    is one transaction: interrupted, it leaves the index as it was. An older vecsearch cannot read the index afterwards.
    """
    from vecsearch.stores.copying import migrate
    from vecsearch.stores.creation import read_manifest

    folder = folder_of(settings, resolve(settings, name))
    read_manifest(folder)  # refuses what is damaged, or newer than this program
    before, after = migrate(folder, dry_run=dry_run)
    is_done = before != after and not dry_run
    if is_json:
        write_json({"path": str(folder), "from": before, "to": after, "is_done": is_done})
    elif before == after:
        write(f"{one_line(str(folder))}: format {before} is the newest\n")
    else:
        verb = "brought" if is_done else "would be brought"
        write(f"{one_line(str(folder))}: {verb} from format {before} to {after}\n")


@click.command(
    "doctor",
    epilog="""Examples:

\b
  vecsearch doctor
  vecsearch --indexes /mnt/share doctor --json""",
)
@json_option("one object; is_well, findings (name, status: ok, warning or problem, message, facts)")
@pass_settings
def doctor_command(settings: Settings, is_json: bool) -> None:
    """Look at the machine: versions, plugins, and the disk under DIR.

    Which of Python, vecsearch, FAISS, NumPy and SQLite there are; which plugins load, and why others do not; whether
    DIR may be written, is on a network file system, has space, and syncs; which indexes are being written. The exit
    code is 1 where something fails. Of an index itself, `vecsearch verify` tells.
    """
    from vecsearch.maintenance.doctor import examine_machine

    findings = list(examine_machine(settings.indexes))
    is_well = all(one.status != "problem" for one in findings)
    if is_json:
        write_json({"is_well": is_well, "findings": [one.to_dict() for one in findings]})
    else:
        is_colored = settings.colors()
        for one in findings:
            status = in_color(f"{one.status:7}", is_colored, fg=_COLORS[one.status])
            write(f"{status}  {one.name}: {one_line(one.message)}\n")
    if not is_well:
        click.get_current_context().exit(1)
