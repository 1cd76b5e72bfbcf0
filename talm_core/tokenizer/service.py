"""Cutting text into tokens for somebody who looks at it, while they type.

`talm_core.tokenizer.playground` has what is said and heard.
"""

from __future__ import annotations

import json
import queue
import re
import threading
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from talm_core.errors import ConfigError, Problem, TalmError
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.playground import MOST_TOKENS, Answer, Ask, Token
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import Vocabulary, find_vocabulary, readable

_SURROGATE = re.compile("[\ud800-\udfff]")


class Cut:
    """A text cut into tokens. `ids` and the bytes' ends `ends` have one value each a token."""

    def __init__(self, tokenizer: Tokenizer, text: str, *, special: bool = False) -> None:
        """Half a surrogate pair in the text counts as U+FFFD.

        Raises:
            RunError: the tokenizer's regular expression cannot split the text.
        """
        self.tokenizer = tokenizer
        whole = _SURROGATE.sub("\ufffd", text)
        data = whole.encode()
        self.bytes, self.characters = len(data), len(text)
        self.ids = tokenizer.ids(whole, special=special)
        self.ends = np.cumsum(tokenizer.lengths[self.ids])
        begins = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
        # How many characters begin before each byte.
        self._before: npt.NDArray[np.int64] = np.concatenate([[0], np.cumsum(begins)])

    def part(self, start: int, stop: int) -> tuple[int, tuple[Token, ...]]:
        """The place of the first token that touches the characters from `start` to before `stop`,
        and all that do, at most `MOST_TOKENS`."""
        stops = self._before[self.ends]
        first = int(np.searchsorted(stops, start, side="right"))
        last = min(int(np.searchsorted(stops, stop, side="left")) + 1, first + MOST_TOKENS)
        ids, stops = self.ids[first:last].tolist(), stops[first:last].tolist()
        begin = int(self._before[self.ends[first - 1]]) if first else 0
        tokens = []
        for rank, end in zip(ids, stops, strict=True):
            if begin >= stop:
                break
            token = self.tokenizer.decode_single_token_bytes(rank)
            tokens.append(Token(rank, readable(token), begin, end))
            begin = end
        return first, tuple(tokens)


class Session:
    """Answers asks and keeps the last tokenizer and the last text cut."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._key: tuple[Path, int] | None = None
        self._tokenizer: Tokenizer | None = None
        self._asked: Ask | None = None
        self._cut: Cut | None = None

    def answer(self, ask: Ask) -> Answer:
        """Cut the text and tell of the part; what is wrong is said in the answer."""
        try:
            cut = self._cut_of(ask)
        except TalmError as error:
            self._cut = None
            return Answer(ask.number, error=str(error))
        first, part = cut.part(ask.start, ask.stop)
        return Answer(ask.number, len(cut.ids), cut.bytes, cut.characters, first, part)

    def _cut_of(self, ask: Ask) -> Cut:
        if ask.text is None:
            if self._asked is None:
                raise ConfigError(Problem("text", "must be given first"))
            ask = ask.model_copy(update={"text": self._asked.text})
        tokenizer = self._load(ask.tokenizer)
        before = self._asked
        self._asked = ask
        same = before is not None and (before.text, before.special) == (ask.text, ask.special)
        if self._cut is None or not same or self._cut.tokenizer is not tokenizer:
            assert ask.text is not None
            self._cut = None
            self._cut = Cut(tokenizer, ask.text, special=ask.special)
        return self._cut

    def _load(self, name: str) -> Tokenizer:
        path = find_vocabulary(self._workspace, name, key="tokenizer")
        key = path, path.stat().st_mtime_ns
        if self._tokenizer is None or self._key != key:
            self._key = self._tokenizer = None
            self._tokenizer = Tokenizer.from_vocabulary(Vocabulary.load(path))
            self._key = key
        return self._tokenizer


def serve(workspace: Workspace, lines: TextIO, out: TextIO) -> int:
    """Answer asks until `lines` ends; returns the exit code."""
    waiting: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_listen, args=(lines, waiting), daemon=True).start()
    session = Session(workspace)
    ended = False
    while not ended:
        line = waiting.get()
        ask: Ask | None = None
        while True:
            if line is None:
                ended = True
                break
            answer, ask = _read(line, ask)
            if answer is not None:
                out.write(answer.line())
                out.flush()
            if waiting.empty():
                break
            line = waiting.get()
        if ask is not None:
            out.write(session.answer(ask).line())
            out.flush()
    return 0


def _listen(lines: TextIO, waiting: queue.Queue[str | None]) -> None:
    for line in lines:
        waiting.put(line)
    waiting.put(None)


def _read(line: str, before: Ask | None) -> tuple[Answer | None, Ask | None]:
    """The ask in a line, in place of the one before it, whose text it may be about; or what is
    wrong with it."""
    try:
        ask = Ask.model_validate(json.loads(line))
    except (ValueError, RecursionError) as error:
        return Answer(0, error=_told(error)), before
    if ask.text is None and before is not None:
        ask = ask.model_copy(update={"text": before.text})
    return None, ask


def _told(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'stdin'}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)
        )
    return f"stdin: is no JSON: {error}"
