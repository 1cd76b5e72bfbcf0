"""How much of a source there is to write, how it is written for that, and how far that has come."""

from __future__ import annotations

from talm_core.data import division
from talm_core.data.disk_space import Expected, expected
from talm_core.data.manifest import Split
from talm_core.data.progress import Tally
from talm_core.data.resume_state import Position
from talm_core.errors import ConfigError, Problem, RunError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.texts import Texts
from talm_core.runtime.events import Progress

_ENDLESS = 1 << 62


class Extent:
    """What is wanted of texts that are open. `limit` is how many tokens the dataset has at most."""

    def __init__(self, config: DataConfig, texts: Texts, position: Position, tally: Tally) -> None:
        """Raises:
        ConfigError: the dataset has as many tokens as are wanted already.
        """
        self._config = config
        self._texts = texts
        self._position = position
        self._tally = tally
        self._most_tokens = _ENDLESS
        if (corpus := texts.corpus) is not None:
            # A token is at least a byte, and each document has one in front, both parts of one that
            # is divided.
            divided = 1 if position.division == 1 else len(corpus)
            self._most_tokens = corpus.total_bytes + len(corpus) + divided
        wanted = config.max_tokens
        self.limit = min(wanted or self._most_tokens, self._most_tokens)
        if tally.before and (self.limit < tally.there or not self.large):
            hint = f"give more than {tally.there:,}, or choose a dir_prefix"
            message = f"the dataset has {tally.there:,} tokens already"
            raise ConfigError(Problem("max_tokens", message, wanted, hint))

    @property
    def large(self) -> bool:
        """Whether complete shards are remembered, so that a run that was interrupted goes on after
        them, and a dataset can be made longer without making it anew."""
        return (
            self._texts.stream is not None
            or self._config.val_tokens is not None
            or self.limit >= 2 * self._config.shard_size
        )

    @property
    def streamed(self) -> bool:
        """Whether validation is what comes first, rather than what the text is divided by."""
        return self.large and (
            self._texts.stream is not None
            or self._config.val_tokens is not None
            or self._position.division == 1
        )

    def goal(self, split: Split) -> int:
        """How many tokens the dataset has at most when a part of it is written."""
        limit = self.limit
        if split == "train" or limit >= self._most_tokens:
            return limit
        share = min(round(limit * self._config.val_fraction), division.MOST_TOKENS)
        return min(max(1, share), limit - 1)

    def take_all(self) -> None:
        """Want all there is."""
        self.limit = self._most_tokens

    def expected(self) -> Expected:
        """What is going to be written."""
        texts, there = self._texts, self._tally.there
        missing = 0
        if texts.stream is not None and self._config.keep_downloads:
            missing = texts.stream.missing_bytes
        # Where that may turn out to be little, it may have to be written twice.
        again = 2 * self._config.shard_size if self.streamed and not there else 0
        documents = None if texts.corpus is None else len(texts.corpus)
        return expected(
            texts.likely_bytes(0), documents, self.limit, there=there, again=again, missing=missing
        )

    def progress(self, *, complete: bool = False) -> Progress:
        """How far it has come, of what is likely to come."""
        tokens, done = self._tally.tokens, self._tally.text_bytes
        total = done if complete else self._texts.likely_bytes(done)
        if tokens and self.limit < self._most_tokens:
            total = min(total, done * self.limit // tokens)
        return self._tally.progress(total, retries=self._texts.retries)

    def ended_early(self, gone: RunError) -> RunError:
        """That the network is gone, and how far what is on this machine reaches."""
        tokens, val_tokens = self._tally.tokens, self._config.val_tokens or 1
        if tokens <= val_tokens or not self._config.keep_downloads:
            return gone
        here = f"what is on this machine reaches for {tokens:,} tokens"
        return RunError(f"{gone}; {here}, which max_tokens = {tokens} asks for")
