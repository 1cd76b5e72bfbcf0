"""Events and numbers as text."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from talm_core.cli import output
from talm_core.runtime import render
from talm_core.runtime.events import (
    Checkpointed,
    Evaluated,
    Event,
    Finished,
    Generated,
    Notice,
    Progress,
    Record,
    Sampled,
    Stage,
    Started,
    Telemetry,
    Tried,
    Tuned,
)
from talm_core.runtime.history import Extent
from tests.core.counting import metrics, planned


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (12_345, "12.3 k"),
        (999_600, "1 M"),
        (4_560_000, "4.56 M"),
        (7.89e9, "7.89 G"),
    ],
)
def test_counts(number: float, shown: str) -> None:
    assert render.count(number) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (11_234_567, "11.2 MB"), (2.15e9, "2.15 GB")],
)
def test_sizes(number: float, shown: str) -> None:
    assert render.size(number) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (12.3, "12 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert render.duration(seconds) == shown


def test_text_from_outside_is_only_text() -> None:
    assert render.plain("a\x1b[31mb\x9bc\x00d\te\nf\r\x7f\u202eg") == "a[31mbcd\te\nfg"
    assert render.one_line("a\r\n\tb\u2028c\x1b]0;x\x07") == "a b c ]0;x"
    assert render.one_line("x" * 300, 10) == "x" * 9 + "…"


EVENTS: list[tuple[Event, str]] = [
    (Started(job="pretrain", name="a"), "pretrain a"),
    (Started(job="pretrain", name="a", resumed_from=1_200), "pretrain a, going on from step 1,200"),
    (Stage(kind="data", name="x", directory="d", index=1, count=3), "2 of 3: data x"),
    (
        Progress(
            phase="reading", done=5_100_000, total=11_200_000, unit="bytes", rate=6.2e6, eta=1
        ),
        "reading 45 %, 5.1 MB of 11.2 MB, 6.2 MB/s, 1.0 s left",
    ),
    (Progress(phase="merging", done=3, total=4, unit="merges"), "merging 75 %, 3 of 4 merges"),
    (Progress(phase="loading", done=0), "loading"),
    (
        Progress(
            phase="tokenizing",
            done=9,
            note="slow",
            counts={
                "tokens": 1_200_000,
                "tokens_per_second": 41_200,
                "documents": 1,
                "bytes_in": 4_100_000,
                "bytes_out": 2_400_000,
                "shards": 3,
                "retries": 2,
            },
        ),
        (
            "tokenizing 9, 1.2 M tokens, 41.2 k tokens/s, 1 document, 4.1 MB read, 2.4 MB written,"
            " 3 shards, 2 retries, slow"
        ),
    ),
    (
        Progress(phase="p", done=0, counts={"retries": 0, "mood": 3, "tokens": "4"}),  # type: ignore[dict-item]
        "p",
    ),
    (metrics(30, 900, 3.25), "step 30 of 900, loss 3.250, learning rate 1.00e-01, 10 tokens/s"),
    (
        Evaluated(step=30, val_loss=2.5, bits_per_byte=1.25, tokens=1, seconds=0),
        "step 30: validation loss 2.5000, 1.250 bits per byte",
    ),
    (Sampled(step=3, prompt="def ", text="f():\n\x1b[1m"), "step 3: sample: def f(): [1m"),
    (
        Checkpointed(step=3, directory="checkpoint-000003", bytes=5_000_000, seconds=0),
        "step 3: saved checkpoint-000003, 5 MB",
    ),
    (Notice(message="m"), "m"),
    (Notice(message="m", level="warning"), "warning: m"),
    (
        Finished(seconds=61, summary={"vocab_size": 4096, "loss": 1.23456, "directory": "x"}),
        "done in 1 min 1 s, vocabulary 4,096, loss 1.235",
    ),
    (
        Finished(seconds=2, summary={"data_tokens": 3, "pretrain_step": 7, "directory": "x"}),
        "done in 2.0 s, step 7",
    ),
    (Telemetry(process_memory=1, host_used=1, host_total=1, cpu=0, devices=[]), ""),
    (
        planned(),
        "892 k parameters, 900 steps of 2,048 tokens, 2.8 M tokens to learn from, on cpu in fp32",
    ),
    (
        planned(minutes=0.4),
        (
            "892 k parameters, 900 steps of 2,048 tokens or 24 s, whichever ends first,"
            " 2.8 M tokens to learn from, on cpu in fp32"
        ),
    ),
    (
        Finished(seconds=30, summary={"step": 160, "ended_by": "its time limit of 24 s"}),
        "done in 30 s, step 160, ended by its time limit of 24 s",
    ),
]


@pytest.mark.parametrize(
    ("elapsed", "minutes", "going", "over"),
    [
        (12.0, None, "step 80 of 900", "step 80 of 900"),
        # More of the steps is over than of the time.
        (12.0, 10.0, "step 80 of 900", "step 80 of 900"),
        (12.0, 0.4, "step 80, 12 s of 24 s", "step 80, ended by its time limit of 24 s"),
        (25.0, 0.4, "step 80, 24 s of 24 s", "step 80, ended by its time limit of 24 s"),
    ],
)
def test_what_ends_a_run_is_said(
    elapsed: float, minutes: float | None, going: str, over: str
) -> None:
    event = replace(metrics(80, 900), elapsed=elapsed)
    found = Extent.of(event, planned(minutes=minutes))
    assert render.extent(found) == going
    assert render.extent(found, over=True) == over
    stream = io.StringIO()
    assert f"{going}, loss" in shown(stream, planned(minutes=minutes), event)
    about = render.metrics_in_short(event, None, planned(minutes=minutes))
    assert about.startswith(going.replace("step 80 of", "80 of"))


@pytest.mark.parametrize(("event", "line"), EVENTS)
def test_an_event_is_a_line(event: Event, line: str) -> None:
    assert render.line(event) == line


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, *events: Event, as_json: bool = False) -> str:
    with output.output(as_json=as_json, stream=stream) as screen:
        for event in events:
            screen.show(Record(1.5, event))
    return stream.getvalue()


ALL = [event for event, _ in EVENTS]
LAST = Sampled(step=9, prompt="def ", text="f():\n    \x1b[31m[red]x[/red]")


def test_json_is_one_event_a_line() -> None:
    lines = shown(io.StringIO(), *ALL, as_json=True).splitlines()
    assert [json.loads(line)["event"] for line in lines] == [type(event).__name__ for event in ALL]
    assert {json.loads(line)["time"] for line in lines} == {1.5}


def test_plain_lines_hold_no_escape_codes_and_are_few() -> None:
    many = [metrics(step) for step in range(1, 500)]
    text = shown(io.StringIO(), *many, LAST, Finished(seconds=0, summary={}))
    assert "\x1b" not in text
    assert text.splitlines() == [
        render.line(many[0]),
        "step 9: sample: def f(): [31m[red]x[/red]",
        *("--- sample at step 9 ---", "def f():", "    [31m[red]x[/red]", "---"),
        "done in 0.0 s",
    ]


def test_each_phase_is_said_when_it_begins() -> None:
    events = [
        Progress(phase=phase, done=done, total=10)
        for phase in ("reading", "merging")
        for done in range(10)
    ]
    assert shown(io.StringIO(), *events).splitlines() == [
        "reading 0 %, 0 of 10",
        "merging 0 %, 0 of 10",
    ]


def test_bars_show_rate_time_and_samples_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    text = shown(_Terminal(), *ALL, metrics(40, 900), LAST)
    assert "\x1b[" in text
    assert "[red]x[/red]" in text
    assert "\x1b[31m" not in text.replace("\x1b[31m[red]", "")
    assert "6.2 MB/s, 1.0 s left" in text
    assert "step 40, 24 s of 24 s, loss 1.000, val 2.500, 10 tok/s" in text
    assert "validation loss 2.5000" in text


def test_no_color_is_honoured_and_dumb_terminals_get_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    text = shown(_Terminal(), *ALL)
    assert not any(f"\x1b[{code}" in text for code in ("3", "38", "9"))
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in shown(_Terminal(), *ALL)


def test_generated_text_comes_as_it_is() -> None:
    stream = io.StringIO()
    pieces = ["f(", "", "\x1b[2J)", ":\n"]
    with output.TextOutput(stream, "def ") as screen:
        for piece in pieces:
            event = Generated(token=1, text=piece, probability=1.0, alternatives=[])
            screen.show(Record(0.0, event))
    assert stream.getvalue() == "def f([2J):\n\n"


def test_the_end_of_a_run_is_told_on_the_clock() -> None:
    now = datetime(2026, 11, 25, 22, 30, 10, tzinfo=UTC)
    assert render.ends(None, now) == ""
    assert render.ends(59.0, now) == ""
    assert render.ends(60.0, now) == " (22:31)"
    assert render.ends(5_400.0, now) == " (Nov 26 00:00)"
    assert render.ends(1e300, now) == ""
    far = replace(metrics(3), eta=7_200.0)
    assert re.search(r"2 h left \(([A-Z][a-z]{2} \d\d )?\d\d:\d\d\)$", render.line(far))


def test_what_was_tried_is_a_table() -> None:
    tried = Tried(
        precision="fp32", attention="math", batch_size=8, compiled=False, tokens_per_second=12_345.0
    )
    assert render.line(tried) == (
        "tried fp32  math      attention     8 windows a pass  eager      12.3 k tokens/s"
    )
    failed = replace(tried, compiled=True, tokens_per_second=None, note="no \x1b[1mcompiler")
    assert render.line(failed).endswith("8 windows a pass  compiled  no [1mcompiler")
    tuned = Tuned(
        precision="bf16", attention="auto", batch_size=16, compiled=True, seconds=21.4,
        remembered=False,
    )  # fmt: skip
    assert render.line(tuned) == (
        "takes bf16  auto      attention    16 windows a pass  compiled  after 21 s"
    )
    assert render.line(replace(tuned, remembered=True)).endswith("compiled  as found before")


def test_what_lasts_is_said_once_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An outage of minutes is a line, not dozens."""
    now = 0.0
    monkeypatch.setattr("talm_core.cli.output.time.monotonic", lambda: now)
    stream = io.StringIO()
    with output.PlainOutput(stream) as shown:
        for minute in range(5):
            for _ in range(60):
                now += 1
                shown.show(Record(now, Progress(phase="connecting", done=0)))
            what = f"hub.example cannot be reached: retrying in {minute} s"
            shown.show(Record(now, Notice(message=what, level="warning", again=minute > 0)))
        shown.show(Record(now, Progress(phase="reading", done=1, total=2, unit="bytes")))
        now += 9
        shown.show(Record(now, Progress(phase="reading", done=2, total=2, unit="bytes")))
    assert stream.getvalue().splitlines() == [
        "connecting",
        "warning: hub.example cannot be reached: retrying in 0 s",
        "reading 50 %, 1 B of 2 B",
        "reading 100 %, 2 B of 2 B",
    ]


def test_memory_is_said_in_the_units_it_is_measured_in() -> None:
    sizes = (512, 31 * 2**10, 412 * 2**20, 5.62 * 2**30, 2**40)
    assert [render.memory(size) for size in sizes] == [
        "512 B",
        "31 KiB",
        "412 MiB",
        "5.62 GiB",
        "1 TiB",
    ]


def test_numbers_of_a_summary_are_called_the_same_behind_the_name_of_a_stage() -> None:
    keys = ("n_vocab", "tokenizer_n_vocab", "tokenizer_vocab_size", "pretrain_elapsed", "val_loss")
    assert [render.label_of(key) for key in keys] == [
        "with special tokens",
        "tokenizer with special tokens",
        "tokenizer vocabulary",
        "pretrain seconds of training",
        "val loss",
    ]
