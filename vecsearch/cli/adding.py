"""``vecsearch add``."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

import click

from vecsearch.cli.failures import Interrupted
from vecsearch.cli.indexes import folder_of, resolve
from vecsearch.cli.making import Parts, open_or_create
from vecsearch.cli.options import (
    cache_option,
    durability_option,
    encoding_option,
    index_metadata_option,
    index_or_new_option,
    json_option,
    memory_option,
    npy_option,
    pipeline_options,
)
from vecsearch.cli.output import counted, one_line, write, write_json
from vecsearch.cli.progress import Meter
from vecsearch.cli.settings import Settings, pass_settings
from vecsearch.errors import VectorsError

if TYPE_CHECKING:
    from vecsearch.index import Index
    from vecsearch.pipeline import Pipeline
    from vecsearch.stores.disk import Durability
    from vecsearch.types import AddReport, Document, Floats, Ids, Offsets

__all__ = ["add_command", "add_documents", "looked_at", "summarize"]

Format = Literal["jsonl", "csv", "text"]

_SUFFIXES: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}


@click.command(
    "add",
    epilog="""Examples:

\b
  cat mail.jsonl | vecsearch add - -i mail
  vecsearch add products.csv -i shop
  pdftotext paper.pdf - | vecsearch add - -i papers --id paper.pdf
  vecsearch add --vectors cat.npy --id cat.png -i images
  vecsearch add images.jsonl --vectors all.npy --offsets offsets.npy -i images""",
)
@click.argument(
    "source", metavar="[FILE|-]", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@index_or_new_option("the only one in DIR")
@click.option(
    "--format",
    type=click.Choice(["jsonl", "csv", "text"]),
    help="Format of FILE.  [default: by its suffix, else jsonl if it begins with {, else text]",
)
@click.option("--id", "doc_id", metavar="ID", help="Id of the one document.  [default for a text: FILE]")
@encoding_option
@npy_option("--vectors", help="Vectors of the documents, float32: (n_tokens, dim), or (n_documents, n_tokens, dim).")
@npy_option("--offsets", help="Where each document's vectors begin: integers (n_documents + 1,), from 0 to n_tokens.")
@npy_option("--token-ids", help="Token ids of the vectors, integers (n_tokens,) of 0 or more; rare ones weigh more.")
@pipeline_options
@index_metadata_option
@durability_option
@memory_option
@cache_option
@json_option("one object; index, n_documents, n_unchanged, n_removed, n_passages, n_tokens")
@pass_settings
def add_command(
    settings: Settings,
    source: str | None,
    name: str | None,
    format: Format | None,
    doc_id: str | None,
    encoding: str | None,
    vectors: Path | None,
    offsets: Path | None,
    token_ids: Path | None,
    parts: Parts,
    metadata_keys: tuple[str, ...],
    durability: Durability,
    memory: int,
    cache: bool,
    is_json: bool,
) -> None:
    """Add documents from a file or from stdin.

    JSONL: one object a line, {"id": ..., "text": ..., "title": ...}; all other fields become metadata. CSV: the same
    by column, the first row names them. Text: the whole of it is one document. A document with an id that the index
    has replaces that one.

    --vectors makes or extends an index of given vectors, from any model: those of one document, whose id is --id, or
    of many, whose ids, texts and metadata FILE gives in the same order. The numbers of a document are its tokens in
    their order; the length of a vector is its weight.
    """
    if vectors is None:
        if offsets is not None or token_ids is not None:
            raise click.UsageError("--offsets and --token-ids say what --vectors are of; give those too")
        if source is None:
            raise click.UsageError("name a FILE, or - for stdin")
    elif parts["tokenizer"] or parts["embedder"] or parts["max_tokens"] or parts["pca"]:
        raise click.UsageError(
            "given vectors need no tokenizer, embedder, passage length or PCA; leave those options out"
        )
    elif source is None and doc_id is None:
        raise click.UsageError("say which document the vectors are of: --id ID, or a FILE with the documents")
    if name is None:
        name = resolve(settings, None)
    folder = folder_of(settings, name)
    with ExitStack() as stack:
        documents: Iterator[Document] = iter(())
        if source is not None:
            stream = _stdin() if source == "-" else stack.enter_context(Path(source).open("rb"))
            documents = _documents(stream, source, format, doc_id, encoding)
        if vectors is not None:
            array, offset, ids = _read_arrays(vectors, offsets, token_ids)
            if source is None:
                from vecsearch.types import Document

                documents = iter([Document(str(doc_id))])
            documents = _with_vectors(documents, array, offset, ids)
            dim = array.shape[1]
            own = {"encoder": parts["encoder"], "precision": parts["precision"]}

            def given() -> Pipeline:
                from vecsearch.pipeline import GivenVectors

                return GivenVectors(dim, parts["encoder"] or "none", precision=parts["precision"])

            index = stack.enter_context(open_or_create(folder, own, given, durability=durability, memory=memory))
        else:
            documents, sample = looked_at(documents)
            index = stack.enter_context(
                open_or_create(folder, parts, durability=durability, memory=memory, cache=cache, sample=sample)
            )
        if metadata_keys:
            index.index_metadata(*metadata_keys)
        report = add_documents(index, documents, folder)
    summarize(folder, report, is_json)


def looked_at(documents: Iterator[Document]) -> tuple[Iterator[Document], Callable[[], Iterator[Document]]]:
    """Return the documents, and a function that yields the first of them before; none of them is lost by that."""
    held: list[Document] = []

    def sample() -> Iterator[Document]:
        for document in documents:
            held.append(document)
            yield document

    # subtle: what is held is looked at only when the documents are asked for, after the sample
    return itertools.chain(held, documents), sample


def add_documents(index: Index, documents: Iterator[Document], folder: Path) -> AddReport:
    """Add documents, with a line of progress.

    Raises:
        Interrupted: by Ctrl-C; says what was committed.
    """
    with Meter() as meter:
        try:
            report = index.add(documents, progress=meter)
            finish(index, folder)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Interrupted: {counted(meter.committed.n_documents, 'document')} committed in {folder}; run the same "
                "command again to go on, what is there already costs nothing."
            ) from None
    return report


def finish(index: Index, folder: Path) -> None:
    """Bring what was added into the form that is searched fastest; what fails then leaves it committed, and says so."""
    from vecsearch.stores.schema import after_commit

    with after_commit(folder):
        index.flush()


def summarize(folder: Path, report: AddReport, is_json: bool) -> None:
    """Write what was added."""
    if is_json:
        write_json({"index": str(folder), **report.to_dict()})
        return
    write(
        f"{one_line(str(folder))}: wrote {counted(report.n_documents, 'document')} ({report.n_unchanged:,} unchanged), "
        f"{counted(report.n_passages, 'passage')}, {counted(report.n_tokens, 'token')}\n"
    )


def _stdin() -> BinaryIO:
    if sys.stdin.isatty():
        click.echo("Reading from the terminal; end with Ctrl-D.", err=True)
    return sys.stdin.buffer


def _documents(
    stream: BinaryIO, source: str, format: Format | None, doc_id: str | None, encoding: str | None
) -> Iterator[Document]:
    from vecsearch.ingest import documents_from_stream

    stream, guessed = _guessed(stream, source)
    format = format or guessed
    if format == "text" and doc_id is None and source == "-":
        raise click.UsageError("a text needs an id: give --id ID, or say what stdin is with --format jsonl or csv")
    if format != "text" and doc_id is not None:
        raise click.UsageError(f"--id is for one text; the documents of {format} bring their own ids")
    return documents_from_stream(stream, format, id=doc_id or (None if source == "-" else source), encoding=encoding)


def _guessed(stream: BinaryIO, source: str) -> tuple[BinaryIO, Format]:
    """Return the stream and the format of what it holds, nothing of it consumed."""
    by_suffix = _SUFFIXES.get(Path(source).suffix.lower())
    if by_suffix is not None and source != "-":
        return stream, by_suffix
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", stream))
    start = buffered.peek(64)[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    return buffered, "jsonl" if start.startswith(b"{") else "text"


def _read_arrays(vectors: Path, offsets: Path | None, token_ids: Path | None) -> tuple[Floats, Offsets, Ids | None]:
    from vecsearch.cli.arrays import documents_apart, read_ids, read_offsets, read_vectors

    array = read_vectors(vectors, n_dims=(2,) if offsets else (2, 3))
    flat, apart = documents_apart(array, None if offsets is None else read_offsets(offsets, len(array)))
    return flat, apart, None if token_ids is None else read_ids(token_ids, len(flat))


def _with_vectors(
    documents: Iterator[Document], vectors: Floats, offsets: Offsets, ids: Ids | None
) -> Iterator[Document]:
    """Yield the documents, each with its vectors; as many of these as of those, or a VectorsError."""
    n_documents, n_given = 0, len(offsets) - 1
    for document in documents:
        n_documents += 1
        if n_documents > n_given:
            raise VectorsError(f"there are vectors for {n_given} documents, but more documents than that")
        part = slice(*offsets[n_documents - 1 : n_documents + 1].tolist())
        yield replace(document, vectors=vectors[part], token_ids=None if ids is None else ids[part])
    if n_documents < n_given:
        raise VectorsError(f"there are vectors for {n_given} documents, but only {n_documents} documents")
