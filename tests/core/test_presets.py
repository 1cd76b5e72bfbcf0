from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talm_core.errors import ConfigError, InputError, Problem, WorkspaceError
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.presets import delete_preset, find_preset, presets, save_preset
from talm_core.jobs.pretrain.recipes import BUILT_IN, PRESETTABLE
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.quickstart.job import stages
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.settings.schema import build, settings_of
from talm_core.storage.workspace import Workspace

RUN = {"model_name": "m", "data_dir": "d"}


def config_of(values: Any) -> PretrainConfig:
    return build(PretrainConfig, {**values, **RUN})


def write(workspace: Workspace, name: str, text: str | bytes) -> None:
    folder = workspace.root / "presets"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_preset_is_a_run(name: str) -> None:
    preset = BUILT_IN[name]
    assert preset.name == name
    assert preset.description.endswith(".")
    assert set(preset.values) <= set(PRESETTABLE)
    config = config_of(preset.values)
    assert config.n_embd // config.n_head % 2 == 0


def test_nano_is_the_defaults_whatever_they_are() -> None:
    assert config_of(BUILT_IN["nano"].values) == PretrainConfig(**RUN)


def test_the_shapes_the_issue_names() -> None:
    def shape(name: str) -> tuple[int, ...]:
        config = config_of(BUILT_IN[name].values)
        return config.n_embd, config.n_head, config.n_layer, config.context_len, config.batch_size

    assert shape("talm") == (64, 8, 4, 128, 16)
    assert shape("shakespeare") == (384, 6, 6, 256, 16)
    assert shape("gpt2-124m")[:4] == (768, 12, 12, 1024)
    talm = config_of(BUILT_IN["talm"].values)
    assert (talm.learning_rate, talm.min_learning_rate) == (6e-4, 6e-5)
    assert (talm.weight_decay, talm.beta1, talm.beta2) == (0.01, 0.9, 0.95)
    gpt2 = config_of(BUILT_IN["gpt2-124m"].values)
    assert gpt2.tokens_per_step == 524_288
    assert 9.9e9 < gpt2.tokens_per_step * gpt2.max_steps < 10.1e9


def test_a_saved_preset_is_found_and_listed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    values = {"n_layer": 2, "n_kv_head": None, "sample_prompt": ("a", 'b"\n'), "minutes": 0.5}
    saved = save_preset(workspace, "mine", {**RUN, **values}, "small\nand 'mine'")
    expected = {"n_layer": 2, "sample_prompt": ("a", 'b"\n'), "minutes": 0.5}
    assert saved.values == expected
    assert find_preset(workspace, "mine") == saved
    assert [preset.name for preset in presets(workspace)] == [*BUILT_IN, "mine"]
    save_preset(workspace, "mine", {"n_layer": 3})
    assert find_preset(workspace, "mine").values == {"n_layer": 3}


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "n_layer": st.integers(1, 128),
            "learning_rate": st.floats(1e-3, 10),
            "sample_prompt": st.lists(st.text(st.characters(codec="utf-8")), max_size=3).map(tuple),
            "tie_embeddings": st.booleans(),
            "precision": st.sampled_from(["auto", "fp32", "bf16"]),
            "seed": st.integers(0, 2**63 - 1),
        },
    ),
    st.text(st.characters(codec="utf-8"), max_size=50),
)
def test_whatever_is_saved_comes_back(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], description: str
) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("w"))
    saved = save_preset(workspace, "p", values, description)
    assert find_preset(workspace, "p") == saved
    assert saved.values == values


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_what_editors_put_in_front_of_a_file_is_none_of_it(tmp_path: Path, encoding: str) -> None:
    workspace = Workspace(tmp_path)
    saved = save_preset(workspace, "mine", {"n_layer": 3, "sample_prompt": ("é",)}, "small")
    [path] = (tmp_path / "presets").iterdir()
    text = path.read_text().replace("\n", "\r\n")
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    path.write_bytes((mark + text).encode(encoding))
    assert find_preset(workspace, "mine") == saved


def test_an_unknown_preset_names_the_nearest(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    save_preset(workspace, "my-own", {})
    with pytest.raises(ConfigError, match=r"preset = 'nanno'.*did you mean 'nano'"):
        find_preset(workspace, "nanno")
    with pytest.raises(ConfigError, match=r"recipe = 'my-onw'.*did you mean 'my-own'"):
        find_preset(workspace, "my-onw", key="recipe")
    with pytest.raises(ConfigError, match="no such preset"):
        find_preset(workspace, "../presets/my-own")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "nano"])
def test_names_that_cannot_be_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WorkspaceError) as caught:
        save_preset(Workspace(tmp_path), name, {})
    assert caught.value.problems[0].key == "preset"
    assert list(tmp_path.iterdir()) == []


def test_only_ones_own_presets_can_be_deleted(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    kept = save_preset(workspace, "kept", {"n_layer": 3}).path
    path = save_preset(workspace, "mine", {"n_layer": 5}).path
    assert path is not None
    path.write_text("no longer TOML [")
    assert delete_preset(workspace, "mine") == path
    assert [preset.path for preset in presets(workspace) if preset.path] == [kept]
    for name, said in (
        ("nano", "is built in"),
        ("d4", "is built in"),
        ("mine", "there is no such preset"),
        ("kep", "did you mean 'kept'"),
        ("../presets/kept", "must"),
    ):
        with pytest.raises(InputError, match=said):
            delete_preset(workspace, name)
    assert find_preset(workspace, "kept").values == {"n_layer": 3}


def test_values_that_no_run_could_have_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        save_preset(Workspace(tmp_path), "x", {"n_layer": 0, "n_hed": 4, "n_embd": 127})
    assert [problem.key for problem in caught.value.problems] == ["n_layer", "n_hed", "n_embd"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[settings]\nn_layer = 'many'", "bad.toml: settings.n_layer = 'many': must be"),
        ("[settings]\nn_layr = 3", "bad.toml: settings.n_layr = 3: there is no such setting"),
        ("[settings]\nmodel_name = 'x'", "bad.toml: settings.model_name = 'x': is chosen"),
        ("n_layer = 3", "bad.toml: n_layer: there is no such entry"),
        ("version = 2", "bad.toml: version = 2: this talm reads version 1"),
        ("description = 3", "bad.toml: description = 3: must be a text"),
        ("settings = 3", "bad.toml: settings = 3: must be a table"),
        ("[settings", "bad.toml: is not valid TOML"),
        (b"a = '\xff'", "bad.toml: is not UTF-8"),
        pytest.param(b"#" * (2 << 20), "bad.toml: is too large", id="large"),
    ],
)
def test_a_bad_file_is_named_with_its_key(tmp_path: Path, text: str | bytes, message: str) -> None:
    workspace = Workspace(tmp_path)
    write(workspace, "bad.toml", text)
    write(workspace, "good.toml", "")
    with pytest.raises(ConfigError) as caught:
        find_preset(workspace, "bad")
    assert message in str(caught.value)
    problems: list[Problem] = []
    assert [p.name for p in presets(workspace, problems=problems)] == [*BUILT_IN, "good"]
    assert message in str(problems[0])


def test_a_file_does_not_shadow_a_built_in_preset(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write(workspace, "talm.toml", "[settings]\nn_layer = 9")
    problems: list[Problem] = []
    assert [preset.name for preset in presets(workspace, problems=problems)] == list(BUILT_IN)
    assert "has the name of a built-in preset" in problems[0].message
    assert find_preset(workspace, "talm") is BUILT_IN["talm"]


def test_only_what_is_chosen_with_each_run_is_in_no_preset() -> None:
    keys = {item.key for item in settings_of(PretrainConfig)}
    assert keys - set(PRESETTABLE) == {"model_name", "data_dir", "tokenizer_path"}


def test_a_quick_start_takes_what_its_preset_says_unless_it_is_told(tmp_path: Path) -> None:
    def made(**values: Any) -> tuple[int, float | None, tuple[str, ...]]:
        config = QuickstartConfig(text_file=("a.txt",), **values)
        tokenizer, _, model = stages(config, Workspace(tmp_path))
        assert isinstance(tokenizer, TokenizerConfig)
        assert isinstance(model, PretrainConfig)
        return tokenizer.vocab_size, model.minutes, model.sample_prompt

    assert made() == (4_096, 1.25, ("def ",))
    assert made(preset="shakespeare-sprint") == (1_000, None, ("ROMEO:",))
    told = made(preset="shakespeare-sprint", vocab_size=300, minutes=2, prompt="x")
    assert told == (300, 2.0, ("x",))
    save_preset(Workspace(tmp_path), "mine", {"minutes": 0.5})
    assert made(preset="mine")[1] == 0.5


@pytest.mark.parametrize("name", [*BUILT_IN, *(f"d{depth}" for depth in range(1, 13))])
def test_the_first_loss_of_every_preset_is_that_of_a_uniform_guess(
    name: str, tmp_path: Path
) -> None:
    preset = find_preset(Workspace(tmp_path), name)
    vocab_size = preset.vocab_size + 4
    shape = ModelConfig.of(config_of(preset.values), vocab_size)
    # Every layer begins as the identity: one is as good as all.
    model = Transformer(replace(shape, n_layer=1, context_len=64))
    model.initialise(1)
    tokens = torch.randint(vocab_size, (4, 65), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        loss = model.loss(tokens[:, :-1], tokens[:, 1:]).item()
    assert abs(loss - math.log(vocab_size)) <= 0.15
