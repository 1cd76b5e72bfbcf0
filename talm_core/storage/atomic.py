"""Files and directories that appear complete or not at all.

Content goes to a temporary name in the same directory, is flushed to disk and renamed into place,
so that a reader, or a process killed at any moment, never leaves or sees a half-written one.
Temporary names begin with `.tmp-`. What a killed process leaves of them is removed by the next one
that writes beside it: a writer holds its temporary file or directory by `flock`, which ends with
the process, so that nobody takes what another still writes (`clear`). Where there is a lock for
the whole directory, whoever has it removes everything of the kind (`sweep`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talm_core.storage import artifact_files

PREFIX = ".tmp-"
# A folder of exports may be anybody's: nothing of another program has such a name.
_HELD = f"{PREFIX}talm-"
_HELD_NAME = re.compile(rf"{re.escape(_HELD)}[0-9a-f]{{16}}(\.\w+)?")
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
    with _held(path, path.suffix) as temporary:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A temporary directory that becomes `path` when the block ends without an error. An existing
    `path` is replaced: moved aside first, removed after; `sweep` moves it back should a kill come
    in between."""
    with _held(path, folder=True) as temporary, published(temporary, path):
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
        # What cannot be removed now must not hide what went wrong.
        artifact_files.remove(temporary)


@contextmanager
def _held(path: Path, suffix: str = "", *, folder: bool = False) -> Iterator[Path]:
    """A new temporary file or folder beside `path`, held until the block ends and removed then, if
    it is still there. What killed processes left there is removed first."""
    clear(path.parent)
    while True:
        temporary = path.with_name(f"{_HELD}{secrets.token_hex(8)}{suffix}")
        if folder:
            temporary.mkdir()
        else:
            temporary.touch(exist_ok=False)
        try:
            descriptor = os.open(temporary, _LOOK)
        except FileNotFoundError:
            # Taken for a left-over before it was held; so is one that is held too late.
            continue
        except OSError:
            artifact_files.remove(temporary)
            raise
        # Some network file systems have no locks; there, nothing is cleared either.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _lies_at(temporary, descriptor):
            break
        os.close(descriptor)
    try:
        yield temporary
    finally:
        # What cannot be removed now is cleared by the next; it must not hide what went wrong.
        artifact_files.remove(temporary)
        os.close(descriptor)


def _lies_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def clear(folder: Path) -> None:
    """Remove the temporary files and folders of writers that are no more from a folder that may
    have several at a time."""
    try:
        found = [path for path in folder.iterdir() if _HELD_NAME.fullmatch(path.name)]
    except OSError:
        return
    for left in found:
        try:
            descriptor = os.open(left, _LOOK)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            artifact_files.remove(left)
        finally:
            os.close(descriptor)


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
