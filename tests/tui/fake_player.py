"""Speaks the lines of `python -m talm_core --play` without a model: the text it writes is in the
prompt. `die` makes it fail, `forever` makes it write until it is asked again."""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
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


def say(event: str, **values: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, "time": time.time(), **values}) + "\n")
    sys.stdout.flush()


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
        values = json.loads(line)
        say("Started", job="sample", name=values["model"])
        if values["prompt"] == "die":
            sys.stderr.write("Traceback (most recent call last):\nMemoryError: no [bold]room[/]\n")
            sys.exit(1)
        if values["prompt"] == "refuse":
            say("Failed", message="model = 'x': has no checkpoint yet", kind="ArtifactError")
            continue
        wanted = 10**9 if values["prompt"] == "forever" else values["max_tokens"]
        stopped = False
        for number in range(min(wanted, 10**9)):
            if wanted < 10**9 and number >= len(WORDS):
                break
            if lines.queue:
                say("Stopped", reason="asked again")
                stopped = True
                break
            word = WORDS[number % len(WORDS)]
            say(
                "Generated",
                token=number,
                text=word,
                probability=[0.9, 0.5, 0.2, 0.05, 0.01][number % 5],
                alternatives=[[word, 0.5], ["other", 0.2], [" n", 0.1]],
            )
            if wanted == 10**9:
                time.sleep(0.002)
        if not stopped:
            say("Sampled", step=7, prompt=values["prompt"], text="", tokens_per_second=1240.0)
            say("Finished", seconds=0.1, summary={})


main()
