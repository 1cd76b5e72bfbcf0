"""How much of a dataset is written, and how fast."""

from __future__ import annotations

import time
from collections.abc import Sequence

from talm_core.data.manifest import Shard
from talm_core.data.shards import ShardWriter
from talm_core.runtime.events import Progress

YIELD_SECONDS = 0.1
"""How often progress is told."""


class Tally:
    """What earlier runs have left and this one has written so far; its clock runs from the
    beginning. `before` are shards of earlier runs, `writers` write those of this one."""

    def __init__(self, before: Sequence[Shard], token_bytes: int) -> None:
        """`token_bytes` is what one token takes on the disk."""
        self.before = list(before)
        self.writers: list[ShardWriter] = []
        self._token_bytes = token_bytes
        self._began = self._told = time.monotonic()

    @property
    def there(self) -> int:
        """Tokens of earlier runs."""
        return sum(shard.tokens for shard in self.before)

    @property
    def tokens(self) -> int:
        return self.there + sum(writer.tokens for writer in self.writers)

    @property
    def text_bytes(self) -> int:
        """The text that all tokens stand for, in UTF-8."""
        before = sum(shard.bytes for shard in self.before)
        return before + sum(writer.text_bytes for writer in self.writers)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def due(self) -> bool:
        """Whether it is time to tell something; then it counts as told."""
        now = time.monotonic()
        if now - self._told < YIELD_SECONDS:
            return False
        self._told = now
        return True

    def connecting(self) -> Progress:
        """Nothing is written yet."""
        return Progress(phase="connecting", done=0, counts=self._counts(0, 0))

    def progress(self, total: int, *, retries: int) -> Progress:
        """How far it has come, of `total` bytes of text; the network was tried anew `retries`
        times."""
        done, seconds = self.text_bytes, self.seconds
        new = sum(writer.text_bytes for writer in self.writers)
        rate = new / seconds if new and seconds > YIELD_SECONDS else None
        return Progress(
            phase="tokenizing",
            done=done,
            total=max(done, total),
            unit="bytes",
            rate=rate,
            eta=max(0, total - done) / rate if rate else None,
            counts=self._counts(seconds, retries),
        )

    def _counts(self, seconds: float, retries: int) -> dict[str, int]:
        """What there is so far; the speed is of what this run has written."""
        before, writers, tokens = self.before, self.writers, self.tokens
        new = tokens - self.there
        return {
            "tokens": tokens,
            "tokens_per_second": round(new / seconds) if seconds > YIELD_SECONDS else 0,
            "documents": sum(shard.documents for shard in before)
            + sum(writer.documents for writer in writers),
            "bytes_in": self.text_bytes,
            "bytes_out": tokens * self._token_bytes,
            "shards": len(before) + sum(len(writer.shards) for writer in writers),
            "retries": retries,
        }
