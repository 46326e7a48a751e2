"""``vecsearch eval``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from vecsearch.cli.options import Model, Spec, json_option, model_option
from vecsearch.cli.output import flush, json_line, one_line, visible, write, write_json
from vecsearch.cli.progress import Meter

if TYPE_CHECKING:
    from vecsearch.evaluation.comparison import Result
    from vecsearch.evaluation.configurations import Configuration
    from vecsearch.evaluation.datasets import Dataset

__all__ = ["eval_command"]

Function = TypeVar("Function", bound=Callable[..., Any])

_PIPELINE = ("tokenizer", "embedder", "encoder")
_SEARCH = ("mode", "scorer", "order", "fusion", "rerank", "n_rerank")
_USED: Mapping[str, Sequence[str]] = {
    "collection": (*_PIPELINE, *_SEARCH, "precision", "keep", "bm25", "trec"),
    "triples": (*_PIPELINE, *_SEARCH, "precision", "keep"),
    "pairs": _PIPELINE,
    "analogies": ("embedder",),
    "word similarity": ("embedder",),
}
"""The options that make a difference to each kind of data set; a kind refuses the others."""
_ORDERED = ("none", "sinusoidal", "rotary", "relative:order=0.3", "relative:order=0.5")
"""The encoders that ``--compare`` tries on sentences, which are about word order."""


def _parts(command: Function) -> Function:
    """Add the options that say what is compared, each of them to be given as often as wanted."""
    specs = {
        "tokenizer": "Tokenizer, name or name:key=value,…  [default: word]",
        "encoder": "Positional encoder, likewise.  [default: what suits the model]",
        "scorer": "Scorer, likewise.  [default: the one that suits the embedder]",
    }
    choices = {
        "precision": (("fp32", "fp16", "int8"), "How exactly contextual vectors are kept.  [default: int8]"),
        "mode": (("hybrid", "vector", "keyword"), "What to search by.  [default: hybrid]"),
        "order": (("default", "none", "strict"), "How much word order counts.  [default: default]"),
        "fusion": (("zscore", "rrf"), "How a hybrid search fuses its scores.  [default: zscore]"),
    }
    for name, (values, help) in reversed(choices.items()):
        command = click.option(f"--{name}", multiple=True, type=click.Choice(values), help=help)(command)
    for name, help in reversed(specs.items()):
        command = click.option(f"--{name}", multiple=True, type=Spec(), metavar="SPEC", help=help)(command)
    for option in (
        click.option(
            "--rerank-top",
            "n_rerank",
            multiple=True,
            type=click.IntRange(1, 1_000),
            metavar="N",
            help="How many of the best are rescored.  [default: 20]",
        ),
        click.option(
            "--rerank",
            multiple=True,
            type=Model(),
            metavar="SPEC",
            help="Contextual model that rescores the best hits; none for none.  [default: none]",
        ),
    ):
        command = option(command)
    return model_option("wordllama", multiple=True)(command)


@click.command(
    "eval",
    epilog="""DATASET is one of

\b
  a folder of corpus.jsonl, queries.jsonl, qrels.tsv    nDCG@10, MAP, recall
  a table headed sentence1, sentence2, label            AUC of similarities
  a table headed anchor, positive, negative             accuracy
  lines of four words below ": section"                 analogies answered
  lines of two words and a number                       Spearman correlation

Tables are tab-separated. Ranking is measured by an extra: pip install 'vecsearch[eval]'.

Examples:

\b
  vecsearch eval scifact
  vecsearch eval scifact --bm25 --mode keyword --mode vector --mode hybrid
  vecsearch eval pairs.tsv --encoder none --encoder relative:order=0.5
  vecsearch eval scifact --rerank none --rerank minilm --rerank-top 10 --rerank-top 20
  vecsearch eval scifact --compare --json""",
)
@click.argument("dataset", type=click.Path(exists=True, path_type=Path))
@click.option("--queries", type=click.Path(path_type=Path), metavar="FILE", help="Other queries than the folder's own.")
@click.option("--qrels", type=click.Path(path_type=Path), metavar="FILE", help="Other judgments than the folder's own.")
@_parts
@click.option("--compare", is_flag=True, help="Try what there is of the parts that are not given.")
@click.option("--bm25", is_flag=True, help="Measure the baseline BM25 of bm25s first.")
@click.option(
    "--per-query",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write the measures of each query, pair or question, as JSON lines.",
)
@click.option(
    "--trec",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write the rankings as a TREC run; NAME-1, NAME-2, ... where there are several.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the indexes in a folder, and use those that are there.  [default: a temporary folder]",
)
@json_option("one object a configuration and line; dataset, configuration, n, measures, p_values")
def eval_command(
    dataset: Path,
    queries: Path | None,
    qrels: Path | None,
    compare: bool,
    bm25: bool,
    per_query: Path | None,
    trec: Path | None,
    keep: Path | None,
    is_json: bool,
    **parts: Sequence[Any],
) -> None:
    """Measure how well search does on a data set.

    Prints a Markdown table with a row for each configuration: every combination of the parts given, the last option
    changing fastest. Parts given more than once are compared with each other. The first row is what the others are
    tested against: * marks a difference with p < .05 by a two-sided paired randomisation test.

    With --compare, parts that are not given are varied: all modes and installed scorers with the encoders none and
    relative for a folder, all kinds of encoders for sentences.
    """
    from vecsearch.evaluation.comparison import Workshop, evaluate
    from vecsearch.evaluation.configurations import configurations
    from vecsearch.evaluation.datasets import Collection, read_dataset

    judged = read_dataset(dataset, queries=queries, qrels=qrels)
    given = {**parts, "bm25": bm25, "trec": trec, "keep": keep}
    _check_use(judged.kind, [name for name, value in given.items() if value])
    wanted = configurations({**_everything(judged.kind), **_given(parts)} if compare else parts)
    n_rows = len(wanted) + bm25
    if trec is not None:
        from vecsearch.evaluation.runs import check_trec_ids

        assert isinstance(judged, Collection)
        check_trec_ids(judged)
    with ExitStack() as stack:
        # opened before anything is measured, so that a wrong name is not noticed only after an hour
        items = None if per_query is None else stack.enter_context(_writing(per_query))
        runs = [stack.enter_context(_writing(path)) for path in _numbered(trec, n_rows)]
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vecsearch-eval-")))
        counter = stack.enter_context(_Counter())
        meter = stack.enter_context(Meter())
        workshop = stack.enter_context(Workshop(folder, meter, counter))
        for number, result in enumerate(evaluate(judged, wanted, workshop, bm25=bm25)):
            counter.clear()
            _write_result(judged, result, number == 0, is_json)
            if items is not None:
                items.writelines(json_line({"configuration": result.label, **item}) + "\n" for item in result.items)
            if runs:
                from vecsearch.evaluation.runs import trec_lines

                runs[number].writelines(trec_lines(result.rankings, result.label))
    if n_rows > 1 and not is_json and judged.kind in ("collection", "triples"):
        from vecsearch.evaluation.tables import NOTE

        click.echo(NOTE, err=True)


class _Counter:
    """Shows on a terminal's stderr how many queries are done."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> _Counter:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __call__(self, n_done: int, n: int) -> None:
        if self._is_shown:
            sys.stderr.write(f"\r\x1b[K{n_done:,}/{n:,} queries")
            sys.stderr.flush()

    def clear(self) -> None:
        """Make room for the next row."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _check_use(kind: str, given: Sequence[str]) -> None:
    wrong = [name for name in given if name not in _USED[kind]]
    if wrong:
        names = " and ".join(f"--{name}" for name in wrong)
        raise click.UsageError(f"{names} makes no difference to a data set of the kind {kind!r}; leave it out")


def _given(parts: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    return {name: values for name, values in parts.items() if values}


def _everything(kind: str) -> dict[str, Sequence[str]]:
    """Return what ``--compare`` tries of each part."""
    from vecsearch.plugins import Registry

    if kind == "collection":
        return {
            "encoder": ["relative", "none"],
            "mode": ["hybrid", "vector", "keyword"],
            "scorer": Registry().names("scorer"),
        }
    if kind in ("pairs", "triples"):
        return {"encoder": _ORDERED}
    raise click.UsageError(
        f"--compare has nothing to compare on a data set of the kind {kind!r}; give --embedder twice"
    )


def _numbered(path: Path | None, n: int) -> list[Path]:
    """Return the path itself, or for several files its name with a number before the suffix."""
    if path is None:
        return []
    return [path] if n == 1 else [path.with_stem(f"{path.stem}-{number}") for number in range(1, n + 1)]


@contextmanager
def _writing(path: Path) -> Iterator[TextIO]:
    with open(path, "w", encoding="utf-8") as file:
        yield file


def _write_result(dataset: Dataset, result: Result, is_first: bool, is_json: bool) -> None:
    if is_json:
        write_json(_described(dataset, result))
    else:
        from vecsearch.evaluation.tables import header, row

        write((visible(header(dataset, result)) if is_first else "") + one_line(row(result).rstrip("\n")) + "\n")
    flush()


def _described(dataset: Dataset, result: Result) -> dict[str, Any]:
    configuration: Configuration | None = result.configuration
    return {
        "dataset": dataset.name,
        "kind": dataset.kind,
        "configuration": result.label,
        "pipeline": None if configuration is None else dict(configuration.pipeline),
        "search": None if configuration is None else dict(configuration.search),
        "n": result.n,
        "n_covered": result.n_covered,
        "measures": dict(result.measures),
        "p_values": None if result.p_values is None else dict(result.p_values),
    }
