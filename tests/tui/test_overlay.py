"""The thread that reads the runs laid over another."""

from __future__ import annotations

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.event_json import to_json
from talm_core.storage.workspace import Artifact, Workspace
from talm_tui.runs.overlay import OverlayRead, OverlayReader
from tests.tui import canned


def test_what_was_posted_does_not_change_when_the_run_goes_on(empty_workspace: Workspace) -> None:
    config = PretrainConfig(model_name="over", data_dir="stdlib/all", max_steps=100)
    events = [canned.metrics(step, 9) for step in range(1, 5)]
    directory = canned.artifact(empty_workspace, config, events)
    told: list[OverlayRead] = []
    reader = OverlayReader(told.append)
    over = Artifact("pretrain", "over", directory)
    reader._wanted = frozenset({over})
    reader._look()
    reader._look()
    assert [list(message.history.metrics["step"]) for message in told] == [[1, 2, 3, 4]]
    # A run that has ended is not kept twice.
    assert told[0].history is reader._reads[over].history
    with (directory / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(to_json(canned.metrics(5, 9), time=canned.NOW) + "\n")
    reader._look()
    assert [list(message.history.metrics["step"]) for message in told] == [
        [1, 2, 3, 4],
        [1, 2, 3, 4, 5],
    ]
    assert told[0].history.key is told[1].history.key
    assert told[0].history.metrics.version == told[1].history.metrics.version
