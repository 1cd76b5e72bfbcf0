"""Rows as libraries, spreadsheets and other programs write them, in files of one's own."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.data.local import document_file, json_rows
from talm_core.data.local.corpus import Corpus, open_corpus
from talm_core.data.local.json_rows import NotJsonError
from talm_core.data.text_column import holds_text, text_bytes
from talm_core.errors import CorpusError

ROWS = [{"id": i, "text": f'story {i}: "é"\n[{{]}} \\'} for i in range(9)]
TEXTS = [row["text"] for row in ROWS]


def corpus_of(*paths: Path, **reading: Any) -> Corpus:
    return open_corpus("text", paths=[str(path) for path in paths], **reading)


def texts(*paths: Path, **reading: Any) -> list[str]:
    return [document.text for document in corpus_of(*paths, **reading).documents()]


def refusal(path: Path, **reading: Any) -> str:
    """Why a file that is named cannot be read, when it is looked at or read."""
    with pytest.raises(CorpusError) as caught:
        texts(path, **reading)
    (problem,) = caught.value.problems
    assert problem.key == path.as_posix()
    return f"{problem.message} ({problem.hint})"


# --- JSON ------------------------------------------------------------------------------------

WAYS: dict[str, Callable[[Sequence[object]], str]] = {
    "lines": lambda rows: "".join(json.dumps(row) + "\n" for row in rows),
    "crlf": lambda rows: "\r\n".join(map(json.dumps, rows)),
    "array": json.dumps,
    "pretty": lambda rows: json.dumps(rows, indent=4),
    "objects": lambda rows: "\n".join(json.dumps(row, indent=2) for row in rows),
    "spaced": lambda rows: f"\n\n  {json.dumps(rows, separators=(' , ', ' : '))} \n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
@pytest.mark.parametrize("way", WAYS)
def test_rows_in_a_json_file_are_documents(
    way: str, suffix: str, encoding: str, tmp_path: Path
) -> None:
    path = tmp_path / f"rows{suffix}"
    data = WAYS[way](ROWS).encode(encoding)
    path.write_bytes(gzip.compress(data, mtime=0) if suffix.endswith("gz") else data)
    corpus = corpus_of(path)
    assert [document.text for document in corpus.documents()] == TEXTS
    assert len(corpus) == 9
    assert corpus.notes == ()


def test_a_single_row_and_an_array_of_texts_are_rows(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"text": "alone", "id": 1}')
    (tmp_path / "b.json").write_text('[{"text": "only"}]')
    (tmp_path / "c.json").write_text('["one", "two"]')
    assert texts(tmp_path) == ["alone", "only", "one", "two"]


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"text": st.text(max_size=9), "x": st.recursive(st.none() | st.floats(), st.lists)}
        ),
        max_size=6,
    ),
    size=st.integers(1, 40),
    indent=st.none() | st.integers(0, 2),
)
@settings(deadline=None, max_examples=60)
def test_values_are_read_wherever_the_text_is_parted(
    rows: list[dict[str, object]], size: int, indent: int | None
) -> None:
    written = json.dumps(rows, indent=indent)
    parts = [written[at : at + size] for at in range(0, len(written), size)]
    found = list(json_rows.values(iter(parts)))
    assert json.dumps(found) == json.dumps(rows)


@pytest.mark.parametrize("size", [1, 3, 99])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"a": 1} {"b": 2}]', "is no JSON: '{"),
        ('[{"a": 1}', "breaks off in the middle of its array"),
        ('[{"a": 1}, {"b', "is no JSON: it breaks off"),
        ('[{"a": 1}]\n[]', "goes on behind the end of its array"),
        ('{"a": 1}\n{"b": "\x01"}', "is no JSON: '"),
        ("[" * 5_000, "is nested too deeply to be read"),
    ],
)
def test_what_is_no_json_is_said_in_words_of_its_own(text: str, said: str, size: int) -> None:
    parts = (text[at : at + size] for at in range(0, len(text), size))
    with pytest.raises(NotJsonError) as caught:
        list(json_rows.values(parts))
    assert str(caught.value).startswith(said)


def test_a_row_of_an_array_that_is_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = iter(["[", '"' + "x" * 50, "x" * 60, 'x"]'])
    with pytest.raises(NotJsonError, match="has a row of more than 99 characters"):
        list(json_rows.values(parts, 99))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_numbers_of_any_length_are_json(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    lines = [f'{{"text": "{at}", "n": {"7" * 5_000}, "e": -1e999}}\n' for at in range(3)]
    path.write_text("".join(lines))
    assert texts(path) == ["0", "1", "2"]


def test_a_line_that_breaks_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n' * 50 + '{"text": "unfin')
    assert refusal(path) == (
        "line 51 is no JSON: it breaks off from its character 10 on"
        " (mend it, or leave the file out: unreadable_files = leave_out)"
    )


def test_lines_in_utf16_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(WAYS["crlf"](ROWS).encode("utf-16"))
    assert texts(path) == TEXTS


def test_json_without_rows_is_text_and_that_is_said(tmp_path: Path) -> None:
    written = {
        "comments.json": '// about\n{"a": 1}',
        "config.json": '{"name": "x", "nested": {"text": 1}}',
        "numbers.json": "[1, 2, 3]",
        "other.json": '[{"body": "x"}, {"body": "y"}]',
    }
    for name, text in written.items():
        (tmp_path / name).write_text(text)
    corpus = corpus_of(tmp_path)
    assert [document.text for document in corpus.documents()] == list(written.values())
    assert corpus.notes == (
        (
            "4 files look like JSON and are read as plain text: comments.json is no JSON,"
            " config.json is one object, numbers.json has no rows and 1 more; text_field names the"
            " field that holds the text of rows"
        ),
    )
    # What somebody means to have read is refused instead.
    assert refusal(tmp_path / "other.json") == (
        "has rows without a field 'text' (set text_field; known: body)"
    )
    assert texts(tmp_path / "other.json", text_field="body") == ["x", "y"]


def test_text_that_looks_like_something_else_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(WAYS["lines"](ROWS))
    (tmp_path / "b.txt").write_text("<!DOCTYPE html><p>x")
    (tmp_path / "c.html").write_text("<html><p>x")
    (tmp_path / "d.md").write_text("{not json}\n")
    (tmp_path / "e.py").write_text("{'a': 1}\n")
    assert corpus_of(tmp_path).notes == (
        (
            "1 file looks like JSON Lines and is read as plain text: a.txt; the ending .jsonl has"
            " its rows read"
        ),
        "1 file looks like HTML and is read as plain text: b.txt",
    )


# --- CSV -------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", 'id,text\n1,plain\n2,"a, ""b""\r\nc"\n3,\n4,é\n'),
        ("a.csv", '"id","text"\r\n1,plain\r\n2,"a, ""b""\r\nc"\r\n3,\r\n4,é'),
        ("a.csv", 'id;text\n1;plain\n2;"a, ""b""\r\nc"\n3;\n\n4;é\n'),
        ("a.tsv", 'text\tid\nplain\t1\n"a, ""b""\r\nc"\t2\n\t3\né\t4\n'),
        ("a.CSV", 'text\nplain\n"a, ""b""\r\nc"\n""\né\n'),
    ],
    ids=["usual", "quoted and CRLF", "semicolons", "tabs", "one column"],
)
def test_columns_of_text_are_documents(name: str, data: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data.encode(encoding))
    corpus = corpus_of(tmp_path / name)
    assert [document.text for document in corpus.documents()] == ["plain", 'a, "b"\r\nc', "é"]
    assert len(corpus) == 3
    list(corpus.parts())
    assert corpus.gaps.count == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("id,text\n1,a\n2,b,c\n", "line 3 begins a row of 3 fields, the header has 2"),
        ('id,text\n1,"a\n2,b\n', "line 2 begins a row that is no CSV: look at its quotes"),
        ('id,text\n1,"a"b\n', "line 2 begins a row that is no CSV: look at its quotes"),
        ("id,body\n1,a\n", "has no column 'text' (set text_field; known: body, id)"),
        ("id,text\n1,\xfc\n", "line 2 is not UTF-8: byte 10 is 0xfc"),
    ],
)
def test_what_is_no_csv_is_named(data: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(data.encode("latin-1"))
    assert refusal(tmp_path / "a.csv").startswith(said)


def test_csv_without_the_column_in_a_directory_is_text_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,body\n1,a\n")
    (tmp_path / "b.txt").write_text("b")
    corpus = corpus_of(tmp_path)
    assert [document.text for document in corpus.documents()] == ["id,body\n1,a\n", "b"]
    assert corpus.notes == (
        (
            "1 file looks like CSV and is read as plain text: a.csv has no column 'text';"
            " text_field names the column that holds the text"
        ),
    )


# --- other encodings -------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-8"])
def test_a_byte_order_mark_says_how_a_text_is_written(
    encoding: str, suffix: str, tmp_path: Path
) -> None:
    text = "hello there 😀\r\n" * 5_000
    data = ("\ufeff" + text).encode(encoding)
    for name in ("a", "b"):
        path = tmp_path / f"{name}.txt{suffix}"
        path.write_bytes(gzip.compress(data, mtime=0) if suffix else data)
    corpus = corpus_of(tmp_path)
    assert [document.text for document in corpus.documents()] == [text, text]
    assert (len(corpus), corpus.total_bytes) == (2, 2 * len(text.encode()))


def test_what_is_not_what_its_mark_says_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffab".encode("utf-16-le") + b"\x00\xd8a\x00\x00")
    assert refusal(path).startswith("is not UTF-16, as its byte order mark says")
    assert texts(path, encoding_errors="replace") == ["ab\ufffda\ufffd"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("without a mark\n".encode("utf-16-le") * 9, "looks like UTF-16 without a byte order mark"),
        (
            gzip.compress(b"x" * 99, mtime=0),
            "is a gzip archive, not text (give its name the ending .gz",
        ),
        (b"PK\x03\x04\0\0", "is a zip archive, or a document of an office program, not text"),
        (b"%PDF-1.7 only letters", "is a PDF, not text (save its text)"),
        (b"\x89PNG\0\0", "is a binary file, not text"),
    ],
)
def test_what_is_no_text_is_named(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    assert refusal(path).startswith(said)


# --- files that cannot be read ---------------------------------------------------------------


def test_files_that_cannot_be_read_are_left_out_where_that_is_wished(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "un')
    (tmp_path / "b.jsonl").write_text('{"txt": "x"}\n{"txt": "y"}\n')
    (tmp_path / "c.txt").write_bytes(b"gr\xfcn")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"some text" * 99, mtime=0)[:-9])
    (tmp_path / "e.parquet").write_bytes(b"PAR1 and no end")
    (tmp_path / "f.txt").write_text("fine")
    (tmp_path / "g.jsonl").write_text('{"text": "good"}\n')
    with pytest.raises(CorpusError) as caught:
        corpus_of(tmp_path)
    assert [Path(problem.key).name for problem in caught.value.problems] == [
        "b.jsonl",
        "d.txt.gz",
        "e.parquet",
    ]
    corpus = corpus_of(tmp_path, unreadable_files="leave_out")
    assert (len(corpus), corpus.total_bytes) == (2, 8)
    assert [part.text for part in corpus.parts()] == ["fine", "good"]
    assert {Path(problem.key).name for problem in corpus.left_out} == {
        *("a.jsonl", "b.jsonl", "c.txt", "d.txt.gz", "e.parquet")
    }
    assert corpus.unreadable.startswith("5 files that cannot be read are left out: ")
    assert corpus.unreadable.endswith(" and 2 more")
    # Of nothing but such files nothing can be learned.
    with pytest.raises(CorpusError, match=r"c\.txt: is not UTF-8"):
        len(corpus_of(tmp_path / "c.txt", unreadable_files="leave_out"))
    with pytest.raises(CorpusError, match=r"e\.parquet: is no parquet file"):
        corpus_of(tmp_path / "e.parquet", unreadable_files="leave_out")


# --- columns ---------------------------------------------------------------------------------

VALUES = ["é", "b", None, "é", "long " * 50, ""]


def encoded(kind: pa.DataType) -> pa.Array:
    return pa.array(VALUES, pa.string()).cast(kind)


COLUMNS = {
    **{
        str(kind): encoded(kind)
        for kind in (
            *(pa.string(), pa.large_string(), pa.string_view()),
            *(pa.binary(), pa.large_binary(), pa.binary_view()),
        )
    },
    "dictionary": encoded(pa.string()).dictionary_encode(),
    "large dictionary": encoded(pa.large_string()).dictionary_encode(),
    # As Polars writes an Enum.
    "ordered dictionary": pa.DictionaryArray.from_arrays(
        pa.array([0, 1, None, 0, 2, 3], pa.uint8()),
        pa.array(["é", "b", "long " * 50, ""], pa.large_string()),
        ordered=True,
    ),
}


@pytest.mark.parametrize("layout", COLUMNS)
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_every_layout_of_text_is_read(layout: str, version: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": COLUMNS[layout]})
    pq.write_table(table, path, data_page_version=version, row_group_size=4)
    assert texts(path) == [value for value in VALUES if value is not None]


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])
def test_every_encoding_of_text_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    options: dict[str, Any] = {"use_dictionary": False, "column_encoding": {"text": encoding}}
    pq.write_table(pa.table({"text": VALUES}), path, compression="brotli", **options)
    assert texts(path) == [value for value in VALUES if value is not None]


def test_columns_that_are_in_memory_alone_are_read() -> None:
    runs = pa.RunEndEncodedArray.from_arrays([2, 3], pa.array(["a", None]))
    assert text_bytes(runs) == [b"a", b"a", None]
    assert text_bytes(pa.nulls(2)) == [None, None]
    assert holds_text(runs.type)
    assert holds_text(pa.null())
    views = pa.DictionaryArray.from_arrays([0, 0], pa.array(["a"], pa.string_view()))
    assert holds_text(views.type)


def test_a_part_without_any_text_is_passed_over(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", None, "b"]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"text": pa.nulls(5)}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "2.parquet")
    corpus = corpus_of(tmp_path)
    assert len(corpus) == 2
    assert [(part.number, part.text) for part in corpus.parts()] == [(0, "a"), (2, "b")]
    assert corpus.gaps.count == 6


def test_columns_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [["a"], ["b"]], "body": ["a", "b"]}), path)
    assert refusal(path) == (
        "field 'text' holds lists, not text (set text_field; of text are: body)"
    )
    pq.write_table(pa.table({"text": [{"a": 1}]}), path)
    assert refusal(path) == "field 'text' holds objects, not text ()"


def test_lines_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_file, "LONGEST_LINE", 100)
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "x" * 200 + "\n")
    assert refusal(path).startswith("line 2 has more than 100 bytes")
