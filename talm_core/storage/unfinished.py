"""Directories that are being made anywhere on the disk, and what a kill leaves of them.

What is written into an artifact is swept by whoever opens that next. An export lies where somebody
wanted it: what was left there would never be found again. Hence where it is being made is written
down in the workspace first, in a file that is locked for as long as its process lives. `sweep`
removes what is written down there and locked by nobody, and touches nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talm_core.storage import artifact_files, atomic
from talm_core.storage.artifact_files import Folder

FOLDER = ".unfinished"
_NAME = re.compile(re.escape(atomic.PREFIX) + r"[0-9a-f]{16}")
_MOST_PATH = 64 * 1024


@contextmanager
def new_directory(root: Path, path: Path) -> Iterator[Path]:
    """A temporary directory that becomes `path` when the block ends without an error, as
    `atomic.new_directory`. Should this process be killed, it is swept in the workspace `root`."""
    temporary = path.with_name(f"{atomic.PREFIX}{secrets.token_hex(8)}")
    with _written_down(root / FOLDER, temporary):
        temporary.mkdir()
        with atomic.published(temporary, path):
            yield temporary


@contextmanager
def _written_down(records: Path, temporary: Path) -> Iterator[None]:
    record = records / temporary.name
    try:
        records.mkdir(parents=True, exist_ok=True)
        descriptor = artifact_files.open_own(record, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except OSError:
        # A workspace that can only be read: it is made all the same.
        yield
        return
    try:
        # Some network file systems have no locks; there, nothing is swept either.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, os.fsencode(temporary))
        yield
    finally:
        os.close(descriptor)
        artifact_files.remove(record)
        with contextlib.suppress(OSError):
            records.rmdir()


def sweep(root: Path) -> None:
    """Remove what was being made from this workspace by processes that are gone. What cannot be
    removed stays for the next time."""
    records = root / FOLDER
    if not artifact_files.is_folder(records):
        return
    with contextlib.suppress(OSError), Folder(records) as folder:
        for name in filter(_NAME.fullmatch, folder.names(hidden=True)):
            with contextlib.suppress(OSError, ValueError):
                if _swept(records / name):
                    folder.remove(name)
        records.rmdir()


def _swept(record: Path) -> bool:
    """Whether nobody makes what is written down there any more, and nothing is left of it."""
    with artifact_files.reading(record) as file:
        # Refused as long as its process lives.
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        path = Path(os.fsdecode(file.read(_MOST_PATH)))
    # It is data: a directory of this very name that is the user's own, or nothing.
    if path.name != record.name or not path.is_absolute():
        return False
    if not artifact_files.occupied(path):
        return True
    if not artifact_files.is_folder(path) or path.lstat().st_uid != os.geteuid():
        return False
    return not artifact_files.remove(path)
