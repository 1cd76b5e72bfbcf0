"""A run says how its machine does, at most once a second."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from talm_core.jobs.pretrain.job import pretrain
from talm_core.runtime.events import Telemetry
from talm_core.system import hardware
from talm_core.system.memory import DeviceMemory
from talm_core.training.trainer import Trainer
from tests.core.driving import stepped
from tests.core.tiny_runs import tiny_config, tiny_workspace


def test_at_most_once_a_second_with_what_the_process_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def devices(held: Any = None) -> list[DeviceMemory]:
        asked.append(held)
        used = {"allocated": 5, "reserved": 7} if held else {}
        return [DeviceMemory(name="NVIDIA H200", used=41, total=139, power=640.0, **used)]

    monkeypatch.setattr(hardware, "devices", devices)
    monkeypatch.setattr(Trainer, "memory", lambda _: {"uuid": (5, 7)})
    workspace = tiny_workspace(tmp_path)
    began = time.monotonic()
    said = [
        event
        for event in stepped(pretrain, tiny_config(max_steps=60), workspace)
        if isinstance(event, Telemetry)
    ]
    # Between the first and the last lie whole seconds, however late they are read here.
    assert 0 < len(said) <= 1 + (time.monotonic() - began)
    last = said[-1]
    assert last.host_total == hardware.host_memory()[1]
    assert 0 < last.process_memory < last.host_total
    assert 0 <= last.cpu <= 1
    assert last.devices[0].power == 640.0
    if {"uuid": (5, 7)} in asked:
        assert (last.devices[0].allocated, last.devices[0].reserved) == (5, 7)
