"""That the calls of a process are all seen, and can be refused or end it."""

from __future__ import annotations

import errno
from pathlib import Path

from talm_core.jobs.registry import specs
from tests.core.dice.spec import SPEC
from tests.core.registration import registered
from tests.faults.breaking import Broken, Warm
from tests.faults.cases import CASES, Case, cases
from tests.faults.conftest import Laid
from tests.faults.faults import FAULTS, Done, Fault, hit, points

DICE = Case("dice", "dice", ("roll-dice", "--name", "x"))
JOURNAL, CONFIG = "home/dice/x/events.jsonl", "home/dice/x/config.toml"


def named(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def test_every_kind_of_job_and_every_one_to_come_has_a_case() -> None:
    with registered(SPEC):
        assert {case.kind for case in cases()} == {spec.kind for spec in specs()} | {""}
        assert DICE in cases()
    words = {case.words[0] for case in cases() if not case.kind}
    assert words == {"rename", "delete"}


def test_every_call_that_changes_a_file_is_seen(laid: Laid) -> None:
    calls = laid.out(DICE).calls
    of_journal = [call.what for call in calls if call.path == JOURNAL]
    # Started, two events of each of three rolls, Finished.
    assert of_journal == ["create", *["write"] * 8]
    (renamed,) = [call for call in calls if call.what == "rename"]
    assert (renamed.path, renamed.there) == (CONFIG, False)
    at = calls.index(renamed)
    assert (calls[at - 1].what, calls[at + 2]) == ("sync", Done("sync", "home/dice/x", True))
    assert Done("mkdir", "home/dice/x", False) in calls


def test_what_other_languages_write_is_seen_too(laid: Laid) -> None:
    calls = laid.out(named("pretrain")).calls
    # safetensors, in Rust, writes a file beside the one that it becomes.
    renamed = next(place for place, call in enumerate(calls) if call.path.endswith(".safetensors"))
    assert calls[renamed].what == "rename"
    written = next(call for call in reversed(calls[:renamed]) if call.what == "write")
    assert Path(written.path).parent == Path(calls[renamed].path).parent


def test_points_are_where_each_purpose_begins_and_ends_and_between() -> None:
    calls = [
        *[Done("mkdir", f"c-{step:06}", False) for step in range(3)],
        *[Done("write", "events.jsonl", True) for _ in range(20)],
        Done("create", "lock", True),
        Done("create", "config.toml", False),
    ]
    killed, _, full, *_ = FAULTS
    assert points(calls, killed, 100) == list(range(1, 26))
    assert points(calls, full, 100) == list(range(1, 25))
    assert points(calls, killed, 6) == [1, 3, 4, 23, 24, 25]
    assert points(calls, killed, 2) == [1, 24]
    assert len(points(calls, killed, 12)) == 12
    assert not hit(full, "create", there=True)


def read(warm: Warm, name: str) -> bytes:
    return (warm.place / name).read_bytes()


def test_a_call_is_refused_once_or_from_then_on(warm: Warm, laid: Laid) -> None:
    broken = laid.out(DICE)
    # What is refused once is written with the next event.
    for lasting, lines in ((False, 8), (True, 1)):
        fault = Fault("refused", ("write",), errno.ENOSPC, lasting=lasting)
        at = writes_before_journal(broken) + 2
        assert broken.attempt(fault, at, go_on=False) == []
        assert len(read(warm, JOURNAL).replace(b"\n\n", b"\n").splitlines()) == lines


def test_a_process_ends_before_a_call_or_within_it(warm: Warm, laid: Laid) -> None:
    broken = laid.out(DICE)
    _, half, *_ = FAULTS
    at = writes_before_journal(broken) + 3
    assert broken.attempt(half, at, go_on=False) == []
    first, second, torn = read(warm, JOURNAL).split(b"\n")
    assert first.startswith(b"{")
    assert second.endswith(b"}")
    assert 20 < len(torn) < len(second)
    only_writes = Fault("killed", ("write",))
    assert broken.attempt(only_writes, at, go_on=False) == []
    assert len(read(warm, JOURNAL).split(b"\n")[2]) == 0


def writes_before_journal(broken: Broken) -> int:
    writes = [call.path for call in broken.calls if call.what == "write"]
    return writes.index(JOURNAL)


def test_what_is_lost_or_left_is_noticed(warm: Warm, laid: Laid) -> None:
    broken = laid.out(DICE)
    (warm.place / "home" / "dice" / ".tmp-left").touch()
    follow = warm.run([("list",)] * 5, watched=False)
    (wrong,) = broken.after_next(follow, ("list",))
    assert wrong == "missing: [], left: ['home/dice/.tmp-left']"
    (warm.place / "home" / "dice" / ".tmp-left").unlink()
    (warm.place / CONFIG).unlink()
    (wrong,) = broken.after_next(follow, ("list",))
    assert wrong == f"missing: ['{CONFIG}'], left: []"
