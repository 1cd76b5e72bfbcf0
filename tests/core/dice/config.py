"""What somebody can say of a die."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from talm_core.settings.name import Name
from talm_core.settings.schema import JobConfig, Setting


class DiceConfig(JobConfig):
    """Roll a die."""

    kind: ClassVar[str] = "dice"
    title: ClassVar[str] = "Roll dice"

    name: Annotated[Name, Setting("Run", "What it is called.", flags=("-n",))]
    rolls: Annotated[int, Field(ge=1, le=1000), Setting("Run", "How often.", unit="rolls")] = 3
    sides: Annotated[int, Field(ge=2, le=100), Setting("Die", "How many sides it has.")] = 6
    pause: Annotated[float, Field(ge=0), Setting("Die", "Seconds between two.", unit="s")] = 0.0

    @property
    def artifact(self) -> str:
        return self.name
