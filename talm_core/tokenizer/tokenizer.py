"""Text to ids and back, with the class tokencoder has: a `tiktoken.Encoding` from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import tiktoken

from talm_core.errors import ArtifactError, Problem
from talm_core.tokenizer.vocabulary import Vocabulary


class Tokenizer(tiktoken.Encoding):
    """A tokenizer; everything but its construction is tiktoken's."""

    @classmethod
    def from_file(
        cls,
        fp: Path | str,
        *,
        special_tokens: Mapping[str, int] | None = None,
        **tiktoken_kwargs: Any,
    ) -> Self:
        """The tokenizer in a file of tokencoder's format; `.json` is added when missing.

        `special_tokens` are added to the file's own. `tiktoken_kwargs` go to `tiktoken.Encoding`;
        `name` there replaces the file's stem.

        Raises:
            FileNotFoundError: there is no such file.
            ArtifactError: the file is damaged, of an unknown version, or tiktoken refuses its
                regular expression.
        """
        path = Path(fp if str(fp).endswith(".json") else f"{fp}.json")
        if not path.exists():
            raise FileNotFoundError(f"There is no tokenizer file {path}")
        return cls.from_vocabulary(
            Vocabulary.load(path),
            special_tokens=special_tokens,
            **{"name": path.stem} | tiktoken_kwargs,
        )

    @classmethod
    def from_vocabulary(
        cls,
        vocabulary: Vocabulary,
        *,
        special_tokens: Mapping[str, int] | None = None,
        **tiktoken_kwargs: Any,
    ) -> Self:
        """The tokenizer of a vocabulary in memory; arguments as those of `from_file`."""
        arguments = {
            "name": vocabulary.name,
            "pat_str": vocabulary.pattern,
            "mergeable_ranks": vocabulary.ranks,
        } | tiktoken_kwargs
        try:
            return cls(
                special_tokens=vocabulary.special_tokens | dict(special_tokens or {}), **arguments
            )
        except ValueError as error:
            message = f"its regular expression is refused: {error}"
            raise ArtifactError(Problem(f"tokenizer {vocabulary.name}", message)) from None
