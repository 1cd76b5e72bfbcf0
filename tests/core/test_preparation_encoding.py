from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.data import encoding
from talm_core.data.encoding import Batch, Encoder
from talm_core.data.resume_state import Located
from talm_core.tokenizer import patterns
from talm_core.tokenizer.patterns import DEFAULT, GPT2, LLAMA3
from talm_core.tokenizer.splitter import splitter
from talm_core.tokenizer.vocabulary import BASE, Vocabulary

BASE_VOCABULARY = Vocabulary.load(BASE)
ENCODERS = {
    pattern: Encoder(dataclasses.replace(BASE_VOCABULARY, pattern=pattern))
    for pattern in (DEFAULT, GPT2, LLAMA3)
}

# Where pieces end is decided by letters, digits, white space, apostrophes and the rest.
TRICKY = st.text(
    st.sampled_from("ab'stRE1٣²Ⅷ½ \t\r\n\u00a0\u3000_-!.,。，、é\u0301中ß\U0001f642\x00\x1f\u200d"),
    max_size=80,
)
ANY = st.text(st.characters(codec="utf-8"), max_size=80)


def encode(encoder: Encoder, texts: list[str], *, threads: int = 2) -> list[int]:
    documents = [Located(0, number, text) for number, text in enumerate(texts)]
    stream = encoder.run(encoder.batches(documents), threads=threads)
    return [token for encoded in stream if encoded for token in encoded.tokens.tolist()]


@pytest.mark.parametrize("pattern", ENCODERS, ids=["default", "gpt2", "llama3"])
@settings(max_examples=300, deadline=None)
@given(text=st.one_of(TRICKY, ANY, st.tuples(TRICKY, ANY).map("".join)))
def test_a_text_may_be_cut_anywhere_the_rule_allows(pattern: str, text: str) -> None:
    whole = [*splitter(pattern).pieces(text)]
    for cut in patterns.CUT.finditer(text):
        left, right = text[: cut.start()], text[cut.start() :]
        assert [p for part in (left, right) for p in splitter(pattern).pieces(part)] == whole
        # tiktoken's own regular expressions agree.
        ordinary = ENCODERS[pattern]._tokenizer.encode_ordinary
        assert ordinary(left) + ordinary(right) == ordinary(text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(TRICKY, ANY).filter(bool), max_size=12), st.integers(1, 3))
def test_documents_come_in_order_each_after_an_end_of_text(texts: list[str], threads: int) -> None:
    encoder = ENCODERS[DEFAULT]
    expected: list[int] = []
    for text in texts:
        expected += [BASE_VOCABULARY.end_of_text, *encoder._tokenizer.encode_ordinary(text)]
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.setattr(encoding, "BATCH_CHARACTERS", 25)
        assert encode(encoder, texts, threads=threads) == expected


def test_long_documents_are_cut_into_batches_and_short_ones_are_grouped() -> None:
    encoder = ENCODERS[DEFAULT]
    size = encoding.BATCH_CHARACTERS
    texts = ["word " * size, *["x"] * 5, "y"]
    found = encoder.batches([Located(1, row, text) for row, text in enumerate(texts, 7)])
    batches = [batch for batch in found if batch is not None]
    assert [batch.places for batch in batches[:3]] == [[(1, 7)], [], []]
    assert [place for batch in batches for place in batch.places] == [
        (1, row) for row in range(7, 14)
    ]
    assert max(batch.characters for batch in batches) <= 2 * size + 200
    assert [text for batch in batches for begins, text in batch.texts if begins][1:] == [
        *["x"] * 5,
        "y",
    ]
    assert "".join(text for batch in batches for _, text in batch.texts[:1]).startswith("word ")


def test_waiting_for_documents_is_passed_on_while_what_is_there_is_encoded() -> None:
    encoder = ENCODERS[DEFAULT]
    text = "word " * (encoding.BATCH_CHARACTERS // 5)
    documents = [None, Located(0, 0, text), *[None] * 200, Located(0, 1, "x"), None]
    found = list(encoder.run(encoder.batches(documents), threads=2))
    assert found[0] is None
    places = [encoded.places for encoded in found if encoded is not None]
    assert places == [[(0, 0)], [(0, 1)]]


def test_a_pattern_of_ones_own_is_never_cut() -> None:
    encoder = Encoder(dataclasses.replace(BASE_VOCABULARY, pattern=r"[^x]+|x"))
    text = "one long piece, " * 60_000
    assert len(list(encoder.batches([Located(0, 0, text)]))) == 1
    assert encode(encoder, [text])[1:] == encoder._tokenizer.encode_ordinary(text)


def test_special_tokens_in_a_text_are_text() -> None:
    found = encode(ENCODERS[DEFAULT], ["<|endoftext|><|user|>"])
    assert found[0] == BASE_VOCABULARY.end_of_text
    assert max(found[1:]) < len(BASE_VOCABULARY.ranks)


@pytest.mark.parametrize("run", [" ", "\n", "a", "ab", "中"])
@pytest.mark.parametrize("pattern", [DEFAULT, GPT2], ids=["default", "gpt2"])
def test_very_long_runs_are_encoded_all_the_same(pattern: str, run: str) -> None:
    text = "x" + run * 1_000_000 + "x"
    encoder = ENCODERS[pattern]
    found = encode(encoder, [text])
    decoded = encoder._tokenizer.decode_bytes(found[1:])
    assert decoded == text.encode()


def test_the_careful_way_gives_the_same_ids() -> None:
    encoder = ENCODERS[DEFAULT]
    text = "def f(x):\n" + " " * 120_000 + "return x\n" + "\n" * 9 + "été 1234"
    careful = encoder._tokenizer._ids_by_pieces(text)
    assert careful.tolist() == encoder._tokenizer.encode_ordinary(text)


def test_an_empty_batch_member_is_no_error() -> None:
    batch = Batch()
    batch.add(BASE_VOCABULARY.end_of_text, "")
    encoded = ENCODERS[DEFAULT].encode(batch)
    assert np.array_equal(encoded.tokens, [BASE_VOCABULARY.end_of_text])
