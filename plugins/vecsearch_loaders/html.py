"""HTML: one document a page: what a reader sees of it, with its blocks on lines of their own."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from vecsearch import Document, LoadError, SourceFile
from vecsearch_loaders.child import RefusedError
from vecsearch_loaders.decoding import checked_encoding, failure, read_text
from vecsearch_loaders.parsed import ParsingLoader

if TYPE_CHECKING:
    from bs4.element import Tag

__all__ = ["HtmlLoader", "read_page"]

_HIDDEN = frozenset(("script", "style", "template", "title", "datalist"))
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_PRE = frozenset(("pre", "textarea", "listing"))
_APART = """
address article aside blockquote dl fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr listing main nav ol p pre
section table textarea ul
"""
_LINES = """
body br caption center dd details div dt figcaption head html legend li option optgroup summary tbody tfoot thead tr
"""
# Line ends that stand before and after a block: two leave a blank line.
_BREAKS = dict.fromkeys(_LINES.split(), 1) | dict.fromkeys(_APART.split(), 2)
_CELLS = frozenset(("td", "th"))
_SPACE = re.compile(r"[ \t\n\r\f]+")  # not the no-break space: its author meant it
_DECLARED = re.compile(rb"""(?i)<meta\s[^>]{0,300}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w.:-]{1,40})""")
_XML_DECLARATION = re.compile(r"(?i)<\?xml\s[^>]{0,300}>")
_DECLARED_WITHIN = 2048
# What a page may say that it is in: the encodings of the web (https://encoding.spec.whatwg.org). Python has others,
# that take time by the square of the page (punycode), or make any characters of ASCII (unicode_escape, utf-7).
_DECLARABLE = frozenset(
    """
    big5 big5hkscs cp1006 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp866 cp874 cp932 cp949 euc_jp
    euc_kr gb18030 gb2312 gbk iso2022_jp iso8859-1 iso8859-10 iso8859-11 iso8859-13 iso8859-14 iso8859-15 iso8859-16
    iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-9 koi8-r koi8-u mac-cyrillic mac-roman
    shift_jis tis-620 utf-16 utf-16-be utf-16-le utf-8
    """.split()  # noqa: SIM905  a list of them would fill the screen
)


class HtmlLoader(ParsingLoader):
    """Reads a page as one document: its visible text, ``<title>`` (else the first heading), a section a heading.

    Where no encoding is asked for and the page is not UTF-8, the one that it declares in ``<meta>`` is taken.
    """

    name: ClassVar[str] = "html"
    suffixes: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml")

    def load(self, file: SourceFile) -> Iterator[Document]:
        """Yield the one document.

        Raises:
            LoadError: see ``decoding.read_text``; or there is nothing to see on the page.
        """
        source = self._read(file)
        if self.is_large(source):
            page = self.parsed_apart(file, "html", source)
        else:
            try:
                page = _parsed(source)
            except RefusedError as error:
                raise failure(file, str(error)) from error
        if not page["text"]:
            raise failure(file, "empty")
        yield Document(file.id, page["text"], page["title"], sections=tuple(page["sections"]))

    def _read(self, file: SourceFile) -> str:
        try:
            return read_text(file, self.encoding, self.max_bytes)
        except LoadError as error:
            declared = None if self.encoding or "offset" not in error.facts else _declared(file)
            if declared is None:
                raise
            return read_text(file, declared, self.max_bytes)


def read_page(stream: BinaryIO) -> dict[str, Any]:
    """Return what ``_parsed`` does of a page in UTF-8."""
    return _parsed(stream.read().decode("utf-8", "surrogatepass"))


def _parsed(source: str) -> dict[str, Any]:
    """Return ``text``, ``title`` and ``sections`` of a page.

    Raises:
        RefusedError: the parser knows no way to read it.
    """
    import bs4

    # subtle: it warns of short pages that look like a path and of XML declarations; given a stream and no such
    # declaration it does not, which (unlike a filter for warnings) also holds in threads.
    stream = io.StringIO(_XML_DECLARATION.sub("", _ended(source), count=1))
    try:
        soup = bs4.BeautifulSoup(stream, "html.parser")
    except bs4.ParserRejectedMarkup as error:
        raise RefusedError(f"not HTML: {error}") from error
    page = _Page()
    page.read(soup)
    text, sections, first_heading = page.result()
    title = _SPACE.sub(" ", soup.title.get_text()).strip() if soup.title else ""
    soup.decompose()  # its parts point at each other: without this they stay until the next collection
    return {"text": text, "title": title or first_heading, "sections": sections}


def _ended(source: str) -> str:
    """Return a page in which nothing is left open at its end.

    An open comment hides the rest of the page, as in browsers, and ``<`` after the last ``>`` begins no tag. Python's
    parser would look for the end again from each of them: hours for a page of a few megabytes made that way.
    """
    hidden = source.find("<!--", source.rfind("-->") + 1)
    if hidden >= 0:
        source = source[:hidden]
    last = source.rfind(">") + 1
    return source[:last] + source[last:].replace("<", "&lt;")


def _declared(file: SourceFile) -> str | None:
    with file.open() as stream:
        match = _DECLARED.search(stream.read(_DECLARED_WITHIN))
    if match is None:
        return None
    name = match[1].decode("ascii", "replace").lower()
    if name in ("iso-8859-1", "latin1", "us-ascii"):
        name = "cp1252"  # as browsers do
    try:
        return name if codecs.lookup(checked_encoding(name)).name in _DECLARABLE else None
    except ValueError:
        return None


class _Page:
    """The text of a page as it grows."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._breaks = 0  # line ends that must stand before the next word
        self._space = ""  # what separates it from the word before on the same line
        self._sections: list[int] = []
        self._heading_waits = False
        self._first_heading: tuple[int, int] | None = None

    def read(self, root: Tag) -> None:
        """Take in a tree. The stack is a list: pages may nest deeper than Python calls may."""
        from bs4.element import NavigableString, Tag

        stack = [(root, iter(root.contents), False)]
        while stack:
            tag, children, is_pre = stack[-1]
            child = next(children, None)
            if child is None:
                stack.pop()
                self._close(tag.name)
            elif isinstance(child, Tag):
                if child.name in _HIDDEN or child.has_attr("hidden"):
                    continue
                self._open(child.name)
                stack.append((child, iter(child.contents), is_pre or child.name in _PRE))
            elif type(child) is NavigableString:  # not a comment, a doctype or a script
                self._write(str(child), is_pre)

    def result(self) -> tuple[str, tuple[int, ...], str]:
        """Return the text, its sections and the words of the first heading."""
        text = "".join(self._parts)
        begin, end = self._first_heading or (0, 0)
        return text, tuple(self._sections), _SPACE.sub(" ", text[begin:end]).strip()

    def _open(self, name: str) -> None:
        self._break(name)
        if name in _HEADINGS:
            self._heading_waits = True

    def _close(self, name: str) -> None:
        self._break(name)
        if name in _HEADINGS:
            self._heading_waits = False
            if self._first_heading and not self._first_heading[1]:
                self._first_heading = self._first_heading[0], self._length

    def _break(self, name: str) -> None:
        self._breaks = max(self._breaks, _BREAKS.get(name, 0))
        if name in _CELLS:
            self._space = "\t"

    def _write(self, text: str, is_pre: bool) -> None:
        if is_pre:
            words = text.strip("\r\n") if self._breaks else text
        else:
            words = _SPACE.sub(" ", text)
            if words.startswith(" "):
                self._space = self._space or " "
            words = words.strip(" ")
        if not words:
            return
        if self._parts:
            self._append("\n" * self._breaks or self._space)
        self._breaks, self._space = 0, ""
        if self._heading_waits:
            self._heading_waits = False
            self._sections.append(self._length)
            if self._first_heading is None:
                self._first_heading = self._length, 0
        self._append(words)
        if not is_pre and text[-1] in " \t\n\r\f":
            self._space = " "

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
