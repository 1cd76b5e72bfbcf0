"""What the commands that only look cost, each as a process of its own.

    python benchmarks/commands.py [--events N] [--runs N] [--rounds N] [--json]

- show: `talm show` of a run whose journal has two million events (ten metrics and one telemetry a
  second, a validation and a sample every thousand steps), with and without --json: seconds, and the
  most memory it had.
- list: `talm list` and the first list of the screen, of 200 good runs and of these with one bad
  artifact of each kind of fault among them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import Checkpointed, Evaluated, Event, Finished, Sampled, Started
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace
from tests.core import bad_artifacts
from tests.tui import canned
from tests.tui.pseudo import talm_tui

COUNT = 2_000_000


def events(count: int) -> Iterator[Event]:
    """What a long run says, so many times in all."""
    telemetry = canned.telemetry()
    yield Started(job="pretrain", name="long")
    said, step = 1, 0
    while said < count - 1:
        step += 1
        happened: list[Event] = [canned.metrics(step, count)]
        if step % 10 == 0:
            happened.append(telemetry)
        if step % 1000 == 0:
            name = f"checkpoint-{step:06}"
            happened += [
                Evaluated(step=step, val_loss=3.0, bits_per_byte=1.5, tokens=4096, seconds=1.0),
                Sampled(step=step, prompt="def ", text="f(x): return x " * 20),
                Checkpointed(step=step, directory=name, bytes=10_000_000, seconds=0.5),
            ]
        for event in happened[: count - 1 - said]:
            said += 1
            yield event
    yield Finished(seconds=9e5, summary={"step": step, "val_loss": 3.0, "parameters": 1})


def write_run(workspace: Workspace, name: str, said: Iterable[Event]) -> Path:
    """A run's directory with its config and journal; returns the journal."""
    config = PretrainConfig(model_name=name, data_dir="text/d")
    directory = workspace.directory_of(config)
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text(dumps(config))
    path = directory / "events.jsonl"
    with path.open("w") as file:
        for number, event in enumerate(said):
            file.write(to_json(event, time=1.79e9 + number / 10) + "\n")
    return path


def talm(root: Path, *words: str) -> tuple[float, int]:
    """Seconds and most bytes of memory of a `talm` that ends well."""
    command = [sys.executable, "-m", "talm_core.cli", *words, "--workspace", str(root)]
    began = time.monotonic()
    most = 0
    with psutil.Popen(command, stdout=subprocess.DEVNULL) as process:
        # What the system says of a child that has ended includes what its parent had before.
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                most = max(most, process.memory_info().rss)
            time.sleep(0.005)
    spent = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return spent, most


def show(root: Path, count: int, rounds: int) -> dict[str, float]:
    """Medians of `talm show`."""
    path = write_run(Workspace(root), "long", events(count))
    found: dict[str, float] = {"journal_mb": path.stat().st_size / 1e6}
    for name, words in (("show", ("show", "long")), ("show_json", ("show", "long", "--json"))):
        results = [talm(root, *words) for _ in range(rounds)]
        found[f"{name}_seconds"] = statistics.median(seconds for seconds, _ in results)
        found[f"{name}_mb"] = max(memory for _, memory in results) / 1e6
    return found


def lists(root: Path, runs: int, rounds: int) -> dict[str, float]:
    """Medians of `talm list`, and of the screen until it has counted all runs."""
    good, mixed = Workspace(root / "good"), Workspace(root / "mixed")
    for number in range(runs):
        for workspace in (good, mixed):
            bad_artifacts.write_run(workspace, f"run-{number:03}")
    bad_artifacts.write_bad(mixed)
    found: dict[str, float] = {}
    counts = {"good": (good.root, runs), "mixed": (mixed.root, runs + len(bad_artifacts.FAULTS))}
    for name, (place, count) in counts.items():
        results = [talm(place, "list") for _ in range(rounds)]
        found[f"{name}_list_seconds"] = statistics.median(seconds for seconds, _ in results)
        found[f"{name}_list_mb"] = max(memory for _, memory in results) / 1e6
        found[f"{name}_screen_seconds"] = statistics.median(
            first_list(place, count) for _ in range(rounds)
        )
    return found


def first_list(root: Path, count: int) -> float:
    """Seconds from the start of `talm-tui` until Home has all runs."""
    with talm_tui(root, columns=120, rows=40) as terminal:
        # Four are shown by name.
        terminal.wait(f"… {count - 4} more", timeout=60)
        spent = time.monotonic() - terminal.began
        terminal.press("ctrl+q")
        terminal.wait_end()
    return spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=COUNT)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = {
            "show": show(Path(folder) / "show", options.events, options.rounds),
            "list": lists(Path(folder) / "list", options.runs, options.rounds),
        }
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for group, values in results.items():
        for name, value in values.items():
            print(f"{group:10} {name:22} {value:12.3f}")


if __name__ == "__main__":
    main()
