"""What the system refuses a process, in words: a full disk, a broken one, too little of something.

None of it is a bug of whoever asked, and none of it says anything of a file: once there is room
again, the same works.
"""

from __future__ import annotations

import errno
from pathlib import Path

_AGAIN = "and run the same again"
_FULL = f"the disk is full: make room for {{place}} {_AGAIN}"
_FILES = f"too many files are open: allow more, with `ulimit -n 4096` for one, {_AGAIN}"
_MEMORY = f"there is too little memory: end other programs {_AGAIN}"

_WORDS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: f"the disk quota is used up: make room for {{place}} {_AGAIN}",
    errno.EFBIG: f"{{place}}: the file is larger than is allowed here: allow more {_AGAIN}",
    errno.EROFS: f"{{place}} can only be read: make its disk writable {_AGAIN}",
    errno.EIO: f"{{place}}: the disk reports an error; look after it {_AGAIN}",
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: f"no more threads can be started: end other programs, or allow more, {_AGAIN}",
    errno.EACCES: "{place}: permission denied",
    errno.EPERM: "{place}: is not permitted",
    errno.ESTALE: f"{{place}} is on a network disk that has gone: bring it back {_AGAIN}",
}

_RUNTIME = {
    "can't start new thread": _WORDS[errno.EAGAIN],
    "can't allocate memory": _MEMORY,
    "not enough memory": _MEMORY,
}


def refusal(error: BaseException, place: Path) -> str:
    """What was refused and what to do about it; empty for any other error. `place` is where it was
    at work, for errors that name no file."""
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, RuntimeError):
        # Neither Python's threads nor torch's memory have an error of their own.
        known = (words for part, words in _RUNTIME.items() if part in str(error))
        return next(known, "")
    if not isinstance(error, OSError) or error.errno not in _WORDS:
        return ""
    named = error.filename if isinstance(error.filename, str) else None
    # A temporary name tells nobody anything, and all of a disk is full.
    whole = named is None or Path(named).name.startswith(".") or "full" in _WORDS[error.errno]
    return _WORDS[error.errno].format(place=place if whole else named)
