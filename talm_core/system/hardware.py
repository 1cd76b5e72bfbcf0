"""Which devices there are, and how busy they are. Loads no torch: a screen asks as well as a job.

NVIDIA devices are asked through their driver's library (NVML); a machine without a driver has
none, which is no error. Every number a driver does not give is None.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from talm_core.system import cgroup
from talm_core.system.memory import DeviceMemory


def cores() -> int:
    """How many cores this process may use, as its affinity and its container say."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    count = len(os.sched_getaffinity(0))
    return min(count, cgroup.cores() or count)


def describe() -> str:
    """The machine in a few words: `NVIDIA H200`, `2 x NVIDIA L4`, `Apple M2, 8 cores`,
    `2 cores`. The same all the time a process runs."""
    names = _device_names()
    if names:
        counted = Counter(names).items()
        return ", ".join(f"{count} x {name}" if count > 1 else name for name, count in counted)
    count = cores()
    noun = "1 core" if count == 1 else f"{count} cores"
    chip = _apple_chip()
    return f"{chip}, {noun}" if chip else noun


def host_memory() -> tuple[int, int]:
    """Bytes of memory in use, and in all: the machine's, or the container's where that has less."""
    memory = psutil.virtual_memory()
    limited = cgroup.memory()
    if limited is not None and limited[1] < memory.total:
        return limited
    return memory.total - memory.available, memory.total


@dataclass(frozen=True, slots=True)
class Room:
    """What there is for a run, in bytes, None where it is not known: all memory of the
    `accelerator` of that name, of the host without one, and free disk. `device` is what the run
    computes on (`cpu`, `cuda`, `mps`), `bf16` whether that has units made for bf16."""

    memory: int | None = None
    disk: int | None = None
    accelerator: str = ""
    device: str = "cpu"
    bf16: bool = False


def room(device: str, directory: Path) -> Room:
    """What a run on this device (`auto`, `cpu`, `cuda`, `mps`) has that saves in `directory`,
    which need not be there yet."""
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    try:
        disk = shutil.disk_usage(there).free
    except OSError:
        disk = None
    found = devices() if device in ("auto", "cuda") else []
    if found:
        return Room(found[0].total, disk, found[0].name, "cuda", _cuda_bf16())
    if device == "mps" or (device == "auto" and _apple_chip()):
        # The host's memory is the accelerator's as well.
        return Room(host_memory()[1], disk, device="mps")
    return Room(host_memory()[1], disk, bf16=device != "cuda" and _cpu_bf16())


def devices(held: Mapping[str, tuple[int, int]] | None = None) -> list[DeviceMemory]:
    """The accelerators this process may use, with their memory and load now.

    What a process has `allocated` and `reserved` only itself knows: `held` tells it, in bytes, by
    the device's UUID as CUDA gives it, without a prefix. The driver counts devices in another
    order than CUDA.
    """
    driver = _driver()
    if driver is None:
        return []
    found = []
    for handle in _handles(driver):
        device = _device(driver, handle, held or {})
        if device is not None:
            found.append(device)
    return found


@cache
def _cpu_bf16() -> bool:
    """Whether the CPU multiplies tiles of bf16 (AMX), the only way that gains on one."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "flags":
                return "amx_bf16" in value.split()
    return False


@cache
def processor() -> str:
    """The CPU's model as its maker calls it, `AMD EPYC 7B13`; its architecture where that is not
    told."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return _apple_chip() or platform.processor() or platform.machine()


# --- NVML ------------------------------------------------------------------------------------


@cache
def _driver() -> Any:
    """The initialised NVML module; None where there is no driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


@cache
def _device_names() -> tuple[str, ...]:
    return tuple(device.name for device in devices())


def _handles(driver: Any) -> list[Any]:
    """The devices that `CUDA_VISIBLE_DEVICES` leaves, in its order; all without it."""
    count = _asked(driver, "nvmlDeviceGetCount") or 0
    every = [_asked(driver, "nvmlDeviceGetHandleByIndex", index) for index in range(count)]
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return [handle for handle in every if handle is not None]
    found = []
    for word in (part.strip() for part in chosen.split(",")):
        handle = _chosen(driver, every, word)
        if handle is None:
            # CUDA itself stops at the first entry it does not know.
            break
        found.append(handle)
    return found


def _chosen(driver: Any, every: list[Any], word: str) -> Any:
    """The device of an index, of the beginning of an identifier, or a part of one (MIG)."""
    if word.isdecimal():
        return every[int(word)] if int(word) < len(every) else None
    if word.startswith("MIG-"):
        return _asked(driver, "nvmlDeviceGetHandleByUUID", word)
    for handle in every:
        uuid = None if handle is None else _asked(driver, "nvmlDeviceGetUUID", handle)
        if uuid is not None and word.startswith("GPU-") and _text(uuid).startswith(word):
            return handle
    return None


def _device(driver: Any, handle: Any, held: Mapping[str, tuple[int, int]]) -> DeviceMemory | None:
    memory = _asked(driver, "nvmlDeviceGetMemoryInfo", handle)
    if memory is None:
        return None
    name = _asked(driver, "nvmlDeviceGetName", handle)
    load = _asked(driver, "nvmlDeviceGetUtilizationRates", handle)
    celsius = _asked(driver, "nvmlDeviceGetTemperature", handle, driver.NVML_TEMPERATURE_GPU)
    milliwatts = _asked(driver, "nvmlDeviceGetPowerUsage", handle)
    # `GPU-1234…`, or `MIG-1234…` for a part of one.
    uuid = _text(_asked(driver, "nvmlDeviceGetUUID", handle) or "").partition("-")[2]
    allocated, reserved = held.get(uuid, (None, None))
    return DeviceMemory(
        name=_text(name) if name is not None else "NVIDIA",
        used=int(memory.used),
        total=int(memory.total),
        allocated=allocated,
        reserved=reserved,
        utilisation=None if load is None else load.gpu / 100,
        temperature=None if celsius is None else float(celsius),
        power=None if milliwatts is None else milliwatts / 1000,
    )


def _cuda_bf16() -> bool:
    """Whether the first device has units for bf16: from compute capability 8.0 (Ampere) on."""
    driver = _driver()
    handle = next(iter(_handles(driver)), None) if driver is not None else None
    if handle is None:
        return False
    question = "nvmlDeviceGetCudaComputeCapability"
    found = _asked(driver, question, handle)
    if found is None:
        # A part of a device (MIG) may leave that to the whole.
        whole = _asked(driver, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle)
        found = None if whole is None else _asked(driver, question, whole)
    return found is not None and tuple(found) >= (8, 0)


def _asked(driver: Any, question: str, *arguments: Any) -> Any:
    """The driver's answer; None where it has none, as for the power of some laptops."""
    try:
        return getattr(driver, question)(*arguments)
    except driver.NVMLError:
        return None


def _text(name: str | bytes) -> str:
    # Older versions of the module answer in bytes.
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


# --- Apple -----------------------------------------------------------------------------------


@cache
def _apple_chip() -> str:
    """`Apple M2` on such a machine, else nothing."""
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return ""
    try:
        answer = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "Apple silicon"
    return answer.stdout.strip() or "Apple silicon"
