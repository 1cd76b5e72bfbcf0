"""A journal folded into series: each step once, whatever was interrupted and done again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talm_core.runtime.events import (
    Checkpointed,
    Evaluated,
    Event,
    Failed,
    Finished,
    Merged,
    Notice,
    Planned,
    Progress,
    Record,
    Sampled,
    Stage,
    Started,
    Stopped,
    Telemetry,
)
from talm_core.runtime.history import METRICS, History, fraction_trained
from talm_core.runtime.render import log_lines
from tests.core.counting import metrics


def history(*events: Event) -> History:
    result = History()
    assert result.extend(Record(float(i), event) for i, event in enumerate(events)) == bool(events)
    return result


def started(resumed_from: int | None = None) -> Started:
    return Started(job="pretrain", name="a", resumed_from=resumed_from)


def evaluated(step: int) -> Evaluated:
    return Evaluated(step=step, val_loss=step / 2, bits_per_byte=1.0, tokens=1, seconds=0.0)


def sampled(step: int) -> Sampled:
    return Sampled(step=step, prompt="", text=str(step))


def saved(step: int) -> Checkpointed:
    return Checkpointed(step=step, directory=f"checkpoint-{step:06d}", bytes=1, seconds=0.0)


def test_series_are_columns() -> None:
    result = history(started(), metrics(1, loss=3.0), metrics(5, loss=2.0), evaluated(5))
    assert list(result.metrics["step"]) == [1, 5]
    assert list(result.metrics["loss"]) == [3.0, 2.0]
    assert all(math.isnan(value) for value in result.metrics["mfu"])
    assert {len(result.metrics[name]) for name in METRICS} == {2}
    assert list(result.evaluations["val_loss"]) == [2.5]
    assert (result.step, result.phase, result.last_time) == (5, "training", 3.0)
    assert history().step == 0


def test_going_on_drops_what_was_lost() -> None:
    result = history(
        started(),
        *(metrics(step) for step in (1, 2, 3, 4, 5)),
        *(evaluated(2), evaluated(4), sampled(2), sampled(4), saved(2)),
        started(2),
    )
    assert list(result.metrics["step"]) == [1, 2]
    assert list(result.evaluations["step"]) == [2]
    assert [sample.step for sample in result.samples] == [2]
    assert [item.step for item in result.checkpoints] == [2]
    assert result.last_metrics is None
    assert result.last_evaluated is None
    assert result.end is None


def test_starting_anew_drops_everything() -> None:
    before = [
        started(),
        evaluated(0),
        metrics(1),
        sampled(0),
        saved(0),
        Merged(vocab_size=1, newest=[]),
    ]
    result = history(*before, started())
    assert (len(result.metrics), len(result.evaluations)) == (0, 0)
    assert (result.samples, result.checkpoints, result.merged) == ([], [], None)
    kept = history(*before, started(0))
    assert list(kept.evaluations["step"]) == [0]
    assert (len(kept.samples), len(kept.checkpoints), len(kept.metrics)) == (1, 1, 0)


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=1, max_size=5))
def test_each_step_once_whatever_happened(runs: Sequence[tuple[int, int]]) -> None:
    """Runs of so many steps, each going on from some step that was reached before."""
    events: list[Event] = []
    reached = 0
    for number, (count, back) in enumerate(runs):
        begin = max(0, reached - back) if number else 0
        events.append(started(begin if number else None))
        events += [metrics(step) for step in range(begin + 1, begin + count + 1)]
        reached = begin + count
    result = history(*events)
    assert list(result.metrics["step"]) == list(range(1, reached + 1))


def test_a_step_said_again_replaces_itself() -> None:
    result = history(started(), metrics(1, loss=1.0), metrics(2), metrics(1, loss=9.0))
    assert list(result.metrics["step"]) == [1]
    assert list(result.metrics["loss"]) == [9.0]


def test_phases_and_stages() -> None:
    first, second = Progress(phase="reading", done=1), Progress(phase="merging", done=2)
    stage = Stage(kind="data", name="x", directory="data/x", index=1, count=3)
    result = history(started(), first, second)
    assert list(result.progress.values()) == [first, second]
    assert result.phase == "merging"
    result = history(started(), first, stage, second)
    assert (result.stage, list(result.progress.values())) == (stage, [second])
    assert history(started(), stage, started()).stage is None
    assert history(started(), stage, started(0)).stage == stage


def test_the_end() -> None:
    assert history(started(), Finished(seconds=1, summary={"a": 1})).summary == {"a": 1}
    for end in (Stopped(reason="x"), Failed(message="y")):
        result = history(started(), end)
        assert (result.end, result.summary) == (end, {})
        assert history(started(), end, started(3)).end is None


def test_long_runs_stay_small() -> None:
    load = Telemetry(process_memory=1, host_used=1, host_total=1, cpu=0.0, devices=[])
    result = history(*[load] * 700, *[Notice(message="n")] * 300)
    assert (len(result.telemetry), len(result.notices)) == (600, 200)
    assert result.telemetry[-1].time == 699.0


@given(
    st.lists(st.floats(-100, 100, width=32) | st.just(math.nan), min_size=1, max_size=300),
    st.integers(8, 40),
)
def test_a_long_series_keeps_its_extremes(losses: list[float], most: int) -> None:
    result = History.slim("loss", "elapsed", most=most)
    result.extend(Record(0.0, metrics(step, loss=loss)) for step, loss in enumerate(losses))
    series = result.metrics
    kept, steps = list(series["loss"]), [int(step) for step in series["step"]]
    assert len(kept) == len(series["elapsed"]) <= most
    assert steps == sorted(set(steps))
    # Every row that is kept is one that was said, whole.
    assert all(
        loss is losses[step] or same(loss, losses[step])
        for step, loss in zip(steps, kept, strict=True)
    )
    assert steps[-1] == len(losses) - 1
    finite = [loss for loss in losses if math.isfinite(loss)]
    if len(finite) == len(losses):
        assert (min(kept), max(kept)) == (min(losses), max(losses))
    elif finite:
        assert any(math.isnan(loss) for loss in kept)


@pytest.mark.parametrize("count", [500, 5_000, 20_000])
def test_a_long_series_covers_its_beginning_as_well_as_its_end(count: int) -> None:
    result = History.slim("loss", most=128)
    result.extend(Record(0.0, metrics(step, loss=float(step % 97))) for step in range(count))
    steps = [int(step) for step in result.metrics["step"]]
    assert max(after - before for before, after in pairwise(steps)) <= 16 * count / 128


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def test_a_resumed_run_changes_the_version_and_a_growing_one_does_not() -> None:
    result = history(started(), metrics(1), metrics(2))
    assert result.metrics.version == 0
    result.extend([Record(0.0, metrics(3))])
    assert result.metrics.version == 0
    result.extend([Record(0.0, started(1)), Record(0.0, metrics(2))])
    assert (result.metrics.version, list(result.metrics["step"])) == (1, [1, 2])


def test_samples_of_a_long_run_thin_out_at_the_old_end() -> None:
    result = history(*(sampled(step) for step in range(9_000)))
    steps = [sample.step for sample in result.samples]
    assert len(steps) <= 4_000
    assert steps[0] == 0
    assert steps[-2_000:] == list(range(7_000, 9_000))


def planned(minutes: float | None) -> Planned:
    return Planned(
        parameters=1, vocab_size=1, device="cpu", precision="fp32", compiled=False,
        tokens_per_step=1, max_steps=100, train_tokens=1, val_tokens=1, flops_per_token=1.0,
        minutes=minutes,
    )  # fmt: skip


def test_a_run_is_as_far_as_its_steps_or_its_time() -> None:
    said = replace(metrics(25), max_steps=100, elapsed=30.0)
    assert fraction_trained(said, None) == 0.25
    assert fraction_trained(said, planned(None)) == 0.25
    assert fraction_trained(said, planned(1.0)) == 0.5
    assert fraction_trained(said, planned(10.0)) == 0.25
    assert fraction_trained(replace(said, elapsed=90.0), planned(1.0)) == 1.0
    assert fraction_trained(replace(said, elapsed=math.nan), planned(1.0)) == 0.25
    assert fraction_trained(replace(said, max_steps=0), None) == 0.0


def test_a_log_keeps_the_newest_that_is_worth_a_line() -> None:
    progress = [Progress(phase="reading", done=done, total=9) for done in range(9)]
    telemetry = Telemetry(process_memory=1, host_used=1, host_total=2, cpu=0.5, devices=[])
    result = history(*progress, telemetry, *map(metrics, range(2_000)), telemetry)
    assert len(result.said) == 1_000
    assert result.said[-1].event == metrics(1_999)
    short = history(*progress, telemetry, metrics(1))
    assert [record.event for record in short.said] == [progress[-1], metrics(1)]
    slim = History.slim("loss_ema", most=10)
    slim.extend([Record(0.0, metrics(1))])
    assert not slim.said


def test_a_log_tells_the_day_once() -> None:
    day = datetime(2026, 11, 28, 23, 59, 58).astimezone()
    records = [Record(day.timestamp() + index, metrics(index + 1)) for index in range(3)]
    assert [text.split("  ")[0] for text in log_lines(records)] == [
        *("Sat Nov 28 2026", "23:59:58", "23:59:59", "Sun Nov 29 2026", "00:00:00"),
    ]
