"""Where a run stands beside its weights: what is due at this step, and what is known so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from talm_core.training.config import TrainingConfig

DATA = "data"  # the key in a checkpoint's state of what a run learns from
EVALUATIONS = ("evaluate", "sample")  # what is due after a step's checkpoint

Due = list[tuple[str, str]]  # what is still to be done at a step, and a sample's prompt


@dataclass(slots=True)
class TrainState:
    """What a checkpoint's state says of a run."""

    eval_every: int
    due: Due = field(default_factory=list)
    over: bool = False
    evaluated: dict[str, float] = field(default_factory=dict)
    evaluated_step: int = 0
    rate: float = 0.0
    rollbacks: int = 0
    # What it learns from; kept with every checkpoint.
    data: dict[str, Any] | None = None

    @classmethod
    def of(cls, state: Mapping[str, Any], config: TrainingConfig) -> TrainState:
        """Where a checkpoint's state says; at the beginning where it is empty."""
        train_state = cls(_interval_of(config, state))
        train_state.load(state)
        return train_state

    def load(self, state: Mapping[str, Any]) -> None:
        """Be where a checkpoint's state says; how often to evaluate stays as it is."""
        self.due = [(str(kind), str(prompt)) for kind, prompt in state.get("due", ())]
        self.over = bool(state.get("over", False))
        self.evaluated = dict(state.get("evaluated", {}))
        self.evaluated_step = int(state.get("evaluated_step", 0))
        self.rate = float(state.get("rate", 0.0))
        self.rollbacks = int(state.get("rollbacks", 0))

    @property
    def progress(self) -> dict[str, Any]:
        """What may still change after the checkpoint of a step was written."""
        return {
            "due": [list(item) for item in self.due if item[0] in EVALUATIONS],
            "over": self.over,
            "evaluated": self.evaluated,
            "evaluated_step": self.evaluated_step,
            **({} if self.data is None else {DATA: self.data}),
        }

    def end_at(self, step: int, config: TrainingConfig) -> None:
        """End a run that has all its steps already: what is due at its last one, and no more."""
        if self.over:
            return
        self.over = True
        due = due_after(step, config, eval_every=self.eval_every, last=True, time_to_save=False)
        known = self.evaluated_step == step
        self.due = [item for item in due if not (known and item[0] == "evaluate")]


def due_after(
    step: int, config: TrainingConfig, *, eval_every: int, last: bool, time_to_save: bool
) -> Due:
    """What is to be done after a step, in order."""

    def every(count: int) -> bool:
        return last or (count > 0 and step % count == 0)

    evaluate = every(eval_every)
    due: Due = []
    # What is evaluated is kept: the evaluation may end the process, or show it to be the best.
    keeps = evaluate and config.checkpoint_every > 0
    if every(config.checkpoint_every) or time_to_save or keeps:
        due.append(("checkpoint", ""))
    if evaluate:
        due.append(("evaluate", ""))
    if every(config.sample_every):
        due += [("sample", prompt) for prompt in config.sample_prompts]
    return due


def _interval_of(config: TrainingConfig, state: Mapping[str, Any]) -> int:
    """Steps between evaluations: as was said to the run before, unless its config has been
    changed since."""
    configured, said = state.get("eval_every", (None, 0))
    return int(said) if configured == config.eval_every else config.eval_every
