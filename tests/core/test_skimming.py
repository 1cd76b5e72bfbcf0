"""A journal that is skimmed says of a run what the whole of it says."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import (
    Evaluated,
    Event,
    Failed,
    Metrics,
    Notice,
    Progress,
    RolledBack,
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
                            Progress(phase="p", done=1, total=2),
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
    assert (skimmed.phase, skimmed.progress) == (whole.phase, whole.progress)
    assert (skimmed.started, skimmed.end) == (whole.started, whole.end)
    assert skimmed.notices == whole.notices
    rows = dict(zip(whole.metrics["step"], whole.metrics["loss"], strict=True))
    assert [rows[step] for step in skimmed.metrics["step"]] == list(skimmed.metrics["loss"])


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
