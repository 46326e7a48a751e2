"""Markdown: one document a file, a section a heading.

markdown-it-py tells what is a heading, so that a ``# comment`` in a fenced block is none. Only its block rules run:
the text itself stays as it was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar

from vecsearch import Document, SourceFile
from vecsearch_loaders.decoding import NEWLINE, read_text
from vecsearch_loaders.parsed import ParsingLoader

__all__ = ["MarkdownLoader", "read_outline"]

_FENCE = re.compile(r"---[ \t]*+(?:\r\n?+|\n)")
_FRONT_END = re.compile(r"(?:(?<=\n)|(?<=\r))(?:---|\.\.\.)[ \t]*+(?:\r\n?+|\n|\Z)")
_FIELD = re.compile(r"(?P<key>[A-Za-z_][\w.-]*)[ \t]*:(?:[ \t]+(?P<value>.*))?$")
_ITEM = re.compile(r"[ \t]*-[ \t]+(?P<value>.*)$")
_LONGEST_FRONT = 100_000
"""Characters within which front matter must end to be front matter."""
_LONGEST_HEADING = 2_000
"""Characters of a heading of which a title is made: marks that never close take time by their square."""


class MarkdownLoader(ParsingLoader):
    """Reads a file as one document.

    Its title is that of the front matter, else the first heading. Further fields of the front matter become metadata:
    ``key: value`` where the value is a JSON literal, a list (``[a, b]``, or lines that begin with ``-``) or else text.
    Nested fields are passed over; nothing else of YAML is understood, and nothing is executed.
    """

    name: ClassVar[str] = "markdown"
    suffixes: ClassVar[tuple[str, ...]] = (".md", ".markdown", ".mdown", ".mkd", ".mdx")

    def load(self, file: SourceFile) -> Iterator[Document]:
        """Yield the one document.

        Raises:
            LoadError: see ``decoding.read_text``.
        """
        text = read_text(file, self.encoding, self.max_bytes)
        body, metadata = _front_matter(text)
        if self.is_large(text):
            answer = self.parsed_apart(file, "markdown", text[body:])
            headings = [(body + start, words) for start, words in answer["headings"]]
        else:
            headings = [(body + start, words) for start, words in _headings(text[body:])]
        title = metadata.pop("title", "")
        if isinstance(title, list | dict) or title is None:
            title = ""
        title = str(title).strip() or (_plain(headings[0][1]) if headings else "")
        yield Document(file.id, text, title, metadata, tuple(start for start, _ in headings))


def read_outline(stream: BinaryIO) -> dict[str, Any]:
    """Return the headings of a text in UTF-8: ``headings``, pairs as of ``_headings``."""
    return {"headings": _headings(stream.read().decode("utf-8", "surrogatepass"))}


def _headings(text: str) -> list[tuple[int, str]]:
    """Return where each heading at the top level begins, and its source."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])
    tokens = parser.parse(text)
    lines = [0]
    lines += (match.end() for match in NEWLINE.finditer(text))
    return [
        (lines[token.map[0]], tokens[number + 1].content)
        for number, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0 and token.map
    ]


def _plain(heading: str) -> str:
    """Return a heading without its marks: ``*dog*`` is ``dog``."""
    from markdown_it import MarkdownIt

    parts = []
    for token in MarkdownIt("commonmark").parseInline(heading[:_LONGEST_HEADING])[0].children or ():
        if token.type in ("text", "code_inline", "image"):
            parts.append(token.content)
        elif token.type in ("softbreak", "hardbreak"):
            parts.append(" ")
    return "".join(parts).strip()


def _front_matter(text: str) -> tuple[int, dict[str, Any]]:
    """Return where the text after the front matter begins (0 without any), and the fields."""
    begin = _FENCE.match(text)
    end = _FRONT_END.search(text, begin.end(), begin.end() + _LONGEST_FRONT) if begin else None
    if begin is None or end is None:
        return 0, {}
    fields: dict[str, Any] = {}
    key = None
    for line in NEWLINE.split(text[begin.end() : end.start()]):
        item = _ITEM.match(line)
        if item and key is not None:
            items = fields.setdefault(key, [])
            if isinstance(items, list):
                items.append(_value(item["value"]))
        elif field := _FIELD.match(line):
            key = field["key"]
            value = (field["value"] or "").strip()
            if value:
                fields[key] = _value(value)
                key = None
    return end.end(), fields


def _value(source: str) -> Any:
    source = source.strip()
    if source.startswith("[") and source.endswith("]"):
        return [_scalar(part.strip()) for part in source[1:-1].split(",") if part.strip()]
    return _scalar(source)


def _scalar(source: str) -> str | int | float | bool | None:
    if len(source) > 1 and source[0] == source[-1] == "'":
        return source[1:-1].replace("''", "'")
    if source.startswith(("[", "{")):
        return source
    try:
        value: str | int | float | bool | None = json.loads(source, parse_constant=str)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:  # also what JSON can write but not mean: 1e999, half a surrogate pair
        return source
    return value
