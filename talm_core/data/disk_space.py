"""Whether the disk will hold what a job is going to write."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from talm_core.errors import Problem, RunError, WorkspaceError
from talm_core.system.refusals import refusal

RESERVE_BYTES = 32 << 20
"""What is left free, so that whatever else needs the disk can still go on."""

_LOOK_SECONDS = 1.0

# Bytes of text a token stands for: when a tokenizer fits badly, with a small vocabulary, and with a
# large one. Of what is fetched only a guess is known anyway, and free space is looked at meanwhile.
_FEWEST_BYTES_PER_TOKEN = 2
_BYTES_PER_TOKEN = 3
_MOST_BYTES_PER_TOKEN = 5


@dataclass(frozen=True, slots=True)
class Expected:
    """What is going to be written: tokens that are not there yet, and bytes to download."""

    tokens: int
    download_bytes: int = 0


def expected(
    text_bytes: int,
    documents: int | None,
    most_tokens: int,
    *,
    there: int,
    again: int,
    missing: int,
) -> Expected:
    """What `text_bytes` of text come to, of which at most `most_tokens` are wanted and the first
    `there` are there.

    `documents` is None where the text is fetched and its size a guess; then `missing` are bytes of
    files that are not here yet, and are downloaded as far as is wanted. Up to `again` tokens may
    have to be written twice, where there are not many times more.
    """
    if documents is None:
        likely = text_bytes // _BYTES_PER_TOKEN
    else:
        likely = text_bytes // _FEWEST_BYTES_PER_TOKEN + documents + 1
    tokens = min(most_tokens, likely)
    new = max(0, tokens - there)
    share = min(1.0, new * _MOST_BYTES_PER_TOKEN / max(text_bytes, 1))
    again = min(tokens, again) if likely < 4 * again else 0
    return Expected(new + again, round(missing * share))


@contextmanager
def disk_errors(directory: Path) -> Iterator[None]:
    """Say of what the system refuses, such as room on a full disk, what to do about it.

    Raises:
        RunError: instead of the system's error.
    """
    try:
        yield
    except OSError as error:
        if said := refusal(error, directory):
            raise RunError(said) from error
        raise


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
