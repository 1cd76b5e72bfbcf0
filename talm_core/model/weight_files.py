"""In which files of a directory a model's weights lie. Loads no torch."""

from __future__ import annotations

import json
from pathlib import Path

from talm_core.errors import ArtifactError, Problem
from talm_core.storage import artifact_files
from talm_core.storage.artifact_files import LARGE_BYTES, UnsafeFileError

WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"

_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "consolidated.00.pth")


def weight_files(directory: Path) -> list[Path]:
    """The files of a directory's weights; of several the index first.

    Raises:
        ArtifactError: there are none, or only what talm does not read.
    """
    if _is_there(directory / WEIGHTS):
        return [directory / WEIGHTS]
    index = directory / SHARDS
    if _is_there(index):
        files = [directory / name for name in sorted(set(_index(index).values()))]
        missing = [file.name for file in files if not _is_there(file)]
        if missing:
            named = missing[0] if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more"
            raise ArtifactError(Problem(str(index), f"names weights that are not there: {named}"))
        return [index, *files]
    for name in _PICKLED:
        if (directory / name).is_file():
            message = "holds pickled weights, which talm does not open: they may run any program"
            hint = "save them with transformers, save_pretrained(safe_serialization=True)"
            raise ArtifactError(Problem(str(directory / name), message, hint=hint))
    message = f"has no weights: neither {WEIGHTS} nor {SHARDS}"
    raise ArtifactError(Problem(str(directory), message))


def _is_there(path: Path) -> bool:
    try:
        return artifact_files.model_file(path).is_file()
    except UnsafeFileError as error:
        raise ArtifactError(Problem(str(path), str(error.strerror))) from None


def _index(path: Path) -> dict[str, str]:
    """The file of each tensor."""
    try:
        with artifact_files.reading_model(path) as file:
            content = file.read(LARGE_BYTES + 1)
        if len(content) > LARGE_BYTES:
            raise ValueError
        found: dict[str, str] = json.loads(content)["weight_map"]
        if not found or any(Path(name).name != name for name in found.values()):
            raise ValueError
    except UnsafeFileError as error:
        raise ArtifactError(Problem(str(path), str(error.strerror))) from None
    except OSError as error:
        raise ArtifactError(Problem(str(path), f"cannot be read: {error.strerror}")) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        message = "is damaged: it does not say in which file each tensor is"
        raise ArtifactError(Problem(str(path), message)) from None
    return found
