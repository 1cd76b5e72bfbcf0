"""The one way to an artifact's own files: opened, listed and removed without following a link.

A directory that was copied from somewhere is data. What lies in it under the name of a journal, a
lock or a checkpoint may be a link to somebody's home, a pipe that nobody ever writes to, or a
device. A file of an artifact is therefore a regular file with one name, owned by whoever owns the
directory it lies in or by whoever asks; a folder of an artifact is a real folder. Everything else
is refused with what it is. The artifact's directory itself may be a link: people keep models on
another disk.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Self

SMALL_BYTES = 4 << 20
"""What a config, a command or an index is at most; a larger one was not written by talm."""

LARGE_BYTES = 256 << 20
"""The same for a manifest, a vocabulary or a tokenizer's sample."""

FILES = (
    *("config.toml", "config-finished.toml", "events.jsonl", "lock", "log.txt"),
    *("manifest.json", "position.json", "tokencoder.json"),
)
"""What jobs write into an artifact's directory under names of their own."""

FOLDERS = ("commands",)

CHECKPOINT = "checkpoint.json"
"""Lies in every model's directory that talm wrote."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MEND = "remove it, or put the file itself there"


class UnsafeFileError(OSError):
    """What lies under a name of an artifact is none of its files; `strerror` says what it is. An
    OSError, for whoever reads must be ready for files that cannot be opened anyway."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(errno.EPERM, message, str(path))


# --- looking ---------------------------------------------------------------------------------


def fault(path: Path) -> str:
    """Why `path` is no file an artifact can have; empty where it is one, or nothing."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        return f"cannot be looked at: {getattr(error, 'strerror', None) or error}"
    return _wrong(path, status)


def folder_fault(path: Path) -> str:
    """The same for a folder."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        return f"cannot be looked at: {getattr(error, 'strerror', None) or error}"
    return "" if stat.S_ISDIR(status.st_mode) else f"is {_kind(path, status)}, not a folder"


def first_fault(directory: Path, files: Iterable[str], folders: Iterable[str] = ()) -> str:
    """What is wrong with the first of these names under which no file of an artifact lies."""
    for names, look in ((files, fault), (folders, folder_fault)):
        for name in names:
            if said := look(directory / name):
                return f"{name} {said}"
    return ""


def damage(directory: Path) -> str:
    """What is wrong with an artifact's own files, by a look at what they are; empty: nothing."""
    return first_fault(directory, FILES, FOLDERS)


def require(path: Path) -> Path:
    """The same path, once it is known to be a file of its own, or nothing.

    Raises:
        UnsafeFileError: it is something else.
    """
    if said := fault(path):
        raise UnsafeFileError(path, said)
    return path


def is_file(path: Path) -> bool:
    """Whether a regular file lies there itself, not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder lies there itself, not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def occupied(path: Path) -> bool:
    """Whether anything lies there, be it a link that leads nowhere."""
    return os.path.lexists(path)


def vacant(directory: Path) -> bool:
    """Whether an artifact's directory means nothing: it is not there, or was made by a job that was
    killed before it wrote down what it was asked."""
    if not occupied(directory):
        return True
    try:
        with os.scandir(directory) as entries:
            return all(entry.name == "lock" or entry.name.startswith(".") for entry in entries)
    except OSError:
        return False


# --- opening ---------------------------------------------------------------------------------


def open_own(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of an artifact's own file, made with `os.O_CREAT` where it is not there.

    Raises:
        UnsafeFileError: a link, pipe, device, or a file with a second name or a foreign owner.
        OSError: what the system says.
    """
    # Looked at first: to open a device can be to use it.
    require(path)
    # A pipe that took the file's place since would be waited for until somebody writes to it.
    added = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags & ~os.O_TRUNC | added, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise UnsafeFileError(path, fault(path) or "is no regular file") from None
        raise
    try:
        said = _wrong(path, os.fstat(descriptor))
        if said:
            raise UnsafeFileError(path, said)
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_folder(path: Path) -> int:
    """A descriptor of a directory that is to be locked; nothing is read through it."""
    return os.open(path, _DIRECTORY)


def null_device() -> int:
    """A descriptor of the null device, which takes whatever is written and holds nothing."""
    return os.open(os.devnull, os.O_RDWR)


def reading(path: Path) -> IO[bytes]:
    """An artifact's own file, open to be read. Raises as `open_own`."""
    return os.fdopen(open_own(path), "rb")


def appending(path: Path) -> IO[bytes]:
    """An artifact's own file, open to be added to; made where it is not there. Raises as
    `open_own`."""
    return os.fdopen(open_own(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab")


def read_bytes(path: Path, *, most: int = SMALL_BYTES) -> bytes:
    """What an artifact's own file holds. Raises as `open_own`, and for more than `most` bytes."""
    with reading(path) as file:
        return _read(file, path, most)


def read_text(path: Path, *, most: int = SMALL_BYTES) -> str:
    """The same as text.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_bytes(path, most=most).decode("utf-8")


def _read(file: IO[bytes], path: Path, most: int) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if size > most:
        message = f"has {size:,} bytes, talm writes at most {most:,} there"
        raise UnsafeFileError(path, message)
    # To ask for `most` bytes would be to allocate them.
    return file.read()


def model_file(path: Path) -> Path:
    """The same path, once it is known to be a file of a model, or nothing. Of a checkpoint talm
    wrote it is one of the artifact's own. Of a model another program wrote, a link to a file does
    as well: people link to downloads, and the Hub's cache is made of links.

    Raises:
        UnsafeFileError: a pipe, a device, a folder, or in a checkpoint of talm's a link.
    """
    if occupied(path.parent / CHECKPOINT):
        return require(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        return path
    if said := _no_file(path, status):
        raise UnsafeFileError(path, said)
    return path


def reading_model(path: Path) -> IO[bytes]:
    """A file of a model, see `model_file`, open to be read.

    Raises:
        UnsafeFileError: as `model_file`.
        OSError: what the system says.
    """
    if occupied(path.parent / CHECKPOINT):
        return reading(path)
    model_file(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if said := _no_file(path, os.fstat(descriptor)):
        os.close(descriptor)
        raise UnsafeFileError(path, said)
    return os.fdopen(descriptor, "rb")


class Folder:
    """A folder of an artifact, held open: what is done in it is done there, whatever takes its
    name meanwhile."""

    def __init__(self, path: Path) -> None:
        """Raises:
        UnsafeFileError: it is a link or no folder.
        OSError: what the system says; it is not there, for one.
        """
        if said := folder_fault(path):
            raise UnsafeFileError(path, said)
        self.path = path
        self._descriptor = os.open(path, _DIRECTORY | os.O_NOFOLLOW)

    @classmethod
    def made(cls, path: Path) -> Self:
        """The same, made where it is not there."""
        if not occupied(path):
            path.mkdir(exist_ok=True)
        return cls(path)

    def names(self, *, hidden: bool = False) -> list[str]:
        """What lies in it, in order; with what is `hidden`, or without."""
        with os.scandir(self._descriptor) as entries:
            names = [entry.name for entry in entries]
        return sorted(name for name in names if hidden or not name.startswith("."))

    def read(self, name: str, *, most: int = SMALL_BYTES) -> bytes:
        """What one of its files holds."""
        path = self.path / name
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        said = _wrong(path, os.stat(name, dir_fd=self._descriptor, follow_symlinks=False))
        if said:
            raise UnsafeFileError(path, said)
        with os.fdopen(os.open(name, flags, dir_fd=self._descriptor), "rb") as file:
            if said := _wrong(path, os.fstat(file.fileno())):
                raise UnsafeFileError(path, said)
            return _read(file, path, most)

    def remove(self, name: str) -> None:
        """Remove a file, or a link alone; what is gone already is no error."""
        try:
            os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


# --- removing --------------------------------------------------------------------------------


def remove(path: Path) -> list[OSError]:
    """Remove a file, a link alone, or a folder with all that is in it; returns what could not
    be. What is gone already is no error."""
    refused: list[OSError] = []

    def note(_: object, __: object, info: object) -> None:
        error = info[1] if isinstance(info, tuple) else info
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            refused.append(error)

    if is_folder(path):
        # It enters no link on the way: it walks by descriptors.
        shutil.rmtree(path, onerror=note)
        return refused
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        refused.append(error)
    return refused


def size(directory: Path) -> int:
    """Bytes of all files below a directory, links not followed but for the directory's own; what
    cannot be read counts nothing."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(folder) / name).lstat().st_size
            except OSError:
                continue
    return total


# --- what is wrong ---------------------------------------------------------------------------


def _wrong(path: Path, status: os.stat_result) -> str:
    if said := _no_file(path, status):
        return said
    if status.st_nlink > 1:
        # Writing to it would change a file elsewhere, which may be anybody's.
        return f"has {status.st_nlink - 1} more name (a hard link): put a copy of it there"
    if status.st_uid != os.geteuid() and status.st_uid != _owner_of(path.parent):
        return f"belongs to another user ({status.st_uid}): put a copy of it there"
    return ""


def _no_file(path: Path, status: os.stat_result) -> str:
    if stat.S_ISREG(status.st_mode):
        return ""
    return f"is {_kind(path, status)}, not a regular file: {_MEND}"


def _owner_of(directory: Path) -> int:
    try:
        return directory.stat().st_uid
    except OSError:
        return -1


def _kind(path: Path, status: os.stat_result) -> str:
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        try:
            return f"a symbolic link to {path.readlink()}"
        except OSError:
            return "a symbolic link"
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISREG, "a regular file"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for is_kind, name in kinds if is_kind(mode)), "a device")
