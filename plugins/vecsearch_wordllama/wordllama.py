"""The embedding matrix of the installed ``wordllama`` package: 32,000 rows of 256 for LLaMA-2's word pieces.

The package itself is never imported: only its two files are read. The matrix stays in the file, mapped into memory.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from vecsearch import LoadError, PluginError, Vocabulary
from vecsearch_wordllama.entries import SPECIAL, checked_starts
from vecsearch_wordllama.sums import sums
from vecsearch_wordllama.tensors import map_tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer as PieceTokenizer

    from vecsearch.types import Bools, Floats

__all__ = ["WordLlamaEmbedder"]

_MATRIX = ("weights", "l2_supercat_256.safetensors")
_TOKENIZER = ("tokenizers", "l2_supercat_tokenizer_config.json")
_SHAPE = (32_000, 256)
_REMEDY = "pip install --force-reinstall 'wordllama>=0.4.0'"

_MARK = "▁"
_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))
_BLOCK = 1024  # entries whose sums are held as float64 at once
_LONG = 1024  # characters of one entry that are cut at once


class WordLlamaEmbedder:
    """Gives an entry the sum of the rows of its pieces: its direction is the meaning, its norm the importance.

    An entry that is one of the model's pieces in its place (``▁dog`` where it starts a word, ``ing`` where it
    continues one, a byte piece ``<0x0A>`` in either) takes that row as it is. Any other is cut by the model's own
    tokenizer, with the leading-space mark where it starts a word. Letter case is kept: the pieces know it, and
    folding is the tokenizer's business.

    An entry of more than 1,024 characters, which no language has but encoded files do, is cut 1,024 at a time.

    Special entries, the model's (``<unk>``, ``<s>``, ``</s>``) and those usual elsewhere (``[UNK]``, ``[PAD]``, …),
    get zeros: they stand for no text, and the rows that training left them (norms 8 to 14) would weigh like a noun's.

    A character that no piece has is cut into its UTF-8 bytes, and their rows are summed like any others. What this
    gives was looked at, not assumed (400 characters of each script against 8,952 English words): to a word it is as
    near as any two words are to each other (|cos| .05 in the middle, below .18 for 99 in 100); to another unknown
    character of its script on average .23 (Han), .33 (Hangul) or .42 (emoji), up to .87 for neighbours such as 🎉 and
    🎊; to itself 1. So an unknown script can be searched for its own characters, which rows of zeros would not allow.
    What it does not give is meaning, and characters with the same bytes in another order, as most rare Han characters
    have a twin, share a row.

    Raises:
        PluginError: the ``wordllama`` package or one of its files is missing or is not what it should be; names the
            file and how to get it.

    Example:
        >>> embedder = WordLlamaEmbedder()
        >>> rows = embedder.rows(["the", "protein"], np.array([True, True]))
        >>> [round(float(norm), 1) for norm in np.linalg.norm(rows, axis=1)]
        [1.6, 16.5]
    """

    name: ClassVar[str] = "wordllama"
    version: ClassVar[str] = "1"

    def __init__(self) -> None:
        folders = _package_folders()
        self._files = {"matrix": _found(folders, _MATRIX), "tokenizer": _found(folders, _TOKENIZER)}
        try:
            self._matrix = map_tensor(self._files["matrix"])
        except LoadError as error:
            raise _broken(error.message, self._files["matrix"]) from error
        if self._matrix.shape != _SHAPE or self._matrix.dtype != np.dtype("<f2"):
            raise _broken(
                f"{self._files['matrix']} holds a {self._matrix.dtype} matrix of shape {self._matrix.shape}, "
                f"float16 of shape {_SHAPE} is expected",
                self._files["matrix"],
            )
        self._lock = threading.Lock()
        self._cutter: PieceTokenizer | None = None
        self._vocabulary: Vocabulary | None = None

    @property
    def config(self) -> Mapping[str, Any]:
        """Nothing can be chosen."""
        return {}

    @property
    def files(self) -> Mapping[str, str]:
        """The two files of the package: ``matrix`` and ``tokenizer``."""
        return dict(self._files)

    @property
    def dim(self) -> int:
        """256."""
        return _SHAPE[1]

    def rows(self, entries: Sequence[str], starts_word: Bools) -> Floats:
        """Return the rows of vocabulary entries; an entry's row never depends, in any bit, on the others asked for.

        Args:
            entries: n surface texts. A space inside one is the model's ``▁``. Lone surrogates count as U+FFFD.
            starts_word: bool ``(n,)``.

        Returns:
            float32 ``(n, 256)``, not normalised; zeros for a special entry and for an empty one that continues a
            word (an empty one that starts a word is the piece ``▁``).

        Raises:
            UsageError: ``starts_word`` is not one bool an entry, or ``entries`` is one string.
        """
        starts = checked_starts(entries, starts_word)
        rows = np.zeros((len(entries), self.dim), dtype=np.float32)
        tokenizer = self._tokenizer()
        for first in range(0, len(entries), _BLOCK):
            block = slice(first, first + _BLOCK)
            texts = _marked(entries[block], starts[block].tolist())
            rows[block] = sums(self._matrix, _cut(tokenizer, texts))
            for row, text in enumerate(texts, first):
                if len(text) > _LONG:
                    rows[row] = self._long_sum(tokenizer, text)
        return rows

    def vocabulary(self) -> Vocabulary:
        """Return the 32,000 pieces in the order of the matrix: ``▁dog`` is ("dog", starts a word)."""
        tokenizer = self._tokenizer()
        with self._lock:
            if self._vocabulary is None:
                pieces = [tokenizer.id_to_token(row) or "" for row in range(_SHAPE[0])]
                starts_word = np.array([piece.startswith(_MARK) for piece in pieces])
                starts_word.setflags(write=False)
                entries = tuple(piece.removeprefix(_MARK).replace(_MARK, " ") for piece in pieces)
                self._vocabulary = Vocabulary(entries, starts_word)
            return self._vocabulary

    def reference(self) -> Sequence[str]:
        """Return 26 short texts of plain English, about 2,200 words; see ``reference.py``."""
        from vecsearch_wordllama.reference import REFERENCE

        return REFERENCE

    def _tokenizer(self) -> PieceTokenizer:
        """Return the model's tokenizer, which takes 50 ms to load, without the mark that it puts before every text."""
        with self._lock:
            if self._cutter is None:
                self._cutter = _load_tokenizer(self._files["tokenizer"])
            return self._cutter

    def _long_sum(self, tokenizer: PieceTokenizer, text: str) -> npt.NDArray[np.float64]:
        total = np.zeros(self.dim)
        for first in range(0, len(text), _LONG):
            (ids,) = _cut(tokenizer, [text[first : first + _LONG]])
            total += self._matrix[ids].sum(axis=0, dtype=np.float64)
        return total


def _marked(entries: Sequence[str], starts: list[bool]) -> list[str]:
    """Return the entries as the tokenizer takes them: a mark before each word, nothing for a special entry."""
    try:
        "".join(entries).encode()
    except UnicodeEncodeError:
        entries = [entry.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") for entry in entries]
    return [
        "" if entry in SPECIAL else _MARK + entry if starting and entry not in _BYTES else entry
        for entry, starting in zip(entries, starts, strict=True)
    ]


def _cut(tokenizer: PieceTokenizer, texts: list[str]) -> list[list[int]]:
    """Return the piece ids of each text: one where it is a piece, none where it is empty or too long for one go."""
    ids = list(map(tokenizer.token_to_id, texts))
    pieces: list[list[int]] = [[] if id_ is None else [id_] for id_ in ids]
    rest = [row for row, id_ in enumerate(ids) if id_ is None and 0 < len(texts[row]) <= _LONG]
    if rest:
        encodings = tokenizer.encode_batch_fast([texts[row] for row in rest], add_special_tokens=False)
        for row, encoding in zip(rest, encodings, strict=True):
            pieces[row] = encoding.ids
    return pieces


def _load_tokenizer(path: str) -> PieceTokenizer:
    from tokenizers import Tokenizer, normalizers

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library raises plain Exception for whatever is wrong with the file
        raise _broken(f"{path} is not a tokenizer: {error}", path) from error
    if tokenizer.get_vocab_size() != _SHAPE[0] or tokenizer.token_to_id(_MARK) is None:
        raise _broken(
            f"{path} has {tokenizer.get_vocab_size()} pieces, {_SHAPE[0]} are expected, {_MARK!r} among them", path
        )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # subtle: the file's own normalizer puts the mark before every text, so an entry could never continue a word.
    # It is replaced, and _marked writes the mark where it belongs; everything else it did is to turn spaces into marks.
    tokenizer.normalizer = normalizers.Replace(" ", _MARK)
    tokenizer.encode_special_tokens = True  # "</s>" inside an entry is text
    return tokenizer


def _package_folders() -> list[str]:
    try:
        # subtle: find_spec of a top-level name does not import it; importing wordllama takes longer than a search
        spec = importlib.util.find_spec("wordllama")
    except ValueError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(
            f"the package wordllama, which carries the embedding matrix, is not installed; get it with {_REMEDY}"
        )
    return list(spec.submodule_search_locations)


def _found(folders: list[str], parts: tuple[str, str]) -> str:
    candidates = [os.path.join(folder, *parts) for folder in folders]
    for path in candidates:
        if os.path.isfile(path):
            return path
    raise _broken(f"{candidates[0]} is missing", candidates[0])


def _broken(what: str, path: str) -> PluginError:
    return PluginError(f"{what}; reinstall the package with {_REMEDY}", path=path)
