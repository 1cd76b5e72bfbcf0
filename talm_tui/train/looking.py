"""A look at the dataset that a run is going to learn from, and at the machine."""

from __future__ import annotations

from dataclasses import replace

from talm_core.errors import InputError
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.storage.workspace import Workspace
from talm_core.system.hardware import Room, room
from talm_core.training.throughput import measured
from talm_tui.forms import checker
from talm_tui.forms.checker import Findings, manifest_of


def look(config: PretrainConfig, workspace: Workspace) -> Findings:
    """Check a config, and see what is known of its dataset, its memory and its speed."""
    manifest = manifest_of(config.data_dir, workspace)
    size = manifest.tokenizer.n_vocab if manifest else None
    return replace(
        checker.look(config, workspace),
        manifest=manifest,
        room=_room(config, workspace),
        speed=None if size is None else measured(config, size, workspace.root),
    )


def _room(config: PretrainConfig, workspace: Workspace) -> Room:
    try:
        return room(config.device, workspace.directory_of(config))
    except InputError:
        return Room()
