"""What can be known to be wrong before a model is trained, and what its settings stand for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from talm_core.data.manifest import Manifest
from talm_core.errors import ConfigError, InputError, Problem, problems_of
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.data_identity import compare
from talm_core.jobs.pretrain.fitting import fitted
from talm_core.jobs.pretrain.presets import find_preset
from talm_core.runtime.opening import read_config
from talm_core.settings.schema import Setting, settings_of
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
    """The values a run is built from: what was given over a preset that is scaled to it. Of a run
    that is gone on with, only what the preset would change.

    Raises:
        InputError: no such preset.
    """
    if resume:
        stored = _stored(values, workspace)
        if stored is None:
            return values, True
        return _changed(values, preset, stored, workspace), True
    if preset is None:
        return PretrainConfig.completed(values), False
    return fitted(find_preset(workspace, preset).values, values) | values, False


def _stored(values: dict[str, Any], workspace: Workspace) -> PretrainConfig | None:
    """The config of the run that is to be gone on with; None where that is said to be wrong
    elsewhere."""
    try:
        name = str(values["model_name"])
        config = read_config(workspace.find("pretrain", name, key="model_name"))
    except (KeyError, InputError):
        return None
    return config if isinstance(config, PretrainConfig) else None


def _changed(
    values: dict[str, Any], preset: str | None, stored: PretrainConfig, workspace: Workspace
) -> dict[str, Any]:
    """What was given, without what only says again what the run has; and what of a preset differs
    from it and is not free to."""
    values = dict(values)
    begun_with = str(stored.init_from or "")
    if "init_from" in values and begun_with.startswith(f"{values['init_from']}/"):
        # A model's name meant its newest checkpoint when the run began.
        values["init_from"] = begun_with
    if str(values.get("init_from", begun_with)) != begun_with:
        # Free to differ, for models are renamed; but no other weights are begun with any more.
        message = f"the run was started with {stored.init_from!r}"
        hint = "leave it out, or begin another run"
        raise ConfigError(Problem("init_from", message, values["init_from"], hint))
    if preset is None:
        return values
    recipe = find_preset(workspace, preset).values
    # How long the run is was somebody's own choice, and what goes with it is no change either.
    free = {item.key for item in settings_of(PretrainConfig) if _is_free(item.setting)}
    if stored.max_steps != recipe.get("max_steps"):
        free.add("warmup_steps")
    scaled = fitted(recipe, values)
    return {key: value for key, value in scaled.items() if key not in free} | values


def _is_free(setting: Setting) -> bool:
    return setting.resume or setting.length


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
