"""The moving average, against one that goes step by step."""

from __future__ import annotations

import math
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talm_tui.charts import average, plot
from talm_tui.charts.plot import Curve, View
from talm_tui.charts.series import Trace

BETAS = [0.0, 0.6, 0.9, 0.99, 0.999]


def step_by_step(values: list[float], gaps: list[int], beta: float) -> list[float]:
    """What every step adds to the average, one after the other."""
    total = weight = 0.0
    result = []
    for value, gap in zip(values, gaps, strict=True):
        if math.isfinite(value):
            for _ in range(gap):
                total, weight = beta * total + (1 - beta) * value, beta * weight + (1 - beta)
            value = total / weight
        result.append(value)
    return result


POINTS = st.lists(
    st.tuples(
        st.one_of(st.floats(0.1, 20.0), st.sampled_from([math.nan, math.inf, -math.inf])),
        st.integers(1, 40),
    ),
    max_size=60,
)


@given(POINTS, st.sampled_from(BETAS), st.integers(0, 60))
def test_it_is_that_of_single_steps_in_one_part_or_two(
    points: list[tuple[float, int]], beta: float, cut: int
) -> None:
    values, gaps = [value for value, _ in points], [gap for _, gap in points]
    want = step_by_step(values, gaps, beta)
    at = np.cumsum(np.array([0, *gaps], dtype=float))[1:]
    whole = average.smooth(np.array(values, dtype=float), beta, average.gaps(at))
    np.testing.assert_allclose(whole, want, rtol=1e-9)
    good = np.isfinite(np.array(values, dtype=float))
    finite, gap = np.array(values, dtype=float)[good], average.gaps(at)[good]
    first, carried = average.averaged(finite[:cut], beta, gap[:cut])
    second, _ = average.averaged(finite[cut:], beta, gap[cut:], carried)
    np.testing.assert_allclose([*first, *second], np.array(want)[good], rtol=1e-9)


@pytest.mark.parametrize("beta", BETAS)
def test_it_is_the_same_however_often_a_run_speaks(beta: float) -> None:
    """Losses that stay for ten steps, said at every step or at every tenth."""
    losses = np.random.default_rng(3).normal(3, 1, 300)
    every = average.smooth(np.repeat(losses, 10), beta)
    tenth = average.smooth(losses, beta, average.gaps(np.arange(10.0, 3001.0, 10)))
    np.testing.assert_allclose(tenth, every[9::10], rtol=1e-9)


@pytest.mark.parametrize("beta", BETAS)
def test_of_a_constant_it_is_that_constant_from_the_first_value_on(beta: float) -> None:
    np.testing.assert_allclose(average.smooth(np.full(2000, 4.2), beta), 4.2, rtol=1e-12)


def test_long_and_far_apart_it_stays_exact() -> None:
    rng = np.random.default_rng(5)
    values, gaps = rng.normal(3, 1, 4000), rng.integers(1, 5, 4000)
    gaps[[7, 2000]] = 10**6
    want = []
    total = weight = 0.0
    for value, gap in zip(values, gaps, strict=True):
        kept = 0.99 ** int(gap)
        total, weight = kept * total + (1 - kept) * value, kept * weight + (1 - kept)
        want.append(total / weight)
    got = average.smooth(values, 0.99, gaps.astype(float))
    np.testing.assert_allclose(got, want, rtol=1e-9)


@pytest.mark.parametrize("apart", [1, 3, 10])
def test_a_part_of_a_curve_is_averaged_as_the_whole_is(apart: int) -> None:
    count = 9000
    steps = array("d", range(apart, apart * count + 1, apart))
    rng = np.random.default_rng(1)
    values = array("f", rng.normal(3, 1, count).astype(np.float32).tolist())
    want = average.smooth(
        np.array(values, dtype=float), 0.97, average.gaps(np.array(steps, dtype=float))
    )
    tokens = array("d", (100 * step for step in steps))
    curve = Curve("loss", {"step": steps, "tokens": tokens}, values)
    for index in (0, 5, 4321, count - 1):
        for axis, xs in (("step", steps), ("tokens", tokens)):
            (found,) = plot.readings([curve], View(x=axis, beta=0.97, cursor=xs[index]))
            assert found.average == pytest.approx(want[index], rel=1e-5)
    x, y = Trace().points(steps, values, 0, count, 0.97, steps)
    at = np.searchsorted(np.array(steps), x)
    np.testing.assert_allclose(y, want[at], rtol=1e-5)


def test_without_values_there_is_nothing() -> None:
    assert average.smooth(np.empty(0), 0.9).size == 0
    assert average.warm_up(0.0) == 0
    assert 0.97 ** average.warm_up(0.97) < 1e-6 < 0.97 ** (average.warm_up(0.97) - 1)
