"""Whether compiled encoding is there yet.

Reading its machine code from the cache takes some tenths of a second, compiling it some seconds:
more than a small corpus takes altogether. So texts are encoded by tiktoken until enough have come
for the one or the other to be worth it, and a process of its own compiles, beside those threads
and without taking the interpreter from them. The ids are the same either way.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING

from talm_core.tokenizer.patterns import CUTTABLE
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import Vocabulary

# numba takes a third of a second to import.
if TYPE_CHECKING:
    from talm_core.tokenizer.bpe_encoder import FastTokenizer
    from talm_core.tokenizer.characters import CharacterClasses
    from talm_core.tokenizer.piece_table import Tokens

WORTH_LOADING = 4_000_000
WORTH_COMPILING = 30_000_000
"""So many characters tiktoken encodes in some tenths of a second and in a few seconds."""

_COMPILE = "from talm_core.tokenizer.bpe_encoder import compile_all; compile_all()"


class Readiness:
    """For one vocabulary: nothing, then on the way, then ready or given up."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._own = threading.local()
        self._shared: tuple[Tokens, CharacterClasses] | None = None
        self._characters = 0
        self._loading: Future[bool] | None = None
        self._compiling: subprocess.Popen[bytes] | None = None
        self._possible = vocabulary.pattern in CUTTABLE
        self._compiled = False

    def advance(self, characters: int, executor: Executor) -> None:
        """So many more characters are to be encoded: begin what is worth it by now. Work is done
        by the executor."""
        self._characters += characters
        if not self._possible or self._shared is not None:
            return
        if self._loading is not None and self._loading.cancelled():
            # The executor was that of texts which have ended.
            self._loading = None
        if self._loading is None:
            if self._characters >= WORTH_LOADING:
                self._loading = executor.submit(self._load)
        elif self._compiling is not None:
            if (status := self._compiling.poll()) is not None:
                self._compiling = None
                self._compiled = True
                self._possible = status == 0
                self._loading = executor.submit(self._load)
        elif self._loading.done() and not self._loading.result():
            # Where nothing can be kept, there is still nothing after compiling.
            self._possible = not self._compiled
            if self._possible and self._characters >= WORTH_COMPILING:
                self._compiling = subprocess.Popen(
                    [sys.executable, "-P", "-c", _COMPILE],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )

    def close(self) -> None:
        """End what was begun."""
        if self._compiling is not None:
            self._compiling.kill()
            self._compiling.wait()
            self._compiling = None

    def tokenizer(self, tokenizer: Tokenizer) -> FastTokenizer | None:
        """This thread's fast one, once there is one, with `tokenizer` for what it cannot do."""
        if self._shared is None:
            return None
        fast: FastTokenizer | None = getattr(self._own, "fast", None)
        if fast is None:
            from talm_core.tokenizer.bpe_encoder import FastTokenizer

            fast = self._own.fast = FastTokenizer(tokenizer, *self._shared)
        return fast

    def _load(self) -> bool:
        """Take machine code from the cache; whether it was there."""
        from talm_core.tokenizer.bpe_encoder import FastTokenizer
        from talm_core.tokenizer.characters import character_classes
        from talm_core.tokenizer.piece_table import Tokens

        tokens, classes = Tokens(self._vocabulary), character_classes()
        tokenizer = Tokenizer.from_vocabulary(self._vocabulary)
        if not FastTokenizer(tokenizer, tokens, classes).is_cached:
            return False
        tokens.fill()
        self._shared = tokens, classes
        return True
