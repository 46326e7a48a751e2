"""PDF, through the extra."""

from __future__ import annotations

import io
import sys

import pytest

from vecsearch import Document, LoadError, SourceFile
from vecsearch.testing import check_loader
from vecsearch_loaders.pdf import PdfLoader

pypdf = pytest.importorskip("pypdf")


def pdf(*pages: str, title: str | None = None, password: str | None = None) -> bytes:
    """Return a file of one line of text a page."""
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = pypdf.PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for text in pages:
        page = writer.add_blank_page(300, 300)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(content)
    if title:
        writer.add_metadata({"/Title": title})
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def load(content: bytes) -> Document:
    (document,) = PdfLoader().load(SourceFile("a/x.pdf", "x.pdf", lambda: io.BytesIO(content), len(content)))
    return document


def test_loader_keeps_its_contract():
    check_loader(PdfLoader, files={"x.pdf": pdf("one dog", "two dogs")})


def test_pages_are_sections_of_one_document():
    document = load(pdf("One dog.", "Two dogs.", title="Dogs"))
    assert document == Document("a/x.pdf", "One dog.\n\f\nTwo dogs.", "Dogs", {"n_pages": 2}, (0, 11))
    assert document.text[11:] == "Two dogs."


def test_file_without_a_title_has_none():
    assert load(pdf("One dog.")).title == ""


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7\n", b"no pdf at all", pdf("One dog.")[:200]])
def test_broken_file_is_an_error_that_names_it(content):
    with pytest.raises(LoadError, match=r"^x\.pdf: not a readable PDF"):
        load(content)


def test_file_without_text_says_so():
    with pytest.raises(LoadError, match=r"^x\.pdf: no text in it; scanned pages are not read$"):
        load(pdf(" ", ""))


def test_encrypted_file_is_an_error_that_says_so():
    with pytest.raises(LoadError, match=r"^x\.pdf: encrypted; remove its password first$"):
        load(pdf("One dog.", password="secret"))


def test_file_encrypted_without_a_password_is_read():
    assert load(pdf("One dog.", password="")).text == "One dog."


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(LoadError, match=r"^x\.pdf: reading PDF needs an extra: pip install 'vecsearch\[pdf\]'$"):
        load(b"%PDF-1.7\n")
