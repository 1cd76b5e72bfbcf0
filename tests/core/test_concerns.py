"""What is told about a plan before a run, and the dial that makes one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from talm_core.cli.plan import table
from talm_core.data.manifest import Manifest
from talm_core.errors import ConfigError
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.presets import find_preset
from talm_core.runtime.preflight import check
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace
from talm_core.system.hardware import Room, host_memory, room
from talm_core.training.concerns import concerns, reasons
from talm_core.training.estimate import Plan, largest_batch, plan
from talm_core.training.scaling import DEEPEST, of_depth
from talm_core.training.throughput import Speed
from tests.core.tiny_runs import NAME, tiny_config, tiny_workspace

GB = 10**9


def config_of(**values: Any) -> PretrainConfig:
    return build(PretrainConfig, {"model_name": "x", "data_dir": "y"} | values)


def planned(config: PretrainConfig, epochs: float | None = None) -> Plan:
    return dataclasses.replace(plan(config, None, 4_100), epochs=epochs)


def test_every_number_has_its_reason() -> None:
    config = tiny_config()
    told = {reason.name: reason for reason in reasons(config, plan(config, None, 259))}
    assert told["parameters"].value == f"{plan(config, None, 259).parameters.total:,}"
    assert told["tokens_per_step"].value == "128"
    assert told["tokens_per_step"].why == "1 x 4 windows of 32"
    assert told["max_steps"].why == "1,536 tokens in all"
    assert "epochs" not in told
    assert all(reason.value and reason.why for reason in told.values())


def test_what_a_time_limit_leaves_is_told() -> None:
    config = tiny_config(max_steps=700, minutes=0.5)
    of_steps = planned(config, epochs=7.0)
    for speed, value, why in (
        (Speed(1280.0), "about 300", "30 s end it there, after 38.4 k tokens; of 700 steps"),
        (Speed(12_800.0), "700", "89.6 k tokens in all, unless 30 s are over before"),
        (None, "700", "89.6 k tokens in all, unless 30 s are over before"),
    ):
        told = {reason.name: reason for reason in reasons(config, of_steps, speed)}
        assert told["max_steps"].value == value
        assert told["max_steps"].why.startswith(why)
        assert told["epochs"].value == ("3" if value == "about 300" else "7")


def test_a_reason_goes_on_below_itself_and_no_word_is_broken() -> None:
    found = reasons(tiny_config(), plan(tiny_config(), None, 259))
    long = table(found, None).splitlines()
    assert [line.split()[0] for line in long] == [reason.name for reason in found]
    lines = table(found, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert [" ".join(line.split()) for line in long] == _joined(lines)
    assert len(lines) > len(long)
    assert any("feed-forward" in line for line in lines)


def _joined(lines: list[str]) -> list[str]:
    joined: list[str] = []
    for line in lines:
        text = " ".join(line.split())
        if line.startswith(" "):
            joined[-1] += f" {text}"
        else:
            joined.append(text)
    return joined


def test_a_run_that_fits_worries_nobody() -> None:
    config = config_of()
    assert concerns(config, planned(config, 16.0), Room(16 * GB, 16 * GB)) == []
    assert concerns(config, planned(config), Room()) == []


def test_too_little_memory_names_the_batch_that_fits() -> None:
    config = config_of(n_layer=6, n_embd=384, n_head=6, context_len=256, batch_size=64)
    (concern,) = concerns(config, planned(config), Room(memory=2 * GB))
    assert concern.fatal
    assert concern.problem.key == "batch_size"
    batch = largest_batch(config, 4_100, 2 * GB)
    assert concern.problem.hint.startswith(f"at most {batch}, with a total_batch_size of 16384")

    def need(size: int) -> int:
        changed = config.model_copy(update={"batch_size": size})
        return plan(changed, None, 4_100).memory.total

    assert 0 < batch < 64
    assert need(batch) <= 2 * GB < need(batch + 1)


def test_a_model_too_large_for_any_batch() -> None:
    config = config_of(n_layer=12, n_embd=768, n_head=12, context_len=1024)
    (concern,) = concerns(config, planned(config), Room(memory=GB))
    assert (concern.problem.key, concern.fatal) == ("n_embd", True)
    assert "one window alone does not fit" in concern.problem.message


def test_an_accelerator_holds_neither_process_nor_copies() -> None:
    config = config_of()
    memory = planned(config).memory
    enough = Room(memory.on_device, accelerator="H200")
    assert concerns(config, planned(config), enough) == []
    (concern,) = concerns(config, planned(config), Room(memory.on_device - 1, accelerator="H200"))
    assert "H200 has" in concern.problem.message


def test_a_run_that_fits_in_bf16_is_not_refused() -> None:
    """The largest batch is worked out in what the run computes in, too."""
    config = config_of(n_layer=6, n_embd=384, n_head=6, context_len=256, batch_size=64)
    room = Room(accelerator="H200", device="cuda", bf16=True)
    found = plan(config, None, 4_100, room)
    assert concerns(config, found, dataclasses.replace(room, memory=found.memory.on_device)) == []
    less = dataclasses.replace(room, memory=found.memory.on_device - 1)
    (concern,) = concerns(config, found, less)
    assert concern.problem.hint.startswith("at most 63,")
    wide = plan(config.model_copy(update={"precision": "fp32"}), None, 4_100, room)
    assert wide.memory.on_device > found.memory.on_device


def test_too_little_disk_names_how_many_checkpoints_fit() -> None:
    config = config_of(keep_checkpoints=5)
    found = planned(config)
    one = found.checkpoint_bytes
    assert found.disk_bytes == 7 * one
    (concern,) = concerns(config, found, Room(disk=6 * one))
    assert (concern.problem.key, concern.problem.hint, concern.fatal) == (
        "keep_checkpoints", "at most 4", True,
    )  # fmt: skip
    # What lies there already needs no room any more.
    assert concerns(config, found, Room(disk=6 * one), kept=1) == []
    (concern,) = concerns(config, found, Room(disk=2 * one))
    assert concern.problem.hint == "free some of it, or train a smaller model"


def test_many_epochs_are_said_and_not_refused() -> None:
    config = config_of(max_steps=1000)
    (concern,) = concerns(config, planned(config, 32.0), Room())
    assert not concern.fatal
    assert str(concern.problem) == (
        "max_steps = 1000: the text is read 32 times; after some 16 times a model learns it by"
        " heart and little else (more text, or about 500)"
    )


def test_preflight_refuses_what_cannot_end_well(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    assert check(tiny_config(), workspace) == []
    manifest = Manifest.load(workspace.directory("data", NAME))
    assert manifest.train_tokens < 16 * 1_000_000
    assert check(tiny_config(max_steps=1_000_000), workspace) == []
    huge = tiny_config(n_embd=16_384, n_layer=100, n_head=16, n_kv_head=None)
    assert {problem.key for problem in check(huge, workspace)} == {"n_embd", "keep_checkpoints"}


def test_room_is_that_of_the_nearest_directory_there_is(tmp_path: Path) -> None:
    found = room("cpu", tmp_path / "not" / "yet")
    assert found.memory == host_memory()[1]
    assert found.disk is not None
    assert found.disk > 0
    assert found.accelerator == ""


def test_a_depth_of_twelve_in_numbers() -> None:
    """Worked by hand: 12 layers of 12 x 64, a feed-forward width of 2,048."""
    learned = 12 * (4 * 768**2 + 3 * 768 * 2048)
    tokens = 20 * learned
    compute = 6 * learned * tokens
    assert 0.292 * compute**0.3271 == pytest.approx(212_000, rel=0.02)  # nearest: 2^18
    values = of_depth(12)
    assert (values["n_embd"], values["n_head"], values["context_len"]) == (768, 12, 1024)
    assert values["total_batch_size"] == 2**18
    assert values["max_steps"] == round(tokens / 2**18) == 6_480
    assert values["learning_rate"] == 0.0018
    assert values["batch_size"] == 16


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 8, 13, 21, DEEPEST])
def test_every_depth_is_a_run(tmp_path: Path, depth: int) -> None:
    preset = find_preset(Workspace(tmp_path), f"d{depth}")
    config = config_of(**preset.values)
    result = plan(config, None, 4_100)
    layers = result.parameters.attention + result.parameters.feed_forward
    assert result.tokens / layers == pytest.approx(20, rel=0.01)
    assert config.tokens_per_micro_batch <= 16_384
    deeper = plan(config_of(**of_depth(min(DEEPEST, depth + 1))), None, 4_100)
    assert deeper.parameters.total > result.parameters.total or depth == DEEPEST


def test_a_depth_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"preset = 'd49': is too deep \(d1 to d48\)"):
        find_preset(Workspace(tmp_path), "d49")
    with pytest.raises(ConfigError, match="no such preset"):
        find_preset(Workspace(tmp_path), "d0")
