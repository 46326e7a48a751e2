"""JSON Lines, CSV and TSV."""

from __future__ import annotations

import codecs
import io

import pytest

from vecsearch import Document, LoadError, SourceFile
from vecsearch.testing import check_loader
from vecsearch_loaders.records import CsvLoader, JsonLinesLoader


def load(loader, content: bytes | str, name: str) -> list[Document]:
    content = content.encode() if isinstance(content, str) else content
    return list(loader.load(SourceFile(f"a/{name}", name, lambda: io.BytesIO(content), len(content))))


def jsonl(content: bytes | str, **config: str) -> list[Document]:
    return load(JsonLinesLoader(**config), content, "x.jsonl")


def table(content: bytes | str, name: str = "x.csv", **config: str) -> list[Document]:
    return load(CsvLoader(**config), content, name)


def test_loaders_keep_their_contract():
    check_loader(JsonLinesLoader, files={"a.jsonl": b'{"id": 1, "text": "a"}\n\n{"_id": "2", "text": "b"}'})
    check_loader(CsvLoader, files={"a.csv": b'id,text\r\n1,"a\nb"\r\n2,c\r\n', "a.tsv": b"id\ttext\n1\ta\n"})
    check_loader(CsvLoader, files={"a.csv": b"id|text\n1|a\n"}, delimiter="|")


def test_json_keys_become_id_text_title_and_metadata():
    assert jsonl('{"id": "1", "text": "dog", "title": "T", "lang": "en", "n": [1, {"a": null}]}\n') == [
        Document("1", "dog", "T", {"lang": "en", "n": [1, {"a": None}]})
    ]


def test_json_ids_may_be_numbers_or_underscored_or_missing():
    documents = jsonl(
        '{"id": 7, "text": "a"}\n{"_id": "x", "text": "b"}\n\n{"text": "c"}\n{"id": null, "text": "d"}\n'
        '{"id": 1.5, "_id": 3, "text": "e", "title": null}'
    )
    assert [document.id for document in documents] == ["7", "x", "a/x.jsonl#4", "a/x.jsonl#5", "1.5"]
    assert [dict(document.metadata) for document in documents] == [{}, {}, {}, {}, {"_id": 3}]


def test_json_nested_metadata_is_merged_and_keys_beside_it_win():
    (document,) = jsonl('{"text": "a", "metadata": {"x": 1, "y": 2}, "y": 3}')
    assert document.metadata == {"x": 1, "y": 3}
    (document,) = jsonl('{"text": "a", "metadata": "plain"}')
    assert document.metadata == {"metadata": "plain"}


def test_json_lines_end_only_at_line_feeds():
    documents = jsonl('{"text": "a\u2028b\x85c"}\r\n{"text": "d"}')
    assert [document.text for document in documents] == ["a\u2028b\x85c", "d"]


def test_json_long_lines_and_many_lines_cross_block_borders():
    content = '{"text": "' + "é" * 1_500_000 + '"}\n' + '{"text": "x"}\n' * 5
    assert [len(document.text) for document in jsonl(content)] == [1_500_000, 1, 1, 1, 1, 1]


def test_json_in_utf_16_is_read():
    assert jsonl(codecs.BOM_UTF16_LE + '{"text": "é"}\n{"text": "b"}'.encode("utf-16-le"))[1].text == "b"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON: Expecting property name enclosed in double quotes at column 2"),
        ("[1]", 'a list, not an object such as {"id": "1", "text": "…"}'),
        ('"text"', 'a text, not an object such as {"id": "1", "text": "…"}'),
        ('{"id": 1, "body": "x"}', "no \"text\"; the keys are 'id', 'body'"),
        ("{}", 'no "text"; the keys are none at all'),
        ('{"text": 3}', '"text" is a number; it must be a text'),
        ('{"text": null}', '"text" is null; it must be a text'),
        ('{"text": "a", "title": ["b"]}', '"title" is a list; it must be a text'),
        ('{"text": "a", "id": ""}', '"id" is an empty text; it must be a text of at least one character, or a number'),
        (
            '{"text": "a", "id": true}',
            '"id" is true or false; it must be a text of at least one character, or a number',
        ),
        ('{"text": "a", "x": NaN}', "not JSON that can be read: NaN is not a JSON value"),
        ('{"text": "a", "x": {"y": 1e999}}', "a number is too large"),
        ('{"text": "a\\ud83d"}', "\\ud83d is half a character: a lone surrogate is not text"),
        ('{"text": "a", "\\udc00": 1}', "\\udc00 is half a character: a lone surrogate is not text"),
        ("[" * 100_000, "not JSON that can be read: nested too deeply"),
    ],
)
def test_json_line_that_is_no_document_is_named(line, reason):
    with pytest.raises(LoadError, match="line 3") as caught:
        jsonl('{"text": "good"}\n\n' + line + '\n{"text": "good"}')
    assert caught.value.message == f"x.jsonl: line 3: {reason}"
    assert caught.value.facts["line"] == 3


def test_json_pairs_of_surrogates_are_one_character():
    assert jsonl('{"text": "\\ud83d\\ude00"}')[0].text == "😀"


def test_json_documents_before_a_bad_line_are_given():
    loaded = JsonLinesLoader().load(SourceFile("x", "x", lambda: io.BytesIO(b'{"text": "a"}\n{'), 15))
    assert next(loaded).text == "a"
    with pytest.raises(LoadError, match="line 2"):
        next(loaded)


def test_json_byte_that_does_not_decode_is_named_with_its_offset():
    with pytest.raises(LoadError, match="byte 0xe9 at offset 16 "):
        jsonl(b'{"text": "a"}\n{"\xe9": 1}')


@pytest.mark.parametrize("content", [b"", b"\n \r\n", codecs.BOM_UTF8])
def test_files_without_records_are_empty(content):
    for read in (jsonl, table):
        with pytest.raises(LoadError, match=r"empty$"):
            read(content)


def test_table_with_a_header_only_is_empty():
    with pytest.raises(LoadError, match=r"^x.csv: empty$"):
        table("id,text\n")


def test_csv_columns_become_id_text_title_and_metadata():
    assert table('ID, Text ,title,Year\n1,"a ""b"", c",T,2024\n\n2,"two\r\nlines",,\n') == [
        Document("1", 'a "b", c', "T", {"Year": "2024"}),
        Document("2", "two\r\nlines", "", {"Year": ""}),
    ]


def test_csv_rows_without_an_id_are_named_by_their_line():
    documents = table('\n\ntext,id\n"a\nb",\nc,7\nd, \n')
    assert [document.id for document in documents] == ["a/x.csv#4", "7", "a/x.csv#7"]


def test_tsv_fields_are_parted_by_tabs():
    assert table("id\ttext\n1\ta, b; c\n", "x.TSV") == [Document("1", "a, b; c")]


def test_semicolons_are_seen_and_delimiters_may_be_given():
    assert table("id;text\n1;a, b\n") == [Document("1", "a, b")]
    assert table("id|text\n1|a, b\n", delimiter="|") == [Document("1", "a, b")]


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n"])
def test_delimiter_that_is_none_is_refused(delimiter):
    with pytest.raises(ValueError, match="delimiter is"):
        CsvLoader(delimiter=delimiter)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_csv_takes_every_kind_of_line_end(newline):
    rows = newline.join(["id,text", "1,a", "2,b", ""])
    assert [document.id for document in table(rows)] == ["1", "2"]


def test_csv_takes_nul_and_very_long_fields():
    text = "x" * 300_000
    filler = "y" * 9000
    assert table(f"text,more\n{text},{filler}\na\x00b,c\n")[1].text == "a\x00b"
    assert table(f"text,more\n{text},{filler}\n")[0].text == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "x.csv: line 1: no column \"text\"; the columns are 'a', 'b'"),
        ("text,x,x\n1,2,3\n", "x.csv: line 1: two columns are called 'x'; names must differ"),
        ("text,x\n1,2\n\n1,2,3\n", "x.csv: line 4: 3 fields, but 2 columns; quote fields that hold the delimiter"),
        ("text,x\n1\n", "x.csv: line 2: 1 fields, but 2 columns; quote fields that hold the delimiter"),
        ('text\na\n"b\nc', "x.csv: line 3: unexpected end of data"),
        ('text\n"a"b\n', "x.csv: line 2: ',' expected after '\"'"),
    ],
)
def test_csv_that_does_not_fit_its_header_is_an_error(content, message):
    with pytest.raises(LoadError, match=r"x\.csv") as caught:
        table(content)
    assert caught.value.message == message
