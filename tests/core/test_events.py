"""Events and commands as lines of JSON, there and back."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talm_core.runtime.event_json import decode, decode_command, to_json
from talm_core.runtime.events import (
    Command,
    Evaluated,
    Event,
    Generated,
    Metrics,
    Notice,
    Progress,
    Sample,
    Sampled,
    Telemetry,
)
from talm_core.system.memory import DeviceMemory
from tests.core.counting import metrics

# By name: a dataclass with slots is made twice, and the first may still be about.
EVENTS = list({cls.__name__: cls for cls in Event.__subclasses__()}.values())
COMMANDS = list({cls.__name__: cls for cls in Command.__subclasses__()}.values())

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
FLOAT = st.floats(allow_nan=True, allow_infinity=True)
INT = st.integers(-(2**63) + 1, 2**63 - 1)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": INT,
    "float": FLOAT,
    "str": TEXT,
    "bool": st.booleans(),
    "int | None": st.none() | INT,
    "float | None": st.none() | FLOAT,
    "list[str]": st.lists(TEXT, max_size=3),
    "list[tuple[str, float]]": st.lists(st.tuples(TEXT, st.floats(0, 1)), max_size=3),
    "dict[str, int]": st.dictionaries(TEXT, INT, max_size=3),
    "dict[str, float]": st.dictionaries(TEXT, st.floats(0, 1), max_size=3),
    "dict[str, Any]": st.dictionaries(
        TEXT, st.none() | INT | TEXT | st.booleans() | st.floats(0, 1), max_size=3
    ),
}


def instances(cls: type[Any]) -> st.SearchStrategy[Any]:
    chosen = {
        field.name: st.lists(instances(DeviceMemory), max_size=2)
        if field.type == "list[DeviceMemory]"
        else VALUES[str(field.type)]
        for field in fields(cls)
    }
    return st.builds(cls, **chosen)


def same(left: Any, right: Any) -> bool:
    """Equality in which NaN equals NaN and a pair that was read is a list."""
    if isinstance(left, float) and isinstance(right, int | float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, DeviceMemory | Event | Command) and type(left) is type(right):
        return all(
            same(getattr(left, field.name), getattr(right, field.name)) for field in fields(left)
        )
    return type(left) is type(right) and bool(left == right)


def test_a_device_whose_power_is_no_number_is_read_back() -> None:
    device = DeviceMemory(name="gpu", used=1, total=2, power=math.inf)
    event = Telemetry(process_memory=1, host_used=1, host_total=2, cpu=0.5, devices=[device])
    record = decode(to_json(event, time=1.0))
    assert record is not None
    assert record.event == event


@given(
    st.one_of([instances(cls) for cls in EVENTS]),
    st.floats(0, 4e9).map(lambda time: round(time, 3)),
)
def test_every_event_is_read_back(event: Event, time: float) -> None:
    line = to_json(event, time=time)
    assert "\n" not in line
    line.encode()
    values = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert values["event"] == type(event).__name__
    record = decode(line)
    assert record is not None
    assert record.time == time
    assert same(event, record.event)


@given(st.one_of([instances(cls) for cls in COMMANDS]))
def test_every_command_is_read_back(command: Command) -> None:
    assert decode_command(to_json(command)) == command


@given(st.binary(max_size=60) | TEXT.map(str.encode))
def test_no_bytes_break_a_reader(line: bytes) -> None:
    decode(line)
    decode_command(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOAT | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(EVENTS), st.data())
def test_an_event_with_strange_values_is_right_or_nothing(
    cls: type[Event], data: st.DataObject
) -> None:
    values = {field.name: data.draw(json_values) for field in fields(cls)}
    record = decode(json.dumps({"event": cls.__name__, "time": 1} | values))
    if record is not None:
        # Whatever was let through can be written again and counted with.
        assert decode(to_json(record.event, time=1)) is not None
        for field in fields(cls):
            value = getattr(record.event, field.name)
            if str(field.type) in ("int", "float"):
                assert isinstance(value, int | float)
                float(value)


def test_the_line_is_as_it_is_documented() -> None:
    event = Evaluated(step=3, val_loss=2.5, bits_per_byte=1.25, tokens=10, seconds=0.5)
    assert json.loads(to_json(event, time=1790000000.1234)) == {
        "event": "Evaluated",
        "time": 1790000000.123,
        "step": 3,
        "val_loss": 2.5,
        "bits_per_byte": 1.25,
        "tokens": 10,
        "seconds": 0.5,
    }
    assert to_json(Sample(prompt="é")) == '{"command": "Sample", "prompt": "é"}'
    assert json.loads(to_json(Sampled(step=1, prompt="p", text="t")))["text"] == "t"


def test_numbers_that_are_none() -> None:
    line = to_json(metrics(1, loss=math.nan), time=0)
    assert json.loads(line)["loss"] == "nan"
    record = decode(line)
    assert record is not None
    assert isinstance(record.event, Metrics)
    assert math.isnan(record.event.loss)
    record = decode(to_json(metrics(1, loss=-math.inf), time=0))
    assert record is not None
    assert isinstance(record.event, Metrics)
    assert record.event.loss == -math.inf


def test_half_a_character_is_written_as_a_sign() -> None:
    assert json.loads(to_json(Notice(message="a\ud800b")))["message"] == "a?b"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "null",
        "3",
        '{"event": "Notice"}',
        '{"event": "Notice", "message": 3, "time": 1}',
        '{"event": "Notice", "message": "m", "time": "nan"}',
        '{"event": "Notice", "message": "m", "time": null}',
        '{"event": ["Notice"], "message": "m", "time": 1}',
        '{"event": "Progress", "phase": "p", "done": true, "time": 1}',
        '{"event": "Progress", "phase": "p", "done": 1.5, "time": 1}',
        '{"event": "Progress", "phase": "p", "done": 99999999999999999999, "time": 1}',
        '{"event": "Merged", "vocab_size": 1, "newest": "x", "time": 1}',
        b"\xff\xfe",
    ],
)
def test_lines_that_say_nothing(line: str | bytes) -> None:
    assert decode(line) is None


def test_what_a_newer_talm_adds_is_passed_over() -> None:
    line = '{"event": "Progress", "time": 1, "phase": "p", "done": 3, "mood": "good"}'
    record = decode(line)
    assert record is not None
    assert record.event == Progress(phase="p", done=3)
    assert decode('{"event": "Thought", "time": 1}') is None


def test_devices_are_checked_as_well() -> None:
    good = Telemetry(
        process_memory=1,
        host_used=2,
        host_total=3,
        cpu=0.5,
        devices=[DeviceMemory(name="x", used=1, total=2, power=3.5)],
    )
    values = json.loads(to_json(good, time=1))
    record = decode(json.dumps(values))
    assert record is not None
    assert record.event == good
    for wrong in ("x", {"name": "x"}, {"name": 3, "used": 1, "total": 2}):
        assert decode(json.dumps(values | {"devices": [wrong]})) is None


def test_generated_alternatives() -> None:
    event = Generated(token=1, text="", probability=0.5, alternatives=[("a", 0.25)])
    record = decode(to_json(event, time=1))
    assert record is not None
    assert same(record.event, event)
