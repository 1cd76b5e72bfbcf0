"""How a process that does a job ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from talm_core.runtime.process import leave

STUCK = """
import sys, threading
from talm_core.runtime.process import UNFINISHED, leave
threading.Thread(target=threading.Event().wait, name=UNFINISHED, daemon={daemon}).start()
sys.stdout.write("said")
leave(130)
"""


def test_the_code_is_that_of_the_job() -> None:
    with pytest.raises(SystemExit) as ended:
        leave(2)
    assert ended.value.code == 2


@pytest.mark.parametrize("daemon", [True, False])
def test_what_cannot_be_cut_short_is_not_waited_for(daemon: bool) -> None:
    # Waited for, it would never end; nothing that was said is lost.
    code = STUCK.format(daemon=daemon)
    done = subprocess.run([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, timeout=300)
    assert (done.returncode, done.stdout) == (130, b"said")
