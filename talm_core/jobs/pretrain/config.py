"""The settings of a training run: model, optimizer, schedule, loop."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from talm_core.errors import Problem
from talm_core.settings.name import Name
from talm_core.settings.schema import JobConfig, Setting


class PretrainConfig(JobConfig):
    """Train a transformer from random weights.

    Defaults are those of the preset `nano`.
    """

    kind: ClassVar[str] = "pretrain"
    title: ClassVar[str] = "Train a model"

    model_name: Annotated[
        Name,
        Setting(
            "Run",
            "Name of the model.",
            more="The run is shown under it, and its checkpoints lie in a directory of that name.",
            flags=("-n",),
        ),
    ]
    data_dir: Annotated[
        str,
        Field(min_length=1),
        Setting(
            "Run",
            "Dataset: a name in the workspace or a directory.",
            more="A model can be used only with the tokenizer its data was prepared with.",
            flags=("-d",),
            picks="dataset",
        ),
    ]
    tokenizer_path: Annotated[
        str | None,
        Setting(
            "Run",
            "Tokenizer; none means the one the dataset was made with.",
            flags=("-t",),
            picks="tokenizer",
            more="It must be the dataset's own: its identity is compared before the run starts.",
            advanced=True,
        ),
    ] = None
    seed: Annotated[
        int,
        Field(ge=0, lt=2**63),
        Setting(
            "Run",
            "Seed of weights, data order and samples.",
            flags=("-s",),
            more="The same seed, settings, machine and device give the same weights, bit for bit.",
        ),
    ] = 1337
    init_from: Annotated[
        str | None,
        Field(min_length=1),
        Setting(
            "Run",
            "Checkpoint whose weights the run begins with; none draws them from the seed.",
            more="A model's name for its newest checkpoint, `nano/checkpoint-000500` for a certain"
            " one, or a directory. Its shape and tokenizer must be the run's own; the optimizer and"
            " the data's order begin anew.",
            advanced=True,
        ),
    ] = None

    n_layer: Annotated[
        int,
        Field(ge=1, le=128),
        Setting(
            "Model",
            "Transformer blocks.",
            more="More is slower and learns more from the same tokens. Usual: 4 on a laptop, 12"
            " for 124 M.",
            shape=True,
        ),
    ] = 4
    n_head: Annotated[
        int,
        Field(ge=1, le=256),
        Setting(
            "Model",
            "Attention heads.",
            more="Each sees n_embd / n_head dimensions; 32 to 128 dimensions a head are usual.",
            shape=True,
        ),
    ] = 4
    n_kv_head: Annotated[
        int | None,
        Field(ge=1, le=256),
        Setting(
            "Model",
            "Key and value heads; none means n_head.",
            more="Fewer than n_head is grouped-query attention: less memory while sampling.",
            advanced=True,
            shape=True,
        ),
    ] = None
    n_embd: Annotated[
        int,
        Field(ge=2, le=32_768),
        Setting(
            "Model",
            "Width: dimensions of a token's vector.",
            more="A multiple of n_head that gives an even number of dimensions a head. Parameters"
            " grow with its square. Usual: 128 on a laptop, 768 for 124 M.",
            shape=True,
        ),
    ] = 128
    n_hidden: Annotated[
        int | None,
        Field(ge=1, le=262_144),
        Setting(
            "Model",
            "Width of the feed-forward layer; none means 8/3 n_embd, rounded up to 64.",
            more="Three matrices of n_embd x n_hidden in each layer: two thirds of what a layer "
            "costs.",
            advanced=True,
            shape=True,
        ),
    ] = None
    context_len: Annotated[
        int,
        Field(ge=2, le=1_048_576),
        Setting(
            "Model",
            "Longest text the model sees at once.",
            unit="tokens",
            more="Cost grows with its square in attention. Usual: 128 or 256 on a laptop, 1,024"
            " for 124 M.",
        ),
    ] = 128
    rope_theta: Annotated[
        float,
        Field(gt=1),
        Setting(
            "Model",
            "Base of the rotary position angles.",
            more="Usual: 10,000; 100,000 or more for contexts of many thousand tokens.",
            advanced=True,
        ),
    ] = 10_000.0
    tie_embeddings: Annotated[
        bool,
        Setting(
            "Model",
            "Share the token embedding with the output layer.",
            more="Saves vocabulary x n_embd parameters, which is most of a small model.",
            advanced=True,
            shape=True,
        ),
    ] = True

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
    max_steps: Annotated[
        int,
        Field(ge=1, le=100_000_000),
        Setting(
            "Training",
            "Optimizer steps of the whole run.",
            unit="steps",
            more="The learning rate reaches its end with the last of them.",
        ),
    ] = 700
    minutes: Annotated[
        float | None,
        Field(gt=0),
        Setting(
            "Training",
            "End after this much training time, if max_steps is not reached before.",
            unit="minutes",
            more="The learning rate falls with whichever of steps and time is further, so that it"
            " reaches its end either way. A run with a time limit is not repeatable bit for bit.",
        ),
    ] = None
    optimizer: Annotated[
        Literal["adamw", "muon"],
        Setting(
            "Training",
            "How the layers' matrices are moved.",
            more="muon learns more from each token and takes a tenth or two longer for a step of a"
            " small model. Embeddings and norms are moved by AdamW either way.",
            advanced=True,
            shape=True,
        ),
    ] = "muon"
    learning_rate: Annotated[
        float,
        Field(gt=0, le=10),
        Setting(
            "Training",
            "Highest learning rate.",
            more="Too high diverges, too low wastes tokens. Usual: 1e-2 for tiny models, 6e-4 for"
            " 124 M.",
        ),
    ] = 1e-2
    min_learning_rate: Annotated[
        float,
        Field(ge=0, le=10),
        Setting(
            "Training",
            "Learning rate at the end.",
            more="Usual: a tenth of learning_rate, or less.",
            advanced=True,
        ),
    ] = 1e-4
    warmup_steps: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Training",
            "Steps over which the learning rate rises from zero.",
            more="Usual: some hundred steps of a long run, a twentieth of a short one. Without it "
            "the first steps can diverge.",
            unit="steps",
            advanced=True,
        ),
    ] = 30
    lr_schedule: Annotated[
        Literal["cosine", "wsd"],
        Setting(
            "Training",
            "How the learning rate falls after the warm-up.",
            more="cosine falls all the way. wsd (warm-up, stable, decay) stays at the top and falls"
            " in a straight line over the last decay_ratio of the run.",
            advanced=True,
        ),
    ] = "cosine"
    decay_ratio: Annotated[
        float,
        Field(gt=0, le=1),
        Setting(
            "Training",
            "Share of the run, at its end, over which wsd lets the learning rate fall.",
            advanced=True,
        ),
    ] = 0.2
    weight_decay: Annotated[
        float,
        Field(ge=0, le=10),
        Setting(
            "Training",
            "AdamW's weight decay, on matrices only.",
            more="Usual: 0.1; 0.01 for short runs. More holds against learning by heart.",
            advanced=True,
        ),
    ] = 0.1
    dropout: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting(
            "Training",
            "Share of what each layer adds, and of the embedding, that is left out at random.",
            more="0.1 to 0.2 holds against learning by heart where a text is read many times, and "
            "wants more steps. Never in evaluations and samples.",
            advanced=True,
        ),
    ] = 0.0
    beta1: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting(
            "Training", "AdamW's decay of the gradient average.", more="Usual: 0.9.", advanced=True
        ),
    ] = 0.9
    beta2: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting(
            "Training",
            "AdamW's decay of the squared gradient average.",
            more="Usual: 0.95 for large batches, 0.98 to 0.99 for small ones, whose gradients are "
            "noisy.",
            advanced=True,
        ),
    ] = 0.98
    grad_clip: Annotated[
        float,
        Field(ge=0),
        Setting(
            "Training",
            "Largest gradient norm; 0 turns clipping off.",
            more="Usual: 1. It tames a single bad batch and costs next to nothing.",
            advanced=True,
        ),
    ] = 1.0

    non_finite: Annotated[
        Literal["stop", "rollback"],
        Setting(
            "Training",
            "What to do about a loss or gradient that is not finite.",
            more="That step is never taken. stop ends the run; rollback goes back to the last"
            " checkpoint and on with what comes after the batches that led there.",
            advanced=True,
            resume=True,
        ),
    ] = "stop"
    max_rollbacks: Annotated[
        int,
        Field(ge=1),
        Setting(
            "Training",
            "How often a run may go back before it ends after all.",
            advanced=True,
            resume=True,
        ),
    ] = 3

    eval_every: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Watching",
            "Steps between evaluations; 0 evaluates only at the end.",
            more="Each reads eval_tokens and costs as much as a third of that in training. Usual: "
            "20 to 50 in a run.",
            unit="steps",
            resume=True,
        ),
    ] = 150
    eval_tokens: Annotated[
        int,
        Field(ge=1),
        Setting(
            "Watching",
            "Validation tokens an evaluation reads, always the same ones.",
            more="More is less noisy and takes longer. The tokens are the same each time: a run "
            "compares with itself.",
            unit="tokens",
            advanced=True,
        ),
    ] = 65_536
    sample_every: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Watching",
            "Steps between text samples; 0 samples only at the end.",
            more="Each takes as many passes as sample_tokens says, of one position each.",
            unit="steps",
            resume=True,
        ),
    ] = 150
    sample_prompt: Annotated[
        tuple[str, ...],
        Setting(
            "Watching",
            "Texts that samples continue; none starts from an empty document.",
            more="What the text is like that the model learns from: def for Python, Once upon a "
            "time for stories.",
            resume=True,
        ),
    ] = ("def ",)
    sample_tokens: Annotated[
        int,
        Field(ge=1, le=100_000),
        Setting(
            "Watching",
            "Tokens in a sample.",
            more="A word of English is about 1.3 tokens of a large vocabulary, more of a small "
            "one.",
            unit="tokens",
            advanced=True,
            resume=True,
        ),
    ] = 96
    log_every: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Watching",
            "Steps between metrics; 0 means as often as is useful, at most ten a second.",
            more="A number makes the points of two runs stand at the same steps. Each point reads "
            "the loss from the device.",
            unit="steps",
            advanced=True,
            resume=True,
        ),
    ] = 0
    checkpoint_every: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Saving",
            "Steps between checkpoints; 0 saves by time, when stopped and at the end.",
            unit="steps",
            more="Written beside the training. Unless it is 0, there is one before each evaluation"
            " as well, so that the best model can be kept.",
            resume=True,
        ),
    ] = 250
    checkpoint_minutes: Annotated[
        float | None,
        Field(gt=0),
        Setting(
            "Saving",
            "Longest time between checkpoints; none saves by steps only.",
            unit="minutes",
            more="What a crash can cost at most.",
            advanced=True,
            resume=True,
        ),
    ] = 10.0
    keep_checkpoints: Annotated[
        int,
        Field(ge=2, le=100_000),
        Setting(
            "Saving",
            "Newest checkpoints to keep, besides the best one.",
            more="At least two, so that a damaged one never is the only one.",
            advanced=True,
            resume=True,
        ),
    ] = 3

    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Setting(
            "Machine",
            "Where to train; auto takes the fastest there is.",
            more="cuda: NVIDIA and AMD cards. mps: Apple's. cpu is always there.",
            advanced=True,
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Setting(
            "Machine",
            "Number format of the heavy products; weights stay fp32.",
            more="auto takes bf16 where the device computes it faster.",
            advanced=True,
        ),
    ] = "auto"
    compile: Annotated[
        Literal["auto", "on", "off"],
        Setting(
            "Machine",
            "Compile the model first.",
            more="Costs up to a minute once and makes every step faster. auto compiles on CUDA"
            " for runs long enough to gain from it.",
            advanced=True,
        ),
    ] = "auto"
    autotune: Annotated[
        Literal["auto", "on", "off"],
        Setting(
            "Machine",
            "Try what computes fastest before the first step.",
            more="Measures number formats, attention kernels, windows of a pass and the compiler,"
            " as far as they are left to auto, and keeps the fastest; the tokens of a step stay the"
            " same. auto does so for runs of ten minutes and more. What was found is remembered in"
            " autotune.json in the workspace.",
            advanced=True,
        ),
    ] = "auto"
    threads: Annotated[
        int,
        Field(ge=0, le=1024),
        Setting(
            "Machine",
            "CPU threads; 0 means all cores.",
            more="Fewer leave cores to other programs.",
            advanced=True,
        ),
    ] = 0
    nproc: Annotated[
        int,
        Field(ge=1, le=1024),
        Setting(
            "Machine",
            "Processes that train together on this machine, one for each GPU.",
            more="A step's windows are shared among them, so it must divide batch_size x"
            " grad_accum_steps; what is learned stays the same. On more than one machine, start"
            " the run's directory with torchrun instead.",
            advanced=True,
            resume=True,
        ),
    ] = 1
    parallel: Annotated[
        Literal["ddp", "fsdp"],
        Setting(
            "Machine",
            "How several processes share the model.",
            more="ddp: each has all of it, which is faster. fsdp: each has a part of every layer,"
            " for models that do not fit on one GPU.",
            advanced=True,
            resume=True,
        ),
    ] = "ddp"

    @property
    def artifact(self) -> str:
        return self.model_name

    @property
    def kv_heads(self) -> int:
        return self.n_kv_head or self.n_head

    @property
    def hidden(self) -> int:
        """Feed-forward width: as given, or 8/3 n_embd rounded up to a multiple of 64, which
        gives SwiGLU's three matrices the parameters of a two-matrix layer of 4 n_embd
        (Shazeer 2020, https://arxiv.org/abs/2002.05202)."""
        return self.n_hidden or -(-8 * self.n_embd // 3 // 64) * 64

    @property
    def tokens_per_pass(self) -> int:
        return self.batch_size * self.context_len

    @property
    def passes(self) -> int:
        """Forward and backward passes of one optimizer step, on one device."""
        if self.total_batch_size is None:
            return self.grad_accum_steps
        return self.total_batch_size // self.tokens_per_pass

    @property
    def tokens_per_step(self) -> int:
        return self.passes * self.tokens_per_pass

    def contradictions(self) -> list[Problem]:
        problems = []
        step = 2 * self.n_head
        if self.n_embd % step:
            low, high = self.n_embd // step * step, (self.n_embd // step + 1) * step
            near = f"{low} or {high}" if low else str(high)
            message = f"must be a multiple of n_head ({self.n_head}), even for each head"
            problems.append(Problem("n_embd", message, self.n_embd, near))
        if self.n_head % self.kv_heads:
            divisors = [str(d) for d in range(1, self.n_head + 1) if self.n_head % d == 0]
            problems.append(
                Problem(
                    "n_kv_head",
                    f"must divide n_head ({self.n_head})",
                    self.n_kv_head,
                    ", ".join(divisors),
                )
            )
        batch = self._global_batch()
        problems += batch or self._shares()
        if self.min_learning_rate > self.learning_rate:
            problems.append(
                Problem(
                    "min_learning_rate",
                    f"must not be above learning_rate ({self.learning_rate:g})",
                    self.min_learning_rate,
                    f"at most {self.learning_rate:g}, a tenth of it is usual",
                )
            )
        if self.warmup_steps > self.max_steps:
            problems.append(
                Problem(
                    "warmup_steps",
                    f"must not be above max_steps ({self.max_steps:,})",
                    self.warmup_steps,
                    f"at most {self.max_steps:,}, a twentieth of it is usual",
                )
            )
        return problems

    def _shares(self) -> list[Problem]:
        windows = self.passes * self.batch_size
        if windows % self.nproc == 0:
            return []
        message = f"must divide the {windows:,} windows of a step"
        return [Problem("nproc", message, self.nproc, "change batch_size or grad_accum_steps")]

    def _global_batch(self) -> list[Problem]:
        total, one = self.total_batch_size, self.tokens_per_pass
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
        if self.grad_accum_steps not in (1, self.passes):
            message = f"total_batch_size makes it {self.passes}"
            hint = "leave one of the two out"
            return [Problem("grad_accum_steps", message, self.grad_accum_steps, hint)]
        return []
