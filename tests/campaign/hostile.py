"""Seeded makers of what no caller should pass: values, texts, queries, filters, files."""

from __future__ import annotations

import gzip
import json
import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = [
    "FILES",
    "any_value",
    "array",
    "filter_text",
    "mangled",
    "numbers",
    "options_of",
    "query_text",
    "sample",
    "text",
    "word",
]

WORDS = ("dog", "man", "bit", "the", "lion", "cat", "東京", "naïve", "Æsir", "run_time", "nil", "1,000", "o'clock")
BITS = (
    "\x00", "\x1b[2J", "\ud800", "\udfff\ud800", "\u202e", "\ufeff", "\ufffe", "\U0010ffff", "e\u0301" * 5,
    "👩‍👩‍👧", "\r", "\n", "\t",
    "\u2028", "\x85", "%s", "{0}", "'", '"', "\\", "`", "''; DROP TABLE documents; --", "../../etc/passwd",
    "~", "^", "*", "-", "=", "(", ")", "NEAR(", "~3", ",", "<", ">", "and", "or", "not", "in", "like", "exists",
    "%", "_", "?", "$1", ":x",
    "9" * 30, "1e999", "-0", "NaN", "null", "true", "İ", "ß", "ﬁ", "\u0345",
)  # fmt: skip


def word(rng: random.Random) -> str:
    return rng.choice(WORDS)


def text(rng: random.Random) -> str:
    """Return a text: of words mostly, of hostile bits often, sometimes long."""
    kind = rng.random()
    if kind < 0.05:
        return ""
    if kind < 0.1:
        return rng.choice(BITS + WORDS) * rng.choice((1, 300, 30_000))
    if kind < 0.15:
        return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randrange(1, 60)))
    pool = WORDS * 4 + BITS
    joint = rng.choice((" ", " ", "", "\n", "\r\n", "\x00"))
    return joint.join(rng.choice(pool) for _ in range(rng.randrange(1, 40)))


def nested(depth: int, opened: Any) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if opened is list else {"a": value}
    return value


def any_value(rng: random.Random, depth: int = 0) -> Any:
    """Return any value that JSON can bring, from a request that somebody else wrote; most are wrong where given."""
    makers: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.choice((True, False)),
        lambda: rng.choice((0, 1, -1, 2, 7, 2**31, 2**63, -(2**63) - 1, 10**30, 10**4000)),
        lambda: rng.choice((0.0, -0.0, 0.5, 1e308, float("nan"), float("inf"), float("-inf"), 5e-324)),
        lambda: text(rng),
        lambda: nested(rng.choice((2, 90, 105, 800)), rng.choice((list, dict))),
    ]
    if depth < 3:
        makers += [
            lambda: [any_value(rng, depth + 1) for _ in range(rng.randrange(4))],
            lambda: {text(rng)[:20]: any_value(rng, depth + 1) for _ in range(rng.randrange(4))},
        ]
    return rng.choice(makers)()


def array(rng: random.Random, dim: int) -> Any:
    """Return vectors, good ones seldom, or what is none."""
    makers: list[Callable[[], Any]] = [
        lambda: np.ones((2, dim), np.float32),
        lambda: np.zeros((rng.choice((0, 1, 3)), dim), np.float32),
        lambda: np.ones((2, dim + 1), np.float32),
        lambda: np.ones((2, dim), rng.choice((np.float64, np.float16, np.int64, np.bool_, object))),
        lambda: np.ones((2, dim, 2), np.float32),
        lambda: np.float32(1),
        lambda: np.full((2, dim), rng.choice((np.nan, np.inf, -np.inf, 1e38, 1e-45)), np.float32),
        lambda: np.asfortranarray(np.ones((2, dim), np.float32))[::-1],
        lambda: np.zeros((0, 0), np.float32),
        lambda: any_value(rng),
    ]
    return rng.choice(makers)()


def numbers(rng: random.Random) -> Any:
    """Return token ids of two vectors, good ones seldom, or what is none."""
    good = np.array([1, 2], rng.choice((np.int32, np.int64, np.uint8)))
    wrong = (
        np.array([-1, 2**40]),
        np.array([0.5, 1]),
        np.zeros((2, 2), np.int32),
        np.zeros(0, np.int32),
        np.array(["a", "b"]),
    )
    return rng.choice((good, None, *wrong, any_value(rng)))


def sample(rng: random.Random, *good: Any) -> Any:
    """Return one of some good values mostly, or anything."""
    return rng.choice(good) if rng.random() < 0.7 else any_value(rng)


def mixed(rng: random.Random, pieces: tuple[str, ...]) -> str:
    kind = rng.random()
    if kind < 0.05:
        return rng.choice(pieces) * rng.choice((50, 2_000, 20_000))
    whole = rng.choice(("", " ", " ")).join(rng.choice(pieces) for _ in range(rng.randrange(1, 15)))
    return whole if kind < 0.8 else whole + text(rng)


def query_text(rng: random.Random) -> str:
    return mixed(
        rng,
        (
            *WORDS,
            '"',
            '"',
            "~",
            "~2",
            "~99999999999",
            "NEAR(",
            ")",
            "(",
            ",",
            ", 3",
            "-",
            "=",
            "\\",
            '\\"',
            "--",
            "=>",
            "\x00",
        ),
    )


def filter_text(rng: random.Random) -> str:
    return mixed(
        rng,
        ("lang", "year", "tags", "id", "title", "path", "metadata.", "author.name", ".", "`", "`a b`", "=", "!=", "<",
         "<=", ">", ">=",
         " in ", " not ", " like ", " exists ", " and ", " or ", "(", ")", ",", '"en"', "'", '"', "'%_\\",
         "2020", "1e400", "-5", "9" * 500,
         "true", "false", "null", "\\u12", "not " * 40, "(" * 40, "%" * 50 + "a", "\x00"),
    )  # fmt: skip


def options_of(rng: random.Random) -> dict[str, Any]:
    """Return some options of a search, a few of them wrong."""
    every: dict[str, Callable[[], Any]] = {
        "k": lambda: sample(rng, 1, 3, 10, 10_000),
        "offset": lambda: sample(rng, 0, 1, 50),
        "mode": lambda: sample(rng, None, "hybrid", "vector", "keyword"),
        "scorer": lambda: sample(rng, None, "maxsim", "soft_tf", "debiased_maxsim", "soft_tf:nothing=1"),
        "order": lambda: sample(rng, "default", "none", "strict"),
        "where": lambda: sample(rng, None, 'lang = "en"', filter_text(rng)),
        "by": lambda: sample(rng, "passage", "document"),
        "syntax": lambda: sample(rng, "query", "plain"),
        "fusion": lambda: sample(rng, "zscore", "rrf"),
        "weights": lambda: sample(
            rng, None, {"vector": 1.0, "keyword": 0.5}, {"vector": -1}, {}, {"vector": float("nan")}
        ),
        "min_score": lambda: sample(rng, None, 0.1, -5),
        "explain": lambda: sample(rng, True, False),
        "matches": lambda: sample(rng, True, False),
        "exact": lambda: sample(rng, True, False),
        "timeout": lambda: sample(rng, None, 1000.0),
    }
    return {name: every[name]() for name in rng.sample(sorted(every), rng.randrange(5))}


# files


def _npy() -> bytes:
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + np.ones(12, "<f4").tobytes()


def _safetensors() -> bytes:
    head = b'{"m":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]}}'
    return len(head).to_bytes(8, "little") + head + np.ones(12, "<f4").tobytes()


def _tokenizer() -> bytes:
    model = {"type": "WordLevel", "vocab": {"[UNK]": 0, "dog": 1, "man": 2}, "unk_token": "[UNK]"}
    parts = {
        "pre_tokenizer": {"type": "Whitespace"},
        "normalizer": {"type": "NFC"},
        "decoder": None,
        "post_processor": None,
    }
    return json.dumps({"version": "1.0", "added_tokens": [], **parts, "model": model}).encode()


_TEXT_VECTORS = b"3 4\ndog 1 2 3 4\nman 1 2 3 4\ncat 1 2 3 4\n"
FILES: dict[str, bytes] = {
    ".txt": b"The dog bit the man.\n\nThe lion slept.\n",
    ".md": b"---\ntitle: Dogs\ntags: [a, b]\n---\n# One *dog*\ntext\n\n```\n# no heading\n```\n## Two\n- a\n  - b\n",
    ".rst": b"Dogs\n====\n\nOne\n---\ntext\n\n.. include:: /etc/passwd\n",
    ".py": b"import os\n\n\ndef dog():\n    return 1\n\n\nclass Man:\n    pass\n",
    ".html": (
        b"<!DOCTYPE html><meta charset=utf-8><title>Dogs</title><h1>One</h1><p>a &amp; b<br>"
        b"<pre> x </pre><table><td>1<td>2</table>"
    ),
    ".jsonl": b'{"id": "a", "text": "dog", "title": "t", "metadata": {"x": 1}}\n{"text": "man", "n": [1, {}]}\n',
    ".csv": b'id,text,title\n1,"a ""dog""",T\n2,"two\nlines",U\n',
    ".tsv": b"id\ttext\n1\tdog\n",
    ".npy": _npy(),
    ".safetensors": _safetensors(),
    ".bin": b"3 4\n" + b"".join(name + b" " + np.ones(4, "<f4").tobytes() + b"\n" for name in (b"dog", b"man", b"cat")),
    ".vec": _TEXT_VECTORS,
    ".vec.gz": gzip.compress(_TEXT_VECTORS, mtime=0),
    ".json": _tokenizer(),
}
_BYTES = b"0123456789,()[]{}'\"-:<>&;!/#=*`|\\ \t\r\n\0\x1b\xff\xfe\xef\xbb\xbf\xed\xa0\x80aeioN"


def mangled(rng: random.Random, content: bytes) -> bytes:
    """Return a file with some of its bytes changed, repeated, cut or put in."""
    changed = bytearray(content)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8, 40))):
        at = rng.randrange(len(changed) + 1)
        size = rng.choice((1, 1, 2, 8, 60))
        match rng.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([rng.choice(_BYTES)])
            case 1:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                del changed[at : at + size]
            case 3:
                changed[at:at] = changed[at : at + size] * rng.choice((1, 2, 500))
            case 4:
                changed[at:at] = bytes(rng.choice(_BYTES) for _ in range(size))
            case 5:
                changed[at:at] = text(rng)[:2_000].encode("utf-8", "surrogatepass")
    return bytes(changed)
