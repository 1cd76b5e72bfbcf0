"""Text to ids and back, with the class tokencoder has: a `tiktoken.Encoding` from a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tiktoken

from talm_core.errors import ArtifactError, Problem, RunError
from talm_core.tokenizer.patterns import CUTTABLE
from talm_core.tokenizer.vocabulary import Vocabulary

# Some 600,000 spaces in a row are more than tiktoken's regular expressions survive.
_CAREFUL_CHARACTERS = 400_000
_PROBE = "a B1 é\n\t .'s"
_LONG_SPACE = re.compile(r"\s{100000}")


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
        if _matches_nothing(vocabulary.pattern):
            message = "its regular expression matches where there is no text"
            raise ArtifactError(Problem(f"tokenizer {vocabulary.name}", message))
        try:
            return cls(
                special_tokens=vocabulary.special_tokens | dict(special_tokens or {}), **arguments
            )
        except ValueError as error:
            message = f"its regular expression is refused: {error}"
            raise ArtifactError(Problem(f"tokenizer {vocabulary.name}", message)) from None

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """How many bytes each id stands for, special tokens included; 0 for unused ids."""
        lengths = np.zeros(self.n_vocab, np.int64)
        for token, rank in self._mergeable_ranks.items():
            lengths[rank] = len(token)
        for text, rank in self._special_tokens.items():
            lengths[rank] = len(text.encode())
        return lengths

    def ids(self, text: str, *, special: bool = False) -> npt.NDArray[np.uint32]:
        """The ids of any text, however long or odd. Special tokens in it are text, or with
        `special` themselves.

        Raises:
            RunError: the tokenizer's regular expression cannot split the text.
        """
        if not special or not self._special_tokens:
            return self._ordinary_ids(text)
        known = sorted(self._special_tokens, key=len, reverse=True)
        parts = re.split(f"({'|'.join(map(re.escape, known))})", text)
        arrays = [
            np.array([self._special_tokens[part]], np.uint32) if odd else self._ordinary_ids(part)
            for part, odd in zip(parts, cycle((False, True)), strict=False)
        ]
        return np.concatenate(arrays)

    def _ordinary_ids(self, text: str) -> npt.NDArray[np.uint32]:
        try:
            if len(text) > _CAREFUL_CHARACTERS and _LONG_SPACE.search(text):
                return self._ids_by_pieces(text)
            return self.encode_to_numpy(text, disallowed_special=())
        except BaseException as error:
            # A pattern that went too far back is a ValueError; when tiktoken's Rust code has
            # panicked, Python does not count that among its exceptions.
            if not isinstance(error, ValueError) and type(error).__name__ != "PanicException":
                raise
            message = f"the tokenizer's regular expression cannot split a text: {error}"
            raise RunError(message) from None

    def _ids_by_pieces(self, text: str) -> npt.NDArray[np.uint32]:
        """The same ids by another library's regular expressions, which are slower and survive."""
        ids: list[int] = []
        # Not at the top: few texts need it, and it loads numba.
        from talm_core.tokenizer.splitter import splitter

        for piece in splitter(self._pat_str).pieces(text):
            ids += self._encode_single_piece(piece)
        return np.array(ids, np.uint32)


def _matches_nothing(pattern: str) -> bool:
    """Whether an unknown pattern can give an empty piece, over which tiktoken would stumble."""
    if pattern in CUTTABLE:
        return False
    import regex

    try:
        return any(not match.group() for match in regex.finditer(pattern, _PROBE, timeout=1))
    except (regex.error, TimeoutError):
        # Another dialect, or a slow one: tiktoken's own judgement counts.
        return False
