"""How fast training and sampling are, beside what one would write by hand.

    python benchmarks/training.py [--rounds N] [--shape talm ...] [--text tiny-shakespeare.txt]

The peer is a plain GPT in fp32: LayerNorm, learned positions, GELU, torch's AdamW and its
cross-entropy, no compiler, the same width, depth, batch and vocabulary. Each contender has a
process of its own, for talm changes how its process allocates memory. They take turns; a figure is
the best of all rounds, because whatever else the machine does only ever makes a round slower.

With --text a race follows: from the start of a process to a loss on the last tenth of that text,
talm's preset `shakespeare-sprint` (tokenizer and data included) beside nanoGPT's recipe for a CPU.
With --best it is `shakespeare-best` alone, to the lowest loss it says.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.model.generate import stream
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.settings.schema import build
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE
from talm_core.training.device import choose, prepare
from talm_core.training.optim import Optimizers


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
    "shakespeare, 65 characters": Shape(384, 6, 6, 256, 65),
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


def stepper(
    model: nn.Module, loss: Callable[[], Tensor], move: Callable[[], None]
) -> Callable[[], None]:
    def step() -> None:
        torch.autograd.backward(loss())
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        move()
        model.zero_grad(set_to_none=True)

    return step


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def contender(kind: str, shape: Shape, wire: Connection) -> None:
    """Take steps whenever asked; answers with the number format, then seconds a step."""
    values = {
        "model_name": "x",
        "data_dir": "x",
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_embd": shape.width,
        "context_len": shape.context,
        "batch_size": BATCH,
        # The same work on both sides.
        "optimizer": "adamw",
    }
    config = build(PretrainConfig, values)
    machine = choose(config)
    batch = torch.randint(shape.vocabulary, (BATCH, shape.context + 1))
    tokens, targets = batch[:, :-1].contiguous(), batch[:, 1:].contiguous()
    if kind == "talm":
        prepare(machine)
        ours = Transformer(ModelConfig.of(config, shape.vocabulary), dtype=machine.dtype)
        ours.initialise(1)
        optimizers = Optimizers(ours, config)
        step = stepper(ours, lambda: ours.loss(tokens, targets), lambda: optimizers.step(1e-3))
    else:
        torch.set_num_threads(machine.threads)
        plain = PlainGPT(shape)
        optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3)
        step = stepper(plain, lambda: plain(tokens, targets), optimizer.step)
    step()
    wire.send(machine.precision)
    while wire.recv():
        step()  # what the other one left in the caches is not this one's
        wire.send(min(seconds(step) for _ in range(3)))


def training(name: str, shape: Shape, rounds: int) -> None:
    context = get_context("spawn")
    wires: dict[str, Connection] = {}
    for kind in ("talm", "plain"):
        wires[kind], theirs = context.Pipe()
        context.Process(target=contender, args=(kind, shape, theirs), daemon=True).start()
    precision, _ = (wire.recv() for wire in wires.values())
    best = dict.fromkeys(wires, float("inf"))
    for _ in range(rounds):
        for kind, wire in wires.items():
            wire.send(True)
            best[kind] = min(best[kind], wire.recv())
    for wire in wires.values():
        wire.send(False)
    rates = {kind: BATCH * shape.context / value for kind, value in best.items()}
    ratio = rates["talm"] / rates["plain"]
    print(
        f"| {name} ({precision}) | {rates['talm']:,.0f} | {rates['plain']:,.0f} | {ratio:.2f} |",
        flush=True,
    )


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
        losses = [model(part[:, :-1], part[:, 1:]).item() * len(part) for part in rows.split(256)]
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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shape", nargs="*", choices=SHAPES, default=list(SHAPES))
    options = parser.parse_args()
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
    print("| training, batch 16 | talm tokens/s | plain tokens/s | ratio |\n|---|---|---|---|")
    for name in options.shape:
        training(name, SHAPES[name], options.rounds)
    print("\n| sampling, 384 x 6 | with cache tokens/s | without | ratio |\n|---|---|---|---|")
    sampling(2)


if __name__ == "__main__":
    main()
