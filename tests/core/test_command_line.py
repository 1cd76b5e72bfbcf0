"""The command that asks for a config, word by word."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from talm_core.cli import main as cli
from talm_core.cli.parser import parse
from talm_core.errors import ConfigError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.export.config import ExportConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.registry import specs
from talm_core.jobs.sample.config import SampleConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.settings.command_line import command_line, shell, words
from talm_core.settings.schema import Declared, JobConfig, build, settings_of
from talm_core.settings.toml import config_classes


def test_every_job_has_a_command() -> None:
    assert {spec.kind for spec in specs()} == set(config_classes())


def test_defaults_are_not_said_and_required_settings_are() -> None:
    config = build(PretrainConfig, {"model_name": "nano-2", "data_dir": "stdlib", "n_layer": 6})
    assert command_line(config) == [
        *("talm", "train-model", "--model-name", "nano-2", "--data-dir", "stdlib"),
        *("--n-layer", "6"),
    ]


def test_a_preset_is_named_and_only_what_differs_from_it_is_said() -> None:
    values = {"model_name": "a", "data_dir": "d", "n_layer": 6, "n_embd": 64, "minutes": None}
    config = build(PretrainConfig, values)
    command = command_line(config, {"n_layer": 6, "n_embd": 384, "minutes": 5.0}, preset="big")
    assert command == [
        *("talm", "train-model", "--preset", "big", "--model-name", "a", "--data-dir", "d"),
        *("--n-embd", "64", "--minutes", "none"),
    ]


def test_a_default_against_a_preset_is_said() -> None:
    config = build(PretrainConfig, {"model_name": "a", "data_dir": "d"})
    assert command_line(config, {"n_layer": 12})[-2:] == ["--n-layer", str(config.n_layer)]


def test_positional_settings_stand_without_a_flag() -> None:
    config = build(DataConfig, {"source": "text", "path": ("my books", "-x"), "max_tokens": 500})
    assert command_line(config) == [
        *("talm", "prepare-data", "text", "--path", "my books", "--path=-x"),
        *("--max-tokens", "500"),
    ]
    assert command_line(build(DataConfig, {})) == ["talm", "prepare-data", "stdlib"]


def test_a_positional_that_looks_like_a_flag_is_guarded() -> None:
    config = build(SampleConfig, {"model": "-odd", "prompt": "--"})
    assert command_line(config) == ["talm", "sample", "--prompt=--", "--", "-odd"]


def test_switches_tuples_and_floats() -> None:
    config = build(
        PretrainConfig,
        {
            "model_name": "a",
            "data_dir": "d",
            "tie_embeddings": False,
            "learning_rate": 1e-5,
            "min_learning_rate": 0.0,
            "sample_prompt": ("def ", "class "),
        },
    )
    command = command_line(config)
    assert "--no-tie-embeddings" in command
    assert command[command.index("--learning-rate") + 1] == "1e-05"
    assert [command[i + 1] for i, word in enumerate(command) if word == "--sample-prompt"] == [
        "def ",
        "class ",
    ]
    emptied = config.model_copy(update={"sample_prompt": ()})
    assert "--empty-sample-prompt" in command_line(emptied)


def test_the_workspace_is_said_when_it_is_given() -> None:
    config = build(TokenizerConfig, {"name": "a"})
    assert command_line(config, workspace="/my place")[-2:] == ["--workspace", "/my place"]


def test_values_that_are_not_right_yet_are_said_as_they_are() -> None:
    said = words(PretrainConfig, {"model_name": "", "n_layer": "x"})
    assert said == ["talm", "train-model", "--model-name", "", "--n-layer", "x"]


@pytest.mark.parametrize("prompt", ["it's", 'a "b"', "$HOME `id`", "line\nbreak", "", "*"])
def test_a_shell_reads_back_the_same_words(prompt: str) -> None:
    config = build(SampleConfig, {"model": "nano", "prompt": prompt})
    command = command_line(config)
    assert shlex.split(shell(command)) == command


@pytest.mark.parametrize("model", config_classes().values())
def test_defaults_alone_need_no_flag(model: type[JobConfig]) -> None:
    required = {key: "x" for key, field in model.model_fields.items() if field.is_required()}
    command = command_line(build(model, required))
    flags = [word for word in command if word.startswith("--")]
    assert len(flags) == sum(
        1 for key in required if not (model in (SampleConfig, ExportConfig) and key == "model")
    )


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


def value_of(item: Declared) -> st.SearchStrategy[Any]:
    if item.choices:
        return st.sampled_from(item.choices)
    kind = item.base_type
    low, high = item.minimum or 0, min(item.maximum or 10**6, 10**6)
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(int(low), int(high))
    if kind is float:
        return st.floats(low, high, exclude_min=True, exclude_max=item.exclusive_maximum)
    return st.lists(TEXT, max_size=3).map(tuple) if kind is tuple else TEXT


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_command_reads_back_as_the_same_config(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(list(config_classes().values())))
    values = {
        item.key: data.draw(value_of(item))
        for item in settings_of(model)
        if item.required or data.draw(st.booleans())
    }
    try:
        config = build(model, values)
    except ConfigError:
        assume(False)
    said = command_line(config)
    name = said[1]
    read = parse(said[2:], cli.commands()[name].flags())
    assert read.problems == ()
    assert build(model, read.settings()) == config
