"""How fast a tokenizer is trained, beside others.

    python benchmarks/tokenizer.py [--megabytes 50] [--vocab-size 32768] [--peers PYTHON]

The corpus is made of source code and prose that is on the machine anyway: whatever the Python
that runs this has installed. Every measurement is a process of its own, so that peak memory and
imports are told apart; `train` is the time from the text in memory (peers) or in files (talm)
to the merges. rustbpe and Hugging Face's tokenizers are measured where PYTHON can import them.
`tokencoder` is its algorithm, which counts every pair anew for every merge, on a smaller text.

After that talm alone: the first run of all, with compilation; a corpus of half a gigabyte in one
file; and a line of 100 MB without a space.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

SUFFIXES = {".py", ".pyi", ".md", ".rst", ".txt"}
SMALL_BYTES, SMALL_VOCAB, SLOW_VOCAB = 1_115_394, 1000, 300


def texts(top: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(top):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix in SUFFIXES and path.is_file():
                try:
                    text = path.read_text(encoding="utf-8")
                except UnicodeDecodeError:
                    continue
                if text and "\0" not in text[:8192]:
                    yield text


def make_corpus(directory: Path, size: int) -> int:
    """Files of about a megabyte with `size` bytes in all; text is repeated when there is not
    enough. Returns the distinct bytes."""
    left, part, kept, distinct, rounds = size, 0, [""], 0, 0
    while left > 0:
        rounds += 1
        for text in texts(Path(sysconfig.get_path("stdlib"))):
            data = text.encode()[:left]
            left -= len(data)
            distinct += len(data) if rounds == 1 else 0
            kept.append(data.decode("utf-8", "ignore"))
            if left <= 0 or sum(map(len, kept)) > 1_000_000:
                (directory / f"{part:05}.txt").write_text("".join(kept), encoding="utf-8")
                part, kept = part + 1, []
            if left <= 0:
                break
    return distinct


def read(directory: Path) -> Iterator[str]:
    for path in sorted(directory.iterdir()):
        with open(path, encoding="utf-8", newline="") as file:
            yield file.read()


def train_talm(directory: Path, vocab_size: int) -> float:
    from talm_core.data.local.corpus import open_corpus
    from talm_core.tokenizer.bpe_trainer import learn_parts
    from talm_core.tokenizer.patterns import DEFAULT

    began = time.perf_counter()
    corpus = open_corpus("text", paths=[str(directory)])
    learn_parts(corpus.parts(), DEFAULT, vocab_size)
    return time.perf_counter() - began


def train_rustbpe(directory: Path, vocab_size: int) -> float:
    import rustbpe

    documents = list(read(directory))
    began = time.perf_counter()
    rustbpe.Tokenizer().train_from_iterator(documents, vocab_size, pattern=pattern())
    return time.perf_counter() - began


def train_huggingface(directory: Path, vocab_size: int) -> float:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    documents = list(read(directory))
    began = time.perf_counter()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern()), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(documents, trainer)
    return time.perf_counter() - began


def train_tokencoder(directory: Path, vocab_size: int) -> float:
    import regex

    documents = list(read(directory))
    began = time.perf_counter()
    chunks = [list(p.encode()) for text in documents for p in regex.findall(pattern(), text)]
    for new in range(256, vocab_size):
        counts: dict[tuple[int, int], int] = {}
        for chunk in chunks:
            for pair in pairwise(chunk):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        best = max(counts, key=lambda pair: counts[pair])
        chunks = [replaced(chunk, best, new) for chunk in chunks]
    return time.perf_counter() - began


def replaced(chunk: list[int], pair: tuple[int, int], new: int) -> list[int]:
    result, at = [], 0
    while at < len(chunk):
        if at + 1 < len(chunk) and (chunk[at], chunk[at + 1]) == pair:
            result.append(new)
            at += 2
        else:
            result.append(chunk[at])
            at += 1
    return result


TRAINERS = {
    "talm": train_talm,
    "rustbpe": train_rustbpe,
    "huggingface": train_huggingface,
    "tokencoder": train_tokencoder,
}


def pattern() -> str:
    """Peers may run in an environment without talm: the pattern comes by the environment."""
    return os.environ["BENCHMARK_PATTERN"]


def measure(
    python: str, name: str, directory: Path, vocab_size: int, *, rounds: int = 3, **environ: str
) -> dict[str, float] | None:
    """The best of some processes. None: cannot be imported."""
    from talm_core.tokenizer.patterns import DEFAULT

    best: dict[str, float] | None = None
    for _ in range(rounds):
        began = time.perf_counter()
        done = subprocess.run(
            [python, __file__, "--one", name, str(directory), str(vocab_size)],
            env=os.environ | {"BENCHMARK_PATTERN": DEFAULT} | environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            if "ModuleNotFoundError" not in done.stderr:
                sys.stderr.write(done.stderr)
            return None
        result = json.loads(done.stdout) | {"process": time.perf_counter() - began}
        if best is None or result["train"] < best["train"]:
            best = result
    return best


def one(name: str, directory: str, vocab_size: str) -> None:
    seconds = TRAINERS[name](Path(directory), int(vocab_size))
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    json.dump({"train": seconds, "peak": peak / 1e6}, sys.stdout)


def report(title: str, peers: str, directory: Path, runs: dict[str, int]) -> None:
    print(f"\n{title}\n")
    print("| | vocabulary | train s | process s | peak MB | talm is faster by |")
    print("|---|---|---|---|---|---|")
    ours: float | None = None
    for name, vocab_size in runs.items():
        python = sys.executable if name in ("talm", "tokencoder") else peers
        rounds = 1 if name == "tokencoder" else 3
        result = measure(python, name, directory, vocab_size, rounds=rounds)
        if result is None:
            print(f"| {name} | cannot be imported | | | | |")
            continue
        ours = ours or result["train"]
        print(
            f"| {name} | {vocab_size:,} | {result['train']:.2f} | {result['process']:.2f} "
            f"| {result['peak']:,.0f} | {result['train'] / ours:.2f} |",
            flush=True,
        )


def alone(small: Path, folder: Path) -> None:
    """What only talm is measured on."""
    many, line = folder / "many", folder / "line"
    many.mkdir()
    line.mkdir()
    parts = folder / "parts"
    parts.mkdir()
    make_corpus(parts, 500_000_000)
    with (many / "one.txt").open("wb") as file:
        for path in sorted(parts.iterdir()):
            file.write(path.read_bytes())
            path.unlink()
    source = random.Random(1)
    with (line / "line.txt").open("w") as text:
        for _ in range(100):
            text.write("".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=1_000_000)))
    cache = {"NUMBA_CACHE_DIR": str(folder / "cache")}
    print("\n| talm | vocabulary | train s | process s | peak MB |")
    print("|---|---|---|---|---|")
    cases: tuple[tuple[str, Path, int, dict[str, str]], ...] = (
        ("1.1 MB, first run", small, SMALL_VOCAB, cache),
        ("1.1 MB, second run", small, SMALL_VOCAB, cache),
        ("500 MB, one file", many, 32_768, {}),
        ("100 MB, one line without a space", line, 8_192, {}),
    )
    for name, directory, vocab_size, environ in cases:
        result = measure(sys.executable, "talm", directory, vocab_size, rounds=1, **environ)
        assert result is not None
        print(
            f"| {name} | {vocab_size:,} | {result['train']:.2f} | {result['process']:.2f} "
            f"| {result['peak']:,.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=float, default=50)
    parser.add_argument("--vocab-size", type=int, default=32768)
    parser.add_argument("--peers", default=sys.executable, help="a Python that has the peers")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(*arguments.one)
        return
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        small.mkdir()
        large.mkdir()
        make_corpus(small, SMALL_BYTES)
        runs = dict.fromkeys(("talm", "rustbpe", "huggingface"), SMALL_VOCAB)
        report(
            f"{SMALL_BYTES / 1e6:.1f} MB",
            arguments.peers,
            small,
            runs | {"tokencoder": SLOW_VOCAB},
        )
        distinct = make_corpus(large, int(arguments.megabytes * 1e6))
        report(
            f"{arguments.megabytes:g} MB, of which {distinct / 1e6:.0f} MB are not repeated",
            arguments.peers,
            large,
            dict.fromkeys(("talm", "rustbpe", "huggingface"), arguments.vocab_size),
        )
        alone(small, Path(folder))


if __name__ == "__main__":
    main()
