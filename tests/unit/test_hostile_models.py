"""Models that a stranger made: files of matrices and tokenizers that promise too much, or make a library fail."""

from __future__ import annotations

import gzip
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import children
from vecsearch import LoadError, VecsearchError, VectorsError
from vecsearch.cli.arrays import read_ids, read_offsets, read_vectors
from vecsearch.plugins import Registry
from vecsearch_positions.absolute import LearnedEncoder
from vecsearch_tokenizers.subword import SubwordTokenizer
from vecsearch_wordllama import wordvectors
from vecsearch_wordllama.matrix import MatrixEmbedder

FEW_MEGABYTES = """
import resource, sys
import numpy as np
from vecsearch import VecsearchError
from vecsearch_wordllama.matrix import MatrixEmbedder
from vecsearch_tokenizers.subword import SubwordTokenizer
from vecsearch_positions.absolute import LearnedEncoder
from vecsearch.cli.arrays import read_vectors
from pathlib import Path
folder = Path(sys.argv[1])
(folder / "words").write_text("dog\\nman\\ncat\\n")
def tried(path):
    if path.suffix == ".json":
        yield lambda: SubwordTokenizer(path=str(path)).vocabulary()
        return
    words = str(folder / "words") if path.suffix in (".npy", ".safetensors") else None
    yield lambda: MatrixEmbedder(path=str(path), vocabulary=words).rows(["dog"], np.array([True]))
    if path.suffix == ".npy":
        yield lambda: read_vectors(path)
        yield lambda: LearnedEncoder(path=str(path))
SubwordTokenizer(path=str(folder / "good.json")).tokenize(["dog"])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(folder.glob("bad*")):
    for call in tried(path):
        try:
            call()
        except (VecsearchError, ValueError) as error:
            assert str(path) in str(error), error
        else:
            raise AssertionError(path)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def npy(header: str | bytes, body: bytes = bytes(1000), version: tuple[int, int] = (1, 0)) -> bytes:
    """Return a .npy file with any header."""
    head = header.encode() if isinstance(header, str) else header
    length = struct.pack("<H" if version == (1, 0) else "<I", len(head))
    return b"\x93NUMPY" + bytes(version) + length + head + body


def header(shape: str = "(3, 4)", descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


def safetensors(shape: list[int], offsets: list[int], length: int | None = None) -> bytes:
    head = json.dumps({"m": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
    return (len(head) if length is None else length).to_bytes(8, "little") + head + bytes(48)


def description(**changes: Any) -> dict[str, Any]:
    """Return what a tokenizer.json holds."""
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "dog": 1, "man": 2}, "unk_token": "[UNK]"},
        **changes,
    }


BILLIONS = 10**12
PROMISES = {
    "bad-rows.npy": npy(header(f"({BILLIONS}, 4)")),
    "bad-columns.npy": npy(header(f"(3, {BILLIONS})")),
    "bad-type.npy": npy(header(descr=f"'V{2**31 - 1}'")),
    "bad-overflow.npy": npy(header("(9223372036854775807, 9223372036854775807)")),
    "bad-negative.npy": npy(header("(-3, -4)")),
    "bad-rows.safetensors": safetensors([BILLIONS, 4], [0, BILLIONS * 16]),
    "bad-header.safetensors": safetensors([3, 4], [0, 48], length=2**62),
    "bad-rows.bin": f"{BILLIONS} 4\n".encode() + b"dog " + bytes(16),
    "bad-columns.bin": f"3 {BILLIONS}\n".encode() + b"dog " + bytes(16),
    "bad-rows.txt": f"{BILLIONS} 4\ndog 1 2 3 4\n".encode(),
    "bad-columns.txt": f"3 {BILLIONS}\ndog 1 2 3 4\n".encode(),
    "bad-ids.json": json.dumps(
        description(model={"type": "WordLevel", "vocab": {"[UNK]": 0, "dog": 2**31 - 1}, "unk_token": "[UNK]"})
    ).encode(),
    "bad-more-ids.json": json.dumps(
        description(model={"type": "WordLevel", "vocab": {"[UNK]": 0, "dog": 2**32 - 1}, "unk_token": "[UNK]"})
    ).encode(),
}


def test_header_that_promises_too_much_costs_no_memory(tmp_path: Path) -> None:
    for name, content in PROMISES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "good.json").write_text(json.dumps(description()))
    assert int(children.run(FEW_MEGABYTES, tmp_path)) < 20


HEADERS: dict[str, bytes] = {
    "parentheses": npy("(" * 5000 + "\n"),
    "minuses": npy("-" * 9000 + "1\n"),
    "sums": npy("1+" * 4000 + "1j\n"),
    "open quotes": npy("{'a': '''\n"),
    "open bracket": npy("{'descr': (\n"),
    "indentation": npy("  x\n y\n"),
    "NULs": npy("\0" * 64 + "\n"),
    "no text": npy(b"\xff" * 20 + b"\n", version=(3, 0)),
    "no version": npy(header(), version=(9, 9)),
    "too long": npy(header() + " " * 20_000 + "\n"),
    "Python 2": npy(header("(3L, 5L5)")),
    "a length beyond the file": b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b"x" * 100,
    "a type of objects": npy(header(descr="'|O'")),
    "a type of records": npy(header(descr="[('a', '<f4'), ('b', '|O')]")),
    "a type of nothing": npy(header(descr="[[]]")),
    "a type at an offset": npy(header(descr=f"{{'names': ['a'], 'formats': ['<f4'], 'offsets': [{BILLIONS}]}}")),
    "600 dimensions": npy(header("(" + "1," * 600 + ")")),
    "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "an archive": b"PK\x03\x04" + bytes(100),
    "nothing": b"",
}


@pytest.mark.parametrize("kind", HEADERS)
def test_npy_file_with_a_header_of_anything_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path, words = tmp_path / "m.npy", tmp_path / "words"
    path.write_bytes(HEADERS[kind])
    words.write_text("dog\nman\ncat\n")
    with pytest.raises(LoadError, match=r"m\.npy"):
        MatrixEmbedder(path=str(path), vocabulary=str(words))
    for read in (read_vectors, lambda path: read_ids(path, 3), lambda path: read_offsets(path, 3)):
        with pytest.raises(VectorsError, match=r"m\.npy"):
            read(path)
    with pytest.raises(ValueError, match=r"m\.npy"):
        LearnedEncoder(path=str(path))
    with pytest.raises(VecsearchError, match=r"m\.npy"):
        Registry().create("encoder", "learned", {"path": str(path)})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_numbers_that_are_none_are_refused_in_every_kind_of_file(tmp_path: Path, value: float) -> None:
    import safetensors.numpy

    array = np.ones((3, 4), np.float32)
    array[1, 2] = value
    words = tmp_path / "words"
    words.write_text("dog\nman\ncat\n")
    np.save(tmp_path / "m.npy", array)
    safetensors.numpy.save_file({"m": array}, tmp_path / "m.safetensors")
    names = ("dog", "man", "cat")
    (tmp_path / "m.bin").write_bytes(
        b"3 4\n" + b"".join(name.encode() + b" " + row.tobytes() for name, row in zip(names, array, strict=True))
    )
    lines = (f"{name} {' '.join(map(str, row.tolist()))}\n" for name, row in zip(names, array, strict=True))
    (tmp_path / "m.txt").write_text("".join(lines))
    for suffix in ("npy", "safetensors", "bin", "txt"):
        given = {"vocabulary": str(words)} if suffix in ("npy", "safetensors") else {}
        with pytest.raises(LoadError, match=rf"m\.{suffix}.*NaN, infinite or too large") as caught:
            MatrixEmbedder(path=str(tmp_path / f"m.{suffix}"), **given).rows(["dog"], np.array([True]))
        assert "man" in str(caught.value)


def test_packed_vectors_that_unpack_to_a_hundred_times_their_size_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wordvectors, "_BLOCK", 1 << 16)
    monkeypatch.setattr(wordvectors, "_SMALL", 1 << 20)
    path = tmp_path / "m.txt.gz"
    numbers = np.random.default_rng(0).normal(size=(200, 300)).round(4)
    text = "".join(f"w{row} {' '.join(map(str, values))}\n" for row, values in enumerate(numbers.tolist()))
    path.write_bytes(gzip.compress((text * 10).encode()))
    assert MatrixEmbedder(path=str(path)).rows(["w1"], np.array([True])).any()
    for name, content in {
        "m.txt.gz": b"dog 0 0 0 0 0 0 0 0\n" * 1_000_000,
        "m.bin.gz": b"1000000 8\n" + (b"dog " + bytes(32)) * 1_000_000,
    }.items():
        path = tmp_path / name
        path.write_bytes(gzip.compress(content))
        assert len(content) > 100 * path.stat().st_size
        with pytest.raises(LoadError, match=r"unpacks to more than 100 times its size"):
            MatrixEmbedder(path=str(path)).rows(["dog"], np.array([True]))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("suffix", ["npy", "safetensors", "bin", "txt", "txt.gz"])
def test_pipe_is_refused_and_not_waited_for(tmp_path: Path, suffix: str) -> None:
    pipe = tmp_path / f"pipe.{suffix}"
    os.mkfifo(pipe)
    given = {"vocabulary": str(pipe)} if suffix in ("npy", "safetensors") else {}
    with pytest.raises(LoadError, match="not a regular file"):
        MatrixEmbedder(path=str(pipe), **given)
    with pytest.raises(VectorsError, match="not a regular file"):
        read_vectors(pipe)
    with pytest.raises(LoadError, match="not a regular file"):
        SubwordTokenizer(path=str(pipe))


def test_vocabulary_that_is_a_pipe_or_endless_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vecsearch_wordllama import vocabularies

    np.save(tmp_path / "m.npy", np.ones((1, 4), np.float32))
    for words, said in ((os.devnull, "not a regular file"), (str(tmp_path / "words"), "larger than 10 bytes")):
        (tmp_path / "words").write_text("dog" * 10)
        monkeypatch.setattr(vocabularies, "_MAX_BYTES", 10)
        embedder = MatrixEmbedder(path=str(tmp_path / "m.npy"), vocabulary=words)
        with pytest.raises(LoadError, match=said):
            embedder.rows(["dog"], np.array([True]))


PANICS: dict[str, dict[str, Any]] = {
    "a chunk of nothing": {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
    "a map that is none": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
    "an unknown id": {"model": {"type": "Unigram", "unk_id": 5, "vocab": [["a", 0.0]]}},
    "a vocabulary of nothing": {"model": {"type": "Unigram", "unk_id": 0, "vocab": []}},
}
ENDLESS = {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}}


@pytest.mark.parametrize("kind", PANICS)
def test_tokenizer_that_makes_its_library_give_up_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(description(**PANICS[kind])))
    with pytest.raises(LoadError, match=r"t\.json' is not a tokenizer that the tokenizers library can use"):
        SubwordTokenizer(path=str(path))


def test_tokenizer_whose_rules_never_end_fails_with_its_name_on_the_text_that_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(description(**ENDLESS)))
    tokenizer = SubwordTokenizer(path=str(path))
    assert tokenizer.tokenize(["dog"]).n_tokens == 1
    with pytest.raises(LoadError, match=r"t\.json' fails on a text"):
        tokenizer.tokenize(["dog " + "a" * 60 + "b"])


@pytest.mark.parametrize("id_", [2**31 - 1, 2**32 - 1, 70_000])
def test_tokenizer_with_ids_far_beyond_its_entries_is_refused(tmp_path: Path, id_: int) -> None:
    path = tmp_path / "t.json"
    model = {"type": "WordLevel", "vocab": {"[UNK]": 0, "dog": id_}, "unk_token": "[UNK]"}
    path.write_text(json.dumps(description(model=model)))
    with pytest.raises(LoadError, match=rf"the id {id_:,}, and 2 entries need ids below 65,540"):
        SubwordTokenizer(path=str(path))


def test_ids_with_a_gap_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    model = {"type": "WordLevel", "vocab": {"[UNK]": 0, "dog": 60_000}, "unk_token": "[UNK]"}
    path.write_text(json.dumps(description(model=model)))
    assert SubwordTokenizer(path=str(path)).tokenize(["dog"]).ids.tolist() == [60_000]
