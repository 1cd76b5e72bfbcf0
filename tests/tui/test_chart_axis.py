from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talm_tui.charts import axis
from talm_tui.widgets.format import elapsed, short_number


@pytest.mark.parametrize(
    ("least", "step"),
    [(0.3, 0.5), (0.5, 0.5), (1, 1), (1.01, 2), (7, 10), (120, 200), (0.0004, 0.0005)],
)
def test_nice_step(least: float, step: float) -> None:
    assert axis.nice_step(least) == step


@given(st.floats(1e-12, 1e15))
def test_a_nice_step_is_near_what_was_asked(least: float) -> None:
    assert 1 - 1e-6 <= axis.nice_step(least) / least <= 2.5 + 1e-6


def test_linear_ticks() -> None:
    assert axis.linear_ticks(2.9, 8.3, 6) == [3, 4, 5, 6, 7, 8]
    assert axis.linear_ticks(0, 412, 5) == [0, 100, 200, 300, 400]
    assert axis.linear_ticks(0, 3, 8, axis.whole_step) == [0, 1, 2, 3]


def test_clock_ticks_fall_on_minutes() -> None:
    assert axis.linear_ticks(0, 200, 4, axis.clock_step) == [0, 60, 120, 180]
    assert axis.clock_step(40_000) == 43_200
    assert axis.clock_step(100_000) == 2 * 86_400
    assert axis.clock_labels([0, 60, 3665, 90_000]) == ["0:00", "1:00", "1:01:05", "1 d 1:00:00"]


def test_log_ticks() -> None:
    assert axis.log_ticks(1, 12, 6) == [1, 2, 5, 10]
    assert axis.log_ticks(0.001, 1000, 7) == pytest.approx([10.0**p for p in range(-3, 4)])
    assert axis.log_ticks(3.1, 3.9, 4) == pytest.approx([3.2, 3.4, 3.6, 3.8])


@given(st.floats(1e-9, 1e9), st.floats(1.0001, 1e9), st.integers(2, 20))
def test_log_ticks_are_few_and_inside(low: float, ratio: float, most: int) -> None:
    ticks = axis.log_ticks(low, low * ratio, most)
    assert len(ticks) <= most + 1
    assert all(low * (1 - 1e-6) <= tick <= low * ratio * (1 + 1e-6) for tick in ticks)


def test_labels_share_unit_and_decimals() -> None:
    assert axis.number_labels([2, 4, 6]) == ["2", "4", "6"]
    assert axis.number_labels([3, 3.5, 4]) == ["3.0", "3.5", "4.0"]
    assert axis.number_labels([0, 1000, 2000]) == ["0", "1,000", "2,000"]
    assert axis.number_labels([0, 50_000, 100_000]) == ["0", "50 k", "100 k"]
    assert axis.number_labels([0, 500_000, 1_000_000]) == ["0", "0.5 M", "1.0 M"]
    assert axis.number_labels([1e6, 1.5e6]) == ["1.0 M", "1.5 M"]
    assert axis.number_labels([0, 2e-4]) == ["0", "2.0e-04"]
    assert axis.number_labels([]) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0021, "2.1e-3"),
        (0.713, "0.713"),
        (3.4123, "3.41"),
        (0, "0"),
        (412, "412"),
        (2000, "2,000"),
        (41_234, "41.2 k"),
        (412_340, "412 k"),
        (8.2e6, "8.2 M"),
        (999_700, "1 M"),
        (-20_000, "-20 k"),
        (1.24e10, "12.4 G"),
        (math.nan, "–"),
    ],
)
def test_short_number(value: float, text: str) -> None:
    assert short_number(value) == text


def test_duration() -> None:
    assert [elapsed(s) for s in (0, 48, 3850, 273_600)] == [
        "0:00",
        "0:48",
        "1:04:10",
        "3 d 4:00:00",
    ]
