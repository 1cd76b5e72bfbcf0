"""What an accelerator says of its memory and load."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMemory:
    """Memory of one accelerator in bytes; utilisation a share, temperature °C, power W."""

    name: str
    used: int
    total: int
    allocated: int | None = None
    reserved: int | None = None
    utilisation: float | None = None
    temperature: float | None = None
    power: float | None = None
