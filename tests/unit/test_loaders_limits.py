"""Files made to take all time, all memory or the process itself: one skipped file each, with the reason."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from tests.tiny import tiny_pipeline
from vecsearch import Index, LoadError, SourceFile
from vecsearch.ingest import index_paths
from vecsearch_loaders.apart import read_apart
from vecsearch_loaders.html import HtmlLoader
from vecsearch_loaders.limits import max_bytes, max_memory, max_seconds
from vecsearch_loaders.markdown import MarkdownLoader
from vecsearch_loaders.plain import PlainTextLoader
from vecsearch_loaders.records import CsvLoader, JsonLinesLoader

pypdf = pytest.importorskip("pypdf")

from vecsearch_loaders.pdf import PdfLoader  # noqa: E402

MEGABYTE = 1 << 20


def source(content: bytes, name: str = "x") -> SourceFile:
    return SourceFile(name, name, lambda: io.BytesIO(content), len(content))


def reason_of(loader, content: bytes, name: str = "x") -> str:
    """Return why a loader refuses a file."""
    with pytest.raises(LoadError) as caught:
        list(loader.load(source(content, name)))
    assert caught.value.file == name
    return caught.value.reason


def pdf(n_pages: int, n_words: int, repeats: int = 1) -> bytes:
    """Return a file whose every page is the same one, listed ``repeats`` times more than it is."""
    from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, NumberObject

    writer = pypdf.PdfWriter()
    font = {"/Type": NameObject("/Font"), "/Subtype": NameObject("/Type1"), "/BaseFont": NameObject("/Helvetica")}
    fonts = DictionaryObject({NameObject("/F1"): DictionaryObject({NameObject(k): v for k, v in font.items()})})
    for _ in range(n_pages):
        page = writer.add_blank_page(300, 300)
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        content = DecodedStreamObject()
        content.set_data(b"BT /F1 12 Tf 20 200 Td" + b" (dog) Tj" * n_words + b" ET")
        page[NameObject("/Contents")] = writer._add_object(content.flate_encode())
    tree = writer._pages.get_object()
    tree[NameObject("/Kids")] = ArrayObject(list(tree["/Kids"]) * repeats)
    tree[NameObject("/Count")] = NumberObject(n_pages * repeats)
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def test_pdf_that_takes_too_long_is_given_up():
    content = pdf(1, 3_000, repeats=3_000)
    assert len(content) < 40_000
    assert reason_of(PdfLoader(max_seconds=1), content) == (
        "reading it took longer than 1 seconds; VECSEARCH_FILE_SECONDS allows more"
    )


def test_pdf_that_needs_too_much_memory_is_given_up():
    content = pdf(1, 6_000_000)
    assert len(content) < 200_000  # 54 MB, packed
    assert reason_of(PdfLoader(max_memory=150 * MEGABYTE), content) == (
        "reading it needs more than 157,286,400 bytes of memory; VECSEARCH_FILE_MEMORY allows more"
    )


def test_process_that_cannot_even_begin_is_one_file_that_is_not_read():
    assert "reading it" in reason_of(PdfLoader(max_memory=1), pdf(1, 1))


def test_process_that_ends_without_an_answer_has_crashed():
    with pytest.raises(LoadError, match=r"^x: reading it ended in a crash \(exit code 1\)$"):
        read_apart(source(b""), "no such reader", io.BytesIO(), 60, 1 << 30)


def test_stream_is_read_from_where_it_stands(tmp_path):
    path = tmp_path / "page"
    path.write_bytes(b"<p>left out</p><p>dog</p>")
    for opened in (io.BytesIO(path.read_bytes()), path.open("rb")):
        with opened as stream:
            stream.read(15)
            assert read_apart(source(b""), "html", stream, 60, 1 << 30)["text"] == "dog"


def test_process_imports_nothing_from_the_current_folder(tmp_path, monkeypatch):
    for name in ("pypdf", "bs4", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    (document,) = PdfLoader().load(source(pdf(1, 1)))
    assert document.text == "dog"


def test_hostile_file_does_not_keep_its_neighbours_out(tmp_path: Path, monkeypatch):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "hostile.pdf").write_bytes(pdf(1, 3_000, repeats=3_000))
    (folder / "good.txt").write_text("the dog bit the man")
    monkeypatch.setenv("VECSEARCH_FILE_SECONDS", "1")
    with Index.create(tmp_path / "index", pipeline=tiny_pipeline()) as index:
        report = index_paths(index, [folder])
        assert [summary.id for summary in index.documents()] == ["good.txt"]
        assert index.verify() == []
    assert [os.path.basename(one.path) for one in report.skipped] == ["hostile.pdf"]
    assert "longer than 1 seconds" in report.skipped[0].reason


# pages and Markdown


def test_large_page_is_read_as_a_small_one_is():
    page = "<title>Dogs</title><h1>One</h1><p>{}</p><h2>Two</h2>naïve \ud800"
    small, large = (page.format("dog " * n) for n in (10, 100_000))
    encoding = "utf-16-le"
    for text, n in ((small, 10), (large, 100_000)):
        content = b"\xff\xfe" + text.replace("\ud800", "").encode(encoding)
        (document,) = HtmlLoader().load(source(content, "x.html"))
        body = " ".join(["dog"] * n)
        assert document.text == f"One\n\n{body}\n\nTwo\n\nnaïve"
        assert document.title == "Dogs"
        assert document.sections == (0, 3 + 2 + len(body) + 2)


def test_large_markdown_is_read_as_a_small_one_is():
    for n in (10, 100_000):
        text = "---\nlang: en\n---\n# One\n" + "dog " * n + "\n\n## Two\n"
        (document,) = MarkdownLoader().load(source(text.encode(), "x.md"))
        assert (document.text, document.title, document.metadata) == (text, "One", {"lang": "en"})
        assert document.sections == (text.index("# One"), text.index("## Two"))


@pytest.mark.parametrize(("loader", "unit"), [(HtmlLoader, "<b><i>x"), (MarkdownLoader, "- a\n")])
def test_large_text_whose_parts_fill_the_memory_is_given_up(loader, unit):
    content = unit.encode() * (3 * MEGABYTE // len(unit))
    assert "bytes of memory" in reason_of(loader(max_memory=200 * MEGABYTE), content)


def test_heading_of_a_megabyte_of_open_brackets_takes_no_time_by_the_square():
    heading = "[" * (MEGABYTE // 8)
    (document,) = MarkdownLoader().load(source(f"# {heading}\n".encode(), "x.md"))
    assert heading.startswith(document.title)
    assert 0 < len(document.title) <= 2_000


@pytest.mark.parametrize("declared", ["punycode", "unicode_escape", "utf-7", "idna", "rot13", "hex", "undefined"])
def test_page_cannot_choose_an_encoding_that_is_none_of_the_web(declared):
    content = f"<meta charset={declared}><p>".encode() + b"\xff" * 1000
    assert "not UTF-8" in reason_of(HtmlLoader(), content)


@pytest.mark.parametrize("declared", ["iso-8859-15", "windows-1251", "sjis", "gb2312", "euc-kr", "koi8-r", "big5"])
def test_page_may_declare_an_encoding_of_the_web(declared):
    text = {"iso-8859-15": "é", "sjis": "日本", "gb2312": "中", "euc-kr": "한", "big5": "中"}.get(declared, "собака")
    (document,) = HtmlLoader().load(source(f"<meta charset={declared}><p>{text}".encode(declared)))
    assert document.text == text


def test_entities_that_a_page_defines_are_not_expanded():
    bombs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    page = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">{bombs}<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    content = (page + "<p>dog &l11; &f;</p>").encode()
    (document,) = HtmlLoader().load(source(content, "x.xhtml"))
    assert "dog" in document.text
    assert len(document.text) < 2 * len(content)
    assert "root:" not in document.text


# sizes


def test_text_beyond_the_limit_is_refused():
    assert PlainTextLoader(max_bytes=2 * MEGABYTE).max_bytes == 2 * MEGABYTE
    (document,) = PlainTextLoader(max_bytes=2 * MEGABYTE).load(source(b"x" * 2 * MEGABYTE))
    assert len(document.text) == 2 * MEGABYTE
    assert reason_of(PlainTextLoader(max_bytes=2 * MEGABYTE), b"x" * (2 * MEGABYTE + 1)) == (
        "larger than 2,097,152 bytes; VECSEARCH_FILE_BYTES allows more"
    )


def test_pdf_beyond_the_limit_is_refused():
    assert "larger than 10 bytes" in reason_of(PdfLoader(max_bytes=10), pdf(1, 1))


def test_line_beyond_the_limit_is_refused_with_its_number():
    long = json.dumps({"text": "x" * 3 * MEGABYTE}).encode()
    content = b'{"text": "dog"}\n' + long + b"\n"
    assert reason_of(JsonLinesLoader(max_bytes=MEGABYTE), content) == (
        "line 2: longer than 1,048,576 characters; VECSEARCH_FILE_BYTES allows more"
    )
    assert len(list(JsonLinesLoader().load(source(content)))) == 2


def test_endless_line_is_refused_before_it_is_read():
    class Endless(io.RawIOBase):
        def __init__(self):
            self.n_read = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            self.n_read += len(buffer)
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    for loader in (JsonLinesLoader, CsvLoader, PlainTextLoader):
        endless = Endless()
        file = SourceFile("x", "x", lambda endless=endless: io.BufferedReader(endless), 0)
        with pytest.raises(LoadError, match="allows more"):
            list(loader(max_bytes=4 * MEGABYTE).load(file))
        assert endless.n_read < 8 * MEGABYTE


def test_quote_that_is_never_closed_is_refused_with_the_line_where_it_was_opened():
    content = b'id,text\n1,dog\n2,"never closed\n' + b"3,man\n" * (MEGABYTE // 4)
    assert reason_of(CsvLoader(max_bytes=MEGABYTE), content) == (
        "line 3: a record longer than 1,048,576 characters; VECSEARCH_FILE_BYTES allows more"
    )
    table = b"id,text\n" + b"3,man\n" * (MEGABYTE // 4)  # longer than a record may be, but no record is
    assert sum(1 for _ in CsvLoader(max_bytes=MEGABYTE).load(source(table))) == MEGABYTE // 4


@pytest.mark.parametrize("opened", ["[", '{"a":'])
def test_record_nested_too_deeply_is_refused(opened):
    closed = "]" if opened == "[" else "}"
    for depth in (2_000, 100_000):
        line = f'{{"text": "dog 1e999", "x": {opened * depth}1{closed * depth}}}'.encode()
        assert reason_of(JsonLinesLoader(), line) == "line 1: not JSON that can be read: nested too deeply"
    line = f'{{"text": "dog 1e999", "x": {opened * 90}1{closed * 90}}}'.encode()
    (document,) = JsonLinesLoader().load(source(line))
    assert "x" in document.metadata


# settings


@pytest.mark.parametrize("limit", [max_bytes, max_seconds, max_memory])
def test_limit_is_the_argument_or_the_variable_or_the_default(limit, monkeypatch):
    variable = {max_bytes: "BYTES", max_seconds: "SECONDS", max_memory: "MEMORY"}[limit]
    default = limit(None)
    monkeypatch.setenv(f"VECSEARCH_FILE_{variable}", "12345")
    assert limit(None) == 12345 != default
    assert limit(7) == 7
    for bad in ("", "0", "-1", "many", "inf", "nan"):
        monkeypatch.setenv(f"VECSEARCH_FILE_{variable}", bad)
        if not bad:
            assert limit(None) == default
            continue
        with pytest.raises(ValueError, match=f"VECSEARCH_FILE_{variable}="):
            limit(None)
    for wrong in (0, -1, True, "7", float("nan")):
        with pytest.raises(ValueError, match="max_"):
            limit(wrong)
