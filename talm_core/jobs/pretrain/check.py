"""What can be known to be wrong before a model is trained, and what its settings stand for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from talm_core.data.manifest import Manifest
from talm_core.errors import InputError, Problem, problems_of
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.data_identity import compare
from talm_core.jobs.pretrain.presets import find_preset
from talm_core.storage.workspace import Workspace
from talm_core.system.hardware import room
from talm_core.tokenizer.vocabulary import Vocabulary, find_vocabulary
from talm_core.training import init_from
from talm_core.training.checkpoint import checkpoints, glance
from talm_core.training.concerns import Concern, concerns
from talm_core.training.estimate import plan


def given(
    values: dict[str, Any], preset: str | None, resume: bool, workspace: Workspace
) -> tuple[dict[str, Any], bool]:
    """The values a run is built from: what was given over a preset.

    Raises:
        InputError: no such preset, or one for a run that is gone on with.
    """
    if preset is None:
        return values, resume
    if resume:
        message = "cannot be given with --resume"
        hint = "a resumed run keeps its settings"
        raise InputError(Problem("preset", message, preset, hint))
    return dict(find_preset(workspace, preset).values) | values, False


def settle(config: PretrainConfig, workspace: Workspace) -> dict[str, Any]:
    """Weights to begin with by a name that means the same tomorrow."""
    if config.init_from is None:
        return {}
    return {"init_from": init_from.settled(workspace, config.init_from)}


def check(config: PretrainConfig, workspace: Workspace) -> Iterator[Problem]:
    """What is wrong before a model is trained."""
    try:
        directory = workspace.locate("data", config.data_dir, key="data_dir")
        manifest = Manifest.load(directory)
    except InputError as error:
        for problem in error.problems:
            yield Problem("data_dir", problem.message, config.data_dir, problem.hint)
        return
    window = config.context_len + 1
    for split, tokens in (("train", manifest.train_tokens), ("val", manifest.val_tokens)):
        if tokens < window:
            message = f"its {split} part has {tokens:,} tokens, context_len needs {window:,}"
            yield Problem(
                "data_dir", message, config.data_dir, "use more text or a shorter context"
            )
    windows = (manifest.train_tokens - 1) // config.context_len
    if 0 < windows < config.batch_size:
        message = f"the dataset has {windows:,} windows of {config.context_len} tokens"
        yield Problem("batch_size", message, config.batch_size, f"at most {windows}")
    if config.init_from is not None:
        yield from _origin(config, config.init_from, manifest, workspace)
    if config.tokenizer_path is not None:
        yield from _same_tokenizer(config.tokenizer_path, manifest, workspace)
    yield from (
        concern.problem for concern in worries(config, manifest, workspace) if concern.fatal
    )


def check_resumed(config: PretrainConfig, workspace: Workspace) -> list[Problem]:
    """Why a run cannot go on with the dataset its config names, before anything is changed in its
    directory: another tokenizer or other text than it has learned from."""

    def look() -> None:
        dataset = workspace.locate("data", config.data_dir, key="data_dir")
        found = glance(workspace.directory_of(config))
        compare(found, dataset, Manifest.load(dataset), config.data_dir)

    return problems_of(look)


def worries(config: PretrainConfig, manifest: Manifest, workspace: Workspace) -> list[Concern]:
    """What is worrying about a run on this dataset and machine, fatal or not."""
    try:
        directory = workspace.directory_of(config)
    except InputError:
        return []
    there_is = room(config.device, directory)
    planned = plan(config, manifest, manifest.tokenizer.n_vocab, there_is)
    return concerns(config, planned, there_is, kept=len(checkpoints(directory)))


def _origin(
    config: PretrainConfig, text: str, manifest: Manifest, workspace: Workspace
) -> Iterator[Problem]:
    with contextlib.suppress(InputError):
        if checkpoints(workspace.directory_of(config)):
            # It has begun: where from matters no more, and may be gone.
            return
    try:
        yield from init_from.mismatches(
            init_from.find(workspace, text), config, manifest, text=text
        )
    except InputError as error:
        yield from error.problems


def _same_tokenizer(text: str, manifest: Manifest, workspace: Workspace) -> Iterator[Problem]:
    try:
        path = find_vocabulary(workspace, text, key="tokenizer_path")
        identity = Vocabulary.load(path).identity
    except InputError as error:
        yield from error.problems
        return
    made_with = manifest.tokenizer
    if identity != made_with.identity:
        message = (
            f"({identity[:19]}…) is not the tokenizer the dataset was made with: "
            f"{made_with.name} ({made_with.identity[:19]}…)"
        )
        yield Problem("tokenizer_path", message, text, "leave it out to use the dataset's own")
