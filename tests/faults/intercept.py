"""Every call by which a process changes files, seen from outside, and ended or refused there.

The kernel itself tells of them (seccomp's user notification): a process puts a filter on itself,
hands the listener to whoever watches it, and from then on waits in each of these calls until the
watcher says "go on", "fail with this error", or kills it. Why not closer by:

- `sys.addaudithook` sees `open`, `rename` and `mkdir`, but neither a write nor a flush to disk;
- wrapped functions of `os` and `io` are not what safetensors (Rust), pyarrow (C++) and numpy write
  with, and none of them is what a child process calls;
- a library by LD_PRELOAD needs a compiler where the tests run.

It needs Linux 5.5, no rights and nothing but ctypes. Threads and processes that are started
inherit the filter.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

# By the numbers of linux/unistd.h, which are part of what Linux promises.
_NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {
        "write": 1,
        "open": 2,
        "pwrite64": 18,
        "writev": 20,
        "sendfile": 40,
        "fsync": 74,
        "fdatasync": 75,
        "truncate": 76,
        "ftruncate": 77,
        "rename": 82,
        "mkdir": 83,
        "rmdir": 84,
        "creat": 85,
        "link": 86,
        "unlink": 87,
        "symlink": 88,
        "openat": 257,
        "mkdirat": 258,
        "unlinkat": 263,
        "renameat": 264,
        "linkat": 265,
        "symlinkat": 266,
        "fallocate": 285,
        "pwritev": 296,
        "renameat2": 316,
        "seccomp": 317,
        "copy_file_range": 326,
        "pwritev2": 328,
    },
    "aarch64": {
        "mkdirat": 34,
        "unlinkat": 35,
        "symlinkat": 36,
        "linkat": 37,
        "renameat": 38,
        "truncate": 45,
        "ftruncate": 46,
        "fallocate": 47,
        "openat": 56,
        "write": 64,
        "writev": 66,
        "pwrite64": 68,
        "pwritev": 70,
        "sendfile": 71,
        "fsync": 82,
        "fdatasync": 83,
        "renameat2": 276,
        "seccomp": 277,
        "copy_file_range": 285,
        "pwritev2": 287,
    },
}
NUMBERS = _NUMBERS.get(os.uname().machine, {}) if sys.platform == "linux" else {}
_NAMES = {number: name for name, number in NUMBERS.items()}

_AT_CWD = -100
_WRITES = {"write", "pwrite64", "writev", "pwritev", "pwritev2"}
_COPIES = {"sendfile": 0, "copy_file_range": 2}
"""Which argument is the file that is written to."""
_SYNCS = {"fsync", "fdatasync"}
_SIZES = {"ftruncate", "fallocate"}
# The folder and the path of what a call is about, by the places of its arguments.
_PATHS: dict[str, tuple[int | None, int]] = {
    "open": (None, 0),
    "creat": (None, 0),
    "openat": (0, 1),
    "truncate": (None, 0),
    "rename": (None, 1),
    "renameat": (2, 3),
    "renameat2": (2, 3),
    "mkdir": (None, 0),
    "mkdirat": (0, 1),
    "unlink": (None, 0),
    "rmdir": (None, 0),
    "unlinkat": (0, 1),
    "link": (None, 1),
    "linkat": (2, 3),
    "symlink": (None, 1),
    "symlinkat": (1, 2),
}
_CREATING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_GO_ON = 1
_CALL, _REPLY = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")


def available() -> bool:
    """Whether this system can tell of the calls."""
    try:
        actions = Path("/proc/sys/kernel/seccomp/actions_avail").read_text(encoding="ascii")
    except OSError:
        return False
    return bool(NUMBERS) and "user_notif" in actions.split()


def listen() -> int:
    """Have the calls of this process, and of all it starts, be asked about from here on; returns
    the descriptor on which. The watcher must have it before the next of them.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    instructions = [_instruction(0x20, 0, 0, 0)]  # load the number of the call
    watched = [number for name, number in NUMBERS.items() if name != "seccomp"]
    for place, number in enumerate(watched):
        instructions.append(_instruction(0x15, len(watched) - place, 0, number))
    instructions += [_instruction(0x06, 0, 0, _ALLOW), _instruction(0x06, 0, 0, _NOTIFY)]
    code = ctypes.create_string_buffer(b"".join(instructions))
    program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code))
    # Without it only root may have a filter.
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    listener = int(libc.syscall(NUMBERS["seccomp"], _SET_MODE_FILTER, _NEW_LISTENER, program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def _instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that waits for an answer. `what` it does, of `WHATS`, to the file `path`."""

    id: int
    thread: int
    name: str
    arguments: tuple[int, ...]
    what: str
    path: str

    def write_half(self) -> None:
        """Write the first half of what it is to write, as a kill in the middle leaves it."""
        descriptor, address, length = self.arguments[:3]
        with open(f"/proc/{self.thread}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            half = memory.read(length // 2)
        fields = Path(f"/proc/{self.thread}/fdinfo/{descriptor}").read_text("ascii").split()
        flags = int(fields[fields.index("flags:") + 1], 8)
        offset = int(fields[fields.index("pos:") + 1])
        if self.name == "pwrite64":
            offset = self.arguments[3]
        file = os.open(f"/proc/{self.thread}/fd/{descriptor}", os.O_WRONLY)
        try:
            os.pwrite(file, half, os.fstat(file).st_size if flags & os.O_APPEND else offset)
        finally:
            os.close(file)


WHATS = ("open", "create", "write", "resize", "sync", "rename", "remove", "mkdir", "link")
"""What a call does; `open` is without any change to a file."""


class Listener:
    """Asks and answers, on the descriptor that `listen` gave in the watched process."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def next(self) -> Call | None:
        """The call that waits; None where it has gone meanwhile. To be asked when there is one,
        as `select.poll` tells."""
        buffer = bytearray(_CALL.size)
        try:
            fcntl.ioctl(self.descriptor, _RECEIVE, buffer, True)
        except (FileNotFoundError, InterruptedError):
            return None
        id_, thread, _, number, _, _, *arguments = _CALL.unpack(buffer)
        name = _NAMES[number]
        what, path = "open", ""
        # It may have been killed while it waited.
        with contextlib.suppress(OSError):
            what, path = _about(thread, name, arguments)
        return Call(id_, thread, name, tuple(arguments), what, path)

    def go_on(self, call: Call) -> None:
        """Let it be done."""
        self._answer(_REPLY.pack(call.id, 0, 0, _GO_ON))

    def refuse(self, call: Call, errno: int) -> None:
        """Let it fail with this error."""
        self._answer(_REPLY.pack(call.id, 0, -errno, 0))

    def _answer(self, reply: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            fcntl.ioctl(self.descriptor, _ANSWER, reply)


def _about(thread: int, name: str, arguments: list[int]) -> tuple[str, str]:
    if name in _WRITES:
        return "write", _descriptor(thread, arguments[0])
    if name in _COPIES:
        return "write", _descriptor(thread, arguments[_COPIES[name]])
    if name in _SYNCS:
        return "sync", _descriptor(thread, arguments[0])
    if name in _SIZES:
        return "resize", _descriptor(thread, arguments[0])
    folder, place = _PATHS[name]
    path = _text(thread, arguments[place])
    if not path.startswith("/"):
        base = _AT_CWD if folder is None else ctypes.c_int32(arguments[folder]).value
        at = f"/proc/{thread}/cwd" if base == _AT_CWD else f"/proc/{thread}/fd/{base}"
        path = os.path.join(os.readlink(at), path)  # noqa: PTH115, PTH118
    return _what(name, arguments), os.path.normpath(path)


def _what(name: str, arguments: list[int]) -> str:
    if name in ("open", "openat"):
        flags = arguments[1 if name == "open" else 2]
        return "create" if flags & _CREATING else "open"
    for part, what in (("rename", "rename"), ("mkdir", "mkdir"), ("link", "link")):
        if part in name and not name.startswith("unlink"):
            return what
    return {"creat": "create", "truncate": "resize"}.get(name, "remove")


def _descriptor(thread: int, number: int) -> str:
    return os.readlink(f"/proc/{thread}/fd/{ctypes.c_int32(number).value}")  # noqa: PTH115


def _text(thread: int, address: int) -> str:
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        # No farther than the page: the next one need not be there.
        found = memory.read(min(4096, 4096 - address % 4096))
        if b"\0" not in found:
            found += memory.read(4096)
    return os.fsdecode(found.split(b"\0", 1)[0])
