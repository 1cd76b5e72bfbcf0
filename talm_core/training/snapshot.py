"""A run at one step, copied to the host's memory so that it can be written beside the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from talm_core.model import hf
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training.parallel import full_tensor

TENSORS = "training.safetensors"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the model and what exact resumption needs besides it. `chat`: the run learns from
    conversations."""

    parameters: dict[str, Tensor]
    training: dict[str, Tensor]
    shape: ModelConfig
    vocabulary: Vocabulary
    chat: bool = False

    def write(self, directory: Path) -> None:
        """Write it into an existing directory."""
        hf.save_named(self.parameters, self.shape, self.vocabulary, directory, chat=self.chat)
        save_file(self.training, directory / TENSORS)


def copied(tensors: Mapping[str, Tensor], *, keep: bool = True) -> dict[str, Tensor]:
    """Copies in the host's memory, if they are to be kept. Those of which others have a part are
    put together one after the other: a device never holds more than one whole tensor."""
    copies = {}
    for name, tensor in tensors.items():
        found = full_tensor(tensor.detach())
        if keep:
            copies[name] = found.to("cpu", copy=True).contiguous()
    return copies


def placed(model: Transformer, device: torch.device) -> Transformer:
    """A model to sample from, in the dtype of its products: on the device, or in the host's memory
    where the device has no room for all of what others have parts of."""
    model.to(model.dtype)
    try:
        return model.to(device)
    except torch.OutOfMemoryError:
        # Slower, but no run ends for a sample.
        return model.to("cpu")


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Where the generators of this device and of the CPU are."""
    states = {"random/cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["random/cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["random/mps"] = torch.mps.get_rng_state()
    return states


def of_rank(key: str, rank: int) -> str:
    """The name of a rank's own tensor in a checkpoint."""
    return f"{key}/{rank}" if rank else key


def restore_random_states(tensors: dict[str, Tensor], rank: int) -> None:
    """Those of this process; without any, where there were fewer, they stay as they are."""
    states = {key: tensors.get(of_rank(f"random/{key}", rank)) for key in ("cpu", "cuda", "mps")}
    if (state := states["cpu"]) is not None:
        torch.set_rng_state(state)
    if (state := states["cuda"]) is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state)
    if (state := states["mps"]) is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state)
