"""What the monitor says in words, and memory as bars."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from talm_core.runtime.events import (
    Checkpointed,
    Event,
    Failed,
    Finished,
    Metrics,
    Notice,
    Progress,
    Record,
    Started,
    Stopped,
    Telemetry,
)
from talm_core.runtime.history import History
from talm_core.runtime.runner import Status
from talm_core.system.memory import DeviceMemory
from talm_tui.runs import memory
from talm_tui.runs import text as run_text
from tests.tui import canned

GIB = 2**30


@pytest.fixture(autouse=True)
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def history(*events: Event) -> History:
    result = History()
    result.extend(Record(canned.NOW, event) for event in events)
    return result


def at(step: int, **changes: object) -> Metrics:
    values: dict[str, object] = {
        "step": step,
        "max_steps": 900,
        "steps": 1,
        "tokens": step * 2048,
        "loss": 3.41,
        "loss_ema": 3.4,
        "learning_rate": 2.1e-3,
        "grad_norm": 0.71,
        "tokens_per_second": 41_000.0,
        "elapsed": 60.0,
        "epoch": 0.5,
        "mfu": 0.38,
        "eta": 48.0,
    }
    return Metrics(**(values | changes))  # type: ignore[arg-type]


def key(action: str) -> str:
    """The keys as they are without a keymap."""
    return {"runs.play": "p", "runs.resume": "r", "runs.log": "l"}[action]


def headline(status: Status, *events: Event, width: int = 110) -> str:
    said = run_text.headline("nano", status, history(*events), width, canned.NOW, key).plain
    return said.replace("\u00a0", " ")


def test_a_running_run() -> None:
    text = headline(Status.RUNNING, at(412))
    assert text.startswith("nano  ▶ running  412/900 █")
    assert text.endswith(" 46 %  41 k tokens/s  MFU 38 %  0:48 left, 14:14:08")
    assert len(text) == 110


@pytest.mark.parametrize("width", range(0, 130, 3))
def test_the_headline_fits_any_width_and_keeps_what_is_left_longest(width: int) -> None:
    text = headline(Status.RUNNING, at(412), width=width)
    assert len(text) <= width
    if width >= 60:
        assert "46 %" in text
        assert "0:48 left" in text


def test_phases_that_are_not_training_are_named() -> None:
    evaluating = Progress(phase="evaluating", done=3, total=8)
    assert "46 %  evaluating 38 %  41 k tokens/s" in headline(Status.RUNNING, at(412), evaluating)
    assert headline(Status.RUNNING) == "nano  ▶ running  starting"
    loading = Progress(phase="loading", done=0)
    assert headline(Status.RUNNING, loading) == "nano  ▶ running  loading"


@pytest.mark.parametrize(
    ("status", "events", "want"),
    [
        (Status.DONE, [at(900), Finished(seconds=1, summary={})], "900 steps in 1:00   p play"),
        (
            Status.DONE,
            [at(160, elapsed=24.0), Finished(seconds=1, summary={})],
            "160 steps in 0:24, its time limit   p play",
        ),
        (Status.STOPPED, [at(9), Stopped(reason="asked to stop")], "at step 9 of 900   r resume"),
        (
            Status.STOPPED,
            [at(9), Stopped(reason="SIGTERM")],
            "at step 9 of 900 (SIGTERM)   r resume",
        ),
        (
            Status.FAILED,
            [Failed(message="no [red]room[/]\n\x1b[1m left")],
            "before its first step: no [red]room[/] left   l log   r resume",
        ),
        (
            Status.INTERRUPTED,
            [Checkpointed(step=300, directory="checkpoint-000300", bytes=1, seconds=1), at(412)],
            "at step 412 of 900: its process died, saved at 300   r resume   l log",
        ),
        (
            Status.INTERRUPTED,
            [at(412)],
            "at step 412 of 900: its process died, nothing saved yet   r resume   l log",
        ),
    ],
)
def test_a_run_that_ended_says_how_and_which_key_helps(
    status: Status, events: list[Event], want: str
) -> None:
    assert headline(status, *events) == f"nano  {status.glyph} {status.value}  {want}"


def test_a_run_that_takes_days_says_the_day() -> None:
    assert run_text.clock(canned.NOW + 86_400, canned.NOW) == "Tue 14:13"
    assert run_text.clock(canned.NOW + 60, canned.NOW) == "14:14:20"


def test_numbers_leave_out_what_does_not_fit() -> None:
    now = history(at(412))
    assert run_text.numbers(now, 200).plain == (
        "loss 3.410  lr 2.1e-3  grad 0.71  tok/s 41 k  epoch 0.50  tokens 844 k  trained 1:00"
    )
    assert run_text.numbers(now, 25).plain == "loss 3.410  lr 2.1e-3"
    assert run_text.numbers(history(), 80).plain == ""


def test_a_restart_takes_the_numbers_of_lost_steps_back() -> None:
    again = history(at(412), Started(job="pretrain", name="nano", resumed_from=None))
    assert run_text.headline("nano", Status.RUNNING, again, 80, 0, key).plain.endswith("starting")


def test_the_log_page_has_every_step_and_then_what_was_printed() -> None:
    said = history(
        Started(job="pretrain", name="nano"),
        Progress(phase="loading", done=0),
        Progress(phase="loading", done=3, total=4),
        replace(at(10), elapsed=1.0),
        canned.telemetry(),
        Notice(message="[b]low[/b] disk", level="warning"),
        Checkpointed(step=10, directory="checkpoint-000010", bytes=16_000_000, seconds=1),
        Failed(message="full:\nfree some"),
    )
    page = run_text.log_page(said, "one\ntwo\n")
    assert page.plain.splitlines() == [
        "14:13:20  pretrain nano",
        "14:13:20  loading 75 %, 3 of 4",
        "14:13:20  step 10 of 900, loss 3.410, lr 2.1e-03, 41 k tok/s",
        "14:13:20  warning: [b]low[/b] disk",
        "14:13:20  step 10: saved checkpoint-000010, 16 MB",
        "14:13:20  failed: full:",
        "free some",
        "",
        "output of its process (log.txt)",
        "one",
        "two",
    ]
    assert run_text.log_page(history(), "").plain == "Nothing logged yet."


# --- memory ----------------------------------------------------------------------------------


def test_a_bar_shows_each_part_and_what_is_free() -> None:
    bar = memory.stacked([(25, "█", ""), (25, "▓", ""), (0, "▒", "")], 100, 10)
    assert bar.plain == "▕██▓▓░░░░▏"
    assert memory.stacked([(1, "█", "")], 1000, 10).plain == "▕█░░░░░░░▏"
    assert memory.stacked([(2000, "█", "")], 1000, 10).plain == "▕████████▏"
    assert memory.stacked([(1, "█", "")], 0, 6).plain == "▕█░░░▏"


def test_an_accelerator_is_shown_with_the_host_below() -> None:
    told = [Record(canned.NOW + i, canned.telemetry(gpu=True)) for i in range(9)]
    lines = [line.plain for line in memory.panel(told, 38)]
    assert lines[0] == "GPU 0  NVIDIA H200"
    assert lines[1].endswith("▏ 41.0/139 GiB")
    assert "█" in lines[1]
    assert "97 % busy  61 °C  640 W" in lines[2]
    assert lines[3] == "█ allocated ▓ reserved ▒ others"
    assert lines[4] == "host 4.1/23 GiB  cpu 96 %"
    assert all(len(line) <= 38 for line in lines)
    text = memory.one_line(told, 100).plain
    assert text.startswith("GPU 0 ▕")
    assert "41.0/139 GiB  97 % busy  61 °C  640 W   host 4.1/23 GiB   cpu 96 %" in text
    assert len(memory.one_line(told, 50).plain) <= 60
    # What a run that is done took is not what the machine has now.
    over = memory.one_line(told, 100, over=True).plain
    assert over.startswith("at its end  GPU 0 ")


def test_two_accelerators_fit_into_a_narrow_line() -> None:
    one = canned.telemetry(gpu=True)
    two = replace(one, devices=[*one.devices, replace(one.devices[0], utilisation=None)])
    text = memory.one_line([Record(canned.NOW, two)], 78).plain
    assert text.count("GPU") == 2
    assert "GPU 0 ▕" in text
    assert "41.0/139 GiB 97 %   GPU 1 ▕" in text
    assert text.endswith("41.0/139 GiB")


def test_before_anything_was_measured() -> None:
    assert memory.one_line([], 80).plain == "memory  nothing measured yet"
    assert [line.plain for line in memory.panel([], 40)] == ["nothing measured yet"]


def test_devices_may_come_and_go() -> None:
    some = DeviceMemory(name="\x1b[31mcard", used=1, total=2)
    events = [
        Telemetry(process_memory=0, host_used=0, host_total=0, cpu=0.0, devices=devices)
        for devices in ([], [some], [some, some])
    ]
    lines = memory.panel([Record(0.0, event) for event in events], 40)
    assert [line.plain for line in lines if "GPU" in line.plain] == ["GPU 0  card", "GPU 1  card"]
