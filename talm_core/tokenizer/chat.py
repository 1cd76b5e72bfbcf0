"""A conversation as tokens, and the template by which others make the same of it.

    <|endoftext|><|system|>Be brief.<|user|>Hello!<|assistant|>Hi.<|endoftext|>

Each message is the token of its role and its text as it is; what the assistant says ends with the
end-of-text token, and a conversation begins with one, as every document does. Texts are never read
for special tokens: nobody can put words into another's mouth. The template, which knows only one
text for all of it, refuses a message that holds one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from talm_core.errors import ArtifactError, ConfigError, Problem, nearest
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import END_OF_TEXT, ROLE_TOKENS, Vocabulary


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation's token ids, and for each whether the assistant says it: those are what a
    model learns to say."""

    ids: list[int] = field(default_factory=list)
    assistant: list[bool] = field(default_factory=list)

    def append(self, ids: Sequence[int], *, assistant: bool = False) -> None:
        """Go on with these ids."""
        self.ids.extend(ids)
        self.assistant.extend([assistant] * len(ids))


class Chat:
    """Renders conversations with one tokenizer."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Raises:
        ArtifactError: the vocabulary lacks the token of a role or the end-of-text token.
        """
        lacking = [
            token
            for token in (END_OF_TEXT, *ROLE_TOKENS.values())
            if token not in vocabulary.special_tokens
        ]
        if lacking:
            message = f"has no special tokens for a conversation: {', '.join(lacking)} missing"
            raise ArtifactError(Problem(f"tokenizer {vocabulary.name}", message))
        self._tokenizer = Tokenizer.from_vocabulary(vocabulary)
        self._end = vocabulary.end_of_text
        self._roles = {
            role: vocabulary.special_tokens[token] for role, token in ROLE_TOKENS.items()
        }

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = False
    ) -> Rendered:
        """The conversation; each message has a `role` (`system`, `user` or `assistant`) and its
        text as `content`, in one or as a list of parts. With `add_generation_prompt` it ends where
        the assistant speaks next.

        Raises:
            ConfigError: with every message that is wrong.
        """
        problems = _problems(messages)
        if problems:
            raise ConfigError(*problems)
        rendered = Rendered()
        rendered.append([self._end])
        for message in messages:
            speaks = message["role"] == "assistant"
            rendered.append([self._roles[message["role"]]])
            rendered.append(
                self._tokenizer.ids(_text(message["content"]) or "").tolist(), assistant=speaks
            )
            if speaks:
                rendered.append([self._end], assistant=True)
        if add_generation_prompt:
            rendered.append([self._roles["assistant"]])
        return rendered


def _problems(messages: Sequence[object]) -> list[Problem]:
    if not messages:
        return [Problem("messages", "there must be at least one")]
    problems = []
    for number, message in enumerate(messages):
        key = f"messages[{number}]"
        if not isinstance(message, Mapping):
            problems.append(Problem(key, "must have a role and a content", message))
            continue
        role, content = message.get("role"), message.get("content")
        if role not in ROLE_TOKENS:
            known = nearest(str(role), ROLE_TOKENS)
            problems.append(Problem(f"{key}.role", "there is no such role", role, known))
        if (text := _text(content)) is None:
            problems.append(Problem(f"{key}.content", "must be a text", content))
        elif any("\ud800" <= character <= "\udfff" for character in text):
            problems.append(Problem(f"{key}.content", "holds half a surrogate pair"))
    return problems


def _text(content: object) -> str | None:
    """What a message says: a text, or parts `{"type": "text", "text": ...}` one after the other.
    None for anything else."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    texts: list[str] = []
    for part in content:
        known = isinstance(part, Mapping) and part.get("type") == "text"
        text = part.get("text") if known else part
        if not isinstance(text, str):
            return None
        texts.append(text)
    return "".join(texts)
