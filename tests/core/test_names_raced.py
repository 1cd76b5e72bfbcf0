"""The same few names, started, renamed and deleted by several processes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from talm_core.runtime import lock, runner
from talm_core.storage.workspace import Workspace
from tests.core.counting import registered

NAMES = ("a", "b", "c")

RACER = """
import random, sys, time
from talm_core.errors import InputError
from talm_core.runtime import runner, upkeep
from talm_core.runtime.events import Finished
from talm_core.storage.workspace import Workspace
from tests.core.counting import CountConfig, registered

workspace, names = Workspace(sys.argv[1]), sys.argv[4:]
chance, until = random.Random(int(sys.argv[2])), time.monotonic() + float(sys.argv[3])
done = {"start": 0, "resume": 0, "rename": 0, "delete": 0, "refused": 0}
with registered():
    while time.monotonic() < until:
        what = chance.choice(("start", "start", "resume", "rename", "delete"))
        name = chance.choice(names)
        try:
            if what in ("start", "resume"):
                config = CountConfig(name=name, steps=chance.randint(1, 4))
                # Whoever lists meanwhile sees what there is.
                runner.find(workspace, "count")
                last = runner.run(config, workspace, resume=what == "resume")
                assert isinstance(last, Finished), last
            elif what == "rename":
                upkeep.rename(workspace, "count", name, chance.choice(names))
            else:
                upkeep.delete(workspace, "count", name)
            done[what] += 1
        except InputError as error:
            # Whatever is refused says the name or the place, and why.
            assert all(str(problem).count(":") for problem in error.problems), error
            done["refused"] += 1
print(" ".join(map(str, done.values())))
"""


def race(root: Path, processes: int, seconds: float) -> list[int]:
    """How often each thing was done, all told, by processes of which none broke."""
    words = [str(seconds), *NAMES]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(root), str(number), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    said = [racer.communicate(timeout=seconds + 120) for racer in racers]
    for racer, (_, err) in zip(racers, said, strict=True):
        assert not racer.returncode, err
    return [sum(column) for column in zip(*(map(int, out.split()) for out, _ in said), strict=True)]


def check(root: Path, counts: list[int]) -> None:
    """Everything was done at times and refused at times, and what is left is whole."""
    assert all(counts), counts
    with registered():
        workspace = Workspace(root)
        for artifact, status in runner.find(workspace, "count"):
            assert artifact.name in NAMES
            assert not lock.held(artifact.directory)
            assert status is runner.Status.DONE
            config = runner.read_config(artifact.directory)
            assert config.artifact == artifact.name
        left = [path.name for path in workspace.folder("count").iterdir()]
        assert not [name for name in left if name.startswith(".")]


def test_names_raced_for_some_seconds_end_in_plain_refusals(tmp_path: Path) -> None:
    check(tmp_path, race(tmp_path, 4, 2.5))


@pytest.mark.thorough
def test_names_raced_by_twenty_for_a_minute(tmp_path: Path) -> None:
    check(tmp_path, race(tmp_path, 20, 60))
