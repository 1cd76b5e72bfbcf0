"""Whether the disk will hold what a job is going to write."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from talm_core.errors import Problem, RunError, WorkspaceError

RESERVE_BYTES = 32 << 20
"""What is left free, so that whatever else needs the disk can still go on."""

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What is going to be written: tokens that are not there yet, and bytes to download."""

    tokens: int
    download_bytes: int = 0


class Room:
    """The free disk of a directory."""

    def __init__(self, directory: Path, token_bytes: int) -> None:
        """`token_bytes` is what one token takes."""
        self._directory = directory
        self._token_bytes = token_bytes
        self._looked = time.monotonic()

    def check(self, expected: Expected) -> None:
        """Refuse to begin what the disk will not hold.

        Raises:
            WorkspaceError: with how much is free and how much is needed.
        """
        needed = expected.tokens * self._token_bytes + expected.download_bytes
        free = self._free()
        if needed > free:
            what = f"the dataset may need {_size(needed)}"
            if expected.download_bytes:
                what += f", {_size(expected.download_bytes)} of it for downloads"
            hint = "make room, choose another workspace, or set max_tokens"
            if expected.download_bytes:
                hint += " or no keep_downloads"
            message = f"has {_size(free)} free, {what}"
            raise WorkspaceError(Problem("workspace", message, str(self._directory), hint))

    def look(self) -> None:
        """Look again, once a second: others write as well.

        Raises:
            RunError: next to nothing is free.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        if self._free() < RESERVE_BYTES:
            message = f"the disk is almost full: make room for {self._directory}"
            raise RunError(f"{message} and run the same again")

    def _free(self) -> int:
        return shutil.disk_usage(self._directory).free


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 10**10 else f"{count / 1e6:,.0f} MB"
