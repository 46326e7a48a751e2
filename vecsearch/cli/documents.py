"""``vecsearch get``, ``list`` and ``delete``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, TextIO

import click

from vecsearch.cli import indexes
from vecsearch.cli.options import durability_option, index_option, json_option
from vecsearch.cli.output import columns, counted, one_line, visible, write, write_exactly, write_json
from vecsearch.cli.settings import Settings, pass_settings
from vecsearch.errors import DocumentError, VecsearchError

if TYPE_CHECKING:
    from vecsearch.index import Index
    from vecsearch.stores.disk import Durability

__all__ = ["delete_command", "get_command", "list_command"]


@click.command(
    "get",
    epilog="""Examples:

\b
  vecsearch get git/undo.md -i notes
  vecsearch get git/undo.md -i notes --json""",
)
@click.argument("doc_id", metavar="DOC_ID")
@index_option
@json_option("one object; id, title, text, metadata")
@pass_settings
def get_command(settings: Settings, doc_id: str, name: str | None, is_json: bool) -> None:
    """Print the text of a document.

    Into a pipe or a file it goes exactly as it is; on a terminal, control characters in it are shown, not sent.
    """
    with indexes.open_index(settings, name) as index:
        document = index.get(doc_id)
        if document is None:
            raise _unknown(index, [doc_id])
    if is_json:
        fields = {"id": document.id, "title": document.title, "text": document.text}
        write_json({**fields, "metadata": dict(document.metadata)})
    elif sys.stdout.isatty():
        write(visible(document.text) + ("" if document.text.endswith("\n") else "\n"))
    else:
        write_exactly(document.text)


@click.command(
    "list",
    epilog="""Examples:

\b
  vecsearch list
  vecsearch list -i notes --prefix git/ --limit 20""",
)
@index_option
@click.option("--prefix", metavar="TEXT", help="Only documents whose id begins so.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many documents.  [default: all]")
@json_option("one object a line")
@pass_settings
def list_command(settings: Settings, name: str | None, prefix: str | None, limit: int | None, is_json: bool) -> None:
    """List the indexes, or the documents of one.

    With -i, --prefix or --limit: the documents of an index in the order of their ids. Else all indexes.
    """
    if name is None and prefix is None and limit is None:
        _list_indexes(settings, is_json)
        return
    with indexes.open_index(settings, name) as index:
        documents = index.documents(prefix=prefix or "", limit=limit)
        if is_json:
            for document in documents:
                write_json(document.to_dict())
            return
        heading: tuple[str, ...] = ("passages", "tokens", "characters", "id", "title")
        # a page at a time, so that a long listing begins at once
        while page := list(islice(documents, 1000)):
            rows = [
                (f"{one.n_passages:,}", f"{one.n_tokens:,}", f"{one.n_characters:,}", one.id, one.title[:80])
                for one in page
            ]
            write("".join(line + "\n" for line in columns(rows, heading=heading, right="rrrll")))
            heading = ()


def _list_indexes(settings: Settings, is_json: bool) -> None:
    found = list(_counts(settings))
    if is_json:
        for counts in found:
            write_json(counts)
    elif found:
        fields = ("n_documents", "n_passages", "n_tokens")
        rows = [
            [str(counts["name"]), *(f"{counts[field]:,}" if field in counts else "-" for field in fields)]
            for counts in found
        ]
        lines = columns(rows, heading=("index", "documents", "passages", "tokens"), right="lrrr")
        write("".join(line + "\n" for line in lines))
    else:
        place = one_line(str(settings.indexes))
        click.echo(f"There is no index in {place}; make one with `vecsearch index PATH`.", err=True)
    for counts in found:
        if "message" in counts:
            click.echo(f"{one_line(str(counts['name']))}: {one_line(str(counts['message']))}", err=True)


def _counts(settings: Settings) -> Iterator[dict[str, object]]:
    for name in indexes.names(settings.indexes):
        try:
            with indexes.open_index(settings, name) as index:
                facts = index.info()
        except VecsearchError as error:  # one damaged index must not hide the others
            yield {"name": name, **error.to_dict()}
        else:
            yield {"name": name, **{field: facts[field] for field in ("n_documents", "n_passages", "n_tokens")}}


@click.command(
    "delete",
    epilog="""Examples:

\b
  vecsearch delete git/undo.md git/redo.md -i notes
  vecsearch list -i mail --prefix 2019/ --json | jq -r .id | vecsearch delete --from-file - -i mail""",
)
@click.argument("doc_ids", nargs=-1, metavar="DOC_ID...")
@click.option(
    "--from-file", type=click.File(encoding="utf-8"), metavar="FILE", help="Read more ids, one a line; - for stdin."
)
@index_option
@durability_option
@json_option("one object; n_deleted, unknown")
@pass_settings
def delete_command(
    settings: Settings,
    doc_ids: tuple[str, ...],
    from_file: TextIO | None,
    name: str | None,
    durability: Durability,
    is_json: bool,
) -> None:
    """Delete documents by id.

    All in one commit. Ids that the index does not have are named on stderr; if it has none of them, nothing has been
    done and the exit code is 1. A file that is still there is indexed again by the next `vecsearch index`.
    """
    wanted = list(doc_ids)
    if from_file is not None:
        try:
            wanted += [line for line in from_file.read().splitlines() if line]
        except UnicodeDecodeError as error:
            raise DocumentError(f"the file of ids is not UTF-8: {error.reason} at byte {error.start}") from error
    wanted = list(dict.fromkeys(wanted))
    if not wanted:
        raise click.UsageError("name the documents to delete by id, or give --from-file")
    with indexes.open_index(settings, name, read_only=False, durability=durability) as index:
        unknown = [doc_id for doc_id in wanted if not _has(index, doc_id)]
        if len(unknown) == len(wanted):
            raise _unknown(index, unknown)
        n_deleted = index.delete(wanted)
    if is_json:
        write_json({"n_deleted": n_deleted, "unknown": unknown})
        return
    for doc_id in unknown:
        click.echo(f"Not in the index: {one_line(doc_id)}", err=True)
    write(f"Deleted {counted(n_deleted, 'document')}.\n")


def _has(index: Index, doc_id: str) -> bool:
    # documents come in the order of their ids, and no id sorts before its own prefix
    return any(found.id == doc_id for found in index.documents(prefix=doc_id, limit=1))


def _unknown(index: Index, doc_ids: list[str]) -> DocumentError:
    named = ", ".join(repr(doc_id[:80]) for doc_id in doc_ids[:3]) + (", …" if len(doc_ids) > 3 else "")
    return DocumentError(
        f"no document with the id {named} is in {index.path}; `vecsearch list -i "
        f"{index.path.name}` shows those that are",
        ids=doc_ids,
    )
