"""What it costs a run to be watched.

    python benchmarks/attended.py [--rounds N] [--steps N]

The same run, once by itself and once with `talm-tui` open on it at 120x40 with the live monitor,
in pairs that take turns at going first. Speed is tokens over the run's own training seconds, as it
says them in its journal. What the terminal is sent is read and thrown away: a terminal's own work
is not the screen's.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime import runner
from talm_core.runtime.events import Finished, Metrics
from talm_core.storage.workspace import Workspace


@contextmanager
def watched(root: Path) -> Iterator[None]:
    """`talm-tui` with the monitor of the newest run open."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "talm_tui", "--workspace", str(root)],
        stdin=side,
        stdout=side,
        stderr=side,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
    )
    os.close(side)
    threading.Thread(target=_drain, args=(main,), daemon=True).start()
    time.sleep(1.5)
    os.write(main, b"5")
    try:
        yield
    finally:
        os.write(main, b"\x11")
        process.wait(10)


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 65536):
            pass
    except OSError:
        # How a pseudo-terminal says that its other side is closed.
        return


def speed(workspace: Workspace, name: str, steps: int) -> float:
    """Tokens a second of a run from its tenth step on."""
    config = PretrainConfig(
        model_name=name, data_dir="stdlib/docs", max_steps=steps, eval_every=0, sample_every=0
    )
    first = last = None
    finished = False
    for record in runner.follow(runner.start(config, workspace)):
        event = record.event
        finished = isinstance(event, Finished)
        if isinstance(event, Metrics) and event.step >= 10:
            first, last = first or event, event
    assert finished, "the run did not finish"
    assert first is not None
    assert last is not None
    return (last.tokens - first.tokens) / (last.elapsed - first.elapsed)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TALM_CONFIG_DIR"] = f"{folder}/config"
        workspace = Workspace(Path(folder) / "workspace")
        runner.run(DataConfig(ds_sample="docs"), workspace)
        for number in range(options.rounds):
            pair: dict[str, float] = {}
            for way in ("alone", "watched") if number % 2 else ("watched", "alone"):
                name = f"{way}-{number}"
                if way == "alone":
                    pair[way] = speed(workspace, name, options.steps)
                else:
                    with watched(workspace.root):
                        pair[way] = speed(workspace, name, options.steps)
            ratios.append(pair["watched"] / pair["alone"])
            print(f"alone {pair['alone']:8,.0f}  watched {pair['watched']:8,.0f}  tokens/s"
                  f"  ratio {ratios[-1]:.3f}", flush=True)  # fmt: skip
    print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
