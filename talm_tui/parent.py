"""A page's app ends with the server that it belongs to, also when that is killed."""

from __future__ import annotations

import os
import signal
import threading
import time

DESCRIPTOR = "TALM_SERVED"
"""The variable that holds the number of a descriptor at whose other end the server is."""

_SECONDS = 3.0


def end_with_server() -> None:
    """Watch the server from a thread of its own, and end this process when it is gone."""
    number = os.environ.pop(DESCRIPTOR, "")
    if number:
        descriptor = int(number)
        os.set_inheritable(descriptor, False)
        threading.Thread(target=_watch, args=(descriptor,), name="server", daemon=True).start()


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 1):
        """Nothing is ever sent."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_SECONDS)
    # It hangs, perhaps where it writes to a page that nobody reads.
    os._exit(1)
