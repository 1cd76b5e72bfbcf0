"""A journal that is skimmed says of a run what the whole of it says."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.cli.main import main
from talm_core.runtime.event_json import decode, to_json
from talm_core.runtime.events import (
    Checkpointed,
    Evaluated,
    Event,
    Failed,
    Merged,
    Metrics,
    Notice,
    Progress,
    Record,
    RolledBack,
    Sampled,
    Started,
    Telemetry,
)
from talm_core.runtime.history import History
from talm_core.runtime.journal import FILE_NAME, JournalReader
from talm_core.runtime.skimming import JournalSkimmer
from tests.core.counting import metrics

TELEMETRY = Telemetry(process_memory=1, host_used=1, host_total=2, cpu=0.5, devices=[])


def told(reader: JournalReader) -> History:
    history = History()
    while history.extend(reader.read_new()):
        pass
    return history


@st.composite
def journals(draw: st.DrawFn) -> list[list[bytes]]:
    """Lines of a run that is interrupted, goes on and rolls back, in the parts in which somebody
    reads them; some are torn, some written by another program."""
    step, clock = 0, 0.0
    parts: list[list[bytes]] = [[]]
    kinds = st.sampled_from(["step"] * 12 + ["load"] * 4 + ["other", "judged", "resumed", "back"])
    for kind in draw(st.lists(kinds, max_size=80)):
        clock += 1
        event: Event
        match kind:
            case "step":
                step += draw(st.integers(1, 3))
                event = replace(metrics(step, 1_000), loss=float(step))
            case "load":
                event = TELEMETRY
            case "judged":
                event = Evaluated(
                    step=step, val_loss=clock, bits_per_byte=1.0, tokens=1, seconds=0.0
                )
            case "resumed":
                step = draw(st.integers(0, step))
                event = Started(job="pretrain", name="a", resumed_from=step or None)
            case "back":
                step = draw(st.integers(0, step))
                event = RolledBack(step=step, failed_step=step + 1, reason="nan")
            case _:
                event = draw(
                    st.sampled_from(
                        [
                            Notice(message="n"),
                            *(Progress(phase=p, done=step, total=9) for p in ("p", "q", 'r"')),
                            Merged(vocab_size=step, newest=[]),
                            Failed(message="m"),
                        ]
                    )
                )
        line = to_json(event, time=clock).encode()
        if draw(st.integers(0, 9)) == 0:
            line = draw(st.sampled_from([line[: len(line) // 2], line.replace(b": ", b":")]))
        parts[-1].append(line)
        if draw(st.integers(0, 19)) == 0:
            parts.append([])
    return parts


@settings(deadline=None)
@given(journals(), st.integers(1, 20))
def test_it_adds_up_to_the_same(parts: list[list[bytes]], points: int) -> None:
    with TemporaryDirectory() as folder:
        skimmer = JournalSkimmer(Path(folder), points)
        skimmed = History()
        for part in parts:
            with (Path(folder) / FILE_NAME).open("ab") as file:
                file.write(b"".join(line + b"\n" for line in part))
            while skimmed.extend(skimmer.read_new()):
                pass
        whole = told(JournalReader(Path(folder)))
    assert skimmed.last_metrics == whole.last_metrics
    assert skimmed.last_evaluated == whole.last_evaluated
    assert skimmed.last_time == whole.last_time
    assert (skimmed.phase, skimmed.merged) == (whole.phase, whole.merged)
    assert list(skimmed.progress.items()) == list(whole.progress.items())
    assert (skimmed.started, skimmed.end) == (whole.started, whole.end)
    assert skimmed.notices == whole.notices
    rows = dict(zip(whole.metrics["step"], whole.metrics["loss"], strict=True))
    assert [rows[step] for step in skimmed.metrics["step"]] == list(skimmed.metrics["loss"])


def test_of_what_is_wanted_whole_nothing_is_left_out(tmp_path: Path) -> None:
    lines = []
    for step in range(1, 4_001):
        lines.append(to_json(metrics(step, 4_000), time=0.0))
        if step % 10 == 0:
            judged = Evaluated(step=step, val_loss=step, bits_per_byte=1.0, tokens=1, seconds=0.0)
            lines.append(to_json(judged, time=0.0))
            lines.append(to_json(Sampled(step=step, prompt="a", text=str(step)), time=0.0))
    lines.append(to_json(Started(job="pretrain", name="a", resumed_from=3_995), time=0.0))
    (tmp_path / FILE_NAME).write_text("\n".join([*lines, ""]))
    whole = told(JournalReader(tmp_path))
    skimmed = told(JournalSkimmer(tmp_path, 40, whole=(Evaluated, Sampled)))
    assert skimmed.evaluations == whole.evaluations
    assert list(skimmed.evaluations["step"])[-1] == 3_990
    assert skimmed.samples == whole.samples
    assert len(skimmed.metrics) < 500


def test_points_lie_evenly(tmp_path: Path) -> None:
    lines = [to_json(metrics(step, 20_000), time=0.0) for step in range(1, 20_001)]
    (tmp_path / FILE_NAME).write_text("\n".join([*lines, ""]))
    skimmed = told(JournalSkimmer(tmp_path, 100))
    steps = list(skimmed.metrics["step"])
    assert (steps[0], steps[-1]) == (1, 20_000)
    assert 100 <= len(steps) <= 300
    assert max(b - a for a, b in pairwise(steps)) <= 200
    assert skimmed.last_metrics == told(JournalReader(tmp_path)).last_metrics


def test_a_short_one_is_read_whole(tmp_path: Path) -> None:
    lines = [to_json(metrics(step), time=0.0) for step in range(50)]
    (tmp_path / FILE_NAME).write_text("\n".join([*lines, ""]))
    records = JournalSkimmer(tmp_path, 160).read_all()
    assert records == JournalReader(tmp_path).read_all()
    assert all(isinstance(record.event, Metrics) for record in records)


def test_a_page_reads_only_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "models/long"
    directory.mkdir(parents=True)
    with (directory / FILE_NAME).open("w") as file:
        for step in range(1, 30_001):
            file.write(to_json(metrics(step, 30_000), time=0.0) + "\n")
            if step % 1_000 == 0:
                judged = Evaluated(step=step, val_loss=2, bits_per_byte=1.0, tokens=1, seconds=0)
                file.write(to_json(judged, time=0.0) + "\n")
    read = []

    def counting(line: bytes) -> Record | None:
        read.append(line)
        return decode(line)

    monkeypatch.setattr("talm_core.runtime.skimming.decode", counting)
    monkeypatch.setattr("talm_core.runtime.journal.decode", counting)
    assert main(["show", "long", "--json", "--workspace", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["step"] == 30_000
    assert [item["step"] for item in found["evaluations"]] == [*range(1_000, 30_001, 1_000)]
    assert len(read) < 2_000


def test_however_much_a_journal_says_little_of_it_is_kept() -> None:
    history = History()
    samples = (Sampled(step=1, prompt=str(n), text="x" * 100_000) for n in range(500))
    history.extend(Record(0.0, event) for event in samples)
    assert history.samples[0].prompt == "0"
    assert history.samples[-1].prompt == "499"
    assert sum(len(sample.text) for sample in history.samples) <= 16 << 20
    history.extend(Record(0.0, Progress(phase=str(n), done=1)) for n in range(1_000))
    assert len(history.progress) <= 100
    assert history.progress["999"].done == 1
    history.extend([Record(0.0, Notice(message="x" * 1_000_000))])
    assert len(history.notices[0].event.message) == 10_000  # type: ignore[attr-defined]
    saved = (
        Checkpointed(step=n, directory="checkpoint-000001", bytes=1, seconds=0)
        for n in range(5_000)
    )
    history.extend(Record(0.0, event) for event in saved)
    assert [history.checkpoints[0].step, history.checkpoints[-1].step] == [1_000, 4_999]
