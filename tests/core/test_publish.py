"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from talm_core.storage import atomic


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic.write_text(path, "one\n")
    with atomic.new_file(path) as temporary:
        temporary.write_text("two")
        assert path.read_text() == "one\n"
        assert temporary.name.startswith(atomic.PREFIX)
        assert temporary.suffix == ".txt"
    assert path.read_text() == "two"
    assert names(tmp_path) == ["a.txt"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic.write_text(path, "one")
    with suppress(ZeroDivisionError), atomic.new_file(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    with suppress(ZeroDivisionError), atomic.new_directory(tmp_path / "d") as folder:
        (folder / "x").write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "one"
    assert names(tmp_path) == ["a.txt"]


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "d"
    for number in range(2):
        with atomic.new_directory(path) as temporary:
            (temporary / f"{number}").write_text(str(number))
            (temporary / "deep").mkdir()
    assert names(tmp_path) == ["d"]
    assert names(path) == ["1", "deep"]


def test_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic.write_text(tmp_path / "a", "x")
        with atomic.new_directory(tmp_path / "d"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".tmp-abc.txt").write_text("half")
    (tmp_path / ".tmp-def").mkdir()
    (tmp_path / ".tmp-def" / "x").write_text("half")
    (tmp_path / "kept").write_text("whole")
    atomic.sweep(tmp_path)
    assert names(tmp_path) == ["kept"]


class _KillError(BaseException):
    pass


@pytest.mark.parametrize("renames", [1, 2])
def test_a_directory_moved_aside_by_a_killed_writer_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    path = tmp_path / "d"
    with atomic.new_directory(path) as temporary:
        (temporary / "old").write_text("old")
    real = Path.rename
    left = [renames]

    def rename(self: Path, target: Path) -> Path:
        if not left[0]:
            raise _KillError
        left[0] -= 1
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    if renames == 1:
        with pytest.raises(_KillError), atomic.new_directory(path) as temporary:
            (temporary / "new").write_text("new")
        assert not path.exists()
    else:
        with atomic.new_directory(path) as temporary:
            (temporary / "new").write_text("new")
    monkeypatch.undo()
    atomic.sweep(tmp_path)
    assert names(tmp_path) == ["d"]
    assert names(path) == (["old"] if renames == 1 else ["new"])


def test_what_a_killed_writer_left_is_cleared_by_the_next_and_what_is_written_is_not(
    tmp_path: Path,
) -> None:
    killed = (
        "import os, sys; from pathlib import Path; from talm_core.storage import atomic\n"
        "with atomic.new_file(Path('a.txt')), atomic.new_directory(Path('d')): os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path, check=True, env=_with_talm())
    assert len(names(tmp_path)) == 2
    other = [".tmp-0123456789abcdef", ".tmp-talm-notes"]
    for name in other:
        (tmp_path / name).mkdir()
    with atomic.new_directory(tmp_path / "e") as ours:
        (ours / "x").write_text("x")
        assert names(tmp_path) == sorted([ours.name, *other])
        atomic.write_text(tmp_path / "a.txt", "whole")
        assert (ours / "x").read_text() == "x"
    assert names(tmp_path) == sorted([*other, "a.txt", "e"])


def _with_talm() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(atomic.__file__).parents[2])}


def test_what_cannot_be_removed_hides_no_other_error_and_is_cleared_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refused)
        patch.setattr(os, "replace", refused)
        patch.setattr(os, "unlink", refused)
        with pytest.raises(OSError, match="Read-only"):
            atomic.write_text(tmp_path / "a.txt", "x")
    assert len(names(tmp_path)) == 1
    atomic.write_text(tmp_path / "b.txt", "y")
    assert names(tmp_path) == ["b.txt"]
