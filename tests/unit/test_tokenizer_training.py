"""Training a vocabulary, by library and by command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vecsearch import LoadError, UsageError
from vecsearch_tokenizers import commands, training
from vecsearch_tokenizers.commands import train_tokenizer
from vecsearch_tokenizers.subword import SubwordTokenizer
from vecsearch_tokenizers.training import Kind, train

ANIMALS = ("dog", "cat", "horse", "heron", "wolf", "hen")
TEXTS = [f"The {a} chased the {b}'s shadow; don't chase {a}s!" for a in ANIMALS for b in ANIMALS]
KINDS: tuple[Kind, ...] = ("bpe", "unigram")


def loaded(folder: Path, kind: Kind, texts: list[str] = TEXTS, fold_case: bool = True) -> SubwordTokenizer:
    path = folder / f"{kind}.json"
    path.write_text(train(texts, kind=kind, size=512, fold_case=fold_case).to_str(), encoding="utf-8")
    return SubwordTokenizer(path=str(path), fold_case=False)


def cut(tokenizer: SubwordTokenizer, text: str) -> list[tuple[str, str]]:
    tokens, entries = tokenizer.tokenize([text]), tokenizer.vocabulary().entries
    assert tokens.ids is not None
    return [(entries[id_], text[start:end]) for id_, (start, end) in zip(tokens.ids, tokens.spans, strict=True)]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(train_tokenizer, [str(argument) for argument in arguments])


@pytest.mark.parametrize("kind", KINDS)
def test_common_words_are_learnt_whole(tmp_path: Path, kind: Kind) -> None:
    tokenizer = loaded(tmp_path, kind)
    assert cut(tokenizer, "Horse heron") == [("horse", "Horse"), ("heron", "heron")]
    vocabulary = tokenizer.vocabulary()
    assert vocabulary.starts_word[list(vocabulary.entries).index("heron")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_entries_are_unknown_and_the_bytes(tmp_path: Path, kind: Kind) -> None:
    entries = loaded(tmp_path, kind).vocabulary().entries
    assert list(entries[:3]) == ["<unk>", "<0x00>", "<0x01>"]
    assert entries[256] == "<0xFF>"
    assert 257 < len(entries) <= 512


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_is_unknown(tmp_path: Path, kind: Kind) -> None:
    tokenizer = loaded(tmp_path, kind)
    for text in ("日", "𐍈\ud800", "ÿ§", "<unk>", "<0x41>", "Ω; x"):
        tokens = tokenizer.tokenize([text])
        assert tokens.ids is not None
        assert tokens.n_tokens > 0
        assert 0 not in tokens.ids
    assert [entry for entry, _ in cut(tokenizer, "日") if entry] == ["<0xE6>", "<0x97>", "<0xA5>"]


@pytest.mark.parametrize("kind", KINDS)
def test_case_is_kept_when_told(tmp_path: Path, kind: Kind) -> None:
    folded = loaded(tmp_path, kind)
    assert folded.tokenize(["THE"]).ids.tolist() == folded.tokenize(["the"]).ids.tolist()  # type: ignore[union-attr]
    kept = loaded(tmp_path, kind, fold_case=False)
    assert any(entry.startswith("T") for entry in kept.vocabulary().entries)
    assert "".join(entry for entry, _ in cut(kept, "The dog")) == "Thedog"


def test_unigram_gives_punctuation_one_token(tmp_path: Path) -> None:
    assert cut(loaded(tmp_path, "unigram"), "dog; cat!") == [("dog", "dog"), (";", ";"), ("cat", "cat"), ("!", "!")]


@pytest.mark.parametrize("kind", KINDS)
def test_another_process_learns_the_same(tmp_path: Path, kind: Kind) -> None:
    source = tmp_path / "texts.txt"
    rare = "".join(map(chr, range(0x430, 0x450)))
    source.write_text("\n".join([*TEXTS, rare]), encoding="utf-8")
    written = []
    for threads in ("1", "2"):
        output = tmp_path / f"{threads}.json"
        subprocess.run(
            [
                sys.executable,
                "-c",
                "from vecsearch_tokenizers.commands import train_tokenizer as t; t()",
                *(str(source), "--kind", kind, "--size", "512", "-o", str(output)),
            ],
            check=True,
            capture_output=True,
            env={**os.environ, "RAYON_NUM_THREADS": threads},
        )
        written.append(output.read_bytes())
    assert written[0] == written[1]


def test_rare_characters_are_left_to_the_bytes_by_bpe(tmp_path: Path) -> None:
    many = ["".join(map(chr, range(0x4E00, 0x5400)))]
    assert len(loaded(tmp_path, "bpe", [*TEXTS, *many]).vocabulary().entries) <= 512
    with pytest.raises(UsageError, match="512 entries cannot hold all characters"):
        train([*TEXTS, *many], kind="unigram", size=512)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("texts", [[], [""], [" \n", "\t"]])
def test_texts_without_words_are_refused(kind: Kind, texts: list[str]) -> None:
    with pytest.raises(UsageError, match="the texts hold no words"):
        train(texts, kind=kind, size=1000)


@pytest.mark.parametrize("size", [0, -1, 511, 1_000_001, True, 1000.0])
def test_silly_sizes_are_refused(size: int) -> None:
    with pytest.raises(UsageError, match="give a whole number from 512 to 1,000,000"):
        train(TEXTS, kind="bpe", size=size)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="kinds: bpe, unigram"):
        train(TEXTS, kind="wordpiece", size=1000)  # type: ignore[arg-type]


def test_an_error_of_the_texts_is_passed_on() -> None:
    def broken() -> Iterator[str]:
        yield "one"
        raise LoadError("gone")

    with pytest.raises(LoadError, match="gone"):
        train(broken(), kind="bpe", size=512)


def test_progress_counts_characters() -> None:
    seen: list[int] = []
    train(["the dog", "", "a cat"], kind="bpe", size=512, progress=seen.append)
    assert seen == [7, 7, 12]


def test_the_command_prints_the_path_and_says_the_rest_on_stderr(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    (notes / "deep").mkdir(parents=True)
    (notes / "deep" / "a.md").write_text(" ".join(TEXTS), encoding="utf-8")
    (notes / "b.jsonl").write_text('{"text": "zebra zebra zebra"}\n\n{"title": "x"}\nnot json\n', encoding="utf-8")
    (notes / "latin.txt").write_bytes(b"caf\xe9")
    (notes / "cut.txt").write_bytes("é".encode()[:1])
    (notes / "binary.bin").write_bytes(b"ab\0cd")
    (notes / ".hidden").write_text("quagga quagga quagga")
    output = tmp_path / "tok.json"
    result = run(notes, "--size", 600, "-o", output)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{output}\n"
    assert set(result.stderr.splitlines()[:-1]) == {
        f"skipped {notes / 'latin.txt'}: not UTF-8 text",
        f"skipped {notes / 'cut.txt'}: not UTF-8 text",
        f"skipped {notes / 'binary.bin'}: not text (it holds NUL bytes)",
        f'skipped 2 lines of {notes / "b.jsonl"}: not a JSON object with a "text"',
    }
    entries = SubwordTokenizer(path=str(output)).vocabulary().entries
    assert {"zebra", "dog"} <= set(entries)
    assert "quagga" not in entries
    assert result.stderr.splitlines()[-1] == f"{len(entries)} entries learnt"


def test_the_command_overwrites_only_with_force(tmp_path: Path) -> None:
    source, output = tmp_path / "a.txt", tmp_path / "tok.json"
    source.write_text(" ".join(TEXTS))
    output.write_text("mine")
    refused = run(source, "-o", output)
    assert isinstance(refused.exception, UsageError)
    assert "overwrite it with --force" in refused.exception.message
    assert output.read_text() == "mine"
    assert run(source, "-o", output, "--force").exit_code == 0
    assert json.loads(output.read_text())["model"]["type"] == "BPE"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "tok.json"]


def test_the_command_leaves_no_file_when_it_fails(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("\n")
    result = run(source, "-o", tmp_path / "tok.json")
    assert isinstance(result.exception, UsageError)
    assert (result.stdout, result.stderr) == ("", "")
    source.write_text("the dog")
    output = tmp_path / "none" / "tok.json"
    failed = run(source, "-o", output).exception
    assert isinstance(failed, FileNotFoundError)
    assert failed.filename == str(output)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_the_program_shows_a_failure_in_one_line(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("\n")
    command = [sys.executable, "-m", "vecsearch", "train-tokenizer", str(source), "-o", str(tmp_path / "tok.json")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "Error: cannot train a tokenizer: the texts hold no words; give files with text in them\n"


@pytest.mark.parametrize("arguments", [[], ["--size", "3"], ["--kind", "x"]])
def test_the_command_refuses_wrong_usage(tmp_path: Path, arguments: list[str]) -> None:
    source = tmp_path / "a.txt"
    source.write_text("the dog")
    assert run(*([source, "-o", tmp_path / "t.json", *arguments] if arguments else [])).exit_code == 2
    assert not (tmp_path / "t.json").exists()


def test_the_output_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" ".join(TEXTS))
    first = run(tmp_path, "-o", tmp_path / "tok.json")
    assert first.exit_code == 0
    before = (tmp_path / "tok.json").read_bytes()
    assert run(tmp_path, "-o", tmp_path / "tok.json", "--force").exit_code == 0
    assert (tmp_path / "tok.json").read_bytes() == before


def test_command_and_library_agree_on_sizes() -> None:
    assert (commands._SMALLEST, commands._LARGEST) == (training.SMALLEST, training.LARGEST)


def test_the_command_is_registered_without_the_library() -> None:
    code = (
        "import sys; from vecsearch_tokenizers.plugin import vecsearch_register_commands as hook;"
        "names = [command.name for command in hook()];"
        "print(names, [m for m in ('numpy', 'tokenizers', 'regex') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown == "['train-tokenizer'] []\n"
