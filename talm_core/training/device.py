"""What a run computes on: device, dtype, compiler and threads."""

from __future__ import annotations

import ctypes
import re
import sys
import time
from dataclasses import dataclass
from functools import cache

import torch

from talm_core.errors import ConfigError, Problem
from talm_core.model import operators
from talm_core.system.hardware import cores
from talm_core.training.config import BatchConfig, ModelTrainingConfig
from talm_core.training.estimate import precision_of

# Compiling takes up to a minute, which this many steps win back.
_COMPILE_STEPS = 1_000
# Up to so many tokens batched products take less time than torch's tiles of attention in bf16 on a
# CPU, which leave out what is masked.
_LONGEST_BATCHED = 1024
# Operations a second of bf16 products without sparsity, as the makers' data sheets have them, by
# the words of a device's name that tell it from others.
_PEAKS = {
    ("H200",): 989e12,
    ("H200", "NVL"): 835e12,
    ("H100",): 989e12,
    ("H100", "PCIE"): 756e12,
    ("H100", "NVL"): 835e12,
    ("A100",): 312e12,
    ("A100", "PCIE"): 312e12,
    ("L40S",): 362e12,
    ("L40",): 181e12,
    ("L4",): 121e12,
}
# What a name says besides: its maker, the size and kind of its memory, the usual socket.
_BESIDE = re.compile(r"NVIDIA|[0-9]+GB|HBM[0-9]E?|SXM[0-9]?")

_M_MMAP_MAX, _M_TRIM_THRESHOLD = -4, -1


@dataclass(frozen=True, slots=True)
class Machine:
    """The choices of a run. They are kept in its checkpoints: a resumed run that chose anew could
    not continue bit for bit. `batch_size` is the sequences of a micro-batch; 0: as the settings
    say. `attention` is the kernel: auto (torch chooses), cudnn, efficient, math or batched
    (`talm_core.model.operators`). `newton_schulz` is the dtype of Muon's products, fp32 or bf16;
    empty in checkpoints that do not say it: bf16 on CUDA devices."""

    device: str
    precision: str
    compiled: bool
    threads: int
    batch_size: int = 0
    attention: str = "auto"
    newton_schulz: str = ""

    @property
    def dtype(self) -> torch.dtype:
        """Of the model's products."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @property
    def muon_dtype(self) -> torch.dtype:
        """Of Muon's products."""
        said = self.newton_schulz or ("bf16" if self.device == "cuda" else "fp32")
        return torch.bfloat16 if said == "bf16" else torch.float32


def peak_flops(machine: Machine) -> float:
    """Operations a second that the device can do at most: of known accelerators what their maker
    says, of others what a large product reaches here, measured once a process."""
    return known_peak(machine) or _measured_peak(machine.device, machine.precision)


def known_peak(machine: Machine) -> float | None:
    """What the maker says that the device can do at most; None where that is not known here.
    A measured one is no yardstick for a run: how fast a product is depends on what else the machine
    does at that moment."""
    if machine.device == "cuda" and machine.precision == "bf16":
        return makers_peak(torch.cuda.get_device_name())
    return None


def makers_peak(name: str) -> float | None:
    """What the maker says of the device with this name; None for one not known here, and for a
    part of one (MIG)."""
    words = re.split(r"[\s-]+", name.upper().strip())
    return _PEAKS.get(tuple(word for word in words if not _BESIDE.fullmatch(word)))


@cache
def _measured_peak(device: str, precision: str) -> float:
    width, times = (512, 8) if device == "cpu" else (4096, 4)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    # No random numbers: those are the run's.
    matrix = torch.full((width, width), 1 / width, dtype=dtype, device=device)
    fastest = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * width**3 / fastest


def set_attention(kind: str) -> None:
    """Have attention computed by this kernel in the whole process; `auto` leaves it to torch."""
    operators.use_batched_attention(kind == "batched")
    cuda = torch.backends.cuda
    cuda.enable_flash_sdp(kind in ("auto", "batched"))
    cuda.enable_mem_efficient_sdp(kind in ("auto", "efficient"))
    cuda.enable_cudnn_sdp(kind in ("auto", "cudnn"))
    # Always there for what the chosen one cannot do, such as a single new token.
    cuda.enable_math_sdp(True)


def choose(config: ModelTrainingConfig, *, sharers: int = 1) -> Machine:
    """The machine a run asks for, `sharers` processes of which share its cores. The choice depends
    on settings and hardware alone, not on a measurement, so that it is the same every time.

    Raises:
        ConfigError: a device that is not here.
    """
    device = choose_device(config.device)
    precision = precision_of(config, device, bf16=_gains_by_bf16(device))
    compiled = config.compile == "on" or (
        config.compile == "auto" and device == "cuda" and config.max_steps >= _COMPILE_STEPS
    )
    batched = device == "cpu" and precision == "bf16" and config.context_len <= _LONGEST_BATCHED
    return Machine(
        device,
        precision,
        compiled,
        config.threads or max(1, cores() // sharers),
        attention="batched" if batched else "auto",
        newton_schulz=precision,
    )


def choose_device(asked: str) -> str:
    """`auto` becomes the fastest device there is.

    Raises:
        ConfigError: a device that is not here.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if asked == "auto":
        return next(device for device, here in there.items() if here)
    if not there[asked]:
        known = ", ".join(device for device, here in there.items() if here)
        raise ConfigError(Problem("device", "is not available here", asked, f"there is {known}"))
    return asked


def computes_bf16(device: str) -> bool:
    """Whether the device has units for bf16, so that it may be worth a try."""
    if device == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", dict[str, bool])()
        return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return True


def check_shares(config: BatchConfig, device: str, count: int, local_count: int) -> None:
    """Whether so many processes, `local_count` of them here, can share a step.

    Raises:
        ConfigError: they cannot.
    """
    sequences = config.sequences_per_step
    if sequences % count:
        message = f"{count} processes cannot share the {sequences:,} windows of a step evenly"
        raise ConfigError(Problem("nproc", message, hint="change batch_size or grad_accum_steps"))
    if device == "cuda" and local_count > torch.cuda.device_count():
        message = f"this machine has {torch.cuda.device_count()} GPUs"
        raise ConfigError(Problem("nproc", message, local_count))


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of `number` that is at most `most`."""
    return next(size for size in range(min(number, most), 0, -1) if number % size == 0)


def _gains_by_bf16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        # Only CPUs with matrix tiles gain: 2.3 times on a width of 384. Without them, torch's
        # bf16 products are slower than its fp32 ones.
        capabilities = getattr(torch.cpu, "get_capabilities", dict[str, bool])()
        return bool(capabilities.get("amx_bf16"))
    return False


def prepare(machine: Machine) -> None:
    """Set up this process for training."""
    torch.set_num_threads(machine.threads)
    set_attention(machine.attention)
    torch.set_float32_matmul_precision("high" if machine.precision == "bf16" else "highest")
    if machine.device == "cpu":
        keep_freed_memory()


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks for the next step instead of giving them back to the system.

    A training step frees and asks for the same large blocks again and again; having the system
    map and clear each anew takes up to a third of a small model's step.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
