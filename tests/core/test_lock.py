"""One writer per artifact, across processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from talm_core.errors import BusyError
from talm_core.runtime import lock
from talm_core.runtime.lock import Lock, Owner

HOLD = """
import sys
from pathlib import Path
from talm_core.runtime.lock import Lock
held = Lock.acquire(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_held_lock_refuses_others_and_says_who(tmp_path: Path) -> None:
    assert not lock.held(tmp_path)
    with Lock.acquire(tmp_path):
        assert lock.held(tmp_path)
        assert lock.owner(tmp_path) == Owner(os.getpid(), socket.gethostname())
        with pytest.raises(BusyError, match=f"is in use by process {os.getpid()} on"):
            Lock.acquire(tmp_path)
    assert not lock.held(tmp_path)
    again = Lock.acquire(tmp_path)
    again.release()
    again.release()
    assert not lock.held(tmp_path)


def test_the_kernel_frees_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert process.stdout.readline() == b"held\n"
        assert lock.held(tmp_path)
        owner = lock.owner(tmp_path)
        assert owner is not None
        assert owner.pid == process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()
    assert not lock.held(tmp_path)
    # The name of the dead stays in the file and means nothing.
    assert lock.owner(tmp_path) == owner
    Lock.acquire(tmp_path).release()


def test_asking_does_not_take(tmp_path: Path) -> None:
    # `held` takes a shared lock for an instant: somebody else's must not look like a writer.
    Lock.acquire(tmp_path).release()
    import fcntl

    with (tmp_path / lock.FILE_NAME).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not lock.held(tmp_path)


def test_the_lock_of_a_directory_made_anew_is_another(tmp_path: Path) -> None:
    first = Lock.acquire(tmp_path)
    (tmp_path / lock.FILE_NAME).unlink()
    second = Lock.acquire(tmp_path)
    assert lock.held(tmp_path)
    first.release()
    assert lock.held(tmp_path)
    second.release()


def test_nonsense_in_the_lock_file(tmp_path: Path) -> None:
    for text in ("", "[]", "{}", '{"pid": "x", "host": 1}', "\x00"):
        (tmp_path / lock.FILE_NAME).write_text(text)
        assert lock.owner(tmp_path) is None
        assert not lock.held(tmp_path)
