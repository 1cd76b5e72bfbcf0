"""How fast text becomes token shards, and shards become batches.

    python benchmarks/data.py [--megabytes 200] [--rounds 3]

The text is the standard library, over and over, one file a document. Every way to prepare it is a
process of its own, so that peak memory is told apart; they take turns, and each figure is the best
of all rounds, because whatever else the machine does only ever makes a round slower.

- `talm` is the whole job: reading, encoding, shards, checksums, manifest.
- `one thread` is tiktoken's `encode_ordinary` on text in memory, with nothing written;
  `compiled` is talm's own encoding in its place.
- `loading` is compared with what training steps of the preset `gpt2-124m` eat on this machine, with
  passes of two windows.
- `pool` is the plain way: a pool of as many processes as there are cores, fed with single
  documents by `imap` in chunks of 16, lists of ids coming back and filling an array.

Memory and processor time are those of all processes together; the latter means something on a
machine that does other things besides, too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from talm_core.data.dataloader import TokenLoader
from talm_core.data.local.corpus import open_corpus
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.job import Preparation
from talm_core.runtime.context import Unheard
from talm_core.storage.workspace import Workspace
from talm_core.system.hardware import cores
from talm_core.tokenizer.bpe_encoder import FastTokenizer
from talm_core.tokenizer.characters import CharacterClasses
from talm_core.tokenizer.piece_table import Tokens
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE, Vocabulary

SHARD_TOKENS = 10_000_000
STEP_WINDOWS = 2


def make_corpus(folder: Path, size: int) -> None:
    """Files with about `size` bytes in all."""
    documents = list(open_corpus("stdlib").documents())
    written = number = 0
    while written < size:
        text = documents[number % len(documents)].text
        (folder / f"{number:07}.txt").write_text(text, encoding="utf-8", newline="")
        written += len(text.encode())
        number += 1


def texts(folder: Path) -> Iterator[str]:
    for document in open_corpus("text", paths=[str(folder)]).documents():
        yield document.text


# --- the three ways --------------------------------------------------------------------------


def config_of(folder: Path) -> DataConfig:
    return DataConfig(source="text", path=(str(folder),), ds_sample="x", shard_size=SHARD_TOKENS)


def _prepare(folder: Path, workspace: Workspace) -> None:
    config = config_of(folder)
    Preparation(config, workspace).run(Unheard(workspace, workspace.directory_of(config)))


def talm(folder: Path, scratch: Path) -> Callable[[], None]:
    def work() -> None:
        _prepare(folder, Workspace(scratch))

    return work


def one_thread(folder: Path, scratch: Path) -> Callable[[], None]:
    tokenizer = Tokenizer.from_file(BASE)
    everything = list(texts(folder))

    def work() -> None:
        for text in everything:
            tokenizer.encode_ordinary(text)

    return work


def compiled(folder: Path, scratch: Path) -> Callable[[], None]:
    vocabulary = Vocabulary.load(BASE)
    tokens = Tokens(vocabulary)
    tokens.fill()
    fast = FastTokenizer(Tokenizer.from_vocabulary(vocabulary), tokens, CharacterClasses())
    everything = list(texts(folder))
    fast.ids(everything[:1], [None])

    def work() -> None:
        for text in everything:
            fast.ids([text], [None])

    return work


_tokenizer: Tokenizer | None = None


def encode_document(text: str) -> list[int]:
    global _tokenizer
    if _tokenizer is None:
        _tokenizer = Tokenizer.from_file(BASE)
    return [_tokenizer.eot_token, *_tokenizer.encode_ordinary(text)]


def pool(folder: Path, scratch: Path) -> Callable[[], None]:
    def work() -> None:
        shard = np.empty(SHARD_TOKENS, np.uint16)
        filled = number = 0
        with multiprocessing.get_context("fork").Pool(cores()) as workers:
            for ids in workers.imap(encode_document, texts(folder), chunksize=16):
                while len(ids) > SHARD_TOKENS - filled:
                    room = SHARD_TOKENS - filled
                    shard[filled:] = ids[:room]
                    np.save(scratch / f"{number:06}.npy", shard)
                    ids, filled, number = ids[room:], 0, number + 1
                shard[filled : filled + len(ids)] = ids
                filled += len(ids)
        np.save(scratch / f"{number:06}.npy", shard[:filled])

    return work


WAYS = {"talm": talm, "one thread": one_thread, "compiled": compiled, "pool": pool}


# --- measuring -------------------------------------------------------------------------------


def peak_memory(stop: threading.Event, peak: list[int]) -> None:
    """Watch this process and its children; shared pages count once."""
    me = psutil.Process()
    while not stop.wait(0.1):
        total = 0
        for process in [me, *me.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        peak[0] = max(peak[0], total)


def measure(way: str, folder: Path) -> None:
    """In a process of its own: one line of JSON."""
    with tempfile.TemporaryDirectory() as scratch:
        work = WAYS[way](folder, Path(scratch))
        stop, peak = threading.Event(), [0]
        watcher = threading.Thread(target=peak_memory, args=(stop, peak))
        watcher.start()
        began, worked = time.perf_counter(), processor_seconds()
        work()
        seconds, worked = time.perf_counter() - began, processor_seconds() - worked
        stop.set()
        watcher.join()
    print(json.dumps({"seconds": seconds, "processor": worked, "memory": peak[0]}))


def processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def tokenizing(folder: Path, rounds: int) -> None:
    size = open_corpus("text", paths=[str(folder)]).total_bytes
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, "--folder", str(folder)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[way].append(json.loads(out))
    best = {way: min(item["seconds"] for item in items) for way, items in found.items()}
    print(f"{size / 1e6:.0f} MB of text, {cores()} cores, best of {rounds}")
    for way, items in found.items():
        memory = max(item["memory"] for item in items)
        processor = min(item["processor"] for item in items)
        speed, ratio = size / best[way] / 1e6, best[way] / best["talm"]
        print(
            f"  {way:<12}{speed:6.1f} MB/s   talm is {ratio:4.2f} x   {memory / 1e6:6.0f} MB"
            f"   {processor:6.1f} s of processor time"
        )


def loading(folder: Path, scratch: Path) -> None:
    config, workspace = config_of(folder), Workspace(scratch)
    _prepare(folder, workspace)
    directory = workspace.directory_of(config)
    eaten = step_tokens()
    print(f"loading; a step of gpt2-124m eats {eaten:,.0f} tokens/s here")
    for batch_size, context_len in ((16, 128), (16, 256), (16, 1024)):
        loader = TokenLoader(
            directory, "train", batch_size=batch_size, context_len=context_len, seed=1
        )
        seconds = min(_batches(loader) for _ in range(10))
        tokens = batch_size * context_len
        speed = tokens / seconds
        print(
            f"  {batch_size} x {context_len:<6}{seconds * 1e6:6.1f} us a batch"
            f"{speed / 1e6:8.0f} M tokens/s, {speed / eaten:,.0f} x as much"
        )


def step_tokens() -> float:
    """Tokens a second that forward and backward passes of `gpt2-124m` take, without the optimizer:
    the most a step can eat."""
    import torch

    from talm_core.jobs.pretrain.config import PretrainConfig
    from talm_core.jobs.pretrain.presets import find_preset
    from talm_core.model.transformer import ModelConfig, Transformer
    from talm_core.settings.schema import build
    from talm_core.training.device import choose, prepare

    values = dict(find_preset(Workspace(), "gpt2-124m").values)
    config = build(PretrainConfig, values | {"model_name": "x", "data_dir": "x"})
    machine = choose(config)
    prepare(machine)
    model = Transformer(ModelConfig.of(config, 4_100), dtype=machine.dtype)
    model.initialise(1)
    model.to(machine.device)
    batch = torch.randint(4_100, (STEP_WINDOWS, config.context_len + 1), device=machine.device)
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        loss = model.loss(batch[:, :-1].contiguous(), batch[:, 1:].contiguous())
        torch.autograd.backward(loss)
        loss.item()
        seconds.append(time.perf_counter() - began)
    return STEP_WINDOWS * config.context_len / min(seconds)


def _batches(loader: TokenLoader) -> float:
    """Seconds a batch, over enough of them to look ahead more than once."""
    count = 600
    began = time.perf_counter()
    for _ in range(count):
        loader.next_batch()
    return (time.perf_counter() - began) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3, help="0: only loading")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        measure(options.way, options.folder)
        return
    with tempfile.TemporaryDirectory() as place:
        folder, scratch = Path(place, "text"), Path(place, "home")
        folder.mkdir()
        make_corpus(folder, options.megabytes * 1_000_000)
        if options.rounds:
            tokenizing(folder, options.rounds)
        loading(folder, scratch)


if __name__ == "__main__":
    main()
