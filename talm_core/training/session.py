"""What a run has before it has a model, and how it ends. Loads no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from talm_core.errors import TalmError
from talm_core.runtime.context import JobContext, StopRequested
from talm_core.training.checkpoint import Found
from talm_core.training.checkpointer import CheckpointWriter
from talm_core.training.config import TrainingConfig
from talm_core.training.control import Control, RankSync
from talm_core.training.lr_schedule import LRSchedule
from talm_core.training.throughput import Clock, Throughput
from talm_core.training.train_state import TrainState

if TYPE_CHECKING:
    from talm_core.training.distributed import World


class Ends(Protocol):
    """A loop, as it is ended."""

    def stop(self) -> None: ...

    def save_silently(self) -> None: ...

    def report_last(self) -> None: ...


class Session:
    """Where a run stands, its clock, whom it talks to, and the other processes."""

    def __init__(
        self,
        context: JobContext,
        config: TrainingConfig,
        directory: Path,
        found: Found,
        world: World | None,
    ) -> None:
        """`found` is the checkpoint it goes on from; `world` is None until processes have met."""
        self.config = config
        self.directory = directory
        self.found = found
        self.schedule = LRSchedule.of(config)
        self.train_state = TrainState.of(found.state, config)
        self.clock = Clock(float(found.state.get("elapsed", 0.0)))
        if found.path and self.schedule.progress(found.step, self.clock.now()) >= 1:
            self.train_state.end_at(found.step, config)
        # Only the first of several processes talks, hears and saves.
        self.sync = RankSync(self.clock, world)
        self.throughput = Throughput(
            self.clock,
            first_step=found.step,
            max_steps=config.max_steps,
            seconds=self.schedule.seconds,
            every={
                "evaluate": self.train_state.eval_every,
                "sample": config.sample_every,
                "checkpoint": config.checkpoint_every,
            },
        )
        self.control = Control(context, config, self.train_state, self.sync, self.throughput)
        # What there is to save, and what writes it: none before they are set up.
        self.loop: Ends | None = None
        self.writer: CheckpointWriter | None = None

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Save what a stop or an error in the block would lose, and leave the other processes."""
        in_order = False
        try:
            yield
            in_order = True
        except StopRequested as stop:
            if self.loop is not None and stop.heard:
                self.loop.stop()
            elif self.loop is not None:
                self.loop.save_silently()
            in_order = True
            raise
        except TalmError:
            self._report_last()
            raise
        except RuntimeError as error:
            lost = self.sync.lost(error)
            if lost is None:
                raise
            self._report_last()
            self.control.stop_if_asked(str(lost))
            raise lost from None
        finally:
            if self.writer is not None:
                self.writer.close()
            self.sync.close(failed=not in_order)

    def _report_last(self) -> None:
        """Say what was written meanwhile; nothing that stands in the way hides why the run ends."""
        if self.loop is not None:
            with contextlib.suppress(TalmError, StopRequested):
                self.loop.report_last()
