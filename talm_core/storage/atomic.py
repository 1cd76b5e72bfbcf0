"""Files and directories that appear complete or not at all.

Content goes to a temporary name in the same directory, is flushed to disk and renamed into place,
so that a reader, or a process killed at any moment, never leaves or sees a half-written one.
Temporary names begin with `.tmp-` and are swept by the next writer (`sweep`).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talm_core.storage import artifact_files

PREFIX = ".tmp-"
_ASIDE = f"{PREFIX}aside-"
# Whoever changes a file holds it for milliseconds, unless it was stopped in the middle.
_PATIENCE_SECONDS = 5.0
_DELETED = f"{PREFIX}deleted-"


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step."""
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Be alone with a file that several processes read, change and write again: without it, of two
    that do so at once one loses what it wrote. Where no lock can be had there is none, for what is
    kept so is of use and no more."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path.with_name(f".{path.name}.lock"), flags, 0o666)
    except OSError:
        yield
        return
    try:
        _wait_for(descriptor)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return
            time.sleep(0.005)
        except OSError:
            return
        else:
            return


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
    with published(temporary, path):
        yield temporary


@contextmanager
def published(temporary: Path, path: Path) -> Iterator[None]:
    """The same for a temporary directory that is there already."""
    try:
        yield
        for file in temporary.rglob("*"):
            _sync(file)
        _sync(temporary)
        if artifact_files.occupied(path):
            aside = path.with_name(f"{_ASIDE}{secrets.token_hex(8)}")
            aside.mkdir()
            path.rename(aside / path.name)
            temporary.rename(path)
            artifact_files.remove(aside)
        else:
            temporary.rename(path)
        _sync(path.parent)
    finally:
        artifact_files.remove(temporary)


def set_aside(directory: Path) -> Path:
    """Take a directory out of sight in one step, to be removed: what is half removed must not
    look like an artifact. The next one that is made or deleted beside it
    removes what a kill leaves."""
    aside = directory.with_name(f"{_DELETED}{secrets.token_hex(8)}")
    directory.rename(aside)
    return aside


def deleted(folder: Path) -> list[Path]:
    """What was to be removed from a folder and is still there."""
    return list(folder.glob(f"{_DELETED}*"))


def sweep(directory: Path) -> None:
    """Remove what a killed writer left in `directory`, and put back what it had moved aside.
    Call it only while holding its lock. A link under a temporary name is removed itself: what it
    leads to was not left here by talm."""
    kept = {aside for aside in directory.glob(f"{_ASIDE}*") if not _put_back(aside)}
    for left in directory.glob(f"{PREFIX}*"):
        if left not in kept:
            artifact_files.remove(left)


def _put_back(aside: Path) -> bool:
    """Put back what was moved aside, where nothing took its place; whether all of it is."""
    if not artifact_files.is_folder(aside):
        return True
    try:
        for moved in aside.iterdir():
            place = aside.parent / moved.name
            if not artifact_files.occupied(place):
                moved.rename(place)
    except OSError:
        return False
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
