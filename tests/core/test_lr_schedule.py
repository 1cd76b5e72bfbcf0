from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talm_core.training.lr_schedule import LRSchedule
from tests.core.tiny_runs import tiny_config

PLAIN = LRSchedule(peak=1.0, end=0.1, warmup_steps=4, max_steps=12)


def test_each_step_has_its_rate() -> None:
    cosine = [0.1 + 0.45 * (1 + math.cos(math.pi * i / 8)) for i in range(8)]
    expected = [0.25, 0.5, 0.75, 1.0, *cosine]
    assert [PLAIN.rate(step) for step in range(12)] == pytest.approx(expected, abs=1e-15)


def test_landmarks() -> None:
    assert PLAIN.rate(3) == 1.0  # the last step of the warm-up
    assert PLAIN.rate(4) == 1.0  # and no jump after it
    assert PLAIN.rate(8) == pytest.approx(0.55)  # half-way down
    assert PLAIN.rate(12) == pytest.approx(0.1)
    assert PLAIN.rate(99) == pytest.approx(0.1)


def test_without_warm_up_it_starts_at_the_top() -> None:
    assert LRSchedule(1.0, 0.0, 0, 10).rate(0) == 1.0


def test_warm_up_to_the_very_end() -> None:
    schedule = LRSchedule(1.0, 0.0, 4, 4)
    assert [schedule.rate(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_time_counts_where_it_is_further() -> None:
    timed = LRSchedule(1.0, 0.1, 4, 12, seconds=60.0)
    assert timed.progress(6, 0.0) == 0.5
    assert timed.progress(6, 45.0) == 0.75
    assert timed.progress(0, 60.0) == 1.0
    assert timed.rate(8, 60.0) == pytest.approx(0.1)
    assert timed.rate(8, 1.0) == PLAIN.rate(8)


def test_a_machine_too_slow_for_the_warm_up_ends_low() -> None:
    timed = LRSchedule(1.0, 0.0, 100, 1000, seconds=60.0)
    assert timed.rate(9, 59.9) == pytest.approx(0.0, abs=1e-5)


@given(
    st.integers(1, 500).flatmap(lambda m: st.tuples(st.just(m), st.integers(0, m))),
    st.floats(1e-6, 1.0),
    st.floats(0.0, 1.0, allow_subnormal=False),
)
def test_it_rises_then_falls_and_stays_between(
    steps: tuple[int, int], peak: float, share: float
) -> None:
    max_steps, warmup = steps
    schedule = LRSchedule(peak, peak * share, warmup, max_steps)
    rates = [schedule.rate(step) for step in range(max_steps + 1)]
    top = max(0, warmup - 1)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert all(a >= b - 1e-12 for a, b in zip(rates[top:], rates[top + 1 :], strict=False))
    assert max(rates) <= peak * (1 + 1e-12)
    assert min(rates) > 0 or share == 0


def test_warm_up_stable_decay_step_by_step() -> None:
    schedule = LRSchedule(peak=1.0, end=0.1, warmup_steps=2, max_steps=10, decay_ratio=0.4)
    expected = [0.5, 1, 1, 1, 1, 1, 1, 0.775, 0.55, 0.325, 0.1, 0.1]
    assert [schedule.rate(step) for step in range(12)] == pytest.approx(expected, abs=1e-12)


def test_stable_decay_that_would_begin_before_the_warm_up_ends_begins_after_it() -> None:
    schedule = LRSchedule(peak=1.0, end=0.0, warmup_steps=4, max_steps=8, decay_ratio=1.0)
    expected = [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert [schedule.rate(step) for step in range(8)] == pytest.approx(expected)


def test_stable_decay_follows_the_clock_too() -> None:
    schedule = LRSchedule(1.0, 0.0, 0, 1_000, seconds=10.0, decay_ratio=0.5)
    assert schedule.rate(1, 4.9) == 1.0
    assert schedule.rate(1, 7.5) == pytest.approx(0.5)


def test_the_settings_choose() -> None:
    cosine, stable = tiny_config(), tiny_config(lr_schedule="wsd", decay_ratio=0.5)
    assert LRSchedule.of(cosine) == LRSchedule(3e-3, 1e-4, 2, 12)
    assert LRSchedule.of(stable) == LRSchedule(3e-3, 1e-4, 2, 12, decay_ratio=0.5)
