"""HTML: what a reader of the page sees."""

from __future__ import annotations

import io

import pytest

from vecsearch import Document, LoadError, SourceFile
from vecsearch.testing import check_loader
from vecsearch_loaders.html import HtmlLoader


def load(content: bytes | str, **config: str) -> Document:
    content = content.encode() if isinstance(content, str) else content
    (document,) = HtmlLoader(**config).load(
        SourceFile("a/page.html", "page.html", lambda: io.BytesIO(content), len(content))
    )
    return document


PAGE = """<!DOCTYPE html>
<html><head><title> The
 page </title><style>p { color: red }</style><meta charset="utf-8"></head>
<body>
<h1>Big <em>news</em></h1>
<p>One   <b>dog</b>
bit a&nbsp;man &amp;lt;b&amp;gt;.</p><p>Two<br>lines</p>
<!-- nothing -->
<script>alert("no")</script><template>no</template>
<ul><li>first</li><li>second</li></ul>
<h2>Table</h2>
<table><tr><th>a</th><td>b</td></tr><tr><td>c</td><td></td><td>d</td></tr></table>
<pre>
def f():
    return 1
</pre>
<div hidden>no</div><div>end</div></body></html>
"""


def test_loader_keeps_its_contract():
    check_loader(HtmlLoader, files={"page.html": PAGE.encode()})


def test_visible_text_keeps_its_blocks():
    assert load(PAGE).text == (
        "Big news\n\n"
        "One dog bit a\u00a0man &lt;b&gt;.\n\n"
        "Two\nlines\n\n"
        "first\nsecond\n\n"
        "Table\n\n"
        "a\tb\nc\td\n\n"
        "def f():\n    return 1\n\n"
        "end"
    )


def test_title_and_sections_are_found():
    document = load(PAGE)
    assert document.title == "The page"
    assert [document.text[start : start + 5] for start in document.sections] == ["Big n", "Table"]


def test_first_heading_is_the_title_of_a_page_without_one():
    assert load("<p>x</p><h2>Second <i>best</i></h2><h1>First</h1>").title == "Second best"
    assert load("<title></title><p>x").title == ""


def test_entities_are_decoded_once():
    assert load("<p>&amp;amp; &lt;p&gt; &#233; &#x1F600; &copy</p>").text == "&amp; <p> é 😀 ©"


def test_half_a_character_becomes_the_replacement_character():
    assert load("<p>a&#xD800;b</p>").text == "a\ufffdb"


@pytest.mark.parametrize(
    "page",
    ["", "<html></html>", "<title>x</title>", "<script>x</script>", "<!-- x -->", "<!-- open <p>x</p>", "<p hidden>x"],
)
def test_page_with_nothing_to_see_is_empty(page):
    with pytest.raises(LoadError, match=r"^page.html: empty$"):
        load(page)


@pytest.mark.parametrize("page", ["1 < 2", "a<b", "<p>x</p><a href='y", "text <!", "&#9999999999;x", "<![if x]>y"])
def test_broken_markup_is_read_as_far_as_it_goes(page):
    assert load(page).text


def test_nesting_has_no_limit():
    assert load("<div>" * 30_000 + "deep").text == "deep"


@pytest.mark.parametrize("unit", ["<!--", "<a ", "<", "<a href='", "<![CDATA[", "</", "<?"])
def test_page_that_never_closes_what_it_opens_is_read(unit):
    # Without the guard Python's parser takes hours for these.
    load("<p>seen</p>" + unit * 300_000)


@pytest.mark.parametrize(
    "declaration", ['<meta charset="iso-8859-1">', "<META http-equiv=x content='text/html; charset=windows-1252'>"]
)
def test_declared_encoding_is_used_where_a_page_is_not_utf_8(declaration):
    assert load(declaration.encode() + b"<p>na\xefve \x80").text == "naïve €"


def test_utf_8_and_the_encoding_asked_for_win_over_a_declaration():
    page = '<meta charset="iso-8859-1"><p>naïve'
    assert load(page).text == "naïve"
    assert load(page.encode("cp1251", "replace").replace(b"?", b"\xbf"), encoding="cp1251").text == "naїve"


@pytest.mark.parametrize("declaration", ["", '<meta charset="hex">', '<meta charset="no-such">'])
def test_page_in_an_unknown_encoding_is_an_error(declaration):
    with pytest.raises(LoadError, match="byte 0xef at offset"):
        load(declaration.encode() + b"<p>na\xefve")


@pytest.mark.parametrize("page", ["readme.txt", "http://example.org/", '<?xml version="1.0"?>\n<a><p>x</p></a>'])
def test_pages_that_the_parser_would_warn_of_are_read_in_silence(page):
    assert load(page).text
