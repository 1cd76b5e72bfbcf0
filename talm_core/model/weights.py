"""The weights of a model's directory, in one file of safetensors or in several with an index.

Names, shapes and types stand in a file's head. They are compared with the model's before anything
is allocated: a config may claim any size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from talm_core.errors import ArtifactError, Problem
from talm_core.model.weight_files import SHARDS, weight_files
from talm_core.storage import artifact_files
from talm_core.storage.artifact_files import UnsafeFileError

_TYPES = ("F64", "F32", "F16", "BF16")


class Weights:
    """The tensors of a directory, each read when it is asked for."""

    def __init__(self, directory: Path) -> None:
        """Raises:
        ArtifactError: missing, damaged, or in files talm does not read.
        """
        files = weight_files(directory)
        self.path = files[0]
        self._of: dict[str, tuple[Path, Any]] = {}
        for file in files:
            if file.name == SHARDS:
                continue
            try:
                opened: Any = safe_open(artifact_files.model_file(file), framework="pt")
            except UnsafeFileError as error:
                raise ArtifactError(Problem(str(file), str(error.strerror))) from None
            except (OSError, SafetensorError) as error:
                raise ArtifactError(Problem(str(file), f"cannot be read: {error}")) from None
            self._of |= dict.fromkeys(opened.keys(), (file, opened))

    def require(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """That there is each of these tensors, in its shape.

        Raises:
            ArtifactError: the first that is not there, of another shape, or of no type of floats.
        """
        for name, shape in shapes.items():
            if name not in self._of:
                raise ArtifactError(Problem(str(self.path), f"is damaged: {name!r} is missing"))
            file, opened = self._of[name]
            piece = opened.get_slice(name)
            found, kind = piece.get_shape(), piece.get_dtype()
            if found != list(shape):
                message = f"does not fit its config: {name} is {tuple(found)}, not {tuple(shape)}"
                raise ArtifactError(Problem(str(file), message))
            if kind not in _TYPES:
                message = f"holds weights of type {kind}, which talm does not read"
                raise ArtifactError(
                    Problem(str(file), message, hint=f"{', '.join(_TYPES)} it does")
                )

    def tensor(self, name: str) -> Tensor:
        """One tensor, on the host.

        Raises:
            ArtifactError: missing, damaged, or with a value that is no number.
        """
        if name not in self._of:
            raise ArtifactError(Problem(str(self.path), f"is damaged: {name!r} is missing"))
        file, opened = self._of[name]
        try:
            tensor: Tensor = opened.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise ArtifactError(Problem(str(file), f"cannot be read: {error}")) from None
        if not math.isfinite(float(torch.sum(tensor, dtype=torch.float64))):
            message = f"{name} holds values that are no numbers"
            raise ArtifactError(Problem(str(file), message, hint="choose an older checkpoint"))
        return tensor
