"""How quick the screen is, on a real pseudo-terminal.

    python benchmarks/tui.py [--rounds N] [--keys N] [--seconds S] [--json]

- first frame: from starting the process until the whole of Home is drawn, and until the
  workspace's contents are; idle, the best and the median of some starts after one that is not
  counted, from bytecode as an installed program has it. Processor seconds say the same on a
  machine that is busy with other work.
- key: from writing a key to the terminal until its effect is on it, while a real training run
  uses every core: the cursor on Home, changes of place, letters typed into a form.
- watching: bytes a second to the terminal, the screen's own processor time and memory, with Home
  and then with the live monitor open, while that run goes on.
- large (`--large CASE`): the journal of a million steps, of eight hours with ten metrics a second,
  or 500 runs of which twenty with 50,000 steps are laid over each other. Journals are written by
  hand.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime import lock, runner
from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import Evaluated, Finished, Sampled, Stop
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.tui import canned
from tests.tui.pseudo import PseudoTerminal, talm_tui


def first_frames(root: Path, rounds: int) -> dict[str, float]:
    """Seconds until Home's frame, on the clock and of the processor, and until its contents."""
    frames, spent, contents = [], [], []
    for _ in range(rounds + 1):
        with talm_tui(root, columns=80, rows=24) as terminal:
            terminal.wait(lambda text: "prepare one" in text and "quit" in text)
            frames.append(time.monotonic() - terminal.began)
            times = psutil.Process(terminal.process.pid).cpu_times()
            spent.append(times.user + times.system)
            terminal.wait("Next:")
            contents.append(time.monotonic() - terminal.began)
            terminal.press("ctrl+q")
            terminal.wait_end()
    # The first start compiled the program.
    del frames[0], spent[0], contents[0]
    return {
        "first_frame_best": min(frames),
        "first_frame_median": statistics.median(frames),
        "first_frame_cpu_best": min(spent),
        "first_frame_cpu_median": statistics.median(spent),
        "contents_best": min(contents),
        "contents_median": statistics.median(contents),
    }


def settle(terminal: PseudoTerminal, seconds: float = 0.05) -> None:
    """Read until the terminal has been quiet for a moment."""
    while True:
        before = terminal.bytes
        terminal.read(seconds)
        if terminal.bytes == before:
            return


def timed(terminal: PseudoTerminal, key: str, shown: Callable[[], bool]) -> float:
    """Seconds from a key to the moment its effect arrived, without the emulator's own time."""
    settle(terminal)
    began = time.monotonic()
    terminal.press(key)
    deadline = began + 5
    while True:
        arrived = terminal.read_timed(0.5)
        if shown():
            return arrived - began
        if time.monotonic() > deadline:
            raise AssertionError(f"{key} had no effect\n{terminal.text}")


def selected(terminal: PseudoTerminal) -> int:
    """The row of Home's cursor: the one whose background differs."""
    top = next(y for y, line in enumerate(terminal.screen.display) if "Recent runs" in line)
    usual = terminal.screen.buffer[top][5].bg
    for y in range(top + 1, terminal.screen.lines - 1):
        if terminal.screen.buffer[y][5].bg != usual:
            return y
    return -1


def moved(terminal: PseudoTerminal) -> Callable[[], bool]:
    """Whether Home's cursor is somewhere else than now."""
    before = selected(terminal)
    return lambda: selected(terminal) != before


def shows(terminal: PseudoTerminal, text: str) -> Callable[[], bool]:
    """Whether a text is on the screen."""
    return lambda: text in terminal.text


def differs(terminal: PseudoTerminal, before: str) -> Callable[[], bool]:
    """Whether anything else is on the screen."""
    return lambda: terminal.text != before


def keys(terminal: PseudoTerminal, count: int) -> dict[str, float]:
    """Latencies of a key in seconds: median and 95th percentile of each kind."""
    cursor, places, letters = [], [], []
    for number in range(count):
        key = "down" if number % 2 == 0 else "up"
        cursor.append(timed(terminal, key, moved(terminal)))
    heads = {"4": "Train a model", "1": "Recent runs", "3": "Prepare a dataset"}
    order = ["4", "1", "3", "1"]
    for key in order:
        # Once for each place, so that building a screen is not measured with showing it.
        timed(terminal, key, shows(terminal, heads[key]))
    for number in range(max(20, count)):
        key = order[number % len(order)]
        places.append(timed(terminal, key, shows(terminal, heads[key])))
    while "Train a model" not in terminal.text:
        timed(terminal, "4", shows(terminal, "Train a model"))
    terminal.press("down")
    settle(terminal, 0.3)
    for number in range(count // 2):
        typed = "x" * (number + 1)
        letters.append(timed(terminal, "x", shows(terminal, typed)))
    # The same with every setting of the form unfolded.
    terminal.press("f4")
    terminal.wait("f4 fold")
    settle(terminal, 0.5)
    unfolded = []
    for number in range(count // 2):
        typed = "y" * (number + 1)
        unfolded.append(timed(terminal, "y", shows(terminal, typed)))
    result = {}
    for name, values in (
        ("cursor", cursor),
        ("place", places),
        ("letter", letters),
        ("letter, all settings", unfolded),
    ):
        ordered = sorted(values)
        result[f"{name}_median"] = statistics.median(ordered)
        result[f"{name}_p95"] = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return result


def watching(terminal: PseudoTerminal, seconds: float) -> dict[str, float]:
    """Bytes a second, processor share and megabytes while nothing is pressed."""
    process = psutil.Process(terminal.process.pid)
    bytes_before, times = terminal.bytes, process.cpu_times()
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        terminal.read(0.1)
    took = time.monotonic() - began
    after = process.cpu_times()
    used = after.user + after.system - times.user - times.system
    return {
        "bytes_per_second": (terminal.bytes - bytes_before) / took,
        "cpu_share": used / took,
        "memory_mb": process.memory_info().rss / 1e6,
    }


@contextmanager
def training(workspace: Workspace) -> Iterator[str]:
    """A run that uses every core until the end, over a dataset of the standard library."""
    if not (workspace.directory("data", "stdlib/docs") / "manifest.json").exists():
        runner.run(DataConfig(ds_sample="docs"), workspace)
    for name, steps in (("first", 3), ("second", 3), ("busy", 100_000)):
        config = PretrainConfig(model_name=name, data_dir="stdlib/docs", max_steps=steps,
                                warmup_steps=1, eval_every=0, sample_every=0)  # fmt: skip
        directory = runner.start(config, workspace)
        while steps == 3 and lock.held(directory):
            time.sleep(0.05)
    try:
        reader = runner.follow(directory)
        while type(next(reader).event).__name__ != "Metrics":
            pass
        yield "busy"
    finally:
        runner.send(directory, Stop())
        while lock.held(directory):
            time.sleep(0.05)


def journal(workspace: Workspace, name: str, steps: int, *, hours: float = 1.0) -> None:
    """A finished run of so many steps, each with its metrics, with telemetry once a second and a
    hundred evaluations and samples."""
    config = PretrainConfig(model_name=name, data_dir="stdlib/docs", max_steps=steps)
    directory = workspace.directory_of(config)
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text(dumps(config))
    (directory / "lock").touch()
    rng, seconds = random.Random(name), hours * 3600
    begin = time.time() - seconds
    telemetry = to_json(canned.telemetry(gpu=True), time=begin)
    with (directory / "events.jsonl").open("w") as file:
        said = 0.0
        for step in range(1, steps + 1):
            at = seconds * step / steps
            event = replace(
                canned.metrics(step, steps),
                loss=3 + 6 * math.exp(-8 * step / steps) + rng.gauss(0, 0.1),
                elapsed=at,
            )
            file.write(to_json(event, time=begin + at) + "\n")
            if at >= said:
                said = at + 1
                file.write(telemetry + "\n")
            if step % max(1, steps // 100) == 0:
                evaluated = Evaluated(
                    step=step, val_loss=event.loss, bits_per_byte=2.0, tokens=1, seconds=1.0
                )
                sampled = Sampled(step=step, prompt="def ", text="x" * 400)
                file.write(to_json(evaluated, time=begin + at) + "\n")
                file.write(to_json(sampled, time=begin + at) + "\n")
        file.write(to_json(Finished(seconds=seconds, summary={}), time=begin + seconds) + "\n")


def opened(terminal: PseudoTerminal, name: str, steps: int) -> dict[str, float]:
    """Open a run's monitor and wait until its whole journal is read: seconds until its end is on
    the screen and until all is, the slowest answer to a key meanwhile, and megabytes more than
    before."""
    process = psutil.Process(terminal.process.pid)
    before = process.memory_info().rss
    began, answers = time.monotonic(), []
    terminal.press("/")
    for letter in name:
        terminal.press(letter)
    terminal.press("enter")
    settle(terminal, 0.2)
    terminal.press("down")
    count, key, shown = 0, ("y", "y log", "y linear"), 0.0
    while f"{steps:,} steps in" not in terminal.text or "sketch, " in terminal.text:
        if not shown and f"{steps:,} steps in" in terminal.text:
            shown = time.monotonic() - began
        answers.append(timed(terminal, key[0], shows(terminal, key[1 + count % 2])))
        count += 1
        terminal.read(0.3)
    if count % 2:
        terminal.press(key[0])
    settle(terminal, 0.5)
    ordered = sorted(answers)
    return {
        "shown_seconds": shown or time.monotonic() - began,
        "read_seconds": time.monotonic() - began,
        "key_p95": ordered[int(0.95 * (len(ordered) - 1))] if ordered else 0.0,
        "grown_mb": (process.memory_info().rss - before) / 1e6,
        "memory_mb": process.memory_info().rss / 1e6,
    }


def large(root: Path, case: str, seconds: float) -> dict[str, dict[str, float]]:
    """A long run, or many."""
    workspace = Workspace(root)
    if case in _LONG:
        steps, hours = _LONG[case]
        journal(workspace, case, steps, hours=hours)
        journal(workspace, "short", 40)
        with talm_tui(workspace.root, columns=120, rows=40) as terminal:
            _listed(terminal, 2)
            return {case: opened(terminal, case, steps), "looked at": _panned(terminal, seconds)}
    for number in range(480):
        journal(workspace, f"run-{number:03}", 40)
    for number in range(20):
        journal(workspace, f"over-{number:02}", 50_000)
    with talm_tui(workspace.root, columns=120, rows=40) as terminal:
        _listed(terminal, 500)
        results = {"one of 500": opened(terminal, "over-", 50_000)}
        # Opening a run went one line down.
        terminal.press("up")
        for _ in range(20):
            settle(terminal, 0.2)
            terminal.press("o", "down")
        # The last of them has the twentieth letter.
        terminal.wait("t ● over-", timeout=600)
        settle(terminal, 3)
        return results | {"20 overlaid": _panned(terminal, seconds)}


_LONG = {"million": (1_000_000, 24.0), "hours": (288_000, 8.0)}


def _listed(terminal: PseudoTerminal, count: int) -> None:
    terminal.wait("Recent runs", timeout=600)
    terminal.press("5")
    terminal.wait("status")
    settle(terminal, 0.5)
    terminal.press("/")
    terminal.wait(f" {count} runs", timeout=600)
    terminal.press("escape")
    settle(terminal, 3)


def _panned(terminal: PseudoTerminal, seconds: float) -> dict[str, float]:
    """Zoomed in and panned by key: how soon each is on the screen, and what the screen costs
    when nothing is pressed afterwards."""
    answers = []
    for key in ["x", "x", "x", "s", "s"] * 4:
        before = terminal.text
        answers.append(timed(terminal, key, differs(terminal, before)))
    ordered = sorted(answers)
    found = {"key_median": statistics.median(ordered), "key_p95": ordered[int(0.95 * 19)]}
    return found | watching(terminal, seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--large", choices=[*_LONG, "overlaid"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TALM_CONFIG_DIR"] = f"{folder}/config"
        os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/bytecode"
        os.environ["PYTHONDONTWRITEBYTECODE"] = ""
        if options.large:
            report(
                large(Path(folder) / "large", options.large, options.seconds), as_json=options.json
            )
            return
        workspace = Workspace(Path(folder) / "workspace")
        runner.run(DataConfig(ds_sample="docs"), workspace)
        results: dict[str, dict[str, float]] = {}
        results["start"] = first_frames(workspace.root, options.rounds)
        with training(workspace), talm_tui(workspace.root, columns=120, rows=40) as terminal:
            terminal.wait("▶ busy")
            results["home"] = watching(terminal, options.seconds)
            results["keys under load"] = keys(terminal, options.keys)
            terminal.press("escape")
            settle(terminal, 0.5)
            terminal.press("5")
            terminal.wait("busy")
            settle(terminal, 0.2)
            results["monitor"] = watching(terminal, options.seconds)
            terminal.press("ctrl+q")
            terminal.wait_end()
    report(results, as_json=options.json)


def report(results: dict[str, dict[str, float]], *, as_json: bool) -> None:
    """Print what was measured."""
    if as_json:
        print(json.dumps(results, indent=2))
        return
    for group, values in results.items():
        for name, value in values.items():
            print(f"{group:24} {name:20} {value:12.3f}")


if __name__ == "__main__":
    main()
