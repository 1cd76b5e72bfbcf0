"""A process that has loaded everything, and forks one that is watched for each command.

    python -m tests.faults.warm DIRECTORY

It reads a request a line, as JSON, from standard input and answers each with a line; `Warm` in
`processes` is who asks. A command begins in milliseconds so, where an interpreter of its own takes
seconds to load torch. It must not have computed anything before: threads do not survive a fork.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from talm_core.cli.main import main as talm
from talm_core.tokenizer import patterns
from talm_core.tokenizer.compilation import make_ready
from tests.faults.faults import Done, Fault, hit
from tests.faults.intercept import Call, Listener, listen

LOADED = (
    *("talm_core.cli.run", "talm_core.cli.manage", "talm_core.cli.show", "talm_core.cli.output"),
    *("talm_core.jobs.tokenizer.job", "talm_core.jobs.dataset.job", "talm_core.jobs.export.job"),
    *("talm_core.jobs.quickstart.job", "talm_core.jobs.quickstart.check"),
    *("talm_core.jobs.pretrain.job", "talm_core.jobs.pretrain.task", "talm_core.cli.export"),
    *("talm_core.training.setup", "talm_core.training.autotune", "talm_core.cli.sample"),
    *("talm_core.training.distributed", "talm_core.model.gguf", "talm_core.model.ollama"),
    *("talm_core.data.hub.network", "talm_core.data.hub.parquet", "talm_core.data.hub.files"),
    *("talm_core.data.hub.blocks", "datasets.data_files", "datasets.utils.metadata"),
    *("fsspec.utils", "huggingface_hub.hf_api", "torch.distributed.fsdp", "torch._dynamo"),
)
LONGEST_SECONDS = 100.0


class Watch:
    """What one command did below a directory, and what is to happen in it."""

    def __init__(self, root: str, fault: Fault | None, at: int) -> None:
        self.calls: list[Done] = []
        self.happened = False
        self._inside = root.rstrip("/") + "/"
        self._root = root
        self._fault = fault
        self._left = at

    def answer(self, listener: Listener, call: Call) -> bool:
        """Let a call be done, or not; False where the process is to end."""
        below = call.path.removesuffix(" (deleted)")
        if not (below + "/").startswith(self._inside):
            listener.go_on(call)
            return True
        there = os.path.lexists(below)
        if self._fault is None:
            self.calls.append(Done(call.what, os.path.relpath(below, self._root), there))
        elif hit(self._fault, call.what, there):
            self._left -= 1
            if self._left == 0 or (self._left < 0 and self._fault.lasting):
                self.happened = True
                if not self._fault.error:
                    if self._fault.half and call.name in ("write", "pwrite64"):
                        call.write_half()
                    return False
                listener.refuse(call, self._fault.error)
                return True
        listener.go_on(call)
        return True


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Do the commands of a request, one after the other, in a process of their own."""
    fault = None if request["fault"] is None else Fault(**request["fault"])
    watch = Watch(request["root"], fault, request["at"])
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        _commands(request, theirs)
    theirs.close()
    try:
        # Empty as soon as the child goes on unwatched.
        found = socket.recv_fds(ours, 1, 1)[1] if request["watched"] else []
        code = _watched(pid, found[0] if found else None, watch)
    finally:
        ours.close()
    return {"code": code, "happened": watch.happened, "calls": [[*_tuple(c)] for c in watch.calls]}


def _tuple(call: Done) -> tuple[str, str, bool]:
    return call.what, call.path, call.there


def _watched(pid: int, descriptor: int | None, watch: Watch) -> int | str:
    """Wait for a child, and answer what it asks on `descriptor`, if it is watched."""
    # The listener hangs up only once all of the group have ended, and some may outlive the first.
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    if descriptor is not None:
        listener = Listener(descriptor)
        poll.register(descriptor, select.POLLIN)
    until = time.monotonic() + LONGEST_SECONDS
    try:
        while time.monotonic() < until:
            ready = dict(poll.poll(1000))
            if descriptor is not None and ready.get(descriptor, 0) & select.POLLIN:
                call = listener.next()
                if call is not None and not watch.answer(listener, call):
                    os.killpg(pid, signal.SIGKILL)
                    return _code(pid)
            elif ended in ready:
                return _code(pid)
        os.killpg(pid, signal.SIGKILL)
        _code(pid)
        return "hangs"
    finally:
        os.close(ended)
        if descriptor is not None:
            os.close(descriptor)


def _code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _commands(request: dict[str, Any], parent: socket.socket) -> NoReturn:
    """The child: each command as `talm` does it, as far as one went before; then the end."""
    code = 99
    try:
        os.setsid()
        os.chdir(request["directory"])
        _redirect(request["output"])
        _limit(**request["limits"])
        if request["watched"]:
            listener = listen()
            # Nothing that is asked about comes before this has been said.
            socket.send_fds(parent, [b"l"], [listener])
            os.close(listener)
        parent.close()
        for words in request["commands"]:
            sys.stdout.write(f"\n$ talm {' '.join(words)}\n")
            code = talm(words)
            sys.stdout.write(f"\n[{code}]\n")
            sys.stdout.flush()
        # As the interpreter ends, without taking it apart.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - what would be a traceback of talm's
        traceback.print_exc()
        code = 98
    finally:
        sys.stderr.flush()
        os._exit(code)


def _limit(*, files: int = 0, memory: int = 0) -> None:
    """Allow so many files in all, and so many bytes of memory more than are taken already."""
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if memory:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _redirect(output: str) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for source, number in ((null, 0), (file, 1), (file, 2)):
        os.dup2(source, number)
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _load() -> None:
    for module in LOADED:
        import_module(module)
    # The loops a tokenizer is trained with, from numba's cache.
    make_ready(patterns.DEFAULT)
    from talm_core.data import encoding, progress
    from talm_core.data.hub import blocks

    # Everything a large corpus does, of a small one.
    progress.YIELD_SECONDS, encoding.BATCH_CHARACTERS, blocks.BLOCK_BYTES = 0.0, 700, 1024


def serve() -> None:
    """Answer until nobody asks any more."""
    _load()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    serve()
