"""Several processes that train one model together, on one machine or many.

Rank 0 has the lock, the journal and the checkpoints, and starts the others itself when `nproc` asks
for them; under torchrun they are there already. All run the same loop. What only rank 0 knows, such
as a command or how late it is, is agreed in one small exchange between two micro-batches, over
sockets and apart from the devices: nobody acts on it before all do. While rank 0 is paused, the
others wait there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import _get_default_store
from torch.distributed.rendezvous import rendezvous

from talm_core.errors import RunError
from talm_core.runtime import rank
from talm_core.runtime.context import StopRequested
from talm_core.runtime.control import stop_reason, stop_waits
from talm_core.runtime.driver import LOG_FILE
from talm_core.storage import artifact_files
from talm_core.training.liveness import Beating, Watch

_STORE = "TALM_STORE"
_PAUSE = timedelta(days=365)  # the longest a run may be paused
_JOIN_SECONDS = 300.0
_LEAVE_SECONDS = 30.0
_POLL_SECONDS = 0.05


@dataclass(slots=True)
class World:
    """The processes of a run, seen from one of them. `local_rank` is its number on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    _control: dist.ProcessGroup | None = None
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _life: Beating | Watch | None = None

    @property
    def is_main(self) -> bool:
        """Whether this one talks and saves."""
        return self.rank == 0

    @property
    def is_single(self) -> bool:
        return self.size == 1

    # --- beginning and end -------------------------------------------------------------------

    @classmethod
    def join(cls, nproc: int, directory: Path, workspace: Path) -> World:
        """Meet the others; rank 0 without others starts them if `nproc` is more than one.

        Raises:
            RunError: one ended before it had begun.
        """
        count = rank.count()
        if count == 1 and nproc == 1:
            return cls()
        world = cls(
            rank=rank.number(),
            size=max(count, nproc if count == 1 else 1),
            local_rank=int(os.environ.get("LOCAL_RANK", "0")),
            local_size=int(os.environ.get("LOCAL_WORLD_SIZE", str(nproc))),
        )
        if world.local_rank < torch.cuda.device_count():
            torch.cuda.set_device(world.local_rank)
        try:
            world._meet(started=count > 1, directory=directory, workspace=workspace)
        except BaseException:
            world.close()
            raise
        return world

    def _meet(self, *, started: bool, directory: Path, workspace: Path) -> None:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        store: Store | None = None
        if not started:
            server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
            for number in range(1, self.size):
                self._children.append(self._child(number, server.port, directory, workspace))
            self._wait_for_children(server, directory)
            store = server
        elif _STORE in os.environ:
            store = TCPStore("127.0.0.1", int(os.environ[_STORE]), is_master=False)
            store.set(f"here/{self.rank}", "1")
            _end_with_parent()
        elif self.local_size == self.size:
            store = _store_of_attempt()
        if store is None:
            dist.init_process_group(backend)
        else:
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.size)
        # Of its own: a store that is waited at answers nobody else.
        own: Store = _get_default_store().clone()  # type: ignore[attr-defined]
        if self.is_main:
            pids = {number: child.pid for number, child in enumerate(self._children, 1)}
            self._life = Watch(own, self.size, directory, pids)
        else:
            self._life = Beating(own, self.rank)
        self._control = dist.new_group(backend="gloo", timeout=_PAUSE)

    def _child(
        self, number: int, port: int, directory: Path, workspace: Path
    ) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-P", "-m", "talm_core", str(directory)]
        more = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": self.size, _STORE: port}
        more["LOCAL_WORLD_SIZE"] = self.size
        with artifact_files.appending(directory / LOG_FILE) as log:
            return subprocess.Popen(
                [*words, "--workspace", str(workspace)],
                # Held open as long as this process lives.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | {key: str(value) for key, value in more.items()},
            )

    def _wait_for_children(self, store: TCPStore, directory: Path) -> None:
        deadline = time.monotonic() + _JOIN_SECONDS
        names = [f"here/{number}" for number in range(1, self.size)]
        while not store.check(names):
            if stop_reason() is not None or stop_waits(directory):
                raise StopRequested
            ended = self._ended()
            if ended or time.monotonic() > deadline:
                raise RunError(f"{ended or 'not all processes began'}; see {LOG_FILE}")
            time.sleep(_POLL_SECONDS)

    def close(self, *, failed: bool = True) -> None:
        """Leave the others; those this process started end with it. Unless something failed, each
        waits until all are ready to leave."""
        with suppress(RuntimeError):
            if dist.is_initialized():
                if not failed:
                    dist.barrier(group=self._control)
                dist.destroy_process_group()
        if self._life is not None:
            self._life.close()
        for child in self._children:
            assert child.stdin is not None
            try:
                if failed:
                    child.kill()
                child.wait(_LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            child.stdin.close()
        self._children.clear()

    def lost(self, error: BaseException) -> RunError | None:
        """What an error of an exchange means for the user; None for an error of another kind."""
        said = str(error)
        if self.is_single or not (isinstance(error, dist.DistError) or "gloo" in said):
            return None
        deadline = time.monotonic() + 5
        while self._children and not self._ended() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        frozen = self._life.verdict if isinstance(self._life, Watch) else ""
        who = frozen or self._ended() or "another process of this run ended"
        return RunError(
            f"{who}, and the others with it; go on from the last checkpoint by --resume"
        )

    def _ended(self) -> str:
        for number, child in enumerate(self._children, 2):
            code = child.poll()
            if code is not None:
                how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
                return f"process {number} of {self.size} ended {how}"
        return ""

    # --- exchanges ---------------------------------------------------------------------------

    def max(self, values: Sequence[float]) -> list[float]:
        """The highest of all world, number by number."""
        if self.is_single:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self._control)
        found: list[float] = tensor.tolist()
        return found

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sum over all world, number by number."""
        if self.is_single:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.SUM, group=self._control)
        found: list[float] = tensor.tolist()
        return found

    def broadcast(self, text: str) -> str:
        """Rank 0's text, everywhere."""
        if self.is_single:
            return text
        data = text.encode()
        size = torch.tensor([len(data)])
        dist.broadcast(size, 0, group=self._control)
        tensor = torch.zeros(int(size), dtype=torch.uint8)
        if self.is_main:
            tensor.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        dist.broadcast(tensor, 0, group=self._control)
        return bytes(tensor.tolist()).decode()

    def all_gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """A tensor of the host's memory, alike on all world, from each of them."""
        if self.is_single:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(found, tensor, group=self._control)
        return found

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """The mean over all world of a number on the device, there."""
        if not self.is_single:
            dist.all_reduce(tensor)
            tensor /= self.size
        return tensor


def _store_of_attempt() -> Store:
    """Where processes that torchrun started on one machine meet. After one of them died it starts
    all again beside the same store, where addresses of the dead would be found."""
    store, _, _ = next(iter(rendezvous("env://")))
    return PrefixStore(f"attempt-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however it went."""

    def watch() -> None:
        with suppress(OSError):
            while os.read(0, 1):
                pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
