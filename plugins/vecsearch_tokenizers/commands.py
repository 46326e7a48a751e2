"""The command ``vecsearch train-tokenizer``. The tokenizers library is imported when it runs."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import click

from vecsearch import UsageError

__all__ = ["read_texts", "train_tokenizer"]

_CHUNK = 1 << 20
_LONGEST_LINE = 1 << 26
"""Characters of a line that are held at once: of text, a longer one is cut; of JSONL, it is left out."""
_SMALLEST, _LARGEST = 512, 1_000_000  # as in training.py, which is imported only when the command runs


@click.command(
    "train-tokenizer",
    epilog="""Example:

\b
  vecsearch train-tokenizer ~/notes --kind bpe --size 8000 -o notes.json""",
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(exists=True, path_type=Path))
@click.option("--kind", type=click.Choice(["bpe", "unigram"]), default="bpe", show_default=True, help="How to learn.")
@click.option(
    "--size",
    type=click.IntRange(_SMALLEST, _LARGEST),
    default=8000,
    show_default=True,
    help="Entries of the vocabulary, 257 of them bytes and <unk>.",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write."
)
@click.option(
    "--fold-case/--keep-case", default=True, show_default=True, help="Whether upper and lower case are alike."
)
@click.option("--force", is_flag=True, help="Overwrite the output file.")
def train_tokenizer(paths: tuple[Path, ...], kind: str, size: int, output: Path, fold_case: bool, force: bool) -> None:
    """Learn a subword vocabulary from text files, folders and JSONL.

    Folders are read with all below them, hidden files left out; of a .jsonl file, the field "text" of each line.
    Use the vocabulary with: --tokenizer subword:path=FILE
    """
    if output.exists() and not force:
        raise UsageError(f"{output} exists; choose another name, or overwrite it with --force", path=str(output))
    from vecsearch_tokenizers.training import train

    def say(message: str) -> None:
        click.echo(_printable(message), err=True)

    reported = 0

    def report(n_characters: int) -> None:
        nonlocal reported
        if n_characters - reported >= 10_000_000:
            reported = n_characters
            say(f"{n_characters:,} characters read")

    tokenizer = train(
        read_texts(paths, say, leave_out=output),
        kind="bpe" if kind == "bpe" else "unigram",
        size=size,
        fold_case=fold_case,
        progress=report,
    )
    _write(output, tokenizer.to_str(pretty=True))
    say(f"{tokenizer.get_vocab_size():,} entries learnt")
    click.echo(_printable(str(output)))


def read_texts(paths: Sequence[Path], say: Callable[[str], None], *, leave_out: Path | None = None) -> Iterator[str]:
    """Yield the texts of files and of all files below folders, in the order of their names, a megabyte at a time.

    Args:
        paths: files and folders; hidden files and folders below a folder are left out.
        say: gets a line for each file that is left out, with the reason.
        leave_out: a file that is never read: the one that will be written.

    Links to files below a folder are left out, so that nothing outside of it is read.
    """
    for path in _files(paths, say):
        if leave_out is not None and path.absolute() == leave_out.absolute():
            continue
        try:
            reason = _unreadable(path)
            if reason is None and path.suffix.lower() == ".jsonl":
                yield from _jsonl_texts(path, say)
            elif reason is None:
                with path.open(encoding="utf-8-sig") as file:
                    while text := file.read(_CHUNK):
                        yield text + file.readline(_LONGEST_LINE)  # words are whole
        except (OSError, UnicodeDecodeError) as error:
            reason = str(error)
        if reason is not None:
            say(f"skipped {path}: {reason}")


def _files(paths: Sequence[Path], say: Callable[[str], None]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                file = Path(folder, name)
                if name.startswith("."):
                    continue
                if file.is_symlink():
                    say(f"skipped {file}: link, not followed")
                elif file.is_file():
                    yield file


def _unreadable(path: Path) -> str | None:
    """Return why a file is not text, or None; reads all of it, so that no half of a file is learnt from."""
    if not path.is_file():  # a pipe could be read only once, or never
        return "not a regular file"
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if b"\0" in chunk:
                return "not text (it holds NUL bytes)"
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return "not UTF-8 text"
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "not UTF-8 text"
    return None


def _jsonl_texts(path: Path, say: Callable[[str], None]) -> Iterator[str]:
    n_skipped = 0
    with path.open(encoding="utf-8-sig") as file:
        while line := file.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE and not line.endswith("\n"):
                n_skipped += 1
                while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith("\n"):
                    pass
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            text = record.get("text") if isinstance(record, dict) else None
            if isinstance(text, str):
                yield text
            elif not line.isspace():
                n_skipped += 1
    if n_skipped:
        say(f'skipped {n_skipped:,} lines of {path}: not a JSON object with a "text"')


def _printable(text: str) -> str:
    r"""Return text with what would act on a terminal escaped: names of files are strangers'.

    Example:
        >>> _printable("naïve\x1b[2J")
        'naïve\\x1b[2J'
    """
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _write(output: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(output)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(output)) from error  # the user knows only this name
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
