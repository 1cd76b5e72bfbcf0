"""The settings of what a run computes on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from talm_core.settings.schema import Component, Setting


class DeviceConfig(Component):
    """Device, dtype and compiler."""

    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Setting(
            "Machine",
            "Where to train; auto takes the fastest there is.",
            more="cuda: NVIDIA and AMD cards. mps: Apple's. cpu is always there.",
            advanced=True,
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Setting(
            "Machine",
            "Number format of the heavy products; weights stay fp32.",
            more="auto takes bf16 where the device computes it faster.",
            advanced=True,
        ),
    ] = "auto"
    compile: Annotated[
        Literal["auto", "on", "off"],
        Setting(
            "Machine",
            "Compile the model first.",
            more="Costs up to a minute once and makes every step faster. auto compiles on CUDA"
            " for runs long enough to gain from it.",
            advanced=True,
        ),
    ] = "auto"
    autotune: Annotated[
        Literal["auto", "on", "off"],
        Setting(
            "Machine",
            "Try what computes fastest before the first step.",
            more="Measures number formats, attention kernels, windows of a pass and the compiler,"
            " as far as they are left to auto, and keeps the fastest; the tokens of a step stay the"
            " same. auto does so for runs of ten minutes and more. What was found is remembered in"
            " autotune.json in the workspace.",
            advanced=True,
        ),
    ] = "auto"
    threads: Annotated[
        int,
        Field(ge=0, le=1024),
        Setting(
            "Machine",
            "CPU threads; 0 means all cores.",
            more="Fewer leave cores to other programs.",
            advanced=True,
        ),
    ] = 0


class ParallelConfig(Component):
    """How many processes train together, and how they share the model."""

    nproc: Annotated[
        int,
        Field(ge=1, le=1024),
        Setting(
            "Machine",
            "Processes that train together on this machine, one for each GPU.",
            more="A step's windows are shared among them, so it must divide batch_size x"
            " grad_accum_steps; what is learned stays the same. On more than one machine, start"
            " the run's directory with torchrun instead.",
            advanced=True,
            resume=True,
        ),
    ] = 1
    parallel: Annotated[
        Literal["ddp", "fsdp"],
        Setting(
            "Machine",
            "How several processes share the model.",
            more="ddp: each has all of it, which is faster. fsdp: each has a part of every layer,"
            " for models that do not fit on one GPU.",
            advanced=True,
            resume=True,
        ),
    ] = "ddp"
