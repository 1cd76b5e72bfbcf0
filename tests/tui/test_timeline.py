"""How a run is going to go: against a run counted step by step."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace
from talm_core.training.lr_schedule import LRSchedule
from talm_core.training.train_state import due_after
from talm_tui.forms.screen import FormPlace
from talm_tui.train.screen import TrainScreen
from talm_tui.train.timeline import Recurring, Timeline, of_run
from talm_tui.train.timeline_panel import TimelinePanel, picture
from tests.tui.app_pilot import screen_text
from tests.tui.form_pilot import add_manifest, run_at, settled, type_into, until

INTERVAL = st.integers(0, 40)


def run(**values: Any) -> PretrainConfig:
    return build(PretrainConfig, {"model_name": "a", "data_dir": "d", **values})


@given(steps=st.integers(1, 120), evals=INTERVAL, samples=INTERVAL, saves=INTERVAL)
def test_it_says_what_a_run_does(steps: int, evals: int, samples: int, saves: int) -> None:
    config = run(
        max_steps=steps,
        warmup_steps=0,
        eval_every=evals,
        sample_every=samples,
        sample_prompt=("one",),
        checkpoint_every=saves,
    )
    done: dict[str, list[int]] = {"evaluate": [], "sample": [], "checkpoint": []}
    for step in range(1, steps + 1):
        for name, _ in due_after(
            step, config, eval_every=evals, last=step == steps, time_to_save=False
        ):
            done[name].append(step)
    told = of_run(config, None)
    for each, at in zip(told.recurring, done.values(), strict=True):
        assert each.times(steps) == len(at)
        assert [step for step in range(1, steps + 1) if each.within(step, step, steps)] == at
        # Where a column of the picture holds several steps, or none.
        for first, last in ((1, steps), (2, 5), (4, 3)):
            assert each.within(first, last, steps) == any(first <= step <= last for step in at)


def test_rates_are_those_of_the_schedule() -> None:
    config = run(max_steps=240, warmup_steps=20)
    schedule = LRSchedule.of(config)
    told = of_run(config, None)
    assert told.rates == tuple(schedule.rate(step) for step in range(240))
    assert told.seconds is None
    assert (told.rates[0], max(told.rates)) == (config.learning_rate / 20, config.learning_rate)


def test_a_time_limit_ends_it_where_the_speed_is_known() -> None:
    config = run(max_steps=1000, warmup_steps=0, minutes=1.0, batch_size=10, context_len=100)
    assert of_run(config, None).steps == 1000
    half = of_run(config, 500_000 / 60)
    assert (half.steps, half.seconds) == (500, 60.0)
    assert half.rates[-1] < 1.01 * config.min_learning_rate + 1e-6
    assert of_run(config, 1e9).steps == 1000


def test_the_picture() -> None:
    recurring = (
        Recurring("evaluates", (10,)),
        Recurring("samples", (0,)),
        Recurring("saves", (20, 10)),
    )
    timeline = Timeline(40, 75.0, (0.0, 1.0, 2.0, 1.0, 0.0), recurring)
    lines = picture(timeline, 59, 9).plain.splitlines()
    # The columns of the line are those of the marks below it.
    marks = {line.split()[0]: line[11:51] for line in lines[-3:]}
    assert marks == {
        "evaluates": "·········◆" * 4,
        "samples": "·" * 39 + "▲",
        "saves": "·········■" * 4,
    }
    assert [line.split()[-1] for line in lines[-3:]] == ["4×", "1×", "4×"]
    assert lines[0].startswith("         2┤⠀")
    assert len(lines) == 9
    assert len(picture(timeline, 59, 4).plain.splitlines()) == 3, "no room for a chart"


def test_it_follows_the_form_where_there_is_room(workspace: Workspace) -> None:
    add_manifest(workspace)

    async def steps(pilot: Any, place: FormPlace) -> None:
        assert isinstance(place, TrainScreen)
        await settled(pilot, place)
        await type_into(pilot, place, "max_steps", "1k")
        await type_into(pilot, place, "eval_every", "100")
        await until(pilot, lambda: "step 1,000, after" in screen_text(place.app))
        assert " 10×" in screen_text(place.app)
        await type_into(pilot, place, "max_steps", "none")
        await until(pilot, lambda: "as before the error" in screen_text(place.app))
        # Unfolded, the fields take the room.
        await pilot.press("f4")
        await until(pilot, lambda: place.query_one(TimelinePanel).size.height == 0)
        await pilot.press("f4")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: not place.query_one(TimelinePanel).display)

    run_at(workspace, "train", steps, size=(120, 40))
