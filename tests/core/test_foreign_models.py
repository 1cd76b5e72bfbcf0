"""Model directories of others, and what is wrong with some: read, or refused before anything is
allocated."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaForCausalLM

from talm_core.errors import ArtifactError
from talm_core.jobs.export.config import ExportConfig
from talm_core.jobs.export.job import export
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.sample.config import SampleConfig
from talm_core.jobs.sample.job import sample
from talm_core.model import hf, hf_config, transformer
from talm_core.model.config import ModelConfig
from talm_core.model.weights import Weights
from talm_core.runtime.events import Finished, Generated, Notice
from talm_core.runtime.preflight import check
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import Vocabulary
from tests.core.driving import events_of, run_events
from tests.core.test_export import SHAPE, VOCABULARY
from tests.core.test_transformer import ready
from tests.core.tiny_runs import tiny_config, tiny_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "theirs"
    directory.mkdir()
    hf.save(ready(SHAPE), VOCABULARY, directory)
    return directory


def shard(directory: Path) -> None:
    """The weights in three files, as `save_pretrained` writes those of larger models."""
    LlamaForCausalLM.from_pretrained(directory).save_pretrained(directory, max_shard_size="20KB")
    (directory / "model.safetensors").unlink(missing_ok=True)
    assert len(list(directory.glob("model-0*-of-0*.safetensors"))) > 2


def changed(directory: Path, **values: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def exported(workspace: Workspace, source: Path, **values: Any) -> Path:
    config = build(ExportConfig, {"model": str(source)} | values)
    *_, last = events_of(export, config, workspace)
    assert isinstance(last, Finished)
    return workspace.root / str(last.summary["directory"])


# --- what is read ----------------------------------------------------------------------------


def test_weights_in_several_files_are_the_same_model(workspace: Workspace, source: Path) -> None:
    before = {name: Weights(source).tensor(name) for name in hf.shapes(SHAPE)}
    whole = exported(workspace, source, output=str(workspace.root / "whole"))
    shard(source)
    assert hf.load(source).config == SHAPE
    found = Weights(source)
    assert all(torch.equal(found.tensor(name), tensor) for name, tensor in before.items())
    parts = exported(workspace, source, output=str(workspace.root / "parts"))
    name = "theirs-f16.gguf"
    assert (parts / name).read_bytes() == (whole / name).read_bytes()
    copy = exported(workspace, source, format="huggingface")
    model = LlamaForCausalLM.from_pretrained(copy)
    assert torch.equal(model.lm_head.weight, before["lm_head.weight"])


def test_a_directory_without_files_of_talm_is_sampled_and_exported(
    workspace: Workspace, source: Path
) -> None:
    """All it has is what `save_pretrained` writes."""
    config = build(SampleConfig, {"model": str(source), "prompt": "he", "temperature": 0})
    config = config.model_copy(update={"max_tokens": 5})

    def said() -> list[int]:
        events = events_of(sample, config, workspace)
        return [event.token for event in events if isinstance(event, Generated)]

    expected = said()
    (source / "tokencoder.json").unlink()
    assert AutoTokenizer.from_pretrained(source)("he")["input_ids"] == [260, 256]
    assert said() == expected
    assert (exported(workspace, source) / "theirs-f16.gguf").is_file()


def test_a_run_begins_with_a_plain_directory_in_several_files(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    run_events(tiny_config(model_name="source"), workspace)
    source = tmp_path / "llama"
    shutil.copytree(workspace.directory("pretrain", "source") / "checkpoint-000012", source)
    first = load_file(source / "model.safetensors")
    shard(source)
    for name in ("tokencoder.json", "checkpoint.json", "training.safetensors"):
        (source / name).unlink()
    small = {"learning_rate": 1e-12, "min_learning_rate": 0.0, "max_steps": 1, "warmup_steps": 0}
    config = tiny_config(model_name="branch", init_from=str(source), **small)
    events = run_events(config, workspace)
    told = [event.message for event in events if isinstance(event, Notice)]
    assert told == [f"begins with the weights of {source}"]
    last = workspace.directory("pretrain", "branch") / "checkpoint-000001" / "model.safetensors"
    after = load_file(last)
    assert all(torch.allclose(after[name], first[name], atol=1e-5) for name in first)


# --- what is refused before a run begins with it ----------------------------------------------


def problems(workspace: Workspace, source: Path, **values: Any) -> list[str]:
    config = tiny_config(model_name="other", init_from=str(source), **values)
    assert isinstance(config, PretrainConfig)
    return [str(problem) for problem in check(config, workspace)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Path]:
    workspace = tiny_workspace(tmp_path_factory.mktemp("trained"))
    run_events(tiny_config(model_name="source"), workspace)
    return workspace, workspace.directory("pretrain", "source") / "checkpoint-000012"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_type": "gpt2"}, "is no Llama model, the one kind talm computes"),
        ({"rms_norm_eps": 1e-6}, "normalizes with rms_norm_eps 1e-06, talm with 1e-05"),
        ({"vocab_size": 300}, "has 300 ids, its tokenizer 2"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "scaled positions"),
    ],
)
def test_what_a_run_cannot_begin_with_is_told_before(
    trained: tuple[Workspace, Path], tmp_path: Path, values: dict[str, Any], said: str
) -> None:
    workspace, checkpoint = trained
    shutil.copytree(checkpoint, tmp_path / "copy")
    assert problems(workspace, tmp_path / "copy") == []
    changed(tmp_path / "copy", **values)
    (problem,) = problems(workspace, tmp_path / "copy")
    assert said in problem


def test_pickled_weights_are_told_before(trained: tuple[Workspace, Path], tmp_path: Path) -> None:
    workspace, checkpoint = trained
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    (problem,) = problems(workspace, copy)
    assert "holds pickled weights, which talm does not open" in problem
    assert "safe_serialization" in problem


# --- what is wrong with a file ----------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"num_hidden_layers": 10**9}, "num_hidden_layers must be a whole number from 1 to 1,024"),
    ({"num_hidden_layers": 3}, "'model.layers.2.input_layernorm.weight' is missing"),
    ({"vocab_size": 10**30}, "vocab_size must be a whole number"),
    ({"vocab_size": 4_000_000}, r"embed_tokens.weight is \(264, 32\), not \(4000000, 32\)"),
    ({"hidden_size": -32}, "hidden_size must be a whole number from 1"),
    ({"hidden_size": 32.5}, "hidden_size must be a whole number from 1"),
    ({"hidden_size": True}, "hidden_size must be a whole number from 1"),
    ({"intermediate_size": "x" * 10_000}, "intermediate_size must be a whole number"),
    ({"max_position_embeddings": 0}, "max_position_embeddings must be a whole number"),
    ({"num_key_value_heads": 3}, "its sizes contradict each other"),
    ({"head_dim": 64}, "heads whose sizes do not add up"),
    ({"rms_norm_eps": float("nan")}, "rms_norm_eps must be a number above 0"),
    ({"rms_norm_eps": -1}, "rms_norm_eps must be a number above 0"),
    ({"rope_parameters": None, "rope_theta": 10**400}, "rope_theta must be a number above 0"),
    ({"rope_parameters": None, "rope_theta": "big"}, "rope_theta must be a number above 0"),
    ({"rope_parameters": [1]}, "rope_parameters is no JSON object"),
    ({"rope_parameters": {"rope_type": "yarn"}}, r"scaled positions \(rope_parameters: yarn\)"),
    ({"rope_scaling": {"type": "linear", "factor": 4.0}}, r"positions \(rope_scaling: linear\)"),
    ({"rope_scaling": {"factor": 4.0}}, r"positions \(rope_scaling: by a factor\)"),
    ({"rope_scaling": {"type": "dynamic"}}, r"positions \(rope_scaling: dynamic\)"),
    ({"attention_bias": True}, "has attention_bias = 'True', which talm does not compute"),
    ({"mlp_bias": True}, "has mlp_bias"),
    ({"hidden_act": "gelu"}, "has hidden_act = 'gelu'"),
    ({"partial_rotary_factor": 0.5}, "has partial_rotary_factor"),
    ({"quantization_config": {"bits": 4}}, "has quantization_config"),
]


@pytest.mark.parametrize(("values", "said"), WRONG)
@pytest.mark.parametrize("form", ["gguf", "huggingface", "sample"])
def test_a_config_nothing_can_be_made_of(
    workspace: Workspace,
    source: Path,
    values: dict[str, Any],
    said: str,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_is_made(config: ModelConfig, **_: object) -> None:
        raise AssertionError(f"a model was allocated for {config}")

    monkeypatch.setattr(transformer.Transformer, "__init__", none_is_made)
    changed(source, **values)
    with pytest.raises(ArtifactError, match=said) as raised:
        hf.load(source) if form == "sample" else exported(workspace, source, format=form)
    assert len(str(raised.value)) < 400
    assert not list((workspace.root / "exports").glob("*"))


def _not_a_number(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = float("nan")
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def _whole_numbers(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"].to(torch.int8)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def _lost(directory: Path) -> None:
    shard(directory)
    next(directory.glob("model-00002-*")).unlink()


def _out_of_the_directory(directory: Path) -> None:
    shard(directory)
    path = directory / "model.safetensors.index.json"
    values = json.loads(path.read_text())
    values["weight_map"]["model.norm.weight"] = "../../etc/passwd"
    path.write_text(json.dumps(values))


def _gone(directory: Path) -> None:
    (directory / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_not_a_number, "up_proj.weight holds values that are no numbers"),
        (_whole_numbers, "holds weights of type I8, which talm does not read"),
        (_lost, "names weights that are not there: model-00002-of-"),
        (_out_of_the_directory, "does not say in which file each tensor is"),
        (_gone, "has no weights: neither model.safetensors nor model.safetensors.index.json"),
    ],
)
def test_weights_nothing_can_be_made_of(
    workspace: Workspace, source: Path, change: Callable[[Path], None], said: str
) -> None:
    change(source)
    with pytest.raises(ArtifactError, match=said):
        hf.load(source)
    with pytest.raises(ArtifactError, match=said):
        exported(workspace, source)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("chat_template.jinja", b"{% for m in messages %}{{ m", "chat template is damaged"),
        ("chat_template.jinja", b"\xff\xfe", "it is not UTF-8"),
        ("chat_template.jinja", b"x" * (5 << 20), "is larger than 4 MiB"),
        ("tokenizer_config.json", b'{"chat_template": "{% endif %}"}', "template is damaged"),
        ("tokenizer_config.json", b"[]", "it holds no JSON object"),
        ("generation_config.json", b"{", "it is no JSON"),
        ("config.json", b"[" * 100_000, "it is no JSON"),
        ("config.json", b" " * (5 << 20), "is larger than 4 MiB"),
    ],
)
def test_files_beside_the_weights_nothing_can_be_made_of(
    workspace: Workspace, source: Path, name: str, content: bytes, said: str
) -> None:
    (source / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=said) as raised:
        exported(workspace, source)
    assert raised.value.problems[0].key == str(source / name)


def test_of_several_templates_the_one_without_a_purpose_goes_along(
    workspace: Workspace, source: Path
) -> None:
    templates = [
        {"name": "tool_use", "template": "{{ tools }}"},
        {"name": "default", "template": "{{ messages }}"},
    ]
    path = source / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": templates}))
    assert hf_config.template_of(source, Vocabulary.load(source / "tokencoder.json")) == (
        "{{ messages }}"
    )
