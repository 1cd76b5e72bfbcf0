"""A case tried at one point after the other, and what must hold after each."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from talm_core.jobs.registry import artifact_kinds
from talm_core.runtime import runner
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Workspace
from talm_core.training import checkpoint
from tests.faults.cases import Case, Words, lay_out, steps_said
from tests.faults.faults import FAULTS, Done, Fault, points

ROOT = Path(__file__).parents[2]
_LIST: tuple[Words, ...] = (("list",), ("list", "--json"))
# Nobody but a programmer says these.
_TECHNICAL = re.compile(r"Traceback|\w+Error\b|\[Errno|Exception|bug in talm|core dumped")
_LOOSE = ("events.jsonl", "log.txt", "lock", "checkpoint.json", "training.safetensors")
"""Files that tell of times, and are not the same twice."""
_OPTIONAL = ("log.txt", "config-finished.toml", "commands")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a process ended: its exit code, or what else became of it, what it made known and what
    it did to files."""

    code: int | str
    said: str
    happened: bool
    calls: list[Done]


class Warm:
    """The process that forks all others, see `tests.faults.warm`."""

    def __init__(self, process: subprocess.Popen[str], place: Path) -> None:
        self._process = process
        self.place = place
        self._output = place.with_name(f"{place.name}.out")

    def run(
        self,
        commands: Sequence[Words],
        *,
        watched: bool = True,
        fault: Fault | None = None,
        at: int = 0,
        limits: dict[str, int] | None = None,
    ) -> Outcome:
        """Do commands one after the other in one process; `fault` comes at the call `at` of those
        it concerns."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._output.unlink(missing_ok=True)
        home = ("--workspace", str(self.place / "home"))
        request = {
            "commands": [[*words, *home] for words in commands],
            "root": str(self.place),
            "directory": str(self.place),
            "output": str(self._output),
            "fault": None if fault is None else asdict(fault),
            "at": at,
            "limits": limits or {},
            "watched": watched,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        said = self._output.read_text(encoding="utf-8") if self._output.exists() else ""
        calls = [Done(*call) for call in answer["calls"]]
        return Outcome(answer["code"], said, answer["happened"], calls)


@contextmanager
def warmed(folder: Path, hub: str) -> Iterator[Warm]:
    """A warm process that works in a directory of its own below `folder`."""
    place = folder / "place"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "TALM_JOBS": "tests.core.dice.spec:SPEC",
        "HF_ENDPOINT": hub,
        "HF_HOME": str(folder / "huggingface"),
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "tests.faults.warm"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Warm(process, place)
        process.stdin.close()


# --- trees -----------------------------------------------------------------------------------


def tree(place: Path) -> dict[str, str]:
    """Every file below a directory, with a checksum of what it holds, and every empty folder."""
    found = {}
    for folder, folders, names in os.walk(place):
        for name in names:
            path = Path(folder) / name
            found[str(path.relative_to(place))] = hashlib.sha256(path.read_bytes()).hexdigest()
        if not folders and not names:
            found[str(Path(folder).relative_to(place))] = "empty"
    return found


def _loose(case: Case, name: str) -> bool:
    return name.endswith((*_LOOSE, *case.loose))


def _named(files: dict[str, str]) -> set[str]:
    return {name for name in files if not set(_OPTIONAL) & set(Path(name).parts)}


# --- one case --------------------------------------------------------------------------------


class Broken:
    """A case, laid out once: what there is before the command, and after a calm one."""

    def __init__(self, case: Case, warm: Warm, store: Path) -> None:
        self.case = case
        self._warm = warm
        self._place = warm.place
        alike = hashlib.sha256(repr((case.base, case.ended)).encode()).hexdigest()
        self._store = store / alike[:16]
        self._workspace = Workspace(self._place / "home")
        self._begin()
        self._before = tree(self._place)
        calm = warm.run([case.words])
        assert calm.code == 0, calm.said
        self.calls = calm.calls
        self._at_once = tree(self._place)
        if case.after:
            calm = warm.run(case.after, watched=False)
            assert calm.code == 0, calm.said
        self._calm = tree(self._place)

    def _begin(self) -> None:
        """Lay out what is there before the command. Cases that begin alike share it."""
        if not self._store.exists():
            shutil.rmtree(self._place, ignore_errors=True)
            self._place.mkdir(parents=True)
            lay_out(self._place)
            self._do_base()
            shutil.copytree(self._place, self._store)
        self._restore()

    def _do_base(self) -> None:
        case, warm = self.case, self._warm
        calm = case.base[:-1] if case.ended else case.base
        if calm:
            made = warm.run(calm, watched=False)
            assert made.code == 0, made.said
        if not case.ended:
            return
        last, killed, store = case.base[-1], FAULTS[0], self._store
        shutil.copytree(self._place, store)
        count = len(points(warm.run([last]).calls, killed, 1 << 30))
        self._restore()
        shutil.rmtree(store)
        ended = warm.run([last], fault=killed, at=round(count * case.ended))
        assert ended.code == -9

    def _restore(self) -> None:
        shutil.rmtree(self._place, ignore_errors=True)
        shutil.copytree(self._store, self._place)

    def points(self, fault: Fault, most: int) -> list[int]:
        """Where it is tried."""
        return points(self.calls, fault, most)

    def attempt(self, fault: Fault, at: int, *, go_on: bool = True) -> list[str]:
        """Break the command there, and `go_on` with the next one; returns what did not hold."""
        self._restore()
        broken = self._warm.run([self.case.words], fault=fault, at=at)
        return self._judged(broken, fault, go_on=go_on)

    def limited(self, **limits: int) -> list[str]:
        """The same where the system gives only so many `files`, or bytes of `memory` more. Where
        there is no memory, libraries in C and Rust end the process, as the system itself would."""
        self._restore()
        return self._judged(self._warm.run([self.case.words], watched=False, limits=limits), None)

    def _judged(self, broken: Outcome, fault: Fault | None, *, go_on: bool = True) -> list[str]:
        wrong = [f"when it was broken, {what}" for what in self._after_fault(broken, fault)]
        if not go_on:
            return wrong
        again = self._next()
        follow = self._warm.run([*_LIST, again, *self.case.after, *_LIST], watched=False)
        wrong += [f"then, {what}" for what in self.after_next(follow, again)]
        if wrong:
            wrong += ["--- said when it was broken:", broken.said, "--- then:", follow.said]
        return wrong

    def _after_fault(self, broken: Outcome, fault: Fault | None) -> Iterator[str]:
        ends = fault is not None and not fault.error
        if ends and broken.happened and broken.code != -9:
            yield f"it was killed and ended with {broken.code}"
        aborted = fault is None and broken.code in (-signal.SIGABRT, -signal.SIGSEGV)
        if not ends and not aborted and broken.code not in (0, 1, 2, 130):
            yield f"it ended with {broken.code}"
        if broken.code in (1, 2) and "\ntalm: " not in broken.said:
            yield "nothing was said"
        yield from _technical(broken.said)
        if broken.code == 0:
            yield from self._promised(self._at_once, "it is done")
        yield from self._kept()

    def _promised(self, expected: dict[str, str], why: str) -> Iterator[str]:
        found = tree(self._place)
        for name in sorted(_named(expected)):
            if name not in found:
                yield f"{why}, and {name} is missing"
            elif found[name] != expected[name] and not _loose(self.case, name):
                yield f"{why}, and {name} differs"

    def _kept(self) -> Iterator[str]:
        """Whatever the command does not change is there; so is what it said is."""
        same = {
            name: held for name, held in self._before.items() if self._at_once.get(name) == held
        }
        yield from self._promised(same, "nothing has to do with it")
        for kind in artifact_kinds():
            for artifact in self._workspace.artifacts(kind):
                log = artifact.directory / runner.LOG_FILE
                if log.exists() and "Traceback" in log.read_text(encoding="utf-8"):
                    yield f"{log}: {log.read_text(encoding='utf-8')}"
                if runner.status(artifact.directory) is Status.DAMAGED:
                    yield f"{artifact.name} is damaged"
        for artifact in self._workspace.artifacts("pretrain"):
            model = artifact.directory
            found = checkpoint.find(model)
            said = steps_said(model) if (model / "events.jsonl").exists() else []
            if found.damaged:
                yield f"{found.damaged[0]}"
            if found.step < max(said, default=0):
                yield f"step {max(said)} was saved, and step {found.step} is there"

    def _next(self) -> Words:
        """What somebody does next: the same again, or going on with it where that is its way."""
        case = self.case
        if case.kind == "pretrain" and "--resume" not in case.words:
            directory = self._workspace.directory("pretrain", "m")
            begun = any(
                path.name in ("config.toml", "events.jsonl") for path in _entries(directory)
            )
            if begun and runner.status(directory) is not Status.DONE:
                return ("train-model", "-n", "m", "--resume")
        return case.again or case.words

    def after_next(self, follow: Outcome, again: Words) -> Iterator[str]:
        """What does not hold once somebody has gone on, `again` in the midst of looking."""
        yield from _technical(follow.said)
        codes = [int(code) for code in re.findall(r"^\[(\d+)\]$", follow.said, re.MULTILINE)]
        if len(codes) != 2 * len(_LIST) + 1 + len(self.case.after):
            yield f"it ended with {follow.code}"
            return
        if any(codes[: len(_LIST)]) or any(codes[len(_LIST) + 1 :]):
            yield f"what must always work ended with {codes}"
        code = codes[len(_LIST)]
        done = ("exists already", "nothing of that name", "nothing is left to resume")
        if code and not (code == 2 and any(words in follow.said for words in done)):
            yield f"talm {' '.join(again)} ended with {code}"
        found = tree(self._place)
        missing, more = _named(self._calm) - _named(found), _named(found) - _named(self._calm)
        if missing or more:
            yield f"missing: {sorted(missing)}, left: {sorted(more)}"
        for name in sorted(_named(self._calm) & _named(found)):
            if found[name] != self._calm[name] and not _loose(self.case, name):
                yield f"{name} differs"


def _entries(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []


def _technical(said: str) -> Iterator[str]:
    for line in said.splitlines():
        if _TECHNICAL.search(line):
            yield f"it said: {line}"
            return
