"""Decoding, plain text, Markdown, reStructuredText and source code."""

from __future__ import annotations

import codecs
import io

import pytest

from vecsearch import Document, LoadError, SourceFile
from vecsearch.testing import check_loader
from vecsearch_loaders.code import SourceCodeLoader
from vecsearch_loaders.decoding import NEWLINE, split_lines
from vecsearch_loaders.markdown import MarkdownLoader
from vecsearch_loaders.plain import PlainTextLoader
from vecsearch_loaders.rst import RestructuredTextLoader

TEXT_LOADERS = [PlainTextLoader, MarkdownLoader, RestructuredTextLoader, SourceCodeLoader]


def load(loader, content: bytes | str, name: str = "sample.txt") -> Document:
    content = content.encode() if isinstance(content, str) else content
    (document,) = loader.load(SourceFile(f"folder/{name}", name, lambda: io.BytesIO(content), len(content)))
    return document


def sections(document: Document) -> list[str]:
    """Return the line with which each section begins."""
    return [document.text[start:].splitlines()[0] for start in document.sections]


@pytest.mark.parametrize("cls", TEXT_LOADERS)
def test_loader_keeps_its_contract(cls):
    sample = b"\xef\xbb\xbf# Title\r\n\r\nTitle\n=====\n\ndef f():\n    pass\n\nend\n"
    check_loader(cls, files={f"sample{cls.suffixes[0]}": sample})
    check_loader(cls, files={f"sample{cls.suffixes[0]}": "Gr\u00fc\u00dfe".encode("latin-1")}, encoding="latin-1")


@pytest.mark.parametrize("text", ["dog\n", "a\r\nb\rc\n\n", " \tindented", "é\u0301 😀 שלום", "nul\x00" + "x" * 9000])
@pytest.mark.parametrize("cls", TEXT_LOADERS)
def test_text_is_kept_exactly(cls, text):
    padded = "x" * 9000 + text
    assert load(cls(), padded).text == padded


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
@pytest.mark.parametrize("asked", [None, "latin-1"])
def test_byte_order_mark_decides_and_is_dropped(mark, encoding, asked):
    text = "Grüße, 😀" * 3000
    assert load(PlainTextLoader(encoding=asked), mark + text.encode(encoding)).text == text


def test_encoding_asked_for_is_used_without_a_mark():
    assert load(PlainTextLoader(encoding="cp1252"), b"na\xefve \x80").text == "naïve €"
    assert load(PlainTextLoader(encoding="utf-16-le"), "dog".encode("utf-16-le")).text == "dog"
    assert load(PlainTextLoader(encoding="shift_jis"), "漢字".encode("shift_jis")).text == "漢字"


@pytest.mark.parametrize("offset", [0, 5, 8190, 8192, 9000, 2_000_000])
def test_byte_that_does_not_decode_is_named_with_its_offset(offset):
    content = b"x" * offset + b"\xe9" + b" y"
    with pytest.raises(LoadError, match="byte 0xe9 at offset") as caught:
        load(PlainTextLoader(), content)
    assert caught.value.message == (
        f"sample.txt: not UTF-8: byte 0xe9 at offset {offset:,} (invalid continuation byte); "
        f"pass --encoding NAME, such as latin-1"
    )
    assert (caught.value.facts["byte"], caught.value.facts["offset"]) == (0xE9, offset)


def test_offset_counts_the_mark_and_characters_cut_by_a_block():
    # The euro sign's three bytes lie across the end of the first block of 8192 bytes.
    content = codecs.BOM_UTF8 + b"x" * 8187 + "€".encode() + b"\xff"
    with pytest.raises(LoadError, match="byte 0xff at offset 8,193"):
        load(PlainTextLoader(), content)


def test_character_cut_off_at_the_end_is_an_error():
    with pytest.raises(LoadError, match="byte 0xe2 at offset 2 "):
        load(PlainTextLoader(), b"ab\xe2\x82")


def test_wrong_encoding_asked_for_is_named():
    with pytest.raises(LoadError, match=r"not ASCII: byte 0xc3 at offset 2 .* pass another --encoding than ascii"):
        load(PlainTextLoader(encoding="ascii"), "naïve")


@pytest.mark.parametrize("name", ["utf-9", "hex", "zip", "", "rot13"])
def test_encoding_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="is not known"):
        PlainTextLoader(encoding=name)


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", codecs.BOM_UTF8, codecs.BOM_UTF16_LE + b"\n\0"])
@pytest.mark.parametrize("cls", TEXT_LOADERS)
def test_file_without_words_is_empty(cls, content):
    with pytest.raises(LoadError, match=r"^sample.txt: empty$") as caught:
        load(cls(), content)
    assert caught.value.facts["reason"] == "empty"


def test_file_with_nul_bytes_at_its_beginning_is_binary():
    with pytest.raises(LoadError, match=r"^sample.txt: binary$"):
        load(PlainTextLoader(), b"GIF89a\x00\x01")
    with pytest.raises(LoadError, match=r"^sample.txt: binary$"):
        load(PlainTextLoader(encoding="latin-1"), b"GIF89a\x00\x01")


@pytest.mark.parametrize("n", range(1, 8))
def test_lines_do_not_depend_on_how_the_text_is_cut_into_pieces(n):
    text = "a\r\n\r\rbc\n\n\r\nd"
    pieces = (text[at : at + n] for at in range(0, len(text), n))
    assert list(split_lines(pieces, NEWLINE)) == ["a\r\n", "\r", "\r", "bc\n", "\n", "\r\n", "d"]


def test_plain_text_has_neither_title_nor_sections():
    assert load(PlainTextLoader(), "# Not a heading\n\ntext\n") == Document(
        "folder/sample.txt", "# Not a heading\n\ntext\n"
    )


MARKDOWN = """\
Intro

# First *heading* with `code`

```sh
# comment, no heading
```

Second
------

    # indented code

> # quoted

- # in a list

### Third ###
"""


def test_markdown_headings_begin_sections():
    document = load(MarkdownLoader(), MARKDOWN)
    assert sections(document) == ["# First *heading* with `code`", "Second", "### Third ###"]
    assert document.title == "First heading with code"
    assert document.text == MARKDOWN


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_markdown_sections_are_right_for_every_kind_of_line_end(newline):
    document = load(MarkdownLoader(), MARKDOWN.replace("\n", newline))
    assert [document.text[start : start + 5] for start in document.sections] == ["# Fir", "Secon", "### T"]


def test_markdown_sections_are_right_behind_odd_characters():
    document = load(MarkdownLoader(), "x" * 9000 + "\x00\u2028\x0b\t😀\n\n# A\n")
    assert sections(document) == ["# A"]


def test_front_matter_becomes_title_and_metadata():
    document = load(
        MarkdownLoader(),
        "---\n"
        "title: 'It''s here'\n"
        "date: 2024-05-01\n"
        "year: 2024\n"
        "draft: true\n"
        "answer: no\n"
        "zip: 007\n"
        "huge: 1e999\n"
        'quoted: "a: b"\n'
        "tags: [dog, 'cat', 3]\n"
        "authors:\n"
        "  - Ann\n"
        "- Bob\n"
        "nested:\n"
        "  key: value\n"
        "tool: !!python/object:os.system x\n"
        "---\n"
        "# Heading\n",
    )
    assert document.title == "It's here"
    assert document.metadata == {
        "date": "2024-05-01",
        "year": 2024,
        "draft": True,
        "answer": "no",
        "zip": "007",
        "huge": "1e999",
        "quoted": "a: b",
        "tags": ["dog", "cat", 3],
        "authors": ["Ann", "Bob"],
        "tool": "!!python/object:os.system x",
    }
    assert sections(document) == ["# Heading"]


@pytest.mark.parametrize("text", ["---\ntitle: x\n\ntext", "text\n---\ntitle: x\n---\n", "--- \nx"])
def test_what_only_looks_like_front_matter_is_text(text):
    document = load(MarkdownLoader(), text)
    assert document.metadata == {}
    assert document.title in ("", "text", "title: x")


def test_front_matter_nested_deeply_is_harmless():
    document = load(MarkdownLoader(), f"---\na: {'[' * 20_000}{']' * 20_000}\nb: {'{' * 20_000}\n---\ntext\n")
    assert set(document.metadata) == {"a", "b"}


RST = """\
========
 Manual
========

Intro.

First
=====

Text with a table:

=====  =====
a      b
=====  =====

Not a title: the line below is too short
---

Two lines
of text
-------

----

Second
~~~~~~

    Code
    ----

.. include:: /etc/passwd
"""


def test_rst_headings_begin_sections():
    document = load(RestructuredTextLoader(), RST)
    assert sections(document) == ["========", "First", "Second"]
    assert document.title == "Manual"
    assert document.text == RST


def test_rst_headings_are_found_in_dos_files():
    document = load(RestructuredTextLoader(), RST.replace("\n", "\r\n"))
    assert sections(document) == ["========", "First", "Second"]


def test_rst_heading_may_stand_on_the_first_line():
    document = load(RestructuredTextLoader(), "Title\n=====\ntext\n")
    assert (document.title, document.sections) == ("Title", (0,))


def test_rst_long_underline_of_a_longer_title_counts():
    assert load(RestructuredTextLoader(), "A title\n----\n").title == "A title"
    assert load(RestructuredTextLoader(), "A title\n---\n").title == ""


PYTHON = '''\
"""Module."""

import os
import sys


# About f.
@decorator
def f():
    x = 1

    return x
def g():
    pass

CONSTANT = (
    1,

)
class C:

    def method(self):
        pass
'''


def test_code_sections_are_definitions_and_unindented_blocks():
    document = load(SourceCodeLoader(), PYTHON, "sample.py")
    assert sections(document) == ["import os", "# About f.", "def g():", "CONSTANT = (", "class C:"]
    assert document.title == ""


def test_code_sections_of_braces():
    source = "use a;\n\npub fn one() {\n    x\n}\npub(crate) async fn two() {\n}\n\n}\n\nstatic X: u8 = 1;\n"
    assert sections(load(SourceCodeLoader(), source, "sample.rs")) == [
        "pub fn one() {",
        "pub(crate) async fn two() {",
        "static X: u8 = 1;",
    ]


def test_code_sections_are_found_in_dos_files():
    document = load(SourceCodeLoader(), PYTHON.replace("\n", "\r\n"), "sample.py")
    assert sections(document) == ["import os", "# About f.", "def g():", "CONSTANT = (", "class C:"]


def test_no_suffix_belongs_to_two_loaders(registry):
    owners: dict[str, list[str]] = {}
    for name in registry.names("loader"):
        for suffix in registry.get("loader", name).suffixes:
            owners.setdefault(suffix, []).append(name)
    assert {suffix: names for suffix, names in owners.items() if len(names) > 1} == {}
    assert {".md", ".rst", ".py", ".html", ".jsonl", ".csv", ".tsv", ".pdf", ".txt", ".yaml", ".rs"} <= owners.keys()
