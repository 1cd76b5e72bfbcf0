"""Filter, order and groups of the table of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.overview import Overview
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Artifact
from talm_tui.runs.query import Heading, chosen, following, parse, with_term
from tests.tui import canned

KEYS = tuple(PretrainConfig.model_fields)


def run(name: str, *, val_loss: float | None = None, step: int = 0, **settings: Any) -> Overview:
    config = PretrainConfig(model_name=name, data_dir="stdlib/all", **settings)
    return Overview(
        Artifact("pretrain", name, Path(name)),
        Status.DONE,
        config,
        metrics=canned.metrics(step, 900) if step else None,
        val_loss=val_loss,
        updated=float(step),
    )


RUNS = [
    run("nano", val_loss=2.9, step=412, n_layer=4, tie_embeddings=False),
    run("deep", val_loss=2.7, step=900, n_layer=12, optimizer="adamw", tie_embeddings=True),
    run("fresh", n_layer=4, tie_embeddings=True),
    run("broken", val_loss=float("nan"), step=30, n_layer=2, tie_embeddings=False),
]


def names(text: str) -> list[str]:
    query = parse(text, KEYS)
    assert query.problems == ()
    return [row.text if isinstance(row, Heading) else row.name for row in chosen(query, RUNS)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["deep", "nano", "broken", "fresh"]),
        ("  NA ", ["nano"]),
        ("done ee", ["deep"]),
        ("n_layer>=4", ["deep", "nano", "fresh"]),
        ("n_layer >= 4 val_loss<2.8", ["deep"]),
        ("n_layer=4", ["nano", "fresh"]),
        ("n_layer!=4", ["deep", "broken"]),
        ("optimizer=AdamW", ["deep"]),
        ("optimizer!=adamw", ["nano", "broken", "fresh"]),
        ("tie_embeddings=true", ["deep", "fresh"]),
        ("tokens>0.5M", ["deep", "nano"]),
        ("val_loss<100", ["deep", "nano"]),
        ("val_loss!=1", ["deep", "nano", "broken", "fresh"]),
        ("sort:val_loss", ["deep", "nano", "broken", "fresh"]),
        ("sort:-val_loss", ["nano", "deep", "broken", "fresh"]),
        ("sort:name", ["broken", "deep", "fresh", "nano"]),
        ("sort:-n_layer", ["deep", "nano", "fresh", "broken"]),
        (
            "group:n_layer sort:name",
            [
                *("n_layer 2 · 1 run", "broken"),
                *("n_layer 4 · 2 runs · best val 2.900", "fresh", "nano"),
                *("n_layer 12 · 1 run · best val 2.700", "deep"),
            ],
        ),
        (
            "group:optimizer nano",
            ["optimizer muon · 1 run · best val 2.900", "nano"],
        ),
    ],
)
def test_what_is_listed(text: str, expected: list[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("n_layers>4", "there is no n_layers, did you mean 'n_layer'?"),
        ("n_layer>many", "n_layer>many: many is no number"),
        ("val_loss=low", "val_loss=low: low is no number"),
        ("n_layer>=", "n_layer>= what?"),
        ("sort:speed", "sort:speed: there is no speed"),
        ("group:", "group:: there is no such key"),
    ],
)
def test_what_cannot_be_understood_is_told_and_left_out(text: str, problem: str) -> None:
    query = parse(f"na {text}", KEYS)
    assert query.problems == (problem,)
    assert [row.name for row in chosen(query, RUNS) if isinstance(row, Overview)] == ["nano"]


def test_the_keys_for_sorting_and_grouping_write_what_one_could_type() -> None:
    text, seen = "nano n_layer>=2", []
    for _ in range(7):
        text = following(parse(text, KEYS), text, "sort")
        seen.append(text.removeprefix("nano n_layer>=2").strip())
    assert seen[:2] == ["sort:val_loss", "sort:bits_per_byte"]
    assert seen[-1] == ""
    text = following(parse("sort:name", KEYS), "sort:name", "group")
    assert text == "sort:name group:status"
    assert with_term(text, "group", "") == "sort:name"
    assert with_term("sort:val_loss x", "sort", "-val_loss") == "x sort:-val_loss"


def test_the_keys_a_query_is_about_are_columns() -> None:
    assert parse("n_layer>3 tokens>1 sort:-n_embd group:seed x", KEYS).keys == (
        *("n_layer", "tokens", "n_embd", "seed"),
    )
