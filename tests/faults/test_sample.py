"""A few points of each kind of job, of upkeep and of fault; all of them are in `test_thorough`."""

from __future__ import annotations

import pytest

from tests.faults.cases import CASES, Case
from tests.faults.conftest import Laid
from tests.faults.faults import FAULTS, Fault
from tests.faults.test_intercept import DICE

QUICK = (
    *("tokenizer from the Hub", "dataset made longer", "pretrain resumed", "quick start"),
    *("export to a folder", "sample", "rename a model", "delete a dataset"),
)
PICKED = [case for case in CASES if case.name in QUICK] + [DICE]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(PICKED)), ids=[case.name for case in PICKED])
def test_after_a_fault_the_next_command_goes_on(laid: Laid, number: int) -> None:
    case = PICKED[number]
    for fault in (FAULTS[number % 2], FAULTS[2 + number % 4]):
        assert_holds(laid, case, fault, most=1)


def assert_holds(laid: Laid, case: Case, fault: Fault, most: int) -> tuple[int, int]:
    """Try a fault at so many of its points, from the last on; returns at how many of how many."""
    broken = laid.out(case)
    every = broken.points(fault, 1 << 30)
    # The middle of so few is worth more than the beginning.
    chosen = every[len(every) * 2 // 3 :][:1] if most == 1 else broken.points(fault, most)
    wrong = {at: found for at in chosen if (found := broken.attempt(fault, at))}
    assert not wrong, "\n".join(
        f"=== {case.name}, {fault.name} at {at} of {len(every)}\n" + "\n".join(found)
        for at, found in wrong.items()
    )
    return len(chosen), len(every)
