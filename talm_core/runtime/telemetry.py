"""What a job says of the memory and load of the machine."""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from talm_core.runtime.events import Telemetry
from talm_core.system import hardware


def telemetry(
    process: psutil.Process | None = None, held: Mapping[str, tuple[int, int]] | None = None
) -> Telemetry:
    """Memory and load now, of a process (default: this one) and of the machine; `held` is what
    the process has of its devices, as for `devices`.

    The load is the mean since the last call, at first since psutil was loaded.
    """
    used, total = hardware.host_memory()
    try:
        resident = (process or psutil.Process()).memory_info().rss
    except psutil.Error:
        # It has ended meanwhile.
        resident = 0
    return Telemetry(
        process_memory=resident,
        host_used=used,
        host_total=total,
        cpu=psutil.cpu_percent(interval=None) / 100,
        devices=hardware.devices(held),
    )
