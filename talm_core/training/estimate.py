"""What a run is going to be, worked out before it starts and without torch.

Every number has its reason beside it, so that a form can show the consequences of a setting while
it is being typed.
"""

from __future__ import annotations

from dataclasses import dataclass

from talm_core.data.manifest import Manifest
from talm_core.model.config import ArchitectureConfig
from talm_core.system.hardware import Room
from talm_core.training.config import ModelTrainingConfig, TrainingConfig

_FLOAT = 4  # bytes; weights, gradients and optimizer state are fp32
_CHECKPOINT_TEXTS = 2_000_000  # tokenizer files and configurations
# A process with torch in it that has taken one tiny step: measured on Linux, torch 2.13 for CPU.
_PROCESS = 340_000_000
# Elements of logits that are alive at once on a CPU and elsewhere: `talm_core.model.operators`.
CPU_LOGITS = 2 * 1024 * 1024
DEVICE_LOGITS = 256 * 1024 * 1024
# Below this width the products are so small that converting what goes in and out costs more than
# bf16 saves, even on CPUs that have units for it.
_NARROWEST_BF16 = 256
# What the allocator holds for each byte of a micro-batch's tensors: they come in many sizes, and
# what one leaves is not always what the next one needs. Measured on the presets
# (benchmarks/memory.py).
_HELD = 1.2


@dataclass(frozen=True, slots=True)
class Parameters:
    """How many numbers are learned, by part."""

    embedding: int
    attention: int
    feed_forward: int
    norms: int
    output: int

    @property
    def total(self) -> int:
        return self.embedding + self.attention + self.feed_forward + self.norms + self.output


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes a training process needs at most, by part. Activations are what they take beyond the
    gradients: where one micro-batch makes a step, each layer's give way to its gradients.
    `snapshot` is the copy of a checkpoint that is being written, `process` what there is before a
    model; both are the host's. There are `processes` of them; only the first has a snapshot."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    snapshot: int
    process: int
    processes: int = 1

    @property
    def on_device(self) -> int:
        """What lies on an accelerator, where there is one for each process."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits

    @property
    def total(self) -> int:
        """All of it, as CPUs alone need it."""
        return self.processes * (self.on_device + self.process) + self.snapshot


@dataclass(frozen=True, slots=True)
class Computing:
    """What a plan counts with: the device (`cpu`, `cuda`, `mps`) and the dtype of its products."""

    device: str = "cpu"
    precision: str = "fp32"

    @classmethod
    def of(cls, config: ModelTrainingConfig, room: Room) -> Computing:
        """What a run with these settings computes on and in, where there is this."""
        return cls(room.device, precision_of(config, room.device, bf16=room.bf16))


def precision_of(config: ModelTrainingConfig, device: str, *, bf16: bool) -> str:
    """The dtype of a run's products, `fp32` or `bf16`. `auto` becomes bf16 where it gains: on CUDA
    devices with units for it, on CPUs with tiles of it in models that are wide enough."""
    if config.precision != "auto":
        return config.precision
    wide = device == "cuda" or (device == "cpu" and config.n_embd >= _NARROWEST_BF16)
    return "bf16" if bf16 and wide else "fp32"


@dataclass(frozen=True, slots=True)
class Plan:
    """A run in numbers. `epochs` and what depends on it is None without a dataset."""

    computing: Computing
    vocab_size: int
    parameters: Parameters
    flops_per_token: float
    memory: Memory
    tokens_per_step: int
    tokens: int
    epochs: float | None
    tokens_per_parameter: float
    checkpoint_bytes: int
    disk_bytes: int


def plan(
    config: ModelTrainingConfig,
    manifest: Manifest | None,
    vocab_size: int,
    room: Room | None = None,
) -> Plan:
    """The plan of a run on a dataset (None: not chosen yet) with a vocabulary of this size, on a
    machine with this room (None: a CPU without units for bf16)."""
    computing = Computing.of(config, room or Room())
    parameters = count_parameters(config, vocab_size)
    tokens = config.tokens_per_step * config.max_steps
    optimizer = _optimizer_bytes(config, parameters)
    checkpoint_bytes = _FLOAT * parameters.total + optimizer + _CHECKPOINT_TEXTS
    return Plan(
        computing=computing,
        vocab_size=vocab_size,
        parameters=parameters,
        flops_per_token=flops_per_token(config, parameters),
        memory=_memory(config, parameters, vocab_size, computing),
        tokens_per_step=config.tokens_per_step,
        tokens=tokens,
        epochs=None if manifest is None else tokens / max(1, manifest.train_tokens),
        tokens_per_parameter=tokens / parameters.total,
        checkpoint_bytes=checkpoint_bytes,
        # The best one, too, with wsd that before the fall, and one more: a new one is complete
        # before an old one goes.
        disk_bytes=checkpoint_bytes * (config.keep_checkpoints + 2 + (config.lr_schedule == "wsd")),
    )


def count_parameters(config: ArchitectureConfig, vocab_size: int) -> Parameters:
    """The model's parameters by part; shapes as in `talm_core.model.transformer`."""
    c, layers = config.n_embd, config.n_layer
    head = c // config.n_head
    return Parameters(
        embedding=vocab_size * c,
        # queries and output: c x c each; keys and values: one c x head for each of their heads.
        attention=layers * (2 * c * c + 2 * c * head * config.kv_heads),
        feed_forward=layers * 3 * c * config.hidden,
        norms=(2 * layers + 1) * c,
        output=0 if config.tie_embeddings else vocab_size * c,
    )


def flops_per_token(config: ModelTrainingConfig, parameters: Parameters) -> float:
    """Floating-point operations to train on one token: two for each weight of a product in the
    forward and four in the backward, and attention's products over the whole context, which
    is how the usual figures of utilisation count (Chowdhery et al. 2022, appendix B,
    https://arxiv.org/abs/2204.02311)."""
    head = parameters.output or parameters.embedding
    weights = parameters.attention + parameters.feed_forward + head
    attention = 12 * config.n_layer * config.n_embd * config.context_len
    return float(6 * weights + attention)


def tokens_at_once(config: TrainingConfig) -> int:
    """Tokens of a micro-batch of one process, which has its share of a step's sequences."""
    sequences = max(1, config.sequences_per_step // config.nproc)
    return min(config.batch_size, sequences) * config.context_len


def _optimizer_bytes(config: ModelTrainingConfig, parameters: Parameters) -> int:
    """AdamW keeps two moments of each parameter, Muon one of each matrix between layers."""
    numbers = 2 * parameters.total
    if config.optimizer == "muon":
        numbers -= parameters.attention + parameters.feed_forward
    return _FLOAT * numbers


def logits_bytes(tokens: int, vocab_size: int, computing: Computing) -> int:
    """What a block of rows of logits takes, as `talm_core.model.operators` divides them: fp32, and
    in bf16 the product they come from or the gradient they become beside it."""
    budget = CPU_LOGITS if computing.device == "cpu" else DEVICE_LOGITS
    rows = min(tokens, max(16, budget // vocab_size))
    return rows * vocab_size * (_FLOAT if computing.precision == "fp32" else _FLOAT + 2)


def _memory(
    config: ModelTrainingConfig, parameters: Parameters, vocab_size: int, computing: Computing
) -> Memory:
    weights = _FLOAT * parameters.total
    tokens = tokens_at_once(config)
    c, h, f = config.n_embd, config.n_head, config.hidden
    key = c // h * config.kv_heads
    size = 2 if computing.precision == "bf16" else _FLOAT
    # Kept for the backward, per token and layer: both normalised inputs, what attention was
    # given and gave, and the feed-forward layer's two halves and their product.
    per_layer = 2 * c + (c + 2 * key) + c + 3 * f
    if config.dropout:
        # What each of both additions was multiplied by; a byte a number on CUDA.
        per_layer += 2 * c
    # The widest moment of the backward holds as much as one layer again, and the last norm.
    kept = (config.n_layer + 1) * per_layer + 2 * c
    kept_bytes = size * _HELD * tokens * kept
    # The norms' gains are taken into the matrices that follow, and those are kept as well; of the
    # others what they are in bf16.
    matrices = c * (c + 2 * key) + 2 * c * f + (c * c + c * f if size < _FLOAT else 0)
    at_once = int(kept_bytes + size * config.n_layer * matrices)
    optimizer = _optimizer_bytes(config, parameters)
    here, gradients, state = weights, weights, optimizer
    if config.nproc > 1 and config.parallel == "fsdp":
        # A part of everything, and whole: the embedding, a layer and the next one that is put
        # together meanwhile, and a layer's gradient before it is shared out.
        layers = parameters.attention + parameters.feed_forward + parameters.norms
        layer = _FLOAT * layers // config.n_layer
        table = _FLOAT * (parameters.embedding + parameters.output)
        here = weights // config.nproc + 2 * layer + table
        gradients = weights // config.nproc + layer
        state = optimizer // config.nproc
    if tokens * config.nproc >= config.tokens_per_step:
        one_layer = size * tokens * per_layer
        at_once = max(at_once - gradients, int(one_layer))
    else:
        # Gradients lie between what comes and goes with each micro-batch.
        at_once += int((_HELD - 1) * gradients)
    return Memory(
        weights=here,
        gradients=gradients,
        optimizer=state,
        activations=at_once,
        # A few rows at a time. Where the backward begins, all that the layers keep is there, and
        # besides it three of the head's size: the gradient of the head with the last norm's gain
        # in it, what that gives for the head, and for the gain.
        logits=logits_bytes(tokens, vocab_size, computing) + 3 * _FLOAT * vocab_size * c,
        snapshot=weights + optimizer,
        process=_PROCESS,
        processes=config.nproc,
    )


def largest_batch(
    config: ModelTrainingConfig,
    vocab_size: int,
    available: int,
    *,
    on_device: bool = False,
    computing: Computing | None = None,
) -> int:
    """The largest batch_size whose plan fits into this many bytes, of an accelerator or of the
    host; 0: not even one window does. The tokens of a step stay out of it. `computing` is what
    the run computes on and in, None: as `plan` without a room."""
    computing = computing or Computing.of(config, Room())
    parameters = count_parameters(config, vocab_size)

    def fits(batch: int) -> bool:
        changed = config.model_copy(update={"batch_size": batch, "total_batch_size": None})
        need = _memory(changed, parameters, vocab_size, computing)
        return (need.on_device if on_device else need.total) <= available

    low, high = 0, config.batch_size
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
