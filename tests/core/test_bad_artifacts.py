"""One bad artifact of each kind among many good ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from talm_core.storage.workspace import Workspace
from talm_tui.services.watcher import Looker
from tests.core.bad_artifacts import FAULTS, NAMED, write_bad, write_run

GOOD = 200


def listed(root: Path) -> tuple[dict[str, dict[str, str]], float]:
    """What `talm list` lists by name, and its processor seconds."""
    command = [sys.executable, "-m", "talm_core.cli", "list", "--json", "--workspace", str(root)]
    with (root.parent / "out").open("wb+") as out:
        process = subprocess.Popen(command, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        out.seek(0)
        found = {item["name"]: item for item in map(json.loads, out)}
    return found, usage.ru_utime + usage.ru_stime


def test_the_good_are_listed_and_the_bad_are_named(tmp_path: Path) -> None:
    good, mixed = Workspace(tmp_path / "good"), Workspace(tmp_path / "mixed")
    names = [f"run-{number:03}" for number in range(GOOD)]
    for name in names:
        write_run(good, name)
        write_run(mixed, name)
    write_bad(mixed)
    found, _ = listed(mixed.root)
    assert found.keys() == {*names, *FAULTS}
    assert {found[name]["status"] for name in names} == {"done"}
    damaged = {name for name, item in found.items() if item["status"] == "damaged"}
    assert damaged == NAMED
    assert all(found[name]["message"] for name in NAMED)
    assert not any("sys.set_int" in item["message"] for item in found.values())
    # Half a second each; the better of two, for others work here as well.
    alone = min(listed(good.root)[1] for _ in range(2))
    together = min(listed(mixed.root)[1] for _ in range(2))
    assert together < 2 * alone


def test_the_screen_lists_them_as_well(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_run(workspace, "good")
    write_bad(workspace)
    *_, snapshot = Looker(workspace).snapshots()
    shown = {item.name: item for item in snapshot.models}
    assert shown["good"].status.value == "done"
    assert {name for name, item in shown.items() if item.status.value == "damaged"} == NAMED
