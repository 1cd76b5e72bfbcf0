from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from talm_core.runtime.telemetry import telemetry
from talm_core.system import cgroup, hardware


class FakeDriver:
    """NVML with devices of one's choice: (name, uuid, watts or None)."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self, *devices: tuple[str | bytes, str, float | None]) -> None:
        self.devices = devices

    def nvmlDeviceGetCount(self) -> int:
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        raise self.NVMLError(uuid)

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return self.devices[handle][1]

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:
        return self.devices[handle][0]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(used=handle + 1, total=100)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return SimpleNamespace(gpu=37)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        return 61

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> list[int]:
        return [7, 5] if b"T4" in bytes(str(self.devices[handle][0]), "utf-8") else [8, 9]

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        watts = self.devices[handle][2]
        if watts is None:
            raise self.NVMLError("not supported")
        return int(watts * 1000)


THREE = FakeDriver(
    ("NVIDIA L4", "GPU-aa1", 55.5), ("NVIDIA L4", "GPU-bb2", None), (b"NVIDIA T4", "GPU-cc3", 1)
)


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield
    hardware._device_names.cache_clear()


def use(monkeypatch: pytest.MonkeyPatch, driver: FakeDriver | None) -> None:
    hardware._device_names.cache_clear()
    monkeypatch.setattr(hardware, "_driver", lambda: driver)


def test_a_machine_without_a_driver_has_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, None)
    monkeypatch.setattr(hardware, "cores", lambda: 2)
    assert hardware.devices() == []
    assert hardware.describe() == "2 cores"
    monkeypatch.setattr(hardware, "cores", lambda: 1)
    assert hardware.describe() == "1 core"
    monkeypatch.setattr(hardware, "_apple_chip", lambda: "Apple M2")
    assert hardware.describe() == "Apple M2, 1 core"


def test_devices_are_counted_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, THREE)
    assert hardware.describe() == "2 x NVIDIA L4, NVIDIA T4"
    use(monkeypatch, FakeDriver(("NVIDIA H200", "GPU-x", 1)))
    assert hardware.describe() == "NVIDIA H200"


def test_a_device_tells_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, THREE)
    first, second, third = hardware.devices()
    assert (first.name, first.used, first.total) == ("NVIDIA L4", 1, 100)
    assert (first.utilisation, first.temperature, first.power) == (0.37, 61.0, 55.5)
    assert second.power is None
    assert third.name == "NVIDIA T4"


def test_the_room_of_a_run_knows_the_dtype_its_device_computes_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, THREE)
    found = hardware.room("auto", tmp_path)
    assert (found.memory, found.accelerator) == (100, "NVIDIA L4")
    assert (found.device, found.bf16) == ("cuda", True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert not hardware.room("cuda", tmp_path).bf16
    assert hardware.room("cpu", tmp_path).device == "cpu"
    use(monkeypatch, None)
    monkeypatch.setattr(hardware, "_apple_chip", lambda: "Apple M2")
    assert hardware.room("auto", tmp_path).device == "mps"


def test_what_a_process_holds_stands_with_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """By UUID: CUDA may count the devices in another order than the driver does."""
    use(monkeypatch, THREE)
    told = telemetry(held={"cc3": (30, 40)}).devices
    assert [(device.allocated, device.reserved) for device in told] == [
        (None, None),
        (None, None),
        (30, 40),
    ]
    assert told[2].total == 100


def test_a_container_may_have_less_than_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "memory", lambda: (3, 100))
    monkeypatch.setattr(cgroup, "cores", lambda: 1)
    assert hardware.host_memory() == (3, 100)
    assert hardware.cores() == 1
    total = psutil.virtual_memory().total
    monkeypatch.setattr(cgroup, "memory", lambda: (3, total * 2))
    monkeypatch.setattr(cgroup, "cores", lambda: 10_000)
    assert hardware.host_memory()[1] == total
    assert hardware.cores() < 10_000


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("2,0", [3, 1]),
        ("1, 9, 0", [2]),
        ("GPU-bb", [2]),
        ("GPU-zz", []),
        ("MIG-1", []),
    ],
)
def test_only_the_devices_that_a_process_may_use_count(
    monkeypatch: pytest.MonkeyPatch, visible: str, expected: list[int]
) -> None:
    use(monkeypatch, THREE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [device.used for device in hardware.devices()] == expected


def test_the_driver_of_this_machine_is_asked_without_an_error() -> None:
    for device in hardware.devices():
        assert 0 <= device.used <= device.total


def test_memory_of_this_process_and_of_the_machine() -> None:
    told = telemetry()
    assert told.host_total == psutil.virtual_memory().total
    assert 0 < told.process_memory < told.host_total
    assert 0 <= told.cpu <= 1
    assert telemetry(psutil.Process(os.getpid())).process_memory > 0


def test_a_process_that_has_ended_has_no_memory() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = psutil.Process(child.pid)
        assert telemetry(process).process_memory > 0
        child.communicate(b"\n")
    assert telemetry(process).process_memory == 0


def test_asking_loads_no_torch() -> None:
    code = (
        "import sys; from talm_core.system.hardware import *; describe();"
        " print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"
