"""A run that begins with the weights of another: which checkpoint is meant, and whether it fits.

Nothing here loads torch: forms ask while somebody types.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from talm_core.data.manifest import Manifest
from talm_core.errors import ArtifactError, InputError, Problem
from talm_core.model.config import ArchitectureConfig
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import FILE_NAME, Vocabulary
from talm_core.training.checkpoint import checkpoints, named, require_own

KEY = "init_from"
_CONFIG = "config.json"
_SHAPE = {
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_kv_head": "num_key_value_heads",
    "n_embd": "hidden_size",
    "n_hidden": "intermediate_size",
    "rope_theta": "rope_theta",
    "tie_embeddings": "tie_word_embeddings",
}
"""Settings that decide what the weights are and mean, and their names in a Llama's config."""


def find(workspace: Workspace, text: str) -> Path:
    """The checkpoint directory meant by `nano`, `nano/checkpoint-000500` or a path.

    Raises:
        ArtifactError: there is none.
    """
    if (path := named(workspace, text, key=KEY)) is not None:
        return require_own(path, workspace)
    directory = workspace.locate("pretrain", text, key=KEY)
    if (directory / _CONFIG).is_file():
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
    shape = _shape(path)
    ours: dict[str, Any] = {key: getattr(config, key) for key in _SHAPE}
    ours |= {"n_kv_head": config.kv_heads, "n_hidden": config.hidden}
    if shape["n_embd"] != config.n_embd and config.n_hidden is None:
        # It follows from the width, which is told already.
        shape["n_hidden"] = None
    problems = [
        Problem(key, f"{path.name} has {shape[key]}", ours[key], f"begin with {shape[key]}")
        for key in _SHAPE
        if shape[key] is not None and shape[key] != ours[key]
    ]
    made_with = Vocabulary.load(path / FILE_NAME)
    if made_with.identity != manifest.tokenizer.identity:
        message = f"was trained with another tokenizer, {made_with.name}"
        hint = f"the dataset's is {manifest.tokenizer.name}"
        problems.append(Problem(KEY, message, text, hint))
    return problems


def _shape(path: Path) -> dict[str, Any]:
    file = path / _CONFIG
    try:
        values = json.loads(file.read_bytes())
        return {key: values.get(name) for key, name in _SHAPE.items()}
    except OSError as error:
        raise ArtifactError(Problem(str(file), f"cannot be read: {error.strerror}")) from None
    except (ValueError, AttributeError, RecursionError) as error:
        raise ArtifactError(Problem(str(file), f"is damaged: {error}")) from None
