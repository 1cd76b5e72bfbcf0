"""Which program reads an export to the same ids as talm, and on which characters not.

    python benchmarks/readers.py [--only NAME ...] [--python PYTHON]

Exports a small model whose tokens show where pieces begin and end, installs each reader in its
pinned version in a virtual environment of its own below a temporary folder, and has it encode every
character of Unicode between two letters and before a digit, every one behind an apostrophe, and
some thousand mixed texts. Prints what docs/export.md has in its table: characters with the edition
of Unicode that brought them, as `unicodedata2` says, how many mixed texts differ, and how many of
these have none of the characters. Needs a registry; takes some minutes and, for a reader that
brings torch along, some GB.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from talm_core.model import gguf, hf
from talm_core.model.config import ModelConfig
from talm_core.model.transformer import Transformer
from talm_core.model.weights import Weights
from talm_core.tokenizer.patterns import DEFAULT
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import END_OF_TEXT, Vocabulary

MIXED = 3_000
PIECES = (
    *"aZsdmt'019_-=#.,;!?\"<>|()[]{} \t\n\r\x0b\x0c\x85\xa0\u2028\u3000\u200b\u200d\ufeff\x00\x1b",
    *"éß²½ſK٣Ⅷ中한ʼnあ\u0301\u0558\U0001f600\U0001f3fd\U000323b0",
    *(
        "'ll",
        "'VE",
        "'ſ",
        "  ",
        "\r\n",
        "\n\n ",
        "don't",
        "1234",
        "self.",
        "Привет",
        "नमस्ते",
        "שלום",
    ),
)

_TRANSFORMERS = """
from transformers import AutoTokenizer
t = AutoTokenizer.from_pretrained(directory)
answer([t(x, add_special_tokens=False)["input_ids"] for x in texts])
"""
_TOKENIZERS = """
from tokenizers import Tokenizer
t = Tokenizer.from_file(directory + "/tokenizer.json")
answer([e.ids for e in t.encode_batch(texts, add_special_tokens=False)])
"""
_LLAMA_CPP = """
from cyllama.llama import llama_cpp
llama_cpp.disable_logging()
m = llama_cpp.LlamaModel(directory + "/model.gguf")
v = m.get_vocab()
answer([list(v.tokenize(x, False, False)) if "\\0" not in x else None for x in texts])
"""
_MISTRAL = """
import mistralrs
r = mistralrs.Runner(which=mistralrs.Which.Plain(
    model_id=directory, arch=mistralrs.Architecture.Llama))
answer([r.tokenize_text(x, False, None) for x in texts])
"""
_MLX = """
from mlx_lm.tokenizer_utils import load
from pathlib import Path
t = load(Path(directory))
answer([t.encode(x, add_special_tokens=False) for x in texts])
"""
_ONNX = """
import onnxruntime_genai as og
import subprocess
words = ["-i", directory, "-o", directory + "/onnx", "-p", "fp32", "-e", "cpu"]
words = ["-m", "onnxruntime_genai.models.builder", *words, "-c", directory + "/cache"]
subprocess.run([sys.executable, *words], check=True)
t = og.Tokenizer(og.Model(directory + "/onnx"))
answer([list(map(int, t.encode(x))) for x in texts])
"""
_CTRANSLATE2 = """
import ctranslate2, transformers
out = ctranslate2.converters.TransformersConverter(directory).convert(directory + "/ct2")
import json
words = json.load(open(out + "/vocabulary.json"))
t = transformers.AutoTokenizer.from_pretrained(directory)
found = [t(x, add_special_tokens=False)["input_ids"] for x in texts]
place = {w: n for n, w in enumerate(words)}
answer([[place[w] for w in t.convert_ids_to_tokens(ids)] for ids in found])
"""

_FRAME = """
import json, os, sys
os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
directory = sys.argv[1]
texts = json.load(open(directory + "/texts.json"))
def answer(ids):
    json.dump(ids, open(directory + "/ids.json", "w"))
"""

TORCH = ("torch==2.13.0", "numpy")

EDITIONS = ("15.0.0", "15.1.0", "16.0.0", "17.0.0")
"""Of Unicode, as releases of `unicodedata2`."""

_ASSIGNED = """
import json, sys
sys.path.insert(0, sys.argv[1])
import unicodedata2
codes = [c for c in range(0x110000) if unicodedata2.category(chr(c)) != "Cn"]
print(json.dumps([unicodedata2.unidata_version, codes]))
"""


@dataclass(frozen=True)
class Reader:
    """A program: what to install, and how it encodes `texts`."""

    name: str
    requirements: tuple[str, ...]
    code: str


READERS = (
    Reader("tokenizers 0.20.3", ("tokenizers==0.20.3",), _TOKENIZERS),
    Reader("tokenizers 0.21.4", ("tokenizers==0.21.4",), _TOKENIZERS),
    Reader("tokenizers 0.22.2", ("tokenizers==0.22.2",), _TOKENIZERS),
    Reader("tokenizers 0.23.3", ("tokenizers==0.23.3",), _TOKENIZERS),
    Reader("transformers 4.46.3", ("transformers==4.46.3",), _TRANSFORMERS),
    Reader("transformers 4.57.6", ("transformers==4.57.6",), _TRANSFORMERS),
    Reader("transformers 5.24.0", ("transformers==5.24.0",), _TRANSFORMERS),
    Reader("mlx-lm 0.32.2", ("mlx-lm[cpu]==0.32.2",), _MLX),
    Reader("llama.cpp (cyllama 0.2.18)", ("cyllama==0.2.18",), _LLAMA_CPP),
    Reader("mistral.rs 0.9.5", ("mistralrs==0.9.5",), _MISTRAL),
    Reader(
        "CTranslate2 4.8.5",
        ("ctranslate2==4.8.5", "transformers==4.57.6", *TORCH),
        _CTRANSLATE2,
    ),
    Reader(
        "onnxruntime-genai 0.18.0",
        ("onnxruntime-genai==0.18.0", "onnx", "onnx-ir", "transformers==5.24.0", *TORCH),
        _ONNX,
    ),
)


def revealing() -> Vocabulary:
    """One whose ids show where text is split before and behind any character: it has a token of
    each ASCII character with the first byte of another, of each byte that another can end with and
    an ASCII character, and of each two ASCII characters."""
    pairs = [bytes([a, b]) for a in range(128) for b in range(0xC2, 0xF5)]
    pairs += [bytes([b, a]) for a in range(128) for b in range(0x80, 0xC0)]
    pairs += [bytes([a, b]) for a in range(128) for b in range(128)]
    tokens = [*(bytes([b]) for b in range(256)), *pairs]
    special = {END_OF_TEXT: len(tokens)}
    return Vocabulary("revealing", DEFAULT, {t: n for n, t in enumerate(tokens)}, special)


def characters() -> str:
    """Every code point but those of the planes in which nothing is, of which there are some."""
    codes = [*range(0xD800), *range(0xE000, 0x33500), *range(0x33500, 0x110000, 97)]
    return "".join(map(chr, codes))


def mixed() -> Iterator[str]:
    source = random.Random(11)
    for _ in range(MIXED):
        yield "".join(source.choices(PIECES, k=source.randint(1, 30)))


def made(directory: Path, texts: Sequence[str]) -> None:
    """The export, in both formats, with the texts beside it."""
    vocabulary = revealing()
    shape = ModelConfig(vocabulary.n_vocab, 1, 2, 2, 64, 64, 64)
    model = Transformer(shape)
    model.initialise(0)
    hf.save(model, vocabulary, directory)
    for _ in gguf.write(
        directory / "model.gguf", Weights(directory), shape, vocabulary, name="m", outtype="f16"
    ):
        pass
    (directory / "texts.json").write_text(json.dumps(texts))


def told(reader: Reader, python: str, directory: Path) -> tuple[list[list[int] | None], str]:
    """The ids a reader gives, and why there are none."""
    place = directory / "venv"
    subprocess.run([python, "-m", "venv", "--clear", place], check=True)
    own = place / "bin" / "python"
    (directory / "ids.json").unlink(missing_ok=True)
    words: list[Sequence[str | Path]] = [
        [own, "-m", "pip", "install", "-q", "--only-binary", ":all:", *reader.requirements],
        [own, "-c", _FRAME + reader.code, directory],
    ]
    for command in words:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
            return [], last[:200]
    found: list[list[int] | None] = json.loads((directory / "ids.json").read_text())
    return found, ""


def editions(python: str, directory: Path) -> list[tuple[str, frozenset[int]]]:
    """Each edition with the code points that are assigned in it, the oldest first; this Python's
    own is one of them."""
    here = (code for code in range(0x110000) if unicodedata.category(chr(code)) != "Cn")
    found = {unicodedata.unidata_version: frozenset(here)}
    for edition in EDITIONS:
        place = directory / edition
        wanted = ["--only-binary", ":all:", "--target", place, f"unicodedata2=={edition}"]
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted], check=True)
        said = subprocess.run([python, "-c", _ASSIGNED, place], check=True, capture_output=True)
        name, codes = json.loads(said.stdout)
        found[str(name)] = frozenset(codes)
    return sorted(found.items(), key=lambda item: [*map(int, item[0].split("."))])


def by_edition(wrong: Sequence[str], known: Sequence[tuple[str, frozenset[int]]]) -> str:
    """Characters by the edition of Unicode that brought them."""
    first: dict[str, list[str]] = {}
    for character in wrong:
        names = [name for name, codes in known if ord(character) in codes]
        if not names:
            edition = f"in none up to {known[-1][0]}"
        elif names[0] == known[0][0]:
            edition = f"in {names[0]} or before"
        else:
            edition = f"new in {names[0]}"
        first.setdefault(edition, []).append(character)
    return "; ".join(f"{len(of):,} {name} ({ranges(of)})" for name, of in first.items()) or "none"


def ranges(wrong: Sequence[str]) -> str:
    """Characters as ranges of code points."""
    runs: list[list[int]] = []
    for code in map(ord, wrong):
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    shown = [f"U+{a:04X}" if a == b else f"U+{a:04X}-{b:04X}" for a, b in runs]
    more = f" and {len(shown) - 8} more ranges" if len(shown) > 8 else ""
    return ", ".join(shown[:8]) + more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], help="readers whose names begin so")
    parser.add_argument("--python", default=sys.executable, help="the readers' Python")
    given = parser.parse_args()
    every = characters()
    probes = ("a{0}b{0}1", "a'{0}b")
    texts = [probe.format(c) for probe in probes for c in every] + [*mixed()]
    tokenizer = Tokenizer.from_vocabulary(revealing())
    expected = [tokenizer.encode_ordinary(text) for text in texts]
    print(f"{len(every):,} characters, {MIXED:,} mixed texts")
    print("| reader | between letters | only behind an apostrophe | mixed, unexplained |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="unicode-") as folder:
        known = editions(given.python, Path(folder))
    for reader in READERS:
        if given.only and not any(reader.name.startswith(name) for name in given.only):
            continue
        with tempfile.TemporaryDirectory(prefix="readers-") as folder:
            directory = Path(folder)
            made(directory, texts)
            found, why = told(reader, given.python, directory)
        if why:
            print(f"| {reader.name} | could not be tried: {why} | | |", flush=True)
            continue
        good = [
            theirs is None or theirs == ours for ours, theirs in zip(expected, found, strict=True)
        ]
        count = len(every)
        between = [c for c, same in zip(every, good, strict=False) if not same]
        behind = [c for c, same in zip(every, good[count:], strict=False) if not same]
        behind = sorted({*behind} - {*between})
        mixtures = zip(texts[2 * count :], good[2 * count :], strict=True)
        others = [text for text, same in mixtures if not same]
        blamed = (*between, *(f"'{c}" for c in behind))
        left = sum(not any(part in text for part in blamed) for text in others)
        cells = (by_edition(between, known), by_edition(behind, known), f"{len(others)}, {left}")
        print(f"| {reader.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
