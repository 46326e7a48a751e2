"""Texts that a plugin must take, the shortest first."""

from __future__ import annotations

__all__ = ["SAMPLE_TEXTS"]

SAMPLE_TEXTS: tuple[str, ...] = (
    "",
    "a",
    " ",
    "\n",
    "\0",
    "İ",  # two characters when folded
    "ß",
    "ﬁ",  # one character, two letters
    "e\u0301",  # e and a combining accent: one character when composed
    "\u200d",  # a joiner with nothing to join
    "\ufeff",
    "…",
    "𝔘𝔫",  # beyond the basic plane: two units each in UTF-16
    "日本語",
    "שלום",
    "กำลัง",
    "नमस्ते",
    "👍🏽",
    "🇩🇪🇫🇷",
    "👩‍👩‍👧‍👦",
    "x\0y",
    "dog",
    "The dog",
    "a\r\n\tb",
    "don't stop",
    "3.14 and 1,000",
    "la la la la",
    "a\u0301\u0323b\u0308",
    "العربية and English",
    "日本語とEnglish、混ぜる。",
    "The dog bit the man. The man bit the dog!",
    "snake_case camelCase kebab-case HTTPServer2",
    "ÉCOLE école e\u0301cole Straße STRASSE",
    "   leading and trailing   ",
    "one line\nanother line\r\n\r\na paragraph",
    "https://example.org/a/b?c=d#e <user@example.org>",
    "🙂 smile 👩‍🚀 astronaut 𝔘𝔫𝔦 日本 end",
    "ab" * 150,
    "word " * 300,
)
