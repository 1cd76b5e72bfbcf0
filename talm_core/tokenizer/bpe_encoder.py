"""Text to token ids in compiled code: exactly tiktoken's ids, several times as fast.

Text is made of few different pieces. A piece's ids are looked up in a table by its bytes, and
merged only when it is not there. For the named patterns the pieces are found by a loop over UTF-8
bytes. What the loop cannot do is left to tiktoken: texts with pieces of more than
`pretokenize.LONGEST_PIECE` bytes, and long pieces that are not in the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from talm_core.tokenizer import patterns
from talm_core.tokenizer.characters import CharacterClasses, character_at, character_classes
from talm_core.tokenizer.jit import Scalar, compiled, inner, is_cached
from talm_core.tokenizer.piece_table import (
    ANSWERS,
    COPIED,
    COUNT,
    FIRST,
    LONGEST_MERGED,
    POOL,
    ROWS,
    SECOND,
    START,
    VALUE,
    Bytes,
    Ids,
    Longs,
    Text,
    Tokens,
    Words,
    first_of,
    merge,
    second_of,
    slot_of,
)
from talm_core.tokenizer.pretokenize import LONGEST_PIECE, _gpt2_end, _piece_end
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE, Vocabulary

_PROBE = 64

STYLES = {patterns.DEFAULT: 0, patterns.LLAMA3: 0, patterns.GPT2: 1}
"""The patterns by which it splits, and how the loop tells them apart."""

# Why the loop has returned.
_DONE, _LONG_PIECE, _STRANGE_TEXT, _FULL = range(4)

# Places in the state of the loop: the text and the byte it is at, the end of the piece there,
# ids written, and how many were when the text began: -1 before that.
TEXT, AT, END, WRITTEN, BEGUN = range(5)


class FastTokenizer:
    """Encodes many texts at once, for one thread. What is not in the cache is compiled at the first
    use."""

    def __init__(self, tokenizer: Tokenizer, tokens: Tokens, classes: CharacterClasses) -> None:
        """`tokens` are those of the tokenizer; they and `classes` may be shared by threads."""
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._classes = classes
        self._style = STYLES[tokenizer._pat_str]  # noqa: SLF001
        self._table = tokens.table()
        self._scratch = np.zeros((2, LONGEST_MERGED), np.int64)
        self._state = np.zeros(5, np.int64)
        self._out = np.zeros(0, np.uint32)

    @property
    def is_cached(self) -> bool:
        """Whether nothing has to be compiled to use it."""
        marks = np.zeros(0, np.int64)
        return is_cached(_encode, *self._arguments(Text(b""), marks, marks))

    def ids(self, texts: Sequence[str], before: Sequence[int | None]) -> Ids:
        """The ids of all texts, those in `before` in front of theirs. Special tokens in a text are
        text. What is returned is valid until the next call.

        Raises:
            RunError: as `Tokenizer.ids`.
        """
        assert len(self._tokens.pairs), "the vocabulary was not entered"
        try:
            parts = [text.encode() for text in texts]
        except UnicodeEncodeError:
            for text in texts:
                self._tokenizer.ids(text)
            raise
        joined = b"".join(parts)
        data = Text(joined)
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        marks = np.array([-1 if mark is None else mark for mark in before], np.int64)
        if not joined.isascii():
            self._classes.learn_from(data.bytes)
        if len(self._out) < (most := len(joined) + len(parts) + COPIED):
            self._out = np.zeros(most, np.uint32)
        state = self._state
        state[:] = 0
        state[BEGUN] = -1
        arguments = self._arguments(data, ends, marks)
        while (why := _encode(*arguments)) != _DONE:
            if why == _FULL:
                self._tokens.reset(self._table)
                continue
            if why == _LONG_PIECE:
                piece = joined[state[AT] : state[END]]
                ids = np.array(self._tokenizer._encode_single_piece(piece), np.uint32)  # noqa: SLF001
                state[AT] = state[END]
            else:
                ids = self._tokenizer.ids(texts[state[TEXT]])
                state[AT] = ends[state[TEXT]]
            written = int(state[WRITTEN])
            self._out[written : written + len(ids)] = ids
            state[WRITTEN] += len(ids)
        return self._out[: int(state[WRITTEN])]

    def _arguments(self, data: Text, ends: Longs, marks: Longs) -> tuple[Any, ...]:
        """What `_encode` takes."""
        tokens, table = self._tokens, self._table
        return (
            data.bytes,
            data.words,
            ends,
            marks,
            self._classes.table,
            self._style,
            table.rows,
            table.pool,
            table.answers,
            table.state,
            tokens.bytes,
            tokens.byte_pairs,
            tokens.pairs,
            self._scratch,
            self._out,
            self._state,
        )


def compile_all() -> None:
    """Have all machine code for encoding in the cache."""
    vocabulary = Vocabulary.load(BASE)
    tokens = Tokens(vocabulary)
    tokens.fill()
    tokenizer = Tokenizer.from_vocabulary(vocabulary)
    FastTokenizer(tokenizer, tokens, character_classes()).ids(["é"], [None])


@inner
def _blank_end(text: Bytes, at: Scalar, classes: Bytes) -> Scalar:
    """Where white space that begins at `at` ends."""
    while at < len(text):
        character = character_at(text, at)
        kind = classes[character >> 3]
        if kind != classes[0x20] and kind != classes[0x0A]:
            break
        at += character & 7
    return at


@inner
def _letters(word: Scalar) -> Scalar:
    """How many ASCII letters eight bytes begin with. All bytes are compared at once: the highest
    bit of each says how that went."""
    high, one = np.uint64(0x8080808080808080), np.uint64(0x0101010101010101)
    low = word | np.uint64(0x2020202020202020)
    seven = low & ~high
    from_a = seven + np.uint64(0x1F1F1F1F1F1F1F1F)
    behind_z = seven + np.uint64(0x0505050505050505)
    others = ~(from_a & ~behind_z & ~low) & high
    # All bits below the first byte that is no letter, then one of each of those bytes, added up.
    before = ((others & (~others + np.uint64(1))) >> np.uint64(7)) - np.uint64(1)
    return np.int64(((before & one) * one) >> np.uint64(56))


@inner
def _word_end(text: Bytes, words: Words, at: Scalar, style: Scalar, classes: Bytes) -> Scalar:
    """Where the piece at `at` ends if it is a word in ASCII, maybe with one character before it;
    `at` if it is anything else."""
    first = text[at]
    if first >= 0x80:
        return at
    kind = classes[first]
    begin = at if kind == classes[0x61] else at + 1
    if begin > at and first != 0x20:
        digit_or_line = kind == classes[0x30] or kind == classes[0x0A]
        if style != 0 or first == 0x27 or digit_or_line:
            return at
    end = begin
    while True:
        count = _letters(words[end])
        end += count
        if count < 8 or end >= len(text):
            break
    # The next text may begin with letters.
    end = min(end, len(text))
    if end == begin or end - at >= LONGEST_PIECE or (end < len(text) and text[end] >= 0x80):
        return at
    return end


@inner
def _end(text: Bytes, words: Words, at: Scalar, style: Scalar, classes: Bytes) -> Scalar:
    """Where the piece at `at` ends; -1 when that is farther than is looked."""
    end = _word_end(text, words, at, style, classes)
    if end > at:
        return end
    if len(text) - at >= LONGEST_PIECE:
        # A piece of white space can end long before what it depends on; no other one can.
        probe = text[at + _PROBE]
        blank = probe >= 0x80 or classes[probe] == classes[0x20] or classes[probe] == classes[0x0A]
        if blank and _blank_end(text, at, classes) - at >= LONGEST_PIECE:
            return -1
    end = _piece_end(text, at, classes) if style == 0 else _gpt2_end(text, at, classes)
    return end if end - at < LONGEST_PIECE else -1


@inner
def _enter(
    count: Scalar,
    first: Scalar,
    second: Scalar,
    slot: Scalar,
    text: Bytes,
    at: Scalar,
    size: Scalar,
    rows: Longs,
    pool: Bytes,
    answers: Ids,
    used: Longs,
    scratch: Longs,
) -> Scalar:
    """Enter a piece whose `count` ids are in `scratch[0]` at its slot; returns its value."""
    value = np.int64(count) << COUNT | used[ANSWERS]
    for i in range(count):
        answers[used[ANSWERS] + i] = scratch[0, i]
    used[ANSWERS] += count
    if size > 15:
        rows[slot, START] = used[POOL]
        for i in range(size):
            pool[used[POOL] + i] = text[at + i]
        used[POOL] += size
    rows[slot, FIRST] = first
    rows[slot, SECOND] = second
    rows[slot, VALUE] = value
    used[ROWS] += 1
    return value


@inner
def _encode_text(
    text: Bytes,
    words: Words,
    classes: Bytes,
    style: Scalar,
    rows: Longs,
    pool: Bytes,
    answers: Ids,
    used: Longs,
    bytes_: Longs,
    byte_pairs: Longs,
    pairs: Longs,
    scratch: Longs,
    out: Ids,
    state: Longs,
) -> Scalar:
    """Encode one text from where `state` says on, until done or until Python has to do something;
    what, is returned."""
    at, written = state[AT], state[WRITTEN]
    why = np.int64(_DONE)
    while at < len(text):
        end = _end(text, words, at, style, classes)
        if end < 0:
            why, written = np.int64(_STRANGE_TEXT), state[BEGUN]
            break
        size = end - at
        first, second = first_of(words, at, size), second_of(words, at, size)
        slot = slot_of(first, second, text, at, size, rows, pool)
        value = rows[slot, VALUE]
        if value == 0:
            if size > LONGEST_MERGED:
                why, state[END] = np.int64(_LONG_PIECE), end
                break
            if (
                used[ROWS] >= len(rows) // 2
                or used[POOL] + size > len(pool)
                or used[ANSWERS] + size + COPIED > len(answers)
            ):
                why = np.int64(_FULL)
                break
            count = merge(text, at, size, bytes_, byte_pairs, pairs, scratch)
            value = _enter(
                count, first, second, slot, text, at, size, rows, pool, answers, used, scratch
            )
        place, count = value & ((np.int64(1) << COUNT) - 1), value >> COUNT
        for i in range(COPIED):
            out[written + i] = answers[place + i]
        for i in range(COPIED, count):
            out[written + i] = answers[place + i]
        written += count
        at = end
    state[AT], state[WRITTEN] = at, written
    return why


@compiled
def _encode(
    data: Bytes,
    words: Words,
    ends: Longs,
    marks: Longs,
    classes: Bytes,
    style: Scalar,
    rows: Longs,
    pool: Bytes,
    answers: Ids,
    used: Longs,
    bytes_: Longs,
    byte_pairs: Longs,
    pairs: Longs,
    scratch: Longs,
    out: Ids,
    state: Longs,
) -> Scalar:
    """Encode texts that lie end to end, each with its mark in front if that is one, from where
    `state` says on. Returns as `_encode_text`."""
    while state[TEXT] < len(ends):
        number = state[TEXT]
        if state[BEGUN] < 0:
            if marks[number] >= 0:
                out[state[WRITTEN]] = marks[number]
                state[WRITTEN] += 1
            state[BEGUN] = state[WRITTEN]
        why = _encode_text(
            data[: ends[number]],
            words,
            classes,
            style,
            rows,
            pool,
            answers,
            used,
            bytes_,
            byte_pairs,
            pairs,
            scratch,
            out,
            state,
        )
        if why != _DONE:
            return why
        state[TEXT] += 1
        state[BEGUN] = -1
    return _DONE
