"""One thread that looks at the workspace and tells the app when something has changed."""

from __future__ import annotations

import contextlib
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from talm_core.jobs.registry import artifact_kinds, spec_of, specs
from talm_core.jobs.spec import load

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview, Overviews
    from talm_core.settings.schema import JobConfig
    from talm_core.storage.workspace import Artifact, Workspace

LOOK_SECONDS = 1.0
_SHOW_SECONDS = 0.5


@dataclass(frozen=True)
class Machine:
    """What the header says about the machine: its devices, the host's memory and that of all
    devices in bytes (0 where it is not known), the host's name."""

    name: str = ""
    memory_used: int = 0
    memory_total: int = 0
    device_used: int = 0
    device_total: int = 0
    host: str = ""


@dataclass(frozen=True)
class Snapshot:
    """The workspace at a moment.

    `kinds` are its artifacts by kind, first what said something last. `active` are the jobs that
    run or are paused, from whatever terminal, one that runs others stood for by the stage it is at.
    `stages` are the artifacts that one that runs others makes, in their order. `complete` is false
    while the first look is still going on.
    """

    kinds: Mapping[str, tuple[Overview, ...]] = field(default_factory=dict)
    active: tuple[Overview, ...] = ()
    stages: Mapping[Artifact, tuple[Artifact, ...]] = field(default_factory=dict)
    machine: Machine = Machine()
    complete: bool = False

    def of(self, kind: str) -> tuple[Overview, ...]:
        """The artifacts of a kind."""
        return self.kinds.get(kind, ())

    @property
    def all(self) -> tuple[Overview, ...]:
        """Every artifact."""
        return tuple(item for items in self.kinds.values() for item in items)

    @property
    def runs(self) -> tuple[Overview, ...]:
        """What has a monitor, whatever its kind, first what said something last."""
        return _newest_first(item for spec in specs() if spec.is_run for item in self.of(spec.kind))

    @property
    def models(self) -> tuple[Overview, ...]:
        """What can be prompted once it has a checkpoint, first what said something last."""
        kinds = [spec.kind for spec in specs() if spec.makes_model]
        return _newest_first(item for kind in kinds for item in self.of(kind))

    @property
    def wholes(self) -> tuple[Overview, ...]:
        """The jobs that run others, first what said something last."""
        kinds = [spec.kind for spec in specs() if spec.delegates]
        return _newest_first(item for kind in kinds for item in self.of(kind))

    def find(self, artifact: Artifact) -> Overview | None:
        """What is known of an artifact; None while that is nothing."""
        return next((item for item in self.of(artifact.kind) if item.artifact == artifact), None)

    def whole_of(self, artifact: Artifact) -> Overview | None:
        """The job that an artifact is a stage of, or is itself, if there is one."""
        return next(
            (
                whole
                for whole in self.wholes
                if artifact == whole.artifact or artifact in self.stages.get(whole.artifact, ())
            ),
            None,
        )

    @property
    def empty(self) -> bool:
        """Nothing has been made in this workspace."""
        return not any(self.kinds.values())


def _newest_first(items: Iterable[Overview]) -> tuple[Overview, ...]:
    return tuple(sorted(items, key=lambda item: (-item.updated, item.name)))


class Looker:
    """Takes snapshots. For one thread; remembers what it has read."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._overviews: Overviews | None = None
        self._seen: dict[Artifact, tuple[tuple[float, ...], Overview]] = {}
        self._parts: dict[Artifact, tuple[JobConfig | None, tuple[Artifact, ...]]] = {}
        self._machine = Machine()

    def snapshots(self) -> Iterator[Snapshot]:
        """One look: snapshots of what is known so far about twice a second, then the whole."""
        from talm_core.runtime.overview import Overviews

        if self._overviews is None:
            self._overviews = Overviews(self._workspace)
        artifacts = [item for kind in artifact_kinds() for item in self._workspace.artifacts(kind)]
        signed = [(_signature(artifact), artifact) for artifact in artifacts]
        # The newest first: what somebody looks for is there while the rest is still being read.
        signed.sort(key=lambda pair: pair[0][0], reverse=True)
        self._forget(set(artifacts))
        shown = time.monotonic()
        found: dict[Artifact, Overview] = {}
        for signature, artifact in signed:
            found[artifact] = self._of(artifact, signature)
            if time.monotonic() - shown > _SHOW_SECONDS:
                shown = time.monotonic()
                yield self._snapshot(found, complete=False)
        self._machine = _machine()
        yield self._snapshot(found, complete=True)

    def _of(self, artifact: Artifact, signature: tuple[float, ...]) -> Overview:
        assert self._overviews is not None
        seen = self._seen.get(artifact)
        if seen is not None and seen[0] == signature and not seen[1].status.active:
            # Nobody took its lock and nothing was written: no need to open four files.
            return seen[1]
        if seen is not None and seen[0][2] != signature[2]:
            # Another journal under the same name: a run that was deleted and made again.
            self._overviews.forget(artifact)
        overview = self._overviews.of(artifact)
        self._seen[artifact] = (signature, overview)
        return overview

    def _forget(self, there: set[Artifact]) -> None:
        for artifact in self._seen.keys() - there:
            del self._seen[artifact]
            assert self._overviews is not None
            self._overviews.forget(artifact)

    def _snapshot(self, found: dict[Artifact, Overview], *, complete: bool) -> Snapshot:
        kinds = {
            kind: _newest_first(item for artifact, item in found.items() if artifact.kind == kind)
            for kind in artifact_kinds()
        }
        # What is made last comes first, as somebody waits for that.
        running = [item for kind in reversed(kinds) for item in kinds[kind] if item.status.active]
        parts = [item for item in running if not spec_of(item.artifact.kind).delegates]
        return Snapshot(
            kinds=kinds,
            active=tuple(parts or running),
            stages={
                artifact: self._stages(artifact, item.config)
                for artifact, item in found.items()
                if spec_of(artifact.kind).delegates
            },
            machine=self._machine,
            complete=complete,
        )

    def _stages(self, artifact: Artifact, config: JobConfig | None) -> tuple[Artifact, ...]:
        from talm_core.errors import InputError
        from talm_core.storage.workspace import Artifact

        known = self._parts.get(artifact)
        if known is None or known[0] is not config:
            parts: tuple[Artifact, ...] = ()
            # A preset that was renamed since leaves nothing to say about the stages.
            with contextlib.suppress(InputError):
                if config is not None and config.kind == artifact.kind:
                    parts = tuple(
                        Artifact(part.kind, part.artifact, self._workspace.directory_of(part))
                        for part in load(spec_of(artifact.kind).stages)(config, self._workspace)
                    )
            known = self._parts[artifact] = config, parts
        return known[1]


def _signature(artifact: Artifact) -> tuple[float, ...]:
    """Changes when somebody writes to an artifact's journal or takes its lock; the journal's
    time comes first."""
    parts: list[float] = []
    for name in ("events.jsonl", "lock", "config.toml"):
        try:
            state = (artifact.directory / name).lstat()
        except OSError:
            parts += [0, 0, 0]
        else:
            parts += [state.st_mtime, state.st_size, state.st_ino]
    return tuple(parts)


def _machine() -> Machine:
    from talm_core.runtime.telemetry import telemetry
    from talm_core.system import hardware

    now = telemetry(None)
    return Machine(
        hardware.describe(),
        _rounded(now.host_used),
        now.host_total,
        _rounded(sum(device.used for device in now.devices)),
        sum(device.total for device in now.devices),
        platform.node().partition(".")[0],
    )


def _rounded(size: int) -> int:
    """To a tenth of a GiB, as it is shown: a finer number would change with every look."""
    return int(round(size / 2**30, 1) * 2**30)


class Watcher:
    """Looks once a second, and at once when asked, in a daemon thread: quitting never waits for
    a slow disk. `tell` and `fail` are called in that thread, `afterwards` once, when the first
    look is done."""

    def __init__(
        self,
        workspace: Callable[[], Workspace],
        tell: Callable[[Snapshot], None],
        fail: Callable[[str], None],
        afterwards: Callable[[], None],
    ) -> None:
        self._workspace = workspace
        self._tell = tell
        self._fail = fail
        self._afterwards = afterwards
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def look_now(self) -> None:
        """Look again without waiting for the second to end."""
        self._wake.set()

    def stop(self) -> None:
        """End at the next occasion."""
        self._ended.set()
        self._wake.set()

    def _run(self) -> None:
        looker = Looker(self._workspace())
        last: Snapshot | None = None
        said = ""
        while not self._ended.is_set():
            try:
                for snapshot in looker.snapshots():
                    if self._ended.is_set():
                        return
                    if snapshot != last:
                        last = snapshot
                        self._tell(snapshot)
            except Exception as error:  # noqa: BLE001
                # A workspace deleted or unmounted while it is read, or a bug: said once, and
                # looked at again.
                problem = f"The workspace cannot be read: {error!r}"
                if problem != said:
                    said = problem
                    self._fail(problem)
            self._afterwards()
            self._afterwards = _nothing
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()


def _nothing() -> None:
    """What is left to do after the first look."""
