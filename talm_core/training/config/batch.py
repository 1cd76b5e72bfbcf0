"""The settings of a batch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from talm_core.errors import Problem
from talm_core.model.config import ContextConfig
from talm_core.settings.schema import Setting


class BatchConfig(ContextConfig):
    """The batch of one optimizer step, and the micro-batches it is computed in."""

    batch_size: Annotated[
        int,
        Field(ge=1, le=65_536),
        Setting(
            "Training",
            "Windows of context_len in one forward and backward pass.",
            more="Larger uses more memory for activations.",
        ),
    ] = 8
    grad_accum_steps: Annotated[
        int,
        Field(ge=1, le=65_536),
        Setting(
            "Training",
            "Passes added up before each optimizer step.",
            more="One step sees batch_size x grad_accum_steps x context_len tokens, unless"
            " total_batch_size says how many.",
            advanced=True,
        ),
    ] = 1
    total_batch_size: Annotated[
        int | None,
        Field(ge=2, le=1_000_000_000),
        Setting(
            "Training",
            "Tokens of one optimizer step; none means batch_size x grad_accum_steps x context_len.",
            unit="tokens",
            more="A multiple of batch_size x context_len. It decides what is learned; batch_size"
            " then only decides how much memory that takes.",
            advanced=True,
        ),
    ] = None

    @property
    def tokens_per_micro_batch(self) -> int:
        return self.batch_size * self.context_len

    @property
    def micro_batches(self) -> int:
        """Micro-batches of one optimizer step, on one device."""
        if self.total_batch_size is None:
            return self.grad_accum_steps
        return self.total_batch_size // self.tokens_per_micro_batch

    @property
    def sequences_per_step(self) -> int:
        return self.micro_batches * self.batch_size

    @property
    def tokens_per_step(self) -> int:
        return self.micro_batches * self.tokens_per_micro_batch

    def batch_problems(self) -> list[Problem]:
        """What is wrong between these settings."""
        total, one = self.total_batch_size, self.tokens_per_micro_batch
        if total is None:
            return []
        if total % one:
            low, high = total // one * one, (total // one + 1) * one
            return [
                Problem(
                    "total_batch_size",
                    f"must be a multiple of batch_size x context_len ({one:,} tokens)",
                    total,
                    f"{low} or {high}" if low else str(high),
                )
            ]
        if self.grad_accum_steps not in (1, self.micro_batches):
            message = f"total_batch_size makes it {self.micro_batches}"
            hint = "leave one of the two out"
            return [Problem("grad_accum_steps", message, self.grad_accum_steps, hint)]
        return []
