"""README.md, docs/guide.md and indexes/FORMAT.md, carried out: their blocks run, and what they print is compared."""

from __future__ import annotations

import difflib
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.docs.blocks import ROOT, Part, Session, matches, parse
from tests.docs.documents import DEMO, DOCUMENTS, demo_block, run_demo, run_document
from vecsearch import __version__, errors


def drift(parts: list[Part]) -> str:
    """Return what differs, as a diff a command; empty where all is as documented."""
    shown = []
    for part in parts:
        if not part.is_right:
            lines = difflib.unified_diff(
                part.expected.splitlines(), part.seen.splitlines(), "documented", "seen", lineterm=""
            )
            shown.append(f"$ {part.command}\n" + "\n".join(lines))
    return "\n\n".join(shown)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_blocks_print_what_the_document_says(name, tmp_path):
    parts, namespace = run_document(name, tmp_path / "session")
    assert parts
    assert not drift(parts), "run `make docs`, then read what it changed"
    if name == "indexes/FORMAT.md":
        check_vectors_read_without_vecsearch(namespace, tmp_path / "session" / "home" / "indexes" / "notes")


def check_vectors_read_without_vecsearch(namespace, folder: Path) -> None:
    from vecsearch import Index

    with Index.open(folder, read_only=True) as index:
        (dogs,) = [document for document in index.documents() if document.id == "pets/dogs.md"]
        stored = index.get(dogs.id)
        title_and_text = f"{stored.title}\n{stored.text}"
        expected = index.pipeline.encode([title_and_text])[0]
    np.testing.assert_allclose(namespace["vectors"], expected, atol=1e-5)


def documented_columns() -> dict[str, list[tuple[str, str]]]:
    text = (ROOT / "indexes" / "FORMAT.md").read_text("utf-8")
    tables = re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", text, re.DOTALL | re.MULTILINE)
    return {name: re.findall(r"^\| `(\w+)` \| ([A-Z]+) \|", body, re.MULTILINE) for name, body in tables}


def test_format_names_every_table_and_column_of_the_database(tmp_path):
    from sqlite_utils import Database

    from vecsearch.stores.schema import migrations

    db = Database(memory=True)
    migrations.apply(db)
    # FTS5 keeps its index in tables of its own
    tables = [name for name in db.table_names() if not name.startswith(("_sqlite", "keywords"))]
    columns = {
        table: [(row[1], row[2]) for row in db.execute(f"PRAGMA table_info({table})").fetchall()] for table in tables
    }
    assert documented_columns() == columns


def test_format_names_the_current_version_and_thresholds():
    from vecsearch.stores.schema import FORMAT_VERSION
    from vecsearch.stores.upkeep import FLUSH_TOKENS, SEGMENT_TOKENS

    text = (ROOT / "indexes" / "FORMAT.md").read_text("utf-8")
    assert text.startswith(f"# Format of an index, version {FORMAT_VERSION}\n")
    assert f"{SEGMENT_TOKENS:,} new tokens or more" in text
    assert f"({FLUSH_TOKENS:,} when the writer asks for it)" in text


def test_format_describes_every_byte_of_a_segment(tmp_path):
    from vecsearch.stores.disk import Disk
    from vecsearch.stores.segments import write_segment

    rows = re.findall(
        r"^\| (\d+) \| ([\d ·\w]+) \| ", (ROOT / "indexes" / "FORMAT.md").read_text("utf-8"), re.MULTILINE
    )
    places = [int(place) for place, _ in rows]
    sizes = [int(size) for _, size in rows[:-1]]
    assert [place + size for place, size in zip(places, sizes, strict=False)] == places[1:]
    assert rows[-1] == ("64", "4 · n_vectors · dim")
    vectors = np.eye(3, 5, dtype=np.float32)
    record = write_segment(Disk(tmp_path), vectors)
    content = (tmp_path / record.file).read_bytes()
    fields = struct.unpack_from("<19s4siqqqBiQ", content)
    assert (fields[0], fields[1], fields[2], fields[3]) == (b"vecsearch segment\n\x01", b"IxFI", 5, 3)
    assert (fields[6], fields[7], fields[8]) == (1, 0, 15)
    assert content[64:] == vectors.tobytes()


def test_format_has_the_checksum_that_rows_carry(tmp_path):
    from vecsearch.stores.schema import checksum

    (block, _) = [block for block in parse((ROOT / "indexes" / "FORMAT.md").read_text("utf-8")) if block.is_run][:2]
    namespace: dict[str, object] = {}
    exec(block.text, namespace)
    documented = namespace["checksum"]
    for values in ((), ("",), ("ä", 1, b"\0\xff"), (7, "1:a")):
        assert documented(*values) == checksum(*values)  # type: ignore[operator]


def test_guide_lists_every_error_code():
    guide = (ROOT / "docs" / "guide.md").read_text("utf-8")
    for name in errors.__all__:
        code = getattr(errors, name).code
        if code not in ("error", "index"):  # the two that are only raised as one of their kinds
            assert f"`{code}`" in guide, code
            assert f"`{name}`" in guide, name


def test_guide_lists_every_key_of_a_hit():
    from vecsearch import Hit, Match

    hit = Hit(1.0, "d", 0, "t", 0, 1, 1, 1, matches=(Match(0, 1, 0, 1, 1.0),)).to_dict()
    guide = (ROOT / "docs" / "guide.md").read_text("utf-8")
    table = guide[guide.index("| key | meaning |") : guide.index("`matches` names for each query token")]
    assert set(re.findall(r"`(\w+)`", table)) >= {*hit, *hit["matches"][0], "rank"}


def test_guide_shows_the_help_of_every_command():
    from click import Context

    from vecsearch.cli.program import program

    guide = (ROOT / "docs" / "guide.md").read_text("utf-8")
    shown = re.findall(r"^\$ vecsearch (?:([\w-]+) )?--help$", guide, re.MULTILINE)
    own = list(program.list_commands(Context(program)))
    assert shown == ["", *own]


def test_links_of_the_documents_lead_somewhere():
    for name in (*DOCUMENTS, "docs/plugins.md", "docs/decisions.md", "docs/benchmarks.md", "CHANGELOG.md"):
        text = re.sub(r"^```.*?^```$", "", (ROOT / name).read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            if "://" in target:
                continue
            file = (ROOT / name).parent / path if path else ROOT / name
            assert file.exists(), f"{name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
                assert anchor in anchors, f"{name}: {target}"


def test_readme_has_at_most_200_lines():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 200


def test_readme_shows_the_searches_that_the_demo_makes():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (recipe,) = re.findall(r"^demo:.*?(?=^\w)", makefile, re.DOTALL | re.MULTILINE)
    assert "python -m vecsearch.demo | $(BIN)/vecsearch add - --index python-reference" in recipe
    (queries,) = re.findall(r"for query in (.*?); do", recipe)
    _, block = demo_block()
    commands = re.findall(r"^\$ (.*)$", block.text, re.MULTILINE)
    assert commands == [
        "make demo",
        *(f'vecsearch search "{query}" --index python-reference -k 2' for query in re.findall(r'"(.*?)"', queries)),
    ]
    assert DEMO.replace("python", "$(BIN)/python", 1).replace("vecsearch add", "$(BIN)/vecsearch add") in recipe


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the recorded output is that of Python 3.11's reference")
def test_demo_prints_what_the_readme_says(tmp_path):
    document, _ = demo_block()
    parts = run_demo(Session(tmp_path / "demo"), document)
    assert not drift(parts), "run `python docs/refresh.py --demo`, then read what it changed"


def test_changelog_has_this_version():
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_outputs_match_within_a_tolerance_and_no_further():
    assert matches("28.334  a.md:3\n", "28.3  a.md:3\n")
    assert not matches("28.334  a.md:3\n", "28.6  a.md:3\n")
    assert not matches("28.334  a.md:3\n", "28.334  a.md:4\n")
    assert matches("a\nb\nc\n", "...\nc\n")
    assert not matches("a\nb\n", "a\n")


def test_differing_output_is_drift(tmp_path):
    session = Session(tmp_path / "session")
    parts = session.run(
        "```console\n$ echo one\none\n$ echo two\nthree\n```\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n"
    )
    assert [part.is_right for part in parts] == [True, False, True]
    assert "-three\n+two" in drift(parts)


def test_failing_command_is_not_taken_for_output(tmp_path):
    with pytest.raises(AssertionError, match="exit code 3"):
        Session(tmp_path / "session").run("```console\n$ echo one; exit 3\none\n```\n")
