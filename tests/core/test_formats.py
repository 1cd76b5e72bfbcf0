"""Documents out of files: text, JSON Lines and parquet, plain and compressed."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.data.local import document_file
from talm_core.data.local.corpus import open_corpus
from talm_core.data.local.document_file import DocumentFile
from talm_core.data.local.formats import EncodingErrors, Format, Reading
from talm_core.errors import CorpusError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".zst": zst,
}


def lines(rows: Sequence[object]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def parquet(rows: Sequence[str | None], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": range(len(rows)), "text": rows}), out, **options)
    return out.getvalue()


def read(
    path: Path, *, field: str = "text", errors: EncodingErrors = "strict"
) -> list[tuple[str, str]]:
    file = DocumentFile(path, path.name, Format.of(path.name), Reading(field, errors))
    return [(document.name, document.text) for document in file.documents()]


def problem(path: Path, **how: Any) -> str:
    with pytest.raises(CorpusError) as caught:
        read(path, **how)
    (found,) = caught.value.problems
    assert found.key == path.as_posix()
    return found.message + (f" ({found.hint})" if found.hint else "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", Format("text")),
        ("a", Format("text")),
        ("a.txt.gz", Format("text", "gzip")),
        ("A.PY.ZST", Format("text", "zstd")),
        ("a.jsonl", Format("jsonl")),
        ("a.ndjson.zst", Format("jsonl", "zstd")),
        ("a.JSONL.gz", Format("jsonl", "gzip")),
        ("a.parquet", Format("parquet")),
        ("jsonl", Format("text")),
        ("gz", Format("text")),
    ],
)
def test_the_name_says_what_a_file_is(name: str, expected: Format) -> None:
    assert Format.of(name) == expected


# --- text ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", PACKED)
def test_a_text_comes_out_as_it_is(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.txt{suffix}"
    text = "grün\r\nzwei\rdrei 世界😀\0\x1b" * 50
    path.write_bytes(PACKED[suffix](b"\xef\xbb\xbf" + text.encode()))
    assert read(path) == [(path.name, text)]


@pytest.mark.parametrize("suffix", PACKED)
@given(text=texts, size=st.integers(1, 9))
@settings(deadline=None, max_examples=40)
def test_parts_are_cut_between_characters(
    suffix: str, text: str, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("parts") / f"a{suffix}"
    path.write_bytes(PACKED[suffix](text.encode()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_file, "PART_BYTES", size)
        parts = list(DocumentFile(path, "a", Format.of(path.name)).parts())
    assert "".join(parts) == text.removeprefix("\ufeff")
    assert all(len(part.encode()) <= size + 3 for part in parts)


@pytest.mark.parametrize("suffix", PACKED)
def test_what_is_not_utf8_is_named_with_its_byte_or_replaced(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"latin.txt{suffix}"
    path.write_bytes(PACKED[suffix](b"x" * document_file.PART_BYTES + b"gr\xfcn"))
    at = document_file.PART_BYTES + 2
    unpacked = " unpacked" if suffix else ""
    assert problem(path).startswith(f"is not UTF-8:{unpacked} byte {at:,} is 0xfc (convert")
    ((_, text),) = read(path, errors="replace")
    assert text == "x" * document_file.PART_BYTES + "gr\ufffdn"
    path.write_bytes(PACKED[suffix]("abc€".encode()[:-1]))
    assert "byte 3 is 0xe2" in problem(path)
    assert read(path, errors="replace") == [(path.name, "abc\ufffd")]


def test_several_members_and_frames_are_one_text(tmp_path: Path) -> None:
    for suffix in (".gz", ".zst"):
        path = tmp_path / f"a{suffix}"
        pack = PACKED[suffix]
        path.write_bytes(pack(b"one ") + pack(b"") + pack(b"two " * 40_000) + pack(b"drei"))
        assert read(path)[0][1] == "one " + "two " * 40_000 + "drei"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_damaged_archive_is_told(suffix: str, tmp_path: Path) -> None:
    noise = "".join(random.Random(1).choices("abcdefgh \n", k=200_000)).encode()
    whole = PACKED[suffix](noise)
    for kind in ("txt", "jsonl"):
        path = tmp_path / f"a.{kind}{suffix}"
        data = whole if kind == "txt" else PACKED[suffix](lines([{"text": "x" * 99}] * 9_000))
        path.write_bytes(data[: len(data) // 2])
        assert problem(path).startswith("is damaged")
        path.write_bytes(data[: len(data) // 2] + b"\0" * 9 + data[len(data) // 2 + 9 :])
        assert re.match("is damaged|line .* is no JSON", problem(path))
        path.write_bytes(b"no archive at all")
        assert problem(path).startswith("is damaged")
        path.write_bytes(data + b"trailing")
        assert problem(path).startswith("is damaged")


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    assert problem(tmp_path / "absent.jsonl") == "cannot be read: No such file or directory"


# --- JSON Lines ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", PACKED)
def test_every_line_is_a_document(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    rows = ["one", "zwei\nZeilen", "", None, "😀 \u2028 x"]
    data = b"\xef\xbb\xbf" + lines([{"id": 1, "text": row} for row in rows[:2]])
    data += b"\n  \r\n" + lines([{"text": row, "x": [{}]} for row in rows[2:]]).rstrip()
    path.write_bytes(PACKED[suffix](data))
    found = read(path)
    assert [text for _, text in found] == [row for row in rows if row is not None]
    assert [name.rpartition("#")[2] for name, _ in found] == ["1", "2", "5", "7"]


def test_another_field_may_hold_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines([{"content": "x", "text": 3}]))
    assert read(path, field="content")[0][1] == "x"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            b'{"text": "x"',
            "line 2 is no JSON: it breaks off from its character 13 on (mend it, or leave",
        ),
        (b"text", "line 2 is no JSON from its character 1 on: 'text' (mend it"),
        (b'["text"]', "line 2 is no JSON object"),
        (b"[" * 100_000, "line 2 is nested too deeply to be read"),
        (b'{"txt": ""}', "line 2 has no field 'text' (set text_field; did you mean 'txt'?)"),
        (b'{"text": 5}', "line 2: field 'text' holds a number, not text"),
        (b'{"text": true}', "line 2: field 'text' holds true or false, not text"),
        (b'{"text": {}}', "line 2: field 'text' holds an object, not text"),
        (b'{"text": "\xfc"}', "line 2 is not UTF-8: byte 24 is 0xfc (convert"),
        (
            rb'{"text": "a\ud800"}',
            r"line 2: half a surrogate pair, \ud800, at character 2 of the text (mend",
        ),
    ],
)
def test_a_line_without_a_text_is_named(line: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + line + b"\n")
    assert problem(path).startswith(message)


def test_lines_that_are_not_unicode_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "gr\xfcn"}\n' + rb'{"text": "\ud83d\ude00 \ud800x"}')
    assert [text for _, text in read(path, errors="replace")] == ["gr\ufffdn", "😀 \ufffdx"]


def test_a_line_without_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_file, "LONGEST_LINE", 100)
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines([{"text": "x" * 80}, {"text": "x" * 90}]))
    assert problem(path) == "line 2 has more than 100 bytes"


# --- parquet ---------------------------------------------------------------------------------


@given(rows=st.lists(st.one_of(st.none(), texts), max_size=25), group=st.integers(1, 9))
@settings(deadline=None, max_examples=40)
def test_every_row_is_a_document(
    rows: list[str | None], group: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.parquet"
    schema = pa.schema({"text": pa.string()})
    table = pa.table({"text": pa.array(rows, pa.string())}, schema=schema)
    pq.write_table(table, path, row_group_size=group)
    numbered = enumerate(rows, 1)
    expected = [(f"a.parquet#{number}", row) for number, row in numbered if row is not None]
    assert read(path) == expected


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())],
)
def test_kinds_of_text(kind: pa.DataType, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": pa.array(["é", "b", "é"]).cast(kind)}), path)
    assert [text for _, text in read(path, field="t")] == ["é", "b", "é"]


def test_wrong_fields_of_a_parquet_file_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(["a"]))
    assert problem(path, field="txt") == (
        "has no field 'txt' (set text_field; did you mean 'text'?)"
    )
    assert problem(path, field="id") == (
        "field 'id' holds int64, not text (set text_field; of text are: text)"
    )


def test_a_row_that_is_not_utf8_is_named_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.array([b"a", b"gr\xfcn"], pa.binary())}), path)
    assert problem(path).startswith("row 2 is not UTF-8: byte 2 is 0xfc (convert")
    assert [text for _, text in read(path, errors="replace")] == ["a", "gr\ufffdn"]


def test_a_damaged_parquet_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    source = random.Random(1)
    rows = ["".join(source.choices("abcdefgh", k=90)) for _ in range(2_000)]
    pq.write_table(pa.table({"text": rows}), path, compression="zstd")
    whole, half = path.read_bytes(), path.stat().st_size // 2
    path.write_bytes(whole[:half])
    assert problem(path).startswith("is damaged behind row 0")
    path.write_bytes(whole[:half] + b"\xff" * 900 + whole[half + 900 :])
    assert problem(path).startswith("is damaged behind row ")


# --- in a corpus -----------------------------------------------------------------------------


def test_a_directory_of_everything(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines([{"text": "a1"}, {"text": "a2é"}])))
    (tmp_path / "b.parquet").write_bytes(parquet(["b1", None, "b3"], row_group_size=2))
    (tmp_path / "c.txt").write_text("c")
    (tmp_path / "d.txt.zst").write_bytes(zst(b"d"))
    (tmp_path / "e.tar.gz").write_bytes(gzip.compress(b"ustar\0\0\0"))
    (tmp_path / "f.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "g.jsonl").write_bytes(b"")
    corpus = open_corpus("text", paths=[str(tmp_path)])
    assert not corpus.counted
    assert corpus.notes == ("1 binary file was left out: e.tar.gz",)
    expected = ["a1", "a2é", "b1", "b3", "c", "d"]
    assert [d.text for d in corpus.documents()] == expected
    assert sum(corpus.count()) <= corpus.files_bytes
    assert (len(corpus), corpus.total_bytes) == (6, 2 + 4 + 2 + 2 + 1 + 1)
    for start in range(8):
        found = [(part.number, part.begins, part.text) for part in corpus.parts(start=start)]
        rows = zip((0, 1, 2, 4, 5, 6), expected, strict=True)
        assert found == [(row, True, text) for row, text in rows if row >= start]
        assert corpus.gaps.count == (start <= 3)
    list(corpus.parts())
    assert corpus.position == corpus.files_bytes


def test_what_can_be_seen_at_once_is_told_when_a_corpus_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n" + lines([{"body": "x"}, {"text": 1}]))
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no end")
    (tmp_path / "c.txt.gz").write_bytes(b"no archive")
    (tmp_path / "d.jsonl").write_bytes(lines([{"text": "fine"}]))
    for paths in ([tmp_path], sorted(tmp_path.iterdir())):
        with pytest.raises(CorpusError) as caught:
            open_corpus("text", paths=[str(path) for path in paths])
        assert [(Path(found.key).name, found.message) for found in caught.value.problems] == [
            ("a.jsonl", "line 2 has no field 'text'"),
            ("b.parquet", "is no parquet file, or not a whole one"),
            ("c.txt.gz", "is damaged, or no gzip archive"),
        ]


def test_rows_without_any_text_are_no_corpus(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines([{"text": ""}, {"text": None}]))
    corpus = open_corpus("text", paths=[str(tmp_path)])
    with pytest.raises(CorpusError, match="has no text in it"):
        len(corpus)


def test_the_listing_tells_how_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    paths = [str(tmp_path)]
    listings = {
        open_corpus("text", paths=paths).listing,
        open_corpus("text", paths=paths, encoding_errors="replace").listing,
        open_corpus("text", paths=paths, text_field="body").listing,
    }
    assert len(listings) == 3
