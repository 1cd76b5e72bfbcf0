"""Model, optimizer and data of one run: everything that changes with a step, and nothing that
talks about it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from talm_core.errors import ArtifactError, NonFiniteError, Problem, RunError
from talm_core.model import hf
from talm_core.model.transformer import Transformer
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training.config import TrainingConfig
from talm_core.training.device import Machine, largest_divisor
from talm_core.training.distributed import World
from talm_core.training.optim import Optimizers
from talm_core.training.parallel import (
    Gradients,
    Loss,
    full_parameters,
    full_tensor,
    shard_like,
    wrap_ddp,
    wrap_fsdp,
)
from talm_core.training.snapshot import (
    TENSORS,
    Snapshot,
    copied,
    of_rank,
    placed,
    random_states,
    restore_random_states,
)
from talm_core.training.task import Forward, Task

EMA_DECAY = 0.98


@dataclass(frozen=True, slots=True)
class Readings:
    """What the device was asked for: the mean loss of `steps` steps, the debiased moving average
    of the loss over all, the newest gradient norm before clipping."""

    steps: int
    loss: float
    loss_ema: float
    grad_norm: float


class Trainer:
    """Takes optimizer steps. Numbers stay on the device until `read` asks for them."""

    def __init__(
        self,
        config: TrainingConfig,
        machine: Machine,
        task: Task[Any],
        world: World | None = None,
    ) -> None:
        self.config = config
        self.machine = machine
        self.task = task
        self.world = world or World()
        self.sharded = not self.world.is_single and config.parallel == "fsdp"
        self.device = torch.device(machine.device)
        # What dropout leaves out is another part on each process.
        torch.manual_seed(config.seed + self.world.rank)
        self.model = task.model(machine)
        self.model.to(self.device)
        self._hidden = self.model.hidden
        self._loss_of, self._gradients = self._spread()
        self.optimizers = Optimizers(self.model, config, muon_dtype=machine.muon_dtype)
        # Sequences of a micro-batch, and micro-batches of a step, here: the device's memory
        # decides how a step is divided.
        sequences = config.sequences_per_step // self.world.size
        self.batch_size = largest_divisor(sequences, machine.batch_size or config.batch_size)
        self.micro_batches = sequences // self.batch_size
        self.loader = task.batches(self.device, self.batch_size, self.world)
        # Of the step in progress: those read already, all its targets, those done, and its loss.
        self._read: deque[Any] = deque()
        self._targets = 0
        self._done = 0
        self._loss = self._zero()
        self.step = self.tokens = 0
        self._begin_step()
        self._losses = self._zero()  # sum over the steps since the last reading
        self._steps = 0
        self._ema = self._zero()
        self._norm = self._zero()
        # Step, loss, rate and norm of the first step that must not be taken; step 0: none.
        self._failure = torch.zeros(4, device=self.device)

    def _begin_step(self) -> None:
        """Note where loader and random generators are before a step: what a checkpoint needs, which
        may be asked for in the middle of one."""
        self.loader_state = dict(self.loader.state)
        self.epoch = self.loader.epoch_progress
        self._random = random_states(self.device)

    def _zero(self) -> Tensor:
        return torch.zeros((), device=self.device)

    def begin_with(self, path: Path) -> None:
        """Take the weights of a checkpoint of the same shape; everything else begins anew.

        Raises:
            ArtifactError: the weights are missing, damaged or of another shape.
        """
        self._load_weights(path)

    def _load_weights(self, path: Path) -> None:
        def part(tensor: Tensor, like: Tensor) -> Tensor:
            return shard_like(tensor.to(self.device), like)

        named: dict[str, Tensor] = dict(self.model.named_parameters())
        hf.load_weights(named, path / hf.WEIGHTS, part=part if self.sharded else None)

    def _spread(self) -> tuple[Loss, Gradients]:
        """Spread the model over all processes; how the loss of a micro-batch is computed, and what
        surrounds a micro-batch."""
        if self.world.is_single:
            return self._own_loss, lambda _: nullcontext()
        if self.sharded:
            return self._own_loss, wrap_fsdp(self.model, self.world.size)
        return wrap_ddp(self.model, self._own_loss)

    def _own_loss(self, batch: Any) -> Tensor:
        return self.task.loss(Forward(self.model, self._hidden, self._loss_of_tokens), batch)

    def _loss_of_tokens(self, tokens: Tensor, targets: Tensor) -> Tensor:
        if self.sharded:
            # The parts are put together for this method of the whole model.
            return self.model.loss(tokens, targets)
        return self.model.loss_of(self._hidden(tokens), targets)

    @property
    def _asynchronous(self) -> bool:
        """Whether a step that must not be taken is skipped on the device, for asking whether it
        is would make the device wait. Parts of tensors cannot be skipped there."""
        return self.device.type == "cuda" and not self.sharded

    def compile(self) -> str:
        """Compile the model and try it; returns why that failed, or nothing. Random generators are
        as before: where a run goes on, they stand where it was."""
        before = self._hidden
        if self.sharded:
            for block in self.model.blocks:
                block.compile()
        else:
            self._hidden = torch.compile(self.model.hidden)
        try:
            torch.autograd.backward(self._loss_of(self.loader.next_batch()))
            return ""
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, OSError, ImportError) as error:
            self._hidden = before
            for block in self.model.blocks:
                # `compile()` has put what failed in the place of the block's own forward.
                block._compiled_call_impl = None  # noqa: SLF001
            return str(error).strip().split("\n", 1)[0]
        finally:
            self._restart_step()

    def forward_backward(self) -> bool:
        """Forward and backward of the next micro-batch; returns whether it was the step's last."""
        batch = self._next_batch()
        targets = self.task.targets(batch)
        with self._gradients(self._done + 1 == self.micro_batches):
            loss = self._loss_of(batch)
            # Its share of the step. Ranks are averaged afterwards, hence times their number.
            share = targets * self.world.size
            loss = loss / (self._targets / share) if share else loss * 0.0
            torch.autograd.backward(loss)
        self._loss += loss.detach()
        self._done += 1
        return self._done == self.micro_batches

    def _next_batch(self) -> Any:
        """The next micro-batch; before a step's first, all its targets are counted."""
        if not self._done:
            if self.task.uniform:
                self._read.append(self.loader.next_batch())
                every = self.micro_batches * self.world.size
                self._targets = self.task.targets(self._read[0]) * every
            else:
                self._read.extend(self.loader.next_batch() for _ in range(self.micro_batches))
                counts = [float(self.task.targets(batch)) for batch in self._read]
                self._targets = int(self.world.sum([sum(counts)])[0])
        return self._read.popleft() if self._read else self.loader.next_batch()

    def _restart_step(self) -> None:
        """Forget what was done of a step; the next micro-batch is its first again."""
        self.optimizers.zero_grad()
        self.loader.load_state(self.loader_state)
        restore_random_states(self._random, 0)
        self._read.clear()
        self._done, self._loss = 0, self._zero()

    def shrink_micro_batch(self) -> None:
        """After running out of memory: smaller micro-batches, and more of them, from the beginning
        of the step in progress.

        Raises:
            RunError: a micro-batch is one sequence already.
        """
        if self.batch_size == 1:
            raise RunError(
                "there is too little memory even for passes of one window; try a smaller"
                " context_len, n_embd or n_layer"
            )
        divisor = next(d for d in range(2, self.batch_size + 1) if self.batch_size % d == 0)
        self.batch_size //= divisor
        self.micro_batches *= divisor
        self.machine = replace(self.machine, batch_size=self.batch_size)
        self._restart_step()
        self.loader.divide(self.batch_size)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def skip_to(self, step: int) -> None:
        """Go past the batches of all steps up to `step` without taking them."""
        self.loader.skip((step - self.step) * self.micro_batches)
        self._begin_step()

    def update(self, rate: float) -> None:
        """Take the optimizer step of the micro-batches so far.

        Raises:
            NonFiniteError: loss or gradient is not finite; the weights are as they were. On a
                device that works ahead, the step is skipped there and `read` raises.
        """
        self._loss = self.world.mean(self._loss)
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        if self.config.grad_clip:
            self._norm = nn.utils.clip_grad_norm_(parameters, self.config.grad_clip)
        else:
            self._norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        self._norm = full_tensor(self._norm)
        self.optimizers.step(rate, skip=self._refuse_non_finite(rate))
        self.optimizers.zero_grad()
        self._losses += self._loss
        self._ema.lerp_(self._loss, 1 - EMA_DECAY)
        self._loss = self._zero()
        self._steps += 1
        self.step += 1
        self.tokens += self.config.tokens_per_step
        self._done = 0
        self._begin_step()

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
        for key, state in self._random.items():
            of_all = self.world.all_gather(state)
            tensors |= {of_rank(key, rank): each for rank, each in enumerate(of_all)}
        training = copied(tensors, keep=self.world.is_main)
        parameters = self._whole_parameters()
        if not self.world.is_main:
            return None
        return Snapshot(copied(parameters), training, self.model.config, vocabulary)

    def _whole_parameters(self) -> Mapping[str, Tensor]:
        if not self.sharded:
            return dict(self.model.named_parameters())
        return full_parameters(self.model)

    def whole_model(self) -> Transformer | None:
        """The model to sample from; None on processes that do not, which must ask nevertheless."""
        if not self.sharded:
            return self.model if self.world.is_main else None
        parameters = self._whole_parameters()
        if not self.world.is_main:
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
            restore_random_states(tensors, self.world.rank)
            self.loader.load_state(state["loader"])
            self._steps = int(state["unread_steps"])
            self.tokens = int(state.get("tokens", step * self.config.tokens_per_step))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, ArtifactError):
                raise
            raise ArtifactError(Problem(str(path), f"cannot be resumed from: {error}")) from None
        self.step = step
        self._failure.zero_()
        self._begin_step()
        # Whatever was begun since is forgotten.
        self._restart_step()
