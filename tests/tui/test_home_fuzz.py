"""Home over journals in which anything may stand."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.events import Event
from talm_core.runtime.lock import Lock
from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from tests.tui import canned
from tests.tui.app_pilot import screen_text, until

NUMBERS: st.SearchStrategy[Any] = st.sampled_from(
    [0, 1, -1, 412, 10**18, -(10**18), 10**400, 1e308, -1e308, 0.5, 1e-300, "nan", "inf", "-inf"]
)
TEXTS = st.sampled_from(
    ["", "x", "[red]a[/]", "\x1b[2J", "日本語" * 50, "a\nb\tc", "\ud800", "\u202eabc", "x" * 9000]
)
ANYTHING = st.one_of(NUMBERS, TEXTS, st.none(), st.booleans(), st.just([1]), st.just({"a": 1}))


def value_of(annotation: str) -> st.SearchStrategy[Any]:
    """Mostly of the declared type: what is not is skipped when it is read."""
    if annotation.startswith("list"):
        return st.lists(ANYTHING, max_size=3)
    if annotation.startswith("dict"):
        keys = ("vocab_size", "train_tokens", "val_tokens", "directory")
        return st.fixed_dictionaries(dict.fromkeys(keys, ANYTHING))
    return TEXTS if "str" in annotation else NUMBERS


@st.composite
def events(draw: st.DrawFn) -> str:
    cls = draw(st.sampled_from(Event.__subclasses__()))
    time = draw(st.sampled_from([0, 1, 1.79e9, -5, 1e12, 1e300, "nan"]))
    values = {field.name: draw(value_of(str(field.type))) for field in fields(cls)}
    return json.dumps({"event": cls.__name__, "time": time} | values)


JOURNALS = st.lists(st.lists(events(), max_size=6), min_size=12, max_size=12)


@given(JOURNALS, st.sampled_from([(80, 24), (120, 40), (44, 16), (20, 5)]))
@settings(max_examples=12, deadline=None, database=None)
def test_any_journal_can_be_looked_at(journals: list[list[str]], size: tuple[int, int]) -> None:
    configs = [
        *(PretrainConfig(model_name=f"m{number}", data_dir="x") for number in range(6)),
        *(TokenizerConfig(name=f"t{number}") for number in range(2)),
        *(DataConfig(dir_prefix=f"d{number}") for number in range(2)),
        *(QuickstartConfig(name=f"q{number}") for number in range(2)),
    ]

    async def look(workspace: Workspace) -> None:
        app = TalmApp(workspace)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.snapshot.complete)
            app.screen.query_one("RunTable").refresh()
            await pilot.press("down", "end")
            text = screen_text(app)
            assert all(ord(char) >= 32 or char == "\n" for char in text)
            assert not app._notifications

    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        locks = []
        for index, (config, journal) in enumerate(zip(configs, journals, strict=True)):
            directory = canned.artifact(workspace, config, [])
            text = "\n".join([*journal, '{"torn'])
            (directory / "events.jsonl").write_text(text, encoding="utf-8", errors="replace")
            if index % 2:
                locks.append(Lock.acquire(directory))
        try:
            asyncio.run(look(workspace))
        finally:
            for lock in locks:
                lock.release()
