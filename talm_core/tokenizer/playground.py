"""What a program that shows text cut into tokens says to the session that cuts it, and hears.

    python -m talm_core --tokenize    one JSON object a line on stdin, one on stdout for each

A line asks, an `Ask` as JSON; `text` is left out to look at another part of the last one. The
answer is an `Answer`, with the ask's `number`; `decode` reads it. Asks that waited while another
was answered are passed over for the newest, so that an answer is never about what was typed long
ago. Nothing heavy is loaded here: `talm_core.tokenizer.service` does the work.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MOST_TOKENS = 20_000
"""Tokens an answer holds at most, however long the part that was asked for."""


class Ask(BaseModel):
    """What to cut, and which part of the text to answer with, in characters: `start` to before
    `stop`. `special` makes special tokens of their texts, which otherwise are text like any."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    number: int = 0
    tokenizer: str = "base"
    text: str | None = None
    start: Annotated[int, Field(ge=0)] = 0
    stop: Annotated[int, Field(ge=0)] = MOST_TOKENS
    special: bool = False

    def line(self) -> str:
        """The ask as the session reads it, with a line feed."""
        # As ASCII: half a surrogate pair that somebody pasted goes through, too.
        return json.dumps(self.model_dump(exclude_none=True)) + "\n"


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text: its id, its bytes as they can be shown anywhere, and the characters of
    the text whose first byte it holds, from `start` to before `stop`. A token that only goes on
    with a character begun by the one before has none of its own."""

    id: int
    text: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Answer:
    """How many tokens, bytes and characters the whole text has, and the tokens of the part: the
    first one's place is `first`. `error` says what is wrong instead, else it is empty."""

    number: int
    tokens: int = 0
    bytes: int = 0
    characters: int = 0
    first: int = 0
    part: tuple[Token, ...] = ()
    error: str = ""

    def line(self) -> str:
        """The answer as the session writes it, with a line feed."""
        data: dict[str, Any] = asdict(replace(self, part=()))
        data["part"] = [[token.id, token.text, token.start, token.stop] for token in self.part]
        return json.dumps(data) + "\n"


def decode(line: str | bytes) -> Answer:
    """The answer in a line of the session's stdout."""
    data = json.loads(line)
    return Answer(**data | {"part": tuple(Token(*token) for token in data["part"])})
