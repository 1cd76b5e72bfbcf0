"""Speaks the lines of `talm export --json` without a model. `fake_exporter.py forever` writes until
it is interrupted, `die` ends with an error on stderr, after a line that is torn."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from typing import Any


def say(event: str, **values: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, "time": time.time(), **values}) + "\n")
    sys.stdout.flush()


def main() -> int:
    stopped = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    say("Started", job="export", name="nano")
    say("Progress", phase="writing", done=12_300_000, total=40_000_000, unit="bytes", eta=9.0)
    if sys.argv[1] == "forever":
        stopped.wait()
        sys.stderr.write("talm: stopped; nothing was written\n")
        return 130
    sys.stdout.write('{"event": "Prog')
    sys.stdout.flush()
    sys.stderr.write("warning of a library\ntalm: output = '[b]x[/]': exists already\n")
    return 2


sys.exit(main())
