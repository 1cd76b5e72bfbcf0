"""The end of a process that does a job."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

UNFINISHED = "unfinished"
"""The name of a daemon thread whose work cannot be cut short and is wanted no more."""


def leave(code: int) -> NoReturn:
    """End this process with `code`, without waiting for what an `UNFINISHED` thread still does:
    the interpreter would be taken apart around the compiler it is in."""
    if any(thread.name == UNFINISHED for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)
