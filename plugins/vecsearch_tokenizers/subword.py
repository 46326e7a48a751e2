"""Subwords: any ``tokenizer.json`` of the ``tokenizers`` library, and the pieces that WordLlama's matrix is made of.

The library does the cutting (BPE, WordPiece, Unigram, WordLevel); here its vocabulary and spans are put in order.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import accumulate, chain, pairwise
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vecsearch import LoadError, Tokens, Vocabulary

if TYPE_CHECKING:
    import numpy.typing as npt
    import tokenizers

    Spans = npt.NDArray[np.int64]

__all__ = ["MAX_BYTES", "PiecesTokenizer", "SubwordTokenizer"]

MAX_BYTES = 64_000_000
"""A vocabulary of a million entries takes half of that; what is larger is some other file."""

SPARE_IDS = 65_536
"""Ids of a vocabulary stay below twice the number of its entries and this: there is a row of a matrix for each."""

BATCH = 1 << 20
"""Characters handed to the library at a time, about: it needs some 200 bytes for each."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_METASPACE = "▁"


class SubwordTokenizer:
    """Split text into the subwords of a trained vocabulary.

    Spans never begin or end with white space, except where a token is nothing but white space; all byte pieces of a
    character have that character's span. A character for which the vocabulary has nothing gives what the file says:
    its unknown token, byte pieces, or no token. Text that looks like a special token (``<s>``) is plain text.
    A text of more than 1,048,576 characters is cut at blanks (or line feeds, or anywhere where it has neither), and
    each piece tokenized alone.

    Args:
        path: a ``tokenizer.json`` as the ``tokenizers`` library writes it.
        fold_case: lower the text's letters before the file's own normalizer sees it. Spans still point into the
            text as it was given.

    Raises:
        LoadError: no such file, one that is too large, or not a tokenizer.
    """

    name: ClassVar[str] = "subword"
    version: ClassVar[str] = "1"

    def __init__(self, *, path: str, fold_case: bool = True) -> None:
        if not isinstance(path, str):
            raise TypeError(f"path must be text, not {path!r}")
        if not isinstance(fold_case, bool):
            raise TypeError(f"fold_case must be true or false, not {fold_case!r}")
        self.path = path
        self.fold_case = fold_case
        self._tokenizer = _load(path, fold_case)

    @classmethod
    def learn(cls, texts: Iterable[str], *, size: int, folder: str) -> SubwordTokenizer:
        """Learn a vocabulary by BPE, letter case folded, and write it as ``tokenizer.json``; see ``training.train``.

        Args:
            texts: read once.
            size: entries, from 512.
            folder: that gets the file.

        Raises:
            UsageError: a size out of range, or texts without a single word.
        """
        from vecsearch_tokenizers.training import train

        path = os.path.join(folder, "tokenizer.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(train(texts, kind="bpe", size=size).to_str(pretty=True))
        return cls(path=path)

    @property
    def config(self) -> Mapping[str, Any]:
        """Return ``path`` and ``fold_case``."""
        return {"path": self.path, "fold_case": self.fold_case}

    @property
    def files(self) -> Mapping[str, str]:
        """Return the file read, as ``path``."""
        return {"path": self.path}

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Split texts into subwords, each text on its own.

        Args:
            texts: any strings; a lone surrogate counts as U+FFFD.

        Returns:
            Tokens with ids.

        Raises:
            LoadError: the file has rules that fail on a text.
        """
        # Place of each text's line feed in the stream "\n" + text + "\n" + text …, and of the end.
        places = np.fromiter(accumulate((len(text) + 1 for text in texts), initial=0), np.int64, len(texts) + 1)
        pieces, piece_places = _pieces(texts, places)
        ids = [np.zeros(0, np.int32)]
        spans = [np.zeros((0, 2), np.int64)]
        sizes = [np.zeros(0, np.int64)]
        for first, last in _batches(pieces):
            batch = pieces[first:last]
            # encode_batch_fast() would give (0, 0) for every span.
            encodings = self._encoded(batch)
            size = np.fromiter(map(len, encodings), np.int64, len(encodings))
            pairs = chain.from_iterable(map(attrgetter("offsets"), encodings))
            span = np.fromiter(chain.from_iterable(pairs), np.int64, 2 * int(size.sum())).reshape(-1, 2)
            span = _trimmed(span, size, batch)
            ids.append(np.fromiter(chain.from_iterable(map(attrgetter("ids"), encodings)), np.int32, int(size.sum())))
            spans.append(span + np.repeat(piece_places[first:last], size)[:, None])
            sizes.append(size)
        n_before = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
        offsets = n_before[np.searchsorted(piece_places - 1, places)]
        in_stream = np.concatenate(spans)
        in_text = (in_stream - np.repeat(places[:-1] + 1, np.diff(offsets))[:, None]).astype(np.int32)
        return Tokens(offsets=offsets, spans=in_text, ids=np.concatenate(ids))

    def _encoded(self, batch: list[str]) -> list[tokenizers.Encoding]:
        try:
            return self._tokenizer.encode_batch(batch, add_special_tokens=False)
        except BaseException as error:
            if not _is_of_the_library(error):
                raise
            raise LoadError(
                f"the tokenizer file {self.path!r} fails on a text: {error}; use another file", path=self.path
            ) from error

    def vocabulary(self) -> Vocabulary:
        """Return the vocabulary in id order, marks removed.

        ``▁`` and ``Ġ`` (byte-level) stand for a blank: one at the beginning is removed and means that the entry
        starts a word, further ones become blanks. ``##`` is removed and means that it does not. Vocabularies without
        any mark hold whole words. Special entries and ``<0x0A>`` stay as written; an id without an entry gives "".
        """
        return _vocabulary(self._tokenizer)


class PiecesTokenizer(SubwordTokenizer):
    """Split text into the 32,000 pieces that WordLlama's matrix has a row each for.

    The vocabulary (a BPE with byte fallback) is read from the installed package ``wordllama``, without importing it.

    Args:
        fold_case: lower the text's letters first. The pieces are case-sensitive and fall apart on capitals.

    Raises:
        LoadError: the package or its file is missing.
    """

    name: ClassVar[str] = "pieces"
    version: ClassVar[str] = "1"

    def __init__(self, *, fold_case: bool = True) -> None:
        super().__init__(path=_path_in_wordllama(), fold_case=fold_case)

    @property
    def config(self) -> Mapping[str, Any]:
        """Return ``fold_case``."""
        return {"fold_case": self.fold_case}

    @property
    def files(self) -> Mapping[str, str]:
        """Return the file read, as ``tokenizer``."""
        return {"tokenizer": self.path}


def _path_in_wordllama() -> str:
    spec = find_spec("wordllama")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "tokenizers" / "l2_supercat_tokenizer_config.json"
        if path.is_file():
            return str(path)
    raise LoadError(
        "the tokenizer 'pieces' needs the file tokenizers/l2_supercat_tokenizer_config.json of the package wordllama, "
        "which is not installed or lacks it; install wordllama>=0.4.0, or use the tokenizer 'word'",
        package="wordllama",
    )


def _load(path: str, fold_case: bool) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer, normalizers

    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
            raise ValueError("not a regular file")
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LoadError(
            f"cannot read the tokenizer file {path!r}: {reason}; give the path of a tokenizer.json", path=path
        ) from error
    if len(content) > MAX_BYTES:
        raise LoadError(
            f"{path!r} is larger than {MAX_BYTES:,} bytes, too large for a tokenizer.json; "
            "give the path of a file that the tokenizers library has saved",
            path=path,
        )
    try:
        tokenizer = Tokenizer.from_str(content.decode("utf-8"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        if fold_case:
            own = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
            tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
        # A vocabulary without the unknown token that it names fails only when it meets an unknown character.
        tokenizer.encode_batch(["a \U0010fffd\u0378"], add_special_tokens=False)
        _check_ids(tokenizer.get_vocab(with_added_tokens=True))
    except BaseException as error:
        if not _is_of_the_library(error):
            raise
        raise LoadError(
            f"{path!r} is not a tokenizer that the tokenizers library can use: {error}; "
            "give the path of a file that it has saved, or make one with `vecsearch train-tokenizer`",
            path=path,
        ) from error
    return tokenizer


def _is_of_the_library(error: BaseException) -> bool:
    """Tell whether the library raised an error: it has plain Exception, and PanicException where it gave up.

    subtle: PanicException (of PyO3, which no module offers by name) is no Exception but a BaseException.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _check_ids(vocabulary: Mapping[str, int]) -> None:
    largest, most = max(vocabulary.values(), default=-1), 2 * len(vocabulary) + SPARE_IDS
    if largest >= most:
        raise ValueError(
            f"it gives an entry the id {largest:,}, and {len(vocabulary):,} entries need ids below {most:,}"
        )


def _pieces(texts: Sequence[str], places: npt.NDArray[np.int64]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the texts with lone surrogates replaced, long ones in pieces; and the stream place of each piece."""
    if sum(map(len, texts)) <= BATCH and all(map(str.isascii, texts)):
        return list(texts), places[:-1] + 1
    pieces: list[str] = []
    piece_places: list[int] = []
    for text, place in zip(texts, places.tolist(), strict=False):
        whole = text if text.isascii() else _SURROGATES.sub("\ufffd", text)
        at = 0
        while len(whole) - at > BATCH:
            end = whole.rfind(" ", at, at + BATCH)
            if end <= at:
                end = whole.rfind("\n", at, at + BATCH)
            is_blank = end > at
            end = end if is_blank else at + BATCH
            pieces.append(whole[at:end])
            piece_places.append(place + 1 + at)
            at = end + is_blank
        pieces.append(whole[at:])
        piece_places.append(place + 1 + at)
    return pieces, np.array(piece_places, np.int64)


def _batches(pieces: Sequence[str]) -> list[tuple[int, int]]:
    """Return ranges of pieces of about ``BATCH`` characters together."""
    ends = np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces)))
    cuts = np.flatnonzero(np.diff(ends // BATCH)) + 1
    edges = [0, *cuts.tolist(), len(pieces)]
    return [(first, last) for first, last in pairwise(edges) if last > first]


def _trimmed(spans: Spans, sizes: npt.NDArray[np.int64], texts: Sequence[str]) -> Spans:
    """Return spans without the white space at either end, in order, within their texts.

    ``▁dog`` in "the dog" spans " dog" as the library counts. A span of nothing but white space stays as it is.
    """
    if len(spans) == 0:
        return spans
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    base = np.repeat(np.cumsum(lengths + 1) - lengths - 1, sizes)[:, None]
    placed = spans + base
    codes = np.frombuffer("\n".join([*texts, ""]).encode("utf-32-le"), np.uint32)
    is_space = _is_space(codes)
    index = np.arange(len(codes))
    # The nearest visible character at or behind each place, and the place behind the nearest one before it.
    after = np.minimum.accumulate(np.where(is_space, len(codes), index)[::-1])[::-1]
    before = np.maximum.accumulate(np.where(is_space, 0, index + 1))
    start, end = after[placed[:, 0]], before[np.maximum(placed[:, 1] - 1, 0)]
    visible = start < end
    trimmed = np.where(visible[:, None], np.stack([start, end], axis=1), placed)
    # Some normalizers reorder characters; a token then begins no earlier than the one before it.
    trimmed[:, 0] = np.maximum.accumulate(trimmed[:, 0])
    trimmed[:, 1] = np.maximum(trimmed[:, 1], trimmed[:, 0])
    return trimmed - base


def _is_space(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    table = _space_table()
    return table[np.minimum(codes, len(table) - 1)]


@cache
def _space_table() -> npt.NDArray[np.bool_]:
    """Return which code points up to U+3001 are white space; the last that is one is U+3000."""
    return np.array([chr(code).isspace() for code in range(0x3002)], np.bool_)


def _vocabulary(tokenizer: tokenizers.Tokenizer) -> Vocabulary:
    by_entry: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    raw = [""] * (max(by_entry.values(), default=-1) + 1)
    for entry, id_ in by_entry.items():
        raw[id_] = entry
    added = tokenizer.get_added_tokens_decoder()
    description = json.loads(tokenizer.to_str())
    model = description["model"]
    parts = json.dumps([description[part] for part in ("normalizer", "pre_tokenizer", "decoder")], ensure_ascii=False)
    is_byte_level, is_metaspace = '"ByteLevel"' in parts, _METASPACE in parts
    prefix, suffix = model.get("continuing_subword_prefix") or "", model.get("end_of_word_suffix") or ""

    entries: list[str] = []
    starts_word = np.zeros(len(raw), np.bool_)
    for id_, entry in enumerate(raw):
        if id_ in added:
            starts_word[id_] = not (is_byte_level or is_metaspace)
        elif is_byte_level:
            entry = _from_byte_level(entry)
            starts_word[id_] = entry.startswith(" ")
            entry = entry.removeprefix(" ")
        elif is_metaspace:
            starts_word[id_] = entry.startswith(_METASPACE)
            entry = entry.removeprefix(_METASPACE).replace(_METASPACE, " ")
        else:
            starts_word[id_] = entry != "" and not (prefix and entry.startswith(prefix))
            entry = entry.removeprefix(prefix).removesuffix(suffix)
        entries.append(entry)
    return Vocabulary(entries=entries, starts_word=starts_word)


def _byte_alphabet() -> dict[int, int]:
    """Return the byte that each character of the byte-level alphabet (GPT-2) stands for.

    Visible Latin-1 characters stand for themselves, the other 68 bytes follow in order from U+0100.
    """
    themselves = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(themselves))
    return {byte: byte for byte in themselves} | {0x100 + nth: byte for nth, byte in enumerate(others)}


_BYTES = _byte_alphabet()


def _from_byte_level(entry: str) -> str:
    """Return the text of a byte-level entry; bytes that are no whole character become U+FFFD."""
    if not all(ord(character) in _BYTES for character in entry):
        return entry
    return entry.translate(_BYTES).encode("latin-1").decode("utf-8", "replace")
