"""A run that begins with the weights of another: which checkpoint is meant, and whether it fits.

Nothing here loads torch: forms ask while somebody types.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from talm_core.data.manifest import Manifest
from talm_core.errors import ArtifactError, InputError, Problem
from talm_core.model.config import NORM_EPSILON, ArchitectureConfig
from talm_core.model.hf_config import CONFIG, read_config
from talm_core.model.weight_files import weight_files
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import Vocabulary, file_of
from talm_core.training.checkpoint import checkpoints, named, require_own

KEY = "init_from"
_SHAPE = ("n_layer", "n_head", "n_kv_head", "n_embd", "n_hidden", "rope_theta", "tie_embeddings")
"""Settings that decide what the weights are and mean."""


def find(workspace: Workspace, text: str) -> Path:
    """The checkpoint directory meant by `nano`, `nano/checkpoint-000500` or a path.

    Raises:
        ArtifactError: there is none.
    """
    if (path := named(workspace, text, key=KEY)) is not None:
        return require_own(path, workspace)
    directory = workspace.locate("pretrain", text, key=KEY)
    if (directory / CONFIG).is_file():
        return require_own(directory, workspace)
    known = checkpoints(directory)
    if not known:
        raise ArtifactError(Problem(KEY, "has no checkpoint yet", text))
    return require_own(known[-1][1], workspace)


def settled(workspace: Workspace, text: str) -> str:
    """The same checkpoint by a name that means it tomorrow, too; what is not there stays as it
    was typed."""
    try:
        path = find(workspace, text)
    except InputError:
        return text
    models = workspace.folder("pretrain")
    return path.relative_to(models).as_posix() if path.is_relative_to(models) else str(path)


def mismatches(
    path: Path, config: ArchitectureConfig, manifest: Manifest, *, text: str
) -> list[Problem]:
    """Every setting in which a run differs from the checkpoint it is to begin with; `text` is how
    that was named.

    Raises:
        ArtifactError: the checkpoint cannot be read.
    """
    shape = read_config(path)
    weight_files(path)
    ours: dict[str, Any] = {key: getattr(config, key) for key in _SHAPE}
    ours |= {"n_kv_head": config.kv_heads, "n_hidden": config.hidden}
    # It follows from the width, which is told already.
    follows = shape.n_embd != config.n_embd and config.n_hidden is None
    problems = [
        Problem(key, f"{path.name} has {theirs}", ours[key], f"begin with {theirs}")
        for key in _SHAPE
        if (theirs := getattr(shape, key)) != ours[key] and not (key == "n_hidden" and follows)
    ]
    if shape.norm_epsilon != NORM_EPSILON:
        message = f"normalizes with rms_norm_eps {shape.norm_epsilon:g}, talm with {NORM_EPSILON:g}"
        problems.append(Problem(KEY, message, text, "its weights would compute something else"))
    made_with = Vocabulary.load(file_of(path))
    if made_with.identity != manifest.tokenizer.identity:
        message = f"was trained with another tokenizer, {made_with.name}"
        hint = f"the dataset's is {manifest.tokenizer.name}"
        problems.append(Problem(KEY, message, text, hint))
    elif shape.vocab_size != made_with.n_vocab:
        message = f"has {shape.vocab_size:,} ids, its tokenizer {made_with.n_vocab:,}"
        hint = "talm begins with models that have as many as their tokenizer"
        problems.append(Problem(KEY, message, text, hint))
    return problems
