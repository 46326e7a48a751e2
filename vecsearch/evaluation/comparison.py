"""Runs configurations on a data set, one result each, compared with the first.

Configurations that share a pipeline share the index. Indexes are made in a folder and can stay there: one that is
there already is brought up to date, so that a second evaluation of a large collection costs no second indexing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.errors import IndexNotFoundError, LoadError
from vecsearch.evaluation.configurations import Configuration
from vecsearch.evaluation.datasets import Analogies, Collection, Dataset, Pairs, Triples, WordSimilarities
from vecsearch.evaluation.extra import require
from vecsearch.evaluation.measures import Ranking, area_under_curve, rank_correlation, retrieval_measures
from vecsearch.evaluation.runs import bm25_rankings, search_rankings
from vecsearch.evaluation.sentences import outcomes_by_search, outcomes_by_similarity, similarities, triple_documents
from vecsearch.evaluation.significance import p_values
from vecsearch.evaluation.words import analogy_ranks, cosines, is_known, whole_words
from vecsearch.index import Index
from vecsearch.pipeline import Pipeline
from vecsearch.types import Document, Progress

if TYPE_CHECKING:
    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]

__all__ = ["BM25", "Result", "Workshop", "evaluate", "mean_measures"]

BM25 = "BM25 (bm25s)"
"""The label of the baseline."""


@dataclass(frozen=True)
class Result:
    """What one configuration reached on a data set.

    Attributes:
        label: of the configuration, or ``BM25``.
        configuration: None for the baseline BM25.
        n: queries, pairs, triples or questions measured.
        n_covered: of these, those that were searched or had words that the embedder knows.
        measures: by name; of retrieval and triples the mean over all.
        values: float64 ``(n,)`` by measure, for those that are means; these are what is tested.
        items: one JSON-ready record for each query, pair, triple or question.
        rankings: of a collection, by query.
        p_values: of each measure in ``values``, against the first result; None for the first.
    """

    label: str
    configuration: Configuration | None
    n: int
    n_covered: int
    measures: Mapping[str, float]
    values: Mapping[str, Doubles] = field(default_factory=dict, repr=False)
    items: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    rankings: Mapping[str, Ranking] = field(default_factory=dict, repr=False)
    p_values: Mapping[str, float] | None = None


@dataclass
class Workshop:
    """Builds pipelines and indexes once each. A context manager that closes the indexes.

    Args:
        folder: of the indexes, a sub-folder each; made when needed.
        indexed: told what has been committed of an index.
        searched: told how many queries of how many are done.
    """

    folder: Path
    indexed: Callable[[Progress], None] | None = None
    searched: Callable[[int, int], None] | None = None
    _pipelines: dict[str, Pipeline] = field(default_factory=dict, init=False, repr=False)
    _indexes: dict[str, Index] = field(default_factory=dict, init=False, repr=False)
    _open: ExitStack = field(default_factory=ExitStack, init=False, repr=False)

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def pipeline(self, configuration: Configuration) -> Pipeline:
        """Return the pipeline of a configuration."""
        label = configuration.pipeline_label
        if label not in self._pipelines:
            parts: dict[str, Any] = {**configuration.pipeline}
            self._pipelines[label] = Pipeline.from_names(**parts)
        return self._pipelines[label]

    def index(self, configuration: Configuration, documents: Callable[[], Iterator[Document]]) -> Index:
        """Return the index of a configuration's pipeline over some documents, and over no others.

        Raises:
            IdentityError: an index with this name is there, of another pipeline.
            See ``Index.create`` and ``Index.add``.
        """
        label = configuration.pipeline_label
        if label not in self._indexes:
            pipeline, folder = self.pipeline(configuration), self.folder / _folder_name(label)
            try:
                index = Index.open(folder, pipeline=pipeline)
            except IndexNotFoundError:
                index = Index.create(folder, pipeline=pipeline)
            self._open.enter_context(index)
            ids = set()

            def noted() -> Iterator[Document]:
                for document in documents():
                    ids.add(document.id)
                    yield document

            index.add(noted(), progress=self.indexed)
            index.delete([one.id for one in index.documents() if one.id not in ids])
            index.flush()
            self._indexes[label] = index
        return self._indexes[label]


def evaluate(
    dataset: Dataset, found: Sequence[Configuration], workshop: Workshop, *, bm25: bool = False, seed: int = 0
) -> Iterator[Result]:
    """Yield the result of each configuration, in their order; of ``bm25`` before them all.

    Args:
        dataset: what to measure on.
        found: the configurations; the parts that make no difference to the kind of data set must not be set.
        workshop: makes pipelines and indexes.
        bm25: whether to measure the baseline as well; for collections only.
        seed: of the test of significance.

    Raises:
        UsageError: an extra is not installed; a plugin or argument that does not exist.
        LoadError: the data set says nothing about this embedder, which knows too few of its words.
    """
    if isinstance(dataset, Collection):
        require("ir_measures")  # or it would be missed only when everything is indexed
    first: Result | None = None
    if bm25:
        assert isinstance(dataset, Collection)
        first = _retrieval(dataset, bm25_rankings(dataset, progress=workshop.searched), BM25, None)
        yield first
    for configuration in found:
        result = _result(dataset, configuration, workshop)
        if first is None:
            first = result
        else:
            result = replace(result, p_values=_compared(result, first, seed))
        yield result


def mean_measures(results: Sequence[Result]) -> dict[str, float]:
    """Return the mean of each measure over some data sets, all of which have it."""
    return {name: float(np.mean([one.measures[name] for one in results])) for name in results[0].measures}


def _compared(result: Result, first: Result, seed: int) -> dict[str, float]:
    if not result.values:
        return {}
    differences = np.stack([values - first.values[name] for name, values in result.values.items()], axis=1)
    return dict(zip(result.values, p_values(differences, seed=seed).tolist(), strict=True))


def _result(dataset: Dataset, configuration: Configuration, workshop: Workshop) -> Result:
    match dataset:
        case Collection():
            index = workshop.index(configuration, dataset.documents)
            rankings = search_rankings(index, dataset.queries, configuration.search, progress=workshop.searched)
            return _retrieval(dataset, rankings, configuration.label, configuration)
        case Pairs():
            return _pairs(dataset, configuration, workshop)
        case Triples():
            return _triples(dataset, configuration, workshop)
        case Analogies():
            return _analogies(dataset, configuration, workshop)
        case WordSimilarities():
            return _word_similarities(dataset, configuration, workshop)


def _retrieval(
    collection: Collection, rankings: Mapping[str, Ranking], label: str, configuration: Configuration | None
) -> Result:
    values = retrieval_measures(collection.relevance, rankings)
    items = [
        {"query": query, **{name: float(of_query[number]) for name, of_query in values.items()}}
        for number, query in enumerate(collection.queries)
    ]
    return Result(
        label=label,
        configuration=configuration,
        n=len(items),
        n_covered=sum(bool(rankings.get(query)) for query in collection.queries),
        measures={name: float(of_query.mean()) for name, of_query in values.items()},
        values=values,
        items=items,
        rankings=rankings,
    )


def _pairs(pairs: Pairs, configuration: Configuration, workshop: Workshop) -> Result:
    scores = similarities(workshop.pipeline(configuration), pairs.sentences)
    labels = np.array(pairs.labels, np.int64)
    return Result(
        label=configuration.label,
        configuration=configuration,
        n=len(labels),
        n_covered=len(labels),
        measures={"AUC": area_under_curve(scores, labels)},
        items=[
            {"pair": name, "label": label, "similarity": score}
            for name, label, score in zip(pairs.ids, pairs.labels, scores.tolist(), strict=True)
        ],
    )


def _triples(triples: Triples, configuration: Configuration, workshop: Workshop) -> Result:
    index = workshop.index(configuration, lambda: iter(triple_documents(triples)))
    values = {
        "accuracy by similarity": outcomes_by_similarity(workshop.pipeline(configuration), triples),
        "accuracy by search": outcomes_by_search(index, triples, configuration.search, progress=workshop.searched),
    }
    return Result(
        label=configuration.label,
        configuration=configuration,
        n=len(triples.ids),
        n_covered=len(triples.ids),
        measures={name: float(of_triple.mean()) for name, of_triple in values.items()},
        values=values,
        items=[
            {"triple": name, **{measure: float(of_triple[number]) for measure, of_triple in values.items()}}
            for number, name in enumerate(triples.ids)
        ],
    )


def _analogies(analogies: Analogies, configuration: Configuration, workshop: Workshop) -> Result:
    pipeline = workshop.pipeline(configuration)
    asked = [(section, question) for section, questions in analogies.sections.items() for question in questions]
    used = {word for _, question in asked for word in question}
    words = sorted(used | whole_words(pipeline))
    known = set(np.array(words, object)[is_known(pipeline, words)].tolist())
    covered = [(section, question) for section, question in asked if known.issuperset(question)]
    if not covered:
        raise LoadError(f"the embedder knows all four words of none of the {len(asked)} questions of {analogies.name}")
    ranks = analogy_ranks(pipeline, [question for _, question in covered], words)
    return Result(
        label=configuration.label,
        configuration=configuration,
        n=len(asked),
        n_covered=len(covered),
        measures={"first": float(np.mean(ranks == 1)), "in first 5": float(np.mean(ranks <= 5))},
        items=[
            {"section": section, "question": list(question), "rank": rank}
            for (section, question), rank in zip(covered, ranks.tolist(), strict=True)
        ],
    )


def _word_similarities(judged: WordSimilarities, configuration: Configuration, workshop: Workshop) -> Result:
    found = cosines(workshop.pipeline(configuration), judged.pairs).astype(np.float64)
    is_covered = np.isfinite(found)
    if is_covered.sum() < 2:
        raise LoadError(
            f"the embedder knows both words of {is_covered.sum()} of the {len(found)} pairs of {judged.name}; "
            f"a correlation needs two or more"
        )
    scores = np.array(judged.scores, np.float64)
    return Result(
        label=configuration.label,
        configuration=configuration,
        n=len(found),
        n_covered=int(is_covered.sum()),
        measures={"Spearman": rank_correlation(found[is_covered], scores[is_covered])},
        items=[
            {"words": list(pair), "score": score, "cosine": cosine if np.isfinite(cosine) else None}
            for pair, score, cosine in zip(judged.pairs, judged.scores, found.tolist(), strict=True)
        ],
    )


def _folder_name(label: str) -> str:
    """Return the name of one folder for a label, different for different labels."""
    name = re.sub(r"[^\w.=,:-]+", "-", label)[:100]
    # a name that had to be changed could be that of another label as well
    return name if name == label else f"{name}-{hashlib.blake2b(label.encode(), digest_size=4).hexdigest()}"
