"""Flags derived from settings: what was typed, and all that is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.cli import main as cli
from talm_core.cli.options import Given
from talm_core.cli.parser import parse
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.registry import specs
from talm_core.jobs.sample.config import SampleConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.settings.command_line import words
from talm_core.settings.schema import JobConfig, build, settings_of
from talm_core.settings.toml import config_classes


def given_words(command: str, *typed: str) -> Given:
    return parse(typed, cli.commands()[command].flags())


def test_every_job_has_its_command() -> None:
    assert {cli.commands()[spec.command].job for spec in specs()} == set(config_classes())
    assert cli._by_name()["download-data"] == cli._by_name()["prepare-data"]


@pytest.mark.parametrize("name", cli.commands())
def test_every_command_takes_the_common_flags(name: str) -> None:
    flags = {flag.long: flag for flag in cli.commands()[name].flags()}
    assert {"--workspace", "--json"} <= set(flags)
    job = cli.commands()[name].job
    assert ("--detach" in flags) == (job is not None and name not in ("sample", "export", "plan"))
    if job:
        for item in settings_of(config_classes()[job]):
            assert flags[item.flag].setting is item or flags[item.flag].setting == item
            assert set(item.setting.flags) <= set(flags[item.flag].names)


def test_what_is_not_given_has_no_value() -> None:
    given = given_words("train-model")
    assert (given.values, given.problems, given.settings()) == ({}, (), {})
    assert not given.on("resume")
    assert given.text("preset") is None


def test_values_are_read_as_what_they_are() -> None:
    given = given_words(
        "train-model",
        *("-n", "a", "-d", "d", "-s", "3", "--max-steps", "1,000", "--eval-tokens=1e6"),
        *("--learning-rate", "1e-3", "--minutes", "none", "--no-tie-embeddings"),
        *("--sample-prompt", "x", "y z", "--sample-prompt=-w", "--resume", "--preset", "nano"),
    )
    assert given.problems == ()
    assert given.settings() == {
        "model_name": "a",
        "data_dir": "d",
        "seed": 3,
        "max_steps": 1000,
        "eval_tokens": 1_000_000,
        "learning_rate": 0.001,
        "minutes": None,
        "tie_embeddings": False,
        "sample_prompt": ("x", "y z", "-w"),
    }
    assert given.on("resume")
    assert given.text("preset") == "nano"
    assert "model_name" not in given.settings("model_name")


def test_what_is_made_is_named_by_name_everywhere() -> None:
    for command, key in (
        ("train-tokenizer", "name"),
        ("prepare-data", "ds_sample"),
        ("train-model", "model_name"),
        ("quickstart", "name"),
    ):
        assert given_words(command, "--name", "x").settings()[key] == "x"
    own = given_words("prepare-data", "text", "--path", "a.txt", "--name", "mine").settings()
    assert build(DataConfig, own).artifact == "text/mine"


def test_what_is_no_number_stays_as_it_is() -> None:
    given = given_words("train-model", "--n-layer", "four", "--seed", "-1", "--max-steps", "1.5")
    assert given.settings() == {"n_layer": "four", "seed": -1, "max_steps": "1.5"}


def test_nothing_of_something_can_be_said() -> None:
    assert given_words("train-model", "--empty-sample-prompt").settings() == {"sample_prompt": ()}
    assert given_words("sample", "m", "--prompt", "").settings() == {"model": "m", "prompt": ""}
    assert given_words("sample", "m", "--prompt", "-").settings() == {"model": "m", "prompt": "-"}
    # A name may well be none.
    assert given_words("train-tokenizer", "-n", "none").settings() == {"name": "none"}


UNKNOWN = "--vocabsize: there is no such flag (did you mean '--vocab-size'?)"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--vocabsize", "3"], [UNKNOWN]),
        (["--vocabsize=3", "-n", "a"], [UNKNOWN]),
        (["-n"], ["name: needs a value after it"]),
        (["--text-file"], ["text_file: needs a value after it"]),
        (["-n", "a", "-n", "b"], ["name: may be given once"]),
        (["-n", "a", "x"], ["command line = 'x': there is no place for this"]),
    ],
)
def test_what_is_wrong_with_the_words(typed: list[str], expected: list[str]) -> None:
    given = given_words("train-tokenizer", *typed)
    assert [str(problem) for problem in given.problems] == expected


def test_all_of_it_at_once_and_the_rest_is_still_read() -> None:
    given = given_words(
        "train-tokenizer",
        *("--vocabsize", "3", "-vs", "200", "--nmae=x", "--corpus", "--text-file", "a", "b"),
    )
    assert [problem.key for problem in given.problems] == ["corpus", "--vocabsize", "--nmae"]
    assert given.settings() == {"vocab_size": 200, "text_file": ("a", "b")}


def test_a_switch_takes_no_value() -> None:
    given = given_words("train-model", "--tie-embeddings=maybe", "-n", "a")
    assert [problem.key for problem in given.problems] == ["tie_embeddings"]
    assert given.settings() == {"model_name": "a"}


@pytest.mark.parametrize(
    ("typed", "expected", "problems"),
    [
        ([], {}, ()),
        (["--json"], {"json": True}, ()),
        (["nano", "--workspace", "/x"], {"name": "nano", "workspace": "/x"}, ()),
        (
            ["--workspace", "/x", "--json", "a/b"],
            {"name": "a/b", "workspace": "/x", "json": True},
            (),
        ),
        (["--workspace=/x"], {"workspace": "/x"}, ()),
        (["--workspace"], {}, ("workspace: needs a value after it",)),
        (["--workspace", "--json"], {"json": True}, ("workspace: needs a value after it",)),
        (["a", "b"], {"name": "a"}, ("command line = 'b': there is no place for this",)),
        (["--json", "--json"], {"json": True}, ("json: may be given once",)),
        (["--", "-x"], {"name": "-x"}, ()),
        (["--name", "a"], {"name": "a"}, ()),
    ],
)
def test_names_switches_and_values(
    typed: list[str], expected: dict[str, Any], problems: tuple[str, ...]
) -> None:
    given = given_words("show", *typed)
    assert given.values == expected
    assert tuple(map(str, given.problems)) == problems


def test_a_text_may_begin_with_a_dash() -> None:
    for text in ("- a small dog", "-", "-1 and more", "--- a title", "-x y"):
        assert given_words("sample", "m", "--prompt", text).settings()["prompt"] == text
    (problem,) = given_words("sample", "m", "--prompt", "-dog").problems[:1]
    assert "--prompt=VALUE" in str(problem)
    assert given_words("sample", "m", "--prompt=-dog").settings()["prompt"] == "-dog"


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
FILE = TEXT.filter(bool)


def read_back(config: JobConfig) -> JobConfig:
    typed = words(type(config), config.model_dump())
    given = given_words(typed[1], *typed[2:])
    assert given.problems == ()
    return build(type(config), given.settings())


@settings(max_examples=40, deadline=None)
@given(
    st.builds(
        SampleConfig,
        model=FILE,
        prompt=TEXT,
        max_tokens=st.integers(1, 1_000_000),
        temperature=st.floats(0, 100),
        top_p=st.floats(0, 1, exclude_min=True),
        seed=st.integers(0, 2**63 - 1),
    )
)
def test_a_sample_is_asked_for_by_its_command_line(config: SampleConfig) -> None:
    assert read_back(config) == config


@settings(max_examples=40, deadline=None)
@given(
    st.builds(
        TokenizerConfig,
        name=st.text("ab-", min_size=1),
        text_file=st.lists(TEXT, max_size=3).map(tuple),
        max_bytes=st.none() | st.integers(1, 10**12),
    )
)
def test_a_tokenizer_is_asked_for_by_its_command_line(config: TokenizerConfig) -> None:
    assert read_back(config) == config


@pytest.mark.parametrize(
    "config",
    [
        DataConfig(),
        DataConfig(source="text", path=("-x", "a b"), max_tokens=3, dir_prefix="p"),
        PretrainConfig(
            model_name="a", data_dir="d", tie_embeddings=False, sample_prompt=(), minutes=0.25
        ),
        PretrainConfig(model_name="a", data_dir="d", sample_prompt=("", "-"), device="cpu"),
    ],
)
def test_the_command_line_of_a_config_asks_for_it(config: JobConfig) -> None:
    assert read_back(config) == config
