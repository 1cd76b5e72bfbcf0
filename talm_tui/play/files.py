"""What Play keeps in the workspace: prompts, one JSON string a line, and texts somebody saved.

play/prompts.jsonl
play/<model>-<date>-<time>.txt
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from talm_core.storage import atomic

FOLDER = "play"
MOST_PROMPTS = 200
_LARGEST = 4 << 20


class Prompts:
    """The prompts that were used, newest first, each once."""

    def __init__(self, root: Path) -> None:
        """`root` is the workspace's directory; nothing is read before it is asked for."""
        self._path = root / FOLDER / "prompts.jsonl"
        self._known: list[str] | None = None

    def read(self) -> list[str]:
        """All of them, as a list of the caller's own."""
        return [*self.known]

    @property
    def known(self) -> list[str]:
        """All of them. A file that cannot be read holds none; so does a line that is no JSON."""
        if self._known is None:
            self._known = []
            for prompt in self._read():
                self._put(prompt)
        return self._known

    def add(self, prompt: str) -> None:
        """Remember a prompt.

        Raises:
            OSError: it cannot be kept for the next time.
        """
        if not prompt.strip() or self.known[:1] == [prompt]:
            return
        self._put(prompt)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.changing(self._path):
            # What another window has added since this one read them.
            others = [other for other in self._read() if other not in self.known]
            known = [*self.known, *reversed(others)][:MOST_PROMPTS]
            lines = [json.dumps(other) + "\n" for other in reversed(known)]
            atomic.write_text(self._path, "".join(lines))
        self._known = known

    def _put(self, prompt: str) -> None:
        assert self._known is not None
        if prompt in self._known:
            self._known.remove(prompt)
        self._known.insert(0, prompt)
        del self._known[MOST_PROMPTS:]

    def _read(self) -> list[str]:
        try:
            if self._path.stat().st_size > _LARGEST:
                return []
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
        prompts = []
        for line in lines:
            try:
                prompt = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(prompt, str):
                prompts.append(prompt)
        return prompts


def save(root: Path, model: str, text: str, now: datetime) -> Path:
    """Write a text below the workspace; returns the file.

    Raises:
        OSError: it cannot be written.
    """
    name = "".join(c if c.isalnum() or c in "._+-" else "-" for c in model).strip("-.")[-60:]
    path = root / FOLDER / f"{name or 'text'}-{now:%Y%m%d-%H%M%S}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, text)
    return path
