"""How fast training and sampling are, beside what one would write by hand.

    python benchmarks/training.py [--rounds N] [--shape talm ...] [--nanogpt DIR]
    python benchmarks/training.py --profile [--shape shakespeare]
    python benchmarks/training.py --text tiny-shakespeare.txt [--best]

`talm train-model` runs as people run it, with each optimizer, only without evaluations, samples
and checkpoints on the way. The peer is nanoGPT's own train.py where its checkout is given, without
a compiler; else a plain GPT in fp32 that is trained by a loop in a process of its own: LayerNorm,
learned positions, GELU, torch's AdamW and its cross-entropy. Width, depth, batch, context,
vocabulary and tokens are the same. They take turns; a figure is the median of the steps in the
later half of a run, the best of all rounds, for whatever else the machine does only ever makes a
run slower.

With --profile it says instead where the time of a step of the command goes.

With --text a race follows: from the start of a process to a loss on the last tenth of that text,
talm's preset `shakespeare-sprint` (tokenizer and data included) beside nanoGPT's recipe for a CPU.
With --best it is `shakespeare-best` alone, to the lowest loss it says.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talm_core.model.generate import stream
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE


class Shape(NamedTuple):
    width: int
    heads: int
    layers: int
    context: int
    vocabulary: int


BATCH = 16
SHAPES = {
    "talm": Shape(64, 8, 4, 128, 4100),
    "nano": Shape(128, 4, 4, 128, 4100),
    "shakespeare": Shape(384, 6, 6, 256, 4100),
}


class PlainBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        parts = self.qkv(self.first(x)).split(c, 2)
        q, k, v = (part.view(b, t, self.heads, -1).transpose(1, 2) for part in parts)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(b, t, c))
        inner: Tensor = self.down(functional.gelu(self.up(self.second(x))))
        return x + inner


class PlainGPT(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Embedding(shape.context, shape.width)
        self.blocks = nn.ModuleList(
            PlainBlock(shape.width, shape.heads) for _ in range(shape.layers)
        )
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.tokens.weight)
        loss: Tensor = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return loss


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "talm_core.cli", *words]


def dataset(workspace: Path) -> None:
    """4,096 tokens and what Python's library is with them."""
    where = ("--workspace", str(workspace), "--json")
    for words in (
        ("train-tokenizer", "--name", "code", "--vocab-size", "4096"),
        ("prepare-data", "stdlib", "--tokenizer-path", "code"),
    ):
        subprocess.run(command(*words, *where), check=True, stdout=subprocess.DEVNULL)


def words_of(name: str, shape: Shape, optimizer: str, steps: int) -> list[str]:
    """What trains this shape, without its evaluations."""
    values = {
        "--name": name,
        "--data-dir": "stdlib/all",
        "--n-layer": shape.layers,
        "--n-head": shape.heads,
        "--n-embd": shape.width,
        "--context-len": shape.context,
        "--batch-size": BATCH,
        "--max-steps": steps,
        "--optimizer": optimizer,
        "--eval-every": 0,
        "--sample-every": 0,
        "--checkpoint-every": 0,
    }
    return ["train-model", *(str(word) for pair in values.items() for word in pair)]


def later_half(times: list[float]) -> float:
    """The median seconds of a step in the later half of a run, of when each was done."""
    steps = [after - before for before, after in pairwise(times)]
    return median(steps[len(steps) // 2 :])


def of_talm(workspace: Path, shape: Shape, optimizer: str, steps: int) -> tuple[float, float]:
    """Tokens a second of the command, and the GiB it took at most."""
    name = f"{optimizer}-{time.monotonic_ns()}"
    words = [*words_of(name, shape, optimizer, steps), "--workspace", str(workspace), "--json"]
    done: list[tuple[int, float]] = []
    with subprocess.Popen(command(*words), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "Metrics":
                done.append((event["step"], event["elapsed"]))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    # Several steps are told at once where they are quick.
    half = done[len(done) // 2 :]
    rates = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in pairwise(half)]
    return median(rates) * BATCH * shape.context, usage.ru_maxrss / 2**20


def of_plain(workspace: Path, shape: Shape, steps: int) -> tuple[float, float]:
    """Tokens a second of the plain loop, and the GiB it took at most."""
    words = [sys.executable, __file__, "--plain", json.dumps([str(workspace), list(shape), steps])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        times = [float(line) for line in process.stdout]
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    return BATCH * shape.context / later_half(times), usage.ru_maxrss / 2**20


def plain(workspace: str, shape: Shape, steps: int) -> None:
    """The plain loop: says when each step was done."""
    files = sorted(Path(workspace, "data", "stdlib", "all").glob("train_*.npy"))
    tokens = torch.from_numpy(np.load(files[0]).astype(np.int64))
    model = PlainGPT(shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        starts = torch.randint(len(tokens) - shape.context, (BATCH,)).tolist()
        rows = torch.stack([tokens[start : start + shape.context + 1] for start in starts])
        loss = model(rows[:, :-1], rows[:, 1:])
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        print(time.monotonic(), flush=True)


def of_nanogpt(checkout: Path, workspace: Path, shape: Shape, steps: int) -> tuple[float, float]:
    """Tokens a second of nanoGPT's train.py in a copy of its checkout, and the GiB it took."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "nanoGPT")
        shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git"))
        data = copy / "data" / "talm"
        data.mkdir(parents=True)
        for part in ("train", "val"):
            files = sorted((workspace / "data" / "stdlib" / "all").glob(f"{part}_*.npy"))
            np.load(files[0]).astype(np.uint16).tofile(data / f"{part}.bin")
        meta = {"vocab_size": shape.vocabulary}
        (data / "meta.pkl").write_bytes(pickle.dumps(meta))
        values = {
            "dataset": "talm",
            "device": "cpu",
            "compile": False,
            "eval_interval": 10**6,
            "eval_iters": 1,
            "log_interval": 1,
            "block_size": shape.context,
            "batch_size": BATCH,
            "n_layer": shape.layers,
            "n_head": shape.heads,
            "n_embd": shape.width,
            "dropout": 0.0,
            "gradient_accumulation_steps": 1,
            "max_iters": steps,
            "warmup_iters": 10,
        }
        words = [sys.executable, "train.py", *(f"--{key}={value}" for key, value in values.items())]
        with subprocess.Popen(words, cwd=copy, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = re.findall(r"^iter .* time ([0-9.]+)ms", process.stdout.read(), re.MULTILINE)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
    step = median([float(each) / 1000 for each in said][len(said) // 2 :])
    return BATCH * shape.context / step, usage.ru_maxrss / 2**20


def training(name: str, shape: Shape, rounds: int, workspace: Path, nanogpt: Path | None) -> None:
    """A row for each optimizer, beside the peer."""
    steps = 40 if shape.width > 200 else 200

    def peer() -> tuple[float, float]:
        if nanogpt is None:
            return of_plain(workspace, shape, steps)
        return of_nanogpt(nanogpt, workspace, shape, steps)

    contenders: dict[str, Callable[[], tuple[float, float]]] = {
        optimizer: partial(of_talm, workspace, shape, optimizer, steps)
        for optimizer in ("muon", "adamw")
    }
    contenders["peer"] = peer
    best = dict.fromkeys(contenders, (0.0, 0.0))
    for _ in range(rounds):
        for kind, measure in contenders.items():
            best[kind] = max(best[kind], measure())
    theirs, room = best.pop("peer")
    for kind, (rate, taken) in best.items():
        print(
            f"| {name}, {kind} | {rate:,.0f} | {theirs:,.0f} | {rate / theirs:.2f}"
            f" | {taken:.2f} | {room:.2f} |",
            flush=True,
        )


def profiled(name: str, shape: Shape, optimizer: str, workspace: Path) -> None:
    """Milliseconds of a step of the command by what they went to, medians of the later half."""
    from talm_core.cli.main import main as talm
    from talm_core.runtime.driver import Driver
    from talm_core.training.batches import Batches
    from talm_core.training.loop import TrainLoop
    from talm_core.training.metrics import MetricsReader
    from talm_core.training.optim import Optimizers
    from talm_core.training.trainer import Trainer

    spent: dict[str, list[float]] = defaultdict(list)
    parts = {
        "the whole step": (TrainLoop, "step"),
        "forward and backward, with data": (Trainer, "forward_backward"),
        "data": (Batches, "next_batch"),
        "clip and optimizer": (Trainer, "update"),
        "optimizer": (Optimizers, "step"),
        "metrics": (MetricsReader, "read"),
        "journal": (Driver, "emit"),
    }
    for label, (owner, method) in parts.items():
        setattr(owner, method, _timed(getattr(owner, method), spent[label]))
    steps = 30
    words = words_of(f"profile-{optimizer}", shape, optimizer, steps)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        talm([*words, "--workspace", str(workspace), "--json"])
    for label, times in spent.items():
        # What is not done in each step counts by its share of one.
        later = times[len(times) // 2 :]
        share = median(later) * len(times) / steps if later else 0.0
        print(f"| {name}, {optimizer} | {label} | {1000 * share:.1f} |", flush=True)


def _timed(work: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    def timed(*given: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return work(*given, **named)
        finally:
            times.append(time.perf_counter() - began)

    return timed


def sampling(rounds: int) -> None:
    """256 tokens with and without keys and values kept."""
    shape = SHAPES["shakespeare"]
    config = ModelConfig(
        shape.vocabulary, shape.layers, shape.heads, shape.heads, shape.width, 1024, 257
    )
    model = Transformer(config)
    model.initialise(1)
    tokenizer = Tokenizer.from_file(BASE)

    def cached() -> None:
        assert sum(1 for _ in stream(model, tokenizer, [0], max_tokens=256, temperature=0)) == 256

    @torch.inference_mode()
    def anew() -> None:
        ids = [0]
        for _ in range(256):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))

    fast = min(seconds(cached) for _ in range(rounds))
    slow = min(seconds(anew) for _ in range(rounds))
    print(f"| 256 tokens | {256 / fast:,.0f} | {256 / slow:,.0f} | {slow / fast:.2f} |")


# nanoGPT's recipe for a CPU: 4 layers of 128, 4 heads, 64 characters, 12 texts, 2,000 steps.
RECIPE = Shape(128, 4, 4, 64, 0)
RECIPE_BATCH, RECIPE_STEPS, RECIPE_WARMUP = 12, 2_000, 100


def recipe(path: str) -> None:
    """Train as the recipe says and print the loss on the last tenth, in nats per character."""
    text = Path(path).read_text()
    letters = sorted(set(text))
    ids = torch.tensor([letters.index(letter) for letter in text])
    train, val = ids[: len(ids) * 9 // 10], ids[len(ids) * 9 // 10 :]
    model = PlainGPT(RECIPE._replace(vocabulary=len(letters)))
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            nn.init.normal_(parameter, std=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.1)
    length = RECIPE.context
    for step in range(RECIPE_STEPS):
        part = max(0.0, (step - RECIPE_WARMUP) / (RECIPE_STEPS - RECIPE_WARMUP))
        rate = 1e-4 + 9e-4 * 0.5 * (1 + math.cos(math.pi * part))
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / RECIPE_WARMUP)
        starts = torch.randint(len(train) - length, (RECIPE_BATCH,)).tolist()
        rows = torch.stack([train[start : start + length + 1] for start in starts])
        torch.autograd.backward(model(rows[:, :-1], rows[:, 1:]))
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    rows = val[: (len(val) - 1) // length * length + 1].unfold(0, length + 1, length)
    with torch.inference_mode():
        losses = [
            model(part[:, :-1], part[:, 1:]).item() * len(part) for part in torch.split(rows, 256)
        ]
    print(json.dumps(sum(losses) / len(rows)))


def race(path: str, rounds: int) -> None:
    """Seconds of both, from the start of a process, and the losses they end with."""
    words = [sys.executable, __file__, "--recipe", path]
    began = time.perf_counter()
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    slow, theirs = time.perf_counter() - began, float(json.loads(done.stdout))
    fast, ours = float("inf"), float("nan")
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as workspace:
            taken, ours = quickstart(path, workspace, "shakespeare-sprint")
            fast = min(fast, taken)
    print("| to a loss on the last tenth | nats per byte | seconds |\n|---|---|---|")
    print(f"| talm, shakespeare-sprint | {ours:.4f} | {fast:.1f} |")
    print(f"| nanoGPT's recipe, plain | {theirs:.4f} | {slow:.1f} |")
    print(f"| ratio | | {slow / fast:.1f} |", flush=True)


def quickstart(path: str, workspace: str, preset: str) -> tuple[float, float]:
    """Seconds until talm has said its lowest validation loss, and that loss in nats per byte."""
    words = ["-m", "talm_core.cli", "quickstart", "--preset", preset, "--json"]
    command = [sys.executable, *words, "--text-file", path, "--workspace", workspace]
    best = (float("nan"), float("inf"))
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "Evaluated":
                loss = event["bits_per_byte"] * math.log(2)
                if loss < best[1]:
                    best = (time.perf_counter() - began, loss)
    if math.isinf(best[1]):
        raise SystemExit("the quick start ended without a validation loss")
    return best


def longest(path: str) -> None:
    """Once: the recipe that goes as low as it can."""
    with tempfile.TemporaryDirectory() as workspace:
        taken, loss = quickstart(path, workspace, "shakespeare-best")
    print("| to a loss on the last tenth | nats per byte | seconds |\n|---|---|---|")
    print(f"| talm, shakespeare-best | {loss:.4f} | {taken:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", help="a text of about a megabyte to race on")
    parser.add_argument("--best", action="store_true", help="race to the lowest loss, minutes")
    parser.add_argument("--recipe", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT to run beside talm")
    parser.add_argument("--profile", action="store_true", help="say where a step's time goes")
    for own in ("--plain", "--profiled"):
        parser.add_argument(own, type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        workspace, shape, steps = options.plain
        plain(workspace, Shape(*shape), steps)
        return
    if options.profiled:
        folder, name = options.profiled
        profiled(name, SHAPES[name], "muon", Path(folder))
        return
    if options.recipe:
        recipe(options.recipe)
        return
    if options.best:
        if not options.text:
            parser.error("--best needs --text")
        longest(options.text)
        return
    if options.text:
        race(options.text, options.rounds)
        if not options.shape:
            return
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        dataset(workspace)
        if options.profile:
            print("| a step | what | ms |\n|---|---|---|")
            for name in options.shape:
                # talm sets its process up once.
                words = [sys.executable, __file__, "--profiled", json.dumps([folder, name])]
                subprocess.run(words, check=True)
            return
        print("| training, batch 16 | talm tokens/s | peer's | ratio | talm GiB | peer's |")
        print("|---|---|---|---|---|---|")
        for name in options.shape:
            training(name, SHAPES[name], options.rounds, workspace, options.nanogpt)
    print("\n| sampling, 384 x 6 | with cache tokens/s | without | ratio |\n|---|---|---|---|")
    sampling(2)


if __name__ == "__main__":
    main()
