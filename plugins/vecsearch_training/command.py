"""The command ``vecsearch train``. NumPy, SciPy and the engine are imported when it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import click

__all__ = ["train_command"]

_EVERY = 0.2  # seconds between two looks of the line


@click.command(
    "train",
    epilog="""Examples:

\b
  vecsearch train ~/notes -o notes.model
  vecsearch similar commit --model ./notes.model
  vecsearch index ~/notes --model ./notes.model
  vecsearch train src docs --glob '*.py' --glob '*.md' --tokenizer subword -o code.model
  vecsearch train ~/notes --from wordllama -o adapted.model""",
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--output", required=True, metavar="FOLDER", type=click.Path(path_type=Path), help="The folder to write."
)
@click.option(
    "--tokenizer",
    type=click.Choice(["word", "subword"]),
    default="word",
    show_default=True,
    help="Learn rows of whole words, or of pieces of words, which are learned first.",
)
@click.option(
    "--from",
    "base",
    metavar="EMBEDDER",
    help="Adapt the rows of an embedder, such as wordllama, which then also serves words that the text does not have.",
)
@click.option(
    "--dim", type=click.IntRange(2, 4096), help="Numbers of a row.  [default: 256; with --from, those of the embedder]"
)
@click.option(
    "--window", type=click.IntRange(1, 50), default=5, show_default=True, help="Tokens to either side that are near."
)
@click.option("--min-count", type=click.IntRange(min=1), default=5, show_default=True, help="Rarer words get no row.")
@click.option(
    "--words", type=click.IntRange(2, 2_000_000), default=100_000, show_default=True, help="Most words to learn."
)
@click.option(
    "--pieces",
    type=click.IntRange(512, 1_000_000),
    default=16_000,
    show_default=True,
    help="Entries of the vocabulary, with --tokenizer subword.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is random; the same gives the same.")
@click.option("--glob", "globs", multiple=True, metavar="PATTERN", help="Only files that match; may be repeated.")
@click.option("--exclude", "excludes", multiple=True, metavar="PATTERN", help="No files that match; may be repeated.")
@click.option("--hidden", is_flag=True, help="Hidden files as well.")
@click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    default=50_000_000,
    show_default=True,
    metavar="BYTES",
    help="Skip files in folders that are larger than this.",
)
@click.option("--encoding", metavar="NAME", help="Encoding of the text.  [default: UTF-8, or what a BOM says]")
@click.option("--force", is_flag=True, help="Overwrite a model of that name.")
def train_command(
    paths: tuple[Path, ...],
    output: Path,
    tokenizer: Literal["word", "subword"],
    base: str | None,
    dim: int | None,
    window: int,
    min_count: int,
    words: int,
    pieces: int,
    seed: int,
    globs: tuple[str, ...],
    excludes: tuple[str, ...],
    hidden: bool,
    max_bytes: int,
    encoding: str | None,
    force: bool,
) -> None:
    """Learn a matrix of words from your own text alone.

    Words in the same contexts have similar meanings: how often words stand near each other is counted, weighed by
    positive pointwise mutual information and reduced by a singular value decomposition. Files and folders are read
    as `vecsearch index` reads them. Needs the extra vecsearch[train]. Ctrl-C leaves nothing behind. Use the folder
    with: --model ./FOLDER
    """
    if base is not None and dim is not None:
        raise click.UsageError("--from says how many numbers a row has; leave --dim out")
    from vecsearch import read_documents
    from vecsearch_training.model import learn, refuse_taken

    refuse_taken(output, overwrite=force)
    skipped: dict[str, str] = {}
    line = _Line()

    def texts() -> Iterator[str]:
        for document in read_documents(
            paths,
            glob=globs,
            exclude=excludes,
            hidden=hidden,
            max_bytes=max_bytes,
            encoding=encoding,
            skipped=skipped.__setitem__,
            progress=lambda done, of: line("reading", done / max(1, of)),
        ):
            yield f"{document.title}\n{document.text}" if document.title else document.text

    with line:
        model = learn(
            texts,
            tokenizer=tokenizer,
            dim=dim or 256,
            window=window,
            min_count=min_count,
            most_words=words,
            n_pieces=pieces,
            base=base,
            seed=seed,
            stage=line,
        )
        model.save(output, overwrite=force)
    for path, reason in skipped.items():
        click.echo(_printable(f"skipped {path}: {reason}"), err=True)
    n_known = int((model.entries.counts > 0).sum())
    click.echo(
        f"{n_known:,} {'words' if tokenizer == 'word' else 'pieces'} of {model.rows.shape[1]} numbers, learned from "
        f"{model.settings['n_tokens']:,} tokens",
        err=True,
    )
    click.echo(_printable(str(output)))


class _Line:
    """Says on a terminal's stderr what is being done and how far it is."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._drawn = 0.0

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, what: str, share: float) -> None:
        now = time.monotonic()
        if not self._is_shown or (now - self._drawn < _EVERY and 0 < share < 1):
            return
        self._drawn = now
        n_filled = int(20 * min(1.0, share))
        sys.stderr.write(f"\r\x1b[K[{'#' * n_filled}{'.' * (20 - n_filled)}] {what} {min(1.0, share):.0%}")
        sys.stderr.flush()


def _printable(text: str) -> str:
    r"""Return text with what would act on a terminal escaped: names of files are strangers'.

    Example:
        >>> _printable("naïve\x1b[2J")
        'naïve\\x1b[2J'
    """
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
