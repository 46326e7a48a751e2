r"""reStructuredText: one document a file, a section a heading.

Headings are told by their adornment alone. docutils is left out on purpose: it would follow directives such as
``include`` and ``raw`` to other files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from vecsearch import Document, SourceFile
from vecsearch_loaders.decoding import TextLoader, read_text

__all__ = ["RestructuredTextLoader"]

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*+[^\S\r\n]*+$")
_UNDERLINED = re.compile(
    r"(?m)^(?P<title>[^\r\n]++)(?:\r\n|\n|\r)(?P<line>(?P<mark>[!-/:-@\[-`{-~])(?P=mark)*+)[^\S\r\n]*+\r?+$"
)


class RestructuredTextLoader(TextLoader):
    """Reads a file as one document whose title is its first heading."""

    name: ClassVar[str] = "rst"
    suffixes: ClassVar[tuple[str, ...]] = (".rst", ".rest")

    def load(self, file: SourceFile) -> Iterator[Document]:
        """Yield the one document.

        Raises:
            LoadError: see ``decoding.read_text``.
        """
        text = read_text(file, self.encoding, self.max_bytes)
        headings = list(_headings(text))
        yield Document(
            file.id, text, headings[0][1] if headings else "", sections=tuple(start for start, _ in headings)
        )


def _headings(text: str) -> Iterator[tuple[int, str]]:
    """Yield where each heading begins, its overline included, and its words."""
    position = 0
    while match := _UNDERLINED.search(text, position):
        # The underline may itself be followed by one: the next search begins with it.
        position = match.start("line")
        title = match["title"].rstrip()
        if not title or _ADORNMENT.match(title):
            continue
        n_marks = len(match["line"])
        if n_marks < len(title.strip()) and n_marks < 4:
            continue
        before, start_before = _line_before(text, match.start())
        overline = _ADORNMENT.match(before)
        if overline and before.rstrip() == match["line"]:
            yield start_before, title.strip()
        elif not before.strip() and not title[0].isspace():
            yield match.start(), title
        else:
            continue
        position = match.end()


def _line_before(text: str, start: int) -> tuple[str, int]:
    end = start - 2 if text.startswith("\r\n", start - 2) and start >= 2 else start - 1
    if end < 0:
        return "", 0
    begin = text.rfind("\n", 0, end) + 1
    begin = max(begin, text.rfind("\r", begin, end) + 1)
    return text[begin:end], begin
