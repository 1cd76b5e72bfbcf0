"""Every kind of job and every upkeep command, broken at points spread over all that it does.

`make thorough` runs it. TALM_POINTS says at how many points each is killed, 50 if nothing is set;
every other fault is tried at a fifth as many.
"""

from __future__ import annotations

import os

import pytest

from tests.core.dice.spec import SPEC
from tests.core.registration import registered
from tests.faults.cases import Case, cases
from tests.faults.conftest import Laid
from tests.faults.faults import FAULTS, Fault
from tests.faults.test_sample import assert_holds

pytestmark = pytest.mark.thorough

POINTS = int(os.environ.get("TALM_POINTS", "50"))

with registered(SPEC):
    CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_after_a_fault_the_next_command_goes_on(
    laid: Laid, case: Case, fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    most = POINTS if fault is FAULTS[0] else max(2, POINTS // 5)
    tried, there = assert_holds(laid, case, fault, most)
    with capsys.disabled():
        print(f"\n{case.name}, {fault.name}: held at {tried} of {there} points ", end="")
