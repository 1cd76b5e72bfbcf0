from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from talm_core.data.local import search
from talm_core.data.local.corpus import open_corpus
from talm_core.data.local.document_file import Document
from talm_core.errors import CorpusError


def texts(*paths: Path) -> list[Document]:
    return list(open_corpus("text", paths=[str(path) for path in paths]).documents())


def problems(*paths: Path) -> list[str]:
    with pytest.raises(CorpusError) as caught:
        open_corpus("text", paths=[str(path) for path in paths])
    return [f"{Path(problem.key).name}: {problem.message}" for problem in caught.value.problems]


# --- files of one's own ----------------------------------------------------------------------


def test_a_directory_is_read_in_name_order_without_hidden_empty_and_binary_files(
    tmp_path: Path,
) -> None:
    for name, data in {
        "b.txt": b"two",
        "a.md": b"one",
        "B/x.py": b"sub",
        ".hidden": b"no",
        ".git/config": b"no",
        "empty.txt": b"",
        "bom.txt": b"\xef\xbb\xbf",
        "image.png": b"\x89PNG\0\0",
        "page.pdf": b"%PDF-1.4 \xe2\xe3\xcf\xd3\x01\x02",
        "escape.log": b"\x1b[31mred\x1b[0m\x07",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    found = open_corpus("text", paths=[str(tmp_path)])
    assert [(d.name, d.text) for d in found.documents()] == [
        ("B/x.py", "sub"),
        ("a.md", "one"),
        ("b.txt", "two"),
        ("escape.log", "\x1b[31mred\x1b[0m\x07"),
    ]
    assert (len(found), found.total_bytes) == (4, 9 + 13)
    assert found.notes == ("2 binary files were left out: image.png, page.pdf",)
    assert [(p.number, p.text) for p in found.parts(start=2)] == [
        (2, "two"),
        (3, "\x1b[31mred\x1b[0m\x07"),
    ]


def test_paths_keep_the_order_they_are_given_in_and_no_file_comes_twice(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "z.txt").write_text("z")
    assert [d.text for d in texts(tmp_path / "z.txt", tmp_path)] == ["z", "a"]


def test_a_byte_order_mark_is_dropped_and_line_ends_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfgr\xc3\xbcn\r\nzwei\rdrei")
    assert texts(tmp_path / "a.txt") == [Document("a.txt", "grün\r\nzwei\rdrei")]


def test_what_is_not_utf8_is_named_with_its_byte(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"x" * 9000 + b"gr\xfcn")
    with pytest.raises(CorpusError, match=r"latin\.txt: is not UTF-8: byte 9,002 is 0xfc"):
        texts(path)


def test_a_character_cut_by_the_end_of_the_head_is_no_sign_of_binary(tmp_path: Path) -> None:
    text = "\x07" + "a" * (search.HEAD_BYTES - 2) + "€uro"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    assert texts(tmp_path)[0].text == text


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "binary").write_bytes(b"a\0b")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".hidden").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    paths = [tmp_path / name for name in ("empty.txt", "binary", "folder", "pipe", "absent")]
    assert problems(*paths) == [
        "empty.txt: is empty",
        "binary: is a binary file, not text",
        "folder: has no text files",
        "pipe: is neither a file nor a directory",
        "absent: does not exist",
    ]


def test_pipes_and_dead_links_in_a_directory_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    assert [d.name for d in texts(tmp_path)] == ["a.txt"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    inner = tmp_path / "one" / "two"
    inner.mkdir(parents=True)
    (inner / "a.txt").write_text("a")
    (inner / "up").symlink_to(tmp_path)
    (inner / "self").symlink_to("self")
    (tmp_path / "again").symlink_to(tmp_path / "one")
    assert [d.name for d in texts(tmp_path)] == ["again/two/a.txt"]


def test_the_listing_tells_whether_something_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def listing() -> str:
        return open_corpus("text", paths=[str(tmp_path)]).listing

    path.write_text("one")
    os.utime(path, (1, 1))
    first = listing()
    assert listing() == first
    path.write_text("two")
    assert listing() != first
    path.write_text("one")
    os.utime(path, (1, 1))
    assert listing() == first
    (tmp_path / "b.txt").write_text("more")
    assert listing() != first
    assert open_corpus("stdlib").listing == open_corpus("stdlib").listing


def test_a_name_the_file_system_did_not_encode_is_shown_all_the_same(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    assert texts(tmp_path) == [Document("caf\ufffd.txt", "x")]


def test_unknown_sources_and_samples_name_what_there_is() -> None:
    with pytest.raises(CorpusError, match="did you mean 'stdlib'"):
        open_corpus("stdlb")
    with pytest.raises(CorpusError, match="stdlib has all, code, docs"):
        open_corpus("stdlib", sample="dcos")
    with pytest.raises(CorpusError, match="at least one file"):
        open_corpus("text")


# --- the standard library --------------------------------------------------------------------


def test_the_samples_of_stdlib_are_code_and_topics_and_both() -> None:
    code, docs, both = (
        {d.name for d in open_corpus("stdlib", sample=sample).documents()}
        for sample in ("code", "docs", "all")
    )
    assert {"argparse.py", "json/decoder.py", "asyncio/tasks.py"} <= code
    assert {"topics/assert.rst", "topics/yield.rst"} <= docs
    assert both == code | docs
    assert not {name for name in code if not name.endswith(".py")}
    parts = {part for name in code for part in name.split("/")}
    assert not parts & {"test", "tests", "idlelib", "lib2to3", "turtledemo", "site-packages"}
    assert not {name for name in code if "_sysconfigdata" in name}
    both_bytes = open_corpus("stdlib").total_bytes
    assert both_bytes > 5_000_000
    assert both_bytes == sum(len(d.text.encode()) for d in open_corpus("stdlib").documents())


def test_the_order_of_stdlib_depends_on_names_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{letter}/{number}.py" for letter in "abc" for number in range(4)]
    orders: list[list[str]] = []
    for place in ("here", "elsewhere/deeper"):
        top = tmp_path / place
        for name in reversed(names) if orders else names:
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(name)
        (top / "tests").mkdir()
        (top / "tests" / "test_x.py").write_text("x")
        monkeypatch.setattr("sysconfig.get_path", lambda _, top=top: str(top))
        orders.append([d.name for d in open_corpus("stdlib", sample="code").documents()])
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == names
    assert orders[0] != names


def test_a_python_without_sources_or_topics_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "python311.zip"))
    with pytest.raises(CorpusError, match="comes without the sources"):
        open_corpus("stdlib")
    assert len(open_corpus("stdlib", sample="docs")) > 10
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(CorpusError, match="without its documentation topics"):
        open_corpus("stdlib", sample="docs")


def test_looking_at_a_corpus_loads_nothing_heavy() -> None:
    code = (
        "import sys, talm_core.data.local.corpus, talm_core.data.manifest;"
        "print({'torch', 'tiktoken', 'numba', 'numpy'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "set()\n"
