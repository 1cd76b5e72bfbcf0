"""Speaks the lines of `python -m talm_core --play` without a model: the text it writes is in the
prompt. `die` makes it fail, `forever` makes it write until it is asked again."""

from __future__ import annotations

import json
import queue
import re
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

WORDS = [
    "__init__",
    "(self",
    ", ",
    "name",
    "=None):",
    "\n    ",
    "self",
    ".name",
    " = ",
    "name",
    "\n",
]

STORIES = [
    """
    \"\"\"Items that leave in the order they came.\"\"\"

    def __init__(self, items=None):
        self.items = list(items or ())

    def put(self, item):
        self.items.append(item)
        return self

    def get(self):
        if not self.items:
            raise IndexError("no items left")
        return self.items.pop(0)
""",
    """
    def __init__(self, name, size=0):
        self.name = name
        self.size = size
        self._items = {}

    def __len__(self):
        return len(self._items)

    def add(self, key, value):
        if key in self._items:
            raise ValueError("key is already there")
        self._items[key] = value
""",
]
"""What it writes after `class `: enough for a picture."""


def words_after(prompt: str, seed: int, model: str) -> list[str]:
    """Another seed is another text, and so is another checkpoint."""
    if prompt.startswith("class "):
        story = STORIES[(seed + ("checkpoint-" in model)) % 2 == 0]
        return re.findall(r"\n *| ?\w+| ?[^\w\s]+|\s", story)
    return WORDS[seed - 1337 :] if seed > 1337 else WORDS


def say(lane: int, event: str, **values: Any) -> None:
    record = {"event": event, "time": time.time(), "lane": lane, **values}
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def write(lane: int, values: dict[str, Any]) -> Iterator[None]:
    """One text, a token each time it is asked for."""
    say(lane, "Started", job="sample", name=values["model"])
    yield
    if values["prompt"] == "die":
        sys.stderr.write("Traceback (most recent call last):\nMemoryError: no [bold]room[/]\n")
        sys.exit(1)
    if values["prompt"] == "refuse":
        say(lane, "Failed", message="model = 'x': has no checkpoint yet", kind="ArtifactError")
        return
    forever = values["prompt"] == "forever"
    words = words_after(values["prompt"], values["seed"], values["model"])
    for number in range(10**9 if forever else min(values["max_tokens"], len(words))):
        word = words[number % len(words)]
        probability = [0.9, 0.5, 0.2, 0.05, 0.01][number % 5]
        say(
            lane,
            "Generated",
            token=number,
            text=word,
            probability=probability,
            alternatives=[[word, probability], ["other", 0.2], [" n", 0.1]],
        )
        yield
        if forever:
            time.sleep(0.002)
    step = int(values["model"].rpartition("-")[2]) if "checkpoint-" in values["model"] else 400
    say(lane, "Sampled", step=step, prompt=values["prompt"], text="", tokens_per_second=1240.0)
    yield
    say(lane, "Finished", seconds=0.1, summary={})


def main() -> None:
    lines: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=listen, daemon=True).start()
    while (line := lines.get()) is not None:
        if not line.strip():
            continue
        texts = {part["lane"]: write(part["lane"], part["settings"]) for part in json.loads(line)}
        while texts and not lines.queue:
            for lane, text in list(texts.items()):
                if next(text, "over") == "over":
                    del texts[lane]
        for lane in texts:
            say(lane, "Stopped", reason="asked again")


main()
