"""``--rerank`` and what belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vecsearch.cli.options import Model

if TYPE_CHECKING:
    from vecsearch.reranking import Reranker, RerankReport

__all__ = ["RerankNotes", "rerank_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def rerank_options(command: Command) -> Command:
    """Add ``rerank``, ``n_rerank`` and ``budget``, in milliseconds."""
    options: list[Callable[[Command], Command]] = [
        click.option(
            "--rerank",
            type=Model(),
            metavar="SPEC",
            help="Rescore the best hits with a contextual model such as minilm: name, name:key=value,… or the path "
            "of a model.",
        ),
        click.option(
            "--rerank-top",
            "n_rerank",
            type=click.IntRange(1, 1_000),
            default=20,
            metavar="N",
            show_default=True,
            help="How many of the best are rescored; the others follow in their order.",
        ),
        click.option(
            "--rerank-budget",
            "budget",
            type=click.FloatRange(min=0, min_open=True),
            metavar="MS",
            help="Rescore as many of them, best first, as there is time for in so many milliseconds, a start of the "
            "model not counted.  [default: all]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


class RerankNotes:
    """Remembers what was rescored for each query, to say so.

    Args:
        model: of ``--rerank``.
        budget: of ``--rerank-budget``, milliseconds.
    """

    def __init__(self, model: str | None, budget: float | None) -> None:
        if model is None and budget is not None:
            raise click.UsageError("--rerank-budget limits --rerank; give that too, such as --rerank minilm")
        self._model = model
        self._budget = budget
        self._reports: list[RerankReport] = []

    def reranker(self) -> Reranker | None:
        """Start the model; None where none was given."""
        if self._model is None:
            return None
        from vecsearch.reranking import Reranker

        budget = None if self._budget is None else self._budget / 1_000
        return Reranker(self._model, budget=budget, told=self._reports.append)

    def of(self, number: int) -> dict[str, Any]:
        """Return what the JSON of each hit of a query has beside the hit: ``rerank``, where it was asked for."""
        return {} if self._model is None else {"rerank": self._reports[number].to_dict()}

    def say(self) -> None:
        """Write to stderr where the budget was over before everything was rescored."""
        cut = [report for report in self._reports if report.is_cut]
        if not cut:
            return
        if len(self._reports) == 1:
            said = f"{cut[0].n_rescored} of {cut[0].n} hits were rescored"
        else:
            fewest = min(report.n_rescored for report in cut)
            said = f"of {len(cut)} of {len(self._reports)} queries not all hits were rescored, but {fewest} or more"
        click.echo(f"The time of --rerank-budget was over: {said}.", err=True)
