"""Files and directories that appear complete or not at all.

Content goes to a temporary name in the same directory, is flushed to disk and renamed into place,
so that a reader, or a process killed at any moment, never leaves or sees a half-written one.
Temporary names begin with `.tmp-` and are swept by the next writer (`sweep`).
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".tmp-"
_ASIDE = f"{PREFIX}aside-"


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step."""
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends without an error."""
    temporary = path.with_name(f"{PREFIX}{secrets.token_hex(8)}{path.suffix}")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A temporary directory that becomes `path` when the block ends without an error. An existing
    `path` is replaced: moved aside first, removed after; `sweep` moves it back should a kill come
    in between."""
    temporary = path.with_name(f"{PREFIX}{secrets.token_hex(8)}")
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            _sync(file)
        _sync(temporary)
        if path.exists():
            aside = path.with_name(f"{_ASIDE}{secrets.token_hex(8)}")
            aside.mkdir()
            path.rename(aside / path.name)
            temporary.rename(path)
            shutil.rmtree(aside)
        else:
            temporary.rename(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(directory: Path) -> None:
    """Remove what a killed writer left in `directory`, and put back what it had moved aside.
    Call it only while holding its lock."""
    for aside in directory.glob(f"{_ASIDE}*"):
        for moved in aside.iterdir():
            if not (directory / moved.name).exists():
                moved.rename(directory / moved.name)
    for left in directory.glob(f"{PREFIX}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
