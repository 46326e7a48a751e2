"""The commands of bad days, as a person types them: every command that a message names exists and does what it says."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import click.testing
import pytest
from click.testing import CliRunner

import vecsearch
from tests.data import make_golden
from tests.integration.test_durability import change, flip
from vecsearch import Document, Index, IndexDamagedError, Pipeline, StorageError, VecsearchError
from vecsearch.cli.program import program
from vecsearch.stores import upkeep
from vecsearch.stores.disk import Disk
from vecsearch.stores.schema import FORMAT_VERSION


@pytest.fixture
def indexes(tmp_path: Path, default_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(upkeep, "SEGMENT_TOKENS", 50)
    with Index.create(tmp_path / "indexes" / "notes", pipeline=default_pipeline) as index:
        for number in range(0, 40, 10):
            index.add(
                Document(f"{one}", f"note {one}: the dog bit the man at dusk. " * (one % 5 + 1), title=f"Note {one}")
                for one in range(number, number + 10)
            )
    return tmp_path / "indexes"


def run(indexes: Path, *arguments: str, stdin: str | bytes = "") -> click.testing.Result:
    return CliRunner().invoke(program, ["--indexes", str(indexes), *arguments], input=stdin)


def done(indexes: Path, *arguments: str, stdin: str | bytes = "") -> Any:
    """Run a command with --json and return the object that it wrote."""
    result = run(indexes, *arguments, "--json", stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def hits(indexes: Path, name: str = "notes") -> list[tuple[str, int, float]]:
    result = run(indexes, "search", "a man and a dog", "-i", name, "-k", "30", "--json")
    assert result.exit_code == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return [(hit["doc_id"], hit["passage"], round(hit["score"], 4)) for hit in found]


def commands_in(message: str) -> list[list[str]]:
    """Return the commands that a message names, without the program's name."""
    return [shlex.split(text)[1:] for text in re.findall(r"`(vecsearch [^`]*)`", message)]


def test_every_command_that_the_source_names_exists_with_its_options() -> None:
    named = {
        found
        for path in Path(vecsearch.__file__).parent.rglob("*.py")
        for found in re.findall(r"`vecsearch ([a-z][a-z-]*)([^`\n]*)`", path.read_text("utf-8"))
    }
    assert {"verify", "repair", "restore", "compact", "index"} <= {name for name, _ in named}
    for name, rest in named:
        command = program.get_command(click.Context(program), name)
        assert command is not None, name
        options = {option for parameter in command.params for option in parameter.opts}
        given = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest))
        assert given <= options, (name, given - options)


def overwrite_a_page(folder: Path) -> None:
    with sqlite3.connect(folder / "meta.db") as db:
        statement = "SELECT pageno FROM dbstat WHERE name = 'passages_by_embedded' AND pagetype = 'leaf'"
        (page,) = db.execute(statement).fetchone()
    db.close()
    with open(folder / "meta.db", "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped byte in a segment": lambda folder: flip(next(iter(folder.glob("*.segment"))), 100),
    "deleted segment": lambda folder: next(iter(folder.glob("*.segment"))).unlink(),
    "damaged page": overwrite_a_page,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_index_is_had_back_with_the_commands_that_messages_name(
    indexes: Path, damage: Callable[[Path], object]
) -> None:
    before = hits(indexes)
    damage(indexes / "notes")
    failed = run(indexes, "search", "a man and a dog", "-i", "notes")
    assert failed.exit_code == 1
    named = commands_in(failed.stderr)
    assert 1 <= len(named) <= 2
    for words in named:
        result = run(indexes, *words)
        assert result.exit_code == (1 if words[0] == "verify" else 0), result.stderr
    assert run(indexes, "verify", "--deep", "-i", "notes").exit_code == 0
    assert hits(indexes) == before


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_verify_names_a_command_that_mends_what_it_found(indexes: Path, damage: Callable[[Path], object]) -> None:
    before = hits(indexes)
    damage(indexes / "notes")
    result = run(indexes, "verify", "--deep", "-i", "notes", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["is_sound"], len(found["damages"]) > 0) == (1, False, True)
    shown = run(indexes, "verify", "--deep", "-i", "notes").stdout
    assert shown.endswith(f"mended by: {found['command']}\n")
    program_name, *words = shlex.split(found["command"])
    assert program_name == "vecsearch"
    assert CliRunner().invoke(program, words).exit_code == 0
    assert hits(indexes) == before


def test_an_interrupted_migration_is_taken_up_by_the_next_command(tmp_path: Path) -> None:
    shutil.copytree(make_golden.DATA / "golden-1" / "vectors", tmp_path / "old")
    assert done(tmp_path, "migrate", "--dry-run", "-i", "old")["is_done"] is False
    script = (
        "import os, sys; from pathlib import Path; from vecsearch.stores import copying, writing\n"
        "apply = type(writing.migrations).apply\n"
        "def dying(*a, **k):\n    apply(*a, **k); os.kill(os.getpid(), 9)\n"
        "type(writing.migrations).apply = dying\n"
        "copying.migrate(Path(sys.argv[1]), dry_run=False)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "old")], check=False, capture_output=True)
    assert killed.returncode == -9
    assert run(tmp_path, "verify", "--deep", "-i", "old").exit_code == 0
    assert done(tmp_path, "migrate", "-i", "old") == {
        "path": str(tmp_path / "old"),
        "from": 1,
        "to": FORMAT_VERSION,
        "is_done": True,
    }
    assert (
        run(tmp_path, "migrate", "-i", "old").stdout == f"{tmp_path / 'old'}: format {FORMAT_VERSION} is the newest\n"
    )


def test_repair_names_what_is_lost_and_where_the_damaged_index_is(indexes: Path) -> None:
    change(indexes / "notes", "UPDATE documents SET title = 'x' WHERE doc_id = '7'")
    refused = run(indexes, "repair", "-i", "notes")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "1 document of index" in refused.stderr
    assert json.loads(run(indexes, "repair", "-i", "notes", "--json").stderr)["lost"][0]["id"] == "7"
    (drop,) = [words for words in commands_in(refused.stderr) if "--drop" in words]
    result = run(indexes, *drop)
    assert result.exit_code == 0
    assert "Lost: document 7: " in result.stderr
    assert "rebuilt; 39 documents" in result.stdout
    # the folder that was kept is no index that commands would choose
    assert [json.loads(line)["name"] for line in run(indexes, "list", "--json").stdout.splitlines()] == ["notes"]
    (kept,) = indexes.glob("notes.damaged-*")
    assert run(kept, "get", "8", "-i", "notes").exit_code == 0
    assert done(indexes, "repair", "-i", "notes")["action"] == "none"


def test_an_interrupted_replacement_is_told_and_finished(indexes: Path) -> None:
    before = hits(indexes)
    (indexes / "notes.ready").mkdir()
    (indexes / "notes").rename(indexes / "notes.ready" / "notes")
    failed = run(indexes, "search", "dog", "-i", "notes")
    assert failed.exit_code == 1
    (words,) = commands_in(failed.stderr)
    assert done(indexes, *words)["action"] == "finished"
    assert hits(indexes) == before
    assert [path.name for path in indexes.iterdir()] == ["notes"]


def test_compact_drops_what_deleted_documents_left(indexes: Path) -> None:
    run(indexes, "delete", *map(str, range(20)), "-i", "notes")
    counts = done(indexes, "compact", "-i", "notes")
    assert counts["before"]["n_dead_rows"] > 0
    assert counts["after"]["n_dead_rows"] == 0
    assert counts["after"]["bytes"] < counts["before"]["bytes"]
    assert run(indexes, "compact", "-i", "notes").stdout.startswith(f"{indexes / 'notes'}: ")


def test_info_has_what_a_monitor_asks_for(indexes: Path) -> None:
    run(indexes, "verify", "-i", "notes")
    facts = done(indexes, "info", "-i", "notes")
    assert facts["last_verified"]["n_damages"] == 0
    assert (facts["format_version"], facts["newest_format_version"]) == (FORMAT_VERSION,) * 2
    assert facts["bytes_free"] > 0
    assert len(facts["segments"]) == facts["n_segments"] > 1
    assert {"generation", "n_documents", "n_fresh_tokens", "n_dead_rows", "bytes"} <= facts.keys()
    shown = run(indexes, "info", "-i", "notes").stdout
    assert re.search(r"^n_dead_rows +0$", shown, re.MULTILINE)
    assert "sha256" not in shown


def test_backup_and_restore(indexes: Path, tmp_path: Path) -> None:
    before = hits(indexes)
    target = str(tmp_path / "backup")
    first = done(indexes, "backup", target, "-i", "notes")
    assert first["n_copied"] == first["n_files"]
    assert done(indexes, "backup", target, "-i", "notes")["n_copied"] == 0
    run(indexes, "delete", "1", "-i", "notes")
    refused = run(indexes, "restore", target, "-i", "notes")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    restored = done(indexes, "restore", target, "-i", "notes", "--force")
    assert hits(indexes) == before
    assert Path(restored["kept"]).is_dir()
    assert "restored" in run(indexes, "restore", target).stdout
    assert hits(indexes, "backup") == before
    missing = run(indexes, "restore", str(tmp_path), "-i", "other")
    assert "there is no backup in" in missing.stderr


def test_export_and_import_give_the_same_hits(indexes: Path, tmp_path: Path) -> None:
    before = hits(indexes)
    target = tmp_path / "notes.jsonl"
    assert run(indexes, "export", str(target), "-i", "notes").stderr == f"Wrote 40 documents to {target}.\n"
    piped = run(indexes, "export", "-i", "notes")
    assert piped.stdout == target.read_text("utf-8")
    assert done(indexes, "import", str(target), "-i", "again")["n_documents"] == 40
    assert done(indexes, "import", "-", "-i", "piped", stdin=piped.stdout_bytes)["n_documents"] == 40
    assert done(indexes, "import", str(indexes / "notes"), "-i", "folder")["n_documents"] == 40
    assert done(indexes, "import", str(indexes / "notes"), "-i", "trusted", "--trust")["n_bytes"] > 0
    for name in ("again", "piped", "folder", "trusted"):
        assert hits(indexes, name) == before
    assert done(indexes, "import", str(target), "-i", "again")["n_unchanged"] == 40
    other = done(indexes, "import", str(target), "-i", "other", "--passage-tokens", "16", "--recut")
    assert other["n_passages"] > 40
    assert run(indexes, "import", "-").exit_code == 2
    assert run(indexes, "import", str(target), "--trust").exit_code == 2


@pytest.mark.parametrize(
    ("error", "is_told"), [(errno.EIO, True), (errno.ENOSPC, True), (errno.EINVAL, False), (errno.EACCES, False)]
)
def test_an_export_whose_folder_cannot_be_synced_is_there_and_says_so(
    indexes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, is_told: bool
) -> None:
    def fail(_: Disk) -> None:
        raise OSError(error, os.strerror(error))

    target = tmp_path / "notes.jsonl"
    target.write_text("what was there before\n")
    monkeypatch.setattr(Disk, "sync_entries", fail)
    result = run(indexes, "export", str(target), "-i", "notes")
    assert (result.exit_code, "the export is in place" in result.stderr) == ((1, True) if is_told else (0, False))
    assert len(target.read_text().splitlines()) == 40
    assert sorted(os.listdir(tmp_path)) == ["indexes", "notes.jsonl"]


def test_an_export_that_fails_leaves_what_was_there(
    indexes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    target = tmp_path / "notes.jsonl"
    target.write_text("what was there before\n")
    monkeypatch.setattr(os, "fsync", fail)
    assert run(indexes, "export", str(target), "-i", "notes").exit_code == 1
    assert target.read_text() == "what was there before\n"
    assert sorted(os.listdir(tmp_path)) == ["indexes", "notes.jsonl"]


@pytest.mark.parametrize("command", ["index", "add", "import"])
@pytest.mark.parametrize("error", [StorageError, IndexDamagedError])
def test_upkeep_that_fails_after_adding_says_that_what_was_added_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, error: type[VecsearchError]
) -> None:
    def fail(_: Index) -> None:
        raise error("why")

    source = tmp_path / "one.jsonl"
    source.write_text('{"id": "1", "text": "the dog bit the man"}\n')
    monkeypatch.setattr(Index, "flush", fail)
    result = run(tmp_path / "indexes", command, str(source), "-i", "one")
    assert result.exit_code == 1
    assert "is committed, but the upkeep of segments after it failed: why" in result.stderr
    assert ("a later commit takes it up again" in result.stderr) == (error is StorageError)
    assert done(tmp_path / "indexes", "info", "-i", "one")["n_documents"] == 1


def test_given_vectors_are_exported_and_imported(tmp_path: Path) -> None:
    shutil.copytree(make_golden.DATA / "golden-2" / "vectors", tmp_path / "vectors")
    with sqlite3.connect(tmp_path / "vectors" / "meta.db") as db:
        # the golden index was made with an encoder of the tests, which no installed plugin has
        for key in ("identity", "configuration"):
            (value,) = db.execute("SELECT value FROM manifest WHERE key = ?", [key]).fetchone()
            value = json.loads(value)
            value["encoder"] = {**value["encoder"], "name": "none", "version": "1"}
            db.execute("UPDATE manifest SET value = ? WHERE key = ?", [json.dumps(value), key])
    db.close()
    lines = run(tmp_path, "export", "-i", "vectors").stdout
    assert {"vectors", "token_ids"} <= json.loads(lines.splitlines()[0]).keys()
    assert done(tmp_path, "import", "-", "-i", "again", stdin=lines)["n_documents"] == 2
    assert run(tmp_path, "export", "-i", "again").stdout == lines
    assert done(tmp_path, "import", str(tmp_path / "vectors"), "-i", "folder")["n_documents"] == 2
    assert run(tmp_path, "export", "-i", "folder").stdout == lines


def test_an_export_into_a_pipe_that_is_closed_ends_quietly(indexes: Path) -> None:
    with Index.open(indexes / "notes") as index:
        index.add(Document(f"large {number}", "word " * 50_000) for number in range(4))
    command = [sys.executable, "-m", "vecsearch", "--indexes", str(indexes), "export", "-i", "notes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0


def test_doctor_is_well_here_and_not_where_a_plugin_is_broken(indexes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = done(indexes, "doctor")
    assert found["is_well"] is True
    assert {"versions", "sqlite", "plugins", "folder", "file system", "space", "sync", "locks"} <= {
        one["name"] for one in found["findings"]
    }
    assert "ok       sync: fsync works" in run(indexes, "doctor").stdout
    everything = "loaders,onnx,positions,scorers,tokenizers,training,wordllama"
    monkeypatch.setenv("VECSEARCH_DISABLE_PLUGINS", everything)
    result = run(indexes, "doctor")
    assert result.exit_code == 1
    assert "problem  plugins: no plugin is installed" in result.stdout


POWERLESS = """
import ctypes, os, sys
if os.geteuid() == 0:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()):
        print("skip: capset refused")
        sys.exit()
from vecsearch.cli import main
sys.argv = ["vecsearch", *sys.argv[1:]]
main()
"""


def powerless(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody who may not write what is read-only."""
    found = subprocess.run(
        [sys.executable, "-c", POWERLESS, *arguments], capture_output=True, text=True, check=False, env=os.environ
    )
    if found.stdout.startswith("skip"):
        pytest.skip(found.stdout)
    return found


def test_a_read_only_folder_is_verified_searched_backed_up_and_exported(indexes: Path, tmp_path: Path) -> None:
    folder = indexes / "notes"
    for path in (*folder.iterdir(), folder, indexes):
        path.chmod(0o555 if path.is_dir() else 0o444)
    where = ("--indexes", str(indexes))
    try:
        assert powerless(*where, "verify", "--deep", "-i", "notes").stdout == f"{folder}: sound\n"
        assert powerless(*where, "search", "dog", "-i", "notes", "--json").returncode == 0
        assert len(powerless(*where, "export", "-i", "notes").stdout.splitlines()) == 40
        assert powerless(*where, "backup", str(tmp_path / "backup"), "-i", "notes").returncode == 0
        for command in ("compact", "migrate"):
            refused = powerless(*where, command, "-i", "notes")
            assert "Traceback" not in refused.stderr
            assert refused.returncode == (1 if command == "compact" else 0)
        doctor = powerless(*where, "doctor")
        assert "warning  folder: " in doctor.stdout
        assert doctor.returncode == 0
    finally:
        for path in (indexes, folder, *folder.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
