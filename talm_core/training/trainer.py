"""Model, optimizer and data of one run: everything that changes with a step, and nothing that
talks about it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from talm_core.data.dataloader import TokenLoader
from talm_core.errors import ArtifactError, NonFiniteError, Problem, RunError
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.model import hf
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training.batches import Batches
from talm_core.training.machine import Machine, largest_divisor
from talm_core.training.optimizer import Optimizers
from talm_core.training.parts import part_like, whole
from talm_core.training.ranks import Ranks

if TYPE_CHECKING:
    from talm_core.training.parallel import Gradients, Loss

TENSORS = "training.safetensors"
EMA_DECAY = 0.98


@dataclass(frozen=True, slots=True)
class Readings:
    """What the device was asked for: the mean loss of `steps` steps, the debiased moving average
    of the loss over all, the newest gradient norm before clipping."""

    steps: int
    loss: float
    loss_ema: float
    grad_norm: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one step, copied to the host's memory: what the model and what exact resumption
    needs besides it. `chat`: the run learns from conversations."""

    parameters: dict[str, Tensor]
    training: dict[str, Tensor]
    shape: ModelConfig
    vocabulary: Vocabulary
    chat: bool = False

    def write(self, directory: Path) -> None:
        """Write it into an existing directory."""
        hf.save_named(self.parameters, self.shape, self.vocabulary, directory, chat=self.chat)
        save_file(self.training, directory / TENSORS)


class Trainer:
    """Takes optimizer steps. Numbers stay on the device until `read` asks for them."""

    def __init__(
        self,
        config: PretrainConfig,
        shape: ModelConfig,
        machine: Machine,
        dataset: Path,
        ranks: Ranks | None = None,
    ) -> None:
        self.config = config
        self.machine = machine
        self.ranks = ranks or Ranks()
        self.sharded = not self.ranks.alone and config.parallel == "fsdp"
        self.device = torch.device(machine.device)
        # What dropout leaves out is another part on each process.
        torch.manual_seed(config.seed + self.ranks.rank)
        self.model = Transformer(shape, dtype=machine.dtype, dropout=config.dropout)
        self.model.initialise(config.seed)
        self.model.to(self.device)
        self._hidden = self.model.hidden
        self._loss_of, self._gradients = self._spread()
        self.optimizers = Optimizers(self.model, config)
        # Windows of one pass, and passes of one step, here: the device's memory decides how a
        # step is divided.
        windows = config.passes * config.batch_size // self.ranks.count
        self.batch_size = largest_divisor(windows, machine.batch_size or config.batch_size)
        self.passes = windows // self.batch_size
        loader = TokenLoader(
            dataset,
            "train",
            batch_size=self.batch_size,
            context_len=config.context_len,
            seed=config.seed,
            rank=self.ranks.rank,
            world_size=self.ranks.count,
        )
        self.loader = Batches(loader, self.device)
        self.step = self.tokens = 0
        # Where the loader was after the last whole step: what a checkpoint needs.
        self.loader_state = dict(self.loader.state)
        self.epoch = self.loader.epoch_progress
        self._passes = 0  # of the step in progress
        self._loss = self._zero()  # of the step in progress
        self._losses = self._zero()  # sum over the steps since the last reading
        self._steps = 0
        self._ema = self._zero()
        self._norm = self._zero()
        # Step, loss, rate and norm of the first step that must not be taken; step 0: none.
        self._failure = torch.zeros(4, device=self.device)

    def _zero(self) -> Tensor:
        return torch.zeros((), device=self.device)

    def begin_with(self, path: Path) -> None:
        """Take the weights of a checkpoint of the same shape; everything else begins anew.

        Raises:
            ArtifactError: the weights are missing, damaged or of another shape.
        """
        self._load_weights(path)

    def _load_weights(self, path: Path) -> None:
        def part(whole: Tensor, like: Tensor) -> Tensor:
            return part_like(whole.to(self.device), like)

        named: dict[str, Tensor] = dict(self.model.named_parameters())
        hf.load_weights(named, path / hf.WEIGHTS, part=part if self.sharded else None)

    def _spread(self) -> tuple[Loss, Gradients]:
        """Spread the model over all processes; how its loss is computed, and what surrounds a
        pass."""
        if self.ranks.alone:
            return self._own_loss, lambda _: nullcontext()
        # Not at the top: a run of one process does without the second this takes.
        from talm_core.training.parallel import replicate, shard

        if self.sharded:
            gradients = shard(self.model, self.ranks.count)
            return self.model.loss, gradients
        return replicate(self.model, self._own_loss)

    def _own_loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        return self.model.loss_of(self._hidden(tokens), targets)

    @property
    def _asynchronous(self) -> bool:
        """Whether a step that must not be taken is skipped on the device, for asking whether it
        is would make the device wait. Parts of tensors cannot be skipped there."""
        return self.device.type == "cuda" and not self.sharded

    def compile(self) -> str:
        """Compile the model and try it; returns why that failed, or nothing. Random generators are
        as before: where a run goes on, they stand where it was."""
        tokens = torch.zeros(
            self.batch_size, self.config.context_len, dtype=torch.int64, device=self.device
        )
        before, states = self._hidden, _random_states(self.device)
        if self.sharded:
            for block in self.model.blocks:
                block.compile()
        else:
            self._hidden = torch.compile(self.model.hidden)
        try:
            torch.autograd.backward(self._loss_of(tokens, tokens))
            return ""
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, OSError, ImportError) as error:
            self._hidden = before
            return str(error).strip().split("\n", 1)[0]
        finally:
            self.optimizers.zero_grad()
            _restore_random_states(states, 0)

    def forward_backward(self) -> bool:
        """One pass over the next batch; returns whether a whole step's passes are done."""
        batch = self.loader.next_batch()
        tokens, targets = batch[:, :-1].contiguous(), batch[:, 1:].contiguous()
        with self._gradients(self._passes + 1 == self.passes):
            loss = self._loss_of(tokens, targets) / self.passes
            torch.autograd.backward(loss)
        self._loss += loss.detach()
        self._passes += 1
        return self._passes == self.passes

    def take_less(self) -> None:
        """After running out of memory: smaller passes, and more of them, from the beginning of
        the step in progress.

        Raises:
            RunError: a pass is one window already.
        """
        if self.batch_size == 1:
            raise RunError(
                "there is too little memory even for passes of one window; try a smaller"
                " context_len, n_embd or n_layer"
            )
        divisor = next(d for d in range(2, self.batch_size + 1) if self.batch_size % d == 0)
        self.batch_size //= divisor
        self.passes *= divisor
        self.machine = replace(self.machine, batch_size=self.batch_size)
        self.optimizers.zero_grad()
        self.loader.load_state(self.loader_state)
        self.loader.divide(self.batch_size)
        self._passes, self._loss = 0, self._zero()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def skip_to(self, step: int) -> None:
        """Go past the batches of all steps up to `step` without taking them."""
        self.loader.skip((step - self.step) * self.passes)
        self.loader_state = dict(self.loader.state)
        self.epoch = self.loader.epoch_progress

    def update(self, rate: float) -> None:
        """Take the optimizer step of the passes so far.

        Raises:
            NonFiniteError: loss or gradient is not finite; the weights are as they were. On a
                device that works ahead, the step is skipped there and `read` raises.
        """
        self._loss = self.ranks.average(self._loss)
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        if self.config.grad_clip:
            self._norm = nn.utils.clip_grad_norm_(parameters, self.config.grad_clip)
        else:
            self._norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        self._norm = whole(self._norm)
        self.optimizers.step(rate, skip=self._refuse_non_finite(rate))
        self.optimizers.zero_grad()
        self._losses += self._loss
        self._ema.lerp_(self._loss, 1 - EMA_DECAY)
        self._loss = self._zero()
        self._steps += 1
        self.step += 1
        self.tokens += self.config.tokens_per_step
        self._passes = 0
        self.loader_state = dict(self.loader.state)
        self.epoch = self.loader.epoch_progress

    def _refuse_non_finite(self, rate: float) -> Tensor | None:
        # One sum is not finite if any part of it is not.
        finite = torch.isfinite(self._loss + self._norm)
        if not self._asynchronous:
            if not finite:
                loss, norm = self._loss.item(), self._norm.item()
                raise NonFiniteError(self.step + 1, loss, rate, norm)
            return None
        # Once a step has failed, it and all later ones change nothing, until somebody looks.
        step, used = (torch.full_like(self._norm, value) for value in (self.step + 1, rate))
        now = torch.stack((step, self._loss, used, self._norm))
        unseen = (self._failure[0] == 0) & ~finite
        self._failure = torch.where(unseen, now, self._failure)
        return (self._failure[0] != 0).float()

    def read(self) -> Readings | None:
        """The readings since the last call, None when no step was taken. Waits for the device.

        Raises:
            NonFiniteError: a step since then was not finite.
        """
        if not self._steps:
            return None
        values = torch.stack((self._losses / self._steps, self._ema, self._norm)).tolist()
        self._require_finite()
        loss, ema, norm = values
        readings = Readings(self._steps, loss, ema / (1 - EMA_DECAY**self.step), norm)
        self._losses, self._steps = self._zero(), 0
        return readings

    def _require_finite(self) -> None:
        if self._asynchronous:
            step, loss, rate, norm = self._failure.tolist()
            if step:
                raise NonFiniteError(int(step), loss, rate, norm)

    def memory(self) -> dict[str, tuple[int, int]]:
        """Bytes that tensors have, and that are held for them, by the UUID of the CUDA device."""
        if self.device.type != "cuda":
            return {}
        uuid = str(torch.cuda.get_device_properties(self.device).uuid)
        held = torch.cuda.memory_allocated(self.device), torch.cuda.memory_reserved(self.device)
        return {uuid: held}

    # --- checkpoints -------------------------------------------------------------------------

    def snapshot(self, vocabulary: Vocabulary) -> Snapshot | None:
        """A copy of everything a checkpoint holds; None on processes that do not save, which must
        ask nevertheless. Waits for the device.

        Raises:
            NonFiniteError: a step since the last reading was not finite.
        """
        self._require_finite()
        tensors = self.optimizers.tensors
        tensors |= {"loop/ema": self._ema, "loop/losses": self._losses}
        for key, state in _random_states(self.device).items():
            of_all = self.ranks.everyone(state)
            tensors |= {_of_rank(key, rank): each for rank, each in enumerate(of_all)}
        training = _copied(tensors, keep=self.ranks.first)
        parameters = self._whole_parameters()
        if not self.ranks.first:
            return None
        return Snapshot(_copied(parameters), training, self.model.config, vocabulary)

    def _whole_parameters(self) -> Mapping[str, Tensor]:
        if not self.sharded:
            return dict(self.model.named_parameters())
        from talm_core.training.parallel import whole_parameters

        return whole_parameters(self.model)

    def whole_model(self) -> Transformer | None:
        """The model to sample from; None on processes that do not, which must ask nevertheless."""
        if not self.sharded:
            return self.model if self.ranks.first else None
        parameters = self._whole_parameters()
        if not self.ranks.first:
            return None
        model = Transformer(self.model.config, dtype=self.model.dtype)
        model.load_state_dict(parameters)
        return placed(model, self.device)

    @property
    def state(self) -> dict[str, Any]:
        """The rest of what `restore` needs, as JSON."""
        return {
            "loader": self.loader_state,
            "unread_steps": self._steps,
            "tokens": self.tokens,
        }

    def restore(self, path: Path, step: int, state: dict[str, Any]) -> None:
        """Be as the trainer was that wrote this checkpoint.

        Raises:
            ArtifactError: it belongs to another run or is damaged.
        """
        self._load_weights(path)
        try:
            tensors = load_file(path / TENSORS)
            self.optimizers.load(tensors)
            self._ema = tensors["loop/ema"].to(self.device)
            self._losses = tensors["loop/losses"].to(self.device)
            _restore_random_states(tensors, self.ranks.rank)
            self.loader.load_state(state["loader"])
            self._steps = int(state["unread_steps"])
            self.tokens = int(state.get("tokens", step * self.config.tokens_per_step))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, ArtifactError):
                raise
            raise ArtifactError(Problem(str(path), f"cannot be resumed from: {error}")) from None
        self.step = step
        # Whatever was begun since is forgotten.
        self.optimizers.zero_grad()
        self._passes, self._loss = 0, self._zero()
        self._failure.zero_()
        self.loader_state = dict(self.loader.state)
        self.epoch = self.loader.epoch_progress


def placed(model: Transformer, device: torch.device) -> Transformer:
    """A model to sample from, in the number format of its products: on the device, or in the host's
    memory where the device has no room for all of what others have parts of."""
    model.to(model.dtype)
    try:
        return model.to(device)
    except torch.OutOfMemoryError:
        # Slower, but no run ends for a sample.
        return model.to("cpu")


def _copied(tensors: Mapping[str, Tensor], *, keep: bool = True) -> dict[str, Tensor]:
    """Copies in the host's memory, if they are to be kept. Those of which others have a part are
    put together one after the other: a device never holds more than one whole tensor."""
    copies = {}
    for name, tensor in tensors.items():
        found = whole(tensor.detach())
        if keep:
            copies[name] = found.to("cpu", copy=True).contiguous()
    return copies


def _random_states(device: torch.device) -> dict[str, Tensor]:
    """Where the generators of this device and of the CPU are."""
    states = {"random/cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["random/cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["random/mps"] = torch.mps.get_rng_state()
    return states


def _of_rank(key: str, rank: int) -> str:
    return f"{key}/{rank}" if rank else key


def _restore_random_states(tensors: dict[str, Tensor], rank: int) -> None:
    """Those of this process; without any, where there were fewer, they stay as they are."""
    states = {key: tensors.get(_of_rank(f"random/{key}", rank)) for key in ("cpu", "cuda", "mps")}
    if (state := states["cpu"]) is not None:
        torch.set_rng_state(state)
    if (state := states["cuda"]) is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state)
    if (state := states["mps"]) is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state)
