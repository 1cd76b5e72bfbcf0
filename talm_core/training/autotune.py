"""The fastest way to compute a run on the machine at hand, found by trying.

Each candidate computes a few micro-batches of the run's own shape on random tokens. One thing is
changed at a time, in the order in which they matter: dtype, attention, sequences of a micro-batch,
compiler; the fastest so far is kept. The tokens of a step stay the same whatever is chosen.

What was found is remembered in the workspace for this machine, shape and version of torch
(`measured`). A run keeps its choice in its checkpoints, and so do two runs with the same settings
on one machine: the second takes what the first found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.runtime.events import Event, Progress, Tried, Tuned
from talm_core.training.config import ModelTrainingConfig
from talm_core.training.device import (
    Machine,
    computes_bf16,
    largest_divisor,
    peak_flops,
    prepare,
    set_attention,
)
from talm_core.training.estimate import Plan
from talm_core.training.oom import is_out_of_memory
from talm_core.training.optim import Optimizers
from talm_core.training.throughput import Choice, key_of, recall, remember

# A run that takes less than this, at the speed to be expected, is not worth the search.
_WORTHWHILE_SECONDS = 600.0
# Shares of a device's peak that training usually reaches.
_USUAL_SHARE = 0.4
# Passes of a candidate: at least two, and as many as fit into this many seconds.
_TRIAL_SECONDS, _LEAST_TIMES = 0.5, 2
# Tokens of the smallest micro-batch that is tried.
_CPU_TOKENS, _DEVICE_TOKENS = 1_024, 4_096
# How much faster something must be to be taken: less could be chance.
_CLEARLY = 1.02
_ATTENTION = {"cpu": ("auto", "math"), "cuda": ("cudnn", "efficient"), "mps": ()}


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate and how many tokens a second whole steps of it would compute, the optimizer's
    part included; None and why where it could not."""

    machine: Machine
    tokens_per_second: float | None
    note: str = ""


def tune(
    config: ModelTrainingConfig,
    plan: Plan,
    shape: ModelConfig,
    start: Machine,
    root: Path,
    say: Callable[[Event], None],
    *,
    processes: int = 1,
) -> Machine:
    """The machine a run should compute on: what was found before for `root`'s workspace, else the
    fastest of all candidates, each said as it is measured; `start` where the run is too short.

    Of several `processes` the first asks for all: it measures its own part of a step while the
    others wait, without what they will have to tell each other.
    """
    if not worthwhile(config, plan, start, processes=processes):
        return start
    began = time.monotonic()
    key = key_of(config, shape.vocab_size, processes=processes)
    found = recalled(root, key, start.device)
    remembered = found is not None
    if found is None:
        say(Progress(phase="tuning", done=0))
        trials = []
        for trial in search(config, shape, start, processes=processes):
            trials.append(trial)
            speed, note = trial.tokens_per_second, trial.note
            say(Tried(**_choice(trial.machine), tokens_per_second=speed, note=note))
        found = best(trials, start)
        speed = next((t.tokens_per_second for t in trials if t.machine == found), None)
        # What several reach together was not measured.
        remember(root, key, Choice(asdict(found), speed if processes == 1 else None))
    prepare(found)
    say(Tuned(**_choice(found), seconds=time.monotonic() - began, remembered=remembered))
    return found


def recalled(root: Path, key: str, device: str) -> Machine | None:
    """The machine that was found before, if there is one and it is of this device."""
    choice = recall(root, key)
    if choice is None:
        return None
    try:
        found = Machine(**choice.machine)
    except TypeError:
        # Of another version, with other fields.
        return None
    return found if found.device == device else None


def _choice(machine: Machine) -> dict[str, Any]:
    return {
        "precision": machine.precision,
        "attention": machine.attention,
        "batch_size": machine.batch_size,
        "compiled": machine.compiled,
    }


def worthwhile(
    config: ModelTrainingConfig, plan: Plan, machine: Machine, *, processes: int = 1
) -> bool:
    """Whether a run should be tuned: as the setting says, by default where the run is long enough
    to gain by it."""
    if config.autotune != "auto":
        return config.autotune == "on"
    fastest = _USUAL_SHARE * peak_flops(machine) * processes
    seconds = plan.tokens * plan.flops_per_token / fastest
    if config.minutes is not None:
        seconds = min(seconds, 60 * config.minutes)
    return seconds >= _WORTHWHILE_SECONDS


def search(
    config: ModelTrainingConfig, shape: ModelConfig, start: Machine, *, processes: int = 1
) -> Iterator[Trial]:
    """Every candidate as it was measured, `start` first; the fastest is `best` of them all."""
    sequences = config.sequences_per_step // processes
    bench = _Bench(config, shape, start, sequences)
    size = largest_divisor(sequences, config.batch_size)
    best = bench.measure(replace(start, batch_size=size, compiled=False))
    yield best
    for trial in _dtypes(config, bench, best.machine):
        yield trial
        best = _better(best, trial)
    for kind in _ATTENTION[start.device]:
        if kind != start.attention:
            trial = bench.measure(replace(best.machine, attention=kind))
            yield trial
            best = _better(best, trial)
    for trial in _batch_sizes(bench, best, sequences, config.context_len):
        yield trial
        best = _better(best, trial)
    if config.compile == "auto":
        yield bench.measure(replace(best.machine, compiled=True))


def best(trials: list[Trial], start: Machine) -> Machine:
    """The fastest candidate, compiled where that was asked for; `start` where none could be
    computed."""
    fastest = trials[0]
    for trial in trials[1:]:
        fastest = _better(fastest, trial)
    if fastest.tokens_per_second is None:
        return start
    return replace(fastest.machine, compiled=fastest.machine.compiled or start.compiled)


def _better(first: Trial, second: Trial) -> Trial:
    if second.tokens_per_second is None:
        return first
    if first.tokens_per_second is None:
        return second
    return second if second.tokens_per_second > _CLEARLY * first.tokens_per_second else first


def _dtypes(config: ModelTrainingConfig, bench: _Bench, machine: Machine) -> Iterator[Trial]:
    if config.precision == "auto" and computes_bf16(machine.device):
        other = "fp32" if machine.precision == "bf16" else "bf16"
        yield bench.measure(replace(machine, precision=other))


def _batch_sizes(bench: _Bench, best: Trial, sequences: int, context: int) -> Iterator[Trial]:
    """Passes from small to large, doubled until memory or speed stops it."""
    least = _CPU_TOKENS if best.machine.device == "cpu" else _DEVICE_TOKENS
    top = 0.0
    for size in doubled(sequences, max(1, least // context)):
        if size == best.machine.batch_size:
            speed = best.tokens_per_second
        else:
            trial = bench.measure(replace(best.machine, batch_size=size))
            yield trial
            speed = trial.tokens_per_second
        if speed is None or speed < 0.9 * top:
            return
        top = max(top, speed)


def doubled(sequences: int, least: int) -> list[int]:
    """Sizes of a micro-batch that divide `sequences`, each about twice the one before, from
    about `least` on."""
    divisors = [size for size in range(1, sequences + 1) if sequences % size == 0]
    found: list[int] = []
    for size in divisors:
        if size >= min(least, sequences) and (not found or size >= 2 * found[-1]):
            found.append(size)
    return found


class _Bench:
    """Computes micro-batches of a run's shape, one candidate after the other, on one set of
    weights."""

    def __init__(
        self, config: ModelTrainingConfig, shape: ModelConfig, machine: Machine, sequences: int
    ) -> None:
        self._context = config.context_len
        self._sequences = sequences
        self._device = torch.device(machine.device)
        self._attention = machine.attention
        self._model = Transformer(shape, dtype=machine.dtype, dropout=config.dropout)
        self._model.initialise(config.seed)
        self._model.to(self._device)
        # Kept, for its memory is in the way of large micro-batches as it is in a run.
        self._optimizers = Optimizers(self._model, config, muon_dtype=machine.muon_dtype)
        self._update: float | None = None

    def measure(self, machine: Machine) -> Trial:
        """A candidate's speed. Nothing of it stays but the memory the compiler keeps."""
        model = self._model
        model.dtype = machine.dtype
        set_attention(machine.attention)
        hidden = model.hidden
        shape = (machine.batch_size, self._context)
        generator = torch.Generator().manual_seed(1)
        vocabulary = model.config.vocab_size
        tokens = torch.randint(vocabulary, shape, generator=generator).to(self._device)

        def micro_batch() -> None:
            torch.autograd.backward(model.loss_of(hidden(tokens), tokens))
            # What is asked for must have been computed.
            self._wait(model.norm.grad)

        try:
            if machine.compiled:
                hidden = torch.compile(hidden)
            micro_batches = self._sequences / machine.batch_size
            step = micro_batches * self._seconds(micro_batch) + self._update_seconds()
            return Trial(machine, self._sequences * self._context / step)
        except (RuntimeError, MemoryError, OSError, ImportError) as error:
            why = "not enough memory" if is_out_of_memory(error) else _first_line(error)
            return Trial(machine, None, why)
        finally:
            set_attention(self._attention)
            model.zero_grad(set_to_none=True)
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _seconds(self, micro_batch: Any) -> float:
        """Seconds of the fastest one: whatever else the machine does only makes one slower."""
        micro_batch()
        fastest, spent, times = float("inf"), 0.0, 0
        while times < _LEAST_TIMES or spent < _TRIAL_SECONDS:
            began = time.perf_counter()
            micro_batch()
            taken = time.perf_counter() - began
            fastest, spent, times = min(fastest, taken), spent + taken, times + 1
        return fastest

    def _update_seconds(self) -> float:
        """Seconds of an optimizer step, the same for all candidates. Needs gradients."""
        if self._update is None:

            def update() -> None:
                # At a rate of zero everything is computed and nothing changed.
                self._optimizers.step(0.0)
                self._wait(self._model.norm)

            update()
            began = time.perf_counter()
            update()
            self._update = time.perf_counter() - began
        return self._update

    @staticmethod
    def _wait(value: Tensor | None) -> None:
        assert value is not None
        value.sum().item()


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
