"""Malformed documents, vectors, queries, filters, files and command lines: typed errors only, and the index intact.

Every case comes from a seed of its own: what fails is named by its number and can be run alone, by ``case(number)``.
``VECSEARCH_CAMPAIGN=long`` runs 50,000 cases instead of 2,000; ``VECSEARCH_CAMPAIGN_SEED`` gives others.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.campaign.hostile import (
    FILES,
    any_value,
    array,
    filter_text,
    mangled,
    numbers,
    options_of,
    query_text,
    sample,
    text,
    word,
)
from vecsearch import Document, GivenVectors, Index, Pipeline, SourceFile, VecsearchError, field
from vecsearch.cli.arrays import read_ids, read_offsets, read_vectors
from vecsearch.cli.program import program
from vecsearch.ingest import documents_from_stream, index_paths
from vecsearch.plugins import Registry

N_CASES = 50_000 if os.environ.get("VECSEARCH_CAMPAIGN") == "long" else 2_000
SEED = os.environ.get("VECSEARCH_CAMPAIGN_SEED", "1")
SECONDS = 60
"""What takes longer is called a hang. The slowest case takes a few."""
EVERY = 500
"""After so many cases the index is looked through."""
MOST_SHOWN = 20

KEPT = [
    Document(
        "git/undo",
        "How to undo a commit.\n\nThe dog bit the man.",
        "Undo",
        {"lang": "en", "year": 2020, "tags": ["a", "b"]},
    ),
    Document("odd \x00 id\n", "the lion slept \x1b[2J under a tree", metadata={"lang": "de", "author": {"name": "x"}}),
    *(
        Document(f"note-{number}", f"note {number} about a cat and a man", metadata={"year": number})
        for number in range(30)
    ),
]
GIVEN = [Document(f"v{number}", vectors=np.eye(16, dtype=np.float32)[number : number + 2]) for number in range(8)]

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(
        not hasattr(signal, "setitimer"), reason="a hang is told by an alarm, which this system has not"
    ),
]


class HangError(BaseException):
    """A case took too long."""


class World:
    """Indexes to be attacked, and a folder for files."""

    def __init__(self, folder: Path, pipeline: Pipeline) -> None:
        self.folder = folder
        self.indexes = folder / "indexes"
        self.files = folder / "files"
        self.files.mkdir()
        self.pipeline = pipeline
        self.registry = Registry()
        self.text = Index.create(self.indexes / "notes", pipeline=pipeline)
        self.text.add(KEPT)
        self.given = Index.create(self.indexes / "given", pipeline=GivenVectors(16))
        self.given.add(GIVEN)
        self.text.flush()

    def assert_intact(self) -> None:
        """Compare everything with what was put in, as these objects and new ones see it."""
        for index, documents in ((self.text, KEPT), (self.given, GIVEN)):
            assert index.verify() == []
            with Index.open(index.path, pipeline=index.pipeline, read_only=True) as again:
                for reader in (index, again):
                    assert [one.id for one in reader.documents()] == sorted(document.id for document in documents)
                    for document in documents:
                        found = reader.get(document.id)
                        assert found is not None
                        assert (found.text, found.title, found.metadata) == (
                            document.text,
                            document.title,
                            document.metadata,
                        )

    def restore(self) -> None:
        """Take away what attacks have added, by the public way, and put back what they replaced."""
        for index, documents in ((self.text, KEPT), (self.given, GIVEN)):
            ids = {document.id for document in documents}
            strange = [one.id for one in index.documents() if one.id not in ids]
            if strange:
                index.delete(strange)
            index.add(documents)


Attack = Callable[[World, random.Random], object]


def add_documents(world: World, rng: random.Random) -> object:
    def document() -> Any:
        if rng.random() < 0.05:
            return any_value(rng)
        vectors = None if rng.random() < 0.7 else array(rng, 16)
        return Document(
            id=sample(rng, text(rng), "x", "note-3"),
            text=sample(rng, text(rng), text(rng), word(rng)),
            title=sample(rng, "", text(rng)),
            metadata=sample(rng, {}, {text(rng)[:30]: text(rng)}, {"lang": any_value(rng)}),
            sections=sample(rng, (), (0,), (0, 1), (5, 2)),
            vectors=vectors,
            token_ids=None if rng.random() < 0.8 else numbers(rng),
        )

    index = rng.choice((world.text, world.text, world.given))
    return index.add([document() for _ in range(rng.randrange(1, 4))] if rng.random() < 0.95 else any_value(rng))


def search(world: World, rng: random.Random) -> object:
    options = options_of(rng)
    if rng.random() < 0.1:
        options["vectors"], options["token_ids"] = array(rng, 16), numbers(rng)
        return rng.choice((world.text, world.given)).search(**options)
    query = sample(rng, query_text(rng), query_text(rng), text(rng))
    if rng.random() < 0.1:
        return world.text.search_many(sample(rng, [query, "dog"], [], [query]), **options)
    return world.text.search(query, **options)


def filter_(world: World, rng: random.Random) -> object:
    where: Any = filter_text(rng)
    if rng.random() < 0.3:
        key = field(sample(rng, "lang", "year", "author.name"))
        value = sample(rng, "en", 5, ["en"], 2.5)
        makers = [
            lambda: key == value,
            lambda: key < value,
            lambda: key.in_(value),
            lambda: key.like(value),
            lambda: ~(key > value),
        ]
        where = rng.choice(makers)()
    return world.text.search("dog man", where=where)


def like(world: World, rng: random.Random) -> object:
    options = {
        name: value
        for name, value in options_of(rng).items()
        if name in ("k", "mode", "where", "by", "offset", "explain")
    }
    return world.text.like(sample(rng, "git/undo", "note-3", text(rng)), **options)


def look_up(world: World, rng: random.Random) -> object:
    index, name = rng.choice((world.text, world.given)), sample(rng, "git/undo", text(rng))
    calls: list[Callable[[], object]] = [
        lambda: index.get(name),
        lambda: list(index.documents(prefix=sample(rng, "", "note", text(rng)), limit=sample(rng, 1, 5, 0, None))),
        lambda: world.text.tokens(sample(rng, text(rng))),
        lambda: world.text.index_metadata(sample(rng, "lang", "a.b.c", filter_text(rng))),
        lambda: world.text.words(sample(rng, 1, 5, None)),
        lambda: index.metadata_types(),
        lambda: index.info(),
        lambda: world.pipeline.similarity(text(rng), text(rng)),
    ]
    return rng.choice(calls)()


def delete(world: World, rng: random.Random) -> object:
    return world.text.delete(sample(rng, [text(rng)], ["\x00", "no such"], []))


def make(world: World, rng: random.Random) -> object:
    """Open what is no index, make pipelines of nonsense."""
    calls: list[Callable[[], object]] = [
        lambda: Index.open(world.folder / mangled(rng, b"name").decode("utf-8", "replace").replace("/", "_")[:50]),
        lambda: Index.open(rng.choice((str(world.files), text(rng)[:50].replace("/", "_")))),
        lambda: Index.create(world.indexes / "notes", pipeline=world.pipeline),
        lambda: Pipeline.from_names(
            sample(rng, "word", text(rng)), sample(rng, "wordllama"), sample(rng, "none"), max_tokens=sample(rng, 32, 0)
        ),
        lambda: Pipeline.from_names(encoder=mangled(rng, b"relative:order=0.5,window=3").decode("utf-8", "replace")),
        lambda: GivenVectors(sample(rng, 3, 0), sample(rng, "none", "relative")),
    ]
    return rng.choice(calls)()


def load_file(world: World, rng: random.Random) -> object:
    suffix = rng.choice((".txt", ".md", ".rst", ".py", ".html", ".html", ".jsonl", ".jsonl", ".csv", ".csv", ".tsv"))
    content = mangled(rng, FILES[suffix])
    if rng.random() < 0.3:
        formats: Any = {".jsonl": "jsonl", ".csv": "csv"}.get(suffix, "text")
        given: dict[str, Any] = {"id": sample(rng, "x", None), "encoding": sample(rng, None, "latin-1", "utf-16")}
        return list(documents_from_stream(io.BytesIO(content), sample(rng, formats), **given))
    name = {".txt": "text", ".md": "markdown", ".rst": "rst", ".py": "code", ".html": "html", ".jsonl": "jsonl"}.get(
        suffix, "csv"
    )
    loader = world.registry.create(
        "loader", name, {"encoding": rng.choice((None, None, None, "latin-1", "utf-16", "cp1252"))}
    )
    source = SourceFile(f"x{suffix}", f"x{suffix}", lambda: io.BytesIO(content), len(content))
    return world.text.add(loader.load(source))


def index_folder(world: World, rng: random.Random) -> object:
    folder = world.files / f"folder-{rng.random()}"
    folder.mkdir()
    for number in range(rng.randrange(1, 4)):
        suffix = rng.choice(sorted(FILES))
        name = mangled(rng, b"file").replace(b"/", b"").replace(b"\0", b"")[:40] + str(number).encode()
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name + suffix.encode()))).write_bytes(
            mangled(rng, FILES[suffix])
        )
    if rng.random() < 0.05:
        (folder / "x.pdf").write_bytes(
            mangled(rng, b"%PDF-1.7\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\nxref\n%%EOF")
        )
    if rng.random() < 0.2:
        (folder / "link.txt").symlink_to("/etc/passwd")
    if rng.random() < 0.2:
        (folder / ".gitignore").write_bytes(mangled(rng, b"*.tmp\n!a/**/b\n/x[abc]\n\\ \n"))
    report = index_paths(world.text, [folder], glob=sample(rng, (), ("*",)) if rng.random() < 0.1 else ())
    assert not any("loader" in one.reason and "failed" in one.reason for one in report.skipped), report.skipped
    return report


def read_model(world: World, rng: random.Random) -> object:
    suffix = rng.choice((".npy", ".npy", ".safetensors", ".bin", ".vec", ".vec.gz", ".json", ".json"))
    path, words = world.files / f"model{suffix}", world.files / "words.txt"
    path.write_bytes(mangled(rng, FILES[suffix]))
    words.write_bytes(mangled(rng, b"dog\nman\ncat\n") if rng.random() < 0.3 else b"dog\nman\ncat\n")
    if suffix == ".json":
        tokenizer = world.registry.create("tokenizer", "subword", {"path": str(path)})
        tokenizer.vocabulary()
        return Pipeline(tokenizer, world.pipeline.embedder, world.pipeline.encoder).tokenize([text(rng), "dog man"])
    if suffix == ".npy" and rng.random() < 0.5:
        reads: list[Callable[[], object]] = [
            lambda: read_vectors(path),
            lambda: read_ids(path, 3),
            lambda: read_offsets(path, 3),
            lambda: world.registry.create("encoder", "learned", {"path": str(path)}),
        ]
        return rng.choice(reads)()
    given = {"path": str(path)} | ({"vocabulary": str(words)} if suffix in (".npy", ".safetensors") else {})
    return world.registry.create("embedder", "matrix", given).rows(
        ["dog", "Man", "nothing"], np.array([True, False, True])
    )


def run_command(world: World, rng: random.Random) -> object:
    """Run a command line in this process. It ends with an exit code of its own, and never with a traceback."""

    def one(*good: str) -> str:
        made = rng.choice(good) if rng.random() < 0.6 else rng.choice((text, query_text, filter_text))(rng)
        return (
            made.encode("utf-8", "surrogateescape" if rng.random() < 0.5 else "replace").decode(
                "utf-8", "surrogateescape"
            )
            if (made.isascii())
            else made
        )

    suffix = rng.choice(sorted(FILES))
    path = world.files / f"cli{suffix}"
    path.write_bytes(mangled(rng, FILES[suffix]))
    lines: list[list[str]] = [
        ["search", one("dog", "the man"), "-i", "notes", "-k", one("1", "5"), "--where", one('lang = "en"')],
        ["search", one("dog"), "-i", one("notes"), rng.choice(("--explain", "--full", "--exact", "--plain", "--json"))],
        ["search", "--queries", str(path), "-i", "notes", rng.choice(("--plain", "--json"))],
        ["search", "--vectors", str(path), "-i", rng.choice(("given", "notes"))],
        ["like", one("git/undo"), "-i", "notes", "--mode", one("vector", "keyword")],
        ["get", one("git/undo"), "-i", "notes"],
        ["list", "-i", "notes", "--prefix", one("note"), "--limit", one("1", "3")],
        ["delete", one("no such"), "-i", "given"],
        ["tokens", one("the dog"), "--tokenizer", one("word", "pieces", f"subword:path={path}")],
        ["add", str(path), "-i", "added", "--format", rng.choice(("jsonl", "csv", "text"))],
        ["add", "--vectors", str(path), "--id", one("x"), "-i", "given"],
        ["index", str(path), "-i", "added", "--glob", one("*")],
        ["eval", str(path), "-i", "notes"],
        ["train-tokenizer", str(path), "-o", str(world.files / "trained.json"), "--force", "--size", one("512")],
        [one("search", "list"), one("dog"), one("--json", "-k")],
    ]
    line = rng.choice(lines)
    if line[0] == "delete" and line[1] in {document.id for document in GIVEN}:
        return None
    shown = CliRunner().invoke(program, ["--indexes", str(world.indexes), *line], input=b"")
    raised = shown.exception
    if raised is not None and not isinstance(raised, SystemExit):
        raise raised
    assert shown.exit_code in (0, 1, 2), (line, shown.exit_code)
    assert "please report it" not in shown.stderr, (line, shown.stderr)
    assert "Traceback" not in shown.output, (line, shown.output)
    return shown


ATTACKS: list[Attack] = [
    *[add_documents] * 4, *[search] * 4, *[filter_] * 4, like, look_up, look_up, delete, make,
    *[load_file] * 4, index_folder, *[read_model] * 4, *[run_command] * 4,
]  # fmt: skip


def test_whatever_comes_in_gives_a_typed_error_and_leaves_the_index_intact(
    tmp_path: Path, default_pipeline: Pipeline, recwarn: pytest.WarningsRecorder
) -> None:
    world = World(tmp_path, default_pipeline)
    failures: dict[str, str] = {}
    n_refused = 0
    for number in range(N_CASES):
        attack, outcome = case(world, number)
        if isinstance(outcome, VecsearchError):
            n_refused += 1
            problem = unclear(outcome)
        else:
            problem = None if outcome is None else "".join(traceback.format_exception(outcome)[-6:])
        if problem:
            what = f"{attack}: {problem.strip().splitlines()[-1][:120]}"
            failures.setdefault(what, f"case {number} of seed {SEED}: {attack}\n{problem}")
        if number % EVERY == EVERY - 1 or number == N_CASES - 1:
            world.restore()
            world.assert_intact()
        if len(failures) >= MOST_SHOWN:
            break
    assert not failures, "\n\n".join(failures.values())
    assert N_CASES // 5 < n_refused < N_CASES  # the cases are neither all harmless nor all nonsense


def case(world: World, number: int) -> tuple[str, BaseException | None]:
    """Run a case; return the name of the attack and what it raised."""
    rng = random.Random(f"{SEED}-{number}")
    attack = rng.choice(ATTACKS)
    try:
        with alarm(SECONDS):
            attack(world, rng)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return attack.__name__, error
    return attack.__name__, None


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise HangError(f"it took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def unclear(error: VecsearchError) -> str | None:
    """Return what is wrong with an error that is right by its class."""
    if not error.message.strip():
        return f"{type(error).__name__} says nothing"
    if type(error).__name__ == "IndexDamagedError":
        return f"the index is called damaged: {error.message}"
    if "loader" in error.message and "failed" in error.message:
        return f"a loader's own error came out: {error.message}"
    if type(error).__name__ == "PluginError" and " failed in " in error.message:
        return f"a plugin's own error came out: {error.message}"
    return None


def test_an_attack_that_gets_through_is_seen(
    tmp_path: Path, default_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, default_pipeline)
    world.assert_intact()
    world.text.add([Document("note-1", "replaced")])
    with pytest.raises(AssertionError):
        world.assert_intact()
    world.restore()
    world.assert_intact()
    world.text.delete(["note-1"])
    with pytest.raises(AssertionError):
        world.assert_intact()

    def leaks(*_: object) -> Sequence[str]:
        raise KeyError("leak")

    monkeypatch.setattr(f"{__name__}.ATTACKS", [leaks])
    name, raised = case(world, 0)
    assert (name, type(raised)) == ("leaks", KeyError)
