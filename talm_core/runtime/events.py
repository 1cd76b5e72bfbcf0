"""What a job can say, and what can be said to a job.

A job says the frozen dataclasses below by its context. Each becomes one line of `events.jsonl` and
one line of `--json` output: `{"event": "Progress", "time": 1790000000.0, ...}`
with the fields as they stand here. Times are seconds since the epoch, durations seconds, memory
bytes, losses nats per token unless a name says otherwise.

A line from a newer talm may have an unknown event or extra keys: readers skip what they do not
know (`decode` returns None), so that an old screen can watch a new job.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from talm_core.system.memory import DeviceMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something a job said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """A process has begun to work. `resumed_from` is the step it goes on from: whatever the
    journal says about later steps was lost with the process before, and readers drop it.
    `settings` is the config of a job that can be resumed, so that one edited later is noticed."""

    job: str
    name: str
    pid: int = 0
    version: str = ""
    resumed_from: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Event):
    """A job made of several artifacts (quick start) goes on to the next one; `directory` is
    relative to the workspace."""

    kind: str
    name: str
    directory: str
    index: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """How far a phase is. `total` 0 means unknown; `rate` is `unit`s a second, `eta` seconds.

    `counts` says what there is so far, in the words of `COUNTS`: of a dataset its tokens, tokens a
    second, documents, bytes of text read and of shards written, complete shards, and how often
    something had to be fetched again.
    """

    phase: str
    done: int
    total: int = 0
    unit: str = ""
    rate: float | None = None
    eta: float | None = None
    note: str = ""
    counts: dict[str, int] = field(default_factory=dict)


COUNTS = (
    "tokens",
    "tokens_per_second",
    "documents",
    "bytes_in",
    "bytes_out",
    "shards",
    "retries",
)
"""The keys of `Progress.counts`, in the order in which they are told."""


def counted(progress: Progress) -> list[tuple[str, int]]:
    """What a progress counts and there is any of, as far as it is a number somebody can use: a
    journal may hold anything."""
    found = [(key, progress.counts.get(key)) for key in COUNTS]
    return [(key, n) for key, n in found if type(n) is int and 0 < n < 2**63]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged(Event):
    """The newest merges of a tokenizer in training, as readable text, oldest first.
    `bytes_per_token` is of the text it learns from, as it is tokenized by now."""

    vocab_size: int
    newest: list[str]
    bytes_per_token: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried(Event):
    """A way to compute the run was measured. `batch_size` is windows of one pass;
    `tokens_per_second` None: it could not be computed, `note` says why."""

    precision: str
    attention: str
    batch_size: int
    compiled: bool
    tokens_per_second: float | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned(Event):
    """The way that was chosen to compute the run; `remembered`: it was found by an earlier run."""

    precision: str
    attention: str
    batch_size: int
    compiled: bool
    seconds: float
    remembered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Event):
    """What the run is going to be, once, before the first step. `minutes` is its time limit."""

    parameters: int
    vocab_size: int
    device: str
    precision: str
    compiled: bool
    tokens_per_step: int
    max_steps: int
    train_tokens: int
    val_tokens: int
    flops_per_token: float
    minutes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics(Event):
    """Training measured over the steps since the last `Metrics`.

    `loss` is their mean, `loss_ema` the debiased moving average, `steps` how many there were;
    `tokens` counts all trained so far, `elapsed` the seconds of training so far (over resumes,
    without evaluation). `eta` is the seconds left including evaluation, None while warming up.
    `mfu` is a share of the device's peak, None where the peak is not known.
    """

    step: int
    max_steps: int
    steps: int
    tokens: int
    loss: float
    loss_ema: float
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    elapsed: float
    epoch: float
    mfu: float | None = None
    eta: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Event):
    """Numbers of a job's own at `step`, by their names, such as a reward: each is a curve. Losses
    and speeds of training are `Metrics`."""

    step: int
    values: dict[str, float]


def measured(event: Measured) -> Iterator[tuple[str, float]]:
    """What was measured, as far as it is a number: a journal may hold anything."""
    values: dict[str, Any] = dict(event.values)
    for name, value in values.items():
        known = type(value) is float or value in ("nan", "inf", "-inf")
        if known or (type(value) is int and abs(value) < 2**63):
            yield name, float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated(Event):
    """The validation loss at `step`: nats per token, and bits per raw UTF-8 byte."""

    step: int
    val_loss: float
    bits_per_byte: float
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled(Event):
    """A text the model wrote: `text` continues `prompt`."""

    step: int
    prompt: str
    text: str
    tokens: int = 0
    tokens_per_second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated(Event):
    """A piece of text while it is being sampled. `text` may be empty while a character's bytes
    are still incomplete. `probability` is the token's before temperature and cuts."""

    token: int
    text: str
    probability: float
    alternatives: list[tuple[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpointed(Event):
    """A complete checkpoint lies in `directory`, relative to the artifact."""

    step: int
    directory: str
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry(Event):
    """Memory and load at a moment, at most once a second. `process_memory` is the job's own
    resident memory, `cpu` the share of all cores that is busy."""

    process_memory: int
    host_used: int
    host_total: int
    cpu: float
    devices: list[DeviceMemory]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack(Event):
    """The run went back to `step`, because of what `failed_step` gave, and goes on with what comes
    after that step's batches. Readers drop what was said about later steps than `step`."""

    step: int
    failed_step: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """Something the user should know. `level` is info, warning or error; `again` says once more
    what a notice before said, of the same thing that lasts."""

    message: str
    level: str = "info"
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused(Event):
    """The job waits; its memory stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaused(Event):
    """The job goes on after a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Event):
    """The job ended because it was asked to; what it had is saved and it can be resumed."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """The job ended by an error. `message` is for people; `log.txt` has the rest. `kept` tells that
    it was refused, and that the finished artifact it was to go on with is as good as before."""

    message: str
    kind: str = ""
    kept: bool = False


def done(event: Event | None) -> bool:
    """Whether an artifact is complete whose last event this is."""
    return isinstance(event, Finished) or (isinstance(event, Failed) and event.kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """The job did what it was asked. `summary` holds its few numbers worth listing, among them
    `directory` (relative to the workspace)."""

    seconds: float
    summary: dict[str, Any]


ENDS = (Stopped, Failed, Finished)
"""After one of these nothing more comes from the same process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something said to a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Command):
    """Wait after the current step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpause(Command):
    """Go on after a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(Command):
    """Save and end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Command):
    """Write a checkpoint now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Command):
    """Write a sample now; an empty prompt means the configured one."""

    prompt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateEvery(Command):
    """Evaluate whenever this many steps are done from now on; 0 only at the end."""

    steps: int


@dataclass(frozen=True, slots=True)
class Record:
    """An event and when it was said (seconds since the epoch). Where several texts are sampled at
    once, `lane` is the one it is about."""

    time: float
    event: Event
    lane: int = 0
