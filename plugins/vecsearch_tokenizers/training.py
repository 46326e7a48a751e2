"""Learns a subword vocabulary from texts, by BPE or by Unigram, for ``SubwordTokenizer``.

The work is done by the ``tokenizers`` library. Here is what surrounds it: which pieces a word may be cut into, bytes
for what the vocabulary lacks, and the same output for the same input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import regex

from vecsearch import UsageError, VecsearchError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Kind", "train"]

Kind = Literal["bpe", "unigram"]

SMALLEST, LARGEST = 512, 1_000_000
UNKNOWN = "<unk>"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]

LONGEST_WORD = 64
"""Runs without white space are cut after so many characters: both trainers slow down badly on long ones."""

_NEVER = -1000.0
"""Log-probability of a byte piece, so that Unigram never prefers ``<0x41>`` where a text has just that."""

_PUNCTUATION_ROOM = 64
"""Entries that a Unigram vocabulary keeps for punctuation marks; rarer ones are left to the bytes."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_LONG_RUN = re.compile(rf"(\S{{{LONGEST_WORD}}})(?=\S)")
_METASPACE = "▁"


def train(
    texts: Iterable[str],
    *,
    kind: Kind,
    size: int,
    fold_case: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Tokenizer:
    """Learn a vocabulary from texts.

    Words are cut at white space and around punctuation; a piece that begins one is marked ``▁``. Characters too rare
    for the vocabulary are cut into byte pieces (``<0x00>`` to ``<0xFF>``), so that no text is unknown. The same texts
    in the same order give the same vocabulary.

    Args:
        texts: read once, as a stream; memory grows with the number of different words only.
        kind: ``bpe`` merges the commonest pairs (Sennrich et al. 2016); ``unigram`` prunes a large vocabulary to the
            pieces that explain the text best (Kudo 2018); the library's trainer knows only pieces that occur in at
            least two different words.
        size: entries, 512 to 1,000,000, of which 257 are bytes and ``<unk>``; fewer where the texts give no more.
        fold_case: learn from the texts in lower case, and lower every text that is tokenized.
        progress: called with the number of characters read so far, once a text.

    Returns:
        A tokenizer; ``to_str(pretty=True)`` is the text of its ``tokenizer.json``.

    Raises:
        UsageError: an unknown kind, a size out of range, or texts without a single word.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    if kind not in get_args(Kind):
        raise UsageError(f"cannot train a tokenizer of kind {kind!r}; kinds: {', '.join(get_args(Kind))}", kind=kind)
    if isinstance(size, bool) or not isinstance(size, int) or not SMALLEST <= size <= LARGEST:
        raise UsageError(
            f"cannot train a vocabulary of {size!r} entries; give a whole number from {SMALLEST} to {LARGEST:,}",
            size=size,
        )
    tokenizer = Tokenizer(models.BPE(byte_fallback=True) if kind == "bpe" else models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([*([normalizers.Lowercase()] if fold_case else []), normalizers.NFC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.Metaspace(_METASPACE, prepend_scheme="always"),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(_METASPACE, prepend_scheme="always")]
    )
    reader = _Reader(texts, kind, progress)
    reserved = [UNKNOWN, *BYTES]
    trainer: Any
    if kind == "bpe":
        alphabet = (size - len(reserved)) // 2  # rarer characters are left to the bytes
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=reserved, limit_alphabet=alphabet, show_progress=False
        )
    else:
        trainer = trainers.UnigramTrainer(
            vocab_size=size - _PUNCTUATION_ROOM, special_tokens=reserved, unk_token=UNKNOWN, show_progress=False
        )
    try:
        tokenizer.train_from_iterator(iter(reader), trainer)
    except VecsearchError:
        raise
    except Exception as error:  # the library raises plain Exception
        if "not large enough" in str(error):
            raise UsageError(
                f"{size} entries cannot hold all characters of these texts; give a larger size, "
                "or use the kind 'bpe', which leaves rare characters to byte pieces",
                size=size,
            ) from error
        raise
    if not reader.has_words:
        raise UsageError("cannot train a tokenizer: the texts hold no words; give files with text in them")
    description = _with_plain_bytes(json.loads(tokenizer.to_str()))
    if kind == "unigram":
        description["model"] = _settled(description["model"], reader.punctuation())
    return Tokenizer.from_str(json.dumps(description))


class _Reader:
    """Streams texts as the trainers can take them, and remembers what was in them.

    Unigram is not shown punctuation: as each mark is cut off with a ``▁`` of its own, ``▁`` would become the commonest
    piece by far, and words would be cut into a lone ``▁`` and a rest.
    """

    def __init__(self, texts: Iterable[str], kind: Kind, progress: Callable[[int], None] | None) -> None:
        self.has_words = False
        self._texts = texts
        self._hides_punctuation = kind == "unigram"
        self._progress = progress
        self._characters: dict[str, int] = {}

    def __iter__(self) -> Iterator[str]:
        n_characters = 0
        for text in self._texts:
            n_characters += len(text)
            shown = text if text.isascii() else _SURROGATES.sub("\ufffd", text)
            if self._hides_punctuation:
                for character in set(shown):
                    self._characters[character] = self._characters.get(character, 0) + 1
                shown = _punctuation_pattern().sub(" ", shown)
            self.has_words = self.has_words or not (shown == "" or shown.isspace())
            yield _LONG_RUN.sub(r"\1 ", shown)
            if self._progress is not None:
                self._progress(n_characters)

    def punctuation(self) -> list[str]:
        """Return the punctuation marks to have entries: those of the most texts, then by code point."""
        marks = [character for character in self._characters if _punctuation_pattern().fullmatch(character)]
        return sorted(marks, key=lambda mark: (-self._characters[mark], mark))[:_PUNCTUATION_ROOM]


def _with_plain_bytes(description: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a tokenizer with its bytes as ordinary entries.

    The trainers keep for certain only what they are told is special, and special tokens are cut out of a text before
    the model sees it.
    """
    description["added_tokens"] = [token for token in description["added_tokens"] if token["content"] == UNKNOWN]
    return description


def _settled(model: dict[str, Any], punctuation: list[str]) -> dict[str, Any]:
    """Return a trained Unigram model with bytes and punctuation, and nothing left to chance.

    The trainer sums in parallel, so log-probabilities differ from run to run in their last digits; and it hands rare
    characters the smallest one plus .0001, .0002, … in random order.
    """
    learnt: dict[str, float] = dict(model["vocab"][1 + len(BYTES) :])
    least = round(min(learnt.values()), 4)
    handed_out = least + 0.0001 * (len(learnt) + 1)
    scores = {
        entry: least if len(entry) == 1 and score < handed_out else round(score, 4) for entry, score in learnt.items()
    }
    scores |= {_METASPACE + mark: least for mark in punctuation}
    return {
        **model,
        "unk_id": 0,
        "byte_fallback": True,
        "vocab": [
            [UNKNOWN, 0.0],
            *([entry, _NEVER] for entry in BYTES),
            *map(list, sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))),
        ],
    }


@cache
def _punctuation_pattern() -> regex.Pattern[str]:
    """Return the pattern of what the library's pre-tokenizer takes for punctuation."""
    return regex.compile(r"[\p{P}!-/:-@\[-`{-~]")
