"""Settings: declared once, validated all at once, written and read back."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from talm_core.errors import ConfigError, Problem
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.sample.config import SampleConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.settings import toml as c
from talm_core.settings.schema import JobConfig, Setting, build, settings_of
from talm_core.settings.toml import config_classes, dumps, loads

MODEL = {"model_name": "a", "data_dir": "d"}


def problems(model: type[JobConfig], values: dict[str, Any]) -> dict[str, Problem]:
    with pytest.raises(ConfigError) as caught:
        build(model, values)
    found = {problem.key: problem for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems), "each is told once"
    return found


@pytest.mark.parametrize("model", config_classes().values())
def test_every_setting_is_declared_whole(model: type[JobConfig]) -> None:
    for item in settings_of(model):
        assert item.setting.section
        assert item.setting.help.endswith(".")
        assert "\n" not in item.setting.help
        assert item.flag == "--" + item.key.replace("_", "-")
        assert item.base_type in (int, float, bool, str, tuple)
        assert item.required or item.optional or item.default is not None
        if item.minimum is not None and item.maximum is not None:
            assert item.minimum < item.maximum
    flags = [flag for item in settings_of(model) for flag in (item.flag, *item.setting.flags)]
    assert len(flags) == len(set(flags))


def test_the_original_flags_are_kept() -> None:
    def flags(model: type[JobConfig], key: str) -> tuple[str, ...]:
        (item,) = (item for item in settings_of(model) if item.key == key)
        return (*item.setting.flags, item.flag)

    assert flags(TokenizerConfig, "name") == ("-n", "--name")
    assert flags(TokenizerConfig, "vocab_size") == ("-vs", "--vocab-size")
    assert flags(DataConfig, "tokenizer_path") == ("-t", "--tokenizer-path")
    assert flags(DataConfig, "ds_sample") == ("--name", "--ds-sample")
    assert flags(DataConfig, "dir_prefix") == ("--dir-prefix",)
    assert flags(PretrainConfig, "model_name") == ("-n", "--name", "--model-name")
    assert flags(PretrainConfig, "data_dir") == ("-d", "--data-dir")
    assert flags(PretrainConfig, "seed") == ("-s", "--seed")


def test_what_may_be_given_in_words() -> None:
    allowed = {item.key: item.allowed for item in settings_of(PretrainConfig)}
    assert allowed["n_layer"] == "1 to 128"
    assert allowed["learning_rate"] == "above 0, up to 10"
    assert allowed["minutes"] == "above 0"
    assert allowed["seed"] == "at least 0"
    assert allowed["dropout"] == allowed["beta1"] == allowed["beta2"] == "at least 0, below 1"
    assert allowed["device"] == "auto, cpu, cuda, mps"
    assert allowed["model_name"] == ""


class Ranges(JobConfig):
    """Every kind of range."""

    kind = "ranges"
    title = "Ranges"
    inside: Annotated[float, Field(gt=0, lt=2), Setting("A", "One.")] = 1
    under: Annotated[int, Field(lt=2_000), Setting("A", "One.")] = 1
    until: Annotated[int, Field(le=2_000), Setting("A", "One.")] = 1
    from_: Annotated[int, Field(ge=0, lt=10), Setting("A", "One.")] = 1
    between: Annotated[float, Field(gt=0, le=10), Setting("A", "One.")] = 1
    huge: Annotated[int, Field(ge=0, lt=2**63), Setting("A", "One.")] = 1


def test_a_bound_that_is_not_reached_is_said_so() -> None:
    assert {item.key: item.allowed for item in settings_of(Ranges)} == {
        "inside": "above 0, below 2",
        "under": "below 2,000",
        "until": "at most 2,000",
        "from_": "at least 0, below 10",
        "between": "above 0, up to 10",
        "huge": "at least 0",
    }
    given = {"inside": 2, "under": 2_000, "until": 2_001, "from_": 10, "between": 11}
    found = problems(Ranges, given | {"huge": 2**64})
    assert found["inside"].message == "must be a number, above 0, below 2"
    assert found["under"].message == "must be a whole number, below 2,000"
    assert found["from_"].message == "must be a whole number, at least 0, below 10"
    assert found["huge"].message == "must be below 9,223,372,036,854,775,808"
    assert problems(Ranges, {"huge": -1})["huge"].message == "must be a whole number, at least 0"


def test_all_problems_at_once() -> None:
    found = problems(
        PretrainConfig,
        {"n_embd": 130, "n_layer": 0, "nlayer": 3, "seed": "x", "device": "tpu", "minutes": -1},
    )
    assert set(found) == {
        *("model_name", "data_dir", "n_embd", "n_layer", "nlayer", "seed", "device", "minutes")
    }
    assert str(found["n_embd"]) == (
        "n_embd = 130: must be a multiple of n_head (4), even for each head (128 or 136)"
    )
    assert str(found["n_layer"]) == "n_layer = 0: must be a whole number, 1 to 128"
    assert str(found["nlayer"]) == (
        "nlayer = 3: there is no such setting (did you mean 'n_layer'?)"
    )
    assert found["device"].message == "must be one of auto, cpu, cuda, mps"
    assert found["minutes"].message == "must be a number, above 0 or none"
    assert found["model_name"].message == "must be given"


def test_vocabulary_of_200() -> None:
    found = problems(TokenizerConfig, {"name": "a", "vocab_size": 200})
    text = "vocab_size = 200: must be a whole number, 256 to 1,000,000"
    assert str(found["vocab_size"]) == text


@pytest.mark.parametrize(
    ("model", "values", "key"),
    [
        (PretrainConfig, MODEL | {"n_head": 4, "n_kv_head": 3}, "n_kv_head"),
        (PretrainConfig, MODEL | {"min_learning_rate": 1.0}, "min_learning_rate"),
        (PretrainConfig, MODEL | {"max_steps": 10}, "warmup_steps"),
        (PretrainConfig, MODEL | {"grad_clip": float("inf")}, "grad_clip"),
        (PretrainConfig, MODEL | {"minutes": "inf"}, "minutes"),
        (PretrainConfig, MODEL | {"learning_rate": float("nan")}, "learning_rate"),
        (PretrainConfig, MODEL | {"keep_checkpoints": 1}, "keep_checkpoints"),
        (PretrainConfig, MODEL | {"model_name": ""}, "model_name"),
        (PretrainConfig, MODEL | {"model_name": "x" * 101}, "model_name"),
        (DataConfig, {"source": "text"}, "path"),
        (DataConfig, {"path": ("x",)}, "path"),
        (DataConfig, {"ds_sample": "cod"}, "ds_sample"),
        (DataConfig, {"source": "hub"}, "dataset"),
        (DataConfig, {"source": "hup"}, "source"),
        (TokenizerConfig, {"name": "a", "special_tokens": ()}, "special_tokens"),
        (TokenizerConfig, {"name": "a", "special_tokens": ("<|endoftext|>", "")}, "special_tokens"),
        (SampleConfig, {"model": "a", "top_p": 0}, "top_p"),
        (SampleConfig, {"model": "a", "seed": 2**63}, "seed"),
        (QuickstartConfig, {"minutes": 0}, "minutes"),
    ],
)
def test_what_is_refused(model: type[JobConfig], values: dict[str, Any], key: str) -> None:
    assert set(problems(model, values)) == {key}


def test_the_nearest_that_would_do_is_named() -> None:
    values = MODEL | {"n_layer": "4.5", "warmup_steps": 9000, "min_learning_rate": 1.0}
    hints = {key: problem.hint for key, problem in problems(PretrainConfig, values).items()}
    assert hints == {
        "n_layer": "4 or 5",
        "warmup_steps": "at most 700, a twentieth of it is usual",
        "min_learning_rate": "at most 0.01, a tenth of it is usual",
    }


def test_derived_sizes() -> None:
    config = PretrainConfig.model_validate(
        MODEL | {"n_embd": 384, "n_head": 6, "batch_size": 4, "context_len": 32}
    )
    assert (config.kv_heads, config.hidden, config.tokens_per_step) == (6, 1024, 128)
    assert PretrainConfig.model_validate(MODEL | {"n_hidden": 100}).hidden == 100


@pytest.mark.parametrize(
    ("path", "sample"),
    [
        ("book.txt", "book"),
        ("/a/notes/", "notes"),
        (".bashrc", "bashrc"),
        ("my book (2).txt", "my-book-2"),
        ("C:\\texts\\a.txt", "a"),
        ("/", "text"),
        ("Ü", "text"),
    ],
)
def test_the_first_path_names_a_dataset(path: str, sample: str) -> None:
    config = DataConfig(source="text", path=(path,))
    assert config.sample == sample
    assert config.artifact == f"text/{sample}"
    assert DataConfig(dir_prefix="x").artifact == "stdlib/x_all"


EXAMPLES: list[JobConfig] = [
    TokenizerConfig(name="a", text_file=('we"ird\n\\', "#x"), max_bytes=5),
    DataConfig(source="text", path=("ä ö.txt",), max_tokens=7),
    PretrainConfig.model_validate(MODEL | {"minutes": 0.1, "sample_prompt": ("a", ""), "seed": 9}),
    PretrainConfig.model_validate(MODEL | {"tie_embeddings": False, "sample_prompt": ()}),
    SampleConfig(model="m", prompt="\ttab"),
    QuickstartConfig(),
]


@pytest.mark.parametrize("config", EXAMPLES)
def test_a_config_is_read_back(config: JobConfig) -> None:
    assert loads(dumps(config)) == config


printable = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    st.fixed_dictionaries(
        {"name": st.text("abc", min_size=1), "vocab_size": st.integers(256, 1_000_000)},
        optional={
            "text_file": st.lists(printable, max_size=3),
            "max_bytes": st.one_of(st.none(), st.integers(1, 2**60)),
            "val_fraction": st.floats(0, 0.5),
        },
    )
)
def test_any_config_is_read_back(values: dict[str, Any]) -> None:
    config = build(TokenizerConfig, values)
    assert loads(dumps(config)) == config


def test_the_text_of_a_config_explains_itself() -> None:
    text = dumps(TokenizerConfig(name="a"))
    assert text.startswith('job = "tokenizer"\nversion = 1\n')
    assert 'name = "a" # Name of the tokenizer.' in text
    assert "max_bytes" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "config.toml: is not valid TOML"),
        ('job = "dat"', r"config.toml: job = 'dat': unknown \(did you mean 'data'\?\)"),
        ("", "job = None|job: unknown"),
        ('job = "data"\nversion = 2', r"version = 2: this talm reads version 1 \(update talm\)"),
        ('job = "data"\nsorce = "x"', "did you mean 'source'"),
        ("[" * 100_000, "is not valid TOML"),
    ],
)
def test_files_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loads(text)


def test_configs_are_frozen() -> None:
    config = TokenizerConfig(name="a")
    with pytest.raises(ValueError, match="frozen"):
        setattr(config, "name", "b")  # noqa: B010
    assert c.CONFIG_VERSION == 1


def test_the_global_batch_says_how_many_passes() -> None:
    shape = MODEL | {"batch_size": 8, "context_len": 128}
    plain = build(PretrainConfig, shape | {"grad_accum_steps": 3})
    assert (plain.micro_batches, plain.tokens_per_step) == (3, 3_072)
    whole = build(PretrainConfig, shape | {"total_batch_size": 4_096})
    assert (whole.micro_batches, whole.tokens_per_step) == (4, 4_096)
    both = build(PretrainConfig, shape | {"total_batch_size": 4_096, "grad_accum_steps": 4})
    assert both.micro_batches == 4


def test_a_global_batch_that_does_not_divide_is_told_with_its_neighbours() -> None:
    shape = MODEL | {"batch_size": 8, "context_len": 128}
    found = problems(PretrainConfig, shape | {"total_batch_size": 3_000})
    assert str(found["total_batch_size"]) == (
        "total_batch_size = 3000: must be a multiple of batch_size x context_len (1,024 tokens)"
        " (2048 or 3072)"
    )
    found = problems(PretrainConfig, shape | {"total_batch_size": 100})
    assert found["total_batch_size"].hint == "1024"
    found = problems(PretrainConfig, shape | {"total_batch_size": 2_048, "grad_accum_steps": 3})
    assert found["grad_accum_steps"].message == "total_batch_size makes it 2"


def test_a_mark_in_front_of_a_config_is_none_of_it() -> None:
    config = TokenizerConfig(name="x")
    assert loads("\ufeff" + dumps(config)) == config
