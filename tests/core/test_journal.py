"""The record of a job: whole lines, torn ones, and reading as it grows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.runtime import journal
from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import Event, Notice, Sampled, Stopped
from talm_core.runtime.journal import FILE_NAME, JournalReader, JournalWriter, last_record


def written(directory: Path, *events: Event) -> bytes:
    with JournalWriter(directory) as writer:
        for event in events:
            writer.write(event)
    return (directory / FILE_NAME).read_bytes()


def read(directory: Path) -> list[Event]:
    return [record.event for record in JournalReader(directory).read_all()]


def notices(*numbers: int) -> list[Event]:
    return [Notice(message=str(number)) for number in numbers]


def test_events_are_lines_in_order(tmp_path: Path) -> None:
    data = written(tmp_path, *notices(1, 2))
    assert data.count(b"\n") == 2
    assert data.endswith(b"\n")
    assert read(tmp_path) == notices(1, 2)
    written(tmp_path, *notices(3))
    assert read(tmp_path) == notices(1, 2, 3)


def test_a_reader_gives_each_record_once(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path)
    assert reader.read_new() == []
    for number in range(3):
        written(tmp_path, *notices(number))
        assert [record.event for record in reader.read_new()] == notices(number)
        assert reader.read_new() == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=8))
def test_however_a_file_grows_each_record_comes_once(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    data = written(directory, *notices(*range(9)))
    path = directory / FILE_NAME
    reader = JournalReader(directory)
    seen: list[Event] = []
    shown = path.with_name("shown")
    reader.path = shown
    with shown.open("wb", buffering=0) as file:
        at = 0
        for cut in [*sorted(cut % len(data) for cut in cuts), len(data)]:
            file.write(data[at:cut])
            at = max(at, cut)
            seen += [record.event for record in reader.read_new()]
    assert seen == notices(*range(9))


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1))
def test_a_journal_cut_anywhere_loses_only_its_last_line(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    whole = written(directory, *notices(*range(4)))
    cut = int(share * len(whole))
    (directory / FILE_NAME).write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    # A line that lacks only its newline is complete once the next writer has closed it off.
    complete = kept + (cut < len(whole) and whole[cut : cut + 1] == b"\n")
    written(directory, *notices(99))
    assert read(directory) == [*notices(*range(complete)), *notices(99)]


def test_nonsense_is_passed_over(tmp_path: Path) -> None:
    written(tmp_path, *notices(1))
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b"\x00" * 100 + b"\n\xff\xfe\n{}\n[]\nnull\n")
        file.write(b'{"event": "Notice", "time": "x", "message": "m"}\n')
        file.write(b'{"event": "FromTheFuture", "time": 1}\n')
        file.write(b"[" * 100_000 + b"\n")
    written(tmp_path, *notices(2))
    assert read(tmp_path) == notices(1, 2)
    last = last_record(tmp_path)
    assert last is not None
    assert [last.event] == notices(2)


def test_much_nonsense_does_not_end_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_READ_BYTES", 64)
    written(tmp_path, *notices(1))
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b"\x00" * 1_000 + b"\n")
    written(tmp_path, *notices(2))
    assert read(tmp_path) == notices(1, 2)


def test_the_last_record_is_found_behind_a_long_line(tmp_path: Path) -> None:
    long = Sampled(step=1, prompt="", text="x" * 3_000_000)
    written(tmp_path, *notices(1), long)
    last = last_record(tmp_path)
    assert last is not None
    assert last.event == long
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b"x" * 3_000_000)
    last = last_record(tmp_path)
    assert last is not None
    assert last.event == long
    assert last_record(tmp_path / "nowhere") is None


def test_a_write_that_failed_halfway_is_closed_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JournalWriter(tmp_path) as writer:
        real = os.write

        def full(descriptor: int, data: bytes) -> int:
            if len(data) < 20:
                raise OSError(28, "No space left on device")
            return real(descriptor, data[: len(data) // 2])

        monkeypatch.setattr(os, "write", full)
        writer.write(Notice(message="waits"))
        assert read(tmp_path) == []
        monkeypatch.setattr(os, "write", real)
        writer.write(Stopped(reason="full"))
    assert read(tmp_path) == [Notice(message="waits"), Stopped(reason="full")]


def test_another_file_in_its_place_is_read_from_its_start(tmp_path: Path) -> None:
    written(tmp_path, *notices(1, 2, 3))
    reader = JournalReader(tmp_path)
    assert len(reader.read_all()) == 3
    (tmp_path / "new").write_text("".join(to_json(e, time=1) + "\n" for e in notices(*range(9))))
    (tmp_path / "new").replace(tmp_path / FILE_NAME)
    assert [record.event for record in reader.read_all()] == notices(*range(9))
    (tmp_path / FILE_NAME).write_text(to_json(Stopped(reason="x"), time=1) + "\n")
    assert [record.event for record in reader.read_all()] == [Stopped(reason="x")]
