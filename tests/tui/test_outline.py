"""Small charts, lists of artifacts and the chosen run, as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.content import Content

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.overview import Overview
from talm_core.runtime.runner import Status
from talm_core.settings.schema import JobConfig
from talm_core.storage.workspace import Artifact
from talm_tui.charts.outline import outline
from talm_tui.charts.sparkline import course, sparkline
from talm_tui.forms.artifact_list import ArtifactLook, fitting
from tests.tui import canned


def dots(rows: list[str]) -> set[tuple[int, int]]:
    """The dots that are set, as (column, row from the top)."""
    bits = {0: (0, 0), 1: (0, 1), 2: (0, 2), 3: (1, 0), 4: (1, 1), 5: (1, 2), 6: (0, 3), 7: (1, 3)}
    return {
        (2 * x + bits[bit][0], 4 * y + bits[bit][1])
        for y, row in enumerate(rows)
        for x, char in enumerate(row)
        for bit in range(8)
        if (ord(char) - 0x2800) >> bit & 1
    }


NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=80)


@given(values=NUMBERS, width=st.integers(1, 40), height=st.integers(1, 9))
def test_a_course_is_one_line_from_edge_to_edge(
    values: list[float], width: int, height: int
) -> None:
    rows = course(values, width, height)
    assert [len(row) for row in rows] == [width] * height
    found = dots(rows)
    assert {x for x, _ in found} == set(range(2 * width))
    for x in range(2 * width - 1):
        here = {y for at, y in found if at == x}
        there = {y for at, y in found if at == x + 1}
        assert here == set(range(min(here), max(here) + 1)), "no gap within a column"
        assert min(there) <= max(here) + 1
        assert max(there) >= min(here) - 1


def test_a_course_holds_its_ends() -> None:
    assert course([0, 1], 2, 1) == ["⡠⠊"]
    assert dots(course([0.0, 7.0], 4, 2)) == {(x, 7 - x) for x in range(8)}
    assert course([1.0, 1.0, 1.0], 3, 1) == ["⠤⠤⠤"]
    assert course([math.nan, math.nan], 3, 1) == course([], 3, 1) == course([1.0], 0, 1) == []
    falling = [canned.loss_at(step) for step in range(0, 400, 10)]
    assert course(falling, 20, 1) == [sparkline(falling, 20)]


def test_an_outline_says_where_it_begins_and_ends() -> None:
    lines = [line.plain for line in outline([8.0, 2.0], 24, 6, "step 1", "step 40")]
    assert [len(line) for line in lines] == [24] * 6
    assert lines[0].startswith("8┤")
    assert lines[3].startswith("2┤")
    assert lines[4] == " └" + "─" * 22
    assert lines[5] == "  step 1         step 40"
    assert outline([8.0, 2.0], 10, 6, "step 1", "step 40") == []
    assert outline([8.0, 2.0], 24, 2, "step 1", "step 40") == []
    assert outline([], 24, 6, "a", "b") == []


def item(config: JobConfig, status: Status = Status.DONE, **said: Any) -> Overview:
    directory = Path(config.artifact)
    artifact = Artifact(config.kind, config.artifact, directory)
    return Overview(artifact, status, config=config, updated=canned.NOW - 7200, **said)


def table(kind: str, items: Sequence[Overview], width: int, height: int) -> list[Content]:
    look, rows = ArtifactLook(kind), fitting(items, height)
    look.fit(rows, width)
    return [look.head(), *map(look.line, rows)][:height]


def test_tables_say_what_tells_artifacts_apart() -> None:
    made = {"n_vocab": 8196, "bytes_per_token": 3.456}
    own = item(TokenizerConfig(name="mine", text_file=("a b", "c")), summary=made)
    head, row = (line.plain for line in table("tokenizer", [own], 80, 9))
    assert head.split() == ["ids", "bytes/token", "learned", "from"]
    assert row.split() == ["●", "mine", "8,196", "3.46", "a", "b", "c", "2", "h", "ago"]
    data = item(
        DataConfig(tokenizer_path="mine"), Status.STOPPED, fraction=0.12, summary={"documents": 3}
    )
    row = table("data", [data], 80, 9)[1].plain
    assert row.split() == ["◐", "stdlib/all", "stopped", "12", "%", "mine", "3", "2", "h", "ago"]
    run = item(
        PretrainConfig(model_name="nano", data_dir="d"),
        Status.RUNNING,
        fraction=0.5,
        metrics=canned.metrics(10, 20),
        val_loss=3.0,
        bits_per_byte=1.234,
    )
    row = table("pretrain", [run], 80, 9)[1].plain
    assert row.split() == ["▶", "nano", "1.23", "3.00", "4", "x", "128", "50", "%", "40,728"]


@pytest.mark.parametrize("kind", ["tokenizer", "data", "pretrain"])
@pytest.mark.parametrize("width", [0, 5, 20, 43, 120])
@pytest.mark.parametrize("height", [0, 1, 4, 30])
def test_tables_stay_in_their_room(kind: str, width: int, height: int) -> None:
    configs: dict[str, JobConfig] = {
        "tokenizer": TokenizerConfig(name="n" * 60, text_file=("\x1b[31m" + "f" * 90,)),
        "data": DataConfig(source="text", path=("x",), ds_sample="s" * 60),
        "pretrain": PretrainConfig(model_name="日" * 60, data_dir="d"),
    }
    lines = table(kind, [item(configs[kind])] * 7, width, height)
    assert len(lines) <= height
    assert all("\x1b" not in line.plain for line in lines)
    if width >= 20:
        assert all(cell_len(line.plain) <= width for line in lines)
    if height == 4:
        assert lines[-1].plain == "  … 5 more"
