"""What there is to measure on, and how its kind is told from its content.

    a folder with corpus.jsonl[.gz]               Collection          documents, queries, judgments (BEIR)
    a table with sentence1, sentence2, label      Pairs               which pairs mean the same
    a table with anchor, positive, negative       Triples             which of two sentences means what a third does
    lines of four words after ": section"         Analogies           a is to b as c is to d (word2vec)
    lines of two words and a number               WordSimilarities    how alike two words are to people

Tables are tab-separated, with a header. Files are read strictly (see ``reading``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeAlias

from vecsearch.errors import UsageError
from vecsearch.evaluation.reading import broken, json_records, numbered_lines, table_rows
from vecsearch.types import Document

__all__ = [
    "Analogies",
    "Collection",
    "Dataset",
    "Pairs",
    "Triples",
    "WordSimilarities",
    "read_collection",
    "read_dataset",
]

_PAIRS = ("sentence1", "sentence2", "label")
_TRIPLES = ("anchor", "positive", "negative")
_RECORD = ("_id", "text")
_QRELS = ("query-id", "corpus-id", "score")


@dataclass(frozen=True)
class Collection:
    """Documents, queries and which documents answer them.

    Attributes:
        name: of the folder.
        corpus: the file of documents.
        doc_ids: of all documents.
        queries: text by id, of those queries that have a relevant document, in the order of their file.
        relevance: for each of these queries the grade of each judged document by id; relevant from 1 on.
    """

    kind: ClassVar[str] = "collection"
    name: str
    corpus: Path
    doc_ids: frozenset[str] = field(repr=False)
    queries: Mapping[str, str] = field(repr=False)
    relevance: Mapping[str, Mapping[str, int]] = field(repr=False)

    def documents(self) -> Iterator[Document]:
        """Yield the documents, read anew from the file."""
        for _, record in json_records(self.corpus, _RECORD):
            yield Document(id=record["_id"], text=record["text"], title=record.get("title") or "")


@dataclass(frozen=True)
class Pairs:
    """Pairs of sentences, each labelled 1 where both mean the same, else 0; ``ids`` name them."""

    kind: ClassVar[str] = "pairs"
    name: str
    ids: Sequence[str]
    sentences: Sequence[tuple[str, str]]
    labels: Sequence[int]


@dataclass(frozen=True)
class Triples:
    """Sentences with one that means the same and one that does not; ``ids`` name the triples."""

    kind: ClassVar[str] = "triples"
    name: str
    ids: Sequence[str]
    anchors: Sequence[str]
    positives: Sequence[str]
    negatives: Sequence[str]


@dataclass(frozen=True)
class Analogies:
    """Questions of four words by section, case-folded: the first is to the second as the third is to the fourth."""

    kind: ClassVar[str] = "analogies"
    name: str
    sections: Mapping[str, Sequence[tuple[str, str, str, str]]]


@dataclass(frozen=True)
class WordSimilarities:
    """Pairs of words, case-folded, each with how alike people found them."""

    kind: ClassVar[str] = "word similarity"
    name: str
    pairs: Sequence[tuple[str, str]]
    scores: Sequence[float]


Dataset: TypeAlias = Collection | Pairs | Triples | Analogies | WordSimilarities


def read_dataset(path: Path, *, queries: Path | None = None, qrels: Path | None = None) -> Dataset:
    """Read a data set, whichever kind it is.

    Args:
        path: a folder or a file.
        queries, qrels: for a collection, other files of queries and judgments than its own.

    Raises:
        LoadError: it is of no known kind, or broken; names file and line.
        UsageError: ``queries`` or ``qrels`` for a file.
    """
    if path.is_dir():
        return read_collection(path, queries=queries, qrels=qrels)
    if queries is not None or qrels is not None:
        raise UsageError(f"{path} is a file; queries and qrels belong to a collection, which is a folder")
    return _reader(path)(path)


def read_collection(folder: Path, *, queries: Path | None = None, qrels: Path | None = None) -> Collection:
    """Read a folder in the layout of BEIR.

    ``corpus.jsonl`` or ``corpus.jsonl.gz`` with objects ``{"_id", "title", "text"}``; ``queries.jsonl`` with
    ``{"_id", "text"}``; ``qrels.tsv``, or else ``qrels/test.tsv``, with the header query-id, corpus-id, score.

    Args:
        folder: with these files.
        queries, qrels: files to read instead, of another split.

    Raises:
        LoadError: a file is missing or broken, an id is there twice, or a judgment names an id that is not there.
    """
    corpus = _first_of(folder, "corpus.jsonl", "corpus.jsonl.gz")
    queries = queries or _first_of(folder, "queries.jsonl", "queries.jsonl.gz")
    qrels = qrels or _first_of(folder, "qrels.tsv", "qrels/test.tsv")
    doc_ids = _unique_ids(corpus, is_corpus=True)
    texts = _unique_ids(queries, is_corpus=False)
    judged: dict[str, dict[str, int]] = {}
    for line, row in table_rows(qrels, _QRELS):
        query, document = row["query-id"], row["corpus-id"]
        for found, there, home in ((query, texts, queries), (document, doc_ids, corpus)):
            if found not in there:
                raise broken(qrels, f"{found!r} is not an _id of {home}", line)
        grades = judged.setdefault(query, {})
        if document in grades:
            raise broken(qrels, f"query {query!r} and document {document!r} were judged before", line)
        try:
            grades[document] = int(row["score"])
        except ValueError:
            raise broken(qrels, f"the score is {row['score']!r}; it must be a whole number", line) from None
    relevance = {query: judged[query] for query in texts if max(judged.get(query, {}).values(), default=0) > 0}
    if not relevance:
        raise broken(qrels, "no query has a relevant document: one with a score of 1 or more")
    return Collection(
        name=folder.resolve().name,
        corpus=corpus,
        doc_ids=frozenset(doc_ids),
        queries={query: texts[query] for query in relevance},
        relevance=relevance,
    )


def _first_of(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise broken(
        folder,
        f"no {names[0]} in it; a collection is a folder with corpus.jsonl (or corpus.jsonl.gz), queries.jsonl and "
        f"qrels.tsv",
    )


def _unique_ids(path: Path, *, is_corpus: bool) -> dict[str, str]:
    """Return the texts by id; with ``is_corpus`` only the ids, for there may be many."""
    texts: dict[str, str] = {}
    for line, record in json_records(path, _RECORD):
        if record["_id"] in texts:
            raise broken(path, f"the _id {record['_id']!r} was there before", line)
        if not isinstance(record.get("title"), str | None):
            raise broken(path, f"'title' is {record['title']!r:.40}; it must be text", line)
        texts[record["_id"]] = "" if is_corpus else record["text"]
    if not texts:
        raise broken(path, "empty; each line must be a JSON object")
    return texts


def _reader(path: Path) -> Callable[[Path], Dataset]:
    first = next((line for _, line in numbered_lines(path)), "")
    columns = {name.strip() for name in first.split("\t")}
    if columns.issuperset(_PAIRS):
        return _read_pairs
    if columns.issuperset(_TRIPLES):
        return _read_triples
    if first.startswith(":"):
        return _read_analogies
    if len(first.split()) == 3 and _number(first.split()[2]) is not None:
        return _read_word_similarities
    raise broken(
        path,
        "of no known kind; expected a folder with corpus.jsonl, a tab-separated file with the header sentence1, "
        "sentence2, label or anchor, positive, negative, a file of analogies that begins with ': section', or lines of "
        f"two words and a number; it begins with {first!r:.80}",
    )


def _read_pairs(path: Path) -> Pairs:
    ids, sentences, labels = [], [], []
    for line, row in table_rows(path, _PAIRS):
        if row["label"] not in ("0", "1"):
            raise broken(path, f"the label is {row['label']!r}; it must be 0 or 1", line)
        ids.append(row.get("id", str(line)))
        sentences.append((row["sentence1"], row["sentence2"]))
        labels.append(int(row["label"]))
    if len(set(labels)) < 2:
        raise broken(path, "there must be pairs of both labels, 0 and 1")
    return Pairs(path.stem, ids, sentences, labels)


def _read_triples(path: Path) -> Triples:
    rows = [(row.get("id", str(line)), *(row[name] for name in _TRIPLES)) for line, row in table_rows(path, _TRIPLES)]
    if not rows:
        raise broken(path, "there is no triple in it")
    ids, anchors, positives, negatives = zip(*rows, strict=True)
    return Triples(path.stem, ids, anchors, positives, negatives)


def _read_analogies(path: Path) -> Analogies:
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    questions: list[tuple[str, str, str, str]] = []
    for line, text in numbered_lines(path):
        if text.startswith(":"):
            questions = sections.setdefault(text.removeprefix(":").strip(), [])
            continue
        words = text.casefold().split()
        if len(words) != 4:
            raise broken(path, f"{len(words)} words; a question has four: {text!r:.80}", line)
        a, b, c, d = words
        questions.append((a, b, c, d))
    if not any(sections.values()):
        raise broken(path, "there is no question in it")
    return Analogies(path.stem, sections)


def _read_word_similarities(path: Path) -> WordSimilarities:
    pairs, scores = [], []
    for line, text in numbered_lines(path):
        words = text.split()
        score = _number(words[-1])
        if len(words) != 3 or score is None:
            raise broken(path, f"expected two words and a number: {text!r:.80}", line)
        pairs.append((words[0].casefold(), words[1].casefold()))
        scores.append(score)
    return WordSimilarities(path.stem, pairs, scores)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
