"""Compiled encoding, compared with tiktoken id by id."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import talm_core
from talm_core.data import encoding as data_encoding
from talm_core.data.encoding import Encoder
from talm_core.data.local.corpus import open_corpus
from talm_core.data.resume_state import Located
from talm_core.errors import RunError
from talm_core.tokenizer import readiness, scripts
from talm_core.tokenizer.bpe_encoder import FastTokenizer, compile_all
from talm_core.tokenizer.characters import CharacterClasses
from talm_core.tokenizer.patterns import DEFAULT, GPT2, LLAMA3
from talm_core.tokenizer.piece_table import LONGEST_MERGED, Tokens
from talm_core.tokenizer.pretokenize import LONGEST_PIECE
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE, Vocabulary

PATTERNS = (DEFAULT, GPT2, LLAMA3)
BASE_VOCABULARY = Vocabulary.load(BASE)
CLASSES = CharacterClasses()

LONG = (LONGEST_PIECE - 3, LONGEST_PIECE, LONGEST_PIECE + 1)

TRICKY = st.text(
    st.sampled_from(
        "ab'stRE1٣²Ⅷ½ſK \t\r\n\u00a0\u3000\u2028_-!.,。，é\u0301中ß\U0001f642\x00\x1f\u200d"
    ),
    max_size=80,
)
ANY = st.text(st.characters(codec="utf-8"), max_size=80)
REPEATED = st.tuples(TRICKY, st.integers(1, 60)).map(lambda pair: pair[0][:9] * pair[1])
TEXTS = st.lists(st.one_of(TRICKY, ANY, REPEATED), max_size=8)


def bytes_alone(pattern: str) -> Vocabulary:
    return Vocabulary("bytes", pattern, {bytes([b]): b for b in range(256)}, {})


def thinned(pattern: str) -> Vocabulary:
    """With tokens whose parts are missing, as in vocabularies that were collapsed."""
    tokens = [t for t, rank in BASE_VOCABULARY.ranks.items() if rank < 256 or rank % 3]
    return Vocabulary("thinned", pattern, {t: rank for rank, t in enumerate(tokens)}, {})


@cache
def pair(name: str, pattern: str) -> tuple[Tokenizer, FastTokenizer]:
    if name == "base":
        return made(dataclasses.replace(BASE_VOCABULARY, pattern=pattern))
    return made(bytes_alone(pattern) if name == "bytes" else thinned(pattern))


def made(vocabulary: Vocabulary, **room: int) -> tuple[Tokenizer, FastTokenizer]:
    tokens = Tokens(vocabulary, **room)
    tokens.fill()
    tokenizer = Tokenizer.from_vocabulary(vocabulary)
    return tokenizer, FastTokenizer(tokenizer, tokens, CLASSES)


def check(tokenizer: Tokenizer, fast: FastTokenizer, texts: list[str]) -> None:
    before = [7 if number % 3 else None for number in range(len(texts))]
    expected: list[int] = []
    for mark, text in zip(before, texts, strict=True):
        expected += [] if mark is None else [mark]
        expected += tokenizer.ids(text).tolist()
    assert fast.ids(texts, before).tolist() == expected


@pytest.mark.parametrize("pattern", PATTERNS, ids=["default", "gpt2", "llama3"])
@pytest.mark.parametrize("name", ["bytes", "thinned", "base"])
@settings(max_examples=60, deadline=None)
@given(texts=TEXTS)
def test_any_text_has_the_ids_that_tiktoken_gives_it(
    name: str, pattern: str, texts: list[str]
) -> None:
    check(*pair(name, pattern), texts)


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.sampled_from("abc é中"), min_size=1, max_size=60),
    cuts=st.lists(st.tuples(st.integers(0, 70), st.integers(2, 9)), max_size=40),
    pattern=st.sampled_from(PATTERNS),
)
def test_any_vocabulary_merges_as_tiktoken_does(
    text: str, cuts: list[tuple[int, int]], pattern: str
) -> None:
    """Tokens are parts of the text in any order, so that some can never be merged."""
    data = text.encode()
    tokens = {data[at : at + size] for at, size in cuts}
    tokens -= {bytes([b]) for b in range(256)} | {b""}
    # A set's order differs from run to run, the example's must not.
    longer = sorted(tokens, key=lambda token: hash((len(cuts), *token)))
    ranks = {bytes([b]): b for b in range(256)} | {t: 256 + i for i, t in enumerate(longer)}
    check(*made(Vocabulary("x", pattern, ranks, {}), room=50), [text, text[1:], text * 3])


@pytest.mark.parametrize("pattern", PATTERNS, ids=["default", "gpt2", "llama3"])
def test_real_texts(pattern: str) -> None:
    tokenizer, fast = pair("base", pattern)
    texts = [sample.text for sample in scripts.SAMPLES]
    for _, document in zip(range(120), open_corpus("stdlib").documents(), strict=False):
        texts.append(document.text)
    check(tokenizer, fast, texts)


@pytest.mark.parametrize("pattern", PATTERNS, ids=["default", "gpt2", "llama3"])
def test_a_table_that_is_full_begins_anew(pattern: str) -> None:
    vocabulary = thinned(pattern)
    tokenizer, fast = made(vocabulary, room=3)
    texts = [f"unheardof{number} wordlet{number * 7919}ish\n" * 3 for number in range(5_000)]
    check(tokenizer, fast, texts)


@pytest.mark.parametrize("run", [" ", "\n", "\u3000", "a", "中", "-"])
@pytest.mark.parametrize("pattern", [DEFAULT, GPT2], ids=["default", "gpt2"])
def test_long_pieces_are_whole_up_to_any_length(pattern: str, run: str) -> None:
    tokenizer, fast = pair("base", pattern)
    texts = []
    for length in [*range(LONGEST_MERGED - 2, LONGEST_MERGED + 3), *LONG]:
        whole = run * (length // len(run.encode()))
        texts += [
            f"x {whole}x",
            f"\n{whole}\n{whole}",
            f"a\r\n{whole}",
            f"!{whole}\n\n",
            f" {whole}",
        ]
    check(tokenizer, fast, texts)


def test_half_a_surrogate_pair_is_refused_as_by_the_other_way() -> None:
    tokenizer, fast = pair("base", DEFAULT)
    with pytest.raises(RunError) as expected:
        tokenizer.ids("a\ud800b")
    with pytest.raises(RunError) as found:
        fast.ids(["c", "a\ud800b"], [None, None])
    assert str(found.value) == str(expected.value)


def encoded(encoder: Encoder, texts: list[str], threads: int) -> list[int]:
    documents = [Located(0, number, text) for number, text in enumerate(texts)]
    stream = encoder.run(encoder.batches(documents), threads=threads)
    return [token for part in stream if part for token in part.tokens.tolist()]


@pytest.mark.parametrize("threads", [1, 3])
def test_tokens_are_the_same_before_and_after_it_is_ready(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_all()
    texts = [
        document.text
        for _, document in zip(range(60), open_corpus("stdlib").documents(), strict=False)
    ]
    expected = encoded(Encoder(BASE_VOCABULARY), texts, threads)
    monkeypatch.setattr(readiness, "WORTH_LOADING", 0)
    monkeypatch.setattr(data_encoding, "BATCH_CHARACTERS", 5_000)
    encoder = Encoder(BASE_VOCABULARY)
    assert encoded(encoder, texts, threads) == expected
    # It was the first thing the threads had to do: begun, and maybe not done yet.
    assert encoder._readiness._loading is not None
    assert encoder._readiness._loading.result()
    assert encoder._readiness.tokenizer(Tokenizer.from_vocabulary(BASE_VOCABULARY)) is not None
    assert encoded(encoder, texts, threads) == expected


COMPILED_MEANWHILE = """
from itertools import count
from talm_core.data.encoding import BATCH_CHARACTERS, Encoder
from talm_core.data.resume_state import Located
from talm_core.errors import RunError
from talm_core.tokenizer import readiness
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE, Vocabulary

readiness.WORTH_LOADING = readiness.WORTH_COMPILING = 0
vocabulary = Vocabulary.load(BASE)
tokenizer = Tokenizer.from_vocabulary(vocabulary)
text = "It's a text of 1234 words,  and so on.\\n" * 500
expected = [vocabulary.end_of_text, *tokenizer.encode_ordinary(text)]

def documents(encoder, goal):
    for number in count():
        readiness = encoder._readiness
        if goal(readiness):
            return
        if readiness._compiling is not None:
            readiness._compiling.wait()
        elif readiness._loading is not None:
            readiness._loading.result()
        yield Located(0, number, text)

def run(goal):
    encoder = Encoder(vocabulary)
    tokens = []
    for part in encoder.run(encoder.batches(documents(encoder, goal)), threads=2):
        if part is not None:
            tokens = [*tokens, *part.tokens.tolist()][-len(expected):]
            assert tokens[-len(expected):] == expected
    return encoder._readiness

stopped = run(lambda readiness: readiness._compiling is not None)
assert stopped._compiling is None and stopped._shared is None
ready = run(lambda readiness: readiness._shared is not None)
assert ready.tokenizer(tokenizer) is not None
assert ready.tokenizer(tokenizer).ids([text], [None]).tolist() == expected[1:]
"""


def test_a_process_of_its_own_compiles_what_is_not_in_the_cache(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILED_MEANWHILE]
    subprocess.run(command, env=environment, check=True)
    assert any(tmp_path.rglob("*.nbc"))


def test_what_is_returned_is_valid_until_the_next_call() -> None:
    _, fast = pair("base", DEFAULT)
    first = fast.ids(["one two"], [None])
    kept = first.copy()
    again = fast.ids(["one two"], [None])
    assert np.array_equal(again, kept)


def test_loading_that_was_called_off_with_its_executor_is_begun_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "WORTH_LOADING", 0)
    monkeypatch.setattr(readiness.Readiness, "_load", lambda _: True)
    ready = readiness.Readiness(BASE_VOCABULARY)
    at_work = threading.Event()
    with ThreadPoolExecutor(1) as busy:
        busy.submit(at_work.wait)
        ready.advance(1, busy)
        busy.shutdown(wait=False, cancel_futures=True)
        at_work.set()
    with ThreadPoolExecutor(1) as other:
        ready.advance(1, other)
        assert ready._loading is not None
        assert ready._loading.result()


STAMPS = """
import sys
from pathlib import Path
from numba.core import event

begun = []
class Listener(event.Listener):
    def on_start(self, compiling): begun.append(compiling.data["dispatcher"].__name__)
    def on_end(self, compiling): pass

sys.path.insert(0, sys.argv[1])
import numpy as np
from talm_core.tokenizer import jit
assert jit.__file__.startswith(sys.argv[1])
from talm_core.tokenizer.characters import _unknown
with event.install_listener("numba:compile", Listener()):
    _unknown(np.frombuffer(b"ab", np.uint8), 0, np.zeros(256, np.uint8))
print(len(begun))
"""


def test_machine_code_is_made_anew_when_another_module_changes(tmp_path: Path) -> None:
    package = tmp_path / "talm_core"
    shutil.copytree(Path(talm_core.__file__).parent, package, ignore=lambda *_: ["__pycache__"])

    def compiled_functions() -> int:
        command = [sys.executable, "-c", STAMPS, str(tmp_path)]
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        return int(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)

    first = compiled_functions()
    assert first > 1
    assert compiled_functions() == 0
    patterns = package / "tokenizer" / "patterns.py"
    patterns.write_text(patterns.read_text() + "\n# another one\n")
    assert compiled_functions() == first
